"""Makes progress durable: first the tree, then the catalogue, then ``todo``."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch import errors
from bandersnatch.catalogue import records
from bandersnatch.mirror.lifecycle import HELD, DeferralChange, RecordChange, TodoChange, transition
from bandersnatch.mirror.losses import LossWindow
from bandersnatch.mirror.state import StateFiles, Todo
from bandersnatch.mirror.tasks import Outcome, Result, SyncTask, TaskHints
from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bandersnatch.catalogue.port import Catalogue
    from bandersnatch.clock import Clock
    from bandersnatch.mirror.lifecycle import Transition
    from bandersnatch.model.names import ProjectName
    from bandersnatch.storage.port import Storage

MAX_BATCH = 500
"""Projects that may be done and not yet recorded."""

MAX_DELAY = 10.0
"""Seconds between two commits, and at least between two writes of ``todo``."""

_CAUSES: Mapping[type[errors.BandersnatchError], records.Cause] = {
    errors.UnavailableHost: records.Cause.UNAVAILABLE,
    errors.RefusedRequest: records.Cause.REFUSED,
    errors.MissingProject: records.Cause.PAGE_MISSING,
    errors.StalePage: records.Cause.PAGE_STALE,
    errors.EmptiedProject: records.Cause.PAGE_EMPTIED,
    errors.WithdrawnFiles: records.Cause.FILES_REMOVED,
    errors.RejectedPage: records.Cause.PAGE_REJECTED,
    errors.MissingFiles: records.Cause.FILES_MISSING,
    errors.ChangedFile: records.Cause.FILE_CHANGED,
    errors.UpstreamError: records.Cause.UPSTREAM,
    errors.StorageError: records.Cause.STORAGE,
}
"""What the catalogue stores of an error; subclasses come before their bases."""

_SYNCED_AGAIN = frozenset({records.Deferral.PENDING, records.Deferral.INCOMPLETE})
"""The deferrals whose project the next run syncs in any case."""


_WITHOUT_RECORD = frozenset({Result.FAILED, Result.REJECTED, Result.UNCHANGED, Result.LOSES_FILES})
"""Results of a standalone command after which the mark with which it began is not needed."""

_FIRST_LOOKS = frozenset(
    {records.Deferral.MISSING_ONCE, records.Deferral.EMPTY_ONCE, records.Deferral.STALE_ONCE}
)


class Checkpoint:
    """Collects the outcomes of a run and commits them in batches.

    One flush of the storage serves a whole batch: pages and files are durable before the rows
    that vouch for them, and these before ``todo`` shrinks. ``todo`` None is for a standalone
    command (``sync``, ``verify``), which leaves ``todo`` and ``status`` as they are.
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
        losses: LossWindow | None = None,
        may_expire: bool = True,
        records_looks: bool = False,
    ) -> None:
        """Assign the ports; ``now`` is when the run began, in seconds since 1970.

        ``cursor`` and ``pending`` are what ``todo`` holds. ``unrecorded`` are projects that have
        no record after their task, and of which an earlier run may have published something.
        ``losses`` are the files that the index took off pages in the last 24 hours; a standalone
        command does not count them.
        ``settled`` are the pending projects that ``status`` does not wait for: two runs in
        succession rejected their pages. ``may_expire`` is as in ``MirrorSnapshot``.
        ``records_looks`` records when the index was asked for pages that are as recorded.
        """
        self._storage = storage
        self._catalogue = catalogue
        self._state = state
        self._clock = clock
        self._standalone = todo is None
        self.cursor = todo.cursor if todo else NO_SERIAL
        self.pending: dict[ProjectName, Serial] = dict(todo.pending) if todo else {}
        self.unrecorded: list[ProjectName] = []
        self.losses = losses or LossWindow()
        self.settled: set[ProjectName] = set()
        self._now = now
        self._may_expire = may_expire
        self._records_looks = records_looks
        self._batch = records.CatalogueUpdate()
        self._done: list[ProjectName] = []
        self._committed_at = self._saved_at = clock.monotonic()
        self._committing = asyncio.Lock()
        self._marking = asyncio.Lock()
        self._marked: set[ProjectName] = set()
        self._to_mark: Iterator[SyncTask] = iter(())

    async def begin(
        self,
        resolved: list[ProjectName],
        tasks: Iterable[SyncTask] = (),
        markers: Mapping[records.Marker, str] | None = None,
    ) -> None:
        """Store the plan; ``resolved`` are the projects whose deferral ends.

        ``tasks`` are in the order in which the executor begins them. ``markers`` are stored
        before anything else changes, ``todo`` included.

        The cursor stays where it was until every task was worked on: an interrupted run reads
        again what the events say besides names and serials.
        """
        self._to_mark = filter(_changes_policy, tasks)
        await self._catalogue.commit(
            records.CatalogueUpdate(resolved=resolved, markers=dict(markers or {}))
        )
        await self._save_todo()

    async def begin_task(self, task: SyncTask) -> None:
        """Mark a project that is to be rendered under another policy as incomplete.

        Its record has the fingerprint of the old policy. If the run is killed and the old policy
        comes back, the record alone would say that nothing has to be done.
        """
        if not _changes_policy(task) or task.name in self._marked:
            return
        async with self._marking:
            if task.name not in self._marked:
                some = [task, *islice(self._to_mark, MAX_BATCH)]
                marks = {each.name: _mark_of(each, self._now) for each in some}
                await self._catalogue.commit(records.CatalogueUpdate(deferred=list(marks.values())))
                self._marked |= marks.keys()

    async def mark(self, names: Iterable[ProjectName]) -> None:
        """Mark projects as incomplete whose pages may differ from their records from now on."""
        marks = [incomplete(name, self._now) for name in names]
        await self._catalogue.commit(records.CatalogueUpdate(deferred=marks))

    async def advance(self, cursor: Serial, markers: Mapping[records.Marker, str]) -> None:
        """Move the cursor, now that every task was worked on, and then store ``markers``.

        The markers let a later run skip work, so they must not exist before the cursor does.
        """
        self.cursor = cursor
        await self.save()
        await self._catalogue.commit(records.CatalogueUpdate(markers=dict(markers)))

    async def add(self, outcome: Outcome) -> None:
        """Take an outcome, and commit if the batch is large or old enough.

        A project without a record that may have been published is added to ``unrecorded``; it
        is done when what is left of it was removed.
        """
        task, change = outcome.task, transition(outcome, self._now, may_expire=self._may_expire)
        _record(outcome, change, self._batch, self._now, standalone=self._standalone)
        if outcome.result is Result.SYNCED and outcome.lost and not self._standalone:
            self.losses = self.losses.added(self._now, outcome.lost)
            self._batch.markers[records.Marker.FILE_LOSSES] = self.losses.render()
        if self._records_looks and outcome.result is Result.UNCHANGED and outcome.record is None:
            self._batch.looked[task.name] = self._now
        cause = records.Cause.NONE if task.earlier is None else task.earlier.cause
        if outcome.result is Result.REJECTED and cause is records.Cause.PAGE_REJECTED:
            self.settled.add(task.name)
        is_unpublished = outcome.result in {Result.EXCLUDED, Result.ABSENT}
        if is_unpublished and TaskHints.MAYBE_PUBLISHED in task.hints:
            self.unrecorded.append(task.name)
        elif change.todo is TodoChange.DONE:
            self._done.append(task.name)
        elif TaskHints.SWEPT in task.hints:
            self.pending[task.name] = task.target_serial
        waited = self._clock.monotonic() - self._committed_at
        is_full = len(self._batch.records) + len(self._batch.looked) >= MAX_BATCH
        is_due = is_full or waited >= MAX_DELAY
        if is_due and not self._committing.locked():
            await self.commit()
            if self._clock.monotonic() - self._saved_at >= MAX_DELAY:
                await self._save_todo()

    async def commit(self, batch: records.CatalogueUpdate | None = None) -> None:
        """Make what was done so far durable and record it, or ``batch`` instead."""
        async with self._committing:
            done: list[ProjectName] = []
            if batch is None:
                batch, self._batch = self._batch, records.CatalogueUpdate()
                done, self._done = self._done, []
            if batch.records or batch.forgotten:
                batch.markers.setdefault(records.Marker.ROOT, records.RootMarker.STALE)
            if batch:
                await self._storage.flush()
                await self._catalogue.commit(batch)
            self.drop_pending(done)
            self._committed_at = self._clock.monotonic()

    async def save(self) -> None:
        """Commit everything, and write ``todo``."""
        await self.commit()
        await self._save_todo()

    async def defer_unvisited(
        self, tasks: Iterable[SyncTask], reason: str, *, unconditional: bool
    ) -> None:
        """Record the projects that a run did not come to, for the next run; they did not fail.

        ``unconditional`` has their pages fetched and their files checked, whatever the index says
        about changes, because that is what this run would have done.
        """
        deferred = [
            _unvisited(task, reason, self._now, unconditional=unconditional)
            for task in tasks
            if task.earlier is None or task.earlier.deferral in _SYNCED_AGAIN
        ]
        for start in range(0, len(deferred), MAX_BATCH):
            some = deferred[start : start + MAX_BATCH]
            await self._catalogue.commit(records.CatalogueUpdate(deferred=some))

    async def defer_removals(
        self,
        tasks: Mapping[ProjectName, SyncTask],
        cause: records.Cause = records.Cause.REMOVAL_LIMIT,
        reason: str = "one run may not remove so many projects",
    ) -> None:
        """Record that the index removed projects, and why they were not removed here."""
        self.pending.update({name: task.target_serial for name, task in tasks.items()})
        await self.commit(
            records.CatalogueUpdate(
                deferred=[
                    records.Deferred(
                        name=name,
                        deferral=records.Deferral.GONE,
                        target_serial=task.target_serial,
                        first_serial=task.first_serial,
                        since=task.noticed_at,
                        tried=self._now,
                        attempts=0,
                        cause=cause,
                        reason=reason,
                        display=task.display,
                    )
                    for name, task in tasks.items()
                ]
            )
        )

    def drop_pending(self, names: Iterable[ProjectName]) -> None:
        """Take projects out of ``todo``, when it is next written."""
        for name in names:
            self.pending.pop(name, None)

    async def _save_todo(self) -> None:
        if not self._standalone:
            await self._state.save_todo(Todo(self.cursor, self.pending))
        self._saved_at = self._clock.monotonic()


