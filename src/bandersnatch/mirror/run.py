"""The commands ``mirror`` and ``sync``: from change to page, in the order of the promises.

Files before the page that names them; the page before its row; rows before ``todo`` shrinks;
the root before ``status``; and for a removal the reverse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.config.settings import RemovedProjects
from bandersnatch.errors import SafetyStop, UnusableIndex
from bandersnatch.events import Planned, Stopped
from bandersnatch.mirror.checkpoint import ROOT, ROOT_WRITTEN, Checkpoint
from bandersnatch.mirror.discover import Discoverer, Question
from bandersnatch.mirror.parts import (
    open_tree,
    open_visit,
    open_visits,
    publish_root,
    side_by_side,
)
from bandersnatch.mirror.plan import (
    Situation,
    SyncPlan,
    Wanted,
    make_plan,
    vanished,
    without,
)
from bandersnatch.mirror.remove import check_removals, removal_limit
from bandersnatch.mirror.state import StateFiles, Todo, next_status
from bandersnatch.model.serials import NO_SERIAL, Serial
from bandersnatch.records import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from bandersnatch.mirror.parts import Mirror
    from bandersnatch.mirror.plan import Discovery
    from bandersnatch.mirror.state import MirrorState
    from bandersnatch.mirror.visits import Visits
    from bandersnatch.model.names import ProjectName
    from bandersnatch.records import Unfinished

TERMS = "terms"
FILTERS = "filters"
"""Notes in the catalogue: the fingerprints of options and project filters of the last plan."""

_ABANDONED = 7 * 86_400
"""Seconds after which an unfinished download is given up while others are still pending."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What the operator asks of one run.

    ``force`` looks at every project, whatever the state says. ``accepted`` are the projects
    whose published files may change.
    """

    force: bool = False
    accepted: frozenset[ProjectName] = frozenset()


@dataclass(frozen=True, slots=True)
class Position:
    """Where a run left the mirror; ``index`` is None for an index without serials."""

    before: Serial
    after: Serial
    index: Serial | None
    pending: int


class MirrorRun:
    """One run of ``mirror``."""

    def __init__(self, mirror: Mirror, orders: Orders) -> None:
        self._mirror = mirror
        self._orders = orders
        self._state = StateFiles(mirror.storage)
        self._publisher = mirror.publisher()
        self._refused = False

    async def run(self) -> Position:
        """Bring the mirror up to what the index has now.

        Whatever ends it, what was done by then is recorded, and the next run goes on from it.
        """
        mirror = self._mirror
        began = mirror.clock.now()
        now = int(began.timestamp())
        state = await open_tree(mirror, self._state, began)
        unfinished = {each.name: each for each in await mirror.catalogue.unfinished()}
        found = await self._discover(state)
        before = await self._situation(state, unfinished, found, now)
        plan = make_plan(found, before, mirror.filters.selects, force=self._orders.force)
        count = await mirror.catalogue.count()
        limit = removal_limit(count, mirror.settings.run.max_removals)
        notes = {TERMS: mirror.terms, FILTERS: mirror.filters.fingerprint, **found.notes}
        missing = vanished(plan, found)
        if self._is_refused(len(missing), limit):
            plan = without(plan, missing)
            notes = {}
        mirror.events(Planned(len(plan.wanted), len(plan.gone)))
        checkpoint = self._checkpoint(plan, state, now)
        await checkpoint.begin(_settled(unfinished, plan))
        try:
            visits = await self._visit_all(plan, checkpoint, began)
            await checkpoint.commit()
            await self._remove_and_publish_root(plan, visits.gone, checkpoint, limit, began)
            await self._remove_strays(state, unfinished, checkpoint, began)
            cursor = await self._cursor(plan, state)
            if visits.complete:
                await checkpoint.reach(cursor, notes)
        finally:
            await checkpoint.save()
        if visits.complete:
            await self._publisher.publish_time(began)
        return await self._finish(plan, state, checkpoint, began)

    # ------------------------------------------------------------ before

    async def _discover(self, state: MirrorState) -> Discovery:
        mirror = self._mirror
        catalogue, settings = mirror.catalogue, mirror.settings
        changed = (
            await catalogue.note(TERMS) != mirror.terms
            or await catalogue.note(FILTERS) != mirror.filters.fingerprint
        )
        discoverer = Discoverer(mirror.index, catalogue, mirror.clock, mirror.events)
        return await discoverer.discover(
            Question(
                method=settings.index.api_method,
                cursor=state.cursor,
                finite=mirror.filters.finite_names,
                interval=settings.run.reconcile_interval,
                thorough=changed or self._orders.force,
            )
        )

    async def _situation(
        self,
        state: MirrorState,
        unfinished: Mapping[ProjectName, Unfinished],
        found: Discovery,
        now: int,
    ) -> Situation:
        pending = state.todo.pending if state.todo else {}
        names = None
        if found.listing is None:
            changed = {change.name for change in found.changes}
            names = {*changed, *found.sweep, *pending, *unfinished}
        run = self._mirror.settings.run
        return Situation(
            status=state.status,
            pending=pending,
            unfinished=unfinished,
            had=await self._mirror.catalogue.had(names),
            terms=self._mirror.terms,
            now=now,
            keep_removed=run.removed_projects is RemovedProjects.KEEP,
        )

    def _is_refused(self, removals: int, limit: int) -> bool:
        """Whether so many removals are too many to be believed; if so, say it."""
        try:
            check_removals(removals, limit)
        except SafetyStop as error:
            self._mirror.events(Stopped(error))
            self._refused = True
            return True
        return False

    def _checkpoint(self, plan: SyncPlan, state: MirrorState, now: int) -> Checkpoint:
        pending = {name: wish.need for name, wish in {**plan.wanted, **plan.gone}.items()}
        return Checkpoint(
            self._mirror.storage,
            self._mirror.catalogue,
            self._state,
            self._mirror.clock,
            todo=Todo(state.cursor, pending),
            now=now,
        )

    # ------------------------------------------------------------ the work

    async def _visit_all(self, plan: SyncPlan, checkpoint: Checkpoint, began: datetime) -> Visits:
        """Visit what is wanted, and return who did.

        :raises UnusableIndex: if the index has not answered a single time in this run.
        """
        orders = self._orders
        visit = await open_visit(self._mirror, began, accepted=orders.accepted, force=orders.force)
        stop = self._mirror.settings.run.stop_on_error
        visits = open_visits(self._mirror, checkpoint, visit, began, stop_on_error=stop)
        await visits.run(plan.wanted.values(), workers=side_by_side(self._mirror))
        if plan.cursor is None and plan.wanted and not visits.answered:
            raise UnusableIndex(f"the index answered for none of {len(plan.wanted)} projects")
        return visits

    async def _remove_and_publish_root(
        self,
        plan: SyncPlan,
        seen_gone: Mapping[ProjectName, Wanted],
        checkpoint: Checkpoint,
        limit: int,
        began: datetime,
    ) -> None:
        """Remove what is gone: from the root page first, then its pages, then its files."""
        mirror = self._mirror
        gone = sorted({**plan.gone, **seen_gone})
        if mirror.settings.run.removed_projects is RemovedProjects.KEEP:
            gone = []
        if self._is_refused(len(gone), limit):
            await checkpoint.commit(checkpoint.keep_for_later(plan.gone))
            gone = []
        else:
            for name in plan.gone:
                del checkpoint.pending[name]
        await publish_root(mirror, without_names=gone, always=self._orders.force or bool(gone))
        removals = mirror.removals(began)
        removed = await removals.remove_projects(gone, mirror.catalogue, self._publisher)
        removed.notes[ROOT] = ROOT_WRITTEN
        await checkpoint.commit(removed)
        lying = await mirror.catalogue.removed()
        await checkpoint.commit(await removals.expire(lying, mirror.settings.run.removal_grace))

    async def _remove_strays(
        self,
        state: MirrorState,
        unfinished: Iterable[ProjectName],
        checkpoint: Checkpoint,
        began: datetime,
    ) -> None:
        """Take away the page of what an earlier run had in hand, and nobody wants any more.

        It was published, perhaps, when that run was killed, and not recorded; no list tells of it.
        """
        mirror = self._mirror
        if mirror.settings.run.removed_projects is RemovedProjects.KEEP:
            return
        handled = dict.fromkeys(unfinished, NO_SERIAL) | dict(
            state.todo.pending if state.todo else {}
        )
        known = (await mirror.catalogue.had(handled)).keys() | checkpoint.pending.keys()
        strays = [name for name in handled if name not in known]
        removals = mirror.removals(began)
        await checkpoint.commit(
            await removals.remove_projects(strays, mirror.catalogue, self._publisher)
        )

    # ------------------------------------------------------------ after

    async def _finish(
        self, plan: SyncPlan, state: MirrorState, checkpoint: Checkpoint, began: datetime
    ) -> Position:
        mirror = self._mirror
        cursor = checkpoint.cursor
        wishes = {**plan.wanted, **plan.gone}
        firsts = [wishes[name].lo for name in checkpoint.pending]
        # Removals that were refused are changes that the tree does not show.
        status = next_status(state.status, cursor, [*firsts, *([None] if self._refused else [])])
        if not checkpoint.pending:
            await mirror.storage.sweep(before=int(mirror.clock.now().timestamp()) + 1)
        else:
            await mirror.storage.sweep(before=int(began.timestamp()) - _ABANDONED)
        finished = not checkpoint.pending and not self._refused
        await self._state.save_status(status, finished=finished)
        return Position(state.status, status, plan.cursor, len(checkpoint.pending))

    async def _cursor(self, plan: SyncPlan, state: MirrorState) -> Serial:
        """Return T after this run: what the changelog or list told, else how far pages reach."""
        if plan.cursor is not None:
            return plan.cursor
        had = await self._mirror.catalogue.had(plan.wanted)
        told = (each.serial for each in had.values() if each.serial is not None)
        return max(state.cursor, max(told, default=NO_SERIAL))


def _settled(unfinished: Mapping[ProjectName, Unfinished], plan: SyncPlan) -> list[ProjectName]:
    """Return the projects that nobody has to come back to any more."""
    return [
        name
        for name, left in unfinished.items()
        if name not in plan.wanted and name not in plan.gone and left.kind != ABSENT
    ]
