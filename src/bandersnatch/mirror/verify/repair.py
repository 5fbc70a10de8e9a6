"""Repairs damage: downloads files and renders pages again, as they were recorded."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch import errors
from bandersnatch.catalogue.records import Cause, Deferral, Deferred, FileRecord, ProjectRecord
from bandersnatch.mirror.page import own_page_context
from bandersnatch.model.content import Validators
from bandersnatch.model.serials import NO_SERIAL
from bandersnatch.simple.legacy import parse_legacy, render_legacy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bandersnatch.clock import Clock
    from bandersnatch.index.port import PackageIndex
    from bandersnatch.mirror.files import FileSync
    from bandersnatch.mirror.owners import PathOwners
    from bandersnatch.mirror.publish import Publisher
    from bandersnatch.mirror.verify.findings import Damage, Findings
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName

_UNANSWERED_LIMIT = 5
"""Consecutive projects without an answer, each after all retries, after which asking ends."""

_FILE_ERRORS = (
    errors.IntegrityError,
    errors.ObstructedPath,
    errors.InsufficientSpace,
    errors.UnstorableName,
    errors.UpstreamError,
)
"""What can fail for one file and succeed for the next."""

_NOT_OFFERED = "the index no longer has this file with this content"


@dataclass(slots=True)
class Repairs:
    """The result of repairing one project.

    ``record`` is the record after the repairs. ``failed`` has the damage that remains, with the
    reason. ``unproven`` are pages that the record must not be rendered to, because a file that it
    names is not right, the page may be newer, or it has URLs of the index, which no record has; the
    project has to be synced.
    """

    record: ProjectRecord
    repaired: list[Damage] = field(default_factory=list)
    failed: list[tuple[Damage, str]] = field(default_factory=list)
    unproven: list[Damage] = field(default_factory=list)

    def add(self, damage: Damage, reason: str | None) -> None:
        """Add a repair that succeeded, or failed for a ``reason``."""
        if reason is None:
            self.repaired.append(damage)
        else:
            self.failed.append((damage, reason))


@dataclass(frozen=True, slots=True)
class _OfferedFiles:
    """The files that the index has now, by path, and why it does not offer any other."""

    files: Mapping[str, ReleaseFile]
    reason: str

    def find(self, file: ReleaseFile) -> ReleaseFile | None:
        """Return the recorded file with a URL that has the same content, None without one."""
        offered = self.files.get(file.path)
        if offered is None or file.hashes.agrees_with(offered.hashes) is False:
            return None  # without a common digest the recorded one decides after the download
        return replace(file, url=offered.url)


class Repairer:
    """Restores projects to what their records say.

    The index's page is used only to find the files' URLs, so no answer of the index can remove
    anything from the mirror.
    """

    def __init__(
        self,
        index: PackageIndex,
        files: FileSync,
        owners: PathOwners,
        publisher: Publisher,
        clock: Clock,
        *,
        trusts_records: bool = True,
    ) -> None:
        """Assign the collaborators.

        ``trusts_records`` is False if tree and catalogue are of different moments.
        """
        self._index = index
        self._files = files
        self._owners = owners
        self._publisher = publisher
        self._clock = clock
        self._trusts_records = trusts_records
        self._unanswered = 0

    async def repair(self, record: ProjectRecord, findings: Findings) -> Repairs:
        """Repair as much of the damage as possible.

        :raises StorageError: if the storage fails.
        """
        repairs = Repairs(record)
        if findings.files or findings.sidecars:
            await self._repair_files(findings, repairs)
        has_files = not (repairs.failed or findings.is_unfinished)
        if findings.documents:
            await self._repair_documents(findings, repairs)
        has_pages = self._trusts_records and not (
            findings.is_newer or self._publisher.links_to_index
        )
        if findings.pages and has_files and has_pages:
            await self._repair_pages(findings, repairs)
        else:
            repairs.unproven += findings.pages
        return repairs

    # ------------------------------------------------------------ files

    async def _repair_files(self, findings: Findings, repairs: Repairs) -> None:
        record = repairs.record
        offered = await self._fetch_offer(record.name)
        files = []
        for found in record.files:
            path = found.file.path
            file = offered.find(found.file)
            if path in findings.files:
                repaired, reason = await self._download(found, file, record)
                repairs.add(findings.files[path], reason if file else offered.reason)
                files.append(repaired)
            else:
                files.append(found)
            if path in findings.sidecars:
                reason = await self._download_sidecar(file, record.name) if file else ""
                repairs.add(findings.sidecars[path], reason if file else offered.reason)
        repairs.record = structs.replace(record, files=tuple(files))

    async def _fetch_offer(self, name: ProjectName) -> _OfferedFiles:
        if self._unanswered >= _UNANSWERED_LIMIT:
            reason = f"the index did not answer {self._unanswered} times, and is not asked again"
            return _OfferedFiles({}, reason)
        try:
            fetched = await self._index.fetch_detail(name, Validators())
        except errors.UpstreamError as error:
            is_unanswered = isinstance(error, errors.UnavailableHost)
            self._unanswered = self._unanswered + 1 if is_unanswered else 0
            return _OfferedFiles({}, str(error))
        self._unanswered = 0
        assert fetched is not None, "an unconditional request is answered with a page"
        return _OfferedFiles({file.path: file for file in fetched.detail.files}, _NOT_OFFERED)

    async def _download(
        self, found: FileRecord, file: ReleaseFile | None, record: ProjectRecord
    ) -> tuple[FileRecord, str | None]:
        """Return the file's record after the download, and the reason if that failed.

        The record of a file that could not be downloaded no longer vouches for its size and time,
        so that the next run reads the file.
        """
        unverified = structs.replace(found, modified=0, verified=None)
        if file is None:
            return unverified, None
        try:
            if keeper := await self._owners.keeper(record, found.file):
                return unverified, f"{keeper.path} belongs to {keeper.project}, with other content"
            return await self._files.download(file, record.name), None
        except _FILE_ERRORS as error:
            return unverified, str(error)

    async def _download_sidecar(self, file: ReleaseFile, name: ProjectName) -> str | None:
        try:
            hashes = await self._files.download_sidecar(file, name)
        except errors.InsufficientSpace as error:
            return str(error)
        return hashes if isinstance(hashes, str) else None

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
        except errors.ObstructedPath as error:
            reason = str(error)
        for damage in findings.pages:
            repairs.add(damage, reason)

    async def _repair_documents(self, findings: Findings, repairs: Repairs) -> None:
        reason = await self._publish_document(repairs.record)
        for damage in findings.documents:
            repairs.add(damage, reason)

    async def _publish_document(self, record: ProjectRecord) -> str | None:
        """Fetch and publish the legacy document; return the reason if that failed, else None."""
        try:
            text = await self._index.fetch_legacy(record.name)
            if text is None:
                return "the index has no such document"
            document = parse_legacy(text, own_page_context(record.name, self._clock.now()))
            await self._publisher.publish_document(record.name, render_legacy(document))
        except (
            errors.InvalidPage,
            errors.MissingResource,
            errors.ObstructedPath,
            errors.UpstreamError,
        ) as error:
            return str(error)
        return None


def defer_damaged(record: ProjectRecord, failed: list[tuple[Damage, str]], now: int) -> Deferred:
    """Return the deferral that makes the next run of ``mirror`` sync a damaged project."""
    damage, reason = failed[0]
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
