"""Faults of a network, each an act for ``IndexServer.fault``."""

from __future__ import annotations

import asyncio
import gzip
import json
import xmlrpc.client
import zlib
from typing import TYPE_CHECKING, Any

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
    """Answer with another body, and optionally another content type."""

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


def document(change: Callable[[dict[str, Any]], object]) -> Act:
    """Answer with a changed JSON document, without the validators of the original."""

    async def act(_: web.Request, answer: Answer) -> None:
        if answer.status == 200:
            page = json.loads(answer.body)
            change(page)
            answer.body = json.dumps(page).encode()
            answer.headers.popall("ETag", None)

    return act


def wrong_bytes() -> Act:
    """Answer with a body of the right length and the wrong content."""
    return edit(lambda content: bytes(byte ^ 0xFF for byte in content[:1]) + content[1:])


def header(name: str, value: str | None) -> Act:
    """Answer with a header set or removed."""

    async def act(_: web.Request, answer: Answer) -> None:
        answer.headers.popall(name, None)
        if value is not None:
            answer.headers[name] = value

    return act


def raw_header(line: bytes) -> Act:
    """Answer with a raw header line that libraries refuse to write."""

    async def act(request: web.Request, answer: Answer) -> web.StreamResponse:
        kept = [f"{k}: {v}".encode() for k, v in answer.headers.items() if k.encode() not in line]
        begin = b"HTTP/1.1 %d OK\r\nContent-Length: %d" % (answer.status, len(answer.body))
        lines = [begin, *kept, line]
        return await _written(request, b"\r\n".join(lines) + b"\r\n\r\n" + answer.body)

    return act


def raw(content: bytes) -> Act:
    """Write these bytes and close the connection."""

    async def act(request: web.Request, _: Answer) -> web.StreamResponse:
        return await _written(request, content)

    return act


def announced(length: int) -> Act:
    """Announce a wrong length and send the whole body."""

    async def act(request: web.Request, answer: Answer) -> web.StreamResponse:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length
        return await _written(request, head + answer.body)

    return act


def chunked(after: int, *, ended: bool) -> Act:
    """Send some of the body in chunks, then the last chunk or nothing."""

    async def act(request: web.Request, answer: Answer) -> web.StreamResponse:
        content = answer.body[:after]
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
        head += b"Content-Type: %s\r\n\r\n" % answer.headers["Content-Type"].encode()
        end = b"\r\n0\r\n\r\n" if ended else b"\r\n"
        return await _written(request, head + b"%x\r\n%b" % (len(content), content) + end)

    return act


def partly(then: Act) -> Act:
    """Answer this way to requests for a range only."""

    async def act(request: web.Request, answer: Answer) -> web.StreamResponse | None:
        return await then(request, answer) if "Range" in request.headers else None

    return act


def part(content_range: str | None, start: int = 0) -> Act:
    """Answer with 206, this range, and the body from ``start`` on."""

    async def act(_: web.Request, answer: Answer) -> web.StreamResponse:
        headers = {} if content_range is None else {"Content-Range": content_range}
        return web.Response(status=206, body=answer.body[start:], headers=headers)

    return act


def whole() -> Act:
    """Answer with 200 and the whole body, whatever range is requested."""

    async def act(_: web.Request, answer: Answer) -> web.StreamResponse:
        return web.Response(body=answer.body)

    return act


def compressed() -> Act:
    """Answer with the body in a content encoding, requested or not."""

    async def act(_: web.Request, answer: Answer) -> None:
        answer.body = gzip.compress(answer.body)
        answer.headers["Content-Encoding"] = "gzip"

    return act


def bomb(size: int, beginning: bytes = b"", filling: bytes = b" ", end: bytes = b"") -> Act:
    """Answer with a compressed body, a thousandth of its decoded size in bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = b"\x1f\x8b\x08" + bytes(7) + packer.compress(beginning)
    head += packer.flush(zlib.Z_FULL_FLUSH)
    some = filling * (2**20 // len(filling))
    block = packer.compress(some) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush a block is independent of those before it.
    packed = head + block * (size // len(some)) + packer.compress(end) + packer.flush()

    async def act(_: web.Request, answer: Answer) -> None:
        answer.body = packed
        answer.headers["Content-Encoding"] = "gzip"

    return act


def followed_by(extra: bytes) -> Act:
    """Answer normally with garbage after the body, and keep the connection open for a time."""

    async def act(request: web.Request, answer: Answer) -> web.StreamResponse:
        assert request.transport is not None
        lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(answer.body)]
        lines += [f"{key}: {value}".encode() for key, value in answer.headers.items()]
        request.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + answer.body + extra)
        for _ in range(200):
            if request.transport.is_closing():
                break
            await asyncio.sleep(0.005)
        _close(request)
        return web.Response()

    return act


def held(until: Callable[[], bool], then: Act | None = None) -> Act:
    """Delay the answer until a condition holds; then answer normally, or with an act."""

    async def act(request: web.Request, answer: Answer) -> web.StreamResponse | None:
        for _ in range(1000):
            if until():
                break
            await asyncio.sleep(0.005)
        return None if then is None else await then(request, answer)

    return act


def trickle(piece: int, pause: Callable[[], None]) -> Act:
    """Send the body in small chunks; call ``pause`` before each."""

    async def act(request: web.Request, answer: Answer) -> web.StreamResponse:
        response = web.StreamResponse(headers=answer.headers)
        response.content_length = len(answer.body)
        await response.prepare(request)
        for start in range(0, len(answer.body), piece):
            pause()
            await response.write(answer.body[start : start + piece])
            await asyncio.sleep(0.01)
        return response

    return act


def call(method: str, result: Any) -> Act:
    """Answer calls of an XML-RPC method with another result."""

    async def act(request: web.Request, answer: Answer) -> None:
        if f"<methodName>{method}</methodName>".encode() in await request.read():
            text = xmlrpc.client.dumps((result,), methodresponse=True, allow_none=True)
            answer.body = text.encode()

    return act


def cut(after: int) -> Act:
    """Announce the whole body, send a part of it, and close the connection."""

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
    """Send a part of the body and then nothing for a time."""

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
    """Send an endless body without a length."""

    async def act(request: web.Request, answer: Answer) -> web.StreamResponse:
        response = web.StreamResponse(headers=answer.headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        for _ in range(pieces):
            await response.write(piece)
        return response

    return act


def flood(look: Callable[[], None], pieces: int, size: int = 65536) -> Act:
    """Send a body without a length that is far too long; call ``look`` before each chunk."""

    async def act(request: web.Request, answer: Answer) -> web.StreamResponse:
        response = web.StreamResponse(headers=answer.headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        for _ in range(pieces):
            look()
            await response.write(b"x" * size)
        return response

    return act


def every_other(act: Act) -> Act:
    """Apply an act to every other request, beginning with the first."""
    turns = iter(range(10**9))

    async def turn(request: web.Request, answer: Answer) -> web.StreamResponse | None:
        return await act(request, answer) if next(turns) % 2 == 0 else None

    return turn


def redirect(to: str, code: int = 302) -> Act:
    """Redirect the client."""
    return status(code, Location=to)


async def _written(request: web.Request, content: bytes) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.write(content)
    _close(request)
    return web.Response()


def _close(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()
