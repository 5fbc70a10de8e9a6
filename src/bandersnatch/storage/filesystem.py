"""A mirror on a local disk."""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import os
import stat
from contextlib import AsyncExitStack, suppress
from itertools import islice
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Self

from filelock import FileLock, Timeout

from bandersnatch.concurrency import BlockingExecutor
from bandersnatch.config.schema import FreeSpace
from bandersnatch.errors import LockConflict, MissingObject, StorageError
from bandersnatch.layout import served, trash
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.storage.download import FileDownload
from bandersnatch.storage.port import MirrorStorage
from bandersnatch.storage.space import DiskSpace
from bandersnatch.storage.tree import (
    AREAS,
    PARTIAL,
    READ,
    Tree,
    mapped_errors,
    open_to_read,
    read_into,
    read_through,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

    from bandersnatch.layout import StorageKey
    from bandersnatch.model.content import ExpectedContent
    from bandersnatch.storage.port import FileReadResult, StoredObject

_THREADS = 4
_SCAN_BATCH = 1_000
_MANY, _MUCH = 100, 256 * 1024
"""Files and bytes; looking at more, and writing more, takes longer than waking a thread."""
_LOCK = ".lock"
_ALL_OF_IT = FreeSpace(size=0)


class FilesystemStorage(MirrorStorage):
    """A mirror below one directory.

    As a context it holds the mirror's lock, so that one command at a time changes a mirror;
    ``read_only`` takes no lock and changes nothing, not even by opening.
    """

    def __init__(
        self,
        directory: str,
        *,
        read_only: bool = False,
        threads: int = _THREADS,
        keep_free: FreeSpace = _ALL_OF_IT,
    ) -> None:
        self._root = os.path.abspath(directory)
        self._read_only = read_only
        self._tree = Tree(self._root)
        self._threads = BlockingExecutor(max(threads, _THREADS), "storage")
        self._busy: set[str] = set()
        self._keep_free = keep_free
        self._room = DiskSpace(keep_free, lambda: self._threads.run_short(self._free))
        self._syncing = asyncio.Lock()
        self._lost: StorageError | None = None
        self._locked: os.stat_result | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Take the lock and make the mirror's directory ready.

        :raises LockConflict: if another command has it.
        :raises StorageError: if the directory cannot be used.
        """
        async with AsyncExitStack() as stack:
            stack.callback(self._threads.close)
            if not self._root.strip("/"):
                raise StorageError(self._root, "a mirror needs a directory of its own")
            if not self._read_only:
                await self._threads.run(self._prepare)
                stack.callback(self._lock().release)
                await self._threads.run(self._clear_temporaries)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Release the lock."""
        await self._stack.aclose()

    # ------------------------------------------------------------ opening

    def _prepare(self) -> None:
        with mapped_errors(self._root):
            os.makedirs(f"{self._root}/{PARTIAL}", mode=0o755, exist_ok=True)
            found = os.lstat(f"{self._root}/{PARTIAL}")
            if stat.S_ISLNK(found.st_mode):
                raise StorageError(PARTIAL, "it is a link; make it a directory")
            for area in AREAS:
                path = f"{self._root}/{area}"
                if not os.path.lexists(path):
                    continue
                if not os.path.isdir(path):
                    raise StorageError(area, "it leads to no directory; is its disk mounted?")
                if os.stat(path).st_dev != found.st_dev:
                    why = f"it is on another file system than {PARTIAL}; keep both on one"
                    raise StorageError(area, why)

    def _lock(self) -> FileLock:
        path = f"{self._root}/{_LOCK}"
        lock = FileLock(path, mode=0o644, thread_local=False)
        with mapped_errors(_LOCK):
            try:
                lock.acquire(timeout=0)
            except Timeout:  # is an OSError too
                raise LockConflict(path, _lock_holder(path)) from None
            self._locked = os.stat(path)
        return lock

    def _require_lock(self) -> None:
        """Notice that somebody took the lock file away: the next command could lock another.

        :raises StorageError: if it is not the one that was locked.
        """
        if self._locked is None:
            return
        with mapped_errors(_LOCK):
            try:
                same = os.path.samestat(os.stat(f"{self._root}/{_LOCK}"), self._locked)
            except FileNotFoundError:
                same = False
        if not same:
            why = "it was taken away, and another command may be at work; run this again"
            raise StorageError(_LOCK, why)

    def _clear_temporaries(self) -> None:
        """Remove what a killed run left of pages; of downloads, ``sweep`` decides later."""
        with mapped_errors(PARTIAL), os.scandir(f"{self._root}/{PARTIAL}") as entries:
            for entry in entries:
                if entry.name.startswith("t"):
                    os.unlink(entry.path)

    # ------------------------------------------------------------ Storage

    async def read(self, key: StorageKey, /) -> bytes:
        return await self._threads.run_short(lambda: self._tree.read(key))

    async def write(
        self,
        objects: Mapping[StorageKey, bytes],
        /,
        *,
        absent: Collection[StorageKey] = (),
        durable: bool = False,
    ) -> Sequence[StorageKey]:
        def write() -> list[StorageKey]:
            if durable:
                self._require_lock()
            changed = []
            for key, content in objects.items():
                if not self._tree.holds(key, content):
                    self._tree.write(key, content, durable=durable)
                    changed.append(key)
            return changed + [key for key in absent if self._tree.delete(key, durable=durable)]

        if durable or sum(map(len, objects.values())) > _MUCH:
            return await self._threads.run(write)
        return await self._threads.run_short(write)

    async def publish_version(self, key: StorageKey, version: StorageKey, /) -> None:
        await self._threads.run_short(lambda: self._tree.link(key, version))

    async def discard(self, keys: Collection[StorageKey], /) -> None:
        await self._for_each(keys, lambda key: self._tree.move(key, trash(key)))

    async def recover(self, keys: Collection[StorageKey], /) -> None:
        await self._for_each(keys, lambda key: self._tree.move(key, served(key)))

    async def purge(self, keys: Collection[StorageKey], /) -> None:
        await self._for_each(keys, self._tree.delete)

    async def _for_each(
        self, keys: Collection[StorageKey], change: Callable[[StorageKey], object]
    ) -> None:
        def change_all() -> None:
            for key in keys:
                change(key)

        if keys:
            await self._threads.run(change_all)

    async def scan(self, prefix: StorageKey, /) -> AsyncIterator[StoredObject]:
        found = self._tree.walk(prefix)

        def batch() -> list[StoredObject]:
            with mapped_errors(prefix):
                return list(islice(found, _SCAN_BATCH))

        while objects := await self._threads.run(batch):
            for each in objects:
                yield each

    async def flush(self) -> None:
        async with self._syncing:
            if self._lost is not None:
                raise self._lost
            if self._tree.unsynced:
                self._tree.unsynced = False
                await self._threads.run(self._sync)
                self._require_lock()

    def _sync(self) -> None:
        try:
            with mapped_errors(self._root):
                _sync_file_system(self._root)
        except StorageError as error:
            # The system forgets what it could not write, and says so once: another try would
            # succeed and prove nothing.
            self._lost = error
            raise

    # ------------------------------------------------------------ FileStore

    async def stat(self, keys: Sequence[StorageKey], /) -> Sequence[StoredObject | None]:
        look = self._tree.stat
        if len(keys) > _MANY:
            return await self._threads.run(lambda: [look(key) for key in keys])
        return await self._threads.run_short(lambda: [look(key) for key in keys])

    async def digest(self, key: StorageKey, algorithms: Sequence[str], /) -> Hashes:
        stop = Event()

        def digest() -> Hashes:
            hashers = [hashlib.new(name) for name in algorithms]
            with mapped_errors(key):
                self._require(key)
                read_into(self._tree, key, hashers, stop)
            pairs = zip(algorithms, hashers, strict=True)
            return Hashes(tuple(Digest(name, hasher.hexdigest()) for name, hasher in pairs))

        return await self._threads.run(digest, give_up=stop.set)

    def _require(self, key: StorageKey) -> None:
        if self._tree.stat(key) is None:
            raise MissingObject(key)

    async def read_files(self, keys: Sequence[StorageKey], /) -> Sequence[FileReadResult]:
        stop = Event()

        def read() -> list[FileReadResult]:
            return [read_through(self._tree, key, stop) for key in keys]

        return await self._threads.run(read, give_up=stop.set)

    async def stream(self, key: StorageKey, /) -> AsyncIterator[bytes]:
        def opened() -> int:
            with mapped_errors(key):
                self._require(key)
                return open_to_read(self._tree, key)

        file = await self._threads.run(opened)
        try:
            while True:
                with mapped_errors(key):
                    piece = await self._threads.run(lambda: os.read(file, READ))
                if not piece:
                    break
                yield piece
        finally:
            os.close(file)

    def receive(self, key: StorageKey, expected: ExpectedContent, /) -> FileDownload:
        promise = self._room.promise(key)
        return FileDownload(self._tree, key, expected, self._threads, self._busy, promise)

    async def free_space(self) -> int:
        free, whole = await self._threads.run(self._free)
        return max(0, free - self._keep_free.of(whole))

    def _free(self) -> tuple[int, int]:
        path = self._root
        while not os.path.isdir(path):  # the mirror may not be there yet
            path = os.path.dirname(path)
        with mapped_errors(path):
            found = os.statvfs(path)
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize

    async def purge_downloads(self, *, before: int) -> None:
        def sweep() -> None:
            with mapped_errors(PARTIAL), os.scandir(f"{self._root}/{PARTIAL}") as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        continue  # it is none of ours
                    if entry.stat(follow_symlinks=False).st_mtime < before:
                        os.unlink(entry.path)

        await self._threads.run(sweep)


def _sync_file_system(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            os.sync()
        elif syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs")
    finally:
        os.close(descriptor)


def _lock_holder(path: str) -> str:
    """Say which process holds the lock, where the system tells (Linux, the same host)."""
    with suppress(OSError, ValueError, IndexError):
        inode = str(os.stat(path).st_ino)
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if fields[5].rpartition(":")[2] == inode and int(fields[4]) > 0:
                return f"process {fields[4]}"
    return "another process"
