"""Decides what the serials, the order and the times of the index prove; pure.

This module alone raises T and judges whether a page is recent enough
(``docs/development/protocol.md``, "Serials and caches").
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING

from msgspec import Struct

from bandersnatch.errors import IndexRollback
from bandersnatch.model.serials import NO_SERIAL, Change, Serial

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bandersnatch.model.project import ProjectList

MAX_LAG = 200_000
"""Serials, more than a week has. What is further apart is not of the same index and time."""

RECENT = 1_000
"""Serials before the head from which a run reads events that has no position to read from."""

PROOF_BY_EXPIRY = 49 * 3600
"""Seconds after which no cache serves a page any more (docs/development/protocol.md, Pages)."""

_MAX_WARNINGS = 20
"""Implausible serials that are reported one by one."""


# ---------------------------------------------------------------- how far the index is


class Statement(Struct, frozen=True):
    """What the index said about serials in one run.

    ``before`` is T before the run, 0 without one. ``head`` is None if there is no changelog.
    ``events`` are in any order; ``last`` is the highest serial among them, events without a valid
    project included, 0 if there are none. ``listing`` is None if the project list was not read.
    """

    before: Serial = NO_SERIAL
    head: Serial | None = None
    events: tuple[Change, ...] = ()
    last: Serial = NO_SERIAL
    listing: ProjectList | None = None


class Ledger(Struct, frozen=True):
    """What a run may rely on.

    ``cursor`` is T after the run, None if nothing proves one. ``newest`` is the newest serial of
    the changelog, None if it is unknown or behind T: what was recorded above it was wrong.
    ``ceiling`` is the highest serial that a page may have to be believed, None if no serial is:
    the index gave nothing to compare it with. ``events`` are in the order of their serials.
    ``listing`` is without the serials that are not believed. ``warnings`` are sentences.
    """

    cursor: Serial | None
    newest: Serial | None
    ceiling: Serial | None
    events: tuple[Change, ...] = ()
    listing: ProjectList | None = None
    warnings: tuple[str, ...] = ()


def settle(said: Statement) -> Ledger:
    """Return what a statement of the index proves.

    T is the serial of the last event, never the head alone: a head may be ahead of its events,
    and it may be wrong. Without an event T stays. Without a changelog, and without an earlier T,
    it is what the project list reaches.

    :raises IndexRollback: if the index is behind T by more than ``MAX_LAG``.
    """
    reached = None if said.listing is None else reach(said.listing)
    warnings = [*_check_age(said)]
    cursor: Serial | None = said.before or None
    if said.last:
        cursor = Serial(max(said.before, said.last))
    elif (said.head is None or cursor is None) and reached is not None:
        cursor = Serial(max(said.before, reached))
    ceiling = _ceiling(said.head, cursor, reached)
    if said.head is not None and cursor is not None and said.head > max(cursor, said.before):
        warnings.append(
            f"the index is at serial {said.head} and its events end at {cursor}; "
            "the next run reads the others"
        )
    listing, wrong = _plausible(said.listing, ceiling)
    is_behind = said.head is None or said.head < said.before
    return Ledger(
        cursor,
        None if is_behind or said.head is None else Serial(max(said.head, cursor or NO_SERIAL)),
        ceiling,
        tuple(sorted(set(said.events), key=lambda each: each.serial)),
        listing,
        (*warnings, *wrong),
    )


def ceiling_above(cursor: Serial) -> Serial | None:
    """Return the highest serial that is believed if T is all that is known, None without T."""
    return _ceiling(None, cursor or None, None)


def reach(listing: ProjectList) -> Serial | None:
    """Return the serial up to which a list reflects every event, None without serials.

    That is the list's own serial if one of its entries reaches it, otherwise its highest entry.
    Entries far above the list's own serial are wrong.
    """
    known = [serial for serial in listing.serials.values() if serial]
    own = listing.serial
    if own is None:
        return max(known, default=None)
    near = [serial for serial in known if serial <= own + MAX_LAG]
    highest = max(near or known, default=None)
    return own if highest is not None and own <= highest else highest


def _check_age(said: Statement) -> Iterable[str]:
    """Yield a warning if the index is behind T.

    :raises IndexRollback: if it is behind by more than ``MAX_LAG``.
    """
    newest = said.head
    if newest is None and said.listing is not None:
        serials = (said.listing.serial, *said.listing.serials.values())
        newest = max((serial for serial in serials if serial is not None), default=None)
    if newest is None or newest >= said.before:
        return
    if said.before - newest > MAX_LAG:
        raise IndexRollback(mirror=said.before, index=newest)
    yield f"the index is at serial {newest}, behind this mirror at {said.before}"


def _ceiling(head: Serial | None, cursor: Serial | None, reached: Serial | None) -> Serial | None:
    """Return the highest serial that is believed; a head far above everything else is not."""
    known = [serial for serial in (cursor, reached) if serial is not None]
    newest = max(known, default=head)
    if newest is None:
        return None
    if head is not None and head - newest <= MAX_LAG:
        newest = max(newest, head)
    return Serial(newest + MAX_LAG)


def _plausible(
    listing: ProjectList | None, ceiling: Serial | None
) -> tuple[ProjectList | None, list[str]]:
    """Return the list without the serials that are not believed, and warnings.

    A project without a serial is synced in any case; to wait for such a serial would be to wait
    for ever.
    """
    if listing is None or ceiling is None:
        return listing, []
    wrong = {name: own for name, own in listing.serials.items() if own and own > ceiling}
    if not wrong:
        return listing, []
    warnings = [
        f"the list has {name} at serial {own}, far above the index's own serial; it is ignored"
        for name, own in list(wrong.items())[:_MAX_WARNINGS]
    ]
    return replace(listing, serials={**listing.serials, **dict.fromkeys(wrong)}), warnings


def believed(serial: Serial | None, ceiling: Serial | None) -> Serial | None:
    """Return the serial of a page or record, None if it is not believed."""
    if serial is None or ceiling is None or serial > ceiling:
        return None
    return serial


def is_far_above(recorded: Serial, stated: Serial) -> bool:
    """Whether the recorded serial of a page was wrong, by that of the page as it is now alone."""
    return recorded - stated > MAX_LAG


def is_wrong(
    recorded: Serial, target: Serial, *, cursor: Serial | None, newest: Serial | None
) -> bool:
    """Whether the recorded serial of a page was wrong, so that it must not be compared with.

    The serial of a page is that of the project's last event. ``target`` is that of the last event
    of the project that was read, 0 without one; ``cursor`` is T, and ``newest`` is that of the
    ``Ledger``. Either the index itself has not come to the serial yet, or the events have been
    read beyond it and the project has none with it.
    """
    if newest is None:
        return False
    is_passed = cursor is not None and recorded <= cursor
    return recorded > newest or (NO_SERIAL < target < recorded and is_passed)


# ---------------------------------------------------------------- whether a page is recent


class Freshness(Enum):
    """What is known about a page and the change that it must reflect."""

    CURRENT = auto()
    """It reflects the change, or no change is known."""
    EXPIRED = auto()
    """It reflects the change: the change is so long ago that no cache has an older page."""
    UNPROVEN = auto()
    """It has no serial and differs from the published one, so that it may reflect the change."""
    LONG_AGO = auto()
    """By the index's clock the change is as long ago, but this mirror has only just seen it."""
    STALE = auto()
    """It may be older than the change."""


