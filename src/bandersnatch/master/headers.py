"""Values of HTTP headers: anything may stand there."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONGEST = 1000


def http_date(text: str) -> datetime | None:
    """Return the time of an HTTP date, None for what is none (RFC 9110, section 5.6.7)."""
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)


def repeatable(text: str) -> str:
    """Return a value that can be kept and sent back as it is, "" for one that cannot."""
    return text if text.isascii() and text.isprintable() and len(text) <= _LONGEST else ""
