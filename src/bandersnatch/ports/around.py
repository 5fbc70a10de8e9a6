"""Somebody to tell, and the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from bandersnatch.events import Event


class EventSink(Protocol):
    """Somebody who wants to know what happens; must neither block nor raise."""

    def __call__(self, event: Event, /) -> None:
        """Take note of an event."""
        ...


class Clock(Protocol):
    """Time, so that tests need not wait for it."""

    def now(self) -> datetime:
        """Return the time of day in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    async def sleep(self, seconds: float, /) -> None:
        """Return after that many seconds."""
        ...
