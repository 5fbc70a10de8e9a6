"""Requests by libcurl, which costs less than half of what aiohttp does for a small file.

It is used wherever the machine has it and no proxy stands in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import pycurl
from multidict import CIMultiDict
from pycurl import AsyncCurlMulti

from bandersnatch.errors import UnavailableHost
from bandersnatch.index.headers import authorizations, user_agent
from bandersnatch.index.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import TracebackType

    from yarl import URL

    from bandersnatch.config.schema import IndexSettings
    from bandersnatch.index.hosts import HostGuard


_LIBRARY = f"libcurl {pycurl.version_info()[1]}"


class CurlOpener:
    """Sends requests over connections that are kept open. To be used as a context."""

    def __init__(self, settings: IndexSettings, guard: HostGuard) -> None:
        self._guard = guard
        self._common = [f"User-Agent: {user_agent(_LIBRARY, settings.user_agent_comment)}"]
        self._logins = authorizations(settings.logins)
        self._timeout = settings.timeout
        self._multi = AsyncCurlMulti()
        self._multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, settings.connections)
        self._multi.setopt(pycurl.M_MAXCONNECTS, settings.connections)
        self._spare: list[Transfer] = []
        self._hosts: set[str] = set()

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close every connection."""
        await self._multi.aclose()

    async def open(
        self,
        url: URL,
        headers: Mapping[str, str],
        *,
        decompress: bool,
        content: bytes | None = None,
    ) -> CurlResponse:
        """Return the answer to a request; implements ``Opener``.

        :raises UnsafeUrl: if the server's certificate or address may not be trusted.
        :raises UnavailableHost: if there is no answer.
        """
        self._require_name(url.host or "")
        transfer = self._spare.pop() if self._spare else Transfer(self._guard, self._timeout)
        response = CurlResponse(self, transfer, str(url))
        try:
            lines = [*self._common, *(f"{name}: {value}" for name, value in headers.items())]
            if self._logins and (login := self._logins.get(url.origin())):
                lines.append(f"Authorization: {login}")
            transfer.prepare(url, lines, content, decompress=decompress)
            transfer.watch(self._multi.add_handle(transfer.handle))
            await transfer.progress()
            response.read_head()
        except BaseException:
            response.release()
            raise
        return response

    def _require_name(self, host: str) -> None:
        """Refuse what no resolver can be asked about, such as ``a..example.org``.

        :raises ValueError: if it is that.
        """
        if host not in self._hosts:
            host.encode("idna")
            self._hosts.add(host)

    def take_back(self, transfer: Transfer) -> None:
        """End a transfer, whatever it has come to, and keep the handle of one that had its end."""
        if transfer.is_under_way:
            transfer.break_off(self._multi)
        else:
            self._spare.append(transfer)
        transfer.forget()


class CurlResponse:
    """An answer; implements ``Response``."""

    def __init__(self, opener: CurlOpener, transfer: Transfer, url: str) -> None:
        self._opener = opener
        self._transfer: Transfer | None = transfer
        self.url = url
        self._head: list[bytes] = []
        self._headers: CIMultiDict[str] | None = None
        self.status = 0

    def read_head(self) -> None:
        """Take what came before the body.

        :raises UnavailableHost: or UnsafeUrl, if nothing came.
        """
        transfer = self._transfer
        assert transfer is not None, "only what is open has begun"
        self.status = transfer.handle.getinfo(pycurl.RESPONSE_CODE)
        self._head = list(transfer.head)
        is_whole = bool(self._head) and not self._head[-1].strip()
        if not (is_whole or transfer.is_under_way):
            raise transfer.failure(self.url) or UnavailableHost(
                self.url, "it broke off in its headers"
            )

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the answer, not of those before it that only say to go on."""
        if self._headers is None:
            self._headers = CIMultiDict()
            for line in self._head:
                if line.startswith(b"HTTP/"):
                    self._headers.clear()
                name, colon, value = line.decode("utf-8", "surrogateescape").partition(":")
                if colon:
                    self._headers.add(name.strip(), value.strip())
        return self._headers

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes.

        :raises UnavailableHost: if it breaks off.
        :raises TimeoutError: if it does not go on.
        """
        transfer = self._transfer
        assert transfer is not None, "nothing is read from what was given back"
        end = False
        while not end:
            end = await transfer.progress()
            for piece in transfer.taken():
                yield piece
        if error := transfer.failure(self.url):
            raise error

    def release(self) -> None:
        """Give the connection back; it is closed if the body has not come to its end."""
        if self._transfer is not None:
            self._opener.take_back(self._transfer)
            self._transfer = None

    def __enter__(self) -> Self:
        """Begin to read."""
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        """Give the connection back."""
        self.release()
