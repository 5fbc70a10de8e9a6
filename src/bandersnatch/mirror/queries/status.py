"""Reports the state of a mirror: its lag, its contents, and what is not done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.catalogue import records
from bandersnatch.config.schema import ApiMethod
from bandersnatch.errors import UpstreamError
from bandersnatch.mirror.discovery import MAX_GAP
from bandersnatch.mirror.proofs import RememberedProof
from bandersnatch.mirror.rejections import ProjectRejections, rejections_of
from bandersnatch.mirror.state import NOT_TRUSTED, MirrorState, StateFiles, clean_marker_for
from bandersnatch.model.serials import NO_SERIAL, Serial
from bandersnatch.state_word import MirrorState as StateInWord
from bandersnatch.state_word import judge, read_facts

if TYPE_CHECKING:
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.names import ProjectName

LARGEST = 20
"""The number of largest projects that are reported."""

_WINDOW = 50_000
"""Serials per request for changes, which limits the changes in memory."""

_BATCH = 5_000
"""Projects per query of the catalogue."""


@dataclass(frozen=True, slots=True)
class Lag:
    """What the index has that no run has read.

    ``index`` is the head serial. ``events`` are the changes of projects that the filters may
    select, ``projects`` is the number of these projects, and ``oldest`` is when the first of the
    changes was made, in seconds since 1970; None if there is none. ``counted`` is False if only
    some of the changes were counted, because the mirror is too far behind.
    """

    index: Serial
    events: int = 0
    projects: int = 0
    oldest: int | None = None
    counted: bool = True


@dataclass(frozen=True, slots=True)
class MirrorStatus:
    """The state of a mirror, as far as it is known without reading the tree.

    Times are in seconds since 1970, None for never. ``serial`` is that of ``status``, ``cursor``
    the serial up to which changes have been read. ``lag`` is None if it is unknown, and then
    ``lag_unknown`` says why. ``expected`` counts the projects of the mirror and those that are
    still to be mirrored. ``oldest_look`` is when the page was asked for that was asked for longest
    ago, 0 if one was never; None if no sweep asks for pages. ``rejected`` are the files that are
    left out. ``adopted`` is False if the catalogue is incomplete. ``trusted`` is False if the next
    run will not trust ``status`` and ``todo``, because they were edited. ``state`` is the whole in
    one word. ``proof`` is the result of the last proof of the whole selection, None if there was
    none.
    """

    now: int
    serial: Serial
    cursor: Serial
    lag: Lag | None
    lag_unknown: str
    totals: records.Totals
    expected: int
    deferred: tuple[records.Deferred, ...]
    last_success: int | None
    verified: int | None
    oldest_look: int | None
    trash: records.TrashTotals
    largest: tuple[records.VerifyEntry, ...]
    rejected: tuple[ProjectRejections, ...]
    adopted: bool
    trusted: bool
    state: StateInWord
    proof: RememberedProof | None = None

    @property
    def behind(self) -> int | None:
        """The number of serials between ``status`` and the index; None if it is unknown."""
        return None if self.lag is None else max(0, self.lag.index - self.serial)


async def mirror_status(mirror: Mirror, *, offline: bool, is_running: bool = False) -> MirrorStatus:
    """Return the state of a mirror; ask the index for the lag unless ``offline``.

    ``is_running`` is whether another command is changing the mirror.

    :raises CorruptState: if a newer release has written to the mirror.
    """
    catalogue = mirror.catalogue
    files = StateFiles(mirror.storage)
    state = await files.load()
    marker = clean_marker_for(await catalogue.marker(records.Marker.CLEAN), await files.digest())
    deferred = tuple(await catalogue.deferred())
    totals = await catalogue.totals()
    lag, lag_unknown = await _lag(mirror, state.cursor, offline=offline)
    now = int(mirror.clock.now().timestamp())
    facts = await read_facts(catalogue, now=now, is_running=is_running, lag=_lag_seconds(lag, now))
    return MirrorStatus(
        now=now,
        serial=state.status,
        cursor=state.cursor,
        lag=lag,
        lag_unknown=lag_unknown,
        totals=totals,
        expected=totals.projects + await _count_missing(mirror, state, deferred),
        deferred=deferred,
        last_success=_seconds(await catalogue.marker(records.Marker.LAST_SUCCESS)),
        verified=_seconds(await catalogue.marker(records.Marker.VERIFIED)),
        oldest_look=await _oldest_look(mirror),
        trash=await catalogue.trash_totals(),
        largest=tuple(await catalogue.largest(LARGEST)),
        rejected=tuple(await rejections_of(mirror)),
        adopted=bool(await catalogue.marker(records.Marker.ADOPTED)),
        trusted=marker not in NOT_TRUSTED,
        state=judge(facts),
        proof=RememberedProof.parse(await catalogue.marker(records.Marker.PROOF)),
    )


def _lag_seconds(lag: Lag | None, now: int) -> float | None:
    """Return the age of the first change that was not read; None if it is unknown."""
    if lag is None:
        return None
    if lag.oldest is None:
        return 0 if lag.counted else float("inf")
    return max(0, now - lag.oldest)


def _seconds(marker: str) -> int | None:
    return int(marker) if marker.isdecimal() else None


async def _oldest_look(mirror: Mirror) -> int | None:
    sweeps = mirror.settings.run.sweep_interval and mirror.filters.finite_names is None
    return await mirror.catalogue.oldest_look() if sweeps else None


async def _count_missing(
    mirror: Mirror, state: MirrorState, deferred: tuple[records.Deferred, ...]
) -> int:
    """Return how many projects are selected and pending, and not in the mirror."""
    pending = set(state.todo.pending) if state.todo else set()
    pending.update(each.name for each in deferred if each.deferral == records.Deferral.PENDING)
    names = sorted(filter(mirror.filters.may_select, pending))
    published = 0
    for start in range(0, len(names), _BATCH):
        summaries = await mirror.catalogue.summaries(names[start : start + _BATCH])
        published += sum(each.is_published for each in summaries.values())
    return len(names) - published


async def _lag(mirror: Mirror, cursor: Serial, *, offline: bool) -> tuple[Lag | None, str]:
    """Return the lag, or None and why it is unknown."""
    if offline:
        return None, "the index was not asked"
    if mirror.settings.index.api_method is ApiMethod.SIMPLE:
        cause = "index-url is set" if mirror.settings.index.index_url else "api-method is simple"
        return None, f"{cause}, and only the changelog has the events"
    try:
        head = await mirror.index.last_serial()
        return await _count_events(mirror, cursor, head), ""
    except UpstreamError as error:
        return None, str(error)


async def _count_events(mirror: Mirror, cursor: Serial, head: Serial) -> Lag:
    """Count the changes after ``cursor``, one window at a time.

    If the mirror is further behind than a run would follow the changelog, only the first window
    is counted; if it has no cursor, nothing is.
    """
    if cursor == NO_SERIAL:
        return Lag(head, counted=head == NO_SERIAL)
    counted = head - cursor <= MAX_GAP
    until = head if counted else Serial(cursor + _WINDOW)
    events, oldest = 0, None
    names: set[ProjectName] = set()
    while cursor < until:
        end = min(Serial(cursor + _WINDOW), until)
        for change in (await mirror.index.changes(cursor, end)).events:
            if mirror.filters.may_select(change.name):
                events += 1
                names.add(change.name)
                oldest = change.time if oldest is None else oldest
        cursor = end
    return Lag(head, events, len(names), oldest, counted)
