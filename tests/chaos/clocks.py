"""Random wall clocks, between and in runs.

The index has the right time, and states it or not. The clock of the mirror shows any time from 1970
to 2100; time passes for both. The oracle judges every run; in the end the clock is right.

Nothing distinguishes some wrong clocks from a pause between runs, so that files in the trash expire
by them. ``TrashTimes`` says which files that may concern, as row 120 of the fault table has it.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.chaos.index_events import IndexEvents
from tests.chaos.oracle import is_trashed
from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp import web

    from tests.chaos.case import Case
    from tests.support.server import Answer
    from tests.support.site import Ran

PROJECTS = ("Alpha", "beta", "Gamma.x", "delta")
STEPS = 5
_GRACE = timedelta(days=14)
"""How long files stay in the trash: the default of ``removal-grace``."""

_FIRST, _LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_NEAR = (-86_400, -7_200, -90, -30, 0, 30, 90, 7_200, 86_400)
"""Seconds by which a clock is wrong that was set carelessly."""


class TrashTimes:
    """Computes which files in the trash are old enough to be purged, by the clocks of the runs.

    A clock is trusted if it is not more than a minute behind the last run, and within an hour of
    the time that the index states; if it states none, not more than 90 days after the last run. A
    time in the future, or of a clock that is not trusted, is replaced by the next one that is. A
    clock that is set in a run may be trusted or not; here it is, so that its time counts.
    """

    def __init__(self) -> None:
        self._last: datetime | None = None
        self._now: datetime | None = None
        self._times: dict[str, datetime | None] = {}

    def begin(self, now: datetime, stated: datetime | None) -> frozenset[str]:
        """Begin a run, and return the files that it may purge.

        ``now`` is the time by the mirror's clock, ``stated`` that by the index, None without one.
        """
        self._now = now if self._is_trusted(now, stated) else None
        self._last = now
        if self._now is None:
            return frozenset()
        self._times = {path: min(at or now, now) for path, at in self._times.items()}
        return self.old_at(now)

    def end(self, trashed: Collection[str]) -> None:
        """End a run that left these files in the trash."""
        self._times = {path: self._times.get(path, self._now) for path in trashed}

    def old_at(self, now: datetime) -> frozenset[str]:
        """Return the files that are old enough at a time, if the clock is trusted then."""
        return frozenset(
            path for path, at in self._times.items() if at is not None and now - at >= _GRACE
        )

    def _is_trusted(self, now: datetime, stated: datetime | None) -> bool:
        if self._last is not None and self._last - now > timedelta(minutes=1):
            return False
        if stated is not None:
            return abs(stated - now) <= timedelta(hours=1)
        return self._last is None or now - self._last <= timedelta(days=90)


class WrongClocks:
    """Plays the history of a seed on a case."""

    def __init__(self, case: Case, seed: int) -> None:
        self._case = case
        self._index, self._site = case.index, case.site
        self._dice = random.Random(seed)
        self._index_events = IndexEvents(case.index, self._dice)
        self._trash_times = TrashTimes()
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
            ran = self._mirror()
            self.log.append(f"mirror at {self._site.clock.now():%F %T}: {ran.code}")
            self._case.server.faults.clear()
            for _ in range(self._dice.randint(0, 3)):
                self._event()
            self._site.clock.advance(minutes=self._dice.choice([1, 11, 600]))
        self._site.clock.start = FakeClock().start
        self._case.about = "\n".join(self.log)
        old = self._trash_times.old_at(self._site.clock.now() + timedelta(hours=1))
        self._case.heals(exits=(0, 0), expired=old, minutes=11)

    def _mirror(self) -> Ran:
        """Run ``mirror``; it may purge what is old by the clock that it can trust."""
        stated = None if self._case.server.now is None else self._true_time()
        old = self._trash_times.begin(self._site.clock.now(), stated)
        ran = self._case.mirror(expired=old)
        self._trash_times.end(list(filter(is_trashed, self._case.snapshot().files())))
        return ran

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
