"""Examines projects for the coordinator; nothing is written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bandersnatch.cluster import messages
from bandersnatch.cluster.budget import WHOLE
from bandersnatch.mirror.verify.budget import Budget, Pace
from bandersnatch.mirror.verify.examine import Examiner
from bandersnatch.mirror.verify.findings import Examination

if TYPE_CHECKING:
    from bandersnatch.mirror.mirror import Mirror


class ProjectExaminer:
    """Examines projects in one run of ``verify``, so many concurrently as the context says."""

    def __init__(self, mirror: Mirror, context: messages.ExaminationContext) -> None:
        self._mirror = mirror
        self._context = context
        self._slots = asyncio.Semaphore(context.readers)
        self._pace = None if context.rate is None else Pace(mirror.clock, context.rate)

    def assign(self, share: messages.Share) -> None:
        """Change the part of the rate that this worker has."""
        if self._pace is not None:
            self._pace.share = share.permille / WHOLE

    async def examine(self, assignment: messages.Assignment) -> messages.Report:
        """Examine one project, with what the run had left of its budget.

        :raises StorageError: if the storage fails.
        """
        task, record = assignment.task, assignment.record
        assert isinstance(task, Examination), "a job has one kind of tasks"
        assert record is not None, "what is examined has a record"
        async with self._slots:
            budget = Budget(
                self._mirror.clock, seconds=task.seconds, size=task.size, pace=self._pace
            )
            examiner = Examiner.of(
                self._mirror, budget, current_documents=self._context.current_documents
            )
            findings = await examiner.examine(record, task.files)
        return messages.Report(task.name, assignment.attempt, findings=findings)
