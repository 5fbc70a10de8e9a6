"""A mirror in a bucket; its lock, its catalogue and its unfinished downloads are local."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Self

from bandersnatch.concurrency import BlockingExecutor, bounded_map
from bandersnatch.errors import LockConflict, MissingObject, StorageError
from bandersnatch.layout import (
    MARK,
    PACKAGES,
    SIMPLE,
    STATUS,
    TRASH,
    WEB,
    StorageKey,
    served,
    trash,
)
from bandersnatch.model.digests import Digest, Hashes, new_hasher
from bandersnatch.storage.directory import open_regular
from bandersnatch.storage.lock import LOCK, MirrorLock
from bandersnatch.storage.port import (
    FileReadResult,
    Listing,
    MirrorStorage,
    StorageSpace,
    StoredObject,
)
from bandersnatch.storage.s3.attributes import stored_hashes
from bandersnatch.storage.s3.bucket import Bucket, has_content
from bandersnatch.storage.s3.listing import ListingFile
from bandersnatch.storage.s3.spool import Spool, SpooledDownload
from bandersnatch.storage.s3.uploads import UnfinishedUploads, known_keys
from bandersnatch.storage.temporary import CHUNK
from bandersnatch.storage.tree import mapped_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence
    from types import TracebackType

    from bandersnatch.config.schema import StorageSettings
    from bandersnatch.model.content import ExpectedContent
    from bandersnatch.storage.s3.bucket import ClientFactory

_THREADS = 4
_AREAS = (PACKAGES, SIMPLE, WEB, TRASH)
_PROBE = ".bandersnatch-probe"
_LEFT_OVER = ("/.s3keep", f"/{_PROBE}")
"""What ends the keys of empty objects: of earlier releases, in the place of directories, and ours.

