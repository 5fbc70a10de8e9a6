"""Hours of the day: which texts are read, and when they begin and end in any time zone."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bandersnatch.config.hours import Hours, hours
from bandersnatch.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone is that of TZ")

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # its clock changes by half an hour
    "Asia/Kathmandu",
    "Pacific/Apia",  # had no 30 December 2011
]
DAY = timedelta(days=1)

minutes = st.integers(0, 24 * 60 - 1)
spans = st.builds(Hours, minutes, st.integers(1, 24 * 60)).filter(
    lambda span: span.start != span.end and span != Hours(0, 24 * 60)
)
CHANGES = ["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2011-12-30"]
"""Days on which the clocks of one of these zones change."""

moments = st.datetimes(datetime(2011, 12, 1), datetime(2028, 1, 1)) | st.sampled_from(  # noqa: DTZ001 - UTC
    [datetime.fromisoformat(each) for each in CHANGES]
).flatmap(lambda day: st.datetimes(day - DAY, day + DAY))


@contextmanager
def in_zone(zone: str) -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()


@pytest.mark.parametrize("zone", ZONES)
@settings(max_examples=60)
@given(spans, moments, st.floats(0, 1))
def test_hours_open_and_close(zone: str, span: Hours, moment: datetime, share: float) -> None:
    with in_zone(zone):
        now = moment.replace(tzinfo=UTC)
        opens, closes = span.opens(now), span.closes(now)

        assert now <= opens <= now + 3 * DAY
        assert (closes is not None) == (opens == now)
        assert span.closes(opens) is not None
        if closes is None:
            between = now + share * (opens - now)
            assert span.opens(between) == opens
        else:
            between = now + share * (closes - now)
            assert now < closes
            assert between >= closes or span.closes(between) == closes
            assert span.closes(closes) is None


@pytest.mark.parametrize("zone", ZONES)
@settings(max_examples=40)
@given(spans, moments)
def test_hours_are_those_of_the_wall_clock(zone: str, span: Hours, moment: datetime) -> None:
    with in_zone(zone):
        now = moment.replace(tzinfo=UTC)
        offsets = {(now + days * DAY).astimezone().utcoffset() for days in range(-2, 3)}
        assume(len(offsets) == 1)  # on other days, see above
        local = now.astimezone()
        minute = local.hour * 60 + local.minute
        after, before = minute >= span.start, minute < span.end
        is_open = (after and before) if span.start < span.end else (after or before)

        assert (span.closes(now) is not None) == is_open


@pytest.mark.parametrize(
    ("zone", "text", "now", "opens", "closes"),
    [
        ("Europe/Berlin", "22:00-06:00", "2026-03-28T21:30Z", "2026-03-28T21:30Z", "03-29T04:00Z"),
        ("Europe/Berlin", "22:00-06:00", "2026-03-29T12:00Z", "2026-03-29T20:00Z", None),
        # 02:00 to 03:00 is left out on that day, and comes twice on the other
        ("Europe/Berlin", "02:10-02:20", "2026-03-28T23:00Z", "2026-03-29T01:10Z", None),
        ("Europe/Berlin", "02:30-03:00", "2026-03-28T23:00Z", "2026-03-30T00:30Z", None),
        ("Europe/Berlin", "02:10-02:20", "2026-10-25T00:15Z", "2026-10-25T00:15Z", "10-25T00:20Z"),
        ("Europe/Berlin", "02:10-02:20", "2026-10-25T01:15Z", "2026-10-26T01:10Z", None),
        ("Europe/Berlin", "02:10-03:10", "2026-10-25T00:15Z", "2026-10-25T00:15Z", "10-25T02:10Z"),
        ("UTC", "22:00-24:00", "2026-05-01T23:59Z", "2026-05-01T23:59Z", "05-02T00:00Z"),
    ],
)
def test_examples(zone: str, text: str, now: str, opens: str, closes: str | None) -> None:
    with in_zone(zone):
        moment = datetime.fromisoformat(now)
        expected = None if closes is None else datetime.fromisoformat(f"2026-{closes}")
        assert hours(text).opens(moment) == datetime.fromisoformat(opens)
        assert hours(text).closes(moment) == expected


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_a_whole_day_does_not_end_at_midnight(zone: str) -> None:
    with in_zone(zone):
        now = datetime(2026, 3, 28, 22, tzinfo=UTC)
        closes = hours("00:00-24:00").closes(now)
        assert closes is not None
        assert closes > now + 2 * DAY


@given(spans)
def test_what_is_shown_is_read(span: Hours) -> None:
    assert hours(str(span)) == span


@pytest.mark.parametrize("text", ["6:00-7:30", " 06:00 - 07:30\n"])
def test_other_spellings(text: str) -> None:
    assert hours(text) == Hours(360, 450)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "'' is not a span of hours like '22:00-06:00'"),
        ("22-6", "'22-6' is not a span of hours like '22:00-06:00'"),
        ("06:00-06:00", "'06:00-06:00' has no length; for the whole day write 00:00-24:00"),
        ("06:00-24:30", "'06:00-24:30' has a time that no clock shows; the last one is 24:00"),
        ("24:00-06:00", "'24:00-06:00' has a time that no clock shows; the last one is 24:00"),
        ("06:60-07:00", "'06:60-07:00' has a time that no clock shows; the last one is 24:00"),
        ("06:00-07:60", "'06:00-07:60' has a time that no clock shows; the last one is 24:00"),
    ],
)
def test_what_is_refused(text: str, why: str) -> None:
    with pytest.raises(OptionError) as caught:
        hours(text)

    assert str(caught.value) == why


@given(st.text(max_size=12) | st.from_regex(r"\d\d?:\d\d-\d\d?:\d\d", fullmatch=True))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    message = ""
    try:
        found = hours(text)
    except OptionError as error:
        message = str(error)
    else:
        assert hours(str(found)) == found
    assert len(message.splitlines()) <= 1
