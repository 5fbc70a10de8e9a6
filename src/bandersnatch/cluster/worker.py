"""A worker: takes jobs of the run that is under way, and syncs or examines their projects.

It writes files and pages of the projects that it syncs, and nothing else. It reports an attempt
once what it wrote is durable.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack
from dataclasses import replace
from traceback import format_exc
from typing import TYPE_CHECKING, Protocol

from bandersnatch import errors
from bandersnatch.cluster import messages
from bandersnatch.cluster.examination import ProjectExaminer
from bandersnatch.cluster.remote import Attempt, FencedStorage, RemoteAuthority
from bandersnatch.concurrency import task_group, wait_at_most
from bandersnatch.events import StepStarted, Warned
from bandersnatch.layout import CLUSTER
from bandersnatch.mirror.fingerprint import PolicyFingerprint
from bandersnatch.mirror.owners import PathOwners
from bandersnatch.mirror.project import ProjectSync
from bandersnatch.mirror.tasks import RunContext, SyncTask

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from contextlib import AbstractAsyncContextManager

    from bandersnatch.catalogue.records import TrashEntry
    from bandersnatch.cluster.port import RequestLimits, TakenJob, WorkerQueue
    from bandersnatch.events import Event, EventSink
    from bandersnatch.index.port import Traffic
    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.requirements import RequirementReader
    from bandersnatch.mirror.tasks import Outcome
    from bandersnatch.model.files import ReleaseFile

JOBS = 2
"""Jobs that a worker has at a time: while the last projects of one end, those of another begin."""

_BEAT = 1.0
"""Seconds between two signs of life."""

_ASK_AGAIN = 10.0
"""Seconds after which a question is asked again: a crash of the database may lose it."""

_SILENT = 120.0
"""Seconds without a sign of life of the coordinator, after which its run counts as over."""

_MOMENT = 0.01
"""Seconds in which messages are gathered."""

_TRASH_AGE = 60.0
"""Seconds; a file of the trash that is not known yet is downloaded instead."""

_HAND_BACK = 10.0
"""Seconds that a worker which has to end takes to hand back its projects."""


class OpenedMirror(Protocol):
    """What a worker works with in one run."""

    @property
    def mirror(self) -> Mirror: ...
    @property
    def limits(self) -> RequestLimits: ...
    @property
    def fingerprint(self) -> str: ...


class Worker:
    """A worker; ``run`` works until it is cancelled, or until a run has ended."""

    def __init__(
        self,
        queue: WorkerQueue,
        opener: Callable[
            [messages.RunNotice, EventSink], AbstractAsyncContextManager[OpenedMirror]
        ],
        events: EventSink,
        name: str,
        version: str,
    ) -> None:
        """Assign the collaborators.

        ``opener`` opens the mirror for a run, and reads the configuration for it. ``name`` tells
        people which worker this is.
        """
        self._queue = queue
        self._opener = opener
        self._events = events
        self._name = name
        self._version = version

    async def run(self, *, once: bool) -> None:
        """Take part in each run; with ``once`` in a single one.

        :raises RefusedWorker: if this worker differs from the coordinator.
        """
        self._events(StepStarted(f"{self._name} waits for a run"))
        last = ""
        while True:
            found = await self._queue.notice()
            if found is None or found[0].run == last:
                await self._queue.wait(_BEAT)
                continue
            notice = found[0]
            last = notice.run
            if notice.is_local or await self._is_alive(notice):
                await self._take_part(notice)
                if once:
                    return
                self._events(StepStarted(f"{self._name} waits for a run"))

    async def _is_alive(self, notice: messages.RunNotice) -> bool:
        """Whether the coordinator of a run gives signs of life."""
        before = await self._queue.notice()
        for _ in range(int(_SILENT / _BEAT)):
            now = await self._queue.notice()
            if now is None or now[0].run != notice.run:
                return False
            if now != before:
                return True
            await asyncio.sleep(_BEAT / 2)
        return False

    async def _take_part(self, notice: messages.RunNotice) -> None:
        events: list[Event] = []

        def report(event: Event) -> None:
            events.append(event)
            self._events(event)

        async with AsyncExitStack() as stack:
            try:
                self._require_version(notice)
                opened = await stack.enter_async_context(self._opener(notice, report))
                _require_same(opened.fingerprint, notice)
                if not notice.is_local:
                    await _require_storage(opened.mirror, notice)
            except errors.BandersnatchError as error:
                await self._refuse(str(error))
                raise
            self._events(StepStarted(f"{self._name} takes part in the run {notice.run[:8]}"))
            part = _Part(self._queue, opened, notice, self._name, self._version, events)
            await part.run()

    def _require_version(self, notice: messages.RunNotice) -> None:
        if notice.version != self._version:
            remedy = "install the same release on both"
            raise errors.RefusedWorker("the release", self._version, notice.version, remedy)

    async def _refuse(self, why: str) -> None:
        state = messages.WorkerState(self._name, self._version, "", refusal=why)
        await self._queue.live(state)


def _require_same(fingerprint: str, notice: messages.RunNotice) -> None:
    if fingerprint != notice.fingerprint:
        remedy = "give both the same configuration file, with the files that it names"
        raise errors.RefusedWorker(
            "the fingerprint of the configuration", fingerprint, notice.fingerprint, remedy
        )


async def _require_storage(mirror: Mirror, notice: messages.RunNotice) -> None:
    try:
        found = (await mirror.storage.read(CLUSTER)).decode(errors="replace")
    except errors.MissingObject:
        found = "another one"
    if found != notice.run:
        remedy = "both have to reach the same storage"
        raise errors.RefusedWorker("the storage", found[:32], notice.run, remedy)


class _Part:
    """What a worker does in one run."""

    def __init__(
        self,
        queue: WorkerQueue,
        opened: OpenedMirror,
        notice: messages.RunNotice,
        name: str,
        version: str,
        events: list[Event],
    ) -> None:
        self._queue = queue
        self._mirror = opened.mirror
        self._limits = opened.limits
        self._notice = notice
        self._name = name
        self._version = version
        self._events = events
        self._outbox: list[object] = []
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._over = asyncio.Event()
        self._hurry = asyncio.Event()
        self._jobs: dict[int, asyncio.Task[None]] = {}
        self._batches: set[int] = set()
        self._projects = self._done = 0
        self._asked: dict[int, asyncio.Future[messages.Answer]] = {}
        self._numbers = itertools.count(1)
        self._share = messages.Share()
        self._filtering = asyncio.Lock()
        self._policy = PolicyFingerprint.of(opened.mirror)
        self._counted = messages.Counts(0, 0, 0, ())
        self._trash: dict[StorageKey, TrashEntry] = {}
        self._trash_until = 0.0
        self._sending = asyncio.Lock()
        self._reader: RequirementReader | None = None
        self._examiner: ProjectExaminer | None = None

    async def run(self) -> None:
        """Work until the run is over; hand everything back if cancelled."""
        limits = self._limits
        limits.on_pause(lambda host, seconds: self._post(messages.HostPause(host, seconds)))
        async with task_group() as group:
            others = (self._beat(), self._send_regularly(), self._receive(), self._work(group))
            tasks = [group.create_task(each) for each in others]
            try:
                await self._over.wait()
            except asyncio.CancelledError:
                for each in (tasks[3], *self._jobs.values()):
                    each.cancel()
                await asyncio.wait_for(asyncio.shield(self._hand_back()), _HAND_BACK)
                raise
            finally:
                for each in (*tasks, *self._jobs.values()):
                    each.cancel()

    async def _hand_back(self) -> None:
        """Report what was handed back, and leave."""
        jobs = dict(self._jobs)
        await asyncio.gather(*jobs.values(), return_exceptions=True)
        await self._flush()
        for number in jobs:
            await self._queue.finish(number)
        await self._queue.leave()

    # ------------------------------------------------------------ signs of life

    async def _beat(self) -> None:
        """Give signs of life, take the share, and find out when the run is over."""
        last, heard = "", _now()
        while True:
            self._take_share(await self._queue.live(self._state()))
            self._room.set()
            found = await self._queue.notice()
            if found is None or found[0].run != self._notice.run:
                self._over.set()
                return
            if found[1] != last:
                last, heard = found[1], _now()
            elif _now() - heard > _SILENT:
                self._over.set()
                return
            await wait_at_most(self._hurry, _BEAT)
            self._hurry.clear()

    def _take_share(self, share: messages.Share) -> None:
        """Apply a share; its pauses hold before the first request that it allows."""
        if share != self._share:
            for each in share.pauses:
                self._limits.pause(each.host, each.seconds)
        self._share = share
        self._limits.assign(share)
        if self._examiner is not None:
            self._examiner.assign(share)

    def _state(self) -> messages.WorkerState:
        return messages.WorkerState(
            self._name,
            self._version,
            self._notice.fingerprint,
            tuple(sorted(self._batches)),
            self._projects,
            self._done,
            messages.Share(*self._limits.held),
        )

    # ------------------------------------------------------------ messages

    def _post(self, message: object) -> None:
        self._outbox.append(message)
        self._ready.set()

    async def _send_regularly(self) -> None:
        while True:
            await self._ready.wait()
            await asyncio.sleep(_MOMENT)
            await self._flush()

    async def _flush(self) -> None:
        """Send what is waiting, once what was written before it is durable."""
        async with self._sending:
            self._ready.clear()
            some, self._outbox = self._outbox, []
            events = tuple(self._events)
            self._events.clear()
            if any(isinstance(each, messages.Report) for each in some):
                await self._mirror.storage.flush()
                some.append(self._counts())
            if events:
                some.insert(0, messages.Events(events))
            if some:
                await self._queue.send(self._notice.run, some)

    def _counts(self) -> messages.Counts:
        """Return what was counted since the last time."""
        index, before = self._mirror.index, self._counted
        now = _counts_of(index.pages, index.files, index.traffic)
        known = {(host, status): count for host, status, count in before.requests}
        self._counted = now
        return messages.Counts(
            now.pages - before.pages,
            now.files - before.files,
            now.retries - before.retries,
            tuple(
                (host, status, count - known.get((host, status), 0))
                for host, status, count in now.requests
                if count != known.get((host, status), 0)
            ),
        )

    async def _receive(self) -> None:
        while True:
            for message in await self._queue.receive():
                match message:
                    case messages.Answer(number):
                        asked = self._asked.get(number)
                        if asked is not None and not asked.done():
                            asked.set_result(message)
                    case messages.HostPause(host, seconds):
                        self._limits.pause(host, seconds)
                    case _:
                        pass
            self._room.set()
            await self._queue.wait(_BEAT)
            if not self._share.index:
                self._hurry.set()  # there may be one by now

    async def ask(self, make: Callable[[int], object]) -> messages.Answer:
        """Send a question that ``make`` makes of its number, and return the answer."""
        number = next(self._numbers)
        self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            while True:
                self._post(make(number))
                done, _ = await asyncio.wait([self._asked[number]], timeout=_ASK_AGAIN)
                if done:
                    return self._asked[number].result()
        finally:
            del self._asked[number]

    async def is_current(self, assignment: messages.Assignment) -> bool:
        """Whether an attempt is the current one."""
        run, attempt = self._notice.run, assignment.attempt
        return await self._queue.is_current(run, assignment.task.name, attempt)

    # ------------------------------------------------------------ jobs

    async def _work(self, group: asyncio.TaskGroup) -> None:
        """Take jobs as long as there is room for them."""
        while True:
            self._room.clear()
            while len(self._jobs) < JOBS and self._share.index:
                taken = await self._queue.take()
                if taken is None:
                    break
                self._batches.add(taken.job.batch)
                self._jobs[taken.number] = group.create_task(self._do(taken))
            await self._room.wait()

    async def _do(self, taken: TakenJob) -> None:
        """Do what the projects of a job need, and report each."""
        job = taken.job
        try:
            if job.run == self._notice.run:
                await self._queue.live(self._state())
                attempt = await self._attempts_of(job)
                async with task_group() as group:
                    for each in job.assignments:
                        group.create_task(self._do_one(each, attempt))
            await self._flush()
            await self._queue.finish(taken.number)
        finally:
            self._jobs.pop(taken.number, None)
            self._batches.discard(job.batch)
            self._room.set()

    async def _attempts_of(
        self, job: messages.Job
    ) -> Callable[[messages.Assignment], Awaitable[messages.Report]]:
        """Return what makes the attempts of a job."""
        if isinstance(job.context, messages.ExaminationContext):
            if self._examiner is None:
                self._examiner = ProjectExaminer(self._mirror, job.context)
                self._examiner.assign(self._share)
            return self._examiner.examine
        context = await self._context(job.context)
        if self._mirror.closure is not None:
            names = [each.task.name for each in job.assignments]
            self._mirror.closure.ask(names, job.context.asked)
        return lambda assignment: self._sync(assignment, context)

    async def _context(self, job: messages.SyncContext) -> RunContext:
        """Return the context of a job; the trash may be that of a moment ago."""
        if _now() >= self._trash_until:
            self._trash = {each.key: each for each in await self._mirror.catalogue.trash()}
            self._trash_until = _now() + _TRASH_AGE
        return RunContext(
            now=int(self._notice.began.timestamp()),
            fingerprint=self._policy,
            owners=PathOwners.of(self._mirror),
            trash=self._trash,
            accepted=job.accepted,
            force=job.force,
            established=job.established,
            may_empty=job.may_empty,
            may_lose=job.may_lose,
            may_expire=job.may_expire,
            cursor=job.cursor,
            newest=job.newest,
            ceiling=job.ceiling,
        )

    async def _do_one(
        self,
        assignment: messages.Assignment,
        make: Callable[[messages.Assignment], Awaitable[messages.Report]],
    ) -> None:
        """Make one attempt, and report its end."""
        name, attempt = assignment.task.name, assignment.attempt
        self._projects += 1
        try:
            report = await make(assignment)
        except asyncio.CancelledError:
            self._post(messages.Report(name, attempt))
            raise
        except errors.AbandonedAttempt as error:
            self._events.append(Warned(str(error)))
            return
        except errors.BandersnatchError as error:
            report = messages.Report(name, attempt, error=error)
        except Exception as error:  # noqa: BLE001 - as the executor does
            unexpected = errors.UnexpectedError(error, format_exc())
            report = messages.Report(name, attempt, error=unexpected)
        finally:
            self._projects -= 1
        self._done += 1
        self._post(report)

    async def _sync(self, assignment: messages.Assignment, context: RunContext) -> messages.Report:
        """Sync one project."""
        task = assignment.task
        assert isinstance(task, SyncTask), "a job has one kind of tasks"
        fence = _Fence(self, assignment, records=bool(self._mirror.settings.diff.path))
        if not await self.is_current(assignment):
            raise errors.AbandonedAttempt(task.name)
        authority = RemoteAuthority(fence, task, assignment.record)
        storage = FencedStorage(
            self._mirror.storage, fence, records_files=bool(self._mirror.settings.diff.path)
        )
        mirror = replace(self._mirror, storage=storage)
        sync = ProjectSync.of(mirror, context, self._notice.began, authority, self._filtering)
        outcome = await self._with_requirements(sync.sync)(task)
        return messages.Report(task.name, assignment.attempt, outcome, leaving=authority.leaving)

    def _with_requirements(
        self, sync: Callable[[SyncTask], Awaitable[Outcome]]
    ) -> Callable[[SyncTask], Awaitable[Outcome]]:
        """Return what also reads requirements if dependencies are followed."""
        closure = self._mirror.closure
        if closure is None:
            return sync
        from bandersnatch.mirror.requirements import RequirementReader, RequirementSync  # noqa: PLC0415 - slow, rarely needed

        if self._reader is None:
            self._reader = RequirementReader.of(self._mirror, closure.targets)
        return RequirementSync(sync, self._reader, closure).sync


class _Fence(Attempt):
    """The attempt of one assignment; ``records`` has the coordinator record each change."""

    def __init__(self, part: _Part, assignment: messages.Assignment, *, records: bool) -> None:
        self._part = part
        self._assignment = assignment
        self._records = records

    async def claim(self, files: tuple[ReleaseFile, ...]) -> messages.Answer:
        name, attempt = self._assignment.task.name, self._assignment.attempt
        return await self._part.ask(lambda number: messages.Claim(number, name, attempt, files))

    async def permit(self, written: Collection[str], deleted: Collection[str]) -> None:
        name, attempt = self._assignment.task.name, self._assignment.attempt
        if self._records:
            changes = tuple(written), tuple(deleted)
            answer = await self._part.ask(
                lambda number: messages.Changes(number, name, attempt, *changes)
            )
            is_current = answer.is_current
        else:
            is_current = await self._part.is_current(self._assignment)
        if not is_current:
            raise errors.AbandonedAttempt(name)


def _counts_of(pages: int, files: int, traffic: Traffic) -> messages.Counts:
    requests = ((host, status, count) for (host, status), count in traffic.requests.items())
    return messages.Counts(pages, files, traffic.retries, tuple(requests))


def _now() -> float:
    """Return the time of the event loop: a clock that is set says nothing about other processes."""
    return asyncio.get_running_loop().time()
