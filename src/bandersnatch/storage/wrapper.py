"""A storage that passes everything to another one; subclasses change some of its operations."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

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

    from bandersnatch.layout import StorageKey
    from bandersnatch.model.content import Content, ExpectedContent
    from bandersnatch.model.digests import Hashes
    from bandersnatch.model.folding import Folding


class StorageWrapper(MirrorStorage):
    """Passes every operation to another storage."""

    def __init__(self, storage: MirrorStorage) -> None:
        self._storage = storage

    async def read(self, key: StorageKey, /) -> bytes:
        return await self._storage.read(key)

    async def write(
        self,
        objects: Mapping[StorageKey, bytes],
        /,
        *,
        absent: Collection[StorageKey] = (),
        durable: bool = False,
    ) -> Sequence[StorageKey]:
        return await self._storage.write(objects, absent=absent, durable=durable)

    async def publish_version(self, key: StorageKey, version: StorageKey, /) -> None:
        await self._storage.publish_version(key, version)

    async def discard(self, keys: Collection[StorageKey], /) -> None:
        await self._storage.discard(keys)

    async def recover(self, keys: Collection[StorageKey], /) -> None:
        await self._storage.recover(keys)

    async def purge(self, keys: Collection[StorageKey], /) -> None:
        await self._storage.purge(keys)

    def scan(self, prefix: StorageKey, /) -> AsyncIterator[StoredObject]:
        return self._storage.scan(prefix)

    @property
    def folding(self) -> Folding:
        return self._storage.folding

    @property
    def believes_records(self) -> bool:
        return self._storage.believes_records

    async def probe(self, key: StorageKey, /) -> None:
        await self._storage.probe(key)

    async def flush(self) -> None:
        await self._storage.flush()

    async def stat(self, keys: Sequence[StorageKey], /) -> Sequence[StoredObject | None]:
        return await self._storage.stat(keys)

    @asynccontextmanager
    async def listing(self, *prefixes: StorageKey) -> AsyncIterator[Listing]:
        async with self._storage.listing(*prefixes) as found:
            yield found

    async def digest(self, key: StorageKey, algorithms: Sequence[str], /) -> Hashes:
        return await self._storage.digest(key, algorithms)

    async def read_files(self, keys: Sequence[StorageKey], /) -> Sequence[FileReadResult]:
        return await self._storage.read_files(keys)

    def stream(self, key: StorageKey, /) -> AsyncIterator[bytes]:
        return self._storage.stream(key)

    @asynccontextmanager
    async def receive(self, key: StorageKey, expected: ExpectedContent, /) -> AsyncIterator[Sink]:
        async with self._storage.receive(key, expected) as sink:
            yield sink

    async def free_space(self, prefix: StorageKey, /) -> StorageSpace | None:
        return await self._storage.free_space(prefix)

    async def purge_downloads(self, *, before: int) -> None:
        await self._storage.purge_downloads(before=before)


class SinkWrapper(Sink):
    """Passes every operation to the sink of another storage."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    @property
    def held(self) -> int:
        return self._sink.held

    @property
    def complete(self) -> bool:
        return self._sink.complete

    @property
    def verifiable(self) -> bool:
        return self._sink.verifiable

    async def write(self, chunk: bytes, /) -> None:
        await self._sink.write(chunk)

    async def restart(self) -> None:
        await self._sink.restart()

    async def finish(self) -> Content:
        return await self._sink.finish()
