"""The download of one file: resumed, measured, and finished or tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.errors import OversizedContent, RefusedRequest, UnavailableHost
from bandersnatch.index.transport import mapped_errors

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from bandersnatch.clock import Clock
    from bandersnatch.index.transport import Response, Transport
    from bandersnatch.model.content import Content
    from bandersnatch.storage.port import Sink

SLOWEST = 10_000
"""Bytes a second; a download that is slower for long is given up and tried again."""

GRACE = 15.0
"""Seconds at the start of a download during which its rate does not matter."""

WINDOW = 30.0
"""Seconds over which the rate is measured."""

_OK, _PARTIAL, _UNSATISFIABLE = 200, 206, 416
_ACCEPTED = frozenset({_OK, _PARTIAL})


async def download(
    transport: Transport, budget: asyncio.Semaphore, url: str, sink: Sink, clock: Clock
) -> Content:
    """Stream the file at ``url`` into ``sink`` and finish it there.

    There is no limit on the whole time, only on silence and on slowness.

    :raises MissingResource: if it is not there.
    :raises IntegrityError: if its bytes stay wrong.
    """

    async def attempt() -> Content:
        if not sink.complete:
            async with budget:
                await _receive(transport, url, sink, clock)
        return await sink.finish()

    return await transport.retried(attempt)


async def _receive(transport: Transport, url: str, sink: Sink, clock: Clock) -> None:
    try:
        await _request(transport, url, sink, clock)
    except RefusedRequest as error:
        if error.status != _UNSATISFIABLE or not sink.held:
            raise
        # What is held is longer than the file, or the server has no ranges after all.
        await sink.restart()
        await _request(transport, url, sink, clock)


async def _request(transport: Transport, url: str, sink: Sink, clock: Clock) -> None:
    # Files are asked for as they are: an archive that a server wraps in a Content-Encoding would
    # otherwise be unwrapped on the way and fail its digest.
    headers = {"Accept-Encoding": "identity"}
    if sink.held:
        headers["Range"] = f"bytes={sink.held}-"
    with (
        mapped_errors(url),
        await transport.send(
            url, headers=headers, accepted=_ACCEPTED, decompress=False
        ) as response,
    ):
        if sink.held and not _continues(response.status, response.headers, sink.held):
            await sink.restart()
        await _take(response, url, sink, clock)


async def _take(response: Response, url: str, sink: Sink, clock: Clock) -> None:
    pace = _Pace(url, clock)
    try:
        async for chunk in response.pieces():
            await sink.write(chunk)
            pace.take(len(chunk))
    except OversizedContent:
        await sink.restart()
        raise


def _continues(status: int, headers: Mapping[str, str], held: int) -> bool:
    """Whether an answer goes on just where the sink ends."""
    return status == _PARTIAL and headers.get("Content-Range", "").startswith(f"bytes {held}-")


class _Pace:
    """Notices a download that trickles."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._begin = clock.monotonic() + GRACE
        self._size = 0

    def take(self, size: int) -> None:
        now = self._clock.monotonic()
        if now < self._begin:
            return
        self._size += size
        if now - self._begin < WINDOW:
            return
        if self._size < SLOWEST * WINDOW:
            raise UnavailableHost(self._url, f"it sends fewer than {SLOWEST} bytes a second")
        self._begin, self._size = now, 0
