"""Digests and the hashes of one content."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import InvalidValue
from bandersnatch.model.digests import (
    HEX_DIGITS,
    Digest,
    Hashes,
    new_hasher,
    parse_digest,
    parse_hashes,
)
from tests.support.strategies import json_values

SHA256 = "0123456789abcdef" * 4


@pytest.mark.parametrize("algorithm", HEX_DIGITS)
def test_a_digest_of_each_algorithm_is_accepted(algorithm: str) -> None:
    value = hashlib.new(algorithm, b"content").hexdigest()
    assert parse_digest(algorithm, value) == Digest(algorithm, value)


def test_an_upper_case_value_becomes_lower_case() -> None:
    assert parse_digest("sha256", SHA256.upper()) == Digest("sha256", SHA256)


@pytest.mark.parametrize(
    ("algorithm", "value"),
    [
        ("sha256", SHA256[1:]),
        ("sha256", SHA256 + "0"),
        ("sha256", ""),
        ("sha256", SHA256[1:] + "g"),
        ("sha256", SHA256[1:] + "\n"),
        ("sha256", " " + SHA256[1:]),
        ("sha256", "\u0661" * 64),
        ("sha256", "\uff41" * 64),
        ("sha256", "0x" + SHA256[2:]),
        ("sha256", "../" + SHA256[3:]),
        ("md5", SHA256),
        ("sha256", None),
        ("sha256", 5),
        ("sha256", SHA256.encode()),
        ("sha", SHA256),
        ("shake_128", SHA256),
        ("crc32", "00000000"),
        ("", SHA256),
        (None, SHA256),
        (5, SHA256),
        (["sha256"], SHA256),
    ],
)
def test_anything_else_is_refused(algorithm: object, value: object) -> None:
    with pytest.raises(InvalidValue):
        parse_digest(algorithm, value)


@given(st.sampled_from(["sha256", "md5"]) | json_values, st.text("0aF\ng", max_size=70))
def test_a_digest_is_lower_case_hexadecimal_or_refused(algorithm: object, value: str) -> None:
    try:
        digest = parse_digest(algorithm, value)
    except InvalidValue:
        return
    assert bytes.fromhex(digest.value).hex() == digest.value == value.lower()
    assert digest.algorithm == str(algorithm).lower()


def test_the_text_of_a_digest_has_its_algorithm() -> None:
    assert str(Digest("md5", "ab")) == "md5=ab"


def test_unsupported_hashes_are_left_out() -> None:
    texts: dict[str, object] = {"md5": "short", "sha256": SHA256, "crc32": "00", "sha1": None}
    assert parse_hashes(texts) == Hashes((Digest("sha256", SHA256),))


def test_hashes_are_found_by_algorithm() -> None:
    md5, sha256 = Digest("md5", "0" * 32), Digest("sha256", SHA256)
    hashes = Hashes((md5, sha256))
    assert hashes.get("sha256") is sha256
    assert hashes.get("sha512") is None
    assert list(hashes) == [md5, sha256]


def test_hashes_are_true_unless_empty() -> None:
    assert Hashes((Digest("md5", "0" * 32),))
    assert not Hashes()


def test_with_digest_replaces_only_the_digest_of_its_algorithm() -> None:
    md5, old, new = Digest("md5", "0" * 32), Digest("sha256", SHA256), Digest("sha256", "0" * 64)
    assert set(Hashes((md5, old)).with_digest(new)) == {md5, new}
    assert set(Hashes((md5,)).with_digest(new)) == {md5, new}


def test_a_blake2b_digest_of_32_bytes_is_blake2b_256() -> None:
    value = hashlib.blake2b(b"content", digest_size=32).hexdigest()

    digest = parse_digest("blake2b", value)
    hasher = new_hasher(digest.algorithm)
    hasher.update(b"content")

    assert hasher.hexdigest() == digest.value == value
