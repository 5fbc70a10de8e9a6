"""The retry policy, as a table."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import (
    BandersnatchError,
    DigestMismatch,
    InvalidResponse,
    MissingResource,
    OversizedContent,
    RateLimit,
    RefusedRequest,
    SizeMismatch,
    StalePage,
    UnauthorizedRequest,
    UnavailableHost,
    UnsafeUrl,
)
from bandersnatch.index.retry import LONGEST_RETRY_AFTER, error_for, parse_retry_after, pause_before
from tests.support.strategies import hostile_text

URL = "https://example.org/simple/foo/"
NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)

LATER = {407, 408, 425, 500, 502, 503, 504, *range(520, 531)}


@given(st.integers(100, 599))
def test_each_status_maps_to_one_class_of_error(status: int) -> None:
    kind = type(error_for(URL, status, {}, NOW))
    if status in {404, 410}:
        assert kind is MissingResource
    elif status == 429:
        assert kind is RateLimit
    else:
        refused = UnauthorizedRequest if status == 401 else RefusedRequest
        assert kind is (UnavailableHost if status in LATER else refused)


def test_a_retry_after_header_makes_the_error_a_rate_limit() -> None:
    for status in (429, 503):
        error = error_for(URL, status, {"Retry-After": "7"}, NOW)
        assert isinstance(error, RateLimit)
        assert error.retry_after == 7


def tries(error: BandersnatchError) -> int:
    """Return the total number of tries for an error."""
    jitter = random.Random(0)
    return next(n for n in range(1, 100) if pause_before(error, n, jitter) is None)


@pytest.mark.parametrize(
    ("error", "times"),
    [
        (UnavailableHost(URL, "it was reset"), 5),
        (RateLimit(URL, "status 429", retry_after=None), 5),
        (InvalidResponse(URL, "status 204 has no content"), 2),
        (DigestMismatch(URL, expected="a", actual="b"), 3),
        (SizeMismatch(URL, expected=1, actual=2), 3),
        (MissingResource(URL, 404), 1),
        (RefusedRequest(URL, 403), 1),
        (OversizedContent(URL, 5), 1),
        (UnsafeUrl(URL, "it is not https"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_tried_as_often_as_its_rule_states(
    error: BandersnatchError, times: int
) -> None:
    assert tries(error) == times


def test_a_stale_page_is_not_retried_here() -> None:
    assert issubclass(StalePage, BandersnatchError)
    assert pause_before(StalePage("foo", target=2, actual=1), 1, random.Random(0)) is None


@given(st.integers(1, 4), st.integers())
def test_pauses_double_and_are_randomized(tried: int, seed: int) -> None:
    pause = pause_before(UnavailableHost(URL, "it was reset"), tried, random.Random(seed))
    assert pause is not None
    assert 0.5 * 2 ** (tried - 1) <= pause <= 1.5 * 2 ** (tried - 1)


@given(st.floats(0, 1e9))
def test_the_pause_is_retry_after_up_to_its_maximum(asked: float) -> None:
    error = RateLimit(URL, "status 429", retry_after=asked)
    expected = asked if asked <= LONGEST_RETRY_AFTER else None
    assert pause_before(error, 1, random.Random(0)) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        ("9" * 40, 1e9),
        ("Sat, 21 Nov 2026 12:01:00 GMT", 60),
        ("Sat, 21 Nov 2026 12:01:00", 60),
        ("Sat, 21 Nov 2026 13:01:00 +0100", 60),
        ("Sat, 21 Nov 2020 12:00:00 GMT", 0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("\u0661", None),
        ("Sat, 99 Nov 2026 12:00:00 GMT", None),
        ("Sat, 21 Nov 99999999999 12:00:00 GMT", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str, seconds: float | None) -> None:
    assert parse_retry_after(text, NOW) == seconds


@given(st.text() | hostile_text | st.from_regex(r"\A\w{3}, \d{1,3} \w{3} \d{1,9} [0-9:+ ]{1,20}\Z"))
def test_any_retry_after_header_parses_to_seconds_or_none(text: str) -> None:
    seconds = parse_retry_after(text, NOW)
    assert seconds is None or 0 <= seconds <= 1e12
