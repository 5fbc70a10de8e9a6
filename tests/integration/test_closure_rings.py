"""Rings of projects: a run comes to its end, whatever changes run round them."""

from __future__ import annotations

import asyncio
import random

import pytest

from bandersnatch.config.schema import ApiMethod
from bandersnatch.mirror.preparation import RunOptions
from bandersnatch.mirror.run import MirrorRun
from tests.support.clock import QuickClock
from tests.support.closure_world import ClosureWorld
from tests.support.closures import release
from tests.support.index import Index

CHANGES = 1_000
"""Changes of the storage and the catalogue in one run; a run that does not end makes more."""

SEEDS = 12


class RingWorld(ClosureWorld):
    """A mirror of what one project needs."""

    allowed = ("r",)

    def publish(self, name: str, version: str, *requires: str) -> None:
        release(self.index, name, version, *requires, extras=("e", "f"))

    def end(self) -> None:
        """Run ``mirror``; a run that does not come to its end is killed, and the test fails."""
        self.storage.kill_after = CHANGES
        asyncio.run(MirrorRun(self.mirror(), RunOptions()).run())
        self.storage.kill_after = -1


def ring_world() -> RingWorld:
    return RingWorld(Index(), QuickClock(), ApiMethod.XMLRPC)


@pytest.mark.timeout(60)
def test_an_extra_does_not_run_round_a_ring_for_ever() -> None:
    world = ring_world()
    world.publish("r", "1.0", "a[e]", "b")
    world.publish("a", "1.0", "b")
    world.publish("b", "1.0", "a[e]; extra == 'e'")
    world.end()
    world.publish("r", "2.0", "a", "b")
    world.publish("a", "2.0", "b[e]; extra == 'e'")

    world.end()

    assert {"a", "b", "r"} == set(world.catalogue.records)


@pytest.mark.timeout(60)
def test_a_version_does_not_run_round_a_ring_for_ever() -> None:
    world = ring_world()
    world.publish("r", "1.0", "a<2", "b")
    world.publish("a", "1.0", "b")
    world.publish("a", "2.0", "b")
    world.publish("b", "1.0", "a<2")
    world.publish("b", "2.0", "a")
    world.end()
    world.publish("r", "2.0", "a", "b")
    world.publish("a", "1.1", "b<2")

    world.end()

    pages = world.upstream.pages
    world.end()
    assert world.upstream.pages == pages, "nothing is left to do"


def _requirement(dice: random.Random, names: str) -> str:
    extra = dice.choice(["", "", "[e]", "[f]", "[e,f]"])
    specifier = dice.choice(["", "", "<2", ">=2", "<1.1"])
    marker = dice.choice(["", "; extra == 'e'", "; extra == 'f'"])
    return f"{dice.choice(names)}{extra}{specifier}{marker}"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_run_ends_and_then_there_is_nothing_left_to_do(seed: int) -> None:
    dice = random.Random(seed)
    names = "abcd"[: dice.randint(2, 4)]
    world = ring_world()
    published: set[tuple[str, str]] = set()
    for step in range(4):
        for name in ("r", *names) if step == 0 else dice.choices(("r", *names), k=3):
            free = [v for v in ("1.0", "1.1", "2.0", "2.1", "3.0") if (name, v) not in published]
            if free:
                version = dice.choice(free)
                published.add((name, version))
                asked = {_requirement(dice, names) for _ in range(dice.randint(1, 4))}
                world.publish(name, version, *sorted(asked))
        world.end()
    pages = world.upstream.pages
    world.end()
    assert world.upstream.pages == pages
