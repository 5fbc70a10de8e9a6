"""The files below a mirror's directory, by key. Everything here blocks.

No path leads out of the directory: links are followed only where an operator may place them (see
``AREAS``), and what is written replaces links instead of writing through them.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import re
import stat
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from bandersnatch import errors
from bandersnatch.layout import StorageKey
from bandersnatch.model.digests import Digest
from bandersnatch.storage.port import FileReadResult, StoredObject

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator
    from threading import Event
    from types import TracebackType

AREAS = ("web", "web/simple", "web/packages", "web/json", "web/pypi", "removed")
"""Directories that may be links, and that are kept when they are empty."""

PARTIAL = ".partial"
"""The directory of temporary files; on the same file system as the areas."""

CHUNK = 1024 * 1024
"""Bytes per system call; most files are smaller."""

_SEGMENT = r"(?!\.{1,2}(?:/|\Z))[^/\0\ud800-\udfff]+"
KEY = re.compile(f"{_SEGMENT}(?:/{_SEGMENT})*")
"""Matches every valid key."""

_LOST_AND_FOUND = "lost+found"
"""A directory at the root of some file systems that only root may read."""

_FILE_MODE = 0o644
_NOT_REGULAR = "it is not a regular file"
_IS_DIRECTORY = "a directory is in its place; move that away"
_IS_LINK = "it is a link, which is not followed here"
_MAX_KNOWN_DIRECTORIES = 100_000
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Hasher(Protocol):
    """A hash that is being computed."""

    def update(self, data: bytes, /) -> None:
        """Hash more bytes."""
        ...


class mapped_errors:  # noqa: N801 - used like a function
    """A context that raises a ``StorageError`` about ``key`` for every ``OSError``."""

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        """Raise the error that an ``OSError`` is mapped to."""
        if not isinstance(error, OSError):
            return
        if isinstance(error, FileNotFoundError):
            raise errors.MissingObject(self._key) from error
        if error.errno == errno.ENAMETOOLONG:
            why = "its name is too long for the file system"
            raise errors.UnstorableName(self._key, why) from error
        if error.errno == errno.EISDIR:
            raise errors.ObstructedPath(self._key, _IS_DIRECTORY) from error
        why = os.strerror(error.errno) if error.errno else str(error)
        if error.errno == errno.EXDEV:
            why = f"it is on another file system than {PARTIAL}; keep the mirror on one"
        raise errors.StorageError(self._key, why) from error


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte; a single system call may write fewer."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


class Tree:
    """The files below one directory. Thread-safe.

    ``unsynced`` becomes true with every change that a power failure could undo.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.unsynced = False
        self._areas = {self._join(area) for area in AREAS}
        self._permanent = {root, *self._areas}
        self._known: set[str] = set()  # directories that are known to exist
        self._directories = threading.RLock()  # held to create or remove directories
        self._count = itertools.count()

    # ------------------------------------------------------------ paths

    def _join(self, key: str) -> str:
        return f"{self.root}/{key}"

    def _key(self, path: str) -> str:
        return os.path.relpath(path, self.root)

    def path(self, key: StorageKey) -> str:
        """Return the path of ``key``.

        :raises StorageError: if it is not a valid key, and might lead out of the tree.
        """
        if not KEY.fullmatch(key):
            raise errors.StorageError(ascii(key), "it is not a key of this storage")
        return self._join(key)

    def temporary(self, name: str = "") -> str:
        """Return the path of a temporary file."""
        return self._join(f"{PARTIAL}/{name or f't{next(self._count)}'}")

    def _parent_link(self, path: str, among: Container[str] | None = None) -> str | None:
        """Return the link between the root and ``path`` that may not be followed, if any.

        ``among`` limits the check to these directories.
        """
        while (path := path.rpartition("/")[0]) != self.root:
            checked = path not in self._areas and (among is None or path in among)
            if checked and os.path.islink(path):
                return path
        return None

    # ------------------------------------------------------------ reading

    def stat(self, key: StorageKey) -> StoredObject | None:
        """Return size and time of a file; None unless ``key`` is a regular file."""
        with mapped_errors(key):
            found = _lstat(self.path(key))
        if found is None or not stat.S_ISREG(found.st_mode):
            return None
        return StoredObject(key, found.st_size, found.st_mtime_ns)

    def read(self, key: StorageKey) -> bytes:
        """Return the content of a file, or of the target of a link within the tree.

        :raises ForeignLink: if the target of a link is not within the tree.
        """
        path = self.path(key)
        if link := self._parent_link(path):
            raise errors.StorageError(self._key(link), _IS_LINK)
        with mapped_errors(key):
            try:
                if os.path.islink(path):
                    path = self._target(path)
                with open(path, "rb", opener=_open_regular) as file:
                    return file.read()
            except NotADirectoryError:
                raise errors.MissingObject(key) from None

    def _target(self, path: str) -> str:
        """Return the target of a link, which is within the tree."""
        found = os.path.realpath(path)
        if os.path.islink(found):
            raise errors.ForeignLink(self._key(path), "in a circle")
        for home in (self.root, *self._areas):
            if found.startswith(f"{os.path.realpath(home)}/"):
                return found
        raise errors.ForeignLink(self._key(path), "out of the mirror")

    def has_content(self, key: StorageKey, content: bytes) -> bool:
        """Whether ``key`` is a readable regular file with exactly this content."""
        found = self.stat(key)
        if found is None or found.size != len(content):
            return False
        try:
            return self.read(key) == content
        except errors.StorageError:
            return False

    def open(self, key: StorageKey) -> int:
        """Return a descriptor of a regular file, opened for reading.

        :raises OSError: if it does not exist, or is not a regular file.
        """
        return _open_regular(self.path(key), os.O_RDONLY | os.O_CLOEXEC)

    def hash(self, key: StorageKey, hashers: Iterable[Hasher], stop: Event) -> int:
        """Feed the content of a file to hashers, and return its size in bytes.

        Once ``stop`` is set, the result is not needed any more, and reading ends early.

        :raises OSError: if the file cannot be read.
        """
        descriptor, size = self.open(key), 0
        try:
            while not stop.is_set() and (chunk := os.read(descriptor, CHUNK)):
                size += len(chunk)
                for hasher in hashers:
                    hasher.update(chunk)
        finally:
            os.close(descriptor)
        return size

    def read_file(self, key: StorageKey, stop: Event) -> FileReadResult:
        """Return the size and sha256 of a file, or why it could not be read."""
        hasher = hashlib.sha256()
        try:
            size = self.hash(key, [hasher], stop)
        except errors.StorageError as error:
            return FileReadResult(0, None, error.why)
        except OSError as error:
            return FileReadResult(0, None, _reason(error))
        return FileReadResult(size, Digest("sha256", hasher.hexdigest()))

    def walk(self, prefix: StorageKey) -> Iterator[StoredObject]:
        """Yield the files and links whose keys begin with ``prefix``, in the order of keys.

        Links have the size and time of their target, and are skipped if they have none.
        """
        start = prefix.rpartition("/")[0]
        path = self.path(StorageKey(start)) if start else self.root
        if start and self._parent_link(f"{path}/"):
            return
        for found in _walk(path, f"{start}/", self._areas):
            if found.key.startswith(prefix):
                yield found

    # ------------------------------------------------------------ writing

    def create(self, path: str) -> int:
        """Create a temporary file, and return its descriptor."""
        try:
            return os.open(path, _NEW_FILE, _FILE_MODE)
        except FileExistsError:
            os.unlink(path)  # left by a run that was killed
            return os.open(path, _NEW_FILE, _FILE_MODE)

    def write(self, key: StorageKey, content: bytes, *, durable: bool) -> None:
        """Replace the file or link at ``key`` by a file, in one step."""
        path, temporary = self.path(key), self.temporary()
        with mapped_errors(key):
            try:
                descriptor = self.create(temporary)
                try:
                    write_all(descriptor, content)
                    if durable:
                        os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                self.publish(temporary, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise
            if durable:
                _sync_directory(os.path.dirname(path))

    def link(self, key: StorageKey, target: StorageKey) -> None:
        """Replace the file or link at ``key`` by a relative link to ``target``, in one step."""
        path, temporary = self.path(key), self.temporary()
        with mapped_errors(key):
            relative = os.path.relpath(self.path(target), os.path.dirname(path))
            with suppress(OSError):
                os.unlink(temporary)
            os.symlink(relative, temporary)
            try:
                self.publish(temporary, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise

    def publish(self, temporary: str, path: str) -> None:
        """Rename a complete temporary file; create the directories that its path needs.

        :raises ObstructedPath: if a link or a file is in the place of one of them.
        """
        if link := self._parent_link(path, among=self._known):
            raise errors.ObstructedPath(self._key(link), _IS_LINK)
        try:
            self._make_directory(path.rpartition("/")[0])
            os.replace(temporary, path)
        except FileNotFoundError:
            # Another thread has removed a directory meanwhile, because it was empty.
            with self._directories:
                self._known.clear()
                self._make_directory(os.path.dirname(path))
                os.replace(temporary, path)
        self.unsynced = True

    def delete(self, key: StorageKey, *, durable: bool = False) -> bool:
        """Delete the file or link at ``key``, and return whether there was one."""
        path = self.path(key)
        with mapped_errors(key):
            if self._parent_link(path):
                return False
            try:
                os.unlink(path)
            except (FileNotFoundError, NotADirectoryError):
                return False
            kept = self._prune(path)
            self.unsynced = True
            if durable:
                _sync_directory(kept)
        return True

    def move(self, source: StorageKey, target: StorageKey) -> None:
        """Rename a file or link, if it exists."""
        path = self.path(source)
        with mapped_errors(source):
            found = None if self._parent_link(path) else _lstat(path)
            if found is None or stat.S_ISDIR(found.st_mode):
                return
            with suppress(FileNotFoundError):  # another thread has moved it
                self.publish(path, self.path(target))
                self._prune(path)

    # ------------------------------------------------------------ directories

    def _make_directory(self, path: str) -> None:
        """Create a directory and its parents, unless they exist.

        :raises ObstructedPath: if something else is there; links are not followed.
        """
        if path in self._known or path == self.root:
            return
        with self._directories:
            self._make_directory(path.rpartition("/")[0])
            try:
                os.mkdir(path, 0o755)
            except FileExistsError:
                self._require_directory(path)
            if len(self._known) >= _MAX_KNOWN_DIRECTORIES:
                self._known.clear()
            self._known.add(path)

    def _require_directory(self, path: str) -> None:
        """Check what exists at the path of a directory.

        :raises ObstructedPath: if it is not a directory.
        :raises OSError: if that cannot be determined, so that it is not taken for an obstacle.
        """
        found = _lstat(path)
        if found is not None and stat.S_ISLNK(found.st_mode):
            if path not in self._areas:
                raise errors.ObstructedPath(self._key(path), _IS_LINK)
            with suppress(FileNotFoundError):
                found = os.stat(path)
        if found is None or not stat.S_ISDIR(found.st_mode):
            raise errors.ObstructedPath(self._key(path), "it is not a directory")

    def _prune(self, path: str) -> str:
        """Remove the parents of ``path`` that are empty, and return the lowest that is not."""
        with self._directories:
            while (path := os.path.dirname(path)) not in self._permanent:
                self._known.discard(path)
                try:
                    os.rmdir(path)
                except FileNotFoundError:
                    continue
                except OSError:
                    break
        return path


def _walk(directory: str, prefix: str, areas: Container[str]) -> Iterator[StoredObject]:
    """Yield the files below a directory; ``prefix`` is that of their keys.

    Links to directories are followed only if these are ``areas``.
    """
    try:
        with os.scandir(directory) as listing:
            entries = [entry for entry in listing if KEY.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return
    except PermissionError:
        if os.path.basename(directory) == _LOST_AND_FOUND:
            return
        raise
    folders = {entry.name for entry in entries if entry.is_dir(follow_symlinks=entry.path in areas)}
    for entry in sorted(entries, key=lambda e: f"{e.name}/" if e.name in folders else e.name):
        key = f"{prefix}{entry.name}".removeprefix("/")
        if entry.name in folders:
            yield from _walk(entry.path, f"{key}/", areas)
        elif (found := _stat_target(entry)) is not None and stat.S_ISREG(found.st_mode):
            yield StoredObject(StorageKey(key), found.st_size, found.st_mtime_ns)


def _stat_target(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Return the status of an entry or of its target; None if there is none (any more)."""
    try:
        return entry.stat()
    except FileNotFoundError:
        return None
    except OSError:
        if entry.is_symlink():
            return None
        raise


def _open_regular(path: str, flags: int) -> int:
    """Open a regular file; do not follow a link, nor wait for the writer of a pipe."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(_NOT_REGULAR)
    return descriptor


def _lstat(path: str) -> os.stat_result | None:
    """Return the status of a path; None if nothing exists or can exist there."""
    try:
        return os.lstat(path)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}:
            return None
        raise


def _sync_directory(path: str) -> None:
    """Make the names in a directory durable; do nothing if it was removed meanwhile."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return "it is missing"
    if error.errno == errno.ELOOP:
        return "it is a link"
    return os.strerror(error.errno) if error.errno else str(error)
