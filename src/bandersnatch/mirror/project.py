"""Syncs one project: fetch, filter, download, publish, clean up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from msgspec import structs

from bandersnatch import errors, layout
from bandersnatch.catalogue import records
from bandersnatch.config.schema import Provenance, RemovedProjects, Settings
from bandersnatch.mirror.authority import LocalAuthority
from bandersnatch.mirror.comparison import with_recorded
from bandersnatch.mirror.files import FilesOutcome, FileSync
from bandersnatch.mirror.ledger import Freshness, is_far_above, is_wrong
from bandersnatch.mirror.losses import count_losses
from bandersnatch.mirror.page import PageFetcher
from bandersnatch.mirror.plan import SECOND_LOOK, is_same_display
from bandersnatch.mirror.publish import Publisher
from bandersnatch.mirror.rejections import ServedFiles, rejected_page
from bandersnatch.mirror.sweep import watched_until
from bandersnatch.mirror.tasks import Outcome, Result, RunContext, SyncTask, TaskHints
from bandersnatch.model.content import Validators
from bandersnatch.model.project import ProjectDetail, ProjectStatus, is_version
from bandersnatch.model.serials import NO_SERIAL, Serial
from bandersnatch.model.versions import version_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from bandersnatch.filters.chain import FilterChain, FilterResult
    from bandersnatch.index.port import FetchedDetail
    from bandersnatch.mirror.authority import RunAuthority
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.project import Rejection

MOST_UNREAD = 8
"""Runs that ask for a JSON page which cannot be read, before the HTML page is enough."""

FEW_FILES = 250
"""Pages with more files are filtered in a thread: a file can cost 20 microseconds."""


class ProjectSync:
    """Syncs one project at a time; an error that it raises is that project's failure."""

    def __init__(
        self,
        authority: RunAuthority,
        fetcher: PageFetcher,
        filters: FilterChain,
        publication: Publication,
        settings: Settings,
        context: RunContext,
        *,
        filtering: asyncio.Lock | None = None,
    ) -> None:
        """Assign the collaborators; ``filtering`` is held while the filters judge one page."""
        self._authority = authority
        self._fetcher = fetcher
        self._filters = filters
        self._publication = publication
        self._settings = settings
        self._context = context
        self._filtering = filtering or asyncio.Lock()

    @classmethod
    def of(
        cls,
        mirror: Mirror,
        context: RunContext,
        began: datetime,
        authority: RunAuthority | None = None,
        filtering: asyncio.Lock | None = None,
    ) -> Self:
        """Return the project sync of a run; without ``authority`` this process has it."""
        authority = authority or LocalAuthority.of(mirror, context, began)
        return cls(
            authority,
            PageFetcher(
                mirror.index,
                mirror.settings,
                now=began,
                may_expire=context.may_expire,
                ceiling=context.ceiling,
                is_standalone=context.is_standalone,
            ),
            mirror.filters,
            Publication.of(mirror, context, began, authority),
            mirror.settings,
            context,
            filtering=filtering,
        )

    async def sync(self, task: SyncTask) -> Outcome:
        """Make the tree reflect what the index has of one project.

        :raises StalePage: if its page is older than the task's target.
        :raises BandersnatchError: if it cannot be synced; then what was published stays.
        """
        is_selected = self._filters.selects(task.name)
        task, record = await self._authority.record_for(task)
        try:
            fetched = await self._fetch(task, record)
        except errors.MissingProject:
            return self._missing(task)
        if waiting := self._waiting(task, record, fetched):
            return waiting
        standing = records.Standing.SELECTED if is_selected else records.Standing.RETAINED
        if fetched is None or (record is not None and self._is_older(task, fetched, record)):
            return self._unchanged(task, record, standing)
        if record is not None and _stays_hidden(task, fetched.detail, record):
            updated = structs.replace(
                record, validators=fetched.validators, asked=self._context.now
            )
            return Outcome(task, Result.UNCHANGED, updated)
        if record is not None and self._stays_excluded(task, fetched.detail, record):
            proven = self._fetcher.proven(task, fetched.detail.serial)
            updated = structs.replace(
                record,
                reflects=max(record.reflects, proven),
                validators=fetched.validators,
                asked=self._context.now,
            )
            return Outcome(task, Result.UNCHANGED, updated)
        return _with_unread(await self._apply(task, record, fetched, standing), fetched)

    # ------------------------------------------------------------ whether there is anything to do

    async def _fetch(
        self, task: SyncTask, record: records.ProjectRecord | None
    ) -> FetchedDetail | None:
        """Return the project's page, None if nothing has to be done about it.

        With ``force`` an unchanged page is fetched again if a file or page is not as recorded.
        """
        fetched = await self._fetcher.fetch(task, await self._validators(task, record))
        if fetched is None and record is not None:
            is_checked = self._context.force and record.is_published
            if is_checked and not await self._publication.is_complete(record):
                return await self._fetcher.fetch(task, Validators())
        return fetched

    async def _validators(self, task: SyncTask, record: records.ProjectRecord | None) -> Validators:
        """Return the validators for a conditional request; none if the page is needed anyway.

        It is needed if other policies apply, or if the tree may have another page than the record
        says because an earlier run was interrupted.
        """
        if record is None or _is_incomplete(task) or _was_rejected(task):
            return Validators()
        has_other_policy = record.fingerprint != self._context.fingerprint(task.name)
        is_retained = record.standing is records.Standing.RETAINED
        # The page cannot show that a file without a digest has changed.
        has_unhashed = any(found.validators is not None for found in record.files)
        if TaskHints.REFETCH in task.hints or has_other_policy or is_retained or has_unhashed:
            return Validators()
        if self._context.force and not record.is_published:
            return Validators()  # a forced check restores what was excluded until its next change
        if not is_same_display(task.display, record.display):
            return Validators()
        is_unrecorded = TaskHints.MAYBE_PUBLISHED in task.hints
        if is_unrecorded and not await self._publication.is_published(record):
            return Validators()
        return record.validators

    def _waiting(
        self,
        task: SyncTask,
        record: records.ProjectRecord | None,
        fetched: FetchedDetail | None,
    ) -> Outcome | None:
        """Return the outcome for a page that a second look may confirm, None for a recent one.

        :raises StalePage: if the page may be older than the change that made the task.
        """
        known = "" if record is None else record.validators.body
        if fetched is not None:
            serial, seen = fetched.detail.serial, fetched.validators.body
        else:
            serial, seen = (None if record is None else record.detail.serial), known
        verdict = self._fetcher.judge(task, serial, differs=not known or seen != known)
        if verdict not in {Freshness.STALE, Freshness.LONG_AGO}:
            return None
        error = errors.StalePage(task.name, target=task.target_serial, actual=serial)
        if verdict is Freshness.STALE or self._context.is_standalone:
            raise error
        earlier = task.earlier
        is_second = earlier is not None and earlier.deferral is records.Deferral.STALE_ONCE
        is_same = is_second and earlier is not None and earlier.seen == seen
        if is_same and self._context.may_expire:
            return None
        return Outcome(task, Result.STALE_ONCE, held_by=error, seen=seen)

    def _is_wrong(self, recorded: Serial, task: SyncTask, serial: Serial | None) -> bool:
        """Whether a recorded serial was wrong, by the events of this run.

        Without a changelog in this run ``serial``, that of the page as it is now, decides.
        """
        context = self._context
        if context.newest is None:
            return serial is not None and is_far_above(recorded, serial)
        target = NO_SERIAL if task.happened_at is None else task.target_serial
        return is_wrong(recorded, target, cursor=context.cursor, newest=context.newest)

    def _is_older(
        self, task: SyncTask, fetched: FetchedDetail, record: records.ProjectRecord
    ) -> bool:
        """Whether a page is older than the published one, so that it is ignored.

        :raises StalePage: if it is and another policy applies, which must be published some time.
        """
        detail, published = fetched.detail, record.detail.serial
        serial = detail.serial
        if serial is None or published is None or serial >= published:
            return False
        if self._is_wrong(published, task, serial):
            return False
        if record.fingerprint != self._context.fingerprint(detail.name):
            raise errors.StalePage(detail.name, target=published, actual=serial)
        return True

    def _stays_excluded(
        self, task: SyncTask, detail: ProjectDetail, record: records.ProjectRecord
    ) -> bool:
        """Whether the page is still the one with which a project was excluded until its change.

        Only a record without validators needs this: with them the index answers that question.
        """
        is_candidate = not record.is_published and record.validators == Validators()
        has_same_policy = record.fingerprint == self._context.fingerprint(detail.name)
        if not is_candidate or self._context.force or not has_same_policy:
            return False
        reflected = record.reflects if record.detail.serial is None else record.detail.serial
        is_new = detail.serial is not None and detail.serial > reflected
        return not _is_incomplete(task) and not is_new

    def _unchanged(
        self, task: SyncTask, record: records.ProjectRecord | None, standing: records.Standing
    ) -> Outcome:
        assert record is not None, "only a project with a record can be unchanged"
        if not record.is_published:
            standing = record.standing
        unlisted = task.is_doubted(record.detail.status)
        is_same = task.target_serial <= record.reflects and standing is record.standing
        if is_same and task.earlier is None:
            return Outcome(task, Result.UNCHANGED, unlisted=unlisted)
        updated = structs.replace(
            record,
            reflects=max(record.reflects, self._fetcher.proven(task, record.detail.serial)),
            standing=standing,
            asked=self._context.now,
        )
        return Outcome(task, Result.UNCHANGED, updated, unlisted=unlisted)

    def _missing(self, task: SyncTask) -> Outcome:
        """Decide what it means that the index has no page of a project.

        :raises MissingProject: if the index lists the project.
        """
        if TaskHints.LISTED in task.hints:
            raise errors.MissingProject(task.name)
        if TaskHints.KNOWN not in task.hints or TaskHints.EXCLUDED in task.hints:
            return Outcome(task, Result.ABSENT)
        if self._settings.run.removed_projects is RemovedProjects.KEEP:
            return Outcome(task, Result.UNCHANGED)
        earlier = task.earlier
        if earlier is None or earlier.deferral != records.Deferral.MISSING_ONCE:
            return Outcome(task, Result.MISSING_ONCE)
        is_confirmed = self._context.now - earlier.since >= SECOND_LOOK
        return Outcome(task, Result.GONE if is_confirmed else Result.MISSING_ONCE)

    # ------------------------------------------------------------ filtering and publishing

    async def _apply(
        self,
        task: SyncTask,
        record: records.ProjectRecord | None,
        fetched: FetchedDetail,
        standing: records.Standing,
    ) -> Outcome:
        """Apply the filters to a page, and publish what they leave."""
        page, refused = await self._judge(task, record, fetched.detail)
        if refused is not None:
            return refused
        detail, legacy = await self._fetcher.supplement(task, page, self._filters.needs)
        result = await self._filter(detail)
        if result.page is not None and (unhashed := self._fetcher.unhashed(result.page)):
            left, refusal = await self._publication.reject(record, result.page, unhashed)
            if refusal is not None:
                return Outcome(task, Result.REJECTED, error=refusal, rejected=left.rejected)
            result = replace(result, page=left)
        recorded: dict[str, records.FileRecord] = {}
        if record is not None and result.page is not None:
            recorded = await self._publication.compare(record, result.page)
            result = replace(result, page=with_recorded(result.page, recorded))
        proposed = self._proposed(task, record, fetched, result, standing)
        if result.page is None:
            is_published = record is not None and record.is_published
            outcome = Result.UNWANTED if is_published else Result.EXCLUDED
            return Outcome(task, outcome, proposed, dropped=result.dropped)
        has_files = record is not None and record.detail.files
        is_emptied = has_files and page.files and not result.page.files
        if is_emptied and not self._context.may_empty:
            return Outcome(task, Result.EMPTIED)
        lost = 0 if is_emptied else self._count_losses(task, record, page)
        if held := self._held_by(record, lost):
            return Outcome(task, Result.LOSES_FILES, lost=lost, held_by=held)
        self._fetcher.require_digests(proposed.detail)
        published = await self._publication.publish(task, record, proposed, recorded, legacy)
        prefetched = await self._publication.prefetch(result, published.removed)
        removed = (*published.removed, *prefetched)
        return replace(published, removed=removed, dropped=result.dropped, lost=lost)

    async def _judge(
        self, task: SyncTask, record: records.ProjectRecord | None, detail: ProjectDetail
    ) -> tuple[ProjectDetail, Outcome | None]:
        """Return the page with the files that it must keep, and the outcome if it is refused."""
        page, refusal = await self._publication.judge(record, self._without_unwanted_parts(detail))
        if refusal is not None:
            return page, Outcome(task, Result.REJECTED, error=refusal, rejected=page.rejected)
        return page, None if record is None else self._emptied(task, record, page)

    def _proposed(
        self,
        task: SyncTask,
        record: records.ProjectRecord | None,
        fetched: FetchedDetail,
        result: FilterResult,
        standing: records.Standing,
    ) -> records.ProjectRecord:
        """Return the record of a project under the filters' result, without stored files.

        A page that does not prove to reflect the change is recorded as it says itself.
        """
        page = fetched.detail
        return records.ProjectRecord(
            detail=replace(result.page or page.without_files(), document=None),
            display=task.display or (record.display if record else "") or page.name,
            reflects=max(
                self._fetcher.proven(task, page.serial),
                NO_SERIAL if self._context.ceiling is None else page.serial or NO_SERIAL,
                NO_SERIAL
                if record is None or self._is_wrong(record.reflects, task, page.serial)
                else record.reflects,
            ),
            fingerprint=self._context.fingerprint(page.name),
            validators=fetched.validators,
            files=(),
            standing=standing if result.page is not None else records.Standing.EXCLUDED,
            due=result.due,
            exclusions=exclusions_of(page, result),
            asked=self._context.now,
            watched=watched_until(page, record, self._context.now),
        )

    async def _filter(self, detail: ProjectDetail) -> FilterResult:
        """Return what the filters leave of a page; a large page does not block the event loop.

        One page is filtered at a time, because filters of plugins may not be thread-safe.
        """
        async with self._filtering:
            if len(detail.files) <= FEW_FILES or not self._filters.pages:
                return self._filters.apply(detail)
            return await asyncio.to_thread(self._filters.apply, detail)

    def _emptied(
        self, task: SyncTask, record: records.ProjectRecord, detail: ProjectDetail
    ) -> Outcome | None:
        """Return the outcome for a page that lost all its files without evidence, else None.

        An event that takes files off the page, and that the published page does not reflect, is
        evidence, and so is quarantine. Without one the index has to say the same twice, as for a
        project without a page.

        :raises EmptiedProject: if no later run continues the command.
        """
        published = len(record.detail.files)
        is_quarantined = detail.status is ProjectStatus.QUARANTINED
        has_event = task.removal_serial > record.reflects
        if not published or detail.files or is_quarantined or has_event:
            return None
        error = errors.EmptiedProject(detail.name, published)
        if self._context.is_standalone:
            raise error
        if self._context.may_empty:
            return None
        earlier, result = task.earlier, Result.EMPTY_ONCE
        if earlier is not None and earlier.deferral is records.Deferral.EMPTY_ONCE:
            is_confirmed = self._context.now - earlier.since >= SECOND_LOOK
            result = Result.EMPTY if is_confirmed else result
        return Outcome(task, result, held_by=error)

    def _count_losses(
        self, task: SyncTask, record: records.ProjectRecord | None, detail: ProjectDetail
    ) -> int:
        """Return how many files the index took off the page, as the limit counts them.

        A page that is emptied without an event counts as a removed project instead.
        """
        if record is None or detail.status is ProjectStatus.QUARANTINED:
            return 0
        if not detail.files and task.removal_serial <= record.reflects:
            return 0
        return count_losses(record.detail.files, detail, task.quarantined)

    def _held_by(
        self, record: records.ProjectRecord | None, lost: int
    ) -> errors.WithdrawnFiles | None:
        """Return why the page is not published yet: it lost more files than it may now."""
        may_lose = self._context.may_lose
        if record is None or may_lose is None or lost <= may_lose.get(record.name, 0):
            return None
        return errors.WithdrawnFiles(lost, len(record.detail.files))

    def _without_unwanted_parts(self, detail: ProjectDetail) -> ProjectDetail:
        """Return the page without files in quarantine, and without provenance if that is off."""
        if detail.status is ProjectStatus.QUARANTINED:
            detail = detail.without_files()
        if self._settings.pages.provenance is Provenance.DROP:
            files = tuple(replace(file, provenance=None) for file in detail.files)
            detail = replace(detail, files=files)
        return detail


