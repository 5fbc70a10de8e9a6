"""Conditional and range requests (RFC 9110, sections 13 and 14); pure."""

from __future__ import annotations

import re
from calendar import timegm
from email.utils import parsedate_tz
from enum import Enum
from typing import NamedTuple, Protocol

_ENTITY_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_RANGE = re.compile(r"bytes[ \t]*=[ \t]*(\d{0,18})[ \t]*-[ \t]*(\d{0,18})[ \t]*", re.ASCII)
_LONGEST_DATE = 64


class Headers(Protocol):
    """The headers of a request; names are in any case."""

    def get(self, name: str, /) -> str | None:
        """Return the first value of a header, None if there is none."""
        ...


class Condition(Enum):
    """What the preconditions of a request lead to."""

    SEND = "send"
    NOT_MODIFIED = "not modified"
    FAILED = "failed"


class ByteRange(NamedTuple):
    """The bytes from ``start`` to before ``stop``."""

    start: int
    stop: int


UNSATISFIABLE = ByteRange(0, 0)
"""The result for a range that is valid and begins behind the end."""


def check_conditions(headers: Headers, etag: str, modified: int) -> Condition:
    """Return what the preconditions lead to for a representation that exists.

    ``etag`` is its strong tag in quotes, ``modified`` is in seconds since 1970. ``headers`` are
    those of a GET or HEAD request.
    """
    if (expected := headers.get("If-Match")) is not None:
        if not _lists(expected, etag, weak=False):
            return Condition.FAILED
    elif (date := _seconds(headers.get("If-Unmodified-Since"))) is not None and modified > date:
        return Condition.FAILED
    if (known := headers.get("If-None-Match")) is not None:
        return Condition.NOT_MODIFIED if _lists(known, etag, weak=True) else Condition.SEND
    since = _seconds(headers.get("If-Modified-Since"))
    if since is not None and modified <= since:
        return Condition.NOT_MODIFIED
    return Condition.SEND


def _lists(header: str, etag: str, *, weak: bool) -> bool:
    """Whether a list of entity tags has one, by strong or by weak comparison."""
    if header.strip() == "*" or header == etag:
        return True
    return any(tag[2] == etag and (weak or not tag[1]) for tag in _ENTITY_TAG.finditer(header))


def _seconds(text: str | None) -> int | None:
    """Return a date in seconds since 1970; None for one that is invalid, which is ignored."""
    if text is None or len(text) > _LONGEST_DATE:
        return None
    try:
        found = parsedate_tz(text)
        return None if found is None else timegm(found[:9]) - (found[9] or 0)
    except (ValueError, OverflowError, IndexError):
        return None


def byte_range(headers: Headers, size: int, etag: str, modified: int) -> ByteRange | None:
    """Return the range that a request asks for; None for the whole content.

    Several ranges, other units and invalid ranges are ignored, as RFC 9110 permits. So is the
    range if ``If-Range`` names another state of the content.
    """
    text = headers.get("Range")
    if text is None or (found := _RANGE.fullmatch(text)) is None:
        return None
    if not _matches(headers.get("If-Range"), etag, modified):
        return None
    first, last = found.groups()
    if first:
        start = int(first)
        stop = min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    elif last:
        start, stop = max(0, size - int(last)), size
    else:
        return None
    return ByteRange(start, stop) if start < stop else UNSATISFIABLE


def _matches(condition: str | None, etag: str, modified: int) -> bool:
    """Whether ``If-Range`` is absent, or names this state: a tag, or the exact date."""
    if condition is None:
        return True
    text = condition.strip()
    return text == etag or (text[-1:] != '"' and _seconds(text) == modified)
