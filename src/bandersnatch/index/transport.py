"""What the transport asks of an HTTP library: one request, and its answer piece by piece."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Protocol, TypeVar

from yarl import URL

from bandersnatch.errors import (
    BandersnatchError,
    OversizedContent,
    RateLimit,
    UnavailableHost,
    UnsafeUrl,
)
from bandersnatch.index.retry import LONGEST_RETRY_AFTER, error_for, pause_before

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
    from types import TracebackType
    from typing import Self

    from bandersnatch.clock import Clock
    from bandersnatch.index.hosts import HostGuard

    _Result = TypeVar("_Result")


class Response(Protocol):
    """An answer whose headers are here; a context that gives its connection back."""

    @property
    def url(self) -> str:
        """Where it came from."""

    @property
    def status(self) -> int:
        """The status code."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, whatever the case of their names."""

    def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""

    def __enter__(self) -> Self:
        """Begin to read."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the connection back, or close it if the body was not read to its end."""


class Opener(Protocol):
    """Sends one request and follows no redirect."""

    async def open(
        self,
        url: URL,
        headers: Mapping[str, str],
        *,
        decompress: bool,
        content: bytes | None = None,
    ) -> Response:
        """Return the answer to a GET request, or to a POST request if there is ``content``.

        ``decompress`` lets the body come compressed.

        :raises TimeoutError: if there is silence.
        :raises ValueError: if the URL is none.
        :raises UpstreamError: if anything else goes wrong.
        """


_MOST_REDIRECTS = 3
_HOST = re.compile(r"[A-Za-z0-9._:-]+", re.ASCII)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Document:
    """A body that was read whole. ``url`` is where it came from in the end."""

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


@dataclass(frozen=True, slots=True)
class Budgets:
    """How many requests may be under way at once: to the index, and for files."""

    index: asyncio.Semaphore
    files: asyncio.Semaphore


