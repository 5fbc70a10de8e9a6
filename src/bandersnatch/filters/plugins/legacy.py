"""Filters written for the older interface, run as filters of ours (contract, section 5.1).

Their classes are enabled by the ``name`` that they have, not by that of their entry points: to
learn it, all of them have to be loaded.
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
from bandersnatch.filters.builtin.views import older_project
from bandersnatch.filters.chain import Needs, PageFilter, ProjectFilter, Stage
from bandersnatch.filters.plugins.providers import (
    Provider,
    ambiguous,
    described,
    distribution_of,
    fresh,
    reason,
    told,
    unusable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from importlib.metadata import EntryPoint

    from bandersnatch.filters.options import FilterOptions, Sections
    from bandersnatch.filters.plugins.providers import EntryPoints
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

    _Json = dict[str, Any]

_GROUPS = "bandersnatch_filter_plugins.v2"
_KINDS = ("project", "metadata", "release_file", "release")
_NOT_READ = "mirror"
"""The section that says where and how to mirror, not what: a change of it is no change of rules."""


@dataclass(frozen=True, slots=True)
class OlderClass:
    """A class of the older interface, and where it comes from."""

    kind: str
    made: type[Filter]
    origin: str
    distribution: str

    def answers_to(self, name: str) -> bool:
        """Whether a name enables the class."""
        return name in {self.made.name, self.made.deprecated_name}


@dataclass(frozen=True, slots=True)
class OlderClasses:
    """All classes of the older interface that are installed; ``broken`` says which do not load."""

    classes: tuple[OlderClass, ...] = ()
    broken: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The names that enable one of them."""
        return frozenset(each.made.name for each in self.classes)

    def providers(self, names: Iterable[str]) -> tuple[Provider, ...]:
        """Return the providers of those names that are provided.

        A package may have classes of several kinds under one name: each is a filter.
        """
        found: list[Provider] = []
        for name in sorted(set(names)):
            named = [each for each in self.classes if each.answers_to(name)]
            if len({each.distribution for each in named}) > 1:
                found.append(ambiguous(name, {each.origin for each in named}))
            else:
                found += [_provider(name, each) for each in named]
        return tuple(found)


class _NoFilterError(BandersnatchError):
    """What an entry point names is not a class of the older interface."""


def older_classes(entry_points: EntryPoints) -> OlderClasses:
    """Load all classes of the older interface."""
    found: dict[tuple[str, str], OlderClass] = {}
    broken: list[str] = []
    for kind in _KINDS:
        for each in entry_points(group=f"{_GROUPS}.{kind}"):
            try:
                found[kind, described(each)] = _loaded(kind, each)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - others wrote what runs here
                broken.append(f"{described(each)} cannot be loaded: {told(error)}")
    return OlderClasses(tuple(found.values()), tuple(dict.fromkeys(broken)))


def _loaded(kind: str, entry_point: EntryPoint) -> OlderClass:
    made: object = entry_point.load()
    if not (isinstance(made, type) and issubclass(made, Filter)):
        raise _NoFilterError("it is no class made from those of bandersnatch.filter")
    name: object = made.name
    if not isinstance(name, str) or not name:
        raise _NoFilterError("its class has no name")
    return OlderClass(kind, made, described(entry_point), distribution_of(entry_point))


def _provider(name: str, older: OlderClass) -> Provider:
    now = older.made.name
    note = "" if name == now else f"{name!r} in [plugins] enabled is now called {now!r}; write that"
    return Provider(
        name, older.distribution, partial(_make, name, older), note, reads_anything=True
    )


def _make(name: str, older: OlderClass, options: FilterOptions) -> ProjectFilter | PageFilter:
    try:
        plugin = older.made.__new__(older.made)
        plugin.configuration = _configuration(options.sections)
        older.made.__init__(plugin)
    except (Exception, SystemExit) as error:  # others wrote what runs here
        raise unusable(name, older.distribution, error) from error
    asked = _Asked(name, plugin)
    terms = f"{older.made.name} {older.distribution} {_digest(options.sections)}"
    words = (f"leave out what {name} of {older.distribution} does not keep",)
    because = partial(reason, older.distribution)
    if older.kind == "project":
        return ProjectFilter(name, asked.keeps_name, terms, words=words, because=because)
    stage, narrows = asked.of_kind(older.kind)
    page = PageFilter(name, stage, narrows, terms, words, because, reads=Needs.DOCUMENT)
    return replace(page, decides=asked.decides) if older.kind == "release" else page


def _configuration(sections: Sections) -> ConfigParser:
    """Return the file as its own parser has it; references in values are resolved already."""
    parser = ConfigParser(delimiters=("=",), default_section="", interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # option names keep their case
    parser.read_dict(sections)
    return parser


def _digest(sections: Sections) -> str:
    """Return a text for all that the decisions may depend on: there is no knowing what is read."""
    read = {name: dict(section) for name, section in sections.items() if name != _NOT_READ}
    return sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Asked:
    """Asks an object of the older interface; whatever it raises fails the project.

    Each question has dictionaries of its own, so what is done to them changes no page. Only the
    files of other versions are the same lists in all questions about a page's versions.
    """

    name: str
    plugin: Filter

    def of_kind(self, kind: str) -> tuple[Stage, Callable[[ProjectDetail], ProjectDetail | None]]:
        """Return when a page filter of a kind runs, and what narrows the page."""
        return {
            "metadata": (Stage.METADATA, self.whole),
            "release_file": (Stage.FILE, self.files),
            "release": (Stage.RELEASE, self.releases),
        }[kind]

    def keeps_name(self, name: ProjectName) -> bool:
        """Whether a project is kept, by its name."""
        return self._ask(self.plugin.filter, {"info": {"name": str(name)}})

    def decides(self, name: ProjectName) -> bool:
        """Whether the plugin alone decides on a project's releases."""
        return self._ask(self.plugin.pinned_version_exists, {"info": {"name": str(name)}})

    def whole(self, page: ProjectDetail) -> ProjectDetail | None:
        """Return the page, or None if the project is left out."""
        return page if self._ask(self.plugin.filter, fresh(older_project(page))) else None

    def releases(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page with only the versions that are kept."""
        project = older_project(page)
        releases, shared = project["releases"], fresh(project["releases"])
        kept = {
            version: {file["filename"] for file in files}
            for version, files in releases.items()
            # Whole copies for each version would cost the square of their number.
            if self._keeps_version(project["info"], shared | {version: fresh(files)}, version)
        }
        names = frozenset().union(*kept.values())
        versions = tuple(text for text in page.versions if text in kept)
        return replace(page.keep(lambda file: file.filename in names), versions=versions)

    def _keeps_version(self, info: _Json, releases: _Json, version: str) -> bool:
        asked = {"info": fresh(info), "releases": releases, "version": version}
        return self._ask(self.plugin.filter, asked)

    def files(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page with only the files that are kept."""
        project = older_project(page)
        names = {
            file["filename"]
            for version, files in project["releases"].items()
            for file in files
            if self._keeps_file(project["info"], version, file)
        }
        return page.keep(lambda file: file.filename in names)

    def _keeps_file(self, info: _Json, version: str, file: _Json) -> bool:
        asked = {"info": fresh(info), "release": version, "release_file": fresh(file)}
        return self._ask(self.plugin.filter, asked)

    def _ask(self, question: Callable[[_Json], object], metadata: _Json) -> bool:
        try:
            return bool(question(metadata))
        except (Exception, SystemExit) as error:  # others wrote what runs here
            raise FilterFailure(self.name, told(error)) from error
