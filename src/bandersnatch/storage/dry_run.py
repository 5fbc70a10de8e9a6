"""A storage that shows what is there and keeps nothing that is written to it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bandersnatch.errors import MissingObject, StorageError
from bandersnatch.layout import served, trash
from bandersnatch.model.content import Content
from bandersnatch.model.digests import HEX_DIGITS, Digest, Hashes
from bandersnatch.storage.port import FileReadResult, MirrorStorage, Sink, StoredObject

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from bandersnatch.layout import StorageKey
    from bandersnatch.model.content import ExpectedContent


class DryRunStorage(MirrorStorage):
    """Wraps a storage: reads go through, writes only say what they would change.

    A download is complete before it begins, so that nothing is asked of the network for it. What
    would have been moved or deleted is found where it would be then.
    """

    def __init__(self, storage: MirrorStorage) -> None:
        self._storage = storage
        self._moved: dict[StorageKey, StorageKey] = {}
        self._gone: set[StorageKey] = set()

    async def read(self, key: StorageKey, /) -> bytes:
        if key in self._gone:
            raise MissingObject(key)
        return await self._storage.read(self._source(key))

    async def write(
        self,
        objects: Mapping[StorageKey, bytes],
        /,
        *,
        absent: Collection[StorageKey] = (),
        durable: bool = False,  # noqa: ARG002 - there is nothing to make durable
    ) -> Sequence[StorageKey]:
        changed = [key for key in objects if not await self._holds(key, objects[key])]
        self._gone.difference_update(objects)
        gone = [key for key in absent if await self._is_there(key)]
        self._gone.update(gone)
        return changed + gone

    async def _is_there(self, key: StorageKey) -> bool:
        """Whether a read finds something; ``stat`` would not know of an alias."""
        try:
            await self.read(key)
        except MissingObject:
            return False
        except StorageError:
            return True
        return True

    async def _holds(self, key: StorageKey, content: bytes) -> bool:
        try:
            return await self.read(key) == content
        except StorageError:
            return False

    async def publish_version(self, key: StorageKey, version: StorageKey, /) -> None:
        """Do nothing."""

    async def discard(self, keys: Collection[StorageKey], /) -> None:
        await self._move([(key, trash(key)) for key in keys])

    async def recover(self, keys: Collection[StorageKey], /) -> None:
        await self._move([(key, served(key)) for key in keys])

    async def purge(self, keys: Collection[StorageKey], /) -> None:
        self._gone.update(keys)

    async def _move(self, moves: Sequence[tuple[StorageKey, StorageKey]]) -> None:
        there = await self.stat([source for source, _ in moves])
        for (source, target), found in zip(moves, there, strict=True):
            if found is not None:
                self._moved[target] = self._source(source)
                self._gone.discard(target)
            self._gone.add(source)

    def _source(self, key: StorageKey) -> StorageKey:
        return self._moved.get(key, key)

    async def free_space(self) -> int | None:
        return await self._storage.free_space()

    async def scan(self, prefix: StorageKey, /) -> AsyncIterator[StoredObject]:
        async for found in self._storage.scan(prefix):
            if found.key not in self._gone:
                yield found

    async def flush(self) -> None:
        """Do nothing."""

    async def stat(self, keys: Sequence[StorageKey], /) -> Sequence[StoredObject | None]:
        found = await self._storage.stat([self._source(key) for key in keys])
        return [
            None
            if each is None or key in self._gone
            else StoredObject(key, each.size, each.modified)
            for key, each in zip(keys, found, strict=True)
        ]

    async def digest(self, key: StorageKey, algorithms: Sequence[str], /) -> Hashes:
        if key in self._gone:
            raise MissingObject(key)
        return await self._storage.digest(self._source(key), algorithms)

    async def read_files(self, keys: Sequence[StorageKey], /) -> Sequence[FileReadResult]:
        found = await self._storage.read_files([self._source(key) for key in keys])
        gone = FileReadResult(0, None, "it is missing")
        return [gone if k in self._gone else each for k, each in zip(keys, found, strict=True)]

    async def stream(self, key: StorageKey, /) -> AsyncIterator[bytes]:
        if key in self._gone:
            raise MissingObject(key)
        async for piece in self._storage.stream(self._source(key)):
            yield piece

    @asynccontextmanager
    async def receive(
        self, key: StorageKey, expected: ExpectedContent, /
    ) -> AsyncIterator[_DrySink]:
        del key
        yield _DrySink(expected)

    async def purge_downloads(self, *, before: int) -> None:
        """Do nothing."""


class _DrySink(Sink):
    def __init__(self, expected: ExpectedContent) -> None:
        self._expected = expected

    @property
    def held(self) -> int:
        return self._expected.size or 0

    @property
    def complete(self) -> bool:
        return True

    async def write(self, chunk: bytes, /) -> None:
        del chunk

    async def restart(self) -> None:
        pass

    async def finish(self) -> Content:
        pretended = (Digest(name, "0" * HEX_DIGITS[name]) for name in self._expected.algorithms)
        return Content(self.held, Hashes((self._expected.sha256, *pretended)))