def is_expired(noticed_at: int, now: int) -> bool:
    """Whether a change was noticed so long ago that every page served now must show it.

    Both are in seconds since 1970.
    """
    return now - noticed_at > PROOF_BY_EXPIRY


class Age(Struct, frozen=True):
    """The ages of a change in seconds, each None if it is unknown, and never negative.

    ``seen`` is how long ago this mirror first saw it, by this system's clock; ``stated`` is how
    long ago it happened, by the index's clock alone.
    """

    seen: int | None = None
    stated: int | None = None

    @classmethod
    def of(
        cls,
        noticed_at: int,
        happened_at: int | None,
        *,
        now: int,
        index_offset: float | None,
        is_doubted: bool = False,
    ) -> Age:
        """Return the ages of a change.

        ``noticed_at`` is when this mirror first saw it, 0 if unknown, and ``happened_at`` its time
        by the index, both in seconds since 1970. ``index_offset`` is how many seconds the index's
        clock is ahead of this system's, None if unknown. ``is_doubted`` says that this system's
        clock may be wrong, so that every age by it counts as 0.
        """
        stated = None
        if happened_at is not None and index_offset is not None:
            stated = max(0, int(now + index_offset) - happened_at)
        if is_doubted:
            return cls(0, stated)
        return cls(max(0, now - noticed_at) if noticed_at else None, stated)

    @property
    def is_expired(self) -> bool:
        """Whether no cache has a page from before the change: both clocks must agree."""
        known = [age for age in (self.seen, self.stated) if age is not None]
        return bool(known) and min(known) > PROOF_BY_EXPIRY

    @property
    def is_long_ago(self) -> bool:
        """Whether the index's clock alone says so."""
        return self.stated is not None and self.stated > PROOF_BY_EXPIRY


def judge(target: Serial, serial: Serial | None, age: Age, *, differs: bool) -> Freshness:
    """Return what is known about a page of ``serial`` that must reflect ``target``, 0 for any.

    ``differs`` is whether its content differs from that of the published page.
    """
    if target == NO_SERIAL or (serial is not None and serial >= target):
        return Freshness.CURRENT
    if age.is_expired:
        return Freshness.EXPIRED
    if serial is None and differs:
        return Freshness.UNPROVEN
    return Freshness.LONG_AGO if age.is_long_ago else Freshness.STALE
