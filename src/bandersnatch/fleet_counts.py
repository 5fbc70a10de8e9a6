"""How many workers and jobs a run with ``cluster = true`` has: what metrics and web pages show."""

from __future__ import annotations

from msgspec import Struct


class FleetCounts(Struct, frozen=True):
    """The workers of the run that is under way, each in one count, and its jobs.

    ``working`` have projects, ``idle`` have none. ``without_share`` have none and no share of
    ``workers``: they wait for one. ``silent`` gave no sign of life within ``worker-timeout``. Jobs
    are ``waiting`` until a worker takes them, and ``running`` until they are reported.
    """

    working: int = 0
    idle: int = 0
    without_share: int = 0
    silent: int = 0
    waiting: int = 0
    running: int = 0

    @property
    def alive(self) -> int:
        """The workers that give signs of life."""
        return self.working + self.idle + self.without_share
