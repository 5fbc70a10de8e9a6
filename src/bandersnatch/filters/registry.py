"""The built-in filters by the names that configurations use, and the chain of enabled filters.

A new built-in filter is one row in `BUILT_IN`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

from bandersnatch.errors import InvalidRules, OptionError, Problem
from bandersnatch.filters.chain import FilterChain
from bandersnatch.filters.interface import Factory, Filter, PageFilter, ProjectFilter
from bandersnatch.filters.plugins.providers import Found

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from bandersnatch.filters.options import FilterOptions, Sections


ALL = "all"
"""The name that stands for every built-in filter that has a setting."""

Setting: TypeAlias = tuple[str, str]
"""A section and an option; "" stands for the section as a whole, with whatever is in it."""

_NOTHING_FOUND = Found()

_NAMED: tuple[Setting, ...] = (("allowlist", "packages"), ("allowlist", "packages-file"))
_REQUIRED: tuple[Setting, ...] = (("allowlist", "requirements"),)
_BLOCKED: tuple[Setting, ...] = (("blocklist", "packages"), ("blocklist", "packages-file"))
_WHERE: tuple[Setting, ...] = (("allowlist", "requirements_path"),)


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A filter of this program, described so that its module is imported only if it is enabled.

    ``location`` is its module in `bandersnatch.filters.builtin` and its class, as in
    "age:ReleaseAge". ``set_by`` are the settings of which one makes ``all`` enable it, ``reads``
    are others that it reads. ``section`` is a section that it alone reads: ``all`` enables the
    filter if the section exists, even if it is empty.
    """

    location: str
    set_by: tuple[Setting, ...] = ()
    reads: tuple[Setting, ...] = ()
    section: str = ""

    def all_settings(self) -> tuple[Setting, ...]:
        """Return all settings that it reads."""
        return self.set_by + self.reads

    def load(self) -> type[ProjectFilter | PageFilter]:
        """Import the module, and return the class."""
        module, _, name = self.location.partition(":")
        found: type[ProjectFilter | PageFilter] = getattr(
            import_module(f"bandersnatch.filters.builtin.{module}"), name
        )
        return found


BUILT_IN: Mapping[str, BuiltIn] = {
    "allowlist_project": BuiltIn("project_lists:AllowlistProject", _NAMED),
    "project_requirements": BuiltIn("project_lists:ProjectRequirements", _REQUIRED, _WHERE),
    "blocklist_project": BuiltIn("project_lists:BlocklistProject", _BLOCKED),
    "regex_project": BuiltIn("regex:RegexProject", (("filter_regex", "packages"),)),
    "regex_project_metadata": BuiltIn(
        "metadata:RegexProjectMetadata", (("regex_project_metadata", ""),)
    ),
    "version_range_project_metadata": BuiltIn(
        "metadata:VersionRangeProjectMetadata", (("version_range_project_metadata", ""),)
    ),
    "size_project_metadata": BuiltIn(
        "limits:SizeProjectMetadata", (("size_project_metadata", "max_package_size"),), _NAMED
    ),
    "versions_count_project_metadata": BuiltIn(
        "limits:VersionsCountProjectMetadata",
        tuple(("versions_count_project_metadata", o) for o in ("min_versions", "max_versions")),
        _NAMED,
    ),
    "project_status": BuiltIn(
        "limits:ProjectStatusFilter", tuple(("project_status", o) for o in ("drop", "keep"))
    ),
    "exclude_platform": BuiltIn("platforms:ExcludePlatform", (("blocklist", "platforms"),)),
    "regex_release_file_metadata": BuiltIn(
        "metadata:RegexReleaseFileMetadata", (("regex_release_file_metadata", ""),)
    ),
    "version_range_release_file_metadata": BuiltIn(
        "metadata:VersionRangeReleaseFileMetadata", (("version_range_release_file_metadata", ""),)
    ),
    "release_age": BuiltIn(
        "age:ReleaseAge",
        tuple(
            ("release_age", option)
            for option in ("min-age", "freeze-at", "exceptions", "exceptions-file", "prefetch")
        ),
        section="release_age",
    ),
    "target_environments": BuiltIn(
        "environments:TargetEnvironments",
        (("environments", ""),),
        (("target_environments", "sdists"),),
    ),
    "yanked_release": BuiltIn(
        "yanked:YankedRelease", reads=(*_NAMED, *_REQUIRED, *_WHERE), section="yanked_release"
    ),
    "blocklist_release": BuiltIn("release_lists:BlocklistRelease", _BLOCKED),
    "allowlist_release": BuiltIn("release_lists:AllowlistRelease", _NAMED),
    "project_requirements_pinned": BuiltIn(
        "release_lists:ProjectRequirementsPinned", _REQUIRED, _WHERE
    ),
    "prerelease_release": BuiltIn(
        "prereleases:PrereleaseRelease",
        tuple(("filter_prerelease", o) for o in ("packages", "packages-file")),
        section="filter_prerelease",
    ),
    "regex_release": BuiltIn("regex:RegexRelease", (("filter_regex", "releases"),)),
    "latest_release": BuiltIn(
        "latest:LatestRelease",
        tuple(("latest_release", o) for o in ("keep", "sort_by", "keep-per")),
    ),
}


