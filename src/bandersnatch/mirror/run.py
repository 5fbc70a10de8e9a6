"""The command ``mirror``: brings the whole mirror up to what the index has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import CatalogueUpdate, Cause, Marker
from bandersnatch.errors import UnusableIndex
from bandersnatch.events import PhaseStarted, RunPhase, StepStarted, SweepEnded
from bandersnatch.mirror import index_check
from bandersnatch.mirror.checkpoint import Checkpoint
from bandersnatch.mirror.clock_check import ClockCheck
from bandersnatch.mirror.fleet import no_fleet
from bandersnatch.mirror.followed import FollowedProjects
from bandersnatch.mirror.losses import LossWindow
from bandersnatch.mirror.mark import MarkState, finish_marks, move_mark, read_marks
from bandersnatch.mirror.preparation import Preparation, Preparer
from bandersnatch.mirror.publish import Publisher, publish_root
from bandersnatch.mirror.rejections import report_rejections
from bandersnatch.mirror.run_removals import RunRemovals
from bandersnatch.mirror.state import StateFiles, Todo, final_marker, next_status
from bandersnatch.mirror.sweep import Sweep
from bandersnatch.mirror.sync import tasks_by_name
from bandersnatch.mirror.tasks import TaskHints
from bandersnatch.mirror.work import RunWork
from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    from bandersnatch.mirror.executor import Executor
    from bandersnatch.mirror.fleet import Fleet, FleetOpener
    from bandersnatch.mirror.following import Following
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.preparation import RunOptions
    from bandersnatch.mirror.tasks import SyncTask
    from bandersnatch.model.names import ProjectName

_STALE_DOWNLOAD = 7 * 86_400
"""Seconds after which a partial download is purged while projects are still pending."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a run brought the mirror; ``index`` is None for an index without serials."""

    before: Serial
    after: Serial
    index: Serial | None
    pending: int


class MirrorRun:
    """One run of ``mirror``: prepares it, and then takes its steps in order.

    With a ``fleet`` its workers sync the projects; else ``open_fleet`` opens one for the plan, or
    not.
    """

    def __init__(
        self,
        mirror: Mirror,
        options: RunOptions,
        fleet: Fleet | None = None,
        open_fleet: FleetOpener = no_fleet,
    ) -> None:
        self._mirror = mirror
        self._options = options
        self._fleet = fleet
        self._open_fleet = open_fleet
        self._files = StateFiles(mirror.storage)
        self._following = _open_following(mirror)

    async def run(self) -> Position:
        """Bring the mirror up to what the index has now.

        Whatever ends it, what was done by then is recorded, and the next run continues from it.

        :raises UnusableIndex: if the index cannot be used.
        :raises StorageError: if the storage fails.
        """
        mirror, following = self._mirror, self._following
        _enter(mirror, RunPhase.PLAN)
        clock = ClockCheck(mirror.index, mirror.clock, mirror.events)
        preparer = Preparer(mirror, self._options, self._files, clock, following)
        prepared = await preparer.prepare(mirror.clock.now())
        sweep = _open_sweep(mirror, prepared)
        checkpoint = await _open_checkpoint(
            mirror, self._files, prepared, clock, sweeps=sweep is not None
        )
        async with self._open_fleet(len(prepared.plan.tasks)) as opened:
            fleet = self._fleet or opened
            work = RunWork(mirror, prepared, checkpoint, clock, following, fleet)
            position = await _Steps(work, self._files, sweep).take()
        await report_rejections(mirror, self._options.only)
        if following is not None:
            from bandersnatch.mirror.closure_report import report_closure  # noqa: PLC0415 - as below

            await report_closure(mirror, following)
        return position


def _open_following(mirror: Mirror) -> Following | None:
    """Return what follows dependencies, None if that is not configured."""
    if mirror.closure is None:
        return None
    from bandersnatch.mirror.following import Following  # noqa: PLC0415 - slow, rarely needed

    return Following(mirror, mirror.closure)


def _enter(mirror: Mirror, phase: RunPhase) -> None:
    mirror.events(PhaseStarted(phase))


async def _open_checkpoint(
    mirror: Mirror, files: StateFiles, prepared: Preparation, clock: ClockCheck, *, sweeps: bool
) -> Checkpoint:
    """Return the checkpoint that records the work of a run."""
    losses = await mirror.catalogue.marker(Marker.FILE_LOSSES)
    tasks = {**prepared.plan.tasks, **prepared.plan.removals}
    pending = {name: task.target_serial for name, task in tasks.items()}
    return Checkpoint(
        mirror.storage,
        mirror.catalogue,
        files,
        mirror.clock,
        todo=Todo(prepared.state.cursor, pending),
        now=prepared.now,
        losses=LossWindow.parse(losses, prepared.now),
        may_expire=not clock.doubt,
        records_looks=sweeps,
    )


