"""Parsing of JSON pages."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bandersnatch.errors import InvalidPage
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.files import ReleaseFile
from bandersnatch.model.project import ProjectDetail, ProjectList, ProjectStatus, UnknownStatus
from bandersnatch.model.serials import Serial, optional_serial
from bandersnatch.simple.entries import (
    build_project_list,
    check_api_version,
    check_page_name,
    parse_status,
)
from bandersnatch.simple.json_page import parse_detail_json, parse_list_json
from tests.support.factories import FILENAME, SHA256, json_file, json_page, make_context
from tests.support.strategies import broken_pages, encoded, json_values

CONTEXT = make_context("foo")
WHERE = "https://example.org/simple/"
DEEP = 100_000
WRONG: list[Any] = [None, True, False, 5, -1, 1.5, "", "x", "\0", [], ["x"], {}, {"x": "y"}]
"""Values that are invalid in most fields."""


def read(*files: object, **fields: object) -> ProjectDetail:
    """Return the parsed page with these entries and keys."""
    return parse_detail_json(json_page(*files, **fields), CONTEXT)


# ---------------------------------------------------------------- whole pages


def test_a_page_is_parsed() -> None:
    page = read(
        json_file(
            hashes={"sha256": SHA256, "blake2b": "0" * 128},
            size=7,
            upload_time="2024-01-02T03:04:05.678901Z",
            requires_python=">=3",
            yanked="broken",
            core_metadata={"sha256": "0" * 64},
            provenance="https://example.org/provenance",
            gpg_sig=False,
        ),
        versions=["1.0", "0.9"],
        project_status={"status": "archived", "reason": "done"},
        namespaces=None,
    )
    assert page == ProjectDetail(
        name=CONTEXT.name,
        files=(
            ReleaseFile(
                filename=FILENAME,
                url=f"https://files.example.org/packages/{FILENAME}",
                path=f"packages/{FILENAME}",
                hashes=Hashes((Digest("sha256", SHA256), Digest("blake2b", "0" * 128))),
                size=7,
                upload_time=datetime(2024, 1, 2, 3, 4, 5, 678_901, UTC),
                requires_python=">=3",
                yanked="broken",
                core_metadata=Hashes((Digest("sha256", "0" * 64),)),
                provenance="https://example.org/provenance",
            ),
        ),
        versions=("1.0", "0.9"),
        serial=Serial(10),
        status=ProjectStatus.ARCHIVED,
        status_reason="done",
    )


def test_a_page_of_version_1_0_is_parsed() -> None:
    text = json.dumps({"name": "Foo", "files": [json_file()], "meta": {"api-version": "1.0"}})
    page = parse_detail_json(text.encode(), CONTEXT)
    assert [file.filename for file in page.files] == [FILENAME]
    assert (page.versions, page.serial, page.status) == ((), None, ProjectStatus.ACTIVE)


def test_a_page_without_meta_has_version_1_0() -> None:
    assert parse_detail_json(b'{"name": "foo", "files": []}', CONTEXT) == ProjectDetail(
        CONTEXT.name
    )


def test_a_byte_order_mark_is_ignored() -> None:
    assert parse_detail_json(b"\xef\xbb\xbf" + json_page(), CONTEXT).serial == 10


def test_the_last_of_duplicate_keys_counts() -> None:
    text = b'{"name": "bar", "files": [5], "name": "foo", "files": []}'
    assert parse_detail_json(text, CONTEXT) == ProjectDetail(CONTEXT.name)


@pytest.mark.parametrize(
    "text",
    [
        *[b"", b" ", b"null", b"[]", b"{}", b"5", b'"foo"', b"true", b"NaN", b"<html></html>"],
        *[json_page()[:-1], json_page(json_file())[:100], json_page() + b"}", b"\0" + json_page()],
        *[json_page().replace(b"foo", b"f\xff"), json_page().decode().encode("utf-16")],
        *[b'{"name": "foo", "files": [], "x": NaN}', b'{"name": "foo", "files": [],}'],
        *[b'{"name": "foo", "files": ["\\ud800"]}', b'{"name": "foo", "files": ["\\q"]}'],
        *[b'{"name": "foo"}', b'{"files": []}'],
        *[json_page(name=value) for value in [*WRONG, "..", "bar"]],
        *[json_page(files=value) for value in WRONG if not isinstance(value, list)],
        *[json_page(meta=value) for value in WRONG if not isinstance(value, dict)],
        json_page(meta={"api-version": "2.0"}),
        *[b"[" * DEEP, b'{"name": "foo", "files": ' + b"[" * DEEP + b"]" * DEEP + b"}"],
        b'{"name": "foo", "files": [], "x": ' + b'{"x":' * DEEP + b"0" + b"}" * DEEP + b"}",
        b'{"name": "foo", "files": [], "meta": {"_last-serial": ' + b"9" * 5000 + b"}}",
    ],
    ids=lambda text: ascii(text[:40]),
)
def test_an_invalid_or_foreign_page_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidPage) as caught:
        parse_detail_json(text, CONTEXT)
    assert caught.value.url == CONTEXT.url
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


# ---------------------------------------------------------------- invalid values by key

GOOD = "foo-2.0.tar.gz"


@pytest.mark.parametrize("value", [*WRONG, {"sha256": None}, {"sha256": ""}], ids=repr)
def test_hashes_without_a_digest_are_none(value: object) -> None:
    page = read(json_file() | {"hashes": value})
    assert [file.hashes for file in page.files] == [Hashes()]


@pytest.mark.parametrize(
    ("hashes", "fragment"),
    [
        ({"sha256": SHA256}, ""),
        ({"SHA-256": SHA256.upper()}, "#sha256=0"),
        (f"sha256={SHA256}", ""),
        (SHA256, ""),
        (None, f"#sha256={SHA256}"),
        ({}, f"#egg=foo&sha256={SHA256.upper()}"),
        ({}, f"#{SHA256}"),
    ],
    ids=str,
)
def test_a_digest_is_read_in_every_spelling(hashes: object, fragment: str) -> None:
    entry = json_file()
    page = read(entry | {"hashes": hashes, "url": f"{entry['url']}{fragment}"})
    assert [str(digest) for digest in page.files[0].hashes] == [f"sha256={SHA256}"]


@pytest.mark.parametrize("value", ["sha256=00", {"sha256": "00"}, {"md5": 5}], ids=str)
def test_a_malformed_digest_rejects_the_entry(value: object) -> None:
    page = read(json_file() | {"hashes": value}, json_file(GOOD))
    assert [file.filename for file in page.files] == [GOOD]
    assert len(page.rejected) == 1


@pytest.mark.parametrize("value", WRONG, ids=repr)
@pytest.mark.parametrize("key", ["filename", "url"])
def test_an_invalid_required_value_rejects_the_entry(key: str, value: object) -> None:
    page = read(json_file() | {key: value}, json_file(GOOD))
    assert [file.filename for file in page.files] == [GOOD]
    assert len(page.rejected) == 1


@pytest.mark.parametrize("key", ["filename", "url"])
def test_a_missing_required_value_rejects_the_entry(key: str) -> None:
    entry = json_file()
    del entry[key]
    page = read(entry, json_file(GOOD))
    assert [file.filename for file in page.files] == [GOOD]
    assert len(page.rejected) == 1


@pytest.mark.parametrize("value", [v for v in WRONG if v is not None and v != 5], ids=repr)
def test_an_invalid_size_rejects_the_entry(value: object) -> None:
    page = read(json_file(size=value), json_file(GOOD))
    assert [file.filename for file in page.files] == [GOOD]


def test_a_missing_size_is_accepted() -> None:
    assert [file.size for file in read(json_file(size=None)).files] == [None]


@pytest.mark.parametrize("value", WRONG, ids=repr)
@pytest.mark.parametrize(
    ("key", "field"), [("upload-time", "upload_time"), ("provenance", "provenance")]
)
def test_an_invalid_optional_value_is_dropped(key: str, field: str, value: object) -> None:
    files = read(json_file() | {key: value}, json_file(GOOD)).files
    assert [file.filename for file in files] == [FILENAME, GOOD]
    assert getattr(files[0], field) is None


@pytest.mark.parametrize("value", [v for v in WRONG if not isinstance(v, str)], ids=repr)
@pytest.mark.parametrize(
    ("key", "field"), [("requires-python", "requires_python"), ("yanked", "yanked")]
)
def test_an_optional_value_of_a_wrong_type_is_dropped(key: str, field: str, value: object) -> None:
    files = read(json_file() | {key: value}, json_file(GOOD)).files
    assert len(files) == 2
    assert getattr(files[0], field) == ("" if key == "yanked" and value is True else None)


@pytest.mark.parametrize("value", [None, 5, -1, 1.5, "", "x", [], ["x"]], ids=repr)
@pytest.mark.parametrize("key", ["core-metadata", "dist-info-metadata", "data-dist-info-metadata"])
def test_core_metadata_of_a_wrong_type_is_dropped(key: str, value: object) -> None:
    files = read(json_file() | {key: value}, json_file(GOOD)).files
    assert len(files) == 2
    assert files[0].core_metadata is None


@pytest.mark.parametrize("key", ["core-metadata", "dist-info-metadata", "data-dist-info-metadata"])
@pytest.mark.parametrize("loosely", [False, True])
def test_each_spelling_of_core_metadata_is_parsed(key: str, *, loosely: bool) -> None:
    """``loosely``: with an invalid value elsewhere, so that entries are decoded one by one."""
    bad = [5] if loosely else []
    page = read(json_file() | {key: {"sha256": SHA256}}, *bad)
    assert [file.sidecar for file in page.files] == [Digest("sha256", SHA256)]


def test_the_newest_spelling_of_core_metadata_counts() -> None:
    entry = json_file(core_metadata=False, dist_info_metadata={"sha256": SHA256})
    assert [file.core_metadata for file in read(entry).files] == [False]


@pytest.mark.parametrize(
    "entry",
    [None, True, 5, 1.5, "foo-1.0.tar.gz", [], [5], {}, {"x": 5}, [{"filename": FILENAME}]],
    ids=repr,
)
def test_a_value_that_is_not_an_entry_is_rejected_alone(entry: object) -> None:
    page = read(entry, json_file(GOOD), entry)
    assert [file.filename for file in page.files] == [GOOD]
    assert len(page.rejected) == 2


@pytest.mark.parametrize(
    "entry",
    [
        *[b"1e400", b"[1e400]", b'{"size": 1e400}', b"9" * 5000, b'{"size": ' + b"9" * 5000 + b"}"],
        *[b'["\xff"]', b'"\xff"', b"[" * 500 + b"]" * 500],
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_an_entry_that_cannot_be_decoded_is_rejected_alone(entry: bytes) -> None:
    text = json_page("?", json_file(GOOD)).replace(b'"?"', entry)
    page = parse_detail_json(text, CONTEXT)
    assert [file.filename for file in page.files] == [GOOD]
    assert len(page.rejected) == 1
    assert len(page.rejected[0].entry) <= 300


def test_a_valid_entry_has_the_same_value_beside_an_invalid_one() -> None:
    entry = json_file(
        size=7,
        upload_time="2024-01-02T03:04:05Z",
        requires_python=">=3",
        yanked=True,
        core_metadata=True,
        provenance="https://example.org/provenance",
    )
    assert read(entry).files == read(entry, 5).files


@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_versions_of_a_wrong_type_are_dropped(value: object) -> None:
    page = read(json_file(), versions=value)
    assert page.versions == (("x",) if value == ["x"] else ())
    assert len(page.files) == 1


@pytest.mark.parametrize("value", [v for v in WRONG if v != 5], ids=repr)
def test_a_serial_of_a_wrong_type_is_dropped(value: object) -> None:
    meta = {"api-version": "1.4", "_last-serial": value}
    assert read(meta=meta).serial is None


def test_a_serial_as_text_is_parsed() -> None:
    """Earlier releases wrote it as text."""
    assert read(meta={"api-version": "1.1", "_last-serial": "10"}).serial == 10


@pytest.mark.parametrize("name", ["Foo", "FOO", "foo"])
def test_a_page_may_have_another_spelling_of_its_name(name: str) -> None:
    assert read(name=name).name == "foo"


def test_a_page_of_another_project_is_refused() -> None:
    with pytest.raises(InvalidPage, match="it is the page of 'bar'"):
        read(json_file(), name="bar")


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "foo", "files": [?]}',
        '{"name": "foo", "files": [{"filename": ?}]}',
        '{"name": "foo", "files": [], "project-status": {"status": ?}}',
        '{"name": "foo", "files": [], "meta": {"api-version": ?}}',
        '{"name": "foo", "files": [], "meta": {"_last-serial": ?}}',
        '{"name": "foo", "files": [], "versions": [?]}',
    ],
)
def test_deep_nesting_is_refused_without_a_recursion_error(text: str) -> None:
    """What the decoder accepts just below its limit must not exceed the interpreter's."""
    for depth in range(500, sys.getrecursionlimit()):
        nested = text.replace("?", "[" * depth + "]" * depth)
        try:
            page = parse_detail_json(nested.encode(), CONTEXT)
        except InvalidPage:
            break
        assert page.files == ()
    else:
        pytest.fail("no depth was too deep")


