"""Disk space: downloads reserve theirs before they begin, so that some of it stays free."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bandersnatch.errors import InsufficientSpace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bandersnatch.config.schema import FreeSpace
    from bandersnatch.layout import StorageKey

MARGIN = 64 * 1024 * 1024
"""Bytes: the file system is queried after so many more, or with fewer than that to spare."""

_BLOCK = 4096
"""Bytes: the space of a file is a multiple of this on nearly every file system."""


class DiskSpace:
    """Keeps an account of the free space, and queries the file system only when that may matter.

    Bytes that are reserved and not written yet count as written.
    """

    def __init__(self, keep: FreeSpace, query: Callable[[], Awaitable[tuple[int, int]]]) -> None:
        """Take the space to keep free; ``query`` returns the free and the total bytes."""
        self._keep = keep
        self._query = query
        self._lock = asyncio.Lock()
        self._reservations: set[Reservation] = set()
        self._free = self._floor = self._allocated = 0

    def reservation(self, key: StorageKey) -> Reservation:
        """Return a reservation for a download, of no bytes yet."""
        return Reservation(self, self._reservations, key)

    async def allocate(self, key: StorageKey, size: int) -> None:
        """Allow ``size`` more bytes to be written.

        :raises InsufficientSpace: if that would leave less free space than is to be kept.
        """
        if not self._keep:
            return
        async with self._lock:
            if self._allocated >= MARGIN or self._free - size < self._floor + MARGIN:
                # Before the query: what is written meanwhile may count twice, but never not at all.
                reserved = sum(each.unwritten for each in self._reservations)
                free, total = await self._query()
                self._free, self._allocated = free - reserved, 0
                self._floor = self._keep.of(total)
            if self._free - size < self._floor:
                raise InsufficientSpace(key, size, free=max(0, self._free), floor=self._floor)
            self._free -= size
            self._allocated += size


class Reservation:
    """Space for one download; ``written`` is the number of its bytes that are on the disk."""

    def __init__(self, space: DiskSpace, reservations: set[Reservation], key: StorageKey) -> None:
        self._space = space
        self._reservations = reservations
        self._key = key
        self._size = 0
        self.written = 0

    @property
    def unwritten(self) -> int:
        """The number of bytes that are reserved and not written yet."""
        return max(0, self._size - self.written)

    async def extend(self, size: int) -> None:
        """Reserve space for a file of ``size`` bytes.

        :raises InsufficientSpace: if there is not enough.
        """
        rounded = -(-size // _BLOCK) * _BLOCK
        more = rounded - max(self._size, self.written)
        if more > 0:
            await self._space.allocate(self._key, more)
            self._size = rounded
            self._reservations.add(self)

    def release(self) -> None:
        """Return the rest of the space, as of the next query of the file system."""
        self._reservations.discard(self)
