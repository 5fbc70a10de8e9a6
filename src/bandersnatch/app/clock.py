"""The clock of the system."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from time import monotonic


class SystemClock:
    """The clock of the system."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds from any origin, which never decrease."""
        return monotonic()

    async def sleep(self, seconds: float, /) -> None:
        """Wait for some seconds."""
        await asyncio.sleep(seconds)
