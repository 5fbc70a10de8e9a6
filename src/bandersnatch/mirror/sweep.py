"""The sweep: asks for pages that may have changed although no serial says so.

A project that is archived, provenance and core metadata that come later do not change its serial
(docs/development/protocol.md, "The sweep").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import ALWAYS, NEVER, Marker
from bandersnatch.mirror.plan import hints_of
from bandersnatch.mirror.tasks import NO_CHANGE, Result, SyncTask, TaskHints
from bandersnatch.model.project import ProjectStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import timedelta

    from bandersnatch.catalogue.port import Catalogue
    from bandersnatch.catalogue.records import ProjectRecord
    from bandersnatch.mirror.tasks import Outcome
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

MOST_PER_HOUR = 5_000
"""Pages for each hour since the last share."""

MOST = 100_000
"""Pages of one run."""

WATCH = 14 * 86_400
"""Seconds after a change in which a page changes often: PyPI accepts new files for so long."""

PAUSE = 86_400
"""Seconds between two looks at a page that is watched."""

_FOUND = frozenset(Result) - {Result.UNCHANGED, Result.FAILED}


def share(projects: int, elapsed: float, interval: timedelta) -> int:
    """Return how many of the projects' pages are due ``elapsed`` seconds after the last share."""
    parts = max(0.0, elapsed) / interval.total_seconds()
    hours = max(0.0, elapsed) / 3600
    return int(min(projects * parts, MOST_PER_HOUR * hours, MOST, projects))


def watched_until(detail: ProjectDetail, record: ProjectRecord | None, now: int) -> int:
    """Return until when the sweep asks for a page more often, in seconds since 1970.

    It does so for ever after a quarantine, and for 14 days after a change or an upload.
    """
    before = NEVER if record is None else record.watched
    if detail.status is ProjectStatus.QUARANTINED or before == ALWAYS:
        return ALWAYS
    known = None if record is None else record.detail.serial
    if known is not None and detail.serial is not None and detail.serial > known:
        return now + WATCH
    uploads = (file.upload_time for file in detail.files if file.upload_time is not None)
    newest = max(uploads, default=None)
    uploaded = NEVER if newest is None else min(now, int(newest.timestamp())) + WATCH
    until = max(before, uploaded)
    return until if until > now else NEVER


def is_found(outcome: Outcome) -> bool:
    """Whether the sweep found a change."""
    return TaskHints.SWEPT in outcome.task.hints and outcome.result in _FOUND


class Sweep:
    """The share of pages that one run asks for."""

    def __init__(
        self,
        catalogue: Catalogue,
        interval: timedelta,
        selects: Callable[[ProjectName], bool],
        now: int,
    ) -> None:
        """Take the collaborators; ``now`` is when the run began, in seconds since 1970."""
        self._catalogue = catalogue
        self._interval = interval
        self._selects = selects
        self._now = self._last = now

    async def begin(self) -> dict[Marker, str]:
        """Read when the last share was; return the marker to store if there was none.

        The first run has no share: it asks for every page anyway.
        """
        text = await self._catalogue.marker(Marker.SWEPT)
        last = int(text) if text.isascii() and text.isdigit() else None
        if last is None or last > self._now:
            return self.done()
        self._last = last
        return {}

    async def count(self) -> int:
        """Return how many pages are due."""
        elapsed = self._now - self._last
        return share(await self._catalogue.count(), elapsed, self._interval) if elapsed else 0

    async def queue(self, count: int, omit: Collection[ProjectName]) -> list[ProjectName]:
        """Return up to ``count`` projects to ask for, in the order of the last looks.

        Up to half of them are watched, the others are those that were not asked for longest.
        ``omit`` are projects that are synced in any case, or were.
        """
        often = await self._next(count // 2, omit, before=self._now - PAUSE, watched=True)
        rest = await self._next(count - len(often), {*omit, *often}, before=self._now)
        return [*often, *rest]

    async def tasks(
        self, names: Collection[ProjectName], fingerprint: Callable[[ProjectName], str]
    ) -> list[SyncTask]:
        """Return the tasks for some projects, with what the catalogue knows of them."""
        summaries = await self._catalogue.summaries(names)
        hints = TaskHints.SWEPT
        return [
            SyncTask(
                name,
                first_serial=NO_CHANGE,
                noticed_at=self._now,
                hints=hints | hints_of(name, summaries, fingerprint),
            )
            for name in names
            if name in summaries
        ]

    def done(self) -> dict[Marker, str]:
        """Return the marker to store once every page that was due was asked for."""
        return {Marker.SWEPT: str(self._now)}

    async def _next(
        self, count: int, omit: Collection[ProjectName], *, before: int, watched: bool = False
    ) -> list[ProjectName]:
        if not count:
            return []
        most = count + len(omit)
        found = await self._catalogue.sweep_queue(self._now, most, before=before, watched=watched)
        return [name for name in found if name not in omit and self._selects(name)][:count]
