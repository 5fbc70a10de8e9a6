"""Decides what rejected files mean for a page, and reports them as failures.

A ``Rejection`` is made where a file turns out to be unusable: by the parsers of pages, by the sync
of files, or by any later step with ``ProjectDetail.reject``. It is stored in the catalogue with the
record of its project, and becomes a failure of every run here, until the file is gone or
acknowledged.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, Self

from bandersnatch.catalogue.records import FileRecord
from bandersnatch.errors import RejectedPage
from bandersnatch.events import FilesIgnored, FilesRejected
from bandersnatch.layout import release_file
from bandersnatch.mirror.page import OWN_SITE, has_own_page_of, read_own_page
from bandersnatch.model.project import ProjectDetail, Rejection, shown_entry

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime

    from bandersnatch.catalogue.records import ProjectRecord
    from bandersnatch.config.schema import RejectionPattern
    from bandersnatch.layout import MirrorLayout
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.storage.port import MirrorStorage


class Acknowledgement:
    """The rejected files that the operator acknowledges with ``ignore-rejected``."""

    def __init__(self, patterns: Iterable[RejectionPattern]) -> None:
        self._patterns = [(_compiled(each.project), _compiled(each.file)) for each in patterns]

    def covers(self, name: ProjectName, rejection: Rejection) -> bool:
        """Return whether a pattern matches the project and the name of the file."""
        return any(
            project.fullmatch(name) and file.fullmatch(rejection.entry)
            for project, file in self._patterns
        )


def _compiled(pattern: str) -> re.Pattern[str]:
    """Return the expression for a pattern in which only ``*`` and ``?`` are special."""
    text = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(text, re.DOTALL)


def rejected_page(page: ProjectDetail) -> RejectedPage | None:
    """Return why a page must not be published: all its files are rejected; None if it may."""
    return _page_error(page, "it would have no files") if not page.files else None


def _page_error(page: ProjectDetail, why: str) -> RejectedPage | None:
    if not page.rejected:
        return None
    first = page.rejected[0]
    return RejectedPage(why, len(page.rejected), first.entry, first.reason)


class ServedFiles:
    """Protects files that the tree serves, and whose entries on the index's page are rejected now.

    It is not known whether the index or the mirror is right, so they stay served.
    """

    def __init__(
        self,
        storage: MirrorStorage,
        pages: MirrorLayout,
        acknowledgement: Acknowledgement,
        now: datetime,
        *,
        release_files: bool,
    ) -> None:
        """Assign the collaborators; ``release_files`` says that the mirror serves the files."""
        self._storage = storage
        self._pages = pages
        self._acknowledgement = acknowledgement
        self._now = now
        self._release_files = release_files

    @classmethod
    def of(cls, mirror: Mirror, began: datetime) -> Self:
        """Return that of a run."""
        settings = mirror.settings
        return cls(
            mirror.storage,
            settings.pages.layout,
            Acknowledgement(settings.run.ignore_rejected),
            began,
            release_files=settings.files.release_files,
        )

    async def keep(
        self, record: ProjectRecord | None, page: ProjectDetail
    ) -> tuple[ProjectDetail, RejectedPage | None]:
        """Return a page of the index with the served files among its rejected ones.

        Also return the error if it must not be published nevertheless: if it has no files, or if
        the page in the tree lists a file whose name is rejected, which no page can list now. The
        latter lasts until the operator acknowledges the file.
        """
        own = await read_own_page(self._storage, self._pages, page.name, self._now)
        rejected = {each.entry for each in page.rejected}
        listed = {file.filename for file in page.files}
        kept = [
            file
            for file in self._served(record, own)
            if shown_entry(file.filename) in rejected and file.filename not in listed
        ]
        files = sorted([*page.files, *kept], key=lambda file: file.filename)
        page = replace(page, files=tuple(files))
        unlistable = {each.entry for each in own.rejected} if own is not None else set()
        lost = [
            each.entry
            for each in page.rejected
            if each.entry in unlistable and not self._acknowledgement.covers(page.name, each)
        ]
        if lost:
            return page, _page_error(page, f"the page in the mirror lists {lost[0]}")
        return page, rejected_page(page)

    async def unrecorded(
        self, record: ProjectRecord | None, name: ProjectName, *, is_doubted: bool = True
    ) -> list[FileRecord]:
        """Return the stored files that the page in the tree lists and that ``record`` lacks.

        Unless it ``is_doubted`` that they are of the same moment, a page with the serial of the
        record lists what that has, and so does any page where reading it is a request to a store.
        """
        if not self._release_files or not (is_doubted or await self._may_differ(record, name)):
            return []
        own = await read_own_page(self._storage, self._pages, name, self._now)
        if own is None:
            return []
        recorded = {found.file.path for found in record.files} if record is not None else set()
        files = [file for file in own.files if file.path not in recorded]
        stats = await self._storage.stat([release_file(file) for file in files])
        return [
            FileRecord(file, found.modified, verified=None)
            for file, found in zip(files, stats, strict=True)
            if found is not None
        ]

    async def _may_differ(self, record: ProjectRecord | None, name: ProjectName) -> bool:
        """Whether the page in the tree may be of another moment than the record."""
        if self._storage.believes_records:
            return False
        serial = None if record is None else record.detail.serial
        if serial is None:
            return True
        return not await has_own_page_of(self._storage, self._pages, name, serial)

    def _served(
        self, record: ProjectRecord | None, own: ProjectDetail | None
    ) -> Iterable[ReleaseFile]:
        """Return the files that the tree serves, without the URLs of files that are stored here."""
        if record is not None and self._release_files:
            return [found.file for found in record.files]
        files = own.files if own is not None else ()
        if self._release_files:
            return [replace(file, url="") for file in files]
        return [file for file in files if not file.url.startswith(OWN_SITE)]


class ProjectRejections(NamedTuple):
    """The rejected files of a project: those that count as failures, and the acknowledged ones."""

    name: ProjectName
    failed: tuple[Rejection, ...]
    ignored: tuple[Rejection, ...]


async def rejections_of(
    mirror: Mirror, names: Collection[ProjectName] | None = None
) -> list[ProjectRejections]:
    """Return the rejected files in the catalogue, of every selected project or of ``names``."""
    acknowledgement = Acknowledgement(mirror.settings.run.ignore_rejected)
    by_project = []
    stored = await mirror.catalogue.rejected()
    for name, group in groupby(stored, key=lambda each: each.project):
        if not (mirror.filters.may_select(name) if names is None else name in names):
            continue
        ignored: list[Rejection] = []
        failed: list[Rejection] = []
        for each in group:
            covered = acknowledgement.covers(name, each.rejection)
            (ignored if covered else failed).append(each.rejection)
        by_project.append(ProjectRejections(name, tuple(failed), tuple(ignored)))
    return by_project


async def report_rejections(mirror: Mirror, names: Collection[ProjectName] | None = None) -> None:
    """Report the rejected files of every selected project, or of ``names``.

    A file that an earlier run rejected is still missing. Here alone rejected files become failures
    of their projects.
    """
    for each in await rejections_of(mirror, names):
        if each.failed:
            mirror.events(FilesRejected(each.name, each.failed))
        if each.ignored:
            mirror.events(FilesIgnored(each.name, each.ignored))
