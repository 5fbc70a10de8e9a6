"""Syncs what the selected projects need, and removes what only removed ones needed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch.config.schema import RemovedProjects
from bandersnatch.events import StepStarted
from bandersnatch.mirror.plan import make_plan
from bandersnatch.mirror.tasks import MirrorSnapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bandersnatch.mirror.executor import Executor
    from bandersnatch.mirror.following import Following
    from bandersnatch.mirror.run_removals import RunRemovals
    from bandersnatch.mirror.tasks import SyncTask
    from bandersnatch.mirror.work import RunWork
    from bandersnatch.model.names import ProjectName


class FollowedProjects:
    """The projects of one run that others need; ``tasks`` are those that were added for them."""

    def __init__(self, work: RunWork, following: Following) -> None:
        """Take the work of the run, and what knows who needs what."""
        self._work = work
        self._following = following
        self.tasks: dict[ProjectName, SyncTask] = {}

    async def sync(self, executor: Executor) -> frozenset[ProjectName] | None:
        """Sync what is needed until nothing new is.

        Return the published projects that nothing needs any more, None if none can have lost its
        last dependant in this run.
        """
        following = self._following
        await self._sync_all(await following.advance(), executor)
        if not (executor.complete and following.may_have_lost):
            return None
        unneeded = await following.unneeded()
        only = self._work.prepared.options.only
        return unneeded if only is None else unneeded & only

    async def shrink(
        self, released: frozenset[ProjectName], executor: Executor, removals: RunRemovals
    ) -> None:
        """Remove the versions that only removed projects needed, and what only these needed."""
        while released and executor.complete and not removals.is_refused:
            await self._sync_all(await self._following.advance(released), executor)
            unneeded = await self._following.unneeded()
            if not unneeded:
                break
            released = await removals.remove_unneeded(unneeded, executor)

    async def _sync_all(self, names: list[ProjectName], executor: Executor) -> None:
        """Sync projects that others need, and what these need, until nothing new is needed."""
        work, checkpoint = self._work, self._work.checkpoint
        while names and executor.complete:
            text = f"following {len(names)} project(s) that others need"
            work.mirror.events(StepStarted(text))
            tasks = await self._new_tasks(frozenset(names))
            self.tasks |= tasks
            checkpoint.pending.update({name: task.target_serial for name, task in tasks.items()})
            again = await work.execute(tasks.values())
            await checkpoint.commit()
            executor.merge(again)
            names = await self._following.advance()

    async def _new_tasks(self, names: frozenset[ProjectName]) -> Mapping[ProjectName, SyncTask]:
        """Return the tasks for projects that others need, which no plan had yet.

        Their events since the last run were not selected when the plan was made.
        """
        mirror, prepared = self._work.mirror, self._work.prepared
        catalogue = mirror.catalogue
        deferred = {each.name: each for each in await catalogue.deferred() if each.name in names}
        before = MirrorSnapshot(
            status=prepared.state.status,
            pending={},
            deferred=deferred,
            summaries=await catalogue.summaries(names),
            fingerprint=prepared.policy.fingerprint,
            now=prepared.now,
            changed=names,
            keep_removed=mirror.settings.run.removed_projects is RemovedProjects.KEEP,
            may_expire=not self._work.clock.doubt,
        )
        found = replace(prepared.found, finite=names)
        return make_plan(found, before, names.__contains__, force=True).tasks
