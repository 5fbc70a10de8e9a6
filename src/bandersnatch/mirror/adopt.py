"""An existing tree taken into the catalogue: read, not fetched."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

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
from bandersnatch.events import StepStarted, Warned
from bandersnatch.filters.interface import Needs
from bandersnatch.layout import SIMPLE, TRASH, PageFormat
from bandersnatch.mirror.fingerprint import PolicyFingerprint
from bandersnatch.mirror.page import parse_own_page
from bandersnatch.model.content import Validators
from bandersnatch.model.names import project_name
from bandersnatch.model.serials import NO_SERIAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime

    from bandersnatch.catalogue.port import Catalogue
    from bandersnatch.config.schema import Settings
    from bandersnatch.events import EventSink
    from bandersnatch.filters.chain import FilterChain
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.storage.port import MirrorStorage

_BATCH = 500
_TELL_EVERY = 20_000


class Adoption:
    """Reads the pages of a tree and records what they name, if it is there.

    A page that cannot be read, or leads out of the mirror, or names a file that is not there, or
    without a sha256, is passed over: its project then counts as not had, and the run repairs it.
    Nothing is changed or deleted.
    """

    def __init__(
        self,
        storage: MirrorStorage,
        catalogue: Catalogue,
        events: EventSink,
        settings: Settings,
        filters: FilterChain,
        *,
        now: datetime,
    ) -> None:
        self._storage = storage
        self._catalogue = catalogue
        self._events = events
        self._pages = settings.pages
        self._files_are_here = settings.files.release_files
        self._filters = filters
        self._fingerprint = PolicyFingerprint(settings, filters)
        self._now = now
        self._count = self._unwanted = self._passed_over = 0
        self._first_passed_over = ""

    async def run(self) -> None:
        """Take the tree over, unless that was done; an interrupted run goes on where it was."""
        if await self._catalogue.marker(Marker.ADOPTED):
            return
        some: dict[ProjectName, frozenset[PageFormat]] = {}
        async for name, forms in self._projects():
            some[name] = forms
            if len(some) >= _BATCH:
                await self._take_over(some)
                some.clear()
        await self._take_over(some)
        await self._finish()

    async def _take_over(self, some: Mapping[ProjectName, frozenset[PageFormat]]) -> None:
        """Record those of the projects that are not recorded yet."""
        known = await self._catalogue.summaries(some)
        batch, before = CatalogueUpdate(), self._count
        for name, forms in some.items():
            if name in known:
                continue
            if not (self._count or self._passed_over):
                self._events(StepStarted("taking over the projects that are here already"))
            record = await self._adopted(name, forms)
            if isinstance(record, str):
                self._passed_over += 1
                self._first_passed_over = self._first_passed_over or f"{name}: {record}"
                continue
            batch.records.append(record)
            self._count += 1
            self._unwanted += record.standing is Standing.RETAINED
        await self._catalogue.commit(batch)
        if self._count // _TELL_EVERY != before // _TELL_EVERY:
            self._events(StepStarted(f"taking over: {self._count} projects so far"))

    async def _finish(self) -> None:
        """Record what lies in ``removed/``, and that all was looked through; tell of it."""
        now, batch = int(self._now.timestamp()), CatalogueUpdate()
        async for found in self._storage.scan(TRASH):
            batch.trashed.append(TrashEntry(found.key, found.size, "", now))
        batch.markers[Marker.ADOPTED] = str(now)
        await self._catalogue.commit(batch)
        if self._count:
            self._events(Warned(f"took over {self._count} projects that were here already"))
        if self._passed_over:
            text = (
                f"{self._passed_over} projects could not be taken over as they are, the first "
                f"{self._first_passed_over}; mirror looks at them, and downloads what is not right"
            )
            self._events(Warned(text))
        if self._unwanted:
            text = f"the project filters want {self._unwanted} of them no more"
            self._events(Warned(f"{text}; these stay as they are"))

    async def _projects(self) -> AsyncIterator[tuple[ProjectName, frozenset[PageFormat]]]:
        """Yield the projects that have a page, with the formats it is there in."""
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

    async def _adopted(
        self, name: ProjectName, forms: frozenset[PageFormat]
    ) -> ProjectRecord | str:
        """Return a project's record, or why it is passed over."""
        form = PageFormat.V1_JSON if PageFormat.V1_JSON in forms else min(forms, key=str)
        files: list[FileRecord] | str = []
        try:
            text = await self._storage.read(self._pages.layout.page(name, form))
            detail = await parse_own_page(text, name, form, self._now)
            if self._files_are_here:
                files = await self._files(detail)
        except (StorageError, UpstreamError) as error:
            return str(error)
        if detail.rejected:
            return detail.rejected[0].reason
        if isinstance(files, str):
            return files
        if self._files_are_here:
            detail = replace(detail, files=tuple(found.file for found in files))
        return ProjectRecord(
            detail=detail,
            display="",
            reflects=detail.serial or NO_SERIAL,
            fingerprint=self._fingerprint(name) if self._is_ours(detail, forms) else "",
            validators=Validators(),
            files=tuple(files),
            standing=Standing.SELECTED if self._filters.may_select(name) else Standing.RETAINED,
        )

    def _is_ours(self, detail: ProjectDetail, forms: frozenset[PageFormat]) -> bool:
        """Whether a page may have been made under the options and filters of now.

        Where they would take something from it, it was not; where more of it is listed as time
        passes, there is no telling when. What a legacy document would say is not asked.
        """
        filters = self._filters
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
        """Return the files' records by size and time, or what is missing or of another size."""
        keys = [layout.release_file(file) for file in detail.files]
        records = []
        for file, found in zip(detail.files, await self._storage.stat(keys), strict=True):
            if found is None or file.size not in {None, found.size}:
                return f"{file.path} is not there, or has another size"
            sized = replace(file, size=found.size)
            records.append(FileRecord(sized, found.modified, verified=None))
        sides = [key for f in detail.files if f.sidecar and (key := layout.sidecar(f)) is not None]
        if not all(await self._storage.stat(sides)):
            return "core metadata that its page names is not there"
        return records


def _normalised(owner: str) -> ProjectName | None:
    """Return the owner of a directory; releases before 4.0 had others, which are left alone."""
    try:
        name = project_name(owner)
    except InvalidValue:
        return None
    return name if name == owner else None
