"""``kill -9`` before the n-th changing system call, for n = 1, 2, ... to the end.

At each moment pages are valid and ``status`` is correct; one more run gives the tree of a run that
was not killed, without leftovers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.workloads import WORKLOADS, Trials, Workload
from tests.support.system_calls import KILL, noted, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.chaos.figures import Figures
    from tests.support.server import IndexServer
    from tests.support.system_calls import Call


FEW = 3
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


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
def test_case_091_a_run_killed_at_every_moment(
    prepare: Callable[[Workload], Trials], workload: Workload, part: int, figures: Figures
) -> None:
    trials = prepare(workload)

    kill_before(trials, trials.calls()[part::PARTS], figures)
