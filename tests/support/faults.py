"""The things that go wrong on a network, each as an act for ``IndexServer.fault``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.support.server import Answer

    Act = Callable[[web.Request, Answer], Awaitable[web.StreamResponse | None]]


def status(code: int, **headers: str) -> Act:
    """Answer with a status; underscores in header names stand for dashes."""

    async def act(_: web.Request, answer: Answer) -> None:
        answer.status, answer.body = code, b""
        answer.headers.clear()
        answer.headers.update({key.replace("_", "-"): value for key, value in headers.items()})

    return act


def body(content: bytes, kind: str | None = None) -> Act:
    """Answer with another body, and maybe another content type."""

    async def act(_: web.Request, answer: Answer) -> None:
        answer.status, answer.body = 200, content
        answer.headers.popall("ETag", None)
        if kind is not None:
            answer.headers["Content-Type"] = kind

    return act


def edit(change: Callable[[bytes], bytes]) -> Act:
    """Answer with the body changed."""

    async def act(_: web.Request, answer: Answer) -> None:
        if answer.status == 200:
            answer.body = change(answer.body)

    return act


def wrong_bytes() -> Act:
    """Answer with a body of the right length and the wrong content."""
    return edit(lambda content: bytes(byte ^ 0xFF for byte in content[:1]) + content[1:])


def header(name: str, value: str | None) -> Act:
    """Answer with a header set, or taken away."""

    async def act(_: web.Request, answer: Answer) -> None:
        answer.headers.popall(name, None)
        if value is not None:
            answer.headers[name] = value

    return act


def cut(after: int) -> Act:
    """Announce the whole body, send some of it, and close the connection."""

    async def act(request: web.Request, answer: Answer) -> web.StreamResponse:
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        content = answer.body[start:]
        response = web.StreamResponse(status=206 if start else 200, headers=answer.headers)
        if start:
            total = len(answer.body)
            response.headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
        response.content_length = len(content)
        await response.prepare(request)
        await response.write(content[:after])
        _close(request)
        return response

    return act


def reset() -> Act:
    """Drop the connection without an answer."""

    async def act(request: web.Request, _: Answer) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    return act


def silence(seconds: float, after: int = 0) -> Act:
    """Send some of the body and then nothing for a time."""

    async def act(request: web.Request, answer: Answer) -> web.StreamResponse:
        response = web.StreamResponse(headers=answer.headers)
        response.content_length = len(answer.body)
        await response.prepare(request)
        await response.write(answer.body[:after])
        await asyncio.sleep(seconds)
        _close(request)
        return response

    return act


def endless(piece: bytes = b"x" * 65536, pieces: int = 10_000) -> Act:
    """Send a body without a length that goes on and on."""

    async def act(request: web.Request, answer: Answer) -> web.StreamResponse:
        response = web.StreamResponse(headers=answer.headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        for _ in range(pieces):
            await response.write(piece)
        return response

    return act


def redirect(to: str, code: int = 302) -> Act:
    """Send the client elsewhere."""
    return status(code, Location=to)


def _close(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()
