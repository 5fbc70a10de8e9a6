"""Release files, and the checks of their names, sizes, times and texts."""

from __future__ import annotations

import sys
import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import InvalidValue
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.files import (
    MAX_FILE_SIZE,
    MAX_REASON_LENGTH,
    check_filename,
    check_size,
    clean_reason,
    clean_text,
    format_upload_time,
    parse_upload_time,
)
from tests.support.confinement import stays_below
from tests.support.factories import make_file
from tests.support.strategies import hostile_text, json_values

# ---------------------------------------------------------------- filenames


VALID = [
    *["foo-1.0-py3-none-any.whl", "foo-1!1.0+local.2.tar.gz", "Foo_Bar-1.0.win-amd64-py2.7.exe"],
    *["0.egg", "foo.tar.Z", "FOO-1.0.ZIP", "foo-1.0-variants.json"],
    *[f"{'f' * 246}.zip", f"{'f' * 251}.zip", "\xe9" * 125 + ".zip", "\U0001f600" * 62 + ".zip"],
    *["foo bar-1.0.zip", " foo.zip", "foo-1.0 (copy).zip", "foo~1.0.zip", "foo#.zip", "foo@1.zip"],
    *["foo=1.zip", "foo,1.zip", "foo[x]-1.0.zip", "_foo.zip", "+foo.zip", "!foo.zip", "-rf.zip"],
    *["foo..zip", "foo-1.0..tar.gz", "foo-1.0:s.zip", "C:x.zip", "CON.zip", "foo*.zip", "foo?.zip"],
    *[
        "<b>foo.zip",
        "foo&.zip",
        "foo'.zip",
        'foo".zip',
        "foo|.zip",
        "foo;x.zip",
        "$foo.zip",
        "`.zip",
    ],
    *["foo%00.zip", "foo%20bar.zip", "100%.zip", "caf\xe9-1.0.zip", "cafe\u0301-1.0.zip"],
    *["\u212a-1.0.zip", "\uff46.zip", "\u4e2d\u6587-1.0.zip", "\u0424-1.0.zip", "a\xa0b.zip"],
]


@pytest.mark.parametrize("filename", VALID, ids=lambda text: ascii(text)[:30])
def test_a_valid_filename_is_accepted_as_it_is(filename: str) -> None:
    assert check_filename(filename) == filename


HOSTILE = [
    *["", ".", "..", "../foo-1.0.tar.gz", "../../etc/foo-1.0.tar.gz", "foo/../bar-1.0.zip"],
    *["/etc/passwd", "foo/bar-1.0.zip", "foo\\bar-1.0.zip", "C:\\x-1.0.zip", "/foo.zip"],
    *["%2e%2e", "foo%2f-1.0.zip", "foo%5C-1.0.zip", "foo%252f-1.0.zip", "%2e%2e%2ffoo.zip"],
    *["foo\0-1.0.zip", "foo-1.0.zip\n", "\nfoo.zip", "foo\r.zip", "foo\t.zip", "foo\x1b[1m.zip"],
    *["foo\x7f.zip", "foo\x85.zip", "foo\u202egz.zip", "foo\u200b.zip", "\ufefffoo.zip"],
    *["foo\ud800.zip", "foo\ufe0f.zip", "foo\xad.zip", "foo\u2028.zip", "foo\U000e0041.zip"],
    *["foo\uffff.zip", "foo\U0001fffe.zip", "foo\u3164.zip"],
    *[".htaccess", ".foo-1.0.zip", ".zip", "-rf", "foo.zip ", "foo..", "*", "?", "~foo", "foo-1.0"],
    *["foo-1.0.html", "foo-1.0.HTML", "foo.svg", "foo.xml", "foo.php", "foo.zip.html", "foo.htm"],
    *[f"{'f' * 252}.zip", "\xe9" * 126 + ".zip", "\U0001f600" * 63 + ".zip", "f" * 10_000],
]


