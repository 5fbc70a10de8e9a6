"""SIGINT, SIGTERM and SIGHUP: the first signal cancels a run, a second one kills the process.

Imported before everything else, so it imports little: until the handlers are installed, a signal
ends the process as Python or the system chooses.
"""

from __future__ import annotations

import os
import signal
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import FrameType
    from typing import Self

    _Result = TypeVar("_Result")

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""SIGHUP exists on POSIX systems only, SIGBREAK on Windows only."""

REPEAT = 1.0
"""Seconds in which the same signal counts once: ``timeout`` and terminals send it to the process
and to its group."""


class Signals:
    """Handles signals while it is entered.

    Python's own handler would raise an exception at any instruction. These end the process until
    ``defer`` is called, because nothing is begun by then. Later they record the first signal and
    cancel the work that is running, if any; work that would begin after the signal does not. A
    second signal, if it is another one or comes ``REPEAT`` seconds later, kills the process.

    A signal that the caller of the program ignores, as ``nohup`` does, stays ignored. In threads
    other than the main one, where Python refuses handlers, none is installed.
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._deferred = False
        self._received: tuple[int, float] | None = None
        self._cancel: Callable[[], object] | None = None
        self._hang_up: Callable[[], object] | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Install the handlers."""
        if threading.current_thread() is threading.main_thread():
            known = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
            for number in known:
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Restore the handlers that were there before."""
        while self._before:
            signal.signal(*self._before.popitem())

    @property
    def stop_code(self) -> int:
        """The exit code of work that is being cancelled, whichever signal came."""
        from bandersnatch.state_word import STOPPED  # noqa: PLC0415 - see interruptible

        return STOPPED

    def defer(self) -> None:
        """From now on, let a signal cancel the work instead of ending the process."""
        self._deferred = True

    def on_hang_up(self, call: Callable[[], object]) -> None:
        """From now on, call this in the event loop at each SIGHUP instead of cancelling the work.

        Called inside the loop. Has no effect where SIGHUP does not exist or is ignored.
        """
        import asyncio  # noqa: PLC0415 - see interruptible

        loop = asyncio.get_running_loop()
        self._hang_up = lambda: loop.call_soon_threadsafe(call)

    def ignore(self) -> None:
        """Ignore signals for the rest of the process, whose work is done and its exit code set."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if not self._deferred:
            os._exit(128 + number)
        if self._hang_up is not None and number == getattr(signal, "SIGHUP", None):
            self._hang_up()
            return
        now = self._now()
        if self._received is None:
            self._received = number, now
            if self._cancel is not None:
                self._cancel()
        elif number != self._received[0] or now - self._received[1] >= REPEAT:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    async def interruptible(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Return the result of ``work``.

        :raises Interruption: if a signal came; by then ``work`` has been cancelled and has ended.
        """
        # Imported after the handlers are installed.
        import asyncio  # noqa: PLC0415

        from bandersnatch.errors import Interruption  # noqa: PLC0415

        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(work)
        # The handler may interrupt any instruction of the loop, so it only schedules a call.
        self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
        try:
            if self._received is not None:
                task.cancel()
            return await task
        except asyncio.CancelledError:
            if self._received is None:
                raise
            raise Interruption(self._received[0]) from None
        finally:
            self._cancel = None