@given(broken_pages | json_values)
@example({"name": "foo", "files": [{"filename": FILENAME, "provenance": "https://["}]})
def test_any_json_is_a_page_or_refused(value: object) -> None:
    try:
        page = parse_detail_json(encoded(value), CONTEXT)
    except InvalidPage:
        return
    assert page.name == "foo"
    assert [file.filename for file in page.files] == sorted({f.filename for f in page.files})


@given(st.binary(max_size=60))
def test_any_bytes_are_a_page_or_refused(text: bytes) -> None:
    for document in (text, json_page("?").replace(b'"?"', text)):
        try:
            assert parse_detail_json(document, CONTEXT).name == "foo"
        except InvalidPage:
            continue


# ---------------------------------------------------------------- parts of a page


@pytest.mark.parametrize("version", ["1.0", "1.4", "1.5", "1.99", "1"])
def test_major_version_1_is_accepted(version: str) -> None:
    check_api_version(version, WHERE)


@pytest.mark.parametrize(
    "version",
    ["2.0", "0.9", "10.0", "", "1x", " 1.0", "one", "\u0661.0", None, 1, 1.0, True, ["1.0"]],
    ids=ascii,
)
def test_another_major_version_is_refused(version: object) -> None:
    with pytest.raises(InvalidPage, match=r"is not 1\.x"):
        check_api_version(version, WHERE)