@pytest.mark.parametrize("filename", HOSTILE, ids=lambda text: ascii(text)[:30])
def test_an_invalid_filename_is_refused(filename: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        check_filename(filename)
    assert str(caught.value).isprintable()
    assert str(caught.value).isascii()


def test_a_filename_with_the_suffix_of_core_metadata_is_refused() -> None:
    with pytest.raises(InvalidValue, match="has none of the endings"):
        check_filename("foo-1.0-py3-none-any.whl.metadata")


@pytest.mark.parametrize("value", [None, 5, True, b"foo.zip", ["foo.zip"]], ids=repr)
def test_a_filename_that_is_not_text_is_refused(value: object) -> None:
    with pytest.raises(InvalidValue, match="is not text"):
        check_filename(value)


@given(hostile_text | st.text() | json_values)
def test_an_accepted_filename_stays_below_its_directory(value: object) -> None:
    try:
        filename = check_filename(value)
    except InvalidValue:
        return
    assert filename == value
    assert stays_below(f"packages/{filename}")
    assert "/" not in filename
    assert len(filename.encode()) <= 255


def test_every_character_that_is_not_shown_is_refused() -> None:
    """As far as this Python's database of characters knows them."""
    hidden = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    for code in range(sys.maxunicode + 1):
        text = chr(code)
        if unicodedata.category(text) in hidden or code & 0xFFFE == 0xFFFE:
            with pytest.raises(InvalidValue):
                check_filename(f"foo{text}.zip")


@pytest.mark.parametrize("category", ["L", "N", "S", "P"])
def test_letters_digits_and_symbols_of_every_script_are_accepted(category: str) -> None:
    special = {"/", "\\", "\u115f", "\u1160", "\u3164", "\uffa0"}
    for code in range(sys.maxunicode + 1):
        text = chr(code)
        is_hidden = text in special or 0xFFF0 <= code <= 0xFFFB
        if unicodedata.category(text).startswith(category) and not is_hidden:
            check_filename(f"foo{text}.zip")


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize("size", [0, 1, 2**30, MAX_FILE_SIZE])
def test_a_valid_size_is_accepted(size: int) -> None:
    assert check_size(size) == size


@pytest.mark.parametrize(
    "value",
    [None, -1, MAX_FILE_SIZE + 1, 10**400, True, False, 1.0, 0.5, float("inf"), "1", "abc", [], {}],
    ids=lambda value: ascii(value)[:20],
)
def test_an_invalid_size_is_refused(value: object) -> None:
    with pytest.raises(InvalidValue, match=r"^size "):
        check_size(value)


@given(json_values | st.integers())
def test_any_accepted_size_is_an_integer_within_the_limit(value: object) -> None:
    try:
        size = check_size(value)
    except InvalidValue:
        return
    assert type(size) is int
    assert 0 <= size <= MAX_FILE_SIZE


# ---------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-02-29T23:59:59Z", datetime(2024, 2, 29, 23, 59, 59, 0, UTC)),
        ("2024-01-02T03:04:05.6Z", datetime(2024, 1, 2, 3, 4, 5, 600_000, UTC)),
        ("2024-01-02T03:04:05.678901Z", datetime(2024, 1, 2, 3, 4, 5, 678_901, UTC)),
        ("2024-01-02T03:04:05.000001+00:00", datetime(2024, 1, 2, 3, 4, 5, 1, UTC)),
        ("1980-01-01T00:00:00Z", datetime(1980, 1, 1, tzinfo=UTC)),
        ("2199-12-31T23:59:59Z", datetime(2199, 12, 31, 23, 59, 59, 0, UTC)),
    ],
)
def test_a_valid_upload_time_is_parsed(text: str, time: datetime) -> None:
    assert parse_upload_time(text) == time


@pytest.mark.parametrize(
    "value",
    [
        *[None, 5, 1.5, True, [], {}, b"2024-01-02T03:04:05Z"],
        *["", "yesterday", "2024-01-02", "2024-01-02 03:04:05Z", "20240102T030405Z"],
        *["2024-01-02T03:04:05", "2024-01-02T03:04:05+01:00", "2024-01-02T03:04:05z"],
        *["2024-01-02T03:04:05.Z", "2024-01-02T03:04:05.1234567Z", "2024-01-02T03:04Z"],
        *["2024-01-02T03:04:05Z\n", " 2024-01-02T03:04:05Z", "2024-01-02T03:04:05ZZ"],
        *["2023-02-29T00:00:00Z", "2024-13-01T00:00:00Z", "2024-01-01T25:00:00Z"],
        *["2024-01-01T00:00:61Z", "0000-01-01T00:00:00Z", "\u0662024-01-02T03:04:05Z"],
        *["0001-01-01T00:00:00Z", "1979-12-31T23:59:59Z", "9999-12-31T23:59:59Z"],
        "2200-01-01T00:00:00Z",
    ],
    ids=ascii,
)
def test_an_invalid_or_implausible_upload_time_is_none(value: object) -> None:
    assert parse_upload_time(value) is None


