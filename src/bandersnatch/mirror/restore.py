"""The command ``restore``: brings deleted projects back from the trash."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from bandersnatch import errors, layout
from bandersnatch.catalogue.records import (
    CatalogueUpdate,
    Cause,
    Deferral,
    Deferred,
    FileRecord,
    Marker,
    ProjectRecord,
    RootMarker,
    Standing,
)
from bandersnatch.concurrency import bounded_map
from bandersnatch.events import (
    CoreMetadataMissing,
    FileRestored,
    ProjectFailed,
    ProjectRestored,
    Warned,
)
from bandersnatch.layout import PageFormat, StorageKey
from bandersnatch.mirror.mark import finish_marks
from bandersnatch.mirror.owners import PathOwners
from bandersnatch.mirror.page import own_page_context, parse_own_page
from bandersnatch.mirror.publish import Publisher, publish_root
from bandersnatch.mirror.recovery import finish_deletions, open_tree
from bandersnatch.mirror.removal import Removals
from bandersnatch.mirror.state import StateFiles
from bandersnatch.model.content import Validators
from bandersnatch.model.digests import unique
from bandersnatch.model.serials import NO_SERIAL, Serial
from bandersnatch.simple.html_page import display_name
from bandersnatch.simple.legacy import parse_legacy, render_legacy

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.digests import Digest, Hashes
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.storage.port import StoredObject


_CONCURRENT_READS = 4

_REPORTED_NAMES = 10
"""Missing files that are reported by name."""


class TrashedPage(NamedTuple):
    """A project's page, and the display name that it shows, "" if it shows none."""

    detail: ProjectDetail
    display: str


class CheckedFile(NamedTuple):
    """A file or sidecar with the right content.

    ``found`` is where it is stored, in the trash or in the served tree; ``key`` is its key in the
    served tree.
    """

    found: StoredObject
    key: StorageKey
    hashes: Hashes


@dataclass(frozen=True, slots=True)
class TrashedFiles:
    """What is left of the files that a page lists.

    ``records`` are the files to publish, in the order of the page. ``trashed`` are the files and
    sidecars that must be moved for that; those that are in the served tree are not among them.
    ``missing`` are file names.
    """

    records: Sequence[FileRecord]
    trashed: Sequence[CheckedFile]
    missing: Sequence[str]
    sidecars_missing: int


