"""Processes that tests start: the program with a fake clock, and others with default signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_DRIVER = """
import json, pathlib, re, sys
from bandersnatch.cli.main import main
from tests.support.clock import FakeClock
clock = FakeClock()
clock.passed = float(sys.argv[2])
code = main(sys.argv[3:], clock=clock)
status = pathlib.Path("/proc/self/status")
peak = re.search("VmHWM:\\\\s+(\\\\d+)", status.read_text()) if status.exists() else None
measured = {"slept": clock.slept, "peak": int(peak[1]) / 1024 if peak else 0}
pathlib.Path(sys.argv[1]).write_text(json.dumps(measured))
sys.exit(code)
"""

_IGNORED_BY_CALLERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def default_signals() -> None:
    """Restore the default actions of signals, in a new process before its program begins.

    A process inherits which signals are ignored: ``nohup`` ignores SIGHUP, and a shell ignores
    SIGINT in what it starts in the background. Tests that send signals must not depend on it.
    """
    for number in _IGNORED_BY_CALLERS:
        signal.signal(number, signal.SIG_DFL)


def default_handlers() -> Iterator[None]:
    """Restore the default handlers of signals in this process until the generator goes on."""
    before = {number: signal.getsignal(number) for number in _IGNORED_BY_CALLERS}
    default_signals()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def start(
    command: Sequence[str],
    *,
    stdin: int | None = None,
    stderr: int | None = subprocess.PIPE,
    env: Mapping[str, str] | None = None,
    new_session: bool = False,
) -> subprocess.Popen[str]:
    """Start a process in which signals have their default actions; its output is piped."""
    return subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=env,
        text=True,
        start_new_session=new_session,
        preexec_fn=default_signals,  # noqa: PLW1509 - it only makes system calls
    )


@dataclass(frozen=True)
class Ended:
    """How a process ended; ``peak`` is the most memory it used, in MiB, 0 if unknown."""

    code: int
    out: str
    log: str
    slept: list[float]
    peak: float


def run_process(
    arguments: list[str], home: Path, *, passed: float = 0.0, environment: Mapping[str, str]
) -> Ended:
    """Run the program with a fake clock that starts ``passed`` seconds late; wait for its end."""
    path = home / "process.json"
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, str(path), str(passed), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
        preexec_fn=default_signals,
    )
    assert path.exists(), done.stderr
    measured = json.loads(path.read_text())
    path.unlink()
    return Ended(done.returncode, done.stdout, done.stderr, measured["slept"], measured["peak"])
