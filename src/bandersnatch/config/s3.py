"""The options of ``[s3]``: the bucket of a mirror in an object store, and how it is reached."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bandersnatch.config import readers
from bandersnatch.config.schema import BucketSettings, SectionOptions
from bandersnatch.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

_STATE = "/var/lib/bandersnatch"
"""Below it each mirror has a state directory, named by a hash of its ``directory``."""

_PREFIX = "config_param_"
_MOST_ATTEMPTS, _MOST_CHECKS = 100, 1_000
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_ENCRYPTIONS = ("AES256", "aws:kms", "aws:kms:dsse")

_ENCRYPTION = {
    "ServerSideEncryption": "server_side_encryption",
    "SSEKMSKeyId": "sse_kms_key_id",
    "BucketKeyEnabled": "sse_bucket_key_enabled",
}
"""Parameters that are settings of the client, which knows the requests that they belong to."""

_WRITE_HEADERS = {
    "ACL": "x-amz-acl",
    "GrantFullControl": "x-amz-grant-full-control",
    "GrantRead": "x-amz-grant-read",
    "GrantReadACP": "x-amz-grant-read-acp",
    "GrantWriteACP": "x-amz-grant-write-acp",
    "SSEKMSEncryptionContext": "x-amz-server-side-encryption-context",
    "StorageClass": "x-amz-storage-class",
    "Tagging": "x-amz-tagging",
}
"""Parameters that are headers of requests that write; a store may refuse them on others."""

_HEADERS = {
    "ExpectedBucketOwner": "x-amz-expected-bucket-owner",
    "RequestPayer": "x-amz-request-payer",
}
"""Parameters that are headers of every request."""

_OURS = "bandersnatch sets it for each object"
_REFUSED = {
    "CacheControl": _OURS,
    "ContentEncoding": _OURS,
    "ContentType": _OURS,
    "Metadata": _OURS,
    **dict.fromkeys(
        ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5"),
        "no web server could read objects with a key of the customer; use ServerSideEncryption",
    ),
    **dict.fromkeys(
        ("ObjectLockLegalHoldStatus", "ObjectLockMode", "ObjectLockRetainUntilDate"),
        "a mirror has to replace and delete objects",
    ),
}
"""Parameters that a mirror cannot be written with, and why."""


def read_bucket(options: SectionOptions, mirror: SectionOptions, directory: str) -> BucketSettings:
    """Read all options of ``[s3]``; ``directory`` of ``[mirror]`` names bucket and prefix."""
    bucket, prefix = _bucket_and_prefix(mirror, directory)
    options.read("signature_version", _signature_version, "")
    key = options.read("aws_access_key_id", _credential, "")
    secret = options.read("aws_secret_access_key", _credential, "")
    if bool(key) != bool(secret):
        given, other = ("aws_access_key_id", "aws_secret_access_key")[:: 1 if key else -1]
        if not options.is_refused(other):
            options.refuse(given, f"{other} is not set; both belong together")
    encryption, write_headers, headers = _parameters(options)
    default = f"{_STATE}/{hashlib.sha256(directory.encode()).hexdigest()[:16]}"
    return BucketSettings(
        bucket=bucket,
        prefix=prefix,
        state_directory=options.read("state-directory", readers.optional_path, "") or default,
        region=options.read("region_name", readers.header_text, ""),
        access_key_id=key,
        secret_access_key=secret,
        endpoint=options.read("endpoint_url", _endpoint, ""),
        max_attempts=options.read("max_attempts", readers.whole_number(1, _MOST_ATTEMPTS), 10),
        verify_concurrency=options.read(
            "verify_concurrency", readers.whole_number(1, _MOST_CHECKS), 50
        ),
        encryption=encryption,
        write_headers=write_headers,
        headers=headers,
    )


def s3_options() -> frozenset[str]:
    """Return the names of all options of ``[s3]``."""
    options = SectionOptions({}, section="s3")
    read_bucket(options, SectionOptions({}), "/bucket")
    return frozenset(options.names)


# ---------------------------------------------------------------- bucket and prefix


def _bucket_and_prefix(mirror: SectionOptions, directory: str) -> tuple[str, str]:
    """Split ``directory``: ``/bucket/prefix``, or ``/bucket`` for a mirror without a prefix."""
    if not directory:
        return "", ""  # it is missing, and that is a problem already
    bucket, _, below = directory.removeprefix("/").rstrip("/").partition("/")
    if not directory.startswith("/") or not _BUCKET.fullmatch(bucket):
        why = "is not a bucket and a prefix; with storage-backend = s3 write /bucket/prefix"
        mirror.refuse("directory", f"{readers.shown(directory)} {why}")
    elif below and not {"", ".", ".."}.isdisjoint(below.split("/")):
        why = "has an empty segment, . or .., which cannot be a part of keys"
        mirror.refuse("directory", f"{readers.shown(directory)} {why}")
    return bucket, f"{below}/" if below else ""


# ---------------------------------------------------------------- readers


def _signature_version(text: str) -> str:
    if readers.plain(text) not in {"", "s3v4"}:
        raise OptionError(f"{readers.shown(text)} is not available; requests are signed with s3v4")
    return text.strip()


def _credential(text: str) -> str:
    """Read a key or secret; messages never show it."""
    value = text.strip()
    if not value.isascii() or not value.isprintable() or set(" \"'") & set(value):
        raise OptionError("it has a character that a key cannot have, such as a space or a quote")
    return value


def _endpoint(text: str) -> str:
    value = readers.url("https", "http")(text)
    if urlsplit(value).username is not None:
        why = "has a user name; use aws_access_key_id and aws_secret_access_key"
        raise OptionError(f"{readers.shown(value)} {why}")
    return value


# ---------------------------------------------------------------- parameters

_Pairs = tuple[tuple[str, str], ...]


def _parameters(options: SectionOptions) -> tuple[_Pairs, _Pairs, _Pairs]:
    """Read ``config_param_*``: settings of encryption, headers of writes, headers of all."""
    for name in options.beginning_with(_PREFIX):
        _refuse_unknown(options, name)
    found = tuple(
        tuple(_read_all(options, table)) for table in (_ENCRYPTION, _WRITE_HEADERS, _HEADERS)
    )
    encryption, write_headers, headers = found
    if any(name != "server_side_encryption" for name, _ in encryption) and not any(
        name == "server_side_encryption" for name, _ in encryption
    ):
        first = next(each for each in _ENCRYPTION if options.is_set(_PREFIX + each))
        options.refuse(_PREFIX + first, f"{_PREFIX}ServerSideEncryption is not set")
    return encryption, write_headers, headers


def _read_all(options: SectionOptions, table: dict[str, str]) -> Iterator[tuple[str, str]]:
    for parameter, meaning in table.items():
        reader = _encryption if parameter == "ServerSideEncryption" else _header_value
        if value := options.read(_PREFIX + parameter, reader, ""):
            yield meaning, value


def _refuse_unknown(options: SectionOptions, name: str) -> None:
    parameter = name.removeprefix(_PREFIX)
    known = sorted([*_ENCRYPTION, *_WRITE_HEADERS, *_HEADERS])
    if parameter in _REFUSED:
        options.refuse(name, f"it cannot be set: {_REFUSED[parameter]}")
    elif parameter not in known:
        options.refuse(name, f"there is no such parameter; known are {', '.join(known)}")


def _header_value(text: str) -> str:
    value = readers.plain(text)
    if not value.isascii() or not value.isprintable():
        raise OptionError(f"{readers.shown(text)} is not plain ASCII, as headers must be")
    return value


def _encryption(text: str) -> str:
    value = readers.plain(text)
    if value not in {"", *_ENCRYPTIONS}:
        raise readers.refusal(text, f"is not one of {', '.join(_ENCRYPTIONS)}")
    return value