They are not listed, and are deleted when a command has found them.
"""

_OPEN = ".open"
"""A file in the state directory while a command is at work."""

_OTHER_COMMAND = "a command on another machine, which has changed the mirror since this one began"

_NO_MIRROR = (
    "there is no mirror here, and must-exist = true; to begin a new mirror, set must-exist = false "
    "for one run"
)


class BucketStorage(MirrorStorage):
    """A mirror in a bucket.

    As a context it holds the mirror's lock in the state directory: it excludes other commands on
    this machine, and no others. One on another machine is noticed when it moves the mark of the
    mirror: then whatever makes work durable raises ``LockConflict``. With ``read_only`` it takes no
    lock and changes nothing.
    ``is_worker`` is for a process that works for such a command, with a state directory of its own;
    the command itself ``has_workers`` then, which write to the bucket, too.
    ``environment`` has the variables that credentials are found by; ``client`` makes the client.
    """

    def __init__(
        self,
        settings: StorageSettings,
        environment: Mapping[str, str],
        *,
        read_only: bool = False,
        is_worker: bool = False,
        has_workers: bool = False,
        threads: int = _THREADS,
        client: ClientFactory | None = None,
    ) -> None:
        assert settings.bucket is not None, "the mirror is in a bucket"
        self._settings = settings
        self._state = os.path.abspath(settings.state_directory)
        self._environment = environment
        self._read_only = read_only
        self._is_worker = is_worker
        self._has_workers = has_workers
        self._bucket = Bucket(settings.bucket, environment, client)
        self._concurrency = settings.bucket.verify_concurrency
        self._threads = BlockingExecutor(max(threads, _THREADS), "storage")
        self._spool = Spool(self._state, self._threads, settings.keep_free)
        self._lock = MirrorLock(self._state, f"{self._state}/{LOCK}")
        self._was_closed = False
        self._mark = b""
        self._left_over: set[StorageKey] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Take the lock, and prepare the state directory.

        :raises LockConflict: if another command holds it.
        :raises StorageError: if the state directory cannot be used, or if there must be a mirror
            and is none.
        """
        async with AsyncExitStack() as stack:
            stack.callback(self._threads.close)
            must_exist = self._settings.must_exist and not self._is_worker
            if must_exist and await self._bucket.head(STATUS) is None:
                raise StorageError(self._settings.directory, _NO_MIRROR)
            if not self._read_only:
                await self._threads.run(self._make_state_directory)
                self._lock.acquire()
                stack.callback(self._lock.release)
                await self._threads.run(self._spool.open)
                stack.callback(self._spool.close)
                if not self._is_worker:
                    await self._threads.run(self._mark_open)
                    stack.push(self._mark_closed)
                    self._mark = await self._read_mark()
                    if not (self._mark or self._has_workers):
                        await self._bucket.note_if_empty(WEB)
                    if not self._was_closed:
                        await self._threads.run(self._abort_uploads)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Delete what earlier releases left, and release the lock."""
        try:
            if kind is None and not self._read_only:
                await self._bucket.delete(sorted(self._left_over))
        finally:
            await self._stack.__aexit__(kind, error, traceback)

    def _make_state_directory(self) -> None:
        try:
            os.makedirs(self._state, mode=0o755, exist_ok=True)
        except OSError as error:
            why = f"{error.strerror}; [s3] state-directory names another place"
            raise StorageError(self._state, why) from error

    def _mark_open(self) -> None:
        """Create the file that says that a command is at work, and that an interrupted one was."""
        with mapped_errors(self._state):
            self._was_closed = not os.path.lexists(f"{self._state}/{_OPEN}")
            flags = os.O_WRONLY | os.O_CREAT
            os.close(open_regular(self._spool.home, _OPEN, flags, 0o644))

    def _abort_uploads(self) -> None:
        """Delete the parts of uploads that an interrupted command may have left, if possible.

        A lifecycle rule of the bucket does the same.
        """
        assert self._settings.bucket is not None, "the mirror is in a bucket"
        with suppress(OSError, StorageError):
            keys = known_keys(self._settings.bucket, self._environment)
            if keys is not None:
                UnfinishedUploads(self._settings.bucket, self._environment, keys).abort_all()

    def _mark_closed(self, kind: type[BaseException] | None, *_: object) -> None:
        """Delete the file if the command ended in order."""
        if kind is None:
            with suppress(OSError):
                self._spool.home.delete(_OPEN)

    async def _read_mark(self) -> bytes:
        """Return the mark of the mirror; it is empty if there is none."""
        try:
            return await self._bucket.read(MARK)
        except MissingObject:
            return b""

    async def _require_alone(self) -> None:
        """Check that no other command works on the mirror, as far as that can be noticed.

        :raises LockConflict: if a command on another machine has moved the mark.
        :raises StorageError: if the lock file was deleted.
        """
        self._lock.require()
        if not self._is_worker and await self._read_mark() != self._mark:
            raise LockConflict(self._settings.directory, _OTHER_COMMAND)

    # ------------------------------------------------------------ Storage

    async def read(self, key: StorageKey, /) -> bytes:
        return await self._bucket.read(key)

    async def write(
        self,
        objects: Mapping[StorageKey, bytes],
        /,
        *,
        absent: Collection[StorageKey] = (),
        durable: bool = False,
    ) -> Sequence[StorageKey]:
        if durable:
            await self._require_alone()
        changed = await self._changed(objects)
        for key in changed:
            await self._bucket.write(key, objects[key])
            if key == MARK:
                self._mark = objects[key]
        gone = await self._existing(absent)
        for key in gone:
            await self._bucket.delete([key])
        return changed + gone

    async def _changed(self, objects: Mapping[StorageKey, bytes]) -> list[StorageKey]:
        """Return the keys whose objects have another content."""
        changed: set[StorageKey] = set()

        async def compare(key: StorageKey) -> None:
            head = await self._bucket.head(key)
            is_same = False if head is None else has_content(head, objects[key])
            if is_same is None:
                with suppress(MissingObject):
                    is_same = await self._bucket.read(key) == objects[key]
            if not is_same:
                changed.add(key)

        await bounded_map(compare, list(objects), most=self._concurrency)
        return [key for key in objects if key in changed]

    async def _existing(self, keys: Collection[StorageKey]) -> list[StorageKey]:
        found = await self.stat(list(dict.fromkeys(keys)))
        return [each.key for each in found if each is not None]

    async def publish_version(self, key: StorageKey, version: StorageKey, /) -> None:
        await self._bucket.copy_at_once(version, key)

    async def discard(self, keys: Collection[StorageKey], /) -> None:
        await self._move([(key, trash(key)) for key in dict.fromkeys(keys)])

    async def recover(self, keys: Collection[StorageKey], /) -> None:
        await self._move([(key, served(key)) for key in dict.fromkeys(keys)])

    async def _move(self, moves: Sequence[tuple[StorageKey, StorageKey]]) -> None:
        """Copy all objects, and then delete them in order."""
        copied: set[StorageKey] = set()

        async def copy(move: tuple[StorageKey, StorageKey]) -> None:
            if await self._bucket.copy(*move):
                copied.add(move[0])

        await bounded_map(copy, moves, most=self._concurrency)
        for source, _ in moves:
            if source in copied:
                await self._bucket.delete([source])

    async def purge(self, keys: Collection[StorageKey], /) -> None:
        await self._bucket.delete(list(dict.fromkeys(keys)))

    async def scan(self, prefix: StorageKey, /) -> AsyncIterator[StoredObject]:
        async for page in self._bucket.scan(prefix):
            for found in page:
                if found.key.endswith(_LEFT_OVER) and found.size == 0:
                    self._left_over.add(found.key)
                else:
                    yield found

    @property
    def believes_records(self) -> bool:
        return self._was_closed

    async def probe(self, key: StorageKey, /) -> None:
        area = next((each for each in _AREAS if key.startswith(each)), "")
        place = StorageKey(f"{area}{_PROBE}")
        try:
            if not self._read_only:
                await self._bucket.delete([place])  # first: or it would stay where that is refused
                await self._bucket.write(place, b"")
                await self._bucket.delete([place])
            with suppress(MissingObject):
                await self._bucket.read(place)
        except StorageError as error:
            raise StorageError(error.key, error.why) from error  # it is not one of one place

    async def flush(self) -> None:
        """Check that no other command works on the mirror; what a store answered is durable."""
        if not self._read_only:
            await self._require_alone()

    # ------------------------------------------------------------ FileStore

    async def stat(self, keys: Sequence[StorageKey], /) -> Sequence[StoredObject | None]:
        found: dict[StorageKey, StoredObject] = {}

        async def look(key: StorageKey) -> None:
            head = await self._bucket.head(key)
            if head is not None:
                found[key] = StoredObject(key, head.size, head.modified)

        await bounded_map(look, list(dict.fromkeys(keys)), most=self._concurrency)
        return [found.get(key) for key in keys]

    @asynccontextmanager
    async def listing(self, *prefixes: StorageKey) -> AsyncIterator[Listing]:
        """List the objects into temporary files, which have about 120 bytes for each of them."""
        with ExitStack() as stack:
            files = {each: stack.enter_context(ListingFile(self._state)) for each in prefixes}

            async def fill(prefix: StorageKey) -> None:
                async for page in self._bucket.scan(prefix):
                    await self._threads.run_short(lambda page=page: files[prefix].add(page))  # type: ignore[misc]

            def find(keys: Sequence[StorageKey]) -> Sequence[StoredObject | None]:
                found: dict[StorageKey, StoredObject] = {}
                for prefix, file in files.items():
                    found |= file.find(key for key in keys if key.startswith(prefix))
                return [found.get(key) for key in keys]

            async def stat(keys: Sequence[StorageKey], /) -> Sequence[StoredObject | None]:
                return await self._threads.run(lambda: find(keys))

            await bounded_map(fill, prefixes, most=len(prefixes))
            yield Listing(stat, max((each.newest for each in files.values()), default=0))

    async def digest(self, key: StorageKey, algorithms: Sequence[str], /) -> Hashes:
        """Return the digests that the object was stored with, or else read it."""
        head = await self._bucket.head(key)
        if head is None:
            raise MissingObject(key)
        if (known := stored_hashes(head.attributes, algorithms)) is not None:
            return known
        hashers = [new_hasher(name) for name in algorithms]

        def update(chunk: bytes) -> None:
            for hasher in hashers:
                hasher.update(chunk)

        async for chunk in self._bucket.stream(key):
            await self._threads.run(lambda chunk=chunk: update(chunk))  # type: ignore[misc]
        pairs = zip(algorithms, hashers, strict=True)
        return Hashes(tuple(Digest(name, hasher.hexdigest()) for name, hasher in pairs))

    async def read_files(self, keys: Sequence[StorageKey], /) -> Sequence[FileReadResult]:
        found: dict[StorageKey, FileReadResult] = {}

        async def read(key: StorageKey) -> None:
            found[key] = await self._read_file(key)

        await bounded_map(read, list(dict.fromkeys(keys)), most=self._concurrency)
        return [found[key] for key in keys]

    async def _read_file(self, key: StorageKey) -> FileReadResult:
        hasher, size = new_hasher("sha256"), 0
        try:
            async for chunk in self._bucket.stream(key, chunk=CHUNK):
                await self._threads.run(lambda chunk=chunk: hasher.update(chunk))  # type: ignore[misc]
                size += len(chunk)
        except MissingObject:
            return FileReadResult(size, None, "it is missing")
        return FileReadResult(size, Digest("sha256", hasher.hexdigest()))

    async def stream(self, key: StorageKey, /) -> AsyncIterator[bytes]:
        async for piece in self._bucket.stream(key, chunk=CHUNK // 4):
            for start in range(0, len(piece), CHUNK):
                yield piece[start : start + CHUNK]

    def receive(self, key: StorageKey, expected: ExpectedContent, /) -> SpooledDownload:
        return SpooledDownload(self._bucket, self._spool, key, expected)

    async def free_space(self, prefix: StorageKey, /) -> StorageSpace | None:
        """Return None: the space of a bucket is not limited, or the limit is unknown."""
        del prefix
        return None

    async def purge_downloads(self, *, before: int) -> None:
        await self._spool.purge(before)
