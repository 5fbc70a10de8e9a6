"""The web server: takes connections, sends answers, logs and counts requests.

Answers are written to the transport with one call where that is possible; what aiohttp's own
responses do besides takes longer than everything else that a cached page needs.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web
from msgspec import Struct

from bandersnatch.errors import StorageError
from bandersnatch.serve import connections, monitor
from bandersnatch.serve.answers import Answer, http_date, plain_answer
from bandersnatch.serve.connections import ClientConnection, ConnectionLimits

if TYPE_CHECKING:
    import logging
    import socket
    import ssl
    from collections.abc import AsyncIterator, Sequence

    from bandersnatch.clock import Clock
    from bandersnatch.serve.access_log import AccessLog
    from bandersnatch.serve.conditions import ByteRange
    from bandersnatch.serve.responder import Responder
    from bandersnatch.storage.port import ServedContent

_BACKLOG = 1_024
_PIECE = 1024**2
_LEAST_PIECE = 64 * 1024
_PIECES = 32 * 1024**2
"""Bytes of all pieces of files that are read at a time."""

_NOT_MODIFIED = 304
_READ_METHODS = frozenset({"GET", "HEAD"})
_HTTP_1_1 = (1, 1)
_REPEAT_WARNING = 60.0
"""Seconds between two warnings about the storage."""


class _Sent(web.StreamResponse):
    """Tells aiohttp that the answer was written already, and whether the connection goes on."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._keep_alive = keep_alive

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing."""


class Statistics(Struct):
    """Requests by kind and status, and the bytes of the bodies that were sent."""

    requests: Counter[tuple[str, int]]
    sent: int = 0


class Server:
    """Answers requests on listening sockets until it is stopped."""

    def __init__(
        self,
        responder: Responder,
        limits: ConnectionLimits,
        clock: Clock,
        logger: logging.Logger,
        access_log: AccessLog | None,
    ) -> None:
        self._responder = responder
        self._limits = limits
        self._clock = clock
        self._logger = logger
        self._access_log = access_log
        self.statistics = Statistics(Counter())
        self._kept, self._closed = _Sent(keep_alive=True), _Sent(keep_alive=False)
        self._open: set[ClientConnection] = set()
        self._sending = 0
        self._stopping = False
        self._second = -1
        self._date = b""
        self._warned_at = float("-inf")

    # ------------------------------------------------------------ running

    @asynccontextmanager
    async def listening(
        self, sockets: Sequence[socket.socket], tls: ssl.SSLContext | None, *, grace: float
    ) -> AsyncIterator[None]:
        """Take connections until the context is left.

        Then no new ones are taken, and requests that have begun have ``grace`` seconds to end.
        """
        loop = asyncio.get_running_loop()
        inner = web.Server(self._handle, request_factory=connections.make_request)
        servers = [
            await loop.create_server(
                lambda: self._connection(inner), sock=each, ssl=tls, backlog=_BACKLOG
            )
            for each in sockets
        ]
        watch = asyncio.ensure_future(self._watch())
        try:
            yield
        finally:
            watch.cancel()
            for each in servers:
                each.close()
            await self._stop(grace)
            if self._access_log is not None:
                self._access_log.flush()

    def _connection(self, inner: web.Server) -> ClientConnection:
        return ClientConnection(
            inner,
            self._limits,
            self._refuse,
            self._open,
            keepalive_timeout=connections.KEEP_ALIVE,
            access_log=None,
            logger=self._logger,
            max_line_size=connections.MAX_LINE,
            max_field_size=connections.MAX_LINE,
            max_headers=connections.MAX_FIELDS,
            lingering_time=connections.LINGER,
            auto_decompress=False,
        )

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(connections.CHECK_INTERVAL)
            now = loop.time()
            for each in list(self._open):
                each.check(now)
            if self._access_log is not None:
                self._access_log.flush()

    async def _stop(self, grace: float) -> None:
        self._stopping = True
        loop = asyncio.get_running_loop()
        until = loop.time() + grace
        while self._open and loop.time() < until:
            for each in list(self._open):
                if not each.busy:
                    each.force_close()
            await asyncio.sleep(0.02)
        for each in list(self._open):
            each.abort()

    # ------------------------------------------------------------ requests

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, ClientConnection)
        connection.begin()
        try:
            is_secure = connection.is_secure(request.headers)
            answer = await self._answer(request, is_secure=is_secure)
            return await self._send(connection, request, answer)
        finally:
            connection.end()

    async def _answer(self, request: web.BaseRequest, *, is_secure: bool) -> Answer:
        try:
            path = request.raw_path.partition("?")[0]
            if path in monitor.PATHS and request.method in _READ_METHODS:
                return await self._monitored(path, request)
            return await self._responder.answer(
                request.method, request.raw_path, request.headers, secure=is_secure
            )
        except StorageError as error:
            self._warn(error)
            text = "the mirror's storage cannot be read"
            return plain_answer(503, text, {"Retry-After": "30"})
        except Exception:
            self._logger.exception("this is a bug in bandersnatch; please report it")
            return plain_answer(500, "internal error")

    async def _monitored(self, path: str, request: web.BaseRequest) -> Answer:
        found = self._responder.monitor
        if path == "/health":
            return await found.health()
        peer = request.protocol.peer if isinstance(request.protocol, ClientConnection) else ""
        client = self._limits.client(peer, request.headers)
        if not found.may_see(client, request.headers):
            return monitor.refused()
        return await found.metrics(self.statistics.requests, self.statistics.sent)

    def _warn(self, error: StorageError) -> None:
        now = self._clock.monotonic()
        if now - self._warned_at > _REPEAT_WARNING:
            self._warned_at = now
            self._logger.warning("the storage cannot be read: %s", error)

    async def _send(
        self, connection: ClientConnection, request: web.BaseRequest, answer: Answer
    ) -> web.StreamResponse:
        keeps = request.keep_alive and not self._stopping and not request.body_exists
        has_body = request.method != "HEAD" and answer.status != _NOT_MODIFIED
        sent = 0
        try:
            head = self._head(answer, keeps=keeps, is_old=request.version < _HTTP_1_1)
            if not has_body or answer.content is None:
                body = answer.body if has_body else b""
                await self._write(connection, request, head + body)
                sent = len(body)
            else:
                sent = await self._send_content(connection, request, head, answer)
                keeps = keeps and sent == answer.length
        except ConnectionError:
            keeps = False
        finally:
            if answer.stack is not None:
                await answer.stack.aclose()
            self._record(connection, request, answer, sent)
        return self._kept if keeps else self._closed

    def _head(self, answer: Answer, *, keeps: bool, is_old: bool) -> bytes:
        """Return the whole head of an answer."""
        seconds = int(self._clock.now().timestamp())
        if seconds != self._second:
            self._second = seconds
            self._date = f"Date: {http_date(seconds)}\r\n".encode()
        if not keeps:
            return answer.head + self._date + b"Connection: close\r\n\r\n"
        if is_old:
            return answer.head + self._date + b"Connection: keep-alive\r\n\r\n"
        return answer.head + self._date + b"\r\n"

    async def _write(
        self, connection: ClientConnection, request: web.BaseRequest, data: bytes | bytearray
    ) -> None:
        """Send bytes; return when the client has taken most of them.

        :raises ConnectionError: if the connection was closed.
        """
        for start in range(0, len(data), _PIECE):
            if connection.transport is None:
                raise ConnectionResetError
            piece = data if len(data) <= _PIECE else memoryview(data)[start : start + _PIECE]
            connection.sent += len(piece)
            connection.transport.write(piece)
            if connection.writing_paused:
                await request.writer.drain()

    async def _send_content(
        self, connection: ClientConnection, request: web.BaseRequest, head: bytes, answer: Answer
    ) -> int:
        """Send the head and an open content; return how many bytes of the content were sent."""
        assert answer.content is not None
        await self._write(connection, request, head)
        if answer.content.can_send and connection.ssl_context is None:
            return await self._send_direct(connection, request, answer.content, answer.span)
        return await self._send_pieces(connection, request, answer.content, answer.span)

    async def _send_direct(
        self,
        connection: ClientConnection,
        request: web.BaseRequest,
        content: ServedContent,
        span: ByteRange,
    ) -> int:
        """Send a content from the storage to the socket, without copying it."""
        at = span.start
        async with connection.direct(request.writer.drain) as direct:
            while at < span.stop:
                try:
                    sent = await content.send(direct, at, min(_PIECE, span.stop - at))
                except BlockingIOError:
                    await connection.writable(direct)
                    continue
                except OSError as error:
                    raise ConnectionResetError from error
                if not sent:
                    break  # it was truncated: the connection is closed
                at += sent
                connection.sent += sent
        return at - span.start

    async def _send_pieces(
        self,
        connection: ClientConnection,
        request: web.BaseRequest,
        content: ServedContent,
        span: ByteRange,
    ) -> int:
        """Send a content piece by piece."""
        start, stop = span
        at = start
        self._sending += 1
        try:
            while at < stop:
                most = max(_LEAST_PIECE, min(_PIECE, _PIECES // self._sending))
                data = await content.read(at, min(most, stop - at))
                if not data:
                    break  # it was truncated: the connection is closed
                await self._write(connection, request, data)
                at += len(data)
        except StorageError as error:
            self._warn(error)
        finally:
            self._sending -= 1
        return at - start

    # ------------------------------------------------------------ log

    def _record(
        self, connection: ClientConnection, request: web.BaseRequest, answer: Answer, sent: int
    ) -> None:
        self.statistics.requests[answer.kind, answer.status] += 1
        self.statistics.sent += sent
        if self._access_log is not None:
            major, minor = request.version
            line = f"{request.method} {request.raw_path} HTTP/{major}.{minor}"
            client = self._limits.client(connection.peer, request.headers)
            now = self._clock.now().timestamp()
            self._access_log.add(client, line, answer.status, sent, now)

    def _refuse(self, connection: ClientConnection, status: int) -> web.StreamResponse:
        """Answer a request that could not be parsed."""
        answer = plain_answer(status, "the request is not valid HTTP")
        if connection.transport is not None:
            connection.transport.write(self._head(answer, keeps=False, is_old=False) + answer.body)
        self.statistics.requests[answer.kind, status] += 1
        if self._access_log is not None:
            now = self._clock.now().timestamp()
            self._access_log.add(connection.peer, "-", status, len(answer.body), now)
        return self._closed
