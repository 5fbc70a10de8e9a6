"""Task groups, a bounded map, a work queue, and the executor for blocking calls."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from time import perf_counter, thread_time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence

    from bandersnatch.clock import Clock


_Result = TypeVar("_Result")

SHORT = 0.001
"""Seconds: calls that wait longer than this on average are run in threads."""

_STALL = 10 * SHORT
"""Seconds that one call counts for at most: even a fast disk stalls occasionally."""

_WEIGHT = 0.05
"""The weight of the last call in the moving average."""

_RECONSIDER = 10.0
"""Seconds after which calls that were slow are run in the event loop again."""


class BlockingExecutor:
    """Runs blocking calls in a few threads, and short ones in the event loop while it is fast."""

    def __init__(
        self,
        count: int,
        name: str,
        stopwatch: Callable[[], float] = perf_counter,
        work: Callable[[], float] = thread_time,
    ) -> None:
        """Create ``count`` threads; ``stopwatch`` measures elapsed, ``work`` processor seconds."""
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._stopwatch = stopwatch
        self._work = work
        self._average = 0.0
        self._slow_until = 0.0

    async def run_short(self, call: Callable[[], _Result]) -> _Result:
        """Return the result of a call that usually takes microseconds."""
        began, worked = self._stopwatch(), self._work()
        if began < self._slow_until:
            return await self.run(call)
        try:
            return call()
        finally:
            ended = self._stopwatch()
            waited = ended - began - (self._work() - worked)
            self._average += (min(waited, _STALL) - self._average) * _WEIGHT
            if self._average > SHORT:
                self._average, self._slow_until = 0.0, ended + _RECONSIDER

    async def run(
        self, call: Callable[[], _Result], *, cancel: Callable[[], None] | None = None
    ) -> _Result:
        """Run a call in a thread, and return or raise what it does.

        A running call cannot be interrupted. So a cancelled task waits until it has ended: what
        the task cleans up then is not in use any more. ``cancel`` makes a long call end early.
        """
        future = asyncio.get_running_loop().run_in_executor(self._executor, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if cancel is not None:
                cancel()
            while not future.done():
                with suppress(asyncio.CancelledError):  # a second cancellation changes nothing
                    await asyncio.wait([future])
            future.exception()  # retrieved, so that it is not logged
            raise

    def close(self) -> None:
        """Wait for the calls that are running, and accept no more."""
        self._executor.shutdown()


_Item = TypeVar("_Item")


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """Open a task group that raises its first failure itself, not an exception group."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def wait_at_most(event: asyncio.Event, seconds: float) -> None:
    """Wait until an event is set, at most for some seconds.

    In Python 3.11 ``asyncio.wait_for`` drops a cancellation that comes together with the event.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def bounded_map(
    work: Callable[[_Item], Awaitable[None]], items: Sequence[_Item], *, most: int
) -> None:
    """Call ``work`` for every item, for at most ``most`` items concurrently.

    The first failure cancels the rest.
    """
    queue = iter(items)

    async def worker() -> None:
        for item in queue:
            await work(item)

    if len(items) <= 1 or most <= 1:
        await worker()
        return
    async with task_group() as group:
        for _ in range(min(most, len(items)) - 1):
            group.create_task(worker())
        await worker()


class WorkQueue(Generic[_Item]):
    """A queue of items, of which some are delayed and returned after the others."""

    def __init__(self, items: Iterable[_Item], clock: Clock) -> None:
        self._items = iter(items)
        self._delayed: list[tuple[float, int, bool, _Item]] = []
        self._required = 0
        self._order = itertools.count()
        self._clock = clock
        self._running = 0
        self._closed = False
        self._item_done = asyncio.Event()
        self._sleeps: set[asyncio.Future[None]] = set()
        self.drained = asyncio.Event()
        """Set when every item was returned once, and only the last ones are left."""

    def close(self) -> None:
        """Return no more items, and wake the workers that wait for one."""
        self._closed = True
        self._item_done.set()
        self._wake()

    def delay(self, item: _Item, seconds: float, *, optional: bool = False) -> None:
        """Return ``item`` again after ``seconds``; an optional one only if the queue lasts so long.

        The queue ends when there is neither running work nor an item that is not optional.
        """
        when = self._clock.monotonic() + seconds
        heapq.heappush(self._delayed, (when, next(self._order), optional, item))
        self._required += not optional

    def done(self) -> None:
        """Report that the work on one item has ended."""
        self._running -= 1
        self._item_done.set()
        if self._delayed and not self._lasts:
            self._wake()

    @property
    def _lasts(self) -> bool:
        return self._running > 0 or self._required > 0

    def _wake(self) -> None:
        for sleep in self._sleeps:
            sleep.cancel()

    async def take(self) -> _Item | None:
        """Return the next item; None if there is none, and no running work can delay one.

        The caller calls ``done`` once for every item.
        """
        while not self._closed:
            for item in self._items:
                self._running += 1
                return item
            self.drained.set()
            if self._delayed:
                left = self._delayed[0][0] - self._clock.monotonic()
                if left <= 0:
                    self._running += 1
                    _, _, optional, item = heapq.heappop(self._delayed)
                    self._required -= not optional
                    return item
                if not self._lasts:
                    break
                await self._sleep(left)
            elif self._running:
                self._item_done.clear()
                await self._item_done.wait()
            else:
                break
        return None

    async def _sleep(self, seconds: float) -> None:
        sleep = asyncio.ensure_future(self._clock.sleep(seconds))
        self._sleeps.add(sleep)
        try:
            await asyncio.wait([sleep])
        finally:
            sleep.cancel()
            self._sleeps.discard(sleep)


async def run_pool(
    queue: WorkQueue[_Item], work: Callable[[_Item], Awaitable[None]], *, workers: int
) -> None:
    """Call ``work`` for every item of the queue, for ``workers`` items concurrently.

    The first exception cancels the rest.
    """

    async def worker() -> None:
        while (item := await queue.take()) is not None:
            try:
                await work(item)
            finally:
                queue.done()

    async with task_group() as group:
        for _ in range(workers):
            group.create_task(worker())
