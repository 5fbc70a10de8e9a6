"""The attributes that objects are stored with: types, cache headers, time and digests; pure."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from bandersnatch.errors import InvalidValue
from bandersnatch.layout import PACKAGES, SIMPLE, TRASH, WEB, served
from bandersnatch.model.digests import Digest, Hashes, parse_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bandersnatch.layout import StorageKey

UPLOADED_AT = "uploaded-at"
"""The metadata with an object's time: seconds since 1970, as earlier releases write them."""

_TEXT = "text/plain; charset=utf-8"
_PAGE_TYPES = {
    "html": "text/html; charset=utf-8",
    "v1_html": "application/vnd.pypi.simple.v1+html",
    "v1_json": "application/vnd.pypi.simple.v1+json",
}
_DOCUMENTS = ("web/json/", "web/pypi/")
_PAGE_AGE = "public, max-age=600"
_FILE_AGE = "public, max-age=31536000, immutable"
_STATE_AGE = "no-cache"
_NANOSECONDS = 10**9
_MOST_SECONDS = 2**40


def attributes(
    key: StorageKey, *, modified: int | None = None, digests: Iterable[Digest] = ()
) -> dict[str, str]:
    """Return the attributes of the object ``key``.

    ``modified`` is its time in nanoseconds since 1970, None for the time when it is stored. Web
    servers in front of a bucket send its type and its cache header as they are.
    """
    place = served(key) if key.startswith(TRASH) else key
    found = {"Content-Type": _content_type(place), "Cache-Control": _cache_control(place)}
    found |= {each.algorithm: each.value for each in digests if each.algorithm.isalnum()}
    if modified is not None:
        found[UPLOADED_AT] = _seconds(modified)
    return found


def _content_type(key: StorageKey) -> str:
    if key.startswith(PACKAGES):
        return "application/octet-stream"
    if key.startswith(SIMPLE):
        return _PAGE_TYPES.get(key.rpartition(".")[2], _TEXT)
    return "application/json" if key.startswith(_DOCUMENTS) else _TEXT


def _cache_control(key: StorageKey) -> str:
    if key.startswith(PACKAGES):
        return _FILE_AGE
    return _PAGE_AGE if key.startswith(WEB) else _STATE_AGE


def _seconds(modified: int) -> str:
    seconds, rest = divmod(modified, _NANOSECONDS)
    return f"{seconds}.{rest:09}".rstrip("0").rstrip(".") if rest else str(seconds)


def stored_time(found: Mapping[str, str]) -> int | None:
    """Return the time among the attributes of an object, in nanoseconds since 1970, if it has one.

    What cannot be a time is ignored, as anybody who may write to the bucket can set it.
    """
    try:
        seconds = Decimal(found.get(UPLOADED_AT, ""))
    except InvalidOperation:
        return None
    if not seconds.is_finite() or not 0 <= seconds < _MOST_SECONDS:
        return None
    return int(seconds * _NANOSECONDS)


def stored_hashes(found: Mapping[str, str], algorithms: Sequence[str]) -> Hashes | None:
    """Return the digests of these algorithms, if an object was stored with all of them."""
    try:
        return Hashes(tuple(parse_digest(name, found.get(name)) for name in algorithms))
    except InvalidValue:
        return None
