"""``BlockingExecutor``: short calls in the event loop, slow ones in threads."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from bandersnatch.concurrency import SHORT, BlockingExecutor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOP = threading.current_thread()


class Stopwatch:
    """A clock that calls advance, by waiting or by processor time."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.worked = 0.0

    def __call__(self) -> float:
        return self.time

    def call(self, seconds: float) -> Callable[[], bool]:
        """Return a call that takes ``seconds`` and returns whether it ran in the event loop."""

        def take_time() -> bool:
            self.time += seconds
            return threading.current_thread() is LOOP

        return take_time


@pytest.fixture
def stopwatch() -> Stopwatch:
    return Stopwatch()


@pytest.fixture
def threads(stopwatch: Stopwatch) -> Iterator[BlockingExecutor]:
    threads = BlockingExecutor(2, "test", stopwatch, lambda: stopwatch.worked)
    yield threads
    threads.close()


async def stalled(threads: BlockingExecutor, stopwatch: Stopwatch) -> None:
    """Make enough slow calls that the next ones run in threads."""
    for _ in range(3):
        await threads.run_short(stopwatch.call(1.0))


def fail() -> None:
    raise LookupError("of the call")


# ---------------------------------------------------------------- run_short


async def test_short_calls_run_in_the_event_loop(
    threads: BlockingExecutor, stopwatch: Stopwatch
) -> None:
    assert all([await threads.run_short(stopwatch.call(SHORT / 2)) for _ in range(500)])


async def test_calls_that_became_slow_run_in_threads(
    threads: BlockingExecutor, stopwatch: Stopwatch
) -> None:
    ran_here = [await threads.run_short(stopwatch.call(SHORT * 2)) for _ in range(100)]

    here = ran_here.index(False)
    assert here < 30
    assert not any(ran_here[here:])


async def test_one_stalled_call_is_tolerated_and_several_in_a_row_are_not(
    threads: BlockingExecutor, stopwatch: Stopwatch
) -> None:
    for _ in range(3):
        assert all([await threads.run_short(stopwatch.call(0)) for _ in range(200)])
        assert await threads.run_short(stopwatch.call(5.0))
    assert all([await threads.run_short(stopwatch.call(0)) for _ in range(200)])

    await stalled(threads, stopwatch)
    assert not await threads.run_short(stopwatch.call(0))


async def test_calls_with_much_processor_time_stay_in_the_event_loop(
    threads: BlockingExecutor, stopwatch: Stopwatch
) -> None:
    """Threads would not make them faster."""

    def work() -> bool:
        stopwatch.time += 1.0
        stopwatch.worked += 1.0
        return threading.current_thread() is LOOP

    assert all([await threads.run_short(work) for _ in range(100)])


async def test_a_few_slow_calls_among_many_are_tolerated(
    threads: BlockingExecutor, stopwatch: Stopwatch
) -> None:
    for _ in range(50):
        assert await threads.run_short(stopwatch.call(SHORT * 10))
        assert all([await threads.run_short(stopwatch.call(0)) for _ in range(20)])


async def test_slow_calls_are_tried_in_the_event_loop_again_later(
    threads: BlockingExecutor, stopwatch: Stopwatch
) -> None:
    await stalled(threads, stopwatch)
    stopwatch.time += 9.9
    assert not await threads.run_short(stopwatch.call(0))
    stopwatch.time += 0.2

    assert await threads.run_short(stopwatch.call(0))
    assert await threads.run_short(stopwatch.call(SHORT))
    await stalled(threads, stopwatch)
    assert not await threads.run_short(stopwatch.call(0))


async def test_failing_calls_are_timed_too(threads: BlockingExecutor, stopwatch: Stopwatch) -> None:
    def fail_slowly() -> None:
        stopwatch.time += 1.0
        fail()

    for _ in range(3):
        with pytest.raises(LookupError):
            await threads.run_short(fail_slowly)

    assert not await threads.run_short(stopwatch.call(0))


async def test_real_time_is_measured_by_default() -> None:
    threads = BlockingExecutor(1, "test")
    pause = threading.Event()
    try:
        for _ in range(3):
            await threads.run_short(lambda: pause.wait(0.05))
        assert await threads.run_short(threading.current_thread) is not LOOP
    finally:
        threads.close()


# ---------------------------------------------------------------- run


async def test_the_event_loop_continues_while_a_call_runs_in_a_thread(
    threads: BlockingExecutor,
) -> None:
    release = threading.Event()
    task = asyncio.create_task(threads.run(lambda: release.wait(30)))

    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
    release.set()

    assert await task


async def test_as_many_calls_as_there_are_threads_run_concurrently(
    threads: BlockingExecutor,
) -> None:
    both = threading.Barrier(2, timeout=30)
    running: list[str] = []

    def call() -> None:
        both.wait()
        running.append(threading.current_thread().name)

    await asyncio.gather(*(threads.run(call) for _ in range(4)))

    assert set(running) == {"test_0", "test_1"}


@pytest.mark.parametrize("way", ["run", "quick", "quick in a thread"])
async def test_errors_of_calls_are_raised(
    threads: BlockingExecutor, stopwatch: Stopwatch, way: str
) -> None:
    if way == "quick in a thread":
        await stalled(threads, stopwatch)
    act = threads.run if way == "run" else threads.run_short

    with pytest.raises(LookupError, match="of the call"):
        await act(fail)

    assert await threads.run(lambda: 17) == 17


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("times", [1, 2, 5])
async def test_a_cancelled_task_waits_for_the_end_of_its_call(
    threads: BlockingExecutor, times: int, *, fails: bool
) -> None:
    """The task may be cancelled repeatedly, and the call may fail."""
    began, release = threading.Event(), threading.Event()
    ended: list[str] = []

    def call() -> None:
        began.set()
        release.wait(30)
        ended.append("call")
        if fails:
            fail()

    async def work() -> None:
        try:
            await threads.run(call)
        finally:
            ended.append("task")

    task = asyncio.create_task(work())
    await asyncio.to_thread(began.wait)
    for _ in range(times):
        task.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
    assert not task.done()
    release.set()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["call", "task"]


async def test_a_long_call_is_notified_when_its_task_is_cancelled(
    threads: BlockingExecutor,
) -> None:
    began, told = threading.Event(), threading.Event()

    def call() -> bool:
        began.set()
        return told.wait(30)

    task = asyncio.create_task(threads.run(call, cancel=told.set))
    await asyncio.to_thread(began.wait)
    assert not told.is_set()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert told.is_set()


async def test_a_task_cancelled_after_its_call_ended_does_not_wait(
    threads: BlockingExecutor,
) -> None:
    async def work() -> None:
        await threads.run(lambda: None)

    task = asyncio.create_task(work())
    for _ in range(3):
        await asyncio.sleep(0)
    assert threads._executor.submit(lambda: 1).result() == 1
    task.cancel()

    await asyncio.wait([task])


def test_closing_waits_for_running_calls_and_rejects_new_ones() -> None:
    threads = BlockingExecutor(1, "test")
    began, ended = threading.Event(), threading.Event()

    def call() -> None:
        began.set()
        ended.wait(30)

    async def main() -> None:
        task = asyncio.create_task(threads.run(call))
        await asyncio.to_thread(began.wait)
        with ThreadPoolExecutor(1) as other:
            closing = other.submit(threads.close)
            assert not closing.done()
            ended.set()
            await asyncio.wrap_future(closing)
        await task
        with pytest.raises(RuntimeError):
            await threads.run(lambda: None)

    asyncio.run(main())
