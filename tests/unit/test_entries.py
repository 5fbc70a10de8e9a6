"""Validation of untrusted entries."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, repeat
from typing import Any

import pytest
from hypothesis import given
from msgspec import structs

from bandersnatch.errors import InvalidPage, InvalidValue
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.files import ReleaseFile
from bandersnatch.model.project import MAX_FILES
from bandersnatch.simple.entries import (
    MAX_BAD,
    RawFile,
    build_project_list,
    validate_file,
    validate_files,
    validate_versions,
)
from tests.support.confinement import stays_below
from tests.support.factories import FILENAME, SHA256, make_context
from tests.support.strategies import broken_entries, json_values

CONTEXT = make_context("foo")
WHEEL_OF_BAR = "bar-1.0-py3-none-any.whl"
URL = f"https://files.example.org/packages/{FILENAME}"
ENTRY = RawFile(FILENAME, URL, {"sha256": SHA256})
FILE = ReleaseFile(
    FILENAME, URL, f"packages/{FILENAME}", hashes=Hashes((Digest("sha256", SHA256),))
)


def made(**fields: Any) -> ReleaseFile:
    """Return the file of an entry with these values."""
    return validate_file(structs.replace(ENTRY, **fields), CONTEXT)


# ---------------------------------------------------------------- required values


def test_an_entry_with_only_required_fields_is_a_file() -> None:
    assert made() == FILE


def test_all_fields_of_an_entry_are_used() -> None:
    file = made(
        hashes={"sha256": SHA256.upper(), "md5": "0" * 32, "crc32": "0"},
        size=7,
        upload_time="2024-01-02T03:04:05.6Z",
        requires_python=">=3",
        yanked="broken",
        core_metadata={"sha256": "0" * 64},
        provenance="https://example.org/provenance",
    )
    assert file == replace(
        FILE,
        hashes=Hashes((Digest("sha256", SHA256), Digest("md5", "0" * 32))),
        size=7,
        upload_time=datetime(2024, 1, 2, 3, 4, 5, 600_000, UTC),
        requires_python=">=3",
        yanked="broken",
        core_metadata=Hashes((Digest("sha256", "0" * 64),)),
        provenance="https://example.org/provenance",
    )


def test_a_relative_url_is_relative_to_the_page() -> None:
    file = made(url=f"../../packages/{FILENAME}#sha256={SHA256}")
    assert file.url == f"https://example.org/packages/{FILENAME}"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"filename": None}, "file name"),
        ({"filename": "../../etc/foo-1.0.tar.gz"}, "file name"),
        ({"filename": WHEEL_OF_BAR, "url": f"https://example.org/{WHEEL_OF_BAR}"}, "file name"),
        ({"filename": "foo-2.0.tar.gz"}, "file name"),
        ({"url": None}, "URL"),
        ({"url": f"http://files.example.org/{FILENAME}"}, "URL"),
        ({"url": f"file:///packages/{FILENAME}"}, "URL"),
        ({"url": f"https://files.example.org/packages/%2e%2e/{FILENAME}"}, "URL path"),
        ({"url": f"https://files.example.org/packages/{FILENAME}/"}, "URL path"),
        ({"url": "https://files.example.org/packages"}, "file name"),
        ({"hashes": {"sha256": SHA256[1:]}}, "sha256 digest"),
        ({"hashes": {"sha256": 5, "md5": "0"}}, "sha256 digest"),
        ({"size": -1}, "size"),
        ({"size": True}, "size"),
        ({"size": "7"}, "size"),
        ({"size": 7.5}, "size"),
        ({"size": 2**31 + 1}, "size"),
    ],
)
def test_an_entry_with_an_invalid_identity_is_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        made(**fields)
    assert caught.value.field == field


# ---------------------------------------------------------------- optional values


@pytest.mark.parametrize("value", [None, 5, [], "never", "0001-01-01T00:00:00Z"], ids=repr)
def test_an_invalid_upload_time_is_dropped(value: object) -> None:
    assert made(upload_time=value).upload_time is None


@pytest.mark.parametrize("value", [None, "", 3, [">=3"], "x" * 1001, "x" * 10**6], ids=type)
def test_an_invalid_python_requirement_is_dropped(value: object) -> None:
    assert made(requires_python=value).requires_python is None


@pytest.mark.parametrize(
    ("value", "yanked"),
    [
        (True, ""),
        ("", ""),
        ("broken", "broken"),
        ("a\nb\x1b", "a b "),
        ("x" * 5000, "x" * 4000),
        (False, None),
        (None, None),
        (1, None),
        (0, None),
        (["broken"], None),
        ({}, None),
    ],
    ids=lambda value: ascii(value)[:12],
)
def test_a_yank_is_a_reason_or_true(value: object, yanked: str | None) -> None:
    assert made(yanked=value).yanked == yanked


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, Hashes()),
        (False, False),
        (None, None),
        ({}, Hashes()),
        ({"sha256": SHA256}, Hashes((Digest("sha256", SHA256),))),
        ({"sha256": "short", "md5": "0" * 32}, Hashes((Digest("md5", "0" * 32),))),
        ({"sha256": 5}, Hashes()),
        ("true", None),
        (1, None),
        ([], None),
    ],
    ids=ascii,
)
def test_core_metadata_is_hashes_or_a_boolean(value: object, expected: object) -> None:
    assert made(core_metadata=value).core_metadata == expected


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("https://example.org/x", "https://example.org/x"),
        ("https://example.org", "https://example.org"),
        ("HTTPS://h/x#y", "https://h/x"),
        ('https://h/"><script>', 'https://h/"><script>'),  # it is escaped wherever it is rendered
    ],
)
def test_a_provenance_is_an_https_url(value: str, url: str) -> None:
    assert made(provenance=value).provenance == url


@pytest.mark.parametrize(
    "value",
    [
        *[None, 5, True, ["https://example.org/x"], "", "/integrity/x", "//example.org/x"],
        *["http://example.org/x", "https:/x", "https://", "https:///x", "javascript:alert(1)"],
        *["https://[", "https://[1]/x", "https://a..b/x", "https://h:99999/x", "https://u@h/x"],
        *["https://example.org/x?q", "https://example.org/\0"],
    ],
    ids=ascii,
)
def test_an_invalid_provenance_is_dropped(value: object) -> None:
    assert made(provenance=value).provenance is None


@given(broken_entries)
def test_an_entry_is_a_safe_file_or_refused(given: dict[str, Any]) -> None:
    entry = RawFile(
        filename=given.get("filename"),
        url=given.get("url"),
        hashes=given["hashes"] if isinstance(given.get("hashes"), dict) else {},
        size=given.get("size"),
        upload_time=given.get("upload-time"),
        requires_python=given.get("requires-python"),
        yanked=given.get("yanked"),
        core_metadata=given.get("core-metadata"),
        provenance=given.get("provenance"),
    )
    try:
        file = validate_file(entry, CONTEXT)
    except InvalidValue:
        return
    assert file.path.startswith("packages/")
    assert file.path.endswith(f"/{file.filename}")
    assert stays_below(file.path)
    assert len(file.hashes.sha256_value) in {0, 64}
    assert file.provenance is None or file.provenance.startswith("https://")


# ---------------------------------------------------------------- whole pages


def entry(filename: str, **fields: Any) -> RawFile:
    """Return an entry for this file name."""
    url = f"https://files.example.org/packages/{filename}"
    return structs.replace(ENTRY, filename=filename, url=url, **fields)


def test_files_are_sorted_by_name() -> None:
    names = ["foo-2.zip", "foo-10.zip", "foo-1.zip", "Foo-3.zip"]
    files, rejected = validate_files(map(entry, names), CONTEXT)
    assert [file.filename for file in files] == [
        "Foo-3.zip",
        "foo-1.zip",
        "foo-10.zip",
        "foo-2.zip",
    ]
    assert rejected == ()


def test_an_invalid_entry_is_rejected_alone() -> None:
    entries = [entry("foo-1.zip"), entry("../foo-2.zip"), entry("foo-3.zip")]
    files, rejected = validate_files(entries, CONTEXT)
    assert [file.filename for file in files] == ["foo-1.zip", "foo-3.zip"]
    assert [rejection.entry for rejection in rejected] == ["../foo-2.zip"]
    assert "begins with a dot" in rejected[0].reason


@pytest.mark.parametrize("filename", ["\x1b[2J\n\u202e", "x" * 10**6, ["x"] * 10**5], ids=type)
def test_a_rejection_is_short_and_printable(filename: object) -> None:
    _, rejected = validate_files([structs.replace(ENTRY, filename=filename)], CONTEXT)
    for text in (rejected[0].entry, rejected[0].reason):
        assert len(text) <= 300
        assert text.isascii()
        assert text.isprintable()


def test_equal_entries_count_once() -> None:
    assert validate_files([ENTRY, ENTRY], CONTEXT) == ((FILE,), ())


@pytest.mark.parametrize(
    "fields",
    [
        {"hashes": {"sha256": "0" * 64}},
        {"url": f"https://example.com/packages/{FILENAME}", "hashes": {"sha256": "0" * 64}},
        {"url": f"https://example.com/packages/{FILENAME}"},
        {"size": 7},
        {"yanked": True},
    ],
    ids=repr,
)
def test_two_different_files_of_one_name_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidPage, match=f"it names {FILENAME} twice, differently"):
        validate_files([ENTRY, structs.replace(ENTRY, **fields)], CONTEXT)


def test_equal_content_under_two_names_gives_two_files() -> None:
    files, rejected = validate_files([entry("foo-1.zip"), entry("foo-2.zip")], CONTEXT)
    assert len({file.path for file in files}) == 2
    assert not rejected


def test_a_page_with_too_many_files_is_refused() -> None:
    bad = RawFile(None, None, {})
    with pytest.raises(InvalidPage, match=f"more than {MAX_FILES} files"):
        validate_files(repeat(bad, MAX_FILES + 1), CONTEXT)


# ---------------------------------------------------------------- versions


def test_invalid_and_duplicate_versions_are_left_out() -> None:
    values = ["2.0", "1.0", None, 5, "", "2.0", "caf\xe9", "x" * 129, ["1"], "old-style"]
    assert validate_versions(values) == ("2.0", "1.0", "old-style")


@given(json_values)
def test_versions_are_always_texts(value: object) -> None:
    values = value if isinstance(value, list) else [value]
    assert all(isinstance(text, str) for text in validate_versions(values))


def test_a_list_is_not_read_after_very_many_invalid_entries() -> None:
    pairs = chain(repeat(("", None), MAX_BAD), iter(_unread, None))
    with pytest.raises(InvalidPage, match="100000 of its 100000 entries are bad"):
        build_project_list(pairs, where="https://example.org/simple/", serial=None)


def _unread() -> tuple[object, object]:
    pytest.fail("the rest of the list was read")
