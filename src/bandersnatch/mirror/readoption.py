"""Adopts projects again whose rows in the catalogue were damaged, and has them synced.

The page of a project is evidence of what it has. It may be older than the row was, so the index is
asked, too.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from msgspec import structs

from bandersnatch.catalogue.records import (
    CatalogueUpdate,
    Cause,
    Deferral,
    Deferred,
    Marker,
    RootMarker,
)
from bandersnatch.errors import InvalidValue, StorageError
from bandersnatch.events import Warned
from bandersnatch.layout import PageFormat
from bandersnatch.mirror.adopt import Adoption
from bandersnatch.mirror.checkpoint import incomplete
from bandersnatch.mirror.tasks import TaskHints
from bandersnatch.model.names import ProjectName, project_name
from bandersnatch.simple.html_page import display_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from bandersnatch.catalogue.records import DamagedRow, ProjectRecord
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.tasks import SyncTask

_BATCH = 500
_SHOWN = 3
"""Names in a warning."""

_REASON = "its row in the catalogue was damaged"


class Readoption:
    """Replaces damaged rows of projects by what their pages say.

    Every such project is deferred, so that it is synced whatever the index says about changes.
    Nothing proves the display name on a page, which may be damaged as well: the project list, which
    has the right one, is read as soon as possible. Where it is not, because a finite set of
    projects is mirrored, the display name is forgotten.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._now = int(mirror.clock.now().timestamp())
        self._adoption = Adoption.of(mirror, mirror.clock.now())
        self._working = asyncio.Lock()

    @classmethod
    def of(cls, mirror: Mirror) -> Self:
        """Return the readoption of a mirror's projects."""
        return cls(mirror)

    async def run(self) -> bool:
        """Adopt again what was found damaged since the last call; return whether there was any."""
        async with self._working:
            damaged = await self._mirror.catalogue.take_damaged()
            if not damaged:
                return False
            for text in _warnings(damaged):
                self._mirror.events(Warned(text))
            names = {name for row in damaged if (name := _project(row)) is not None}
            named = [name for name in sorted(names) if await self._adoption.formats(name)]
            await self._adopt(named)
            if any(row.table == "project" and _project(row) not in named for row in damaged):
                await self._search()
            await self._adoption.finish()
            return True

    async def _search(self) -> None:
        """Adopt the projects that have a page and no row: a damaged name does not tell them."""
        some: list[ProjectName] = []
        async for name, _ in self._adoption.projects():
            some.append(name)
            if len(some) >= _BATCH:
                await self._adopt(some)
                some = []
        await self._adopt(some)

    async def _adopt(self, names: Collection[ProjectName]) -> None:
        """Record the projects of these that have no row, and defer them."""
        catalogue = self._mirror.catalogue
        known = await catalogue.summaries(names)
        deferred = {each.name: each for each in await catalogue.deferred()}
        is_finite = self._mirror.filters.finite_names is not None
        batch = CatalogueUpdate()
        for name in names:
            if name in known:
                continue
            record = await self._adoption.read(name)
            if record is not None:
                batch.records.append(record)
            display = "" if is_finite else await self._display(name)
            batch.deferred.append(deferred_again(name, deferred.get(name), display, self._now))
        if batch:
            batch.markers[Marker.ROOT] = RootMarker.STALE
            if not is_finite:
                batch.markers |= {Marker.RECONCILED: "", Marker.LISTING: ""}
        await catalogue.commit(batch)

    async def _display(self, name: ProjectName) -> str:
        """Return the display name of a project on its page, "" if it cannot be read."""
        pages = self._mirror.settings.pages
        if PageFormat.HTML not in pages.formats:
            return ""
        try:
            text = await self._mirror.storage.read(pages.layout.page(name, PageFormat.HTML))
        except StorageError:
            return ""
        return display_name(text, name)

    async def check(self, names: Iterable[ProjectName]) -> None:
        """Read the rows of projects that are to be removed, so that their files are known."""
        for name in names:
            await self._mirror.catalogue.project(name)
        await self.run()

    # ------------------------------------------------------------ the record for a task

    async def record_for(self, task: SyncTask) -> tuple[SyncTask, ProjectRecord | None]:
        """Return the record of a task's project, and the task.

        Without an undamaged row it is the record by the page, and the task is one of an earlier
        run that did not end, so that the project is synced in any case.
        """
        name, catalogue = task.name, self._mirror.catalogue
        if TaskHints.KNOWN in task.hints:
            record = await catalogue.project(name)
            if record is not None:
                return task, record
            await self.run()
            record = await catalogue.project(name)
        elif TaskHints.UNRECORDED in task.hints:
            record = await self._adoption.read(name)
        else:
            return task, None
        return replace(task, earlier=deferred_again(name, task.earlier, "", self._now)), record


def deferred_again(name: ProjectName, earlier: Deferred | None, display: str, now: int) -> Deferred:
    """Return the deferral that has a project synced whatever the index says about changes.

    ``earlier`` is its deferral so far. One that already makes a later run ask stays as it is.
    """
    if earlier is None:
        deferral = structs.replace(incomplete(name, now), display=display)
    elif earlier.deferral is Deferral.PENDING:
        deferral = structs.replace(earlier, deferral=Deferral.INCOMPLETE)
    else:
        return earlier
    return structs.replace(deferral, cause=Cause.DAMAGED, reason=_REASON)


def _project(row: DamagedRow) -> ProjectName | None:
    """Return the project of a damaged row, None if its name is damaged, too."""
    if row.table != "project":
        return None
    try:
        name = project_name(row.key)
    except InvalidValue:
        return None
    return name if name == row.key else None


def _warnings(damaged: Sequence[DamagedRow]) -> Iterable[str]:
    again = "is read again from the tree and the index"
    for row in damaged:
        if not row.table:
            yield (
                f"the catalogue was damaged and is put aside as {row.key}; its undamaged rows are "
                f"kept, and the rest {again}"
            )
    rows = [row for row in damaged if row.table]
    if not rows:
        return
    keys = dict.fromkeys(f"{row.table} {row.key or '(unreadable)'}" for row in rows)
    shown, rest = list(keys)[:_SHOWN], len(rows) - _SHOWN
    others = f" and {rest} more" if rest > 0 else ""
    yield (
        f"the catalogue has damaged rows ({', '.join(shown)}{others}); they are dropped, and what "
        f"they were about {again}"
    )
