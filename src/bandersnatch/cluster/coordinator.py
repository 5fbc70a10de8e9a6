"""The coordinator: hands the projects of a run to workers, and decides what they ask for.

It stays the only process that records anything. A batch of projects is a job. A job is held as long
as it waits in the queue, or a live worker says that it has it; a job without a holder is lost, and
its projects are offered again, each with the next number of attempt. An attempt that was given up
never counts again; as it may still be at work for one more request, the next run compares its
project.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, structs

from bandersnatch.catalogue.records import CatalogueUpdate, Cause, Deferral, Deferred
from bandersnatch.cluster import messages
from bandersnatch.cluster.budget import WHOLE, divide_all
from bandersnatch.cluster.flights import Batch, ExaminationWork, Flight, SyncWork
from bandersnatch.cluster.pauses import HostPauses
from bandersnatch.concurrency import task_group, wait_at_most
from bandersnatch.errors import LostProcesses, MissingWorkers
from bandersnatch.events import JobsEnded, Warned
from bandersnatch.layout import CLUSTER
from bandersnatch.mirror.authority import LocalAuthority
from bandersnatch.mirror.checkpoint import incomplete
from bandersnatch.mirror.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Collection,
        Mapping,
        Sequence,
    )
    from datetime import datetime

    from bandersnatch.catalogue.records import ProjectRecord
    from bandersnatch.cluster.port import CoordinatorQueue, SeenWorker
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.tasks import Outcome, RunContext, SyncTask
    from bandersnatch.mirror.verify.findings import Examination, Findings
    from bandersnatch.model.names import ProjectName

MOST_IN_A_JOB = 20
"""Projects of a job."""

_JOB_TIME = 2.0
"""Seconds that a job should take: the last jobs of a run are not done at the same time."""

_WEIGHT = 0.2
"""The weight of the last measurement in the rate of a worker."""

_FIRST_SIZE = 5
"""Projects of a job before the rate is known."""

_LOOK = 1.0
"""Seconds between two looks at the workers."""

_GATHER = 0.02
"""Seconds in which projects are gathered for a job."""

MOST_LOSSES = 3
"""Processes of this machine that may end while they sync the same project."""

_IN_DOUBT = "a worker was given up while it worked on this project"


class ChangeRecorder(Protocol):
    """Records changes of the served tree before they are made; see ``storage.journal``."""

    def expect(self, written: Collection[str], deleted: Collection[str]) -> None:
        """Record changes that a worker is about to make."""
        ...

    def settle(self, written: Collection[str], deleted: Collection[str]) -> None:
        """Forget changes whose outcome is reported."""
        ...


class ClusterTimes(Struct, frozen=True):
    """``lost_after`` is after how many seconds without a sign of life a worker counts as lost.

    A run that has no worker for ``wait`` seconds ends.
    """

    lost_after: float = 30.0
    wait: float = 60.0


class _Known:
    """A worker; ``seen`` is when its last sign of life came, ``age`` how long ago that is.

    Time in which the queue could not be read does not count.
    """

    def __init__(self, found: SeenWorker) -> None:
        self.found = found
        self.age = 0.0
        self.share = messages.Share()
        self.sequence = -1


class Coordinator(Fleet):
    """The workers of one run; ``open`` begins it."""

    def __init__(
        self,
        queue: CoordinatorQueue,
        mirror: Mirror,
        notice: messages.RunNotice,
        times: ClusterTimes,
        recorder: ChangeRecorder | None = None,
        *,
        processes: int = 1,
    ) -> None:
        """Assign the collaborators; ``recorder`` is None if no changes are recorded.

        ``processes`` is how many workers share a machine.
        """
        self._queue = queue
        self._mirror = mirror
        self._notice = notice
        self._times = times
        self._recorder = recorder
        self._processes = processes
        self._flights: dict[ProjectName, Flight] = {}
        self._offered: deque[Flight] = deque()
        self._batches: dict[int, Batch] = {}
        self._by_project: dict[ProjectName, Batch] = {}
        self._seen: dict[int, _Known] = {}  # with those that are lost
        self._workers: dict[int, _Known] = {}
        self._refused: set[str] = set()
        self._numbers = 0
        self._wake = asyncio.Event()
        self._rate = 0.0
        self._finished = 0
        self._alone = 0.0
        self._attempts = 0
        self._reading = asyncio.Lock()
        self._hurry = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._answers: set[asyncio.Task[None]] = set()
        self._failure: MissingWorkers | None = None
        self._pauses = HostPauses()
        self._jobs_done = self._jobs_lost = 0

    # ------------------------------------------------------------ a run

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Coordinator]:
        """Begin the run, and end it with the block.

        :raises StorageError: if the queue or the storage cannot be used.
        """
        if not self._notice.is_local:
            await self._mirror.storage.write({CLUSTER: self._notice.run.encode()}, durable=True)
        doubtful = await self._queue.begin(self._notice)
        await self._defer(doubtful)
        await self._queue.settle_doubts()
        try:
            async with task_group() as group:
                self._group = group
                tasks = [group.create_task(each) for each in (self._look(), self._dispatch())]
                tasks.append(group.create_task(self._read()))
                try:
                    yield self
                finally:
                    for each in (*tasks, *self._answers):
                        each.cancel()
        finally:
            await self._queue.end()
            if self._numbers:
                ended = JobsEnded(len(self._seen), self._jobs_done, self._jobs_lost)
                self._mirror.events(ended)

    async def _defer(self, names: Collection[ProjectName]) -> None:
        """Have projects in doubt compared by this run."""
        catalogue, now = self._mirror.catalogue, int(self._mirror.clock.now().timestamp())
        known = {each.name: each for each in await catalogue.deferred()}
        deferred = [_in_doubt(name, known.get(name), now) for name in names]
        changed = [each for each in deferred if each != known.get(each.name)]
        if changed:
            await catalogue.commit(CatalogueUpdate(deferred=changed))
            text = f"{len(changed)} project(s) are compared again: {_IN_DOUBT} in an earlier run"
            self._mirror.events(Warned(text))

    @property
    def concurrency(self) -> int:
        settings = self._mirror.settings.index
        return max(200, 4 * (settings.workers + settings.download_workers))

    def syncing(
        self, mirror: Mirror, context: RunContext, began: datetime, /
    ) -> Callable[[SyncTask], Awaitable[Outcome]]:
        authority = LocalAuthority.of(mirror, context, began)
        work = SyncWork(context, authority, mirror.closure)

        async def sync(task: SyncTask) -> Outcome:
            task, record = await authority.record_for(task)
            flight = Flight(task, record, work)
            report = await self._fly(flight)
            if report.error is not None:
                raise report.error
            outcome = report.outcome
            assert outcome is not None, "a report has an outcome or an error"
            return await _after(outcome, report, authority)

        return sync

    def examining(
        self, readers: int, rate: float | None, /, *, current_documents: bool
    ) -> Callable[[ProjectRecord, Examination], Awaitable[Findings]]:
        own = -(-readers // self._processes)  # rounded up
        work = ExaminationWork(messages.ExaminationContext(own, rate, current_documents))

        async def examine(record: ProjectRecord, examination: Examination) -> Findings:
            report = await self._fly(Flight(examination, record, work))
            if report.error is not None:
                raise report.error
            assert report.findings is not None, "a report has findings or an error"
            return report.findings

        return examine

    async def _fly(self, flight: Flight) -> messages.Report:
        """Have a worker do what a project needs, and return the report about it."""
        if self._failure is not None:
            raise self._failure
        name = flight.task.name
        self._flights[name] = flight
        self._again(flight)
        try:
            return await flight.done
        finally:
            self._flights.pop(name, None)
            self._by_project.pop(name, None)

    def _again(self, flight: Flight) -> None:
        """Offer a project to the workers, with the next number of attempt in this run."""
        self._attempts += 1
        flight.attempt = self._attempts
        self._offered.append(flight)
        self._wake.set()

    # ------------------------------------------------------------ handing out

    async def _dispatch(self) -> None:
        """Make jobs of the projects that are offered."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(_GATHER)
            while self._offered and (flights := self._next_job()):
                await self._put(flights)

    def _next_job(self) -> list[Flight]:
        """Return the projects of the next job; none if there is enough work in the queue."""
        live = max(1, len(self._workers))
        waiting = sum(1 for each in self._batches.values() if not self._is_taken(each))
        size = self._size()
        if len(self._offered) < size and waiting >= live:
            return []
        flights: list[Flight] = []
        while self._offered and len(flights) < size:
            flight = self._offered[0]
            is_other = flights and flight.work is not flights[0].work
            is_alone = flight.is_large or bool(flight.losses)
            if is_other or (flights and is_alone):
                break
            self._offered.popleft()
            if not flight.done.done():
                flights.append(flight)
            if is_alone:
                break
        return flights

    def _is_taken(self, batch: Batch) -> bool:
        return any(batch.number in each.found.state.batches for each in self._workers.values())

    def _size(self) -> int:
        """Return how many projects a job should have."""
        if not self._rate:
            return _FIRST_SIZE
        return max(1, min(MOST_IN_A_JOB, round(self._rate * _JOB_TIME)))

    async def _put(self, flights: Sequence[Flight]) -> None:
        self._numbers += 1
        number = self._numbers
        job = messages.Job(
            self._notice.run,
            number,
            flights[0].work.context_of(flights),
            tuple(messages.Assignment(e.attempt, e.task, e.record) for e in flights),
            is_alone=any(each.losses for each in flights),
        )
        attempts = {each.task.name: each.attempt for each in flights}
        now = _now()
        batch = Batch(number, -1, attempts, now)
        self._batches[number] = batch
        self._by_project.update(dict.fromkeys(attempts, batch))
        batch.job = await self._queue.put(job)

    # ------------------------------------------------------------ workers

    async def _look(self) -> None:
        """Look at the workers regularly: divide the budgets, and find what is lost."""
        last = _now()
        while True:
            await wait_at_most(self._hurry, _LOOK)
            self._hurry.clear()
            await self._queue.live()
            found = await self._queue.workers()
            waiting = await self._queue.waiting()
            await self._read_mail()  # what is reported is not lost
            now = _now()
            elapsed, last = min(now - last, 2 * _LOOK), now
            await self._update(found, elapsed)
            self._measure(elapsed)
            await self._find_lost(waiting, now)
            self._require_workers(elapsed)
            self._wake.set()

    async def _update(self, found: Sequence[SeenWorker], elapsed: float) -> None:
        """Take in what the workers say of themselves, and divide the budgets over them."""
        known: dict[int, _Known] = {}
        for each in found:
            if each.state.refusal:
                self._report_refusal(each)
                continue
            worker = self._seen.setdefault(each.number, _Known(each))
            worker.age = 0.0 if worker.found.sign != each.sign else worker.age + elapsed
            worker.found = each
            if worker.age < self._times.lost_after:
                known[each.number] = worker
        if not self._notice.is_local:
            self._report_workers(known)
        self._workers = known
        await self._divide()

    def _report_workers(self, known: Mapping[int, _Known]) -> None:
        """Report which workers have come, and which take no part any more."""
        for number in self._workers.keys() - known.keys():
            name = self._workers[number].found.state.name
            self._mirror.events(Warned(f"the worker {name} does not take part any more"))
        for number in known.keys() - self._workers.keys():
            self._mirror.events(Warned(f"the worker {known[number].found.state.name} takes part"))

    async def _divide(self) -> None:
        """Divide the budgets over the workers."""
        settings, known = self._mirror.settings.index, self._workers
        total = messages.Share(settings.workers, settings.download_workers, WHOLE)
        shares = divide_all(
            total,
            {number: worker.share for number, worker in known.items()},
            {number: worker.found.state.held for number, worker in known.items()},
        )
        if any(shares[number] != worker.share for number, worker in known.items()):
            for number, worker in known.items():
                worker.share = shares[number]
            pauses = self._pauses.left(_now())
            told = {n: structs.replace(share, pauses=pauses) for n, share in shares.items()}
            await self._queue.assign(told)

    def _report_refusal(self, worker: SeenWorker) -> None:
        if worker.state.refusal not in self._refused:
            self._refused.add(worker.state.refusal)
            text = f"the worker {worker.state.name} does not take part: {worker.state.refusal}"
            self._mirror.events(Warned(text))

    def _measure(self, elapsed: float) -> None:
        """Measure how many projects a worker does in a second."""
        done, self._finished = self._finished, 0
        if elapsed and self._workers and (done or self._flights):
            rate = done / elapsed / len(self._workers)
            self._rate += (rate - self._rate) * _WEIGHT if self._rate else rate

    async def _find_lost(self, waiting: frozenset[int], now: float) -> None:
        """Offer the projects of lost jobs again."""
        held = {number for each in self._workers.values() for number in each.found.state.batches}
        known = {number for each in self._seen.values() for number in each.found.state.batches}
        for batch in list(self._batches.values()):
            if batch.job in waiting or batch.number in held or batch.job < 0:
                batch.held = now
            elif (
                self._notice.is_local  # who has which job is known exactly
                or batch.number in known
                or now - batch.held >= self._times.lost_after
            ):
                await self._give_up(batch)  # its worker is lost, or was never known

    async def _give_up(self, batch: Batch) -> None:
        """Offer the projects of a job again that never reported their end."""
        self._batches.pop(batch.number, None)
        names = [name for name, attempt in batch.flights.items() if self._is_current(name, attempt)]
        await self._queue.doubt([name for name in names if self._is_synced(name)])
        await self._queue.withdraw(batch.job)
        # A report may have come meanwhile: the worker hung, and goes on.
        lost = [name for name in names if self._is_current(name, batch.flights.get(name, -1))]
        if lost:
            self._jobs_lost += 1
            text = f"a job of {len(lost)} project(s) was lost with its worker, and is offered again"
            self._mirror.events(Warned(text))
        for name in lost:
            self._lose(self._flights[name])

    def _lose(self, flight: Flight) -> None:
        """Offer a project again whose worker was lost; it fails if it ends every process."""
        flight.losses += self._notice.is_local
        if flight.losses < MOST_LOSSES:
            self._again(flight)
            return
        name = flight.task.name
        error = LostProcesses(name, flight.losses)
        flight.done.set_result(messages.Report(name, flight.attempt, error=error))

    def _is_current(self, name: ProjectName, attempt: int) -> bool:
        flight = self._flights.get(name)
        return flight is not None and flight.attempt == attempt and not flight.done.done()

    def _is_synced(self, name: ProjectName) -> bool:
        return isinstance(self._flights[name].work, SyncWork)

    def _require_workers(self, elapsed: float) -> None:
        """Fail every project if there is no worker for too long."""
        self._alone = 0.0 if self._workers or not self._flights else self._alone + elapsed
        if self._notice.is_local:
            return  # the queue starts them, and says if it cannot
        if self._alone < self._times.wait:
            return
        assert self._mirror.settings.catalogue is not None, "the queue is beside the catalogue"
        place = self._mirror.settings.catalogue.shown
        self._failure = MissingWorkers(place, self._times.wait)
        for each in self._flights.values():
            if not each.done.done():
                each.done.set_exception(self._failure)

    # ------------------------------------------------------------ what workers say

    async def _read(self) -> None:
        while True:
            await self._queue.wait(_LOOK)
            if not self._workers:
                self._hurry.set()  # one may have come
            await self._read_mail()

    async def _read_mail(self) -> None:
        async with self._reading:
            await self._read_new_mail()

    async def _read_new_mail(self) -> None:
        for mail in await self._queue.receive():
            worker = self._workers.get(mail.worker)
            if worker is not None:
                if mail.sequence <= worker.sequence:
                    continue  # the connection was lost after it was read
                worker.sequence = mail.sequence
            closed: list[ProjectName] = []
            for each in mail.messages:
                await self._process(mail.worker, each, closed)
            if closed:
                await self._queue.close_attempts(closed)

    async def _process(self, worker: int, message: object, closed: list[ProjectName]) -> None:
        match message:
            case messages.Report():
                self._end_attempt(message, closed)
            case messages.Claim() | messages.Changes():
                assert self._group is not None, "the run is open"
                task = self._group.create_task(self._answer(worker, message))
                self._answers.add(task)
                task.add_done_callback(self._answers.discard)
            case messages.Events(events):
                for event in events:
                    self._mirror.events(event)
            case messages.Counts():
                self._count(message)
            case messages.HostPause():
                await self._pause(worker, message)
            case _:
                pass

    async def _pause(self, worker: int, pause: messages.HostPause) -> None:
        """Tell the other workers, and those that will come, of a pause that a host asks for."""
        self._pauses.add(pause, _now())
        for number in self._workers.keys() - {worker}:
            await self._queue.send(number, [pause])
        await self._queue.show_pause(pause)

    def _end_attempt(self, report: messages.Report, closed: list[ProjectName]) -> None:
        name = report.name
        if not self._is_current(name, report.attempt):
            return
        flight, batch = self._flights[name], self._by_project.get(name)
        if batch is not None and batch.flights.get(name) == report.attempt:
            del batch.flights[name]
            if not batch.flights:
                self._batches.pop(batch.number, None)
                self._jobs_done += 1
                self._wake.set()
        if report.is_handed_back:
            self._again(flight)  # it was handed back
            return
        self._finished += 1
        if self._is_synced(name):
            closed.append(name)
        if self._recorder is not None and report.outcome is not None:
            self._recorder.settle(flight.written, flight.deleted)
        flight.done.set_result(report)

    def _count(self, counts: messages.Counts) -> None:
        index = self._mirror.index
        index.pages += counts.pages
        index.files += counts.files
        index.traffic.retries += counts.retries
        for host, status, number in counts.requests:
            index.traffic.requests[host, status] += number

    async def _answer(self, worker: int, asked: messages.Claim | messages.Changes) -> None:
        """Answer a question of a worker."""
        flight = self._flights.get(asked.name)
        work = None if flight is None else flight.work
        is_current = self._is_current(asked.name, asked.attempt)
        if flight is None or not isinstance(work, SyncWork) or not is_current:
            answer = messages.Answer(asked.number, is_current=False)
        elif isinstance(asked, messages.Changes):
            flight.written |= set(asked.written)
            flight.deleted |= set(asked.deleted)
            if self._recorder is not None:
                self._recorder.expect(asked.written, asked.deleted)
            answer = messages.Answer(asked.number)
        else:
            claimed = await work.authority.claim(asked.name, asked.files, flight.record)
            taken, makes_room = claimed
            answer = messages.Answer(asked.number, taken=tuple(taken), makes_room=makes_room)
        await self._queue.send(worker, [answer])


async def _after(outcome: Outcome, report: messages.Report, authority: LocalAuthority) -> Outcome:
    """Trash what has left a published page, and return the outcome with all that was moved."""
    if not report.leaving or outcome.record is None:
        return outcome
    files = outcome.record.detail.files
    trashed = await authority.trash(report.name, report.leaving, files)
    return replace(outcome, removed=(*trashed, *outcome.removed))


def _in_doubt(name: ProjectName, known: Deferred | None, now: int) -> Deferred:
    """Return the deferral that has a project compared; one that does so already stays."""
    if known is None:
        return structs.replace(incomplete(name, now), cause=Cause.OTHER, reason=_IN_DOUBT)
    if known.deferral is Deferral.PENDING:
        return structs.replace(known, deferral=Deferral.INCOMPLETE)
    return known


def _now() -> float:
    """Return the time of the event loop: a clock that is set says nothing about other processes."""
    return asyncio.get_running_loop().time()
