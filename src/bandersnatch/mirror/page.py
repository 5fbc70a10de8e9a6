"""Pages and documents of this tree, read back: they are no more trusted than those of the index."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch.errors import InvalidPage, StalePage
from bandersnatch.events import FilesRejected
from bandersnatch.filters.interface import Needs
from bandersnatch.layout import PageFormat
from bandersnatch.mirror.tasks import is_expired
from bandersnatch.model.serials import NO_SERIAL
from bandersnatch.simple.entries import PageContext
from bandersnatch.simple.json_page import parse_detail_json
from bandersnatch.simple.legacy import parse_legacy, render_legacy, supplement

if TYPE_CHECKING:
    from datetime import datetime

    from bandersnatch.config.schema import Settings
    from bandersnatch.events import EventSink
    from bandersnatch.index.port import FetchedDetail, PackageIndex
    from bandersnatch.mirror.tasks import SyncTask
    from bandersnatch.model.content import Validators
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.model.serials import Serial


_HERE = "http://mirror.invalid/simple/"
"""What relative URLs of stored pages are resolved against."""


_TWO_SLASHES = re.compile(rb"(?<!:)//packages/")
"""What earlier releases wrote into pages where ``root_uri`` ends with a slash."""


def own_page_context(name: ProjectName, now: datetime) -> PageContext:
    """Return what a stored page of a project is read in."""
    return PageContext(name, f"{_HERE}{name}/", now)


async def parse_own_page(
    text: bytes, name: ProjectName, form: PageFormat, now: datetime
) -> ProjectDetail:
    """Return what a project's stored page says.

    :raises UpstreamError: if it is no such page.
    """
    context = own_page_context(name, now)
    text = _TWO_SLASHES.sub(b"/packages/", text)
    if form is PageFormat.V1_JSON:
        return parse_detail_json(text, context)
    from bandersnatch.simple.html_page import parse_detail_html  # noqa: PLC0415 - slow to import

    return await asyncio.to_thread(parse_detail_html, text, context, charset="utf-8")


class PageReader:
    """Fetches pages, and the legacy documents where those are asked for or tell more."""

    def __init__(
        self, index: PackageIndex, settings: Settings, events: EventSink, *, now: datetime
    ) -> None:
        self._index = index
        self._settings = settings
        self._events = events
        self._now = now

    async def read(self, task: SyncTask, known: Validators) -> FetchedDetail | None:
        """Return the page of a task's project, or None if it is the known one.

        :raises MissingProject: if there is none.
        :raises StalePage: if it is not new enough yet.
        """
        fetched = await self._index.fetch_detail(task.name, known)
        if fetched is not None:
            self.require_new(task, fetched.detail.serial)
            rejected = fetched.detail.rejected
            if rejected:
                first = rejected[0]
                self._events(FilesRejected(task.name, len(rejected), first.entry, first.reason))
        return fetched

    def require_new(self, task: SyncTask, serial: Serial | None) -> None:
        """Refuse what is older than the change that made the project wanted.

        What is served 49 hours after a change shows it, whatever serial it carries: some pages
        carry too low a one for months (protocol sheet, section 2.3).

        :raises StalePage: if it is.
        """
        if task.target_serial == NO_SERIAL or serial is None or serial >= task.target_serial:
            return
        if not is_expired(task.noticed_at, int(self._now.timestamp())):
            raise StalePage(task.name, target=task.target_serial, actual=serial)

    async def supplemented(
        self, task: SyncTask, detail: ProjectDetail, reads: Needs
    ) -> tuple[ProjectDetail, bytes | None]:
        """Return the page with what the legacy document adds, and the document to keep, if any.

        ``reads`` is what the filters that come next need to know.

        :raises InvalidPage: if the document is not one.
        """
        pages, files = self._settings.pages, self._settings.files
        sized = all(file.size is not None for file in detail.files)
        kind = pages.digest_name
        digested = files.release_files or all(file.hashes.get(kind) for file in detail.files)
        kept = None
        timed = Needs.TIMES not in reads or all(file.upload_time for file in detail.files)
        if pages.legacy_json or Needs.DOCUMENT in reads or not (sized and timed and digested):
            text = await self._index.fetch_legacy(detail.name)
            if text is not None:
                where = f"/pypi/{detail.name}/json"
                document = parse_legacy(text, PageContext(detail.name, where, self._now))
                self.require_new(task, document.serial)
                detail = supplement(detail, document)
                if Needs.DOCUMENT in reads:
                    detail = replace(detail, document=document.content)
                kept = render_legacy(document) if pages.legacy_json else None
        return detail, kept

    def require_digests(self, detail: ProjectDetail) -> None:
        """Refuse a page whose files are not had here and lack the digest that pages show.

        :raises InvalidPage: if it is one.
        """
        kind = self._settings.pages.digest_name
        for file in detail.files:
            if not self._settings.files.release_files and file.hashes.get(kind) is None:
                why = f"it has no {kind} digest, which digest_name demands"
                raise InvalidPage(file.filename, why)
