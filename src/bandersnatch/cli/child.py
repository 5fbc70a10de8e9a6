"""``python -m bandersnatch.cli.child CONFIG NUMBER``: a process that syncs projects for ``mirror``.

``mirror`` starts it, and tells it what to do through its standard input; nobody else can use it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bandersnatch.app import SystemClock, open_child_worker
from bandersnatch.cli.invocation import runner
from bandersnatch.cli.main import ALLOCATIONS
from bandersnatch.cli.stdio import take_pipes
from bandersnatch.cluster.pipes import PipeWorkerQueue
from bandersnatch.errors import BandersnatchError

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE = 256 * 1024
_ORPHAN = 70
"""The exit code of a process whose coordinator was killed."""

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


class _Output:
    """Writes to the pipe to the coordinator, in order; a thread waits until it is read."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._pieces: list[bytes] = []
        self._is_ready = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._write_all, daemon=True)
        self._thread.start()

    def write(self, piece: bytes) -> None:
        """Write a piece, soon."""
        with self._is_ready:
            self._pieces.append(piece)
            self._is_ready.notify()

    def close(self) -> None:
        """Wait until everything is written."""
        with self._is_ready:
            self._is_closed = True
            self._is_ready.notify()
        self._thread.join()

    def _write_all(self) -> None:
        while True:
            with self._is_ready:
                self._is_ready.wait_for(lambda: self._pieces or self._is_closed)
                some, self._pieces = self._pieces, []
            if not some:
                return
            rest = memoryview(b"".join(some))
            while rest:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except OSError:
                    os._exit(_ORPHAN)


def _read(descriptor: int, take: Callable[[bytes], object]) -> None:
    """Give ``take`` what the coordinator sends; end the process when the coordinator has ended.

    A thread does it: the process must write nothing more then, whatever its event loop does.
    """
    while piece := os.read(descriptor, _PIECE):
        take(piece)
    os._exit(_ORPHAN)


async def _work(config: Path, number: str, output: _Output, descriptor: int) -> int:
    loop = asyncio.get_running_loop()
    queue = PipeWorkerQueue(output.write)

    def take(piece: bytes) -> None:
        with suppress(RuntimeError):  # the work has ended, and the loop is closed
            loop.call_soon_threadsafe(queue.take_in, piece)

    threading.Thread(target=_read, args=(descriptor, take), daemon=True).start()
    worker = open_child_worker(config, number, queue, SystemClock())
    work = asyncio.ensure_future(worker.run(once=True))
    end = asyncio.ensure_future(queue.ended.wait())
    await asyncio.wait([work, end], return_when=asyncio.FIRST_COMPLETED)
    end.cancel()
    if not work.done():
        work.cancel()
    try:
        await work
    except asyncio.CancelledError:
        pass
    except BandersnatchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def main() -> int:
    """Work until the coordinator says that the run is over, and return the exit code."""
    for name in _SIGNALS:  # the coordinator ends this process, in order
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    descriptor, written = take_pipes()
    output = _Output(written)
    gc.set_threshold(ALLOCATIONS)
    code = runner()(_work(Path(sys.argv[1]), sys.argv[2], output, descriptor))
    output.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
