"""Answers to requests: the status, the rendered headers, and the body or where it is read from."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING

from msgspec import Struct

from bandersnatch.serve.conditions import ByteRange

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AsyncExitStack

    from bandersnatch.storage.port import ServedContent

NANOSECONDS = 10**9

SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
}
"""Headers of everything from the tree: a browser runs nothing of it."""

PAGE_AGE = "public, max-age=600"
FILE_AGE = "public, max-age=31536000, immutable"
NO_CACHE = "no-cache"


class Answer(Struct):
    """An answer.

    ``kind`` says what was requested, for metrics. ``head`` are the status line and the headers,
    without ``Date`` and ``Connection``. The body is ``body``, or the part ``span`` of ``content``,
    which stays open until ``stack`` is closed. ``length`` is the size of the body in bytes, which
    a HEAD request does not get.
    """

    kind: str
    status: int
    head: bytes
    body: bytes = b""
    content: ServedContent | None = None
    span: ByteRange = ByteRange(0, 0)
    stack: AsyncExitStack | None = None

    @property
    def content_is_ready(self) -> bool:
        """Whether the body is in memory, or open."""
        return self.content is not None or self.span.start == self.span.stop or bool(self.body)

    @property
    def length(self) -> int:
        """The size of the body in bytes."""
        return len(self.body) or self.span.stop - self.span.start


def render_head(status: int, headers: Mapping[str, str]) -> bytes:
    """Return the status line and the headers of an answer."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n").encode("latin-1")


def http_date(seconds: int) -> str:
    """Return a time in seconds since 1970 as HTTP writes it."""
    return formatdate(max(0, seconds), usegmt=True)


def plain_answer(
    status: int, text: str, headers: Mapping[str, str] | None = None, *, kind: str = "other"
) -> Answer:
    """Return an answer without a cacheable content: an error or a redirect."""
    body = f"{text}\n".encode() if text else b""
    fields = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(body)),
        "Cache-Control": NO_CACHE,
        **SAFE_HEADERS,
        **(headers or {}),
    }
    return Answer(kind, status, render_head(status, fields), body)
