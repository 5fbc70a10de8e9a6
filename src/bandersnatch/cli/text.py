"""Text for people: sizes, times, counts, columns, and nothing that a terminal would act on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bandersnatch.errors import shown_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta

_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>\\?#]*(?:[?#][^\s\"<>\\]*)?")
_CONTROL_CHARACTERS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def without_credentials(text: str) -> str:
    """Return text with the user names, passwords and queries in its URLs hidden."""
    if "://" not in text:
        return text
    return _URL.sub(lambda match: shown_url(match[0]), _CREDENTIALS.sub("***@", text))


def printable(text: str) -> str:
    """Return text without credentials, and with control characters as escapes; keeps newlines."""
    hidden = without_credentials(text)
    return _CONTROL_CHARACTERS.sub(lambda match: ascii(match[0])[1:-1], hidden)


def one_line(text: str) -> str:
    """Return printable text with its newlines as escapes, too."""
    return printable(text).replace("\n", "\\n")


def size(count: float) -> str:
    """Return a number of bytes with a decimal unit, such as ``1.5 MB``."""
    from humanfriendly import format_size  # noqa: PLC0415 - slow to import

    return str(format_size(count))


def span(time: timedelta) -> str:
    """Return a time span in its two largest units, such as ``2 weeks and 5 days``."""
    from humanfriendly import format_timespan  # noqa: PLC0415 - slow to import

    return str(format_timespan(time, max_units=2))


def counted(count: int, noun: str) -> str:
    """Return a number with a noun, in the singular or the plural."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def listed(names: Sequence[str], most: int) -> str:
    """Return names with commas between, at most ``most`` of them, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield rows with aligned columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        aligned = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *aligned]).rstrip()
