"""How a run of ``mirror`` ends: the state that it leaves, and what is remembered of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import MISSED, CatalogueUpdate, CleanMarker, Marker
from bandersnatch.config.schema import RemovedProjects
from bandersnatch.errors import SafetyStop, UnusableIndex
from bandersnatch.events import Halted, RunPlanned
from bandersnatch.mirror.checkpoint import Checkpoint
from bandersnatch.mirror.discovery import Discoverer, DiscoveryRequest
from bandersnatch.mirror.fingerprint import PolicyFingerprint
from bandersnatch.mirror.plan import (
    SyncPlan,
    deselected,
    make_plan,
    restricted,
    vanished,
    without,
)
from bandersnatch.mirror.publish import Publisher
from bandersnatch.mirror.recovery import (
    max_concurrent_projects,
    open_context,
    open_executor,
    open_tree,
)
from bandersnatch.mirror.removal import (
    PlannedRemovals,
    check_removals,
    removal_limit,
    remove_all,
    remove_unrecorded,
)
from bandersnatch.mirror.state import StateFiles, Todo, final_marker, next_status, trusted_state
from bandersnatch.mirror.tasks import Discovery, MirrorSnapshot, SyncTask
from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from bandersnatch.catalogue.records import Deferred
    from bandersnatch.mirror.executor import Executor
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.plan import SyncPlan
    from bandersnatch.mirror.state import MirrorState
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList
    from bandersnatch.model.serials import Serial


_ABANDONED = 7 * 86_400
"""Seconds after which an unfinished download is given up while others are still pending."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a run left the mirror; ``index`` is None for an index without serials."""

    before: Serial
    after: Serial
    index: Serial | None
    pending: int


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run came to its end.

    ``complete`` says that everything was visited, ``refused`` that a limit did not let everything
    go that the index no longer has.
    """

    began: datetime
    complete: bool
    refused: bool


async def end_run(
    mirror: Mirror,
    files: StateFiles,
    state: MirrorState,
    plan: SyncPlan,
    checkpoint: Checkpoint,
    ending: RunResult,
) -> Position:
    """Write ``status``, and remember what it is now, and the run if it was a good one."""
    began = int(ending.began.timestamp())
    tasks = {**plan.tasks, **plan.removals}
    firsts = [tasks[name].first_serial for name in checkpoint.pending]
    # Removals that were refused are changes that the tree does not show.
    firsts += [None] if ending.refused else []
    status = next_status(state.status, checkpoint.cursor, firsts)
    if not checkpoint.pending:
        await mirror.storage.purge_downloads(before=int(mirror.clock.now().timestamp()) + 1)
    else:
        await mirror.storage.purge_downloads(before=began - _ABANDONED)
    finished = not checkpoint.pending and not ending.refused
    await files.save_status(status, finished=finished)
    markers = {Marker.CLEAN: await final_marker(files, state, complete=ending.complete)}
    if finished:
        markers[Marker.LAST_SUCCESS] = str(began)
    await mirror.catalogue.commit(CatalogueUpdate(markers=markers))
    return Position(state.status, status, plan.cursor, len(checkpoint.pending))


_FEW = 20_000
"""Projects; to ask the catalogue for more of them by name takes longer than for all."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the operator asks of one run.

    ``force`` looks at every project, whatever the state says. ``accepted`` are the projects
    whose published files may change. ``only``, for a dry run, are those to look at.
    """

    force: bool = False
    accepted: frozenset[ProjectName] = frozenset()
    only: frozenset[ProjectName] | None = None


class MirrorRun:
    """One run of ``mirror``."""

    def __init__(self, mirror: Mirror, options: RunOptions) -> None:
        self._mirror = mirror
        self._options = options
        self._state = StateFiles(mirror.storage)
        self._publisher = Publisher.of(mirror)
        self._refused = False
        self._changed = False

    async def run(self) -> Position:
        """Bring the mirror up to what the index has now.

        Whatever ends it, what was done by then is recorded, and the next run goes on from it.
        """
        mirror = self._mirror
        began = mirror.clock.now()
        state = await self._opened(began)
        self._changed = await self._is_changed()
        found = await self._discover(state)
        before = await self._snapshot(state, found, int(began.timestamp()))
        plan = make_plan(found, before, mirror.filters.may_select, force=self._options.force)
        unwanted, forgotten = await self._unwanted()
        if self._options.only is not None:
            plan, unwanted = restricted(plan, self._options.only), unwanted & self._options.only
        count = await mirror.catalogue.count()
        limit = removal_limit(count, mirror.settings.run.max_removals)
        markers = {**self._fingerprints(), **found.markers}
        missing = vanished(plan, found)
        if self._is_refused(len(missing), limit):
            plan = without(plan, missing)
        mirror.events(RunPlanned(len(plan.tasks), len(plan.removals) + len(unwanted)))
        checkpoint = self._checkpoint(plan, state, before.now)
        settled = _settled(before.deferred, plan, unwanted, found.listing)
        await self._begin(checkpoint, plan, before, settled, began, seal=state.seal)
        try:
            executor = await self._execute_plan(plan, checkpoint, began)
            await checkpoint.commit()
            leaving = PlannedRemovals(
                plan.removals, executor.gone, unwanted, executor.unwanted, executor.emptied
            )
            await self._part_with(leaving, checkpoint, limit, began)
            await checkpoint.commit(CatalogueUpdate(forgotten=sorted(forgotten)))
            await remove_unrecorded(mirror, checkpoint.unrecorded, checkpoint, began)
            _drop(checkpoint.pending, checkpoint.unrecorded)
            cursor = await self._cursor(plan, state)
            if executor.complete:
                compared = not (self._refused or executor.failed & missing)
                await checkpoint.advance(cursor, markers if compared else {})
        finally:
            await checkpoint.save()
        if executor.complete:
            await self._publisher.publish_last_modified(began)
        ending = RunResult(began, executor.complete, self._refused)
        return await end_run(mirror, self._state, state, plan, checkpoint, ending)

    # ------------------------------------------------------------ before

    async def _opened(self, began: datetime) -> MirrorState:
        """Return the state as far as it can be believed; else everything is looked at."""
        found = await open_tree(self._mirror, self._state, began)
        state = await trusted_state(self._mirror, self._state, found)
        if state.seal == CleanMarker.UNTRUSTED:
            self._options = replace(self._options, force=True)
        return state

    async def _discover(self, state: MirrorState) -> Discovery:
        mirror = self._mirror
        catalogue, settings = mirror.catalogue, mirror.settings
        if self._options.only is not None:
            return Discovery(None, finite=self._options.only)
        discoverer = Discoverer(mirror.index, catalogue, mirror.clock, mirror.events)
        return await discoverer.discover(
            DiscoveryRequest(
                method=settings.index.api_method,
                cursor=state.cursor,
                finite=mirror.filters.finite_names,
                interval=settings.run.reconcile_interval,
                thorough=self._changed or self._options.force,
                settled=not (state.todo and state.todo.pending),
            )
        )

    def _fingerprints(self) -> dict[Marker, str]:
        return {
            Marker.OPTIONS: PolicyFingerprint.of(self._mirror).options,
            Marker.FILTERS: self._mirror.filters.fingerprint,
        }

    async def _is_changed(self) -> bool:
        """Whether options or filters are others than those of the last run that was complete."""
        now, stored = self._fingerprints(), self._mirror.catalogue.marker
        return any([await stored(key) != text for key, text in now.items()])

    async def _unwanted(self) -> tuple[frozenset[ProjectName], frozenset[ProjectName]]:
        """Return the projects that the project filters want no more; see ``deselected``."""
        if not (self._options.force or self._changed):
            return frozenset(), frozenset()
        mirror = self._mirror
        return deselected(await mirror.catalogue.summaries(None), mirror.filters.may_select)

    async def _snapshot(self, state: MirrorState, found: Discovery, now: int) -> MirrorSnapshot:
        unfinished = {each.name: each for each in await self._mirror.catalogue.deferred()}
        pending = state.todo.pending if state.todo else {}
        due = await self._mirror.catalogue.due(now)
        differing = await self._differing(found)
        names: set[ProjectName] | None = None
        if found.listing is None or (differing is not None and len(differing) <= _FEW):
            changed = {change.name for change in found.changes}
            names = {*changed, *found.finite, *pending, *unfinished, *due, *(differing or ())}
        run = self._mirror.settings.run
        return MirrorSnapshot(
            status=state.status,
            pending=pending,
            deferred=unfinished,
            summaries=await self._mirror.catalogue.summaries(names),
            fingerprint=PolicyFingerprint.of(self._mirror),
            now=now,
            due=due,
            changed=differing,
            keep_removed=run.removed_projects is RemovedProjects.KEEP,
        )

    async def _differing(self, found: Discovery) -> frozenset[ProjectName] | None:
        """Return the projects to compare one by one with the whole list, None for all."""
        if found.listing is None or self._options.force:
            return None
        mirror = self._mirror
        differing = await mirror.catalogue.changed_since(
            found.listing, PolicyFingerprint.of(mirror).general
        )
        differing |= PolicyFingerprint.of(mirror).special(found.listing.serials)
        return frozenset(filter(mirror.filters.may_select, differing))

    def _is_refused(self, removals: int, limit: int, *, by_filters: int = 0) -> bool:
        """Whether so many removals are too many to be believed; if so, say it."""
        try:
            check_removals(removals, limit, by_filters=by_filters)
        except SafetyStop as error:
            self._mirror.events(Halted(error))
            self._refused = True
            return True
        return False

    def _checkpoint(self, plan: SyncPlan, state: MirrorState, now: int) -> Checkpoint:
        pending = {
            name: task.target_serial for name, task in {**plan.tasks, **plan.removals}.items()
        }
        return Checkpoint(
            self._mirror.storage,
            self._mirror.catalogue,
            self._state,
            self._mirror.clock,
            todo=Todo(state.cursor, pending),
            now=now,
        )

    async def _begin(
        self,
        checkpoint: Checkpoint,
        plan: SyncPlan,
        before: MirrorSnapshot,
        settled: list[ProjectName],
        began: datetime,
        *,
        seal: str,
    ) -> None:
        """Write down what is to be done, and take away what nobody would think of afterwards.

        If the filters are others than before, the tree is neither what those made of it from here
        on, nor what these will, and the next run compares everything, whatever filters it has.
        """
        looked_at = plan.tasks.keys() | plan.removals.keys()
        strays = (before.deferred.keys() | before.pending.keys()) - looked_at
        only = self._options.only
        await remove_unrecorded(
            self._mirror, sorted(strays if only is None else strays & only), checkpoint, began
        )
        unsettled = dict.fromkeys((Marker.OPTIONS, Marker.FILTERS), "") if self._changed else {}
        await checkpoint.begin(settled, plan.tasks.values(), {**unsettled, Marker.CLEAN: seal})

    # ------------------------------------------------------------ the work

    async def _execute_plan(
        self, plan: SyncPlan, checkpoint: Checkpoint, began: datetime
    ) -> Executor:
        """Visit what is wanted, and return who did.

        :raises UnusableIndex: if the index has not answered a single time in this run.
        """
        executor = await self._execute(plan.tasks.values(), checkpoint, began)
        if plan.cursor is None and plan.tasks and not executor.answered:
            raise UnusableIndex(f"the index answered for none of {len(plan.tasks)} projects")
        return executor

    async def _execute(
        self,
        tasks: Collection[SyncTask],
        checkpoint: Checkpoint,
        began: datetime,
        *,
        may_empty: bool = False,
    ) -> Executor:
        context = await open_context(
            self._mirror,
            began,
            accepted=self._options.accepted,
            force=self._options.force,
            may_empty=may_empty,
        )
        stop = self._mirror.settings.run.stop_on_error
        executor = open_executor(self._mirror, checkpoint, context, began, stop_on_error=stop)
        await executor.run(tasks, workers=max_concurrent_projects(self._mirror))
        return executor

    async def _part_with(
        self, leaving: PlannedRemovals, checkpoint: Checkpoint, limit: int, began: datetime
    ) -> None:
        """Remove what leaves, unless that is too much to be believed, and publish the root."""
        keeps = self._mirror.settings.run.removed_projects is RemovedProjects.KEEP
        gone: frozenset[ProjectName] = frozenset() if keeps else leaving.gone
        by_filters = len(leaving.filtered_out - gone) + len(leaving.emptied)
        projects: frozenset[ProjectName] = frozenset()
        held = self._is_refused(len(gone) + by_filters, limit, by_filters=by_filters)
        if held and len(gone) > limit:
            await checkpoint.defer_removals(leaving.reported)
        else:
            projects |= gone
            _drop(checkpoint.pending, leaving.reported)
        if not held:
            projects |= leaving.filtered_out
            if leaving.emptied:
                await self._execute(leaving.emptied.values(), checkpoint, began, may_empty=True)
                await checkpoint.commit()
            _drop(checkpoint.pending, leaving.excluded)
        force = self._options.force
        await remove_all(self._mirror, leaving, projects, checkpoint, began, force=force)

    async def _cursor(self, plan: SyncPlan, state: MirrorState) -> Serial:
        """Return T after this run: what the changelog or list told, else how far pages reach."""
        if plan.cursor is not None:
            return plan.cursor
        had = await self._mirror.catalogue.summaries(plan.tasks)
        told = (each.serial for each in had.values() if each.serial is not None)
        return max(state.cursor, max(told, default=NO_SERIAL))


def _drop(pending: dict[ProjectName, Serial], names: Iterable[ProjectName]) -> None:
    for name in names:
        pending.pop(name, None)


def _settled(
    unfinished: Mapping[ProjectName, Deferred],
    plan: SyncPlan,
    unwanted: frozenset[ProjectName],
    listing: ProjectList | None,
) -> list[ProjectName]:
    """Return the projects that nobody has to come back to any more.

    Those that are ``unwanted`` may stay, and be wanted again. Those that were missed are left
    until it is time for another look, unless the ``listing`` has them again.
    """
    looked_at = plan.tasks.keys() | plan.removals.keys() | unwanted
    listed = listing.serials if listing is not None else {}
    return [
        name
        for name, left in unfinished.items()
        if name not in looked_at and (left.deferral not in MISSED or name in listed)
    ]
