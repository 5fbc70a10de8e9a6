"""Search over the names of all projects, in memory."""

from __future__ import annotations

import re
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bandersnatch.catalogue.port import Inventory

PER_PAGE = 60
MOST_PAGES = 200
LONGEST_QUERY = 100

_SEPARATORS = re.compile(r"[-_.\s]+")
_SEARCHABLE = re.compile(r"[a-z0-9-]+", re.ASCII)


class SearchPage(NamedTuple):
    """One page of results, and whether there are more."""

    names: list[str]
    more: bool


class NameIndex:
    """The names, sorted, each between two newlines of one text: searching it takes milliseconds.

    All of PyPI takes 12 MB.
    """

    def __init__(self, names: Iterable[bytes]) -> None:
        """Take the names in their order, in parts: each part has some names, with newlines."""
        self._text = b"\n" + b"".join(names)

    @classmethod
    async def load(cls, catalogue: Inventory) -> NameIndex:
        """Read all names of a catalogue.

        :raises StorageError: if it cannot be read.
        """
        parts, after = [], ""
        while entries := await catalogue.list_entries(after):
            after = entries[-1].name
            parts.append("".join(f"{each.name}\n" for each in entries).encode())
        return cls(parts)

    def search(self, query: str, page: int) -> SearchPage:
        """Return the results of a page, from 1 on: names that begin with the query come first."""
        text = _SEPARATORS.sub("-", query[:LONGEST_QUERY].strip().lower())
        if not _SEARCHABLE.fullmatch(text) or not 0 < page <= MOST_PAGES:
            return SearchPage([], more=False)
        part = text.encode()
        found = chain(self._beginning(part), self._containing(part))
        start = (page - 1) * PER_PAGE
        names = [name.decode() for name in islice(found, start, start + PER_PAGE + 1)]
        return SearchPage(names[:PER_PAGE], more=len(names) > PER_PAGE and page < MOST_PAGES)

    def _beginning(self, part: bytes) -> Iterator[bytes]:
        text, at = self._text, -1
        while (at := text.find(b"\n" + part, at + 1)) >= 0:
            yield text[at + 1 : text.find(b"\n", at + 1)]

    def _containing(self, part: bytes) -> Iterator[bytes]:
        text, at = self._text, 0
        while (at := text.find(part, at)) >= 0:
            start, end = text.rfind(b"\n", 0, at) + 1, text.find(b"\n", at)
            if start != at:
                yield text[start:end]
            at = end
