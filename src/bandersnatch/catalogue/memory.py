"""The catalogue in memory: for tests, and over a real one in a dry run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch.records import Had

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
        """Return how many projects there are."""
        return len(self.records)

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
        """Remember the changes."""
        for name in (*batch.forgotten, *batch.finished, *(r.name for r in batch.records)):
            self.waiting.pop(name, None)
        for name in batch.forgotten:
            self.records.pop(name, None)
        self.records.update((record.name, _as_kept(record)) for record in batch.records)
        self.waiting.update((each.name, each) for each in batch.unfinished)
        self.lying.update((each.key, each) for each in batch.removed)
        for key in batch.restored:
            self.lying.pop(key, None)
        self.notes.update(batch.notes)


def _had(record: ProjectRecord) -> Had:
    return Had(record.reflects, record.detail.serial, record.display, record.terms)


def _as_kept(record: ProjectRecord) -> ProjectRecord:
    """Return the record as a database would give it back: without URLs and rejections."""

    def kept(found: FileRecord) -> FileRecord:
        return replace(found, file=replace(found.file, url=""))

    detail = replace(
        record.detail,
        files=tuple(replace(file, url="") for file in record.detail.files),
        rejected=(),
    )
    return replace(record, detail=detail, files=tuple(map(kept, record.files)))


class DryRunCatalogue(MemoryCatalogue):
    """Answers from a real catalogue, and remembers what is committed only for itself."""

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__()
        self._catalogue = catalogue
        self._forgotten: set[ProjectName] = set()

    async def had(self, names: Iterable[ProjectName] | None, /) -> dict[ProjectName, Had]:
        """Return what is known of the projects named, or of all; in the order of names."""
        wanted = None if names is None else set(names)
        found = {**await self._catalogue.had(wanted), **await super().had(wanted)}
        return {name: found[name] for name in sorted(found) if name not in self._forgotten}

    async def count(self) -> int:
        """Return how many projects there are."""
        return len(await self.had(None))

    async def project(self, name: ProjectName, /) -> ProjectRecord | None:
        """Return one project with its files."""
        if name in self._forgotten:
            return None
        return await super().project(name) or await self._catalogue.project(name)

    async def unfinished(self) -> Sequence[Unfinished]:
        """Return the projects to come back to."""
        return await self._catalogue.unfinished()

    async def removed(self, *, before: int | None = None) -> Sequence[Removed]:
        """Return what lies in ``removed/``."""
        return await self._catalogue.removed(before=before)

    async def note(self, key: str, /) -> str:
        """Return a remembered text."""
        return await super().note(key) or await self._catalogue.note(key)

    async def commit(self, batch: Batch, /) -> None:
        """Remember the changes until the end of the run."""
        self._forgotten -= {record.name for record in batch.records}
        self._forgotten.update(batch.forgotten)
        await super().commit(batch)
