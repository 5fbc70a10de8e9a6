"""Requests over HTTP: redirects, retries, pauses and limits, on top of any HTTP client."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from contextlib import nullcontext
from io import BytesIO
from typing import TYPE_CHECKING, Protocol, Self, TypeVar
from urllib.parse import urlsplit

from msgspec import Struct
from yarl import URL

from bandersnatch import errors
from bandersnatch.index.answers import UNCACHED, check_answer, check_body
from bandersnatch.index.headers import stated_time
from bandersnatch.index.missing import Kind
from bandersnatch.index.port import Traffic
from bandersnatch.index.retry import LONGEST_RETRY_AFTER, error_for, pause_before
from bandersnatch.index.watchdog import PATIENT, SILENCE, Patience, Watchdog

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime
    from types import TracebackType

    from bandersnatch.clock import Clock
    from bandersnatch.index.hosts import HostGuard
    from bandersnatch.index.missing import MissingLimits
    from bandersnatch.index.port import FailureBudget
    from bandersnatch.index.rate_limit import RateLimiter

    _Result = TypeVar("_Result")

MAX_UNAVAILABLE = 20
"""Similar requests in a row without an answer, after which each is tried once."""

_MAX_REDIRECTS = 3
_HOST = re.compile(r"[A-Za-z0-9._:-]+", re.ASCII)
_SEE_OTHER = 303
_REDIRECTS = frozenset({301, 302, _SEE_OTHER, 307, 308})


class Response(Protocol):
    """A response whose headers have arrived. To be used as a context, which ends the response."""

    status: int
    headers: Mapping[str, str]
    """The header fields; their names are case-insensitive."""

    @property
    def url(self) -> str:
        """The URL of the request."""
        ...

    @property
    def has_arrived(self) -> bool:
        """Whether the whole body is here, so that ``read_piece`` does not wait."""
        ...

    async def read_piece(self) -> bytes:
        """Return the bytes of the body that arrived since the last call, b"" at its end.

        :raises TimeoutError: if nothing arrives in time.
        :raises OSError: or UpstreamError, if the connection fails.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Return the connection to the pool, or close it if the body was not read to its end."""


class HttpClient(Protocol):
    """Sends single requests. It does not follow redirects and does not retry."""

    async def send(
        self,
        url: URL,
        headers: Mapping[str, str],
        *,
        decompress: bool,
        content: bytes | None = None,
        method: str = "GET",
    ) -> Response:
        """Send a request, which is a POST request if ``content`` is given; return the response.

        ``decompress`` accepts a compressed body and decompresses it.

        :raises TimeoutError: if the server does not respond in time.
        :raises ValueError: if the URL is invalid.
        :raises OSError: or UpstreamError, if the request fails for another reason.
        """
        ...


class Document(Struct, frozen=True):
    """A response with its whole body. ``url`` is the URL after redirects."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The ``charset`` parameter of the media type."""
        parameters = self.headers.get("Content-Type", "").split(";")[1:]
        for parameter in parameters:
            key, _, value = parameter.strip().partition("=")
            if key.lower() == "charset":
                return value.strip("\"' ") or None
        return None


class Budgets(Struct, frozen=True):
    """The limits on concurrent requests: those to the index, and those for files."""

    index: asyncio.Semaphore
    files: asyncio.Semaphore


