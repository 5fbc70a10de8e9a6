"""Deletes the parts of uploads that a killed command left in the bucket.

The client neither lists nor aborts uploads that it has not begun itself, so these two requests are
made and signed here (Signature Version 4 of Amazon's API reference).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import ssl
import urllib.request
from datetime import UTC, datetime
from html import unescape
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from bandersnatch.storage.s3.credentials import shared_credentials

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bandersnatch.config.schema import BucketSettings

_UPLOAD = re.compile(r"<Upload>.*?</Upload>", re.DOTALL)
_KEY = re.compile(r"<Key>([^<]*)</Key>")
_ID = re.compile(r"<UploadId>([^<]*)</UploadId>")
_NOTHING = hashlib.sha256(b"").hexdigest()
_TIMEOUT = 60.0
_MOST_BYTES = 10 * 1024 * 1024
_DEFAULT_REGION = "us-east-1"


class Keys(NamedTuple):
    """Credentials; ``token`` is "" unless they are temporary."""

    access: str
    secret: str
    token: str


class UnfinishedUploads:
    """The uploads below the prefix of a mirror that were begun and not ended."""

    def __init__(
        self, settings: BucketSettings, environment: Mapping[str, str], keys: Keys
    ) -> None:
        self._prefix = settings.prefix
        self._keys = keys
        self._region = settings.region or environment.get("AWS_REGION") or _DEFAULT_REGION
        endpoint = settings.endpoint or environment.get("AWS_ENDPOINT_URL")
        endpoint = endpoint or f"https://s3.{self._region}.amazonaws.com"
        self._base = f"{endpoint.rstrip('/')}/{settings.bucket}"
        self._bundle = environment.get("AWS_CA_BUNDLE")

    def abort_all(self) -> int:
        """Abort them, at most a thousand, and return how many there were; blocks.

        :raises OSError: if the store cannot be reached or refuses that.
        """
        # The order of the parameters is a part of the signature.
        answer = self._send("GET", "", f"prefix={quote(self._prefix, safe='')}&uploads=")
        found = list(_uploads(answer.decode("utf-8", errors="replace")))
        for key, upload in found:
            self._send("DELETE", f"/{quote(key)}", f"uploadId={quote(upload, safe='')}")
        return len(found)

    def _send(self, method: str, path: str, query: str) -> bytes:
        url = f"{self._base}{path}?{query}"
        headers = _signed(method, url, self._keys, self._region, datetime.now(UTC))
        request = urllib.request.Request(url, method=method, headers=headers)  # noqa: S310 - http(s)
        context = ssl.create_default_context(cafile=self._bundle) if self._bundle else None
        with urllib.request.urlopen(request, timeout=_TIMEOUT, context=context) as answer:  # noqa: S310
            content: bytes = answer.read(_MOST_BYTES)
        return content


def known_keys(settings: BucketSettings, environment: Mapping[str, str]) -> Keys | None:
    """Return the credentials if they are in the settings, the environment or the shared file."""
    if settings.access_key_id:
        token = environment.get("AWS_SESSION_TOKEN", "")
        return Keys(settings.access_key_id, settings.secret_access_key, token)
    access, secret = (environment.get(f"AWS_{n}") for n in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"))
    if access and secret:
        return Keys(access, secret, environment.get("AWS_SESSION_TOKEN", ""))
    if (shared := shared_credentials(environment)) is None:
        return None
    found = shared()
    return Keys(found["access_key_id"], found["secret_access_key"], found.get("token") or "")


def _uploads(answer: str) -> Iterator[tuple[str, str]]:
    """Yield key and identifier of each upload in a listing."""
    for each in _UPLOAD.findall(answer):
        key, upload = _KEY.search(each), _ID.search(each)
        if key is not None and upload is not None:
            yield unescape(key[1]), unescape(upload[1])


def _signed(method: str, url: str, keys: Keys, region: str, now: datetime) -> dict[str, str]:
    """Return the headers of a request without a body, with its signature."""
    parts, moment = urlsplit(url), now.strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": parts.netloc, "x-amz-content-sha256": _NOTHING, "x-amz-date": moment}
    if keys.token:
        headers["x-amz-security-token"] = keys.token
    names = ";".join(sorted(headers))
    lines = [f"{name}:{headers[name]}" for name in sorted(headers)]
    canonical = "\n".join([method, parts.path, parts.query, *lines, "", names, _NOTHING])
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{keys.secret}".encode()
    for step in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"):
        key = hmac.digest(key, step.encode(), "sha256")
    credential = f"Credential={keys.access}/{scope}"
    authorization = f"{credential}, SignedHeaders={names}, Signature={key.hex()}"
    return {**headers, "authorization": f"AWS4-HMAC-SHA256 {authorization}"}