def _open_sweep(mirror: Mirror, prepared: Preparation) -> Sweep | None:
    """Return the sweep, None if this run asks for no page that nothing says has changed.

    The comparison of a finite set of projects asks for every page anyway.
    """
    interval, options = mirror.settings.run.sweep_interval, prepared.options
    is_partial = options.only is not None or not options.sweep
    is_finite = mirror.filters.finite_names is not None or mirror.closure is not None
    if is_partial or is_finite or not interval:
        return None
    return Sweep(mirror.catalogue, interval, mirror.filters.may_select, prepared.now)


class _Steps:
    """The steps of a run that is prepared."""

    def __init__(self, work: RunWork, files: StateFiles, sweep: Sweep | None) -> None:
        self._work = work
        self._mirror = work.mirror
        self._prepared = work.prepared
        self._checkpoint = work.checkpoint
        self._files = files
        self._sweep = sweep
        self._removals = RunRemovals(work)
        following = work.following
        self._followed = None if following is None else FollowedProjects(work, following)
        self._swept: dict[ProjectName, SyncTask] = {}
        self._status = NO_SERIAL

    async def take(self) -> Position:
        """Do the work, and return how far it came."""
        mirror, checkpoint = self._mirror, self._checkpoint
        await self._begin()
        _enter(mirror, RunPhase.SYNC)
        try:
            executor = await self._sync_projects()
            await self._sync_needed_and_remove(executor)
            await self._sync_damaged(executor)
            await self._removals.purge_trash()
            if executor.complete:
                await self._work.settle_freed_paths(executor)
                await self._advance(executor)
                _enter(mirror, RunPhase.SWEEP)
                await self._sync_swept(executor)
        finally:
            _enter(mirror, RunPhase.END)
            await checkpoint.save()
        if executor.complete:
            await Publisher.of(mirror).publish_last_modified(self._prepared.began)
        return await self._end(complete=executor.complete)

    # ------------------------------------------------------------ the work

    async def _begin(self) -> None:
        """Store the plan, and trash what is left of projects without a task."""
        prepared = self._prepared
        sweep = {} if self._sweep is None else await self._sweep.begin()
        kept = await self._removals.remove_unrecorded(prepared.leftovers)
        await self._checkpoint.begin(
            [name for name in prepared.resolved if name not in kept],
            prepared.plan.tasks.values(),
            {**prepared.first_markers, **sweep},
        )

    async def _sync_projects(self) -> Executor:
        """Work on all tasks, and return the executor that did.

        :raises UnusableIndex: if the index has not answered a single time in this run, or its URL
            seems to be wrong.
        """
        plan = self._prepared.plan
        executor = await self._work.execute(plan.tasks.values())
        if plan.cursor is None and plan.tasks and not executor.answered:
            raise UnusableIndex(f"the index answered for none of {len(plan.tasks)} projects")
        if plan.tasks and not (executor.unvisited or executor.failed_otherwise):
            await self._require_pages()
        await self._checkpoint.commit()
        return executor

    async def _require_pages(self) -> None:
        """Refuse to go on if no project has a page and nothing else proves that the URL is right.

        :raises WrongIndexUrl: if so; then nothing is removed, and the next run asks again.
        """
        mirror, prepared = self._mirror, self._prepared
        index, settings = mirror.index, mirror.settings.index
        if index.pages:
            return
        tasks, is_finite = prepared.plan.tasks, bool(prepared.found.finite)
        is_known = any(TaskHints.KNOWN in task.hints for task in tasks.values())
        if is_finite and not is_known and prepared.options.only is None:
            await index_check.require_any(index, settings, list(tasks))
        elif is_finite or not await mirror.catalogue.count():
            await index_check.require_index(index, settings, list(tasks))

    async def _sync_needed_and_remove(self, executor: Executor) -> None:
        """Sync what others need, and remove what is gone, not selected or not needed any more."""
        prepared, removals, followed = self._prepared, self._removals, self._followed
        deselected = prepared.deselected
        if followed is not None:
            unneeded = await followed.sync(executor)
            deselected = deselected if unneeded is None else unneeded
        await removals.publish_losses(executor)
        await self._work.settle_paths(executor)
        _enter(self._mirror, RunPhase.REMOVE)
        released = await removals.remove(
            executor,
            reported=prepared.plan.removals,
            deselected=deselected,
            forgotten=prepared.forgotten,
        )
        if followed is not None:
            await followed.shrink(released, executor, removals)

    async def _sync_damaged(self, executor: Executor) -> None:
        """Sync the projects whose rows were found damaged since the plan was made."""
        mirror, checkpoint = self._mirror, self._checkpoint
        planned, selects = self._prepared.plan.tasks.keys(), mirror.filters.may_select
        names = [
            each.name
            for each in await mirror.catalogue.deferred()
            if each.cause is Cause.DAMAGED and each.name not in planned and selects(each.name)
        ]
        if not (names and executor.complete and self._prepared.options.only is None):
            return
        listed = self._prepared.found.display
        tasks = [
            replace(
                task,
                display=listed(task.name) or task.display,
                hints=task.hints & ~TaskHints.LISTED,
            )
            for task in await tasks_by_name(mirror, names)
        ]
        for task in tasks:
            checkpoint.pending.setdefault(task.name, task.target_serial)
        again = await self._work.execute(tasks, may_lose={})
        executor.failed |= again.failed
        await checkpoint.commit()
        await publish_root(mirror)

    async def _advance(self, executor: Executor) -> None:
        """Move the cursor, and store the markers if everything was compared."""
        prepared = self._prepared
        cursor = prepared.state.cursor if prepared.plan.cursor is None else prepared.plan.cursor
        undone = (executor.failed | executor.unvisited.keys()) & (
            prepared.missing | prepared.deselected
        )
        is_compared = not (self._removals.is_refused or undone)
        await self._checkpoint.advance(cursor, prepared.last_markers if is_compared else {})

    async def _sync_swept(self, executor: Executor) -> None:
        """Sync the share of pages that were not asked for longest.

        Everything else is published and recorded before, ``status`` included, so that none of it
        waits. What fails here waits for the next run and does not hold back ``status``.
        """
        mirror, work, checkpoint, sweep = self._mirror, self._work, self._checkpoint, self._sweep
        count = 0 if sweep is None or work.clock.doubt else await sweep.count()
        if sweep is None or not count:
            return
        plan = self._prepared.plan
        deferred = {each.name for each in await mirror.catalogue.deferred()}
        planned = plan.tasks.keys() | plan.removals.keys()
        names = await sweep.queue(count, deferred | planned | executor.gone.keys())
        if not names:
            await checkpoint.commit(CatalogueUpdate(markers=sweep.done()))
            return
        await checkpoint.save()
        await Publisher.of(mirror).publish_last_modified(self._prepared.began)
        await mirror.catalogue.commit(CatalogueUpdate(markers=await self._save_status()))
        mirror.events(StepStarted(f"asking for {len(names)} pages that were not asked for longest"))
        tasks = await sweep.tasks(names, self._prepared.policy.fingerprint)
        self._swept = {task.name: task for task in tasks}
        swept = await work.execute(tasks, sweeps=True)
        await checkpoint.commit()
        await checkpoint.commit(CatalogueUpdate(markers=sweep.done() if swept.complete else {}))
        await self._removals.publish_losses(swept)
        await work.settle_paths(swept)
        await self._removals.remove(swept)
        await work.settle_freed_paths(swept)
        mirror.events(SweepEnded(len(tasks) - len(swept.unvisited), swept.found_by_sweep))

    # ------------------------------------------------------------ after the work

    async def _save_status(self) -> dict[Marker, str]:
        """Write ``status``, and return what to record if nothing is left undone."""
        checkpoint, prepared = self._checkpoint, self._prepared
        pending, is_refused = checkpoint.pending, self._removals.is_refused
        followed = {} if self._followed is None else self._followed.tasks
        tasks = {**self._swept, **followed, **prepared.plan.tasks, **prepared.plan.removals}
        waiting = [name for name in pending if name not in checkpoint.settled]
        firsts = [tasks[name].first_serial if name in tasks else None for name in waiting]
        # Refused removals are changes that the tree does not reflect.
        firsts += [None] if is_refused else []
        before = max(prepared.state.status, self._status)
        self._status = next_status(before, checkpoint.cursor, firsts)
        is_success = not waiting and not is_refused
        is_finished = is_success and not pending
        if checkpoint.cursor == NO_SERIAL and self._status == NO_SERIAL:
            await self._files.forget_status(finished=is_finished)
        else:
            await self._files.save_status(self._status, finished=is_finished)
        last = await self._mirror.catalogue.marker(Marker.LAST_SUCCESS)
        success = str(prepared.now)
        if not is_success or last == success:  # not, or already before the sweep
            return {}
        return {Marker.PREVIOUS_SUCCESS: last, Marker.LAST_SUCCESS: success}

    async def _move_mark(self, *, complete: bool) -> None:
        """Move the mark if something changed, or if tree and catalogue are of one moment again."""
        is_restored = self._prepared.is_restored
        if complete and (is_restored or await read_marks(self._mirror) is MarkState.NEW):
            await move_mark(self._mirror)
        else:
            await finish_marks(self._mirror)

    async def _end(self, *, complete: bool) -> Position:
        """Purge partial downloads, write ``status``, and store what the next run needs."""
        mirror, prepared, pending = self._mirror, self._prepared, self._checkpoint.pending
        if not self._work.clock.doubt:
            after_all = int(mirror.clock.now().timestamp()) + 1
            before = prepared.now - _STALE_DOWNLOAD if pending else after_all
            await mirror.storage.purge_downloads(before=before)
        await self._move_mark(complete=complete)
        markers = await self._save_status()
        markers[Marker.CLEAN] = await final_marker(self._files, prepared.state, complete=complete)
        await mirror.catalogue.commit(CatalogueUpdate(markers=markers))
        index = prepared.found.head or prepared.plan.cursor
        return Position(prepared.state.status, self._status, index, len(pending))
