"""The end of the hours in which runs may work: it stops a run in order, as a signal does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from bandersnatch.cli.exit_codes import ExitCode
from bandersnatch.errors import ClosedHours

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from bandersnatch.cli.signals import Signals

_Result = TypeVar("_Result")


class Deadline:
    """Stops work after ``seconds``, or when a signal comes; ``hours`` is what ends then."""

    def __init__(self, signals: Signals | Deadline, seconds: float, hours: str) -> None:
        self._signals = signals
        self._seconds = seconds
        self._hours = hours
        self._is_over = False

    @property
    def stop_code(self) -> int:
        """The exit code of work that is being cancelled: ``PARTIAL`` when the hours have ended."""
        return ExitCode.PARTIAL if self._is_over else self._signals.stop_code

    def on_hang_up(self, call: Callable[[], object]) -> None:
        """From now on, call this at each SIGHUP."""
        self._signals.on_hang_up(call)

    async def interruptible(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Return the result of ``work``.

        :raises ClosedHours: if it did not end in time; by then it has been cancelled and has ended.
        :raises Interruption: if a signal came.
        """
        task = asyncio.ensure_future(self._signals.interruptible(work))

        def stop() -> None:
            self._is_over = True
            task.cancel()

        timer = asyncio.get_running_loop().call_later(self._seconds, stop)
        try:
            return await task
        except asyncio.CancelledError:
            if not self._is_over:
                raise
            raise ClosedHours(self._hours) from None
        finally:
            timer.cancel()
            task.cancel()
