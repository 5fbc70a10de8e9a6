"""Why a project, a version or a file is in the mirror, or is not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bandersnatch import layout
from bandersnatch.catalogue.records import DELETIONS, Deferral, Standing
from bandersnatch.errors import FilterFailure, MissingProject, UpstreamError
from bandersnatch.mirror.fingerprint import PolicyFingerprint
from bandersnatch.mirror.page import PageFetcher
from bandersnatch.mirror.tasks import SyncTask
from bandersnatch.model.content import Validators
from bandersnatch.model.project import ProjectStatus
from bandersnatch.model.versions import version_key, version_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bandersnatch.catalogue.records import Deferred, ProjectRecord, TrashEntry
    from bandersnatch.filters.chain import FilterResult
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail


async def why(mirror: Mirror, name: ProjectName, what: str | None) -> list[str]:
    """Return sentences that say what became of a project, or of a version or file of it."""
    return await _Inquiry(mirror, name, what).answer()


class _Inquiry:
    def __init__(self, mirror: Mirror, name: ProjectName, what: str | None) -> None:
        self._mirror = mirror
        self._name = name
        self._what = what

    async def answer(self) -> list[str]:
        catalogue = self._mirror.catalogue
        record = await catalogue.project(self._name)
        left = [each for each in await catalogue.deferred() if each.name == self._name]
        lines = [*self._about_selection(record), *self._about_failure(left)]
        if not self._mirror.filters.may_select(self._name):
            lying = await catalogue.trash()
            return [*lines, *self._about_what_is_left(record, lying)]
        page = await self._page(lines)
        if page is None:
            lying = await catalogue.trash()
            return [*lines, *self._about_removed(record, lying)]
        try:
            narrowed = self._mirror.filters.apply(page)
        except FilterFailure as error:
            return [*lines, f"{error}; until that is mended nothing of {self._name} changes"]
        if self._what is None:
            return [*lines, *self._about_project(page, record, narrowed)]
        files = self._meant(page)
        if not files:
            lying = await catalogue.trash()
            return [*lines, *self._about_unknown(record, lying)]
        return [*lines, *(self._about_file(file, page, record) for file in files)]

    # ------------------------------------------------------------ the project

    def _about_selection(self, record: ProjectRecord | None) -> Iterator[str]:
        here = _is_here(record)
        try:
            refusing = self._mirror.filters.refuses(self._name)
        except FilterFailure as error:
            yield f"{error}; until that is mended nothing of {self._name} changes"
            return
        if refusing is not None:
            reason = refusing.because(self._name)
            yield f"{self._name} is not mirrored: {refusing.name} drops it{_after_colon(reason)}"
            if here:
                yield "it is here nevertheless, from before or by name, and stays as it is"
        elif here:
            assert record is not None, "what is here has a record"
            yield f"{self._name} is mirrored, as of serial {record.reflects}"
        elif record is None:
            yield f"{self._name} is wanted, and is not here yet"

    def _about_failure(self, left: Iterable[Deferred]) -> Iterator[str]:
        for each in left:
            if each.deferral in DELETIONS:
                yield each.reason
            elif each.deferral == Deferral.GONE:
                yield f"it is gone from the index since {_time(each.since)}: {each.reason}"
            elif each.reason:
                times = f"{each.attempts} time{'s' * (each.attempts != 1)}"
                yield f"it failed {times}, last {_time(each.tried)}: {each.reason}"

    async def _page(self, lines: list[str]) -> ProjectDetail | None:
        """Return the index's page as the filters see it; why there is none goes to ``lines``."""
        mirror = self._mirror
        reader = PageFetcher(mirror.index, mirror.settings, mirror.events, now=mirror.clock.now())
        task = SyncTask(self._name)
        try:
            fetched = await reader.fetch(task, Validators())
            assert fetched is not None, "an unconditional request is answered with a page"
            detail, _ = await reader.supplement(task, fetched.detail, mirror.filters.needs)
        except MissingProject:
            lines.append("the index has no such project")
        except UpstreamError as error:
            lines.append(f"what the index has now cannot be told: {error}")
        else:
            return detail
        return None

    def _about_project(
        self, page: ProjectDetail, record: ProjectRecord | None, narrowed: FilterResult
    ) -> Iterator[str]:
        if page.status is not ProjectStatus.ACTIVE:
            reason = f": {page.status_reason}" if page.status_reason else ""
            yield f"the index says that it is {page.status.value}{reason}"
        if page.status is ProjectStatus.QUARANTINED:
            yield "its page is mirrored without files as long as it is quarantined"
        if narrowed.page is None:
            by = narrowed.dropped[-1].by
            reason = next(
                (f.because(page, None) for f in self._mirror.filters.pages if f.name == by), ""
            )
            yield f"it is left out: {by} drops the whole project{f': {reason}' * bool(reason)}"
            return
        if self._is_away(page, record):
            yield "it was deleted until the index changes it; sync brings it back before that"
        here = len(record.files) if record is not None else 0
        kept = len(narrowed.page.files)
        yield f"of {len(page.files)} files on the index the filters keep {kept}; {here} are here"
        for each in narrowed.dropped:
            yield f"  {each.by} drops {len(each.files)}"
        if narrowed.due is not None:
            yield f"  more is listed from {_time(narrowed.due)} on, when it is old enough"

    def _is_away(self, page: ProjectDetail, record: ProjectRecord | None) -> bool:
        """Whether the project is left out though no filter drops it now, and none did then."""
        excluded = record is not None and record.standing is Standing.EXCLUDED
        if (
            record is None
            or not excluded
            or record.fingerprint != PolicyFingerprint.of(self._mirror)(self._name)
        ):
            return False
        return page.serial is None or page.serial <= record.reflects

    # ------------------------------------------------------------ files

    def _meant(self, page: ProjectDetail) -> list[ReleaseFile]:
        """Return the file of that name, or the files of that version."""
        named = [file for file in page.files if file.filename == self._what]
        key = version_key(self._what or "")
        return named or [f for f in page.files if version_key(page.version_of(f)) == key]

    def _about_file(
        self, file: ReleaseFile, page: ProjectDetail, record: ProjectRecord | None
    ) -> str:
        if page.status is ProjectStatus.QUARANTINED:
            return f"{file.filename}: not mirrored while the project is quarantined"
        found = self._mirror.filters.explain(page, file.filename)
        if found is not None:
            by, reason = found
            return f"{file.filename}: dropped by {by.name}{_after_colon(reason)}"
        if self._is_away(page, record):
            return f"{file.filename}: kept, and not here: the project was deleted"
        stored = {each.file.filename for each in record.files} if record is not None else set()
        if file.filename in stored:
            return f"{file.filename}: kept, and here"
        return f"{file.filename}: kept, and not here yet; the next run downloads it"

    # ------------------------------------------------------------ what the index does not tell

    def _about_what_is_left(
        self, record: ProjectRecord | None, lying: Iterable[TrashEntry]
    ) -> Iterator[str]:
        """Tell of the files of a project that nobody wants and that are here, or were."""
        key = version_key(self._what or "")
        for found in record.files if record is not None and self._what is not None else ():
            filename = found.file.filename
            if filename == self._what or version_key(version_text(filename, self._name)) == key:
                yield f"{filename}: here, and stays"
        yield from self._about_waiting(lying)

    def _about_unknown(
        self, record: ProjectRecord | None, lying: Iterable[TrashEntry]
    ) -> Iterator[str]:
        yield f"the index has no file or version {self._what} of {self._name}"
        yield from self._about_removed(record, lying)

    def _about_removed(
        self, record: ProjectRecord | None, lying: Iterable[TrashEntry]
    ) -> Iterator[str]:
        """Tell of files that are here, or wait in ``removed/``, though the index lacks them."""
        for found in record.files if record is not None else ():
            if self._what in {None, found.file.filename}:
                yield f"{found.file.filename}: here; the next run takes it away"
        yield from self._about_waiting(lying)

    def _about_waiting(self, lying: Iterable[TrashEntry]) -> Iterator[str]:
        grace = int(self._mirror.settings.run.removal_grace.total_seconds())
        for each in lying:
            filename = each.key.rpartition("/")[2]
            if self._what is not None and filename == self._what:
                until = _time(each.at + grace)
                yield f"{filename}: lies in {layout.TRASH} since {_time(each.at)}, until {until}"


def _is_here(record: ProjectRecord | None) -> bool:
    return record is not None and record.standing is not Standing.EXCLUDED


def _after_colon(text: str) -> str:
    return f": {text}" if text else ""


def _time(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
