"""Executes the tasks of one run of ``mirror``, with what all of them share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import CatalogueUpdate, Marker, RootMarker
from bandersnatch.mirror import recovery
from bandersnatch.mirror.health import IndexHealth
from bandersnatch.mirror.owners import PathOwners
from bandersnatch.mirror.publish import publish_root
from bandersnatch.mirror.sync import settle_paths

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from bandersnatch.mirror.checkpoint import Checkpoint
    from bandersnatch.mirror.clock_check import ClockCheck
    from bandersnatch.mirror.executor import Executor
    from bandersnatch.mirror.fleet import Fleet
    from bandersnatch.mirror.following import Following
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.preparation import Preparation
    from bandersnatch.mirror.tasks import RunContext, SyncTask
    from bandersnatch.model.names import ProjectName


class RunWork:
    """What the steps of one run share, and the way in which each of them executes tasks.

    ``following`` is None without a closure, ``fleet`` without workers in other processes.
    """

    def __init__(
        self,
        mirror: Mirror,
        prepared: Preparation,
        checkpoint: Checkpoint,
        clock: ClockCheck,
        following: Following | None,
        fleet: Fleet | None = None,
    ) -> None:
        """Take what was prepared, and the checkpoint that records the outcomes."""
        self.mirror = mirror
        self.prepared = prepared
        self.checkpoint = checkpoint
        self.clock = clock
        self.following = following
        self._fleet = fleet
        self._owners = PathOwners.of(mirror)

    async def execute(
        self,
        tasks: Collection[SyncTask],
        *,
        may_empty: bool = False,
        may_lose: Mapping[ProjectName, int] | None = None,
        sweeps: bool = False,
    ) -> Executor:
        """Work on tasks, and return the executor that did.

        ``may_empty`` lets pages lose their last file, and ``may_lose`` says which pages may lose
        how many files. ``sweeps`` is for the sweep.
        """
        mirror, prepared = self.mirror, self.prepared
        executor = recovery.open_executor(
            mirror,
            self.checkpoint,
            await self._context(may_empty=may_empty, may_lose=may_lose or {}),
            prepared.began,
            IndexHealth.of(mirror, prepared.found, [task.name for task in tasks]),
            stop_on_error=mirror.settings.run.stop_on_error,
            following=self.following,
            fleet=self._fleet,
        )
        workers = recovery.max_concurrent_projects(mirror, self._fleet)
        await executor.run(tasks, workers=workers)
        is_recorded = may_empty or may_lose is not None or sweeps
        if executor.complete and not is_recorded:
            await self.checkpoint.defer_unvisited(
                executor.unvisited.values(),
                "an earlier run ended before it came to this project",
                unconditional=prepared.options.force,
            )
        return executor

    async def _context(self, *, may_empty: bool, may_lose: Mapping[ProjectName, int]) -> RunContext:
        options, found = self.prepared.options, self.prepared.found
        return await recovery.open_context(
            self.mirror,
            self.prepared.began,
            accepted=options.accepted,
            force=options.force,
            may_empty=may_empty,
            may_lose=may_lose,
            may_expire=not self.clock.doubt,
            owners=self._owners,
            cursor=found.cursor,
            newest=found.newest,
            ceiling=found.ceiling,
        )

    async def settle_paths(self, executor: Executor, *, free: bool = False) -> bool:
        """Sync projects again so that each path has its right owner; see ``settle_paths``."""

        async def execute(tasks: Collection[SyncTask]) -> None:
            again = await self.execute(tasks, may_lose={})
            executor.failed |= again.failed

        if not executor.complete:
            return False
        began = self.prepared.began
        return await settle_paths(
            self.mirror, self._owners, execute, self.checkpoint, began, free=free
        )

    async def settle_freed_paths(self, executor: Executor) -> None:
        """Sync projects that wanted a path whose owner has left it, and publish the root page."""
        if await self.settle_paths(executor, free=True):
            await publish_root(self.mirror)
            written: dict[Marker, str] = {Marker.ROOT: RootMarker.WRITTEN}
            await self.checkpoint.commit(CatalogueUpdate(markers=written))
