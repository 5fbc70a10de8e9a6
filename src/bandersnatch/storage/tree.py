"""The files below a mirror's directory, by key. Everything here blocks.

No key leads out of the directory: links are followed only where an operator may place them (see
``areas``), and what is written replaces links instead of writing through them. A check and the act
after it are one step, so that no other process can exchange a directory and a link in between.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self, TypeGuard

from bandersnatch import errors
from bandersnatch.layout import StorageKey, is_version_of
from bandersnatch.model.digests import Digest
from bandersnatch.storage.areas import (
    AREAS,
    FULL,
    PARTIAL,
    ROOT,
    Areas,
    split_key,
    temporary_name,
)
from bandersnatch.storage.directory import IS_LINK, NOT_REGULAR, open_regular
from bandersnatch.storage.port import FileReadResult, StoredObject
from bandersnatch.storage.system import open_directory
from bandersnatch.storage.temporary import (
    CHUNK,
    copy_entry,
    create_file,
    discarded_on_error,
    is_link,
    write_all,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from threading import Event
    from types import TracebackType

    from bandersnatch.storage.areas import Area, Disk
    from bandersnatch.storage.directory import Directory, DirectoryEntry

_SEGMENT = r"(?!\.{1,2}(?:/|\Z))[^/\0\ud800-\udfff]+"
KEY = re.compile(f"{_SEGMENT}(?:/{_SEGMENT})*")
"""Matches every valid key."""

_LOST_AND_FOUND = "lost+found"
"""A directory at the root of some file systems that only root may read."""

_IS_DIRECTORY = "a directory is in its place; move that away"
_EXCHANGED = "another program is exchanging directories on the way to it"
_NOT_DIRECTORY = "it is not a directory"
MOUNT_BELOW = (
    "another file system is mounted below its area; "
    f"only {', '.join(AREAS)} may be on a file system of their own"
)
_NOT_UTF8 = "file names are not UTF-8 in this locale; set PYTHONUTF8=1 or LC_ALL=C.UTF-8"
_MAX_LINKS = 8
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EILSEQ})
_NO_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""The errors of file systems and systems without links, or that permit them to few users."""
_LINK_ERRORS = frozenset({errno.ELOOP, errno.EMLINK})


class Hasher(Protocol):
    """A hash that is being computed."""

    def update(self, data: bytes, /) -> None:
        """Hash more bytes."""
        ...


_OF_ONE_PLACE = frozenset(
    {errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.ELOOP, errno.ESTALE, errno.EIO}
)
"""System errors that may concern one directory or file only."""


_OF_NAMES = frozenset({errno.ENAMETOOLONG, errno.EILSEQ})
"""System errors about names."""

_SHORT_NAME = 100
"""Bytes; every file system holds names of this length, also with what temporary names add."""


def _is_text(name: object) -> TypeGuard[str]:
    return isinstance(name, str)


def _wrong_name(key: str, error: OSError) -> str:
    """Return why the file system cannot hold a name, "" if the error has another reason.

    A name that it cannot hold is rejected for good, so a disk that fails must not look like that.
    """
    if error.errno == errno.ENAMETOOLONG:
        names = *key.split("/"), *filter(_is_text, (error.filename, error.filename2))
        is_long = any(len(os.fsencode(each)) > _SHORT_NAME for each in names)
        return "its name is too long for the file system" if is_long else ""
    if error.errno == errno.EILSEQ:
        reason = os.strerror(errno.EILSEQ)
        why = error.strerror or reason
        return "" if key.isascii() and why == reason else why
    return ""


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
        if why := _wrong_name(self._key, error):
            raise errors.UnstorableName(self._key, why) from error
        if error.errno == errno.EISDIR:
            raise errors.ObstructedPath(self._key, _IS_DIRECTORY) from error
        if error.errno is None and str(error) == NOT_REGULAR:
            raise errors.ObstructedPath(self._key, NOT_REGULAR) from error
        why = os.strerror(error.errno) if error.errno else str(error)
        if error.errno in _OF_ONE_PLACE | _OF_NAMES:
            raise errors.UnusablePlace(self._key, why) from error
        if error.errno == errno.EXDEV:
            why = MOUNT_BELOW
        raise errors.StorageError(self._key, why) from error


