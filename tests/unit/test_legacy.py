"""The legacy document: parse, render, supplement."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import InvalidPage
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.project import MAX_FILES
from bandersnatch.simple.legacy import LegacyDocument, LegacyFile, parse_legacy, render_legacy
from bandersnatch.simple.legacy import supplement as supplemented
from tests.support.factories import SHA256, UPLOADED, make_context, make_detail, make_file
from tests.support.strategies import absent_or, encoded, json_values

CONTEXT = make_context("foo", "https://example.org/pypi/foo/json")
DIGEST = Digest("sha256", SHA256)
MD5 = Digest("md5", "0" * 32)
HASHES = Hashes((DIGEST, MD5, Digest("blake2b_256", "0" * 64)))
ENTRY = LegacyFile(7, UPLOADED, HASHES)
NO_OBJECTS: list[Any] = [None, True, 5, 1.5, "", "x", [], ["foo"]]
FILE = {
    "filename": "foo-1.0.tar.gz",
    "size": 7,
    "upload_time_iso_8601": "2024-05-06T07:08:09.123456Z",
    "digests": {"sha256": SHA256, "md5": "0" * 32, "blake2b_256": "0" * 64},
}


def document(*files: object, **fields: object) -> dict[str, Any]:
    """Return a document with these file entries, all of one version."""
    default = {"info": {"name": "Foo"}, "releases": {"1.0": files}, "last_serial": 10}
    return default | fields


def read(*files: object, **fields: object) -> LegacyDocument:
    """Return the parsed document."""
    return parse_legacy(json.dumps(document(*files, **fields)).encode(), CONTEXT)


def test_a_document_is_parsed() -> None:
    assert read(FILE, urls=[]) == LegacyDocument(
        content=json.loads(json.dumps(document(FILE, urls=[]))),
        versions=("1.0",),
        files=dict.fromkeys(HASHES, ENTRY),
        by_name={"foo-1.0.tar.gz": ENTRY},
        serial=read().serial,
    )
    assert read().serial == 10


def test_versions_without_files_are_listed() -> None:
    assert read(releases={"2.0": [], "1.0": None, "\x1b": []}).versions == ("2.0", "1.0")


@pytest.mark.parametrize("value", [None, -1, True, 7.5, "7", 2**31 + 1, []], ids=repr)
def test_an_invalid_size_is_dropped(value: object) -> None:
    assert read(FILE | {"size": value}).files[DIGEST].size is None


@pytest.mark.parametrize("value", [None, 5, "", "2024-05-06T07:08:09", "0001-01-01T00:00:00Z"])
def test_an_invalid_time_is_dropped(value: object) -> None:
    assert read(FILE | {"upload_time_iso_8601": value}).files[DIGEST].upload_time is None


@pytest.mark.parametrize(
    "entry",
    [
        *[None, 5, "x", [], {}, {"digests": None}, {"digests": {}}, {"digests": {"sha256": 5}}],
        *[{"digests": {"crc32": "0" * 8}}, {"md5_digest": "x"}, {"md5_digest": None}],
    ],
    ids=repr,
)
def test_an_entry_without_digests_is_left_out(entry: object) -> None:
    assert set(read(entry, FILE).files) == set(HASHES)


@pytest.mark.parametrize("entry", [{"digests": {"md5": "1" * 32}}, {"md5_digest": "1" * 32}])
def test_an_entry_is_found_by_a_digest_other_than_sha256(entry: dict[str, Any]) -> None:
    md5 = Digest("md5", "1" * 32)
    file = make_file(hashes=Hashes((md5,)), size=None)
    assert supplemented(make_detail(file), read(entry | {"size": 9})).files[0].size == 9


def test_the_entry_of_a_file_without_digest_is_found_by_its_name() -> None:
    page = make_detail(make_file(hashes=Hashes(), size=None))
    assert supplemented(page, read(FILE)).files[0].hashes == HASHES


def test_the_entry_of_a_file_with_another_digest_is_not_used() -> None:
    page = make_detail(make_file(hashes=Hashes((Digest("md5", "2" * 32),)), size=None))
    assert supplemented(page, read(FILE)) == page


@pytest.mark.parametrize("value", [None, 5, "x", {}], ids=repr)
def test_a_version_whose_files_are_not_a_list_has_no_files(value: object) -> None:
    assert read(releases={"1.0": value}).files == {}


@pytest.mark.parametrize(
    "text",
    [
        *[
            b"",
            b"null",
            b"[]",
            b"5",
            b"{",
            b"<html>",
            b"\xff",
            b"{}",
            b'{"x": NaN}',
            b'{"x": 1e400}',
        ],
        *[encoded(document(info=value)) for value in [*NO_OBJECTS, {}]],
        *[encoded(document(info={"name": value})) for value in [*NO_OBJECTS, "bar", {}]],
        *[encoded(document(releases=value)) for value in NO_OBJECTS],
        *[b"[" * 100_000, b'{"x": ' + b"9" * 5000 + b"}", b'{"x": "\\ud800"}'],
    ],
    ids=lambda text: ascii(text[:40]),
)
def test_an_invalid_or_foreign_document_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidPage) as caught:
        parse_legacy(text, CONTEXT)
    assert caught.value.url == CONTEXT.url
    assert str(caught.value).isprintable()


legacy_documents = st.fixed_dictionaries(
    {},
    optional={
        "info": absent_or(st.just({"name": "foo"})),
        "releases": absent_or(
            st.dictionaries(
                st.text(max_size=5),
                absent_or(
                    st.lists(
                        absent_or(
                            st.fixed_dictionaries(
                                {"digests": absent_or(st.just({"sha256": SHA256}))},
                                optional={
                                    "size": json_values,
                                    "upload_time_iso_8601": json_values,
                                },
                            )
                        ),
                        max_size=3,
                    )
                ),
                max_size=3,
            )
        ),
        "last_serial": json_values,
        "urls": json_values,
    },
)


@given(legacy_documents | json_values)
def test_any_json_is_a_document_or_refused(value: object) -> None:
    try:
        read_ = parse_legacy(encoded(value), CONTEXT)
    except InvalidPage:
        return
    assert json.loads(render_legacy(read_)) == read_.content
    assert all(len(digest.value) == 64 for digest in read_.files)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_document_or_refused(text: bytes) -> None:
    with pytest.raises(InvalidPage):
        parse_legacy(text, CONTEXT)


# ---------------------------------------------------------------- render


def test_a_document_is_rendered_with_sorted_keys_in_ascii() -> None:
    stored = render_legacy(read(last_serial=5, b="caf\xe9", a=None))
    assert stored == (
        b"{\n"
        b'    "a": null,\n'
        b'    "b": "caf\\u00e9",\n'
        b'    "info": {\n'
        b'        "name": "Foo"\n'
        b"    },\n"
        b'    "last_serial": 5,\n'
        b'    "releases": {\n'
        b'        "1.0": []\n'
        b"    }\n"
        b"}"
    )


def nested(depth: int) -> bytes:
    """Return a document with ``depth`` levels in all."""
    lists, dicts = b"[" * (depth // 2), b'{"x":' * ((depth - 1) // 2)
    value = lists + dicts + b"1" + b"}" * ((depth - 1) // 2) + b"]" * (depth // 2)
    return encoded(document(x="?")).replace(b'"?"', value)


def test_a_document_may_be_nested_like_real_ones() -> None:
    assert b" 1\n" in render_legacy(parse_legacy(nested(63), CONTEXT))


@pytest.mark.parametrize("depth", [66, 500, 100_000])
def test_a_document_that_indentation_makes_too_large_is_refused(depth: int) -> None:
    with pytest.raises(InvalidPage):
        parse_legacy(nested(depth), CONTEXT)


# ---------------------------------------------------------------- supplement


def test_values_that_the_page_lacks_come_from_the_document() -> None:
    bare = make_file(hashes=Hashes((DIGEST,)), size=None, upload_time=None)
    page = supplemented(make_detail(bare, versions=()), read(FILE))
    full = make_file(hashes=HASHES, size=7, upload_time=UPLOADED)
    assert page == make_detail(full, versions=("1.0",))


def test_values_of_the_page_are_kept() -> None:
    other = Digest("md5", "1" * 32)
    time = datetime(2020, 1, 1, tzinfo=UTC)
    page = make_detail(
        make_file(hashes=Hashes((DIGEST, other)), size=0, upload_time=time), versions=("3.0",)
    )
    entry = FILE | {"digests": {"sha256": SHA256, "md5": "0" * 32}}
    assert supplemented(page, read(entry)) == page


def test_values_for_other_bytes_are_not_used() -> None:
    page = make_detail(make_file(size=None, upload_time=None))
    assert supplemented(page, read(FILE)) == page


def test_a_document_with_too_many_files_is_refused() -> None:
    with pytest.raises(InvalidPage, match="names more than"):
        read(*[None] * (MAX_FILES + 1))
