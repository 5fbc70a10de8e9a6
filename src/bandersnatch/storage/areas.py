"""The areas of a mirror: directories that are opened once, when a run begins.

An area may be a link or a mount point that the operator made, and so be on another file system
than the mirror's directory. Everything below an area is reached through its open directory, step by
step and without following links. Everything here blocks.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from bandersnatch import errors
from bandersnatch.model.folding import EXACT, Folding
from bandersnatch.storage.directory import IS_LINK

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from bandersnatch.storage.directory import Directory

AREAS = ("web", "web/simple", "web/packages", "web/json", "web/pypi", "removed")
"""Directories that may be links, and that are kept when they are empty; parents first."""

ROOT = ""
"""The key of the mirror's directory, which holds the state."""

PARTIAL = ".partial"
"""The directory of temporary files: one in the mirror's directory, and one in the highest area of
each other file system, so that what is complete can be renamed to its place."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The errors of a full disk."""

_SPELLINGS = ("\N{LATIN SMALL LETTER E WITH ACUTE}", "e\N{COMBINING ACUTE ACCENT}")
"""The same letter in two normal forms."""

_NOT_MOUNTED = "it is not a directory; is its disk mounted?"


class Disk:
    """A file system that areas are on. ``unsynced`` is set by a change that power failure undoes.

    ``place`` is the key of the highest area on it. Two disks may be one device (bind mounts).
    """

    def __init__(self, place: str, directory: Directory) -> None:
        self.place = place
        self.directory = directory
        self.device: Hashable = directory.device()
        self.unsynced = False
        self._staging: Directory | None = None
        self._lock = threading.Lock()

    @property
    def staging_key(self) -> str:
        """The key of the directory of temporary files."""
        return f"{self.place}/{PARTIAL}".lstrip("/")

    def staging(self) -> Directory:
        """Return the directory of temporary files; create it unless it exists.

        :raises StorageError: if something else has its name.
        """
        with self._lock:
            if self._staging is None:
                # Below an area it is in the served tree: not for the eyes of the web server.
                mode = 0o700 if self.place else 0o755
                with suppress(FileExistsError):
                    self.directory.make_directory(PARTIAL, mode)
                self._staging = self._open_staging()
            return self._staging

    def _open_staging(self) -> Directory:
        try:
            staging = self.directory.open(PARTIAL)
        except NotADirectoryError:
            is_link = stat.S_ISLNK(self.directory.status(PARTIAL).st_mode)
            why = "it is a link" if is_link else "it is not a directory"
            raise errors.StorageError(self.staging_key, f"{why}; make it a directory") from None
        if staging.mount() != self.directory.mount():
            staging.close()
            why = "it is on another file system than the directory that it is in; unmount it"
            raise errors.StorageError(self.staging_key, why)
        return staging

    def check_staging(self) -> None:
        """Check the directory of temporary files, if it exists.

        :raises StorageError: if it is not a directory of the same file system.
        """
        with suppress(FileNotFoundError):
            self._open_staging().close()

    def probe(self) -> None:
        """Check that files can be written; a full disk is reported when something is stored.

        :raises OSError: if they cannot.
        """
        staging, name = self.staging(), temporary_name()
        try:
            descriptor = staging.open_file(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            try:
                os.write(descriptor, b"probe")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
                staging.delete(name)
        except OSError as error:
            if error.errno not in FULL:
                raise

    def close(self) -> None:
        """Close the directory of temporary files."""
        if self._staging is not None:
            self._staging.close()
            self._staging = None


class Area(NamedTuple):
    """An open area; ``real_path`` is its path without links."""

    key: str
    directory: Directory
    disk: Disk
    is_link: bool
    real_path: str


class Areas:
    """The areas of one mirror, by key. Thread-safe.

    An area that does not exist when a run begins is an ordinary directory of its parent.
    """

    def __init__(self, root: str, opener: Callable[[str], Directory]) -> None:
        """Take the path of the mirror's directory, and what opens it."""
        self._root = root
        self._opener = opener
        self._open: dict[str, Area] = {}
        self._disks: dict[Hashable, Disk] = {}
        self._closed: list[Directory] = []  # replaced, and maybe in use by another thread
        self.lock = threading.RLock()
        """Held to create or remove directories."""

    def open(self) -> None:
        """Open all areas that exist.

        :raises FileNotFoundError: if the mirror's directory does not exist.
        :raises StorageError: if an area is not a directory.
        """
        self._add(ROOT, self._opener(self._root), is_link=False)
        for key in AREAS:
            with suppress(FileNotFoundError):
                self._open_existing(key)

    def close(self) -> None:
        """Close everything."""
        for disk in self.disks():
            disk.close()
        for area in self._open.values():
            area.directory.close()
        for directory in self._closed:
            directory.close()
        self._open.clear()
        self._disks.clear()
        self._closed.clear()

    def _open_existing(self, key: str) -> None:
        parent, name = self._parent(key)
        found = parent.directory.status(name)
        is_link = stat.S_ISLNK(found.st_mode)
        try:
            directory = parent.directory.open_target(name)
        except OSError as error:
            if is_link or isinstance(error, NotADirectoryError):
                raise errors.StorageError(key, _NOT_MOUNTED) from error
            raise errors.StorageError(key, os.strerror(error.errno or 0)) from error
        self._add(key, directory, is_link=is_link)

    def _add(self, key: str, directory: Directory, *, is_link: bool) -> Area:
        mount = directory.mount()
        if mount not in self._disks:
            self._disks[mount] = Disk(key, directory)
        area = Area(key, directory, self._disks[mount], is_link, directory.real_path())
        self._open[key] = area
        return area

    def _parent(self, key: str) -> tuple[Area, str]:
        above, _, name = key.rpartition("/")
        area = self._open.get(above)
        if area is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), above)
        return area, name

    # ------------------------------------------------------------ look up

    def __iter__(self) -> Iterator[Area]:
        """Yield the areas that are open, parents first."""
        return iter(list(self._open.values()))

    def disks(self) -> list[Disk]:
        """Return the file systems of the areas."""
        return list(dict.fromkeys(area.disk for area in self))

    def disk(self, key: str) -> Disk | None:
        """Return the file system of an area, or of its parent if it does not exist yet."""
        while (area := self._open.get(key)) is None and key:
            key = key.rpartition("/")[0]
        return area.disk if area is not None else None

    def get(self, key: str, *, create: bool = False) -> Area:
        """Return an area; ``create`` it if need be.

        :raises FileNotFoundError: if it does not exist.
        :raises ObstructedPath: if something else has its name, even a link that was made later.
        """
        if (area := self._open.get(key)) is not None:
            return area
        if key == ROOT:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._root)
        above, _, name = key.rpartition("/")
        with self.lock:
            if key in self._open:
                return self._open[key]
            directory = self.get(above, create=create).directory
            if create:
                with suppress(FileExistsError):
                    directory.make_directory(name)
            try:
                return self._add(key, directory.open(name), is_link=False)
            except NotADirectoryError:
                is_link = stat.S_ISLNK(directory.status(name).st_mode)
                why = IS_LINK if is_link else "it is not a directory"
                raise errors.ObstructedPath(key, why) from None

    def forget_removed(self) -> None:
        """Forget areas that another program has removed, so that they are created again.

        Links are never forgotten: what the operator made is not replaced by a directory.
        """
        with self.lock:
            for area in reversed(list(self._open.values())):
                if area.key and not area.is_link and self._is_removed(area):
                    del self._open[area.key]
                    self._closed.append(area.directory)

    def _is_removed(self, area: Area) -> bool:
        parent, name = self._parent(area.key)
        try:
            parent.directory.status(name)
        except FileNotFoundError:
            return True
        return False

    def separate(self, key: str) -> bool:
        """Give an area its own directory of temporary files; return whether that is new.

        Needed where renames between two directories fail although nothing distinguishes them.
        """
        with self.lock:
            area = self._open[key]
            if area.disk.place == key:
                return False
            self._open[key] = area._replace(disk=Disk(key, area.directory))
            return True


def probe_folding(directory: Directory) -> Folding:
    """Find out by a file what the file system of a directory ignores when it compares names."""
    ascii_name = temporary_name()
    composed, decomposed = (f"{ascii_name}{text}" for text in _SPELLINGS)
    for name in (composed, ascii_name):
        try:
            os.close(directory.open_file(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except (OSError, UnicodeEncodeError):
            continue  # a file system of ASCII names, or a full one
        try:
            return Folding(
                case=_exists(directory, name.upper()),
                normal_form=name == composed and _exists(directory, decomposed),
            )
        finally:
            directory.delete(name)
    return EXACT


def _exists(directory: Directory, name: str) -> bool:
    try:
        directory.status(name)
    except (OSError, UnicodeEncodeError):
        return False
    return True


def split_key(key: str) -> tuple[str, str]:
    """Return the key of the area that ``key`` is in, and the rest of it."""
    first, _, below = key.partition("/")
    if not below or first not in AREAS:
        return ROOT, key
    second, _, rest = below.partition("/")
    area = f"{first}/{second}"
    return (area, rest) if rest and area in AREAS else (first, below)


def temporary_name() -> str:
    """Return a random, unpredictable name of a temporary file."""
    return f"t{os.urandom(8).hex()}"