# ---------------------------------------------------------------- what is recorded of an outcome


def _record(
    outcome: Outcome,
    change: Transition,
    batch: records.CatalogueUpdate,
    now: int,
    *,
    standalone: bool,
) -> None:
    """Add to ``batch`` what the catalogue has to store of an outcome.

    A standalone command neither adds to what ``mirror`` has to do, nor resolves what it has not
    done.
    """
    name, earlier = outcome.task.name, outcome.task.earlier
    batch.trashed += outcome.removed
    batch.restored += outcome.restored
    if change.record is RecordChange.STORED and outcome.record is not None:
        batch.records.append(outcome.record)
        if outcome.requirements is not None:
            batch.requirements[name] = outcome.requirements
    elif change.record is RecordChange.DELETED:
        batch.forgotten.append(name)
    elif earlier is not None and change.deferral is DeferralChange.RESOLVED:
        batch.resolved.append(name)
    if outcome.result is Result.REJECTED and not standalone:
        batch.rejected[name] = outcome.rejected
    if standalone and earlier is None and outcome.result in _WITHOUT_RECORD:
        batch.resolved.append(name)  # the mark with which the command began
    reflects = NO_SERIAL if outcome.record is None else outcome.record.reflects
    if standalone and earlier is not None and _is_open(earlier, reflects):
        batch.deferred.append(earlier)
    elif isinstance(change.deferral, records.Deferral) and (outcome.incomplete or not standalone):
        batch.deferred.append(_deferred(outcome, change.deferral, now))


