"""What is damaged is fetched or rendered again; what is right is never touched."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import Cause, Deferral, Deferred
from bandersnatch.errors import (
    InsufficientSpace,
    IntegrityError,
    InvalidPage,
    MissingResource,
    ObstructedPath,
    UnavailableHost,
    UnstorableName,
    UpstreamError,
)
from bandersnatch.mirror.page import own_page_context
from bandersnatch.model.content import Validators
from bandersnatch.model.serials import NO_SERIAL
from bandersnatch.simple.legacy import parse_legacy, render_legacy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bandersnatch.catalogue.records import FileRecord, ProjectRecord
    from bandersnatch.clock import Clock
    from bandersnatch.index.port import PackageIndex
    from bandersnatch.mirror.files import FileSync
    from bandersnatch.mirror.publish import Publisher
    from bandersnatch.mirror.verify.examine import Damage, Findings
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName

_SILENT = 5
"""Projects in a row without an answer, each after all retries, that end the asking."""

_OF_ONE_FILE = (IntegrityError, ObstructedPath, InsufficientSpace, UnstorableName, UpstreamError)

_NOT_OFFERED = "the index does not have this file with this content any more"


@dataclass(slots=True)
class Repairs:
    """What became of the damage: the record as it is now, what was mended, and what was not."""

    record: ProjectRecord
    done: list[Damage] = field(default_factory=list)
    left: list[tuple[Damage, str]] = field(default_factory=list)

    def take(self, damage: Damage, reason: str | None) -> None:
        """Take note of a try; ``reason`` says why it failed."""
        if reason is None:
            self.done.append(damage)
        else:
            self.left.append((damage, reason))


@dataclass(frozen=True, slots=True)
class _Offer:
    """The files that the index has now, by path, and why others cannot be had."""

    files: Mapping[str, ReleaseFile]
    why_not: str

    def having(self, file: ReleaseFile) -> ReleaseFile | None:
        """Return a file as it was recorded, with the URL where just these bytes are."""
        there = self.files.get(file.path)
        if there is None or there.sha256 != file.sha256:
            return None
        return replace(file, url=there.url)


class Repairer:
    """Brings projects back to what their records say.

    The index is asked for a page only to learn where the files are; nothing else that the page
    says is followed here. So no answer of the index takes anything away.
    """

    def __init__(
        self, index: PackageIndex, files: FileSync, publisher: Publisher, clock: Clock
    ) -> None:
        self._index = index
        self._files = files
        self._publisher = publisher
        self._clock = clock
        self._silent = 0

    async def repair(self, findings: Findings) -> Repairs:
        """Repair what can be repaired.

        :raises StorageError: if the storage fails.
        """
        repairs = Repairs(findings.record)
        if findings.files or findings.sidecars:
            await self._repair_files(findings, repairs)
        if findings.documents:
            await self._repair_documents(findings, repairs)
        if findings.pages:
            await self._repair_pages(findings, repairs)
        return repairs

    # ------------------------------------------------------------ files

    async def _repair_files(self, findings: Findings, repairs: Repairs) -> None:
        record = findings.record
        offer = await self._offer(record.name)
        files = []
        for found in record.files:
            path = found.file.path
            file = offer.having(found.file)
            if path in findings.files:
                mended, reason = await self._file(found, file, record.name)
                repairs.take(findings.files[path], reason if file else offer.why_not)
                files.append(mended)
            else:
                files.append(found)
            if path in findings.sidecars:
                reason = await self._sidecar(file, record.name) if file else ""
                repairs.take(findings.sidecars[path], reason if file else offer.why_not)
        repairs.record = replace(record, files=tuple(files))

    async def _offer(self, name: ProjectName) -> _Offer:
        if self._silent >= _SILENT:
            return _Offer({}, f"the index did not answer {self._silent} times, and is left alone")
        try:
            fetched = await self._index.fetch_detail(name, Validators())
        except UpstreamError as error:
            self._silent = self._silent + 1 if isinstance(error, UnavailableHost) else 0
            return _Offer({}, str(error))
        self._silent = 0
        assert fetched is not None, "an unconditional request is answered with a page"
        return _Offer({file.path: file for file in fetched.detail.files}, _NOT_OFFERED)

    async def _file(
        self, found: FileRecord, file: ReleaseFile | None, name: ProjectName
    ) -> tuple[FileRecord, str | None]:
        """Return the file's record as it is now, and why it could not be had.

        What could not be had is not known by size and time any more, so that a run reads it.
        """
        unread = replace(found, modified=0, verified=None)
        if file is None:
            return unread, None
        try:
            return await self._files.fetch(file, name), None
        except _OF_ONE_FILE as error:
            return unread, str(error)

    async def _sidecar(self, file: ReleaseFile, name: ProjectName) -> str | None:
        try:
            return await self._files.fetch_sidecar(file, name)
        except InsufficientSpace as error:
            return str(error)

    # ------------------------------------------------------------ pages and documents

    async def _repair_pages(self, findings: Findings, repairs: Repairs) -> None:
        record, reason = repairs.record, None
        try:
            await self._publisher.publish(
                record.detail,
                display=record.display or record.name,
                legacy=None,
                remove_unused=False,
            )
        except ObstructedPath as error:
            reason = str(error)
        for damage in findings.pages:
            repairs.take(damage, reason)

    async def _repair_documents(self, findings: Findings, repairs: Repairs) -> None:
        reason = await self._document(findings.record)
        for damage in findings.documents:
            repairs.take(damage, reason)

    async def _document(self, record: ProjectRecord) -> str | None:
        """Fetch the legacy document and store it; return why that failed, None if it did not."""
        try:
            text = await self._index.fetch_legacy(record.name)
            if text is None:
                return "the index has no such document"
            document = parse_legacy(text, own_page_context(record.name, self._clock.now()))
            await self._publisher.publish_document(record.name, render_legacy(document))
        except (InvalidPage, MissingResource, ObstructedPath, UpstreamError) as error:
            return str(error)
        return None


def left_to_do(record: ProjectRecord, left: list[tuple[Damage, str]], now: int) -> Deferred:
    """Return the note that lets the next run of ``mirror`` look at a project."""
    damage, reason = left[0]
    return Deferred(
        name=record.name,
        deferral=Deferral.INCOMPLETE,
        target_serial=NO_SERIAL,
        first_serial=None,
        since=now,
        tried=now,
        attempts=0,
        cause=Cause.DAMAGED,
        reason=f"{damage.key}: {damage.what}; {reason}",
        display=record.display,
    )
