"""One of libcurl's transfers: what it has received, and how long it may be silent."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any

import pycurl

from bandersnatch.errors import BandersnatchError, UnavailableHost, UnsafeUrl

if TYPE_CHECKING:
    from yarl import URL

    from bandersnatch.index.hosts import HostGuard

_MOST_WAITING = 512 * 1024
"""Bytes that may wait for the reader before the connection is left alone."""

_BUFFER = 128 * 1024
_SMALL_BUFFER = 16 * 1024
"""What was received at once is unpacked at once, to a thousand times the size at worst."""

_NOT_TRUSTED = frozenset(
    {
        pycurl.E_PEER_FAILED_VERIFICATION,
        pycurl.E_SSL_CACERT_BADFILE,
        pycurl.E_SSL_CERTPROBLEM,
        pycurl.E_SSL_CIPHER,
        pycurl.E_SSL_INVALIDCERTSTATUS,
        pycurl.E_SSL_ISSUER_ERROR,
    }
)


class Transfer:
    """One of libcurl's handles, with what it has received and nobody has read yet."""

    def __init__(self, guard: HostGuard, timeout: float) -> None:
        self._guard = guard
        self._timeout = timeout
        self._host = ""
        self._refused: BandersnatchError | OSError | None = None
        self._future: asyncio.Future[pycurl.Curl] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._size = 0
        self._paused = False
        self._sent = False
        self._posted = False
        self._decompresses: bool | None = None
        self._sockets: list[socket.socket] = []
        self.is_under_way = False
        self.head: list[bytes] = []
        self.waiting: list[bytes] = []
        self.handle = pycurl.Curl()
        self._set_up()

    def _set_up(self) -> None:
        """Set what is the same for every request; the library brings no certificates along."""
        trusted = ssl.get_default_verify_paths()
        if trusted.cafile:
            self.handle.setopt(pycurl.CAINFO, trusted.cafile)
        if trusted.capath:
            self.handle.setopt(pycurl.CAPATH, trusted.capath)
        self.handle.setopt(pycurl.NOSIGNAL, 1)
        self.handle.setopt(pycurl.PROXY, "")  # the environment's has been looked at already
        self.handle.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        self.handle.setopt(pycurl.PATH_AS_IS, 1)
        self.handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        self.handle.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
        self.handle.setopt(pycurl.CONNECTTIMEOUT_MS, int(self._timeout * 1000))
        self.handle.setopt(pycurl.WRITEFUNCTION, self._receive)
        self.handle.setopt(pycurl.HEADERFUNCTION, self.head.append)
        self.handle.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)

    def prepare(
        self, url: URL, lines: list[str], content: bytes | None, *, decompress: bool
    ) -> None:
        """Set what is another for each request."""
        if content is not None:
            self.handle.setopt(pycurl.POSTFIELDS, content)
        elif self._posted:
            self.handle.setopt(pycurl.HTTPGET, 1)
        self._posted = content is not None
        self._host = url.host or ""
        self.handle.setopt(pycurl.URL, str(url))
        self.handle.setopt(pycurl.HTTPHEADER, lines)
        if decompress == self._decompresses:
            return
        self._decompresses = decompress
        self.handle.setopt(pycurl.BUFFERSIZE, _SMALL_BUFFER if decompress else _BUFFER)
        if decompress:
            self.handle.setopt(pycurl.ACCEPT_ENCODING, "gzip, deflate")
        else:
            self.handle.unsetopt(pycurl.ACCEPT_ENCODING)

    def watch(self, future: asyncio.Future[pycurl.Curl]) -> None:
        """Take the future that the transfer ends with."""
        self._future, self.is_under_way = future, True
        future.add_done_callback(self._end)

    def break_off(self, multi: pycurl.AsyncCurlMulti) -> None:
        """Close the connection, unless the end has come just now."""
        if self._future is not None and not self._future.done():
            multi.remove_handle(self.handle)

    def forget(self) -> None:
        """Be ready for the next request."""
        self._future, self._refused = None, None
        self._size, self._paused, self._sent = 0, False, False
        self._close_sockets()
        self.head.clear()
        self.waiting.clear()

    # ------------------------------------------------------------ what libcurl calls

    def _receive(self, piece: bytes) -> Any:  # noqa: ANN401 - the library has no types
        if self._size >= _MOST_WAITING:
            self._paused = True
            return pycurl.WRITEFUNC_PAUSE
        self.waiting.append(piece)
        self._size += len(piece)
        if self._waiter is not None:
            # One turn later, when the whole of a small body has ended.
            asyncio.get_running_loop().call_soon(self._wake)
        return None

    def _open_socket(self, _purpose: int, address: Any) -> Any:  # noqa: ANN401 - the library has no types
        """Return a socket for an address that the guard has looked at; libcurl makes its own copy.

        What was looked at is what is connected to: no second answer of a resolver is believed.
        """
        try:
            self._guard.check_addresses(self._host, [address.addr[0]])
            opened = socket.socket(address.family, address.socktype, address.protocol)
        except (BandersnatchError, OSError) as error:
            self._refused = error  # libcurl must not see it: it would print it and go on
            return pycurl.SOCKET_BAD
        self._sockets.append(opened)
        return opened

    def _close_sockets(self) -> None:
        while self._sockets:
            self._sockets.pop().close()

    def _end(self, _: object) -> None:
        self.is_under_way = False
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ------------------------------------------------------------ what the reader calls

    async def progress(self) -> bool:
        """Wait until there is something to read, or the end; say whether it is the end.

        :raises TimeoutError: if there is silence instead.
        """
        if self._paused and not self.waiting:
            self._paused = False
            self.handle.pause(pycurl.PAUSE_CONT)
        while self.is_under_way and not self.waiting:
            await self._wait()
        return not self.is_under_way

    async def _wait(self) -> None:
        """Wait for as long as silence may last, which begins when the request is sent.

        Connecting has a limit of its own.
        """
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        limit = loop.call_later(self._timeout, self._grow_impatient)
        try:
            await self._waiter
        finally:
            limit.cancel()
            self._waiter = None

    def _grow_impatient(self) -> None:
        was_sent = self._sent or not self.handle.getinfo(pycurl.NUM_CONNECTS)
        self._sent = bool(self.handle.getinfo(pycurl.PRETRANSFER_TIME))
        if self._waiter is None or self._waiter.done():
            return
        if self._sent and was_sent:
            self._waiter.set_exception(TimeoutError())
        else:
            self._waiter.set_result(None)

    def taken(self) -> list[bytes]:
        """Return what is waiting, and let more come."""
        pieces, self.waiting, self._size = self.waiting, [], 0
        return pieces

    def failure(self, url: str) -> BandersnatchError | ValueError | None:
        """Return what a transfer that has ended failed with, if it did.

        A ``ValueError`` stands for a URL that is none. A host with one address that the guard
        refuses is refused; one that there was no socket for does not matter if another answered.
        """
        error = self._future.exception() if self._future is not None else None
        if isinstance(self._refused, BandersnatchError):
            return self._refused
        if error is None:
            return None
        if self._refused is not None:
            return UnavailableHost(url, self._refused.strerror or str(self._refused))
        return _as_ours(url, *error.args)


def _as_ours(url: str, code: int, message: str) -> BandersnatchError | ValueError:
    """Return what one of libcurl's errors is here."""
    if code in _NOT_TRUSTED:
        return UnsafeUrl(url, f"its certificate is not valid ({message})")
    if code == pycurl.E_URL_MALFORMAT:
        return ValueError(message)
    if code == pycurl.E_OPERATION_TIMEDOUT:
        return UnavailableHost(url, "it was silent, or slow, for too long")
    return UnavailableHost(url, message)
