"""A run that follows dependencies and is killed at any change is completed by the next run."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from bandersnatch.closure.state import ClosureState
from bandersnatch.config.schema import ApiMethod, ClosureSettings
from bandersnatch.filters.following import FollowingChain
from bandersnatch.model.wheels import Environment, Linux, Pythons
from tests.support.chains import chain_of
from tests.support.clock import QuickClock
from tests.support.closures import release
from tests.support.index import Index
from tests.support.world import World

if TYPE_CHECKING:
    from bandersnatch.filters.chain import FilterChain
    from bandersnatch.mirror.mirror import Mirror

LINUX = Environment("l", (Pythons("==3.12"),), (Linux("x86_64", "glibc", (2, 28)),))


def listed(*names: str) -> FilterChain:
    lines = "\n".join(f"    {name}" for name in names)
    enabled = "enabled =\n    allowlist_project\n    latest_release"
    return chain_of(
        f"[plugins]\n{enabled}\n[allowlist]\npackages =\n{lines}\n[latest_release]\nkeep = 1"
    )


class ClosureWorld(World):
    """A mirror that follows the dependencies of some projects."""

    allowed: tuple[str, ...] = ("a", "x")

    def mirror(self) -> Mirror:
        """Return the mirror, with what its catalogue has followed."""
        plain = super().mirror()
        settings = structs.replace(plain.settings, closure=ClosureSettings(follow=True))
        state = ClosureState(settings.closure, [LINUX])
        rows = asyncio.run(self.catalogue.followed())
        state.load({name: row.digest for name, row in rows.items()})
        chain = FollowingChain.of(listed(*self.allowed), state)
        return replace(plain, settings=settings, filters=chain, closure=state)


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
