"""Filters as values, and the order they run in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Flag, IntEnum, auto
from hashlib import sha256
from typing import TYPE_CHECKING

from bandersnatch.errors import FilterFailure
from bandersnatch.model.versions import version_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

    Narrows = Callable[[ProjectDetail], ProjectDetail | None]


class Stage(IntEnum):
    """The fixed order of page filters."""

    METADATA = 0
    FILE = 1
    RELEASE = 2
    SELECTION = 3


class Needs(Flag):
    """What a page filter needs that not every index's page tells."""

    NOTHING = 0
    DOCUMENT = auto()
    """The legacy JSON document, as ``ProjectDetail.document``."""
    SIZES = auto()
    TIMES = auto()


def _of_nothing(*_: object) -> str:
    return ""


def _never(_: object) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class ProjectFilter:
    """Decides by its name alone whether a project is mirrored.

    ``terms`` is a text that changes whenever ``keeps`` may. ``names`` is the finite set that it
    keeps at most, or None if there is no such set. ``words`` say what it does, a sentence each,
    ``because`` which rule of it drops a project, and ``notes`` what the operator should know.
    """

    name: str
    keeps: Callable[[ProjectName], bool]
    terms: str
    names: frozenset[ProjectName] | None = None
    words: tuple[str, ...] = ()
    because: Callable[[ProjectName], str] = _of_nothing
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PageFilter:
    """Narrows a project's page; it never adds to it.

    ``narrows`` returns what is left of a page, or None for a project that is not to be mirrored
    at all (at the stage METADATA only). ``terms`` is a text that changes whenever that may;
    ``terms_for`` is the part of it that matters to one project, where most projects have none.
    ``words`` say what it does, a sentence each, ``because`` which rule of it drops a file, or the
    project, and ``notes`` what the operator should know. ``decides`` is whether it alone decides
    on the releases of a project. ``matures`` is when, in seconds since 1970, it lets more of a
    page through than now, and ``ahead`` what it lets through by then, if that is to be fetched
    already.
    """

    name: str
    stage: Stage
    narrows: Narrows
    terms: str
    words: tuple[str, ...] = ()
    because: Callable[[ProjectDetail, ReleaseFile | None], str] = _of_nothing
    reads: Needs = Needs.NOTHING
    terms_for: Callable[[ProjectName], str] | None = None
    decides: Callable[[ProjectName], bool] = _never
    matures: Callable[[ProjectDetail], int | None] | None = None
    ahead: Narrows | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dropped:
    """The files of a page that one filter dropped; all of them if it dropped the project."""

    by: str
    files: tuple[ReleaseFile, ...]


@dataclass(frozen=True, slots=True)
class FilterResult:
    """What the filters make of a page.

    ``page`` is None for a project that is not to be mirrored. ``due`` is when, in seconds since
    1970, the same page will give more. ``early`` are the files that come then and are to be
    fetched already.
    """

    page: ProjectDetail | None
    dropped: tuple[Dropped, ...] = ()
    due: int | None = None
    early: tuple[ReleaseFile, ...] = ()