def _sections() -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for built_in in BUILT_IN.values():
        for section, option in built_in.all_settings():
            found.setdefault(section, set()).add(option)
        if built_in.section:
            found.setdefault(built_in.section, set())
    return {section: frozenset(options) for section, options in found.items()}


SECTIONS: Mapping[str, frozenset[str]] = _sections()
"""The sections that built-in filters read, with their options; "" stands for any option."""


@dataclass(frozen=True, slots=True)
class Built:
    """The result of building the chain, which is usable only if there are no problems."""

    chain: FilterChain
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def build_chain(
    enabled: Iterable[str],
    options: FilterOptions,
    found: Found = _NOTHING_FOUND,
    *,
    used: Collection[str] = (),
) -> Built:
    """Build the enabled filters, and report the problems of those that cannot be built.

    ``found`` is what installed packages provide. Settings that no enabled filter reads are noted:
    a rule without effect lets through what it was to drop. ``used`` are sections of filters that
    something else reads.
    """
    names, problems = _expanded(enabled, options.sections)
    options = replace(options, enabled=frozenset(names))
    filters: list[Filter] = []
    for name in names:
        factories = _factories(name, found)
        if not factories:
            problems.append(_unknown_filter(name, found, options.sections))
        for factory in factories:
            try:
                filters.append(factory(options))
            except OptionError as error:
                problems.append(Problem(name, "", str(error)))
            except InvalidRules as error:
                problems += [each for each in error.problems if each not in problems]
    chain = FilterChain(
        tuple(each for each in filters if isinstance(each, ProjectFilter)),
        tuple(each for each in filters if isinstance(each, PageFilter)),
    )
    notes = [each.note for each in found.providers if each.note]
    notes += [note for each in filters for note in each.notes]
    if not any(each.reads_anything for each in found.providers):
        unused = {name: each for name, each in options.sections.items() if name not in used}
        notes += _without_effect(names, unused)
    return Built(chain, tuple(problems), tuple(dict.fromkeys(notes)))


def _factories(name: str, found: Found) -> list[Factory]:
    """Return what builds the filters of a name; a package may have several of one name."""
    if name in BUILT_IN:
        return [BUILT_IN[name].load().from_options]
    return [each.make for each in found.providers if each.name == name]


def _is_set(setting: Setting, sections: Sections) -> bool:
    section, option = setting
    return section in sections and (not option or option in sections[section])


def _expanded(enabled: Iterable[str], sections: Sections) -> tuple[list[str], list[Problem]]:
    """Return the names with those that "all" stands for, and the problem if there are none."""
    names = list(dict.fromkeys(enabled))
    if ALL not in names:
        return names, []
    configured = [name for name in BUILT_IN if _is_configured(name, sections)]
    problems = []
    if not configured:
        message = f"{ALL!r} enables every filter that has a setting, and none has one"
        problems.append(Problem("plugins", "enabled", message))
    return [name for name in dict.fromkeys([*names, *configured]) if name != ALL], problems


def _is_configured(name: str, sections: Sections) -> bool:
    """Return whether a setting that enables a filter exists, or its own section."""
    built_in = BUILT_IN[name]
    return built_in.section in sections or any(_is_set(each, sections) for each in built_in.set_by)


def _without_effect(names: Iterable[str], sections: Sections) -> list[str]:
    read = {each for name in names if name in BUILT_IN for each in BUILT_IN[name].all_settings()}
    return [
        f"[{section}] {option} has no effect: no enabled filter reads it"
        for section, options in sections.items()
        if section in SECTIONS
        for option in options
        if not read & {(section, option), (section, "")}
    ]


def _unknown_filter(name: str, found: Found, sections: Sections) -> Problem:
    """Return the problem of an unknown name, with the filter that is meant.

    If the name is not similar to one, the filters that share a word with it and have settings are
    suggested.
    """
    from bandersnatch.config import hints  # noqa: PLC0415 - needed only for mistakes

    meant = hints.meant_by(name, [*BUILT_IN, *found.names, ALL])
    if not meant:
        configured = [each for each in BUILT_IN if _is_configured(each, sections)]
        meant = hints.sharing_words(name, configured)
    broken = "".join(f"; {each}" for each in found.broken)
    message = f"there is no filter {name!r}{hints.question(meant)}{broken}"
    return Problem("plugins", "enabled", message)
