"""The state of a mirror in one word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bandersnatch.state_word import RunEnd, StateFacts, StateWord, judge

NOW = 1_800_000_000
HOUR = 3_600
GOOD = StateFacts(
    now=NOW,
    is_running=False,
    last_run=NOW - HOUR,
    end=RunEnd(0, NOW - HOUR - 2, NOW - HOUR + 60),
    pending=0,
    last_success=NOW - HOUR - 2,
    previous_success=NOW - 2 * HOUR,
)


def end(code: int) -> RunEnd:
    """Return the end of the last run with this exit code."""
    return RunEnd(code, NOW - HOUR - 2, NOW - HOUR + 60)


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        (GOOD, StateWord.CURRENT),
        (replace(GOOD, last_run=None, end=None, last_success=None), StateWord.NEVER),
        (replace(GOOD, end=None, last_success=None, is_running=True), StateWord.NEVER),
        (replace(GOOD, end=None, last_success=None), StateWord.FAILED),  # killed
        (replace(GOOD, last_run=NOW - 30), StateWord.FAILED),  # killed after a good one
        (replace(GOOD, last_run=NOW - 30, is_running=True), StateWord.CURRENT),
        (replace(GOOD, last_run=None, end=end(3), last_success=None), StateWord.FAILED),
        *((replace(GOOD, end=end(code)), StateWord.FAILED) for code in (1, 2, 3, 7, 128, 130, 143)),
        *((replace(GOOD, end=end(code)), StateWord.PARTIAL) for code in (4, 5)),
        (replace(GOOD, pending=1), StateWord.PARTIAL),
        (replace(GOOD, pending=1, end=end(7)), StateWord.FAILED),
        (replace(GOOD, lag=HOUR + 1), StateWord.BEHIND),
        (replace(GOOD, lag=HOUR), StateWord.CURRENT),
        (replace(GOOD, lag=HOUR + 1, pending=1), StateWord.PARTIAL),
        (replace(GOOD, last_success=None), StateWord.BEHIND),
        (replace(GOOD, now=NOW + 2 * HOUR), StateWord.BEHIND),
        (replace(GOOD, now=NOW + 2 * HOUR - 5, previous_success=None), StateWord.CURRENT),
        (replace(GOOD, now=NOW + 20 * HOUR, previous_success=NOW - 13 * HOUR), StateWord.CURRENT),
        (replace(GOOD, now=NOW + 24 * HOUR, previous_success=NOW - 13 * HOUR), StateWord.BEHIND),
    ],
)
def test_the_first_word_that_applies(facts: StateFacts, word: StateWord) -> None:
    state = judge(facts)

    assert state.word is word
    assert state.reason


def test_a_mirror_that_is_being_changed_is_judged_by_the_time_before() -> None:
    state = judge(replace(GOOD, is_running=True, pending=3))

    assert str(state) == "running (partial)"
    assert state.shown is StateWord.RUNNING
    assert str(judge(GOOD)) == "current"


times = st.none() | st.integers(0, 2 * NOW)


@given(
    st.builds(
        StateFacts,
        now=st.integers(0, 2 * NOW),
        is_running=st.booleans(),
        last_run=times,
        end=st.none() | st.builds(RunEnd, st.integers(0, 160), st.just(1), st.integers(0, NOW)),
        pending=st.integers(0, 3),
        last_success=times,
        previous_success=times,
        lag=st.none() | st.floats(0, 1e6),
    )
)
def test_nothing_unknown_is_current(facts: StateFacts) -> None:
    if judge(facts).word is StateWord.CURRENT:
        assert facts.last_success is not None
        assert not facts.pending
        assert facts.end is None or facts.end.code in {0, 6, 8, *range(9, 128)}


@given(st.builds(RunEnd, st.integers(0, 255), st.integers(0, NOW), st.integers(0, NOW)))
def test_the_end_of_a_run_is_read_as_it_was_written(run: RunEnd) -> None:
    assert RunEnd.parse(str(run)) == run


@pytest.mark.parametrize("text", ["", "0", "0 1", "0 1 x", "0 1 2 3", "-1 2 3", "0  2"])
def test_an_invalid_end_is_unknown(text: str) -> None:
    assert RunEnd.parse(text) is None
