"""The program as a process of its own, with a clock that nobody has to wait for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
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
told = {"slept": clock.slept, "peak": int(peak[1]) / 1024 if peak else 0}
pathlib.Path(sys.argv[1]).write_text(json.dumps(told))
sys.exit(code)
"""


@dataclass(frozen=True)
class Ended:
    """What a process came to; ``peak`` is the most memory it ever had, in MiB, 0 if not known."""

    code: int
    out: str
    log: str
    slept: list[float]
    peak: float


def run_process(
    arguments: list[str], home: Path, *, passed: float = 0.0, environment: Mapping[str, str]
) -> Ended:
    """Run the program, as many seconds after the beginning of its clock, and wait for its end."""
    told = home / "process.json"
    done = subprocess.run(
        [sys.executable, "-c", _DRIVER, str(told), str(passed), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )
    assert told.exists(), done.stderr
    told_of = json.loads(told.read_text())
    told.unlink()
    return Ended(done.returncode, done.stdout, done.stderr, told_of["slept"], told_of["peak"])
