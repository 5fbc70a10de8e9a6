"""Runs ``verify``: update, scrub, root page, orphans."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch import events, layout
from bandersnatch.catalogue.records import CatalogueUpdate, Cause, Marker, RootMarker, TrashEntry
from bandersnatch.errors import MissingProject, TooManyOrphans, UnusableIndex
from bandersnatch.mirror import recovery
from bandersnatch.mirror.checkpoint import Checkpoint
from bandersnatch.mirror.files import FileSync
from bandersnatch.mirror.fleet import no_fleet
from bandersnatch.mirror.health import IndexHealth
from bandersnatch.mirror.ledger import ceiling_above
from bandersnatch.mirror.mark import finish_marks
from bandersnatch.mirror.owners import PathOwners
from bandersnatch.mirror.publish import Publisher, publish_root
from bandersnatch.mirror.readoption import Readoption
from bandersnatch.mirror.removal import removal_limit
from bandersnatch.mirror.state import StateFiles
from bandersnatch.mirror.sync import tasks_by_name
from bandersnatch.mirror.tasks import TaskHints
from bandersnatch.mirror.verify.budget import Budget, Pace, VerifyOptions
from bandersnatch.mirror.verify.distribution import DistributedExaminer
from bandersnatch.mirror.verify.examine import Examiner, PageCheck
from bandersnatch.mirror.verify.orphans import Orphans
from bandersnatch.mirror.verify.repair import Repairer
from bandersnatch.mirror.verify.scrub import DRY_RUN, Scrub

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from bandersnatch.catalogue.records import Totals
    from bandersnatch.mirror.fleet import Fleet, FleetOpener
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.verify.findings import Damage
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.serials import Serial
    from bandersnatch.storage.port import StoredObject

_TRASH_BATCH = 500
_UNPROVEN = "what is recorded of it is not proven, and the index did not restore it"
_UNREADABLE = "sync or delete it, or name it with --ignore-unreadable"
_ABSENT = (
    "the index has no page for it: delete it with --until-next-change, "
    "or name it with --ignore-unreadable"
)


class Verification:
    """One run of ``verify``.

    It restores the tree to what the catalogue says. It trashes orphans if the options say so,
    and nothing else. Neither ``status`` nor ``todo`` is changed.
    """

    def __init__(
        self, mirror: Mirror, options: VerifyOptions, fleets: FleetOpener = no_fleet
    ) -> None:
        """Assign the collaborators; ``fleets`` opens the workers that read what is stored."""
        self._mirror = mirror
        self._options = options
        self._fleets = fleets
        self._state = StateFiles(mirror.storage)
        self._ceiling: Serial | None = None
        self._is_restored = False
        self._orphans = Orphans(
            mirror.storage, mirror.catalogue, mirror.settings.pages, mirror.clock
        )

    async def run(self) -> None:
        """Verify what the options select.

        :raises StorageError: if the storage fails; the results so far are recorded.
        """
        began = self._mirror.clock.now()
        state = await recovery.open_tree(self._mirror, self._state, began)
        self._ceiling = ceiling_above(state.cursor)
        self._is_restored = state.is_restored
        await self._check_rows(began)
        if self._options.update:
            await self._update(began)
        await self._scrub(began)
        is_whole = not (self._options.is_partial or self._options.quick)
        if is_whole or self._options.delete:
            await self._check_tree(began)
        elif self._options.quick:
            await self._check_root()
        await finish_marks(self._mirror)

    # ------------------------------------------------------------ the catalogue

    async def _check_rows(self, began: datetime) -> None:
        """Check every row of the catalogue, and sync the projects of damaged ones."""
        catalogue = self._mirror.catalogue
        earlier = {each.name for each in await catalogue.deferred()}
        after = ""
        while after := await catalogue.check(after):
            pass
        await Readoption.of(self._mirror).run()
        damaged = [
            each.name
            for each in await catalogue.deferred()
            if each.cause is Cause.DAMAGED and each.name not in earlier
        ]
        if damaged and self._options.repair:
            await self._sync(damaged, began)

    # ------------------------------------------------------------ updating pages

    async def _update(self, began: datetime) -> None:
        """Sync every project of the mirror; projects that the index lacks are not removed."""
        self._mirror.events(events.StepStarted("asking the index for every page that changed"))
        after, succeeded, count = "", False, 0
        while some := await self._mirror.catalogue.list_entries(after):
            after, count = some[-1].name, count + len(some)
            succeeded |= await self._sync([each.name for each in some], began)
        if count and not succeeded:
            error = UnusableIndex(f"the index has a usable page for none of {count} projects")
            self._mirror.events(events.Halted(error))

    async def _sync(
        self,
        names: Sequence[ProjectName],
        began: datetime,
        sink: events.EventSink | None = None,
        hints: TaskHints = TaskHints.LISTED,
    ) -> bool:
        """Sync projects as the command ``sync`` does; return whether that succeeded for any.

        It publishes no page that lost files on the index: a run of ``mirror`` decides that.
        Events go to ``sink``, if it is given, instead of those of the mirror.
        """
        mirror = self._mirror if sink is None else replace(self._mirror, events=sink)
        tasks = await tasks_by_name(mirror, names, hints=hints)
        checkpoint = Checkpoint(
            mirror.storage,
            mirror.catalogue,
            self._state,
            mirror.clock,
            todo=None,
            now=int(began.timestamp()),
        )
        await checkpoint.mark(
            task.name
            for task in tasks
            if TaskHints.KNOWN not in task.hints and task.earlier is None
        )
        context = await recovery.open_context(
            mirror,
            began,
            accepted=frozenset(),
            force=True,
            may_lose={},
            is_standalone=True,
            ceiling=self._ceiling,
        )
        health = IndexHealth.of(mirror, None, names)
        executor = recovery.open_executor(
            mirror, checkpoint, context, began, health, stop_on_error=False, standalone=True
        )
        try:
            await executor.run(tasks, workers=recovery.max_concurrent_projects(mirror))
        finally:
            await checkpoint.commit()
        return executor.succeeded > 0

    # ------------------------------------------------------------ scrubbing projects

    async def _scrub(self, began: datetime) -> None:
        totals = await self._mirror.catalogue.totals()
        self._mirror.events(events.RunPlanned(totals.projects, 0))
        budget = self._budget(totals)
        if self._options.quick:
            scrub = await self._prepare(budget, None)
            await scrub.run_quickly()
        else:
            async with self._fleets(totals.projects) as fleet:
                scrub = await self._prepare(budget, fleet)
                await scrub.run(int(began.timestamp()))
        if scrub.unproven:
            await self._sync_unproven(scrub.unproven, began)

    def _budget(self, totals: Totals) -> Budget:
        """Return the budget of the run; a sample is a share of the size of the mirror."""
        options, clock = self._options, self._mirror.clock
        size = options.size
        if options.sample is not None:
            share = int(totals.size * options.sample / 100) + 1
            size = share if size is None else min(size, share)
        pace = None if options.rate is None else Pace(clock, options.rate)
        return Budget(clock, seconds=options.seconds, size=size, pace=pace)

    async def _prepare(self, budget: Budget, fleet: Fleet | None) -> Scrub:
        """Return what scrubs the mirror; the workers of a fleet read it if there is one."""
        mirror, options = self._mirror, self._options
        examine = Examiner.of(mirror, budget, current_documents=options.update).examine
        if fleet is not None:
            handed_out = fleet.examining(
                options.workers, options.rate, current_documents=options.update
            )
            examine = DistributedExaminer(handed_out, budget, mirror.clock).examine
        return Scrub(
            mirror,
            examine,
            Repairer(
                mirror.index,
                FileSync.of(mirror),
                PathOwners.of(mirror),
                Publisher.of(mirror),
                mirror.clock,
                trusts_records=not self._is_restored,
            ),
            budget,
            options,
            {each.name: each for each in await mirror.catalogue.deferred()},
            concurrency=options.workers if fleet is None else fleet.concurrency,
        )

    async def _sync_unproven(
        self,
        damage: Mapping[ProjectName, Sequence[Damage]],
        began: datetime,
    ) -> None:
        """Sync the projects of damaged pages that their records must not be rendered to.

        A project that the index does not have any more is reported as damaged, not as failed.
        """
        absent: dict[ProjectName, str] = {}
        pages = PageCheck.of(self._mirror)
        await self._sync(list(damage), began, _without_absent(self._mirror.events, absent))
        for name, found in damage.items():
            record = await self._mirror.catalogue.project(name)
            left = set() if record is None else {e.key for e in await pages.damage(record)}
            for each in found:
                if record is None or each.key in left:
                    why = absent.get(name, _UNPROVEN)
                    failed = events.RepairFailed(each.key, each.what, why)
                    self._mirror.events(failed)
                else:
                    self._mirror.events(events.DamageRepaired(each.key))

    # ------------------------------------------------------------ the root page and orphans

    async def _check_root(self) -> None:
        """Repair the root page; it is damaged if the catalogue says that it is current."""
        is_current = await self._mirror.catalogue.marker(Marker.ROOT) == RootMarker.WRITTEN
        for key in await publish_root(self._mirror, force=True):
            if not is_current:
                continue
            what = "it does not list the projects of the mirror"
            self._mirror.events(events.DamageFound(key, what))
            if self._options.repair:
                self._mirror.events(events.DamageRepaired(key))
            else:
                self._mirror.events(events.RepairFailed(key, what, DRY_RUN))

    async def _check_tree(self, began: datetime) -> None:
        """Check the root page, report the orphans, and trash them if the options say so."""
        self._mirror.events(events.StepStarted("looking for files that belong to no project"))
        unreadable = await self._unreadable(began)
        await self._check_root()
        trashes, count = self._options.delete and self._options.repair, 0
        async for found in self._orphans.orphaned(unreadable):
            count += 1
            if not trashes:
                self._mirror.events(events.OrphanFound(found.key, found.size, moved=False))
        if count and self._options.delete and await self._may_trash(count, unreadable) and trashes:
            await self._trash_orphans(unreadable, began)

    async def _unreadable(self, began: datetime) -> list[ProjectName]:
        """Return the unreadable projects, after an attempt to sync those that are selected.

        One that the index does not have is reported as unreadable, not as failed. A page that can
        be read, and has no row only because a part was restored, says which files its project has.
        """
        absent: dict[ProjectName, str] = {}
        names = await self._orphans.unreadable()
        selected = [name for name in names if self._mirror.filters.may_select(name)]
        if selected and self._options.repair:
            sink = _without_absent(self._mirror.events, absent)
            hints = TaskHints.LISTED | TaskHints.UNRECORDED
            await self._sync(selected, began, sink, hints)
            names = await self._orphans.unreadable()
        unreadable = [name for name in names if name not in self._options.ignore_unreadable]
        for name in unreadable:
            advice = _ABSENT if name in absent else _UNREADABLE
            self._mirror.events(events.ProjectUnreadable(name, advice))
        return unreadable

    async def _may_trash(self, count: int, unreadable: Collection[ProjectName]) -> bool:
        """Whether ``count`` orphans may be trashed; if not, report why."""
        mirror = self._mirror
        if unreadable:
            text = (
                f"nothing is removed, because {len(unreadable)} project(s) of the mirror cannot "
                f"be read; sync or delete them, or name them with --ignore-unreadable"
            )
            mirror.events(events.Warned(text))
            return False
        totals = await mirror.catalogue.totals()
        limit = removal_limit(totals.files, mirror.settings.run.max_removals)
        if count > limit:
            mirror.events(events.Halted(TooManyOrphans(count, limit)))
            return False
        return True

    async def _trash_orphans(self, unreadable: Collection[ProjectName], began: datetime) -> None:
        batch: list[StoredObject] = []
        async for found in self._orphans.orphaned(unreadable):
            batch.append(found)
            if len(batch) >= _TRASH_BATCH:
                await self._trash(batch, began)
                batch = []
        await self._trash(batch, began)

    async def _trash(self, batch: Sequence[StoredObject], began: datetime) -> None:
        """Trash objects; they are recorded first, so that every one is purged in the end."""
        mirror, at = self._mirror, int(began.timestamp())
        trashed = [TrashEntry(layout.trash(each.key), each.size, "", at) for each in batch]
        await mirror.catalogue.commit(CatalogueUpdate(trashed=trashed))
        await mirror.storage.discard([each.key for each in batch])
        for each in batch:
            mirror.events(events.OrphanFound(each.key, each.size, moved=True))


def _without_absent(report: events.EventSink, absent: dict[ProjectName, str]) -> events.EventSink:
    """Return a sink that adds the projects which the index lacks to ``absent``."""

    def sink(event: events.Event) -> None:
        if isinstance(event, events.ProjectFailed) and isinstance(event.error, MissingProject):
            absent[event.name] = str(event.error)
        else:
            report(event)

    return sink
