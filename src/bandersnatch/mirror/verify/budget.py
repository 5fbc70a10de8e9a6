"""How much of a mirror one run may read, and how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bandersnatch.ports import Clock


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