class TrashedProject:
    """Validates a project's trashed pages and files; changes nothing."""

    def __init__(
        self,
        mirror: Mirror,
        name: ProjectName,
        began: datetime,
        trashed_at: Mapping[StorageKey, int],
    ) -> None:
        """Assign the collaborators.

        ``trashed_at`` is when each object of the trash was moved there, in seconds since 1970.
        """
        self._storage = mirror.storage
        self._settings = mirror.settings
        self._pages = mirror.settings.pages.layout.all_pages(name)
        self._name = name
        self._now = began
        self._trashed_at = trashed_at

    # ------------------------------------------------------------ pages and documents

    @property
    def page_keys(self) -> list[StorageKey]:
        """The keys that pages have in the trash, the last trashed first, JSON before HTML."""
        keys, json = [layout.trash(key) for key in self._pages], PageFormat.V1_JSON
        times = self._trashed_at
        return sorted(keys, key=lambda key: (-times.get(key, 0), PageFormat.of(key) is not json))

    @property
    def document_keys(self) -> list[StorageKey]:
        """The keys that the legacy document has in the trash."""
        return [layout.trash(key) for key in layout.legacy_documents(self._name)]

    async def page(self) -> TrashedPage:
        """Return the page that was published last.

        :raises UnrestorableProject: if there is none that can be parsed.
        """
        detail, display, why = None, "", f"it has no page in {layout.TRASH}"
        for key in self.page_keys:
            try:
                text = await self._storage.read(key)
                display = display or self._display(text, key)
                if detail is None:
                    detail = await parse_own_page(text, self._name, PageFormat.of(key), self._now)
            except errors.MissingObject:
                continue
            except errors.ResponseError as error:
                why = f"{key} is not a page of it: {error.why}"
            except errors.StorageError as error:
                why = str(error)
        if detail is None:
            raise errors.UnrestorableProject(self._name, why)
        return TrashedPage(detail, display)

    def _display(self, text: bytes, key: StorageKey) -> str:
        if PageFormat.of(key) is PageFormat.V1_JSON:
            return ""
        return display_name(text, self._name)

    async def document(self) -> bytes | None:
        """Return the legacy document, None if there is no valid one."""
        for key in self.document_keys:
            try:
                text = await self._storage.read(key)
                context = own_page_context(self._name, self._now)
                return render_legacy(parse_legacy(text, context))
            except (errors.StorageError, errors.InvalidPage):
                continue
        return None

    # ------------------------------------------------------------ files

    async def files(self, detail: ProjectDetail) -> TrashedFiles:
        """Return what is left of the files of a page, after reading every one.

        :raises UnrestorableProject: if there is nothing left to publish.
        """
        if not self._settings.files.release_files:
            self._check_urls(detail)
            return TrashedFiles((), (), (), 0)
        records: dict[str, FileRecord] = {}
        trashed: dict[str, list[CheckedFile]] = {}
        without_sidecar: list[str] = []

        async def check(file: ReleaseFile) -> None:
            found = await self._check(layout.release_file(file), file.size, file.digest)
            if found is None:
                return
            sidecar = await self._check_sidecar(file)
            if sidecar is None and file.sidecar is not None:
                without_sidecar.append(file.filename)
            complete = replace(
                file,
                hashes=found.hashes,
                size=found.found.size,
                core_metadata=sidecar.hashes if sidecar else file.core_metadata and None,
            )
            verified = int(self._now.timestamp())
            records[file.path] = FileRecord(complete, found.found.modified, verified)
            both = (found, sidecar)
            trashed[file.path] = [each for each in both if each and each.found.key != each.key]

        await bounded_map(check, detail.files, most=_CONCURRENT_READS)
        if not records and (detail.files or detail.rejected):
            raise errors.UnrestorableProject(
                self._name, "none of the files that its page lists is left"
            )
        return TrashedFiles(
            [records[file.path] for file in detail.files if file.path in records],
            [each for file in detail.files for each in trashed.get(file.path, ())],
            [file.filename for file in detail.files if file.path not in records],
            len(without_sidecar) if self._settings.files.core_metadata else 0,
        )

    async def _check_sidecar(self, file: ReleaseFile) -> CheckedFile | None:
        key = layout.sidecar(file)
        if key is None or file.sidecar is None or not self._settings.files.core_metadata:
            return None
        return await self._check(key, None, file.sidecar)

    async def _check(
        self, key: StorageKey, size: int | None, digest: Digest | None
    ) -> CheckedFile | None:
        """Find the object with this content in the served tree or in the trash."""
        if digest is None:
            return None
        algorithms = unique("sha256", self._settings.pages.digest_name, digest.algorithm)
        for place in (key, layout.trash(key)):
            (found,) = await self._storage.stat([place])
            if found is not None and size in {None, found.size}:
                hashes = await self._storage.digest(place, algorithms)
                if digest in hashes:
                    return CheckedFile(found, key, hashes)
        return None

    def _check_urls(self, detail: ProjectDetail) -> None:
        """Refuse a page that cannot be published without the files themselves.

        :raises UnrestorableProject: if it links to files of this mirror, or lacks digests.
        """
        own_site = own_page_context(self._name, self._now).url.partition("/simple/")[0]
        kind = self._settings.pages.digest_name
        if any(file.url.startswith(f"{own_site}/") for file in detail.files):
            why = "its page links to files of this mirror, and release-files is off"
            raise errors.UnrestorableProject(self._name, why)
        if kind != "sha256" and any(file.hashes.get(kind) is None for file in detail.files):
            raise errors.UnrestorableProject(self._name, f"its page has no {kind} digests")


async def restore(mirror: Mirror, names: Collection[ProjectName]) -> None:
    """Restore projects, each with the files that are left of it, and the root page.

    Neither ``status`` nor ``todo`` is changed; the next run of ``mirror`` applies the filters.
    """
    began = mirror.clock.now()
    await open_tree(mirror, StateFiles(mirror.storage), began)
    trashed_at = {each.key: each.at for each in await mirror.catalogue.trash()}
    for name in dict.fromkeys(names):
        try:
            await _Restoration(mirror, name, began, trashed_at).run()
        except errors.RefusedCommand as error:
            mirror.events(ProjectFailed(name, error, will_retry=False))
        else:
            mirror.events(ProjectRestored(name))
    await publish_root(mirror)
    await finish_marks(mirror)


