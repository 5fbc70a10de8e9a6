"""The built-in filters, by the names that configurations use, and the chain made of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

from bandersnatch.errors import InvalidRules, Problem
from bandersnatch.filters.chain import FilterChain, PageFilter, ProjectFilter
from bandersnatch.filters.options import suggestion
from bandersnatch.filters.plugins.providers import Found

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bandersnatch.filters.options import FilterOptions, Sections

ALL = "all"
"""The name that stands for every built-in filter that something is set for."""

Filter: TypeAlias = ProjectFilter | PageFilter
Maker: TypeAlias = "Callable[[FilterOptions], Filter]"
Setting: TypeAlias = tuple[str, str]
"""A section and an option; "" stands for the section as a whole, with whatever is in it."""

_NOTHING_FOUND = Found()

_NAMED: tuple[Setting, ...] = (("allowlist", "packages"), ("allowlist", "packages-file"))
_REQUIRED: tuple[Setting, ...] = (("allowlist", "requirements"),)
_BLOCKED: tuple[Setting, ...] = (("blocklist", "packages"), ("blocklist", "packages-file"))
_WHERE: tuple[Setting, ...] = (("allowlist", "requirements_path"),)


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A filter of this program.

    ``module`` is where its factory is, which has the filter's own name. ``set_by`` is what lets
    ``all`` enable it, ``reads`` what it reads besides; ``section`` is one that is all its own,
    which lets ``all`` enable it too, even if it is empty.
    """

    module: str
    set_by: tuple[Setting, ...] = ()
    reads: tuple[Setting, ...] = ()
    section: str = ""

    def all_settings(self) -> tuple[Setting, ...]:
        """Return everything that it reads."""
        return self.set_by + self.reads


BUILT_IN: Mapping[str, BuiltIn] = {
    "allowlist_project": BuiltIn("project_lists", _NAMED),
    "project_requirements": BuiltIn("project_lists", _REQUIRED, _WHERE),
    "blocklist_project": BuiltIn("project_lists", _BLOCKED),
    "regex_project": BuiltIn("regex", (("filter_regex", "packages"),)),
    "regex_project_metadata": BuiltIn("metadata", (("regex_project_metadata", ""),)),
    "version_range_project_metadata": BuiltIn(
        "metadata", (("version_range_project_metadata", ""),)
    ),
    "size_project_metadata": BuiltIn(
        "limits", (("size_project_metadata", "max_package_size"),), _NAMED
    ),
    "versions_count_project_metadata": BuiltIn(
        "limits",
        tuple(("versions_count_project_metadata", o) for o in ("min_versions", "max_versions")),
        _NAMED,
    ),
    "project_status": BuiltIn("limits", tuple(("project_status", o) for o in ("drop", "keep"))),
    "exclude_platform": BuiltIn("platforms", (("blocklist", "platforms"),)),
    "regex_release_file_metadata": BuiltIn("metadata", (("regex_release_file_metadata", ""),)),
    "version_range_release_file_metadata": BuiltIn(
        "metadata", (("version_range_release_file_metadata", ""),)
    ),
    "release_age": BuiltIn(
        "age",
        tuple(
            ("release_age", option)
            for option in ("min-age", "freeze-at", "exceptions", "exceptions-file", "prefetch")
        ),
        section="release_age",
    ),
    "target_environments": BuiltIn(
        "environments", (("environments", ""),), (("target_environments", "sdists"),)
    ),
    "yanked_release": BuiltIn(
        "yanked", reads=(*_NAMED, *_REQUIRED, *_WHERE), section="yanked_release"
    ),
    "blocklist_release": BuiltIn("release_lists", _BLOCKED),
    "allowlist_release": BuiltIn("release_lists", _NAMED),
    "project_requirements_pinned": BuiltIn("release_lists", _REQUIRED, _WHERE),
    "prerelease_release": BuiltIn(
        "prereleases",
        tuple(("filter_prerelease", o) for o in ("packages", "packages-file")),
        section="filter_prerelease",
    ),
    "regex_release": BuiltIn("regex", (("filter_regex", "releases"),)),
    "latest_release": BuiltIn(
        "latest", tuple(("latest_release", o) for o in ("keep", "sort_by", "keep-per"))
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
"""The sections that filters read, with their options; "" among them allows any."""


@dataclass(frozen=True, slots=True)
class Built:
    """What came of the names: the chain can be used only if there is no problem."""

    chain: FilterChain
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def build_chain(
    enabled: Iterable[str], options: FilterOptions, found: Found = _NOTHING_FOUND
) -> Built:
    """Make the filters that are enabled, and say what is wrong with those that cannot be made.

    ``found`` is what installed packages provide. What is set for a filter and read by none is
    told of: a rule that does not count lets in what it was to keep out.
    """
    names, problems = _expanded(enabled, options.sections)
    options = replace(options, enabled=frozenset(names))
    filters: list[Filter] = []
    for name in names:
        makers = _makers(name, found)
        if not makers:
            problems.append(_nobody_provides(name, found))
        for make in makers:
            try:
                filters.append(make(options))
            except InvalidRules as error:
                problems += [each for each in error.problems if each not in problems]
    chain = FilterChain(
        tuple(each for each in filters if isinstance(each, ProjectFilter)),
        tuple(each for each in filters if isinstance(each, PageFilter)),
    )
    notes = [each.note for each in found.providers if each.note]
    notes += [note for each in filters for note in each.notes]
    if not any(each.reads_anything for each in found.providers):
        notes += _without_effect(names, options.sections)
    return Built(chain, tuple(problems), tuple(dict.fromkeys(notes)))


def _makers(name: str, found: Found) -> list[Maker]:
    """Return the factories of the filters of a name; a package may have several."""
    if name in BUILT_IN:
        return [_maker(name)]
    return [each.make for each in found.providers if each.name == name]


def _maker(name: str) -> Maker:
    """Return the factory of a built-in filter; its module is imported only when it is enabled."""
    module = import_module(f"bandersnatch.filters.builtin.{BUILT_IN[name].module}")
    factory: Maker = getattr(module, name)
    return factory


def _is_set(setting: Setting, sections: Sections) -> bool:
    section, option = setting
    return section in sections and (not option or option in sections[section])


def _expanded(enabled: Iterable[str], sections: Sections) -> tuple[list[str], list[Problem]]:
    """Return the names with those that "all" stands for, and what is wrong with it."""
    names = list(dict.fromkeys(enabled))
    if ALL not in names:
        return names, []
    configured = [name for name in BUILT_IN if _is_configured(name, sections)]
    problems = []
    if not configured:
        message = f"{ALL!r} enables every filter that something is set for, and nothing is"
        problems.append(Problem("plugins", "enabled", message))
    return [name for name in dict.fromkeys([*names, *configured]) if name != ALL], problems


def _is_configured(name: str, sections: Sections) -> bool:
    """Whether a filter has an option set that it goes by, or its own section."""
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


def _nobody_provides(name: str, found: Found) -> Problem:
    hint = suggestion(name, [*BUILT_IN, *found.names, ALL])
    broken = "".join(f"; {each}" for each in found.broken)
    return Problem("plugins", "enabled", f"nobody provides {name!r}{hint}{broken}")
