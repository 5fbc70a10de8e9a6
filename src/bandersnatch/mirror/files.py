"""Checks, restores and downloads the release files of a project and their core metadata."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from msgspec import structs

from bandersnatch import errors, layout
from bandersnatch.catalogue.records import FileRecord, ProjectRecord, TrashEntry
from bandersnatch.concurrency import bounded_map
from bandersnatch.config.schema import CompareMethod, FileSettings
from bandersnatch.events import (
    CoreMetadataMissing,
    CoreMetadataSkipped,
    FileDownloaded,
    FileQueued,
    FileRestored,
)
from bandersnatch.index.port import FailureBudget
from bandersnatch.mirror.comparison import FileComparison
from bandersnatch.model.content import Content, ExpectedContent, expected_content, expected_sidecar
from bandersnatch.model.digests import Hashes, unique
from bandersnatch.model.project import ProjectDetail, Rejection
from bandersnatch.model.urls import quote_path
from bandersnatch.storage.port import StoredObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bandersnatch.clock import Clock
    from bandersnatch.events import EventSink
    from bandersnatch.index.port import PackageIndex
    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.digests import Digest
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.storage.port import MirrorStorage


_TIME_TOLERANCE = 1_000_000
"""Nanoseconds; times that differ by less are equal: some file systems and releases round them."""

MAX_FAILED_TRIES = 20
"""Failed tries over all files of a project, after which the rest waits for the next run."""

_SPENT = f"{MAX_FAILED_TRIES} tries for files of this project failed; the next run goes on"

_LIMITED = (errors.SkippedRequest, errors.PacedRequest)
"""Requests that were not sent because of a limit, which is reported once in a run."""


class FileChecker:
    """Checks stored files against their records, by size and time, or by their content."""

    def __init__(
        self, storage: MirrorStorage, compare: CompareMethod, digest_name: str, clock: Clock
    ) -> None:
        self._storage = storage
        self._by_stat = compare is CompareMethod.STAT
        self._digest_name = digest_name
        self._clock = clock

    async def are_as_recorded(self, record: ProjectRecord) -> bool:
        """Whether every file of a project has the size and time that were recorded."""
        keys = [layout.release_file(found.file) for found in record.files]
        if not all(map(layout.is_key, keys)):
            return False  # the row was edited
        stats = await self._storage.stat(keys)
        return all(
            stat is not None and (stat.size, stat.modified) == (found.file.size, found.modified)
            for stat, found in zip(stats, record.files, strict=True)
        )

    async def stats(
        self, keys: Sequence[StorageKey], recorded: Iterable[StoredObject]
    ) -> list[StoredObject | None]:
        """Return the stats of objects: those that were ``recorded`` if the storage trusts them."""
        known = {each.key: each for each in recorded} if self._storage.believes_records else {}
        asked = [key for key in keys if key not in known]
        found = dict(zip(asked, await self._storage.stat(asked), strict=True))
        return [known.get(key) or found.get(key) for key in keys]

    async def check(
        self, file: ReleaseFile, stat: StoredObject | None, known: FileRecord | None
    ) -> FileRecord | None:
        """Return the record of a file that is stored and correct, else None.

        A file that was adopted without being read is accepted as long as it has the upload time
        of the index: nothing has written to it since it was downloaded.
        """
        if stat is None or (file.size is not None and stat.size != file.size):
            return None
        digest, validators = file.digest, None if known is None else known.validators
        has_upload_time = _is_same_time(stat.modified, file.modified)
        if known is not None and known.file.hashes.agrees_with(file.hashes):
            is_unchanged = (stat.size, stat.modified) == (known.file.size, known.modified)
            if is_unchanged and (self._by_stat or known.verified is not None or has_upload_time):
                complete = _with_content(file, known.file.hashes, stat.size)
                found = FileRecord(complete, stat.modified, known.verified, validators)
                return await self._with_digests(found)
        if digest is None:
            return None  # there is nothing to compare the content with
        if self._by_stat and file.size is not None and has_upload_time:
            return await self._with_digests(FileRecord(file, stat.modified, None, validators))
        hashes = await self._storage.digest(stat.key, self._algorithms(digest))
        if digest not in hashes:
            return None
        complete = _with_content(file, hashes, stat.size)
        return FileRecord(complete, stat.modified, _seconds(self._clock), validators)

    def _algorithms(self, *digests: Digest) -> list[str]:
        """Return what to compute of a file: sha256, what pages show, and what ``digests`` need."""
        return unique("sha256", self._digest_name, *(digest.algorithm for digest in digests))

    async def _with_digests(self, record: FileRecord) -> FileRecord:
        """Return the record with sha256 and what pages show, which may have to be computed."""
        hashes = record.file.hashes
        if hashes.sha256 is not None and hashes.get(self._digest_name) is not None:
            return record
        algorithms = unique("sha256", self._digest_name, *(d.algorithm for d in hashes))
        hashes = await self._storage.digest(layout.release_file(record.file), algorithms)
        return structs.replace(record, file=replace(record.file, hashes=hashes))

    async def check_sidecar(
        self, found: FileRecord, stat: StoredObject | None, known: FileRecord | None
    ) -> Hashes | None:
        """Return the digests of a file's core metadata if it is stored and correct, else None."""
        offered, digest = found.file.core_metadata, found.file.sidecar
        if stat is None or digest is None or not isinstance(offered, Hashes):
            return None
        has_same_time = _is_same_time(stat.modified, found.modified)
        recorded = None if known is None else known.file.core_metadata
        if isinstance(recorded, Hashes) and has_same_time and recorded.agrees_with(offered):
            return recorded
        if self._by_stat and has_same_time and offered.sha256 is not None:
            return offered
        hashes = await self._storage.digest(stat.key, unique("sha256", digest.algorithm))
        return hashes if digest in hashes else None


@dataclass(slots=True)
class FilesOutcome:
    """What a sync of a project's files came to.

    ``records`` are the files that are stored and correct, in the order of the page. ``missing``
    has an error for each file that could not be downloaded, ``sidecars_missing`` a reason for
    each file whose core metadata could not be. ``rejected`` are the files that cannot be stored.
    ``makes_room`` says that one of them can be in the next run, when a file has left the page.
    ``restored`` are the keys in the trash of what was restored from there. ``budget`` counts the
    tries that failed.
    """

    records: list[FileRecord] = field(default_factory=list)
    missing: list[errors.BandersnatchError] = field(default_factory=list)
    restored: list[StorageKey] = field(default_factory=list)
    sidecars_missing: list[str] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    makes_room: bool = False
    budget: FailureBudget = field(default_factory=lambda: FailureBudget(MAX_FAILED_TRIES))


class FileSync:
    """Brings the files that a page lists into the tree."""

    def __init__(
        self,
        index: PackageIndex,
        storage: MirrorStorage,
        settings: FileSettings,
        digest_name: str,
        clock: Clock,
        events: EventSink,
    ) -> None:
        self._index = index
        self._storage = storage
        self._settings = settings
        self._digest_name = digest_name
        self._clock = clock
        self._events = events
        self._checker = FileChecker(storage, settings.compare_method, digest_name, clock)
        by_stat = settings.compare_method is CompareMethod.STAT
        self._comparison = FileComparison(
            index, storage, self._locate, digest_name, clock, by_stat=by_stat
        )

    @classmethod
    def of(cls, mirror: Mirror) -> Self:
        """Return the file sync of a mirror."""
        return cls(
            mirror.index,
            mirror.storage,
            mirror.settings.files,
            mirror.settings.pages.digest_name,
            mirror.clock,
            mirror.events,
        )

    async def are_as_recorded(self, record: ProjectRecord) -> bool:
        """Whether every file of a project has the size and time that were recorded."""
        return await self._checker.are_as_recorded(record)

    async def compare(
        self, record: ProjectRecord, detail: ProjectDetail, *, accepts_changes: bool
    ) -> dict[str, FileRecord]:
        """Return the recorded files whose content a page still offers, by their names.

        :raises ChangedFile: if it offers other content for one, unless changes are accepted.
        """
        return await self._comparison.compare(record, detail, accepts_changes=accepts_changes)

    async def sync(
        self,
        detail: ProjectDetail,
        recorded: Mapping[str, FileRecord],
        trash: Mapping[StorageKey, TrashEntry],
        workers: int,
        attempts: int = 0,
        *,
        is_forced: bool = False,
    ) -> FilesOutcome:
        """Restore or download the files of ``detail`` that are not stored.

        After ``MAX_FAILED_TRIES`` the rest is left to the next run, which begins elsewhere:
        ``attempts`` is how many runs have failed so far.
        ``recorded`` are the files whose recorded content is the offered one, by their names.
        At most ``workers`` downloads run concurrently, the largest files first. Nothing that is
        correct is read or downloaded again; a wrong file stays until its replacement is complete.
        If ``is_forced``, no record is believed without a look at the file.

        :raises StorageError: if the storage fails.
        """
        known = {found.file.path: found for found in recorded.values()}
        outcome = FilesOutcome()
        trusted = () if is_forced else tuple(_recorded_objects(recorded.values()))
        stored: dict[str, FileRecord] = {}
        to_download: list[ReleaseFile] = []
        for file, checked in await self._stored(detail, known, trusted):
            found = checked or await self._restore(file, detail.name, trash, outcome)
            if found is None and not file.url:
                continue  # its entry is rejected now, and it was only kept as long as it was there
            if found is None:
                to_download.append(file)
                self._events(FileQueued(layout.release_file(file), file.size))
            else:
                stored[file.path] = found

        to_download.sort(key=lambda file: file.size or 0, reverse=True)
        waiting = _rotated(to_download, attempts)
        stored |= await self._download_all(waiting, detail.name, outcome, workers)
        records = [stored[file.path] for file in detail.files if file.path in stored]
        outcome.records = await self._sync_sidecars(
            records, known, trusted, detail.name, outcome, workers
        )
        return outcome

    async def _stored(
        self,
        detail: ProjectDetail,
        known: Mapping[str, FileRecord],
        trusted: Sequence[StoredObject],
    ) -> list[tuple[ReleaseFile, FileRecord | None]]:
        """Return each file of a page with its record, None if it is not stored or not right."""
        keys = [layout.release_file(file) for file in detail.files]
        stats = await self._checker.stats(keys, trusted)
        return [
            (file, await self._checker.check(file, stat, known.get(file.path)))
            for file, stat in zip(detail.files, stats, strict=True)
        ]

    # ------------------------------------------------------------ files in the trash

    async def _restore(
        self,
        file: ReleaseFile,
        name: ProjectName,
        trash: Mapping[StorageKey, TrashEntry],
        outcome: FilesOutcome,
    ) -> FileRecord | None:
        """Restore a file and its core metadata from the trash; None if it is not there."""
        key = layout.release_file(file)
        entry = trash.get(layout.trash(key))
        if file.digest is None or entry is None or not _may_be(entry, file):
            return None
        keys = [each for each in (key, layout.sidecar(file)) if each is not None]
        trashed = [layout.trash(each) for each in keys if layout.trash(each) in trash]
        await self._storage.recover(trashed)
        (stat,) = await self._storage.stat([key])
        found = await self._checker.check(file, stat, None)
        if found is not None:
            outcome.restored += trashed
            for each in trashed:
                self._events(FileRestored(name, layout.served(each), trash[each].size))
        return found

    async def prefetch(
        self,
        detail: ProjectDetail,
        trash: Mapping[StorageKey, TrashEntry],
        workers: int,
        *,
        until: int,
    ) -> tuple[TrashEntry, ...]:
        """Download files that may not be listed yet into the trash, and keep those already there.

        ``until`` is when they may be listed, in seconds since 1970. A file that cannot be
        downloaded is downloaded then, and so is one without a digest to recognise it by. Returns
        the files' entries, which are kept until then.
        """
        entries: list[TrashEntry] = []
        to_download: list[ReleaseFile] = []
        for file in detail.files:
            entry = trash.get(layout.trash(layout.release_file(file)))
            if file.digest is None:
                continue
            if entry is not None and await self._is_trashed(entry, file.digest, file.sha256):
                entries.append(structs.replace(entry, at=max(entry.at, until)))
            else:
                to_download.append(file)

        async def download(file: ReleaseFile) -> None:
            key = layout.trash(layout.release_file(file))
            expected = expected_content(file, digest_name=self._digest_name)
            self._events(FileQueued(key, file.size))
            try:
                content = await self._receive(file, key, expected)
            except (
                errors.InsufficientSpace,
                errors.UnstorableName,
                errors.UpstreamError,
                errors.IntegrityError,
            ):
                return
            self._events(FileDownloaded(detail.name, key, content.size))
            entries.append(TrashEntry(key, content.size, content.hashes.sha256_value, until))

        await bounded_map(download, to_download, most=workers)
        return tuple(entries)

    async def _is_trashed(self, entry: TrashEntry, digest: Digest, sha256: Digest | None) -> bool:
        """Whether an object in the trash has a digest; it is read unless its sha256 decides."""
        if sha256 is not None:
            return entry.sha256 == sha256.value
        try:
            return digest in await self._storage.digest(entry.key, [digest.algorithm])
        except errors.MissingObject:
            return False

    # ------------------------------------------------------------ downloads

    async def download(
        self, file: ReleaseFile, name: ProjectName, budget: FailureBudget | None = None
    ) -> FileRecord:
        """Download a file, replace what is stored in its place, and return its record.

        :raises UnstorableName: if the storage cannot store a file of that name.
        :raises UpstreamError: if no host has the file.
        :raises IntegrityError: if what the hosts have is not the file.
        """
        key = layout.release_file(file)
        expected = expected_content(file, digest_name=self._digest_name)
        content = await self._receive(file, key, expected, budget)
        self._events(FileDownloaded(name, key, content.size))
        modified = file.modified
        if modified is None:
            (stat,) = await self._storage.stat([key])
            modified = stat.modified if stat is not None else 0
        complete = _with_content(file, content.hashes, content.size)
        return FileRecord(complete, modified, _seconds(self._clock), content.validators)

    async def _download_all(
        self, files: Sequence[ReleaseFile], name: ProjectName, outcome: FilesOutcome, workers: int
    ) -> dict[str, FileRecord]:
        """Download files, and return the records of those that are stored now, by their paths."""
        stored: dict[str, FileRecord] = {}

        async def download(file: ReleaseFile) -> None:
            found = await self._try_download(file, name, outcome)
            if found is not None:
                stored[file.path] = found

        await bounded_map(download, files, most=workers)
        return stored

    async def _try_download(
        self, file: ReleaseFile, name: ProjectName, outcome: FilesOutcome
    ) -> FileRecord | None:
        """Download a file; report or record the failure and return None if that is impossible."""
        if outcome.budget.is_spent:
            outcome.missing.append(errors.SkippedRequest(file.url, _SPENT))
            return None
        try:
            return await self.download(file, name, outcome.budget)
        except errors.UnstorableName as error:
            outcome.rejected.append(Rejection.of(file.filename, str(error)))
        except (errors.UpstreamError, errors.IntegrityError) as error:
            outcome.missing.append(error)
        return None

    async def _receive(
        self,
        file: ReleaseFile,
        key: StorageKey,
        expected: ExpectedContent,
        budget: FailureBudget | None = None,
    ) -> Content:
        """Download from the alternative host, if there is one, and then from the index's.

        A file without a digest comes from a single host: nothing shows that both have the same.

        :raises UpstreamError: if the last host does not have the file.
        :raises IntegrityError: if what the last host has is not the file.
        """
        suffix = layout.SIDECAR_SUFFIX if key.endswith(layout.SIDECAR_SUFFIX) else ""
        url, mirror_url = file.url + suffix, ""
        if self._settings.download_mirror:
            mirror_url = f"{self._settings.download_mirror}/{quote_path(file.path)}{suffix}"
            if self._settings.download_mirror_no_fallback:
                url, mirror_url = mirror_url, ""
        if expected.digest is None:
            url, mirror_url = self._locate(file), ""
        async with self._storage.receive(key, expected) as sink:
            return await self._index.download(url, sink, mirror_url=mirror_url, budget=budget)

    def _locate(self, file: ReleaseFile) -> str:
        """Return the URL that a file without a digest is downloaded from."""
        settings = self._settings
        if settings.download_mirror and settings.download_mirror_no_fallback:
            return f"{settings.download_mirror}/{quote_path(file.path)}"
        return file.url

    # ------------------------------------------------------------ core metadata

    async def _sync_sidecars(
        self,
        records: Sequence[FileRecord],
        known: Mapping[str, FileRecord],
        trusted: Sequence[StoredObject],
        name: ProjectName,
        outcome: FilesOutcome,
        workers: int,
    ) -> list[FileRecord]:
        """Return the records; those advertise core metadata whose core metadata is stored."""
        if not self._settings.core_metadata:
            return [_advertising(found, None) for found in records]
        advertised = [found for found in records if found.file.sidecar is not None]
        keys = [layout.sidecar(found.file) for found in advertised]
        asked = [key for key in keys if key is not None]
        stats = iter(await self._checker.stats(asked, trusted))
        stored: dict[str, Hashes] = {}
        to_download: list[FileRecord] = []
        for found, key in zip(advertised, keys, strict=True):
            stat = next(stats) if key is not None else None
            hashes = await self._checker.check_sidecar(found, stat, known.get(found.file.path))
            if hashes is not None:
                stored[found.file.path] = hashes
            else:
                to_download.append(found)

        async def download(found: FileRecord) -> None:
            if outcome.budget.is_spent:
                outcome.sidecars_missing.append(_SPENT)
                missing.append(_SPENT)
                return
            hashes = await self._try_sidecar(found.file, name, outcome.budget)
            if isinstance(hashes, str | errors.BandersnatchError):
                outcome.sidecars_missing.append(str(hashes))
                missing.append(hashes)
            else:
                stored[found.file.path] = hashes

        missing: list[errors.BandersnatchError | str] = []
        await bounded_map(download, to_download, most=workers)
        self._report_missing(missing, name)
        return [_advertising(found, stored.get(found.file.path)) for found in records]

    async def download_sidecar(self, file: ReleaseFile, name: ProjectName) -> Hashes | str:
        """Download a file's core metadata; return its digests, or the reason if that failed.

        :raises InsufficientSpace: if the storage is full.
        """
        hashes = await self._try_sidecar(file, name)
        return str(hashes) if isinstance(hashes, errors.BandersnatchError) else hashes

    def _report_missing(
        self, missing: Sequence[errors.BandersnatchError | str], name: ProjectName
    ) -> None:
        """Report missing core metadata; that of which a limit was reported already, briefly."""
        limited = [each for each in missing if isinstance(each, _LIMITED)]
        others = [str(each) for each in missing if not isinstance(each, _LIMITED)]
        if others:
            self._events(CoreMetadataMissing(name, len(others), others[0]))
        if limited:
            self._events(CoreMetadataSkipped(name, len(limited), str(limited[0])))

    async def _try_sidecar(
        self, file: ReleaseFile, name: ProjectName, budget: FailureBudget | None = None
    ) -> Hashes | errors.BandersnatchError | str:
        """Download a file's core metadata; return its digests, or the reason if that failed."""
        key, digest = layout.sidecar(file), file.sidecar
        if key is None or digest is None:
            return "its name would be too long"
        if not file.url:
            return "its entry on the page is rejected"
        expected = expected_sidecar(file, digest, file.url + layout.SIDECAR_SUFFIX)
        try:
            content = await self._receive(file, key, expected, budget)
        except (
            errors.IntegrityError,
            errors.ObstructedPath,
            errors.UnstorableName,
            errors.UpstreamError,
        ) as error:
            return error
        self._events(FileDownloaded(name, key, content.size))
        return content.hashes


def _recorded_objects(records: Iterable[FileRecord]) -> Iterator[StoredObject]:
    """Yield what is recorded of files and of their core metadata."""
    for found in records:
        key = layout.release_file(found.file)
        if found.file.size is None or not layout.is_key(key):
            continue
        yield StoredObject(key, found.file.size, found.modified)
        sidecar = layout.sidecar(found.file)
        if sidecar is not None and found.file.sidecar is not None:
            yield StoredObject(sidecar, 0, found.modified)  # its size is not used


def _may_be(entry: TrashEntry, file: ReleaseFile) -> bool:
    """Whether an object in the trash can have the content of a file, by its recorded sha256."""
    return entry.sha256 == "" or file.sha256 is None or entry.sha256 == file.sha256.value


def _rotated(files: list[ReleaseFile], attempts: int) -> list[ReleaseFile]:
    """Return the files, beginning with those that ``attempts`` earlier runs did not come to."""
    start = attempts * MAX_FAILED_TRIES % max(1, len(files))
    return files[start:] + files[:start]


def _with_content(file: ReleaseFile, hashes: Hashes, size: int) -> ReleaseFile:
    """Return the file with the digests and the size of its content."""
    if file.size == size and file.hashes == hashes:
        return file
    return replace(file, hashes=hashes, size=size)


def _advertising(record: FileRecord, sidecar: Hashes | None) -> FileRecord:
    """Return the record with its stored core metadata advertised; a False of the index stays."""
    if not record.file.core_metadata or sidecar == record.file.core_metadata:
        return record
    return structs.replace(record, file=replace(record.file, core_metadata=sidecar))


def _is_same_time(stored: int, expected: int | None) -> bool:
    return expected is not None and abs(stored - expected) < _TIME_TOLERANCE


def _seconds(clock: Clock) -> int:
    return int(clock.now().timestamp())
