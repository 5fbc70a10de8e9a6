"""The command ``mirror``: brings the whole mirror up to what the index has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch.catalogue.records import (
    MISSED,
    CatalogueUpdate,
    Cause,
    CleanMarker,
    Deferred,
    Marker,
    RootMarker,
)
from bandersnatch.config.schema import RemovedProjects
from bandersnatch.errors import SafetyStop, TooManyFileRemovals, UnusableIndex
from bandersnatch.events import (
    Halted,
    PhaseStarted,
    RunPhase,
    RunPlanned,
    StepStarted,
    SweepEnded,
    Warned,
)
from bandersnatch.mirror import index_check, recovery, removal
from bandersnatch.mirror.checkpoint import Checkpoint
from bandersnatch.mirror.clock_check import clock_doubt
from bandersnatch.mirror.closure_report import report_closure
from bandersnatch.mirror.discovery import Discoverer, DiscoveryRequest
from bandersnatch.mirror.fingerprint import PolicyFingerprint
from bandersnatch.mirror.following import Following
from bandersnatch.mirror.health import IndexHealth
from bandersnatch.mirror.ledger import ceiling_above
from bandersnatch.mirror.losses import LossWindow, loss_limit, within_limit
from bandersnatch.mirror.mark import MarkState, finish_marks, move_mark, read_marks
from bandersnatch.mirror.owners import PathOwners
from bandersnatch.mirror.plan import SyncPlan, deselected, make_plan, restricted, vanished, without
from bandersnatch.mirror.publish import Publisher, publish_root
from bandersnatch.mirror.readoption import Readoption
from bandersnatch.mirror.rejections import report_rejections
from bandersnatch.mirror.state import StateFiles, Todo, final_marker, next_status, trusted_state
from bandersnatch.mirror.sweep import Sweep
from bandersnatch.mirror.sync import settle_paths, tasks_by_name
from bandersnatch.mirror.tasks import Discovery, MirrorSnapshot, Opening, SyncTask, TaskHints
from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from bandersnatch.mirror.executor import Executor
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.state import MirrorState
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList

_FEW = 20_000
"""Projects; querying more of them by name takes longer than reading all summaries."""

_STALE_DOWNLOAD = 7 * 86_400
"""Seconds after which a partial download is purged while projects are still pending."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the operator asks of one run.

    ``force`` syncs every project, whatever the state says. ``accepted`` are the projects whose
    published files may change. ``only`` restricts a dry run to some projects. ``max_removals``
    and ``max_file_removals`` replace the limits of the configuration; the second is then for the
    files of this run alone. ``rebuild`` rebuilds the catalogue from the tree. ``sweep`` is False to
    ask for no page that nothing says has changed.
    """

    force: bool = False
    accepted: frozenset[ProjectName] = frozenset()
    only: frozenset[ProjectName] | None = None
    max_removals: int | None = None
    max_file_removals: int | None = None
    rebuild: bool = False
    sweep: bool = True


@dataclass(frozen=True, slots=True)
class Position:
    """How far a run brought the mirror; ``index`` is None for an index without serials."""

    before: Serial
    after: Serial
    index: Serial | None
    pending: int


@dataclass(frozen=True, slots=True)
class _Preparation:
    """What a run decides before it changes anything.

    ``deselected`` are published projects that the project filters no longer select,
    ``forgotten`` those of which only an excluded record exists. ``missing`` are published
    projects that the project list does not have. ``finite`` says that every project that can be
    selected is asked for by its name. ``resolved`` are the projects whose deferral ends,
    ``leftovers`` the deferred ones without a task, of which something may be published.
    ``limit`` is how many projects may be removed. ``head`` is that of the discovery.
    ``markers`` are stored when the run is complete.
    """

    plan: SyncPlan
    deselected: frozenset[ProjectName]
    forgotten: frozenset[ProjectName]
    missing: frozenset[ProjectName]
    finite: bool
    resolved: list[ProjectName]
    leftovers: list[ProjectName]
    limit: int
    head: Serial | None
    markers: Mapping[Marker, str]


class MirrorRun:
    """One run of ``mirror``."""

    def __init__(self, mirror: Mirror, options: RunOptions) -> None:
        self._mirror = mirror
        self._options = options
        self._files = StateFiles(mirror.storage)
        self._fingerprint = PolicyFingerprint.of(mirror)
        self._is_policy_new = False
        self._is_refused = False
        self._found = Discovery(None)
        self._last_run: int | None = None
        self._is_restored = False
        self._unknown: frozenset[ProjectName] = frozenset()
        self._doubt = ""
        self._owners = PathOwners.of(mirror)
        closure = mirror.closure
        self._following = None if closure is None else Following(mirror, closure)
        self._followed: dict[ProjectName, SyncTask] = {}
        self._removed = 0
        self._sweeper: Sweep | None = None
        self._swept: dict[ProjectName, SyncTask] = {}
        self._status = NO_SERIAL

    async def run(self) -> Position:
        """Bring the mirror up to what the index has now.

        Whatever ends it, what was done by then is recorded, and the next run continues from it.

        :raises UnusableIndex: if the index cannot be used.
        :raises StorageError: if the storage fails.
        """
        began = self._mirror.clock.now()
        self._enter(RunPhase.PLAN)
        state = await self._open(began)
        prepared = await self._prepare(state, began)
        checkpoint = await self._begin(prepared, state, began)
        self._enter(RunPhase.SYNC)
        try:
            executor = await self._sync_projects(prepared, checkpoint, began)
            prepared = await self._follow(prepared, executor, checkpoint, state, began)
            await self._publish_losses(executor, checkpoint, began)
            await self._settle_paths(executor, checkpoint, began, free=False)
            self._enter(RunPhase.REMOVE)
            released = await self._remove_projects(prepared, executor, checkpoint, began)
            await self._shrink(prepared, released, executor, checkpoint, state, began)
            await self._sync_damaged(prepared, executor, checkpoint, began)
            await self._purge_trash(checkpoint, began)
            if executor.complete:
                await self._settle_freed_paths(executor, checkpoint, began)
                await self._advance(prepared, executor, checkpoint, state)
                self._enter(RunPhase.SWEEP)
                await self._sweep(prepared, executor, checkpoint, state, began)
        finally:
            self._enter(RunPhase.END)
            await checkpoint.save()
        if executor.complete:
            await Publisher.of(self._mirror).publish_last_modified(began)
        position = await self._end(prepared, checkpoint, state, began, executor.complete)
        await report_rejections(self._mirror, self._options.only)
        if self._following is not None:
            await report_closure(self._mirror, self._following)
        return position

    def _enter(self, phase: RunPhase) -> None:
        self._mirror.events(PhaseStarted(phase))

    # ------------------------------------------------------------ before anything changes

    async def _open(self, began: datetime) -> MirrorState:
        """Return the state as far as it can be trusted; otherwise every project is synced."""
        rebuild = self._options.rebuild
        found = await recovery.open_tree(self._mirror, self._files, began, rebuild=rebuild)
        self._is_restored = found.is_restored
        if found.is_restored:
            self._unknown = await self._compare_tree(began)
        state = await trusted_state(self._mirror, self._files, found)
        if self._following is not None:
            await self._following.open()
        if state.clean_marker == CleanMarker.UNTRUSTED:
            self._options = replace(self._options, force=True)
        self._is_policy_new = await self._has_new_policy()
        return state

    async def _compare_tree(self, began: datetime) -> frozenset[ProjectName]:
        from bandersnatch.mirror.restored import TreeComparison  # noqa: PLC0415 - rarely needed

        return await TreeComparison(self._mirror, began).run()

    async def _prepare(self, state: MirrorState, began: datetime) -> _Preparation:
        """Ask the index, compare it with the mirror, and check the plan against the limits."""
        mirror, only = self._mirror, self._options.only
        last = await mirror.catalogue.marker(Marker.LAST_RUN)
        self._last_run = int(last) if last.isascii() and last.isdigit() else None
        found = self._found = await self._discover(state)
        self._check_clock(began)
        await self._forget_unbelieved(found)
        before = await self._snapshot(state, found, int(began.timestamp()))
        if await Readoption.of(mirror).run():  # the projects of damaged rows are deferred now
            before = await self._snapshot(state, found, int(began.timestamp()))
        plan = make_plan(found, before, mirror.filters.may_select, force=self._options.force)
        published, forgotten = await self._deselected()
        if only is not None:
            plan, published = restricted(plan, only), published & only
        configured = mirror.settings.run.max_removals
        if self._options.max_removals is not None:
            configured = self._options.max_removals
        limit = removal.removal_limit(await mirror.catalogue.count(), configured)
        missing = vanished(plan, found)
        if self._refuses(len(missing), limit):
            plan = without(plan, missing)
        mirror.events(RunPlanned(len(plan.tasks), len(plan.removals) + len(published)))
        if self._following is not None:
            await self._following.load(plan.tasks)
        planned = plan.tasks.keys() | plan.removals.keys()
        leftovers = (before.deferred.keys() | before.pending.keys()) - planned
        return _Preparation(
            plan,
            deselected=published,
            forgotten=forgotten,
            missing=missing,
            finite=bool(found.finite),
            resolved=_resolved(before.deferred, planned | published, found.listing),
            leftovers=sorted(leftovers if only is None else leftovers & only),
            limit=limit,
            head=found.head,
            markers={**self._policy_markers(), **self._index_marker(), **found.markers},
        )

    async def _forget_unbelieved(self, found: Discovery) -> None:
        """Forget recorded serials that are not believed: without that they would stay for ever.

        It reads every project, so it is done when everything is compared.
        """
        is_compared = found.listing is not None or found.finite
        if found.ceiling is not None and is_compared and self._options.only is None:
            await self._mirror.catalogue.commit(CatalogueUpdate(forget_above=found.ceiling))

    async def _discover(self, state: MirrorState) -> Discovery:
        mirror = self._mirror
        catalogue, settings = mirror.catalogue, mirror.settings
        if self._options.only is not None:
            ceiling = ceiling_above(state.cursor)
            return Discovery(None, finite=self._options.only, ceiling=ceiling)
        discoverer = Discoverer(mirror.index, catalogue, mirror.clock, mirror.events)
        request = DiscoveryRequest(
            method=settings.index.api_method,
            cursor=state.cursor,
            finite=mirror.filters.finite_names,
            interval=settings.run.reconcile_interval,
            thorough=self._is_policy_new or self._options.force,
            settled=not (state.todo and state.todo.pending),
        )
        try:
            return await discoverer.discover(request)
        except UnusableIndex as error:
            await index_check.explain(error, mirror.index, settings.index)
            raise

    def _check_clock(self, began: datetime) -> None:
        """Doubt the clock for the rest of the run if there is a reason; warn once."""
        if self._doubt:
            return
        offset = self._mirror.index.clock_offset
        self._doubt = clock_doubt(int(began.timestamp()), self._last_run, offset)
        if self._doubt:
            text = f"{self._doubt}; nothing is purged or expires in this run"
            self._mirror.events(Warned(text))

    def _policy_markers(self) -> dict[Marker, str]:
        markers = {
            Marker.OPTIONS: self._fingerprint.options,
            Marker.FILTERS: self._mirror.filters.fingerprint,
        }
        if self._following is not None:
            markers[Marker.CLOSURE] = self._following.policy
        return markers

    def _index_marker(self) -> dict[Marker, str]:
        """Return the marker of the index, to be stored when it has answered."""
        return {Marker.INDEX: recovery.index_identity(self._mirror.settings.index.url)}

    async def _has_new_policy(self) -> bool:
        """Whether options or filters differ from those of the last complete run."""
        stored = self._mirror.catalogue.marker
        return any([await stored(key) != text for key, text in self._policy_markers().items()])

    async def _deselected(self) -> tuple[frozenset[ProjectName], frozenset[ProjectName]]:
        """Return the projects that the project filters no longer select; see ``deselected``."""
        if not (self._options.force or self._is_policy_new):
            return frozenset(), frozenset()
        mirror = self._mirror
        return deselected(await mirror.catalogue.summaries(None), mirror.filters.may_select)

    async def _snapshot(self, state: MirrorState, found: Discovery, now: int) -> MirrorSnapshot:
        catalogue = self._mirror.catalogue
        deferred = await self._deferred(now)
        pending = state.todo.pending if state.todo else {}
        due = await catalogue.due(now)
        differing = await self._differing(found)
        names: set[ProjectName] | None = None
        if found.listing is None or (differing is not None and len(differing) <= _FEW):
            changed = {change.name for change in found.changes}
            names = {*changed, *found.finite, *pending, *deferred, *due, *(differing or ())}
            names |= self._unknown
        return MirrorSnapshot(
            status=state.status,
            pending=pending,
            deferred=deferred,
            summaries=await catalogue.summaries(names),
            fingerprint=self._fingerprint,
            now=now,
            due=due,
            changed=differing,
            keep_removed=self._mirror.settings.run.removed_projects is RemovedProjects.KEEP,
            may_expire=not self._doubt,
            has_changelog=found.head is not None or found.listing is None,
            cursor=state.cursor,
            unknown=self._unknown,
        )

    async def _deferred(self, now: int) -> dict[ProjectName, Deferred]:
        """Return the deferrals; a time in the future was recorded by a wrong clock, and is now."""
        found = {each.name: each for each in await self._mirror.catalogue.deferred()}
        corrected = [
            structs.replace(each, since=min(each.since, now), tried=min(each.tried, now))
            for each in found.values()
            if max(each.since, each.tried) > now and not self._doubt
        ]
        await self._mirror.catalogue.commit(CatalogueUpdate(deferred=corrected))
        return {**found, **{each.name: each for each in corrected}}

    async def _differing(self, found: Discovery) -> frozenset[ProjectName] | None:
        """Return the projects to compare one by one with the project list, None for all."""
        if found.listing is None or self._options.force:
            return None
        mirror, fingerprint = self._mirror, self._fingerprint
        differing = await mirror.catalogue.changed_since(
            found.listing, fingerprint.general, exact=found.head is None
        )
        differing |= fingerprint.special(found.listing.serials)
        return frozenset(filter(mirror.filters.may_select, differing))

    def _refuses(self, removals: int, limit: int, *, by_filters: int = 0, emptied: int = 0) -> bool:
        """Whether a limit refuses so many removals; if so, report it."""
        try:
            removal.check_removals(removals, limit, by_filters=by_filters, emptied=emptied)
        except SafetyStop as error:
            self._mirror.events(Halted(error))
            self._is_refused = True
            return True
        return False

    # ------------------------------------------------------------ the work

    async def _begin(
        self, prepared: _Preparation, state: MirrorState, began: datetime
    ) -> Checkpoint:
        """Store the plan, and trash what is left of projects without a task.

        Under a new policy the tree matches neither the old one from here on, nor the new one yet:
        without the markers of the policy, the next run compares everything, whatever it is.
        """
        mirror, plan, now = self._mirror, prepared.plan, int(began.timestamp())
        tasks = {**plan.tasks, **plan.removals}
        self._sweeper = self._new_sweeper(began)
        sweep = {} if self._sweeper is None else await self._sweeper.begin()
        losses = LossWindow.parse(await mirror.catalogue.marker(Marker.FILE_LOSSES), now)
        checkpoint = Checkpoint(
            mirror.storage,
            mirror.catalogue,
            self._files,
            mirror.clock,
            todo=Todo(state.cursor, {name: task.target_serial for name, task in tasks.items()}),
            now=now,
            losses=losses,
            may_expire=not self._doubt,
            records_looks=self._sweeper is not None,
        )
        leftovers = prepared.leftovers
        kept = await self._remove_unrecorded(leftovers, checkpoint, began)
        markers = dict.fromkeys(self._policy_markers(), "") if self._is_policy_new else {}
        if self._found.opening is not Opening.NONE:
            markers.update(self._index_marker())
        await checkpoint.begin(
            [name for name in prepared.resolved if name not in kept],
            plan.tasks.values(),
            {**markers, **sweep, Marker.CLEAN: state.clean_marker, Marker.LAST_RUN: str(now)},
        )
        return checkpoint

    async def _sync_projects(
        self, prepared: _Preparation, checkpoint: Checkpoint, began: datetime
    ) -> Executor:
        """Work on all tasks, and return the executor that did.

        :raises UnusableIndex: if the index has not answered a single time in this run, or its URL
            seems to be wrong.
        """
        plan = prepared.plan
        executor = await self._execute(plan.tasks.values(), checkpoint, began)
        if plan.cursor is None and plan.tasks and not executor.answered:
            raise UnusableIndex(f"the index answered for none of {len(plan.tasks)} projects")
        if plan.tasks and not (executor.unvisited or executor.failed_otherwise):
            await self._require_pages(prepared)
        await checkpoint.commit()
        return executor

    async def _require_pages(self, prepared: _Preparation) -> None:
        """Refuse to go on if no project has a page and nothing else proves that the URL is right.

        :raises WrongIndexUrl: if so; then nothing is removed, and the next run asks again.
        """
        mirror, tasks = self._mirror, prepared.plan.tasks
        index, settings = mirror.index, mirror.settings.index
        if index.pages:
            return
        is_known = any(TaskHints.KNOWN in task.hints for task in tasks.values())
        if prepared.finite and not is_known and self._options.only is None:
            await index_check.require_any(index, settings, list(tasks))
        elif prepared.finite or not await mirror.catalogue.count():
            await index_check.require_index(index, settings, list(tasks))

    async def _execute(
        self,
        tasks: Collection[SyncTask],
        checkpoint: Checkpoint,
        began: datetime,
        *,
        may_empty: bool = False,
        may_lose: Mapping[ProjectName, int] | None = None,
        sweeps: bool = False,
    ) -> Executor:
        options = self._options
        context = await recovery.open_context(
            self._mirror,
            began,
            accepted=options.accepted,
            force=options.force,
            may_empty=may_empty,
            may_lose=may_lose or {},
            may_expire=not self._doubt,
            owners=self._owners,
            cursor=self._found.cursor,
            newest=self._found.newest,
            ceiling=self._found.ceiling,
        )
        stop = self._mirror.settings.run.stop_on_error
        health = IndexHealth.of(self._mirror, self._found, [task.name for task in tasks])
        executor = recovery.open_executor(
            self._mirror,
            checkpoint,
            context,
            began,
            health,
            stop_on_error=stop,
            following=self._following,
        )
        await executor.run(tasks, workers=recovery.max_concurrent_projects(self._mirror))
        is_recorded = may_empty or may_lose is not None or sweeps
        if executor.complete and not is_recorded:
            await checkpoint.defer_unvisited(
                executor.unvisited.values(),
                "an earlier run ended before it came to this project",
                unconditional=options.force,
            )
        return executor

    async def _settle_paths(
        self, executor: Executor, checkpoint: Checkpoint, began: datetime, *, free: bool
    ) -> bool:
        """Sync projects again so that each path has its right owner; see ``settle_paths``."""

        async def execute(tasks: Collection[SyncTask]) -> None:
            again = await self._execute(tasks, checkpoint, began, may_lose={})
            executor.failed |= again.failed

        if not executor.complete:
            return False
        return await settle_paths(self._mirror, self._owners, execute, checkpoint, began, free=free)

    async def _follow(
        self,
        prepared: _Preparation,
        executor: Executor,
        checkpoint: Checkpoint,
        state: MirrorState,
        began: datetime,
    ) -> _Preparation:
        """Sync what is needed until nothing new is; return the plan with what is not needed."""
        following = self._following
        if following is None:
            return prepared
        await self._sync_followed(await following.advance(), executor, checkpoint, state, began)
        if not (executor.complete and following.may_have_lost):
            return prepared
        unneeded = await following.unneeded()
        only = self._options.only
        return replace(prepared, deselected=unneeded if only is None else unneeded & only)

    async def _sync_followed(
        self,
        names: list[ProjectName],
        executor: Executor,
        checkpoint: Checkpoint,
        state: MirrorState,
        began: datetime,
    ) -> None:
        """Sync projects that others need, and what these need, until nothing new is needed."""
        following = self._following
        assert following is not None, "projects are followed only with a closure"
        while names and executor.complete:
            text = f"following {len(names)} project(s) that others need"
            self._mirror.events(StepStarted(text))
            tasks = await self._followed_tasks(frozenset(names), state, began)
            self._followed |= tasks
            checkpoint.pending.update({name: task.target_serial for name, task in tasks.items()})
            again = await self._execute(tasks.values(), checkpoint, began)
            await checkpoint.commit()
            executor.merge(again)
            names = await following.advance()

    async def _followed_tasks(
        self, names: frozenset[ProjectName], state: MirrorState, began: datetime
    ) -> Mapping[ProjectName, SyncTask]:
        """Return the tasks for projects that others need, which no plan had yet.

        Their events since the last run were not selected when the plan was made.
        """
        catalogue = self._mirror.catalogue
        deferred = {each.name: each for each in await catalogue.deferred() if each.name in names}
        before = MirrorSnapshot(
            status=state.status,
            pending={},
            deferred=deferred,
            summaries=await catalogue.summaries(names),
            fingerprint=self._fingerprint,
            now=int(began.timestamp()),
            changed=names,
            keep_removed=self._mirror.settings.run.removed_projects is RemovedProjects.KEEP,
            may_expire=not self._doubt,
        )
        found = replace(self._found, finite=names)
        return make_plan(found, before, names.__contains__, force=True).tasks

    async def _shrink(
        self,
        prepared: _Preparation,
        released: frozenset[ProjectName],
        executor: Executor,
        checkpoint: Checkpoint,
        state: MirrorState,
        began: datetime,
    ) -> None:
        """Remove the versions that only removed projects needed, and what only these needed.

        A limit that the operator gave for this run also lets the consequences through.
        """
        following = self._following
        if following is None:
            return
        while released and executor.complete and not self._is_refused:
            names = await following.advance(released)
            await self._sync_followed(names, executor, checkpoint, state, began)
            unneeded = await following.unneeded()
            if not unneeded:
                break
            is_given = self._options.max_removals is not None
            limit = prepared.limit if is_given else max(0, prepared.limit - self._removed)
            planned = removal.PlannedRemovals({}, {}, unneeded, {}, {}, {})
            released = await self._remove(planned, limit, executor, checkpoint, began)

    async def _settle_freed_paths(
        self, executor: Executor, checkpoint: Checkpoint, began: datetime
    ) -> None:
        """Sync projects that wanted a path whose owner has left it, and publish the root page."""
        if await self._settle_paths(executor, checkpoint, began, free=True):
            await publish_root(self._mirror)
            written: dict[Marker, str] = {Marker.ROOT: RootMarker.WRITTEN}
            await checkpoint.commit(CatalogueUpdate(markers=written))

    async def _publish_losses(
        self, executor: Executor, checkpoint: Checkpoint, began: datetime
    ) -> None:
        """Publish the pages that lost files on the index, the smallest loss first, up to the limit.

        The pages beyond it stay as they are, in this run and in every later one that asks for them.
        """
        if not executor.losing or not executor.complete:
            return
        losses = {name: each.lost for name, each in executor.losing.items()}
        rest = await self._losable_files(checkpoint.losses)
        held = executor.losing
        if allowed := within_limit(losses, rest):
            tasks = [held[name].task for name in allowed]
            again = await self._execute(tasks, checkpoint, began, may_lose=allowed)
            await checkpoint.commit()
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

    async def _remove_projects(
        self,
        prepared: _Preparation,
        executor: Executor,
        checkpoint: Checkpoint,
        began: datetime,
    ) -> frozenset[ProjectName]:
        """Remove the projects that the limits allow to remove, and publish the root page.

        Return the projects that only removed ones may have needed.
        """
        planned = removal.PlannedRemovals(
            prepared.plan.removals,
            executor.gone,
            prepared.deselected,
            executor.unwanted,
            executor.emptied,
            executor.empty,
        )
        limit = max(0, prepared.limit - self._removed)
        released = await self._remove(planned, limit, executor, checkpoint, began)
        await checkpoint.commit(CatalogueUpdate(forgotten=sorted(prepared.forgotten)))
        unrecorded = checkpoint.unrecorded
        kept = await self._remove_unrecorded(unrecorded, checkpoint, began)
        checkpoint.drop_pending(name for name in unrecorded if name not in kept)
        return released

    async def _remove(
        self,
        planned: removal.PlannedRemovals,
        limit: int,
        executor: Executor,
        checkpoint: Checkpoint,
        began: datetime,
    ) -> frozenset[ProjectName]:
        """Remove planned projects within a limit; return what they needed."""
        projects = await self._allowed_removals(planned, limit, checkpoint, began)
        released: frozenset[ProjectName] = frozenset()
        if self._following is not None:
            released = await self._following.asked_by(projects)
            if projects:
                await self._following.forget_policy()
        executor.failed |= await removal.remove_all(
            self._mirror,
            planned,
            projects,
            checkpoint,
            began,
            force=self._options.force,
            is_doubted=bool(self._doubt),
        )
        self._removed += len(projects)
        return released

    async def _move_mark(self, *, complete: bool) -> None:
        """Move the mark if something changed, or if tree and catalogue are of one moment again."""
        if complete and (self._is_restored or await read_marks(self._mirror) is MarkState.NEW):
            await move_mark(self._mirror)
        else:
            await finish_marks(self._mirror)

    async def _remove_unrecorded(
        self, names: Collection[ProjectName], checkpoint: Checkpoint, began: datetime
    ) -> frozenset[ProjectName]:
        return await removal.remove_unrecorded(
            self._mirror, names, checkpoint, began, is_doubted=bool(self._doubt)
        )

    async def _sync_damaged(
        self,
        prepared: _Preparation,
        executor: Executor,
        checkpoint: Checkpoint,
        began: datetime,
    ) -> None:
        """Sync the projects whose rows were found damaged since the plan was made."""
        planned, selects = prepared.plan.tasks.keys(), self._mirror.filters.may_select
        names = [
            each.name
            for each in await self._mirror.catalogue.deferred()
            if each.cause is Cause.DAMAGED and each.name not in planned and selects(each.name)
        ]
        if not (names and executor.complete and self._options.only is None):
            return
        tasks = [
            replace(task, hints=task.hints & ~TaskHints.LISTED)
            for task in await tasks_by_name(self._mirror, names)
        ]
        for task in tasks:
            checkpoint.pending.setdefault(task.name, task.target_serial)
        again = await self._execute(tasks, checkpoint, began, may_lose={})
        executor.failed |= again.failed
        await checkpoint.commit()
        await publish_root(self._mirror)

    async def _purge_trash(self, checkpoint: Checkpoint, began: datetime) -> None:
        """Purge what was in the trash long enough, unless the clock is doubted."""
        self._check_clock(began)
        if not self._doubt:
            removals = removal.Removals.of(self._mirror, began)
            grace = self._mirror.settings.run.removal_grace
            await checkpoint.commit(await removals.purge_expired(grace))

    async def _allowed_removals(
        self, planned: removal.PlannedRemovals, limit: int, checkpoint: Checkpoint, began: datetime
    ) -> frozenset[ProjectName]:
        """Return the projects to remove, and publish those that lose all files if they may.

        If too many are to be removed, those that the index removed are still removed as long as
        they alone are within the limit.
        """
        keeps = self._mirror.settings.run.removed_projects is RemovedProjects.KEEP
        gone: frozenset[ProjectName] = frozenset() if keeps else planned.gone
        by_index, emptied = len(gone) + len(planned.empty), len(planned.empty)
        by_filters = len(planned.filtered_out - gone) + len(planned.emptied)
        is_refused = self._refuses(
            by_index + by_filters, limit, by_filters=by_filters, emptied=emptied
        )
        if is_refused and by_index > limit:
            await checkpoint.defer_removals(planned.reported)
            return frozenset()
        checkpoint.drop_pending(planned.reported)
        tasks = [*planned.empty.values(), *(() if is_refused else planned.emptied.values())]
        if tasks:
            await self._execute(tasks, checkpoint, began, may_empty=True)
            await checkpoint.commit()
        if is_refused:
            return gone
        checkpoint.drop_pending(planned.excluded)
        return gone | planned.filtered_out

    async def _advance(
        self,
        prepared: _Preparation,
        executor: Executor,
        checkpoint: Checkpoint,
        state: MirrorState,
    ) -> None:
        """Move the cursor, and store the markers if everything was compared."""
        cursor = state.cursor if prepared.plan.cursor is None else prepared.plan.cursor
        undone = (executor.failed | executor.unvisited.keys()) & (
            prepared.missing | prepared.deselected
        )
        is_compared = not (self._is_refused or undone)
        await checkpoint.advance(cursor, prepared.markers if is_compared else {})

    # ------------------------------------------------------------ the sweep

    def _new_sweeper(self, began: datetime) -> Sweep | None:
        """Return the sweep, None if this run asks for no page that nothing says has changed.

        The comparison of a finite set of projects asks for every page anyway.
        """
        mirror, interval = self._mirror, self._mirror.settings.run.sweep_interval
        is_partial = self._options.only is not None or not self._options.sweep
        is_finite = mirror.filters.finite_names is not None or mirror.closure is not None
        if is_partial or is_finite or not interval:
            return None
        now = int(began.timestamp())
        return Sweep(mirror.catalogue, interval, mirror.filters.may_select, now)

    async def _sweep(
        self,
        prepared: _Preparation,
        executor: Executor,
        checkpoint: Checkpoint,
        state: MirrorState,
        began: datetime,
    ) -> None:
        """Sync the share of pages that were not asked for longest.

        Everything else is published and recorded before, ``status`` included, so that none of it
        waits. What fails here waits for the next run and does not hold back ``status``.
        """
        mirror, sweep = self._mirror, self._sweeper
        count = 0 if sweep is None or self._doubt else await sweep.count()
        if sweep is None or not count:
            return
        deferred = {each.name for each in await mirror.catalogue.deferred()}
        planned = prepared.plan.tasks.keys() | prepared.plan.removals.keys()
        names = await sweep.queue(count, deferred | planned | executor.gone.keys())
        if not names:
            await checkpoint.commit(CatalogueUpdate(markers=sweep.done()))
            return
        await checkpoint.save()
        await Publisher.of(mirror).publish_last_modified(began)
        markers = await self._save_status(prepared.plan, checkpoint, state, began)
        await mirror.catalogue.commit(CatalogueUpdate(markers=markers))
        mirror.events(StepStarted(f"asking for {len(names)} pages that were not asked for longest"))
        tasks = await sweep.tasks(names, self._fingerprint)
        self._swept = {task.name: task for task in tasks}
        swept = await self._execute(tasks, checkpoint, began, sweeps=True)
        await checkpoint.commit()
        await checkpoint.commit(CatalogueUpdate(markers=sweep.done() if swept.complete else {}))
        await self._publish_losses(swept, checkpoint, began)
        await self._settle_paths(swept, checkpoint, began, free=False)
        await self._remove_projects(_without_plan(prepared), swept, checkpoint, began)
        await self._settle_freed_paths(swept, checkpoint, began)
        asked = len(tasks) - len(swept.unvisited)
        mirror.events(SweepEnded(asked, swept.found_by_sweep))

    # ------------------------------------------------------------ after the work

    async def _save_status(
        self, plan: SyncPlan, checkpoint: Checkpoint, state: MirrorState, began: datetime
    ) -> dict[Marker, str]:
        """Write ``status``, and return what to record if nothing is left undone."""
        pending = checkpoint.pending
        tasks = {**self._swept, **self._followed, **plan.tasks, **plan.removals}
        waiting = [name for name in pending if name not in checkpoint.settled]
        firsts = [tasks[name].first_serial if name in tasks else None for name in waiting]
        # Refused removals are changes that the tree does not reflect.
        firsts += [None] if self._is_refused else []
        self._status = next_status(max(state.status, self._status), checkpoint.cursor, firsts)
        is_success = not waiting and not self._is_refused
        is_finished = is_success and not pending
        if checkpoint.cursor == NO_SERIAL and self._status == NO_SERIAL:
            await self._files.forget_status(finished=is_finished)
        else:
            await self._files.save_status(self._status, finished=is_finished)
        last = await self._mirror.catalogue.marker(Marker.LAST_SUCCESS)
        success = str(int(began.timestamp()))
        if not is_success or last == success:  # not, or already before the sweep
            return {}
        return {Marker.PREVIOUS_SUCCESS: last, Marker.LAST_SUCCESS: success}

    async def _end(
        self,
        prepared: _Preparation,
        checkpoint: Checkpoint,
        state: MirrorState,
        began: datetime,
        complete: bool,  # noqa: FBT001 - the last step of one sequence
    ) -> Position:
        """Purge partial downloads, write ``status``, and store what the next run needs."""
        mirror, plan, pending = self._mirror, prepared.plan, checkpoint.pending
        now, start = int(mirror.clock.now().timestamp()), int(began.timestamp())
        if not self._doubt:
            before = start - _STALE_DOWNLOAD if pending else now + 1
            await mirror.storage.purge_downloads(before=before)
        await self._move_mark(complete=complete)
        markers = await self._save_status(plan, checkpoint, state, began)
        markers[Marker.CLEAN] = await final_marker(self._files, state, complete=complete)
        await mirror.catalogue.commit(CatalogueUpdate(markers=markers))
        return Position(state.status, self._status, prepared.head or plan.cursor, len(pending))


def _resolved(
    deferred: Mapping[ProjectName, Deferred],
    planned: Collection[ProjectName],
    listing: ProjectList | None,
) -> list[ProjectName]:
    """Return the projects whose deferral ends because nothing is planned for them.

    Missed projects stay deferred until the time for a second look, unless they are listed again.
    """
    listed: Iterable[ProjectName] = listing.serials if listing is not None else ()
    return [
        name
        for name, left in deferred.items()
        if name not in planned and (left.deferral not in MISSED or name in listed)
    ]


def _without_plan(prepared: _Preparation) -> _Preparation:
    """Return what the sweep needs of a preparation whose own work is done."""
    return replace(
        prepared,
        plan=SyncPlan(prepared.plan.cursor),
        deselected=frozenset(),
        forgotten=frozenset(),
    )
