"""The workers of a mirror as a server counts them: at most once in some seconds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bandersnatch.clock import Clock
    from bandersnatch.fleet_counts import FleetCounts

    FleetCounter: TypeAlias = Callable[[], Awaitable[FleetCounts | None]]
    """Counts the workers; None if the mirror has none, or if they cannot be counted."""

LIFETIME = 5.0
"""Seconds for which the counts are not read again."""


class FleetReader:
    """Shares the counts between requests: each reading connects to the database."""

    def __init__(self, counter: FleetCounter, clock: Clock) -> None:
        self._counter = counter
        self._clock = clock
        self._reading = asyncio.Lock()
        self._counts: FleetCounts | None = None
        self._until: float | None = None

    async def counts(self) -> FleetCounts | None:
        """Return the counts; None if there is no worker ever, or if they cannot be counted."""
        async with self._reading:
            if self._until is None or self._clock.monotonic() >= self._until:
                self._counts = await self._counter()
                self._until = self._clock.monotonic() + LIFETIME
            return self._counts
