"""Makes the n-th call of any system call fail in a real process, with ``strace --inject``.

Each process is forked from one that has run every command on another mirror, so that everything is
imported, and waits; only then is it traced. So calls are counted, and fail, in its run alone, on
each thread.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
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

_PARENT = """
import contextlib, io, json, logging, os, sys
from bandersnatch.cli.main import main
from tests.support.clock import FakeClock
sys.modules["uvloop"] = None  # libuv aborts in a fork of a process that had threads of libuv
with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
    for command in json.loads(sys.argv[2]):
        main(["-c", sys.argv[1], *command], clock=FakeClock())
        logging.getLogger("bandersnatch").handlers.clear()
del sys.modules["uvloop"]
with contextlib.suppress(ImportError):
    import uvloop
print("warm", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    pid = os.fork()
    if pid == 0:
        report = os.dup(1)
        os.dup2(os.open(os.devnull, os.O_RDWR), 0)
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        os.dup2(os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        gate = os.open(order["gate"], os.O_RDWR)
        clock = FakeClock()
        clock.passed = order["passed"]
        os.write(report, b"%d\\n" % os.getpid())
        with contextlib.suppress(OSError):
            os.read(gate, 1)
        sys.exit(main(order["arguments"], clock=clock))
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""

WARM_COMMANDS = (
    *(("mirror",), ("verify",), ("sync", "alpha")),
    *(("delete", "--until-next-change", "alpha"), ("restore", "alpha")),
)
"""What the parent has run before it forks the first process."""

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


class TracedProgram:
    """Forks processes of the program, and traces them."""

    def __init__(self) -> None:
        self._parent: subprocess.Popen[str] | None = None

    @property
    def is_warm(self) -> bool:
        """Whether the parent runs already."""
        return self._parent is not None

    def warm_up(self, config: Path) -> None:
        """Start the parent, which runs on another mirror first."""
        commands = json.dumps(WARM_COMMANDS)
        program = [sys.executable, "-c", _PARENT, str(config), commands]
        self._parent = start(program, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        atexit.register(self.close)
        assert self._answer() == "warm"

    def close(self) -> None:
        """End the parent."""
        if self._parent is not None:
            self._parent.kill()
            self._parent.communicate()
            self._parent = None

    def run(
        self, arguments: Sequence[str], home: Path, *, inject: str, passed: float, may_hang: bool
    ) -> Traced:
        """Run the program with these arguments; ``inject`` is as in ``strace(1)``.

        ``passed`` is the time of the fake clock. A process that ``may_hang`` is killed at the
        limit; with any other one the test fails.
        """
        log, trace, gate = home / "stderr", home / "strace", home / "gate"
        os.mkfifo(gate)
        self._order(arguments=list(arguments), log=str(log), gate=str(gate), passed=passed)
        pid = int(self._answer())
        try:
            with _attached(pid, trace, inject):
                gate.write_bytes(b".")
                code = self._ended(pid, may_hang=may_hang)
        except BaseException:
            self.close()
            raise
        injected = [line for line in trace.read_text().splitlines() if "(INJECTED)" in line]
        return Traced(code, log.read_text(errors="replace"), injected)

    def _order(self, **order: object) -> None:
        assert self._parent is not None
        assert self._parent.stdin is not None
        self._parent.stdin.write(f"{json.dumps(order)}\n")
        self._parent.stdin.flush()

    def _answer(self, limit: float = LIMIT) -> str:
        """Return the next line of the parent, "" if there is none within a limit in seconds."""
        assert self._parent is not None
        assert self._parent.stdout is not None
        ready, _, _ = select.select([self._parent.stdout], [], [], limit)
        return self._parent.stdout.readline().strip() if ready else ""

    def _ended(self, pid: int, *, may_hang: bool) -> int:
        """Return the exit status of a process."""
        told = self._answer()
        if not told:
            os.kill(pid, signal.SIGKILL)
            told = self._answer()
            assert may_hang, f"it did not end within {LIMIT} seconds"
        return int(told)


@contextmanager
def _attached(pid: int, trace: Path, inject: str) -> Iterator[None]:
    """Trace a process in the block, at whose end it must have ended."""
    call = inject.partition(":")[0]
    command = ["strace", "-f", "-o", str(trace), "-e", "signal=none", "-e", f"trace={call}"]
    command += ["-e", f"inject={inject}"]
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
