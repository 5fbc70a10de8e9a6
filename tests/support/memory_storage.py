"""A storage in memory."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bandersnatch.errors import MissingObject, OversizedContent
from bandersnatch.layout import served, trash
from bandersnatch.model.content import ContentCheck
from bandersnatch.model.digests import Digest, Hashes, new_hasher
from bandersnatch.storage.download import MIN_RESUMABLE
from bandersnatch.storage.port import (
    FileReadResult,
    MirrorStorage,
    ServedContent,
    ServedObject,
    ServedStorage,
    Sink,
    StoredObject,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from bandersnatch.layout import StorageKey
    from bandersnatch.model.content import Content, ExpectedContent


class MemoryStorage(MirrorStorage):
    """A mirror in a dictionary; publishing a version copies it."""

    def __init__(self) -> None:
        self.objects: dict[StorageKey, bytes] = {}
        self.modified: dict[StorageKey, int] = {}
        self.partial: dict[str, bytes] = {}
        self._time = 0

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[MemoryStorage]:
        """Return it as a context, as other storages are."""
        yield self

    @asynccontextmanager
    async def served(self) -> AsyncIterator[MemoryServed]:
        """Return what a web server sees of it."""
        yield MemoryServed(self)

    async def read(self, key: StorageKey, /) -> bytes:
        try:
            return self.objects[key]
        except KeyError:
            raise MissingObject(key) from None

    def put(self, key: StorageKey, content: bytes, modified: int | None = None) -> None:
        """Put ``content`` at ``key``."""
        self._time += 1
        self.objects[key] = content
        self.modified[key] = self._time if modified is None else modified

    async def write(
        self,
        objects: Mapping[StorageKey, bytes],
        /,
        *,
        absent: Collection[StorageKey] = (),
        durable: bool = False,  # noqa: ARG002 - nothing here survives a power cut
    ) -> Sequence[StorageKey]:
        changed = [key for key, content in objects.items() if self.objects.get(key) != content]
        for key in changed:
            self.put(key, objects[key])
        gone = [key for key in absent if self.objects.pop(key, None) is not None]
        return changed + gone

    async def publish_version(self, key: StorageKey, version: StorageKey, /) -> None:
        self.put(key, await self.read(version))

    async def discard(self, keys: Collection[StorageKey], /) -> None:
        for key in keys:
            self.move(key, trash(key))

    async def recover(self, keys: Collection[StorageKey], /) -> None:
        for key in keys:
            self.move(key, served(key))

    def move(self, source: StorageKey, target: StorageKey) -> None:
        """Move an object, if it exists."""
        if source in self.objects:
            self.put(target, self.objects.pop(source), self.modified.pop(source))

    async def purge(self, keys: Collection[StorageKey], /) -> None:
        for key in keys:
            self.objects.pop(key, None)

    async def scan(self, prefix: StorageKey, /) -> AsyncIterator[StoredObject]:
        for key in sorted(self.objects):
            if key.startswith(prefix) and (found := self._seen(key)) is not None:
                yield found

    async def probe(self, key: StorageKey, /) -> None:
        pass

    async def flush(self) -> None:
        pass

    async def stat(self, keys: Sequence[StorageKey], /) -> Sequence[StoredObject | None]:
        return [self._seen(key) for key in keys]

    def _seen(self, key: StorageKey) -> StoredObject | None:
        content = self.objects.get(key)
        return None if content is None else StoredObject(key, len(content), self.modified[key])

    async def digest(self, key: StorageKey, algorithms: Sequence[str], /) -> Hashes:
        content = await self.read(key)
        return Hashes(tuple(Digest(name, _hexdigest(name, content)) for name in algorithms))

    async def read_files(self, keys: Sequence[StorageKey], /) -> Sequence[FileReadResult]:
        return [self._reading(key) for key in keys]

    def _reading(self, key: StorageKey) -> FileReadResult:
        content = self.objects.get(key)
        if content is None:
            return FileReadResult(0, None, "it is missing")
        return FileReadResult(len(content), Digest("sha256", hashlib.sha256(content).hexdigest()))

    async def stream(self, key: StorageKey, /) -> AsyncIterator[bytes]:
        if content := await self.read(key):
            yield content

    @asynccontextmanager
    async def receive(self, key: StorageKey, expected: ExpectedContent, /) -> AsyncIterator[Sink]:
        held = self.partial.pop(expected.name, b"")
        sink = _MemorySink(self, key, expected, held if len(held) <= expected.limit else b"")
        try:
            yield sink
        finally:
            if sink.held >= MIN_RESUMABLE:
                self.partial[expected.name] = bytes(sink.content)

    async def free_space(self, prefix: StorageKey, /) -> None:
        pass

    async def purge_downloads(self, *, before: int) -> None:
        del before
        self.partial.clear()


class MemoryServed(ServedStorage):
    """A ``MemoryStorage`` as a web server sees it."""

    def __init__(self, storage: MemoryStorage) -> None:
        self._storage = storage

    async def look(
        self,
        key: StorageKey,
        /,
        known: ServedObject | None = None,  # noqa: ARG002 - nothing costs less than a dictionary
    ) -> ServedObject | None:
        content = self._storage.objects.get(key)
        if content is None:
            return None
        modified = self._storage.modified[key]
        return ServedObject(len(content), modified, (modified, content))

    async def is_locked(self) -> bool:
        return False

    @asynccontextmanager
    async def open(self, key: StorageKey, /) -> AsyncIterator[_MemoryContent]:
        found = await self.look(key)
        if found is None:
            raise MissingObject(key)
        yield _MemoryContent(found, self._storage.objects[key])


class _MemoryContent(ServedContent):
    def __init__(self, found: ServedObject, content: bytes) -> None:
        self._found = found
        self._content = content

    @property
    def found(self) -> ServedObject:
        return self._found

    async def read(self, start: int, size: int, /) -> bytes:
        return self._content[start : start + size]


def _hexdigest(algorithm: str, content: bytes) -> str:
    hasher = new_hasher(algorithm)
    hasher.update(content)
    return hasher.hexdigest()


class _MemorySink(Sink):
    def __init__(
        self, storage: MemoryStorage, key: StorageKey, expected: ExpectedContent, held: bytes
    ) -> None:
        self._storage = storage
        self._key = key
        self._expected = expected
        self.content = bytearray(held)

    @property
    def held(self) -> int:
        return len(self.content)

    @property
    def complete(self) -> bool:
        return self.held == self._expected.size

    @property
    def verifiable(self) -> bool:
        return self._expected.digest is not None

    async def write(self, chunk: bytes, /) -> None:
        if self.held + len(chunk) > self._expected.limit:
            raise OversizedContent(self._expected.url, self._expected.limit)
        self.content += chunk

    async def restart(self) -> None:
        self.content.clear()

    async def finish(self) -> Content:
        check = ContentCheck(self._expected)
        content = bytes(self.content)
        self.content.clear()
        check.update(content)
        found = check.finish()
        self._storage.put(self._key, content, self._expected.modified)
        return found
