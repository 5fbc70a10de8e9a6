"""The watchdog of a response: when it waits with a limit, and when it gives a response up."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest
from yarl import URL

from bandersnatch.config.rates import RateSchedule
from bandersnatch.config.schema import IndexSettings
from bandersnatch.errors import SlowResponse
from bandersnatch.index.aiohttp_client import AiohttpClient
from bandersnatch.index.hosts import HostGuard
from bandersnatch.index.missing import MissingLimits
from bandersnatch.index.rate_limit import RateLimiter
from bandersnatch.index.transport import Response, Transport
from bandersnatch.index.watchdog import MIN_RATE, Patience, Watchdog
from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Mapping

URL_OF_FILE = "http://index.example.org/file"
PATIENCE = Patience(grace=1.0, window=10.0)


class Pieces:
    """A body whose pieces are here; with ``stalls`` the rest of it never arrives."""

    def __init__(self, *pieces: bytes, stalls: bool = False) -> None:
        self._pieces = list(pieces)
        self._stalls = stalls

    @property
    def has_arrived(self) -> bool:
        return not self._stalls

    async def read_piece(self) -> bytes:
        if self._pieces:
            return self._pieces.pop(0)
        if self._stalls:
            await asyncio.Event().wait()
        return b""


async def test_a_body_that_stalls_is_given_up() -> None:
    watchdog = Watchdog(URL_OF_FILE, FakeClock(), PATIENCE, silence=0.01)
    body = Pieces(b"half", stalls=True)

    assert await watchdog.read(body) == b"half"
    with pytest.raises(SlowResponse, match="nothing for too long"):
        async with asyncio.timeout(60):
            await watchdog.read(body)


async def test_a_body_that_has_arrived_is_read_to_its_end() -> None:
    watchdog = Watchdog(URL_OF_FILE, FakeClock(), PATIENCE, silence=0.01)
    body = Pieces(b"one", b"two")

    assert [await watchdog.read(body) for _ in range(3)] == [b"one", b"two", b""]


@pytest.mark.parametrize("stalls", [False, True])
async def test_the_rate_is_measured_whether_or_not_the_body_has_arrived(*, stalls: bool) -> None:
    clock = FakeClock()
    watchdog = Watchdog(URL_OF_FILE, clock, PATIENCE, silence=60.0)
    clock.passed = PATIENCE.grace + PATIENCE.window

    with pytest.raises(SlowResponse, match=f"fewer than {MIN_RATE} bytes per second"):
        await watchdog.read(Pieces(b"few", stalls=stalls))


async def test_a_body_has_arrived_with_its_last_byte_only() -> None:
    """Until then the read of it can wait, and needs the limit."""
    may_end = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none")
        await may_end.wait()
        writer.write(b"two")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with AiohttpClient(IndexSettings(timeout=60), HostGuard(url), "") as client:
            with await client.send(URL(url), {}, decompress=True) as response:
                assert await response.read_piece() == b"one"
                assert not response.has_arrived
                may_end.set()
                assert await response.read_piece() == b"two"
                assert await response.read_piece() == b""
                assert response.has_arrived


class SilentClient:
    """A client whose server never answers."""

    async def send(
        self,
        url: URL,
        headers: Mapping[str, str],
        *,
        decompress: bool,
        content: bytes | None = None,
        method: str = "GET",
    ) -> Response:
        await asyncio.Event().wait()
        raise AssertionError(url, headers, decompress, content, method)


async def test_a_host_that_is_not_the_only_one_must_answer_earlier() -> None:
    clock = FakeClock()
    transport = Transport(
        SilentClient(),
        HostGuard(URL_OF_FILE),
        clock,
        random.Random(1),
        MissingLimits(clock, lambda _: None, lambda: False),
        RateLimiter(RateSchedule(), clock),
        timeout=20.0,
        document_timeout=60.0,
    )

    with pytest.raises(TimeoutError):
        await transport.request(URL_OF_FILE, headers={}, decompress=False, answer_timeout=0.01)