class Tree:
    """The files below one directory, by key. Thread-safe.

    ``open`` comes first: it opens the areas, which an operator may have put on other file systems.
    Every key is reached from its area step by step; a link in the place of a directory is an
    error, also one that another program puts there while a call is at work.
    """

    def __init__(self, root: str, opener: Callable[[str], Directory] = open_directory) -> None:
        self.root = root
        self.areas = Areas(root, opener)

    def open(self) -> None:
        """Open the areas.

        :raises FileNotFoundError: if there is no such directory; nothing is stored then.
        :raises StorageError: if an area is not a directory.
        """
        self.areas.open()

    def close(self) -> None:
        """Close the areas."""
        self.areas.close()

    # ------------------------------------------------------------ paths

    def require_key(self, key: str) -> None:
        """Check a key.

        :raises StorageError: if it is not a valid key, and might lead out of the tree.
        """
        if not KEY.fullmatch(key):
            raise errors.StorageError(ascii(key), "it is not a key of this storage")

    def _place(self, key: str, *, create: bool = False) -> _Place:
        """Open the directory that ``key`` is in; ``create`` it if need be.

        :raises FileNotFoundError: if it does not exist.
        :raises NotADirectoryError: if it cannot exist, because something else is in the way.
        :raises ObstructedPath: if a link is in the way; if ``create``, whatever it is.
        """
        self.require_key(key)
        area_key, rest = split_key(key)
        area = self.areas.get(area_key, create=create)
        *names, name = rest.split("/")
        if not names:
            return _Place(area, area.directory, names, name)
        try:
            directory = _make_below(area.directory, names, create=create)
        except NotADirectoryError as error:
            found = _obstacle(area, names)
            if create or found.why != _NOT_DIRECTORY:
                raise found from error
            raise
        return _Place(area, directory, names, name)

    def open_parent(self, key: str, stack: ExitStack) -> tuple[Directory, str]:
        """Open the directory of ``key`` until ``stack`` is closed; return also the name in it.

        :raises OSError, ObstructedPath: if that is impossible; links are not followed.
        """
        place = stack.enter_context(self._place(key, create=True))
        return place.directory, place.name

    # ------------------------------------------------------------ reading

    def status(self, key: StorageKey) -> os.stat_result | None:
        """Return the status of a file, link or other entry; None if there is none."""
        try:
            with self._place(key) as place:
                return _status(place)
        except (errors.ObstructedPath, UnicodeEncodeError):
            return None
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise

    def stat(self, key: StorageKey) -> StoredObject | None:
        """Return size and time of a file; None unless ``key`` is a regular file."""
        with mapped_errors(key):
            found = self.status(key)
        if found is None or not stat.S_ISREG(found.st_mode):
            return None
        return StoredObject(key, found.st_size, found.st_mtime_ns)

    def read(self, key: StorageKey) -> bytes:
        """Return the content of a file, or of the target of a link within the tree.

        :raises ForeignLink: if the target of a link is not within the tree.
        """
        target = key
        with mapped_errors(key):
            try:
                for _ in range(_MAX_LINKS):
                    found = self._read_step(key, target)
                    if isinstance(found, bytes):
                        return found
                    target = found
            except NotADirectoryError:
                raise errors.MissingObject(key) from None
        raise errors.ForeignLink(key, "in a circle")

    def _read_step(self, key: StorageKey, target: StorageKey) -> bytes | StorageKey:
        """Return the content of ``target``, or the next target if it is a link."""
        with self._place(target) as place:
            try:
                descriptor = open_regular(place.directory, place.name)
            except OSError as error:
                if error.errno not in _LINK_ERRORS:
                    raise
                return self._target(key, place)
            with open(descriptor, "rb") as file:
                return file.read()

    def _target(self, key: StorageKey, place: _Place) -> StorageKey:
        """Return the key of the target of a link."""
        text = place.directory.read_link(place.name)
        home = "/".join([place.area.real_path, *place.names])
        path = os.path.normpath(os.path.join(home, text))
        for area in reversed(list(self.areas)):
            for above in (area.real_path, area.directory.path):
                if path.startswith(f"{above.rstrip('/')}/"):
                    below = path[len(above) :].strip("/")
                    return StorageKey(f"{area.key}/{below}".lstrip("/"))
        raise errors.ForeignLink(key, "out of the mirror")

    def has_content(self, key: StorageKey, content: bytes) -> bool:
        """Whether ``key`` is a readable regular file with exactly this content."""
        found = self.stat(key)
        if found is None or found.size != len(content):
            return False
        try:
            return self.read(key) == content
        except errors.StorageError:
            return False

    def open_file(self, key: StorageKey) -> int:
        """Return a descriptor of a regular file, opened for reading.

        :raises OSError: if it does not exist, or is not a regular file.
        :raises ObstructedPath: if a link is in the place of a directory.
        """
        with self._place(key) as place:
            return open_regular(place.directory, place.name)

    def served_status(self, key: StorageKey) -> os.stat_result | None:
        """Return the status of a regular file, or of the version that a page shows, or None.

        :raises OSError: if it cannot be read.
        """
        found = self.status(key)
        if found is not None and stat.S_ISLNK(found.st_mode):
            try:
                version = self._version(key)
            except (FileNotFoundError, errors.MissingObject):
                return None
            found = self.status(version)
        return found if found is not None and stat.S_ISREG(found.st_mode) else None

    def status_by_path(self, key: StorageKey) -> os.stat_result:
        """Return the status of whatever a key leads to, even by links.

        It says nothing about what may be served; it can show that a known file has not changed.

        :raises OSError: if there is nothing.
        """
        area_key, rest = split_key(key)
        return self.areas.get(area_key).directory.target_status_below(rest)

    def open_served(self, key: StorageKey) -> int:
        """Return a descriptor of a regular file, or of the version that a page shows.

        :raises OSError, StorageError: if it does not exist, or cannot be read.
        """
        try:
            return self.open_file(key)
        except OSError as error:
            if error.errno not in _LINK_ERRORS:
                raise
        return self.open_file(self._version(key))

    def _version(self, key: StorageKey) -> StorageKey:
        """Return the kept version that the link of a page shows.

        :raises ForeignLink: if the link leads anywhere else.
        """
        with self._place(key) as place:
            version = self._target(key, place)
        if not is_version_of(version, key):
            raise errors.ForeignLink(key, "to something else than a kept version of the page")
        return version

    def hash(self, key: StorageKey, hashers: Iterable[Hasher], stop: Event) -> int:
        """Feed the content of a file to hashers, and return its size in bytes.

        Once ``stop`` is set, the result is not needed any more, and reading ends early.

        :raises OSError: if the file cannot be read.
        """
        descriptor, size = self.open_file(key), 0
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
        try:
            if not start:
                yield from self._walk(self.areas.get(ROOT).directory, "", prefix)
            elif start in AREAS:
                yield from self._walk(self.areas.get(start).directory, f"{start}/", prefix)
            else:
                with self._place(start) as place, place.directory.open(place.name) as directory:
                    yield from self._walk(directory, f"{start}/", prefix)
        except (FileNotFoundError, NotADirectoryError, errors.ObstructedPath):
            return

    def _walk(self, directory: Directory, home: str, prefix: str) -> Iterator[StoredObject]:
        """Yield the files below a directory; ``home`` is the prefix of their keys."""
        for entry in _sorted_entries(directory, home):
            key = StorageKey(f"{home}{entry.name}")
            if not key.startswith(prefix):
                continue
            try:
                if key in AREAS:
                    yield from self._walk(self.areas.get(key).directory, f"{key}/", prefix)
                elif entry.is_directory:
                    with directory.open(entry.name) as below:
                        yield from self._walk(below, f"{key}/", prefix)
                elif (found := _target_status(directory, entry.name)) is not None:
                    yield StoredObject(key, found.st_size, found.st_mtime_ns)
            except (FileNotFoundError, NotADirectoryError, errors.ObstructedPath):
                continue  # removed or replaced meanwhile

    # ------------------------------------------------------------ writing

    def staging(self, key: StorageKey) -> Directory:
        """Return the directory of temporary files on the file system that ``key`` will be on.

        :raises UnstorableName: if the locale gives file names another encoding than URLs have.
        """
        if not key.isascii() and sys.getfilesystemencoding() != "utf-8":
            raise errors.UnstorableName(key, _NOT_UTF8)
        return self._disk(key).staging()

    def probe(self, key: StorageKey) -> None:
        """Check that files can be written on the file system that ``key`` will be on.

        :raises StorageError: if they cannot.
        """
        try:
            self._disk(key).probe()
        except OSError as error:
            why = error.strerror or str(error)
            raise errors.StorageError(self._disk(key).staging_key, why) from error

    def _disk(self, key: StorageKey) -> Disk:
        self.require_key(key)
        disk = self.areas.disk(split_key(key)[0])
        if disk is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.root)
        return disk

    def write(self, key: StorageKey, content: bytes, *, durable: bool) -> None:
        """Replace the file or link at ``key`` by a file, in one step."""
        with mapped_errors(key):
            staging = self.staging(key)
            temporary = temporary_name()
            descriptor = create_file(staging, temporary)
            with discarded_on_error(staging, temporary):
                try:
                    write_all(descriptor, content)
                    if durable:
                        os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                self.publish(staging, temporary, key)
            if durable:
                self._sync_directory(key)

    def link(self, key: StorageKey, target: StorageKey) -> None:
        """Replace the file or link at ``key`` by a relative link to ``target``, in one step.

        Where links are refused it is replaced by a copy of ``target``.
        """
        self.require_key(target)
        with mapped_errors(key):
            staging, temporary = self.staging(key), temporary_name()
            relative = os.path.relpath(f"/{target}", os.path.dirname(f"/{key}"))
            try:
                staging.make_link(temporary, relative)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                with self._place(target) as place:
                    self._copy(place.directory, place.name, key)
                return
            with discarded_on_error(staging, temporary):
                self.publish(staging, temporary, key)

    def publish(self, source: Directory, name: str, key: StorageKey) -> None:
        """Rename a complete file to ``key``; create the directories that it needs.

        :raises ObstructedPath: if a link or a file is in the place of one of them.
        """
        try:
            self._rename(source, name, key)
        except OSError as error:
            if error.errno != errno.EXDEV or not self.areas.separate(split_key(key)[0]):
                raise
            self._copy(source, name, key)
            source.delete(name)

    def _rename(self, source: Directory, name: str, key: StorageKey) -> None:
        try:
            with self._place(key, create=True) as place:
                source.rename(name, place.directory, place.name)
        except FileNotFoundError:
            # Another thread has removed a directory meanwhile, because it was empty.
            with self.areas.lock:
                self.areas.forget_removed()
                with self._place(key, create=True) as place:
                    source.rename(name, place.directory, place.name)
        place.area.disk.unsynced = True

    def delete(self, key: StorageKey, *, durable: bool = False) -> bool:
        """Delete the file or link at ``key``, and return whether there was one."""
        with mapped_errors(key):
            try:
                with self._place(key) as place:
                    place.directory.delete(place.name)
                    place.area.disk.unsynced = True
                    if durable:
                        place.directory.sync()
                    self._prune(place)
            except (FileNotFoundError, NotADirectoryError, errors.ObstructedPath):
                return False
        return True

    def move(self, source: StorageKey, target: StorageKey) -> bool:
        """Rename a file or link, if it exists.

        Return whether that is done. If not, the target is on another file system: see ``copy``.
        """
        self.require_key(target)
        with mapped_errors(source):
            try:
                place = self._place(source)
            except (FileNotFoundError, NotADirectoryError, errors.ObstructedPath):
                return True
            with place, suppress(FileNotFoundError):  # another thread has moved it
                found = _status(place)
                if found is None or stat.S_ISDIR(found.st_mode):
                    return True
                try:
                    self._rename(place.directory, place.name, target)
                except OSError as error:
                    if error.errno != errno.EXDEV:
                        raise
                    return False
                place.area.disk.unsynced = True
                self._prune(place)
        return True

    def _prune(self, place: _Place) -> None:
        """Remove the directories of a place that are empty."""
        names = place.names.copy()
        with self.areas.lock, suppress(OSError):
            while names:
                last = names.pop()
                if not names:
                    _remove_directory(place.area.directory, last)
                    return
                with place.area.directory.open_below(names) as above:
                    _remove_directory(above, last)

    def _sync_directory(self, key: StorageKey) -> None:
        """Make the name of a file durable; do nothing if its directory was removed meanwhile."""
        with suppress(FileNotFoundError), self._place(key) as place:
            place.directory.sync()

    # ------------------------------------------------------------ between file systems

    def is_apart(self, source: StorageKey, target: StorageKey) -> bool:
        """Whether two keys are known to be on different file systems."""
        one, other = (self.areas.disk(split_key(key)[0]) for key in (source, target))
        return one is not other

    def copy(self, source: StorageKey, target: StorageKey) -> Copied | None:
        """Copy a file or link to another file system, and check the copy.

        ``delete_copied`` follows when the copy is durable. Return None if there is no such file.
        """
        with mapped_errors(target):
            try:
                place = self._place(source)
            except (FileNotFoundError, NotADirectoryError, errors.ObstructedPath):
                return None
            with place, suppress(FileNotFoundError):
                found = _status(place)
                if found is not None and not stat.S_ISDIR(found.st_mode):
                    self._copy(place.directory, place.name, target)
                    return Copied(source, found)
        return None

    def _copy(self, source: Directory, name: str, target: StorageKey) -> None:
        staging = self.staging(target)
        try:
            temporary = copy_entry(source, name, staging)
        except OSError as error:
            if error.errno in FULL:
                size, free = source.status(name).st_size, staging.usage().free
                raise errors.InsufficientSpace(target, size, free=free, floor=0) from error
            raise
        with discarded_on_error(staging, temporary):
            self._rename(staging, temporary, target)

    def delete_copied(self, copied: Copied) -> None:
        """Delete what was copied, unless another file has its place meanwhile."""
        found = self.status(copied.key)
        if found is not None and os.path.samestat(found, copied.status):
            self.delete(copied.key)


