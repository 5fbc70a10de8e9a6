"""Directories by their descriptors, on systems with ``openat`` and its kind, such as Linux."""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from bandersnatch.storage.directory import (
    Directory,
    DirectoryEntry,
    DirectoryUsage,
    require_one_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

_IN_DIRECTORY = os.O_DIRECTORY | os.O_CLOEXEC
_FULL_SYNC, _WAIT = 1, 2
"""The flags of ``fsync_volume_np``: flush the disk's cache too, and return when that is done."""

_HANDLE = getattr(os, "O_PATH", os.O_RDONLY)
"""A descriptor that only names a directory: opening needs no permission to read it."""


_CURRENT_DIRECTORY = -100
_OPENAT2 = 437
"""The number of the system call on all architectures but alpha (Linux 5.6)."""

_NO_SYMLINKS = 0x04
"""``RESOLVE_NO_SYMLINKS`` of ``openat2(2)``: no component of the path may be a link."""


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


@cache
def _openat2() -> Callable[[int, bytes], int] | None:
    """Return what opens a directory below another without following links.

    It returns a descriptor, or a negative number. None if the system has nothing of the kind, or
    does not permit it.
    """
    if os.uname().sysname != "Linux" or os.uname().machine == "alpha":
        return None
    syscall: Any = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    how = _OpenHow(_HANDLE | _IN_DIRECTORY, 0, _NO_SYMLINKS)
    number, size = ctypes.c_long(_OPENAT2), ctypes.c_size_t(ctypes.sizeof(how))
    reference = ctypes.byref(how)

    def openat2(directory: int, path: bytes) -> int:
        return int(syscall(number, directory, path, reference, size))

    with suppress(OSError):
        os.close(openat2(_CURRENT_DIRECTORY, b"."))
        return openat2
    return None


class DescriptorDirectory(Directory):
    """A directory by its descriptor: a check and the act after it are one system call."""

    __slots__ = ("descriptor", "path")

    def __init__(self, descriptor: int, path: str) -> None:
        """Take the descriptor, which ``close`` closes."""
        self.descriptor = descriptor
        self.path = path

    @classmethod
    def at(cls, path: str) -> Self:
        """Open a directory by its path, following links in it."""
        return cls(os.open(path, _HANDLE | _IN_DIRECTORY), path)

    def open(self, name: str, /) -> Self:
        flags = _HANDLE | _IN_DIRECTORY | os.O_NOFOLLOW
        return type(self)(self._open(name, flags), f"{self.path}/{name}")

    def open_below(self, names: Sequence[str], /) -> Directory:
        if (openat2 := _openat2()) is None:
            return self.open_steps(names)
        path = "/".join(names)
        descriptor = openat2(self.descriptor, os.fsencode(path))
        if descriptor < 0:
            error = ctypes.get_errno()
            error = errno.ENOTDIR if error == errno.ELOOP else error
            raise OSError(error, os.strerror(error), path)
        return type(self)(descriptor, f"{self.path}/{path}")

    def open_target(self, name: str, /) -> Self:
        return type(self)(self._open(name, _HANDLE | _IN_DIRECTORY), f"{self.path}/{name}")

    def _open(self, name: str, flags: int) -> int:
        return os.open(name, flags, dir_fd=self.descriptor)

    def close(self) -> None:
        with suppress(OSError):  # nothing was written through it
            os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    # ------------------------------------------------------------ entries

    def entries(self) -> list[DirectoryEntry]:
        descriptor = self._open(".", os.O_RDONLY | _IN_DIRECTORY)
        try:
            with os.scandir(descriptor) as listing:
                return [DirectoryEntry(e.name, e.is_dir(follow_symlinks=False)) for e in listing]
        finally:
            with suppress(OSError):
                os.close(descriptor)

    def status(self, name: str, /) -> os.stat_result:
        return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)

    def target_status(self, name: str, /) -> os.stat_result:
        return os.stat(name, dir_fd=self.descriptor)

    def target_status_below(self, path: str, /) -> os.stat_result:
        return os.stat(path, dir_fd=self.descriptor)

    def read_link(self, name: str, /) -> str:
        return os.readlink(name, dir_fd=self.descriptor)

    def open_file(self, name: str, flags: int, /, mode: int = 0o666) -> int:
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return os.open(name, flags, mode, dir_fd=self.descriptor)

    def set_time(self, name: str, modified: int, /) -> None:
        descriptor = self.open_file(name, os.O_RDONLY)
        try:
            require_one_name(os.fstat(descriptor))
            os.utime(descriptor, ns=(modified, modified))
        finally:
            os.close(descriptor)

    def make_directory(self, name: str, /, mode: int = 0o755) -> None:
        os.mkdir(name, mode, dir_fd=self.descriptor)

    def make_link(self, name: str, target: str, /) -> None:
        os.symlink(target, name, dir_fd=self.descriptor)

    def rename(self, name: str, to: Directory, new: str, /) -> None:
        assert isinstance(to, DescriptorDirectory), "a tree uses one kind of directories"
        os.replace(name, new, src_dir_fd=self.descriptor, dst_dir_fd=to.descriptor)

    def delete(self, name: str, /) -> None:
        os.unlink(name, dir_fd=self.descriptor)

    def remove_directory(self, name: str, /) -> None:
        os.rmdir(name, dir_fd=self.descriptor)

    # ------------------------------------------------------------ the directory itself

    def real_path(self) -> str:
        with suppress(OSError):
            return os.readlink(f"/proc/self/fd/{self.descriptor}")
        return os.path.realpath(self.path)

    def device(self) -> Hashable:
        return os.fstat(self.descriptor).st_dev

    def mount(self) -> Hashable:
        # A bind mount has the device of its source, and no file can be renamed across it.
        with suppress(OSError), open(f"/proc/self/fdinfo/{self.descriptor}", "rb") as lines:
            return self.device(), next((x for x in lines if x.startswith(b"mnt_id:")), b"")
        return self.device(), b""

    def usage(self) -> DirectoryUsage:
        found = os.fstatvfs(self.descriptor)
        return DirectoryUsage(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)

    def check_writable(self) -> None:
        effective = os.access in os.supports_effective_ids
        if os.fstatvfs(self.descriptor).f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=self.descriptor, effective_ids=effective):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    def sync(self) -> None:
        descriptor = self._open(".", os.O_RDONLY | _IN_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def sync_file_system(self) -> None:
        descriptor = self._open(".", os.O_RDONLY | _IN_DIRECTORY)
        try:
            _flush_file_system(descriptor)
        finally:
            os.close(descriptor)


def _flush_file_system(descriptor: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if hasattr(library, "syncfs"):  # Linux
        failed = library.syncfs(descriptor) != 0
    elif hasattr(library, "fsync_volume_np"):  # macOS, whose ``sync`` does not wait for the disk
        failed = library.fsync_volume_np(descriptor, _FULL_SYNC | _WAIT) != 0
    else:
        os.sync()
        failed = False
    if failed:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
