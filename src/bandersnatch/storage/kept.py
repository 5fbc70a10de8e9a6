"""Documents that a plan fetched, kept for the run that follows; beside the served tree."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import time
import zlib
from contextlib import suppress
from typing import Self

RETAINED = ".plan"
"""The directory, in the mirror's."""

LONGEST_KEPT = 3600
"""Seconds; what was fetched earlier is fetched again."""

_LARGEST = 256 * 1024**2
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class KeptDocuments:
    """A small cache, by name, that a plan fills and the next run empties.

    Everything is for convenience: what cannot be kept, or read, is fetched again. ``collecting``
    is for the command that fills it.
    """

    def __init__(self, directory: str, *, collecting: bool) -> None:
        self._directory = f"{os.path.abspath(directory)}/{RETAINED}"
        self._collecting = collecting
        self._there: set[str] = set()
        self._usable = False

    async def __aenter__(self) -> Self:
        """Look what is there."""
        with suppress(OSError):
            if self._collecting:
                os.makedirs(self._directory, mode=0o700, exist_ok=True)
            self._usable = _is_private(os.lstat(self._directory))
            if self._usable:
                self._there = set(os.listdir(self._directory))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Delete what nobody asked for, unless it was only just collected."""
        if not self._collecting:
            shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def collects(self) -> bool:
        """Whether something can be kept."""
        return self._collecting and self._usable

    def keep(self, name: str, content: bytes) -> None:
        """Keep something for the next run."""
        if not self.collects:
            return
        path = self._path(name)
        with suppress(OSError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _FLAGS
            with open(os.open(f"{path}.new", flags, 0o600), "wb") as file:
                file.write(zlib.compress(content, 1))
            os.replace(f"{path}.new", path)

    def holds(self, name: str) -> bool:
        """Whether there may be something to take."""
        if self._collecting or not self._there:  # as in nearly every run
            return False
        return self._path(name).rpartition("/")[2] in self._there

    def take(self, name: str) -> bytes | None:
        """Return what was kept not long ago; only once, so that a second try is a new one."""
        if not self.holds(name):
            return None
        path = self._path(name)
        self._there.discard(path.rpartition("/")[2])
        try:
            with open(os.open(path, os.O_RDONLY | _FLAGS), "rb") as file:
                age = time.time() - os.fstat(file.fileno()).st_mtime
                content = file.read(_LARGEST)
            os.unlink(path)
            unpacker = zlib.decompressobj()
            whole = unpacker.decompress(content, _LARGEST)
        except (OSError, zlib.error):
            return None
        return whole if 0 <= age <= LONGEST_KEPT and unpacker.eof else None

    def _path(self, name: str) -> str:
        return f"{self._directory}/{hashlib.sha256(name.encode()).hexdigest()}"


def _is_private(found: os.stat_result) -> bool:
    """Whether only this user can have put anything into a directory.

    What lies there is believed as if the index had said it.
    """
    owned = found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return owned and stat.S_ISDIR(found.st_mode)
