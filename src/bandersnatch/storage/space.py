"""Room on a disk: downloads are promised theirs before they begin, so that some stays free."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bandersnatch.errors import InsufficientSpace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bandersnatch.config.schema import FreeSpace
    from bandersnatch.layout import StorageKey

NEAR = 64 * 1024 * 1024
"""Bytes: after so many more, or with fewer left than that, the file system is asked again."""

_BLOCK = 4096
"""Bytes that a file takes a multiple of, on nearly every file system."""


class DiskSpace:
    """Knows how much more may be written, and asks the file system only when that could matter.

    What is promised and not written yet counts as if it were written.
    """

    def __init__(self, keep: FreeSpace, ask: Callable[[], Awaitable[tuple[int, int]]]) -> None:
        """Take what is to stay free, and what tells how many bytes are free, and of how many."""
        self._keep = keep
        self._ask = ask
        self._asking = asyncio.Lock()
        self._promises: set[Reservation] = set()
        self._free = self._floor = self._since = 0

    def promise(self, key: StorageKey) -> Reservation:
        """Return the promise to a download, of nothing yet."""
        return Reservation(self, self._promises, key)

    async def take(self, key: StorageKey, size: int) -> None:
        """Let somebody write so many bytes more.

        :raises InsufficientSpace: if less would be free then than is to be.
        """
        if not self._keep:
            return
        async with self._asking:
            if self._since >= NEAR or self._free - size < self._floor + NEAR:
                # Before the question: what is written meanwhile may count twice, and never not.
                promised = sum(each.unwritten for each in self._promises)
                free, whole = await self._ask()
                self._free, self._since = free - promised, 0
                self._floor = self._keep.of(whole)
            if self._free - size < self._floor:
                raise InsufficientSpace(key, size, free=max(0, self._free), floor=self._floor)
            self._free -= size
            self._since += size


class Reservation:
    """Room for one download; ``written`` are the bytes of it that are on the disk already."""

    def __init__(self, room: DiskSpace, promises: set[Reservation], key: StorageKey) -> None:
        self._room = room
        self._promises = promises
        self._key = key
        self._size = 0
        self.written = 0

    @property
    def unwritten(self) -> int:
        """How much of it is yet to come."""
        return max(0, self._size - self.written)

    async def cover(self, size: int) -> None:
        """See to it that a file of this size has room.

        :raises InsufficientSpace: if it has not.
        """
        whole = -(-size // _BLOCK) * _BLOCK
        more = whole - max(self._size, self.written)
        if more > 0:
            await self._room.take(self._key, more)
            self._size = whole
            self._promises.add(self)

    def end(self) -> None:
        """Let others have what was not needed, as soon as the file system is asked again."""
        self._promises.discard(self)
