"""Gets project pages: fetches them from the index, and parses those stored in the tree.

A stored page passes the same checks as one of the index: anything may have written it.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch.errors import InvalidPage, StalePage, StorageError, UpstreamError
from bandersnatch.filters.interface import Needs
from bandersnatch.index.port import FetchedDetail
from bandersnatch.layout import PageFormat
from bandersnatch.mirror.ledger import Age, Freshness, believed, judge
from bandersnatch.model.content import Validators
from bandersnatch.model.project import Rejection
from bandersnatch.model.serials import NO_SERIAL, Serial
from bandersnatch.simple.entries import PageContext
from bandersnatch.simple.html_page import parse_detail_html
from bandersnatch.simple.json_page import parse_detail_json
from bandersnatch.simple.legacy import parse_legacy, render_legacy, supplement

if TYPE_CHECKING:
    from datetime import datetime

    from bandersnatch.config.schema import Settings
    from bandersnatch.index.port import PackageIndex
    from bandersnatch.layout import MirrorLayout
    from bandersnatch.mirror.tasks import SyncTask
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.storage.port import Storage

OWN_SITE = "http://mirror.invalid"
"""The base that relative URLs in stored pages are resolved against."""

_DOUBLE_SLASH = re.compile(rb"(?<!:)//packages/")
"""What earlier releases wrote into pages where ``root_uri`` ends with a slash."""

_OWN_SERIALS = {
    True: re.compile(rb'"_last-serial":\s*([0-9]{1,18})\s*[,}]'),
    False: re.compile(rb"<!--SERIAL ([0-9]{1,16})-->\s*\Z"),
}
"""How JSON and HTML pages have their serial; in a text in JSON its quotes would be escaped."""


def own_page_context(name: ProjectName, now: datetime) -> PageContext:
    """Return the context for parsing a stored page or document of a project."""
    return PageContext(name, f"{OWN_SITE}/simple/{name}/", now)


async def parse_own_page(
    text: bytes, name: ProjectName, form: PageFormat, now: datetime
) -> ProjectDetail:
    """Return the content of a stored page.

    :raises UpstreamError: if it is not a valid page of the project.
    """
    context = own_page_context(name, now)
    text = _DOUBLE_SLASH.sub(b"/packages/", text)
    if form is PageFormat.V1_JSON:
        return parse_detail_json(text, context)
    return await asyncio.to_thread(parse_detail_html, text, context, charset="utf-8")


async def read_own_page(
    storage: Storage, pages: MirrorLayout, name: ProjectName, now: datetime
) -> ProjectDetail | None:
    """Return the content of a project's page in the tree; None if there is no readable one.

    The JSON page is preferred, because it states sizes.
    """
    forms = sorted(pages.formats, key=lambda form: form is not PageFormat.V1_JSON)
    for form in forms:
        try:
            return await parse_own_page(await storage.read(pages.page(name, form)), name, form, now)
        except (StorageError, UpstreamError):
            continue
    return None


async def has_own_page_of(
    storage: Storage, pages: MirrorLayout, name: ProjectName, serial: Serial
) -> bool:
    """Whether the page in the tree has a serial; it is not parsed, which takes longer."""
    form = PageFormat.V1_JSON if PageFormat.V1_JSON in pages.formats else pages.formats[0]
    try:
        text = await storage.read(pages.page(name, form))
    except StorageError:
        return False
    found = _OWN_SERIALS[form is PageFormat.V1_JSON].search(text)
    return found is not None and int(found[1]) == serial


class PageFetcher:
    """Fetches project pages, and legacy documents where options or filters need them."""

    def __init__(
        self,
        index: PackageIndex,
        settings: Settings,
        *,
        now: datetime,
        may_expire: bool = True,
        ceiling: Serial | None = None,
        is_standalone: bool = False,
    ) -> None:
        """Assign the collaborators; ``now`` is when the run began.

        ``may_expire`` is False if the clock is doubted, so that no change counts as old.
        ``ceiling`` is the highest serial of a page that is believed, None if none is.
        ``is_standalone`` is as in ``RunContext``: a later run may know more.
        """
        self._index = index
        self._settings = settings
        self._now = now
        self._may_expire = may_expire
        self._ceiling = ceiling
        self._may_prove_later = is_standalone or ceiling is not None

    async def fetch(self, task: SyncTask, validators: Validators) -> FetchedDetail | None:
        """Return the page of a project; None if it is the one that the validators are from.

        A serial that is far above the index is left out, and one that nothing proves is kept. The
        page is not requested conditionally then, if a later run may know more.

        :raises MissingProject: if the index has none.
        """
        fetched = await self._index.fetch_detail(
            task.name, validators, doubtful=not task.is_expected
        )
        if fetched is None:
            return None
        serial, found = fetched.detail.serial, fetched.validators
        proven = believed(serial, self._ceiling)
        if serial is not None and proven is None and self._may_prove_later:
            found = Validators()
        kept = serial if self._ceiling is None else proven
        return FetchedDetail(replace(fetched.detail, serial=kept), found, fetched.unread)

    def judge(self, task: SyncTask, serial: Serial | None, *, differs: bool) -> Freshness:
        """Return what is known about a page or document and the change that made the task.

        A page without a serial proves nothing about a serial of the project list: the next
        comparison asks for it again.

        The serials of some pages stay too low for months (``docs/development/protocol.md``,
        Serials and caches).
        """
        age = Age.of(
            task.noticed_at,
            task.happened_at,
            now=int(self._now.timestamp()),
            index_offset=self._index.clock_offset,
            is_doubted=not self._may_expire,
        )
        differs |= task.happened_at is None
        return judge(task.target_serial, serial, age, differs=differs)

    def proven(self, task: SyncTask, serial: Serial | None) -> Serial:
        """Return the task's target if a page that is recent enough proves it, otherwise 0."""
        is_unproven = self.judge(task, serial, differs=True) is Freshness.UNPROVEN
        return NO_SERIAL if is_unproven else task.target_serial

    def require_current(self, task: SyncTask, serial: Serial | None) -> None:
        """Refuse a document that is older than the change that made the task.

        :raises StalePage: if it is.
        """
        if serial is None or self.judge(task, serial, differs=True) is not Freshness.STALE:
            return
        raise StalePage(task.name, target=task.target_serial, actual=serial)

    async def supplement(
        self, task: SyncTask, detail: ProjectDetail, needs: Needs
    ) -> tuple[ProjectDetail, bytes | None]:
        """Add what the legacy document knows to a page; return the document too if it is kept.

        The document is fetched if it is kept, if the page lacks sizes, or if the page lacks what
        the filters need.

        :raises InvalidPage: if the document is invalid.
        :raises StalePage: if the document is older than the task's target.
        """
        pages = self._settings.pages
        if not (pages.legacy_json or Needs.DOCUMENT in needs or self._has_gaps(detail, needs)):
            return detail, None
        text = await self._index.fetch_legacy(detail.name, doubtful=not detail.files)
        if text is None:
            return detail, None
        where = f"/pypi/{detail.name}/json"
        document = parse_legacy(text, PageContext(detail.name, where, self._now))
        self.require_current(task, document.serial)
        detail = supplement(detail, document)
        if Needs.DOCUMENT in needs:
            detail = replace(detail, document=document.content)
        return detail, render_legacy(document) if pages.legacy_json else None

    def _has_gaps(self, detail: ProjectDetail, needs: Needs) -> bool:
        """Whether a page lacks sizes, needed times, or digests that cannot be computed here.

        A file without any digest is a gap too: the legacy document may have one.
        """
        kind, files = self._settings.pages.digest_name, detail.files
        has_sizes = all(file.size is not None for file in files)
        has_times = Needs.TIMES not in needs or all(file.upload_time for file in files)
        has_digests = self._settings.files.release_files or all(f.hashes.get(kind) for f in files)
        return not (has_sizes and has_times and has_digests and all(f.hashes for f in files))

    def unhashed(self, detail: ProjectDetail) -> tuple[Rejection, ...]:
        """Return the files of a page that are rejected because they have no digest."""
        if self._settings.files.accept_unhashed:
            return ()
        why = "it has no digest to verify it with; accept-unhashed = true accepts such files"
        return tuple(Rejection.of(file.filename, why) for file in detail.files if not file.hashes)

    def require_digests(self, detail: ProjectDetail) -> None:
        """Refuse a page without the digest to publish, if the files are not stored here.

        Without sha256, the default of ``digest_name``, the page gets the digest that there is.

        :raises InvalidPage: if it is one.
        """
        kind = self._settings.pages.digest_name
        if self._settings.files.release_files or kind == "sha256":
            return
        for file in detail.files:
            if file.hashes.get(kind) is None:
                why = f"it has no {kind} digest, which digest_name demands"
                raise InvalidPage(file.filename, why)
