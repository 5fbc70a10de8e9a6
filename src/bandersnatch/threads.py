"""Blocking calls: on the event loop while they take microseconds, in threads when they do not.

Handing a call to a thread and its result back costs more than creating a small file on a local
disk does, most of it in waiting for the interpreter lock. On a slow disk, or one across a
network, it is the other way round, and the loop must not wait. So the time that quick calls spend
waiting, and not working, decides.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import perf_counter, thread_time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Result = TypeVar("_Result")

QUICK = 0.001
"""Seconds; calls that wait longer on the average belong in threads."""

_STALL = 10 * QUICK
"""Seconds that one call counts for at most: even a fast disk stalls now and then."""

_WEIGHT = 0.05
"""How much the last call counts in the average."""

_RECONSIDER = 10.0
"""Seconds after which calls that were slow are given another chance."""


class Threads:
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

    async def quick(self, call: Callable[[], _Result]) -> _Result:
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
            if self._average > QUICK:
                self._average, self._slow_until = 0.0, ended + _RECONSIDER

    async def run(
        self, call: Callable[[], _Result], *, give_up: Callable[[], None] | None = None
    ) -> _Result:
        """Return what ``call`` returns, or raise what it raises; it runs in a thread.

        A call cannot be taken back once it runs. So a cancelled task waits for its end: what
        the task then cleans up is no longer in use. ``give_up`` tells a long call to end early.
        """
        future = asyncio.get_running_loop().run_in_executor(self._executor, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if give_up is not None:
                give_up()
            while not future.done():
                with suppress(asyncio.CancelledError):  # being cancelled twice changes nothing
                    await asyncio.wait([future])
            future.exception()  # seen; the cancellation matters more
            raise

    def close(self) -> None:
        """Wait for what is running and let no more begin."""
        self._executor.shutdown()
