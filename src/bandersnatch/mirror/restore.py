"""The command ``restore``: projects that wait in ``removed/`` brought back, as they were then."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch.errors import Impossible, NotRestorable
from bandersnatch.events import (
    FileRestored,
    FilesRejected,
    Noticed,
    ProjectFailed,
    ProjectRestored,
    SidecarsMissing,
)
from bandersnatch.mirror.checkpoint import ROOT, ROOT_STALE
from bandersnatch.mirror.deletions import finish_deletions
from bandersnatch.mirror.lying import Lying
from bandersnatch.mirror.opening import open_tree
from bandersnatch.mirror.root import publish_root
from bandersnatch.mirror.state import StateFiles
from bandersnatch.model.serials import NO_SERIAL
from bandersnatch.records import (
    DELETED,
    INCOMPLETE,
    SET_ASIDE,
    Batch,
    ProjectRecord,
    Standing,
    Unfinished,
    Validators,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.lying import LyingFiles, LyingPage
    from bandersnatch.mirror.parts import Mirror
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.serials import Serial

_NAMED = 10
"""Missing files that are told of by name."""


async def restore(mirror: Mirror, names: Collection[ProjectName]) -> None:
    """Bring projects back, each with the files that are left of it, and then the root page.

    Neither ``status`` nor ``todo`` is touched; the next run of ``mirror`` looks at what the
    filters want of it.
    """
    began = mirror.clock.now()
    await open_tree(mirror, StateFiles(mirror.storage), began)
    since = {each.key: each.at for each in await mirror.catalogue.removed()}
    for name in dict.fromkeys(names):
        try:
            await _Restoring(mirror, name, began, since).run()
        except Impossible as error:
            mirror.events(ProjectFailed(name, error, will_retry=False))
        else:
            mirror.events(ProjectRestored(name))
    await publish_root(mirror)


class _Restoring:
    """One project on its way back; until it is there whole, a stop takes it away again."""

    def __init__(
        self,
        mirror: Mirror,
        name: ProjectName,
        began: datetime,
        since: Mapping[StorageKey, int],
    ) -> None:
        self._mirror = mirror
        self._name = name
        self._began = began
        self._publisher = mirror.publisher()
        self._lying = Lying(mirror, name, began, since)

    async def run(self) -> None:
        """Bring the files back, then the pages, and record it.

        :raises NotRestorable: if that cannot be; then nothing is changed.
        """
        earlier = await self._require_absent()
        page = await self._lying.page()
        files = await self._lying.files(page.detail)
        document = None
        if self._mirror.settings.pages.legacy_json:
            document = await self._lying.document()
        self._tell_of_gaps(page, files)
        record = self._record(page, files, earlier)
        await self._begin(record, earlier)
        await self._move(files)
        display = record.display or self._name
        await self._publisher.publish(record.detail, display=display, legacy=document, anew=True)
        await self._finish(record, files, documents=document is not None)

    async def _require_absent(self) -> ProjectRecord | None:
        """Return what is remembered of the project that was left out.

        :raises NotRestorable: if it is here.
        """
        record = await self._mirror.catalogue.project(self._name)
        removals = self._mirror.removals(self._began)
        known = record is not None and record.standing is not Standing.LEFT_OUT
        if known or await removals.pages(self._name, self._publisher):
            raise NotRestorable(self._name, "it is here already")
        return record

    def _tell_of_gaps(self, page: LyingPage, files: LyingFiles) -> None:
        events, rejected = self._mirror.events, page.detail.rejected
        if rejected:
            first = rejected[0]
            events(FilesRejected(self._name, len(rejected), first.entry, first.reason))
        if files.missing:
            more = len(files.missing) - _NAMED
            told = ", ".join(files.missing[:_NAMED]) + (f" and {more} more" if more > 0 else "")
            events(Noticed(f"{self._name} comes back without what is not there any more: {told}"))
        if files.sidecars_missing:
            why = "it is not there any more"
            events(SidecarsMissing(self._name, files.sidecars_missing, why))

    def _record(
        self, page: LyingPage, files: LyingFiles, earlier: ProjectRecord | None
    ) -> ProjectRecord:
        """Return the record of what comes back.

        Terms are left to the next run, which looks at the page again whatever they were.
        """
        wanted = self._mirror.filters.may_select(self._name)
        detail = replace(page.detail, rejected=())
        if self._mirror.settings.files.release_files:
            detail = replace(detail, files=tuple(found.file for found in files.records))
        return ProjectRecord(
            detail=detail,
            display=page.display or (earlier.display if earlier else ""),
            reflects=detail.serial or NO_SERIAL,
            terms="",
            validators=Validators(),
            files=tuple(files.records),
            standing=Standing.WANTED if wanted else Standing.KEPT,
        )

    async def _begin(self, record: ProjectRecord, earlier: ProjectRecord | None) -> None:
        """Write down what comes back, marked to be taken away again if this is cut short."""
        kind = DELETED if earlier is None else SET_ASIDE
        need = earlier.reflects if earlier else NO_SERIAL
        mark = self._unfinished(kind, need, "its return was cut short, so that it leaves again")
        notes = {ROOT: ROOT_STALE}
        await self._mirror.catalogue.commit(Batch([record], unfinished=[mark], notes=notes))

    def _unfinished(self, kind: str, need: Serial, reason: str) -> Unfinished:
        now = int(self._began.timestamp())
        return Unfinished(
            self._name, kind, need, None, since=now, tried=now, attempts=0, fault="", reason=reason
        )

    async def _move(self, files: LyingFiles) -> None:
        """Move files back to their places.

        :raises NotRestorable: if something on the way is a link; then all is as it was.
        """
        mirror, moves = self._mirror, files.moves
        await mirror.storage.move([(each.found.key, each.key) for each in moves])
        there = await mirror.storage.stat([each.key for each in moves])
        left = [each.key for each, found in zip(moves, there, strict=True) if found is None]
        if left:
            await finish_deletions(mirror, self._began)
            raise NotRestorable(self._name, f"{left[0]} cannot be moved back; is a link there?")
        for each in moves:
            mirror.events(FileRestored(self._name, each.key, each.found.size))

    async def _finish(self, record: ProjectRecord, files: LyingFiles, *, documents: bool) -> None:
        """Take away what is left of the pages in ``removed/``, and record that all is back."""
        mirror = self._mirror
        left = self._lying.pages() + (self._lying.documents() if documents else [])
        await mirror.storage.delete(left)
        await mirror.storage.barrier()
        looked_at = self._unfinished(INCOMPLETE, NO_SERIAL, "")
        await mirror.catalogue.commit(
            Batch(
                [record],
                unfinished=[looked_at] if record.standing is Standing.WANTED else [],
                restored=[*(each.found.key for each in files.moves), *left],
                notes={ROOT: ROOT_STALE},
            )
        )
