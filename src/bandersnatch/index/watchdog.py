"""The watchdog of one response: it ends what is silent or too slow, whatever the HTTP client sees.

Only bytes of the body count. Interim responses, chunk extensions and trailers are bytes on the
wire too, so that a server could send them for ever without a timeout of the client.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from bandersnatch.errors import SlowResponse

if TYPE_CHECKING:
    from bandersnatch.clock import Clock

MIN_RATE = 10_000
"""Bytes per second; a response below this rate for a whole window is given up."""

SILENCE = 3
"""How many times the ``timeout`` of the HTTP client a response may take to begin, or to go on.

The client's own timeout covers a connection without any byte; there may be several connections.
"""


class Patience(Struct, frozen=True):
    """How long a response is waited for.

    The rate is not measured in the ``grace`` seconds at the start, then over ``window`` seconds
    each. The response must begin within ``answer`` seconds, None for the limit of the transport;
    with a limit of its own, no pause that the host asked for is waited for either.
    """

    grace: float
    window: float
    answer: float | None = None


PATIENT = Patience(grace=15.0, window=30.0)
"""For documents, and for the only host that has a file."""

EAGER = Patience(grace=5.0, window=10.0, answer=10.0)
"""For a host that is not the only one that has a file."""


class Body(Protocol):
    """The part of a response that is read."""

    @property
    def has_arrived(self) -> bool:
        """Whether the whole body is here, so that ``read_piece`` does not wait."""
        ...

    async def read_piece(self) -> bytes:
        """Return the bytes of the body that arrived since the last call, b"" at its end."""
        ...


class Watchdog:
    """Reads a response; ``silence`` is in seconds."""

    def __init__(self, url: str, clock: Clock, patience: Patience, silence: float) -> None:
        self._url = url
        self._clock = clock
        self._window = patience.window
        self._silence = silence
        self._begin = clock.monotonic() + patience.grace
        self._size = 0

    async def read(self, response: Body) -> bytes:
        """Return the next bytes of the body, b"" at its end.

        :raises SlowResponse: if there are none in time, or if the rate of the last window is too
            low.
        """
        if response.has_arrived:
            piece = await response.read_piece()
        else:
            piece = await self._wait_for_piece(response)
        self._add(len(piece))
        return piece

    async def _wait_for_piece(self, response: Body) -> bytes:
        try:
            async with asyncio.timeout(self._silence):
                return await response.read_piece()
        except TimeoutError as error:
            raise SlowResponse(self._url, "it sent nothing for too long") from error

    def excuse(self, seconds: float) -> None:
        """Do not count a time in which this side did not read."""
        self._begin += seconds

    def _add(self, size: int) -> None:
        now = self._clock.monotonic()
        if now < self._begin:
            return
        self._size += size
        if now - self._begin < self._window:
            return
        if self._size < MIN_RATE * self._window:
            raise SlowResponse(self._url, f"it sends fewer than {MIN_RATE} bytes per second")
        self._begin, self._size = now, 0
