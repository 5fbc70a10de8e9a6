"""The lock of a mirror: a file in its directory that one command at a time holds."""

from __future__ import annotations

import os
from contextlib import suppress

from filelock import FileLock, Timeout

from bandersnatch.errors import LockConflict, StorageError
from bandersnatch.storage.tree import mapped_errors

LOCK = ".lock"
"""The name of the file."""


class MirrorLock:
    """The lock in ``directory``, which exists; errors name it ``key``.

    Everything blocks for microseconds.
    """

    def __init__(self, directory: str, key: str = LOCK) -> None:
        self._path = f"{directory}/{LOCK}"
        self._key = key
        self._lock = FileLock(self._path, mode=0o644, thread_local=False)
        self._status: os.stat_result | None = None

    def acquire(self) -> None:
        """Take the lock.

        :raises LockConflict: if another command holds it.
        :raises StorageError: if there can be no such file.
        """
        with mapped_errors(self._key):
            try:
                self._lock.acquire(timeout=0)
            except Timeout:  # is an OSError, too
                raise LockConflict(self._path, _holder(self._path)) from None
            self._status = os.stat(self._path)

    def require(self) -> None:
        """Check that the lock file was not deleted: another command could lock a new one.

        :raises StorageError: if it is not the file that was locked.
        """
        if self._status is None:
            return
        with mapped_errors(self._key):
            try:
                same = os.path.samestat(os.stat(self._path), self._status)
            except FileNotFoundError:
                same = False
        if not same:
            why = "it was deleted, and another command may be running; run this command again"
            raise StorageError(self._key, why)

    def release(self) -> None:
        """Release it; if that fails the system does it when the process ends."""
        with suppress(OSError):
            self._lock.release()


def _holder(path: str) -> str:
    number = lock_holder(path)
    return "another process" if number is None else f"process {number}"


def lock_holder(path: str) -> int | None:
    """Return which process holds a lock, if the system reports it (Linux, the same host)."""
    with suppress(OSError, ValueError, IndexError):
        inode = str(os.stat(path).st_ino)
        with open("/proc/locks", encoding="ascii") as file:
            lines = file.readlines()
        for fields in map(str.split, lines):
            if fields[5].rpartition(":")[2] == inode and int(fields[4]) > 0:
                return int(fields[4])
    return None


def is_mirror_locked(directory: str) -> bool:
    """Whether a command that changes the mirror is running, as far as the system reports it."""
    return lock_holder(f"{os.path.abspath(directory)}/{LOCK}") is not None
