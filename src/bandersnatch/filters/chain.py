"""Filters in the order they run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail


class Stage(IntEnum):
    """The fixed order of page filters."""

    METADATA = 0
    FILE = 1
    RELEASE = 2
    SELECTION = 3


class ProjectFilter(Protocol):
    """Decides by its name alone whether a project is mirrored.

    ``names`` is the finite set that it allows at most, or None if there is no such set.
    ``terms`` is a text that changes whenever its decisions may.
    """

    @property
    def names(self) -> frozenset[ProjectName] | None:
        """The finite set."""
        ...

    @property
    def terms(self) -> str:
        """The text."""
        ...

    def __call__(self, name: ProjectName, /) -> bool:
        """Whether the project is kept."""
        ...


class PageFilter(Protocol):
    """Narrows a project's page; it never adds to it."""

    @property
    def name(self) -> str:
        """The name that enables it."""
        ...

    @property
    def stage(self) -> Stage:
        """When it runs."""
        ...

    @property
    def terms(self) -> str:
        """A text that changes whenever its decisions may."""
        ...

    def __call__(self, page: ProjectDetail, /) -> ProjectDetail:
        """Return what is left of a page."""
        ...


@dataclass(frozen=True, slots=True)
class FilterChain:
    """All enabled filters; neither the order of the file nor that of a page matters."""

    projects: tuple[ProjectFilter, ...] = ()
    pages: tuple[PageFilter, ...] = ()

    def selects(self, name: ProjectName) -> bool:
        """Whether every project filter keeps the project."""
        return all(keeps(name) for keeps in self.projects)

    @property
    def finite_names(self) -> frozenset[ProjectName] | None:
        """The projects that can be selected at all, if the filters name a finite set of them."""
        named = [names for keeps in self.projects if (names := keeps.names) is not None]
        if not named:
            return None
        return frozenset(filter(self.selects, frozenset.intersection(*named)))

    def narrow(self, page: ProjectDetail) -> ProjectDetail:
        """Return what the page filters leave of a page."""
        ordered = sorted(self.pages, key=lambda filter_: (filter_.stage, filter_.name))
        return reduce(lambda kept, narrows: narrows(kept), ordered, page)

    @property
    def fingerprint(self) -> str:
        """A text that differs whenever the chain may decide differently."""
        terms = sorted([f.terms for f in self.projects] + [f.terms for f in self.pages])
        return sha256("\n".join(terms).encode()).hexdigest()