class Copied(NamedTuple):
    """A file that was copied: its key, and its status then."""

    key: StorageKey
    status: os.stat_result


class _Place(NamedTuple):
    """Where a key is; a context that closes the directory.

    ``names`` are those of the directories between the area and the key, ``directory`` is the last
    of them, and ``name`` that of the key in it.
    """

    area: Area
    directory: Directory
    names: list[str]
    name: str

    def __enter__(self) -> Self:
        """Return the place."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Close the directory."""
        if self.names:
            self.directory.close()


def _status(place: _Place) -> os.stat_result | None:
    """Return the status of the entry at a place; None if nothing exists or can exist there."""
    try:
        return place.directory.status(place.name)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def _make_below(directory: Directory, names: list[str], *, create: bool) -> Directory:
    """Open a directory some levels below another; ``create`` what is missing on the way."""
    try:
        return directory.open_below(names)
    except FileNotFoundError:
        if not create:
            raise
    *above, last = names
    parent = _make_below(directory, above, create=True) if above else directory
    try:
        with suppress(FileExistsError):
            parent.make_directory(last)
        return parent.open(last)
    finally:
        if above:
            parent.close()


def _obstacle(area: Area, names: list[str]) -> errors.ObstructedPath:
    """Return an error about the first entry on the way that is not a directory."""
    directory, at, why = area.directory, area.key, _EXCHANGED
    with ExitStack() as stack, suppress(FileNotFoundError):
        for name in names:
            at = f"{at}/{name}".lstrip("/")
            try:
                directory = stack.enter_context(directory.open(name))
            except NotADirectoryError:
                why = IS_LINK if is_link(directory, name) else _NOT_DIRECTORY
                break
    return errors.ObstructedPath(at, why)


