"""The port of the doctor: single requests whose answers are examined as they are."""

from __future__ import annotations

from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class Answer(Struct, frozen=True):
    """The answer to one request.

    The names of ``headers`` are in lower case; values of the same name are joined by commas. The
    ``body`` is as it was sent, compressed or not; ``is_whole`` is False if it has more bytes than
    were wanted.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    is_whole: bool = True

    @property
    def is_ok(self) -> bool:
        """Whether the status is 200."""
        return self.status == HTTPStatus.OK

    def header(self, name: str) -> str:
        """Return the value of a header, "" if there is none."""
        return self.headers.get(name, "")

    @property
    def media_type(self) -> str:
        """The media type in lower case, without parameters."""
        return self.header("content-type").partition(";")[0].strip().lower()


class CertificateFault(Enum):
    """Why a certificate is not accepted."""

    SINGLE = "single"
    """No trusted authority issued it, and the server sends no other certificate with it."""
    AUTHORITY = "authority"
    TIME = "time"
    HOST = "host"
    OTHER = "other"


class Certificate(Struct, frozen=True):
    """The certificate of a server: when it expires, or why it is not accepted.

    ``reason`` is a clause for people, "" if the certificate is valid.
    """

    expires: datetime | None = None
    fault: CertificateFault | None = None
    reason: str = ""


class SingleRequests(Protocol):
    """Sends single requests: follows no redirect, decompresses nothing, repeats nothing."""

    async def send(
        self, url: str, headers: Mapping[str, str], *, limit: int, method: str = "GET"
    ) -> Answer:
        """Return the answer, with the first ``limit`` bytes of its body.

        :raises UpstreamError: if there is none.
        """
        ...

    async def certificate(self, host: str, port: int) -> Certificate | None:
        """Return the certificate of a server, None if it cannot be looked at."""
        ...
