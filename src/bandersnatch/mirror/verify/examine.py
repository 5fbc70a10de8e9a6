"""Examines one project: compares its pages, documents and files with its record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from bandersnatch import layout
from bandersnatch.errors import InvalidPage, MissingObject, StorageError, UpstreamError
from bandersnatch.layout import PageFormat, StorageKey
from bandersnatch.mirror.fingerprint import PolicyFingerprint
from bandersnatch.mirror.page import own_page_context, parse_own_page, read_own_page
from bandersnatch.mirror.publish import Publisher
from bandersnatch.mirror.verify.findings import Damage, Findings
from bandersnatch.model.digests import Digest, new_hasher
from bandersnatch.model.serials import NO_SERIAL
from bandersnatch.simple.legacy import parse_legacy
from bandersnatch.storage.port import FileReadResult, MirrorStorage, Storage, StoredObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bandersnatch.catalogue.records import FileRecord, ProjectRecord
    from bandersnatch.clock import Clock
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.verify.budget import Budget
    from bandersnatch.mirror.verify.findings import FileSelection
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.project import ProjectDetail

_MISSING = "it is missing"
_DIFFERS = "it is not what was published"

_BATCH_FILES = 64
_BATCH_BYTES = 16 * 1024 * 1024
"""Files are read in batches that are small enough to stop soon after a budget is spent."""


class PageCheck:
    """Compares stored pages with what would be published now.

    A page that this program published under the current options has exactly the same bytes. A
    page that was adopted, or published under other options, or that has URLs of the index, is
    parsed and must name the same files.
    """

    def __init__(
        self, storage: Storage, publisher: Publisher, fingerprint: PolicyFingerprint, clock: Clock
    ) -> None:
        self._storage = storage
        self._publisher = publisher
        self._fingerprint = fingerprint
        self._clock = clock

    @classmethod
    def of(cls, mirror: Mirror) -> Self:
        """Return the check of the pages of a mirror."""
        fingerprint = PolicyFingerprint.of(mirror)
        return cls(mirror.storage, Publisher.of(mirror), fingerprint, mirror.clock)

    async def damage(self, record: ProjectRecord) -> list[Damage]:
        """Return the damage to a project's pages."""
        damage = []
        rendered = self._publisher.render(record.detail, record.display or record.name)
        is_own = record.display != "" and record.fingerprint == self._fingerprint(record.name)
        is_own &= not self._publisher.links_to_index
        for key, content in rendered.items():
            try:
                stored = await self._storage.read(key)
            except MissingObject:
                damage.append(Damage(key, _MISSING))
            except StorageError as error:
                damage.append(Damage(key, error.why))
            else:
                if stored == content:
                    continue
                if what := _DIFFERS if is_own else await self._difference(stored, key, record):
                    damage.append(Damage(key, what))
        return damage

    async def is_newer(self, record: ProjectRecord) -> bool:
        """Whether the page in the tree is newer than the record, by its serial."""
        layout = self._publisher.layout
        detail = await read_own_page(self._storage, layout, record.name, self._clock.now())
        serial = None if detail is None else detail.serial
        return serial is not None and serial > (record.detail.serial or NO_SERIAL)

    async def _difference(self, stored: bytes, key: StorageKey, record: ProjectRecord) -> str:
        """Return what is wrong with a page that was not published with these bytes, or ""."""
        try:
            detail = await parse_own_page(
                stored, record.name, PageFormat.of(key), self._clock.now()
            )
        except UpstreamError as error:
            return f"it cannot be read: {error}"
        recorded = {each.entry for each in record.detail.rejected}
        unknown = [each for each in detail.rejected if each.entry not in recorded]
        if unknown:
            return f"it cannot be read: {unknown[0].reason}"
        return "" if _has_same_files(detail, record.detail) else _DIFFERS


def _has_same_files(stored: ProjectDetail, recorded: ProjectDetail) -> bool:
    """Whether a page has the recorded serial and files, as far as every format can show."""
    if stored.serial != recorded.serial or len(stored.files) != len(recorded.files):
        return False
    by_name = {file.filename: file for file in recorded.files}
    return all(_is_same_file(file, by_name.get(file.filename)) for file in stored.files)


