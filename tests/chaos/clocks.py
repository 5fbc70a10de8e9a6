"""Random wall clocks, between and in runs.

The index has the right time, and states it or not. The clock of the mirror shows any time from 1970
to 2100; time passes for both. The oracle judges every run; in the end the clock is right.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.chaos.index_events import IndexEvents
from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from aiohttp import web

    from tests.chaos.case import Case
    from tests.support.server import Answer

PROJECTS = ("Alpha", "beta", "Gamma.x", "delta")
STEPS = 5
_FIRST, _LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_NEAR = (-86_400, -7_200, -90, -30, 0, 30, 90, 7_200, 86_400)
"""Seconds by which a clock is wrong that was set carelessly."""


class WrongClocks:
    """Plays the history of a seed on a case."""

    def __init__(self, case: Case, seed: int) -> None:
        self._case = case
        self._index, self._site = case.index, case.site
        self._dice = random.Random(seed)
        self._index_events = IndexEvents(case.index, self._dice)
        self.log: list[str] = []
        self._index.follow(lambda: int(self._true_time().timestamp()))
        self._site.configure(max_removals=1000, max_file_removals=1000)

    def play(self, steps: int = STEPS) -> None:
        """Play the whole history."""
        for name in PROJECTS:
            self._index_events.release(name)
        for _ in range(steps):
            self._set_clock()
            self._case.server.now = self._true_time if self._dice.random() < 0.5 else None
            jumps = self._dice.random() < 0.4
            if jumps:
                self._case.server.fault("", self._jump, times=self._dice.randint(1, 6))
            self._case.about = "\n".join(self.log)
            ran = self._case.mirror()
            self.log.append(f"mirror at {self._site.clock.now():%F %T}: {ran.code}")
            self._case.server.faults.clear()
            for _ in range(self._dice.randint(0, 3)):
                self._event()
            self._site.clock.advance(minutes=self._dice.choice([1, 11, 600]))
        self._site.clock.start = FakeClock().start
        self._case.about = "\n".join(self.log)
        self._case.heals(exits=(0, 0), minutes=11)

    def _true_time(self) -> datetime:
        return FakeClock().start + timedelta(seconds=self._site.clock.passed)

    # ------------------------------------------------------------ the clock

    def _set_clock(self) -> None:
        """Let the mirror's clock show any time, or one that is near the right one."""
        right = FakeClock().start
        kind = self._dice.random()
        if kind < 0.3:
            start = right
        elif kind < 0.6:
            start = right + timedelta(seconds=self._dice.choice(_NEAR))
        else:
            start = _FIRST + (_LAST - _FIRST) * self._dice.random()
        self._site.clock.start = start

    async def _jump(self, request: web.Request, answer: Answer) -> None:
        """Set the clock while a request is served."""
        del request, answer
        self._set_clock()

    # ------------------------------------------------------------ the index

    def _event(self) -> None:
        name = self._dice.choice(PROJECTS)
        self.log.append(f"{name}: {self._index_events.any(name)}")
