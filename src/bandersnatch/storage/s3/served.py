"""What web servers read of a mirror in a bucket."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bandersnatch.errors import MissingObject, StorageError
from bandersnatch.layout import is_key
from bandersnatch.storage.lock import is_mirror_locked
from bandersnatch.storage.port import ServedContent, ServedObject, ServedStorage
from bandersnatch.storage.s3.bucket import Bucket, Head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from bandersnatch.config.schema import StorageSettings
    from bandersnatch.layout import StorageKey
    from bandersnatch.storage.s3.bucket import ClientFactory

_BLOCK = 4 * 1024 * 1024
"""Bytes of a large object that are requested at a time; a smaller one is read at once."""

_REPLACED = "it was replaced while it was read"


class ServedBucket(ServedStorage):
    """The objects of a mirror in a bucket, each looked at when it is asked for."""

    def __init__(
        self,
        settings: StorageSettings,
        environment: Mapping[str, str],
        client: ClientFactory | None = None,
    ) -> None:
        assert settings.bucket is not None, "the mirror is in a bucket"
        self._state = settings.state_directory
        self._bucket = Bucket(settings.bucket, environment, client)

    async def look(
        self,
        key: StorageKey,
        /,
        known: ServedObject | None = None,  # noqa: ARG002 - to confirm it costs the same
    ) -> ServedObject | None:
        head = await self._bucket.head(key) if is_key(key) else None
        return None if head is None else _served_object(head)

    async def is_locked(self) -> bool:
        return await asyncio.to_thread(is_mirror_locked, self._state)

    @asynccontextmanager
    async def open(self, key: StorageKey, /) -> AsyncIterator[_OpenObject]:
        head = await self._bucket.head(key)
        if head is None:
            raise MissingObject(key)
        opened = _OpenObject(self._bucket, key, head)
        if head.size <= _BLOCK:
            await opened.read_whole()
        yield opened


class _OpenObject(ServedContent):
    def __init__(self, bucket: Bucket, key: StorageKey, head: Head) -> None:
        self._bucket = bucket
        self._key = key
        self._head = head
        self._start = 0
        self._block = b""

    async def read_whole(self) -> None:
        """Read a small object, so that it stays what it is now."""
        self._block, self._head = await self._bucket.read_with_head(self._key)

    @property
    def found(self) -> ServedObject:
        return _served_object(self._head)

    async def read(self, start: int, size: int, /) -> bytes:
        end = min(start + size, self._head.size)
        pieces = []
        while start < end:
            if not self._start <= start < self._start + len(self._block):
                await self._read_block(start)
            first = start - self._start
            piece = self._block[first : first + end - start]
            pieces.append(piece)
            start += len(piece)
        return b"".join(pieces)

    async def _read_block(self, start: int) -> None:
        """Read the block at ``start``.

        :raises StorageError: if it is one of another object.
        """
        size = min(_BLOCK, self._head.size - start)
        block, tag = await self._bucket.read_range(self._key, start, size)
        if tag != self._head.tag or len(block) != size:
            raise StorageError(self._key, _REPLACED)
        self._start, self._block = start, block


def _served_object(head: Head) -> ServedObject:
    return ServedObject(head.size, head.modified, (head.tag, head.modified, head.size))
