"""Measures whole processes from outside.

The system counts the peak memory of a process from that of its parent on, so a small interpreter
starts the command: ``python measure.py LOG COMMAND``.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


_UNCOMPILED = "PYTHONDONTWRITEBYTECODE"
"""Removed from the environment: each start would compile the program again."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of wall and CPU time, and bytes of peak memory and written to files."""

    wall: float
    user: float
    system: float
    memory: int
    written: int

    @property
    def cpu(self) -> float:
        """User and system time, in seconds."""
        return self.user + self.system


def measure(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
) -> Cost:
    """Run a command and return its cost; its output goes to ``log``.

    :raises RuntimeError: if it fails.
    """
    wrapper = [sys.executable, "-I", "-S", __file__, str(log), *command]
    ours = {name: value for name, value in os.environ.items() if name != _UNCOMPILED}
    env = {**ours, **(environment or {})}
    done = subprocess.run(wrapper, check=False, capture_output=True, text=True, env=env)
    if done.returncode:
        tail = log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{tail}{done.stderr}")
    return Cost(**json.loads(done.stdout))


def median(costs: Iterable[Cost], name: str) -> float:
    """Return the median of ``wall``, ``cpu`` or another field."""
    return float(statistics.median(getattr(cost, name) for cost in costs))


def _measure(log: Path, command: Sequence[str]) -> int:
    os.sync()  # the command must not wait for earlier writes when it flushes its own
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=output)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        wall = time.perf_counter() - began
    written = _written(process.pid)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    cost = Cost(wall, usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024, written)
    print(json.dumps(asdict(cost)))
    return process.returncode


def _written(process: int) -> int:
    """Return the number of bytes that a process wrote which has ended and is not reaped yet."""
    for line in Path(f"/proc/{process}/io").read_text().splitlines():
        if line.startswith("wchar:"):
            return int(line.split()[1])
    return 0


if __name__ == "__main__":
    sys.exit(_measure(Path(sys.argv[1]), sys.argv[2:]))
