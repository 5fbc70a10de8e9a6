"""The interface of filters, version 1: the built-in ones and those of other packages share it.

A package subclasses `ProjectFilter` or `PageFilter` and names the class in the entry-point group
``bandersnatch.filters.v1``. The name of the entry point is the filter's in ``[plugins] enabled``,
and that of its section. Authors need nothing but what this module exports; it changes only
together with the number in the group's name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Flag, IntEnum, auto
from typing import Self, TypeAlias

from bandersnatch.errors import InvalidRules, OptionError, Problem
from bandersnatch.filters.options import FilterOptions
from bandersnatch.model.digests import Hashes
from bandersnatch.model.files import ReleaseFile
from bandersnatch.model.names import ProjectName, project_name
from bandersnatch.model.project import ProjectDetail
from bandersnatch.model.versions import parse_version

__all__ = [
    "Factory",
    "Filter",
    "FilterOptions",
    "Hashes",
    "InvalidRules",
    "Needs",
    "OptionError",
    "PageFilter",
    "Problem",
    "ProjectDetail",
    "ProjectFilter",
    "ProjectName",
    "ReleaseFile",
    "Stage",
    "parse_version",
    "project_name",
]


class Stage(IntEnum):
    """The fixed order of page filters."""

    METADATA = 0
    FILE = 1
    RELEASE = 2
    SELECTION = 3


class Needs(Flag):
    """Data that a page filter needs and that the pages of some indexes lack."""

    NOTHING = 0
    DOCUMENT = auto()
    """The legacy JSON document, as ``ProjectDetail.document``."""
    SIZES = auto()
    TIMES = auto()


class Filter(ABC):
    """What project filters and page filters have in common.

    ``name`` is the filter's name in the configuration, ``notes`` are messages to the operator
    about the filter's configuration. ``selects_roots`` is whether the filter lists what is wanted
    by name: what a listed project needs is mirrored then without being listed (``[closure]``).
    """

    name: str
    notes: tuple[str, ...] = ()
    selects_roots: bool = False

    @classmethod
    def from_options(cls, options: FilterOptions) -> Self:
        """Build the filter from the configuration; unless overridden, no option is read.

        :raises InvalidRules: with every problem of the options.
        :raises OptionError: if an option is not usable.
        """
        del options
        return cls()

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a text that changes whenever an answer of the filter may change.

        It does not depend on the order in which options list their values.
        """

    def describe(self) -> tuple[str, ...]:
        """Return what the filter does, as sentences in the imperative: "drop yanked files"."""
        return ()


class ProjectFilter(Filter):
    """A filter that decides by its name whether a project is mirrored, before any request.

    ``names`` is the finite set of projects that the filter can keep, or None if it has no such
    set. If it is given, only these projects are requested from the index.
    """

    names: frozenset[ProjectName] | None = None

    def extras(self, name: ProjectName, /) -> frozenset[str]:  # noqa: ARG002 - for subclasses
        """Return the extras that the filter lists a project with, normalised (PEP 685)."""
        return frozenset()

    @abstractmethod
    def apply(self, name: ProjectName, /) -> bool:
        """Return whether to keep the project; ``name`` is normalised (PEP 503)."""

    def explain(self, name: ProjectName, /) -> str:  # noqa: ARG002 - for subclasses
        """Return the rule that drops the project, "" if there is nothing to add to the name."""
        return ""


class PageFilter(Filter):
    """A filter that removes files and versions from a project's page; it never adds any.

    ``stage`` is when it runs. ``prefetch`` is whether the files that `apply_later` keeps are
    downloaded before they are listed.
    """

    stage: Stage
    needs: Needs = Needs.NOTHING
    prefetch: bool = False

    @abstractmethod
    def apply(self, page: ProjectDetail, /) -> ProjectDetail | None:
        """Return what is left of the page, or, at ``Stage.METADATA``, None to drop the project.

        The result depends on the page and the options only, and applying the filter to its own
        result changes nothing.
        """

    def explain(self, page: ProjectDetail, file: ReleaseFile | None, /) -> str:  # noqa: ARG002 - for subclasses
        """Return the rule that drops the file, or the project if ``file`` is None."""
        return ""

    def fingerprint_for(self, name: ProjectName, /) -> str:  # noqa: ARG002 - for subclasses
        """Return the part of the fingerprint that matters to one project.

        Override it if a rule may be about single projects: a change of that rule then causes no
        work for the other projects.
        """
        return self.fingerprint()

    def is_exclusive(self, name: ProjectName, /) -> bool:  # noqa: ARG002 - for subclasses
        """Return whether this filter alone decides on the releases of the project."""
        return False

    def next_change(self, page: ProjectDetail, /) -> int | None:  # noqa: ARG002 - for subclasses
        """Return when more of the page will be kept, in seconds since 1970, or None for never."""
        return None

    def apply_later(self, page: ProjectDetail, /) -> ProjectDetail | None:
        """Return what will be left of the page once it is old enough."""
        return self.apply(page)

    @property
    def has_project_rules(self) -> bool:
        """Whether `fingerprint_for` may differ between projects: whether it is overridden."""
        return type(self).fingerprint_for is not PageFilter.fingerprint_for

    @property
    def changes_with_time(self) -> bool:
        """Whether `next_change` may return a time: whether it is overridden."""
        return type(self).next_change is not PageFilter.next_change


Factory: TypeAlias = Callable[[FilterOptions], ProjectFilter | PageFilter]
"""What an entry point may name instead of a class: it builds the filter from the options."""
