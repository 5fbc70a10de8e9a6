"""The limit on the rate of all downloads together (``max-rate``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bandersnatch.clock import Clock
    from bandersnatch.config.rates import RateSchedule

_LEAST_SHARE = 0.001

_LOOK_AGAIN = 1.0
"""Seconds after which the hours are looked at again."""


class RateLimiter:
    """Lets downloads wait so that all of them together receive no more than a rate permits.

    Each piece takes the time that it needs at that rate, behind the pieces before it; a download
    waits until that time is over. Meanwhile it does not read, so that its server has to wait.
    Time in which nothing was received is not made up for.
    """

    def __init__(self, schedule: RateSchedule, clock: Clock) -> None:
        self._schedule = schedule
        self._clock = clock
        self._free_at = 0.0
        self.share = 1.0
        """The part of the rate that this process has; the others have the rest."""
        self._rate: float | None = None
        self._rate_until = float("-inf")

    async def take(self, size: int) -> float:
        """Wait until ``size`` more bytes are within the rate; return the seconds of the wait."""
        now = self._clock.monotonic()
        rate = self._current(now)
        if rate is None:
            return 0.0
        self._free_at = max(self._free_at, now) + size / (rate * max(self.share, _LEAST_SHARE))
        pause = self._free_at - now
        await self._clock.sleep(pause)
        return pause

    def _current(self, now: float) -> float | None:
        if not self._schedule.at_hours:
            return self._schedule.otherwise
        if now >= self._rate_until:
            self._rate = self._schedule.rate(self._clock.now())
            self._rate_until = now + _LOOK_AGAIN
        return self._rate
