"""Adoption: records the pages of an existing tree in the catalogue, without a request."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self

from bandersnatch import layout
from bandersnatch.catalogue.records import (
    CatalogueUpdate,
    FileRecord,
    Marker,
    ProjectRecord,
    Standing,
    TrashEntry,
)
from bandersnatch.errors import FilterFailure, InvalidValue, StorageError, UpstreamError
from bandersnatch.events import EventSink, StepStarted, Warned
from bandersnatch.filters.interface import Needs
from bandersnatch.layout import ALL_FORMATS, SIMPLE, STATUS, TRASH, PageFormat
from bandersnatch.mirror.fingerprint import PolicyFingerprint
from bandersnatch.mirror.owners import PathOwners
from bandersnatch.mirror.page import parse_own_page
from bandersnatch.model.content import Validators
from bandersnatch.model.names import ProjectName, project_name
from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from datetime import datetime

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.config.schema import Settings
    from bandersnatch.filters.chain import FilterChain
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.storage.port import MirrorStorage

_BATCH = 500
_REPORT_EVERY = 20_000
"""Projects between two progress reports."""


class Adoption:
    """Reads the pages of a tree, and records the projects whose files exist.

    A page is skipped if it cannot be read, leads out of the mirror, or names a file that is
    missing, or no file with a valid entry: its project then has no record, and the next run repairs
    it. Files with invalid entries beside valid ones are recorded as rejected. A project whose
    page lacks the sha256 of a file is synced by the next run, which computes it. So is one whose
    pages ``check``, if it is given, finds not to be as they would be published: they are damaged,
    and the record may be. Nothing in the tree is changed.
    """

    def __init__(
        self,
        storage: MirrorStorage,
        catalogue: MirrorCatalogue,
        events: EventSink,
        settings: Settings,
        filters: FilterChain,
        *,
        now: datetime,
        check: Callable[[ProjectRecord], Awaitable[ProjectRecord]] | None = None,
    ) -> None:
        self._storage = storage
        self._catalogue = catalogue
        self._events = events
        self._pages = settings.pages
        self._has_files = settings.files.release_files
        self._filters = filters
        self._fingerprint = PolicyFingerprint(settings, filters)
        self._now = now
        self._check = check
        self._owners = PathOwners(storage, catalogue)
        self._adopted = self._deselected = self._skipped = 0
        self._first_skipped = ""
        self._has_status: bool | None = None

    @classmethod
    def of(
        cls,
        mirror: Mirror,
        now: datetime,
        check: Callable[[ProjectRecord], Awaitable[ProjectRecord]] | None = None,
    ) -> Self:
        """Return the adoption of a mirror's tree at ``now``."""
        return cls(
            mirror.storage,
            mirror.catalogue,
            mirror.events,
            mirror.settings,
            mirror.filters,
            now=now,
            check=check,
        )

    async def run(self) -> None:
        """Adopt the tree, unless that was done; an interrupted adoption continues where it was."""
        if await self._catalogue.marker(Marker.ADOPTED):
            return
        some: dict[ProjectName, frozenset[PageFormat]] = {}
        async for name, forms in self.projects():
            some[name] = forms
            if len(some) >= _BATCH:
                await self._adopt(some)
                some.clear()
        await self._adopt(some)
        await self._finish()

    async def _adopt(self, some: Mapping[ProjectName, frozenset[PageFormat]]) -> None:
        """Record the projects that have no record yet."""
        known = await self._catalogue.summaries(some)
        batch, before = CatalogueUpdate(), self._adopted
        for name, forms in some.items():
            if name in known:
                continue
            if not (self._adopted or self._skipped):
                self._events(StepStarted("adopting the projects of the existing tree"))
            record = await self._owned_record(name, forms)
            if isinstance(record, str):
                self._skipped += 1
                self._first_skipped = self._first_skipped or f"{name}: {record}"
                continue
            batch.records.append(record)
            self._adopted += 1
            self._deselected += record.standing is Standing.RETAINED
        await self._catalogue.commit(batch)
        if self._adopted // _REPORT_EVERY != before // _REPORT_EVERY:
            self._events(StepStarted(f"adopted {self._adopted} projects so far"))

    async def _finish(self) -> None:
        """Record the trash and that the whole tree was read, and report the numbers."""
        await self.finish()
        if self._adopted:
            self._events(Warned(f"adopted {self._adopted} projects of the existing tree"))
        if self._skipped:
            text = (
                f"{self._skipped} projects could not be adopted, the first "
                f"{self._first_skipped}; mirror syncs them, and downloads what is not right"
            )
            self._events(Warned(text))
        if self._deselected:
            text = f"the project filters do not select {self._deselected} of them"
            self._events(Warned(f"{text}; these stay as they are"))

    async def finish(self) -> None:
        """Record what is in the trash and has no row, and that the whole tree was read."""
        now, batch = int(self._now.timestamp()), CatalogueUpdate()
        known = {each.key for each in await self._catalogue.trash()}
        async for found in self._storage.scan(TRASH):
            if found.key not in known:
                batch.trashed.append(TrashEntry(found.key, found.size, "", now))
        batch.markers[Marker.ADOPTED] = str(now)
        await self._catalogue.commit(batch)

    # ------------------------------------------------------------ one project

    async def read(self, name: ProjectName) -> ProjectRecord | None:
        """Return the record of a project by its page; None if that is not possible."""
        forms = await self.formats(name)
        record = await self._owned_record(name, forms) if forms else ""
        return None if isinstance(record, str) else record

    async def formats(self, name: ProjectName) -> frozenset[PageFormat]:
        """Return the formats of the pages that a project has."""
        keys = [self._pages.layout.page(name, form) for form in ALL_FORMATS]
        stats = await self._storage.stat(keys)
        return frozenset(
            form for form, stat in zip(ALL_FORMATS, stats, strict=True) if stat is not None
        )

    async def projects(self) -> AsyncIterator[tuple[ProjectName, frozenset[PageFormat]]]:
        """Yield the projects that have a page, with the formats of their pages."""
        owner, forms = "", set[PageFormat]()
        async for found in self._storage.scan(SIMPLE):
            current = self._pages.layout.page_owner(found.key)
            if current is None:
                continue
            if current != owner:
                if name := _normalised(owner):
                    yield name, frozenset(forms)
                owner, forms = current, set()
            forms.add(PageFormat.of(found.key))
        if name := _normalised(owner):
            yield name, frozenset(forms)

    async def _record(self, name: ProjectName, forms: frozenset[PageFormat]) -> ProjectRecord | str:
        """Return a project's record, or why it is skipped."""
        form = PageFormat.V1_JSON if PageFormat.V1_JSON in forms else min(forms, key=str)
        files: list[FileRecord] | str = []
        try:
            text = await self._storage.read(self._pages.layout.page(name, form))
            detail = await parse_own_page(text, name, form, self._now)
            if self._has_files:
                files = await self._files(detail)
        except (StorageError, UpstreamError) as error:
            return str(error)
        if detail.rejected and not detail.files:
            return detail.rejected[0].reason
        if isinstance(files, str):
            return files
        if self._has_files:
            detail = replace(detail, files=tuple(found.file for found in files))
        # The index may have valid entries of the files that this page has invalid ones of.
        is_current = not detail.rejected and self._is_ours(detail, forms)
        record = ProjectRecord(
            detail=detail,
            display="",
            reflects=(await self._proven(detail.serial)) or NO_SERIAL,
            fingerprint=self._fingerprint(name) if is_current else "",
            validators=Validators(),
            files=tuple(files),
            standing=Standing.SELECTED if self._filters.may_select(name) else Standing.RETAINED,
        )
        return await self._check(record) if is_current and self._check is not None else record

    async def _proven(self, serial: Serial | None) -> Serial | None:
        """Return the serial of a page; None in a tree without ``status``, where nothing proves it.

        The index of such a tree gives its pages serials and nothing to compare them with.
        """
        if self._has_status is None:
            (found,) = await self._storage.stat([STATUS])
            self._has_status = found is not None
        return serial if self._has_status else None

    async def _owned_record(
        self, name: ProjectName, forms: frozenset[PageFormat]
    ) -> ProjectRecord | str:
        """Return a project's record, or why it is skipped.

        A path cannot belong to two different files. The project with the best right to it is
        adopted first: the longer name is listed first.
        """
        record = await self._record(name, forms)
        if isinstance(record, str):
            return record
        files = [found.file for found in record.files]
        for each in await self._owners.claim(record.name, files, None):
            return f"{each.entry}: {each.reason}"
        return record

    def _is_ours(self, detail: ProjectDetail, forms: frozenset[PageFormat]) -> bool:
        """Whether a page may have been rendered under the present options and filters.

        It was not if they would drop something from it, or if it lacks the sha256 of a file. It is
        unknown if some filter lists more files as time passes. Filters that need the legacy
        document are not applied.
        """
        filters = self._filters
        if any(file.sha256 is None for file in detail.files):
            return False
        if forms != frozenset(self._pages.formats) or filters.changes_with_time:
            return False
        if Needs.DOCUMENT in filters.needs:
            return True
        try:
            page = filters.apply(detail).page
        except FilterFailure:
            return False
        return page is not None and len(page.files) == len(detail.files)

    async def _files(self, detail: ProjectDetail) -> list[FileRecord] | str:
        """Return the files' records by size and time, or why one of them is not right."""
        keys = [layout.release_file(file) for file in detail.files]
        records = []
        for file, found in zip(detail.files, await self._storage.stat(keys), strict=True):
            if found is None or file.size not in {None, found.size}:
                return f"{file.path} is missing, or has another size"
            sized = replace(file, size=found.size)
            records.append(FileRecord(sized, found.modified, verified=None))
        sides = [key for f in detail.files if f.sidecar and (key := layout.sidecar(f)) is not None]
        if not all(await self._storage.stat(sides)):
            return "core metadata that its page names is missing"
        return records


def _normalised(owner: str) -> ProjectName | None:
    """Return the project of a directory; other spellings, of releases before 4.0, are ignored."""
    try:
        name = project_name(owner)
    except InvalidValue:
        return None
    return name if name == owner else None