def _remove_directory(directory: Directory, name: str) -> None:
    """Remove an empty directory; one that is missing counts as removed."""
    with suppress(FileNotFoundError):
        directory.remove_directory(name)


def _sorted_entries(directory: Directory, home: str) -> list[DirectoryEntry]:
    """Return the entries that are part of the tree in the order of keys."""
    try:
        entries = directory.entries()
    except PermissionError:
        if home.endswith(f"{_LOST_AND_FOUND}/"):
            return []
        raise
    is_area = home[:-1] in AREAS
    found = [e for e in entries if KEY.fullmatch(e.name) and not (is_area and e.name == PARTIAL)]

    def order(entry: DirectoryEntry) -> str:
        is_directory = entry.is_directory or f"{home}{entry.name}" in AREAS
        return f"{entry.name}/" if is_directory else entry.name

    return sorted(found, key=order)


def _target_status(directory: Directory, name: str) -> os.stat_result | None:
    """Return the status of a regular file or of a link to one; None if there is none."""
    try:
        found = directory.target_status(name)
    except FileNotFoundError:
        return None
    except OSError:
        if is_link(directory, name):
            return None
        raise
    return found if stat.S_ISREG(found.st_mode) else None


def _reason(error: OSError) -> str:
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return "it is missing"
    if error.errno == errno.ELOOP:
        return "it is a link"
    return os.strerror(error.errno) if error.errno else str(error)
