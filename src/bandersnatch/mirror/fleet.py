"""The port of the workers that sync the projects of a run in other processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.tasks import Outcome, RunContext, SyncTask


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
