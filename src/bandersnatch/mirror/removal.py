"""Taking away: files that no page names, projects that are gone, and what waited long enough.

Page away first, files after; and nothing is destroyed in haste: files wait in ``removed/``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from bandersnatch import layout
from bandersnatch.catalogue.records import (
    CatalogueUpdate,
    Deferral,
    Marker,
    RootMarker,
    Standing,
    TrashEntry,
)
from bandersnatch.config.schema import RemovedProjects
from bandersnatch.errors import (
    BlockingLink,
    InvalidValue,
    MissingObject,
    StorageError,
    TooManyRemovals,
)
from bandersnatch.events import FileRemoved, PageRemoved, ProjectFailed, ProjectRemoved, Warned
from bandersnatch.mirror.checkpoint import MOST_WAITING
from bandersnatch.mirror.publish import publish_root
from bandersnatch.model.filenames import candidate_projects
from bandersnatch.model.names import belongs_to, project_name
from bandersnatch.model.urls import is_file_path

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.catalogue.records import FileRecord, ProjectRecord
    from bandersnatch.events import EventSink
    from bandersnatch.layout import MirrorLayout, StorageKey
    from bandersnatch.mirror.checkpoint import Checkpoint
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.tasks import SyncTask
    from bandersnatch.model.names import ProjectName
    from bandersnatch.storage.port import MirrorStorage


FEWEST_ALLOWED = 5
SHARE_ALLOWED = 0.005

LONGEST_PAUSE = 90 * 86_400
"""Seconds since the last good run; it is rather the clock that jumped if there are more."""


def removal_limit(projects: int, configured: int | None) -> int:
    """Return how many of the mirror's projects one run may remove.

    By default the larger of 5 and 0.5 %, and never all of them; an operator's own number
    stands as it is.
    """
    if configured is not None:
        return configured
    return min(max(FEWEST_ALLOWED, int(projects * SHARE_ALLOWED)), max(projects - 1, 0))


def check_removals(count: int, limit: int, *, by_filters: int = 0) -> None:
    """Refuse a removal of more than the limit as a whole.

    To remove some of them would let a mirror that is run every few minutes drain in an hour.

    ``by_filters`` is how many of them are not wanted any more, rather than gone.

    :raises TooManyRemovals: if there are more.
    """
    if count > limit:
        raise TooManyRemovals(count, limit, by_filters=by_filters)


@dataclass(frozen=True, slots=True)
class _Departure:
    """What leaves with a project: its pages and documents, then its files.

    ``sizes`` has what was found there, in bytes. ``forgets`` says that nothing is to be
    remembered of it.
    """

    name: ProjectName
    pages: Sequence[TrashEntry]
    files: Sequence[TrashEntry]
    sizes: Mapping[StorageKey, int]
    forgets: bool


class Removals:
    """Moves things out of the served tree, and in the end deletes them."""

    def __init__(self, storage: MirrorStorage, events: EventSink, *, now: int) -> None:
        self._storage = storage
        self._events = events
        self._now = now

    @classmethod
    def of(cls, mirror: Mirror, now: datetime) -> Self:
        """Return the remover of a mirror's projects and files, for a run that began at ``now``."""
        return cls(mirror.storage, mirror.events, now=int(now.timestamp()))

    async def drop_files(
        self, name: ProjectName, files: Sequence[FileRecord]
    ) -> tuple[TrashEntry, ...]:
        """Move files, and their core metadata, to where they wait for the grace time."""
        removed = tuple(self._waiting(self._credible(files, name)))
        await self._move(removed)
        for each in removed:
            self._events(FileRemoved(name, layout.served(each.key), each.size))
        return removed

    def _waiting(self, files: Iterable[FileRecord]) -> Iterable[TrashEntry]:
        """Yield what is remembered of files, and of their core metadata, once they have moved."""
        for found in files:
            for key, size, sha256 in _objects(found):
                yield TrashEntry(layout.trash(key), size, sha256, self._now)

    async def _move(self, removed: Iterable[TrashEntry]) -> None:
        await self._storage.discard([layout.served(each.key) for each in removed])

    # ------------------------------------------------------------ whole projects

    async def remove_projects(
        self,
        names: Collection[ProjectName],
        catalogue: MirrorCatalogue,
        places: MirrorLayout,
        spelled: Mapping[ProjectName, str] | None = None,
    ) -> CatalogueUpdate:
        """Take the projects' pages away and then their files; return what is to be forgotten.

        The root page must not name them any more when this begins. The pages wait with the
        files, so that everything can be brought back. ``spelled`` are the names as somebody
        wrote them, under which releases before 4.0 kept pages too. What is to wait is written
        down before it moves: whatever stops this, nothing lies in ``removed/`` for ever.
        """
        leaving: list[_Departure] = []
        for name in names:
            spelling = (spelled or {}).get(name, "")
            record = await catalogue.project(name)
            pages = await self.pages(name, places, (spelling, record.display if record else ""))
            if pages or _is_here(record):
                files = await self._own_files(record, names, catalogue) if record else []
                leaving.append(await self._departure(name, record, pages, files))
        waiting = [row for each in leaving for row in (*each.pages, *each.files)]
        await catalogue.commit(CatalogueUpdate(trashed=waiting))
        for each in leaving:
            await self._move(each.pages)
        if leaving:
            await self._storage.flush()
        for each in leaving:
            await self._move(each.files)
            await self._tell(each)
        return CatalogueUpdate(forgotten=[each.name for each in leaving if each.forgets])

    async def pages(
        self, name: ProjectName, places: MirrorLayout, spellings: Iterable[str] = ()
    ) -> dict[StorageKey, int]:
        """Return the pages and documents of a project that are there, with their sizes."""
        keys = [*places.all_pages(name), *layout.legacy_documents(name)]
        for spelling in dict.fromkeys(spellings):
            if _is_other(spelling, name):
                keys += [k for old in layout.unnormalised_pages(spelling) for k in old.values()]
        found: dict[StorageKey, int] = {}
        for key, stat in zip(keys, await self._storage.stat(keys), strict=True):
            size = await self._size_of(key) if stat is None else stat.size
            if size is not None:
                found[key] = size
        for prefix in places.all_page_versions(name):
            found.update([(each.key, each.size) async for each in self._storage.scan(prefix)])
        return found

    async def _size_of(self, key: StorageKey) -> int | None:
        """Return the size of what a link leads to: 0 if that is nowhere good, None without one."""
        try:
            return len(await self._storage.read(key))
        except StorageError as error:
            return None if type(error) is MissingObject else 0  # a link that leads away is there

    async def _own_files(
        self,
        record: ProjectRecord,
        leaving: Collection[ProjectName],
        catalogue: MirrorCatalogue,
    ) -> list[FileRecord]:
        """Return the files that no other project of the mirror has, as some indexes list them."""
        own = self._credible(record.files, record.name)
        claims = [
            (name, found.file.path)
            for found in own
            if not found.file.filename.endswith(".whl")
            for name in candidate_projects(found.file.filename)
            if name not in leaving
        ]
        shared = await catalogue.paths_owned(claims) if claims else frozenset()
        return [found for found in own if found.file.path not in shared]

    def _credible(self, files: Sequence[FileRecord], name: ProjectName) -> list[FileRecord]:
        """Return the files that lie where files of the project can, whatever rows say."""
        own = [found for found in files if _is_own(found, name)]
        if len(own) < len(files):
            count = len(files) - len(own)
            text = f"{name}: {count} row(s) of the catalogue are of no file that is its own"
            self._events(Warned(f"{text}; what they name stays"))
        return own

    async def _departure(
        self,
        name: ProjectName,
        record: ProjectRecord | None,
        pages: Mapping[StorageKey, int],
        files: Sequence[FileRecord],
    ) -> _Departure:
        waiting = list(self._waiting(files))
        there = await self._storage.stat([layout.served(each.key) for each in waiting])
        sizes = {found.key: found.size for found in there if found is not None}
        return _Departure(
            name,
            [TrashEntry(layout.trash(key), size, "", self._now) for key, size in pages.items()],
            [replace(each, size=sizes.get(layout.served(each.key), each.size)) for each in waiting],
            {**pages, **sizes},
            forgets=record is None or _is_here(record),
        )

    async def _tell(self, gone: _Departure) -> None:
        """Tell what moved, and what did not because a link leads to where it lies."""
        for row in gone.pages:
            self._events(PageRemoved(layout.served(row.key), row.size))
        for row in gone.files:
            if (key := layout.served(row.key)) in gone.sizes:
                self._events(FileRemoved(gone.name, key, row.size))
        left = [found.key for found in await self._storage.stat(list(gone.sizes)) if found]
        if left:
            self._events(
                ProjectFailed(gone.name, BlockingLink(gone.name, left[0]), will_retry=False)
            )
        self._events(ProjectRemoved(gone.name))

    # ------------------------------------------------------------ in the end

    async def expire(self, catalogue: MirrorCatalogue, grace: timedelta) -> CatalogueUpdate:
        """Delete what has waited for longer than the grace time, if the clock can be believed."""
        last = await catalogue.marker(Marker.LAST_SUCCESS)
        if last and self._now - int(last) > LONGEST_PAUSE:
            days = (self._now - int(last)) // 86_400
            text = f"by the clock the last good run was {days} days ago"
            self._events(Warned(f"{text}; the next run deletes what has waited long enough"))
            return CatalogueUpdate()
        limit = self._now - int(grace.total_seconds())
        over = [each.key for each in await catalogue.trash(before=limit + 1)]
        await self._storage.purge(over)
        return CatalogueUpdate(restored=over)


