"""Files that the operator names: the report, the diff file, the example configuration.

All are written here, so that none is written through a planted link, and none makes
the program wait for the other end of a pipe. New content has a random name beside the file until it
is renamed to it. Everything here blocks.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from bandersnatch.errors import StorageError
from bandersnatch.layout import COPY, GENERATION, LAST_MODIFIED, STATUS, TODO
from bandersnatch.storage.areas import AREAS, PARTIAL, ROOT, split_key, temporary_name
from bandersnatch.storage.directory import open_regular
from bandersnatch.storage.journal import JOURNAL
from bandersnatch.storage.system import open_directory
from bandersnatch.storage.temporary import discarded_on_error, write_all
from bandersnatch.storage.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bandersnatch.storage.directory import Directory

_DESCRIPTOR = re.compile(r"/dev/(stdin|stdout|stderr)|(?:/dev|/proc/self)/fd/(\d{1,9})")
_STANDARD = {"stdin": 0, "stdout": 1, "stderr": 2}
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_EXISTING = os.O_WRONLY | os.O_TRUNC
_NOT_RENAMED = frozenset({errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS})
"""The errors where a file that exists, such as a bind mount, may be written in place instead."""

_KINDS = {
    stat.S_IFDIR: os.strerror(errno.EISDIR),
    stat.S_IFIFO: "it is a named pipe; name a regular file, or a descriptor such as /dev/fd/3",
    stat.S_IFSOCK: "it is a socket; name a regular file",
    stat.S_IFBLK: "it is a block device; name a regular file",
}
_OWNED = frozenset(
    {STATUS, TODO, GENERATION, LAST_MODIFIED, COPY, JOURNAL, PARTIAL, ".lock", *AREAS}
)
"""The keys of the mirror's own files and directories."""

_MAX_LINKS = 40
_OWNED_PREFIXES = ("catalogue.sqlite", "web/.", f"{PARTIAL}/")
_OWN = "it is a place of the mirror's own files; choose another one"
_LINK = "it is a link in the mirror's directory, which is not followed"


class _Target(NamedTuple):
    """Where an output is: an open directory and a name in it, or the descriptor of a device."""

    directory: Directory | None
    name: str
    device: int = -1


