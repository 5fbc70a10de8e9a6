"""Compares the whole tree with the catalogue, after a part of the mirror was restored.

Then neither proves anything about the other. What differs is synced; no file is read whose size
and time are as recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch import layout
from bandersnatch.catalogue import records
from bandersnatch.concurrency import bounded_map
from bandersnatch.events import StepStarted
from bandersnatch.mirror.adopt import Adoption
from bandersnatch.mirror.files import FileSync
from bandersnatch.mirror.fingerprint import PolicyFingerprint
from bandersnatch.mirror.plan import SECOND_LOOK
from bandersnatch.mirror.publish import Publisher
from bandersnatch.mirror.readoption import Readoption, deferred_again
from bandersnatch.mirror.verify.examine import PageCheck

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.names import ProjectName

_WORKERS = 8
_BATCH = 500
_REASON = "a part of the mirror was restored, and it is not as the catalogue says"


@dataclass(slots=True)
class _Pages:
    """The projects of some pages that no row describes.

    ``removed`` were removed from this mirror once, ``left_out`` have a row that says that they are
    excluded; nothing is known of ``unknown``.
    """

    removed: list[ProjectName] = field(default_factory=list)
    left_out: list[ProjectName] = field(default_factory=list)
    unknown: list[ProjectName] = field(default_factory=list)


class TreeComparison:
    """Compares every page, and every file by size and time, and defers the projects that differ."""

    def __init__(self, mirror: Mirror, began: datetime) -> None:
        self._mirror = mirror
        self._now = int(began.timestamp())
        self._adoption = Adoption.of(mirror, began)
        self._readoption = Readoption.of(mirror)
        self._files = FileSync.of(mirror)
        self._pages = PageCheck(
            mirror.storage, Publisher.of(mirror), PolicyFingerprint.of(mirror), mirror.clock
        )

    async def run(self) -> frozenset[ProjectName]:
        """Compare everything; return the selected projects that have pages and were never known.

        Projects that were removed from this mirror, and whose pages are back, are recorded by
        their pages, as if a first run had found them missing on the index: their removal was
        evidenced before.
        """
        self._mirror.events(StepStarted("comparing every page and file with the catalogue"))
        deferred = {each.name: each for each in await self._mirror.catalogue.deferred()}
        await self._compare_recorded(deferred)
        unknown = await self._compare_pages(deferred)
        root: dict[records.Marker, str] = {records.Marker.ROOT: records.RootMarker.STALE}
        await self._mirror.catalogue.commit(records.CatalogueUpdate(markers=root))
        return frozenset(filter(self._mirror.filters.may_select, unknown))

    # ------------------------------------------------------------ what the catalogue knows

    async def _compare_recorded(self, deferred: Mapping[ProjectName, records.Deferred]) -> None:
        after, catalogue = "", self._mirror.catalogue
        while True:
            some = await catalogue.list_entries(after)
            if await self._readoption.run():
                continue
            if not some:
                return
            after = some[-1].name
            differing, absent = await self._differing(some)
            await catalogue.commit(records.CatalogueUpdate(forgotten=sorted(absent)))
            await self._defer([*differing, *absent], deferred)

    async def _differing(
        self, some: Sequence[records.ListEntry]
    ) -> tuple[list[ProjectName], list[ProjectName]]:
        """Return the projects that are not as recorded, and those of which nothing is there."""
        differing: list[ProjectName] = []
        absent: list[ProjectName] = []

        async def compare(entry: records.ListEntry) -> None:
            record = await self._mirror.catalogue.project(entry.name)
            if record is None:
                return  # its row was damaged, and it is adopted again
            if await self._is_absent(record):
                absent.append(entry.name)
            elif not await self._files.are_as_recorded(record) or await self._pages.damage(record):
                differing.append(entry.name)

        await bounded_map(compare, some, most=_WORKERS)
        return differing, absent

    async def _is_absent(self, record: records.ProjectRecord) -> bool:
        """Whether neither a page nor a file of a project is in the tree."""
        keys = [*self._mirror.settings.pages.layout.all_pages(record.name)]
        keys += [layout.release_file(found.file) for found in record.files]
        return not any(await self._mirror.storage.stat(keys))

    async def _defer(
        self, names: Collection[ProjectName], deferred: Mapping[ProjectName, records.Deferred]
    ) -> None:
        marks = [
            structs.replace(deferred_again(name, deferred.get(name), "", self._now), reason=_REASON)
            for name in sorted(names)
        ]
        await self._mirror.catalogue.commit(records.CatalogueUpdate(deferred=marks))

    # ------------------------------------------------------------ what it does not know

    async def _compare_pages(
        self, deferred: Mapping[ProjectName, records.Deferred]
    ) -> list[ProjectName]:
        """Find the pages that no row describes; return the projects that were never known."""
        trashed = {each.key for each in await self._mirror.catalogue.trash()}
        unknown: list[ProjectName] = []
        some: list[ProjectName] = []
        async for name, _ in self._adoption.projects():
            some.append(name)
            if len(some) >= _BATCH:
                unknown += await self._settle(some, trashed, deferred)
                some = []
        return unknown + await self._settle(some, trashed, deferred)

    async def _settle(
        self,
        names: Sequence[ProjectName],
        trashed: Collection[StorageKey],
        deferred: Mapping[ProjectName, records.Deferred],
    ) -> list[ProjectName]:
        pages = await self._classified(names, trashed)
        await self._defer(pages.left_out, deferred)
        await self._record_removed(pages.removed)
        return pages.unknown

    async def _classified(
        self, names: Sequence[ProjectName], trashed: Collection[StorageKey]
    ) -> _Pages:
        known = await self._mirror.catalogue.summaries(names)
        removed = await self._mirror.catalogue.removed(set(names) - known.keys())
        pages, keys = _Pages(), self._mirror.settings.pages.layout
        for name in names:
            if name in known:
                if not known[name].is_published:
                    pages.left_out.append(name)
            elif name in removed or any(layout.trash(k) in trashed for k in keys.all_pages(name)):
                pages.removed.append(name)
            else:
                pages.unknown.append(name)
        return pages

    async def _record_removed(self, names: Collection[ProjectName]) -> None:
        """Record projects by their pages, so that they leave with their files."""
        batch = records.CatalogueUpdate()
        for name in names:
            mark = deferred_again(name, None, "", self._now)
            record = await self._adoption.read(name)
            if record is not None:
                batch.records.append(structs.replace(record, standing=records.Standing.SELECTED))
                ago = self._now - SECOND_LOOK
                mark = structs.replace(
                    mark, deferral=records.Deferral.MISSING_ONCE, since=ago, tried=ago
                )
            batch.deferred.append(structs.replace(mark, reason=_REASON))
            if not self._mirror.filters.may_select(name):  # the run compares what it selects
                batch.markers[records.Marker.OPTIONS] = ""
        await self._mirror.catalogue.commit(batch)
