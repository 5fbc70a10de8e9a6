"""A catalogue in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch.catalogue.port import MirrorCatalogue
from bandersnatch.catalogue.records import (
    NEVER,
    FileStat,
    FollowedRow,
    ListEntry,
    Marker,
    PathOwner,
    ProjectSummary,
    RejectedFile,
    RequirementRow,
    Standing,
    Totals,
    TrashTotals,
    VerifyEntry,
    requirements_basis,
)
from bandersnatch.layout import SIDECAR_SUFFIX
from bandersnatch.model.content import Validators
from bandersnatch.model.folding import EXACT, Folding
from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from bandersnatch.catalogue.records import (
        CatalogueUpdate,
        DamagedRow,
        Deferred,
        FileRecord,
        Marker,
        ProjectRecord,
        TrashEntry,
        Verified,
    )
    from bandersnatch.layout import StorageKey
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList, Rejection


class MemoryCatalogue(MirrorCatalogue):
    """A catalogue in dictionaries."""

    def __init__(self) -> None:
        self.records: dict[ProjectName, ProjectRecord] = {}
        self.deferrals: dict[ProjectName, Deferred] = {}
        self.rejections: dict[ProjectName, tuple[Rejection, ...]] = {}
        self.trashed: dict[StorageKey, TrashEntry] = {}
        self.markers: dict[Marker, str] = {}
        self.empty_verified: dict[ProjectName, int] = {}
        self.requirement_rows: dict[ProjectName, RequirementRow] = {}
        self.asks: dict[ProjectName, dict[ProjectName, str]] = {}
        self.followed_rows: dict[ProjectName, FollowedRow] = {}
        self.gone: set[ProjectName] = set()
        self.was_changed = False

    def copy(self) -> MemoryCatalogue:
        """Return a catalogue with the same content, for a dry run."""
        other = MemoryCatalogue()
        other.records, other.deferrals = dict(self.records), dict(self.deferrals)
        other.rejections = dict(self.rejections)
        other.trashed, other.markers = dict(self.trashed), dict(self.markers)
        other.empty_verified = dict(self.empty_verified)
        other.requirement_rows, other.asks = dict(self.requirement_rows), dict(self.asks)
        other.followed_rows = dict(self.followed_rows)
        other.gone = set(self.gone)
        return other

    async def summaries(
        self, names: Iterable[ProjectName] | None, /
    ) -> dict[ProjectName, ProjectSummary]:
        wanted = self.records.keys() if names is None else self.records.keys() & set(names)
        return {name: _had(self.records[name]) for name in sorted(wanted)}

    async def changed_since(
        self, listing: ProjectList, fingerprint: str, /, *, exact: bool = False
    ) -> frozenset[ProjectName]:
        had = await self.summaries(None)
        names = had.keys() | listing.serials.keys()
        found = {n for n in names if not _is_alike(n, had.get(n), listing, fingerprint)}
        if exact:
            found |= {n for n in had.keys() & names if had[n].reflects != listing.serials.get(n)}
        return frozenset(found)

    async def count(self) -> int:
        return sum(each.standing is not Standing.EXCLUDED for each in self.records.values())

    async def due(self, now: int, /) -> Sequence[ProjectName]:
        dues = ((name, each.due) for name, each in sorted(self.records.items()))
        return [name for name, due in dues if due is not None and due <= now]

    async def sweep_queue(
        self, now: int, count: int, /, *, before: int, watched: bool = False
    ) -> Sequence[ProjectName]:
        here = [each for each in self.records.values() if each.standing is not Standing.RETAINED]
        if watched:
            here = [each for each in here if each.watched > now and each.asked <= now]
        found = [each for each in here if each.asked < before or each.asked > now]
        found.sort(key=lambda each: (each.asked <= now, each.asked, each.name))
        return [each.name for each in found[:count]]

    async def oldest_look(self) -> int | None:
        here = [each for each in self.records.values() if each.standing is not Standing.RETAINED]
        return min((each.asked for each in here), default=None)

    async def last_due(self) -> int | None:
        return max((e.due for e in self.records.values() if e.due is not None), default=None)

    async def project(self, name: ProjectName, /) -> ProjectRecord | None:
        record = self.records.get(name)
        if record is None:
            return None
        detail = replace(record.detail, rejected=self.rejections.get(name, ()))
        return structs.replace(record, detail=detail)

    async def deferred(self) -> Sequence[Deferred]:
        return [self.deferrals[name] for name in sorted(self.deferrals)]

    async def rejected(self) -> Sequence[RejectedFile]:
        found = sorted(self.rejections.items())
        return [RejectedFile(name, each) for name, rejections in found for each in rejections]

    async def trash(
        self, *, before: int | None = None, after: int | None = None
    ) -> Sequence[TrashEntry]:
        trashed = (self.trashed[key] for key in sorted(self.trashed))
        return [
            each
            for each in trashed
            if (before is None or each.at < before) and (after is None or each.at > after)
        ]

    async def removed(self, names: Iterable[ProjectName], /) -> frozenset[ProjectName]:
        return frozenset(names) & self.gone

    @property
    def changed(self) -> bool:
        return self.was_changed

    async def take_damaged(self) -> Sequence[DamagedRow]:
        return ()

    async def check(self, after: str, /) -> str:
        return max((name for name in self.records if name > after), default="")

    async def marker(self, marker: Marker, /) -> str:
        return self.markers.get(marker, "")

    async def requirements(
        self, names: Iterable[ProjectName] | None, /
    ) -> Mapping[ProjectName, RequirementRow]:
        wanted = None if names is None else set(names)
        return {
            name: row
            for name, row in sorted(self.requirement_rows.items())
            if wanted is None or name in wanted
        }

    async def requirements_missing(self) -> Sequence[ProjectName]:
        return [each.name for each in self._here() if each.name not in self.requirement_rows]

    async def requirements_unjudged(self) -> Sequence[ProjectName]:
        return [name for name, row in sorted(self.requirement_rows.items()) if not row.contexts]

    async def dependencies(
        self, names: Iterable[ProjectName] | None, /
    ) -> Mapping[ProjectName, Mapping[ProjectName, str]]:
        wanted = None if names is None else set(names)
        return {
            name: dict(asks)
            for name, asks in sorted(self.asks.items())
            if asks and (wanted is None or name in wanted)
        }

    async def dependants(
        self, names: Iterable[ProjectName], /
    ) -> Mapping[ProjectName, Mapping[ProjectName, str]]:
        found: dict[ProjectName, dict[ProjectName, str]] = {}
        for name in sorted(names):
            for dependant, asks in self.asks.items():
                if name in asks:
                    found.setdefault(name, {})[dependant] = asks[name]
        return found

    async def followed(self) -> Mapping[ProjectName, FollowedRow]:
        return dict(sorted(self.followed_rows.items()))

    def _put_dependencies(self, batch: CatalogueUpdate) -> None:
        for record in batch.records:
            row = self.requirement_rows.get(record.name)
            if row is not None and row.basis != requirements_basis(record):
                del self.requirement_rows[record.name]
        unpublished = [each.name for each in batch.records if not each.is_published]
        for name in (*batch.forgotten, *unpublished):
            self.requirement_rows.pop(name, None)
            self.asks.pop(name, None)
        bases = {record.name: requirements_basis(record) for record in batch.records}
        for name, found in batch.requirements.items():
            self.requirement_rows[name] = found._replace(basis=bases.get(name, found.basis))
        self.asks |= batch.dependencies
        for name in batch.unfollowed:
            self.followed_rows.pop(name, None)
        self.followed_rows |= batch.followed

    async def list_entries(self, after: str, /) -> Sequence[ListEntry]:
        return [
            ListEntry(each.name, serial if each.reflects >= (serial or 0) else None)
            for each in self._here()
            for serial in [each.detail.serial]
            if each.name > after
        ]

    async def verify_queue(
        self, before: int, after: VerifyEntry | None, /
    ) -> Sequence[VerifyEntry]:
        found = sorted(map(self._stale, self._here()), key=lambda each: (each.verified, each.name))
        last = (after.verified, after.name) if after is not None else (NEVER - 1, "")
        return [e for e in found if e.verified < before and (e.verified, e.name) > last]

    async def file_stats(
        self, names: Collection[ProjectName], /
    ) -> Mapping[ProjectName, list[FileStat]]:
        records = {name: self.records[name] for name in names if name in self.records}
        return {
            name: list(map(_stored, each.files)) for name, each in records.items() if each.files
        }

    async def path_owners(
        self, name: ProjectName, paths: Collection[str], folding: Folding = EXACT, /
    ) -> Sequence[PathOwner]:
        places = set(map(folding.fold, paths))
        if not places:  # the search below takes a time that grows with the mirror
            return []
        return [
            PathOwner.of(other, found.file)
            for other, record in self.records.items()
            for found in record.files
            if other != name and folding.fold(found.file.path) in places
        ]

    async def paths_owned(self, claims: Collection[tuple[ProjectName, str]], /) -> frozenset[str]:
        return frozenset(path for name, path in claims if path in self._paths(name))

    async def paths_known(
        self,
        paths: Collection[str],
        /,
        *,
        omit: Collection[ProjectName] = (),
        folding: Folding = EXACT,
    ) -> frozenset[str]:
        names = self.records.keys() - set(omit)
        known = {folding.fold(path) for name in names for path in self._paths(name)}
        return frozenset(path for path in paths if folding.fold(path) in known)

    async def totals(self) -> Totals:
        here = list(map(self._stale, self._here()))
        times = [each.verified for each in here]
        return Totals(
            projects=len(here),
            files=sum(each.files for each in here),
            size=sum(each.size for each in here),
            unverified=times.count(NEVER),
            verified=min((time for time in times if time != NEVER), default=NEVER),
        )

    async def listed_files(self) -> int:
        return sum(len(each.detail.files) for each in self.records.values())

    async def largest(self, count: int, /) -> Sequence[VerifyEntry]:
        found = map(self._stale, self._here())
        return sorted(found, key=lambda each: (-each.size, each.name))[:count]

    async def trash_totals(self) -> TrashTotals:
        return TrashTotals(len(self.trashed), sum(each.size for each in self.trashed.values()))

    def _here(self) -> list[ProjectRecord]:
        here = (self.records[name] for name in sorted(self.records))
        return [each for each in here if each.standing is not Standing.EXCLUDED]

    def _stale(self, record: ProjectRecord) -> VerifyEntry:
        empty_verified = self.empty_verified.get(record.name, NEVER)
        verified = record.verified if record.files else empty_verified
        return VerifyEntry(record.name, verified, len(record.files), record.size)

    def _paths(self, name: ProjectName) -> set[str]:
        record = self.records.get(name)
        files = record.detail.files if record is not None else ()
        sides = {file.path + SIDECAR_SUFFIX for file in files if file.sidecar is not None}
        return {file.path for file in files} | sides

    async def commit(self, batch: CatalogueUpdate, /) -> None:
        """Make all changes or none: whatever can fail precedes the first change."""
        records = {record.name: _as_kept(record) for record in batch.records}
        deferrals = {each.name: each for each in batch.deferred}
        trashed = {each.key: each for each in batch.trashed}
        settled, restored = settled_by(batch), frozenset(batch.restored)
        if batch.reset:
            self._forget_everything()
        if batch.forget_above is not None:
            self._forget_serials(batch.forget_above)
        for name in settled:
            self.deferrals.pop(name, None)
        self._remember_removed(batch)
        for name in batch.forgotten:
            self.records.pop(name, None)
        self.records.update(records)
        self._put_rejections(batch)
        self.deferrals.update(deferrals)
        self.trashed.update(trashed)
        for key in restored:
            self.trashed.pop(key, None)
        for name in (*batch.forgotten, *records):
            self.empty_verified.pop(name, None)
        for verified in batch.verified:
            self._put_verified(verified)
        for name, at in batch.looked.items():
            if name in self.records:
                self.records[name] = structs.replace(self.records[name], asked=at)
        self.markers.update(batch.markers)
        self._put_dependencies(batch)

    def _remember_removed(self, batch: CatalogueUpdate) -> None:
        known = ((name, self.records.get(name)) for name in batch.forgotten)
        self.gone |= {name for name, record in known if record and record.is_published}
        self.gone -= {each.name for each in batch.records if each.is_published}
        self.was_changed |= bool(
            batch.records or batch.forgotten or batch.trashed or batch.restored
        )

    def _forget_everything(self) -> None:
        for each in (self.records, self.deferrals, self.rejections, self.trashed, self.markers):
            each.clear()
        for rows in (self.requirement_rows, self.asks, self.followed_rows):
            rows.clear()
        self.empty_verified.clear()
        self.gone.clear()

    def _forget_serials(self, above: Serial) -> None:
        for name, each in self.records.items():
            if max(each.detail.serial or 0, each.reflects) > above:
                detail = replace(each.detail, serial=None)
                self.records[name] = structs.replace(
                    each, detail=detail, reflects=NO_SERIAL, validators=Validators()
                )
        for name, left in self.deferrals.items():
            if left.target_serial > above:
                self.deferrals[name] = structs.replace(
                    left, target_serial=NO_SERIAL, first_serial=None
                )

    def _put_rejections(self, batch: CatalogueUpdate) -> None:
        """Replace those of new records and of ``rejected``; one without a record can end."""
        unrecorded = [name for name in batch.resolved if name not in self.records]
        for name in (*batch.forgotten, *unrecorded):
            self.rejections.pop(name, None)
        found = {each.name: each.detail.rejected for each in batch.records} | batch.rejected
        self.rejections.update({name: _as_stored(each) for name, each in found.items()})

    def _put_verified(self, verified: Verified) -> None:
        record = self.records.get(verified.name)
        if record is None:
            return
        if verified.paths is None:
            self.empty_verified[verified.name] = verified.at
        files = tuple(
            structs.replace(found, verified=verified.at)
            if verified.paths is None or found.file.path in verified.paths
            else found
            for found in record.files
        )
        self.records[verified.name] = structs.replace(record, files=files)


def settled_by(batch: CatalogueUpdate) -> frozenset[ProjectName]:
    """Return the projects whose deferrals an update resolves."""
    return frozenset((*batch.forgotten, *batch.resolved, *(r.name for r in batch.records)))


def _stored(found: FileRecord) -> FileStat:
    file = found.file
    sidecar = file.sidecar is not None
    return FileStat(file.path, file.size, found.modified, sidecar, found.verified)


def _had(record: ProjectRecord) -> ProjectSummary:
    return ProjectSummary(
        record.reflects,
        record.detail.serial,
        record.display,
        record.fingerprint,
        record.standing,
        record.size,
    )


def _as_kept(record: ProjectRecord) -> ProjectRecord:
    """Return the record as a database returns it: without URLs."""

    def kept(found: FileRecord) -> FileRecord:
        return structs.replace(found, file=replace(found.file, url=""))

    detail = replace(
        record.detail,
        files=tuple(replace(file, url="") for file in record.detail.files),
        document=None,
    )
    return structs.replace(record, detail=detail, files=tuple(map(kept, record.files)))


def _as_stored(rejections: Iterable[Rejection]) -> tuple[Rejection, ...]:
    """Return the last rejection of each entry, by entry."""
    found = {each.entry: each for each in rejections}
    return tuple(found[entry] for entry in sorted(found))


def _is_alike(
    name: ProjectName, had: ProjectSummary | None, listing: ProjectList, fingerprint: str
) -> bool:
    serial = listing.serials.get(name)
    return (
        had is not None
        and bool(serial)
        and had.reflects >= (serial or NO_SERIAL)
        and had.fingerprint == fingerprint
        and had.standing is not Standing.RETAINED
        and had.display == listing.display_names.get(name, name)
    )
