"""A storage for dry runs: reads what is stored, and only pretends to change it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bandersnatch.errors import MissingObject, StorageError
from bandersnatch.layout import StorageKey, served, trash
from bandersnatch.model.content import Content, ExpectedContent
from bandersnatch.model.digests import Hashes, placeholder, unique
from bandersnatch.storage.port import (
    FileReadResult,
    Listing,
    MirrorStorage,
    Sink,
    StorageSpace,
    StoredObject,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from bandersnatch.model.folding import Folding


class DryRunStorage(MirrorStorage):
    """Wraps a storage: reads pass through, and writes return what they would change.

    Objects that were discarded, recovered or deleted are found where they would be then. Content
    that was written is not remembered. A download is complete from the beginning, so that nothing
    is requested for it.
    """

    def __init__(self, storage: MirrorStorage) -> None:
        self._storage = storage
        self._sources: dict[StorageKey, StorageKey] = {}  # of objects that would have moved
        self._absent: set[StorageKey] = set()

    def _source(self, key: StorageKey) -> StorageKey:
        return self._sources.get(key, key)

    def _require(self, key: StorageKey) -> StorageKey:
        """Return the key that an object really has.

        :raises MissingObject: if it would not exist any more.
        """
        if key in self._absent:
            raise MissingObject(key)
        return self._source(key)

    async def read(self, key: StorageKey, /) -> bytes:
        return await self._storage.read(self._require(key))

    async def write(
        self,
        objects: Mapping[StorageKey, bytes],
        /,
        *,
        absent: Collection[StorageKey] = (),
        durable: bool = False,  # noqa: ARG002 - nothing is made durable
    ) -> Sequence[StorageKey]:
        changed = [key for key in objects if not await self._has_content(key, objects[key])]
        self._absent.difference_update(objects)
        deleted = [key for key in absent if await self._exists(key)]
        self._absent.update(deleted)
        return changed + deleted

    async def _exists(self, key: StorageKey) -> bool:
        """Whether there is an object, or a link; ``stat`` would not know of a link."""
        try:
            await self.read(key)
        except MissingObject:
            return False
        except StorageError:
            return True
        return True

    async def _has_content(self, key: StorageKey, content: bytes) -> bool:
        try:
            return await self.read(key) == content
        except StorageError:
            return False

    async def publish_version(self, key: StorageKey, version: StorageKey, /) -> None:
        pass

    async def discard(self, keys: Collection[StorageKey], /) -> None:
        await self._move([(key, trash(key)) for key in keys])

    async def recover(self, keys: Collection[StorageKey], /) -> None:
        await self._move([(key, served(key)) for key in keys])

    async def _move(self, moves: Sequence[tuple[StorageKey, StorageKey]]) -> None:
        existing = await self.stat([source for source, _ in moves])
        for (source, target), found in zip(moves, existing, strict=True):
            if found is not None:
                self._sources[target] = self._source(source)
                self._absent.discard(target)
            self._absent.add(source)

    async def purge(self, keys: Collection[StorageKey], /) -> None:
        self._absent.update(keys)

    async def scan(self, prefix: StorageKey, /) -> AsyncIterator[StoredObject]:
        """Yield the objects whose keys begin with ``prefix``, except those that would have moved.

        Nothing scans the places that they would have moved to.
        """
        async for found in self._storage.scan(prefix):
            if found.key not in self._absent:
                yield found

    @property
    def folding(self) -> Folding:
        return self._storage.folding

    @property
    def believes_records(self) -> bool:
        return self._storage.believes_records

    async def probe(self, key: StorageKey, /) -> None:
        pass

    async def flush(self) -> None:
        pass

    async def stat(self, keys: Sequence[StorageKey], /) -> Sequence[StoredObject | None]:
        found = await self._storage.stat([self._source(key) for key in keys])
        return [
            None
            if each is None or key in self._absent
            else StoredObject(key, each.size, each.modified)
            for key, each in zip(keys, found, strict=True)
        ]

    @asynccontextmanager
    async def listing(self, *prefixes: StorageKey) -> AsyncIterator[Listing]:
        """List what is stored; a listing does not know what would have moved."""
        async with self._storage.listing(*prefixes) as found:
            yield Listing(self.stat) if found.newest is None else found

    async def digest(self, key: StorageKey, algorithms: Sequence[str], /) -> Hashes:
        return await self._storage.digest(self._require(key), algorithms)

    async def read_files(self, keys: Sequence[StorageKey], /) -> Sequence[FileReadResult]:
        found = await self._storage.read_files([self._source(key) for key in keys])
        missing = FileReadResult(0, None, "it is missing")
        return [
            missing if key in self._absent else each for key, each in zip(keys, found, strict=True)
        ]

    async def stream(self, key: StorageKey, /) -> AsyncIterator[bytes]:
        async for chunk in self._storage.stream(self._require(key)):
            yield chunk

    @asynccontextmanager
    async def receive(
        self, key: StorageKey, expected: ExpectedContent, /
    ) -> AsyncIterator[_CompleteSink]:
        del key
        yield _CompleteSink(expected)

    async def free_space(self, prefix: StorageKey, /) -> StorageSpace | None:
        return await self._storage.free_space(prefix)

    async def purge_downloads(self, *, before: int) -> None:
        pass


class _CompleteSink(Sink):
    def __init__(self, expected: ExpectedContent) -> None:
        self._expected = expected

    @property
    def held(self) -> int:
        return self._expected.size or 0

    @property
    def complete(self) -> bool:
        return True

    @property
    def verifiable(self) -> bool:
        return self._expected.digest is not None

    async def write(self, chunk: bytes, /) -> None:
        del chunk

    async def restart(self) -> None:
        pass

    async def finish(self) -> Content:
        hashes = Hashes(tuple(map(placeholder, unique("sha256", *self._expected.algorithms))))
        digest = self._expected.digest
        return Content(self.held, hashes if digest is None else hashes.with_digest(digest))
