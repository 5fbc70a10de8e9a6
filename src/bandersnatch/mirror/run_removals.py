"""What one run of ``mirror`` removes, within the limits for projects and for files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import CatalogueUpdate
from bandersnatch.config.schema import RemovedProjects
from bandersnatch.errors import TooManyFileRemovals
from bandersnatch.events import Halted
from bandersnatch.mirror import removal
from bandersnatch.mirror.losses import LossWindow, loss_limit, within_limit

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from bandersnatch.mirror.executor import Executor
    from bandersnatch.mirror.tasks import SyncTask
    from bandersnatch.mirror.work import RunWork
    from bandersnatch.model.names import ProjectName


class RunRemovals:
    """Removes what the plan and the pages say is gone.

    ``is_refused`` says that a limit refused something: then the tree does not reflect it.
    """

    def __init__(self, work: RunWork) -> None:
        """Begin with the refusals of the plan."""
        self._work = work
        self._mirror = work.mirror
        self._checkpoint = work.checkpoint
        self._began = work.prepared.began
        self._options = work.prepared.options
        self._removed = 0
        self.is_refused = work.prepared.is_refused

    # ------------------------------------------------------------ files

    async def publish_losses(self, executor: Executor) -> None:
        """Publish the pages that lost files on the index, the smallest loss first, up to the limit.

        The pages beyond it stay as they are, in this run and in every later one that asks for them.
        """
        if not executor.losing or not executor.complete:
            return
        losses = {name: each.lost for name, each in executor.losing.items()}
        rest = await self._losable_files(self._checkpoint.losses)
        held = executor.losing
        if allowed := within_limit(losses, rest):
            tasks = [held[name].task for name in allowed]
            again = await self._work.execute(tasks, may_lose=allowed)
            await self._checkpoint.commit()
            rest -= sum(allowed.values())
            others = {name: each for name, each in held.items() if name not in allowed}
            held = {**others, **again.losing}
        if held:
            smallest = min(held, key=lambda name: (held[name].lost, name))
            count = sum(each.lost for each in held.values())
            error = TooManyFileRemovals(count, len(held), name=smallest, rest=rest)
            self._mirror.events(Halted(error))

    async def _losable_files(self, before: LossWindow) -> int:
        """Return how many files the index may take off pages in this run."""
        if self._options.max_file_removals is not None:
            return self._options.max_file_removals
        settings, catalogue = self._mirror.settings, self._mirror.catalogue
        if settings.files.release_files:
            files = (await catalogue.totals()).files
        else:  # none is stored here
            files = await catalogue.listed_files()
        limit = loss_limit(files + before.total, settings.run.max_file_removals)
        return max(0, limit - before.total)

    # ------------------------------------------------------------ projects

    async def remove(
        self,
        executor: Executor,
        *,
        reported: Mapping[ProjectName, SyncTask] | None = None,
        deselected: frozenset[ProjectName] = frozenset(),
        forgotten: Collection[ProjectName] = (),
    ) -> frozenset[ProjectName]:
        """Remove the projects that the limits allow to remove, and publish the root page.

        What ``executor`` found is removed, and what the plan names; see ``PlannedRemovals`` and
        ``Preparation``. Return the projects that only removed ones may have needed.
        """
        planned = removal.PlannedRemovals(
            reported or {},
            executor.gone,
            deselected,
            executor.unwanted,
            executor.emptied,
            executor.empty,
        )
        released = await self._remove(planned, self._rest_of_limit, executor)
        await self._checkpoint.commit(CatalogueUpdate(forgotten=sorted(forgotten)))
        unrecorded = self._checkpoint.unrecorded
        kept = await self.remove_unrecorded(unrecorded)
        self._checkpoint.drop_pending(name for name in unrecorded if name not in kept)
        return released

    async def remove_unneeded(
        self, names: frozenset[ProjectName], executor: Executor
    ) -> frozenset[ProjectName]:
        """Remove projects that no other needs any more; return those that only they may need.

        A limit that the operator gave for this run also lets the consequences through.
        """
        is_given = self._options.max_removals is not None
        limit = self._work.prepared.limit if is_given else self._rest_of_limit
        planned = removal.PlannedRemovals({}, {}, names, {}, {}, {})
        return await self._remove(planned, limit, executor)

    @property
    def _rest_of_limit(self) -> int:
        return max(0, self._work.prepared.limit - self._removed)

    async def _remove(
        self, planned: removal.PlannedRemovals, limit: int, executor: Executor
    ) -> frozenset[ProjectName]:
        """Remove planned projects within a limit; return what they needed."""
        following = self._work.following
        projects = await self._allowed(planned, limit)
        released: frozenset[ProjectName] = frozenset()
        if following is not None:
            released = await following.asked_by(projects)
            if projects:
                await following.forget_policy()
        executor.failed |= await removal.remove_all(
            self._mirror,
            planned,
            projects,
            self._checkpoint,
            self._began,
            force=self._options.force,
            is_doubted=bool(self._work.clock.doubt),
        )
        self._removed += len(projects)
        return released

    async def _allowed(
        self, planned: removal.PlannedRemovals, limit: int
    ) -> frozenset[ProjectName]:
        """Return the projects to remove, and publish those that lose all files if they may.

        If too many are to be removed, those that the index removed are still removed as long as
        they alone are within the limit.
        """
        checkpoint = self._checkpoint
        keeps = self._mirror.settings.run.removed_projects is RemovedProjects.KEEP
        gone: frozenset[ProjectName] = frozenset() if keeps else planned.gone
        by_index, emptied = len(gone) + len(planned.empty), len(planned.empty)
        by_filters = len(planned.filtered_out - gone) + len(planned.emptied)
        is_refused = removal.is_refused(
            self._mirror.events,
            by_index + by_filters,
            limit,
            by_filters=by_filters,
            emptied=emptied,
        )
        self.is_refused |= is_refused
        if is_refused and by_index > limit:
            await checkpoint.defer_removals(planned.reported)
            return frozenset()
        checkpoint.drop_pending(planned.reported)
        tasks = [*planned.empty.values(), *(() if is_refused else planned.emptied.values())]
        if tasks:
            await self._work.execute(tasks, may_empty=True)
            await checkpoint.commit()
        if is_refused:
            return gone
        checkpoint.drop_pending(planned.excluded)
        return gone | planned.filtered_out

    # ------------------------------------------------------------ leftovers and the trash

    async def remove_unrecorded(self, names: Collection[ProjectName]) -> frozenset[ProjectName]:
        """Trash the unrecorded pages of projects; return which could not be."""
        return await removal.remove_unrecorded(
            self._mirror,
            names,
            self._checkpoint,
            self._began,
            is_doubted=bool(self._work.clock.doubt),
        )

    async def purge_trash(self) -> None:
        """Purge what was in the trash long enough, unless the clock is doubted."""
        self._work.clock.check(self._work.prepared.now)
        if not self._work.clock.doubt:
            removals = removal.Removals.of(self._mirror, self._began)
            grace = self._mirror.settings.run.removal_grace
            await self._checkpoint.commit(await removals.purge_expired(grace))
