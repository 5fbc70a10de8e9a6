"""The parts of a mirror in a bucket that need no store: attributes, errors, credentials, keys."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bandersnatch.config.schema import Backend, BucketSettings, StorageSettings
from bandersnatch.errors import (
    LockConflict,
    MissingObject,
    StorageError,
    UnstorableName,
    UnusablePlace,
)
from bandersnatch.layout import MARK, StorageKey
from bandersnatch.model.digests import Digest
from bandersnatch.storage.s3.attributes import attributes, stored_hashes, stored_time

pytest.importorskip("obstore")  # the rest needs the extra

from obstore import exceptions

from bandersnatch.storage.s3.bucket import PART, Bucket, Head, has_content, part_size
from bandersnatch.storage.s3.credentials import shared_credentials
from bandersnatch.storage.s3.failures import mapped_failures, storage_error
from bandersnatch.storage.s3.served import ServedBucket
from bandersnatch.storage.s3.uploads import Keys, _signed, known_keys
from tests.support.storages import ObjectsPlace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from obstore.store import ObjectStore

SHA256 = Digest("sha256", "0" * 64)
SETTINGS = BucketSettings("bucket", "pypi/", "/nowhere", access_key_id="AK", secret_access_key="SK")

# ---------------------------------------------------------------- parts


@given(st.integers(0, 5 * 1024**4))
def test_an_object_of_any_size_has_a_number_of_parts_that_stores_accept(size: int) -> None:
    """The limits are those of Amazon S3: 10,000 parts, of 5 MiB to 5 GiB, of 5 TiB in all."""
    part = part_size(size)

    assert 5 * 1024**2 <= part <= 5 * 1024**3
    assert -(-size // part) <= 10_000
    assert part == PART or size > 70 * 1024**3  # the parts in memory stay small


class _Piece(bytes):
    """A piece that is said to have a GiB."""

    def __len__(self) -> int:
        return 1024**3


class _LargeObjects:
    """A client of a store in which every object has this many GiB, and a time."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.copied: list[tuple[str, str]] = []
        self.uploaded: list[tuple[str, int]] = []

    async def get_async(self, path: str, *, options: object = None) -> _LargeObject:
        del path, options
        return _LargeObject(self.size)

    async def list(self, *_: object, **__: object) -> AsyncIterator[object]:
        nothing: tuple[object, ...] = ()
        for each in nothing:
            yield each

    async def copy_async(self, source: str, target: str) -> None:
        self.copied.append((source, target))

    async def put_async(
        self, path: str, pieces: AsyncIterator[bytes], *, chunk_size: int, **options: object
    ) -> None:
        assert options["use_multipart"]
        assert [1 async for _ in pieces] == [1] * self.size
        self.uploaded.append((path, chunk_size))


class _LargeObject:
    def __init__(self, size: int) -> None:
        self._size = size
        moment = datetime(2026, 11, 21, tzinfo=UTC)
        self.meta = {"size": size * 1024**3, "e_tag": "tag", "last_modified": moment}
        self.attributes = {"uploaded-at": "1"}

    async def stream(self, *, min_chunk_size: int) -> AsyncIterator[bytes]:
        del min_chunk_size
        for _ in range(self._size):
            yield _Piece()


@pytest.mark.parametrize("size", [4, 5, 6, 40])
async def test_an_object_of_more_than_5_gib_moves_by_parts(size: int) -> None:
    """A store copies no larger object with one request."""
    client = _LargeObjects(size)
    bucket = Bucket(SETTINGS, {}, lambda *_: cast("ObjectStore", client))

    assert await bucket.copy(StorageKey("web/a"), StorageKey("removed/a"))

    assert client.copied == ([("web/a", "removed/a")] if size <= 5 else [])
    assert client.uploaded == ([("removed/a", PART)] if size > 5 else [])


# ---------------------------------------------------------------- attributes


