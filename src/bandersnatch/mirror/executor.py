"""Works on the tasks of a run concurrently: retries, reports outcomes, and stops when useless."""

from __future__ import annotations

import asyncio
from traceback import format_exc
from typing import TYPE_CHECKING

from bandersnatch import errors
from bandersnatch.concurrency import WorkQueue, run_pool, task_group
from bandersnatch.events import (
    FilesFiltered,
    Halted,
    ProjectAbsent,
    ProjectBlocked,
    ProjectExcluded,
    ProjectFailed,
    ProjectPostponed,
    ProjectSynced,
    ProjectUnchanged,
    Warned,
)
from bandersnatch.layout import StorageKey
from bandersnatch.mirror.index_check import is_wrong_url_sign
from bandersnatch.mirror.sweep import is_found
from bandersnatch.mirror.tasks import Outcome, Result, SyncTask
from bandersnatch.model.project import UnknownStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from bandersnatch.catalogue.records import ProjectRecord
    from bandersnatch.clock import Clock
    from bandersnatch.events import EventSink
    from bandersnatch.mirror.checkpoint import Checkpoint
    from bandersnatch.mirror.health import IndexHealth
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectStatus

PAUSES: Mapping[type[errors.BandersnatchError], tuple[float, ...]] = {
    errors.StalePage: (2.0, 5.0, 15.0, 60.0),
    # Caches on the way may store for a minute that a page is missing.
    errors.MissingProject: (61.0,),
}
"""Seconds after which a task is retried in the same run, by the error that it failed with."""

STRAGGLER_WAIT = 120.0
"""Seconds that the root page waits for the last tasks."""

MAX_ATTEMPTS = 8
"""Failed runs after which a project is tried only once a run."""

_ANSWERED = frozenset({Result.SYNCED, Result.UNCHANGED, Result.LOSES_FILES})
"""Results for which the index gave a usable page."""

_OF_ONE_PROJECT = (errors.ObstructedPath, errors.InsufficientSpace, errors.UnstorableName)
"""Failures of the storage that concern one project only."""


