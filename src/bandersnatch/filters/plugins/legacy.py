"""Filters written for the interface of releases before 9, adapted to the current one.

Their classes are enabled by their own ``name``, not by that of their entry points, so all of them
have to be loaded to find one.
"""

from __future__ import annotations

import json
from configparser import ConfigParser
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from bandersnatch.errors import BandersnatchError, FilterFailure
from bandersnatch.filter import Filter
from bandersnatch.filters.builtin.views import legacy_project
from bandersnatch.filters.interface import Needs, PageFilter, ProjectFilter, Stage
from bandersnatch.filters.plugins.providers import (
    Provider,
    ambiguous,
    copy_json,
    described,
    distribution_of,
    error_line,
    unusable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from importlib.metadata import EntryPoint

    from bandersnatch.filters.options import FilterOptions, Sections
    from bandersnatch.filters.plugins.providers import EntryPoints
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

    _Json = dict[str, Any]

_GROUPS = "bandersnatch_filter_plugins.v2"
_KINDS = ("project", "metadata", "release_file", "release")
_IGNORED_SECTION = "mirror"
"""The section that says where and how to mirror, not what: changing it changes no rules."""


@dataclass(frozen=True, slots=True)
class LegacyClass:
    """A class of the older interface, and the package that it comes from."""

    kind: str
    loaded: type[Filter]
    origin: str
    distribution: str

    def has_name(self, name: str) -> bool:
        """Return whether a name enables the class."""
        return name in {self.loaded.name, self.loaded.deprecated_name}


@dataclass(frozen=True, slots=True)
class LegacyClasses:
    """All installed classes of the older interface, and messages about those that do not load."""

    classes: tuple[LegacyClass, ...] = ()
    broken: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The names that enable one of them."""
        return frozenset(each.loaded.name for each in self.classes)

    def providers(self, names: Iterable[str]) -> tuple[Provider, ...]:
        """Return the providers of the names; names without one are left out.

        A package may have classes of several kinds under one name: each is a filter.
        """
        found: list[Provider] = []
        for name in sorted(set(names)):
            named = [each for each in self.classes if each.has_name(name)]
            if len({each.distribution for each in named}) > 1:
                found.append(ambiguous(name, {each.origin for each in named}))
            else:
                found += [_provider(name, each) for each in named]
        return tuple(found)


class _NotAFilterError(BandersnatchError):
    """An entry point does not name a class of the older interface."""


def legacy_classes(entry_points: EntryPoints) -> LegacyClasses:
    """Load all classes of the older interface."""
    found: dict[tuple[str, str], LegacyClass] = {}
    broken: list[str] = []
    for kind in _KINDS:
        for each in entry_points(group=f"{_GROUPS}.{kind}"):
            try:
                found[kind, described(each)] = _load(kind, each)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code runs here
                broken.append(f"{described(each)} cannot be loaded: {error_line(error)}")
    return LegacyClasses(tuple(found.values()), tuple(dict.fromkeys(broken)))


def _load(kind: str, entry_point: EntryPoint) -> LegacyClass:
    loaded: object = entry_point.load()
    if not (isinstance(loaded, type) and issubclass(loaded, Filter)):
        raise _NotAFilterError("it is not a subclass of those in bandersnatch.filter")
    name: object = loaded.name
    if not isinstance(name, str) or not name:
        raise _NotAFilterError("its class has no name")
    return LegacyClass(kind, loaded, described(entry_point), distribution_of(entry_point))


def _provider(name: str, legacy: LegacyClass) -> Provider:
    current = legacy.loaded.name
    note = ""
    if name != current:
        note = f"{name!r} in [plugins] enabled is now called {current!r}; write that"
    make = partial(_build, name, legacy)
    return Provider(name, legacy.distribution, make, note, reads_anything=True)


def _build(name: str, legacy: LegacyClass, options: FilterOptions) -> ProjectFilter | PageFilter:
    try:
        plugin = legacy.loaded.__new__(legacy.loaded)
        plugin.configuration = _configuration(options.sections)
        legacy.loaded.__init__(plugin)
    except (Exception, SystemExit) as error:  # foreign code runs here
        raise unusable(name, legacy.distribution, error) from error
    digest = _digest(options.sections)
    adapter = _Adapter(
        name, plugin, legacy.distribution, f"{legacy.loaded.name} {legacy.distribution} {digest}"
    )
    if legacy.kind == "project":
        return LegacyProjectFilter(name, adapter)
    page_filters: dict[str, Callable[[str, _Adapter], PageFilter]] = {
        "metadata": LegacyMetadataFilter,
        "release_file": LegacyFileFilter,
        "release": LegacyReleaseFilter,
    }
    return page_filters[legacy.kind](name, adapter)


def _configuration(sections: Sections) -> ConfigParser:
    """Return the configuration as a parser; references in values are resolved already."""
    parser = ConfigParser(delimiters=("=",), default_section="", interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # option names keep their case
    parser.read_dict(sections)
    return parser


def _digest(sections: Sections) -> str:
    """Return a digest of all options that a class may read, since it may read any."""
    read = {name: dict(section) for name, section in sections.items() if name != _IGNORED_SECTION}
    return sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class _Adapter:
    """Calls an object of the older interface, and describes it."""

    name: str
    plugin: Filter
    distribution: str
    fingerprint: str

    def ask(self, question: Callable[[_Json], object], metadata: _Json) -> bool:
        """Return whether an answer is true.

        :raises FilterFailure: whatever the object raises.
        """
        try:
            return bool(question(metadata))
        except (Exception, SystemExit) as error:  # foreign code runs here
            raise FilterFailure(self.name, error_line(error)) from error

    def keeps(self, metadata: _Json) -> bool:
        """Return whether the object keeps what ``metadata`` describes.

        :raises FilterFailure: whatever the object raises.
        """
        return self.ask(self.plugin.filter, metadata)

    def describe(self) -> tuple[str, ...]:
        """Return one sentence."""
        return (f"drop what {self.name} of {self.distribution} does not keep",)

    def explain(self) -> str:
        """Return the package; classes of the older interface give no reasons."""
        return f"{self.distribution} does not keep it"


@dataclass(frozen=True)
class LegacyProjectFilter(ProjectFilter):
    """A ``FilterProjectPlugin``."""

    name: str
    adapter: _Adapter

    def apply(self, name: ProjectName) -> bool:
        """Return the class's answer about ``{"info": {"name"}}``.

        :raises FilterFailure: whatever the class raises.
        """
        return self.adapter.keeps({"info": {"name": str(name)}})

    def explain(self, name: ProjectName) -> str:
        """Return the package."""
        del name
        return self.adapter.explain()

    def describe(self) -> tuple[str, ...]:
        """Return one sentence."""
        return self.adapter.describe()

    def fingerprint(self) -> str:
        """Return the package's version, and a digest of the configuration."""
        return self.adapter.fingerprint


@dataclass(frozen=True)
class _LegacyPageFilter(PageFilter):
    """A class of the older interface that is given the legacy JSON document, or parts of it.

    Each call gets a dictionary of its own, so that no change to it reaches a page. Only the files
    of other versions are the same lists in all calls about a page's versions.
    """

    needs = Needs.DOCUMENT

    name: str
    adapter: _Adapter

    def explain(self, page: ProjectDetail, file: ReleaseFile | None) -> str:
        """Return the package."""
        del page, file
        return self.adapter.explain()

    def describe(self) -> tuple[str, ...]:
        """Return one sentence."""
        return self.adapter.describe()

    def fingerprint(self) -> str:
        """Return the package's version, and a digest of the configuration."""
        return self.adapter.fingerprint


class LegacyMetadataFilter(_LegacyPageFilter):
    """A ``FilterMetadataPlugin``."""

    stage = Stage.METADATA

    def apply(self, page: ProjectDetail) -> ProjectDetail | None:
        """Return the page, or None if the class drops the project.

        :raises FilterFailure: whatever the class raises.
        """
        return page if self.adapter.keeps(copy_json(legacy_project(page))) else None


class LegacyFileFilter(_LegacyPageFilter):
    """A ``FilterReleaseFilePlugin``."""

    stage = Stage.FILE

    def apply(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page with the files that the class keeps.

        :raises FilterFailure: whatever the class raises.
        """
        project = legacy_project(page)
        names = {
            file["filename"]
            for version, files in project["releases"].items()
            for file in files
            if self._keeps(project["info"], version, file)
        }
        return page.keep(lambda file: file.filename in names)

    def _keeps(self, info: _Json, version: str, file: _Json) -> bool:
        return self.adapter.keeps(
            {"info": copy_json(info), "release": version, "release_file": copy_json(file)}
        )


class LegacyReleaseFilter(_LegacyPageFilter):
    """A ``FilterReleasePlugin``."""

    stage = Stage.RELEASE

    def apply(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page with the versions that the class keeps.

        :raises FilterFailure: whatever the class raises.
        """
        project = legacy_project(page)
        releases, shared = project["releases"], copy_json(project["releases"])
        kept = {
            version: {file["filename"] for file in files}
            for version, files in releases.items()
            # Whole copies for each version would cost the square of their number.
            if self._keeps(project["info"], shared | {version: copy_json(files)}, version)
        }
        names = frozenset().union(*kept.values())
        versions = tuple(text for text in page.versions if text in kept)
        return replace(page.keep(lambda file: file.filename in names), versions=versions)

    def _keeps(self, info: _Json, releases: _Json, version: str) -> bool:
        return self.adapter.keeps(
            {"info": copy_json(info), "releases": releases, "version": version}
        )

    def is_exclusive(self, name: ProjectName) -> bool:
        """Return the class's ``pinned_version_exists``.

        :raises FilterFailure: whatever the class raises.
        """
        question = self.adapter.plugin.pinned_version_exists
        return self.adapter.ask(question, {"info": {"name": str(name)}})
