"""Conditional and range requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.serve.conditions import (
    UNSATISFIABLE,
    ByteRange,
    Condition,
    byte_range,
    check_conditions,
)

ETAG = '"abc.html"'
MODIFIED = 1_700_000_000
DATE = "Tue, 14 Nov 2023 22:13:20 GMT"
EARLIER = "Tue, 14 Nov 2023 22:13:19 GMT"
SEND, SAME, FAILED = Condition.SEND, Condition.NOT_MODIFIED, Condition.FAILED


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, SEND),
        ({"If-None-Match": ETAG}, SAME),
        ({"If-None-Match": f"W/{ETAG}"}, SAME),
        ({"If-None-Match": f'"x", {ETAG}'}, SAME),
        ({"If-None-Match": "*"}, SAME),
        ({"If-None-Match": '"x"'}, SEND),
        ({"If-None-Match": "abc.html"}, SEND),
        ({"If-None-Match": '"x"', "If-Modified-Since": DATE}, SEND),
        ({"If-None-Match": ETAG, "If-Modified-Since": EARLIER}, SAME),
        ({"If-Modified-Since": DATE}, SAME),
        ({"If-Modified-Since": EARLIER}, SEND),
        ({"If-Modified-Since": "yesterday"}, SEND),
        ({"If-Modified-Since": "Tue, 99 Nov 99999999999 22:13:19 GMT"}, SEND),
        ({"If-Match": ETAG}, SEND),
        ({"If-Match": "*"}, SEND),
        ({"If-Match": f"W/{ETAG}"}, FAILED),
        ({"If-Match": '"x"'}, FAILED),
        ({"If-Unmodified-Since": DATE}, SEND),
        ({"If-Unmodified-Since": EARLIER}, FAILED),
        ({"If-Match": ETAG, "If-Unmodified-Since": EARLIER}, SEND),
    ],
)
def test_preconditions(headers: dict[str, str], expected: Condition) -> None:
    assert check_conditions(headers, ETAG, MODIFIED) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=5-9", ByteRange(5, 10)),
        ("bytes = 5 - 9 ", ByteRange(5, 10)),
        ("bytes=90-", ByteRange(90, 100)),
        ("bytes=90-1000", ByteRange(90, 100)),
        ("bytes=-10", ByteRange(90, 100)),
        ("bytes=-1000", ByteRange(0, 100)),
        ("bytes=100-", UNSATISFIABLE),
        ("bytes=100-200", UNSATISFIABLE),
        ("bytes=-0", UNSATISFIABLE),
        ("bytes=9-5", None),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
        ("bytes=0--1", None),
        ("bytes=1e3-", None),
        ("bytes=\N{ARABIC-INDIC DIGIT ONE}-", None),
        (f"bytes=0-{'9' * 18}", ByteRange(0, 100)),
        (f"bytes=0-{'9' * 5000}", None),
    ],
)
def test_ranges(text: str, expected: ByteRange | None) -> None:
    assert byte_range({"Range": text}, 100, ETAG, MODIFIED) == expected


def test_nothing_is_a_range_of_an_empty_content() -> None:
    assert byte_range({"Range": "bytes=0-"}, 0, ETAG, MODIFIED) is UNSATISFIABLE
    assert byte_range({"Range": "bytes=-5"}, 0, ETAG, MODIFIED) is UNSATISFIABLE


@pytest.mark.parametrize(
    ("condition", "is_sent"),
    [
        (ETAG, True),
        (f"W/{ETAG}", False),
        ('"x"', False),
        (DATE, True),
        (EARLIER, False),
        ("soon", False),
    ],
)
def test_a_range_can_depend_on_the_state_of_the_content(condition: str, *, is_sent: bool) -> None:
    headers = {"Range": "bytes=0-0", "If-Range": condition}

    assert (byte_range(headers, 100, ETAG, MODIFIED) is not None) is is_sent


@given(
    st.text(max_size=60),
    st.integers(0, 1000),
    st.sampled_from(["Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since"]),
)
def test_any_header_can_be_read(text: str, size: int, name: str) -> None:
    headers = {"Range": "bytes=0-", name: text}

    assert check_conditions(headers, ETAG, MODIFIED) in Condition
    found = byte_range(headers, size, ETAG, MODIFIED)
    assert found is None or 0 <= found.start <= found.stop <= size


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 200))
def test_a_range_has_the_bytes_that_it_names(first: int, last: int, size: int) -> None:
    content = bytes(n % 256 for n in range(size))

    found = byte_range({"Range": f"bytes={first}-{last}"}, size, ETAG, MODIFIED)

    if last < first:
        assert found is None
    elif first >= size:
        assert found is UNSATISFIABLE
    else:
        assert found is not None
        assert content[found.start : found.stop] == content[first : last + 1]
