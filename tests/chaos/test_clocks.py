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
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.chaos.clocks import TrashTimes, WrongClocks
from tests.chaos.oracle import is_trashed
from tests.chaos.processes import PATIENCE, started

if TYPE_CHECKING:
    from tests.chaos.case import Case

FEW = 10
FEW_STOPS = 2
FIRST = int(os.environ.get("CLOCK_FROM", str(FEW)))
SEEDS = int(os.environ.get("CLOCK_SEEDS", "300"))
STOPS = int(os.environ.get("STOP_SEEDS", "30"))

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.mark.parametrize("days", [80, 100])
def test_case_120_files_expire_by_a_clock_that_may_be_right(case: Case, days: int) -> None:
    """Without a time of the index, a clock 80 days ahead is like a pause; seed 20173."""
    case.mirrored("foo", "bar", "gone")
    case.index.remove_project("gone")
    times = TrashTimes()
    assert times.begin(case.clock.now(), None) == frozenset()
    case.mirror()
    trashed = set(filter(is_trashed, case.snapshot().files()))
    times.end(trashed)
    assert trashed
    case.clock.start += timedelta(days=days)

    old = times.begin(case.clock.now(), None)
    case.mirror(expired=old)

    left = set(filter(is_trashed, case.snapshot().files()))
    assert old == trashed - left
    assert bool(left) == (days > 90)


@pytest.mark.parametrize(
    ("days", "stated", "is_old"),
    [
        (13, None, False),
        (14, None, True),
        (90, None, True),
        (91, None, False),
        (91, 91, True),
        (14, 13, False),
        (-20, None, False),
        (-20, -20, False),
    ],
)
def test_case_165_the_time_of_a_run_decides_what_is_old(
    days: int, stated: int | None, *, is_old: bool
) -> None:
    times, now = TrashTimes(), NOW + timedelta(days=days)
    times.begin(NOW, None)
    times.end(["file"])

    old = times.begin(now, None if stated is None else NOW + timedelta(days=stated))

    assert old == ({"file"} if is_old else set())


def test_case_165_a_time_that_was_wrong_is_replaced_by_one_that_is_trusted() -> None:
    times, later = TrashTimes(), NOW + timedelta(days=60)
    times.begin(later, None)
    times.end(["ahead"])
    times.begin(NOW, None)  # behind the last run
    times.end(["ahead", "doubted"])

    assert times.begin(NOW, None) == set()
    times.end(["ahead", "doubted"])

    assert times.begin(NOW + timedelta(days=14), None) == {"ahead", "doubted"}


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
