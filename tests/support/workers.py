"""Workers of a mirror, as processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Self

from tests.support.processes import default_signals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.site import Site

_LIMIT = 240.0
"""Seconds that anything may take."""


class WorkerProcess:
    """A process of ``bandersnatch work``; a context, which ends it."""

    def __init__(self, config: Path, log: Path, *flags: str, command: str = "work") -> None:
        self.log = log
        self._arguments = ["-c", str(config), command, *flags]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bandersnatch", *self._arguments],
                stdout=log,
                stderr=log,
                preexec_fn=default_signals,  # noqa: PLW1509 - it only sets signals
            )
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Kill it, if it is there."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait(_LIMIT)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process."""
        assert self._process is not None, "it was started"
        return self._process

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end, and return its code."""
        return self.process.wait(_LIMIT)

    def text(self) -> str:
        """Return what it has logged."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wait_for(self, text: str) -> None:
        """Wait until it has logged a text."""
        wait_until(lambda: text in self.text(), lambda: f"no {text!r} in {self.text()}")


def wait_until(is_so: Callable[[], bool], why: Callable[[], str] = lambda: "too late") -> None:
    """Wait until something is so."""
    until = time.monotonic() + _LIMIT
    while not is_so():
        assert time.monotonic() < until, why()
        time.sleep(0.02)


@contextmanager
def workers(site: Site, count: int = 2) -> Iterator[list[WorkerProcess]]:
    """Start workers of a mirror, and end them."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(WorkerProcess(site.config, site.home / f"worker{number}.log"))
            for number in range(count)
        ]
