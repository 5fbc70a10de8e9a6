"""SIGINT, SIGTERM and SIGHUP: the first signal cancels a run, a second one kills the process."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any, TypeVar

from bandersnatch.errors import Interruption

if TYPE_CHECKING:
    from collections.abc import Coroutine

    _Result = TypeVar("_Result")

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


async def interruptible(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Return the result of ``work``.

    A signal that the caller of the program ignores, as ``nohup`` does, stays ignored.

    :raises Interruption: if a signal came; by then ``work`` has been cancelled and has ended.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    received: list[int] = []

    def stop(number: int) -> None:
        if received:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        received.append(number)
        task.cancel()

    known = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    numbers = [number for number in known if signal.getsignal(number) != signal.SIG_IGN]
    for number in numbers:
        loop.add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not received:
            raise
        raise Interruption(received[0]) from None
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
