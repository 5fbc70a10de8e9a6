"""Whole processes, measured from outside."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


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


def measure(command: Sequence[str], *, log: Path, cwd: Path | None = None) -> Cost:
    """Run a command to its end and return what it cost; its output goes to ``log``.

    :raises RuntimeError: if it fails.
    """
    with log.open("wb") as output:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=cwd)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{command[0]} ended with {process.returncode}:\n{tail}")
    return Cost(wall, usage.ru_utime, usage.ru_stime, usage.ru_maxrss * 1024)
