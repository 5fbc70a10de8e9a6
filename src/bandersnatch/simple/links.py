"""The links and ``pypi:`` tags of an HTML page, read as pip reads them: with ``html.parser``.

The page is fed whole and the parser never closed: closing is where it takes quadratic time on a
page that ends inside a tag, and such a page is cut off and worth nothing here anyway.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from bandersnatch.errors import InvalidPage

MOST_LINKS = 2_000_000
"""Of a page; PyPI's list has about 0.7 million."""
_CHARACTER_SETS = frozenset({"utf-8", "ascii", "iso8859-1", "cp1252"})
_LONGEST_TEXT = 1000


@dataclass(frozen=True, slots=True)
class Link:
    """One ``<a>``: its address, joined with the page's, its text, and its other attributes.

    ``path`` is that of the address. An attribute without a value has the value "".
    """

    url: str
    path: str
    text: str
    attributes: dict[str, str]


@dataclass(slots=True)
class LinkedPage:
    """What a page links to, and its ``pypi:`` tags without that prefix; the first of a name."""

    links: list[Link] = field(default_factory=list)
    meta: dict[str, str] = field(default_factory=dict)


def read_links(
    text: bytes, where: str, *, charset: str | None, most: int = MOST_LINKS
) -> LinkedPage:
    """Return the links of the page that came from ``where``.

    ``<base>`` is honoured. A link whose address is none is left out. An ``<a>`` that is still
    open ends where the next one begins.

    :raises InvalidPage: if the page ends inside a tag or comment, has more than ``most`` links,
        or has something that no reader understands.
    """
    reader = _Reader(where, most)
    try:
        reader.feed(text.decode(_character_set(charset), errors="replace").removeprefix("\ufeff"))
    except AssertionError as error:  # what the parser says of a malformed ``<![``
        raise InvalidPage(where, "it has a malformed declaration") from error
    if reader.rawdata.startswith("<"):
        raise InvalidPage(where, "it ends inside a tag or comment")
    reader.finish_link()
    return reader.page


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
        self.page = LinkedPage()
        self._where = self._base = where
        self._most = most
        self._has_base = False
        self._open: dict[str, str] | None = None
        self._text: list[str] = []

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
                self.page.meta.setdefault(name.lower(), attributes.get("content", ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self.finish_link()

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self._text.append(data)

    def finish_link(self) -> None:
        attributes, self._open = self._open, None
        text, self._text = "".join(self._text)[:_LONGEST_TEXT].strip(), []
        if attributes is None or "href" not in attributes:
            return
        if len(self.page.links) == self._most:
            raise InvalidPage(self._where, f"it has more than {self._most} links")
        try:
            url = urljoin(self._base, attributes.pop("href").strip())
            path = urlsplit(url).path
        except ValueError:
            return
        self.page.links.append(Link(url, path, text, attributes))

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
