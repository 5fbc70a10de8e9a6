"""Changes that are to be told of: noted before they are made, so that no kill keeps them secret."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from bandersnatch.errors import IntegrityError
from bandersnatch.layout import LAST_MODIFIED, WEB, StorageKey, served
from bandersnatch.storage.port import MirrorStorage, Sink
from bandersnatch.storage.tree import KEY, mapped_errors, write_all

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence

    from bandersnatch.model.content import Content, ExpectedContent
    from bandersnatch.model.digests import Hashes
    from bandersnatch.storage.port import FileReadResult, StoredObject

JOURNAL = ".untold"
"""The file, in the mirror's directory."""

_CAME, _WENT, _END = "+", "-", b"\0"
_PIECE = 1024 * 1024
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Change(NamedTuple):
    """What may come to a key, or go away from it."""

    key: StorageKey
    away: bool = False


class ChangeJournal:
    """What this run, and one that was killed before it, may have changed and not told of.

    A note in a file is there before the change is made. ``unsettled`` are the changes of this
    run of which nobody knows whether they were made.
    """

    def __init__(self, directory: str) -> None:
        self._path = f"{os.path.abspath(directory)}/{JOURNAL}"
        self._descriptor: int | None = None
        self.unsettled: set[Change] = set()

    def left(self) -> Iterator[Change]:
        """Yield what a run that was killed may have changed."""
        with mapped_errors(StorageKey(JOURNAL)), suppress(FileNotFoundError):
            file = os.open(self._path, os.O_RDONLY | _FLAGS)
            with open(file, "rb") as pieces:
                rest = b""
                while piece := pieces.read(_PIECE):
                    *whole, rest = (rest + piece).split(_END)
                    yield from filter(None, map(_change, whole))

    @contextmanager
    def noting(self, changes: Iterable[Change]) -> Iterator[None]:
        """Make changes; what is said to have failed may have been made all the same."""
        served = {each for each in changes if _is_served(each.key)}
        self._note(served)
        self.unsettled |= served
        try:
            yield
        except IntegrityError:
            self.unsettled -= served  # it was found wrong before it came to its place
            raise
        self.unsettled -= served

    def _note(self, changes: Collection[Change]) -> None:
        texts = [f"{_WENT if each.away else _CAME}{each.key}".encode() for each in changes]
        with mapped_errors(StorageKey(JOURNAL)):
            if self._descriptor is None and texts:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _FLAGS
                self._descriptor = os.open(self._path, flags, 0o644)
            if self._descriptor is not None:
                # The first end is for what a kill may have cut short.
                write_all(self._descriptor, _END.join([b"", *texts, b""]))

    def close(self, *, told: bool) -> None:
        """Forget everything if it was told; else keep it for the next run."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if told:
            with mapped_errors(StorageKey(JOURNAL)), suppress(FileNotFoundError):
                os.unlink(self._path)


def _is_served(key: StorageKey) -> bool:
    return key.startswith(WEB) and key != LAST_MODIFIED


def _change(text: bytes) -> Change | None:
    """Return what a note says, None if it says nothing: somebody else may have written it."""
    sign, key = text[:1].decode(errors="replace"), text[1:].decode(errors="replace")
    if sign not in {_CAME, _WENT} or not KEY.fullmatch(key) or not _is_served(StorageKey(key)):
        return None
    return Change(StorageKey(key), away=sign == _WENT)


class JournalingStorage(MirrorStorage):
    """Wraps a storage: what changes the served tree is noted before, all else goes through.

    A page that leads to one of its versions is not told of, and so not noted.
    """

    def __init__(self, storage: MirrorStorage, untold: ChangeJournal) -> None:
        self._storage = storage
        self._untold = untold

    # ------------------------------------------------------------ what changes

    async def write(
        self,
        objects: Mapping[StorageKey, bytes],
        /,
        *,
        absent: Collection[StorageKey] = (),
        durable: bool = False,
    ) -> Sequence[StorageKey]:
        changes = [*map(Change, objects), *(Change(key, away=True) for key in absent)]
        with self._untold.noting(changes):
            return await self._storage.write(objects, absent=absent, durable=durable)

    async def publish_version(self, key: StorageKey, version: StorageKey, /) -> None:
        await self._storage.publish_version(key, version)

    async def discard(self, keys: Collection[StorageKey], /) -> None:
        with self._untold.noting([Change(key, away=True) for key in keys]):
            await self._storage.discard(keys)

    async def recover(self, keys: Collection[StorageKey], /) -> None:
        with self._untold.noting([Change(served(key)) for key in keys]):
            await self._storage.recover(keys)

    async def purge(self, keys: Collection[StorageKey], /) -> None:
        await self._storage.purge(keys)

    @asynccontextmanager
    async def receive(self, key: StorageKey, expected: ExpectedContent, /) -> AsyncIterator[Sink]:
        async with self._storage.receive(key, expected) as sink:
            yield _NotingSink(sink, key, self._untold)

    # ------------------------------------------------------------ what goes through

    async def read(self, key: StorageKey, /) -> bytes:
        return await self._storage.read(key)

    def scan(self, prefix: StorageKey, /) -> AsyncIterator[StoredObject]:
        return self._storage.scan(prefix)

    async def flush(self) -> None:
        await self._storage.flush()

    async def stat(self, keys: Sequence[StorageKey], /) -> Sequence[StoredObject | None]:
        return await self._storage.stat(keys)

    async def digest(self, key: StorageKey, algorithms: Sequence[str], /) -> Hashes:
        return await self._storage.digest(key, algorithms)

    async def read_files(self, keys: Sequence[StorageKey], /) -> Sequence[FileReadResult]:
        return await self._storage.read_files(keys)

    def stream(self, key: StorageKey, /) -> AsyncIterator[bytes]:
        return self._storage.stream(key)

    async def free_space(self) -> int | None:
        return await self._storage.free_space()

    async def purge_downloads(self, *, before: int) -> None:
        await self._storage.purge_downloads(before=before)


class _NotingSink(Sink):
    def __init__(self, sink: Sink, key: StorageKey, untold: ChangeJournal) -> None:
        self._sink = sink
        self._key = key
        self._untold = untold

    @property
    def held(self) -> int:
        return self._sink.held

    @property
    def complete(self) -> bool:
        return self._sink.complete

    async def write(self, chunk: bytes, /) -> None:
        await self._sink.write(chunk)

    async def restart(self) -> None:
        await self._sink.restart()

    async def finish(self) -> Content:
        with self._untold.noting([Change(self._key)]):
            return await self._sink.finish()
