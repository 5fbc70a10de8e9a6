"""What all checks work with: the requests of one examination, and what was found."""

from __future__ import annotations

import zlib
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from bandersnatch.doctor.findings import Check, Findings
from bandersnatch.errors import InvalidPage, UnsafeUrl, UpstreamError, shown_url
from bandersnatch.simple.limits import PAGE

if TYPE_CHECKING:
    from datetime import datetime

    from bandersnatch.clock import Clock
    from bandersnatch.doctor.port import Answer, SingleRequests

JSON = "application/vnd.pypi.simple.v1+json"
V1_HTML = "application/vnd.pypi.simple.v1+html"
HTML = "text/html"
PIP = f"{JSON}, {V1_HTML}; q=0.1, {HTML}; q=0.01"
UV = f"{JSON}, {V1_HTML};q=0.2, {HTML};q=0.01"
"""The ``Accept`` headers of pip and uv."""

BEGINNING = 64 * 1024
"""Bytes of a document of which only the beginning is looked at."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_MAX_AGE = 366 * 86_400
_GZIP = 16 + zlib.MAX_WBITS


class Examination:
    """Sends requests, and collects findings. ``root`` is the URL of the root page, once found."""

    def __init__(self, requests: SingleRequests, clock: Clock) -> None:
        self.port = requests
        self.clock = clock
        self.findings = Findings()
        self.root = ""
        self.server = ""
        self.count = 0
        self.clock_offset: timedelta | None = None
        """How far the server's clock is ahead, by the newest answer; None if none has a date."""
        self._newest: datetime | None = None

    async def ask(
        self,
        url: str,
        accept: str = "*/*",
        *,
        encoding: str = "identity",
        limit: int = PAGE.size,
        method: str = "GET",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Return the answer to one request; no redirect is followed.

        :raises UpstreamError: if there is none.
        """
        self.count += 1
        fields = {"Accept": accept, "Accept-Encoding": encoding, **(headers or {})}
        answer = await self.port.send(url, fields, limit=limit, method=method)
        self.server = self.server or answer.header("server")[:100]
        self._compare_clocks(answer)
        return answer

    async def follow(self, url: str, accept: str = "*/*", *, limit: int = PAGE.size) -> Answer:
        """Return the first answer that is no redirect.

        :raises UpstreamError: if there is none, or if a redirect leads to a wrong place.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            answer = await self.ask(url, accept, limit=limit)
            if answer.status not in REDIRECTS:
                return answer
            url = redirect_target(answer)
        raise UnsafeUrl(url, f"there are more than {_MAX_REDIRECTS} redirects")

    async def try_ask(
        self, check: Check, url: str, accept: str = "*/*", **options: object
    ) -> Answer | None:
        """Return the answer to one request; that there is none is a fault."""
        try:
            return await self.ask(url, accept, **options)  # type: ignore[arg-type] # as ask has them
        except UpstreamError as error:
            self.findings.fault(check, "answer", f"{error}")
            return None

    def _compare_clocks(self, answer: Answer) -> None:
        """Keep the difference of the clocks by the answer that left its origin or cache last."""
        try:
            date = parsedate_to_datetime(answer.header("date"))
            offset = date - self.clock.now()
        except (ValueError, TypeError, OverflowError):  # no date, or one without a zone
            return
        age = answer.header("age")
        if age.isascii() and age.isdigit():
            offset += timedelta(seconds=min(int(age[:9]), _MAX_AGE))
            date += timedelta(seconds=min(int(age[:9]), _MAX_AGE))
        if self._newest is None or date > self._newest:
            self._newest, self.clock_offset = date, offset


def redirect_target(answer: Answer) -> str:
    """Return the absolute URL that a redirect leads to.

    :raises UnsafeUrl: if it leads nowhere, or from https to http.
    """
    location = answer.header("location")
    try:
        target = urljoin(answer.url, location)
        parts = urlsplit(target)
    except ValueError:
        target, parts = "", urlsplit("")
    is_valid = bool(location and parts.hostname) and location.isprintable()
    if not is_valid or parts.scheme not in {"https", urlsplit(answer.url).scheme}:
        raise UnsafeUrl(answer.url, f"it redirects to {ascii(shown_url(location))[:200]}")
    return target


def beginning(answer: Answer) -> bytes:
    """Return the beginning of a body without its gzip encoding, or as it is if it is not gzip."""
    if not answer.header("content-encoding"):
        return answer.body
    try:
        return zlib.decompressobj(_GZIP).decompress(answer.body, BEGINNING)
    except zlib.error:
        return answer.body


def decoded(answer: Answer) -> bytes:
    """Return the body of an answer without its gzip encoding.

    :raises InvalidPage: if it is not what the headers say, or not complete.
    """
    encoding = answer.header("content-encoding").strip().lower()
    if encoding in {"", "identity"}:
        return answer.body
    if encoding not in {"gzip", "x-gzip"}:
        raise InvalidPage(answer.url, f"it has the encoding {ascii(encoding)[:40]}")
    try:
        decoder = zlib.decompressobj(_GZIP)
        body = decoder.decompress(answer.body, PAGE.size)
    except zlib.error as error:
        raise InvalidPage(answer.url, f"it is not gzip ({error})") from error
    if not decoder.eof:
        raise InvalidPage(answer.url, "its gzip is not complete, or too large")
    return body
