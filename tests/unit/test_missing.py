"""The limits on answers "not found": PyPI's pace, missing kinds, and repeated requests."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import MissingResource, PacedRequest, SkippedRequest, UnavailableHost
from bandersnatch.events import RequestsLimited
from bandersnatch.index.missing import (
    DOUBTFUL_DOCUMENTS,
    MAX_IN_A_ROW,
    PACE,
    WINDOW,
    Kind,
    MissingLimits,
)
from tests.support.clock import FakeClock, QuickClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from bandersnatch.events import Event

PyPI, OTHER = True, False


def make_limits(
    clock: FakeClock, events: Callable[[Event], None] = lambda _: None, *, is_pypi: bool
) -> MissingLimits:
    return MissingLimits(clock, events, lambda: is_pypi)


async def ask(
    limits: MissingLimits,
    url: str,
    kind: Kind = Kind.PAGE,
    *,
    missing: bool = True,
    doubtful: bool = True,
) -> None:
    """Send a request that is answered "not found", or with something."""
    async with limits.counted(url, kind, doubtful=doubtful):
        await asyncio.sleep(0)
        if missing:
            raise MissingResource(url, 404)


async def miss(limits: MissingLimits, count: int, kind: Kind = Kind.PAGE) -> None:
    for number in range(count):
        with pytest.raises(MissingResource):
            await ask(limits, f"{kind}/{number}", kind)


# ---------------------------------------------------------------- the pace of PyPI


requests = st.lists(
    st.tuples(
        st.integers(0, 200),
        st.sampled_from(Kind),
        st.sampled_from([True, True, True, False]),
        st.booleans(),
        st.sampled_from([0.0, 0.0, 1.0, 40.0]),
    ),
    max_size=150,
)


@given(requests=requests, workers=st.integers(1, 60))
async def test_no_five_minutes_at_pypi_have_more_than_forty_missing_answers(
    requests: list[tuple[int, Kind, bool, bool, float]], workers: int
) -> None:
    clock, answers = QuickClock(), list[float]()
    limits = make_limits(clock, is_pypi=PyPI)
    queue = iter(requests)

    async def work() -> None:
        for number, kind, missing, doubtful, pause in queue:
            url = f"{kind}/{number}/{missing}"
            with suppress(SkippedRequest, PacedRequest):
                try:
                    await ask(limits, url, kind, missing=missing, doubtful=doubtful)
                except SkippedRequest:
                    raise
                except MissingResource:
                    answers.append(clock.monotonic())
            clock.advance(seconds=pause)

    await asyncio.gather(*(work() for _ in range(workers)))

    for first, over in zip(answers, answers[PACE:], strict=False):
        assert over - first >= WINDOW


async def test_forty_missing_answers_are_no_reason_to_wait() -> None:
    clock = FakeClock()
    limits = make_limits(clock, is_pypi=PyPI)

    await miss(limits, PACE)

    assert clock.slept == []


async def test_a_doubtful_request_beyond_the_pace_is_told_when_it_may_be_sent() -> None:
    clock = FakeClock()
    limits = make_limits(clock, is_pypi=PyPI)
    await miss(limits, PACE - 1)
    clock.advance(seconds=100)
    with pytest.raises(MissingResource):
        await ask(limits, "last")

    with pytest.raises(PacedRequest) as caught:
        await ask(limits, "beyond")

    assert caught.value.seconds == WINDOW
    clock.advance(seconds=WINDOW)
    with pytest.raises(MissingResource):
        await ask(limits, "beyond")


async def test_an_expected_request_waits_until_one_answer_is_old_enough() -> None:
    clock = FakeClock()
    limits = make_limits(clock, is_pypi=PyPI)
    await miss(limits, PACE)
    clock.advance(seconds=100)

    await ask(limits, "there", missing=False, doubtful=False)

    assert clock.slept == [WINDOW - 100]


async def test_answers_with_content_and_without_any_do_not_count() -> None:
    clock = FakeClock()
    limits = make_limits(clock, is_pypi=PyPI)
    for number in range(PACE * 2):
        await ask(limits, f"there{number}", missing=False)
        with pytest.raises(UnavailableHost):
            async with limits.counted(f"broken{number}", Kind.PAGE):
                raise UnavailableHost("it", "is broken")

    await miss(limits, PACE)

    assert clock.slept == []


async def test_requests_in_flight_count_until_they_are_answered() -> None:
    clock = FakeClock()
    limits = make_limits(clock, is_pypi=PyPI)
    await miss(limits, PACE - 1)
    release, began = asyncio.Event(), list[str]()

    async def hold(name: str) -> None:
        async with limits.counted(name, Kind.FILE):
            began.append(name)
            await release.wait()

    tasks = [asyncio.create_task(hold(name)) for name in ("first", "second")]
    for _ in range(10):
        await asyncio.sleep(0)
    assert began == ["first"]
    release.set()
    await asyncio.gather(*tasks)

    assert began == ["first", "second"]
    assert clock.slept == []


async def test_doubtful_documents_use_half_of_the_pace_only() -> None:
    """A project without files has no legacy document, and PyPI has very many of them."""
    clock = FakeClock()
    limits = make_limits(clock, is_pypi=PyPI)
    await miss(limits, DOUBTFUL_DOCUMENTS, Kind.LEGACY)

    with pytest.raises(PacedRequest):
        await ask(limits, "beyond", Kind.LEGACY)

    await ask(limits, "page", missing=False, doubtful=False)
    await ask(limits, "document", Kind.LEGACY, missing=False, doubtful=False)
    assert clock.slept == []


async def test_core_metadata_that_is_mostly_missing_is_left_to_the_next_run() -> None:
    limits = make_limits(FakeClock(), is_pypi=PyPI)
    await miss(limits, PACE, Kind.SIDECAR)

    with pytest.raises(PacedRequest):
        await ask(limits, "beyond", Kind.SIDECAR, doubtful=False)


async def test_other_indexes_have_no_pace() -> None:
    clock = FakeClock()
    limits = make_limits(clock, is_pypi=OTHER)

    await miss(limits, 1000)

    assert clock.slept == []


# ---------------------------------------------------------------- kinds and repetitions


@pytest.mark.parametrize("kind", [Kind.LEGACY, Kind.SIDECAR])
async def test_a_kind_that_was_missing_forty_times_in_a_row_is_not_requested(kind: Kind) -> None:
    events = list[object]()
    limits = make_limits(FakeClock(), events.append, is_pypi=OTHER)
    await miss(limits, MAX_IN_A_ROW - 1, kind)
    await ask(limits, "there", kind, missing=False)
    await miss(limits, MAX_IN_A_ROW - 1, kind)
    await ask(limits, "there", kind, missing=False)
    for number in range(MAX_IN_A_ROW):
        with pytest.raises(MissingResource):
            await ask(limits, f"other{number}", kind)
    assert events == []

    for number in range(3):
        with pytest.raises(SkippedRequest):
            await ask(limits, f"more{number}", kind, missing=False)

    (event,) = events
    assert isinstance(event, RequestsLimited)
    assert str(event).startswith(f"40 {kind} in a row were missing")


@pytest.mark.parametrize("kind", [Kind.PAGE, Kind.FILE])
async def test_pages_and_files_are_always_requested(kind: Kind) -> None:
    limits = make_limits(FakeClock(), is_pypi=OTHER)
    await miss(limits, 3 * MAX_IN_A_ROW, kind)

    await ask(limits, "there", kind, missing=False)


@pytest.mark.parametrize("is_pypi", [PyPI, OTHER])
async def test_what_was_missing_twice_is_not_requested_again(*, is_pypi: bool) -> None:
    events = list[object]()
    limits = make_limits(FakeClock(), events.append, is_pypi=is_pypi)
    for url in ("one", "two"):
        for expected in (MissingResource, MissingResource, SkippedRequest, SkippedRequest):
            with pytest.raises(MissingResource) as caught:
                await ask(limits, url)
            assert caught.type is expected

    assert len(events) == 1