@given(json_values | st.from_regex(r"[0-2][0-9]{3}-[0-2][0-9]-[0-3][0-9]T[0-3][0-9]:10:10\.?5?Z"))
def test_any_parsed_upload_time_is_in_utc_and_plausible(value: object) -> None:
    time = parse_upload_time(value)
    if time is not None:
        assert time.utcoffset() == timedelta(0)
        assert datetime(1980, 1, 1, tzinfo=UTC) <= time < datetime(2200, 1, 1, tzinfo=UTC)


@given(
    st.datetimes(
        min_value=datetime(1980, 1, 2),  # noqa: DTZ001 - hypothesis wants naive bounds
        max_value=datetime(2026, 11, 21),  # noqa: DTZ001 - as above
        timezones=st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone),
    )
)
def test_a_formatted_upload_time_parses_to_the_same_time(time: datetime) -> None:
    text = format_upload_time(time)
    assert len(text) == len("2024-01-02T03:04:05.000000Z")
    assert parse_upload_time(text) == time


@given(
    st.datetimes(
        min_value=datetime(1980, 1, 1),  # noqa: DTZ001 - hypothesis wants naive bounds
        timezones=st.just(UTC),
    )
)
def test_the_modification_time_is_exact_to_the_microsecond(time: datetime) -> None:
    since = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert make_file(upload_time=time).modified == since * 1000


def test_a_file_without_upload_time_has_no_modification_time() -> None:
    assert make_file(upload_time=None).modified is None


# ---------------------------------------------------------------- texts

CONTROLS = "\0\n\r\t\x1b\x7f\x80\x85\x9f\ud800\udfff"


def test_control_characters_become_spaces() -> None:
    assert clean_text(f">=3{CONTROLS}", longest=20) == ">=3" + " " * len(CONTROLS)
    assert clean_reason(f"bad{CONTROLS}!") == "bad" + " " * len(CONTROLS) + "!"


def test_a_text_longer_than_the_limit_is_none() -> None:
    assert clean_text("x" * 20, longest=20) == "x" * 20
    assert clean_text("x" * 21, longest=20) is None


def test_a_reason_longer_than_the_limit_is_truncated() -> None:
    assert clean_reason("x" * 10_000) == "x" * MAX_REASON_LENGTH


@pytest.mark.parametrize("value", [None, 5, True, b"text", ["text"]], ids=repr)
def test_a_value_that_is_not_text_is_none_or_empty(value: object) -> None:
    assert clean_text(value, longest=20) is None
    assert clean_reason(value) == ""


@given(st.text(st.characters()) | hostile_text)
def test_a_clean_text_can_be_encoded_and_has_no_control_characters(text: str) -> None:
    for cleaned in (clean_text(text, longest=1000), clean_reason(text)):
        assert cleaned is not None
        assert len(cleaned) == len(text)
        assert cleaned.encode().decode() == cleaned
        assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in cleaned)


# ---------------------------------------------------------------- files


def test_the_sha256_digest_is_found_among_the_hashes() -> None:
    sha256 = Digest("sha256", "0" * 64)
    assert make_file(hashes=Hashes((Digest("md5", "0" * 32), sha256))).sha256 is sha256


@pytest.mark.parametrize(
    ("core_metadata", "digest"),
    [
        (None, None),
        (False, None),
        (True, None),
        (Hashes(), None),
        (Hashes((Digest("md5", "0" * 32),)), Digest("md5", "0" * 32)),
        (
            Hashes((Digest("md5", "0" * 32), Digest("sha256", "1" * 64))),
            Digest("sha256", "1" * 64),
        ),
    ],
)
def test_core_metadata_is_verified_with_its_strongest_digest(
    core_metadata: Hashes | bool | None,  # noqa: FBT001 - it is the value of the field
    digest: Digest | None,
) -> None:
    assert make_file(core_metadata=core_metadata).sidecar == digest
