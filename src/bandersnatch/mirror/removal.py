"""Removes projects and files: checks the limits, moves to the trash, purges the trash.

A project leaves the root page first, then its pages are trashed, then its files, so that clients
are never offered a file that is not there.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from msgspec import structs

from bandersnatch import errors, layout
from bandersnatch.catalogue import records
from bandersnatch.config.schema import RemovedProjects
from bandersnatch.events import (
    FileRemoved,
    Halted,
    PageRemoved,
    ProjectFailed,
    ProjectRemoved,
    Warned,
)
from bandersnatch.layout import StorageKey
from bandersnatch.mirror.checkpoint import MAX_BATCH, Checkpoint
from bandersnatch.mirror.publish import publish_root
from bandersnatch.mirror.readoption import Readoption
from bandersnatch.mirror.rejections import ServedFiles
from bandersnatch.mirror.tasks import SyncTask, TaskHints
from bandersnatch.model.digests import Hashes
from bandersnatch.model.filenames import can_belong_to
from bandersnatch.model.names import ProjectName, is_named_after, project_name
from bandersnatch.model.urls import is_computed_path, is_file_path, path_digest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.events import EventSink
    from bandersnatch.layout import MirrorLayout
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.storage.port import MirrorStorage

_UNKNOWN_TIME = 253_402_300_799
"""The end of the year 9999, in seconds since 1970."""

MIN_REMOVALS = 5
REMOVABLE_SHARE = 0.005
"""The default removal limit is the larger of a number and a share of the projects."""

_OF_ONE_PROJECT = (errors.UnusablePlace, errors.ObstructedPath, errors.UnstorableName)
"""Failures of the storage that keep one project from being removed, and no other."""


def removal_limit(projects: int, configured: int | None) -> int:
    """Return how many of the mirror's projects one run may remove.

    The default is the larger of 5 and 0.5 %, and never all of them; a configured number counts
    as it is.
    """
    if configured is not None:
        return configured
    return min(max(MIN_REMOVALS, int(projects * REMOVABLE_SHARE)), max(projects - 1, 0))


def check_removals(count: int, limit: int, *, by_filters: int = 0, emptied: int = 0) -> None:
    """Refuse the removal of more projects than the limit as a whole.

    If a part of them were removed, a mirror that runs every few minutes would be empty within
    an hour. ``by_filters`` is how many of them only the filters no longer let through, ``emptied``
    how many have a page without files on the index.

    :raises TooManyRemovals: if there are more.
    """
    if count > limit:
        raise errors.TooManyRemovals(count, limit, by_filters=by_filters, emptied=emptied)


def is_refused(
    events: EventSink, count: int, limit: int, *, by_filters: int = 0, emptied: int = 0
) -> bool:
    """Whether a limit refuses so many removals; if so, report it. See ``check_removals``."""
    try:
        check_removals(count, limit, by_filters=by_filters, emptied=emptied)
    except errors.SafetyStop as error:
        events(Halted(error))
        return True
    return False


@dataclass(frozen=True, slots=True)
class PlannedRemovals:
    """The projects that a run is to remove if the limits let it.

    ``reported`` are the projects that the changelog says are gone, ``confirmed`` those that two
    runs found missing; of ``empty`` two runs found a page without files. The project filters no
    longer select ``deselected``; the page filters now exclude ``excluded``, with the records to
    keep of them, and drop every file of ``emptied``.
    """

    reported: Mapping[ProjectName, SyncTask]
    confirmed: Mapping[ProjectName, SyncTask]
    deselected: frozenset[ProjectName]
    excluded: Mapping[ProjectName, records.ProjectRecord]
    emptied: Mapping[ProjectName, SyncTask]
    empty: Mapping[ProjectName, SyncTask]

    @property
    def gone(self) -> frozenset[ProjectName]:
        """The mirrored projects that the index no longer has."""
        tasks = {**self.reported, **self.confirmed}
        return frozenset(
            name for name, task in tasks.items() if TaskHints.EXCLUDED not in task.hints
        )

    @property
    def filtered_out(self) -> frozenset[ProjectName]:
        """The mirrored projects that the filters no longer let through."""
        return self.deselected | self.excluded.keys()

    def needs_mark(self, name: ProjectName) -> bool:
        """Whether the catalogue has no deferral yet that would resume an interrupted removal."""
        if name in self.reported:
            earlier = self.reported[name].earlier
            return earlier is None or earlier.deferral == records.Deferral.PENDING
        return name in self.deselected


@dataclass(frozen=True, slots=True)
class _ProjectRemoval:
    """What is trashed of one project: pages and documents, then files.

    ``sizes`` are those of the objects that exist, in bytes, by their keys in the served tree.
    ``forget`` is False if the project's record says that it is excluded, and stays.
    """

    name: ProjectName
    pages: Sequence[records.TrashEntry]
    files: Sequence[records.TrashEntry]
    sizes: Mapping[StorageKey, int]
    forget: bool


class Removals:
    """Moves files and projects to the trash, and purges the trash.

    ``failed`` are the projects that could not be removed; they were reported.
    """

    def __init__(
        self,
        storage: MirrorStorage,
        catalogue: MirrorCatalogue,
        pages: MirrorLayout,
        served: ServedFiles,
        events: EventSink,
        *,
        now: int,
    ) -> None:
        """Assign the collaborators; ``now`` is when the run began, in seconds since 1970."""
        self._storage = storage
        self._served = served
        self._catalogue = catalogue
        self._layout = pages
        self._events = events
        self._now = now
        self.failed: set[ProjectName] = set()

    @classmethod
    def of(cls, mirror: Mirror, began: datetime, *, is_doubted: bool = False) -> Self:
        """Return the removals of a run.

        With a clock that ``is_doubted``, the time of what is trashed is in a far future, so that
        the grace time begins when a clock is trusted again.
        """
        pages = mirror.settings.pages.layout
        now = _UNKNOWN_TIME if is_doubted else int(began.timestamp())
        served = ServedFiles.of(mirror, began)
        return cls(mirror.storage, mirror.catalogue, pages, served, mirror.events, now=now)

    # ------------------------------------------------------------ files

    async def trash_files(
        self,
        name: ProjectName,
        files: Sequence[records.FileRecord],
        owners: Sequence[records.PathOwner] = (),
    ) -> tuple[records.TrashEntry, ...]:
        """Trash files of a project, with their core metadata; return their entries.

        What another project owns too stays; ``owners`` are those that the catalogue may not have.
        """
        trashed = tuple(await self._unshared(files, name, (), owners))
        await self._trash(trashed)
        for each in trashed:
            self._events(FileRemoved(name, layout.served(each.key), each.size))
        return trashed

    async def _trash(self, entries: Iterable[records.TrashEntry]) -> None:
        await self._storage.discard([layout.served(each.key) for each in entries])

    def _plausible(
        self, files: Sequence[records.FileRecord], name: ProjectName
    ) -> list[records.FileRecord]:
        """Return the files that can belong to the project: a row may have been edited."""
        own = [found for found in files if _can_belong_to(found, name)]
        if len(own) < len(files):
            count = len(files) - len(own)
            text = f"{name}: {count} row(s) of the catalogue name a file that cannot be its own"
            self._events(Warned(f"{text}; such files stay"))
        return own

    # ------------------------------------------------------------ projects

    async def remove_projects(
        self,
        names: Collection[ProjectName],
        spellings: Mapping[ProjectName, str] | None = None,
    ) -> records.CatalogueUpdate:
        """Trash the pages of projects and then their files; return what is to be forgotten.

        A project whose pages or files cannot be moved is in ``failed`` and is not forgotten. Its
        files are those of its record and those that its page in the tree lists: either may be of
        another moment.

        The root page must not list the projects when this begins. ``spellings`` are other
        spellings of names, under which releases before 4.0 wrote pages. The trash entries are
        committed first: whatever interrupts this, everything in the trash is purged in the end.
        """
        removals: list[_ProjectRemoval] = []
        for name in names:
            async with self._bounded(name):
                spelling = (spellings or {}).get(name, "")
                record = await self._catalogue.project(name)
                pages = await self.find_pages(name, (spelling, record.display if record else ""))
                if pages or (record is not None and record.is_published):
                    files = list(record.files) if record is not None else []
                    files += await self._served.unrecorded(record, name)
                    trashed = await self._unshared(files, name, names)
                    removals.append(await self._plan(name, record, pages, trashed))
        entries = [entry for each in removals for entry in (*each.pages, *each.files)]
        await self._catalogue.commit(records.CatalogueUpdate(trashed=entries))
        for each in removals:
            async with self._bounded(each.name):
                await self._trash(each.pages)
        if removals:
            await self._storage.flush()
        removals = [each for each in removals if each.name not in self.failed]
        for each in removals:
            async with self._bounded(each.name):
                await self._trash(each.files)
                await self._report(each)
        forgotten = [each.name for each in removals if each.forget and each.name not in self.failed]
        return records.CatalogueUpdate(forgotten=forgotten)

    @asynccontextmanager
    async def _bounded(self, name: ProjectName) -> AsyncIterator[None]:
        """Make an error at one place the failure of one project.

        :raises StorageError: if the storage does not work there at all.
        """
        try:
            yield
        except _OF_ONE_PROJECT as error:
            if isinstance(error, errors.UnusablePlace):
                await self._storage.probe(StorageKey(error.key))
            self.failed.add(name)
            self._events(ProjectFailed(name, error, will_retry=True))

    async def find_pages(
        self, name: ProjectName, spellings: Iterable[str] = ()
    ) -> dict[StorageKey, int]:
        """Return the keys and sizes of a project's pages and documents under any options."""
        keys = [*self._layout.all_pages(name), *layout.legacy_documents(name)]
        for spelling in dict.fromkeys(spellings):
            if _is_other_spelling(spelling, name):
                for directory in layout.unnormalised_pages(spelling):
                    keys += directory.values()
        found = await self._sizes(keys)
        for prefix in self._layout.all_page_versions(name):
            found.update([(each.key, each.size) async for each in self._storage.scan(prefix)])
        return found

    async def _sizes(self, keys: Sequence[StorageKey]) -> dict[StorageKey, int]:
        """Return the sizes of objects, and of what is a link or is behind one."""
        sizes = {}
        for key, stat in zip(keys, await self._storage.stat(keys), strict=True):
            size = await self._link_size(key) if stat is None else stat.size
            if size is not None:
                sizes[key] = size
        return sizes

    async def _link_size(self, key: StorageKey) -> int | None:
        """Return the size of a link's target, 0 if it cannot be read, None if there is no link."""
        try:
            return len(await self._storage.read(key))
        except errors.StorageError as error:
            return None if type(error) is errors.MissingObject else 0

    async def _unshared(
        self,
        files: Sequence[records.FileRecord],
        name: ProjectName,
        removed: Collection[ProjectName],
        owners: Sequence[records.PathOwner] = (),
    ) -> list[records.TrashEntry]:
        """Return the trash entries of the files, and core metadata, that no other project owns.

        Projects that are ``removed`` together with it do not count. ``owners`` are more owners
        than the catalogue has.
        """
        own = self._plausible(files, name)
        folding, paths = self._storage.folding, [found.file.path for found in own]
        recorded = await self._catalogue.path_owners(name, paths, folding)
        others = [*owners, *(each for each in recorded if each.project not in removed)]
        shared = {folding.fold(key) for each in others for key in _owned_keys(each)}
        return [
            records.TrashEntry(layout.trash(key), size, sha256, self._now)
            for found in own
            for key, size, sha256 in _objects(found)
            if folding.fold(key) not in shared
        ]

    async def _plan(
        self,
        name: ProjectName,
        record: records.ProjectRecord | None,
        pages: Mapping[StorageKey, int],
        files: Sequence[records.TrashEntry],
    ) -> _ProjectRemoval:
        sizes = await self._sizes([layout.served(each.key) for each in files])
        return _ProjectRemoval(
            name,
            [
                records.TrashEntry(layout.trash(key), size, "", self._now)
                for key, size in pages.items()
            ],
            [
                structs.replace(each, size=sizes.get(layout.served(each.key), each.size))
                for each in files
            ],
            {**pages, **sizes},
            forget=record is None or record.is_published,
        )

    async def _report(self, removal: _ProjectRemoval) -> None:
        """Report what was trashed, and what a link on the way kept in the tree."""
        for entry in removal.pages:
            self._events(PageRemoved(layout.served(entry.key), entry.size))
        for entry in removal.files:
            if (key := layout.served(entry.key)) in removal.sizes:
                self._events(FileRemoved(removal.name, key, entry.size))
        left = await self._sizes(list(removal.sizes))
        if left:
            error = errors.BlockingLink(removal.name, next(iter(left)))
            self._events(ProjectFailed(removal.name, error, will_retry=False))
        self._events(ProjectRemoved(removal.name))

    # ------------------------------------------------------------ the trash

    async def purge_expired(self, grace: timedelta) -> records.CatalogueUpdate:
        """Purge what has been in the trash for longer than ``grace``; return the update for it.

        A time in the future was recorded by a wrong clock, and counts as now, except that of files
        that are listed later.
        """
        limit = self._now - int(grace.total_seconds())
        expired = [each.key for each in await self._catalogue.trash(before=limit + 1)]
        latest = max(self._now, await self._catalogue.last_due() or self._now)
        future = await self._catalogue.trash(after=latest)
        corrected = [structs.replace(each, at=self._now) for each in future]
        purged = await self._purge(expired)
        return records.CatalogueUpdate(restored=purged, trashed=corrected)

    async def _purge(self, keys: list[StorageKey]) -> list[StorageKey]:
        """Purge objects of the trash, one by one if there is an error at one place.

        :raises StorageError: if the storage does not work there at all.
        """
        try:
            await self._storage.purge(keys)
        except _OF_ONE_PROJECT as error:
            if isinstance(error, errors.UnusablePlace):
                await self._storage.probe(StorageKey(error.key))
            if len(keys) == 1:
                self._events(Halted(error))
                return []
            return [each for key in keys for each in await self._purge([key])]
        return keys


