"""A project's page as the index has it now: new enough, and complete."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch.errors import InvalidPage, StalePage
from bandersnatch.events import FilesRejected
from bandersnatch.filters.chain import Reads
from bandersnatch.mirror.wanted import is_expired
from bandersnatch.model.serials import NO_SERIAL
from bandersnatch.simple.entries import Context
from bandersnatch.simple.legacy import parse_legacy, render_legacy, supplement

if TYPE_CHECKING:
    from datetime import datetime

    from bandersnatch.config.settings import Settings
    from bandersnatch.mirror.wanted import Wanted
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.model.serials import Serial
    from bandersnatch.ports import EventSink, PackageIndex
    from bandersnatch.records import FetchedDetail, Validators


class PageReader:
    """Fetches pages, and the legacy documents where those are asked for or tell more."""

    def __init__(
        self, index: PackageIndex, settings: Settings, events: EventSink, *, now: datetime
    ) -> None:
        self._index = index
        self._settings = settings
        self._events = events
        self._now = now

    async def read(self, wanted: Wanted, known: Validators) -> FetchedDetail | None:
        """Return the page of the project that is wanted, or None if it is the known one.

        :raises ProjectNotFound: if there is none.
        :raises StalePage: if it is not new enough yet.
        """
        fetched = await self._index.fetch_detail(wanted.name, known)
        if fetched is not None:
            self.require_new(wanted, fetched.detail.serial)
            rejected = fetched.detail.rejected
            if rejected:
                first = rejected[0]
                self._events(FilesRejected(wanted.name, len(rejected), first.entry, first.reason))
        return fetched

    def require_new(self, wanted: Wanted, serial: Serial | None) -> None:
        """Refuse what is older than the change that made the project wanted.

        What is served 49 hours after a change shows it, whatever serial it carries: some pages
        carry too low a one for months (protocol sheet, section 2.3).

        :raises StalePage: if it is.
        """
        if wanted.need == NO_SERIAL or serial is None or serial >= wanted.need:
            return
        if not is_expired(wanted.noticed, int(self._now.timestamp())):
            raise StalePage(wanted.name, wanted=wanted.need, got=serial)

    async def supplemented(
        self, wanted: Wanted, detail: ProjectDetail, reads: Reads
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
        timed = Reads.TIMES not in reads or all(file.upload_time for file in detail.files)
        if pages.legacy_json or Reads.DOCUMENT in reads or not (sized and timed and digested):
            text = await self._index.fetch_legacy(detail.name)
            if text is not None:
                where = f"/pypi/{detail.name}/json"
                document = parse_legacy(text, Context(detail.name, where, self._now))
                self.require_new(wanted, document.serial)
                detail = supplement(detail, document)
                if Reads.DOCUMENT in reads:
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
