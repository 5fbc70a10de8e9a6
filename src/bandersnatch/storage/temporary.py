"""Temporary files, and copies of files on another file system. Everything here blocks."""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from bandersnatch.storage.areas import temporary_name
from bandersnatch.storage.directory import open_regular

if TYPE_CHECKING:
    from bandersnatch.storage.directory import Directory

CHUNK = 1024 * 1024
"""Bytes per system call; most files are smaller."""

_FILE_MODE = 0o644
_BAD_COPY = "its copy on another file system has another content"
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_NEW_COPY = os.O_RDWR | os.O_CREAT | os.O_EXCL


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte; a single system call may write fewer."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


class discarded_on_error:  # noqa: N801 - used like a function
    """A context that deletes a temporary file if the block fails."""

    __slots__ = ("_directory", "_name")

    def __init__(self, directory: Directory, name: str) -> None:
        self._directory = directory
        self._name = name

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Delete the file after a failure."""
        if kind is not None:
            with suppress(OSError):
                self._directory.delete(self._name)


def create_file(staging: Directory, name: str) -> int:
    """Create a temporary file, and return its descriptor; replace one that exists."""
    try:
        return staging.open_file(name, _NEW_FILE, _FILE_MODE)
    except FileExistsError:
        staging.delete(name)  # left by a run that was killed
        return staging.open_file(name, _NEW_FILE, _FILE_MODE)


def copy_entry(source: Directory, name: str, staging: Directory) -> str:
    """Copy a file or link to a temporary file, and return its name; keep its mode and time.

    :raises OSError: if that fails, or if the copy has another content.
    """
    temporary = temporary_name()
    if is_link(source, name):
        staging.make_link(temporary, source.read_link(name))
        return temporary
    reading = open_regular(source, name)
    try:
        descriptor = staging.open_file(temporary, _NEW_COPY, _FILE_MODE)
        with discarded_on_error(staging, temporary):
            try:
                _copy_content(reading, descriptor)
            finally:
                os.close(descriptor)
            staging.set_time(temporary, os.fstat(reading).st_mtime_ns)
    finally:
        os.close(reading)
    return temporary


def _copy_content(source: int, target: int) -> None:
    copied = hashlib.sha256()
    while chunk := os.read(source, CHUNK):
        copied.update(chunk)
        write_all(target, chunk)
    checked = hashlib.sha256()
    os.lseek(target, 0, os.SEEK_SET)
    while chunk := os.read(target, CHUNK):
        checked.update(chunk)
    if checked.digest() != copied.digest():
        raise OSError(_BAD_COPY)


def is_link(directory: Directory, name: str) -> bool:
    """Return whether a name is that of a symbolic link."""
    try:
        return stat.S_ISLNK(directory.status(name).st_mode)
    except FileNotFoundError:
        return False


def purge_files(staging: Directory, before: int) -> None:
    """Delete the temporary files that were not written to since ``before``, in seconds."""
    for entry in staging.entries():
        if entry.is_directory:
            continue  # not made by this program
        if staging.status(entry.name).st_mtime < before:
            staging.delete(entry.name)
