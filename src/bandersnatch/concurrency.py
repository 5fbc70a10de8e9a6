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
"""Seconds; calls that wait longer on the average belong in threads."""

_STALL = 10 * SHORT
"""Seconds that one call counts for at most: even a fast disk stalls now and then."""

_WEIGHT = 0.05
"""How much the last call counts in the average."""

_RECONSIDER = 10.0
"""Seconds after which calls that were slow are given another chance."""


class BlockingExecutor:
    """A few threads that run one blocking call each at a time."""

    def __init__(
        self,
        count: int,
        name: str,
        stopwatch: Callable[[], float] = perf_counter,
        work: Callable[[], float] = thread_time,
    ) -> None:
        """Make them; ``stopwatch`` and ``work`` count seconds, all and those of the processor."""
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._stopwatch = stopwatch
        self._work = work
        self._average = 0.0
        self._slow_until = 0.0

    async def run_short(self, call: Callable[[], _Result]) -> _Result:
        """Return what a call returns that is expected to take microseconds."""
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
        """Return what ``call`` returns, or raise what it raises; it runs in a thread.

        A call cannot be taken back once it runs. So a cancelled task waits for its end: what
        the task then cleans up is no longer in use. ``cancel`` makes a long call end early.
        """
        future = asyncio.get_running_loop().run_in_executor(self._executor, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if cancel is not None:
                cancel()
            while not future.done():
                with suppress(asyncio.CancelledError):  # being cancelled twice changes nothing
                    await asyncio.wait([future])
            future.exception()  # seen; the cancellation matters more
            raise

    def close(self) -> None:
        """Wait for what is running and let no more begin."""
        self._executor.shutdown()


_Item = TypeVar("_Item")


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """Open a task group whose first failure is raised as itself, not within a group."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def bounded_map(
    work: Callable[[_Item], Awaitable[None]], items: Sequence[_Item], *, most: int
) -> None:
    """Do the work for every item, for at most ``most`` of them at once.

    The first failure stops the rest. The shared iterator is the queue.
    """
    shared = iter(items)

    async def worker() -> None:
        for item in shared:
            await work(item)

    if len(items) <= 1 or most <= 1:
        await worker()
        return
    async with task_group() as group:
        for _ in range(min(most, len(items)) - 1):
            group.create_task(worker())
        await worker()


class WorkQueue(Generic[_Item]):
    """Items in order; one that is put off comes back after a time, behind the others."""

    def __init__(self, items: Iterable[_Item], clock: Clock) -> None:
        self._fresh = iter(items)
        self._later: list[tuple[float, int, _Item]] = []
        self._order = itertools.count()
        self._clock = clock
        self._out = 0
        self._closed = False
        self._returned = asyncio.Event()
        self._naps: set[asyncio.Future[None]] = set()

    def close(self) -> None:
        """Give out nothing more, and wake those who wait."""
        self._closed = True
        self._returned.set()
        for nap in self._naps:
            nap.cancel()

    def put_off(self, item: _Item, seconds: float) -> None:
        """Give ``item`` out again when that time is over."""
        when = self._clock.monotonic() + seconds
        heapq.heappush(self._later, (when, next(self._order), item))

    def returned(self) -> None:
        """Take note that the work on one item has ended."""
        self._out -= 1
        self._returned.set()

    async def take(self) -> _Item | None:
        """Return the next item, None if there is none and none can come back any more.

        Every item is to be followed by a call of ``returned``.
        """
        while not self._closed:
            for item in self._fresh:
                self._out += 1
                return item
            if self._later:
                left = self._later[0][0] - self._clock.monotonic()
                if left <= 0:
                    self._out += 1
                    return heapq.heappop(self._later)[2]
                await self._nap(left)
            elif self._out:
                self._returned.clear()
                await self._returned.wait()
            else:
                break
        return None

    async def _nap(self, seconds: float) -> None:
        nap = asyncio.ensure_future(self._clock.sleep(seconds))
        self._naps.add(nap)
        try:
            await asyncio.wait([nap])
        finally:
            nap.cancel()
            self._naps.discard(nap)


async def run_pool(
    queue: WorkQueue[_Item], work: Callable[[_Item], Awaitable[None]], *, workers: int
) -> None:
    """Work the queue off, ``workers`` items at a time.

    What ``work`` raises stops everything at once.
    """

    async def worker() -> None:
        while (item := await queue.take()) is not None:
            try:
                await work(item)
            finally:
                queue.returned()

    async with task_group() as group:
        for _ in range(workers):
            group.create_task(worker())
