"""``max-rate``: which texts are read, and what the limiter of downloads permits."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandersnatch.config.hours import Hours
from bandersnatch.config.rates import LEAST_RATE, RateSchedule, rates
from bandersnatch.errors import OptionError
from bandersnatch.index.rate_limit import RateLimiter
from tests.support.clock import QuickClock

if TYPE_CHECKING:
    from collections.abc import Iterator

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAYTIME = Hours(8 * 60, 18 * 60)


@pytest.fixture
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make UTC the local time."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


# ---------------------------------------------------------------- texts


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("", RateSchedule()),
        (" 20 MB/s ", RateSchedule(20e6)),
        ("100 Mbit/s", RateSchedule(12.5e6)),
        ("20 MB/s; 08:00-18:00 5 MB/s", RateSchedule(20e6, ((DAYTIME, 5e6),))),
        ("08:00-18:00 5 MB/s;20 MB/s", RateSchedule(20e6, ((DAYTIME, 5e6),))),
        ("08:00 - 18:00   5 MB/s", RateSchedule(None, ((DAYTIME, 5e6),))),
        (
            "\n20 MB/s\n08:00-18:00 5 MB/s\n22:00-06:00 1 GB/s",
            RateSchedule(20e6, ((DAYTIME, 5e6), (Hours(22 * 60, 6 * 60), 1e9))),
        ),
    ],
)
def test_rates_with_and_without_hours(text: str, schedule: RateSchedule) -> None:
    assert rates(text) == schedule


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("fast", "'fast' is not a rate like '100 Mbit/s' or '12 MB/s'"),
        ("0", "'0' is not a rate like '100 Mbit/s' or '12 MB/s'"),
        ("10", "'10' is less than 1 kB/s"),
        ("5 MB/s; 08:00-18:00 9 B/s", "'9 B/s' is less than 1 kB/s"),
        ("5 MB/s;; 6 MB/s", "'' is not a rate like '100 Mbit/s' or '12 MB/s'"),
        ("08:00-18:00", "'08:00-18:00' is not a rate like '100 Mbit/s' or '12 MB/s'"),
        ("8-18 5 MB/s", "'8-18 5 MB/s' is not a rate like '100 Mbit/s' or '12 MB/s'"),
        ("08:00-08:00 5 MB/s", "'08:00-08:00' has no length; for the whole day write 00:00-24:00"),
        ("08:00 5 MB/s", "'08:00' is not a span of hours like '22:00-06:00'"),
        (
            "5 MB/s; 6 MB/s",
            "'5 MB/s; 6 MB/s' has several rates without hours; write the hours of all but one",
        ),
        (
            "5 MB/s # slow",
            (
                "'5 MB/s # slow' is not a rate like '100 Mbit/s' or '12 MB/s'; "
                "it has a comment behind it; a comment must stand on a line of its own"
            ),
        ),
    ],
)
def test_what_is_refused(text: str, why: str) -> None:
    with pytest.raises(OptionError) as caught:
        rates(text)

    assert str(caught.value) == why


@given(st.text(st.sampled_from("0123456789:;-. \nMkBbits/"), max_size=40) | st.text(max_size=40))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    message = ""
    try:
        found = rates(text)
    except OptionError as error:
        message = str(error)
    else:
        at_hours = [rate for _, rate in found.at_hours]
        assert all(rate >= LEAST_RATE for rate in (found.otherwise or LEAST_RATE, *at_hours))
    assert len(message.splitlines()) <= 1


@pytest.mark.usefixtures("_utc")
def test_the_first_hours_that_apply_count() -> None:
    schedule = rates("1 MB/s; 08:00-13:00 2 MB/s; 12:00-14:00 3 MB/s")

    for hour, rate in ((7, 1e6), (8, 2e6), (12, 2e6), (13, 3e6), (14, 1e6)):
        assert schedule.rate(NOON.replace(hour=hour)) == rate


# ---------------------------------------------------------------- the limiter


async def received(limiter: RateLimiter, clock: QuickClock, downloads: list[list[int]]) -> int:
    """Receive pieces in concurrent downloads; check the rate of 1000 bytes a second meanwhile."""
    total = 0

    async def receive(pieces: list[int]) -> None:
        nonlocal total
        for size in pieces:
            await limiter.take(size)
            total += size
            assert total <= clock.passed * 1000 + 1e-6

    await asyncio.gather(*map(receive, downloads))
    return total


pieces = st.lists(st.integers(1, 100_000), max_size=8)


@settings(max_examples=50)
@given(st.lists(pieces, min_size=1, max_size=6))
async def test_all_downloads_together_have_the_rate(downloads: list[list[int]]) -> None:
    clock = QuickClock()
    limiter = RateLimiter(RateSchedule(1000.0), clock)

    total = await received(limiter, clock, downloads)

    assert clock.passed == pytest.approx(total / 1000)  # and no time is lost


async def test_idle_time_is_not_made_up_for() -> None:
    clock = QuickClock()
    limiter = RateLimiter(RateSchedule(1000.0), clock)
    await limiter.take(1000)
    clock.advance(hours=1)

    assert await limiter.take(5000) == 5.0


async def test_without_a_rate_nothing_waits() -> None:
    clock = QuickClock()
    limiter = RateLimiter(RateSchedule(), clock)

    assert await limiter.take(10**12) == 0.0
    assert clock.passed == 0


@pytest.mark.usefixtures("_utc")
async def test_the_rate_changes_with_the_hours() -> None:
    clock = QuickClock(NOON.replace(hour=7, minute=59))
    limiter = RateLimiter(rates("4 kB/s; 08:00-08:01 1 kB/s"), clock)
    sizes: dict[int, int] = {}
    while clock.passed < 180:
        await limiter.take(500)
        minute = int(clock.passed // 60)
        sizes[minute] = sizes.get(minute, 0) + 500

    assert sizes[0] == pytest.approx(240_000, abs=4_000)
    assert sizes[1] == pytest.approx(60_000, abs=4_000)
    assert sizes[2] == pytest.approx(240_000, abs=4_000)


@pytest.mark.usefixtures("_utc")
async def test_at_other_hours_there_may_be_no_limit() -> None:
    clock = QuickClock(NOON)
    limiter = RateLimiter(rates("08:00-13:00 1 kB/s"), clock)
    await limiter.take(3_600_000)

    assert clock.now().hour == 13
    assert await limiter.take(10**9) == 0.0
