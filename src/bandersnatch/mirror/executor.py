"""The visits of a run: who comes back later, who failed, and when to stop asking."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.concurrency import WorkQueue, run_pool
from bandersnatch.errors import (
    BandersnatchError,
    InsufficientSpace,
    MissingFiles,
    MissingProject,
    ObstructedPath,
    StalePage,
    StorageError,
    UnavailableHost,
    UnstorableName,
    UnusableIndex,
)
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
from bandersnatch.mirror.tasks import Outcome, Result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from bandersnatch.catalogue.records import ProjectRecord
    from bandersnatch.clock import Clock
    from bandersnatch.events import EventSink
    from bandersnatch.mirror.checkpoint import Checkpoint
    from bandersnatch.mirror.tasks import SyncTask
    from bandersnatch.model.names import ProjectName

PAUSES: Mapping[type[BandersnatchError], tuple[float, ...]] = {
    StalePage: (2.0, 5.0, 15.0, 60.0),
    # A missing page may be remembered for a minute by the caches on the way.
    MissingProject: (61.0,),
}
"""Seconds after which a project is looked at again in the same run, at the back of the queue."""

PATIENCE = 8
"""Failed runs after which a project gets one try a run and not several."""

SILENT = 20
"""Projects in a row that a host did not answer for, after which the run stops asking."""

_OF_ONE_PROJECT = (ObstructedPath, InsufficientSpace, UnstorableName)
"""What a storage cannot do for one project, while it can do it for others."""

MISSING, MISSING_SHARE = 20, 0.01
"""The larger of a count and a share of listed projects whose page is missing: the same."""


class Executor:
    """Visits the projects of a plan, several at a time."""

    def __init__(
        self,
        sync: Callable[[SyncTask], Awaitable[Outcome]],
        checkpoint: Checkpoint,
        clock: Clock,
        events: EventSink,
        *,
        stop_on_error: bool = False,
        standalone: bool = False,
    ) -> None:
        """Take what is needed; ``standalone`` is for a command that no later run goes on with."""
        self._sync = sync
        self._checkpoint = checkpoint
        self._clock = clock
        self._events = events
        self._stop_on_error = stop_on_error
        self._standalone = standalone
        self._postponed: dict[ProjectName, int] = {}
        self._unanswered = 0
        self._missing = 0
        self._asked = 0
        self._reported_space = False
        self.gone: dict[ProjectName, SyncTask] = {}
        self.unwanted: dict[ProjectName, ProjectRecord] = {}
        self.emptied: dict[ProjectName, SyncTask] = {}
        self.failed: set[ProjectName] = set()
        self.complete = True
        self.answered = False
        self.succeeded = 0

    async def run(self, tasks: Collection[SyncTask], *, workers: int) -> None:
        """Visit every project.

        Afterwards ``gone`` has those that the index no longer has, ``unwanted`` those that the
        filters want nothing of any more, with what is to be remembered of them, and ``emptied``
        those that would lose all their files to the filters. ``failed`` are those that are not as
        the index has them.
        ``succeeded`` counts the projects that are as the index has them, or unchanged;
        ``complete`` tells whether it was every one, or the run stopped asking; ``answered``
        whether the index answered for any.

        :raises StorageError: if the storage fails; everything stops then.
        """
        self._asked = len(tasks)
        queue = WorkQueue(tasks, self._clock)

        async def execute(task: SyncTask) -> None:
            await self._execute(task, queue)

        await run_pool(queue, execute, workers=max(1, min(workers, len(tasks))))

    async def _execute(self, task: SyncTask, queue: WorkQueue[SyncTask]) -> None:
        try:
            await self._checkpoint.begin_task(task)
            outcome = await self._sync(task)
        except BandersnatchError as error:
            if isinstance(error, StorageError) and not isinstance(error, _OF_ONE_PROJECT):
                raise
            if self._postpone(task, error, queue):
                return
            outcome = Outcome(task, Result.FAILED, error=error)
            self.failed.add(task.name)
        self._report(outcome)
        if outcome.result is Result.GONE:
            self.gone[task.name] = task
        elif outcome.result is Result.EMPTIED:
            self.emptied[task.name] = task
        elif outcome.result is Result.UNWANTED and outcome.record is not None:
            self.unwanted[task.name] = outcome.record
        await self._checkpoint.add(outcome)
        self._watch(outcome, queue)

    def _postpone(
        self, task: SyncTask, error: BandersnatchError, queue: WorkQueue[SyncTask]
    ) -> bool:
        """Put a project off whose page may be there, or newer, in a while."""
        pauses = PAUSES.get(type(error), ())
        tried = self._postponed.get(task.name, 0)
        tired = task.earlier is not None and task.earlier.attempts >= PATIENCE
        if tried >= len(pauses) or tired or self._standalone:
            return False
        self._postponed[task.name] = tried + 1
        queue.put_off(task, pauses[tried])
        self._events(ProjectPostponed(task.name, error, pauses[tried]))
        return True

    def _report(self, outcome: Outcome) -> None:
        name = outcome.task.name
        for each in outcome.dropped:
            size = sum(file.size or 0 for file in each.files)
            self._events(FilesFiltered(name, each.by, len(each.files), size))
        if outcome.error is not None:
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
        if outcome.unlisted:
            self._events(
                Warned(f"the index does not list {name}, and has a page of it; one of them is old")
            )
        elif outcome.result is Result.MISSING_ONCE:
            self._events(
                Warned(f"{name} seems to be gone from the index; the next run looks again")
            )

    def _report_failure(self, name: ProjectName, error: BandersnatchError) -> None:
        if not isinstance(error, InsufficientSpace):
            self._events(ProjectFailed(name, error, will_retry=not self._standalone))
            return
        # The disk is what failed, and thousands of projects may want something of it.
        if not self._reported_space:
            self._events(Halted(error))
        self._reported_space = True
        self._events(ProjectBlocked(name, error))

    def _watch(self, outcome: Outcome, queue: WorkQueue[SyncTask]) -> None:
        """Stop asking when that has become pointless."""
        error = outcome.error
        silent = isinstance(error, UnavailableHost) or (
            isinstance(error, MissingFiles) and error.unavailable
        )
        self._unanswered = self._unanswered + 1 if silent else 0
        self.answered = self.answered or not isinstance(error, UnavailableHost)
        self.succeeded += outcome.result in {Result.SYNCED, Result.UNCHANGED} and error is None
        self._missing += isinstance(error, MissingProject)
        reason = ""
        if self._unanswered >= SILENT:
            reason = f"{self._unanswered} projects in a row got no answer; the last: {error}"
        elif self._missing > max(MISSING, self._asked * MISSING_SHARE):
            reason = f"the index has no page for {self._missing} of {self._asked} projects it lists"
        if reason:
            self._events(Halted(UnusableIndex(reason)))
        if reason or (error is not None and self._stop_on_error):
            self.complete = False
            queue.close()
