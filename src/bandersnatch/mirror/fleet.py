"""The port of the workers that sync or examine the projects of a run in other processes."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from bandersnatch.catalogue.records import ProjectRecord
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.tasks import Outcome, RunContext, SyncTask
    from bandersnatch.mirror.verify.findings import Examination, Findings

MOST_AUTOMATIC = 4
"""Processes that are started without being asked for."""

MANY_TASKS = 500
"""Tasks of a plan from which on starting processes takes less time than they save."""

MANY_TO_READ = 2_000
"""The same for projects whose files are read, which takes less time than to sync them."""


class Fleet(Protocol):
    """Workers that sync or examine projects; this process stays the one that records anything."""

    @property
    def concurrency(self) -> int:
        """How many projects are handed out at a time."""
        ...

    def syncing(
        self, mirror: Mirror, context: RunContext, began: datetime, /
    ) -> Callable[[SyncTask], Awaitable[Outcome]]:
        """Return what syncs a project of a run, as ``ProjectSync.sync`` does."""
        ...

    def examining(
        self, readers: int, rate: float | None, /, *, current_documents: bool
    ) -> Callable[[ProjectRecord, Examination], Awaitable[Findings]]:
        """Return what examines a project, as ``Examiner.examine`` does.

        Each machine reads ``readers`` projects concurrently; all of them together read ``rate``
        bytes per second, None for any number.
        """
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
    wanted: int | None,
    tasks: int,
    *,
    cores: int,
    budget: int,
    is_polite: bool = False,
    many: int = MANY_TASKS,
) -> int:
    """Return how many processes do so many tasks.

    ``wanted`` is what the operator wants, None to leave it to this function; it then starts some
    from ``many`` tasks on. ``budget`` is what they divide, for example the smaller of the budgets
    of requests, of which each process needs one. ``is_polite`` says that the index allows so few
    requests that one process uses all of them.
    """
    if wanted is None:
        wanted = 1 if is_polite or tasks < many else min(cores, MOST_AUTOMATIC)
    return max(1, min(wanted, tasks, budget))
