"""What is wanted of a project, what the index was found to say, and what the mirror knew before."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bandersnatch.model.project import ProjectStatus
from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList
    from bandersnatch.model.serials import Change
    from bandersnatch.records import Had, Unfinished

PROOF_BY_EXPIRY = 49 * 3600
"""Seconds; no page that is served now is older than this (protocol sheet, section 2.3)."""


@dataclass(frozen=True, slots=True)
class Wanted:
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
    need: Serial = NO_SERIAL
    lo: Serial | None = None
    noticed: int = 0
    display: str = ""
    listed: bool = False
    unlisted: bool = False
    had: bool = False
    left_out: bool = False
    anew: bool = False
    remade: bool = False
    handled: bool = False
    earlier: Unfinished | None = None

    def merged(self, other: Wanted) -> Wanted:
        """Return one wish for two: the first ``lo``, the last ``need`` with its time."""
        later = other if other.need >= self.need else self
        los = (self.lo, other.lo)
        return replace(
            later,
            lo=None if None in los else min(lo for lo in los if lo is not None),
            display=other.display or self.display,
            listed=self.listed or other.listed,
            unlisted=self.unlisted or other.unlisted,
            had=self.had or other.had,
            left_out=self.left_out or other.left_out,
            anew=self.anew or other.anew,
            earlier=self.earlier or other.earlier,
        )

    def is_doubted(self, status: ProjectStatus) -> bool:
        """Whether a page of this status may be one that only a cache still has.

        The list leaves out what is in quarantine, and the page says so (protocol sheet, 1.3).
        """
        here = self.had and not self.left_out
        return (
            here and self.unlisted and not self.listed and status is not ProjectStatus.QUARANTINED
        )


@dataclass(frozen=True, slots=True)
class Discovery:
    """What the index was found to say.

    ``changes`` are events, ``listing`` the whole list, ``sweep`` a finite set of projects to
    ask for one by one; each may be missing. ``cursor`` is how far they reach. ``notes`` are
    for the catalogue, once the plan is safe.
    """

    cursor: Serial | None
    changes: Sequence[Change] = ()
    listing: ProjectList | None = None
    sweep: frozenset[ProjectName] = frozenset()
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Situation:
    """What the mirror knew before it asked.

    ``terms`` are those that a project's page is to be made under. ``due`` are the projects that
    more of the same page is to be published of by now. ``now`` is in seconds since 1970.
    """

    status: Serial
    pending: Mapping[ProjectName, Serial]
    unfinished: Mapping[ProjectName, Unfinished]
    had: Mapping[ProjectName, Had]
    terms: Callable[[ProjectName], str]
    now: int
    due: Sequence[ProjectName] = ()
    differing: frozenset[ProjectName] | None = None
    """The only projects that are not just as the whole list has them, None if that is not known."""
    keep_removed: bool = False
    """Whether projects that the index no longer has are left as they are."""


def is_expired(noticed: int, now: int) -> bool:
    """Whether a change was noticed so long ago that every page served now must show it."""
    return now - noticed > PROOF_BY_EXPIRY
