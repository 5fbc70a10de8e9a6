"""Whatever the index says about serials, order and times: nothing is lost, and all of it heals."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

import pytest

from bandersnatch.config.schema import ApiMethod
from bandersnatch.errors import BandersnatchError
from bandersnatch.mirror.preparation import RunOptions
from bandersnatch.mirror.run import MirrorRun
from bandersnatch.model.names import project_name
from tests.support.clock import QuickClock
from tests.support.index import Index
from tests.support.world import NAMES, World
from tests.support.wrong_index import Words, WrongIndex

if TYPE_CHECKING:
    from tests.support.index import Event

FIRST = 5_000_000
"""A serial from which there is room below and above."""

AMOUNTS = (-FIRST, -300_000, -5, 0, 1, 5, 300_000, 2_000_000, 2**53)
SEEDS = 30
"""Histories for each method of following an index."""


def draw_words(random: Random) -> Words:
    """Return words of which each is wrong in one case of three."""

    def amount() -> int | None:
        return random.choice((None, *AMOUNTS))

    def wrong() -> bool:
        return random.random() < 1 / 3

    return Words(
        head=amount() if wrong() else 0,
        lag=random.randint(1, 3) if wrong() else 0,
        shuffled=wrong(),
        doubled=wrong(),
        event_time=random.choice((0, 1, 2**31 - 1, 2**70)) if wrong() else None,
        list_own=amount() if wrong() else 0,
        list_entries={random.choice(NAMES): amount()} if wrong() else {},
        pages={project_name(random.choice(NAMES)): amount()} if wrong() else {},
    )


class WrongWorld(World):
    """An index whose words can be wrong, and a mirror that follows it."""

    def __init__(self, method: ApiMethod) -> None:
        clock = QuickClock()
        index = Index(lambda: int(clock.now().timestamp()))
        index.serial = FIRST
        super().__init__(index, clock, method)
        self.upstream: WrongIndex = WrongIndex(index, clock)
        self.versions = iter(range(1, 10_000))
        index.release("anchor", "1.0", size=20)
        for name in NAMES:
            index.release(name, "0.1", size=20)

    def change(self, what: str, name: str) -> None:
        """Change a project of the index."""
        project = self.index.projects.get(project_name(name))
        if what == "release" or project is None:
            self.index.release(name, f"{next(self.versions)}.0", size=20)
        elif what == "yank":
            self.index.yank(name, project.versions[0], "broken")
        else:
            self.index.remove_project(name)

    def attempt(self) -> BandersnatchError | None:
        """Run ``mirror``, and return the error that ended it."""
        try:
            asyncio.run(MirrorRun(self.mirror(), RunOptions()).run())
        except BandersnatchError as error:
            return error
        return None

    def last_events(self) -> dict[str, Event]:
        """Return the last event of each project."""
        return {project_name(each.name): each for each in self.index.journal}

    def check(self, words: Words) -> None:
        """Assert that ``status`` claims no more than the tree shows.

        A list that is wrong about a serial of its own can mean that there is no proof of T.
        """
        status = self.status
        assert status <= self.index.serial
        for name, event in self.last_events().items():
            if event.serial > status or name in words.pages:
                continue
            page, project = self.page(name), self.index.projects.get(name)
            if project is None:
                assert page is None
            else:
                assert page is not None
                listed = {file["filename"] for file in page["files"]}
                assert listed == project.files.keys()

    def heal(self) -> None:
        """Assert that two runs without a fault give the tree of a clean mirror.

        A page whose serial was a little too high has it until the project's next event; without a
        changelog, until the index has passed it.
        """
        self.upstream.words = Words()
        self.index.serial += 10 if self.method is ApiMethod.SIMPLE else 0
        for name in NAMES:
            self.index.release(name, f"{next(self.versions)}.0", size=20)
        for _ in range(2):
            self.clock.advance(hours=25)
            assert self.attempt() is None
        clean = World(self.index, self.clock, self.method)
        clean.run()
        tree, expected = self.tree(), clean.tree()
        assert {key: tree.get(key) for key in expected} == expected
        extra = tree.keys() - expected.keys()
        assert {key for key in extra if not key.startswith("web/packages/")} == set()
        assert self.text("todo") is None
        assert self.status == clean.status


@pytest.mark.parametrize("method", [ApiMethod.AUTO, ApiMethod.SIMPLE, ApiMethod.XMLRPC])
def test_wrong_words_lose_nothing(method: ApiMethod) -> None:
    for seed in range(SEEDS):
        try:
            run_history(method, Random(seed))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error


def run_history(method: ApiMethod, random: Random) -> None:
    """Assert that a mirror survives a random history of an index and its wrong words."""
    world = WrongWorld(method)
    assert world.attempt() is None
    claims = True
    for _ in range(random.randint(1, 3)):
        for _ in range(random.randint(0, 3)):
            world.change(random.choice(("release", "yank", "remove")), random.choice(NAMES))
        world.upstream.words = said = draw_words(random)
        world.clock.advance(minutes=random.choice((1, 11, 60 * 25)))
        world.attempt()
        claims = claims and not may_claim_too_much(said, method)
        if claims:
            world.check(said)
    if claims:
        world.heal()


def may_claim_too_much(said: Words, method: ApiMethod) -> bool:
    """Whether a list alone, with nothing to compare it with, says that T is higher than it is."""
    has_changelog = said.head is not None and method is not ApiMethod.SIMPLE
    raised = [by for by in (said.list_own, *said.list_entries.values()) if by]
    return not has_changelog and any(by > 0 for by in raised)
