"""Size and memory limits of documents.

A few bytes of JSON can need a hundred times as much memory once parsed: 64 MiB of ``{},`` become
gigabytes, and compress to a thousandth. The memory that a document will need is therefore
estimated from its bytes before it is parsed.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from bandersnatch.errors import InvalidPage

_MIB = 1024**2


class Limit(NamedTuple):
    """The size that a document may have, and the memory it may need, both in bytes.

    ``memory`` includes the document itself.
    """

    size: int
    memory: int


LIST = Limit(256 * _MIB, 576 * _MIB)
PAGE = Limit(64 * _MIB, 128 * _MIB)
LEGACY = Limit(128 * _MIB, 192 * _MIB)

_VALUE, _OBJECT = 80, 200
"""Upper bounds, in bytes: a parsed value beside its text; an object, which is a list entry."""

_NEVER_CHECKED = _MIB
"""Documents up to this size, in bytes, cannot reach any memory limit."""
_WIDE_FACTOR = 4
"""Extra bytes per byte of a string with a non-ASCII character, while it is parsed."""
_WIDE = re.compile(rb"[\x80-\xff]|\\u")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+', re.DOTALL)


def check_memory(text: bytes, limit: Limit, where: str) -> None:
    """Refuse a JSON document that would need too much memory once parsed.

    Every value follows a comma or an opening bracket, so their count bounds the number of values.

    :raises InvalidPage: if the estimate is above ``limit.memory``.
    """
    size = len(text)
    if size <= _NEVER_CHECKED:
        return
    values = _OBJECT * text.count(b"{") + _VALUE * (text.count(b"[") + text.count(b","))
    memory = size + size + values  # in the worst case all of it is strings, which are copied
    if memory <= limit.memory < memory + _WIDE_FACTOR * size:
        memory += _WIDE_FACTOR * _wide_bytes(text)
    if memory > limit.memory:
        raise InvalidPage(where, f"its {size} bytes would take {memory} in memory")


def _wide_bytes(text: bytes) -> int:
    """Return the total length of the strings that have a non-ASCII character."""
    if text.isascii() and b"\\u" not in text:
        return 0
    places = (found.span() for found in _STRING.finditer(text))
    return sum(end - begin for begin, end in places if _WIDE.search(text, begin, end))
