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
from bandersnatch.layout import StorageKey, served, trash
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.storage.download import FileDownload
from bandersnatch.storage.port import FileReadResult, MirrorStorage, StoredObject
from bandersnatch.storage.space import DiskSpace
from bandersnatch.storage.tree import AREAS, CHUNK, PARTIAL, Tree, mapped_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

    from bandersnatch.model.content import ExpectedContent

_MIN_THREADS = 4
_SCAN_BATCH = 1_000
_MANY_FILES = 100
_MUCH_CONTENT = 256 * 1024
"""Bytes; like the number of files, what takes longer than waking a thread."""
_LOCK = ".lock"
_KEEP_NOTHING_FREE = FreeSpace(size=0)


class FilesystemStorage(MirrorStorage):
    """A mirror below one directory.

    As a context it holds the mirror's lock, so that only one command at a time changes a mirror.
    With ``read_only`` it takes no lock and changes nothing, not even by opening. ``threads`` is
    the number of blocking calls that run concurrently, at least 4.
    """

    def __init__(
        self,
        directory: str,
        *,
        read_only: bool = False,
        threads: int = _MIN_THREADS,
        keep_free: FreeSpace = _KEEP_NOTHING_FREE,
    ) -> None:
        self._root = os.path.abspath(directory)
        self._read_only = read_only
        self._tree = Tree(self._root)
        self._threads = BlockingExecutor(max(threads, _MIN_THREADS), "storage")
        self._downloads: set[str] = set()
        self._keep_free = keep_free
        self._space = DiskSpace(keep_free, lambda: self._threads.run_short(self._disk_usage))
        self._flushing = asyncio.Lock()
        self._flush_error: StorageError | None = None
        self._lock_status: os.stat_result | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Take the lock, and prepare the directory.

        :raises LockConflict: if another command holds it.
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
                    raise StorageError(area, "it is not a directory; is its disk mounted?")
                if os.stat(path).st_dev != found.st_dev:
                    why = f"it is on another file system than {PARTIAL}; keep both on one"
                    raise StorageError(area, why)

    def _lock(self) -> FileLock:
        path = f"{self._root}/{_LOCK}"
        lock = FileLock(path, mode=0o644, thread_local=False)
        with mapped_errors(_LOCK):
            try:
                lock.acquire(timeout=0)
            except Timeout:  # is an OSError, too
                raise LockConflict(path, _lock_holder(path)) from None
            self._lock_status = os.stat(path)
        return lock

    def _require_lock(self) -> None:
        """Check that the lock file was not deleted: another command could lock a new one.

        :raises StorageError: if it is not the file that was locked.
        """
        if self._lock_status is None:
            return
        with mapped_errors(_LOCK):
            try:
                same = os.path.samestat(os.stat(f"{self._root}/{_LOCK}"), self._lock_status)
            except FileNotFoundError:
                same = False
        if not same:
            why = "it was deleted, and another command may be running; run this command again"
            raise StorageError(_LOCK, why)

    def _clear_temporaries(self) -> None:
        """Delete the temporary files of pages; those of downloads can be resumed."""
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
                if not self._tree.has_content(key, content):
                    self._tree.write(key, content, durable=durable)
                    changed.append(key)
            return changed + [key for key in absent if self._tree.delete(key, durable=durable)]

        if durable or sum(map(len, objects.values())) > _MUCH_CONTENT:
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

        def next_batch() -> list[StoredObject]:
            with mapped_errors(prefix):
                return list(islice(found, _SCAN_BATCH))

        while objects := await self._threads.run(next_batch):
            for each in objects:
                yield each

    async def flush(self) -> None:
        """Write back the whole file system once, which is far cheaper than every file alone."""
        async with self._flushing:
            if self._flush_error is not None:
                raise self._flush_error
            if self._tree.unsynced:
                self._tree.unsynced = False
                await self._threads.run(self._sync)
                self._require_lock()

    def _sync(self) -> None:
        try:
            with mapped_errors(self._root):
                _sync_file_system(self._root)
        except StorageError as error:
            # The kernel reports lost writes once and then forgets them: a second attempt would
            # succeed and prove nothing.
            self._flush_error = error
            raise

    # ------------------------------------------------------------ FileStore

    async def stat(self, keys: Sequence[StorageKey], /) -> Sequence[StoredObject | None]:
        def stat_all() -> list[StoredObject | None]:
            return [self._tree.stat(key) for key in keys]

        if len(keys) > _MANY_FILES:
            return await self._threads.run(stat_all)
        return await self._threads.run_short(stat_all)

    async def digest(self, key: StorageKey, algorithms: Sequence[str], /) -> Hashes:
        stop = Event()

        def digest() -> Hashes:
            hashers = [hashlib.new(name) for name in algorithms]
            with mapped_errors(key):
                self._require(key)
                self._tree.hash(key, hashers, stop)
            pairs = zip(algorithms, hashers, strict=True)
            return Hashes(tuple(Digest(name, hasher.hexdigest()) for name, hasher in pairs))

        return await self._threads.run(digest, cancel=stop.set)

    def _require(self, key: StorageKey) -> None:
        if self._tree.stat(key) is None:
            raise MissingObject(key)

    async def read_files(self, keys: Sequence[StorageKey], /) -> Sequence[FileReadResult]:
        stop = Event()

        def read() -> list[FileReadResult]:
            return [self._tree.read_file(key, stop) for key in keys]

        return await self._threads.run(read, cancel=stop.set)

    async def stream(self, key: StorageKey, /) -> AsyncIterator[bytes]:
        def open_file() -> int:
            with mapped_errors(key):
                self._require(key)
                return self._tree.open(key)

        file = await self._threads.run(open_file)
        try:
            while True:
                with mapped_errors(key):
                    chunk = await self._threads.run(lambda: os.read(file, CHUNK))
                if not chunk:
                    break
                yield chunk
        finally:
            os.close(file)

    def receive(self, key: StorageKey, expected: ExpectedContent, /) -> FileDownload:
        reservation = self._space.reservation(key)
        return FileDownload(self._tree, key, expected, self._threads, self._downloads, reservation)

    async def free_space(self) -> int:
        """Return the free space less what is to be kept free, in bytes."""
        free, total = await self._threads.run(self._disk_usage)
        return max(0, free - self._keep_free.of(total))

    def _disk_usage(self) -> tuple[int, int]:
        """Return the free bytes that this user may write, and the total bytes of the disk."""
        path = self._root
        while not os.path.isdir(path):  # the mirror may not exist yet
            path = os.path.dirname(path)
        with mapped_errors(path):
            found = os.statvfs(path)
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize

    async def purge_downloads(self, *, before: int) -> None:
        def purge() -> None:
            with mapped_errors(PARTIAL), os.scandir(f"{self._root}/{PARTIAL}") as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        continue  # not made by this program
                    if entry.stat(follow_symlinks=False).st_mtime < before:
                        os.unlink(entry.path)

        await self._threads.run(purge)


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
    """Return which process holds the lock, if the system reports it (Linux, the same host)."""
    with suppress(OSError, ValueError, IndexError):
        inode = str(os.stat(path).st_ino)
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            fields = line.split()
            if fields[5].rpartition(":")[2] == inode and int(fields[4]) > 0:
                return f"process {fields[4]}"
    return "another process"
