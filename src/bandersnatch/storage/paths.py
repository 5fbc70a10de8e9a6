"""Directories by their paths, for systems without directory descriptors, such as Windows."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from bandersnatch.storage import windows
from bandersnatch.storage.directory import (
    NOT_REGULAR,
    Directory,
    DirectoryEntry,
    DirectoryUsage,
    require_one_name,
)

if TYPE_CHECKING:
    from collections.abc import Hashable

_FLAGS = ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT")
_ALWAYS = sum(getattr(os, name, 0) for name in _FLAGS)
_JUNCTION = 0xA0000003
"""The tag of a directory of Windows that is a link to another one."""

_ATTEMPTS = 10
_PAUSE = 0.05
"""Seconds between two attempts to replace a file of Windows that another program has open."""

_IN_USE = frozenset({5, 32})
"""The codes of the errors of Windows for that."""


class PathDirectory(Directory):
    """A directory by its path, which is checked before each operation.

    The check and the operation are two steps: a directory that is exchanged between them is not
    noticed. Nothing better can be done on these systems.
    """

    __slots__ = ("_identity", "_is_windows", "_real", "_written", "path")

    def __init__(self, real: str, path: str, written: set[str], *, is_windows: bool) -> None:
        """Take the path without links, and the one that messages show.

        ``written`` are the paths of the files of the whole tree that are not durable yet.
        """
        self._real = real
        self._identity = _identity(real)
        self._written = written
        self._is_windows = is_windows
        self.path = path

    @classmethod
    def at(cls, path: str, *, is_windows: bool = os.name == "nt") -> Self:
        """Open a directory by its path, following links in it."""
        return cls(_real_path(path, is_windows=is_windows), path, set(), is_windows=is_windows)

    def _child(self, real: str, name: str) -> Self:
        path = f"{self.path}/{name}"
        return type(self)(real, path, self._written, is_windows=self._is_windows)

    def open(self, name: str, /) -> Self:
        return self._child(self._join(name), name)

    def open_target(self, name: str, /) -> Self:
        real = _real_path(self._join(name), is_windows=self._is_windows)
        return self._child(real, name)

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def _check(self) -> None:
        """Check that the path still leads to the directory, and not through a link.

        Some file systems renumber directories, so a new number alone proves nothing.

        :raises NotADirectoryError: if something else than a directory has its place.
        :raises FileNotFoundError: if nothing has.
        """
        identity = _identity(self._real)
        if identity != self._identity:
            real = os.path.realpath(self._real)
            if os.path.normcase(real) != os.path.normcase(self._real):
                raise NotADirectoryError(errno.ENOTDIR, "a link has taken the place of a directory")
            self._identity = identity

    def _join(self, name: str) -> str:
        """Return the path of an entry.

        :raises NotADirectoryError, FileNotFoundError: as ``_check``.
        :raises OSError: with ``EILSEQ`` if the system has no such names.
        """
        self._check()
        why = windows.name_problem(name) if self._is_windows else ""
        if why:
            raise OSError(errno.EILSEQ, why, name)
        return os.path.join(self._real, name)

    # ------------------------------------------------------------ entries

    def entries(self) -> list[DirectoryEntry]:
        self._check()
        with os.scandir(self._real) as listing:
            return [DirectoryEntry(e.name, e.is_dir(follow_symlinks=False)) for e in listing]

    def status(self, name: str, /) -> os.stat_result:
        return os.lstat(self._join(name))

    def target_status(self, name: str, /) -> os.stat_result:
        return os.stat(self._join(name))

    def read_link(self, name: str, /) -> str:
        return os.readlink(self._join(name))

    def open_file(self, name: str, flags: int, /, mode: int = 0o666) -> int:
        path = self._join(name)
        if flags & os.O_CREAT and flags & os.O_EXCL:
            return self._create(path, flags, mode)
        for _ in range(_ATTEMPTS):
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                if not flags & os.O_CREAT:
                    raise
                return self._create(path, flags | os.O_EXCL, mode)
            descriptor = self._open_found(path, flags & ~os.O_CREAT, found)
            if descriptor is not None:
                return descriptor
        raise OSError(errno.ELOOP, "it is replaced again and again", path)

    def _open_found(self, path: str, flags: int, found: os.stat_result) -> int | None:
        """Open a file whose status is ``found``; return None if another one has its place now."""
        if stat.S_ISLNK(found.st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(NOT_REGULAR)  # opening a FIFO could wait for ever
        descriptor = os.open(path, flags | _ALWAYS)
        if not os.path.samestat(os.fstat(descriptor), found):
            os.close(descriptor)
            return None
        if flags & (os.O_WRONLY | os.O_RDWR):
            self._written.add(path)
        return descriptor

    def _create(self, path: str, flags: int, mode: int) -> int:
        descriptor = os.open(path, flags | _ALWAYS, mode)
        self._written.add(path)
        return descriptor

    def set_time(self, name: str, modified: int, /) -> None:
        path, follow = self._join(name), os.utime not in os.supports_follow_symlinks
        require_one_name(os.lstat(path))
        os.utime(path, ns=(modified, modified), follow_symlinks=follow)

    def make_directory(self, name: str, /, mode: int = 0o755) -> None:
        os.mkdir(self._join(name), mode)

    def make_link(self, name: str, target: str, /) -> None:
        path = self._join(name)
        try:
            os.symlink(target.replace("/", os.sep), path)
        except (AttributeError, NotImplementedError, OSError) as error:
            if isinstance(error, FileExistsError):
                raise
            # Windows permits links to few users, and some systems have none.
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), path) from error

    def rename(self, name: str, to: Directory, new: str, /) -> None:
        assert isinstance(to, PathDirectory), "a tree uses one kind of directories"
        source, target = self._join(name), to._join(new)  # noqa: SLF001 - of the same class
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(os.lstat(target).st_mode):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
        _replace(source, target)
        if source in self._written:
            self._written.discard(source)
            self._written.add(target)

    def delete(self, name: str, /) -> None:
        path = self._join(name)
        os.unlink(path)
        self._written.discard(path)

    def remove_directory(self, name: str, /) -> None:
        path = self._join(name)
        _identity(path)  # of Windows a link could be removed in its place
        os.rmdir(path)

    # ------------------------------------------------------------ the directory itself

    def real_path(self) -> str:
        return _real_path(self._real, is_windows=self._is_windows)

    def device(self) -> Hashable:
        return self._identity[0]

    def mount(self) -> Hashable:
        return self._identity[0]

    def usage(self) -> DirectoryUsage:
        self._check()
        found = shutil.disk_usage(self._real)
        return DirectoryUsage(found.free, found.total)

    def check_writable(self) -> None:
        self._check()
        if not os.access(self._real, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    def sync(self) -> None:
        """Make the names in the directory durable, where the system can, unless it was removed."""
        with suppress(FileNotFoundError):
            self._check()
            if hasattr(os, "O_DIRECTORY"):
                _sync_path(self._real, os.O_RDONLY)

    def sync_file_system(self) -> None:
        """Flush every file of the tree that was written since the last call, one by one."""
        directories = set()
        while self._written:
            path = self._written.pop()
            directories.add(os.path.dirname(path))
            try:
                _sync_path(path, os.O_RDWR)
            except FileNotFoundError:
                continue  # another program has deleted it
            except OSError:
                self._written.add(path)
                raise
        if hasattr(os, "O_DIRECTORY"):
            for path in directories:
                with suppress(FileNotFoundError):
                    _sync_path(path, os.O_RDONLY)


def _identity(path: str) -> tuple[int, int]:
    """Return what distinguishes a directory from others.

    :raises NotADirectoryError: if the path is a link or not a directory.
    """
    found = os.lstat(path)
    is_junction = getattr(found, "st_reparse_tag", 0) == _JUNCTION
    if is_junction or not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return found.st_dev, found.st_ino


def _real_path(path: str, *, is_windows: bool) -> str:
    """Return the path without links.

    :raises FileNotFoundError: if nothing is there.
    """
    real = os.path.realpath(path, strict=True)
    return windows.long_path(real) if is_windows and os.name == "nt" else real


def _replace(source: str, target: str) -> None:
    """Rename a file; on Windows, wait for a program that has the other file open for a moment."""
    for left in reversed(range(_ATTEMPTS)):
        try:
            os.replace(source, target)
        except PermissionError as error:
            if not left or getattr(error, "winerror", 0) not in _IN_USE:
                raise
            time.sleep(_PAUSE)
        else:
            return


def _sync_path(path: str, flags: int) -> None:
    descriptor = os.open(path, flags | _ALWAYS)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
