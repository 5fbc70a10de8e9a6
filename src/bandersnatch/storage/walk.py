"""What lies in a directory of a mirror, in the order of keys; everything here blocks."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from bandersnatch.layout import StorageKey
from bandersnatch.records import StoredObject

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

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
