"""Random histories of an index, on a disk that fails and a machine whose power goes."""

from __future__ import annotations

import random

import pytest

from bandersnatch.config.settings import ApiMethod
from tests.chaos.scenarios import LossyWorld
from tests.integration.test_invariants import QuickClock
from tests.support.index import Index


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
def test_what_sync_had_in_hand_when_the_power_went_is_made_good_by_mirror(seed: int) -> None:
    """Even where no serial tells that the page is another, as when a project is archived."""
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
def test_what_was_published_and_not_recorded_is_not_taken_for_what_is_recorded(step: int) -> None:
    """An index without serials can take back what it said; its page is then the old one."""
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