def _is_other_spelling(spelling: str, name: ProjectName) -> bool:
    """Whether ``spelling`` is a name of the project that is not normalised."""
    try:
        return spelling != name and project_name(spelling) == name
    except errors.InvalidValue:
        return False


def _can_belong_to(found: records.FileRecord, name: ProjectName) -> bool:
    file = found.file
    has_own_path = path_digest(file.path) is not None or is_computed_path(file)
    is_own = has_own_path or is_named_after(file.filename, name)
    return is_file_path(file.path) and is_own and can_belong_to(file.filename, name)


def _objects(found: records.FileRecord) -> Iterable[tuple[StorageKey, int, str]]:
    """Yield the key, size and sha256 ("" if unknown) of a file and of its core metadata."""
    file, metadata = found.file, found.file.core_metadata
    yield layout.release_file(file), file.size or 0, file.hashes.sha256_value
    key = layout.sidecar(file)
    if isinstance(metadata, Hashes) and metadata and key is not None:
        yield key, 0, metadata.sha256_value


def _owned_keys(owner: records.PathOwner) -> Iterable[str]:
    """Yield the keys of a file and of its core metadata."""
    yield layout.WEB + owner.path
    if owner.sidecar is not None:
        yield layout.WEB + owner.path + layout.SIDECAR_SUFFIX