class _Restoration:
    """Restores one project; an interrupted restoration is undone by the next command."""

    def __init__(
        self,
        mirror: Mirror,
        name: ProjectName,
        began: datetime,
        trashed_at: Mapping[StorageKey, int],
    ) -> None:
        self._mirror = mirror
        self._name = name
        self._began = began
        self._publisher = Publisher.of(mirror)
        self._project = TrashedProject(mirror, name, began, trashed_at)

    async def run(self) -> None:
        """Restore the files, then the pages, and record the project.

        :raises UnrestorableProject: if that is impossible; then nothing is changed.
        """
        earlier = await self._require_unpublished()
        page = await self._project.page()
        files = await self._project.files(page.detail)
        document = None
        if self._mirror.settings.pages.legacy_json:
            document = await self._project.document()
        await self._require_paths(files)
        self._report_gaps(page, files)
        record = self._record(page, files, earlier)
        await self._begin(record, earlier)
        await self._recover(files)
        display = record.display or self._name
        await self._publisher.publish(
            record.detail, display=display, legacy=document, remove_unused=True
        )
        await self._finish(record, files, documents=document is not None)

    async def _require_unpublished(self) -> ProjectRecord | None:
        """Return the record that an excluded project has.

        :raises UnrestorableProject: if the project is published.
        """
        record = await self._mirror.catalogue.project(self._name)
        removals = Removals.of(self._mirror, self._began)
        is_recorded = record is not None and record.is_published
        if is_recorded or await removals.find_pages(self._name):
            raise errors.UnrestorableProject(self._name, "it is in the mirror already")
        return record

    async def _require_paths(self, files: TrashedFiles) -> None:
        """Check that no other project has got a path of the files meanwhile.

        :raises UnrestorableProject: if one has, with other content.
        """
        owners = PathOwners.of(self._mirror)
        released = [found.file for found in files.records]
        for each in await owners.claim(self._name, released, None):
            why = f"{each.entry} has lost its place: {each.reason}"
            raise errors.UnrestorableProject(self._name, why)

    def _report_gaps(self, page: TrashedPage, files: TrashedFiles) -> None:
        """Report what cannot be restored of the project."""
        events, rejected = self._mirror.events, page.detail.rejected
        if rejected:
            first = rejected[0]
            text = f"{self._name} is restored without {len(rejected)} rejected file(s)"
            events(Warned(f"{text}; {first.entry}: {first.reason}"))
        if files.missing:
            more = len(files.missing) - _REPORTED_NAMES
            text = ", ".join(files.missing[:_REPORTED_NAMES])
            text += f" and {more} more" if more > 0 else ""
            events(Warned(f"{self._name} is restored without missing files: {text}"))
        if files.sidecars_missing:
            why = "it is missing"
            events(CoreMetadataMissing(self._name, files.sidecars_missing, why))

    def _record(
        self, page: TrashedPage, files: TrashedFiles, earlier: ProjectRecord | None
    ) -> ProjectRecord:
        """Return the record of the restored project.

        It has no fingerprint, so that the next run applies the filters to the index's page.
        """
        is_selected = self._mirror.filters.may_select(self._name)
        detail = replace(page.detail, rejected=())
        if self._mirror.settings.files.release_files:
            detail = replace(detail, files=tuple(found.file for found in files.records))
        return ProjectRecord(
            detail=detail,
            display=page.display or (earlier.display if earlier else ""),
            reflects=detail.serial or NO_SERIAL,
            fingerprint="",
            validators=Validators(),
            files=tuple(files.records),
            standing=Standing.SELECTED if is_selected else Standing.RETAINED,
        )

    async def _begin(self, record: ProjectRecord, earlier: ProjectRecord | None) -> None:
        """Record the project, with a deferral that deletes it again if this is interrupted."""
        undo = self._defer(
            Deferral.DELETED if earlier is None else Deferral.EXCLUDED_UNTIL_CHANGE,
            earlier.reflects if earlier else NO_SERIAL,
            "its restoration was interrupted, so it is deleted again",
        )
        markers: dict[Marker, str] = {Marker.ROOT: RootMarker.STALE}
        await self._mirror.catalogue.commit(
            CatalogueUpdate([record], deferred=[undo], markers=markers)
        )

    def _defer(self, deferral: Deferral, target_serial: Serial, reason: str) -> Deferred:
        now = int(self._began.timestamp())
        return Deferred(
            self._name,
            deferral,
            target_serial,
            None,
            since=now,
            tried=now,
            attempts=0,
            cause=Cause.NONE,
            reason=reason,
        )

    async def _recover(self, files: TrashedFiles) -> None:
        """Move the files from the trash to the served tree.

        :raises UnrestorableProject: if a link is in the way; then everything is undone.
        """
        mirror, trashed = self._mirror, files.trashed
        await mirror.storage.recover([each.found.key for each in trashed])
        stats = await mirror.storage.stat([each.key for each in trashed])
        left = [each.key for each, stat in zip(trashed, stats, strict=True) if stat is None]
        if left:
            await finish_deletions(mirror, self._began)
            why = f"{left[0]} cannot be moved back; is there a link in its path?"
            raise errors.UnrestorableProject(self._name, why)
        for each in trashed:
            mirror.events(FileRestored(self._name, each.key, each.found.size))

    async def _finish(self, record: ProjectRecord, files: TrashedFiles, *, documents: bool) -> None:
        """Purge the pages that are left in the trash, and record that the project is complete."""
        mirror = self._mirror
        left = self._project.page_keys + (self._project.document_keys if documents else [])
        await mirror.storage.purge(left)
        await mirror.storage.flush()
        is_selected = record.standing is Standing.SELECTED
        sync_again = self._defer(Deferral.INCOMPLETE, NO_SERIAL, "")
        await mirror.catalogue.commit(
            CatalogueUpdate(
                [record],
                deferred=[sync_again] if is_selected else [],
                restored=[*(each.found.key for each in files.trashed), *left],
                markers={Marker.ROOT: RootMarker.STALE},
            )
        )
