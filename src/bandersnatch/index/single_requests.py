"""Single requests of the doctor, sent by the HTTP client that mirrors use, too."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from yarl import URL

from bandersnatch.doctor.port import Answer, Certificate, CertificateFault, SingleRequests
from bandersnatch.index.tls import OTHER_HOST, UNKNOWN_AUTHORITY, WRONG_TIME
from bandersnatch.index.transport import mapped_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bandersnatch.index.hosts import HostGuard
    from bandersnatch.index.transport import HttpClient, Response

_TIMEOUT = 120.0
"""Seconds for one answer with its body."""

_HANDSHAKE_TIMEOUT = 10.0


class GuardedRequests(SingleRequests):
    """Sends requests to the hosts that the guard permits."""

    def __init__(self, client: HttpClient, guard: HostGuard, *, has_proxy: bool) -> None:
        """Take the collaborators; the certificate of a server behind a proxy is not looked at."""
        self._client = client
        self._guard = guard
        self._has_proxy = has_proxy

    async def send(
        self, url: str, headers: Mapping[str, str], *, limit: int, method: str = "GET"
    ) -> Answer:
        with mapped_errors(url):
            target = URL(url, encoded=True)
            self._guard.check_url(target)
            async with asyncio.timeout(_TIMEOUT):
                response = await self._client.send(target, headers, decompress=False, method=method)
                return await _read(url, response, limit)

    async def certificate(self, host: str, port: int) -> Certificate | None:
        if self._has_proxy:
            return None
        try:
            return await _certificate(host, port)
        except (OSError, TimeoutError, ValueError):
            return None  # the request that follows says why


async def _read(url: str, response: Response, limit: int) -> Answer:
    with response:
        body = bytearray()
        while len(body) <= limit and (piece := await response.read_piece()):
            body += piece
        names = dict.fromkeys(name.lower() for name in response.headers)
        get_all = getattr(response.headers, "getall", None)
        fields = {
            name: ", ".join(get_all(name)) if get_all else response.headers[name] for name in names
        }
        return Answer(url, response.status, fields, bytes(body[:limit]), len(body) <= limit)


# ---------------------------------------------------------------- certificates


async def _certificate(host: str, port: int) -> Certificate:
    """Return the certificate that a server shows.

    :raises OSError: or TimeoutError, if it shows none.
    """
    try:
        shown = await _handshake(host, port, ssl.create_default_context())
    except ssl.SSLCertVerificationError as error:
        return await _refused(host, port, error)
    expires = ssl.cert_time_to_seconds(str(shown.getpeercert().get("notAfter")))
    return Certificate(datetime.fromtimestamp(expires, UTC))


async def _handshake(host: str, port: int, context: ssl.SSLContext) -> Any:  # noqa: ANN401 - SSLObject of asyncio or of uvloop
    async with asyncio.timeout(_HANDSHAKE_TIMEOUT):
        _, writer = await asyncio.open_connection(host, port, ssl=context)
        try:
            return writer.get_extra_info("ssl_object")
        finally:
            writer.transport.abort()  # an orderly end would wait for the server's


async def _refused(host: str, port: int, error: ssl.SSLCertVerificationError) -> Certificate:
    reason = error.verify_message.rstrip(".")
    if error.verify_code in WRONG_TIME:
        return Certificate(fault=CertificateFault.TIME, reason=reason)
    if error.verify_code in OTHER_HOST:
        return Certificate(fault=CertificateFault.HOST, reason=reason)
    if error.verify_code not in UNKNOWN_AUTHORITY:
        return Certificate(fault=CertificateFault.OTHER, reason=reason)
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    is_single = await _chain_length(host, port, unverified) == 1
    fault = CertificateFault.SINGLE if is_single else CertificateFault.AUTHORITY
    return Certificate(fault=fault, reason=reason)


async def _chain_length(host: str, port: int, context: ssl.SSLContext) -> int:
    """Return how many certificates a server sends, 0 if Python cannot tell."""
    shown = await _handshake(host, port, context)
    for owner in (shown, getattr(shown, "_sslobj", None)):  # public since Python 3.13
        get_chain = getattr(owner, "get_unverified_chain", None)
        if get_chain is not None:
            return len(get_chain() or ())
    return 0
