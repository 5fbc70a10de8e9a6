"""What a download must turn out to be, and the check of it."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import DigestMismatch, OversizedContent, SizeMismatch
from bandersnatch.model.content import (
    MAX_SIDECAR_SIZE,
    Content,
    ContentCheck,
    ExpectedContent,
    expected_content,
    expected_sidecar,
)
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.files import MAX_FILE_SIZE
from tests.support.factories import FILENAME, SHA256, make_file

BODY = b"what a release file holds"
FILE = make_file(content=BODY)


def checked(expected: ExpectedContent, *chunks: bytes) -> Content:
    """Return what the check says of the chunks."""
    check = ContentCheck(expected)
    for chunk in chunks:
        check.update(chunk)
    return check.finish()


# ---------------------------------------------------------------- what is expected


def test_all_that_the_page_tells_of_a_file_is_expected() -> None:
    assert expected_content(FILE) == ExpectedContent(
        url=FILE.url,
        sha256=FILE.sha256,
        size=len(BODY),
        path_digest=hashlib.blake2b(BODY, digest_size=32).hexdigest(),
        algorithms=(),
        modified=FILE.modified,
        max_size=MAX_FILE_SIZE,
    )


def test_a_path_without_digest_promises_none() -> None:
    assert expected_content(make_file(path=f"packages/source/f/foo/{FILENAME}")).path_digest == ""


def test_the_digest_for_the_pages_is_wanted_too() -> None:
    assert expected_content(FILE, digest_name="md5").algorithms == ("md5",)


def test_a_sidecar_has_its_own_digest_and_limit_and_the_time_of_its_file() -> None:
    digest, url = Digest("sha256", SHA256), f"{FILE.url}.metadata"
    expected = expected_sidecar(FILE, digest, url)
    assert expected == ExpectedContent(
        url, digest, modified=FILE.modified, max_size=MAX_SIDECAR_SIZE
    )
    assert expected.limit == MAX_SIDECAR_SIZE


def test_the_limit_is_the_size_that_is_told() -> None:
    assert expected_content(make_file(size=7)).limit == 7
    assert expected_content(make_file(size=0)).limit == 0
    assert expected_content(make_file(size=None)).limit == MAX_FILE_SIZE


# ---------------------------------------------------------------- what comes


def test_the_right_bytes_are_accepted() -> None:
    content = checked(expected_content(FILE), BODY)
    assert content == Content(len(BODY), FILE.hashes)


def test_a_size_that_was_not_told_is_found_out() -> None:
    assert checked(expected_content(make_file(content=BODY, size=None)), BODY).size == len(BODY)


def test_further_digests_are_found_out() -> None:
    content = checked(expected_content(FILE, digest_name="md5"), BODY)
    assert content.hashes == Hashes((FILE.sha256, Digest("md5", hashlib.md5(BODY).hexdigest())))


def test_no_bytes_at_all_can_be_right() -> None:
    assert checked(expected_content(make_file(content=b""))).size == 0


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_it_does_not_matter_how_the_bytes_are_cut(body: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    chunks = [body[start:end] for start, end in pairwise(edges)]
    expected = expected_content(make_file(content=body), digest_name="sha512")
    assert b"".join(chunks) == body
    assert checked(expected, *chunks) == checked(expected, body)


def test_more_bytes_than_promised_are_refused_at_once() -> None:
    check = ContentCheck(expected_content(FILE))
    check.update(BODY)
    with pytest.raises(OversizedContent) as caught:
        check.update(b"!")
    assert (caught.value.url, caught.value.limit) == (FILE.url, len(BODY))


def test_more_bytes_than_any_file_has_are_refused() -> None:
    check = ContentCheck(ExpectedContent("https://example.org/x", FILE.sha256, max_size=3))
    check.update(b"abc")
    with pytest.raises(OversizedContent):
        check.update(b"d")


def test_fewer_bytes_than_promised_are_refused() -> None:
    with pytest.raises(SizeMismatch) as caught:
        checked(expected_content(FILE), BODY[:-1])
    assert (caught.value.expected, caught.value.actual) == (len(BODY), len(BODY) - 1)


def test_other_bytes_than_promised_are_refused() -> None:
    with pytest.raises(DigestMismatch) as caught:
        checked(expected_content(FILE), BODY[::-1])
    assert caught.value.expected == str(FILE.sha256)
    assert caught.value.actual == f"sha256={hashlib.sha256(BODY[::-1]).hexdigest()}"


def test_bytes_that_do_not_fit_the_path_are_refused() -> None:
    path = f"packages/00/00/{'0' * 60}/{FILENAME}"
    with pytest.raises(DigestMismatch) as caught:
        checked(expected_content(make_file(content=BODY, path=path)), BODY)
    assert caught.value.expected == f"blake2b_256={'0' * 64}"
    found = hashlib.blake2b(BODY, digest_size=32).hexdigest()
    assert caught.value.actual == f"blake2b_256={found}"


def test_a_path_that_a_mirror_made_from_the_sha256_promises_nothing_more() -> None:
    digits = FILE.sha256.value
    path = f"packages/{digits[:2]}/{digits[2:4]}/{digits[4:]}/{FILENAME}"
    assert checked(expected_content(make_file(content=BODY, path=path)), BODY).size == len(BODY)
