"""Requests by aiohttp: the one session, its connections, its proxy, its limits and its name."""

from __future__ import annotations

from contextlib import contextmanager
from socket import AF_INET
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractResolver

from bandersnatch.errors import UnavailableHost, UnsafeUrl
from bandersnatch.index.headers import authorizations, user_agent
from bandersnatch.index.proxy import socks_connector
from bandersnatch.index.retry import proxy_error_for
from bandersnatch.index.transport import first_line

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from aiohttp.abc import ResolveResult
    from yarl import URL

    from bandersnatch.config.schema import IndexSettings, Login
    from bandersnatch.index.hosts import HostGuard

_RECEIVE_BUFFER = 256 * 1024


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


def open_session(settings: IndexSettings, guard: HostGuard, proxy: str) -> aiohttp.ClientSession:
    """Return the session; it is to be used as a context.

    Cookies and netrc are off, redirects are followed elsewhere, one hop at a time, and bodies
    have no total timeout, only one for silence.
    """
    limit = settings.connections
    resolver = GuardedResolver(guard)
    if proxy.startswith("socks"):
        connector = socks_connector(proxy, limit=limit, resolver=resolver)
        proxy = ""
    else:
        connector = aiohttp.TCPConnector(limit=limit, resolver=resolver, ttl_dns_cache=300)
    return aiohttp.ClientSession(
        connector=connector,
        middlewares=[_log_in(settings.logins)] if settings.logins else (),
        headers={
            "User-Agent": user_agent(f"aiohttp {aiohttp.__version__}", settings.user_agent_comment)
        },
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=settings.timeout, sock_read=settings.timeout
        ),
        proxy=proxy or None,
        trust_env=False,
        read_bufsize=_RECEIVE_BUFFER,
    )


class GuardedResolver(AbstractResolver):
    """Resolves names with the system's resolver and asks the guard about every answer."""

    def __init__(self, guard: HostGuard) -> None:
        self._guard = guard
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of ``host``."""
        found = await self._resolver.resolve(host, port, family)
        self._guard.check_addresses(host, [result["host"] for result in found])
        return found

    async def close(self) -> None:
        """Close the resolver."""
        await self._resolver.close()


class AiohttpOpener:
    """Sends requests on a session; implements ``Opener``."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def open(
        self,
        url: URL,
        headers: Mapping[str, str],
        *,
        decompress: bool,
        content: bytes | None = None,
    ) -> AiohttpResponse:
        """Return the answer to a GET request, or to a POST request with ``content``."""
        method = "GET" if content is None else "POST"
        with mapped_errors(str(url)):
            return AiohttpResponse(
                await self._session.request(
                    method,
                    url,
                    headers=headers,
                    data=content,
                    allow_redirects=False,
                    auto_decompress=decompress,
                )
            )


class AiohttpResponse:
    """An answer; implements ``Response``."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.url = str(response.url)
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""
        with mapped_errors(self.url):
            async for piece in self._response.content.iter_any():
                yield piece

    def __enter__(self) -> Self:
        """Begin to read."""
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        """Give the connection back; it is closed if the body was not read to its end."""
        self._response.release()


@contextmanager
def mapped_errors(url: str) -> Iterator[None]:
    """Turn the library's errors into this program's; timeouts are left as they are."""
    try:
        yield
    except TimeoutError:
        raise
    except aiohttp.ClientSSLError as error:
        why = f"its certificate is not valid ({first_line(error)})"
        raise UnsafeUrl(url, why) from error
    except aiohttp.ClientHttpProxyError as error:
        raise proxy_error_for(url, error.status) from error
    except aiohttp.InvalidURL:
        raise  # a ValueError: what it stands for is told elsewhere
    except aiohttp.ClientError as error:
        raise UnavailableHost(url, first_line(error)) from error