def test_a_refused_version_is_shown_shortened() -> None:
    with pytest.raises(InvalidPage) as caught:
        check_api_version("\x1b" * 10**6, WHERE)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(("value", "serial"), [(5, 5), ("5", 5), (None, None), ("x", None)])
def test_a_serial_is_optional(value: object, serial: int | None) -> None:
    assert optional_serial(value) == serial


@pytest.mark.parametrize("shown", ["bar", "", None, 5, ["foo"], "foo\n"], ids=repr)
def test_another_name_than_the_requested_one_is_refused(shown: object) -> None:
    with pytest.raises(InvalidPage):
        check_page_name(shown, CONTEXT)


@pytest.mark.parametrize("status", ProjectStatus)
def test_each_status_is_parsed_with_its_reason(status: ProjectStatus) -> None:
    given = {"status": status.value, "reason": "a\nb"}
    assert parse_status(given) == (status, "a b")


@pytest.mark.parametrize(
    "value",
    [
        *[
            None,
            5,
            "quarantined",
            ["quarantined"],
            {},
            {"status": None},
            {"status": 5},
            {"status": []},
        ],
        *[{"status": "QUARANTINED"}, {"status": "", "reason": "x"}, {"state": "quarantined"}],
        *[{"status": text} for text in ("a b", "a\n", "<b>", "1a", "ä", "a" * 65)],
    ],
    ids=repr,
)
def test_an_invalid_status_is_active(value: object) -> None:
    assert parse_status(value) == (ProjectStatus.ACTIVE, "")


