"""Runs ``bandersnatch mirror`` regularly, with the arguments of earlier images' ``runner.py``.

A run that fails does not end it. A signal is passed on to the run, which ends in order, and then
ends the runner with exit status 0.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_HOUR = re.compile(r"0?[0-9]|1[0-9]|2[0-3]")
_SECONDS = re.compile(r"[1-9][0-9]{0,7}")
_OUTSIDE = 60.0
"""Seconds between two looks at the clock outside of the allowed hours."""


def hours_range(text: str) -> frozenset[int]:
    """Return the hours of a range such as ``0-23``, ``22-5`` or ``3``; both ends belong to it.

    :raises ArgumentTypeError: if it is none.
    """
    first, dash, last = text.partition("-")
    ends = [first, last if dash else first]
    if not all(_HOUR.fullmatch(each) for each in ends):
        message = f"{text!r} is not a range of hours; write it as 22-5, or as one hour: 3"
        raise ArgumentTypeError(message)
    start, end = map(int, ends)
    return frozenset((start + each) % 24 for each in range((end - start) % 24 + 1))


def seconds(text: str) -> int:
    """Return a number of seconds that is at least 1.

    :raises ArgumentTypeError: if it is none.
    """
    if not _SECONDS.fullmatch(text):
        message = f"{text!r} is not a number of seconds; write 3600 for an hour"
        raise ArgumentTypeError(message)
    return int(text)


def arguments(argv: Sequence[str]) -> Namespace:
    """Return the arguments; exits with status 2 if they are wrong."""
    parser = ArgumentParser(description="Run bandersnatch mirror regularly.")
    parser.add_argument("-c", "--config", default="/conf/bandersnatch.conf", metavar="FILE")
    parser.add_argument(
        "--hours-range",
        type=hours_range,
        default="0-23",
        metavar="RANGE",
        help="begin runs in these hours of the local time only, such as 22-5",
    )
    parser.add_argument("--force-check", choices=("true", "false"), default="false")
    parser.add_argument(
        "interval",
        type=seconds,
        metavar="INTERVAL",
        help="seconds from the beginning of a run to that of the next one",
    )
    return parser.parse_args(argv)


class Runner:
    """Starts a run after each interval until a signal arrives."""

    def __init__(self, chosen: Namespace) -> None:
        self._chosen = chosen
        self._stopping = threading.Event()
        self._run: subprocess.Popen[bytes] | None = None

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Pass a signal on to the run, and end after it."""
        del frame
        self._stopping.set()
        if self._run is not None:
            self._run.send_signal(number)

    def work(self) -> None:
        """Work until a signal arrives."""
        while not self._stopping.is_set():
            began = time.monotonic()
            if time.localtime().tm_hour in self._chosen.hours_range:
                self.mirror()
                rest = self._chosen.interval - (time.monotonic() - began)
            else:
                rest = _OUTSIDE
            self._stopping.wait(max(rest, 0))

    def mirror(self) -> None:
        """Run ``mirror`` once, and report its failure."""
        command = [sys.executable, "-m", "bandersnatch", "-c", self._chosen.config, "mirror"]
        if self._chosen.force_check == "true":
            command.append("--force-check")
        with subprocess.Popen(command) as self._run:
            if self._stopping.is_set():  # the signal came just before the run
                self._run.send_signal(signal.SIGTERM)
            code = self._run.wait()
        self._run = None
        if code and not self._stopping.is_set():
            sys.stderr.write(f"mirror ended with exit status {code}; the next run follows\n")


def main(argv: Sequence[str]) -> int:
    """Run until a signal arrives, and return the exit status."""
    runner = Runner(arguments(argv))
    for each in _SIGNALS:
        signal.signal(each, runner.stop)
    runner.work()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
