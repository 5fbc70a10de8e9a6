"""What the coordinator keeps of the projects that it has handed out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bandersnatch.cluster import messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bandersnatch.catalogue.records import ProjectRecord
    from bandersnatch.closure.state import ClosureState
    from bandersnatch.mirror.authority import LocalAuthority
    from bandersnatch.mirror.tasks import RunContext, SyncTask
    from bandersnatch.mirror.verify.findings import Examination
    from bandersnatch.model.names import ProjectName

_ALONE = 500
"""Files of a project that has a job of its own."""


class SyncWork:
    """The projects of one executor, which are synced."""

    def __init__(
        self, context: RunContext, authority: LocalAuthority, closure: ClosureState | None
    ) -> None:
        self._context = context
        self.authority = authority
        self._closure = closure

    def context_of(self, flights: Sequence[Flight], /) -> messages.SyncContext:
        """Return the context of a job of these projects."""
        context = self._context
        names = {each.task.name for each in flights}
        may_lose = context.may_lose
        return messages.SyncContext(
            accepted=context.accepted & names,
            force=context.force,
            established=context.established,
            may_empty=context.may_empty,
            may_lose=may_lose and {n: count for n, count in may_lose.items() if n in names},
            may_expire=context.may_expire,
            cursor=context.cursor,
            newest=context.newest,
            ceiling=context.ceiling,
            asked={} if self._closure is None else self._closure.asked_of(names),
        )


class ExaminationWork:
    """The projects of one run of ``verify``, which are examined."""

    def __init__(self, context: messages.ExaminationContext) -> None:
        self._context = context

    def context_of(self, _: Sequence[Flight], /) -> messages.ExaminationContext:
        """Return the context of a job of these projects."""
        return self._context


class Flight:
    """A project that a worker has, or that waits for one."""

    def __init__(
        self,
        task: SyncTask | Examination,
        record: ProjectRecord | None,
        work: SyncWork | ExaminationWork,
    ) -> None:
        self.task = task
        self.record = record
        self.work = work
        self.attempt = 0
        self.losses = 0
        self.done: asyncio.Future[messages.Report] = asyncio.get_running_loop().create_future()
        self.written: set[str] = set()
        self.deleted: set[str] = set()

    @property
    def is_large(self) -> bool:
        """Whether it has a job of its own."""
        return self.record is not None and len(self.record.files) >= _ALONE


class Batch:
    """A job that is not reported completely; ``held`` is when it was last known to be held.

    ``flights`` are the attempts that have not reported their end.
    """

    def __init__(self, number: int, job: int, flights: dict[ProjectName, int], now: float) -> None:
        self.number = number
        self.job = job
        self.flights = flights
        self.held = now
