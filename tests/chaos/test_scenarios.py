"""Random histories of an index, on a disk that fails and loses power.

The regular tests use the same few hundred each time. The nightly ones have 10,000 that are always
the same, and 1,000 new ones, and print how many steps they made per minute. ``SCENARIOS`` in the
environment sets the number of the former.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import seed, settings
from hypothesis.stateful import invariant, run_state_machine_as_test

from bandersnatch.config.schema import ApiMethod
from tests.chaos.scenarios import LossyAndFollowingTheList, LossyMachine, LossyWorld
from tests.support.clock import QuickClock
from tests.support.filter_machine import ReconcilingByTheList, ReconcilingMachine
from tests.support.index import Index
from tests.support.machines import PROFILE, FollowingTheList, MirrorMachine

if TYPE_CHECKING:
    from collections.abc import Callable

SCENARIOS = int(os.environ.get("SCENARIOS", "10000"))
FRESH = 1000
MACHINES = (
    MirrorMachine,
    FollowingTheList,
    ReconcilingMachine,
    ReconcilingByTheList,
    LossyMachine,
    LossyAndFollowingTheList,
)
SEEDS = 5

TestLossy = LossyMachine.TestCase
TestLossy.settings = PROFILE
TestLossyAndFollowingTheList = LossyAndFollowingTheList.TestCase
TestLossyAndFollowingTheList.settings = PROFILE


def world(method: ApiMethod = ApiMethod.AUTO) -> LossyWorld:
    """Return a mirror of two projects, up to date."""
    clock = QuickClock()
    index = Index(lambda: int(clock.now().timestamp()))
    index.release("Foo", "1.0", size=20)
    index.release("bar", "1.0", size=20)
    made = LossyWorld(index, clock, method)
    made.run()
    return made


@pytest.mark.parametrize("seed", range(5))
def test_mirror_repairs_what_sync_was_doing_at_a_power_cut(seed: int) -> None:
    """Even if the serial does not show the change, as when a project is archived."""
    for step in range(10):
        here = world()
        here.index.archive("Foo")
        here.sync("foo", step)
        here.storage.lose_power(random.Random(seed))

        here.run()

        page = here.page("foo")
        assert page is not None
        assert [file["filename"] for file in page["files"]] == ["foo-1.0-py3-none-any.whl"]
        assert here.text("web/simple/foo/index.html")


@pytest.mark.parametrize("step", range(20))
def test_a_page_published_but_not_recorded_is_not_taken_for_the_recorded_one(step: int) -> None:
    """An index without serials can return to an earlier page."""
    here = world(ApiMethod.SIMPLE)
    here.upstream.has_serials = False
    here.run()
    here.clock.advance(minutes=60 * 25)
    here.run()
    before = here.tree()
    here.index.yank("foo", "1.0", "broken")
    here.run(step)
    for file in here.index.projects["foo"].files.values():
        file.yanked = False

    here.run()

    assert here.tree() == before


@pytest.mark.parametrize("kill_after", range(30))
def test_no_page_names_a_missing_file_at_any_step_of_a_removal(kill_after: int) -> None:
    machine = MirrorMachine()
    machine.begin()
    machine.release(name="Alpha", sdist=True)
    machine.release(name="beta", sdist=False)
    machine.run_mirror(kill_after=-1)
    machine.index.remove_project("Alpha")
    machine.index.quarantine("beta")

    machine.run_mirror(kill_after=kill_after)

    machine.pages_name_only_what_is_there()
    machine.the_root_names_only_projects_with_a_page()
    machine.status_claims_no_more_than_the_tree_shows()
    machine.teardown()


def test_a_project_quarantined_at_the_first_list_is_mirrored_later() -> None:
    """``status`` may pass a project that the list omits; the changelog reports its return."""
    machine = LossyMachine()
    machine.begin()
    machine.release(name="Alpha", sdist=False)
    machine.lose_power(kill_after=58, seed=0)
    machine.release(name="beta", sdist=False)
    machine.quarantine(name="beta")
    machine.have_the_disk_fail(fail_after=6)
    assert machine.world.page("beta") is None
    machine.clear_quarantine(name="beta")
    machine.status_claims_no_more_than_the_tree_shows()

    machine.world.storage.fail_after = -1
    machine.world.run()

    page = machine.world.page("beta")
    assert page is not None
    assert page["project-status"] == {"status": "active"}
    assert len(page["files"]) == 1
    machine.teardown()


def play(
    machine: type[MirrorMachine], count: int, number: int, tell: Callable[[str, object], None]
) -> None:
    """Run so many scenarios of a seed, and record their speed."""
    steps = 0

    class Counting(machine):  # type: ignore[misc,valid-type]  # it is one of ours
        @invariant()
        def count_the_step(self) -> None:
            nonlocal steps
            steps += 1

    began = time.monotonic()
    drawn = settings(PROFILE, max_examples=count, derandomize=False, database=None)
    run_state_machine_as_test(seed(number)(Counting), settings=drawn)
    tell("scenarios", count)
    tell("steps a minute", round(60 * steps / (time.monotonic() - began)))


@pytest.mark.nightly
@pytest.mark.parametrize("number", range(SEEDS))
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.__name__)
def test_the_invariants_hold_in_thousands_of_scenarios(
    machine: type[MirrorMachine], number: int, record_property: Callable[[str, object], None]
) -> None:
    play(machine, -(-SCENARIOS // (SEEDS * len(MACHINES))), number, record_property)


@pytest.mark.nightly
@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.__name__)
def test_the_invariants_hold_in_new_random_scenarios(
    machine: type[MirrorMachine], record_property: Callable[[str, object], None]
) -> None:
    number = random.SystemRandom().randrange(2**32)
    record_property("seed", number)
    try:
        play(machine, -(-FRESH // len(MACHINES)), number, record_property)
    except AssertionError as error:
        error.add_note(f"with the seed {number}")
        raise
