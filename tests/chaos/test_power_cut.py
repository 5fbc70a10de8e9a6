"""Power cuts at any moment: the disk has what was made durable, and some of the rest.

``status`` never claims more than exists. Only pending projects may be damaged: those in ``todo``,
or those of ``sync``. The next run repairs them; after exit status 0 nothing is damaged.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest

from tests.chaos.power import WAYS, PowerDisk
from tests.chaos.workloads import (
    FIRST,
    PUT_ASIDE,
    REBUILD,
    REMOVAL,
    SYNC,
    UPDATE,
    VERSIONS,
    Trials,
)
from tests.support.site import check_tree
from tests.support.system_calls import KILL, noted, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.chaos.figures import Figures
    from tests.chaos.workloads import Workload
    from tests.support.server import IndexServer
    from tests.support.site import Site
    from tests.support.system_calls import Call

SEED = 20261121
CUTS = 24
"""Cuts of each of six workloads in the nightly test, besides those after the end."""


@pytest.fixture
def prepare(tmp_path: Path, server: IndexServer) -> Callable[[Workload], Trials]:
    """Return a function that prepares a workload."""
    return lambda workload: Trials(tmp_path, server, workload)


def cut_before(
    trials: Trials, disk: PowerDisk, calls: Iterable[Call | None], seed: int, figures: Figures
) -> None:
    """Cut the power before each of these calls or after the end; assert that it heals."""
    dice = random.Random(seed)
    for last in calls:
        way = dice.choice(WAYS)
        with disk.running(way):
            site = trials.copy(disk.at / "mirror")
            disk.settle()

            def decide(call: Call, last: Call | None = last) -> int | None:
                return KILL if last is not None and call.number == last.number else None

            watched = trials.watch(site, decide)
            disk.cut(dice)
            told = f"cut ({way}) before call {watched.calls[-1] if watched.killed else 'none'}"
            with noted(told), figures.judging("G8"):
                if not watched.killed:
                    assert (watched.code, watched.log) == (0, "")
                    assert trials.shown(site) == trials.after
                    check_time(site)
                check_what_is_left(trials, site)
                trials.check_healed(site)
                assert not (site.root / PUT_ASIDE).exists()


def check_time(site: Site) -> None:
    """Assert that ``last-modified`` exists if a run has succeeded."""
    told = site.web / "last-modified"
    assert not told.exists() or re.fullmatch(r"\d{8}T\d\d:\d\d:\d\d\n", told.read_text())


def check_what_is_left(trials: Trials, site: Site) -> None:
    """Assert that all that is not pending is in its old or its new state."""
    now, in_hand = trials.shown(site), names_in_hand(trials, site)
    assert now.status in {trials.before.status, trials.after.status}
    if now.status != trials.before.status:
        assert now.tree == trials.after.tree, "status covers changes that the tree lacks"
    if not in_hand:
        check_tree(site.web)
    for key in trials.before.tree.keys() | trials.after.tree.keys() | now.tree.keys():
        was, is_to_be = trials.before.tree.get(key), trials.after.tree.get(key)
        if not in_hand or not is_in_hand(key, in_hand):
            assert now.tree.get(key) in {was, is_to_be}, f"{key} is damaged without notice"


def names_in_hand(trials: Trials, site: Site) -> set[str]:
    """Return the projects that the mirror has pending."""
    return {line.split()[0] for line in site.todo()[1:]} | set(trials.workload.command[1:])


def is_in_hand(key: str, names: set[str]) -> bool:
    """Whether a file belongs to a pending project, or is a list of projects."""
    if key.startswith("simple/index."):
        return True
    parts = key.split("/")
    if parts[0] == "packages":
        return any(parts[-1].startswith((f"{n}-", f"{n.replace('-', '_')}-")) for n in names)
    return parts[1] in names


@pytest.mark.parametrize(("workload", "cuts"), [(FIRST, 1), (UPDATE, 2)], ids=str)
def test_case_105_a_power_cut_damages_no_recorded_work(
    prepare: Callable[[Workload], Trials],
    tmp_path: Path,
    workload: Workload,
    cuts: int,
    figures: Figures,
) -> None:
    trials = prepare(workload)

    cut_before(trials, PowerDisk(tmp_path), [*spread(trials.calls(), cuts), None], SEED, figures)


def test_case_106_a_file_whose_content_did_not_reach_the_disk_is_repaired(
    prepare: Callable[[Workload], Trials], tmp_path: Path, figures: Figures
) -> None:
    """Content that was not written back is empty, zeros, or old blocks."""
    trials = prepare(UPDATE)

    cut_before(trials, PowerDisk(tmp_path), [trials.calls()[-2], None], SEED + 1, figures)


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("workload", [FIRST, UPDATE, REMOVAL, REBUILD, SYNC, VERSIONS], ids=str)
def test_case_105_no_power_cut_damages_recorded_work(
    prepare: Callable[[Workload], Trials],
    tmp_path: Path,
    workload: Workload,
    part: int,
    figures: Figures,
) -> None:
    trials = prepare(workload)
    moments = spread(trials.calls(), CUTS, SEED)[part::4]

    cut_before(trials, PowerDisk(tmp_path), [*moments, None], SEED + part, figures)
