"""How a mirror is: how far behind, what it has, what is not done and since when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import Deferral, Marker, Standing
from bandersnatch.config.schema import ApiMethod
from bandersnatch.errors import UpstreamError
from bandersnatch.mirror.discovery import DEAREST_GAP
from bandersnatch.mirror.state import NOT_TRUSTED, StateFiles, marker_for
from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    from bandersnatch.catalogue.records import Deferred, Totals, TrashTotals, VerifyEntry
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.state import MirrorState
    from bandersnatch.model.names import ProjectName

LARGEST = 20
"""Projects that are told of by name."""

_WINDOW = 50_000
"""Serials whose changes are asked for at once: no more of them than this are ever in memory."""

_NAMES = 5_000
"""Projects that the catalogue is asked for at once."""


@dataclass(frozen=True, slots=True)
class Lag:
    """What the index has that no run has read yet.

    ``index`` is its newest serial. ``events`` are the changes of projects that the filters may
    select, ``projects`` how many these are, and ``oldest`` is when the first of them happened,
    in seconds since 1970; None if there is none. ``counted`` is False if there may be more,
    because the mirror is so far behind that nobody counts.
    """

    index: Serial
    events: int = 0
    projects: int = 0
    oldest: int | None = None
    counted: bool = True


@dataclass(frozen=True, slots=True)
class MirrorStatus:
    """What there is to know of a mirror without looking at its files.

    Times are in seconds since 1970, None for never. ``serial`` is that of ``status``, ``cursor``
    the one up to which changes have been read. ``lag`` is None if the index does not tell, and
    then ``silence`` says why. ``expected`` are the projects that are here, and those that are
    wanted and not here yet. ``adopted`` is False if the catalogue is not complete, ``believed``
    if the next run will not go by ``status`` and ``todo``, because somebody changed them.
    """

    now: int
    serial: Serial
    cursor: Serial
    lag: Lag | None
    silence: str
    totals: Totals
    expected: int
    unfinished: tuple[Deferred, ...]
    good_run: int | None
    verified: int | None
    removed: TrashTotals
    largest: tuple[VerifyEntry, ...]
    adopted: bool
    believed: bool

    @property
    def behind(self) -> int | None:
        """How many serials lie between ``status`` and the index."""
        return None if self.lag is None else max(0, self.lag.index - self.serial)


async def mirror_status(mirror: Mirror, *, offline: bool) -> MirrorStatus:
    """Look at a mirror, and unless ``offline`` at its index; changes nothing.

    :raises CorruptState: if a newer release has been here.
    """
    catalogue = mirror.catalogue
    files = StateFiles(mirror.storage)
    state = await files.load()
    seal = marker_for(await catalogue.marker(Marker.CLEAN), await files.fingerprint())
    unfinished = tuple(await catalogue.deferred())
    totals = await catalogue.totals()
    lag, silence = await _lag(mirror, state.cursor, offline=offline)
    return MirrorStatus(
        now=int(mirror.clock.now().timestamp()),
        serial=state.status,
        cursor=state.cursor,
        lag=lag,
        silence=silence,
        totals=totals,
        expected=totals.projects + await _missing(mirror, state, unfinished),
        unfinished=unfinished,
        good_run=_seconds(await catalogue.marker(Marker.LAST_SUCCESS)),
        verified=_seconds(await catalogue.marker(Marker.VERIFIED)),
        removed=await catalogue.trash_totals(),
        largest=tuple(await catalogue.largest(LARGEST)),
        adopted=bool(await catalogue.marker(Marker.ADOPTED)),
        believed=seal not in NOT_TRUSTED,
    )


def _seconds(note: str) -> int | None:
    return int(note) if note.isdecimal() else None


async def _missing(mirror: Mirror, state: MirrorState, unfinished: tuple[Deferred, ...]) -> int:
    """Return how many projects are wanted and not here."""
    pending = set(state.todo.pending) if state.todo else set()
    pending.update(left.name for left in unfinished if left.deferral == Deferral.PENDING)
    names = sorted(filter(mirror.filters.may_select, pending))
    here = 0
    for start in range(0, len(names), _NAMES):
        had = await mirror.catalogue.summaries(names[start : start + _NAMES])
        here += sum(each.standing is not Standing.EXCLUDED for each in had.values())
    return len(names) - here


async def _lag(mirror: Mirror, cursor: Serial, *, offline: bool) -> tuple[Lag | None, str]:
    """Return how far the index is ahead, or why that cannot be told."""
    if offline:
        return None, "it was not asked"
    if mirror.settings.index.api_method is ApiMethod.SIMPLE:
        return None, "api-method is simple, and only a changelog tells"
    try:
        head = await mirror.index.last_serial()
        return await _counted(mirror, cursor, head), ""
    except UpstreamError as error:
        return None, str(error)


async def _counted(mirror: Mirror, cursor: Serial, head: Serial) -> Lag:
    """Count the changes after ``cursor``, a piece at a time.

    Of a mirror that is further behind than any run would follow, only the first are counted;
    of one that has read nothing yet, none.
    """
    if cursor == NO_SERIAL:
        return Lag(head, counted=head == NO_SERIAL)
    counted = head - cursor <= DEAREST_GAP
    until = head if counted else Serial(cursor + _WINDOW)
    events, oldest = 0, None
    names: set[ProjectName] = set()
    while cursor < until:
        end = min(Serial(cursor + _WINDOW), until)
        for change in await mirror.index.changes(cursor, end):
            if mirror.filters.may_select(change.name):
                events += 1
                names.add(change.name)
                oldest = change.time if oldest is None else oldest
        cursor = end
    return Lag(head, events, len(names), oldest, counted)
