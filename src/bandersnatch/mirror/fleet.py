"""The port of the workers that sync the projects of a run in other processes."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.tasks import Outcome, RunContext, SyncTask

MOST_AUTOMATIC = 4
"""Processes that are started without being asked for."""

MANY_TASKS = 500
"""Tasks of a plan from which on starting processes takes less time than they save."""


class Fleet(Protocol):
    """Workers that sync projects; this process stays the one that records what they did."""

    @property
    def concurrency(self) -> int:
        """How many projects are handed out at a time."""
        ...

    def syncing(
        self, mirror: Mirror, context: RunContext, began: datetime, /
    ) -> Callable[[SyncTask], Awaitable[Outcome]]:
        """Return what syncs a project of a run, as ``ProjectSync.sync`` does."""
        ...


class FleetOpener(Protocol):
    """Opens the workers for a plan of so many tasks; None if this process syncs its projects."""

    def __call__(self, tasks: int, /) -> AbstractAsyncContextManager[Fleet | None]:
        """Return a context, in which the workers live."""
        ...


def no_fleet(tasks: int, /) -> AbstractAsyncContextManager[Fleet | None]:
    """Have this process sync the projects of every plan."""
    del tasks
    return nullcontext()


def process_count(
    wanted: int | None, tasks: int, *, cores: int, budget: int, is_polite: bool
) -> int:
    """Return how many processes sync the projects of a plan of so many tasks.

    ``wanted`` is what the operator wants, None to leave it to this function. ``budget`` is the
    smaller of the budgets of requests, of which each process needs one. ``is_polite`` says that
    the index allows so few requests that one process uses all of them.
    """
    if wanted is None:
        wanted = 1 if is_polite or tasks < MANY_TASKS else min(cores, MOST_AUTOMATIC)
    return max(1, min(wanted, tasks, budget))
