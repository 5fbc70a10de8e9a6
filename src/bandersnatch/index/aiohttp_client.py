"""The HTTP client: aiohttp's session with this program's connections, proxy and limits."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from bandersnatch.errors import BandersnatchError, UnavailableHost, UnsafeUrl
from bandersnatch.index.headers import authorizations, user_agent
from bandersnatch.index.proxy import socks_connector
from bandersnatch.index.retry import proxy_error_for
from bandersnatch.index.tls import handshake_error, make_contexts
from bandersnatch.index.transport import HttpClient, Response, first_line

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from aiohappyeyeballs import AddrInfoType
    from yarl import URL

    from bandersnatch.config.schema import IndexSettings, Login
    from bandersnatch.index.hosts import HostGuard
    from bandersnatch.index.tls import TlsContexts

_PROXY_MODULES = ("aiohttp_socks", "python_socks")
"""The packages whose errors are those of a SOCKS proxy."""

_RECEIVE_BUFFER = 256 * 1024
_DNS_CACHE_SECONDS = 300


class AiohttpClient(HttpClient):
    """Sends requests on one session. To be used as a context, which owns the connections."""

    def __init__(self, settings: IndexSettings, guard: HostGuard, proxy: str) -> None:
        """Take the settings; ``proxy`` is the URL of the proxy, "" for none."""
        self._settings = settings
        self._guard = guard
        self._proxy = proxy
        self._tls: TlsContexts | None = None
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._tls = make_contexts(self._settings.tls)
        self._session = _make_session(self._settings, self._guard, self._proxy)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._session.close()

    async def send(
        self,
        url: URL,
        headers: Mapping[str, str],
        *,
        decompress: bool,
        content: bytes | None = None,
        method: str = "GET",
    ) -> AiohttpResponse:
        try:
            return AiohttpResponse(
                await self._session.request(
                    method if content is None else "POST",
                    url,
                    headers=headers,
                    data=content,
                    allow_redirects=False,
                    auto_decompress=decompress,
                    ssl=self._context_for(url.host or ""),
                )
            )
        except Exception as error:
            raise _mapped_error(str(url), error) from error

    def _context_for(self, host: str) -> ssl.SSLContext | bool:
        """Return the TLS context for a host; True is the default one of aiohttp."""
        if self._tls is None:
            return True
        return self._tls.configured if self._guard.is_configured(host) else self._tls.other


class AiohttpResponse(Response):
    """A response of aiohttp."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = response.headers

    @property
    def url(self) -> str:
        return str(self._response.url)

    @property
    def has_arrived(self) -> bool:
        return self._response.content.is_eof()

    async def read_piece(self) -> bytes:
        try:
            return await self._response.content.readany()
        except Exception as error:
            raise _mapped_error(self.url, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._response.release()


def _make_session(settings: IndexSettings, guard: HostGuard, proxy: str) -> aiohttp.ClientSession:
    """Return a session without cookies, without netrc, and without a limit on the whole time.

    A timeout applies to connecting and to each period without data.
    """
    resolver = GuardedResolver(guard)
    if proxy.startswith("socks"):
        connector = socks_connector(proxy, limit=settings.connections, resolver=resolver)
        proxy = ""
    else:
        connector = aiohttp.TCPConnector(
            limit=settings.connections,
            resolver=resolver,
            ttl_dns_cache=_DNS_CACHE_SECONDS,
            socket_factory=_checked_sockets(guard),
        )
    agent = user_agent(f"aiohttp {aiohttp.__version__}", settings.user_agent_comment)
    return aiohttp.ClientSession(
        connector=connector,
        middlewares=[_add_logins(settings.logins)] if settings.logins else (),
        headers={"User-Agent": agent},
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(
            total=None, sock_connect=settings.timeout, sock_read=settings.timeout
        ),
        proxy=proxy or None,
        trust_env=False,
        read_bufsize=_RECEIVE_BUFFER,
    )


def _checked_sockets(guard: HostGuard) -> Callable[[AddrInfoType], socket.socket]:
    """Return what makes each socket, after the guard has checked the address that it is for."""

    def make(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        guard.check_peer(str(address[0]))
        return socket.socket(family=family, type=kind, proto=protocol)

    return make


def _add_logins(logins: Sequence[Login]) -> aiohttp.ClientMiddlewareType:
    """Return a middleware that adds each login to the requests to its origin, and to no others."""
    headers = authorizations(logins)

    async def middleware(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        header = headers.get(request.url.origin())
        if header is not None:
            request.headers["Authorization"] = header
        return await handler(request)

    return middleware


class GuardedResolver(AbstractResolver):
    """Resolves names with the system's resolver and has the guard check every address."""

    def __init__(self, guard: HostGuard) -> None:
        self._guard = guard
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of ``host``.

        :raises UnsafeUrl: if the guard refuses one of them.
        """
        found = await self._resolver.resolve(host, port, family)
        self._guard.check_addresses(host, [result["host"] for result in found])
        return found

    async def close(self) -> None:
        """Close the resolver."""
        await self._resolver.close()


def _mapped_error(url: str, error: Exception) -> Exception:
    """Return this program's error for one of aiohttp's, or of a library that it uses.

    Those of SOCKS proxies and of decompression are direct subclasses of ``Exception``. Builtin
    errors are returned as they are, for ``mapped_errors``.
    """
    if isinstance(error, aiohttp.ClientError):
        return _client_error(url, error)
    if isinstance(error, BandersnatchError | MemoryError | OSError | ValueError):
        return error
    kind = type(error)
    where = "the proxy" if kind.__module__.startswith(_PROXY_MODULES) else "the HTTP client"
    return UnavailableHost(url, f"{where} failed: {first_line(error)} ({kind.__name__})")


def _client_error(url: str, error: aiohttp.ClientError) -> Exception:
    """Return the error for one of aiohttp's; timeouts and invalid URLs are also builtin errors."""
    if isinstance(error, TimeoutError | aiohttp.InvalidURL):
        return error
    if (refused := handshake_error(url, error)) is not None:
        return refused
    if isinstance(error, aiohttp.ClientSSLError):
        return UnsafeUrl(url, f"the TLS handshake failed ({first_line(error)})")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return proxy_error_for(url, error.status)
    if isinstance(error, aiohttp.ClientConnectorError):  # its own text shows the TLS context
        why = error.os_error.strerror or type(error.os_error).__name__
        return UnavailableHost(url, f"cannot connect to {error.host}:{error.port} ({why})")
    return UnavailableHost(url, first_line(error))
