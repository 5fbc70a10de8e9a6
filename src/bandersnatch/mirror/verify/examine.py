"""One project looked at: whether its files, pages and documents are what its record says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch import layout
from bandersnatch.errors import InvalidPage, NotStored, StorageError
from bandersnatch.mirror.stored import stored_context
from bandersnatch.mirror.verify.damage import Damage, Findings
from bandersnatch.model.digests import Digest
from bandersnatch.model.serials import NO_SERIAL
from bandersnatch.records import Reading
from bandersnatch.simple.legacy import parse_legacy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.verify.budget import Budget
    from bandersnatch.mirror.verify.pages import PageCheck
    from bandersnatch.ports import Clock, MirrorStorage
    from bandersnatch.records import FileRecord, ProjectRecord, StoredObject

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

    async def _readings(self, keys: Sequence[StorageKey]) -> Sequence[Reading]:
        if not self._budget.is_paced:
            readings = await self._storage.read_through(keys)
            await self._budget.take(sum(each.size for each in readings))
            return readings
        return [await self._read_slowly(key) for key in keys]

    async def _read_slowly(self, key: StorageKey) -> Reading:
        hasher, size = hashlib.sha256(), 0
        try:
            async for piece in self._storage.pieces(key):
                hasher.update(piece)
                size += len(piece)
                await self._budget.take(len(piece))
        except NotStored:
            return Reading(size, None, "it is missing")
        except StorageError as error:
            return Reading(size, None, error.why)
        return Reading(size, Digest("sha256", hasher.hexdigest()))

    # ------------------------------------------------------------ documents

    async def _document_damage(self, record: ProjectRecord) -> list[Damage]:
        """Look at the legacy document and its copy: each is read, and both are the same."""
        damage: list[Damage] = []
        texts: dict[StorageKey, bytes] = {}
        for key in layout.legacy_documents(record.name):
            try:
                text = await self._storage.read(key)
                document = parse_legacy(text, stored_context(record.name, self._clock.now()))
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
    if isinstance(error, NotStored):
        return "it is missing"
    return error.why if isinstance(error, StorageError) else f"it cannot be read: {error}"


def _wrong_at_a_glance(found: FileRecord, stat: StoredObject | None) -> str:
    if stat is None:
        return "it is missing"
    if found.file.size is not None and found.file.size != stat.size:
        return f"it has {stat.size} bytes and should have {found.file.size}"
    return ""


def _wrong_content(reading: Reading, digest: Digest | None) -> str:
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
