"""Makes the n-th call of any system call fail in a real process, with ``strace --inject``.

The process first runs once on another mirror, so that everything is imported, and waits; only
then is it traced. So calls are counted, and fail, in the second run alone, on each thread.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import start
from tests.support.programs import require_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_DRIVER = """
import contextlib, io, logging, sys
from bandersnatch.cli.main import main
from tests.support.clock import FakeClock
clock = FakeClock()
clock.passed = float(sys.argv[1])
with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
    main(["-c", sys.argv[2], "mirror"], clock=clock)
logging.getLogger("bandersnatch").handlers.clear()
print("ready", flush=True)
sys.stdin.readline()
sys.exit(main(sys.argv[3:], clock=clock))
"""

LIMIT = 60
"""Seconds in which the process must have ended."""


@dataclass(frozen=True)
class Traced:
    """The end of a process; ``injected`` has the calls that failed, as strace shows them."""

    code: int
    log: str
    injected: list[str]


def require_strace() -> None:
    """Skip the test where strace is missing, or cannot trace or inject."""
    program = require_program("strace")
    command = [program, "-qq", "-o", os.devnull, "-e", "inject=getppid:error=EIO", "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"strace cannot be used here: {done.stderr.strip()[:200]}")


def run_with_error(
    arguments: Sequence[str],
    warm: Path,
    home: Path,
    *,
    inject: str,
    passed: float,
    may_hang: bool,
) -> Traced:
    """Run the program with these arguments; ``inject`` is as in ``strace(1)``.

    ``warm`` is the configuration of the first run; ``passed`` is the time of the fake clock. A
    process that ``may_hang`` is killed at the limit; with any other one the test fails.
    """
    log, trace = home / "stderr", home / "strace"
    command = [sys.executable, "-c", _DRIVER, str(passed), str(warm), *arguments]
    with (
        log.open("w") as stderr,
        start(command, stdin=subprocess.PIPE, stderr=stderr.fileno()) as process,
    ):
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", log.read_text()
            with _attached(process.pid, trace, inject):
                _let_go(process, may_hang=may_hang)
        finally:
            process.kill()
    injected = [line for line in trace.read_text().splitlines() if "(INJECTED)" in line]
    return Traced(process.returncode, log.read_text(errors="replace"), injected)


def _let_go(process: subprocess.Popen[str], *, may_hang: bool) -> None:
    try:
        process.communicate("go\n", timeout=LIMIT)
    except subprocess.TimeoutExpired:
        if not may_hang:
            raise
        process.kill()
        process.communicate()


@contextmanager
def _attached(pid: int, trace: Path, inject: str) -> Iterator[None]:
    """Trace a process in the block, at whose end it must have ended."""
    command = ["strace", "-f", "-o", str(trace), "-e", "signal=none", "-e", f"inject={inject}"]
    with subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE) as tracer:
        try:
            assert tracer.stderr is not None
            end, said = time.monotonic() + LIMIT, b""
            while b"attached" not in said:
                wait = max(0, end - time.monotonic())
                ready, _, _ = select.select([tracer.stderr], [], [], wait)
                some = os.read(tracer.stderr.fileno(), 1000) if ready else b""
                if not some:
                    pytest.skip(f"strace cannot trace the process: {said.decode()}")
                said += some
            yield
            tracer.wait(LIMIT)
        finally:
            tracer.kill()