async def remove_all(
    mirror: Mirror,
    planned: PlannedRemovals,
    projects: frozenset[ProjectName],
    checkpoint: Checkpoint,
    began: datetime,
    *,
    force: bool,
    is_doubted: bool,
) -> frozenset[ProjectName]:
    """Remove ``projects``, those planned ones that the limits allow; return which could not be.

    Of those the index's removals stay deferred, and the next run repeats them.

    Until all of that is recorded, the catalogue says that the root page is stale. ``force``
    compares the root page even if no project is removed. ``is_doubted`` is as for ``Removals.of``.
    """
    if projects:
        await checkpoint.commit(
            records.CatalogueUpdate(markers={records.Marker.ROOT: records.RootMarker.STALE})
        )
    await publish_root(mirror, omit=projects, force=force or bool(projects))
    removals = Removals.of(mirror, began, is_doubted=is_doubted)
    ordered = sorted(projects)
    for start in range(0, len(ordered), MAX_BATCH):
        batch = ordered[start : start + MAX_BATCH]
        await Readoption.of(mirror).check(batch)
        await checkpoint.mark(name for name in batch if planned.needs_mark(name))
        update = await removals.remove_projects(batch)
        kept = planned.excluded.keys() & set(batch) - removals.failed
        update.records += [planned.excluded[name] for name in sorted(kept)]
        await checkpoint.commit(update)
    await _defer_failed(removals, planned, checkpoint)
    await _forget_excluded(mirror, planned, checkpoint, began, is_doubted=is_doubted)
    return frozenset(removals.failed)


