"""A listing in a temporary file, in which millions of keys are looked up with little memory."""

from __future__ import annotations

import os
import tempfile
from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, Self

from bandersnatch.storage.port import StoredObject
from bandersnatch.storage.tree import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bandersnatch.layout import StorageKey

_BLOCK = 250
"""Objects that are written and read together; of each block, the first key is in memory."""

_NANOSECONDS = 10**9


class ListingFile:
    """The objects below one prefix, in the order of their keys; a context.

    Its file has a line for each object: the key, the size in bytes, and the time in seconds since
    1970. All methods block, and raise ``StorageError`` if the file cannot be written or read.
    """

    def __init__(self, directory: str) -> None:
        """Keep the file in ``directory`` if it exists, or else where the system has such files."""
        self.newest = 0
        self._directory = directory
        self._firsts: list[StorageKey] = []
        self._ends = array("Q", [0])

    def __enter__(self) -> Self:
        """Create the file, which has no name."""
        home = self._directory if os.path.isdir(self._directory) else None
        with mapped_errors(self._directory):
            self._file = tempfile.TemporaryFile(buffering=0, dir=home)
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Delete it."""
        self._file.close()

    def add(self, page: Sequence[StoredObject]) -> None:
        """Append objects whose keys are after all others."""
        # No object of a mirror has another key. These have no line break, and no tabulator.
        found = [each for each in page if each.key.isprintable()]
        for start in range(0, len(found), _BLOCK):
            some = found[start : start + _BLOCK]
            lines = [f"\n{e.key}\t{e.size}\t{e.modified // _NANOSECONDS}" for e in some]
            content = "".join([*lines, "\n"]).encode()
            with mapped_errors(self._directory):
                self._file.write(content)
            self._firsts.append(some[0].key)
            self._ends.append(self._ends[-1] + len(content))
            self.newest = max(self.newest, *(each.modified for each in some))

    def find(self, keys: Iterable[StorageKey]) -> Mapping[StorageKey, StoredObject]:
        """Return those of the objects that are listed."""
        found: dict[StorageKey, StoredObject] = {}
        last, block = -1, b""
        for key in sorted(keys):
            place = bisect_right(self._firsts, key) - 1
            if place < 0:
                continue
            if place != last:
                last, block = place, self._read(place)
            line = f"\n{key}\t".encode()
            if (start := block.find(line)) >= 0:
                end = block.index(b"\n", start + len(line))
                size, seconds = map(int, block[start + len(line) : end].split(b"\t"))
                found[key] = StoredObject(key, size, seconds * _NANOSECONDS)
        return found

    def _read(self, place: int) -> bytes:
        start, end = self._ends[place], self._ends[place + 1]
        with mapped_errors(self._directory):
            return os.pread(self._file.fileno(), end - start, start)
