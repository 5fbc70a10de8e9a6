"""A run that follows dependencies and is killed at any change is completed by the next run."""

from __future__ import annotations

import pytest

from bandersnatch.config.schema import ApiMethod
from tests.support.clock import QuickClock
from tests.support.closure_world import ClosureWorld
from tests.support.closures import release
from tests.support.index import Index


def world(method: ApiMethod) -> ClosureWorld:
    clock = QuickClock()
    index = Index()
    release(index, "a", "1.0", "b>=1", "c")
    release(index, "b", "1.0", "a", "d")
    release(index, "c", "1.0")
    release(index, "c", "2.0", "b")
    release(index, "d", "1.0")
    release(index, "x", "1.0", "c<2", "e")
    release(index, "e", "1.0", "f")
    release(index, "f", "1.0", "e")
    return ClosureWorld(index, clock, method)


def changed(made: ClosureWorld) -> None:
    release(made.index, "a", "2.0", "g")
    release(made.index, "g", "1.0")
    made.allowed = ("a",)


@pytest.mark.parametrize("method", [ApiMethod.XMLRPC, ApiMethod.SIMPLE])
@pytest.mark.parametrize("is_second", [False, True])
def test_a_killed_run_is_completed_by_the_next(
    method: ApiMethod,
    is_second: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    def made() -> ClosureWorld:
        new = world(method)
        if is_second:
            new.run()
            changed(new)
        return new

    whole = made()
    whole.run()
    expected = set(whole.tree())
    names = {"a", "g"} if is_second else {"a", "b", "c", "d", "x", "e", "f"}
    assert {key.split("/")[2] for key in expected if key.startswith("web/simple/")} - {
        "index.html",
        "index.v1_html",
        "index.v1_json",
    } == names

    for step in range(0, 200, 3):
        killed = made()
        killed.run(kill_after=step)
        killed.run()
        assert set(killed.tree()) == expected, f"killed at change {step}"
        if killed.storage.kill_after != -1 or step > 120:
            break