async def _forget_excluded(
    mirror: Mirror,
    planned: PlannedRemovals,
    checkpoint: Checkpoint,
    began: datetime,
    *,
    is_doubted: bool,
) -> None:
    """Forget the removed projects of which only an excluded record exists; end the removals."""
    forgotten = [
        name for name, task in planned.reported.items() if TaskHints.EXCLUDED in task.hints
    ]
    handled = [
        name for name in forgotten if TaskHints.MAYBE_PUBLISHED in planned.reported[name].hints
    ]
    await remove_unrecorded(mirror, handled, checkpoint, began, is_doubted=is_doubted)
    await checkpoint.commit(
        records.CatalogueUpdate(
            forgotten=forgotten, markers={records.Marker.ROOT: records.RootMarker.WRITTEN}
        )
    )


async def _defer_failed(
    removals: Removals, planned: PlannedRemovals, checkpoint: Checkpoint
) -> None:
    """Have the next run repeat removals that failed and that nothing else would repeat."""
    failed = {name: task for name, task in planned.reported.items() if name in removals.failed}
    await checkpoint.defer_removals(failed, records.Cause.STORAGE, "its files could not be moved")


async def remove_unrecorded(
    mirror: Mirror,
    handled: Collection[ProjectName],
    checkpoint: Checkpoint,
    began: datetime,
    *,
    is_doubted: bool,
) -> frozenset[ProjectName]:
    """Trash the unrecorded pages of projects that no run syncs any more; return which could not be.

    A run that was killed may have published a page of ``handled`` and not recorded it. With
    ``removed-projects = keep`` a project that the index lacks stays if it is selected.
    """
    summaries = await mirror.catalogue.summaries(handled)
    published = {name for name, each in summaries.items() if each.is_published}
    unrecorded = [name for name in handled if name not in published]
    if mirror.settings.run.removed_projects is RemovedProjects.KEEP:
        selected = mirror.filters.may_select
        unrecorded = [n for n in unrecorded if n in summaries or not selected(n)]
    removals = Removals.of(mirror, began, is_doubted=is_doubted)
    await checkpoint.commit(await removals.remove_projects(unrecorded))
    return frozenset(removals.failed)
