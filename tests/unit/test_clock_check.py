"""When the clock of this machine is doubted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.mirror.clock_check import (
    MAX_JUMP,
    MAX_OFFSET,
    MAX_PAUSE,
    MAX_STEP_BACK,
    clock_doubt,
)

NOW = 1_800_000_000
DAY = 86_400

times = st.integers(0, 2**33)
offsets = st.none() | st.floats(-(2.0**33), 2.0**33)


@pytest.mark.parametrize(
    ("last", "offset"),
    [
        (None, None),
        (NOW, None),
        (NOW + MAX_STEP_BACK, None),
        (NOW - MAX_PAUSE, None),
        (NOW - 2 * MAX_PAUSE, 0.0),
        (None, float(MAX_OFFSET)),
        (NOW - 5, -float(MAX_OFFSET)),
    ],
)
def test_a_plausible_clock_is_trusted(last: int | None, offset: float | None) -> None:
    assert clock_doubt(NOW, last, offset) == ""


@pytest.mark.parametrize("jump", [-MAX_JUMP, 0.0, MAX_JUMP])
def test_a_clock_that_is_adjusted_in_a_run_is_trusted(jump: float) -> None:
    assert clock_doubt(NOW, NOW, 0.0, jump) == ""


@pytest.mark.parametrize("jump", [-MAX_JUMP - 1, MAX_JUMP + 1, 59 * 365 * DAY])
def test_a_clock_that_is_set_in_a_run_is_doubted(jump: float) -> None:
    assert "was set by" in clock_doubt(NOW, NOW, 0.0, jump)


@pytest.mark.parametrize(
    ("last", "offset", "why"),
    [
        (NOW + MAX_STEP_BACK + 1, None, "61 seconds behind the time of the last run"),
        (NOW + 3650 * DAY, 0.0, "3650 days behind the time of the last run"),
        (NOW, 3601.0, "60 minutes behind the time that the index states"),
        (NOW, -2.5 * DAY, "2 days ahead of the time that the index states"),
        (None, -7200.0, "2 hours ahead of the time that the index states"),
        (NOW - MAX_PAUSE - 1, None, "the last run was 90 days ago, and the index states no time"),
    ],
)
def test_a_clock_is_doubted_for_a_reason(last: int | None, offset: float | None, why: str) -> None:
    assert why in clock_doubt(NOW, last, offset)


@given(now=times, last=st.none() | times, offset=offsets)
def test_a_clock_is_doubted_exactly_as_stated(
    now: int, last: int | None, offset: float | None
) -> None:
    is_behind = last is not None and now < last - 60
    is_off = offset is not None and abs(offset) > 3600
    is_far_ahead = offset is None and last is not None and now > last + 90 * DAY

    assert bool(clock_doubt(now, last, offset)) == (is_behind or is_off or is_far_ahead)
