"""The workers and jobs of a run with ``cluster = true``: what metrics and web pages show."""

from __future__ import annotations

from msgspec import Struct


class PausedHost(Struct, frozen=True):
    """A host that no worker asks ``until`` some time, in seconds since 1970.

    So many ``seconds`` are left. ``host`` has no login.
    """

    host: str
    until: int
    seconds: int


class FleetCounts(Struct, frozen=True):
    """The workers of the run that is under way, each in one count, and its jobs.

    ``working`` have projects, ``idle`` have none. ``without_share`` have none and no share of
    ``workers``: they wait for one. ``silent`` gave no sign of life within ``worker-timeout``. Jobs
    are ``waiting`` until a worker takes them, and ``running`` until they are reported. ``paused``
    are the hosts that have asked for a pause.
    """

    working: int = 0
    idle: int = 0
    without_share: int = 0
    silent: int = 0
    waiting: int = 0
    running: int = 0
    paused: tuple[PausedHost, ...] = ()

    @property
    def alive(self) -> int:
        """The workers that give signs of life."""
        return self.working + self.idle + self.without_share
