"""Taking away: files that no page names, projects that are gone, and what waited long enough.

Page away first, files after; and nothing is destroyed in haste: files wait in ``removed/``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch import layout
from bandersnatch.errors import TooManyRemovals
from bandersnatch.events import FileRemoved, PageRemoved, ProjectRemoved
from bandersnatch.records import Batch, Removed, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.publish import Publisher
    from bandersnatch.model.names import ProjectName
    from bandersnatch.ports import Catalogue, EventSink, Storage
    from bandersnatch.records import FileRecord

FEWEST_ALLOWED = 5
SHARE_ALLOWED = 0.005


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


class Removals:
    """Moves things out of the served tree, and in the end deletes them."""

    def __init__(self, storage: Storage, events: EventSink, *, now: int) -> None:
        self._storage = storage
        self._events = events
        self._now = now

    async def drop_files(
        self, name: ProjectName, files: Sequence[FileRecord]
    ) -> tuple[Removed, ...]:
        """Move files, and their core metadata, to where they wait for the grace time."""
        removed: list[Removed] = []
        moves: list[tuple[StorageKey, StorageKey]] = []
        for found in files:
            for key, size, sha256 in _objects(found):
                moves.append((key, layout.removed(key)))
                removed.append(Removed(layout.removed(key), size, sha256, self._now))
        await self._storage.move(moves)
        for (key, _), left in zip(moves, removed, strict=True):
            self._events(FileRemoved(name, key, left.size))
        return tuple(removed)

    async def remove_projects(
        self, names: Iterable[ProjectName], catalogue: Catalogue, publisher: Publisher
    ) -> Batch:
        """Take the projects' pages away and then their files; return what is to be forgotten.

        The root page must not name them any more when this begins. The pages wait with the
        files, so that everything can be brought back.
        """
        batch = Batch()
        for name in names:
            pages = await self._pages(name, publisher)
            record = await catalogue.project(name)
            here = record is not None and record.standing is not Standing.LEFT_OUT
            if not (pages or here):
                continue
            await self._storage.move([(key, layout.removed(key)) for key in pages])
            for key in pages:
                self._events(PageRemoved(key))
                batch.removed.append(Removed(layout.removed(key), 0, "", self._now))
            if record is not None:
                batch.removed += await self.drop_files(name, record.files)
            if record is None or here:
                batch.forgotten.append(name)
            self._events(ProjectRemoved(name))
        return batch

    async def _pages(self, name: ProjectName, publisher: Publisher) -> list[StorageKey]:
        """Return the pages and documents of a project that are there."""
        pages = publisher.pages_of(name)
        pages += [found.key async for found in self._storage.scan(publisher.kept_pages(name))]
        return [key for key in pages if await self._is_there(key)]

    async def _is_there(self, key: StorageKey) -> bool:
        return any([found.key == key async for found in self._storage.scan(key)])

    async def expire(self, catalogue: Catalogue, grace: timedelta) -> Batch:
        """Delete what has waited for longer than the grace time."""
        limit = self._now - int(grace.total_seconds())
        over = [each.key for each in await catalogue.removed(before=limit + 1)]
        await self._storage.delete(over)
        return Batch(restored=over)


def _objects(found: FileRecord) -> Iterable[tuple[StorageKey, int, str]]:
    """Yield the key, size and sha256 of a file and of its core metadata."""
    file = found.file
    yield layout.release_file(file), file.size or 0, file.sha256.value
    side = layout.sidecar(file)
    if file.sidecar is not None and side is not None:
        yield side, 0, file.sidecar.value
