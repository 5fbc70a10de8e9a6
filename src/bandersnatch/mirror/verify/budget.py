"""What the operator asks of one ``verify``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bandersnatch.clock import Clock
    from bandersnatch.model.names import ProjectName


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """Everything that the flags of ``verify`` say.

    ``quick`` compares sizes and times of what is known and reads only what differs. ``sample``
    is how many of a hundred bytes to read, ``max_age`` the seconds after which content is read
    again; ``seconds`` and ``size``, in bytes, limit the run, and ``rate``, in bytes per second,
    its pace.
    ``ignore_unreadable`` are unknown projects that are to count as having nothing.
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
        """Whether only a part of the mirror is to be looked at."""
        limits = (self.sample, self.max_age, self.seconds, self.size)
        return any(limit is not None for limit in limits)


class Budget:
    """Limits what is read; without limits it is never spent.

    ``seconds`` and ``size``, in bytes, are what a run may take; ``rate`` is in bytes per second,
    over all that is read side by side.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        seconds: float | None = None,
        size: int | None = None,
        rate: float | None = None,
    ) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._seconds = seconds
        self._size = size
        self._rate = rate
        self._read = 0

    @property
    def is_paced(self) -> bool:
        """Whether reading has to wait now and then, and so is to go in small steps."""
        return self._rate is not None

    @property
    def is_spent(self) -> bool:
        """Whether nothing more is to be begun."""
        if self._size is not None and self._read >= self._size:
            return True
        return self._seconds is not None and self._passed >= self._seconds

    @property
    def _passed(self) -> float:
        return self._clock.monotonic() - self._began

    async def take(self, size: int) -> None:
        """Take note of bytes that were read, and wait until they may have been."""
        self._read += size
        if self._rate is None:
            return
        early = self._read / self._rate - self._passed
        if early > 0:
            await self._clock.sleep(early)