class Transport:
    """Sends requests with an HTTP client and applies the policies that all requests share."""

    def __init__(
        self,
        client: HttpClient,
        guard: HostGuard,
        clock: Clock,
        jitter: random.Random,
        missing: MissingLimits,
        limiter: RateLimiter,
        *,
        timeout: float,
        document_timeout: float,
    ) -> None:
        """Take the collaborators.

        ``timeout`` is that of the HTTP client, in seconds without a byte; ``document_timeout`` is
        for one whole document.
        """
        self._client = client
        self._guard = guard
        self._clock = clock
        self._jitter = jitter
        self.missing = missing
        self.limiter = limiter
        self.traffic = Traffic()
        self._silence = timeout * SILENCE
        self._document_timeout = document_timeout
        self._unavailable: Counter[str] = Counter()
        self._date = ""
        self._newest: datetime | None = None
        self.clock_offset: float | None = None
        self._paused_until: dict[str, float] = {}
        self.on_pause: Callable[[str, float], None] | None = None
        """Called with the host and the seconds of each pause that a host asks for."""

    # ------------------------------------------------------------ the retry policy

    def watchdog(self, url: str, patience: Patience) -> Watchdog:
        """Return the watchdog for one response."""
        return Watchdog(url, self._clock, patience, self._silence)

    async def retry(
        self,
        attempt: Callable[[], Awaitable[_Result]],
        group: str = "",
        failures: FailureBudget | None = None,
    ) -> _Result:
        """Return the result of ``attempt``, which is repeated as the retry policy says.

        ``group`` names similar requests to one host: while ``MAX_UNAVAILABLE`` of them in a row
        got no answer, each is tried once. ``failures`` counts the tries that fail; nothing is
        tried again once it is spent.
        """
        tries = 0
        while True:
            try:
                result = await attempt()
            except errors.BandersnatchError as error:
                tries += 1
                pause = pause_before(error, tries, self._jitter)
                if failures is not None:
                    failures.spend()
                is_spent = failures is not None and failures.is_spent
                if pause is None or is_spent or self._unavailable[group] >= MAX_UNAVAILABLE:
                    self._count(group, error)
                    raise
            else:
                self._unavailable.pop(group, None)
                return result
            self.traffic.retries += 1
            await self._clock.sleep(pause)

    def _count(self, group: str, error: errors.BandersnatchError) -> None:
        if not group or isinstance(error, errors.PacedRequest):
            return
        if isinstance(error, errors.UnavailableHost):
            self._unavailable[group] += 1
        else:
            self._unavailable.pop(group, None)

    async def _wait_for(self, host: str, longest: float) -> None:
        """Wait until the pause that a host asked for is over.

        :raises RateLimit: if the pause is longer than ``longest`` seconds.
        """
        while (left := self._paused_until.get(host, 0.0) - self._clock.monotonic()) > 0:
            if left > longest:
                raise errors.RateLimit(host, "it asked for a long pause", retry_after=left)
            await self._clock.sleep(left)

    def _pause(self, host: str, error: errors.BandersnatchError) -> None:
        if isinstance(error, errors.RateLimit) and error.retry_after:
            self.pause(host, error.retry_after)
            if self.on_pause is not None:
                self.on_pause(host, error.retry_after)

    def pause(self, host: str, seconds: float) -> None:
        """Send nothing to a host for some seconds."""
        until = self._clock.monotonic() + seconds
        self._paused_until[host] = max(until, self._paused_until.get(host, 0.0))

    # ------------------------------------------------------------ one request

    async def request(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        decompress: bool,
        is_file: bool = False,
        answer_timeout: float | None = None,
    ) -> Response:
        """Send one GET request, follow its redirects, and return the response, its body unread.

        Call it, and read the response, within ``mapped_errors``. ``is_file`` restricts the hosts
        to those that files may be on. With an ``answer_timeout``, in seconds, the response must
        begin by then, and no pause of the host is waited for.

        :raises InvalidResponse: if the response is not an answer to this request.
        :raises UpstreamError: if its status is an error.
        """
        target = URL(url, encoded=True)
        if self._paused_until:
            longest = LONGEST_RETRY_AFTER if answer_timeout is None else 0.0
            await self._wait_for(_host_of(target), longest)
        check = self._guard.check_file_url if is_file else self._guard.check_url
        limit = nullcontext() if answer_timeout is None else asyncio.timeout(answer_timeout)
        async with limit:
            response = await self._follow(target, headers, check, decompress=decompress)
        try:
            if check_answer(response.url, headers, response.status, response.headers):
                return response
        except errors.InvalidResponse:
            with response:
                raise
        with response:
            is_elsewhere = URL(response.url, encoded=True).origin() != target.origin()
            where = response.url if is_elsewhere else url  # a redirect may lose the login
            error = error_for(where, response.status, response.headers, self._clock.now())
        if isinstance(error, errors.RateLimit):
            self._pause(_host_of(target), error)
        raise error

    async def _follow(
        self,
        url: URL,
        headers: Mapping[str, str],
        check: Callable[[URL], None],
        *,
        decompress: bool,
        content: bytes | None = None,
    ) -> Response:
        """Send a request and repeat it at each redirect; ``check`` is called with each URL.

        A POST request stays one: what it asks for changes nothing at the server. Only 303 says
        that the other URL is to be read with GET (RFC 9110, section 15.4.4); it is returned.
        """
        followed = _REDIRECTS if content is None else _REDIRECTS - {_SEE_OTHER}
        for _ in range(_MAX_REDIRECTS + 1):
            check(url)
            response = await self._send(url, headers, decompress=decompress, content=content)
            if response.status not in followed:
                return response
            with response:
                url = _redirect_target(url, response.headers.get("Location", ""))
        raise errors.UnsafeUrl(str(url), f"there are more than {_MAX_REDIRECTS} redirects")

    async def _send(
        self, url: URL, headers: Mapping[str, str], *, decompress: bool, content: bytes | None
    ) -> Response:
        """Send one request, and return the response once its final headers have arrived.

        :raises SlowResponse: if that takes too long, whatever arrives before them.
        """
        limit, status = asyncio.timeout(self._silence), Traffic.NO_STATUS
        try:
            async with limit:
                response = await self._client.send(
                    url, headers, decompress=decompress, content=content
                )
            status = str(response.status)
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise errors.SlowResponse(str(url), "it did not answer in time") from error
        finally:
            self.traffic.count(str(url.origin()).rpartition("/")[2], status)
        self._compare_clocks(response.headers)
        return response

    def _compare_clocks(self, headers: Mapping[str, str]) -> None:
        """Record the time at which a response left its origin or a cache, if it is the newest."""
        text = headers.get("Date", "")
        if not text or text == self._date:
            return
        self._date = text
        date = stated_time(text, headers.get("Age", ""))
        if date is None:
            return
        if self._newest is None or date > self._newest:
            self._newest = date
            self.clock_offset = (date - self._clock.now()).total_seconds()

    # ------------------------------------------------------------ documents

    async def fetch(
        self,
        url: str,
        *,
        limit: int,
        budget: asyncio.Semaphore,
        headers: Mapping[str, str],
        kind: Kind = Kind.PAGE,
        doubtful: bool = False,
    ) -> Document:
        """Return a document of at most ``limit`` bytes, decompressed, with retries.

        ``doubtful`` says that there may be none.

        :raises PacedRequest: if the document is doubtful and may not be requested for minutes.
        :raises UpstreamError: if every attempt fails.
        """
        sent = dict(headers)

        async def attempt() -> Document:
            try:
                async with self.missing.counted(url, kind, doubtful=doubtful), budget:
                    return await self._fetch(url, limit, sent)
            except errors.InvalidResponse:
                sent.update(UNCACHED)
                raise

        return await self.retry(attempt, f"{urlsplit(url).netloc} {kind}")

    async def _fetch(self, url: str, limit: int, headers: Mapping[str, str]) -> Document:
        with mapped_errors(url):
            total = asyncio.timeout(self._document_timeout)
            try:
                async with total:
                    response = await self.request(url, headers=headers, decompress=True)
                    return await self._read_document(response, url, limit)
            except TimeoutError as error:
                if not total.expired():
                    raise
                raise errors.SlowResponse(url, "it took too long") from error

    async def fetch_beginning(
        self, url: str, *, size: int, budget: asyncio.Semaphore, headers: Mapping[str, str]
    ) -> Document:
        """Return a document of which about ``size`` bytes are read, in a single attempt.

        :raises UpstreamError: if the attempt fails.
        """
        with mapped_errors(url):
            async with budget, asyncio.timeout(self._document_timeout):
                response = await self.request(url, headers=headers, decompress=True)
                with response:
                    body = b""
                    while len(body) < size and (piece := await response.read_piece()):
                        body += piece
                    return Document(response.url, response.status, response.headers, body[:size])

    async def post(self, url: str, content: bytes, *, limit: int) -> Document:
        """Return the response to one POST request of XML, whatever its status is.

        Redirects are followed, each with another POST request.

        :raises UpstreamError: if there is no response, or one of more than ``limit`` bytes.
        """
        with mapped_errors(url):
            async with asyncio.timeout(self._document_timeout):
                response = await self._follow(
                    URL(url, encoded=True),
                    {"Content-Type": "text/xml"},
                    self._guard.check_url,
                    decompress=True,
                    content=content,
                )
                with response:
                    check_answer(url, {}, response.status, response.headers, is_post=True)
                    return await self._read_document(response, url, limit)

    async def _read_document(self, response: Response, url: str, limit: int) -> Document:
        """Read the body of a response.

        :raises OversizedContent: as soon as it has more than ``limit`` bytes.
        """
        watchdog = self.watchdog(url, PATIENT)
        with response:
            body = BytesIO()  # returns its content without a copy
            while piece := await watchdog.read(response):
                body.write(piece)
                if body.tell() > limit:
                    raise errors.OversizedContent(url, limit)
            check_body(url, body.getvalue())
            return Document(response.url, response.status, response.headers, body.getvalue())


