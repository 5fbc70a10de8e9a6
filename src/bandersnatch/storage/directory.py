"""Open directories: the interface between the tree and the operating system.

``Directory`` is all that the tree, downloads and the flush need of a system. Implementations are
``descriptors.DescriptorDirectory``, for systems with directory descriptors (``os.supports_dir_fd``
and ``O_NOFOLLOW``), where a check and the act after it are one system call; and, for other
systems, one that keeps a path and checks it before each act. ``system.open_directory`` chooses, and
nothing else depends on the choice. ``tests/contract/test_directory.py`` tests the contract for each
implementation.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

NOT_REGULAR = "it is not a regular file"
_SECOND_NAME = "it has a second name, so another program has put it there"
IS_LINK = "it is a link, which is not followed here"


class DirectoryEntry(NamedTuple):
    """A name in a directory; a link to a directory is not a directory."""

    name: str
    is_directory: bool


class DirectoryUsage(NamedTuple):
    """The space of a file system in bytes; ``free`` is what this user may still write."""

    free: int
    total: int


class Directory(Protocol):
    """A directory that stays open, and the operations on its entries. Everything blocks.

    ``name`` is one segment of a path: neither empty nor ``.`` or ``..``, without ``/`` and NUL;
    callers guarantee that. No operation follows a link at ``name``, except ``open_target`` and
    ``target_status``, and none waits for the other end of a FIFO. Operations act on the directory
    that was opened, also if another one has its name meanwhile; a portable implementation fails
    then. All raise ``OSError``: ``FileNotFoundError`` if nothing has that name,
    ``NotADirectoryError`` if a directory is needed and something else is there, even a link.
    Operations may be called by several threads concurrently.
    """

    path: str
    """The path by which the directory was opened: for messages, and for libraries."""

    def open(self, name: str, /) -> Directory:
        """Open a directory of this one.

        :raises NotADirectoryError: if it is a link, or not a directory.
        """
        ...

    def open_below(self, names: Sequence[str], /) -> Directory:
        """Open a directory some levels below this one; ``names`` are those on the way to it.

        :raises NotADirectoryError: if one of them is a link, or not a directory.
        """
        return self.open_steps(names)

    def open_steps(self, names: Sequence[str]) -> Directory:
        """Do the same by opening each directory on the way."""
        found = self.open(names[0])
        for name in names[1:]:
            with found as above:
                found = above.open(name)
        return found

    def open_target(self, name: str, /) -> Directory:
        """Open a directory of this one, following a link: for areas only, when a tree is opened."""
        ...

    def close(self) -> None:
        """Release the directory; nothing else may be called afterwards."""
        ...

    def __enter__(self) -> Self:
        """Return the directory."""
        ...

    def __exit__(self, *exc_info: object) -> None:
        """Close it."""
        ...

    # ------------------------------------------------------------ entries

    def entries(self) -> list[DirectoryEntry]:
        """Return all entries, in any order."""
        ...

    def status(self, name: str, /) -> os.stat_result:
        """Return the status of an entry; of a link, that of the link itself."""
        ...

    def target_status(self, name: str, /) -> os.stat_result:
        """Return the status of an entry, or of the target of a link."""
        ...

    def target_status_below(self, path: str, /) -> os.stat_result:
        """Return the status of what a path below the directory leads to, even by links.

        ``path`` has valid names, separated by ``/``.
        """
        *names, name = path.split("/")
        if not names:
            return self.target_status(name)
        with self.open_below(names) as directory:
            return directory.target_status(name)

    def read_link(self, name: str, /) -> str:
        """Return the text of a link.

        :raises OSError: if it is not a link.
        """
        ...

    def open_file(self, name: str, flags: int, /, mode: int = 0o666) -> int:
        """Open a file with ``flags`` as for ``os.open``, and return its descriptor.

        With ``O_CREAT | O_EXCL`` it is created, and must not exist. Whoever opens a file that
        exists checks by ``os.fstat`` that it is a regular one.
        """
        ...

    def set_time(self, name: str, modified: int, /) -> None:
        """Set the time of the last change of a file, in nanoseconds since 1970.

        It must not be open for writing: some systems would set the time again when it is closed.

        :raises OSError: if it is not a regular file, or has another name: it was exchanged.
        """
        ...

    def make_directory(self, name: str, /, mode: int = 0o755) -> None:
        """Create a directory.

        :raises FileExistsError: if anything has that name.
        """
        ...

    def make_link(self, name: str, target: str, /) -> None:
        """Create a symbolic link.

        :raises FileExistsError: if anything has that name.
        """
        ...

    def rename(self, name: str, to: Directory, new: str, /) -> None:
        """Move a file or link into a directory of the same kind, in one step.

        A file or link at the new name is replaced; a directory there is an error.

        :raises OSError: with ``EXDEV`` if ``to`` is on another file system.
        """
        ...

    def delete(self, name: str, /) -> None:
        """Delete a file or link."""
        ...

    def remove_directory(self, name: str, /) -> None:
        """Delete an empty directory."""
        ...

    # ------------------------------------------------------------ the directory itself

    def real_path(self) -> str:
        """Return the path of the directory without links, as it is now."""
        ...

    def device(self) -> Hashable:
        """Return a value that is equal for all directories of one file system."""
        ...

    def mount(self) -> Hashable:
        """Return a value that is equal for directories between which files can be renamed.

        It is only an indication: ``rename`` may raise ``EXDEV`` nevertheless.
        """
        ...

    def usage(self) -> DirectoryUsage:
        """Return the space of the file system."""
        ...

    def check_writable(self) -> None:
        """Check, without a change, that this user may create entries.

        :raises OSError: with ``EROFS`` or ``EACCES`` if not.
        """
        ...

    def sync(self) -> None:
        """Make the names in the directory durable."""
        ...

    def sync_file_system(self) -> None:
        """Make everything durable that was written to the file system of the directory."""
        ...


def open_regular(
    directory: Directory, name: str, flags: int = os.O_RDONLY, mode: int = 0o666
) -> int:
    """Open a file, and return its descriptor; ``flags`` and ``mode`` are as for ``open_file``.

    :raises OSError: if it is not a regular file.
    """
    descriptor = directory.open_file(name, flags, mode)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(NOT_REGULAR)
    return descriptor


def require_one_name(found: os.stat_result) -> None:
    """Check that a file of ours is still the one that was created.

    :raises OSError: if it is not a regular file, or has a second name, which may be another user's.
    """
    if not stat.S_ISREG(found.st_mode):
        raise OSError(NOT_REGULAR)
    if found.st_nlink > 1:
        raise OSError(_SECOND_NAME)


def require_regular(directory: Directory, name: str) -> None:
    """Check a file that a library opens by its path, which may follow links or wait for a pipe.

    :raises OSError: if it exists and is not a regular file.
    """
    with suppress(FileNotFoundError):
        found = directory.status(name)
        if stat.S_ISLNK(found.st_mode):
            raise OSError(IS_LINK)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(NOT_REGULAR)