def test_an_unknown_status_is_kept_with_its_reason() -> None:
    given = {"status": "sun-set", "reason": "old"}
    assert parse_status(given) == (UnknownStatus("sun-set"), "old")


# ---------------------------------------------------------------- the list of projects


def listed(*projects: object, **fields: object) -> ProjectList:
    """Return the parsed root page with these entries."""
    page = {"meta": {"api-version": "1.4", "_last-serial": 20}, "projects": projects} | fields
    return parse_list_json(json.dumps(page).encode(), WHERE)


def test_a_list_is_parsed() -> None:
    page = listed({"name": "Foo_Bar", "_last-serial": 7}, {"name": "baz", "_last-serial": "8"})
    assert page == ProjectList({"foo-bar": 7, "baz": 8}, {"foo-bar": "Foo_Bar"}, Serial(20))  # type: ignore[dict-item]


def test_a_list_without_serials_is_parsed() -> None:
    text = b'{"meta": {"api-version": "1.0"}, "projects": [{"name": "foo"}]}'
    assert parse_list_json(text, WHERE) == ProjectList({CONTEXT.name: None})


def test_the_number_of_reported_invalid_entries_is_limited() -> None:
    page = listed(*({"name": f"p{number}"} for number in range(5000)), *([None] * 50))
    assert len(page.serials) == 5000
    assert page.rejected_count == 50
    assert len(page.rejected) == 20


def test_an_empty_list_is_valid() -> None:
    assert listed() == ProjectList({}, serial=Serial(20))


@pytest.mark.parametrize(
    "text",
    [
        *[b"", b"null", b"[]", b"{}", b"5", b'"x"', b"<html>", b'{"projects": null}', b"\xff"],
        *[b'{"projects": {}}', b'{"projects": 5}', b'{"projects": "foo"}', b'{"projects": ['],
        *[b'{"projects": [], "meta": 5}', b'{"projects": [], "meta": {"api-version": "2.0"}}'],
        *[b'{"projects": ' + b"[" * DEEP, b'{"projects": [NaN]}', b'{"projects": []}}'],
    ],
    ids=lambda text: ascii(text[:40]),
)
def test_an_invalid_list_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidPage) as caught:
        parse_list_json(text, WHERE)
    assert caught.value.url == WHERE


