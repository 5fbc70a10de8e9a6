"""The log of requests, in the common log format of web servers."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_UNSAFE = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")
_LONGEST = 2_048
"""Characters of a request line that are logged."""

FLUSH_SIZE = 64 * 1024
"""Bytes of lines that are written at once."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class AccessLog:
    """Collects lines, and writes many of them at once.

    ``write`` appends bytes to the log; it must not raise.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._lines: list[bytes] = []
        self._size = 0
        self._second = -1
        self._stamp = ""

    def add(self, client: str, request_line: str, status: int, length: int, seconds: float) -> None:
        """Add a request; ``length`` is what was sent of the body, ``seconds`` are since 1970."""
        if int(seconds) != self._second:
            self._second = int(seconds)
            self._stamp = _stamp(self._second)
        size = length or "-"
        line = f'{client} - - [{self._stamp}] "{quoted(request_line)}" {status} {size}\n'.encode()
        self._lines.append(line)
        self._size += len(line)
        if self._size >= FLUSH_SIZE:
            self.flush()

    def flush(self) -> None:
        """Write the lines that were collected."""
        if self._lines:
            text = b"".join(self._lines)
            self._lines.clear()
            self._size = 0
            self._write(text)


def _stamp(seconds: int) -> str:
    """Return a time as the log shows it, with English months in any locale, in UTC."""
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{at:%d}/{_MONTHS[at.month - 1]}/{at:%Y:%H:%M:%S} +0000"


def quoted(text: str) -> str:
    """Return a text for a quoted field: quotes, backslashes and unprintable characters escaped."""
    if not _UNSAFE.search(text) and len(text) <= _LONGEST:
        return text
    return _UNSAFE.sub(_escaped, text[:_LONGEST])


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", "surrogateescape"))
