"""A catalogue that answers from a real one, and forgets at the end what it was told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.catalogue.memory import MemoryCatalogue, settled_by
from bandersnatch.catalogue.records import Marker, Standing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.catalogue.records import (
        CatalogueUpdate,
        Deferred,
        FileStat,
        ListEntry,
        Marker,
        ProjectRecord,
        ProjectSummary,
        Totals,
        TrashEntry,
        TrashTotals,
        VerifyEntry,
    )
    from bandersnatch.layout import StorageKey
    from bandersnatch.model.names import ProjectName


class DryRunCatalogue(MemoryCatalogue):
    """Answers from a real catalogue, and remembers what is committed only for itself."""

    def __init__(self, catalogue: MirrorCatalogue) -> None:
        super().__init__()
        self._catalogue = catalogue
        self._forgotten: set[ProjectName] = set()
        self._settled: set[ProjectName] = set()
        self._restored: set[StorageKey] = set()

    async def summaries(
        self, names: Iterable[ProjectName] | None, /
    ) -> dict[ProjectName, ProjectSummary]:
        """Return what is known of the projects named, or of all; in the order of names."""
        wanted = None if names is None else set(names)
        found = {**await self._catalogue.summaries(wanted), **await super().summaries(wanted)}
        return {name: found[name] for name in sorted(found) if name not in self._forgotten}

    async def count(self) -> int:
        """Return how many projects are here; those that are left out do not count."""
        had = await self.summaries(None)
        return sum(each.standing is not Standing.EXCLUDED for each in had.values())

    async def due(self, now: int, /) -> Sequence[ProjectName]:
        """Return the projects that more of the same page is to be published of by now."""
        ours = self.records.keys() | self._forgotten
        theirs = [name for name in await self._catalogue.due(now) if name not in ours]
        return sorted([*theirs, *await super().due(now)])

    async def project(self, name: ProjectName, /) -> ProjectRecord | None:
        """Return one project with its files."""
        if name in self._forgotten:
            return None
        return await super().project(name) or await self._catalogue.project(name)

    async def deferred(self) -> Sequence[Deferred]:
        """Return the projects to come back to, in the order of names."""
        found = {each.name: each for each in await self._catalogue.deferred()}
        found = {n: each for n, each in found.items() if n not in self._settled} | self.waiting
        return [found[name] for name in sorted(found)]

    async def trash(self, *, before: int | None = None) -> Sequence[TrashEntry]:
        """Return what lies in ``removed/``, or only what was put there before a time."""
        found = {each.key: each for each in await self._catalogue.trash()}
        found = {k: each for k, each in found.items() if k not in self._restored} | self.lying
        lying = (found[key] for key in sorted(found))
        return [each for each in lying if before is None or each.at < before]

    async def marker(self, marker: Marker, /) -> str:
        """Return the text that is stored under a marker, "" if there is none."""
        own = self.markers.get(marker)
        return await self._catalogue.marker(marker) if own is None else own

    async def list_entries(self, after: str, /) -> Sequence[ListEntry]:
        """Return the next projects after a name, in the order of names."""
        theirs = await self._catalogue.list_entries(after)
        ours = await super().list_entries(after)
        if theirs:
            ours = [each for each in ours if each.name <= theirs[-1].name]
        changed = self.records.keys() | self._forgotten
        found = [*ours, *(each for each in theirs if each.name not in changed)]
        if theirs and not found:
            return await self.list_entries(theirs[-1].name)
        return sorted(found)

    async def verify_queue(
        self, before: int, after: VerifyEntry | None, /
    ) -> Sequence[VerifyEntry]:
        """Return the next projects that were verified before a time, the oldest first.

        When something of the real one was found right in a dry run is not remembered.
        """
        theirs = await self._catalogue.verify_queue(before, after)
        ours = await super().verify_queue(before, after)
        if theirs:
            ours = [each for each in ours if _age(each) <= _age(theirs[-1])]
        changed = self.records.keys() | self._forgotten
        found = [*ours, *(each for each in theirs if each.name not in changed)]
        if theirs and not found:
            return await self.verify_queue(before, theirs[-1])
        return sorted(found, key=_age)

    async def file_stats(
        self, names: Collection[ProjectName], /
    ) -> Mapping[ProjectName, list[FileStat]]:
        """Return the files of projects as they lie there."""
        theirs = [n for n in names if n not in self._forgotten and n not in self.records]
        return {**await self._catalogue.file_stats(theirs), **await super().file_stats(names)}

    async def paths_owned(self, claims: Collection[tuple[ProjectName, str]], /) -> frozenset[str]:
        """Return those of the paths that belong to the project that they are claimed for."""
        changed = self.records.keys() | self._forgotten
        theirs = [claim for claim in claims if claim[0] not in changed]
        return await self._catalogue.paths_owned(theirs) | await super().paths_owned(claims)

    async def paths_known(self, paths: Collection[str], /) -> frozenset[str]:
        """Return those of the paths that belong to any project, here or in the real one."""
        return await self._catalogue.paths_known(paths) | await super().paths_known(paths)

    async def totals(self) -> Totals:
        """Return what there is: in the real one, or, if that is empty, what was found."""
        theirs = await self._catalogue.totals()
        return theirs if theirs.projects else await super().totals()

    async def largest(self, count: int, /) -> Sequence[VerifyEntry]:
        """Return the largest projects of the real one, or, if that is empty, of what was found."""
        return await self._catalogue.largest(count) or await super().largest(count)

    async def trash_totals(self) -> TrashTotals:
        """Return what lies in ``removed/`` by the real one, counted."""
        return await self._catalogue.trash_totals()

    async def commit(self, batch: CatalogueUpdate, /) -> None:
        """Remember the changes until the end of the run."""
        if batch.reset:
            self._catalogue = MemoryCatalogue()
            for each in (self._forgotten, self._settled, self._restored):
                each.clear()
        await super().commit(batch)
        self._forgotten.update(batch.forgotten)
        self._forgotten -= {record.name for record in batch.records}
        self._settled |= settled_by(batch)
        self._restored.update(batch.restored)


def _age(each: VerifyEntry) -> tuple[int, str]:
    return each.verified, each.name
