"""Filters written for version 1 of the interface, run as filters of ours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bandersnatch.errors import SHOWN_CHARACTERS, BandersnatchError, FilterFailure
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
from bandersnatch.model.files import clean_reason
from bandersnatch.model.names import ProjectName, project_name
from bandersnatch.model.project import ProjectDetail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from importlib.metadata import EntryPoint

    from bandersnatch.filters.options import FilterOptions

_LONGEST_TERMS = 64

GROUP = "bandersnatch.filters.v1"
_NO_STAGE = object()


class _Wrong(BandersnatchError):
    """What a plugin is or returned is not what it must be; the message says why."""


def newer_providers(names: Iterable[str], found: Iterable[EntryPoint]) -> tuple[Provider, ...]:
    """Return the providers of those names that entry points of this version's group have."""
    by_name: dict[str, dict[str, EntryPoint]] = {}
    for each in found:
        by_name.setdefault(each.name, {})[described(each)] = each
    return tuple(_provider(name, by_name[name]) for name in sorted(set(names) & by_name.keys()))


def _provider(name: str, candidates: Mapping[str, EntryPoint]) -> Provider:
    if len(candidates) > 1:
        return ambiguous(name, candidates)
    (entry_point,) = candidates.values()
    distribution = distribution_of(entry_point)
    return Provider(name, distribution, partial(_make, entry_point, distribution))


def _make(
    entry_point: EntryPoint, distribution: str, options: FilterOptions
) -> ProjectFilter | PageFilter:
    name = entry_point.name
    section = MappingProxyType(dict(options.sections.get(name, {})))
    try:
        return _wrapped(name, distribution, entry_point.load()(section))
    except (Exception, SystemExit) as error:  # others wrote what runs here
        raise unusable(name, distribution, error) from error


def _wrapped(name: str, distribution: str, plugin: Any) -> ProjectFilter | PageFilter:  # noqa: ANN401 - anything until looked at
    """Return the filter that asks a plugin.

    :raises _Wrong: if it is neither kind.
    """
    if not callable(plugin):
        raise _Wrong(f"its factory returned {_shown(plugin)}, which is no filter")
    terms = getattr(plugin, "terms", None)
    if not isinstance(terms, str) or not terms.strip():
        raise _Wrong("it has no terms, a text that changes whenever its decisions may")
    if len(terms) > _LONGEST_TERMS:  # they are joined for every project
        terms = sha256(terms.encode()).hexdigest()
    terms = f"{name} {terms}"
    words = (f"leave out what {name} of {distribution} does not keep",)
    stage = getattr(plugin, "stage", _NO_STAGE)
    if stage is _NO_STAGE:
        project = _AskedOfNames(name, plugin)
        names = _names(getattr(plugin, "names", None))
        return ProjectFilter(
            name, project.keeps, terms, names, words, partial(reason, distribution)
        )
    if not isinstance(stage, Stage):
        raise _Wrong(f"its stage is {_shown(stage)} and must be a Stage")
    reads = getattr(plugin, "reads", Needs.NOTHING)
    if not isinstance(reads, Needs):
        raise _Wrong(f"its reads are {_shown(reads)} and must be Reads")
    page = _AskedOfPages(name, plugin, stage, reads)
    return PageFilter(
        name, stage, page.narrow, terms, words, partial(reason, distribution), reads=reads
    )


def _names(given: object) -> frozenset[ProjectName] | None:
    if given is None:
        return None
    if not isinstance(given, frozenset | set):
        raise _Wrong(f"its names are {_shown(given)} and must be a frozenset of texts, or None")
    return frozenset(map(project_name, given))


@dataclass(frozen=True, slots=True)
class _AskedOfNames:
    """A project filter that asks a plugin; what is no answer fails the project."""

    name: str
    plugin: Callable[[str], object]

    def keeps(self, name: ProjectName) -> bool:
        try:
            return _answer(self.plugin(name))
        except (Exception, SystemExit) as error:  # others wrote what runs here
            raise FilterFailure(self.name, told(error)) from error


def _answer(given: object) -> bool:
    if not isinstance(given, bool):
        raise _Wrong(f"it returned {_shown(given)}, which is neither True nor False")
    return given


@dataclass(frozen=True, slots=True)
class _AskedOfPages:
    """A page filter that asks a plugin; what is no narrower page fails the project."""

    name: str
    plugin: Callable[[ProjectDetail], object]
    stage: Stage
    reads: Needs

    def narrow(self, page: ProjectDetail) -> ProjectDetail | None:
        try:
            return self._checked(page, self.plugin(self._own(page)))
        except (Exception, SystemExit) as error:  # others wrote what runs here
            raise FilterFailure(self.name, told(error)) from error

    def _own(self, page: ProjectDetail) -> ProjectDetail:
        """Return the page to hand out: the answer may not depend on what other filters read."""
        wanted = Needs.DOCUMENT in self.reads and page.document is not None
        return replace(page, document=fresh(page.document) if wanted else None)

    def _checked(self, page: ProjectDetail, left: object) -> ProjectDetail | None:
        if left is None and self.stage is Stage.METADATA:
            return None
        if not isinstance(left, ProjectDetail):
            raise _Wrong(f"it returned {_shown(left)}, which is no page")
        if left.name != page.name:
            raise _Wrong(f"it returned the page of {_shown(left.name)}")
        return _narrowed(page, left)


def _narrowed(page: ProjectDetail, left: ProjectDetail) -> ProjectDetail:
    """Return a page with the files and versions that are left, and nothing else of ``left``.

    :raises _Wrong: if there is anything that the page did not have.
    """
    had = set(page.files)
    for file in left.files:
        if file not in had:
            raise _Wrong(f"it added or changed a file: {_shown(file)}")
    kept, versions = {file.filename for file in left.files}, set(left.versions)
    if len(kept) != len(left.files):
        raise _Wrong("it named a file twice")
    if not versions <= set(page.versions):
        raise _Wrong(f"it added versions: {_shown(sorted(versions - set(page.versions)))}")
    if replace(left, files=page.files, versions=page.versions) != page:
        raise _Wrong("it changed more of the page than its files and versions")
    narrowed = page.keep(lambda file: file.filename in kept)
    return replace(narrowed, versions=tuple(text for text in page.versions if text in versions))


def _shown(value: object) -> str:
    return clean_reason(repr(value))[:SHOWN_CHARACTERS]
