"""Progress made safe: what is done reaches the disk, then the catalogue, then ``todo``."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import (
    CatalogueUpdate,
    Cause,
    Deferral,
    Deferred,
    Marker,
    RootMarker,
)
from bandersnatch.errors import (
    ChangedFile,
    EmptiedProject,
    MissingFiles,
    MissingProject,
    RefusedRequest,
    StalePage,
    StorageError,
    TooManyRemovals,
    UnavailableHost,
    UpstreamError,
)
from bandersnatch.mirror.state import Todo
from bandersnatch.mirror.tasks import Result, TaskHints, is_expired
from bandersnatch.model.serials import NO_SERIAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bandersnatch.catalogue.port import Catalogue
    from bandersnatch.clock import Clock
    from bandersnatch.errors import BandersnatchError
    from bandersnatch.mirror.state import StateFiles
    from bandersnatch.mirror.tasks import Outcome, SyncTask
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.serials import Serial
    from bandersnatch.storage.port import Storage

MOST_WAITING = 500
"""Projects that may be done and not yet recorded."""

LONGEST_WAIT = 10.0
"""Seconds between two commits, and at least between two writes of ``todo``."""

_HELD = frozenset({Result.UNWANTED, Result.EMPTIED})
"""What is decided at the end of a run, together with all other removals."""

_NOT_HERE = frozenset({Result.EXCLUDED, Result.ABSENT})

_NOT_DONE = frozenset({Result.FAILED, Result.MISSING_ONCE}) | _HELD
"""What keeps a project in ``todo``, and ``status`` before the change that is not shown."""


_CAUSES: Mapping[type[BandersnatchError], Cause] = {
    UnavailableHost: Cause.UNAVAILABLE,
    RefusedRequest: Cause.REFUSED,
    MissingProject: Cause.PAGE_MISSING,
    StalePage: Cause.PAGE_STALE,
    EmptiedProject: Cause.PAGE_EMPTIED,
    MissingFiles: Cause.FILES_MISSING,
    ChangedFile: Cause.FILE_CHANGED,
    TooManyRemovals: Cause.REMOVAL_LIMIT,
    UpstreamError: Cause.UPSTREAM,
    StorageError: Cause.STORAGE,
}
"""What the catalogue stores of an error; subclasses stand before their bases."""


def cause_of(error: BandersnatchError | None) -> Cause:
    """Return what the catalogue stores of an error, which may be None."""
    if error is None:
        return Cause.NONE
    return next((c for kind, c in _CAUSES.items() if isinstance(error, kind)), Cause.OTHER)


class Checkpoint:
    """Collects the outcomes of a run and commits them in groups.

    One barrier of the file system serves a whole group: pages and files are durable before the
    rows that vouch for them, and those before ``todo`` shrinks. ``todo`` None is for commands
    that work on the side and leave the state as it is.
    """

    def __init__(
        self,
        storage: Storage,
        catalogue: Catalogue,
        state: StateFiles,
        clock: Clock,
        *,
        todo: Todo | None,
        now: int,
    ) -> None:
        self._storage = storage
        self._catalogue = catalogue
        self._state = state
        self._clock = clock
        self._standalone = todo is None
        self.cursor = todo.cursor if todo else NO_SERIAL
        self.pending: dict[ProjectName, Serial] = dict(todo.pending) if todo else {}
        self._now = now
        self._batch = CatalogueUpdate()
        self._done: list[ProjectName] = []
        self.unrecorded: list[ProjectName] = []
        self._committed_at = self._saved_at = clock.monotonic()
        self._lock = asyncio.Lock()
        self._marking = asyncio.Lock()
        self._marked: set[ProjectName] = set()
        self._to_mark: Iterator[SyncTask] = iter(())

    async def begin(
        self,
        finished: list[ProjectName],
        tasks: Iterable[SyncTask] = (),
        markers: Mapping[Marker, str] | None = None,
    ) -> None:
        """Write the plan down; ``finished`` is what nobody has to come back to any more.

        ``tasks`` are in the order in which the executor begins them. ``markers`` are for the
        catalogue before anything is touched, ``todo`` included.

        The cursor stays where it was until everything was visited: what the changes say besides
        names and serials is read again after a run that was cut short.
        """
        self._to_mark = filter(_may_be_interrupted, tasks)
        await self._catalogue.commit(
            CatalogueUpdate(resolved=finished, markers=dict(markers or {}))
        )
        await self._save_todo()

    async def begin_task(self, task: SyncTask) -> None:
        """Write down that a project may be made under other terms from now on.

        Its record tells of the terms that it was made under last. After a kill that would be
        believed as soon as these are in force again, though the tree is another by then.
        """
        if not _may_be_interrupted(task) or task.name in self._marked:
            return
        async with self._marking:
            if task.name not in self._marked:
                some = [task, *islice(self._to_mark, MOST_WAITING)]
                marks = {each.name: _in_hand(each, self._now) for each in some}
                await self._catalogue.commit(CatalogueUpdate(deferred=list(marks.values())))
                self._marked |= marks.keys()

    async def mark(self, names: Iterable[ProjectName]) -> None:
        """Write down that these may be other than they are recorded, or not be, from now on."""
        marks = [handled(name, self._now) for name in names]
        await self._catalogue.commit(CatalogueUpdate(deferred=marks))

    async def reach(self, cursor: Serial, markers: Mapping[Marker, str]) -> None:
        """Move the cursor, now that everything was visited, and then store ``markers``.

        They let a later run leave something out, so they may not be there before the cursor is.
        """
        self.cursor = cursor
        await self.save()
        await self._catalogue.commit(CatalogueUpdate(markers=dict(markers)))

    async def add(self, outcome: Outcome) -> None:
        """Take in what became of a project, and commit if it is time to.

        What is not to be here and may have been published is done when that was removed: it is
        among ``unrecorded`` then.
        """
        _record(outcome, self._batch, self._now, standalone=self._standalone)
        if outcome.result in _NOT_HERE and TaskHints.MAYBE_PUBLISHED in outcome.task.hints:
            self.unrecorded.append(outcome.task.name)
        elif outcome.result not in _NOT_DONE and not _is_doubted(outcome, self._now):
            self._done.append(outcome.task.name)
        waited = self._clock.monotonic() - self._committed_at
        enough = len(self._batch.records) >= MOST_WAITING or waited >= LONGEST_WAIT
        if enough and not self._lock.locked():
            await self.commit()
            if self._clock.monotonic() - self._saved_at >= LONGEST_WAIT:
                await self._save_todo()

    async def commit(self, batch: CatalogueUpdate | None = None) -> None:
        """Make what was done so far durable, and record it; ``batch`` instead if it is given."""
        async with self._lock:
            done: list[ProjectName] = []
            if batch is None:
                batch, self._batch = self._batch, CatalogueUpdate()
                done, self._done = self._done, []
            if batch.records or batch.forgotten:
                batch.markers.setdefault(Marker.ROOT, RootMarker.STALE)
            if batch:
                await self._storage.flush()
                await self._catalogue.commit(batch)
            for name in done:
                self.pending.pop(name, None)
            self._committed_at = self._clock.monotonic()

    async def save(self) -> None:
        """Record everything, and write what is left to ``todo``."""
        await self.commit()
        await self._save_todo()

    def keep_for_later(self, gone: Mapping[ProjectName, SyncTask]) -> CatalogueUpdate:
        """Return what is remembered of projects that are gone and may not be removed now."""
        return CatalogueUpdate(
            deferred=[
                Deferred(
                    name=name,
                    deferral=Deferral.GONE,
                    target_serial=wish.target_serial,
                    first_serial=wish.first_serial,
                    since=wish.noticed_at,
                    tried=self._now,
                    attempts=0,
                    cause=Cause.REMOVAL_LIMIT,
                    reason="one run may not remove so many projects",
                    display=wish.display,
                )
                for name, wish in gone.items()
            ]
        )

    async def _save_todo(self) -> None:
        if not self._standalone:
            await self._state.save_todo(Todo(self.cursor, self.pending))
        self._saved_at = self._clock.monotonic()


def _record(outcome: Outcome, batch: CatalogueUpdate, now: int, *, standalone: bool) -> None:
    """Add to ``batch`` what the catalogue is to remember of an outcome.

    A command on the side neither adds to what ``mirror`` has to come back to, nor takes away
    from it what is not done yet.
    """
    name, earlier = outcome.task.name, outcome.task.earlier
    batch.trashed += outcome.removed
    batch.restored += outcome.restored
    if outcome.record is not None and outcome.result is not Result.UNWANTED:
        batch.records.append(outcome.record)
    elif outcome.result is Result.ABSENT and TaskHints.EXCLUDED in outcome.task.hints:
        batch.forgotten.append(name)
    elif earlier is not None and outcome.result in {Result.UNCHANGED, Result.ABSENT}:
        batch.resolved.append(name)
    deferral = _deferral_of(outcome)
    as_it_was = outcome.result in {Result.FAILED, Result.UNCHANGED}
    if standalone and as_it_was and earlier is None:
        batch.resolved.append(name)
    reached = NO_SERIAL if outcome.record is None else outcome.record.reflects
    if standalone and earlier is not None and _is_still_open(earlier, reached):
        batch.deferred.append(earlier)
    elif deferral is not None and (outcome.incomplete or not standalone):
        batch.deferred.append(_unfinished(outcome, deferral, now))


def _is_still_open(earlier: Deferred, reached: Serial) -> bool:
    """Whether a look at one project leaves open what a look at all of them found."""
    return earlier.deferral == Deferral.UNLISTED or (
        earlier.deferral != Deferral.MISSING_ONCE and reached < earlier.target_serial
    )


def _is_doubted(outcome: Outcome, now: int) -> bool:
    """Whether the page of a project that is not listed may be one that a cache still has."""
    earlier = outcome.task.earlier
    if earlier is None or earlier.deferral != Deferral.UNLISTED:
        return outcome.unlisted
    return outcome.unlisted and not is_expired(earlier.since, now)


def handled(name: ProjectName, now: int) -> Deferred:
    """Return the note that a project was in hand, for the run that finds it there."""
    return Deferred(
        name,
        Deferral.INCOMPLETE,
        NO_SERIAL,
        None,
        since=now,
        tried=now,
        attempts=0,
        cause=Cause.NONE,
        reason="",
    )


def _may_be_interrupted(task: SyncTask) -> bool:
    """Whether a stop in the middle would leave another page than the record tells of.

    The first of the two looks at a project that seems to be gone is not to be forgotten.
    """
    return TaskHints.POLICY_CHANGED in task.hints and (
        task.earlier is None or task.earlier.deferral != Deferral.MISSING_ONCE
    )


def _in_hand(task: SyncTask, now: int) -> Deferred:
    """Return the note that a project is being made anew, with what is known of it already."""
    if task.earlier is not None:
        return replace(task.earlier, deferral=Deferral.INCOMPLETE)
    noted = handled(task.name, now)
    since = task.noticed_at or now
    return replace(
        noted,
        target_serial=task.target_serial,
        first_serial=task.first_serial,
        since=since,
        display=task.display,
    )


def _deferral_of(outcome: Outcome) -> Deferral | None:
    """Return what a later run has to do.

    What is held is told of as incomplete: a removal may be cut short, and then the project is
    looked at even if the filters want it again. What was incomplete is so until it succeeds.
    """
    earlier = outcome.task.earlier
    cut_short = earlier is not None and earlier.deferral == Deferral.INCOMPLETE
    if outcome.result is Result.FAILED and not cut_short:
        return Deferral.PENDING
    if outcome.result is Result.FAILED or outcome.result in _HELD:
        return Deferral.INCOMPLETE
    if outcome.result is Result.MISSING_ONCE:
        return Deferral.MISSING_ONCE
    if outcome.unlisted:
        return Deferral.UNLISTED
    return Deferral.INCOMPLETE if outcome.incomplete else None


def _unfinished(outcome: Outcome, deferral: Deferral, now: int) -> Deferred:
    task, earlier, error = outcome.task, outcome.task.earlier, outcome.error
    same = earlier is not None and earlier.deferral == deferral
    since = earlier.since if earlier is not None and same else (task.noticed_at or now)
    if deferral in {Deferral.MISSING_ONCE, Deferral.UNLISTED} and not same:
        since = now  # the first of the looks, whenever the project became wanted
    return Deferred(
        name=task.name,
        deferral=deferral,
        target_serial=task.target_serial,
        first_serial=task.first_serial,
        since=since,
        tried=now,
        attempts=(earlier.attempts if earlier is not None else 0) + (outcome.result not in _HELD),
        cause=cause_of(error),
        reason=str(error) if error is not None else "",
        display=task.display,
    )