class Executor:
    """Works on the tasks of a plan, several at a time."""

    def __init__(
        self,
        sync: Callable[[SyncTask], Awaitable[Outcome]],
        checkpoint: Checkpoint,
        clock: Clock,
        events: EventSink,
        probe: Callable[[StorageKey], Awaitable[None]],
        health: IndexHealth,
        *,
        publish_root: Callable[[], Awaitable[object]],
        stop_on_error: bool = False,
        standalone: bool = False,
        straggler_wait: float = STRAGGLER_WAIT,
    ) -> None:
        """Assign the collaborators.

        ``probe`` raises a ``StorageError`` if the storage does not work at all where a key is.
        ``publish_root`` publishes the root page while tasks are still worked on, when the last of
        them take longer than ``straggler_wait`` seconds. ``standalone`` is for a command that no
        later run continues.
        """
        self._sync = sync
        self._checkpoint = checkpoint
        self._clock = clock
        self._events = events
        self._probe = probe
        self._health = health
        self._publish_root = publish_root
        self._straggler_wait = straggler_wait
        self._stop_on_error = stop_on_error
        self._standalone = standalone
        self._postponed: dict[ProjectName, int] = {}
        self._reported_space = False
        self._unknown: set[UnknownStatus] = set()
        self.gone: dict[ProjectName, SyncTask] = {}
        self.unwanted: dict[ProjectName, ProjectRecord] = {}
        self.emptied: dict[ProjectName, SyncTask] = {}
        self.empty: dict[ProjectName, SyncTask] = {}
        self.losing: dict[ProjectName, Outcome] = {}
        self.failed: set[ProjectName] = set()
        self.unvisited: dict[ProjectName, SyncTask] = {}
        self.complete = True
        self.answered = False
        self.failed_otherwise = False
        self.succeeded = self.found_by_sweep = 0

    async def run(self, tasks: Collection[SyncTask], *, workers: int) -> None:
        """Work on every task.

        Afterwards ``gone`` are the projects that the index no longer has, ``unwanted`` those that
        the page filters drop now, with the records to store once they are removed, and
        ``emptied`` those that would lose all their files to the filters. ``empty`` are those that
        have no files on the index, for the second time, and ``losing`` those that lost some there.
        ``failed`` are the projects that could not be synced, and ``succeeded`` counts those for
        which the index gave a usable page, ``found_by_sweep`` those of the sweep that had changed.
        ``unvisited`` are those whose task was not worked on,
        because the operator wants the run to stop at an error, or because limits of the index
        postponed them until nothing else was left to do. ``complete`` is False if the index was
        given up before every task was worked on. ``answered`` says that the index answered for at
        least one, ``failed_otherwise`` that one failed for another reason than that its page is
        missing or cannot be read.

        :raises StorageError: if the storage fails; everything stops then.
        """
        self.unvisited = {task.name: task for task in tasks}
        queue = WorkQueue(tasks, self._clock)

        async def execute(task: SyncTask) -> None:
            await self._execute(task, queue)

        async with task_group() as group:
            early = group.create_task(self._publish_early(queue))
            await run_pool(queue, execute, workers=max(1, min(workers, len(tasks))))
            early.cancel()

    def merge(self, other: Executor) -> None:
        """Add what another executor of the same run found, which worked on later tasks."""
        for mine, found in (
            (self.gone, other.gone),
            (self.emptied, other.emptied),
            (self.empty, other.empty),
            (self.unvisited, other.unvisited),
        ):
            mine.update(found)
        self.unwanted.update(other.unwanted)
        self.losing.update(other.losing)
        self.failed |= other.failed
        self.complete = self.complete and other.complete
        self.answered = self.answered or other.answered
        self.failed_otherwise = self.failed_otherwise or other.failed_otherwise
        self.succeeded += other.succeeded

    async def _publish_early(self, queue: WorkQueue[SyncTask]) -> None:
        """Publish the root page if the last tasks take long, a large download for example.

        The time is that of the event loop: a clock that a test moves says nothing about work.
        """
        if self._standalone:
            return
        await queue.drained.wait()
        await asyncio.sleep(self._straggler_wait)
        await self._checkpoint.commit()
        await self._publish_root()

    async def _execute(self, task: SyncTask, queue: WorkQueue[SyncTask]) -> None:
        await self._checkpoint.begin_task(task)
        try:
            outcome = await self._sync_bounded(task)
        except errors.BandersnatchError as error:
            if not await self._is_of_one_project(error):
                raise
            if self._postpone(task, error, queue):
                return
            outcome = Outcome(task, Result.FAILED, error=error)
            self.failed.add(task.name)
        self.unvisited.pop(task.name, None)
        self._report(outcome)
        self._collect(outcome)
        await self._checkpoint.add(outcome)
        await self._watch(outcome, queue)

    async def _is_of_one_project(self, error: errors.BandersnatchError) -> bool:
        """Whether an error concerns one project only.

        :raises StorageError: if an error at one place turns out to be one of the whole storage.
        """
        if isinstance(error, errors.UnusablePlace):
            await self._probe(StorageKey(error.key))
            return True
        return not isinstance(error, errors.StorageError) or isinstance(error, _OF_ONE_PROJECT)

    async def _sync_bounded(self, task: SyncTask) -> Outcome:
        """Sync a project; whatever unforeseen goes wrong is that project's failure.

        :raises UnexpectedError: for an exception that nothing of this program raises on purpose.
        :raises MemoryError: because it concerns the whole run, as do the errors of the catalogue.
        """
        try:
            return await self._sync(task)
        except (errors.BandersnatchError, MemoryError):
            raise
        except Exception as error:
            raise errors.UnexpectedError(error, format_exc()) from error

    def _collect(self, outcome: Outcome) -> None:
        """Collect what the end of the run decides about."""
        task = outcome.task
        self.found_by_sweep += is_found(outcome)
        if outcome.result is Result.REJECTED:
            self.failed.add(task.name)
        elif outcome.result is Result.GONE:
            self.gone[task.name] = task
        elif outcome.result is Result.EMPTIED:
            self.emptied[task.name] = task
        elif outcome.result is Result.EMPTY:
            self.empty[task.name] = task
        elif outcome.result is Result.LOSES_FILES:
            self.losing[task.name] = outcome
        elif outcome.result is Result.UNWANTED and outcome.record is not None:
            self.unwanted[task.name] = outcome.record

    def _postpone(
        self, task: SyncTask, error: errors.BandersnatchError, queue: WorkQueue[SyncTask]
    ) -> bool:
        """Queue a task again whose page may change soon; return whether that was done.

        What the index's limits postpone does not keep the run from ending: the next run does it.
        """
        if isinstance(error, errors.PacedRequest):
            queue.delay(task, error.seconds, optional=not self._standalone)
            self._events(ProjectPostponed(task.name, error, error.seconds))
            return True
        pauses = PAUSES.get(type(error), ())
        retries = self._postponed.get(task.name, 0)
        is_hopeless = task.earlier is not None and task.earlier.attempts >= MAX_ATTEMPTS
        if retries >= len(pauses) or is_hopeless or self._standalone:
            return False
        self._postponed[task.name] = retries + 1
        queue.delay(task, pauses[retries])
        self._events(ProjectPostponed(task.name, error, pauses[retries]))
        return True

    def _report(self, outcome: Outcome) -> None:
        name = outcome.task.name
        for each in outcome.dropped:
            size = sum(file.size or 0 for file in each.files)
            self._events(FilesFiltered(name, each.by, len(each.files), size))
        if outcome.result is Result.REJECTED and not self._standalone:
            pass  # the end of the run reports all rejected files together
        elif outcome.error is not None:
            self._report_failure(name, outcome.error)
        elif outcome.result is Result.SYNCED:
            assert outcome.record is not None, "what was synced has a record"
            self._events(ProjectSynced(name, outcome.record.detail.serial))
        elif outcome.result is Result.ABSENT:
            self._events(ProjectAbsent(name))
        elif outcome.result is Result.EXCLUDED:
            self._events(ProjectExcluded(name, outcome.dropped[-1].by))
        elif outcome.result is Result.UNCHANGED:
            self._events(ProjectUnchanged(name))
        self._report_waiting(outcome)
        if outcome.record is not None:
            self._report_status(name, outcome.record.detail.status)

    def _report_status(self, name: ProjectName, status: ProjectStatus | UnknownStatus) -> None:
        """Warn once about each status that this release does not know."""
        if isinstance(status, UnknownStatus) and status not in self._unknown:
            self._unknown.add(status)
            text = f"{name} has the project status {status.value!a}"
            self._events(
                Warned(f"{text}, which this release does not know; it is passed on as it is")
            )

    def _report_waiting(self, outcome: Outcome) -> None:
        """Warn about a project that waits for a later look."""
        name = outcome.task.name
        if outcome.unlisted:
            self._events(
                Warned(
                    f"the index does not list {name}, but has a page of it; one of them is stale"
                )
            )
        elif outcome.unread is not None and outcome.error is None:
            text = f"{name}: {outcome.unread}; what its HTML page says is used until a later run"
            self._events(Warned(f"{text} can read the JSON page"))
        elif outcome.result is Result.STALE_ONCE:
            self._events(
                Warned(f"{outcome.held_by}, since long ago; the next run publishes the same page")
            )
        elif outcome.result is Result.EMPTY_ONCE:
            self._events(Warned(str(outcome.held_by)))
        elif outcome.result is Result.LOSES_FILES and self._standalone:
            self._events(Warned(f"{name}: {outcome.held_by}; the next run of mirror decides"))
        elif outcome.result is Result.MISSING_ONCE:
            self._events(
                Warned(f"{name} seems to be removed from the index; the next run checks again")
            )

    def _report_failure(self, name: ProjectName, error: errors.BandersnatchError) -> None:
        if not isinstance(error, errors.InsufficientSpace):
            self._events(ProjectFailed(name, error, will_retry=not self._standalone))
            return
        # The disk is full for all: report it once as a halt, and each project briefly.
        if not self._reported_space:
            self._events(Halted(error))
        self._reported_space = True
        self._events(ProjectBlocked(name, error))

    async def _watch(self, outcome: Outcome, queue: WorkQueue[SyncTask]) -> None:
        """Close the queue when more requests would be useless, or the operator wants it."""
        error = None if outcome.result is Result.REJECTED else outcome.error
        self.answered = self.answered or not isinstance(error, errors.UnavailableHost)
        self.failed_otherwise |= error is not None and not is_wrong_url_sign(error)
        self.succeeded += outcome.result in _ANSWERED and error is None
        if error is not None and self._stop_on_error:
            queue.close()
        elif halt := await self._health.after(outcome):
            self._events(Halted(errors.UnusableIndex(halt)))
            self.complete = False
            queue.close()
