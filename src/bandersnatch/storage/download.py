"""Downloads in progress: kept beside the served tree, named by the digest they are to have.

A small download lives in memory until it is complete, and is then hashed, written and renamed in
one visit to a thread. A large one goes to disk a piece at a time and can be gone on with, by a
later try or a later run.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from bandersnatch.errors import OversizedContent
from bandersnatch.model.content import ContentCheck
from bandersnatch.storage.port import Sink
from bandersnatch.storage.tree import mapped_errors, write_all

if TYPE_CHECKING:
    from bandersnatch.concurrency import BlockingExecutor
    from bandersnatch.layout import StorageKey
    from bandersnatch.model.content import Content, ExpectedContent
    from bandersnatch.storage.space import Reservation
    from bandersnatch.storage.tree import Tree


WORTH_KEEPING = 1024 * 1024
"""Bytes; an unfinished download of fewer is begun anew."""

_PIECE = 1024 * 1024
_SMALL = 128 * 1024
"""Bytes that are hashed and written faster than a thread is woken."""


class FileDownload(Sink):
    """A download that ends in a file of the tree."""

    def __init__(
        self,
        tree: Tree,
        key: StorageKey,
        expected: ExpectedContent,
        threads: BlockingExecutor,
        busy: set[str],
        promise: Reservation,
    ) -> None:
        """Take what is needed; ``busy`` are the names of the downloads that are under way."""
        self._tree = tree
        self._key = key
        self._expected = expected
        self._threads = threads
        self._busy = busy
        self._promise = promise
        self._check = ContentCheck(expected)
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._descriptor: int | None = None
        self._name = ""
        self._path = ""

    async def __aenter__(self) -> Self:
        """Take up what an earlier run left.

        :raises InsufficientSpace: if the rest has no room.
        """
        name = self._expected.sha256.value
        while name in self._busy:
            # Two files with the same content at once: the second cannot share the first's bytes.
            name += "+"
        self._busy.add(name)
        self._name, self._path = name, self._tree.temporary(name)
        try:
            if self._expected.limit >= WORTH_KEEPING:
                left = await self._threads.run_short(lambda: os.path.lexists(self._path))
                if left:
                    await self._threads.run(self._resume)
            await self._promise.cover(self._expected.size or 1)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """End, finished or not: keep what is worth it."""
        self._close()
        self._promise.end()
        self._busy.discard(self._name)

    @property
    def held(self) -> int:
        return self._check.size + self._waiting

    @property
    def complete(self) -> bool:
        return self.held == self._expected.size

    async def write(self, chunk: bytes, /) -> None:
        if self.held + len(chunk) > self._expected.limit:
            raise OversizedContent(self._expected.url, self._expected.limit)
        self._pieces.append(chunk)
        self._waiting += len(chunk)
        if self._waiting >= _PIECE:
            await self._promise.cover(self.held)
            await self._threads.run(self._flush)

    async def restart(self) -> None:
        await self._threads.run_short(self._discard)

    async def finish(self) -> Content:
        await self._promise.cover(self.held)
        if self.held > _SMALL:
            return await self._threads.run(self._finish)
        return await self._threads.run_short(self._finish)

    # ------------------------------------------------------------ in a thread

    def _resume(self) -> None:
        """Take up what is there, if it is a plain file of ours; ``open_new`` replaces others."""
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self._path, flags)
        except OSError:
            return
        try:
            found = os.fstat(self._descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                self._discard()
                return
            while piece := os.read(self._descriptor, _PIECE):
                self._check.update(piece)
            self._promise.written = self._check.size
        except (OversizedContent, OSError):
            self._discard()

    def _close(self) -> None:
        self._pieces.clear()
        self._waiting = 0
        if self._descriptor is None:
            return
        if self._check.size < WORTH_KEEPING:
            self._discard()
        else:
            os.close(self._descriptor)
            self._descriptor = None

    def _flush(self) -> None:
        pieces, self._pieces, self._waiting = self._pieces, [], 0
        with mapped_errors(self._key):
            try:
                if self._descriptor is None:
                    self._descriptor = self._tree.open_new(self._path)
                # In one piece: for each the interpreter lock is let go and fought for three times.
                content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                self._check.update(content)
                write_all(self._descriptor, content)
                self._promise.written = self._check.size
            except OSError:
                self._discard()  # a full disk needs the room
                raise

    def _finish(self) -> Content:
        self._flush()
        try:
            content = self._check.finish()
            with mapped_errors(self._key):
                self._place()
        except BaseException:
            self._discard()
            raise
        self._check = ContentCheck(self._expected)
        return content

    def _place(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        assert descriptor is not None, "_flush has opened it"
        try:
            if self._expected.modified is not None:
                times = (self._expected.modified, self._expected.modified)
                os.utime(descriptor, ns=times)
        finally:
            os.close(descriptor)  # some file systems say only here that they could not write
        self._tree.place(self._path, self._tree.path(self._key))

    def _discard(self) -> None:
        self._pieces.clear()
        self._waiting = self._promise.written = 0
        self._check = ContentCheck(self._expected)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        with suppress(OSError):
            os.unlink(self._path)
