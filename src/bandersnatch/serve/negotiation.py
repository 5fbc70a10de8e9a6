"""Content negotiation: which page and which encoding a client prefers; pure.

See docs/development/protocol.md, "Serving", PEP 691 and RFC 9110, section 12.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from bandersnatch.layout import PageFormat

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

CONTENT_TYPES = {
    PageFormat.HTML: "text/html; charset=utf-8",
    PageFormat.V1_HTML: "application/vnd.pypi.simple.v1+html; charset=utf-8",
    PageFormat.V1_JSON: "application/vnd.pypi.simple.v1+json",
}
"""The type of a page of each format."""

_NAMES = {
    PageFormat.HTML: ("text/html",),
    PageFormat.V1_HTML: (
        "application/vnd.pypi.simple.v1+html",
        "application/vnd.pypi.simple.latest+html",
    ),
    PageFormat.V1_JSON: (
        "application/vnd.pypi.simple.v1+json",
        "application/vnd.pypi.simple.latest+json",
    ),
}
"""The types that a client may ask for each format by."""

_NAMED_FIRST = (PageFormat.V1_JSON, PageFormat.V1_HTML, PageFormat.HTML)
"""The order of formats that a client names with the same quality: JSON says most."""

_UNNAMED_FIRST = (PageFormat.HTML, PageFormat.V1_HTML, PageFormat.V1_JSON)
"""The order of formats that a client accepts by a wildcard: every client understands HTML."""

_MAX_RANGES = 64
"""Elements of a header that are read; browsers and installers send fewer than ten."""

_ELEMENT = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_PARAMETER = re.compile(r';((?:[^;"]|"(?:[^"\\]|\\.)*"?)*)')
_QUALITY = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?", re.ASCII)


class Encoding(Enum):
    """The content codings that pages are served in; the best first."""

    ZSTD = "zstd"
    GZIP = "gzip"
    IDENTITY = "identity"


_ENCODING_NAMES = {
    "zstd": Encoding.ZSTD,
    "gzip": Encoding.GZIP,
    "x-gzip": Encoding.GZIP,
    "identity": Encoding.IDENTITY,
}


class Element(NamedTuple):
    """An element of a header: ``text`` in lower case without parameters, and its quality."""

    text: str
    quality: float


def elements(header: str) -> Iterator[Element]:
    """Yield the elements of an ``Accept`` or ``Accept-Encoding`` header.

    An element with an invalid quality is skipped. Parameters other than ``q`` are ignored.
    """
    for count, match in enumerate(_ELEMENT.finditer(header)):
        if count == _MAX_RANGES:
            return
        text, _, rest = match[0].partition(";")
        quality = _quality(f";{rest}")
        if text.strip() and quality is not None:
            yield Element(text.strip().lower(), quality)


def _quality(parameters: str) -> float | None:
    for match in _PARAMETER.finditer(parameters):
        name, _, value = match[1].partition("=")
        if name.strip().lower() == "q":
            return float(value) if _QUALITY.fullmatch(value := value.strip()) else None
    return 1.0


def acceptable_formats(accept: str | None, published: Collection[PageFormat]) -> list[PageFormat]:
    """Return the formats that a client accepts, the preferred one first.

    ``accept`` is the value of its header, None if it has none: then it gets HTML. If only one
    kind of pages is ``published``, HTML or JSON, it is acceptable to everybody.
    """
    if PageFormat.V1_JSON not in published or PageFormat.HTML not in published:
        rest = [form for form in _UNNAMED_FIRST if form in published]
        named = _by_quality(accept, published)
        return [*named, *(form for form in rest if form not in named)]
    return _by_quality(accept, published)


def _by_quality(accept: str | None, published: Collection[PageFormat]) -> list[PageFormat]:
    found: dict[str, float] = {}
    for text, quality in elements("*/*" if accept is None or not accept.strip() else accept):
        found[text] = max(quality, found.get(text, 0.0))
    ranked = []
    for form in published:
        named, quality = _quality_of(form, found)
        order = _NAMED_FIRST if named else _UNNAMED_FIRST
        if quality > 0:
            ranked.append((-quality, not named, order.index(form), form))
    return [form for *_, form in sorted(ranked, key=lambda each: each[:3])]


def _quality_of(form: PageFormat, accepted: dict[str, float]) -> tuple[bool, float]:
    """Return whether a format is accepted by name, and with which quality."""
    names = _NAMES[form]
    named = [accepted[name] for name in names if name in accepted]
    if named:
        return True, max(named)
    for wildcard in (f"{names[0].partition('/')[0]}/*", "*/*"):
        if wildcard in accepted:
            return False, accepted[wildcard]
    return False, 0.0


def format_named(text: str) -> PageFormat | None:
    """Return the format of a ``?format=`` parameter (PEP 691), None if there is no such format."""
    name = unquote(text).strip().lower()
    return next((form for form, names in _NAMES.items() if name in names), None)


def format_parameter(query: str) -> str | None:
    """Return the value of ``format`` in a query string, as it is written; None if it has none."""
    for part in query.split("&", _MAX_RANGES):
        name, _, value = part.partition("=")
        if name == "format":
            return value
    return None


def best_encoding(accept: str | None, available: Sequence[Encoding]) -> Encoding:
    """Return the encoding to send to a client; ``available`` are those besides identity.

    A client that refuses every encoding, even identity, gets identity (RFC 9110, section 12.5.3).
    """
    if not accept:
        return Encoding.IDENTITY
    found: dict[Encoding, float] = {}
    wildcard = 0.0
    for text, quality in elements(accept):
        if text == "*":
            wildcard = quality
        elif (encoding := _ENCODING_NAMES.get(text)) is not None:
            found[encoding] = max(quality, found.get(encoding, 0.0))
    best, highest = Encoding.IDENTITY, found.get(Encoding.IDENTITY, 0.0)
    for encoding in reversed(list(available)):
        quality = found.get(encoding, wildcard)
        if quality > 0 and quality >= highest:
            best, highest = encoding, quality
    return best
