"""Random wall clocks and stopped processes, and named tests of what they have found.

The regular tests use a few seeds; the nightly ones ``CLOCK_SEEDS`` of the environment, from
``CLOCK_FROM`` on.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.chaos.clocks import WrongClocks
from tests.chaos.processes import PATIENCE, started

if TYPE_CHECKING:
    from tests.chaos.case import Case

FEW = 10
FEW_STOPS = 2
FIRST = int(os.environ.get("CLOCK_FROM", str(FEW)))
SEEDS = int(os.environ.get("CLOCK_SEEDS", "300"))
STOPS = int(os.environ.get("STOP_SEEDS", "30"))


@pytest.mark.parametrize("seed", range(FEW))
def test_case_165_a_wrong_clock_loses_nothing(case: Case, seed: int) -> None:
    WrongClocks(case, seed).play()


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_case_165_many_wrong_clocks_lose_nothing(case: Case, seed: int) -> None:
    WrongClocks(case, seed).play()


def stop_somewhere(case: Case, seed: int) -> None:
    """Stop the process at a random request for longer than its time limits, and continue it."""
    dice = random.Random(seed)
    for name in ("foo", "bar", "baz"):
        case.index.release(name, "1.0", sdist=True)
    kind = dice.choice(["list", "xmlrpc", "detail", "file"])
    span = dice.choice([0.1, 1.0, 6.0])

    def stop(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        threading.Timer(span, resume, (pid,)).start()

    def resume(pid: int) -> None:
        with suppress(ProcessLookupError):  # something else has continued it
            os.kill(pid, signal.SIGCONT)

    with started(case, "mirror", at=kind, do=stop) as process:
        out, log = process.communicate(timeout=PATIENCE)

    assert process.returncode in {0, 3, 4}, log
    assert "Traceback" not in out + log
    case.site.check()
    case.clock.advance(minutes=11)
    case.heals()


@pytest.mark.parametrize("seed", range(FEW_STOPS))
def test_case_165_a_stopped_process_continues(case: Case, seed: int) -> None:
    stop_somewhere(case, seed)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(FEW_STOPS, FEW_STOPS + STOPS))
def test_case_165_processes_that_are_stopped_anywhere_continue(case: Case, seed: int) -> None:
    stop_somewhere(case, seed)
