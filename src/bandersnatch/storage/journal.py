"""A write-ahead journal of served changes, so that the diff file survives a kill."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from bandersnatch.errors import IntegrityError
from bandersnatch.layout import LAST_MODIFIED, MARK, WEB, StorageKey, served
from bandersnatch.storage.directory import open_regular
from bandersnatch.storage.system import open_directory
from bandersnatch.storage.temporary import CHUNK, write_all
from bandersnatch.storage.tree import KEY, mapped_errors
from bandersnatch.storage.wrapper import SinkWrapper, StorageWrapper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence

    from bandersnatch.model.content import Content, ExpectedContent
    from bandersnatch.storage.port import MirrorStorage, Sink

JOURNAL = ".journal"
"""The name of the file, in the mirror's directory."""

_WRITTEN, _DELETED, _END = "+", "-", b"\0"


class Change(NamedTuple):
    """A possible change: an object is written, or ``deleted``."""

    key: StorageKey
    deleted: bool = False


class ChangeJournal:
    """The changes that this run, and an earlier one that was killed, may have made.

    An entry is in the file before the change is made. ``uncertain`` are the changes of this run
    that failed and may have been made nevertheless.
    """

    def __init__(self, directory: str) -> None:
        self._directory = os.path.abspath(directory)
        self._descriptor: int | None = None
        self.uncertain: set[Change] = set()

    def unreported(self) -> Iterator[Change]:
        """Yield the changes that a run may have made that was killed before it reported them."""
        with mapped_errors(JOURNAL), suppress(FileNotFoundError):
            with open_directory(self._directory) as directory:
                file = open_regular(directory, JOURNAL)
            with open(file, "rb") as chunks:
                rest = b""
                while chunk := chunks.read(CHUNK):
                    *entries, rest = (rest + chunk).split(_END)
                    yield from filter(None, map(_parse_entry, entries))

    @contextmanager
    def recording(self, changes: Iterable[Change]) -> Iterator[None]:
        """Record changes before the block makes them."""
        recorded = {each for each in changes if _is_served(each.key)}
        self._append(recorded)
        self.uncertain |= recorded
        try:
            yield
        except IntegrityError:
            self.uncertain -= recorded  # the content was rejected before it was published
            raise
        self.uncertain -= recorded

    def expect(self, written: Collection[str], deleted: Collection[str]) -> None:
        """Record changes that another process is about to make."""
        changes = set(_changes(written, deleted))
        self._append(changes)
        self.uncertain |= changes

    def settle(self, written: Collection[str], deleted: Collection[str]) -> None:
        """Take changes of another process for certain, or for not made: its events say which."""
        self.uncertain -= set(_changes(written, deleted))

    def _append(self, changes: Collection[Change]) -> None:
        texts = [f"{_DELETED if c.deleted else _WRITTEN}{c.key}".encode() for c in changes]
        with mapped_errors(JOURNAL):
            if self._descriptor is None and texts:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
                with open_directory(self._directory) as directory:
                    self._descriptor = open_regular(directory, JOURNAL, flags, 0o644)
            if self._descriptor is not None:
                # The first delimiter ends an entry that a kill may have left incomplete.
                write_all(self._descriptor, _END.join([b"", *texts, b""]))

    def close(self, *, reported: bool) -> None:
        """Delete the file if all changes are ``reported``; else keep it for the next run."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if reported:
            with mapped_errors(JOURNAL), suppress(FileNotFoundError):
                _delete(self._directory)


def _delete(path: str) -> None:
    with open_directory(path) as directory:
        directory.delete(JOURNAL)


def _changes(written: Iterable[str], deleted: Iterable[str]) -> Iterator[Change]:
    for keys, is_deleted in ((written, False), (deleted, True)):
        for key in keys:
            if KEY.fullmatch(key) and _is_served(StorageKey(key)):
                yield Change(StorageKey(key), deleted=is_deleted)


def _is_served(key: StorageKey) -> bool:
    return key.startswith(WEB) and key not in {LAST_MODIFIED, MARK}


def _parse_entry(text: bytes) -> Change | None:
    """Return the change of an entry; None if it is invalid, as one of another program may be."""
    kind, key = text[:1].decode(errors="replace"), text[1:].decode(errors="replace")
    if kind not in {_WRITTEN, _DELETED} or not KEY.fullmatch(key):
        return None
    change = Change(StorageKey(key), deleted=kind == _DELETED)
    return change if _is_served(change.key) else None


class JournalingStorage(StorageWrapper):
    """Wraps a storage, and records every change of the served tree before it is made.

    ``publish_version`` is not recorded: the version that it shows was.
    """

    def __init__(self, storage: MirrorStorage, journal: ChangeJournal) -> None:
        super().__init__(storage)
        self._journal = journal

    @property
    def journal(self) -> ChangeJournal:
        """The journal that changes are recorded in."""
        return self._journal

    async def write(
        self,
        objects: Mapping[StorageKey, bytes],
        /,
        *,
        absent: Collection[StorageKey] = (),
        durable: bool = False,
    ) -> Sequence[StorageKey]:
        changes = [*map(Change, objects), *(Change(key, deleted=True) for key in absent)]
        with self._journal.recording(changes):
            return await self._storage.write(objects, absent=absent, durable=durable)

    async def discard(self, keys: Collection[StorageKey], /) -> None:
        with self._journal.recording([Change(key, deleted=True) for key in keys]):
            await self._storage.discard(keys)

    async def recover(self, keys: Collection[StorageKey], /) -> None:
        with self._journal.recording([Change(served(key)) for key in keys]):
            await self._storage.recover(keys)

    @asynccontextmanager
    async def receive(self, key: StorageKey, expected: ExpectedContent, /) -> AsyncIterator[Sink]:
        async with self._storage.receive(key, expected) as sink:
            yield _JournalingSink(sink, key, self._journal)


class _JournalingSink(SinkWrapper):
    def __init__(self, sink: Sink, key: StorageKey, journal: ChangeJournal) -> None:
        super().__init__(sink)
        self._key = key
        self._journal = journal

    async def finish(self) -> Content:
        with self._journal.recording([Change(self._key)]):
            return await self._sink.finish()
