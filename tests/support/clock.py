"""A clock that nobody has to wait for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_HOLD = 1000
"""Turns after which time passes whatever a test waits for."""


class FakeClock:
    """Time that passes when somebody sleeps; what they slept is kept in ``slept``.

    While ``may_pass`` says no, sleepers sleep on, so that what others do in the meantime is done.
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
        """Return the seconds that have passed."""
        return self.passed

    async def sleep(self, seconds: float, /) -> None:
        """Let that much time pass at once, and give others a turn."""
        wake = self.passed + seconds
        self.slept.append(seconds)
        await asyncio.sleep(0.002)
        for _ in range(_LONGEST_HOLD):
            if self.may_pass():
                break
            await asyncio.sleep(0.005)
        self.passed = max(self.passed, wake)

    def advance(self, **span: float) -> None:
        """Let time pass between runs; takes what ``timedelta`` takes."""
        self.passed += timedelta(**span).total_seconds()


class QuickClock(FakeClock):
    """A fake clock that does not even take a moment."""

    async def sleep(self, seconds: float, /) -> None:
        wake = self.passed + seconds
        await asyncio.sleep(0)
        self.passed = max(self.passed, wake)