@pytest.mark.parametrize(
    "entry",
    [
        *[None, 5, True, 1.5, "foo", [], {}, ["foo"]],
        *[{"name": value} for value in [*WRONG, "..", "../foo", "a b", "a/b"] if value != "x"],
    ],
    ids=repr,
)
def test_an_invalid_entry_of_a_list_is_rejected_alone(entry: object) -> None:
    page = listed({"name": "bar", "_last-serial": 7}, entry)
    assert page.serials == {"bar": 7}
    assert len(page.rejected) == 1


@pytest.mark.parametrize("serial", [v for v in [*WRONG, 2**53] if v not in (None, 5)], ids=repr)
def test_a_project_with_an_invalid_serial_is_reported_and_listed(serial: object) -> None:
    """Otherwise the project would be missing in the mirror although the exit status is 0."""
    entries = [{"name": "Foo", "_last-serial": serial}, {"name": "bar", "_last-serial": 7}]
    page = listed(*entries)
    assert page.serials == {"bar": 7, "foo": None}
    assert page.display_names == {"foo": "Foo"}
    assert page.rejected_count == 1
    assert page.rejected[0].reason.startswith("foo: serial ")


def test_a_project_that_is_listed_twice_is_noted() -> None:
    page = listed({"name": "foo"}, {"name": "Foo"}, {"name": "FOO"}, {"name": "bar"})
    assert page.notes == ("the list has foo more than once; its highest serial counts",)
    assert page.rejected_count == 0


@pytest.mark.parametrize(
    ("version", "noted"),
    [("1.4", False), ("1.0", False), ("1", False), ("1.5", True), ("1." + "9" * 5000, True)],
)
def test_a_newer_minor_version_of_a_list_is_noted(version: str, *, noted: bool) -> None:
    page = parse_list_json(
        b'{"meta": {"api-version": "%s"}, "projects": []}' % version.encode(), WHERE
    )
    assert bool(page.notes) is noted
    assert sum(map(len, page.notes)) < 200


@pytest.mark.parametrize(
    "entry", [b"1e400", b'["\xff"]', b'{"name": "foo", "_last-serial": 1e400}', b"9" * 5000]
)
def test_an_entry_of_a_list_that_cannot_be_decoded_is_rejected_alone(entry: bytes) -> None:
    page = parse_list_json(b'{"projects": [{"name": "bar"}, %s]}' % entry, WHERE)
    assert page.serials == {"bar": None}
    assert len(page.rejected) == 1


@pytest.mark.parametrize(("good", "bad"), [(0, 1), (1, 1), (198, 2), (297, 3)])
def test_up_to_one_percent_of_invalid_entries_is_accepted(good: int, bad: int) -> None:
    page = listed(*({"name": f"p{n}"} for n in range(good)), *[{"name": None}] * bad)
    assert (len(page.serials), len(page.rejected)) == (good, bad)


@pytest.mark.parametrize(("good", "bad"), [(0, 2), (197, 2), (296, 3)])
def test_more_than_one_percent_of_invalid_entries_is_refused(good: int, bad: int) -> None:
    with pytest.raises(InvalidPage) as caught:
        listed(*({"name": f"p{n}"} for n in range(good)), *[{"name": "a b"}] * bad)
    assert caught.value.why == (
        f"{bad} of its {good + bad} entries are bad: "
        "project name 'a b' is not letters, digits and inner . _ -"
    )


@pytest.mark.parametrize(
    ("given", "serial"),
    [
        ((5, 7), 7),
        ((7, 5), 7),
        ((None, 7), 7),
        ((7, None), 7),
        ((0, None), 0),
        ((None, None), None),
        (("5", 7), 7),
    ],
)
def test_equal_normalised_names_are_listed_with_the_highest_serial(
    given: tuple[object, object], serial: int | None
) -> None:
    page = build_project_list(zip(["Foo", "foo"], given, strict=True), where=WHERE, serial=None)
    assert page.serials == {"foo": serial}
    assert page.display_names == {"foo": "Foo"}


@given(broken_pages | json_values)
def test_any_json_is_a_list_or_refused(value: object) -> None:
    try:
        page = parse_list_json(encoded(value), WHERE)
    except InvalidPage:
        return
    assert set(page.display_names) <= set(page.serials)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_list_or_refused(text: bytes) -> None:
    for document in (text, b'{"projects": [%s]}' % text):
        try:
            page = parse_list_json(document, WHERE)
        except InvalidPage:
            continue
        assert set(page.display_names) <= set(page.serials)