def _is_same_file(stored: ReleaseFile, recorded: ReleaseFile | None) -> bool:
    return (
        recorded is not None
        and stored.path == recorded.path
        and (recorded.hashes.agrees_with(stored.hashes) or stored.hashes == recorded.hashes)
        and stored.requires_python == recorded.requires_python
        and (stored.yanked is None) == (recorded.yanked is None)
    )


@dataclass(frozen=True, slots=True)
class _FileToRead:
    """A release file and its core metadata; ``stat`` is None if only the latter is to be read."""

    found: FileRecord
    stat: StoredObject | None
    sidecar: StorageKey | None


class Examiner:
    """Compares stored objects with records, and changes nothing."""

    def __init__(
        self,
        storage: MirrorStorage,
        pages: PageCheck,
        clock: Clock,
        budget: Budget,
        *,
        documents: bool,
        current_documents: bool,
    ) -> None:
        """Assign the collaborators.

        ``documents`` says that projects have legacy documents, ``current_documents`` that these
        must not be older than the pages.
        """
        self._storage = storage
        self._pages = pages
        self._clock = clock
        self._budget = budget
        self._documents = documents
        self._current_documents = current_documents

    async def examine(self, record: ProjectRecord, selection: FileSelection) -> Findings:
        """Examine a project; read the content of the selected files.

        A file of another size than recorded is damaged without being read.
        """
        findings = Findings(int(self._clock.now().timestamp()))
        findings.pages = await self._pages.damage(record)
        findings.is_newer = bool(findings.pages) and await self._pages.is_newer(record)
        if self._documents:
            findings.documents = await self._document_damage(record)
        await self._examine_files(findings, record.files, selection)
        return findings

    @classmethod
    def of(cls, mirror: Mirror, budget: Budget, *, current_documents: bool) -> Self:
        """Return the examiner of a mirror."""
        return cls(
            mirror.storage,
            PageCheck.of(mirror),
            mirror.clock,
            budget,
            documents=mirror.settings.pages.legacy_json,
            current_documents=current_documents,
        )

    # ------------------------------------------------------------ files

    async def _examine_files(
        self, findings: Findings, files: Sequence[FileRecord], selection: FileSelection
    ) -> None:
        to_read: list[_FileToRead] = []
        unread: list[FileRecord] = []
        for found, stat in zip(files, await self._stat(files), strict=True):
            what = _wrong_size(found, stat)
            if what:
                key = layout.release_file(found.file)
                findings.files[found.file.path] = Damage(key, what)
            if what or selection.has(found):
                to_read.append(_FileToRead(found, None if what else stat, _sidecar_key(found)))
            else:
                unread.append(found)
        await self._examine_unread_sidecars(findings, unread)
        for batch in _batches(to_read):
            if self._budget.is_spent:
                findings.is_unfinished = True
                return
            await self._read(findings, batch)

    async def _stat(self, files: Sequence[FileRecord]) -> Sequence[StoredObject | None]:
        """Return what is stored of each file."""
        return await self._storage.stat([layout.release_file(each.file) for each in files])

    async def _examine_unread_sidecars(
        self, findings: Findings, unread: Iterable[FileRecord]
    ) -> None:
        """Find missing core metadata; its content is read only together with its file's."""
        sidecars = [(f.file.path, key) for f in unread if (key := _sidecar_key(f)) is not None]
        stats = await self._storage.stat([key for _, key in sidecars])
        for (path, key), stat in zip(sidecars, stats, strict=True):
            if stat is None:
                findings.sidecars[path] = Damage(key, _MISSING)

    async def _read(self, findings: Findings, batch: Sequence[_FileToRead]) -> None:
        """Read files, each with its core metadata, and compare their digests."""
        files = [(each.found.file, each.stat) for each in batch if each.stat is not None]
        sidecars = [(each.found.file, each.sidecar) for each in batch if each.sidecar is not None]
        to_read = [(stat.key, file.digest) for file, stat in files]
        results = await self._read_digests(to_read + [(key, f.sidecar) for f, key in sidecars])
        findings.size += sum(each.size for each in results)
        for (file, key), result in zip(sidecars, results[len(files) :], strict=True):
            if what := _wrong_content(result, file.sidecar):
                findings.sidecars[file.path] = Damage(key, what)
        for (file, stat), result in zip(files, results, strict=False):
            if what := _wrong_content(result, file.digest):
                findings.files[file.path] = Damage(stat.key, what)
            elif file.path not in findings.sidecars:
                findings.intact[file.path] = stat.modified

    async def _read_digests(
        self, objects: Sequence[tuple[StorageKey, Digest | None]]
    ) -> Sequence[FileReadResult]:
        """Read objects; the digest of each is of the algorithm of the recorded one."""
        algorithms = ["sha256" if each is None else each.algorithm for _, each in objects]
        if self._budget.is_paced or set(algorithms) != {"sha256"}:
            pairs = zip(objects, algorithms, strict=True)
            return [await self._read_in_pieces(key, name) for (key, _), name in pairs]
        results = await self._storage.read_files([key for key, _ in objects])
        await self._budget.take(sum(each.size for each in results))
        return results

    async def _read_in_pieces(self, key: StorageKey, algorithm: str) -> FileReadResult:
        hasher, size = new_hasher(algorithm), 0
        try:
            async for piece in self._storage.stream(key):
                hasher.update(piece)
                size += len(piece)
                await self._budget.take(len(piece))
        except MissingObject:
            return FileReadResult(size, None, _MISSING)
        except StorageError as error:
            return FileReadResult(size, None, error.why)
        return FileReadResult(size, Digest(algorithm, hasher.hexdigest()))

    # ------------------------------------------------------------ legacy documents

    async def _document_damage(self, record: ProjectRecord) -> list[Damage]:
        """Return the damage to the legacy document and its copy, which must be identical."""
        damage: list[Damage] = []
        texts: dict[StorageKey, bytes] = {}
        for key in layout.legacy_documents(record.name):
            try:
                text = await self._storage.read(key)
                document = parse_legacy(text, own_page_context(record.name, self._clock.now()))
            except (InvalidPage, StorageError) as error:
                damage.append(Damage(key, _document_problem(error)))
                continue
            texts[key] = text
            serial = document.serial or NO_SERIAL
            if self._current_documents and serial < (record.detail.serial or NO_SERIAL):
                damage.append(Damage(key, "it is older than the page"))
        if len(set(texts.values())) > 1 and not damage:
            key, copy = texts
            damage.append(Damage(key, f"it differs from its copy {copy}"))
        return damage


