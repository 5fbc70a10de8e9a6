"""An existing tree taken into the catalogue: read, not fetched."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch import layout
from bandersnatch.errors import FilterFailed, InvalidValue, NotStored, UpstreamError
from bandersnatch.events import Doing, Noticed
from bandersnatch.filters.chain import Reads
from bandersnatch.layout import REMOVED, SIMPLE, PageFormat
from bandersnatch.mirror.stored import parse_stored
from bandersnatch.mirror.terms import PageTerms
from bandersnatch.model.names import project_name
from bandersnatch.model.serials import NO_SERIAL
from bandersnatch.records import Batch, FileRecord, ProjectRecord, Removed, Standing, Validators

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from bandersnatch.config.settings import Settings
    from bandersnatch.filters.chain import FilterChain
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.ports import Catalogue, EventSink, MirrorStorage

ADOPTED = "adopted"
"""Note in the catalogue: set when the whole tree has been looked through."""

_BATCH = 500
_TELL_EVERY = 20_000


class Adoption:
    """Reads the pages of a tree and records what they name, if it is there.

    A page that cannot be read, or names a file that is not there, is passed over: its project
    then counts as not had, and the run repairs it. Nothing is changed or deleted.
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
        self._terms = PageTerms(settings, filters)
        self._now = now

    async def run(self) -> None:
        """Take the tree over, unless that was done; an interrupted run goes on where it was."""
        if await self._catalogue.note(ADOPTED):
            return
        known = await self._catalogue.had(None)
        batch, count, unwanted = Batch(), 0, 0
        async for name, forms in self._projects():
            if name in known:
                continue
            if not count:
                self._events(Doing("taking over the projects that are here already"))
            record = await self._adopted(name, forms)
            if record is None:
                continue
            batch.records.append(record)
            count += 1
            unwanted += record.standing is Standing.KEPT
            if len(batch.records) >= _BATCH:
                await self._catalogue.commit(batch)
                batch = Batch()
            if count % _TELL_EVERY == 0:
                self._events(Doing(f"taking over: {count} projects so far"))
        await self._finish(batch)
        if count:
            self._events(Noticed(f"took over {count} projects that were here already"))
        if unwanted:
            text = f"the project filters want {unwanted} of them no more; these stay as they are"
            self._events(Noticed(text))

    async def _finish(self, batch: Batch) -> None:
        """Record the last projects, what lies in ``removed/``, and that all was looked through."""
        now = int(self._now.timestamp())
        async for found in self._storage.scan(REMOVED):
            batch.removed.append(Removed(found.key, found.size, "", now))
        batch.notes[ADOPTED] = str(now)
        await self._catalogue.commit(batch)

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
            forms.add(PageFormat(found.key.rpartition(".")[2]))
        if name := _normalised(owner):
            yield name, frozenset(forms)

    async def _adopted(
        self, name: ProjectName, forms: frozenset[PageFormat]
    ) -> ProjectRecord | None:
        form = PageFormat.V1_JSON if PageFormat.V1_JSON in forms else min(forms, key=str)
        try:
            text = await self._storage.read(self._pages.layout.page(name, form))
            detail = await parse_stored(text, name, form, self._now)
        except (NotStored, UpstreamError):
            return None
        files: list[FileRecord] | None = []
        if self._files_are_here:
            files = await self._files(detail)
            if files is not None:
                detail = replace(detail, files=tuple(found.file for found in files))
        if files is None or detail.rejected:
            return None
        return ProjectRecord(
            detail=detail,
            display="",
            reflects=detail.serial or NO_SERIAL,
            terms=self._terms(name) if self._is_ours(detail, forms) else "",
            validators=Validators(),
            files=tuple(files),
            standing=Standing.WANTED if self._filters.may_select(name) else Standing.KEPT,
        )

    def _is_ours(self, detail: ProjectDetail, forms: frozenset[PageFormat]) -> bool:
        """Whether a page may have been made under the options and filters of now.

        Where they would take something from it, it was not; where more of it is listed as time
        passes, there is no telling when. What a legacy document would say is not asked.
        """
        filters = self._filters
        if forms != frozenset(self._pages.formats) or any(f.matures for f in filters.pages):
            return False
        if Reads.DOCUMENT in filters.reads:
            return True
        try:
            page = filters.narrow(detail).page
        except FilterFailed:
            return False
        return page is not None and len(page.files) == len(detail.files)

    async def _files(self, detail: ProjectDetail) -> list[FileRecord] | None:
        """Return the files' records by size and time, None if one is missing or of another size."""
        there = await self._storage.stat([layout.release_file(file) for file in detail.files])
        sides = await self._storage.stat(
            [key for f in detail.files if f.sidecar and (key := layout.sidecar(f)) is not None]
        )
        if not all(sides):
            return None
        records = []
        for file, found in zip(detail.files, there, strict=True):
            if found is None or file.size not in {None, found.size}:
                return None
            sized = replace(file, size=found.size)
            records.append(FileRecord(sized, found.modified, verified=None))
        return records


def _normalised(owner: str) -> ProjectName | None:
    """Return the owner of a directory; releases before 4.0 had others, which are left alone."""
    try:
        name = project_name(owner)
    except InvalidValue:
        return None
    return name if name == owner else None