@pytest.mark.parametrize(
    ("key", "kind", "age"),
    [
        ("web/simple/index.html", "text/html; charset=utf-8", "public, max-age=600"),
        ("web/simple/foo/index.v1_html", "application/vnd.pypi.simple.v1+html", None),
        ("web/simple/foo/index.v1_json", "application/vnd.pypi.simple.v1+json", None),
        ("web/simple/foo/versions/index_7.v1_json", "application/vnd.pypi.simple.v1+json", None),
        ("web/packages/aa/foo.whl", "application/octet-stream", None),
        ("web/packages/aa/foo.whl.metadata", "application/octet-stream", None),
        ("removed/packages/aa/foo.whl", "application/octet-stream", None),
        ("removed/simple/foo/index.html", "text/html; charset=utf-8", "public, max-age=600"),
        ("web/json/foo", "application/json", "public, max-age=600"),
        ("web/pypi/foo/json", "application/json", "public, max-age=600"),
        ("web/last-modified", "text/plain; charset=utf-8", "public, max-age=600"),
        ("status", "text/plain; charset=utf-8", "no-cache"),
    ],
)
def test_an_object_has_the_type_and_age_of_its_key(key: str, kind: str, age: str | None) -> None:
    found = attributes(StorageKey(key))

    assert found["Content-Type"] == kind
    if age is not None:
        assert found["Cache-Control"] == age
    assert ("immutable" in found["Cache-Control"]) == ("/packages/" in key)


def test_digests_and_the_time_are_metadata() -> None:
    found = attributes(
        StorageKey("web/packages/a"),
        modified=1_700_000_000_123_456_000,
        digests=[SHA256, Digest("blake2b_256", "1" * 64)],
    )

    assert found["sha256"] == SHA256.value
    assert found["uploaded-at"] == "1700000000.123456"
    assert "blake2b_256" not in found  # no header has an underscore in its name


@given(st.integers(0, 2**62))
def test_a_time_is_read_as_it_was_written(modified: int) -> None:
    assert stored_time(attributes(StorageKey("web/x"), modified=modified)) == modified


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-1", "1e30", "1" * 40])
def test_an_invalid_time_is_ignored(text: str) -> None:
    assert stored_time({"uploaded-at": text}) is None
    assert stored_time({}) is None


def test_digests_are_known_only_if_all_are_stored_and_valid() -> None:
    found = {"sha256": "0" * 64, "md5": "none"}

    assert stored_hashes(found, ["sha256"]) is not None
    assert stored_hashes(found, ["sha256", "md5"]) is None
    assert stored_hashes(found, ["sha512"]) is None


@pytest.mark.parametrize(
    ("size", "tag", "expected"),
    [
        (7, hashlib.md5(b"content").hexdigest(), True),
        (7, f'"{hashlib.md5(b"content").hexdigest()}"', True),
        (8, hashlib.md5(b"content").hexdigest(), False),
        (7, '"0123-2"', None),
        (7, "", None),
    ],
)
def test_size_and_tag_tell_whether_the_content_is_the_same(
    *, size: int, tag: str, expected: bool | None
) -> None:
    assert has_content(Head(size, 0, tag, {}), b"content") is expected


# ---------------------------------------------------------------- errors of the store