def _is_open(earlier: records.Deferred, reflects: Serial) -> bool:
    """Whether a task of a standalone command leaves an earlier deferral open."""
    return earlier.deferral is records.Deferral.UNLISTED or (
        earlier.deferral is not records.Deferral.MISSING_ONCE and reflects < earlier.target_serial
    )


def _deferred(outcome: Outcome, deferral: records.Deferral, now: int) -> records.Deferred:
    task, earlier = outcome.task, outcome.task.earlier
    error = outcome.error or outcome.held_by or outcome.unread
    if earlier is not None and earlier.deferral is deferral:
        since = earlier.since
    else:
        since = now if deferral in records.MISSED else task.noticed_at or now
    attempts = earlier.attempts if earlier is not None else 0
    return records.Deferred(
        name=task.name,
        deferral=deferral,
        target_serial=task.target_serial,
        first_serial=task.first_serial,
        since=since,
        tried=now,
        attempts=attempts + (outcome.result not in HELD),
        cause=_cause_of(error),
        reason="" if error is None else str(error),
        display=task.display,
        removal_serial=task.removal_serial,
        quarantined=task.quarantined,
        noticed_at=task.noticed_at,
        happened_at=task.happened_at,
        seen=outcome.seen,
    )


def _cause_of(error: errors.BandersnatchError | None) -> records.Cause:
    if error is None:
        return records.Cause.NONE
    return next((c for kind, c in _CAUSES.items() if isinstance(error, kind)), records.Cause.OTHER)


