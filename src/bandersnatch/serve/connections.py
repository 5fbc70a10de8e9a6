"""Connections of clients, and the limits that none of them can exceed.

aiohttp parses requests; it limits the size and number of headers, and closes idle connections.
Added here: how many connections an address may have, how long the headers of a request may take,
and how slowly an answer may be read.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any

from aiohttp import web
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from ipaddress import IPv4Network, IPv6Network

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.http import RawRequestMessage
    from aiohttp.streams import StreamReader

    from bandersnatch.serve.conditions import Headers

KEEP_ALIVE = 75.0
"""Seconds that an idle connection stays open, and those until the first byte of a request."""

HEAD_TIME = 15.0
"""Seconds from the first byte of a request to the end of its headers."""

STALL_TIME = 60.0
"""Seconds in which a client must read ``STALL_SIZE`` bytes of what is sent to it."""

STALL_SIZE = 32 * 1024

CHECK_INTERVAL = 1.0
"""Seconds between two checks of all connections."""

MAX_LINE = 8_190
MAX_FIELDS = 100
LINGER = 1.0
"""Seconds in which the body of a request is read and ignored before the connection is closed."""

_TOO_MANY = b"""\
HTTP/1.1 503 Service Unavailable\r
Content-Type: text/plain; charset=utf-8\r
Content-Length: 21\r
Connection: close\r
\r
too many connections
"""

_SETTLING = 16
"""Rounds of the event loop after which a request that was received has begun: it takes four."""

UNIX = "unix:"
"""The address of a peer on a socket file: a local program, such as a reverse proxy."""

_IPV6_SUBSCRIBER = 64
"""Bits of an IPv6 address that one subscriber cannot choose."""


class ConnectionLimits:
    """Counts the connections by address; ``most`` is the limit for one address, 0 for none.

    ``trusted`` are the proxies whose connections are not limited, and which say whom they act for.
    """

    def __init__(self, most: int, total: int, trusted: Iterable[str]) -> None:
        self._most = most
        self._total = total
        self._trusted = [ip_network(text, strict=False) for text in trusted]
        self._counts: Counter[str] = Counter()
        self._open = 0

    def admit(self, host: str) -> str | None:
        """Count a connection; return its key for ``release``, None if it exceeds a limit."""
        key = "" if self.is_trusted(host) else _subscriber(host)
        if self._open >= self._total or (key and self._most and self._counts[key] >= self._most):
            return None
        self._open += 1
        self._counts[key] += 1
        return key

    def release(self, key: str) -> None:
        """Uncount a connection."""
        self._open -= 1
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key]

    def is_trusted(self, host: str) -> bool:
        """Whether an address is that of a trusted proxy, as every peer on a socket file is."""
        if host == UNIX:
            return True
        address = _address(host)
        return address is not None and any(address in each for each in self._networks(address))

    def _networks(self, address: IPv4Address | IPv6Address) -> list[IPv4Network | IPv6Network]:
        return [each for each in self._trusted if each.version == address.version]

    def client(self, peer: str, headers: Headers) -> str:
        """Return the address of the client that a trusted proxy acts for, or else the peer's.

        It is the last address of ``X-Forwarded-For`` that is not one of a trusted proxy.
        """
        if (not self._trusted and peer != UNIX) or not self.is_trusted(peer):
            return peer
        for text in reversed((headers.get("X-Forwarded-For") or "").split(",")[-20:]):
            host = text.strip()
            if _address(host) is None:
                break
            if not self.is_trusted(host):
                return host
        return peer


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


def _subscriber(host: str) -> str:
    """Return what identifies the client of an address: of IPv6 only its network."""
    address = _address(host)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _IPV6_SUBSCRIBER), strict=False))
    return str(address) if address is not None else host


class ClientConnection(web.RequestHandler):
    """One connection; aiohttp's protocol with the limits of ``ConnectionLimits``."""

    def __init__(
        self,
        server: web.Server,
        limits: ConnectionLimits,
        refused: Callable[[ClientConnection, int], web.StreamResponse],
        registry: set[ClientConnection],
        **options: Any,  # noqa: ANN401 - as aiohttp has them
    ) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self.peer = "-"
        self.busy = False
        """Whether a request is being answered."""
        self._limits = limits
        self._refused = refused
        self._registry = registry
        self._admitted: str | None = None
        self._is_proxy = False
        self._head_since: float | None = None
        self._ended = False
        self.sent = 0
        """Bytes that were handed to the transport; ``check`` compares them with what it holds."""
        self._direct: socket.socket | None = None
        self._is_waiting = False
        self._progress = 0
        self._progress_at = self._loop.time()

    # ------------------------------------------------------------ events of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the connection, or close it."""
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if isinstance(name, tuple) and name else UNIX
        self._admitted = self._limits.admit(self.peer)
        self._is_proxy = self._limits.is_trusted(self.peer)
        super().connection_made(transport)
        self._registry.add(self)
        if self._admitted is None and self.transport is not None:
            self.transport.write(_TOO_MANY)
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Uncount the connection."""
        self._registry.discard(self)
        if self._admitted is not None:
            self._limits.release(self._admitted)
            self._admitted = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take the bytes of a request."""
        if self._head_since is None:
            self._head_since = self._loop.time()
        super().data_received(data)

    def eof_received(self) -> bool | None:  # type: ignore[override]  # as asyncio has it
        """Answer what a client has asked before it closed its half of the connection."""
        self._ended = True
        self._close_when_idle(_SETTLING)
        return self.ssl_context is None

    def _close_when_idle(self, rounds: int) -> None:
        """Close the connection if no request begins in some rounds of the event loop."""
        if not self.busy and self.transport is not None:
            if rounds:
                self._loop.call_soon(self._close_when_idle, rounds - 1)
            else:
                self.force_close()

    # ------------------------------------------------------------ requests

    def is_secure(self, headers: Headers) -> bool:
        """Whether the client speaks HTTPS, with this server or with a trusted proxy."""
        if self._is_proxy:
            return headers.get("X-Forwarded-Proto") == "https"
        return self.ssl_context is not None

    def begin(self) -> None:
        """Take note that the headers of a request are complete."""
        self.busy = True
        self._head_since = None

    def end(self) -> None:
        """Take note that a request was answered."""
        self.busy = False
        if self._ended:
            self._close_when_idle(_SETTLING)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what aiohttp could not parse."""
        del request, exc, message
        return self._refused(self, status)

    # ------------------------------------------------------------ limits

    def check(self, now: float) -> None:
        """Close the connection if the client is too slow; ``now`` is the loop's time."""
        if self.transport is None:
            return
        since = self._head_since
        if since is not None and not self.busy and now - since > HEAD_TIME:
            self.abort()
            return
        unread = self.transport.get_write_buffer_size() + self._is_waiting
        if not unread or self.sent - unread - self._progress >= STALL_SIZE:
            self._progress, self._progress_at = self.sent - unread, now
        elif now - self._progress_at > STALL_TIME:
            self.abort()

    def abort(self) -> None:
        """Close the connection at once, whatever is still to be sent."""
        if self._direct is not None:
            with suppress(OSError):
                self._direct.shutdown(socket.SHUT_RDWR)
        if self.transport is not None:
            self.transport.abort()

    # ------------------------------------------------------------ sending without copies

    @asynccontextmanager
    async def direct(self, drain: Callable[[], Awaitable[None]]) -> AsyncIterator[socket.socket]:
        """Yield the socket itself, once everything that was written before has been sent.

        Nothing may be written to the transport meanwhile. ``drain`` waits for the transport.

        :raises ConnectionError: if the connection was closed.
        """
        transport = self.transport
        if transport is None:
            raise ConnectionResetError
        transport.set_write_buffer_limits(high=0)
        try:
            while transport.get_write_buffer_size():
                await drain()
                await asyncio.sleep(0)
            own = transport.get_extra_info("socket")
            # The event loop permits no other use of the descriptor of a transport.
            with socket.fromfd(own.fileno(), own.family, socket.SOCK_STREAM) as self._direct:
                self._direct.settimeout(0)
                yield self._direct
        finally:
            self._direct = None
            transport.set_write_buffer_limits()

    async def writable(self, direct: socket.socket) -> None:
        """Wait until a socket takes more bytes, or is closed."""
        ready = self._loop.create_future()
        self._loop.add_writer(direct, _set, ready)
        self._is_waiting = True
        try:
            await ready
        finally:
            self._is_waiting = False
            self._loop.remove_writer(direct)


def make_request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    """Return a request as aiohttp makes it.

    ``CONNECT`` with an empty target has neither path nor URL, and aiohttp's own function raises.
    """
    if not message.path:
        message = message._replace(path="/", url=URL("/"))
    return web.BaseRequest(message, payload, protocol, writer, task, asyncio.get_running_loop())


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