@dataclass(frozen=True, slots=True)
class FilterChain:
    """All enabled filters; neither the order of the file nor that of a page matters."""

    projects: tuple[ProjectFilter, ...] = ()
    pages: tuple[PageFilter, ...] = ()

    def selects(self, name: ProjectName) -> bool:
        """Whether every project filter keeps the project.

        :raises FilterFailure: if one, from a plugin, raises.
        """
        for each in self.projects:  # noqa: SIM110 - all() takes twice as long, for each name
            if not each.keeps(name):
                return False
        return True

    def may_select(self, name: ProjectName) -> bool:
        """Whether the project is selected, or that cannot be told because a plugin fails."""
        try:
            return self.selects(name)
        except FilterFailure:
            return True

    def refuses(self, name: ProjectName) -> ProjectFilter | None:
        """Return the first project filter that drops the project."""
        return next((each for each in self.projects if not each.keeps(name)), None)

    @property
    def finite_names(self) -> frozenset[ProjectName] | None:
        """The projects that can be selected at all, if the filters name a finite set of them."""
        named = [each.names for each in self.projects if each.names is not None]
        if not named:
            return None
        return frozenset(filter(self.may_select, frozenset.intersection(*named)))

    @property
    def needs(self) -> Needs:
        """What the page filters need that not every index's page tells."""
        reads = Needs.NOTHING
        for each in self.pages:
            reads |= each.reads
        return reads

    def in_order_of_stages(self) -> list[PageFilter]:
        """Return the page filters in the order they run."""
        return sorted(self.pages, key=lambda each: (each.stage, each.name))

    def in_order(self, name: ProjectName) -> Iterator[PageFilter]:
        """Yield the page filters for a project in the order they run.

        Where one decides alone on the releases, no other looks at them (contract, 5.2).
        """
        alone = [each for each in self.pages if each.decides(name)]
        for each in self.in_order_of_stages():
            if each.stage < Stage.RELEASE or not alone or each in alone:
                yield each

    def apply(self, page: ProjectDetail) -> FilterResult:
        """Return what the page filters leave of a page.

        :raises FilterFailure: if one, from a plugin, raises.
        """
        kept = page
        dropped: list[Dropped] = []
        due: int | None = None
        ahead = False
        for each in self.in_order(page.name):
            left = each.narrows(kept)
            if left is None:
                return FilterResult(None, (*dropped, Dropped(each.name, kept.files)))
            if each.matures is not None and len(left.files) < len(kept.files):
                matures = each.matures(kept)
                due = min(filter(None, (due, matures)), default=None)
                ahead = ahead or (matures is not None and each.ahead is not None)
            if len(left.files) < len(kept.files):
                dropped.append(Dropped(each.name, _missing(kept, left)))
            kept = left
        early = self._early(page, kept) if ahead else ()
        return FilterResult(_listed(page, kept), tuple(dropped), due, early)

    def _early(self, page: ProjectDetail, kept: ProjectDetail) -> tuple[ReleaseFile, ...]:
        """Return the files that only their age keeps from the page."""
        later: ProjectDetail | None = page
        for each in self.in_order(page.name):
            if later is not None:
                later = (each.ahead or each.narrows)(later)
        return () if later is None else _missing(later, kept)

    def explain(self, page: ProjectDetail, filename: str) -> tuple[PageFilter, str] | None:
        """Return the filter that drops a file of a page, and its rule; None if none does."""
        kept = page
        for each in self.in_order(page.name):
            left = each.narrows(kept)
            if left is None:
                return each, each.because(kept, None)
            gone = next((f for f in _missing(kept, left) if f.filename == filename), None)
            if gone is not None:
                return each, each.because(kept, gone)
            kept = left
        return None

    def fingerprint_for(self, name: ProjectName) -> str:
        """Return a text that differs whenever a page of this project may be narrowed otherwise."""
        terms = (f.terms if f.terms_for is None else f.terms_for(name) for f in self.pages)
        return "\n".join(sorted(filter(None, terms)))

    @property
    def has_project_rules(self) -> bool:
        """Whether a page filter may have rules for single projects."""
        return any(each.terms_for is not None for each in self.pages)

    @property
    def changes_with_time(self) -> bool:
        """Whether a page filter may let more of the same page through at a later time."""
        return any(each.matures is not None for each in self.pages)

    @property
    def fingerprint(self) -> str:
        """A text that differs whenever the chain may decide differently."""
        terms = sorted([f.terms for f in self.projects] + [f.terms for f in self.pages])
        return sha256("\n".join(terms).encode()).hexdigest()


def _missing(whole: ProjectDetail, part: ProjectDetail) -> tuple[ReleaseFile, ...]:
    names = {file.filename for file in part.files}
    return tuple(file for file in whole.files if file.filename not in names)


def _listed(page: ProjectDetail, kept: ProjectDetail) -> ProjectDetail:
    """Return what is kept, without the versions whose files are all dropped."""
    if len(kept.files) == len(page.files):
        return kept
    had, left = frozenset(page.version_texts()), frozenset(kept.version_texts())
    gone = set(map(version_key, had - left)) - set(map(version_key, left))
    versions = tuple(v for v in kept.versions if v in left or version_key(v) not in gone)
    return replace(kept, versions=versions)