def _document_problem(error: InvalidPage | StorageError) -> str:
    if isinstance(error, MissingObject):
        return _MISSING
    return error.why if isinstance(error, StorageError) else f"it cannot be read: {error}"


def _wrong_size(found: FileRecord, stat: StoredObject | None) -> str:
    """Return how a stored file differs from its record in size, or ""."""
    if stat is None:
        return _MISSING
    if found.file.size is not None and found.file.size != stat.size:
        return f"it has {stat.size} bytes and should have {found.file.size}"
    return ""


def _wrong_content(result: FileReadResult, digest: Digest | None) -> str:
    """Return how the content that was read differs from what was recorded, or "".

    Nothing is known of the content of a file that was adopted from a page without digests.
    """
    read = result.digest
    if read is None:
        return result.problem
    return "" if digest in {None, read} else f"its content has {read.algorithm} {read.value}"


def _sidecar_key(found: FileRecord) -> StorageKey | None:
    return layout.sidecar(found.file) if found.file.sidecar is not None else None


def _batches(to_read: Iterable[_FileToRead]) -> Iterator[list[_FileToRead]]:
    """Yield the files in batches that are read together."""
    batch: list[_FileToRead] = []
    size = 0
    for each in to_read:
        batch.append(each)
        size += each.stat.size if each.stat is not None else 0
        if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
