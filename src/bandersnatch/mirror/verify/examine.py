"""What is found wrong with one project."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bandersnatch import layout
from bandersnatch.errors import InvalidPage, MissingObject, StorageError, UpstreamError
from bandersnatch.layout import PageFormat
from bandersnatch.mirror.page import own_page_context, parse_own_page
from bandersnatch.model.digests import Digest
from bandersnatch.model.serials import NO_SERIAL
from bandersnatch.simple.legacy import parse_legacy
from bandersnatch.storage.port import FileReadResult

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bandersnatch.catalogue.records import FileRecord, ProjectRecord
    from bandersnatch.clock import Clock
    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.fingerprint import PolicyFingerprint
    from bandersnatch.mirror.publish import Publisher
    from bandersnatch.mirror.verify.budget import Budget
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.storage.port import MirrorStorage, Storage, StoredObject


@dataclass(frozen=True, slots=True)
class Damage:
    """Something in the tree that is not as it should be; ``what`` goes on from its key."""

    key: StorageKey
    what: str


@dataclass(slots=True)
class Findings:
    """What looking at one project came to.

    ``files`` and ``sidecars`` are by the path of the release file, and so is ``right``: the
    modification time of each file whose content was read and found right. ``at`` is when the
    look began, in seconds since 1970, ``size`` the bytes that were read. A look that is not
    ``complete`` was ended by a limit.
    """

    record: ProjectRecord
    at: int
    pages: list[Damage] = field(default_factory=list)
    documents: list[Damage] = field(default_factory=list)
    files: dict[str, Damage] = field(default_factory=dict)
    sidecars: dict[str, Damage] = field(default_factory=dict)
    right: dict[str, int] = field(default_factory=dict)
    size: int = 0
    complete: bool = True

    @property
    def damage(self) -> Iterator[Damage]:
        """Everything that is wrong, pages first."""
        yield from self.pages
        yield from self.documents
        yield from self.files.values()
        yield from self.sidecars.values()


_DIFFERS = "it does not say what was published"


class PageCheck:
    """Compares pages with what would be published.

    A page that this program made under the options of now has just those bytes. One that was
    taken over, or made under other options, was written otherwise and has to say the same.
    """

    def __init__(
        self, storage: Storage, publisher: Publisher, terms: PolicyFingerprint, clock: Clock
    ) -> None:
        self._storage = storage
        self._publisher = publisher
        self._terms = terms
        self._clock = clock

    async def damage(self, record: ProjectRecord) -> list[Damage]:
        """Return what is wrong with a project's pages."""
        damage = []
        rendered = self._publisher.render(record.detail, record.display or record.name)
        is_ours = record.display != "" and record.fingerprint == self._terms(record.name)
        for key, content in rendered.items():
            try:
                stored = await self._storage.read(key)
            except MissingObject:
                damage.append(Damage(key, "it is missing"))
            except StorageError as error:
                damage.append(Damage(key, error.why))
            else:
                if stored != content and (
                    is_ours or (what := await self._wrong(stored, key, record))
                ):
                    damage.append(Damage(key, _DIFFERS if is_ours else what))
        return damage

    async def _wrong(self, stored: bytes, key: StorageKey, record: ProjectRecord) -> str:
        try:
            detail = await parse_own_page(
                stored, record.name, PageFormat.of(key), self._clock.now()
            )
        except UpstreamError as error:
            return f"it cannot be read: {error}"
        if detail.rejected:
            return f"it cannot be read: {detail.rejected[0].reason}"
        return "" if _says_the_same(detail, record.detail) else _DIFFERS


def _says_the_same(stored: ProjectDetail, recorded: ProjectDetail) -> bool:
    """Whether a page names the same files, in so far as its form can tell."""
    if stored.serial != recorded.serial or len(stored.files) != len(recorded.files):
        return False
    theirs = {file.filename: file for file in recorded.files}
    return all(_is_same(file, theirs.get(file.filename)) for file in stored.files)


def _is_same(stored: ReleaseFile, recorded: ReleaseFile | None) -> bool:
    return (
        recorded is not None
        and stored.path == recorded.path
        and stored.sha256 == recorded.sha256
        and stored.requires_python == recorded.requires_python
        and (stored.yanked is None) == (recorded.yanked is None)
    )


_FILES_AT_ONCE = 64
_BYTES_AT_ONCE = 16 * 1024 * 1024
"""Of what is read in one go: little enough that a budget is kept, and that a stop is quick."""


@dataclass(frozen=True, slots=True)
class _ToRead:
    """A file to read through with its core metadata; ``stat`` is None if only that is read."""

    found: FileRecord
    stat: StoredObject | None
    sidecar: StorageKey | None


