"""Whether the files that are there are right, from as little as can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from bandersnatch import layout
from bandersnatch.catalogue.records import FileRecord, TrashEntry
from bandersnatch.concurrency import bounded_map
from bandersnatch.config.schema import CompareMethod
from bandersnatch.errors import (
    BandersnatchError,
    InsufficientSpace,
    IntegrityError,
    ObstructedPath,
    UnstorableName,
    UpstreamError,
)
from bandersnatch.events import (
    FileDownloaded,
    FilePlanned,
    FileRestored,
    FilesRejected,
    SidecarsMissing,
)
from bandersnatch.model.content import ExpectedContent, expected_content, expected_sidecar
from bandersnatch.model.urls import quote_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bandersnatch.catalogue.records import ProjectRecord
    from bandersnatch.clock import Clock
    from bandersnatch.config.schema import FileSettings
    from bandersnatch.events import EventSink
    from bandersnatch.index.port import PackageIndex
    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.content import Content
    from bandersnatch.model.digests import Hashes
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.storage.port import MirrorStorage, StoredObject


SAME_TIME = 1_000_000
"""Nanoseconds; two times that differ by less are the same, written with other roundings."""


class FileChecker:
    """Judges files by what was recorded, by size and time, or by their content."""

    def __init__(
        self, storage: MirrorStorage, compare: CompareMethod, digest_name: str, clock: Clock
    ) -> None:
        self._storage = storage
        self._by_stat = compare is CompareMethod.STAT
        self._digest_name = digest_name
        self._clock = clock

    async def are_there(self, record: ProjectRecord) -> bool:
        """Whether every file that was recorded lies there as it was recorded."""
        keys = [layout.release_file(found.file) for found in record.files]
        if not all(map(layout.is_key, keys)):
            return False  # somebody edited the row
        there = await self._storage.stat(keys)
        return all(
            stat is not None and (stat.size, stat.modified) == (found.file.size, found.modified)
            for stat, found in zip(there, record.files, strict=True)
        )

    async def judged(
        self, file: ReleaseFile, found: StoredObject | None, known: FileRecord | None
    ) -> FileRecord | None:
        """Return the record of a file that is there and right, else None.

        One that was taken over with its page, unread, is believed as long as it has the time that
        the index tells: nobody has touched it since it was downloaded.
        """
        if found is None or (file.size is not None and found.size != file.size):
            return None
        if known is not None and known.file.sha256 == file.sha256:
            unchanged = (found.size, found.modified) == (known.file.size, known.modified)
            as_uploaded = _is_same_time(found.modified, file.modified)
            if unchanged and (self._by_stat or known.verified is not None or as_uploaded):
                complete = completed(file, known.file.hashes, found.size)
                return await self._with_digest(FileRecord(complete, found.modified, known.verified))
        if self._by_stat and file.size is not None and _is_same_time(found.modified, file.modified):
            return await self._with_digest(FileRecord(file, found.modified, None))
        algorithms = list(dict.fromkeys(("sha256", self._digest_name)))
        hashes = await self._storage.digest(found.key, algorithms)
        if hashes.get("sha256") != file.sha256:
            return None
        complete = completed(file, hashes, found.size)
        return FileRecord(complete, found.modified, self._now())

    async def _with_digest(self, record: FileRecord) -> FileRecord:
        """Add the digest that pages show, if it is not known yet."""
        if record.file.hashes.get(self._digest_name) is not None:
            return record
        key = layout.release_file(record.file)
        hashes = await self._storage.digest(key, ["sha256", self._digest_name])
        return replace(record, file=replace(record.file, hashes=hashes))

    async def has_sidecar(
        self, found: FileRecord, stat: StoredObject | None, known: FileRecord | None
    ) -> bool:
        """Whether a file's core metadata is there and right."""
        if stat is None:
            return False
        digest = found.file.sidecar
        same_time = _is_same_time(stat.modified, found.modified)
        if known is not None and known.file.sidecar == digest and same_time:
            return True
        if self._by_stat and same_time:
            return True
        return (await self._storage.digest(stat.key, ["sha256"])).get("sha256") == digest

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def completed(file: ReleaseFile, hashes: Hashes, size: int) -> ReleaseFile:
    """Return the file with the digests and the size that its content was found to have."""
    if file.size == size and file.hashes == hashes:
        return file
    return replace(file, hashes=hashes, size=size)


def _is_same_time(found: int, told: int | None) -> bool:
    return told is not None and abs(found - told) < SAME_TIME


@dataclass(slots=True)
class FilesOutcome:
    """What became of a project's files.

    ``records`` are the files that are there and right, in the order of the page. ``missing``
    has the reason for each that could not be had, ``restored`` the keys that came back.
    ``sidecars_missing`` has the reason for each file whose core metadata could not be had.
    """

    records: list[FileRecord] = field(default_factory=list)
    missing: list[BandersnatchError] = field(default_factory=list)
    restored: list[StorageKey] = field(default_factory=list)
    sidecars_missing: list[str] = field(default_factory=list)


class FileSync:
    """Sees to it that the files a page names are there and right."""

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
        self._judge = FileChecker(storage, settings.compare_method, digest_name, clock)

    @classmethod
    def of(cls, mirror: Mirror) -> Self:
        """Return what downloads and checks the release files of a mirror."""
        return cls(
            mirror.index,
            mirror.storage,
            mirror.settings.files,
            mirror.settings.pages.digest_name,
            mirror.clock,
            mirror.events,
        )

    async def sync(
        self,
        detail: ProjectDetail,
        record: ProjectRecord | None,
        lying: Mapping[StorageKey, TrashEntry],
        most: int,
    ) -> FilesOutcome:
        """Have every file of ``detail``, at most ``most`` downloads at once.

        ``lying`` are the files in ``removed/``. Nothing that is right is read or fetched again;
        what is wrong stays until what replaces it is complete.

        :raises StorageError: if the storage fails.
        """
        known = {found.file.path: found for found in record.files} if record else {}
        outcome = FilesOutcome()
        there = await self._storage.stat([layout.release_file(file) for file in detail.files])
        had: dict[str, FileRecord] = {}
        wanted: list[ReleaseFile] = []
        for file, found in zip(detail.files, there, strict=True):
            judged = await self._judge.judged(file, found, known.get(file.path))
            judged = judged or await self._restored(file, detail.name, lying, outcome)
            if judged is None:
                wanted.append(file)
                self._events(FilePlanned(layout.release_file(file), file.size))
            else:
                had[file.path] = judged

        async def fetch(file: ReleaseFile) -> None:
            fetched = await self._fetched(file, detail.name, outcome)
            if fetched is not None:
                had[file.path] = fetched

        largest_first = sorted(wanted, key=lambda file: file.size or 0, reverse=True)
        await bounded_map(fetch, largest_first, most=most)
        present = [had[file.path] for file in detail.files if file.path in had]
        outcome.records = await self._with_sidecars(present, known, detail.name, outcome, most)
        return outcome

    async def are_there(self, record: ProjectRecord) -> bool:
        """Whether every file that was recorded lies there as it was recorded."""
        return await self._judge.are_there(record)

    async def fetch_early(
        self,
        detail: ProjectDetail,
        lying: Mapping[StorageKey, TrashEntry],
        most: int,
        *,
        until: int,
    ) -> tuple[TrashEntry, ...]:
        """Download files that are not to be listed yet to where removed files wait.

        What cannot be had now is had when it is listed. Returns what waits there ``until`` then.
        """
        waiting: list[TrashEntry] = []

        async def fetch(file: ReleaseFile) -> None:
            key = layout.trash(layout.release_file(file))
            expected = expected_content(file, digest_name=self._digest_name)
            self._events(FilePlanned(key, file.size))
            try:
                content = await self._download(file, key, expected)
            except (InsufficientSpace, UnstorableName, UpstreamError, IntegrityError):
                return
            self._events(FileDownloaded(detail.name, key, content.size))
            waiting.append(TrashEntry(key, content.size, file.sha256.value, until))

        for file in detail.files:
            lies = lying.get(layout.trash(layout.release_file(file)))
            if lies is not None and lies.sha256 == file.sha256.value:
                waiting.append(replace(lies, at=max(lies.at, until)))
        here = {each.key for each in waiting}
        wanted = [f for f in detail.files if layout.trash(layout.release_file(f)) not in here]
        await bounded_map(fetch, wanted, most=most)
        return tuple(waiting)

    # ------------------------------------------------------------ what comes back

    async def _restored(
        self,
        file: ReleaseFile,
        name: ProjectName,
        lying: Mapping[StorageKey, TrashEntry],
        outcome: FilesOutcome,
    ) -> FileRecord | None:
        """Bring a file back that left the served tree not long ago."""
        key = layout.release_file(file)
        lies = lying.get(layout.trash(key))
        if lies is None or lies.sha256 not in {"", file.sha256.value}:
            return None
        keys = [each for each in (key, layout.sidecar(file)) if each is not None]
        trashed = [layout.trash(each) for each in keys if layout.trash(each) in lying]
        await self._storage.recover(trashed)
        (found,) = await self._storage.stat([key])
        judged = await self._judge.judged(file, found, None)
        if judged is not None:
            outcome.restored += trashed
            for each in trashed:
                self._events(FileRestored(name, layout.served(each), lying[each].size))
        return judged

    # ------------------------------------------------------------ what is fetched

    async def _fetched(
        self, file: ReleaseFile, name: ProjectName, outcome: FilesOutcome
    ) -> FileRecord | None:
        try:
            return await self.fetch(file, name)
        except UnstorableName as error:
            self._events(FilesRejected(name, 1, file.filename, str(error)))
        except (UpstreamError, IntegrityError) as error:
            outcome.missing.append(error)
        return None

    async def fetch(self, file: ReleaseFile, name: ProjectName) -> FileRecord:
        """Download a file to its place, whatever is there, and return its record.

        :raises UnstorableName: if the storage cannot hold a file of that name.
        :raises UpstreamError: or IntegrityError, if the right bytes cannot be had.
        """
        key = layout.release_file(file)
        content = await self._download(
            file, key, expected_content(file, digest_name=self._digest_name)
        )
        self._events(FileDownloaded(name, key, content.size))
        return await self._placed(completed(file, content.hashes, content.size), key)

    async def _placed(self, file: ReleaseFile, key: StorageKey) -> FileRecord:
        modified = file.modified
        if modified is None:
            (found,) = await self._storage.stat([key])
            modified = found.modified if found is not None else 0
        return FileRecord(file, modified, self._now())

    async def _download(
        self, file: ReleaseFile, key: StorageKey, expected: ExpectedContent
    ) -> Content:
        """Try the alternative origin, if there is one, and then the index's own URL.

        :raises UpstreamError: or IntegrityError, the last one's, if none has the right bytes.
        """
        suffix = layout.SIDECAR_SUFFIX if key.endswith(layout.SIDECAR_SUFFIX) else ""
        urls = [file.url + suffix]
        if self._settings.download_mirror:
            urls.insert(0, f"{self._settings.download_mirror}/{quote_path(file.path)}{suffix}")
            if self._settings.download_mirror_no_fallback:
                urls.pop()
        async with self._storage.receive(key, expected) as sink:
            for url in urls[:-1]:
                try:
                    return await self._index.download(url, sink)
                except (UpstreamError, IntegrityError):
                    continue
            return await self._index.download(urls[-1], sink)

    # ------------------------------------------------------------ core metadata

    async def _with_sidecars(
        self,
        present: Sequence[FileRecord],
        known: Mapping[str, FileRecord],
        name: ProjectName,
        outcome: FilesOutcome,
        most: int,
    ) -> list[FileRecord]:
        """Return the records, each advertising its core metadata only if that is there."""
        if not self._settings.core_metadata:
            return [_advertising(found, sidecar=False) for found in present]
        advertised = [found for found in present if found.file.sidecar is not None]
        keys = [layout.sidecar(found.file) for found in advertised]
        there = iter(await self._storage.stat([key for key in keys if key is not None]))
        stored: set[str] = set()
        wanted: list[FileRecord] = []
        for found, key in zip(advertised, keys, strict=True):
            stat = next(there) if key is not None else None
            if await self._judge.has_sidecar(found, stat, known.get(found.file.path)):
                stored.add(found.file.path)
            else:
                wanted.append(found)

        async def fetch(found: FileRecord) -> None:
            reason = await self.fetch_sidecar(found.file, name)
            if reason is None:
                stored.add(found.file.path)
            else:
                outcome.sidecars_missing.append(reason)

        await bounded_map(fetch, wanted, most=most)
        if outcome.sidecars_missing:
            first = outcome.sidecars_missing[0]
            self._events(SidecarsMissing(name, len(outcome.sidecars_missing), first))
        return [_advertising(found, sidecar=found.file.path in stored) for found in present]

    async def fetch_sidecar(self, file: ReleaseFile, name: ProjectName) -> str | None:
        """Download a file's core metadata; return why that failed, None if it did not."""
        key, digest = layout.sidecar(file), file.sidecar
        if key is None or digest is None:
            return "its name would be too long"
        expected = expected_sidecar(file, digest, file.url + layout.SIDECAR_SUFFIX)
        try:
            content = await self._download(file, key, expected)
        except (IntegrityError, ObstructedPath, UnstorableName, UpstreamError) as error:
            return str(error)
        self._events(FileDownloaded(name, key, content.size))
        return None

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def _advertising(record: FileRecord, *, sidecar: bool) -> FileRecord:
    """Return the record with its core metadata advertised or not; a plain "no" is passed on."""
    if sidecar or not record.file.core_metadata:
        return record
    return replace(record, file=replace(record.file, core_metadata=None))
