"""Whole processes, measured from outside.

The peak of memory that the system counts for a process begins with that of the process that
started it, so a small interpreter of its own stands in between: ``python measure.py LOG COMMAND``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process took: seconds of wall and CPU time, and peak memory in bytes."""

    wall: float
    user: float
    system: float
    memory: int

    @property
    def cpu(self) -> float:
        """User and system time together, in seconds."""
        return self.user + self.system


def measure(command: Sequence[str], *, log: Path) -> Cost:
    """Run a command to its end and return what it cost; its output goes to ``log``.

    :raises RuntimeError: if it fails.
    """
    between = [sys.executable, __file__, str(log), *command]
    done = subprocess.run(between, check=False, capture_output=True, text=True)
    if done.returncode:
        tail = log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{tail}{done.stderr}")
    return Cost(**json.loads(done.stdout))


def _measure(log: Path, command: Sequence[str]) -> int:
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    cost = Cost(wall, usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024)
    print(json.dumps(asdict(cost)))
    return process.returncode


if __name__ == "__main__":
    sys.exit(_measure(Path(sys.argv[1]), sys.argv[2:]))
