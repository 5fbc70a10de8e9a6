"""The ports of the coordinator and of its workers: the queue between them, and the limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from bandersnatch.fleet_counts import FleetCounts, PausedHost

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from bandersnatch.cluster.messages import HostPause, Job, RunNotice, Share, WorkerState
    from bandersnatch.model.names import ProjectName


class SeenWorker(NamedTuple):
    """A worker as the coordinator finds it; ``sign`` changes with each sign of life."""

    number: int
    sign: str
    state: WorkerState


class WorkerView(NamedTuple):
    """A worker as people see it.

    It works on ``projects`` now, has ``done`` others in this run, and gave its last sign of life
    ``seconds`` ago. Without a share of ``workers`` it waits for one.
    """

    name: str
    projects: int
    done: int
    seconds: int
    has_share: bool = True


class FleetView(NamedTuple):
    """The workers of the run that is under way, and the jobs that wait and that are worked on.

    ``paused`` are the hosts that they do not ask at the moment.
    """

    workers: tuple[WorkerView, ...] = ()
    waiting: int = 0
    running: int = 0
    paused: tuple[PausedHost, ...] = ()

    def counts(self, lost_after: float) -> FleetCounts:
        """Count them; a worker is silent from ``lost_after`` seconds on without a sign of life."""
        alive = [each for each in self.workers if each.seconds < lost_after]
        resting = [each for each in alive if not each.projects]
        return FleetCounts(
            working=len(alive) - len(resting),
            idle=sum(1 for each in resting if each.has_share),
            without_share=sum(1 for each in resting if not each.has_share),
            silent=len(self.workers) - len(alive),
            waiting=self.waiting,
            running=self.running,
            paused=self.paused,
        )


class Mail(NamedTuple):
    """Messages of one worker; ``sequence`` rises with each mail of the worker."""

    worker: int
    sequence: int
    messages: Sequence[object]


class TakenJob(NamedTuple):
    """A job that a worker has taken; ``number`` is that of the queue."""

    number: int
    job: Job


class CoordinatorQueue(Protocol):
    """The queue as the coordinator uses it.

    Every method waits for a lost connection, and raises ``StorageError`` if that lasts too long.
    """

    async def begin(self, notice: RunNotice, /) -> Sequence[ProjectName]:
        """Forget the jobs of earlier runs, announce this one, and return who is in doubt.

        These are the projects with an attempt of an earlier run that never reported its end.
        """
        ...

    async def settle_doubts(self) -> None:
        """Forget the doubts that ``begin`` returned: they are recorded elsewhere now."""
        ...

    async def live(self) -> None:
        """Give a sign of life of the run."""
        ...

    async def end(self) -> None:
        """End the run: no attempt is current any more."""
        ...

    async def put(self, job: Job, /) -> int:
        """Make the attempts of a job that syncs current, queue it, and return its number."""
        ...

    async def withdraw(self, number: int, /) -> None:
        """Delete a job, whoever has it."""
        ...

    async def waiting(self) -> frozenset[int]:
        """Return the numbers of the jobs that no worker has taken."""
        ...

    async def doubt(self, names: Collection[ProjectName], /) -> None:
        """Record that an attempt was given up that may still be at work."""
        ...

    async def close_attempts(self, names: Collection[ProjectName], /) -> None:
        """Record that the current attempts of these projects have reported their end."""
        ...

    async def workers(self) -> Sequence[SeenWorker]:
        """Return the workers."""
        ...

    async def assign(self, shares: Mapping[int, Share], /) -> None:
        """Give workers their shares, by number; workers of which none is named are forgotten."""
        ...

    async def show_pause(self, pause: HostPause, /) -> None:
        """Record for people that no worker asks a host until a pause is over."""
        ...

    async def receive(self) -> Sequence[Mail]:
        """Return new messages of workers."""
        ...

    async def send(self, worker: int, messages: Sequence[object], /) -> None:
        """Send messages to a worker."""
        ...

    async def wait(self, seconds: float, /) -> None:
        """Wait until there may be new messages, at most for some seconds."""
        ...


class WorkerQueue(Protocol):
    """The queue as a worker uses it; see ``CoordinatorQueue``."""

    async def notice(self) -> tuple[RunNotice, str] | None:
        """Return the run that is under way, and its last sign of life; None if there is none."""
        ...

    async def live(self, state: WorkerState, /) -> Share:
        """Give a sign of life, and return the worker's share."""
        ...

    async def leave(self) -> None:
        """Say that the worker ends."""
        ...

    async def take(self) -> TakenJob | None:
        """Take the next job; None if there is none."""
        ...

    async def finish(self, number: int, /) -> None:
        """Delete a job whose attempts are reported."""
        ...

    async def is_current(self, run: str, name: ProjectName, attempt: int, /) -> bool:
        """Whether an attempt is the current one of a project."""
        ...

    async def receive(self) -> Sequence[object]:
        """Return new messages of the coordinator."""
        ...

    async def send(self, run: str, messages: Sequence[object], /) -> None:
        """Send messages to the coordinator of a run."""
        ...

    async def wait(self, seconds: float, /) -> None:
        """Wait until there may be a new job or message, at most for some seconds."""
        ...


class RequestLimits(Protocol):
    """The limits on the requests of this process, of which a worker has a share."""

    def assign(self, share: Share, /) -> None:
        """Change the share; what is running goes on."""
        ...

    @property
    def held(self) -> tuple[int, int, int]:
        """The fields of the share that is used: what is running above a lower share counts."""
        ...

    def pause(self, host: str, seconds: float, /) -> None:
        """Send nothing to a host for some seconds."""
        ...

    def on_pause(self, call: Callable[[str, float], None], /) -> None:
        """Call this with the host and the seconds of each pause that a host asks for."""
        ...