class Transport:
    """Makes requests as one library or the other sends them."""

    def __init__(
        self,
        opener: Opener,
        guard: HostGuard,
        clock: Clock,
        jitter: random.Random,
        *,
        document_timeout: float,
    ) -> None:
        self._opener = opener
        self._guard = guard
        self._clock = clock
        self._jitter = jitter
        self._document_timeout = document_timeout
        self._paused_until: dict[str, float] = {}

    # ------------------------------------------------------------ the retry policy

    async def retried(self, attempt: Callable[[], Awaitable[_Result]]) -> _Result:
        """Return what ``attempt`` returns, making it again as the policy says."""
        tried = 0
        while True:
            try:
                return await attempt()
            except BandersnatchError as error:
                tried += 1
                pause = pause_before(error, tried, self._jitter)
                if pause is None:
                    raise
            await self._clock.sleep(pause)

    async def _wait_for(self, host: str) -> None:
        """Wait while a host wants to be left alone.

        :raises RateLimit: if it wants that for longer than this run will wait.
        """
        while (left := self._paused_until.get(host, 0.0) - self._clock.monotonic()) > 0:
            if left > LONGEST_RETRY_AFTER:
                raise RateLimit(host, "it asked to be left alone", retry_after=left)
            await self._clock.sleep(left)

    def _pause(self, host: str, error: BandersnatchError) -> None:
        if isinstance(error, RateLimit) and error.retry_after:
            until = self._clock.monotonic() + error.retry_after
            self._paused_until[host] = max(until, self._paused_until.get(host, 0.0))

    # ------------------------------------------------------------ one request

    async def send(
        self, url: str, *, headers: Mapping[str, str], accepted: frozenset[int], decompress: bool
    ) -> Response:
        """Make one request, follow its redirects, and return the answer to read the body from.

        The answer is a context, to be used within ``failures``.

        :raises UpstreamError: for any status not in ``accepted``.
        """
        target = URL(url, encoded=True)
        if self._paused_until:
            await self._wait_for(target.authority)
        response = await self._following(target, headers, decompress=decompress)
        if response.status in accepted:
            return response
        with response:
            error = error_for(url, response.status, response.headers, self._clock.now())
        if isinstance(error, RateLimit):
            self._pause(target.authority, error)
        raise error

    async def _following(
        self, url: URL, headers: Mapping[str, str], *, decompress: bool
    ) -> Response:
        for _ in range(_MOST_REDIRECTS + 1):
            self._guard.check_url(url)
            response = await self._opener.open(url, headers, decompress=decompress)
            if response.status not in _REDIRECTS:
                return response
            with response:
                url = _redirected(url, response.headers.get("Location", ""))
        raise UnsafeUrl(str(url), f"there are more than {_MOST_REDIRECTS} redirects")

    # ------------------------------------------------------------ documents

    async def document(
        self,
        url: str,
        *,
        limit: int,
        budget: asyncio.Semaphore,
        headers: Mapping[str, str],
        accepted: frozenset[int] = frozenset({200}),
    ) -> Document:
        """Return a body of at most ``limit`` bytes once it is decompressed, with retries.

        :raises UpstreamError: if that is not possible.
        """

        async def attempt() -> Document:
            async with budget:
                return await self._document(url, limit, headers, accepted)

        return await self.retried(attempt)

    async def _document(
        self, url: str, limit: int, headers: Mapping[str, str], accepted: frozenset[int]
    ) -> Document:
        with mapped_errors(url):
            async with asyncio.timeout(self._document_timeout):
                response = await self.send(url, headers=headers, accepted=accepted, decompress=True)
                with response:
                    body = await read_body(response.pieces(), url, limit)
                    return Document(response.url, response.status, response.headers, body)

    async def call(self, url: str, content: bytes, *, limit: int) -> Document:
        """Return the answer to one POST request, whatever its status says.

        :raises UpstreamError: if there is none.
        """
        with mapped_errors(url):
            async with asyncio.timeout(self._document_timeout):
                response = await self._opener.open(
                    URL(url, encoded=True),
                    {"Content-Type": "text/xml"},
                    decompress=True,
                    content=content,
                )
                with response:
                    body = await read_body(response.pieces(), url, limit)
                    return Document(response.url, response.status, response.headers, body)


class mapped_errors:  # noqa: N801 - used like a function
    """A context that turns the system's errors into this program's, and those about URLs."""

    __slots__ = ("_url",)

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        """Raise this program's error for the library's, if there was one."""
        if error is None:
            return
        if isinstance(error, TimeoutError):
            raise UnavailableHost(self._url, "it was silent, or slow, for too long") from error
        if isinstance(error, OSError):
            raise UnavailableHost(self._url, first_line(error)) from error
        if isinstance(error, ValueError) and not isinstance(error, BandersnatchError):
            # A redirect to a host that no resolver can be asked about: a..example.org
            raise UnsafeUrl(self._url, f"it leads to what is no address ({first_line(error)})")


async def read_body(body: AsyncIterable[bytes], url: str, limit: int) -> bytes:
    """Return the body of a response.

    :raises OversizedContent: as soon as there are more than ``limit`` bytes.
    """
    taken = BytesIO()  # it gives out what it holds without making a second one of it
    async for piece in body:
        taken.write(piece)
        if taken.tell() > limit:
            raise OversizedContent(url, limit)
    return taken.getvalue()


def _redirected(url: URL, location: str) -> URL:
    """Return where a redirect leads, if it may be followed.

    :raises UnsafeUrl: if it leads to another scheme than https, or from https to http.
    """
    try:
        step = URL(location, encoded=True)
        target = url.join(step)
    except ValueError:
        step = target = URL()
    nowhere = not (location and location.isprintable()) or (step.scheme and not step.host)
    leads_on = target.scheme in {"https", url.scheme} and _HOST.fullmatch(target.host or "")
    if nowhere or not leads_on or target.user is not None:
        raise UnsafeUrl(str(url), f"it redirects to {ascii(location)[:200]}")
    return target


def first_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    text = str(error) or type(error).__name__
    return text.splitlines()[0][:300]
