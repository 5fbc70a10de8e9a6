"""What web servers read of a mirror on a local disk; takes no lock and changes nothing."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Self

from bandersnatch.concurrency import SHORT, BlockingExecutor
from bandersnatch.errors import MissingObject, StorageError
from bandersnatch.storage.lock import is_mirror_locked
from bandersnatch.storage.port import ServedContent, ServedObject, ServedStorage
from bandersnatch.storage.system import open_directory
from bandersnatch.storage.tree import Tree, mapped_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from socket import socket

    from bandersnatch.layout import StorageKey
    from bandersnatch.storage.directory import Directory

_REOPEN = 5.0
"""Seconds after which the areas are opened again: the operator may have exchanged them."""

_SLOW_IN_A_ROW = 5
"""Calls in a row that took longer than ``SHORT``: then the storage is slow, and not the machine."""

_SLOW_TIME = 10.0
"""Seconds for which a slow storage is not asked in the event loop."""

_SHORT_READ = 64 * 1024
"""Bytes; reading more takes longer than waking a thread, even from the page cache."""


class ServedFiles(ServedStorage):
    """The files of a mirror below ``directory``; a context.

    The directory need not exist yet. ``threads`` is the number of concurrent blocking reads.
    """

    def __init__(
        self,
        directory: str,
        *,
        threads: int = 8,
        opener: Callable[[str], Directory] = open_directory,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._root = os.path.abspath(directory)
        self._opener = opener
        self._now = now
        self._threads = BlockingExecutor(threads, "serve")
        self._tree: Tree | None = None
        self._replaced: Tree | None = None
        self._reopen_at = float("-inf")
        self._slow = 0
        self._slow_until = float("-inf")

    async def __aenter__(self) -> Self:
        """Return the storage; directories are opened when they are needed."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the directories."""
        self._threads.close()
        for tree in (self._tree, self._replaced):
            if tree is not None:
                tree.close()
        self._tree = self._replaced = None

    def _current(self) -> Tree:
        """Return the tree, as it was opened a few seconds ago at most.

        The tree before it stays open meanwhile: another thread may be using it.

        :raises StorageError: if there is no such directory, or an area is not a directory.
        """
        now = self._now()
        if self._tree is not None and now < self._reopen_at:
            return self._tree
        opened = Tree(self._root, self._opener)
        try:
            with mapped_errors(self._root):
                opened.open()
        except BaseException:
            opened.close()
            raise
        replaced, self._replaced, self._tree = self._replaced, self._tree, opened
        self._reopen_at = now + _REOPEN
        if replaced is not None:
            replaced.close()
        return opened

    async def look(
        self, key: StorageKey, /, known: ServedObject | None = None
    ) -> ServedObject | None:
        tree = self._open_tree()
        if known is not None and self._confirms(tree, key, known):
            return known
        return await self._threads.run_short(lambda: _look(tree, key))

    def _confirms(self, tree: Tree, key: StorageKey, known: ServedObject) -> bool:
        """Whether an object is known not to have changed; False if the storage is slow, too.

        One system call in the event loop. The file that was opened step by step before is the
        same, by whatever way it is found.
        """
        began = self._now()
        if began < self._slow_until:
            return False
        try:
            return _tag(tree.status_by_path(key)) == known.tag
        except (OSError, StorageError, UnicodeEncodeError):
            return False
        finally:
            ended = self._now()
            self._slow = self._slow + 1 if ended - began > SHORT else 0
            if self._slow == _SLOW_IN_A_ROW:  # one alone may have waited for the processor
                self._slow, self._slow_until = 0, ended + _SLOW_TIME

    async def is_locked(self) -> bool:
        return await self._threads.run(lambda: is_mirror_locked(self._root))

    def _open_tree(self) -> Tree:
        try:
            return self._current()
        except MissingObject as error:
            raise StorageError(self._root, "there is no such directory; is it mounted?") from error

    @asynccontextmanager
    async def open(self, key: StorageKey, /) -> AsyncIterator[_OpenFile]:
        tree = self._open_tree()
        opened: list[int] = []  # also what a thread opens after the task was cancelled
        try:
            with mapped_errors(key):
                await self._threads.run_short(lambda: opened.append(tree.open_served(key)))
            yield _OpenFile(key, opened[0], self._threads)
        finally:
            for descriptor in opened:
                os.close(descriptor)


class _OpenFile(ServedContent):
    def __init__(self, key: StorageKey, descriptor: int, threads: BlockingExecutor) -> None:
        self._key = key
        self._descriptor = descriptor
        self._threads = threads
        self._found = _served_object(os.fstat(descriptor))

    @property
    def found(self) -> ServedObject:
        return self._found

    async def read(self, start: int, size: int, /) -> bytes | bytearray:
        def read() -> bytes:
            with mapped_errors(self._key):
                return _read(self._descriptor, start, size)

        if size <= _SHORT_READ:
            return await self._threads.run_short(read)
        if (found := _read_cached(self._descriptor, start, size)) is not None:
            return found
        return await self._threads.run(read)

    @property
    def can_send(self) -> bool:
        return hasattr(os, "RWF_NOWAIT") and hasattr(os, "sendfile")  # Linux

    async def send(self, to: socket, start: int, size: int, /) -> int:
        def send() -> int:
            return os.sendfile(to.fileno(), self._descriptor, start, size)

        if _is_cached(self._descriptor, start + size - 1):
            return send()
        return await self._threads.run(send)


def _look(tree: Tree, key: StorageKey) -> ServedObject | None:
    with mapped_errors(key):
        found = tree.served_status(key)
    return None if found is None else _served_object(found)


def _served_object(found: os.stat_result) -> ServedObject:
    return ServedObject(found.st_size, found.st_mtime_ns, _tag(found))


def _tag(found: os.stat_result) -> tuple[int, int, int, int, int]:
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_dev


def _is_cached(descriptor: int, at: int) -> bool:
    """Whether the system has a byte in memory; what it reads ahead ends with that byte, mostly."""
    try:
        return os.preadv(descriptor, [bytearray(1)], at, os.RWF_NOWAIT) == 1
    except OSError:
        return False


def _read_cached(descriptor: int, start: int, size: int) -> bytearray | None:
    """Read bytes that the system has in memory; None if it would have to wait for a disk."""
    if not hasattr(os, "RWF_NOWAIT"):  # Linux
        return None
    buffer = bytearray(size)
    try:
        count = os.preadv(descriptor, [buffer], start, os.RWF_NOWAIT)
    except OSError:
        return None
    return buffer if count == size else None


def _read(descriptor: int, start: int, size: int) -> bytes:
    """Read ``size`` bytes at an offset, or all that there are."""
    if hasattr(os, "pread"):
        found = os.pread(descriptor, size, start)
        if len(found) == size:
            return found
        pieces = [found]
        while found and (left := size - sum(map(len, pieces))):
            found = os.pread(descriptor, left, start + size - left)
            pieces.append(found)
        return b"".join(pieces)
    os.lseek(descriptor, start, os.SEEK_SET)
    with open(os.dup(descriptor), "rb") as file:
        return file.read(size)
