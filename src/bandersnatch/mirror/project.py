"""All of it for one project: page, files, pages, and what it leaves behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from bandersnatch import layout
from bandersnatch.catalogue.records import Cause, Deferral, ProjectRecord, Standing
from bandersnatch.config.schema import Provenance, RemovedProjects
from bandersnatch.errors import (
    ChangedFile,
    EmptiedProject,
    InvalidPage,
    MissingFiles,
    MissingProject,
    StalePage,
)
from bandersnatch.mirror.files import FilesOutcome, FileSync
from bandersnatch.mirror.page import PageReader
from bandersnatch.mirror.plan import SECOND_LOOK, is_same_display
from bandersnatch.mirror.publish import Publisher
from bandersnatch.mirror.removal import Removals
from bandersnatch.mirror.tasks import Outcome, Result, RunContext, TaskHints
from bandersnatch.model.content import Validators
from bandersnatch.model.project import ProjectStatus
from bandersnatch.model.serials import NO_SERIAL

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from bandersnatch.catalogue.port import Catalogue
    from bandersnatch.catalogue.records import FileRecord, TrashEntry
    from bandersnatch.config.schema import Settings
    from bandersnatch.errors import BandersnatchError
    from bandersnatch.filters.chain import FilterChain, FilterResult
    from bandersnatch.index.port import FetchedDetail
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.tasks import SyncTask
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.model.serials import Serial


FEW_FILES = 250
"""A page with more is narrowed in a thread: filters take up to 20 microseconds for each file."""


class ProjectSync:
    """Visits one project at a time; what it raises is that project's failure."""

    def __init__(
        self,
        catalogue: Catalogue,
        reader: PageReader,
        filters: FilterChain,
        files: FileSync,
        publisher: Publisher,
        removals: Removals,
        *,
        settings: Settings,
        context: RunContext,
    ) -> None:
        self._catalogue = catalogue
        self._reader = reader
        self._filters = filters
        self._files = files
        self._publisher = publisher
        self._removals = removals
        self._settings = settings
        self._context = context
        self._narrowing = asyncio.Lock()

    @classmethod
    def of(cls, mirror: Mirror, context: RunContext, now: datetime) -> Self:
        """Return what syncs the projects of a mirror in a run that began at ``now``."""
        settings = mirror.settings
        return cls(
            mirror.catalogue,
            PageReader(mirror.index, settings, mirror.events, now=now),
            mirror.filters,
            FileSync.of(mirror),
            Publisher.of(mirror),
            Removals.of(mirror, now),
            settings=settings,
            context=context,
        )

    async def sync(self, task: SyncTask) -> Outcome:
        """Bring one project up to what the index has.

        :raises StalePage: if its page is not new enough yet.
        :raises BandersnatchError: if it cannot be done; then what was published stays.
        """
        selected = self._filters.selects(task.name)
        record = await self._catalogue.project(task.name) if TaskHints.KNOWN in task.hints else None
        try:
            fetched = await self._reader.read(task, await self._known(task, record))
            if fetched is None and record is not None:
                self._reader.require_new(task, record.detail.serial)
                here = record.standing is not Standing.EXCLUDED
                if self._context.force and here and not await self._is_complete(record):
                    fetched = await self._reader.read(task, Validators())
        except MissingProject:
            return self._missing(task)
        standing = Standing.SELECTED if selected else Standing.RETAINED
        if fetched is None or (record is not None and self._is_older(fetched.detail, record)):
            return self._unchanged(task, record, standing)
        if record is not None and self._stays_out(task, fetched.detail, record):
            reflects = max(record.reflects, task.target_serial)
            known = replace(record, reflects=reflects, validators=fetched.validators)
            return Outcome(task, Result.UNCHANGED, known)
        return await self._narrow(task, record, fetched, standing)

    # ------------------------------------------------------------ is there anything to do

    async def _known(self, task: SyncTask, record: ProjectRecord | None) -> Validators:
        """Return what a conditional request may say: nothing, if the body is needed anyway.

        What is here may be another page than the one recorded, if an earlier run was cut short.
        """
        incomplete = task.earlier is not None and task.earlier.deferral == Deferral.INCOMPLETE
        if record is None or incomplete:
            return Validators()
        other_policy = record.fingerprint != self._context.fingerprint(task.name)
        if TaskHints.REFETCH in task.hints or other_policy or record.standing is Standing.RETAINED:
            return Validators()
        if self._context.force and record.standing is Standing.EXCLUDED:
            return Validators()  # what was deleted until its next change comes back
        if not is_same_display(task.display, record.display):
            return Validators()
        if TaskHints.MAYBE_PUBLISHED in task.hints and not await self._publisher.is_published(
            record
        ):
            return Validators()
        return record.validators

    async def _is_complete(self, record: ProjectRecord) -> bool:
        """Whether everything that was recorded lies there as it was recorded."""
        return await self._files.are_as_recorded(record) and await self._publisher.has_pages(
            record.name
        )

    def _is_older(self, detail: ProjectDetail, record: ProjectRecord) -> bool:
        """Whether a page goes back behind what is published; then it is ignored.

        :raises StalePage: if other rules are to be applied, which cannot wait for ever.
        """
        had = record.detail.serial
        if detail.serial is None or had is None or detail.serial >= had:
            return False
        if record.fingerprint != self._context.fingerprint(detail.name):
            raise StalePage(detail.name, target=had, actual=detail.serial)
        return True

    def _stays_out(self, task: SyncTask, detail: ProjectDetail, record: ProjectRecord) -> bool:
        """Whether a page counts as the one that was deleted until its next change.

        That is so for a page that this mirror has never fetched, so that no validators tell.
        """
        never = record.standing is Standing.EXCLUDED and record.validators == Validators()
        if (
            not never
            or self._context.force
            or record.fingerprint != self._context.fingerprint(detail.name)
        ):
            return False
        cut_short = task.earlier is not None and task.earlier.deferral == Deferral.INCOMPLETE
        shown = record.reflects if record.detail.serial is None else record.detail.serial
        return not cut_short and (detail.serial is None or detail.serial <= shown)

    def _unchanged(
        self, task: SyncTask, record: ProjectRecord | None, standing: Standing
    ) -> Outcome:
        assert record is not None, "only what is had can be unchanged"
        if record.standing is Standing.EXCLUDED:
            standing = record.standing
        unlisted = task.is_doubted(record.detail.status)
        same = task.target_serial <= record.reflects and standing is record.standing
        if same and task.earlier is None:
            return Outcome(task, Result.UNCHANGED, unlisted=unlisted)
        reflects = max(record.reflects, task.target_serial)
        reflecting = replace(record, reflects=reflects, standing=standing)
        return Outcome(task, Result.UNCHANGED, reflecting, unlisted=unlisted)

    def _missing(self, task: SyncTask) -> Outcome:
        """Judge a project that has no page: a fault, gone, perhaps gone, or never there."""
        if TaskHints.LISTED in task.hints:
            raise MissingProject(task.name)
        if TaskHints.KNOWN not in task.hints or TaskHints.EXCLUDED in task.hints:
            return Outcome(task, Result.ABSENT)
        if self._settings.run.removed_projects is RemovedProjects.KEEP:
            return Outcome(task, Result.UNCHANGED)
        earlier = task.earlier
        if earlier is None or earlier.deferral != Deferral.MISSING_ONCE:
            return Outcome(task, Result.MISSING_ONCE)
        seen_twice = self._context.now - earlier.since >= SECOND_LOOK
        return Outcome(task, Result.GONE if seen_twice else Result.MISSING_ONCE)

    # ------------------------------------------------------------ what there is to do

    async def _narrow(
        self,
        task: SyncTask,
        record: ProjectRecord | None,
        fetched: FetchedDetail,
        standing: Standing,
    ) -> Outcome:
        """Let the filters decide what is wanted of a page, and publish that."""
        self._require_no_surprise(task, record, fetched.detail)
        plain = self._plain(fetched.detail)
        detail, legacy = await self._reader.supplemented(task, plain, self._filters.needs)
        narrowed = await self._narrowed(detail)
        if record is not None and narrowed.page is not None:
            self._require_same_files(record, narrowed.page)
        proposed = ProjectRecord(
            detail=replace(narrowed.page or plain.without_files(), document=None),
            display=task.display or (record.display if record else "") or plain.name,
            reflects=max(task.target_serial, plain.serial or NO_SERIAL, _reflected(record)),
            fingerprint=self._context.fingerprint(plain.name),
            validators=fetched.validators,
            files=(),
            standing=standing if narrowed.page is not None else Standing.EXCLUDED,
            due=narrowed.due,
        )
        if narrowed.page is None:
            here = record is not None and record.standing is not Standing.EXCLUDED
            result = Result.UNWANTED if here else Result.EXCLUDED
            return Outcome(task, result, proposed, dropped=narrowed.dropped)
        named = record is not None and record.detail.files
        emptied = named and plain.files and not narrowed.page.files
        if emptied and not self._context.may_empty:
            return Outcome(task, Result.EMPTIED)
        outcome = await self._publish(task, record, proposed, legacy)
        early = await self._prefetch(narrowed, outcome.removed)
        return replace(outcome, removed=(*outcome.removed, *early), dropped=narrowed.dropped)

    async def _narrowed(self, detail: ProjectDetail) -> FilterResult:
        """Return what the filters leave of a page; nobody else waits for a large one.

        They look at one page at a time, for those of plugins may not bear two.
        """
        async with self._narrowing:
            if len(detail.files) <= FEW_FILES or not self._filters.pages:
                return self._filters.apply(detail)
            return await asyncio.to_thread(self._filters.apply, detail)

    async def _prefetch(
        self, narrowed: FilterResult, removed: Iterable[TrashEntry]
    ) -> tuple[TrashEntry, ...]:
        """Fetch what is listed when it is old enough; it waits where removed files wait.

        ``removed`` are the project's files that have only just come there.
        """
        if not (narrowed.early and narrowed.page and self._settings.files.release_files):
            return ()
        assert narrowed.due is not None, "what comes later comes at some time"
        most = self._settings.index.download_workers
        page = replace(narrowed.page, files=narrowed.early)
        just_now, lying = {each.key: each for each in removed}, self._context.trash
        keys = [layout.trash(layout.release_file(file)) for file in narrowed.early]
        there = {key: each for key in keys if (each := just_now.get(key) or lying.get(key))}
        return await self._files.prefetch(page, there, most, until=narrowed.due)

    async def _publish(
        self,
        task: SyncTask,
        record: ProjectRecord | None,
        proposed: ProjectRecord,
        legacy: bytes | None,
    ) -> Outcome:
        detail = proposed.detail
        self._reader.require_digests(detail)
        files, error = await self._have_files(task, record, detail)
        if self._settings.files.release_files:
            detail = replace(detail, files=tuple(found.file for found in files.records))
        anew = (
            self._context.established
            if record is None
            else record.fingerprint != proposed.fingerprint
        )
        await self._publisher.publish(
            detail, display=proposed.display, legacy=legacy, remove_unused=anew
        )
        await self._publisher.clean_up(proposed.display, detail.name)
        published = replace(proposed, detail=detail, files=tuple(files.records))
        dropped = self._unnamed(record, published)
        return Outcome(
            task,
            Result.SYNCED,
            published,
            error=error,
            incomplete=error is not None or bool(files.sidecars_missing),
            unlisted=task.is_doubted(detail.status),
            removed=await self._removals.trash_files(detail.name, dropped),
            restored=tuple(files.restored),
        )

    def _require_no_surprise(
        self, task: SyncTask, record: ProjectRecord | None, detail: ProjectDetail
    ) -> None:
        """Hold what must not be published just because the index says so.

        :raises InvalidPage: if the entry of a file that is published does not pass its gate.
        :raises EmptiedProject: if all files are gone at once, the first time that is seen.
        """
        if record is None:
            return
        refused = {rejection.entry for rejection in detail.rejected}
        for found in record.files:
            filename = found.file.filename
            if ascii(filename) in refused:
                raise InvalidPage(detail.name, f"the entry of {filename}, published here, is bad")
        quarantined = detail.status is ProjectStatus.QUARANTINED
        seen = (
            self._context.is_second_look
            and task.earlier is not None
            and task.earlier.cause is Cause.PAGE_EMPTIED
        )
        if record.detail.files and not (detail.files or quarantined or seen):
            raise EmptiedProject(detail.name, len(record.detail.files))

    def _require_same_files(self, record: ProjectRecord, detail: ProjectDetail) -> None:
        """Hold a file that is published and would change, unless the filters drop it.

        :raises ChangedFile: if there is one.
        """
        if detail.name in self._context.accepted:
            return
        offered = {file.filename: file.sha256 for file in detail.files}
        for found in record.files:
            filename, had = found.file.filename, found.file.sha256
            now = offered.get(filename, had)
            if now != had:
                raise ChangedFile(detail.name, filename, published=had.value, offered=now.value)

    def _plain(self, detail: ProjectDetail) -> ProjectDetail:
        """Return what quarantine and the options leave of a page."""
        if detail.status is ProjectStatus.QUARANTINED:
            detail = detail.without_files()
        if self._settings.pages.provenance is Provenance.DROP:
            bare = tuple(replace(file, provenance=None) for file in detail.files)
            detail = replace(detail, files=bare)
        return detail

    async def _have_files(
        self, task: SyncTask, record: ProjectRecord | None, detail: ProjectDetail
    ) -> tuple[FilesOutcome, BandersnatchError | None]:
        """Return what became of the files, and what is missing from a page that goes out anyway.

        :raises MissingFiles: the first time that a file is missing; the next run publishes
            without it, so that one dead file cannot hold back the others for ever.
        """
        if not self._settings.files.release_files:
            return FilesOutcome(), None
        most = self._settings.index.download_workers
        files = await self._files.sync(detail, record, self._context.trash, most)
        if not files.missing:
            return files, None
        error = MissingFiles(detail.name, files.missing)
        if task.earlier is None or task.earlier.cause is not Cause.FILES_MISSING:
            raise error
        return files, error

    # ------------------------------------------------------------ what it leaves behind

    def _unnamed(self, record: ProjectRecord | None, published: ProjectRecord) -> list[FileRecord]:
        """Return the files that were published and that no page names any more."""
        if record is None:
            return []
        keep = self._settings.run.removed_projects is RemovedProjects.KEEP
        if keep and published.detail.status is ProjectStatus.QUARANTINED:
            return []
        named = {file.path for file in published.detail.files}
        return [found for found in record.files if found.file.path not in named]


def _reflected(record: ProjectRecord | None) -> Serial:
    return record.reflects if record is not None else NO_SERIAL
