"""The expected content of downloads, and the check."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
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
    """Return the result of the check for the chunks."""
    check = ContentCheck(expected)
    for chunk in chunks:
        check.update(chunk)
    return check.finish()


# ---------------------------------------------------------------- expected content


def test_the_expected_content_has_all_facts_of_the_page() -> None:
    assert expected_content(FILE) == ExpectedContent(
        url=FILE.url,
        digest=FILE.sha256,
        size=len(BODY),
        path_digest=hashlib.blake2b(BODY, digest_size=32).hexdigest(),
        algorithms=(),
        modified=FILE.modified,
        max_size=MAX_FILE_SIZE,
    )


def test_a_path_without_digest_gives_no_path_digest() -> None:
    assert expected_content(make_file(path=f"packages/source/f/foo/{FILENAME}")).path_digest == ""


def test_without_a_sha256_the_partial_download_is_named_after_url_and_digest() -> None:
    expected = expected_content(FILE)
    unknown = replace(expected, digest=None)
    md5 = replace(expected, digest=Digest("md5", "0" * 32))
    names = {each.name for each in (expected, unknown, md5, replace(unknown, url=f"{FILE.url}2"))}
    assert len(names) == 4
    assert all(re.fullmatch("[0-9a-f]{64}", name) for name in names)


def test_the_configured_digest_is_computed_too() -> None:
    assert expected_content(FILE, digest_name="md5").algorithms == ("md5",)


def test_a_sidecar_has_its_own_digest_and_limit_and_the_time_of_its_file() -> None:
    digest, url = Digest("sha256", SHA256), f"{FILE.url}.metadata"
    expected = expected_sidecar(FILE, digest, url)
    assert expected == ExpectedContent(
        url, digest, modified=FILE.modified, max_size=MAX_SIDECAR_SIZE
    )
    assert expected.limit == MAX_SIDECAR_SIZE


def test_the_limit_is_the_stated_size() -> None:
    assert expected_content(make_file(size=7)).limit == 7
    assert expected_content(make_file(size=0)).limit == 0
    assert expected_content(make_file(size=None)).limit == MAX_FILE_SIZE


# ---------------------------------------------------------------- the check


def test_the_expected_bytes_are_accepted() -> None:
    content = checked(expected_content(FILE), BODY)
    assert content == Content(len(BODY), FILE.hashes)


def test_an_unknown_size_is_counted() -> None:
    assert checked(expected_content(make_file(content=BODY, size=None)), BODY).size == len(BODY)


def test_extra_digests_are_computed() -> None:
    content = checked(expected_content(FILE, digest_name="md5"), BODY)
    assert content.hashes == Hashes((*FILE.hashes, Digest("md5", hashlib.md5(BODY).hexdigest())))


def test_empty_content_can_be_expected() -> None:
    assert checked(expected_content(make_file(content=b""))).size == 0


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_the_result_does_not_depend_on_the_chunks(body: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    chunks = [body[start:end] for start, end in pairwise(edges)]
    expected = expected_content(make_file(content=body), digest_name="sha512")
    assert b"".join(chunks) == body
    assert checked(expected, *chunks) == checked(expected, body)


def test_more_bytes_than_expected_are_refused_at_once() -> None:
    check = ContentCheck(expected_content(FILE))
    check.update(BODY)
    with pytest.raises(OversizedContent) as caught:
        check.update(b"!")
    assert (caught.value.url, caught.value.limit) == (FILE.url, len(BODY))


def test_more_bytes_than_the_maximum_are_refused() -> None:
    check = ContentCheck(ExpectedContent("https://example.org/x", FILE.sha256, max_size=3))
    check.update(b"abc")
    with pytest.raises(OversizedContent):
        check.update(b"d")


def test_fewer_bytes_than_expected_are_refused() -> None:
    with pytest.raises(SizeMismatch) as caught:
        checked(expected_content(FILE), BODY[:-1])
    assert (caught.value.expected, caught.value.actual) == (len(BODY), len(BODY) - 1)


def test_other_bytes_than_expected_are_refused() -> None:
    with pytest.raises(DigestMismatch) as caught:
        checked(expected_content(FILE), BODY[::-1])
    assert caught.value.expected == str(FILE.sha256)
    assert caught.value.actual == f"sha256={hashlib.sha256(BODY[::-1]).hexdigest()}"


def test_bytes_with_another_digest_than_the_path_are_refused() -> None:
    path = f"packages/00/00/{'0' * 60}/{FILENAME}"
    with pytest.raises(DigestMismatch) as caught:
        checked(expected_content(make_file(content=BODY, path=path)), BODY)
    assert caught.value.expected == f"blake2b_256={'0' * 64}"
    found = hashlib.blake2b(BODY, digest_size=32).hexdigest()
    assert caught.value.actual == f"blake2b_256={found}"


def test_a_path_made_from_the_sha256_needs_no_second_check() -> None:
    digits = FILE.hashes.sha256_value
    path = f"packages/{digits[:2]}/{digits[2:4]}/{digits[4:]}/{FILENAME}"
    assert checked(expected_content(make_file(content=BODY, path=path)), BODY).size == len(BODY)


def test_a_path_may_have_the_sha256_that_the_page_does_not_give() -> None:
    sha256 = hashlib.sha256(BODY).hexdigest()
    md5 = Digest("md5", hashlib.md5(BODY).hexdigest())

    found = checked(ExpectedContent("https://example.org/f", md5, path_digest=sha256), BODY)

    assert found.hashes.sha256 == Digest("sha256", sha256)
