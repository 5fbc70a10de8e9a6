"""A mirror on a local disk."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, suppress
from itertools import islice
from threading import Event
from typing import TYPE_CHECKING, Self

from bandersnatch.concurrency import BlockingExecutor
from bandersnatch.config.schema import FreeSpace
from bandersnatch.errors import MissingObject, StorageError
from bandersnatch.layout import StorageKey, served, trash
from bandersnatch.model.digests import Digest, Hashes, new_hasher
from bandersnatch.model.folding import EXACT, Folding
from bandersnatch.storage.areas import ROOT, probe_folding, split_key
from bandersnatch.storage.directory import require_regular
from bandersnatch.storage.download import FileDownload
from bandersnatch.storage.lock import LOCK, MirrorLock
from bandersnatch.storage.port import FileReadResult, MirrorStorage, StorageSpace, StoredObject
from bandersnatch.storage.space import DiskSpace
from bandersnatch.storage.system import open_directory
from bandersnatch.storage.temporary import CHUNK, purge_files
from bandersnatch.storage.tree import Copied, Tree, mapped_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Hashable, Mapping, Sequence

    from bandersnatch.model.content import ExpectedContent
    from bandersnatch.storage.areas import Disk
    from bandersnatch.storage.directory import Directory, DirectoryUsage

_MIN_THREADS = 4
_SCAN_BATCH = 1_000
_MANY_FILES = 100
_MUCH_CONTENT = 256 * 1024
"""Bytes; like the number of files, what takes longer than waking a thread."""
OWNER_MARK = "."
"""Begins the name of a worker that leaves its downloads to the next command when it is killed."""

_KEEP_NOTHING_FREE = FreeSpace(size=0)


class FilesystemStorage(MirrorStorage):
    """A mirror below one directory.

    As a context it holds the mirror's lock, so that only one command at a time changes a mirror.
    With ``read_only`` it takes no lock and changes nothing, not even by opening. A ``worker``, by
    its name, works for a command that holds the lock, beside other workers: it takes no lock, and
    leaves temporary files alone that are not its own. ``threads`` is the number of blocking calls
    that run concurrently, at least 4. ``opener`` opens the directory.
    """

    def __init__(
        self,
        directory: str,
        *,
        read_only: bool = False,
        threads: int = _MIN_THREADS,
        keep_free: FreeSpace = _KEEP_NOTHING_FREE,
        opener: Callable[[str], Directory] = open_directory,
        worker: str = "",
    ) -> None:
        self._root = os.path.abspath(directory)
        self._read_only = read_only
        self._worker = worker
        self._tree = Tree(self._root, opener)
        self._threads = BlockingExecutor(max(threads, _MIN_THREADS), "storage")
        self._downloads: set[str] = set()
        self._keep_free = keep_free
        self._spaces: dict[Hashable, DiskSpace] = {}  # by device
        self._folding = EXACT
        self._flushing = asyncio.Lock()
        self._flush_error: StorageError | None = None
        self._lock: MirrorLock | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Take the lock, and prepare the directory.

        :raises LockConflict: if another command holds it.
        :raises StorageError: if the directory cannot be used.
        """
        async with AsyncExitStack() as stack:
            stack.callback(self._tree.close)
            stack.callback(self._threads.close)
            if not self._root.strip("/"):
                raise StorageError(self._root, "a mirror needs a directory of its own")
            await self._threads.run(self._open)
            if self._worker:
                await self._threads.run(self._probe_disks)
            elif not self._read_only:
                self._lock = self._take_lock()
                stack.callback(self._lock.release)
                await self._threads.run(self._prepare)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Release the lock."""
        await self._stack.aclose()

    # ------------------------------------------------------------ opening

    def _open(self) -> None:
        with mapped_errors(self._root):
            if not (self._read_only or self._worker):
                with suppress(FileExistsError):  # anything but a directory; to open it says so
                    os.makedirs(self._root, mode=0o755, exist_ok=True)
            try:
                self._tree.open()
            except FileNotFoundError:
                if not self._read_only:
                    raise  # a reader finds nothing

    def _prepare(self) -> None:
        """Check that all areas can be written to, and delete temporary files of pages.

        Those of downloads can be resumed; no other process owns one while this one has the lock.
        """
        for disk in self._tree.areas.disks():
            if disk.place:  # in the mirror's directory the lock has just been created
                with mapped_errors(disk.place):
                    disk.probe()
            with mapped_errors(disk.staging_key):
                staging = disk.staging()
                self._folding |= probe_folding(staging)
                for entry in staging.entries():
                    download, mark, _ = entry.name.partition(OWNER_MARK)
                    if entry.name.startswith("t"):
                        staging.delete(entry.name)
                    elif mark and not entry.is_directory:  # of a process that was killed
                        staging.rename(entry.name, staging, download)

    def _probe_disks(self) -> None:
        """Check that all areas can be written to, and what they ignore in names."""
        for disk in self._tree.areas.disks():
            with mapped_errors(disk.place or self._root):
                disk.probe()
            with mapped_errors(disk.staging_key):
                self._folding |= probe_folding(disk.staging())

    def _take_lock(self) -> MirrorLock:
        with mapped_errors(LOCK):
            require_regular(self._tree.areas.get(ROOT).directory, LOCK)
        lock = MirrorLock(self._root)
        lock.acquire()
        return lock

    def _require_lock(self) -> None:
        if self._lock is not None:
            self._lock.require()

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
        await self._move([(key, trash(key)) for key in keys])

    async def recover(self, keys: Collection[StorageKey], /) -> None:
        await self._move([(key, served(key)) for key in keys])

    async def _move(self, moves: Sequence[tuple[StorageKey, StorageKey]]) -> None:
        """Rename files; copy those that have to change the file system.

        A copy is durable before the original is deleted: never is there only a copy that a power
        failure could undo.

        :raises InsufficientSpace: if there is not enough space for a copy.
        """
        async with AsyncExitStack() as stack:
            for source, target in moves:
                if self._tree.is_apart(source, target):
                    (found,) = await self.stat([source])
                    reservation = self._space(target).reservation(target)
                    stack.callback(reservation.release)
                    await reservation.extend(found.size if found is not None else 0)
            if moves:
                copied = await self._threads.run(lambda: self._rename_or_copy(moves))
                if copied:
                    await self.flush()
                    await self._threads.run(lambda: self._delete_copied(copied))

    def _rename_or_copy(self, moves: Sequence[tuple[StorageKey, StorageKey]]) -> list[Copied]:
        """Move files in order; return the copied ones, whose originals are not deleted yet."""
        copied = []
        for source, target in moves:
            if not self._tree.move(source, target):
                copy = self._tree.copy(source, target)
                copied += [copy] if copy is not None else []
        return copied

    def _delete_copied(self, copied: Sequence[Copied]) -> None:
        for each in copied:
            self._tree.delete_copied(each)

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

    @property
    def folding(self) -> Folding:
        return self._folding

    async def probe(self, key: StorageKey, /) -> None:
        await self._threads.run(lambda: self._tree.probe(key))

    async def flush(self) -> None:
        """Write back each file system once, which is far cheaper than every file alone."""
        async with self._flushing:
            if self._flush_error is not None:
                raise self._flush_error
            if disks := [disk for disk in self._tree.areas.disks() if disk.unsynced]:
                await self._threads.run(lambda: self._sync(disks))
                self._require_lock()

    def _sync(self, disks: Sequence[Disk]) -> None:
        for disk in disks:
            disk.unsynced = False  # before: what is written meanwhile needs the next flush
        try:
            for disk in {disk.device: disk for disk in disks}.values():
                with mapped_errors(disk.place or self._root):
                    disk.directory.sync_file_system()
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
            hashers = [new_hasher(name) for name in algorithms]
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
                return self._tree.open_file(key)

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
        reservation = self._space(key).reservation(key)
        return FileDownload(
            self._tree,
            key,
            expected,
            self._threads,
            self._downloads,
            reservation,
            owner=self._worker,
        )

    def _space(self, key: StorageKey) -> DiskSpace:
        """Return the account of the free space where ``key`` is, or will be."""
        disk = self._tree.areas.disk(split_key(key)[0])
        device = disk.device if disk is not None else None
        if device not in self._spaces:
            self._spaces[device] = DiskSpace(
                self._keep_free, lambda: self._threads.run_short(lambda: self._usage(disk))
            )
        return self._spaces[device]

    async def free_space(self, prefix: StorageKey, /) -> StorageSpace:
        disk = self._tree.areas.disk(split_key(f"{prefix}x")[0])
        free, total = await self._threads.run(lambda: self._usage(disk))
        place = disk.place if disk is not None else ROOT
        return StorageSpace(StorageKey(place), max(0, free - self._keep_free.of(total)))

    def _usage(self, disk: Disk | None) -> DirectoryUsage:
        """Return the space of a file system; ``disk`` is None if the mirror does not exist yet."""
        if disk is not None:
            with mapped_errors(disk.place or self._root):
                return disk.directory.usage()
        path = self._root
        while not os.path.isdir(path):
            path = os.path.dirname(path)
        with mapped_errors(path), open_directory(path) as directory:
            return directory.usage()

    async def purge_downloads(self, *, before: int) -> None:
        def purge() -> None:
            for disk in self._tree.areas.disks():
                with mapped_errors(disk.staging_key):
                    purge_files(disk.staging(), before)

        await self._threads.run(purge)
