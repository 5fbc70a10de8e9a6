"""A fake clock whose time passes without waiting."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_HOLD = 1000
"""Iterations of the event loop after which time passes in any case."""


class FakeClock:
    """A clock that advances when a task sleeps; ``slept`` has the seconds of each sleep.

    Sleeping tasks do not wake while ``may_pass`` returns False, so that other tasks get done.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self.start = start or datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
        self.passed = 0.0
        self.slept: list[float] = []
        self.may_pass: Callable[[], bool] = lambda: True

    def now(self) -> datetime:
        """Return the time of day."""
        return self.start + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        """Return the seconds since the start."""
        return self.passed

    async def sleep(self, seconds: float, /) -> None:
        """Advance the clock, and let other tasks run."""
        wake = self.passed + seconds
        self.slept.append(seconds)
        await asyncio.sleep(0.002)
        for _ in range(_LONGEST_HOLD):
            if self.may_pass():
                break
            await asyncio.sleep(0.005)
        self.passed = max(self.passed, wake)

    def advance(self, **span: float) -> None:
        """Advance the clock by keywords of ``timedelta``."""
        self.passed += timedelta(**span).total_seconds()


class QuickClock(FakeClock):
    """A fake clock whose sleeps take one iteration of the event loop."""

    async def sleep(self, seconds: float, /) -> None:
        wake = self.passed + seconds
        await asyncio.sleep(0)
        self.passed = max(self.passed, wake)
