"""How large documents may be, and what a JSON document will weigh in memory once it is read.

A few bytes of JSON are an object of many: 64 MiB of ``{},`` would be gigabytes, and as many
thousandths on the wire. So a document is weighed before it is read.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from bandersnatch.errors import InvalidPage

_MIB = 1024**2


class Limit(NamedTuple):
    """Bytes that a document may have, and may take in memory, itself included."""

    size: int
    weight: int


LIST = Limit(256 * _MIB, 576 * _MIB)
PAGE = Limit(64 * _MIB, 128 * _MIB)
LEGACY = Limit(128 * _MIB, 192 * _MIB)

_VALUE, _OBJECT = 80, 200
"""Bytes that a value takes at most beside its text, and an object: an entry of a list."""

_NEVER_HEAVY = _MIB
_WIDEST = 4
"""Bytes more for each byte of a string that has a character beyond ASCII, while it is read."""
_WIDE = re.compile(rb"[\x80-\xff]|\\u")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+', re.DOTALL)


def check_memory(text: bytes, limit: Limit, where: str) -> None:
    """Refuse a document that would take more memory than it may, though it is small enough.

    Each value has a comma or a bracket before it, so that there are no more than those.

    :raises InvalidPage: if it would.
    """
    size = len(text)
    if size <= _NEVER_HEAVY:
        return
    values = _OBJECT * text.count(b"{") + _VALUE * (text.count(b"[") + text.count(b","))
    weight = size + size + values  # all of it may be text, and is held twice then
    if weight <= limit.weight < weight + _WIDEST * size:
        weight += _WIDEST * _beyond_ascii(text)
    if weight > limit.weight:
        raise InvalidPage(where, f"its {size} bytes would take {weight} in memory")


def _beyond_ascii(text: bytes) -> int:
    """Return the length of all strings that have more than ASCII."""
    if text.isascii() and b"\\u" not in text:
        return 0
    places = (found.span() for found in _STRING.finditer(text))
    return sum(end - begin for begin, end in places if _WIDE.search(text, begin, end))
