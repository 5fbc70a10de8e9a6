"""The links and ``pypi:`` tags of an HTML page, read as pip reads them: with ``html.parser``.

The parser is never closed: closing is where it takes quadratic time on a
page that ends inside a tag, and such a page is cut off and worth nothing here anyway.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from bandersnatch.errors import InvalidPage

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINKS = 2_000_000
"""Of a page; PyPI's list has about 0.7 million."""
_CHARACTER_SETS = frozenset({"utf-8", "ascii", "iso8859-1", "cp1252"})
_LONGEST_TEXT = 1000
_LONGEST_TAG = 64 * 1024
_PIECE = 32 * 1024
"""Bytes that are read at once."""


@dataclass(frozen=True, slots=True)
class Link:
    """One ``<a>``: its address, joined with the page's, its text, and its other attributes.

    ``path`` is that of the address. An attribute without a value has the value "".
    """

    url: str
    path: str
    text: str
    attributes: dict[str, str]


class LinkedPage:
    """An HTML page, read piece by piece: what was read of it is not held.

    ``meta`` are its ``pypi:`` tags without that prefix, the first of a name; it is whole when all
    links were gone through.
    """

    def __init__(
        self, text: bytes, where: str, *, charset: str | None, most: int = MAX_LINKS
    ) -> None:
        self._text = text
        self._where = where
        self._charset = _character_set(charset)
        self._reader = _Reader(where, most)
        self.meta = self._reader.meta

    def links(self) -> Iterator[Link]:
        """Yield the links, once. ``<base>`` is honoured.

        A link whose address is none is left out. An ``<a>`` that is still open ends where the next
        one begins.

        :raises InvalidPage: if the page ends inside a tag or comment, has one that is too long,
            has too many links, or has something that no reader understands.
        """
        reader = self._reader
        for piece in self._pieces():
            try:
                reader.feed(piece)
            except AssertionError as error:  # what the parser says of a malformed ``<![``
                raise InvalidPage(self._where, "it has a malformed declaration") from error
            if len(reader.rawdata) > _LONGEST_TAG:
                why = f"it has a tag or comment of more than {_LONGEST_TAG} characters"
                raise InvalidPage(self._where, why)
            yield from reader.taken()
        if reader.rawdata.startswith("<"):
            raise InvalidPage(self._where, "it ends inside a tag or comment")
        reader.finish_link()
        yield from reader.taken()

    def _pieces(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self._charset)(errors="replace")
        for begin in range(0, len(self._text), _PIECE):
            piece = decoder.decode(self._text[begin : begin + _PIECE])
            yield piece if begin else piece.removeprefix("\ufeff")
        yield decoder.decode(b"", final=True)


def _character_set(told: str | None) -> str:
    """Return the character set to read with: UTF-8, unless a usual one is told."""
    try:
        name = codecs.lookup(told or "utf-8").name
    except (LookupError, ValueError):
        return "utf-8"
    return name if name in _CHARACTER_SETS else "utf-8"


class _Reader(HTMLParser):
    def __init__(self, where: str, most: int) -> None:
        super().__init__(convert_charrefs=True)
        self.meta: dict[str, str] = {}
        self._links: list[Link] = []
        self._count = 0
        self._where = self._base = where
        self._most = most
        self._has_base = False
        self._open: dict[str, str] | None = None
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.finish_link()
            self._open = _attributes(attrs)
        elif tag == "base":
            self._take_base(_attributes(attrs))
        elif tag == "meta":
            attributes = _attributes(attrs)
            prefix, colon, name = attributes.get("name", "").partition(":")
            if colon and prefix.lower() == "pypi":
                self.meta.setdefault(name.lower(), attributes.get("content", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self.finish_link()

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self._text += data[: _LONGEST_TEXT - len(self._text)]

    def finish_link(self) -> None:
        attributes, self._open = self._open, None
        text, self._text = self._text.strip(), ""
        if attributes is None or "href" not in attributes:
            return
        if self._count == self._most:
            raise InvalidPage(self._where, f"it has more than {self._most} links")
        try:
            url = urljoin(self._base, attributes.pop("href").strip())
            path = urlsplit(url).path
        except ValueError:
            return
        self._count += 1
        self._links.append(Link(url, path, text, attributes))

    def taken(self) -> list[Link]:
        """Return the links that were finished since the last time."""
        links, self._links = self._links, []
        return links

    def _take_base(self, attributes: dict[str, str]) -> None:
        if self._has_base or "href" not in attributes:
            return
        try:
            self._base = urljoin(self._where, attributes["href"].strip())
        except ValueError as error:
            raise InvalidPage(self._where, "its base is not a URL") from error
        self._has_base = True


def _attributes(pairs: list[tuple[str, str | None]]) -> dict[str, str]:
    """Return the attributes; of equal names the first counts, as HTML says."""
    return {name: value or "" for name, value in reversed(pairs)}
