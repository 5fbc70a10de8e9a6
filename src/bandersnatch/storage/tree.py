"""What lies in a directory of a mirror, in the order of keys; everything here blocks."""

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

from bandersnatch.errors import (
    ForeignLink,
    MissingObject,
    ObstructedPath,
    StorageError,
    UnstorableName,
)
from bandersnatch.layout import StorageKey
from bandersnatch.model.digests import Digest
from bandersnatch.storage.port import FileReadResult, StoredObject

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator
    from threading import Event
    from types import TracebackType


_SEGMENT = r"(?!\.{1,2}(?:/|\Z))[^/\0\ud800-\udfff]+"
KEY = re.compile(f"{_SEGMENT}(?:/{_SEGMENT})*")
"""What a key looks like."""

_NOT_OURS = "lost+found"
"""What a file system has at its top for itself, and lets nobody but root look into."""


def walk(directory: str, prefix: str, areas: Container[str]) -> Iterator[StoredObject]:
    """Yield the regular files and links below a directory; ``prefix`` is that of their keys.

    Links are told of with the size and time of what they lead to, and left out if they lead
    nowhere. Links to directories are followed only to ``areas``.
    """
    try:
        with os.scandir(directory) as listing:
            entries = [entry for entry in listing if KEY.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return
    except PermissionError:
        if os.path.basename(directory) == _NOT_OURS:
            return
        raise
    folders = {entry.name for entry in entries if entry.is_dir(follow_symlinks=entry.path in areas)}
    for entry in sorted(entries, key=lambda e: f"{e.name}/" if e.name in folders else e.name):
        key = f"{prefix}{entry.name}".removeprefix("/")
        if entry.name in folders:
            yield from walk(entry.path, f"{key}/", areas)
        elif (found := _stat_of(entry)) is not None and stat.S_ISREG(found.st_mode):
            yield StoredObject(StorageKey(key), found.st_size, found.st_mtime_ns)


def _stat_of(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Return what an entry is or leads to; None if it vanished or leads nowhere."""
    try:
        return entry.stat()
    except FileNotFoundError:
        return None
    except OSError:
        if entry.is_symlink():
            return None
        raise


AREAS = ("web", "web/simple", "web/packages", "web/json", "web/pypi", "removed")
"""Directories that may be links, and that stay when they are empty."""

PARTIAL = ".partial"
"""Where everything is written before it is renamed to its place; on the same file system."""

_FILE_MODE = 0o644
_NO_FILE = "it is no regular file"
_A_DIRECTORY = "a directory is in its place; move that away"
_A_LINK = "it is a link, which is not followed here"
_REMEMBERED_DIRECTORIES = 100_000
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class mapped_errors:  # noqa: N801 - used like a function
    """A context that turns the operating system's errors into this program's."""

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        """Raise this program's error for the system's, if there was one."""
        if not isinstance(error, OSError):
            return
        if isinstance(error, FileNotFoundError):
            raise MissingObject(self._key) from error
        if error.errno == errno.ENAMETOOLONG:
            why = "its name is too long for the file system"
            raise UnstorableName(self._key, why) from error
        if error.errno == errno.EISDIR:
            raise ObstructedPath(self._key, _A_DIRECTORY) from error
        why = os.strerror(error.errno) if error.errno else str(error)
        if error.errno == errno.EXDEV:
            why = f"it is on another file system than {PARTIAL}; keep the mirror on one"
        raise StorageError(self._key, why) from error


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte; the system call alone may write fewer."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def open_regular(path: str, flags: int) -> int:
    """Open a file for ``open``; neither a link is followed nor anything that can make one wait."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(_NO_FILE)
    return descriptor


class Tree:
    """The files below one directory, by key. Safe to use from several threads at once.

    ``unsynced`` becomes true with every change that a power cut could undo.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.unsynced = False
        self._areas = {self._join(area) for area in AREAS}
        self._stay = {root, *self._areas}
        self._known: set[str] = set()
        self._directories = threading.RLock()  # they are made and removed by one thread at a time
        self._count = itertools.count()

    def _join(self, key: str) -> str:
        return f"{self.root}/{key}"

    def _key(self, path: str) -> str:
        return os.path.relpath(path, self.root)

    def path(self, key: StorageKey) -> str:
        """Return where ``key`` lies.

        :raises StorageError: if it could lead anywhere else.
        """
        if not KEY.fullmatch(key):
            raise StorageError(ascii(key), "it is no key of this storage")
        return self._join(key)

    def temporary(self, name: str = "") -> str:
        """Return a path for something in the making."""
        return self._join(f"{PARTIAL}/{name or f't{next(self._count)}'}")

    # ------------------------------------------------------------ directories

    def _directory(self, path: str) -> None:
        """Make a directory and those above it, unless they are there already.

        :raises ObstructedPath: if something else is there; a link is not followed.
        """
        if path in self._known or path == self.root:
            return
        with self._directories:
            self._directory(path.rpartition("/")[0])
            try:
                os.mkdir(path, 0o755)
            except FileExistsError:
                self._require_directory(path)
            if len(self._known) >= _REMEMBERED_DIRECTORIES:
                self._known.clear()
            self._known.add(path)

    def _require_directory(self, path: str) -> None:
        """Judge what is there already; what cannot be looked at fails, and is nobody's obstacle."""
        found = _seen(path)
        if found is not None and stat.S_ISLNK(found.st_mode):
            if path not in self._areas:
                raise ObstructedPath(self._key(path), _A_LINK)
            with suppress(FileNotFoundError):
                found = os.stat(path)
        if found is None or not stat.S_ISDIR(found.st_mode):
            raise ObstructedPath(self._key(path), "it is no directory")

    def _prune(self, path: str) -> str:
        """Remove the directories that are empty now, upwards from the one that held ``path``.

        Returns the lowest that is left.
        """
        with self._directories:
            while (path := os.path.dirname(path)) not in self._stay:
                self._known.discard(path)
                try:
                    os.rmdir(path)
                except FileNotFoundError:
                    continue
                except OSError:
                    break
        return path

    def _link_above(self, path: str, among: Container[str] | None = None) -> str | None:
        """Return the link that stands between the root and ``path``, if one does."""
        while (path := path.rpartition("/")[0]) != self.root:
            looked_at = path not in self._areas and (among is None or path in among)
            if looked_at and os.path.islink(path):
                return path
        return None

    # ------------------------------------------------------------ files

    def stat(self, key: StorageKey) -> StoredObject | None:
        """Return what is known of a file; None for what is no regular file."""
        with mapped_errors(key):
            found = _seen(self.path(key))
        if found is None or not stat.S_ISREG(found.st_mode):
            return None
        return StoredObject(key, found.st_size, found.st_mtime_ns)

    def read(self, key: StorageKey) -> bytes:
        """Return what is in a file, or behind a link that stays within the tree.

        :raises ForeignLink: if there is a link that does not.
        """
        path = self.path(key)
        if link := self._link_above(path):
            raise StorageError(self._key(link), _A_LINK)
        with mapped_errors(key):
            try:
                if os.path.islink(path):
                    path = self._resolved(path)
                with open(path, "rb", opener=open_regular) as file:
                    return file.read()
            except NotADirectoryError:
                raise MissingObject(key) from None

    def _resolved(self, path: str) -> str:
        """Return where a link leads, if that is within the tree."""
        found = os.path.realpath(path)
        if os.path.islink(found):
            raise ForeignLink(self._key(path), "in a circle")
        for home in (self.root, *self._areas):
            if found.startswith(f"{os.path.realpath(home)}/"):
                return found
        raise ForeignLink(self._key(path), "out of the mirror")

    def open_new(self, path: str) -> int:
        """Create a file that is not there and return its descriptor."""
        try:
            return os.open(path, _NEW_FILE, _FILE_MODE)
        except FileExistsError:
            os.unlink(path)  # left by a run that was killed
            return os.open(path, _NEW_FILE, _FILE_MODE)

    def holds(self, key: StorageKey, content: bytes) -> bool:
        """Whether a regular file with just this content is there already, and can be read."""
        found = self.stat(key)
        if found is None or found.size != len(content):
            return False
        try:
            return self.read(key) == content
        except StorageError:
            return False

    def write(self, key: StorageKey, content: bytes, *, durable: bool) -> None:
        """Put ``content`` in the place of whatever is at ``key``."""
        path, temporary = self.path(key), self.temporary()
        with mapped_errors(key):
            try:
                descriptor = self.open_new(temporary)
                try:
                    write_all(descriptor, content)
                    if durable:
                        os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                self.place(temporary, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise
            if durable:
                self.sync_directory(os.path.dirname(path))

    def place(self, temporary: str, path: str) -> None:
        """Rename something finished to where it belongs; new directories are judged when made."""
        if link := self._link_above(path, among=self._known):
            raise ObstructedPath(self._key(link), _A_LINK)
        try:
            self._directory(path.rpartition("/")[0])
            os.replace(temporary, path)
        except FileNotFoundError:
            # Another thread removed a directory in between, because it was empty.
            with self._directories:
                self._known.clear()
                self._directory(os.path.dirname(path))
                os.replace(temporary, path)
        self.unsynced = True

    def link(self, key: StorageKey, target: StorageKey) -> None:
        """Put a relative link to ``target`` in the place of whatever is at ``key``."""
        path, temporary = self.path(key), self.temporary()
        with mapped_errors(key):
            relative = os.path.relpath(self.path(target), os.path.dirname(path))
            with suppress(OSError):
                os.unlink(temporary)
            os.symlink(relative, temporary)
            try:
                self.place(temporary, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise

    def delete(self, key: StorageKey, *, durable: bool = False) -> bool:
        """Delete what is at ``key``; say whether there was something."""
        path = self.path(key)
        with mapped_errors(key):
            if self._link_above(path):
                return False
            try:
                os.unlink(path)
            except (FileNotFoundError, NotADirectoryError):
                return False
            left = self._prune(path)
            self.unsynced = True
            if durable:
                self.sync_directory(left)
        return True

    def move(self, source: StorageKey, target: StorageKey) -> None:
        """Rename a file; do nothing if it is not there."""
        path = self.path(source)
        with mapped_errors(source):
            found = None if self._link_above(path) else _seen(path)
            if found is None or stat.S_ISDIR(found.st_mode):
                return
            with suppress(FileNotFoundError):  # another thread was faster
                self.place(path, self.path(target))
                self._prune(path)

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable; one that is gone again has none."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def walk(self, prefix: StorageKey) -> Iterator[StoredObject]:
        """Yield the regular files and links whose keys begin with ``prefix``, in key order."""
        start = prefix.rpartition("/")[0]
        path = self.path(StorageKey(start)) if start else self.root
        if start and self._link_above(f"{path}/"):
            return
        for found in walk(path, f"{start}/", self._areas):
            if found.key.startswith(prefix):
                yield found


def _seen(path: str) -> os.stat_result | None:
    """Return what is at a path; None if nothing is there, or could be."""
    try:
        return os.lstat(path)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}:
            return None
        raise


READ = 1024 * 1024
"""Bytes at a time: more than most files have."""

_READING = os.O_RDONLY | os.O_CLOEXEC


class Hasher(Protocol):
    """The part of a hash that is fed."""

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""
        ...


def open_to_read(tree: Tree, key: StorageKey) -> int:
    """Return the descriptor of a regular file.

    :raises OSError: if there is none, or something that is not read.
    :raises StorageError: if the key leads nowhere.
    """
    return open_regular(tree.path(key), _READING)


def read_into(tree: Tree, key: StorageKey, hashers: Iterable[Hasher], stop: Event) -> int:
    """Feed hashers what is in a file and return how many bytes that were.

    Once ``stop`` is set nobody waits for the result any more.

    :raises OSError: if it cannot be read.
    """
    descriptor, size = open_to_read(tree, key), 0
    try:
        while not stop.is_set() and (piece := os.read(descriptor, READ)):
            size += len(piece)
            for hasher in hashers:
                hasher.update(piece)
    finally:
        os.close(descriptor)
    return size


def read_through(tree: Tree, key: StorageKey, stop: Event) -> FileReadResult:
    """Return the size and sha256 of a file, or why it could not be read."""
    hasher = hashlib.sha256()
    try:
        size = read_into(tree, key, [hasher], stop)
    except StorageError as error:
        return FileReadResult(0, None, error.why)
    except OSError as error:
        return FileReadResult(0, None, _reason(error))
    return FileReadResult(size, Digest("sha256", hasher.hexdigest()))


def _reason(error: OSError) -> str:
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return "it is missing"
    if error.errno == errno.ELOOP:
        return "it is a link"
    return os.strerror(error.errno) if error.errno else str(error)
