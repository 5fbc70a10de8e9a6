"""Requests by aiohttp: the one session, its connections, its proxy, its limits and its name."""

from __future__ import annotations

import platform
import sys
from base64 import b64encode
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from bandersnatch import __version__
from bandersnatch.master.hosts import GuardedResolver, HostGuard
from bandersnatch.master.proxy import socks_connector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from bandersnatch.config.settings import IndexSettings, Login

_SPARE_CONNECTIONS = 2
_RECEIVE_BUFFER = 256 * 1024


def user_agent(comment: str) -> str:
    """Return the name that the index's operators see (contract, section 4.1)."""
    version = sys.version_info
    python = (
        f"{version.major}.{version.minor}.{version.micro}-{version.releaselevel}{version.serial}"
    )
    agent = (
        f"bandersnatch/{__version__} ({sys.implementation.name} {python}, "
        f"{platform.system()} {platform.machine()}) (aiohttp {aiohttp.__version__})"
    )
    return f"{agent} ({comment})" if comment else agent


def authorizations(logins: Sequence[Login]) -> dict[URL, str]:
    """Return the ``Authorization`` header for each origin that has a login (RFC 7617)."""
    return {
        URL(login.origin).origin(): "Basic "
        + b64encode(f"{login.user}:{login.password}".encode()).decode()
        for login in logins
    }


def _log_in(logins: Sequence[Login]) -> aiohttp.ClientMiddlewareType:
    """Return what adds each login to the requests to its origin, and to no others."""
    headers = authorizations(logins)

    async def middleware(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        header = headers.get(request.url.origin())
        if header is not None:
            request.headers["Authorization"] = header
        return await handler(request)

    return middleware


def connections(settings: IndexSettings) -> int:
    """Return how many connections there may be at once."""
    return settings.workers + settings.download_workers + _SPARE_CONNECTIONS


def open_session(settings: IndexSettings, guard: HostGuard, proxy: str) -> aiohttp.ClientSession:
    """Return the session; it is to be used as a context.

    Cookies and netrc are off, redirects are followed elsewhere, one hop at a time, and bodies
    have no total timeout, only one for silence.
    """
    limit = connections(settings)
    resolver = GuardedResolver(guard)
    if proxy.startswith("socks"):
        connector = socks_connector(proxy, limit=limit, resolver=resolver)
        proxy = ""
    else:
        connector = aiohttp.TCPConnector(limit=limit, resolver=resolver, ttl_dns_cache=300)
    return aiohttp.ClientSession(
        connector=connector,
        middlewares=[_log_in(settings.logins)] if settings.logins else (),
        headers={"User-Agent": user_agent(settings.user_agent_comment)},
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=settings.timeout, sock_read=settings.timeout
        ),
        proxy=proxy or None,
        trust_env=False,
        read_bufsize=_RECEIVE_BUFFER,
    )


class AiohttpOpener:
    """Sends requests on a session; implements ``Opener``."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def open(
        self, url: URL, headers: Mapping[str, str], *, decompress: bool
    ) -> AiohttpResponse:
        """Return the answer to a GET request."""
        return AiohttpResponse(
            await self._session.get(
                url, headers=headers, allow_redirects=False, auto_decompress=decompress
            )
        )


class AiohttpResponse:
    """An answer; implements ``Response``."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.url = str(response.url)
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        return self._response.content.iter_any()

    def __enter__(self) -> Self:
        """Begin to read."""
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        """Give the connection back; it is closed if the body was not read to its end."""
        self._response.release()
