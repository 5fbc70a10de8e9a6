"""The state of a mirror in one word, the same in the report, ``status``, metrics and web page."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NamedTuple, Self, TypeAlias

from msgspec import Meta, MsgspecError, Struct, json

from bandersnatch.catalogue.records import MISSED, Marker

if TYPE_CHECKING:
    from bandersnatch.catalogue.port import Catalogue

MOST_LAG = 3_600
"""Seconds that the first change which was not read may be old."""

LEAST_INTERVAL = 3 * 3_600
"""Seconds since the last successful run that are always permitted; otherwise see ``judge``."""

STOPPED = 128
"""The exit code of a run that a signal stopped, whichever it was; more is 128 plus its number."""

_FAILURES = frozenset({1, 2, 3, 7})
_PARTIAL = frozenset({4, 5})


class StateWord(StrEnum):
    """The words, in the order in which they are considered."""

    RUNNING = "running"
    """A command that changes the mirror is running."""
    NEVER = "never"
    """No run of ``mirror`` has ended yet."""
    FAILED = "failed"
    """The last run did not reach its end."""
    PARTIAL = "partial"
    """The last run left something undone."""
    BEHIND = "behind"
    """The index has changes that are not in the mirror, or may have."""
    CURRENT = "current"
    """Everything is as it was in the index at the last run, which was not long ago."""


_Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Seconds: TypeAlias = Annotated[float, Meta(ge=0)]


class RunTotals(Struct, frozen=True, omit_defaults=True):
    """What a run of ``mirror`` did, for metrics.

    ``projects`` counts projects by result, ``failures`` those that failed by the class of the
    error, and ``requests`` the requests by host and then by status. ``retries`` are the requests
    and calls that were repeated. ``phases`` has the seconds of each phase. ``serial`` is that of
    the mirror after the run and ``index_serial`` the newest one of the index; None if they are
    unknown. ``workers`` counts the other processes that synced projects, and ``jobs`` their jobs by
    result.
    """

    projects: dict[str, _Count] = {}
    failures: dict[str, _Count] = {}
    files_downloaded: _Count = 0
    bytes_downloaded: _Count = 0
    requests: dict[str, dict[str, _Count]] = {}
    retries: _Count = 0
    phases: dict[str, _Seconds] = {}
    serial: _Count | None = None
    index_serial: _Count | None = None
    workers: _Count = 0
    jobs: dict[str, _Count] = {}


class RunEnd(Struct, frozen=True):
    """How a run of ``mirror`` ended: its exit code, when it began and ended, and what it did.

    Times are in seconds since 1970.
    """

    code: int
    began: int
    ended: int
    totals: RunTotals = RunTotals()

    def __str__(self) -> str:
        return f"{self.code} {self.began} {self.ended} {json.encode(self.totals).decode()}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the value of a marker; None if there is none or it is invalid."""
        *numbers, rest = text.split(" ", 3) if text.count(" ") > 2 else (*text.split(" "), "{}")  # noqa: PLR2004 - three numbers
        if len(numbers) != 3 or not all(map(str.isdecimal, numbers)):  # noqa: PLR2004 - as above
            return None
        try:
            totals = json.decode(rest, type=RunTotals)
        except (MsgspecError, UnicodeError):
            return None
        code, began, ended = map(int, numbers)
        return cls(code, began, ended, totals)


class StateFacts(Struct, frozen=True):
    """What the word depends on.

    ``last_run`` is when the last run began; ``end`` is that of the last run that has ended, None
    if it is unknown. ``pending`` counts the projects that are not done, without those that wait
    for a second look. ``lag`` is the age in seconds of the first change that was not read, 0 if
    there is none, None if the index was not asked. Times are in seconds since 1970.
    """

    now: int
    is_running: bool
    last_run: int | None
    end: RunEnd | None
    pending: int
    last_success: int | None
    previous_success: int | None
    lag: float | None = None


class MirrorState(NamedTuple):
    """The word and the reason for it.

    ``word`` is also that of the time before while a command is running (``is_running``): health
    is judged by it.
    """

    word: StateWord
    reason: str
    is_running: bool

    @property
    def shown(self) -> StateWord:
        """The word that is shown first."""
        return StateWord.RUNNING if self.is_running else self.word

    def __str__(self) -> str:
        return f"running ({self.word})" if self.is_running else str(self.word)


def judge(facts: StateFacts) -> MirrorState:
    """Return the state of a mirror: the first word that applies. Nothing unknown is current.

    ``BEHIND`` is a mirror with a lag of more than ``MOST_LAG``, or whose last successful run is
    longer ago than ``LEAST_INTERVAL`` and than twice the time between the last two.
    """
    word, reason = _judge(facts)
    return MirrorState(word, reason, facts.is_running)


def _judge(facts: StateFacts) -> tuple[StateWord, str]:
    end = facts.end
    if end is None and (facts.last_run is None or facts.is_running) and not facts.last_success:
        return StateWord.NEVER, "no run of mirror has ended yet"
    if failure := _failure(facts):
        return StateWord.FAILED, failure
    if end is not None and end.code in _PARTIAL:
        return StateWord.PARTIAL, f"the last run ended with exit status {end.code}"
    if facts.pending:
        return StateWord.PARTIAL, f"{facts.pending} project(s) are not done"
    return _judge_age(facts)


def _failure(facts: StateFacts) -> str:
    """Return how the last run failed, "" if it did not."""
    end, last = facts.end, facts.last_run
    if not facts.is_running and last is not None and (end is None or end.ended < last):
        return "the last run was killed, or its end is not recorded"
    if end is not None and end.code in _FAILURES:
        return f"the last run ended with exit status {end.code}"
    if end is not None and end.code >= STOPPED:
        return "the last run was stopped by a signal"
    return ""


def _judge_age(facts: StateFacts) -> tuple[StateWord, str]:
    last, previous = facts.last_success, facts.previous_success
    if facts.lag is not None and facts.lag > MOST_LAG:
        return StateWord.BEHIND, "the index has changes that are older than an hour"
    if last is None:
        return StateWord.BEHIND, "no run has left nothing undone yet"
    interval = 0 if previous is None else 2 * (last - previous)
    if facts.now - last > max(LEAST_INTERVAL, interval):
        return StateWord.BEHIND, "the last successful run is too long ago"
    return StateWord.CURRENT, "the last run has left nothing undone"


async def read_facts(
    catalogue: Catalogue, *, now: int, is_running: bool, lag: float | None = None
) -> StateFacts:
    """Return what the catalogue says of a mirror's state.

    :raises StorageError: if it cannot be read.
    """
    deferred = await catalogue.deferred()
    return StateFacts(
        now=now,
        is_running=is_running,
        last_run=_seconds(await catalogue.marker(Marker.LAST_RUN)),
        end=RunEnd.parse(await catalogue.marker(Marker.LAST_END)),
        pending=sum(each.deferral not in MISSED for each in deferred),
        last_success=_seconds(await catalogue.marker(Marker.LAST_SUCCESS)),
        previous_success=_seconds(await catalogue.marker(Marker.PREVIOUS_SUCCESS)),
        lag=lag,
    )


def _seconds(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
