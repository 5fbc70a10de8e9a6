"""The catalogue in memory: for tests, and over a real one in a dry run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch.records import Had, Standing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bandersnatch.layout import StorageKey
    from bandersnatch.model.names import ProjectName
    from bandersnatch.ports import Catalogue
    from bandersnatch.records import Batch, FileRecord, ProjectRecord, Removed, Unfinished


class MemoryCatalogue:
    """A few dictionaries that implement ``Catalogue``."""

    def __init__(self) -> None:
        self.records: dict[ProjectName, ProjectRecord] = {}
        self.waiting: dict[ProjectName, Unfinished] = {}
        self.lying: dict[StorageKey, Removed] = {}
        self.notes: dict[str, str] = {}

    async def had(self, names: Iterable[ProjectName] | None, /) -> dict[ProjectName, Had]:
        """Return what is known of the projects named, or of all; in the order of names."""
        wanted = self.records.keys() if names is None else self.records.keys() & set(names)
        return {name: _had(self.records[name]) for name in sorted(wanted)}

    async def count(self) -> int:
        """Return how many projects are here; those that are left out do not count."""
        return sum(each.standing is not Standing.LEFT_OUT for each in self.records.values())

    async def due(self, now: int, /) -> Sequence[ProjectName]:
        """Return the projects that more of the same page is to be published of by now."""
        dues = ((name, each.due) for name, each in sorted(self.records.items()))
        return [name for name, due in dues if due is not None and due <= now]

    async def project(self, name: ProjectName, /) -> ProjectRecord | None:
        """Return one project with its files."""
        return self.records.get(name)

    async def unfinished(self) -> Sequence[Unfinished]:
        """Return the projects to come back to, in the order of names."""
        return [self.waiting[name] for name in sorted(self.waiting)]

    async def removed(self, *, before: int | None = None) -> Sequence[Removed]:
        """Return what lies in ``removed/``, or only what was put there before a time."""
        lying = (self.lying[key] for key in sorted(self.lying))
        return [each for each in lying if before is None or each.at < before]

    async def note(self, key: str, /) -> str:
        """Return a remembered text, "" if there is none."""
        return self.notes.get(key, "")

    async def commit(self, batch: Batch, /) -> None:
        """Remember the changes, all or none: what can fail comes before the first of them."""
        records = {record.name: _as_kept(record) for record in batch.records}
        waiting = {each.name: each for each in batch.unfinished}
        lying = {each.key: each for each in batch.removed}
        settled, restored = _settled(batch), frozenset(batch.restored)
        for name in settled:
            self.waiting.pop(name, None)
        for name in batch.forgotten:
            self.records.pop(name, None)
        self.records.update(records)
        self.waiting.update(waiting)
        self.lying.update(lying)
        for key in restored:
            self.lying.pop(key, None)
        self.notes.update(batch.notes)


def _settled(batch: Batch) -> frozenset[ProjectName]:
    """Return the projects that nobody has to come back to, unless the batch says otherwise."""
    return frozenset((*batch.forgotten, *batch.finished, *(r.name for r in batch.records)))


def _had(record: ProjectRecord) -> Had:
    return Had(
        record.reflects,
        record.detail.serial,
        record.display,
        record.terms,
        record.standing,
        record.size,
    )


def _as_kept(record: ProjectRecord) -> ProjectRecord:
    """Return the record as a database would give it back: without URLs and rejections."""

    def kept(found: FileRecord) -> FileRecord:
        return replace(found, file=replace(found.file, url=""))

    detail = replace(
        record.detail,
        files=tuple(replace(file, url="") for file in record.detail.files),
        rejected=(),
        document=None,
    )
    return replace(record, detail=detail, files=tuple(map(kept, record.files)))


class DryRunCatalogue(MemoryCatalogue):
    """Answers from a real catalogue, and remembers what is committed only for itself."""

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__()
        self._catalogue = catalogue
        self._forgotten: set[ProjectName] = set()
        self._settled: set[ProjectName] = set()
        self._restored: set[StorageKey] = set()

    async def had(self, names: Iterable[ProjectName] | None, /) -> dict[ProjectName, Had]:
        """Return what is known of the projects named, or of all; in the order of names."""
        wanted = None if names is None else set(names)
        found = {**await self._catalogue.had(wanted), **await super().had(wanted)}
        return {name: found[name] for name in sorted(found) if name not in self._forgotten}

    async def count(self) -> int:
        """Return how many projects are here; those that are left out do not count."""
        had = await self.had(None)
        return sum(each.standing is not Standing.LEFT_OUT for each in had.values())

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

    async def unfinished(self) -> Sequence[Unfinished]:
        """Return the projects to come back to, in the order of names."""
        found = {each.name: each for each in await self._catalogue.unfinished()}
        found = {n: each for n, each in found.items() if n not in self._settled} | self.waiting
        return [found[name] for name in sorted(found)]

    async def removed(self, *, before: int | None = None) -> Sequence[Removed]:
        """Return what lies in ``removed/``, or only what was put there before a time."""
        found = {each.key: each for each in await self._catalogue.removed()}
        found = {k: each for k, each in found.items() if k not in self._restored} | self.lying
        lying = (found[key] for key in sorted(found))
        return [each for each in lying if before is None or each.at < before]

    async def note(self, key: str, /) -> str:
        """Return a remembered text, "" if there is none."""
        return self.notes[key] if key in self.notes else await self._catalogue.note(key)

    async def commit(self, batch: Batch, /) -> None:
        """Remember the changes until the end of the run."""
        await super().commit(batch)
        self._forgotten.update(batch.forgotten)
        self._forgotten -= {record.name for record in batch.records}
        self._settled |= _settled(batch)
        self._restored.update(batch.restored)
