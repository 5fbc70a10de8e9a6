"""Which responses can answer a request: its method, its conditions and its range decide; pure.

A request carries what may answer it: 304 needs a condition, 206 needs a range and must begin where
the range does, and only 200 has a document (RFC 9110, sections 13.1, 14.2 and 15). Caches and
proxies break these rules, and what they send would otherwise count as success.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bandersnatch.errors import InvalidResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

OK, PARTIAL, NOT_MODIFIED = 200, 206, 304

UNCACHED: Mapping[str, str] = {"Cache-Control": "no-cache"}
"""What is added to a request whose last answer was not an answer to it."""

CONDITIONS = frozenset({"If-None-Match", "If-Modified-Since"})
"""The headers of a request that 304 can answer."""

_RANGE = re.compile(r"bytes=([0-9]{1,19})-", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.ASCII)
_FIRST_ERROR = 300
_GZIP = b"\x1f\x8b"


def check_answer(
    url: str,
    sent: Mapping[str, str],
    status: int,
    received: Mapping[str, str],
    *,
    is_post: bool = False,
) -> bool:
    """Return whether a response answers a request, False if its status is an error or a redirect.

    ``sent`` and ``received`` are the headers of request and response.

    :raises InvalidResponse: if the status says that it succeeded, and it is not an answer to this
        request.
    """
    if status == OK:
        return True
    if status == NOT_MODIFIED:
        if is_post or not CONDITIONS & sent.keys():
            raise InvalidResponse(url, "status 304, although the request has no condition")
        return True
    if status == PARTIAL:
        _check_range(url, "" if is_post else sent.get("Range", ""), received)
        return True
    if status < _FIRST_ERROR:
        raise InvalidResponse(url, f"status {status} has no content")
    return False


def _check_range(url: str, wanted: str, received: Mapping[str, str]) -> None:
    """Check that a partial response begins where the request asked it to.

    :raises InvalidResponse: if it does not.
    """
    asked = _RANGE.fullmatch(wanted)
    if asked is None:
        raise InvalidResponse(url, "status 206, although the request has no range")
    stated = received.get("Content-Range", "")
    given = _CONTENT_RANGE.fullmatch(stated.strip())
    if given is None:
        raise InvalidResponse(url, f"status 206 with the range {stated[:80]!a}")
    first, last, total = int(given[1]), int(given[2]), given[3]
    is_possible = first <= last and (total == "*" or last < int(total))
    if first != int(asked[1]) or not is_possible:
        raise InvalidResponse(url, f"status 206 with the range {stated}, asked for {wanted}")


def check_body(url: str, body: bytes) -> None:
    """Check that a document was decompressed completely: no text begins like a gzip file.

    :raises InvalidResponse: if it was compressed more often than its headers say.
    """
    if body.startswith(_GZIP):
        raise InvalidResponse(url, "its body is compressed more often than its headers say")
