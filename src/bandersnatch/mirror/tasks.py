"""What is wanted of a project, what the index was found to say, and what the mirror knew before."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import Marker
from bandersnatch.model.project import ProjectStatus
from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bandersnatch.catalogue.records import (
        Deferred,
        Marker,
        ProjectRecord,
        ProjectSummary,
        TrashEntry,
    )
    from bandersnatch.errors import BandersnatchError
    from bandersnatch.filters.chain import Dropped
    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.fingerprint import PolicyFingerprint
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList
    from bandersnatch.model.serials import Change


PROOF_BY_EXPIRY = 49 * 3600
"""Seconds; no page that is served now is older than this (protocol sheet, section 2.3)."""


@dataclass(frozen=True, slots=True)
class SyncTask:
    """A project to look at.

    ``need`` is the serial that its page must have reached, 0 for any. ``lo`` is the first
    change that the tree does not show, None if that is not known. ``noticed`` is when the
    change became known, in seconds since 1970, 0 if it is not known.
    ``listed`` says that the index itself names the project, so that a missing page is a fault
    and not an answer; ``unlisted`` that the index's whole list does not have what is here, so that
    a page is no answer either: a cache may still have it. ``left_out`` says that what is had is
    only the memory that the filters want nothing of it. ``anew`` asks for the page even if it is
    the same, because more of it is to be published by now. ``remade`` says that what is had was
    made under other terms, ``handled`` that an earlier run may have published something of it and
    not recorded that. ``earlier`` is what an earlier run left unfinished about it.
    """

    name: ProjectName
    target_serial: Serial = NO_SERIAL
    first_serial: Serial | None = None
    noticed_at: int = 0
    display: str = ""
    listed: bool = False
    unlisted: bool = False
    had: bool = False
    excluded: bool = False
    anew: bool = False
    remade: bool = False
    handled: bool = False
    earlier: Deferred | None = None

    def merged(self, other: SyncTask) -> SyncTask:
        """Return one wish for two: the first ``lo``, the last ``need`` with its time."""
        later = other if other.target_serial >= self.target_serial else self
        los = (self.first_serial, other.first_serial)
        return replace(
            later,
            first_serial=None
            if None in los
            else min(first_serial for first_serial in los if first_serial is not None),
            display=other.display or self.display,
            listed=self.listed or other.listed,
            unlisted=self.unlisted or other.unlisted,
            had=self.had or other.had,
            excluded=self.excluded or other.excluded,
            anew=self.anew or other.anew,
            earlier=self.earlier or other.earlier,
        )

    def is_doubted(self, status: ProjectStatus) -> bool:
        """Whether a page of this status may be one that only a cache still has.

        The list leaves out what is in quarantine, and the page says so (protocol sheet, 1.3).
        """
        here = self.had and not self.excluded
        return (
            here and self.unlisted and not self.listed and status is not ProjectStatus.QUARANTINED
        )


@dataclass(frozen=True, slots=True)
class Discovery:
    """What the index was found to say.

    ``changes`` are events, ``listing`` the whole list, ``sweep`` a finite set of projects to
    ask for one by one; each may be missing. ``cursor`` is how far they reach. ``markers`` are
    for the catalogue, once the plan is stored.
    """

    cursor: Serial | None
    changes: Sequence[Change] = ()
    listing: ProjectList | None = None
    sweep: frozenset[ProjectName] = frozenset()
    markers: Mapping[Marker, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MirrorSnapshot:
    """What the mirror knew before it asked.

    ``fingerprint`` returns that of the options and filters for a project. ``due`` are the
    projects whose page is to show more files by now. ``now`` is in seconds since 1970.
    """

    status: Serial
    pending: Mapping[ProjectName, Serial]
    unfinished: Mapping[ProjectName, Deferred]
    had: Mapping[ProjectName, ProjectSummary]
    fingerprint: Callable[[ProjectName], str]
    now: int
    due: Sequence[ProjectName] = ()
    differing: frozenset[ProjectName] | None = None
    """The only projects that are not just as the whole list has them, None if that is not known."""
    keep_removed: bool = False
    """Whether projects that the index no longer has are left as they are."""


def is_expired(noticed_at: int, now: int) -> bool:
    """Whether a change was noticed so long ago that every page served now must show it."""
    return now - noticed_at > PROOF_BY_EXPIRY


@dataclass(frozen=True, slots=True)
class RunContext:
    """What is the same for every project of a run.

    ``now`` is when the run began, in seconds since 1970. ``fingerprint`` is that of
    the options and page filters. ``lying`` are the files in ``removed/``.
    ``accepted`` are the projects whose published files may change. ``force`` looks at the files
    even where the page is the same. ``established`` says that this is not the first run.
    ``may_empty`` lets the filters take all its files from a project. ``is_second_look`` lets a
    project lose what an earlier run saw it lose already.
    """

    now: int
    fingerprint: PolicyFingerprint
    lying: Mapping[StorageKey, TrashEntry] = field(default_factory=dict)
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
    MISSING_ONCE = auto()
    """It seems to be gone; another run is to look again."""
    GONE = auto()
    """It is gone: seen twice."""
    EXCLUDED = auto()
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

    wanted: SyncTask
    result: Result
    record: ProjectRecord | None = None
    error: BandersnatchError | None = None
    again: bool = False
    unlisted: bool = False
    removed: tuple[TrashEntry, ...] = ()
    restored: tuple[StorageKey, ...] = ()
    dropped: tuple[Dropped, ...] = ()
