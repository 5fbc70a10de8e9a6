"""What web servers read of a mirror on a local disk; takes no lock and changes nothing."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING, Self

from bandersnatch.concurrency import BlockingExecutor
from bandersnatch.errors import MissingObject, StorageError
from bandersnatch.storage.filesystem import is_mirror_locked
from bandersnatch.storage.port import ServedContent, ServedObject, ServedStorage
from bandersnatch.storage.system import open_directory
from bandersnatch.storage.tree import Tree, mapped_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bandersnatch.layout import StorageKey
    from bandersnatch.storage.directory import Directory

_REOPEN = 5.0
"""Seconds after which the areas are opened again: the operator may have exchanged them."""

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
        return await self._threads.run_short(lambda: _look(tree, key, known))

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

    async def read(self, start: int, size: int, /) -> bytes:
        def read() -> bytes:
            with mapped_errors(self._key):
                return _read(self._descriptor, start, size)

        if size <= _SHORT_READ:
            return await self._threads.run_short(read)
        return await self._threads.run(read)


def _look(tree: Tree, key: StorageKey, known: ServedObject | None) -> ServedObject | None:
    if known is not None:
        # The file that was opened step by step before is the same, by whatever way it is found.
        with suppress(OSError, StorageError, UnicodeEncodeError):
            if _tag(tree.status_by_path(key)) == known.tag:
                return known
    with mapped_errors(key):
        found = tree.served_status(key)
    return None if found is None else _served_object(found)


def _served_object(found: os.stat_result) -> ServedObject:
    return ServedObject(found.st_size, found.st_mtime_ns, _tag(found))


def _tag(found: os.stat_result) -> tuple[int, int, int, int, int]:
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_dev


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
