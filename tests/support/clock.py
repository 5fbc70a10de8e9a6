"""A clock that nobody has to wait for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta


class FakeClock:
    """Time that passes when somebody sleeps; what they slept is kept in ``slept``."""

    def __init__(self, start: datetime | None = None) -> None:
        self.start = start or datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
        self.passed = 0.0
        self.slept: list[float] = []

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
        self.passed = max(self.passed, wake)

    def advance(self, **span: float) -> None:
        """Let time pass between runs; takes what ``timedelta`` takes."""
        self.passed += timedelta(**span).total_seconds()
