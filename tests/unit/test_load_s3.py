"""The options of ``[s3]``, and the directory of a mirror in a bucket."""

from __future__ import annotations

import hashlib
import sys
from operator import attrgetter
from typing import TYPE_CHECKING

import pytest

from bandersnatch import app
from bandersnatch.config.s3 import s3_options
from bandersnatch.config.schema import Backend, BucketSettings
from bandersnatch.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., BucketSettings]:
    """Return what reads ``[s3]`` with these lines."""

    def read(*lines: str, directory: str = "/bucket/pypi", mode: int = 0o600) -> BucketSettings:
        text = ["[mirror]", f"directory = {directory}", "storage-backend = s3", "[s3]", *lines]
        path = tmp_path / "mirror.conf"
        path.write_text("\n".join([*text, ""]))
        path.chmod(mode)
        settings = app.load(path).settings.storage
        assert settings.backend is Backend.S3
        assert settings.bucket is not None
        assert settings.state_directory == settings.bucket.state_directory
        return settings.bucket

    return read


@pytest.fixture
def refusal(read: Callable[..., BucketSettings], tmp_path: Path) -> Callable[..., list[str]]:
    """Return what reads ``[s3]`` with these lines, and returns its problems."""

    def refusal(*lines: str, **options: object) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            read(*lines, **options)
        file = f"{tmp_path / 'mirror.conf'}: "
        return [line.removeprefix(file) for line in str(caught.value).splitlines()]

    return refusal


ACCEPTED: list[tuple[str, str, str, object]] = [
    ("region_name", "eu-west-1", "region", "eu-west-1"),
    ("endpoint_url", "http://127.0.0.1:9000/", "endpoint", "http://127.0.0.1:9000"),
    ("endpoint_url", "", "endpoint", ""),
    ("signature_version", "s3v4", "bucket", "bucket"),
    ("signature_version", "", "bucket", "bucket"),
    ("max_attempts", "1", "max_attempts", 1),
    ("verify_concurrency", "7", "verify_concurrency", 7),
    ("state-directory", "/srv/state", "state_directory", "/srv/state"),
    (
        "config_param_ServerSideEncryption",
        "AES256",
        "encryption",
        (("server_side_encryption", "AES256"),),
    ),
    (
        "config_param_StorageClass",
        "STANDARD_IA",
        "write_headers",
        (("x-amz-storage-class", "STANDARD_IA"),),
    ),
    ("config_param_ACL", "public-read", "write_headers", (("x-amz-acl", "public-read"),)),
    (
        "config_param_RequestPayer",
        "requester",
        "headers",
        (("x-amz-request-payer", "requester"),),
    ),
]


@pytest.mark.parametrize(("option", "text", "field", "value"), ACCEPTED)
def test_an_option_of_the_section_is_read(
    read: Callable[..., BucketSettings], option: str, text: str, field: str, value: object
) -> None:
    assert attrgetter(field)(read(f"{option} = {text}")) == value


def test_every_option_is_tested() -> None:
    tested = {option for option, *_ in ACCEPTED if not option.startswith("config_param_")}
    known = {name for name in s3_options() if not name.startswith("config_param_")}

    assert known - tested == {"aws_access_key_id", "aws_secret_access_key"}


def test_the_section_may_be_empty(read: Callable[..., BucketSettings]) -> None:
    state = f"/var/lib/bandersnatch/{hashlib.sha256(b'/bucket/pypi').hexdigest()[:16]}"

    assert read() == BucketSettings("bucket", "pypi/", state)


@pytest.mark.parametrize(
    ("directory", "bucket", "prefix"),
    [
        ("/bucket", "bucket", ""),
        ("/bucket/", "bucket", ""),
        ("/bucket/a", "bucket", "a/"),
        ("/my.bucket-1/a/b c/", "my.bucket-1", "a/b c/"),
    ],
)
def test_the_directory_is_a_bucket_and_a_prefix(
    read: Callable[..., BucketSettings], directory: str, bucket: str, prefix: str
) -> None:
    found = read(directory=directory)

    assert (found.bucket, found.prefix) == (bucket, prefix)


@pytest.mark.parametrize(
    ("directory", "why"),
    [
        ("bucket/pypi", "is not a bucket and a prefix; with storage-backend = s3 write"),
        ("./bucket", "is not a bucket and a prefix"),
        ("/", "is not a bucket and a prefix"),
        ("/b!/pypi", "is not a bucket and a prefix"),
        ("/bucket//pypi", "has an empty segment, . or .., which cannot be a part of keys"),
        ("/bucket/../pypi", "has an empty segment, . or .."),
        ("s3://bucket/pypi", "is a URL and not a path"),
    ],
)
def test_another_directory_is_refused(
    refusal: Callable[..., list[str]], directory: str, why: str
) -> None:
    [line] = refusal(directory=directory)

    assert line.startswith("[mirror] directory: ")
    assert why in line


