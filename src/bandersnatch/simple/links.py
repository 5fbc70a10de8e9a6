"""Reads the links and ``pypi:`` meta tags of an HTML page with ``html.parser``, as pip does.

``HTMLParser.close`` is never called: it takes quadratic time if the page ends inside a tag, and
such a page is incomplete and refused anyway.
"""

from __future__ import annotations

import codecs
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import msgspec

from bandersnatch.errors import InvalidPage
from bandersnatch.simple.limits import BYTES_PER_STEP, StepBudget

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINKS = 2_000_000
"""The default limit; PyPI's root page has about 0.7 million links."""
_CHARACTER_SETS = frozenset({"utf-8", "ascii", "iso8859-1", "cp1252"})
_MAX_TEXT = 1000
_MAX_TAG = 64 * 1024
_CHUNK = 32 * 1024
"""How many bytes are parsed at a time."""
_ATTRIBUTES_PER_STEP = 2


class Link(msgspec.Struct, frozen=True):
    """One ``<a>`` element with ``href``.

    ``url`` is absolute, ``path`` is its path. ``attributes`` are the others; one without a value
    has the value "".
    """

    url: str
    path: str
    text: str
    attributes: dict[str, str]


class LinkReader:
    """Reads an HTML page in chunks, so that the parsed page is never held as a whole.

    ``meta`` has the ``pypi:`` tags without that prefix, the first one of each name. It is
    complete when ``links`` is exhausted.
    """

    def __init__(
        self, text: bytes, where: str, *, charset: str | None, limit: int = MAX_LINKS
    ) -> None:
        self._text = text
        self._where = where
        self._charset = _character_set(charset)
        self._steps = StepBudget(len(text), where)
        self._parser = _Parser(where, limit, self._steps)
        self.meta = self._parser.meta

    def links(self) -> Iterator[Link]:
        """Yield the links; call this once. ``<base>`` is honoured.

        A link whose address is not a URL is skipped. An open ``<a>`` ends where the next begins.

        :raises InvalidPage: if the page ends inside a tag or comment, has one that is too long,
            has too many links, has far more markup than links, or has a malformed declaration.
        """
        parser = self._parser
        for chunk in self._chunks():
            self._steps.spend(chunk.count("<") + chunk.count("&"))
            try:
                parser.feed(chunk)
            except AssertionError as error:  # raised by the parser for a malformed ``<![``
                raise InvalidPage(self._where, "it has a malformed declaration") from error
            if len(parser.rawdata) > _MAX_TAG:
                why = f"it has a tag or comment of more than {_MAX_TAG} characters"
                raise InvalidPage(self._where, why)
            yield from parser.take_links()
        if parser.rawdata.startswith("<"):
            raise InvalidPage(self._where, "it ends inside a tag or comment")
        parser.finish_link()
        yield from parser.take_links()

    def _chunks(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self._charset)(errors="replace")
        for begin in range(0, len(self._text), _CHUNK):
            chunk = decoder.decode(self._text[begin : begin + _CHUNK])
            yield chunk if begin else chunk.removeprefix("\ufeff")
        yield decoder.decode(b"", final=True)


def _character_set(charset: str | None) -> str:
    """Return the character set to decode with: a common one if stated, otherwise UTF-8."""
    try:
        name = codecs.lookup(charset or "utf-8").name
    except (LookupError, ValueError):
        return "utf-8"
    return name if name in _CHARACTER_SETS else "utf-8"


class _Parser(HTMLParser):
    def __init__(self, where: str, limit: int, steps: StepBudget) -> None:
        super().__init__(convert_charrefs=True)
        self._steps = steps
        self.meta: dict[str, str] = {}
        self._links: list[Link] = []
        self._count = 0
        self._where = self._base = where
        self._limit = limit
        self._has_base = False
        self._open: dict[str, str] | None = None
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._steps.spend(len(attrs) // _ATTRIBUTES_PER_STEP)
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
            self._text += data[: _MAX_TEXT - len(self._text)]

    def finish_link(self) -> None:
        attributes, self._open = self._open, None
        text, self._text = self._text.strip(), ""
        if attributes is None or "href" not in attributes:
            return
        if self._count == self._limit:
            raise InvalidPage(self._where, f"it has more than {self._limit} links")
        address = attributes.pop("href").strip()
        self._steps.spend((len(self._base) + len(address)) // BYTES_PER_STEP)
        try:
            url = urljoin(self._base, address)
            path = urlsplit(url).path
        except ValueError:
            return
        self._count += 1
        self._steps.add_entry()
        self._links.append(Link(url, path, text, attributes))

    def take_links(self) -> list[Link]:
        """Return the links completed since the last call."""
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
    """Return the attributes; of duplicates the first one counts, as HTML defines."""
    return {name: value or "" for name, value in reversed(pairs)}