class OutputFile:
    """A file that the operator named; a context.

    ``root`` is the mirror's directory: in it no link is followed, and nothing that the mirror owns
    is written. Elsewhere the path may be or contain links, which are resolved once. Devices are
    written to, and so are open descriptors (``/dev/stdout``, ``/dev/fd/3``), whatever they are.
    """

    def __init__(self, path: str, root: str, *, parents: bool = False) -> None:
        """Take the path; with ``parents`` the directories of the file are created, too."""
        self._path = os.path.abspath(path)
        self._root = os.path.abspath(root)
        self._parents = parents
        self._stack = ExitStack()
        self._target = _Target(None, "")

    def __enter__(self) -> Self:
        """Open the directory of the file.

        :raises StorageError: if it cannot be opened, or if nothing may be written there.
        """
        with _mapped(self._path), ExitStack() as stack:
            self._target = self._open_target(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close it."""
        self._stack.close()

    # ------------------------------------------------------------ where

    def _open_target(self, stack: ExitStack) -> _Target:
        if found := _DESCRIPTOR.fullmatch(self._path):
            number = _STANDARD[found[1]] if found[1] else int(found[2])
            return self._device(stack, os.dup(number))
        real, key = _resolve(self._path, os.path.realpath(self._root))
        if key is not None:
            return self._open_inside(stack, key)
        above, name = os.path.split(real)
        if self._parents:
            os.makedirs(above, exist_ok=True)
        directory = stack.enter_context(open_directory(above))
        found_status = _status(directory, name) if name else None
        if found_status is not None and stat.S_ISCHR(found_status.st_mode):
            return self._device(stack, _open_device(directory, name))
        return _Target(directory, name)

    def _open_inside(self, stack: ExitStack, key: str) -> _Target:
        tree = Tree(self._root)
        stack.callback(tree.close)
        tree.open()
        if _is_owned(key):
            raise OSError(_OWN)
        directory, name = tree.open_parent(key, stack)
        found = _status(directory, name)
        if found is not None and stat.S_ISLNK(found.st_mode):
            raise OSError(_LINK)
        return _Target(directory, name)

    @staticmethod
    def _device(stack: ExitStack, descriptor: int) -> _Target:
        stack.callback(os.close, descriptor)
        return _Target(None, "", descriptor)

    # ------------------------------------------------------------ writing

    def replace(self, content: bytes) -> None:
        """Replace the file in one step, or write to the device.

        :raises StorageError: if that fails.
        """
        with _mapped(self._path):
            os.close(self._write(self._target.name, content))

    def create(self, suffix: str = "") -> int:
        """Replace the file by an empty one, and return a descriptor to write to.

        With a ``suffix`` the same for a file beside it, whose name is not the operator's: a link
        there is replaced, never followed. A device has nothing beside it.

        :raises StorageError: if that fails.
        """
        with _mapped(self._path + suffix):
            if self._target.directory is None and suffix:
                return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            return self._write(self._target.name + suffix, b"", replaces_link=bool(suffix))

    def append(self) -> int:
        """Open the file, or create it, and return a descriptor that appends to it.

        :raises StorageError: if that fails.
        """
        with _mapped(self._path):
            directory, name = self._target.directory, self._target.name
            if directory is None:
                return os.dup(self._target.device)
            found = _status(directory, name) if name else None
            if not name or (found is not None and not stat.S_ISREG(found.st_mode)):
                kind = stat.S_IFDIR if found is None else stat.S_IFMT(found.st_mode)
                raise OSError(_KINDS.get(kind, "it is not a regular file"))
            return open_regular(directory, name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def _write(self, name: str, content: bytes, *, replaces_link: bool = False) -> int:
        directory = self._target.directory
        if directory is None:
            descriptor = os.dup(self._target.device)
            write_all(descriptor, content)
            return descriptor
        found = _status(directory, name) if name else None
        if not name or (found is not None and not _is_replaceable(found, replaces_link)):
            kind = stat.S_IFDIR if found is None else stat.S_IFMT(found.st_mode)
            raise OSError(_KINDS.get(kind, "it is not a regular file"))
        try:
            return _replace(directory, name, content, found)
        except OSError as error:
            exists = found is not None and stat.S_ISREG(found.st_mode)
            if not exists or error.errno not in _NOT_RENAMED:
                raise
            return _write_in_place(directory, name, content)


def _resolve(path: str, root: str) -> tuple[str, str | None]:
    """Resolve the links of a path up to the mirror's directory, ``root``.

    Return the path without links, and the rest of it below ``root``; None if it leads elsewhere.
    """
    found, *rest = Path(path).parts
    rest.reverse()
    links = 0
    while rest:
        if found == root:
            return found, "/".join(reversed(rest))
        name = rest.pop()
        if name == os.pardir:
            found = os.path.dirname(found)
            continue
        here = os.path.join(found, name)
        try:
            first, *others = Path(os.readlink(here)).parts
        except (OSError, ValueError):
            found = here  # not a link, or nothing is there
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if os.path.isabs(first):
            found = first
        else:
            others.insert(0, first)
        rest += reversed(others)
    return found, None


def require_foreign(key: str) -> None:
    """Check that only the operator writes to a key.

    :raises StorageError: if it is one of the mirror's own.
    """
    if _is_owned(key):
        raise StorageError(key, _OWN)


def _is_owned(key: str) -> bool:
    """Whether only the mirror itself writes to a key."""
    is_in_area = split_key(key)[0] not in {ROOT, "web"}
    return is_in_area or key in _OWNED or key.startswith(_OWNED_PREFIXES)


def _is_replaceable(found: os.stat_result, replaces_link: bool) -> bool:  # noqa: FBT001 - private
    return stat.S_ISREG(found.st_mode) or (replaces_link and stat.S_ISLNK(found.st_mode))


def _replace(directory: Directory, name: str, content: bytes, found: os.stat_result | None) -> int:
    """Write a new file, rename it to ``name``, and return its descriptor."""
    temporary = f".bandersnatch-{temporary_name()}"
    descriptor = directory.open_file(temporary, _NEW)
    try:
        with discarded_on_error(directory, temporary):
            if found is not None and stat.S_ISREG(found.st_mode) and hasattr(os, "fchmod"):
                os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
            write_all(descriptor, content)
            if os.name == "nt":  # where no open file can be renamed
                os.close(descriptor)
                descriptor = -1
            directory.rename(temporary, directory, name)
    except BaseException:
        if descriptor >= 0:
            os.close(descriptor)
        raise
    return descriptor if descriptor >= 0 else open_regular(directory, name, os.O_WRONLY)


def _write_in_place(directory: Directory, name: str, content: bytes) -> int:
    """Write to a regular file that exists, and return its descriptor."""
    descriptor = open_regular(directory, name, _EXISTING)
    try:
        write_all(descriptor, content)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open_device(directory: Directory, name: str) -> int:
    descriptor = directory.open_file(name, os.O_WRONLY)
    if not stat.S_ISCHR(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EAGAIN, "it was exchanged while it was opened")
    os.set_blocking(descriptor, True)
    return descriptor


def _status(directory: Directory, name: str) -> os.stat_result | None:
    with suppress(FileNotFoundError):
        return directory.status(name)
    return None


@contextmanager
def _mapped(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(path, error.strerror or str(error)) from error


def write_new(path: str, content: bytes) -> None:
    """Create a file, which all may read and its owner may write, as the umask permits.

    :raises OSError: if that fails, or if anything has that name.
    """
    descriptor = os.open(path, _NEW | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        write_all(descriptor, content)
    finally:
        os.close(descriptor)
