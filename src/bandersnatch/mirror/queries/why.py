"""Explains why a project, a version or a file is in the mirror, or is not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bandersnatch import layout
from bandersnatch.catalogue.records import DELETIONS, Deferral, Deferred, ProjectRecord, TrashEntry
from bandersnatch.errors import FilterFailure, MissingProject, UpstreamError
from bandersnatch.mirror.fingerprint import PolicyFingerprint
from bandersnatch.mirror.page import PageFetcher
from bandersnatch.mirror.queries.closure import load_graph
from bandersnatch.mirror.rejections import Acknowledgement
from bandersnatch.mirror.tasks import SyncTask
from bandersnatch.model.content import Validators
from bandersnatch.model.project import ProjectDetail, ProjectStatus
from bandersnatch.model.serials import Serial
from bandersnatch.model.versions import version_key, version_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bandersnatch.filters.chain import FilterResult
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName


async def why(mirror: Mirror, name: ProjectName, what: str | None) -> list[str]:
    """Return sentences that explain the presence or absence of a project.

    With ``what``, a file name or a version, they explain that of a file or of a version's files.
    """
    return await _Explanation(mirror, name, what).lines()


_ANY_SERIAL = Serial(2**53)
"""The ceiling for a page that is only shown."""


class _Explanation:
    def __init__(self, mirror: Mirror, name: ProjectName, what: str | None) -> None:
        self._mirror = mirror
        self._name = name
        self._what = what

    async def lines(self) -> list[str]:
        catalogue = self._mirror.catalogue
        record = await catalogue.project(self._name)
        deferred = [each for each in await catalogue.deferred() if each.name == self._name]
        lines = [*self._selection(record), *await self._closure(), *self._deferrals(deferred)]
        if not self._mirror.filters.may_select(self._name):
            return [*lines, *self._unselected(record, await catalogue.trash())]
        page = await self._fetch_page(lines)
        if page is None:
            return [*lines, *self._not_on_index(record, await catalogue.trash())]
        try:
            result = self._mirror.filters.apply(page)
        except FilterFailure as error:
            return [*lines, self._failed_filter(error)]
        if self._what is None:
            return [*lines, *self._project(page, record, result), *self._rejected(page, record)]
        explained = [self._file(file, page, record) for file in self._matching_files(page)]
        explained += self._rejected(page, record)
        if not explained:
            lines.append(f"the index has no file or version {self._what} of {self._name}")
            explained = [*self._not_on_index(record, await catalogue.trash())]
        return [*lines, *explained]

    def _failed_filter(self, error: FilterFailure) -> str:
        return f"{error}; until that is fixed, {self._name} does not change"

    # ------------------------------------------------------------ the project

    def _selection(self, record: ProjectRecord | None) -> Iterator[str]:
        is_published = record is not None and record.is_published
        try:
            by = self._mirror.filters.refuses(self._name)
        except FilterFailure as error:
            yield self._failed_filter(error)
            return
        if by is not None:
            reason = by.explain(self._name)
            yield f"{self._name} is not mirrored: {by.name} drops it{_after_colon(reason)}"
            if is_published:
                yield "it is in the mirror nevertheless, from earlier or synced by name, and stays"
        elif record is None:
            yield f"{self._name} is selected, and is not in the mirror yet"
        elif is_published:
            yield f"{self._name} is mirrored, as of serial {record.reflects}"

    async def _closure(self) -> list[str]:
        """Explain who needs the project, and load what is asked of it, which its filters need."""
        graph = await load_graph(self._mirror)
        if graph is None or self._mirror.closure is None:
            return []
        asking = [
            dependencies[self._name]
            for dependencies in graph.dependencies.values()
            if self._name in dependencies
        ]
        if asking:
            asked = tuple(dependency for dependencies in asking for dependency in dependencies)
            self._mirror.closure.dependencies[self._name] = asked
        return list(graph.why(self._name))

    def _deferrals(self, deferred: Iterable[Deferred]) -> Iterator[str]:
        for each in deferred:
            if each.deferral in DELETIONS:
                yield each.reason
            elif each.deferral == Deferral.GONE:
                yield f"it has been gone from the index since {_time(each.since)}: {each.reason}"
            elif each.reason:
                times = f"{each.attempts} time{'s' * (each.attempts != 1)}"
                yield f"it failed {times}, last {_time(each.tried)}: {each.reason}"

    async def _fetch_page(self, lines: list[str]) -> ProjectDetail | None:
        """Return the index's page as the filters get it; if there is none, say so in ``lines``."""
        mirror = self._mirror
        fetcher = PageFetcher(
            mirror.index, mirror.settings, now=mirror.clock.now(), ceiling=_ANY_SERIAL
        )
        task = SyncTask(self._name)
        try:
            fetched = await fetcher.fetch(task, Validators())
            assert fetched is not None, "an unconditional request is answered with a page"
            detail, _ = await fetcher.supplement(task, fetched.detail, mirror.filters.needs)
        except MissingProject:
            lines.append("the index has no such project")
        except UpstreamError as error:
            lines.append(f"what the index has is unknown: {error}")
        else:
            return detail
        return None

    def _project(
        self, page: ProjectDetail, record: ProjectRecord | None, result: FilterResult
    ) -> Iterator[str]:
        if page.status is not ProjectStatus.ACTIVE:
            yield f"the index says that it is {page.status.value}{_after_colon(page.status_reason)}"
        if page.status is ProjectStatus.QUARANTINED:
            yield "its page is mirrored without files as long as it is quarantined"
        if result.page is None:
            by = result.dropped[-1].by
            reasons = (f.explain(page, None) for f in self._mirror.filters.pages if f.name == by)
            yield f"it is excluded: {by} drops the whole project{_after_colon(next(reasons, ''))}"
            return
        if self._is_deleted(page, record):
            yield "it was deleted until the index changes it; sync restores it before that"
        stored = len(record.files) if record is not None else 0
        kept = len(result.page.files)
        yield (
            f"of {len(page.files)} files on the index the filters keep {kept}; "
            f"{stored} are in the mirror"
        )
        for each in result.dropped:
            yield f"  {each.by} drops {len(each.files)}"
        if result.due is not None:
            yield f"  more files are listed from {_time(result.due)} on, when they are old enough"

    def _is_deleted(self, page: ProjectDetail, record: ProjectRecord | None) -> bool:
        """Whether the project is excluded because of a deletion, and not because of a filter."""
        if record is None or record.is_published:
            return False
        if record.fingerprint != PolicyFingerprint.of(self._mirror)(self._name):
            return False
        return page.serial is None or page.serial <= record.reflects

    # ------------------------------------------------------------ files

    def _rejected(self, page: ProjectDetail, record: ProjectRecord | None) -> Iterator[str]:
        """Explain the files that are left out, those of ``what`` if it is given."""
        acknowledgement = Acknowledgement(self._mirror.settings.run.ignore_rejected)
        recorded = record.detail.rejected if record is not None else ()
        for each in {each.entry: each for each in (*recorded, *page.rejected)}.values():
            if self._what is None or self._is_meant(each.entry):
                covers = acknowledgement.covers(self._name, each)
                note = "; ignore-rejected acknowledges it" if covers else ""
                yield f"{each.entry}: rejected: {each.reason}{note}"

    def _is_meant(self, filename: str) -> bool:
        """Whether ``what`` is a file's name or the version in it."""
        what = self._what or ""
        version = version_text(filename, self._name)
        return filename == what or version_key(version) == version_key(what)

    def _matching_files(self, page: ProjectDetail) -> list[ReleaseFile]:
        """Return the file of that name, or the files of that version."""
        named = [file for file in page.files if file.filename == self._what]
        key = version_key(self._what or "")
        return named or [f for f in page.files if version_key(page.version_of(f)) == key]

    def _file(self, file: ReleaseFile, page: ProjectDetail, record: ProjectRecord | None) -> str:
        if page.status is ProjectStatus.QUARANTINED:
            return f"{file.filename}: not mirrored while the project is quarantined"
        found = self._mirror.filters.explain(page, file.filename)
        if found is not None:
            by, reason = found
            return f"{file.filename}: dropped by {by.name}{_after_colon(reason)}"
        if self._is_deleted(page, record):
            return f"{file.filename}: kept, and not in the mirror: the project was deleted"
        stored = {each.file.filename for each in record.files} if record is not None else set()
        if file.filename in stored:
            return f"{file.filename}: kept, and in the mirror"
        return f"{file.filename}: kept, and not in the mirror yet; the next run downloads it"

    def _unselected(
        self, record: ProjectRecord | None, trash: Iterable[TrashEntry]
    ) -> Iterator[str]:
        """Explain the files of a project that the filters do not select."""
        key = version_key(self._what or "")
        for found in record.files if record is not None and self._what is not None else ():
            filename = found.file.filename
            if filename == self._what or version_key(version_text(filename, self._name)) == key:
                yield f"{filename}: in the mirror, and stays"
        yield from self._trashed(trash)

    def _not_on_index(
        self, record: ProjectRecord | None, trash: Iterable[TrashEntry]
    ) -> Iterator[str]:
        """Explain the files that are in the mirror, or in the trash, and not on the index."""
        for found in record.files if record is not None else ():
            if self._what in {None, found.file.filename}:
                yield f"{found.file.filename}: in the mirror; the next run removes it"
        yield from self._trashed(trash)

    def _trashed(self, trash: Iterable[TrashEntry]) -> Iterator[str]:
        grace = int(self._mirror.settings.run.removal_grace.total_seconds())
        for each in trash:
            filename = each.key.rpartition("/")[2]
            if self._what is not None and filename == self._what:
                until = _time(each.at + grace)
                yield f"{filename}: in {layout.TRASH} since {_time(each.at)}, until {until}"


def _after_colon(text: str) -> str:
    return f": {text}" if text else ""


def _time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