def test_a_missing_directory_is_one_problem(tmp_path: Path) -> None:
    path = tmp_path / "mirror.conf"
    path.write_text("[mirror]\nstorage-backend = s3\n")

    with pytest.raises(ConfigError) as caught:
        app.load(path)

    assert [each.option for each in caught.value.problems] == ["directory"]


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("max_attempts", "0", "'0' is not from 1 to 100"),
        ("verify_concurrency", "many", "'many' is not a whole number"),
        ("signature_version", "s3", "'s3' is not available; requests are signed with s3v4"),
        ("endpoint_url", "store.example.org", None),
        ("endpoint_url", "https://me:hunter2@store.example.org", None),
        ("endpoint_url", '"https://store.example.org"', None),
        ("state-directory", "~/state", None),
        ("region_name", "eu\u00fc", None),
        ("aws_access_key_id", '"AK"', None),
        ("bucket_name", "x", "there is no such option"),
        ("config_param_ServerSideEncryption", "aes", None),
        ("config_param_StorageClass", "\u00fc", None),
        ("config_param_SSEKMSKeyId", "k", "config_param_ServerSideEncryption is not set"),
        (
            "config_param_ContentType",
            "text/html",
            "it cannot be set: bandersnatch sets it for each object",
        ),
        (
            "config_param_ObjectLockMode",
            "GOVERNANCE",
            "it cannot be set: a mirror has to replace and delete objects",
        ),
        ("config_param_SSECustomerKey", "x", None),
        ("config_param_Storageclass", "x", None),
    ],
)
def test_an_invalid_value_is_refused(
    refusal: Callable[..., list[str]], option: str, text: str, message: str | None
) -> None:
    [line] = refusal(f"{option} = {text}")

    assert line.startswith(f"[s3] {option}: ")
    assert "hunter2" not in line
    if message is not None:
        assert line == f"[s3] {option}: {message}"


def test_an_unknown_parameter_is_refused_with_the_known_ones(
    refusal: Callable[..., list[str]],
) -> None:
    [line] = refusal("config_param_Storageclass = x")

    assert "there is no such parameter; known are ACL, BucketKeyEnabled, " in line


@pytest.mark.parametrize(
    ("given", "other"),
    [
        ("aws_access_key_id", "aws_secret_access_key"),
        ("aws_secret_access_key", "aws_access_key_id"),
    ],
)
def test_half_a_pair_of_keys_is_refused(
    refusal: Callable[..., list[str]], given: str, other: str
) -> None:
    assert refusal(f"{given} = AK") == [f"[s3] {given}: {other} is not set; both belong together"]


def test_the_secret_is_not_shown(read: Callable[..., BucketSettings]) -> None:
    found = read("aws_access_key_id = AK", "aws_secret_access_key = hidden")

    assert (found.access_key_id, found.secret_access_key) == ("AK", "hidden")
    assert "hidden" not in repr(found)


def test_a_secret_in_a_file_that_everybody_can_read_is_refused(
    refusal: Callable[..., list[str]], tmp_path: Path
) -> None:
    lines = ("aws_access_key_id = AK", "aws_secret_access_key = hidden")

    assert refusal(*lines, mode=0o644) == [
        (
            "[s3] aws_secret_access_key: it has a secret, and every user can read the file; run: "
            f"chmod o= {tmp_path / 'mirror.conf'}"
        )
    ]


def test_a_secret_in_an_environment_variable_is_accepted(
    read: Callable[..., BucketSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hidden")
    lines = ("aws_access_key_id = AK", "aws_secret_access_key = ${SECRET}")

    assert read(*lines, mode=0o644).secret_access_key == "hidden"


def test_without_the_extra_the_message_names_it(
    refusal: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)

    assert refusal() == [
        (
            "[mirror] storage-backend: 's3' is not installed: it needs the library obstore; run: "
            "pip install 'bandersnatch[s3]'"
        )
    ]


def test_the_section_is_not_read_for_a_mirror_on_a_disk(tmp_path: Path) -> None:
    path = tmp_path / "mirror.conf"
    path.write_text("[mirror]\ndirectory = /srv/pypi\n[s3]\nmax_attempts = none\nany = thing\n")

    assert app.load(path).settings.storage.bucket is None
