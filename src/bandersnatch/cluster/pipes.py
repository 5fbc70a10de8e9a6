"""The queue between the coordinator and processes that it starts on this machine, over pipes.

Standard input of a process has what the coordinator sends: the notice of the run, shares, jobs and
messages, and None at the end of the run. Standard output has what the process sends: states, lists
of messages, and ends of jobs. Standard input stays open until the process has ended, so its end
means that the coordinator was killed. A job is lost with its process, and a process that does not
give back a job is killed; so no two attempts of a project are ever under way, and none outlives
its run.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Self

from msgspec import structs

from bandersnatch.cluster import codec, messages
from bandersnatch.cluster.frames import FrameBuffer, frame
from bandersnatch.cluster.port import (
    CoordinatorQueue,
    Mail,
    SeenWorker,
    TakenJob,
    WorkerQueue,
)
from bandersnatch.cluster.worker import JOBS
from bandersnatch.concurrency import task_group, wait_at_most
from bandersnatch.errors import UnusableProcesses

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from types import TracebackType

    from bandersnatch.model.names import ProjectName

_PIECE = 256 * 1024
"""Bytes that are read at a time."""

_GATHER = 5.0
"""Seconds in which the first processes may come before the budgets are divided over them."""

_GRACE = 40.0
"""Seconds for a process to end before it is killed."""

_MOST_FAILED_STARTS = 3


class _Child:
    """A process: what it has said of itself, its share, and the jobs that it has."""

    def __init__(self, number: int, process: asyncio.subprocess.Process) -> None:
        self.number = number
        self.process = process
        self.state: messages.WorkerState | None = None
        self.signs = 0
        self.sequence = 0
        self.share = messages.Share()
        self.jobs: dict[int, messages.Job] = {}
        self.ended = asyncio.Event()

    def send(self, value: object) -> None:
        """Send a value; what a process that has ended does not read is lost with it.

        Nothing waits until it is read: a process has at most some jobs and the answers to its
        questions, and one that is stopped must not stop this one.
        """
        writer = self.process.stdin
        if writer is not None and not (self.ended.is_set() or writer.is_closing()):
            writer.write(frame(codec.encode(value)))

    def has_room_for(self, job: messages.Job) -> bool:
        """Whether it can be given a job; one that may end its process has it alone."""
        if not self.share.index or any(each.is_alone for each in self.jobs.values()):
            return False
        return len(self.jobs) < (1 if job.is_alone else JOBS)

    def kill(self) -> None:
        """Kill the process, even if it is stopped."""
        with suppress(ProcessLookupError):
            self.process.kill()


class PipeCoordinatorQueue(CoordinatorQueue):
    """The queue of the coordinator; as a context it ends its processes.

    ``command`` starts a process, with its place from 1 to ``count`` as the last argument: so many
    are running at a time, and one that ends is replaced.
    """

    def __init__(self, command: Sequence[str], count: int) -> None:
        self._command = command
        self._count = count
        self._children: dict[int, _Child] = {}
        self._waiting: deque[tuple[int, messages.Job]] = deque()
        self._mail: list[Mail] = []
        self._news = asyncio.Event()
        self._numbers = self._jobs = self._failed_starts = 0
        self._notice: messages.RunNotice | None = None
        self._failure: UnusableProcesses | None = None
        self._is_ending = False
        self._divides_after = 0.0
        self._stack = AsyncExitStack()
        self._group: asyncio.TaskGroup | None = None

    async def __aenter__(self) -> Self:
        """Open the queue; ``begin`` starts the processes."""
        self._group = await self._stack.enter_async_context(task_group())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the processes."""
        await self.end()
        await self._stack.__aexit__(kind, error, traceback)

    # ------------------------------------------------------------ processes

    async def _keep(self, place: int) -> None:
        """Keep a process running until the run ends or none can be started."""
        while not (self._is_ending or self._failure):
            try:
                child = await self._start(place)
            except OSError as error:
                self._failure = UnusableProcesses(error.strerror or str(error))
                self._news.set()
                return
            try:
                await self._read(child)
                code = await child.process.wait()
            finally:
                child.kill()
                child.ended.set()
                del self._children[child.number]
            self._failed_starts = 0 if child.state is not None else self._failed_starts + 1
            if self._failed_starts >= _MOST_FAILED_STARTS and self._failure is None:
                self._failure = UnusableProcesses(f"they end at once, with status {code}")
            self._news.set()

    async def _start(self, place: int) -> _Child:
        # It has a session of its own: the terminal sends signals to this process alone.
        process = await asyncio.create_subprocess_exec(
            *self._command,
            str(place),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self._numbers += 1
        child = _Child(self._numbers, process)
        self._children[child.number] = child
        child.send(None if self._is_ending else self._notice)
        return child

    async def _read(self, child: _Child) -> None:
        """Read what a process sends, until it ends."""
        buffer, reader = FrameBuffer(), child.process.stdout
        assert reader is not None, "it is a pipe"
        while piece := await reader.read(_PIECE):
            try:
                for text in buffer.feed(piece):
                    self._take_in(child, codec.decode(text))
            except codec.InvalidMessage:
                child.kill()  # what it has not reported is done again
                return
            self._hand_out()
            self._news.set()

    def _take_in(self, child: _Child, value: object) -> None:
        match value:
            case messages.WorkerState():
                child.state = value
                child.signs += 1
                if value.refusal:
                    self._failure = UnusableProcesses(value.refusal)
            case messages.JobEnd(number):
                child.jobs.pop(number, None)
            case list():
                child.sequence += 1
                self._mail.append(Mail(child.number, child.sequence, value))
            case _:
                raise codec.InvalidMessage("it is of an unexpected kind")

    def _hand_out(self) -> None:
        """Give jobs to processes that have room, in order, those with the fewest jobs first."""
        while self._waiting:
            number, job = self._waiting[0]
            free = [each for each in self._children.values() if each.has_room_for(job)]
            if not free:
                return
            self._waiting.popleft()
            child = min(free, key=lambda each: len(each.jobs))
            child.jobs[number] = job
            child.send(messages.HandedJob(number, job))

    # ------------------------------------------------------------ CoordinatorQueue

    async def begin(self, notice: messages.RunNotice, /) -> Sequence[ProjectName]:
        assert self._group is not None, "the queue is open"
        self._notice = notice
        self._divides_after = asyncio.get_running_loop().time() + _GATHER
        for place in range(1, self._count + 1):
            self._group.create_task(self._keep(place))
        return ()

    async def settle_doubts(self) -> None:
        pass  # no attempt outlives its run

    async def live(self) -> None:
        pass  # the pipes are open

    async def end(self) -> None:
        self._is_ending = True
        children = list(self._children.values())
        for each in children:
            each.send(None)
        ends = [asyncio.ensure_future(each.ended.wait()) for each in children]
        if ends:
            await asyncio.wait(ends, timeout=_GRACE)
        for each in children:
            each.kill()

    async def put(self, job: messages.Job, /) -> int:
        self._jobs += 1
        self._waiting.append((self._jobs, job))
        self._hand_out()
        return self._jobs

    async def withdraw(self, number: int, /) -> None:
        """Delete a job; the process that has it is killed, and has ended when this returns."""
        self._waiting = deque(each for each in self._waiting if each[0] != number)
        for child in list(self._children.values()):
            if number in child.jobs:
                child.kill()
                await child.ended.wait()

    async def waiting(self) -> frozenset[int]:
        return frozenset(number for number, _ in self._waiting)

    async def doubt(self, names: Collection[ProjectName], /) -> None:
        pass  # whoever has a project is killed before another attempt begins

    async def close_attempts(self, names: Collection[ProjectName], /) -> None:
        pass

    async def workers(self) -> Sequence[SeenWorker]:
        """Return the processes that have come, once all of the first have.

        :raises UnusableProcesses: if none can be started.
        """
        if self._failure is not None:
            raise self._failure
        known = [(each, each.state) for each in self._children.values() if each.state is not None]
        if len(known) < self._count and asyncio.get_running_loop().time() < self._divides_after:
            return ()
        self._divides_after = 0.0
        return [
            SeenWorker(
                each.number,
                str(each.signs),
                structs.replace(state, batches=tuple(job.batch for job in each.jobs.values())),
            )
            for each, state in known
        ]

    async def assign(self, shares: Mapping[int, messages.Share], /) -> None:
        for number, share in shares.items():
            child = self._children.get(number)
            if child is not None and child.share != share:
                child.share = share
                child.send(share)
        self._hand_out()

    async def show_pause(self, pause: messages.HostPause, /) -> None:
        pass  # people see processes of this machine in its log alone

    async def receive(self) -> Sequence[Mail]:
        mail, self._mail = self._mail, []
        return mail

    async def send(self, worker: int, some: Sequence[object], /) -> None:
        if child := self._children.get(worker):
            child.send(list(some))

    async def wait(self, seconds: float, /) -> None:
        await wait_at_most(self._news, seconds)
        self._news.clear()


class PipeWorkerQueue(WorkerQueue):
    """The queue of a process; ``take_in`` is given what it reads, and ``write`` sends bytes.

    ``ended`` is set when the run is over.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._buffer = FrameBuffer()
        self._notice: messages.RunNotice | None = None
        self._share = messages.Share()
        self._jobs: deque[TakenJob] = deque()
        self._messages: list[object] = []
        self._news = asyncio.Event()
        self._asked = 0
        self.ended = asyncio.Event()

    def take_in(self, piece: bytes) -> None:
        """Take in bytes that the coordinator has sent.

        :raises InvalidMessage: if they are not its.
        """
        for text in self._buffer.feed(piece):
            self._take_in_one(codec.decode(text))
        self._news.set()

    def _take_in_one(self, value: object) -> None:
        match value:
            case None:
                self._notice = None
                self.ended.set()
            case messages.RunNotice():
                self._notice = value
            case messages.Share():
                self._share = value
            case messages.HandedJob(number, job):
                self._jobs.append(TakenJob(number, job))
            case list():
                self._messages += value
            case _:
                raise codec.InvalidMessage("it is of an unexpected kind")

    def _send(self, value: object) -> None:
        self._write(frame(codec.encode(value)))

    # ------------------------------------------------------------ WorkerQueue

    async def notice(self) -> tuple[messages.RunNotice, str] | None:
        self._asked += 1  # that the pipe is open is a sign of life
        return None if self._notice is None else (self._notice, str(self._asked))

    async def live(self, state: messages.WorkerState, /) -> messages.Share:
        self._send(state)
        return self._share

    async def leave(self) -> None:
        pass  # the end of the process says so

    async def take(self) -> TakenJob | None:
        return self._jobs.popleft() if self._jobs else None

    async def finish(self, number: int, /) -> None:
        self._send(messages.JobEnd(number))

    async def is_current(self, run: str, name: ProjectName, attempt: int, /) -> bool:
        """Return True: this process would have been killed if another one had the project."""
        del run, name, attempt
        return True

    async def receive(self) -> Sequence[object]:
        some, self._messages = self._messages, []
        return some

    async def send(self, run: str, some: Sequence[object], /) -> None:
        del run
        self._send(list(some))

    async def wait(self, seconds: float, /) -> None:
        await wait_at_most(self._news, seconds)
        self._news.clear()
