"""Blocking calls, kept off the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Result = TypeVar("_Result")


class Threads:
    """A few threads that run one blocking call each at a time."""

    def __init__(self, count: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, call: Callable[[], _Result]) -> _Result:
        """Return what ``call`` returns, or raise what it raises.

        A call cannot be taken back once it runs. So a cancelled task waits for its end: what
        the task then cleans up is no longer in use.
        """
        future = asyncio.get_running_loop().run_in_executor(self._executor, call)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if not future.done():
                await asyncio.wait([future])
            if not future.cancelled():
                future.exception()  # seen; the cancellation matters more
            raise

    def close(self) -> None:
        """Wait for what is running and let no more begin."""
        self._executor.shutdown()