def _unvisited(task: SyncTask, reason: str, now: int, *, unconditional: bool) -> records.Deferred:
    """Return what to record of a task that a run did not come to."""
    if task.earlier is None:
        earlier = structs.replace(
            _mark_of(task, now),
            deferral=records.Deferral.PENDING,
            cause=records.Cause.NOT_VISITED,
            reason=reason,
        )
    else:
        earlier = structs.replace(
            task.earlier,
            target_serial=task.target_serial,
            first_serial=task.first_serial,
            display=task.display or task.earlier.display,
            removal_serial=task.removal_serial,
            quarantined=task.quarantined,
            noticed_at=task.noticed_at,
            happened_at=task.happened_at,
        )
    if unconditional or _changes_policy(task):
        return structs.replace(earlier, deferral=records.Deferral.INCOMPLETE)
    return earlier


# ---------------------------------------------------------------- marks


def incomplete(name: ProjectName, now: int) -> records.Deferred:
    """Return the mark of a project that was being worked on, for the run that finds it."""
    return records.Deferred(
        name,
        records.Deferral.INCOMPLETE,
        NO_SERIAL,
        None,
        since=now,
        tried=now,
        attempts=0,
        cause=records.Cause.NONE,
        reason="",
    )


def _changes_policy(task: SyncTask) -> bool:
    """Whether an interruption may leave a page that its record does not describe.

    The first of two looks at a missing, emptied or stale page must not be overwritten.
    """
    return TaskHints.POLICY_CHANGED in task.hints and (
        task.earlier is None or task.earlier.deferral not in _FIRST_LOOKS
    )


def _mark_of(task: SyncTask, now: int) -> records.Deferred:
    """Return the mark of a task that begins, with what is known of the project."""
    if task.earlier is not None:
        return structs.replace(task.earlier, deferral=records.Deferral.INCOMPLETE)
    return structs.replace(
        incomplete(task.name, now),
        target_serial=task.target_serial,
        first_serial=task.first_serial,
        since=task.noticed_at or now,
        display=task.display,
        removal_serial=task.removal_serial,
        quarantined=task.quarantined,
        noticed_at=task.noticed_at,
        happened_at=task.happened_at,
    )