def _stays_hidden(task: SyncTask, detail: ProjectDetail, record: records.ProjectRecord) -> bool:
    """Whether a page that the sweep found gives no reason to look at an excluded project again.

    Such a project may have been deleted until the index changes it: only a new status or serial
    is a change.
    """
    if TaskHints.SWEPT not in task.hints or record.is_published:
        return False
    reflected = max(record.reflects, record.detail.serial or NO_SERIAL)
    is_new = detail.serial is not None and detail.serial > reflected
    return not is_new and detail.status == record.detail.status


def _is_incomplete(task: SyncTask) -> bool:
    return task.earlier is not None and task.earlier.deferral == records.Deferral.INCOMPLETE


def _with_unread(outcome: Outcome, fetched: FetchedDetail) -> Outcome:
    """Return an outcome that has later runs ask for a JSON page which could not be read.

    Some servers never have a JSON page that can be read: what their HTML pages say is final then.
    """
    attempts = 0 if outcome.task.earlier is None else outcome.task.earlier.attempts
    is_final = fetched.unread is None or attempts >= MOST_UNREAD
    if is_final or outcome.result not in {Result.SYNCED, Result.EXCLUDED}:
        return outcome
    return replace(outcome, incomplete=True, unread=fetched.unread)


def exclusions_of(page: ProjectDetail, result: FilterResult) -> tuple[records.Exclusion, ...]:
    """Return the versions of a page of which no file is kept, by the filter that left them out."""
    if not result.dropped:
        return ()
    texts = dict(zip((file.filename for file in page.files), page.version_texts(), strict=True))
    kept = {texts.get(file.filename) for file in result.page.files} if result.page else set()
    found = []
    for each in result.dropped[: records.MOST_EXCLUSIONS]:
        names = {texts.get(file.filename, "") for file in each.files} - kept - {""}
        if versions := sorted(filter(is_version, names), key=version_order):
            found.append(records.Exclusion(each.by, len(versions), versions[-1]))
    return tuple(found)


