"""The storages under test, and helpers to fill and read them."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import uuid
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Protocol

from bandersnatch.config.schema import Backend, BucketSettings, StorageSettings
from bandersnatch.layout import StorageKey
from bandersnatch.model.content import ExpectedContent
from bandersnatch.model.digests import Digest
from bandersnatch.storage.filesystem import FilesystemStorage
from bandersnatch.storage.journal import ChangeJournal, JournalingStorage
from tests.support.ceph import ACCESS_KEY, BUCKET, SECRET_KEY
from tests.support.memory_storage import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from bandersnatch.storage.port import MirrorStorage, Sink
    from bandersnatch.storage.s3.bucket import ClientFactory
    from tests.support.ceph import SharedCeph, Store

URL = "https://files.example.org/packages/foo-1.0.tar.gz"
"""The URL of every download."""

BIG = bytes(range(256)) * 4096 * 5
"""5 MiB: content of several chunks, whose download can be resumed."""


class Place(Protocol):
    """A mirror that one kind of adapter opens; ``rounds`` is how often a race is tried there."""

    rounds: int

    def work(self) -> AbstractAsyncContextManager[MirrorStorage]:
        """Open it as a run does."""
        ...

    def look(self) -> AbstractAsyncContextManager[MirrorStorage]:
        """Open it as a reader does, during a run."""
        ...


class DiskPlace:
    """A directory."""

    rounds = 600

    def __init__(self, home: Path) -> None:
        self._root = str(home / "mirror")

    def work(self) -> AbstractAsyncContextManager[MirrorStorage]:
        """Open it with its lock."""
        return FilesystemStorage(self._root)

    def look(self) -> AbstractAsyncContextManager[MirrorStorage]:
        """Open it without its lock."""
        return FilesystemStorage(self._root, read_only=True)


class JournaledPlace(DiskPlace):
    """A directory whose changes are journaled."""

    @asynccontextmanager
    async def work(self) -> AsyncIterator[MirrorStorage]:
        """Open it with its lock, and delete the journal at the end."""
        journal = ChangeJournal(self._root)
        async with FilesystemStorage(self._root) as storage:
            yield JournalingStorage(storage, journal)
        journal.close(reported=True)


class MemoryPlace:
    """A dictionary."""

    rounds = 600

    def __init__(self, _: Path) -> None:
        self._storage = MemoryStorage()

    @asynccontextmanager
    async def work(self) -> AsyncIterator[MirrorStorage]:
        """Return it."""
        yield self._storage

    look = work


class BucketPlace:
    """A prefix of a bucket that no other test has."""

    rounds = 20
    client: ClientFactory | None = None

    def __init__(self, home: Path, ceph: Store) -> None:
        self.settings = bucket_settings(home / "state", ceph.url)

    def work(self) -> AbstractAsyncContextManager[MirrorStorage]:
        """Open it with its lock."""
        from bandersnatch.storage.s3.storage import BucketStorage  # noqa: PLC0415 - needs obstore

        return BucketStorage(self.settings, {}, client=self.client)

    def look(self) -> AbstractAsyncContextManager[MirrorStorage]:
        """Open it without its lock."""
        from bandersnatch.storage.s3.storage import BucketStorage  # noqa: PLC0415

        return BucketStorage(self.settings, {}, read_only=True, client=self.client)


class ObjectsPlace(BucketPlace):
    """A store in memory, by the same client: it needs no service, and has no faults."""

    rounds = 60

    def __init__(self, home: Path) -> None:
        from obstore.store import MemoryStore  # noqa: PLC0415 - as above

        self.settings = bucket_settings(home / "state", "http://127.0.0.1:9")
        store = MemoryStore()
        self.client = lambda *_: store


def bucket_settings(state: Path, url: str, prefix: str = "") -> StorageSettings:
    """Return the settings of a mirror in a bucket, with a new prefix unless one is given."""
    prefix = prefix or f"pypi/{uuid.uuid4().hex}/"
    bucket = BucketSettings(
        BUCKET,
        prefix,
        str(state),
        region="us-east-1",
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
        endpoint=url,
        max_attempts=3,
    )
    return StorageSettings(f"/{BUCKET}/{prefix}".rstrip("/"), Backend.S3, bucket=bucket)


_LOCAL: dict[str, Callable[[Path], Place]] = {
    "filesystem": DiskPlace,
    "journaled": JournaledPlace,
    "memory": MemoryPlace,
    "objects": ObjectsPlace,
}
PLACES = (*_LOCAL, "s3")
"""Every adapter that stores what is written."""


def make_place(name: str, home: Path, ceph: SharedCeph) -> Place:
    """Return a new mirror of one kind of adapter; skip the test if it needs what is missing."""
    return BucketPlace(home, ceph.get()) if name == "s3" else _LOCAL[name](home)


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
    """Return what is expected of a download of ``content``, with its size unless one is given."""
    return ExpectedContent(
        url=URL,
        digest=Digest("sha256", hashlib.sha256(content).hexdigest()),
        size=len(content) if size == -1 else size,
        modified=modified,
        algorithms=algorithms,
        max_size=max_size,
    )


async def feed(sink: Sink, content: bytes, *, pieces_of: int = 64 * 1024) -> None:
    """Write ``content`` in chunks, as they arrive from a network."""
    for start in range(0, len(content), pieces_of):
        await sink.write(content[start : start + pieces_of])


async def receive(storage: MirrorStorage, where: str, content: bytes) -> None:
    """Download ``content``, and resume an earlier attempt."""
    async with storage.receive(key(where), expected(content)) as sink:
        await feed(sink, content[sink.held :])
        await sink.finish()


async def put(storage: MirrorStorage, **objects: bytes) -> None:
    """Write objects below ``web/``; in the names ``__`` stands for ``/``."""
    await storage.write({key(f"web/{n.replace('__', '/')}"): c for n, c in objects.items()})


async def contents(storage: MirrorStorage, *prefixes: str) -> dict[str, bytes]:
    """Return every object and its content."""
    return {
        found.key: await storage.read(found.key)
        for prefix in prefixes or ("web/", "removed/")
        for found in [each async for each in storage.scan(key(prefix))]
    }


@contextmanager
def polling(place: Place, look: Callable[[MirrorStorage], Awaitable[object]]) -> Iterator[None]:
    """Call ``look`` repeatedly in another thread while the block runs, and raise its exception."""
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
