"""Limits of the size, the memory and the steps of documents.

A few bytes of JSON can need a hundred times as much memory once parsed: 64 MiB of ``{},`` become
gigabytes, and compress to a thousandth. The memory that a document will need is therefore
estimated from its bytes before it is parsed.

A few bytes of HTML can take as much time as a whole page: 64 MiB of ``< `` take minutes. The steps
of its parser are therefore counted, and a page may need as many as its links justify.
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


STEPS = 250_000
"""The steps that every document may need; they take less than a second."""
STEPS_PER_ENTRY = 24
"""The further steps for each link; a row of a decorated list of a directory has about 20."""
BYTES_PER_STEP = 64
"""A document may need one step more for so many of its bytes."""


class StepBudget:
    """Bounds the time that a document takes, in proportion to its bytes and entries.

    A step is what takes a parser in Python one to three microseconds: a tag, an attribute, a
    character reference, 64 bytes of a URL that is resolved.
    """

    def __init__(self, size: int, where: str) -> None:
        """Begin the budget of a document of ``size`` bytes."""
        self._left = STEPS + size // BYTES_PER_STEP
        self._where = where

    def add_entry(self) -> None:
        """Allow the steps that one more entry justifies."""
        self._left += STEPS_PER_ENTRY

    def spend(self, steps: int) -> None:
        """Count steps that were made.

        :raises InvalidPage: if they are more than the bytes and entries so far justify.
        """
        self._left -= steps
        if self._left < 0:
            raise InvalidPage(self._where, "it is too heavy: it has far more markup than links")


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
