"""The options of ``verify``, and the budget that limits how much it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bandersnatch.clock import Clock
    from bandersnatch.model.names import ProjectName


_LEAST_SHARE = 0.001


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """The flags of ``verify``.

    ``repair`` is False for a dry run. ``delete`` trashes orphaned files, ``update`` first fetches
    every page that changed. ``quick`` compares sizes and times, and reads only what differs.
    ``sample`` is the percentage of all bytes to read, ``max_age`` the seconds after which content
    is read again. ``seconds`` and ``size``, in bytes, limit the run; ``rate``, in bytes per
    second, its speed. ``workers`` is the number of projects that are read concurrently.
    ``ignore_unreadable`` are projects to treat as owning nothing if they cannot be read.
    """

    repair: bool = True
    delete: bool = False
    update: bool = False
    quick: bool = False
    sample: float | None = None
    max_age: int | None = None
    seconds: float | None = None
    size: int | None = None
    rate: float | None = None
    workers: int = 3
    ignore_unreadable: frozenset[ProjectName] = frozenset()

    @property
    def is_partial(self) -> bool:
        """Whether the run reads only a part of the mirror."""
        limits = (self.sample, self.max_age, self.seconds, self.size)
        return any(limit is not None for limit in limits)


class Pace:
    """Limits how fast everything that is read concurrently is read, in bytes per second."""

    def __init__(self, clock: Clock, rate: float) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._rate = rate
        self._due = 0.0
        self.share = 1.0
        """The part of the rate that this process has; the others have the rest."""

    async def take(self, size: int) -> None:
        """Wait until the rate allows ``size`` more bytes."""
        self._due += size / (self._rate * max(self.share, _LEAST_SHARE))
        ahead = self._due - (self._clock.monotonic() - self._began)
        if ahead > 0:
            await self._clock.sleep(ahead)


class Budget:
    """Limits how much is read, and how fast; without limits it is never spent.

    It is spent after ``seconds``, or after ``size`` bytes.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        seconds: float | None = None,
        size: int | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._seconds = seconds
        self._size = size
        self._pace = pace
        self._read = 0

    @property
    def is_paced(self) -> bool:
        """Whether there is a rate, so that files must be read in small pieces."""
        return self._pace is not None

    @property
    def is_spent(self) -> bool:
        """Whether a limit is reached, so that no further read may begin."""
        if self._size is not None and self._read >= self._size:
            return True
        return self._seconds is not None and self._elapsed >= self._seconds

    @property
    def left(self) -> tuple[float | None, int | None]:
        """The seconds and the bytes until it is spent; None for what is not limited."""
        seconds = None if self._seconds is None else max(0.0, self._seconds - self._elapsed)
        size = None if self._size is None else max(0, self._size - self._read)
        return seconds, size

    @property
    def _elapsed(self) -> float:
        return self._clock.monotonic() - self._began

    def count(self, size: int) -> None:
        """Count ``size`` bytes as read; a negative number takes back what was not read."""
        self._read += size

    async def take(self, size: int) -> None:
        """Count ``size`` bytes as read, and wait until the rate allows them."""
        self.count(size)
        if self._pace is not None:
            await self._pace.take(size)