def _was_rejected(task: SyncTask) -> bool:
    return task.earlier is not None and task.earlier.cause is records.Cause.PAGE_REJECTED


class Publication:
    """Brings the tree to what a filtered page says: files, then pages, then the trash."""

    def __init__(
        self,
        files: FileSync,
        publisher: Publisher,
        authority: RunAuthority,
        served: ServedFiles,
        settings: Settings,
        context: RunContext,
    ) -> None:
        self._files = files
        self._authority = authority
        self._served = served
        self._publisher = publisher
        self._settings = settings
        self._context = context

    @classmethod
    def of(
        cls, mirror: Mirror, context: RunContext, began: datetime, authority: RunAuthority
    ) -> Self:
        """Return the publication of a run."""
        return cls(
            FileSync.of(mirror),
            Publisher.of(mirror),
            authority,
            ServedFiles.of(mirror, began),
            mirror.settings,
            context,
        )

    async def judge(
        self, record: records.ProjectRecord | None, page: ProjectDetail
    ) -> tuple[ProjectDetail, errors.RejectedPage | None]:
        """Return a page with the files that it must keep, and why it must not be published."""
        if not page.rejected:
            return page, None
        return await self._served.keep(record, page)

    async def reject(
        self,
        record: records.ProjectRecord | None,
        page: ProjectDetail,
        rejections: tuple[Rejection, ...],
    ) -> tuple[ProjectDetail, errors.RejectedPage | None]:
        """Return a filtered page with more rejected files, and why it must not be published."""
        kept, refusal = await self.judge(record, replace(page, rejected=()).reject(rejections))
        return replace(kept, rejected=(*page.rejected, *rejections)), refusal

    async def is_published(self, record: records.ProjectRecord) -> bool:
        """Whether the stored pages are those that ``record`` describes."""
        return await self._publisher.is_published(record)

    async def is_complete(self, record: records.ProjectRecord) -> bool:
        """Whether every recorded file is stored as recorded, and every page can be read."""
        has_files = await self._files.are_as_recorded(record)
        return has_files and await self._publisher.has_pages(record.name)

    async def compare(
        self, record: records.ProjectRecord, detail: ProjectDetail
    ) -> dict[str, records.FileRecord]:
        """Return the recorded files whose content a filtered page still offers, by their names.

        :raises ChangedFile: if it offers other content for one, and the operator has not
            accepted the change.
        """
        accepts = detail.name in self._context.accepted
        return await self._files.compare(record, detail, accepts_changes=accepts)

    async def publish(
        self,
        task: SyncTask,
        record: records.ProjectRecord | None,
        proposed: records.ProjectRecord,
        recorded: Mapping[str, records.FileRecord],
        legacy: bytes | None,
    ) -> Outcome:
        """Download the files of a page, publish it, and trash the files that it no longer lists.

        ``recorded`` are the files whose recorded content is the offered one, by their names.

        :raises MissingFiles: if files cannot be downloaded, for the first time.
        """
        detail, files, error = await self._store_files(task, record, proposed.detail, recorded)
        refusal = rejected_page(detail) if files.rejected and not files.makes_room else None
        if refusal is not None:
            restored = tuple(files.restored)
            return Outcome(
                task, Result.REJECTED, None, refusal, rejected=detail.rejected, restored=restored
            )
        may_have_unused = (
            self._context.established
            if record is None
            else record.fingerprint != proposed.fingerprint
        )
        leftovers = await self._leftovers(task, record)
        await self._publisher.publish(
            detail, display=proposed.display, legacy=legacy, remove_unused=may_have_unused
        )
        await self._publisher.clean_up(proposed.display, detail.name)
        published = structs.replace(proposed, detail=detail, files=tuple(files.records))
        unlisted = self._unlisted_files(record, published, leftovers)
        removed = await self._authority.trash(detail.name, unlisted, detail.files)
        return Outcome(
            task,
            Result.SYNCED,
            published,
            error=error,
            incomplete=error is not None or bool(files.sidecars_missing),
            unlisted=task.is_doubted(detail.status),
            removed=removed,
            restored=tuple(files.restored),
        )

    async def _store_files(
        self,
        task: SyncTask,
        record: records.ProjectRecord | None,
        detail: ProjectDetail,
        recorded: Mapping[str, records.FileRecord],
    ) -> tuple[ProjectDetail, FilesOutcome, errors.BandersnatchError | None]:
        """Claim the places of the files of a page, and sync those files.

        Return the page without the files that are rejected or not stored, and as ``_sync_files``.
        """
        if not self._settings.files.release_files:
            return detail, FilesOutcome(), None
        taken, makes_room = await self._authority.claim(detail.name, detail.files, record)
        detail = detail.reject(taken)
        files, error = await self._sync_files(task, recorded, detail)
        detail = detail.reject(files.rejected)
        files.rejected += taken
        files.makes_room = makes_room
        stored = tuple(found.file for found in files.records)
        return replace(detail, files=stored), files, error

    async def _sync_files(
        self, task: SyncTask, recorded: Mapping[str, records.FileRecord], detail: ProjectDetail
    ) -> tuple[FilesOutcome, errors.BandersnatchError | None]:
        """Sync the files of a page; also return an error if some of them cannot be downloaded.

        :raises MissingFiles: if files cannot be downloaded, for the first time. The next run
            publishes the page without them, so that one file does not hold back the others.
        """
        workers = self._settings.index.download_workers
        attempts = task.earlier.attempts if task.earlier is not None else 0
        files = await self._files.sync(
            detail,
            recorded,
            self._context.trash,
            workers,
            attempts,
            is_forced=self._context.force or task.earlier is not None,
        )
        if not files.missing:
            return files, None
        error = errors.MissingFiles(detail.name, files.missing)
        if task.earlier is None or task.earlier.cause is not records.Cause.FILES_MISSING:
            raise error
        return files, error

    async def prefetch(
        self, result: FilterResult, removed: Iterable[records.TrashEntry]
    ) -> tuple[records.TrashEntry, ...]:
        """Download the files that will be listed later; return their entries in the trash.

        ``removed`` are the project's files that have just been trashed.
        """
        if not (result.early and result.page and self._settings.files.release_files):
            return ()
        assert result.due is not None, "files that are listed later have a time"
        workers = self._settings.index.download_workers
        page = replace(result.page, files=result.early)
        new, trash = {each.key: each for each in removed}, self._context.trash
        keys = [layout.trash(layout.release_file(file)) for file in result.early]
        entries = {key: each for key in keys if (each := new.get(key) or trash.get(key))}
        return await self._files.prefetch(page, entries, workers, until=result.due)

    async def _leftovers(
        self, task: SyncTask, record: records.ProjectRecord | None
    ) -> list[records.FileRecord]:
        """Return the stored files that the page in the tree lists and that the record lacks.

        There are some if the page is of another moment than the record: a run was interrupted, or
        a part of the mirror was restored from a backup, perhaps with the mark that tells.
        """
        if record is None and not self._context.established:
            return []
        is_doubted = TaskHints.MAYBE_PUBLISHED in task.hints or self._context.is_standalone
        return await self._served.unrecorded(record, task.name, is_doubted=is_doubted)

    def _unlisted_files(
        self,
        record: records.ProjectRecord | None,
        published: records.ProjectRecord,
        leftovers: Sequence[records.FileRecord],
    ) -> list[records.FileRecord]:
        """Return the files that were published and that the page no longer lists.

        ``leftovers`` are those that were published and that ``record`` lacks.
        """
        keeps = self._settings.run.removed_projects is RemovedProjects.KEEP
        if keeps and published.detail.status is ProjectStatus.QUARANTINED:
            return []
        paths = {file.path for file in published.detail.files}
        files = (*(record.files if record is not None else ()), *leftovers)
        return [found for found in files if found.file.path not in paths]