def _is_here(record: ProjectRecord | None) -> bool:
    return record is not None and record.standing is not Standing.EXCLUDED


def _is_other(spelling: str, name: ProjectName) -> bool:
    """Whether a text is another spelling of a project's name."""
    try:
        return spelling != name and project_name(spelling) == name
    except InvalidValue:
        return False


def _is_own(found: FileRecord, name: ProjectName) -> bool:
    file = found.file
    told = is_file_path(file.path) and file.hashes.get("sha256") is not None
    return told and belongs_to(file.filename, name)


def _objects(found: FileRecord) -> Iterable[tuple[StorageKey, int, str]]:
    """Yield the key, size and sha256 of a file and of its core metadata."""
    file = found.file
    yield layout.release_file(file), file.size or 0, file.sha256.value
    side = layout.sidecar(file)
    if file.sidecar is not None and side is not None:
        yield side, 0, file.sidecar.value


@dataclass(frozen=True, slots=True)
class PlannedRemovals:
    """What is to leave the mirror, if it may.

    ``reported`` are the projects that the changelog says are gone, ``confirmed`` those that two
    runs found missing. The project filters no longer select ``deselected``; the page filters now
    exclude ``excluded``, with the records to keep of them, and drop every file of ``emptied``.
    """

    reported: Mapping[ProjectName, SyncTask]
    confirmed: Mapping[ProjectName, SyncTask]
    deselected: frozenset[ProjectName]
    excluded: Mapping[ProjectName, ProjectRecord]
    emptied: Mapping[ProjectName, SyncTask]

    @property
    def gone(self) -> frozenset[ProjectName]:
        """The mirrored projects that the index no longer has."""
        return frozenset(
            n for n, w in {**self.reported, **self.confirmed}.items() if not w.excluded
        )

    def is_unmarked(self, name: ProjectName) -> bool:
        """Whether no note in the catalogue tells that a project may be half gone."""
        if name in self.reported:
            earlier = self.reported[name].earlier
            return earlier is None or earlier.deferral == Deferral.PENDING
        return name in self.deselected

    @property
    def filtered_out(self) -> frozenset[ProjectName]:
        """The mirrored projects that the filters no longer let through."""
        return self.deselected | self.excluded.keys()