def answer(status: str, code: str = "") -> str:
    """Return the message of the client about an answer."""
    body = f"<Error><Code>{code}</Code></Error>" if code else ""
    return (
        f"Generic S3 error: Error performing PUT http://x/b/k in 1ms - Server returned non-2xx "
        f"status code: {status}: {body}\n\nDebug source:\nGeneric {{"
    )


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (FileNotFoundError(answer("404 Not Found", "NoSuchKey")), MissingObject, "does not exist"),
        (FileNotFoundError(answer("404 Not Found")), MissingObject, "does not exist"),
        (
            FileNotFoundError(answer("404 Not Found", "NoSuchBucket")),
            StorageError,
            "failed at /bucket: there is no such bucket",
        ),
        (
            exceptions.GenericError(answer("400 Bad Request", "KeyTooLongError")),
            UnstorableName,
            "its key is longer than the store permits",
        ),
        (
            exceptions.PermissionDeniedError(answer("403 Forbidden", "AccessDenied")),
            UnusablePlace,
            "failed at key: the store does not permit PUT there",
        ),
        (exceptions.PermissionDeniedError("denied"), UnusablePlace, "not permit the request"),
        (
            exceptions.PermissionDeniedError(answer("403 Forbidden", "InvalidAccessKeyId")),
            StorageError,
            "failed at /bucket: the store refuses the credentials (InvalidAccessKeyId)",
        ),
        (
            exceptions.UnauthenticatedError(answer("401 Unauthorized")),
            StorageError,
            "the store refuses the credentials (401)",
        ),
        (
            exceptions.GenericError(answer("400 Bad Request", "ExpiredToken")),
            StorageError,
            "the credentials have expired (ExpiredToken); renew them",
        ),
        (
            exceptions.PermissionDeniedError(answer("403 Forbidden", "RequestTimeTooSkewed")),
            StorageError,
            "the clocks of this machine and of the store differ too much",
        ),
        (
            exceptions.GenericError(answer("301 Moved", "PermanentRedirect")),
            StorageError,
            "check region_name in [s3]",
        ),
        (
            exceptions.GenericError(
                "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in "
                "1s - HTTP error: error sending request"
            ),
            StorageError,
            "there are no credentials: neither in [s3] nor in the environment",
        ),
        (
            exceptions.GenericError(answer("503 Service Unavailable", "SlowDown")),
            StorageError,
            "failed at key: the store answered 503 Service Unavailable (SlowDown)",
        ),
        (
            exceptions.GenericError(
                "Generic S3 error: Error performing GET http://x in 1s, after 2 retries - HTTP "
                "error: error sending request"
            ),
            StorageError,
            "failed at key: the store does not answer: error sending request",
        ),
        (exceptions.GenericError("odd"), StorageError, "the store does not answer: odd"),
    ],
)
def test_an_error_of_the_store_has_one_sentence(
    error: Exception, kind: type[StorageError], text: str
) -> None:
    found = storage_error("bucket", "key", error)

    assert type(found) is kind
    assert text in str(found)
    assert len(str(found).splitlines()) == 1


