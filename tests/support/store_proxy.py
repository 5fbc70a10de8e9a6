"""A proxy in front of an object store: records requests, and answers some of them wrongly.

It runs in its own thread. Requests are passed on unchanged, with their ``Host``, so that their
signatures stay valid.
"""

from __future__ import annotations

import asyncio
import io
import threading
from contextlib import contextmanager
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
_ERROR = '<?xml version="1.0"?><Error><Code>{}</Code><Message></Message></Error>'


class Request(NamedTuple):
    """A request that was received: ``path`` is decoded and begins with the bucket."""

    method: str
    path: str
    query: str


class Fault(Enum):
    """What is done to a request instead of passing it on, or to its answer."""

    SLOW_DOWN = auto()
    INTERNAL_ERROR = auto()
    ACCESS_DENIED = auto()
    EXPIRED_TOKEN = auto()
    CLOCK_SKEW = auto()
    NO_BUCKET = auto()
    RESET = auto()
    LOST_ANSWER = auto()
    """The request is passed on, and its answer is lost."""
    TRUNCATED = auto()
    """Half of the body of the answer is sent."""
    ALTERED = auto()
    """The request is passed on with other bytes."""
    HANG = auto()


_ANSWERS = {
    Fault.SLOW_DOWN: (503, "SlowDown"),
    Fault.INTERNAL_ERROR: (500, "InternalError"),
    Fault.ACCESS_DENIED: (403, "AccessDenied"),
    Fault.EXPIRED_TOKEN: (400, "ExpiredToken"),
    Fault.CLOCK_SKEW: (403, "RequestTimeTooSkewed"),
    Fault.NO_BUCKET: (404, "NoSuchBucket"),
}


def _true_listing(_: str, answer: bytes) -> bytes:
    return answer


class StoreProxy:
    """The proxy; ``fault`` decides what happens to each request, None passes it on.

    ``listing`` returns the answer to the query of a listing, from the true one.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._session: aiohttp.ClientSession | None = None
        self.url = ""
        self.requests: list[Request] = []
        self.fault: Callable[[Request], Fault | None] = lambda _: None
        self.listing: Callable[[str, bytes], bytes] = _true_listing

    def seen(self, *methods: str) -> list[str]:
        """Return the paths of the requests with these methods, without the bucket."""
        return [
            each.path.lstrip("/").partition("/")[2]
            for each in self.requests
            if not methods or each.method in methods
        ]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        found = Request(request.method, unquote(request.path), request.query_string)
        self.requests.append(found)
        fault = self.fault(found)
        body = await request.read()
        if fault in _ANSWERS:
            status, code = _ANSWERS[fault]
            return web.Response(status=status, text=_ERROR.format(code))
        if fault is Fault.HANG:
            await asyncio.sleep(3_600)
        if fault is Fault.RESET:
            return self._cut(request)
        if fault is Fault.ALTERED:
            body = body[::-1]
        assert self._session is not None
        url = URL(f"{self._target}{request.raw_path}", encoded=True)
        headers = {k: v for k, v in request.headers.items() if k.lower() != "expect"}
        async with self._session.request(
            request.method,
            url,
            headers=headers,
            data=io.BytesIO(body) if body else None,
            allow_redirects=False,
        ) as answer:
            content = await answer.read()
            if fault is Fault.LOST_ANSWER:
                return self._cut(request)
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
            if request.method == "HEAD":
                kept["Content-Length"] = answer.headers.get("Content-Length", "0")
                return web.Response(status=answer.status, headers=kept)
            if "list-type" in found.query and answer.status == 200:
                content = self.listing(found.query, content)
            if fault is Fault.TRUNCATED:
                return await self._truncate(request, answer.status, kept, content)
            return web.Response(status=answer.status, headers=kept, body=content)

    @staticmethod
    def _cut(request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    @staticmethod
    async def _truncate(
        request: web.Request, status: int, headers: dict[str, str], content: bytes
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(content)
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        if request.transport is not None:
            request.transport.abort()
        return response

    async def _run(self, ready: threading.Event, stop: asyncio.Event) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._answer)
        # A body that is compressed is passed on as it is.
        self._session = aiohttp.ClientSession(auto_decompress=False)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        try:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.url = f"http://{host}:{port}"
            ready.set()
            await stop.wait()
        finally:
            await runner.cleanup()
            await self._session.close()


@contextmanager
def store_proxy(target: str) -> Iterator[StoreProxy]:
    """Run a proxy in front of the store at the URL ``target``."""
    proxy, ready, stop = StoreProxy(target), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(proxy._run(ready, stop)))
    thread.start()
    try:
        assert ready.wait(30)
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
