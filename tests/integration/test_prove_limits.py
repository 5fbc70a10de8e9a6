"""A search that would take years ends when its time is over, or when nobody waits for it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from bandersnatch.closure.requirements import parse_requirement
from bandersnatch.closure.targets import targets_of
from bandersnatch.config.schema import ApiMethod
from bandersnatch.mirror.proofs import ProofResult
from bandersnatch.mirror.queries.prove import Prover, Question
from tests.support.clock import QuickClock
from tests.support.closure_world import LINUX
from tests.support.closures import release
from tests.support.index import Index
from tests.support.world import World

if TYPE_CHECKING:
    from bandersnatch.mirror.queries.prove import Proof

HOLES = 9


class SearchClock(QuickClock):
    """Each look at the time takes some seconds; ``is_busy`` is set after many."""

    def __init__(self, step: float) -> None:
        super().__init__()
        self.is_busy = threading.Event()
        self._step, self._count = step, 0

    def monotonic(self) -> float:
        """Return the seconds of all looks."""
        self._count += 1
        if self._count > 500:
            self.is_busy.set()
        return self._count * self._step


def mirrored(index: Index) -> World:
    world = World(index, QuickClock(), ApiMethod.XMLRPC)
    world.run()
    return world


def pigeonholes() -> Index:
    """Return an index of one more pigeon than there are holes, each of which takes one."""
    index = Index()
    for hole in range(1, HOLES + 1):
        for pigeon in range(HOLES + 1):
            release(index, f"hole{hole}", f"{pigeon}.0")
            release(index, f"pigeon{pigeon}", f"{hole}.0", f"hole{hole}=={pigeon}.0")
    release(index, "a", "1.0", *(f"pigeon{pigeon}" for pigeon in range(HOLES + 1)))
    return index


async def prove(world: World, text: str = "a", **limits: int) -> list[Proof]:
    requirement = parse_requirement(text)
    assert requirement is not None
    prover = Prover(world.mirror(), targets_of([LINUX]), **limits)
    return await prover.prove(Question(text, (requirement,)))


@pytest.mark.timeout(120)
def test_a_search_is_given_up_when_its_time_is_over() -> None:
    world = mirrored(pigeonholes())
    world.clock = SearchClock(0.5)

    (proof,) = asyncio.run(prove(world))

    assert proof.result is ProofResult.UNPROVED
    assert proof.lines == ("the search was given up: no answer was found in 120 s",)


@pytest.mark.timeout(120)
def test_a_search_ends_when_nobody_waits_for_it() -> None:
    world = mirrored(pigeonholes())
    clock = world.clock = SearchClock(0.0)

    async def cancel() -> None:
        task = asyncio.create_task(prove(world))
        assert await asyncio.to_thread(clock.is_busy.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())  # waits for the threads

    assert not [each for each in threading.enumerate() if each.name.startswith("asyncio_")]


def test_questions_are_answered_with_few_pages_in_memory() -> None:
    index = Index()
    for number in range(6):
        release(index, f"p{number}", "1.0", f"p{number + 1}")
        release(index, f"p{number}", "2.0", "gone")
    release(index, "p6", "1.0")
    world = mirrored(index)

    async def both() -> list[Proof]:
        prover = Prover(world.mirror(), targets_of([LINUX]), most=1)
        found = []
        for text in ("p0<2", "p3<2", "p0<2"):
            requirement = parse_requirement(text)
            assert requirement is not None
            found += await prover.prove(Question(text, (requirement,)))
        return found

    proofs = asyncio.run(both())

    assert [each.result for each in proofs] == [ProofResult.PASSED] * 3
