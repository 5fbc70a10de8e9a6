"""What the transport asks of an HTTP library: one request, and its answer piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import TracebackType
    from typing import Self

    from yarl import URL


class Response(Protocol):
    """An answer whose headers are here; a context that gives its connection back."""

    @property
    def url(self) -> str:
        """Where it came from."""

    @property
    def status(self) -> int:
        """The status code."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, whatever the case of their names."""

    def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes."""

    def __enter__(self) -> Self:
        """Begin to read."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the connection back, or close it if the body was not read to its end."""


class Opener(Protocol):
    """Sends one request and follows no redirect."""

    async def open(
        self,
        url: URL,
        headers: Mapping[str, str],
        *,
        decompress: bool,
        content: bytes | None = None,
    ) -> Response:
        """Return the answer to a GET request, or to a POST request if there is ``content``.

        ``decompress`` lets the body come compressed.

        :raises TimeoutError: if there is silence.
        :raises ValueError: if the URL is none.
        :raises UpstreamError: if anything else goes wrong.
        """
