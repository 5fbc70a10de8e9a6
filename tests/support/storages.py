"""Storages under test: each adapter with the ways to open it and to look at it from aside."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Protocol

from bandersnatch.layout import StorageKey
from bandersnatch.model.content import ExpectedContent
from bandersnatch.model.digests import Digest
from bandersnatch.storage.filesystem import FilesystemStorage
from bandersnatch.storage.journal import ChangeJournal, JournalingStorage
from tests.support.memory_storage import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from bandersnatch.storage.port import MirrorStorage, Sink

URL = "https://files.example.org/packages/foo-1.0.tar.gz"
"""Where downloads pretend to come from."""

BIG = bytes(range(256)) * 4096 * 5
"""Content that takes several pieces, and of which a part is worth keeping: 5 MiB."""


class Place(Protocol):
    """Somewhere a mirror can be kept, by one kind of adapter."""

    def work(self) -> AbstractAsyncContextManager[MirrorStorage]:
        """Open it as a run does; every time is another run."""
        ...

    def look(self) -> AbstractAsyncContextManager[MirrorStorage]:
        """Open it as somebody who reads while a run is at work."""
        ...


class DiskPlace:
    """A directory."""

    def __init__(self, home: Path) -> None:
        self._root = str(home / "mirror")

    def work(self) -> AbstractAsyncContextManager[MirrorStorage]:
        """Open it with its lock."""
        return FilesystemStorage(self._root)

    def look(self) -> AbstractAsyncContextManager[MirrorStorage]:
        """Open it without."""
        return FilesystemStorage(self._root, read_only=True)


class NotedPlace(DiskPlace):
    """A directory whose changes are noted before they are made."""

    @asynccontextmanager
    async def work(self) -> AsyncIterator[MirrorStorage]:
        """Open it with its lock, and forget the notes at the end."""
        journal = ChangeJournal(self._root)
        async with FilesystemStorage(self._root) as storage:
            yield JournalingStorage(storage, journal)
        journal.close(reported=True)


class MemoryPlace:
    """A dictionary, the same each time."""

    def __init__(self, _: Path) -> None:
        self._storage = MemoryStorage()

    @asynccontextmanager
    async def work(self) -> AsyncIterator[MirrorStorage]:
        """Return it."""
        yield self._storage

    look = work


PLACES: dict[str, Callable[[Path], Place]] = {
    "filesystem": DiskPlace,
    "noted": NotedPlace,
    "memory": MemoryPlace,
}
"""Every adapter that keeps what is written to it."""


def key(text: str) -> StorageKey:
    """Return a key."""
    return StorageKey(text)


def expected(
    content: bytes,
    *,
    size: int | None = -1,
    modified: int | None = None,
    algorithms: tuple[str, ...] = (),
    max_size: int = 1 << 30,
) -> ExpectedContent:
    """Return what a download of ``content`` must turn out to be; its size too, unless given."""
    return ExpectedContent(
        url=URL,
        sha256=Digest("sha256", hashlib.sha256(content).hexdigest()),
        size=len(content) if size == -1 else size,
        modified=modified,
        algorithms=algorithms,
        max_size=max_size,
    )


async def feed(sink: Sink, content: bytes, *, pieces_of: int = 64 * 1024) -> None:
    """Write ``content`` as it would come from a network."""
    for start in range(0, len(content), pieces_of):
        await sink.write(content[start : start + pieces_of])


async def receive(storage: MirrorStorage, where: str, content: bytes) -> None:
    """Download ``content`` to a key, going on where an earlier try ended."""
    async with storage.receive(key(where), expected(content)) as sink:
        await feed(sink, content[sink.held :])
        await sink.finish()


async def put(storage: MirrorStorage, **objects: bytes) -> None:
    """Write objects below ``web/``; in the names ``__`` stands for ``/``."""
    await storage.write({key(f"web/{n.replace('__', '/')}"): c for n, c in objects.items()})


async def contents(storage: MirrorStorage, *prefixes: str) -> dict[str, bytes]:
    """Return everything that is visible."""
    return {
        found.key: await storage.read(found.key)
        for prefix in prefixes or ("web/", "removed/")
        for found in [each async for each in storage.scan(key(prefix))]
    }


@contextmanager
def polling(place: Place, look: Callable[[MirrorStorage], Awaitable[object]]) -> Iterator[None]:
    """Let another thread look again and again while the block runs, and raise what it raised."""
    over, began = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    async def poll() -> None:
        async with place.look() as storage:
            while not over.is_set():
                await look(storage)
                began.set()

    def run() -> None:
        try:
            asyncio.run(poll())
        except BaseException as failure:  # noqa: BLE001 - raised where it is seen
            failures.append(failure)
        began.set()

    thread = threading.Thread(target=run)
    thread.start()
    began.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failures:
        raise failures[0]


def names(texts: Iterable[str]) -> list[StorageKey]:
    """Return the texts as keys."""
    return [key(text) for text in texts]