def test_other_errors_pass() -> None:
    def fail() -> None:
        with mapped_failures("bucket", "key"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


# ---------------------------------------------------------------- credentials


def test_credentials_are_read_from_the_profile_of_the_shared_file(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    environment = {"AWS_SHARED_CREDENTIALS_FILE": str(path), "AWS_PROFILE": "mirror"}
    path.write_text(
        "[default]\naws_access_key_id = other\naws_secret_access_key = other\n"
        "[ mirror ]\n# a comment = x\naws_access_key_id = AK\naws_secret_access_key=SK\n"
        "aws_session_token = T\n"
    )

    found = shared_credentials(environment)

    assert found is not None
    first = found()
    assert (first["access_key_id"], first["secret_access_key"], first["token"]) == ("AK", "SK", "T")
    assert first["expires_at"] is not None  # then it is read again
    path.write_text("[mirror]\naws_access_key_id = NEW\naws_secret_access_key = SK\n")
    assert found()["access_key_id"] == "NEW"
    path.write_text("[mirror]\n")
    with pytest.raises(StorageError, match="it has no credentials of the profile mirror"):
        found()


@pytest.mark.parametrize(
    "environment", [{}, {"AWS_ACCESS_KEY_ID": "AK"}, {"AWS_WEB_IDENTITY_TOKEN_FILE": "/x"}]
)
def test_without_a_shared_file_or_with_other_credentials_it_is_not_used(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    if environment:
        (tmp_path / ".aws").mkdir()
        text = "[default]\naws_access_key_id = AK\naws_secret_access_key = SK\n"
        (tmp_path / ".aws" / "credentials").write_text(text)

    assert shared_credentials(environment) is None


def test_a_missing_bundle_of_certificates_is_named() -> None:
    with pytest.raises(StorageError, match=r"at /nowhere/ca\.pem: AWS_CA_BUNDLE names it: No such"):
        Bucket(SETTINGS, {"AWS_CA_BUNDLE": "/nowhere/ca.pem"})


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize("key", ["", "/x", "x/", "a//b", "a/./b", "a/../b", "a\0b"])
async def test_a_key_that_the_client_would_change_is_refused(key: str) -> None:
    bucket = Bucket(SETTINGS, {})

    for use in (bucket.read, bucket.head):
        with pytest.raises(StorageError, match="it is not a key of this storage"):
            await use(StorageKey(key))
    with pytest.raises(StorageError, match="it is not a key of this storage"):
        await bucket.write(StorageKey(key), b"")


@pytest.mark.parametrize("key", ["web/a\nb", "web/a\x7fb", "web/" + "x" * 1020, "web/\ud800"])
async def test_a_key_that_cannot_be_sent_is_an_unstorable_name(key: str) -> None:
    with pytest.raises(UnstorableName):
        await Bucket(SETTINGS, {}).head(StorageKey(key))


async def test_what_is_no_key_is_not_served() -> None:
    storage = StorageSettings("/bucket/pypi", Backend.S3, bucket=SETTINGS)

    assert await ServedBucket(storage, {}).look(StorageKey("web/a//b")) is None


# ---------------------------------------------------------------- commands on other machines


@pytest.mark.parametrize("had_mark", [False, True])
async def test_a_command_on_another_machine_is_noticed_by_the_mark_that_it_moves(
    tmp_path: Path, *, had_mark: bool
) -> None:
    here, there = ObjectsPlace(tmp_path / "here"), ObjectsPlace(tmp_path / "there")
    there.client, bucket = here.client, here.settings.bucket
    assert bucket is not None
    there.settings = structs.replace(
        here.settings, bucket=structs.replace(bucket, state_directory=str(tmp_path / "there"))
    )
    page = StorageKey("web/simple/foo/index.html")
    if had_mark:
        async with here.work() as storage:
            await storage.write({MARK: b"1"}, durable=True)

    async with here.work() as storage:
        await storage.write({MARK: b"2"}, durable=True)
        async with there.work() as other:
            await storage.flush()  # one that has not ended is not noticed
            await other.write({MARK: b"3"}, durable=True)
            await other.flush()
        with pytest.raises(LockConflict, match="another machine"):
            await storage.flush()
        with pytest.raises(LockConflict, match="another machine"):
            await storage.write({page: b"new"}, durable=True)

    async with here.work() as storage:
        assert await storage.stat([page]) == [None]
        await storage.flush()


# ---------------------------------------------------------------- unfinished uploads


def test_a_request_is_signed_as_in_the_example_of_the_reference() -> None:
    """The example "GET Bucket (List Objects)" of Signature Version 4 for Amazon S3."""
    keys = Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "")
    url = "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J"

    found = _signed("GET", url, keys, "us-east-1", datetime(2013, 5, 24, tzinfo=UTC))

    signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    assert found["authorization"].endswith(f"Signature={signature}")


def test_temporary_credentials_sign_their_token() -> None:
    now = datetime(2026, 11, 30, tzinfo=UTC)
    found = _signed("GET", "https://x/b?y=", Keys("AK", "SK", "T"), "r", now)

    assert found["x-amz-security-token"] == "T"
    assert "x-amz-date;x-amz-security-token" in found["authorization"]


@pytest.mark.parametrize(
    ("settings", "environment", "expected"),
    [
        (SETTINGS, {}, Keys("AK", "SK", "")),
        (
            structs.replace(SETTINGS, access_key_id=""),
            {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S", "AWS_SESSION_TOKEN": "T"},
            Keys("A", "S", "T"),
        ),
        (
            structs.replace(SETTINGS, access_key_id=""),
            {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere"},
            None,
        ),
    ],
)
def test_uploads_are_aborted_with_credentials_that_are_known(
    settings: BucketSettings, environment: dict[str, str], expected: Keys | None
) -> None:
    assert known_keys(settings, environment) == expected


def test_the_shared_file_has_credentials_for_that(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("[default]\naws_access_key_id = A\naws_secret_access_key = S\n")
    settings = structs.replace(SETTINGS, access_key_id="")

    found = known_keys(settings, {"AWS_SHARED_CREDENTIALS_FILE": str(path)})

    assert found == Keys("A", "S", "")


# ---------------------------------------------------------------- a new mirror


async def test_a_new_mirror_asks_for_nothing_that_it_has_not_written() -> None:
    client = _LargeObjects(0)
    bucket = Bucket(SETTINGS, {}, lambda *_: cast("ObjectStore", client))
    await bucket.note_if_empty("web/")

    assert await bucket.head(StorageKey("web/a")) is None
    assert await bucket.head(StorageKey("removed/a")) is not None
    await bucket.copy_at_once(StorageKey("web/b"), StorageKey("web/a"))

    assert await bucket.head(StorageKey("web/a")) is not None
    assert await bucket.head(StorageKey("web/b")) is None
