"""What the coordinator and its workers tell each other.

A project is worked on in numbered attempts. What a worker says about an attempt counts only while
that is the current one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from bandersnatch.catalogue.records import FileRecord, ProjectRecord
    from bandersnatch.errors import BandersnatchError
    from bandersnatch.events import Event
    from bandersnatch.mirror.tasks import Outcome, SyncTask
    from bandersnatch.mirror.verify.findings import Examination, Findings
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import Rejection
    from bandersnatch.model.serials import Serial


# ---------------------------------------------------------------- what a run is


class RunNotice(Struct, frozen=True):
    """The run that is under way: its random name, and what workers must have in common with it.

    ``version`` is that of the program, ``fingerprint`` that of the configuration. ``is_local`` says
    that the workers are processes of the coordinator's: they end with it, and one that is given up
    is killed before another one gets its projects.
    """

    run: str
    version: str
    fingerprint: str
    began: datetime
    is_local: bool = False


class SyncContext(Struct, frozen=True):
    """What is the same for the projects of a job of ``mirror``; the fields are ``RunContext``'s.

    ``asked`` is what the closure asks of those that are followed; see ``ClosureState.asked_of``.
    """

    accepted: frozenset[ProjectName] = frozenset()
    force: bool = False
    established: bool = True
    may_empty: bool = False
    may_lose: Mapping[ProjectName, int] | None = None
    may_expire: bool = True
    cursor: Serial | None = None
    newest: Serial | None = None
    ceiling: Serial | None = None
    asked: Mapping[ProjectName, tuple[str, str | None]] = {}


class ExaminationContext(Struct, frozen=True):
    """What is the same for the projects of a job of ``verify``.

    ``readers`` is how many projects a worker reads concurrently, ``rate`` how many bytes per
    second all workers together read, None for any number. With ``current_documents`` a legacy
    document must not be older than the page.
    """

    readers: int = 1
    rate: float | None = None
    current_documents: bool = False


class Assignment(Struct, frozen=True):
    """One attempt to sync or examine a project, and what the catalogue has of it."""

    attempt: int
    task: SyncTask | Examination
    record: ProjectRecord | None


class Job(Struct, frozen=True):
    """A job: projects to sync, or to examine; ``batch`` is its number in the run.

    ``is_alone`` is for a project that may end its process, which should have no other job.
    """

    run: str
    batch: int
    context: SyncContext | ExaminationContext
    assignments: tuple[Assignment, ...]
    is_alone: bool = False

    @property
    def is_sync(self) -> bool:
        """Whether its projects are synced: an attempt that was given up may still write."""
        return isinstance(self.context, SyncContext)


class HostPause(Struct, frozen=True):
    """A host asks for a pause, in seconds; ``host`` has no login."""

    host: str
    seconds: float


class Share(Struct, frozen=True):
    """A worker's part of the budgets of all of them together.

    ``index`` and ``files`` are requests at a time, ``permille`` its part of everything else.
    ``pauses`` are those that hosts had asked for when the share was assigned.
    """

    index: int = 0
    files: int = 0
    permille: int = 0
    pauses: tuple[HostPause, ...] = ()


class WorkerState(Struct, frozen=True):
    """What a worker says of itself with each sign of life.

    ``batches`` are the jobs that it has and that are not reported, ``projects`` how many projects
    it works on. ``held`` is the share that it uses. ``refusal`` is why it takes no part.
    """

    name: str
    version: str
    fingerprint: str
    batches: tuple[int, ...] = ()
    projects: int = 0
    done: int = 0
    held: Share = Share()
    refusal: str = ""


# ---------------------------------------------------------------- from a worker


class JobEnd(Struct, frozen=True):
    """A process has reported all attempts of a job."""

    number: int


class Report(Struct, frozen=True):
    """The end of an attempt: with an outcome, findings, or an error; or handed back with none.

    ``leaving`` are the files that have left the published page, and that are not moved yet.
    """

    name: ProjectName
    attempt: int
    outcome: Outcome | None = None
    error: BandersnatchError | None = None
    leaving: tuple[FileRecord, ...] = ()
    findings: Findings | None = None

    @property
    def is_handed_back(self) -> bool:
        """Whether the worker ended before the attempt did."""
        return self.outcome is None and self.findings is None and self.error is None


class Claim(Struct, frozen=True):
    """Asks for the paths of the files of a project; ``number`` is that of the question."""

    number: int
    name: ProjectName
    attempt: int
    files: tuple[ReleaseFile, ...]


class Changes(Struct, frozen=True):
    """Asks that changes of the served tree be recorded before they are made."""

    number: int
    name: ProjectName
    attempt: int
    written: tuple[str, ...]
    deleted: tuple[str, ...]


class Counts(Struct, frozen=True):
    """What a worker had of the index since it last said so; ``requests`` by host and status."""

    pages: int
    files: int
    retries: int
    requests: tuple[tuple[str, str, int], ...]


class Events(Struct, frozen=True):
    """What happened, in order."""

    events: tuple[Event, ...]


# ---------------------------------------------------------------- to a worker


class HandedJob(Struct, frozen=True):
    """Gives a process a job; ``number`` is that of the queue."""

    number: int
    job: Job


class Answer(Struct, frozen=True):
    """The answer to a question; ``is_current`` is False if the attempt is not current any more."""

    number: int
    is_current: bool = True
    taken: tuple[Rejection, ...] = ()
    makes_room: bool = False
