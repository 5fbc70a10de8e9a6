"""Has the workers of a fleet examine projects, within the budget of the run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bandersnatch.mirror.verify.findings import Examination, Findings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bandersnatch.catalogue.records import ProjectRecord
    from bandersnatch.clock import Clock
    from bandersnatch.mirror.verify.budget import Budget
    from bandersnatch.mirror.verify.findings import FileSelection

_GRACE = 10.0
"""Seconds after the end of the budget in which a worker has to report."""


class DistributedExaminer:
    """Examines projects as ``Examiner`` does, but in the workers of a fleet.

    What a project is expected to need of the budget is counted when it is handed out, so that
    the projects handed out at a time do not spend the same bytes.
    """

    def __init__(
        self,
        examine: Callable[[ProjectRecord, Examination], Awaitable[Findings]],
        budget: Budget,
        clock: Clock,
    ) -> None:
        self._examine = examine
        self._budget = budget
        self._clock = clock

    async def examine(self, record: ProjectRecord, selection: FileSelection) -> Findings:
        """Examine a project; it is unfinished if the budget is spent before a worker reports.

        :raises StorageError: if the storage fails, or there is no worker.
        :raises LostProcesses: if processes end whenever they examine it.
        """
        at = int(self._clock.now().timestamp())
        seconds, size = self._budget.left
        expected = sum(found.file.size or 0 for found in record.files if selection.has(found))
        self._budget.count(expected)
        examination = Examination(record.name, selection, seconds, size)
        try:
            async with asyncio.timeout(None if seconds is None else seconds + _GRACE):
                findings = await self._examine(record, examination)
        except TimeoutError:
            return Findings(at, is_unfinished=True)
        # What was not read stays counted: a budget that is spent must stay so.
        self._budget.count(max(0, findings.size - expected))
        findings.at = at  # the clock of a worker may be wrong
        return findings
