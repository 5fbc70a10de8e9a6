"""Downloads in progress: temporary files, named by the content that is expected.

A small download stays in memory until it is complete; then it is hashed, written and renamed
at once. A large one is written in chunks, and can be resumed by a later attempt or run.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from bandersnatch.errors import OversizedContent
from bandersnatch.model.content import Content, ContentCheck, ExpectedContent
from bandersnatch.storage.port import Sink
from bandersnatch.storage.temporary import CHUNK, create_file, write_all
from bandersnatch.storage.tree import Tree, mapped_errors

if TYPE_CHECKING:
    from bandersnatch.concurrency import BlockingExecutor
    from bandersnatch.layout import StorageKey
    from bandersnatch.storage.directory import Directory
    from bandersnatch.storage.space import Reservation

MIN_RESUMABLE = 1024 * 1024
"""Bytes: an unfinished download of fewer is discarded."""

_SMALL = 128 * 1024
"""Bytes that are hashed and written in less time than it takes to wake a thread."""


class FileDownload(Sink):
    """A download that is published as a file of the tree; a context."""

    def __init__(
        self,
        tree: Tree,
        key: StorageKey,
        expected: ExpectedContent,
        threads: BlockingExecutor,
        in_progress: set[str],
        reservation: Reservation,
        *,
        owner: str = "",
    ) -> None:
        """Take the collaborators; ``in_progress`` has the names of all open temporary files.

        ``owner`` tells the temporary files of a process from those of others that download, too.
        It takes over one that nobody owns by renaming it, and leaves what is unfinished to anybody.
        """
        self._tree = tree
        self._key = key
        self._expected = expected
        self._threads = threads
        self._in_progress = in_progress
        self._reservation = reservation
        self._check = ContentCheck(expected)
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._descriptor: int | None = None
        self._directory: Directory | None = None
        self._owner = owner
        self._name = ""

    async def __aenter__(self) -> Self:
        """Resume the download of an earlier attempt, if there is one.

        :raises InsufficientSpace: if there is not enough space for the rest.
        """
        name = f"{self._expected.name}{self._owner}"
        while name in self._in_progress:
            # Another file with the same content: two downloads cannot share a temporary file.
            name += "+"
        self._in_progress.add(name)
        self._name = name
        try:
            if await self._threads.run_short(self._open_staging):
                await self._threads.run(self._resume)
            await self._reservation.extend(self._expected.size or 1)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Keep an unfinished download if it is large, and discard it otherwise."""
        self._close()
        self._reservation.release()
        self._in_progress.discard(self._name)

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
            await self._reservation.extend(self.held)
            await self._threads.run(self._write_buffer)

    async def restart(self) -> None:
        await self._threads.run_short(self._discard)

    async def finish(self) -> Content:
        await self._reservation.extend(self.held)
        if self.held > _SMALL:
            return await self._threads.run(self._finish)
        return await self._threads.run_short(self._finish)

    # ------------------------------------------------------------ blocking

    @property
    def _staging(self) -> Directory:
        assert self._directory is not None, "the context has opened it"
        return self._directory

    def _open_staging(self) -> bool:
        """Open the directory of temporary files; return whether there is something to resume."""
        with mapped_errors(self._key):
            self._directory = self._tree.staging(self._key)
            if self._owner:
                self._rename(self._expected.name, self._name)
            if self._expected.limit < MIN_RESUMABLE or not self.verifiable:
                return False
            try:
                self._staging.status(self._name)
            except FileNotFoundError:
                return False
        return True

    def _resume(self) -> None:
        """Open the temporary file; leave one that another program made to ``create_file``."""
        try:
            self._descriptor = self._staging.open_file(self._name, os.O_RDWR)
        except OSError:
            return
        try:
            found = os.fstat(self._descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                self._discard()
                return
            while chunk := os.read(self._descriptor, CHUNK):
                self._check.update(chunk)
            self._reservation.written = self._check.size
        except (OversizedContent, OSError):
            self._discard()

    def _close(self) -> None:
        self._buffer.clear()
        self._buffered = 0
        if self._descriptor is None:
            return
        if self._check.size < MIN_RESUMABLE or not self.verifiable:
            self._discard()
        else:
            os.close(self._descriptor)
            self._descriptor = None
            if self._owner:
                self._rename(self._name, self._expected.name)

    def _rename(self, name: str, new: str) -> None:
        """Rename a temporary file, if there is one: only one process can."""
        with suppress(OSError):
            self._staging.rename(name, self._staging, new)

    def _write_buffer(self) -> None:
        chunks, self._buffer, self._buffered = self._buffer, [], 0
        with mapped_errors(self._key):
            try:
                if self._descriptor is None:
                    self._descriptor = create_file(self._staging, self._name)
                # In one piece: every hash and every write releases and reacquires the GIL.
                content = chunks[0] if len(chunks) == 1 else b"".join(chunks)
                self._check.update(content)
                write_all(self._descriptor, content)
                self._reservation.written = self._check.size
            except OSError:
                self._discard()  # a full disk needs the space
                raise

    def _finish(self) -> Content:
        self._write_buffer()
        try:
            content = self._check.finish()
            with mapped_errors(self._key):
                self._publish()
        except BaseException:
            self._discard()
            raise
        self._check = ContentCheck(self._expected)
        return content

    def _publish(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        assert descriptor is not None, "_write_buffer has opened it"
        os.close(descriptor)  # some file systems report a failed write only here
        if self._expected.modified is not None:
            self._staging.set_time(self._name, self._expected.modified)
        self._tree.publish(self._staging, self._name, self._key)

    def _discard(self) -> None:
        self._buffer.clear()
        self._buffered = self._reservation.written = 0
        self._check = ContentCheck(self._expected)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        with suppress(OSError):
            self._staging.delete(self._name)