class mapped_errors:  # noqa: N801 - used like a function
    """A context that maps the errors of the system, and of invalid URLs, to ``UpstreamError``."""

    __slots__ = ("_url",)

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, TimeoutError):
            raise errors.UnavailableHost(self._url, "it did not respond in time") from error
        if isinstance(error, OSError):
            raise errors.UnavailableHost(self._url, first_line(error)) from error
        if isinstance(error, ValueError) and not isinstance(error, errors.BandersnatchError):
            # A redirect to a host name that no resolver accepts: a..example.org
            raise errors.UnsafeUrl(self._url, f"it leads to an invalid URL ({first_line(error)})")


def _redirect_target(url: URL, location: str) -> URL:
    """Return the absolute URL that a ``Location`` header names (RFC 9110, section 10.2.2).

    :raises UnsafeUrl: if it leads from https to http, or to a scheme other than these.
    """
    try:
        step = URL(location, encoded=True)
        target = url.join(step)
    except ValueError:
        step = target = URL()
    is_invalid = not (location and location.isprintable()) or (step.scheme and not step.host)
    is_allowed = target.scheme in {"https", url.scheme} and _HOST.fullmatch(target.host or "")
    if is_invalid or not is_allowed or target.user is not None:
        raise errors.UnsafeUrl(
            str(url), f"it redirects to {ascii(errors.shown_url(location))[:200]}"
        )
    return target


def _host_of(url: URL) -> str:
    """Return host and port of a URL without its login, which people must not see."""
    return url.authority.rpartition("@")[2]


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, at most 300 characters."""
    text = str(error) or type(error).__name__
    return text.splitlines()[0][:300]
