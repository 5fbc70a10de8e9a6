"""Downloads on their way into a bucket: small ones in memory, others in local files.

A local file is resumed by a later attempt or run, as a mirror on a disk resumes its downloads. It
is uploaded once its content is verified.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from bandersnatch.errors import IntegrityError, OversizedContent, StorageError
from bandersnatch.model.content import Content, ContentCheck, ExpectedContent
from bandersnatch.storage.areas import ROOT, Disk
from bandersnatch.storage.download import MIN_RESUMABLE
from bandersnatch.storage.port import Sink
from bandersnatch.storage.s3.attributes import attributes
from bandersnatch.storage.s3.bucket import PART
from bandersnatch.storage.space import DiskSpace, Reservation
from bandersnatch.storage.system import open_directory
from bandersnatch.storage.temporary import CHUNK, create_file, purge_files, write_all
from bandersnatch.storage.tree import mapped_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bandersnatch.concurrency import BlockingExecutor
    from bandersnatch.config.schema import FreeSpace
    from bandersnatch.layout import StorageKey
    from bandersnatch.storage.directory import Directory
    from bandersnatch.storage.s3.bucket import Bucket


class Spool:
    """The local files of downloads, in the state directory; ``close`` closes it."""

    def __init__(self, directory: str, threads: BlockingExecutor, keep_free: FreeSpace) -> None:
        self.path = directory
        self.threads = threads
        self.in_progress: set[str] = set()
        self._disk: Disk | None = None
        self._space = DiskSpace(keep_free, lambda: threads.run_short(self._usage))

    def open(self) -> None:
        """Open the directory, which exists, and check that files can be written; blocks."""
        with mapped_errors(self.path):
            self._disk = Disk(ROOT, open_directory(self.path))
            self._disk.probe()

    def close(self) -> None:
        """Close the directory."""
        if self._disk is not None:
            self._disk.close()
            self._disk.directory.close()
            self._disk = None

    @property
    def home(self) -> Directory:
        """The state directory."""
        assert self._disk is not None, "it is open"
        return self._disk.directory

    @property
    def directory(self) -> Directory:
        """The directory of the files."""
        assert self._disk is not None, "it is open"
        return self._disk.staging()

    def reservation(self, key: StorageKey) -> Reservation:
        """Return a reservation of local disk space for the download of ``key``."""
        return self._space.reservation(key)

    def _usage(self) -> tuple[int, int]:
        with mapped_errors(self.path):
            free, total = self.directory.usage()
        return free, total

    async def purge(self, before: int) -> None:
        """Delete the files that were not written to since ``before``, in seconds since 1970."""

        def purge() -> None:
            with mapped_errors(self.path):
                purge_files(self.directory, before)

        await self.threads.run(purge)


class SpooledDownload(Sink):
    """A download that is published as an object; a context."""

    def __init__(
        self, bucket: Bucket, spool: Spool, key: StorageKey, expected: ExpectedContent
    ) -> None:
        self._bucket = bucket
        self._spool = spool
        self._threads = spool.threads
        self._key = key
        self._expected = expected
        self._reservation = spool.reservation(key)
        self._check = ContentCheck(expected)
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._descriptor: int | None = None
        self._name = ""

    async def __aenter__(self) -> Self:
        """Resume the download of an earlier attempt, if there is one."""
        name = self._expected.name
        while name in self._spool.in_progress:
            # Another file with the same content: two downloads cannot share a temporary file.
            name += "+"
        self._spool.in_progress.add(name)
        self._name = name
        try:
            if await self._threads.run_short(self._has_begun):
                await self._threads.run(self._resume)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Keep an unfinished download if it is large, and discard it otherwise."""
        self._buffer.clear()
        self._buffered = 0
        if self._descriptor is not None:
            if self._check.size < MIN_RESUMABLE or not self.verifiable:
                self._discard()
            else:
                os.close(self._descriptor)
                self._descriptor = None
        self._reservation.release()
        self._spool.in_progress.discard(self._name)

    @property
    def held(self) -> int:
        return self._check.size + self._buffered

    @property
    def complete(self) -> bool:
        return self.held == self._expected.size

    @property
    def verifiable(self) -> bool:
        return self._expected.digest is not None

    async def write(self, chunk: bytes, /) -> None:
        if self.held + len(chunk) > self._expected.limit:
            raise OversizedContent(self._expected.url, self._expected.limit)
        self._buffer.append(chunk)
        self._buffered += len(chunk)
        if self._buffered >= CHUNK:
            await self._reservation.extend(max(self.held, self._expected.size or 0))
            await self._threads.run(self._write_buffer)

    async def restart(self) -> None:
        await self._threads.run_short(self._discard)

    async def finish(self) -> Content:
        try:
            if self._descriptor is None:
                content = await self._publish_buffer()
            else:
                content = await self._publish_file()
        except IntegrityError:
            await self.restart()
            raise
        await self.restart()
        return content

    async def _publish_buffer(self) -> Content:
        whole = self._buffer[0] if len(self._buffer) == 1 else b"".join(self._buffer)
        check = ContentCheck(self._expected)
        check.update(whole)
        content = check.finish()
        await self._bucket.write(self._key, whole, self._attributes(content))
        return content

    async def _publish_file(self) -> Content:
        """Upload the file, which is verified, and read again on the way."""
        await self._threads.run(self._write_buffer)
        content = self._check.finish()
        found, pieces = self._attributes(content), self._pieces(content)
        if content.size <= PART:
            await self._bucket.write(self._key, b"".join([each async for each in pieces]), found)
        else:
            await self._bucket.write_pieces(self._key, pieces, content.size, found)
        return content

    def _attributes(self, content: Content) -> dict[str, str]:
        modified = self._expected.modified
        return attributes(self._key, modified=modified, digests=content.hashes)

    async def _pieces(self, content: Content) -> AsyncIterator[bytes]:
        """Yield what the file has now.

        :raises StorageError: at its end, if that is not what was verified.
        """
        again = hashlib.sha256()
        with mapped_errors(self._spool.path):
            file = self._spool.directory.open_file(self._name, os.O_RDONLY)

        def read() -> bytes:
            with mapped_errors(self._spool.path):
                piece = os.read(file, CHUNK)
            again.update(piece)
            return piece

        try:
            while piece := await self._threads.run(read):
                yield piece
        finally:
            os.close(file)
        if again.hexdigest() != content.hashes.sha256_value:
            why = f"the file of the download of {self._key} is not what was written to it"
            raise StorageError(self._spool.path, why)

    # ------------------------------------------------------------ blocking

    @property
    def _file(self) -> int:
        assert self._descriptor is not None, "the caller has opened it"
        return self._descriptor

    def _has_begun(self) -> bool:
        """Whether there is something to resume."""
        if self._expected.limit < MIN_RESUMABLE or not self.verifiable:
            return False
        with mapped_errors(self._spool.path), suppress(FileNotFoundError):
            self._spool.directory.status(self._name)
            return True
        return False

    def _resume(self) -> None:
        """Open the file; leave one that another program made to ``create_file``."""
        try:
            self._descriptor = self._spool.directory.open_file(self._name, os.O_RDWR)
        except OSError:
            return
        try:
            found = os.fstat(self._file)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                self._discard()
                return
            while chunk := os.read(self._file, CHUNK):
                self._check.update(chunk)
            self._reservation.written = self._check.size
        except (OversizedContent, OSError):
            self._discard()

    def _write_buffer(self) -> None:
        chunks, self._buffer, self._buffered = self._buffer, [], 0
        with mapped_errors(self._spool.path):
            try:
                if self._descriptor is None:
                    self._descriptor = create_file(self._spool.directory, self._name)
                content = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                self._check.update(content)
                os.lseek(self._file, 0, os.SEEK_END)
                write_all(self._file, content)
                self._reservation.written = self._check.size
            except OSError:
                self._discard()  # a full disk needs the space
                raise

    def _discard(self) -> None:
        self._buffer.clear()
        self._buffered = self._reservation.written = 0
        self._check = ContentCheck(self._expected)
        if self._descriptor is None:
            return
        os.close(self._descriptor)
        self._descriptor = None
        with suppress(OSError):
            self._spool.directory.delete(self._name)