class Examiner:
    """Compares what lies in the tree with records; changes nothing."""

    def __init__(
        self,
        storage: MirrorStorage,
        pages: PageCheck,
        clock: Clock,
        budget: Budget,
        *,
        documents: bool,
        newer: bool,
    ) -> None:
        """Take what is needed.

        ``documents`` says that projects have legacy documents, ``newer`` that these are to be
        as new as the pages.
        """
        self._storage = storage
        self._pages = pages
        self._clock = clock
        self._budget = budget
        self._documents = documents
        self._newer = newer

    async def examine(
        self, record: ProjectRecord, is_read: Callable[[FileRecord], bool]
    ) -> Findings:
        """Look at everything of a project, and read the files that ``is_read`` asks for."""
        findings = Findings(record, int(self._clock.now().timestamp()))
        if all(layout.is_key(found.file.path) for found in record.files):
            # Else a row was edited, and the page knows better what the project has.
            findings.pages = await self._pages.damage(record)
        if self._documents:
            findings.documents = await self._document_damage(record)
        await self._examine_files(findings, is_read)
        return findings

    # ------------------------------------------------------------ files

    async def _examine_files(
        self, findings: Findings, is_read: Callable[[FileRecord], bool]
    ) -> None:
        files = findings.record.files
        there = await self._found(files)
        to_read: list[_ToRead] = []
        unread: list[FileRecord] = []
        for found, stat in zip(files, there, strict=True):
            what = _wrong_at_a_glance(found, stat)
            if what:
                key = layout.release_file(found.file)
                findings.files[found.file.path] = Damage(key, what)
            if what or is_read(found):
                to_read.append(_ToRead(found, None if what else stat, _sidecar(found)))
            else:
                unread.append(found)
        await self._look_for_sidecars(findings, unread)
        for some in _in_pieces(to_read):
            if self._budget.is_spent:
                findings.complete = False
                return
            await self._read(findings, some)

    async def _found(self, files: Sequence[FileRecord]) -> Sequence[StoredObject | None]:
        """Return what is known of each file; nothing is where nothing can be."""
        keys = [layout.release_file(each.file) for each in files]
        there = iter(await self._storage.stat([key for key in keys if layout.is_key(key)]))
        return [next(there) if layout.is_key(key) else None for key in keys]

    async def _look_for_sidecars(self, findings: Findings, unread: Iterable[FileRecord]) -> None:
        """Find the core metadata that is missing; it is read where its file is."""
        sides = [(f.file.path, key) for f in unread if (key := _sidecar(f)) is not None]
        there = await self._storage.stat([key for _, key in sides])
        for (path, key), stat in zip(sides, there, strict=True):
            if stat is None:
                findings.sidecars[path] = Damage(key, "it is missing")

    async def _read(self, findings: Findings, some: Sequence[_ToRead]) -> None:
        """Read files, each with its core metadata, and judge what is in them."""
        files = [each for each in some if each.stat is not None]
        sides = [each for each in some if each.sidecar is not None]
        keys = [each.stat.key for each in files if each.stat is not None]
        keys += [each.sidecar for each in sides if each.sidecar is not None]
        readings = await self._readings(keys)
        findings.size += sum(each.size for each in readings)
        for each, key, reading in zip(
            sides, keys[len(files) :], readings[len(files) :], strict=True
        ):
            file = each.found.file
            if what := _wrong_content(reading, file.sidecar):
                findings.sidecars[file.path] = Damage(key, what)
        for each, key, reading in zip(files, keys, readings, strict=False):
            file = each.found.file
            if what := _wrong_content(reading, file.sha256):
                findings.files[file.path] = Damage(key, what)
            elif each.stat is not None and file.path not in findings.sidecars:
                findings.right[file.path] = each.stat.modified

    async def _readings(self, keys: Sequence[StorageKey]) -> Sequence[FileReadResult]:
        if not self._budget.is_paced:
            readings = await self._storage.read_files(keys)
            await self._budget.take(sum(each.size for each in readings))
            return readings
        return [await self._read_slowly(key) for key in keys]

    async def _read_slowly(self, key: StorageKey) -> FileReadResult:
        hasher, size = hashlib.sha256(), 0
        try:
            async for piece in self._storage.stream(key):
                hasher.update(piece)
                size += len(piece)
                await self._budget.take(len(piece))
        except MissingObject:
            return FileReadResult(size, None, "it is missing")
        except StorageError as error:
            return FileReadResult(size, None, error.why)
        return FileReadResult(size, Digest("sha256", hasher.hexdigest()))

    # ------------------------------------------------------------ documents

    async def _document_damage(self, record: ProjectRecord) -> list[Damage]:
        """Look at the legacy document and its copy: each is read, and both are the same."""
        damage: list[Damage] = []
        texts: dict[StorageKey, bytes] = {}
        for key in layout.legacy_documents(record.name):
            try:
                text = await self._storage.read(key)
                document = parse_legacy(text, own_page_context(record.name, self._clock.now()))
            except (InvalidPage, StorageError) as error:
                damage.append(Damage(key, _problem(error)))
                continue
            texts[key] = text
            told = document.serial or NO_SERIAL
            if self._newer and told < (record.detail.serial or NO_SERIAL):
                damage.append(Damage(key, "it is older than the page"))
        if len(set(texts.values())) > 1 and not damage:
            key, copy = texts
            damage.append(Damage(key, f"it is another than its copy {copy}"))
        return damage


def _problem(error: InvalidPage | StorageError) -> str:
    if isinstance(error, MissingObject):
        return "it is missing"
    return error.why if isinstance(error, StorageError) else f"it cannot be read: {error}"


def _wrong_at_a_glance(found: FileRecord, stat: StoredObject | None) -> str:
    if stat is None:
        return "it is missing"
    if found.file.size is not None and found.file.size != stat.size:
        return f"it has {stat.size} bytes and should have {found.file.size}"
    return ""


def _wrong_content(reading: FileReadResult, digest: Digest | None) -> str:
    if reading.sha256 is None:
        return reading.problem
    return "" if reading.sha256 == digest else f"its content has sha256 {reading.sha256.value}"


def _sidecar(found: FileRecord) -> StorageKey | None:
    return layout.sidecar(found.file) if found.file.sidecar is not None else None


def _in_pieces(to_read: Iterable[_ToRead]) -> Iterator[list[_ToRead]]:
    """Yield what to read in one go, one after the other."""
    piece: list[_ToRead] = []
    size = 0
    for each in to_read:
        piece.append(each)
        size += each.stat.size if each.stat is not None else 0
        if len(piece) >= _FILES_AT_ONCE or size >= _BYTES_AT_ONCE:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece
