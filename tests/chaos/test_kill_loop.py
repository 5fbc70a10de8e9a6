"""``kill -9`` before the n-th changing system call, for n = 1, 2, ... to the end.

At each moment pages are valid and ``status`` is correct; one more run gives the tree of a run that
was not killed, without leftovers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.workloads import EXPIRY, REMOVAL, WORKLOADS, Trials, Workload
from tests.support.disks import mounted
from tests.support.system_calls import KILL, Call, noted, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.chaos.figures import Figures
    from tests.support.server import IndexServer


FEW = 2
"""Moments of each workload in the regular tests."""

PARTS = 8
"""Parts that all moments are divided into, to run in parallel."""


def kill_before(trials: Trials, calls: Iterable[Call], figures: Figures) -> None:
    """Kill a copy before each of these calls, check it, and assert that it heals.

    Concurrent calls come in another order each time, so a run may end before that call.
    """
    for last in calls:
        site = trials.copy()

        def decide(call: Call, last: Call = last) -> int | None:
            return KILL if call.number == last.number else None

        watched = trials.watch(site, decide)
        with noted(f"killed before call {watched.calls[-1]}"):
            assert watched.killed or watched.code == 0, watched.log
            with figures.judging("G7"):
                trials.check_in_between(site)
                trials.check_healed(site)


@pytest.fixture
def prepare(tmp_path: Path, server: IndexServer) -> Callable[[Workload], Trials]:
    """Return a function that prepares a workload."""
    return lambda workload: Trials(tmp_path, server, workload)


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_case_091_a_killed_run_leaves_a_valid_tree_that_the_next_run_completes(
    prepare: Callable[[Workload], Trials], workload: Workload, figures: Figures
) -> None:
    trials = prepare(workload)

    kill_before(trials, spread(trials.calls(), FEW), figures)


def kill_with_removed_files_elsewhere(
    trials: Trials, home: Path, moments: int, figures: Figures
) -> None:
    """Do the same where ``removed`` is on another file system: between each copy and deletion."""

    def kill(last: int) -> list[Call]:
        root = home / f"disks{last}"
        (root / "removed").mkdir(parents=True)
        with mounted(root / "removed", size="16m"):
            site = trials.copy(root)
            watched = trials.watch(site, lambda call: KILL if call.number == last else None)
            with noted(f"killed before call {watched.calls[-1]}"), figures.judging("G7"):
                assert watched.killed or watched.code == 0, watched.log
                trials.check_in_between(site)
                trials.check_healed(site)
        return watched.calls

    calls = kill(0)  # none
    for call in spread(calls, min(moments, len(calls))):
        kill(call.number)


@pytest.mark.parametrize("workload", [REMOVAL, EXPIRY], ids=str)
def test_case_104_a_killed_run_with_removed_files_on_another_file_system(
    prepare: Callable[[Workload], Trials], workload: Workload, tmp_path: Path, figures: Figures
) -> None:
    kill_with_removed_files_elsewhere(prepare(workload), tmp_path, 2 * FEW, figures)


@pytest.mark.nightly
@pytest.mark.parametrize("workload", [REMOVAL, EXPIRY], ids=str)
def test_case_104_a_run_killed_at_every_moment_with_removed_files_on_another_file_system(
    prepare: Callable[[Workload], Trials], workload: Workload, tmp_path: Path, figures: Figures
) -> None:
    kill_with_removed_files_elsewhere(prepare(workload), tmp_path, 200, figures)


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_case_091_a_run_killed_at_every_moment(
    prepare: Callable[[Workload], Trials], workload: Workload, part: int, figures: Figures
) -> None:
    trials = prepare(workload)

    kill_before(trials, trials.calls()[part::PARTS], figures)
