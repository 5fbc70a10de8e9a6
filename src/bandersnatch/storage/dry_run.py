"""A storage that shows what is there and keeps nothing that is written to it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch.errors import NotStored
from bandersnatch.model.content import Content
from bandersnatch.model.digests import HEX_DIGITS, Digest, Hashes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from bandersnatch.layout import StorageKey
    from bandersnatch.model.content import Expected
    from bandersnatch.ports import MirrorStorage
    from bandersnatch.records import StoredObject


class DryRunStorage:
    """Wraps a storage: reads go through, writes only say what they would change.

    A download is complete before it begins, so that nothing is asked of the network for it. What
    would have been moved is found where it would be then.
    """

    def __init__(self, storage: MirrorStorage) -> None:
        self._storage = storage
        self._moved: dict[StorageKey, StorageKey] = {}

    async def read(self, key: StorageKey, /) -> bytes:
        """Return the bytes at ``key``."""
        return await self._storage.read(key)

    async def write(
        self,
        objects: Mapping[StorageKey, bytes],
        /,
        *,
        absent: Collection[StorageKey] = (),
        durable: bool = False,  # noqa: ARG002 - there is nothing to make durable
    ) -> Sequence[StorageKey]:
        """Return the keys that would change."""
        changed = [key for key in objects if not await self._holds(key, objects[key])]
        return changed + [key for key in absent if await self._is_there(key)]

    async def _is_there(self, key: StorageKey) -> bool:
        """Whether a read finds something; ``stat`` would not know of an alias."""
        try:
            await self._storage.read(key)
        except NotStored:
            return False
        return True

    async def _holds(self, key: StorageKey, content: bytes) -> bool:
        try:
            return await self._storage.read(key) == content
        except NotStored:
            return False

    async def alias(self, key: StorageKey, target: StorageKey, /) -> None:
        """Do nothing."""

    async def move(self, moves: Sequence[tuple[StorageKey, StorageKey]], /) -> None:
        """Remember where things would be."""
        self._moved.update((target, self._source(source)) for source, target in moves)

    def _source(self, key: StorageKey) -> StorageKey:
        return self._moved.get(key, key)

    async def free(self) -> int | None:
        """Return how many bytes may still be written."""
        return await self._storage.free()

    async def delete(self, keys: Collection[StorageKey], /) -> None:
        """Do nothing."""

    def scan(self, prefix: StorageKey, /) -> AsyncIterator[StoredObject]:
        """Yield the objects whose keys begin with ``prefix``."""
        return self._storage.scan(prefix)

    async def barrier(self) -> None:
        """Do nothing."""

    async def stat(self, keys: Sequence[StorageKey], /) -> Sequence[StoredObject | None]:
        """Return what is known of each object."""
        found = await self._storage.stat([self._source(key) for key in keys])
        return [
            None if each is None else replace(each, key=key)
            for key, each in zip(keys, found, strict=True)
        ]

    async def digest(self, key: StorageKey, algorithms: Sequence[str], /) -> Hashes:
        """Read an object through and return its digests."""
        return await self._storage.digest(self._source(key), algorithms)

    @asynccontextmanager
    async def receive(self, key: StorageKey, expected: Expected, /) -> AsyncIterator[_DrySink]:
        """Pretend that everything is there."""
        del key
        yield _DrySink(expected)

    async def sweep(self, *, before: int) -> None:
        """Do nothing."""


class _DrySink:
    complete = True

    def __init__(self, expected: Expected) -> None:
        self._expected = expected

    @property
    def held(self) -> int:
        return self._expected.size or 0

    async def write(self, chunk: bytes, /) -> None:
        del chunk

    async def restart(self) -> None:
        pass

    async def finish(self) -> Content:
        pretended = (Digest(name, "0" * HEX_DIGITS[name]) for name in self._expected.also)
        return Content(self.held, Hashes((self._expected.sha256, *pretended)))