async def remove_all(
    mirror: Mirror,
    leaving: PlannedRemovals,
    projects: frozenset[ProjectName],
    checkpoint: Checkpoint,
    began: datetime,
    *,
    force: bool,
) -> None:
    """Remove ``projects``, those of ``leaving`` that may go, and what has waited long enough.

    From the root page first, then their pages, then their files. Until all of that is recorded
    the root page counts as one that does not show what the catalogue has.
    """
    if projects:
        await checkpoint.commit(CatalogueUpdate(markers={Marker.ROOT: RootMarker.STALE}))
    await publish_root(mirror, omit=projects, force=force or bool(projects))
    removals, places = Removals.of(mirror, began), mirror.settings.pages.layout
    ordered = sorted(projects)
    for start in range(0, len(ordered), MOST_WAITING):
        some = ordered[start : start + MOST_WAITING]
        await checkpoint.mark(name for name in some if leaving.is_unmarked(name))
        removed = await removals.remove_projects(some, mirror.catalogue, places)
        removed.records += [leaving.excluded[name] for name in some if name in leaving.excluded]
        await checkpoint.commit(removed)
    forgotten = [name for name, wish in leaving.reported.items() if wish.excluded]
    handled = [name for name in forgotten if leaving.reported[name].handled]
    await remove_unrecorded(mirror, handled, checkpoint, began)
    await checkpoint.commit(
        CatalogueUpdate(forgotten=forgotten, markers={Marker.ROOT: RootMarker.WRITTEN})
    )
    await checkpoint.commit(
        await removals.expire(mirror.catalogue, mirror.settings.run.removal_grace)
    )


async def remove_unrecorded(
    mirror: Mirror, handled: Collection[ProjectName], checkpoint: Checkpoint, began: datetime
) -> None:
    """Take away the page of what an earlier run had in hand, and nobody wants any more.

    It was published, perhaps, when that run was killed, and not recorded; no list tells of it.
    What the index does not have any more stays where that is wanted.
    """
    had = await mirror.catalogue.summaries(handled)
    here = {name for name, each in had.items() if each.standing is not Standing.EXCLUDED}
    strays = [name for name in handled if name not in here]
    if mirror.settings.run.removed_projects is RemovedProjects.KEEP:
        strays = [n for n in strays if n in had or not mirror.filters.may_select(n)]
    removals = Removals.of(mirror, began)
    await checkpoint.commit(
        await removals.remove_projects(strays, mirror.catalogue, mirror.settings.pages.layout)
    )
