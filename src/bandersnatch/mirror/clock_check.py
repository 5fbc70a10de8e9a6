"""Whether the clock of this machine is to be trusted.

A clock that is wrong makes data look old: files in the trash, changes, partial downloads. While it
is doubted, nothing is purged and nothing expires. Times of the index are kept as they are stated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.events import Warned

if TYPE_CHECKING:
    from bandersnatch.clock import Clock
    from bandersnatch.events import EventSink
    from bandersnatch.index.port import PackageIndex

MAX_STEP_BACK = 60
"""Seconds that a run may be earlier than the last one: clocks are adjusted."""

MAX_OFFSET = 3600
"""Seconds between this clock and the newest time that an answer of this run stated."""

MAX_PAUSE = 90 * 86_400
"""Seconds since the last run, if no answer states a time."""


MAX_JUMP = 60
"""Seconds by which the clock may be set while a run is at work."""


def clock_doubt(now: int, last: int | None, offset: float | None, jump: float = 0.0) -> str:
    """Return why the clock is doubted, "" if it is not.

    ``now`` and ``last``, the time of the last run, are in seconds since 1970. ``offset`` is how
    many seconds the newest time that an answer stated is ahead of this clock, None without one.
    ``jump`` is by how many seconds the clock was set since the run began.
    """
    if abs(jump) > MAX_JUMP:
        return f"the clock was set by {_span(abs(jump))} during this run"
    if last is not None and last - now > MAX_STEP_BACK:
        return f"the clock is {_span(last - now)} behind the time of the last run"
    if offset is not None and abs(offset) > MAX_OFFSET:
        where = "behind" if offset > 0 else "ahead of"
        return f"the clock is {_span(abs(offset))} {where} the time that the index states"
    if offset is None and last is not None and now - last > MAX_PAUSE:
        return (
            f"by the clock the last run was {_span(now - last)} ago, and the index states no time"
        )
    return ""


def _span(seconds: float) -> str:
    """Return a time in the largest unit of which there are at least two."""
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} seconds"


class ClockCheck:
    """Checks the clock in one run; ``doubt`` says why it is doubted, from then on to the end."""

    def __init__(self, index: PackageIndex, clock: Clock, events: EventSink) -> None:
        """``index`` knows which time its answers stated; the run begins now."""
        self._index = index
        self._clock = clock
        self._events = events
        self._offset = self._wall_offset()
        self.last_run: int | None = None
        self.doubt = ""

    def check(self, began: int) -> None:
        """Doubt the clock if there is a reason, and warn once.

        ``began`` is the time of the run, and ``last_run`` that of the one before, in seconds since
        1970.
        """
        if self.doubt:
            return
        jump = self._wall_offset() - self._offset
        self.doubt = clock_doubt(began, self.last_run, self._index.clock_offset, jump)
        if self.doubt:
            self._events(Warned(f"{self.doubt}; nothing is purged or expires in this run"))

    def _wall_offset(self) -> float:
        """Return the difference of the clock and a monotonic one, in seconds."""
        return self._clock.now().timestamp() - self._clock.monotonic()
