"""What a visit to one project is told, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bandersnatch.errors import BandersnatchError
    from bandersnatch.filters.chain import Dropped
    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.terms import PageTerms
    from bandersnatch.mirror.wanted import Wanted
    from bandersnatch.model.names import ProjectName
    from bandersnatch.records import ProjectRecord, Removed


@dataclass(frozen=True, slots=True)
class Visit:
    """What is the same for every project of a run.

    ``now`` is when the run began, in seconds since 1970. ``terms`` are those of the options and
    page filters that pages are made under. ``lying`` are the files in ``removed/``.
    ``accepted`` are the projects whose published files may change. ``force`` looks at the files
    even where the page is the same. ``established`` says that this is not the first run.
    ``may_empty`` lets the filters take all its files from a project. ``is_second_look`` lets a
    project lose what an earlier run saw it lose already.
    """

    now: int
    terms: PageTerms
    lying: Mapping[StorageKey, Removed] = field(default_factory=dict)
    accepted: frozenset[ProjectName] = frozenset()
    force: bool = False
    established: bool = True
    may_empty: bool = False
    is_second_look: bool = True


class Result(Enum):
    """What became of a project that was looked at."""

    SYNCED = auto()
    UNCHANGED = auto()
    ABSENT = auto()
    """The index has no such project, and neither has the mirror."""
    SUSPECTED = auto()
    """It seems to be gone; another run is to look again."""
    GONE = auto()
    """It is gone: seen twice."""
    LEFT_OUT = auto()
    """The page filters want nothing of it, and nothing of it is here."""
    UNWANTED = auto()
    """The page filters want nothing of it any more; what is here is to be removed."""
    EMPTIED = auto()
    """The page filters want none of its files any more; whether that may be is not decided."""
    FAILED = auto()
    """It is not as the index has it; what was published stays."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a visit to one project came to.

    ``record`` is what the catalogue is to hold from now on. ``error`` is why the project failed,
    or why it is published without some of its files; ``again`` is set for one to look at again.
    ``unlisted`` says that its page answers and the index's whole list does not have it.
    ``removed`` are files that left the served tree, ``restored`` those that came back.
    ``dropped`` is what the filters took from the page; the last of them the whole of it, if the
    project is left out.
    """

    wanted: Wanted
    result: Result
    record: ProjectRecord | None = None
    error: BandersnatchError | None = None
    again: bool = False
    unlisted: bool = False
    removed: tuple[Removed, ...] = ()
    restored: tuple[StorageKey, ...] = ()
    dropped: tuple[Dropped, ...] = ()
