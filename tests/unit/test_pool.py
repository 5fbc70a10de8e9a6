"""Bounded concurrency: limits, order, the first failure, and postponed items."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandersnatch.concurrency import WorkQueue, bounded_map, run_pool, task_group, wait_at_most
from tests.support.clock import FakeClock, QuickClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Gauge:
    """Counts the items in progress, and records the order in which they began."""

    def __init__(self, turns: Callable[[int], int] = lambda _: 3) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.now = 0
        self.most = 0
        self._turns = turns

    async def __call__(self, item: int) -> None:
        self.begun.append(item)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            for _ in range(self._turns(item)):
                await asyncio.sleep(0)
            self.ended.append(item)
        finally:
            self.now -= 1


# ---------------------------------------------------------------- side by side


@given(
    items=st.lists(st.integers(0, 5), max_size=15),
    most=st.integers(0, 20),
)
@settings(deadline=None)
async def test_every_item_is_processed_once_within_the_limit(items: list[int], most: int) -> None:
    gauge = Gauge(turns=lambda item: item)

    await bounded_map(gauge, items, most=most)

    assert gauge.begun == items
    assert Counter(gauge.ended) == Counter(items)
    assert gauge.most <= max(most, 1)


async def test_as_many_items_as_allowed_are_processed_concurrently(clock: FakeClock) -> None:
    gauge = Gauge()

    await bounded_map(gauge, range(10), most=4)

    assert gauge.most == 4


@pytest.mark.parametrize("most", [1, 2, 100])
async def test_the_first_failure_wins_and_stops_the_rest(most: int) -> None:
    cleaned: list[int] = []

    async def work(item: int) -> None:
        try:
            await asyncio.sleep(0)
            if item == 3:
                raise LookupError("first")
            await asyncio.sleep(0.001 if item < 3 else 60)
        finally:
            cleaned.append(item)
            if item > 3:
                raise ValueError("later")

    with pytest.raises(LookupError, match="first"):
        await bounded_map(work, range(10), most=most)

    assert 3 in cleaned
    assert len(cleaned) <= 3 + most


async def test_a_failure_is_raised_as_itself_from_a_group_in_a_group() -> None:
    async def fail() -> None:
        async with task_group() as inner:
            inner.create_task(fail_at_last())

    async def fail_at_last() -> None:
        raise LookupError("deep")

    with pytest.raises(LookupError, match="deep") as caught:
        async with task_group() as outer:
            outer.create_task(fail())

    assert caught.value.__cause__ is None


async def test_cancellation_stops_everything() -> None:
    gauge = Gauge(turns=lambda _: 10**6)
    task = asyncio.create_task(bounded_map(gauge, range(10), most=3))
    for _ in range(10):
        await asyncio.sleep(0)
    assert gauge.now == 3
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert gauge.now == 0
    assert gauge.begun == [0, 1, 2]


# ---------------------------------------------------------------- the queue


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def taken(queue: WorkQueue[str]) -> str | None:
    """Take an item and do nothing with it."""
    item = await queue.take()
    if item is not None:
        queue.done()
    return item


async def test_items_come_in_order_and_then_none(clock: FakeClock) -> None:
    queue = WorkQueue(iter("abc"), clock)

    assert [await taken(queue) for _ in range(5)] == ["a", "b", "c", None, None]
    assert clock.slept == []


async def test_a_postponed_item_returns_after_the_others_when_its_time_has_come(
    clock: FakeClock,
) -> None:
    queue = WorkQueue("abc", clock)
    assert await queue.take() == "a"
    queue.delay("a", 60.0)
    queue.done()

    assert [await taken(queue) for _ in range(2)] == ["b", "c"]
    assert clock.passed == 0
    assert await taken(queue) == "a"
    assert clock.passed == 60
    assert await taken(queue) is None


async def test_postponed_items_return_in_the_order_of_their_times(clock: FakeClock) -> None:
    queue = WorkQueue[str]((), clock)
    for item, seconds in (("c", 30.0), ("a", 10.0), ("d", 30.0), ("b", 20.0)):
        queue.delay(item, seconds)

    seen = [(await taken(queue), clock.passed) for _ in range(4)]

    assert seen == [("a", 10), ("b", 20), ("c", 30), ("d", 30)]


async def test_new_items_come_before_postponed_ones_that_are_due(clock: FakeClock) -> None:
    queue = WorkQueue("ab", clock)
    queue.delay("x", 1.0)
    clock.advance(seconds=5)

    assert [await taken(queue) for _ in range(4)] == ["a", "b", "x", None]
    assert clock.slept == []


async def test_no_worker_ends_while_an_item_may_be_postponed(clock: FakeClock) -> None:
    queue = WorkQueue("a", clock)
    assert await queue.take() == "a"
    others = [asyncio.create_task(taken(queue)) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert not any(other.done() for other in others)

    queue.delay("a", 2.0)
    queue.done()

    assert sorted(map(str, await asyncio.gather(*others))) == ["None", "None", "a"]


async def test_waiting_workers_end_when_nothing_is_postponed(clock: FakeClock) -> None:
    queue = WorkQueue("ab", clock)
    assert [await queue.take() for _ in range(2)] == ["a", "b"]
    others = [asyncio.create_task(taken(queue)) for _ in range(3)]
    await asyncio.sleep(0.01)

    queue.done()
    await asyncio.sleep(0.01)
    assert not any(other.done() for other in others)
    queue.done()

    assert await asyncio.gather(*others) == [None, None, None]
    assert clock.slept == []


async def test_a_closed_queue_returns_no_item(clock: FakeClock) -> None:
    queue = WorkQueue("abc", clock)
    assert await taken(queue) == "a"
    queue.delay("a", 0.0)
    queue.close()

    assert [await taken(queue) for _ in range(2)] == [None, None]
    assert clock.slept == []


class PatientClock(FakeClock):
    """A clock on which a sleep lasts until the test ends it."""

    async def sleep(self, seconds: float, /) -> None:
        self.slept.append(seconds)
        await asyncio.Event().wait()


async def test_closing_wakes_waiting_workers() -> None:
    """One worker waits for a postponed item, another for an item in progress."""
    napping, waiting = WorkQueue[str]((), PatientClock()), WorkQueue("a", PatientClock())
    napping.delay("x", 60.0)
    assert await waiting.take() == "a"
    tasks = [asyncio.create_task(taken(queue)) for queue in (napping, napping, waiting)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in tasks)

    napping.close()
    waiting.close()

    assert await asyncio.wait_for(asyncio.gather(*tasks), 5) == [None, None, None]


async def test_a_sleep_ends_with_the_task_that_sleeps() -> None:
    queue = WorkQueue[str]((), PatientClock())
    queue.delay("x", 60.0)
    before = asyncio.all_tasks()
    task = asyncio.create_task(queue.take())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0)

    assert asyncio.all_tasks() == before


# ---------------------------------------------------------------- the pool


@settings(max_examples=60)
@given(
    delays=st.lists(
        st.lists(st.sampled_from([0.0, 0.5, 1.0, 60.0]), max_size=3), min_size=0, max_size=8
    ),
    workers=st.integers(1, 6),
)
async def test_every_item_is_processed_once_and_again_for_each_postponement(
    delays: list[list[float]], workers: int
) -> None:
    clock = FakeClock()
    queue = WorkQueue(range(len(delays)), clock)
    gauge = Gauge(turns=lambda item: item % 3)
    left = [list(each) for each in delays]
    due: dict[int, float] = {}

    async def visit(item: int) -> None:
        assert clock.monotonic() >= due.get(item, 0)
        await gauge(item)
        if left[item]:
            pause = left[item].pop(0)
            due[item] = clock.monotonic() + pause
            queue.delay(item, pause)

    await asyncio.wait_for(run_pool(queue, visit, workers=workers), 20)

    assert Counter(gauge.ended) == {item: 1 + len(each) for item, each in enumerate(delays)}
    assert gauge.begun[: len(delays)] == list(range(len(delays)))
    assert gauge.most <= workers


async def test_all_workers_work(clock: FakeClock) -> None:
    gauge = Gauge()

    await run_pool(WorkQueue(range(20), clock), gauge, workers=5)

    assert gauge.most == 5


@settings(max_examples=40)
@given(close_at=st.integers(0, 9), workers=st.integers(1, 4), delays=st.lists(st.booleans()))
async def test_after_closing_begun_items_are_finished_and_no_others_begin(
    close_at: int, workers: int, delays: Sequence[bool]
) -> None:
    queue = WorkQueue(range(10), FakeClock())
    gauge = Gauge()
    put_off = iter(delays)
    begun_at_close: list[int] = []

    async def visit(item: int) -> None:
        await gauge(item)
        if next(put_off, False):
            queue.delay(item, 1.0)
        if item == close_at and not begun_at_close:
            queue.close()
            begun_at_close.extend(gauge.begun)

    await asyncio.wait_for(run_pool(queue, visit, workers=workers), 20)

    assert gauge.begun == begun_at_close
    assert Counter(gauge.ended) == Counter(gauge.begun)


@pytest.mark.parametrize("workers", [1, 3])
async def test_an_exception_of_a_worker_stops_everything(workers: int) -> None:
    """Items in progress are cancelled, and so are workers that wait for a postponed item."""
    queue = WorkQueue(range(20), PatientClock())
    gauge = Gauge()
    queue.delay(99, 60.0)

    async def visit(item: int) -> None:
        await gauge(item)
        if item == 5:
            raise LookupError("a bug")

    with pytest.raises(LookupError, match="a bug"):
        await asyncio.wait_for(run_pool(queue, visit, workers=workers), 20)

    assert gauge.now == 0
    assert max(gauge.begun) < 5 + workers + 1


async def test_a_failure_wakes_sleeping_workers() -> None:
    queue = WorkQueue(["bad", "late"], PatientClock())
    napping = asyncio.Event()

    async def visit(item: str) -> None:
        if item == "late":
            queue.delay(item, 60.0)
            napping.set()
        else:
            await napping.wait()
            await asyncio.sleep(0.01)
            raise LookupError(item)

    with pytest.raises(LookupError, match="bad"):
        await asyncio.wait_for(run_pool(queue, visit, workers=2), 20)


async def test_an_empty_queue_is_done_immediately(clock: FakeClock) -> None:
    gauge = Gauge()

    await run_pool(WorkQueue[int]((), clock), gauge, workers=3)

    assert gauge.begun == clock.slept == []


# ---------------------------------------------------------------- optional items


async def test_optional_items_are_left_if_nothing_else_is_to_be_done(clock: FakeClock) -> None:
    queue = WorkQueue([1, 2, 3], clock)
    done: list[int] = []

    async def work(item: int) -> None:
        if item == 2:
            queue.delay(item, 300.0, optional=True)
            return
        await asyncio.sleep(0)
        done.append(item)

    clock.may_pass = lambda: False
    await run_pool(queue, work, workers=3)

    assert sorted(done) == [1, 3]


async def test_optional_items_are_returned_while_other_work_goes_on(clock: FakeClock) -> None:
    queue = WorkQueue([1, 2], clock)
    done: list[int] = []
    again = asyncio.Event()

    async def work(item: int) -> None:
        if item == 1 and item not in done:
            done.append(item)
            queue.delay(item, 300.0, optional=True)
        elif item == 1:
            again.set()
        else:
            await again.wait()

    await run_pool(queue, work, workers=2)

    assert clock.passed == 300.0


@given(
    items=st.lists(st.sampled_from(["now", "later", "optional"]), max_size=12),
    workers=st.integers(1, 5),
)
@settings(deadline=None)
async def test_whatever_is_not_optional_is_always_returned(items: list[str], workers: int) -> None:
    clock = QuickClock()
    queue = WorkQueue(enumerate(items), clock)
    done: set[int] = set()
    delayed: set[int] = set()

    async def work(item: tuple[int, str]) -> None:
        number, kind = item
        if kind != "now" and number not in delayed:
            delayed.add(number)
            queue.delay(item, 5.0 if kind == "later" else 300.0, optional=kind == "optional")
            return
        done.add(number)

    await run_pool(queue, work, workers=workers)

    assert {number for number, kind in enumerate(items) if kind != "optional"} <= done


@pytest.mark.parametrize("passes", range(6))
async def test_a_cancellation_that_comes_with_an_event_is_kept(passes: int) -> None:
    event = asyncio.Event()
    waiting = asyncio.create_task(wait_at_most(event, 60))
    await asyncio.sleep(0)
    event.set()
    for _ in range(passes):  # of the event loop, between the event and the cancellation
        await asyncio.sleep(0)
    is_cancelled = waiting.cancel()

    await asyncio.wait([waiting])

    assert waiting.cancelled() is is_cancelled


async def test_a_wait_ends_with_the_event_or_its_time() -> None:
    event = asyncio.Event()
    await wait_at_most(event, 0.001)
    event.set()
    await wait_at_most(event, 60)
