"""What a command reports while it runs.

Each event has a ``level``, one of those of the standard library's ``logging``, and renders as one
sentence for the log, as errors do. The run report and the estimate count the same events.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias

from msgspec import Struct, structs

from bandersnatch.errors import BandersnatchError, RefusedCommand, RejectedFiles

if TYPE_CHECKING:
    from bandersnatch.layout import StorageKey
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import Rejection
    from bandersnatch.model.serials import Serial

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40


class _Described(Struct, frozen=True):
    """The common form of events; ``sentence`` has the names of fields in braces."""

    level: ClassVar[int]
    sentence: ClassVar[str]

    def __str__(self) -> str:
        return self.sentence.format_map(structs.asdict(self))


class EventSink(Protocol):
    """Receives events; must neither block nor raise."""

    def __call__(self, event: Event, /) -> None:
        """Process an event."""
        ...


# ---------------------------------------------------------------- runs


class Warned(_Described, frozen=True):
    """Something that the operator should know and that does not affect the run."""

    text: str

    level: ClassVar[int] = WARNING
    sentence: ClassVar[str] = "{text}"


class Halted(_Described, frozen=True):
    """A part of the run failed, or was refused by a limit; the other parts continued."""

    error: BandersnatchError

    level: ClassVar[int] = ERROR
    sentence: ClassVar[str] = "{error}"


class RequestsLimited(_Described, frozen=True):
    """A limit kept requests from being sent; it is reported once in a run."""

    text: str

    level: ClassVar[int] = INFO
    sentence: ClassVar[str] = "{text}"


class StepStarted(_Described, frozen=True):
    """A long step of the run began."""

    text: str

    level: ClassVar[int] = INFO
    sentence: ClassVar[str] = "{text}"


class RunPhase(StrEnum):
    """The phases of a run of ``mirror``, in their order."""

    PLAN = "plan"
    """Opening the tree, asking the index what changed, and deciding what to do."""
    SYNC = "sync"
    """Fetching pages, downloading files and publishing."""
    REMOVE = "remove"
    """Removing projects and files, and publishing the root page."""
    SWEEP = "sweep"
    """Asking for pages that were not asked for longest."""
    END = "end"
    """Storing the state."""


class PhaseStarted(_Described, frozen=True):
    """A phase of a run of ``mirror`` began, and the one before it ended."""

    phase: RunPhase

    level: ClassVar[int] = DEBUG
    sentence: ClassVar[str] = "phase: {phase}"


class RunPlanned(_Described, frozen=True):
    """How many projects the run will process, and how many it will remove, is known."""

    projects: int
    removals: int

    level: ClassVar[int] = INFO
    sentence: ClassVar[str] = "{projects} project(s) to process, {removals} to remove"


class SweepEnded(_Described, frozen=True):
    """The sweep asked for pages that nothing says have changed; ``found`` of them had."""

    asked: int
    found: int

    level: ClassVar[int] = INFO
    sentence: ClassVar[str] = "the sweep asked for {asked} pages; found by the sweep: {found}"


class JobsEnded(_Described, frozen=True):
    """The workers of a run have ended their jobs; ``lost`` are those that were offered again."""

    workers: int
    done: int
    lost: int

    level: ClassVar[int] = DEBUG
    sentence: ClassVar[str] = "{workers} worker(s) did {done} job(s); lost jobs: {lost}"


# ---------------------------------------------------------------- projects


class ProjectSynced(_Described, frozen=True):
    """A project's pages and files are as the index has them."""

    name: ProjectName
    serial: Serial | None

    level: ClassVar[int] = INFO
    sentence: ClassVar[str] = "synced {name} at serial {serial}"


class ProjectUnchanged(_Described, frozen=True):
    """A project was checked and is up to date."""

    name: ProjectName

    level: ClassVar[int] = DEBUG
    sentence: ClassVar[str] = "{name} is unchanged"


class ProjectAbsent(_Described, frozen=True):
    """Neither the index nor the mirror has a project."""

    name: ProjectName

    level: ClassVar[int] = WARNING
    sentence: ClassVar[str] = "{name} is not on the index"


class ProjectExcluded(_Described, frozen=True):
    """A page filter dropped a project, and the mirror has nothing of it; ``by`` is the filter."""

    name: ProjectName
    by: str

    level: ClassVar[int] = INFO
    sentence: ClassVar[str] = "{name} is excluded by {by}"


class ProjectFailed(_Described, frozen=True):
    """A project could not be processed; ``will_retry`` is whether the next run tries again."""

    name: ProjectName
    error: BandersnatchError
    will_retry: bool

    level: ClassVar[int] = ERROR

    def __str__(self) -> str:
        if isinstance(self.error, RefusedCommand):
            return str(self.error)
        again = "the next run tries again" if self.will_retry else "run sync again to retry"
        return f"{self.name} failed: {self.error}; {again}"


class ProjectBlocked(_Described, frozen=True):
    """The disk has no space for a project's files; its published pages stay unchanged."""

    name: ProjectName
    error: BandersnatchError

    level: ClassVar[int] = INFO
    sentence: ClassVar[str] = "{name} waits for disk space: {error}"


class ProjectPostponed(_Described, frozen=True):
    """The index served an outdated page; the project was queued again, for ``seconds`` later."""

    name: ProjectName
    error: BandersnatchError
    seconds: float

    level: ClassVar[int] = DEBUG
    sentence: ClassVar[str] = "{name} is retried in {seconds:.0f} s: {error}"


class ProjectRemoved(_Described, frozen=True):
    """A project was removed from the mirror."""

    name: ProjectName

    level: ClassVar[int] = INFO
    sentence: ClassVar[str] = "removed {name}"


class ProjectRestored(_Described, frozen=True):
    """A removed project was restored from the trash."""

    name: ProjectName

    level: ClassVar[int] = INFO
    sentence: ClassVar[str] = "restored {name}"


# ---------------------------------------------------------------- files and pages


class FilesFiltered(_Described, frozen=True):
    """The filter ``by`` dropped files of a page; ``size`` is their sum in bytes."""

    name: ProjectName
    by: str
    count: int
    size: int

    level: ClassVar[int] = DEBUG
    sentence: ClassVar[str] = "{by} drops {count} file(s) of {name}"


class FilesRejected(_Described, frozen=True):
    """Files of a project are left out, so that the project counts as failed."""

    name: ProjectName
    rejections: tuple[Rejection, ...]

    level: ClassVar[int] = ERROR

    @property
    def error(self) -> RejectedFiles:
        """The failure of the project."""
        first = self.rejections[0]
        return RejectedFiles(len(self.rejections), first.entry, first.reason)

    def __str__(self) -> str:
        return f"{self.name} failed: {self.error}"


class FilesIgnored(_Described, frozen=True):
    """Files of a project are left out, as ``ignore-rejected`` allows."""

    name: ProjectName
    rejections: tuple[Rejection, ...]

    level: ClassVar[int] = INFO

    def __str__(self) -> str:
        first = self.rejections[0]
        text = f"{self.name}: ignored {len(self.rejections)} rejected file(s)"
        return f"{text}; {first.entry}: {first.reason}"


class CoreMetadataMissing(_Described, frozen=True):
    """Files are published without the core metadata that the index advertises (PEP 658).

    ``reason`` is that of the first.
    """

    name: ProjectName
    count: int
    reason: str

    level: ClassVar[int] = WARNING
    sentence: ClassVar[str] = "{name}: {count} file(s) without core metadata; {reason}"


class FileQueued(_Described, frozen=True):
    """A file will be downloaded; ``size`` in bytes, None if it is unknown."""

    key: StorageKey
    size: int | None

    level: ClassVar[int] = DEBUG
    sentence: ClassVar[str] = "queued {key} for download"


class CoreMetadataSkipped(_Described, frozen=True):
    """Files are published without core metadata that was not requested, because of a limit."""

    name: ProjectName
    count: int
    reason: str

    level: ClassVar[int] = DEBUG
    sentence: ClassVar[str] = "{name}: {count} file(s) without core metadata; {reason}"


class DownloadMirrorFailed(_Described, frozen=True):
    """The download mirror failed to provide a file; it is downloaded from the index's host."""

    error: BandersnatchError

    level: ClassVar[int] = DEBUG
    sentence: ClassVar[str] = "download-mirror: {error}"


class DownloadMirrorDropped(_Described, frozen=True):
    """The download mirror failed so often that this run does not ask it again."""

    failures: int
    error: BandersnatchError

    level: ClassVar[int] = WARNING
    sentence: ClassVar[str] = (
        "download-mirror failed for {failures} files and is not asked again in this run; "
        "the last failure: {error}"
    )


class FileDownloaded(_Described, frozen=True):
    """A file or its core metadata was downloaded and stored; ``size`` in bytes."""

    name: ProjectName
    key: StorageKey
    size: int

    level: ClassVar[int] = DEBUG
    sentence: ClassVar[str] = "downloaded {key} ({size} bytes)"


class FileRestored(_Described, frozen=True):
    """A file or its core metadata was restored from the trash; ``size`` in bytes."""

    name: ProjectName
    key: StorageKey
    size: int

    level: ClassVar[int] = DEBUG
    sentence: ClassVar[str] = "restored {key}"


class FileRemoved(_Described, frozen=True):
    """A file or its core metadata was moved to the trash; ``size`` in bytes."""

    name: ProjectName
    key: StorageKey
    size: int = 0

    level: ClassVar[int] = DEBUG
    sentence: ClassVar[str] = "moved {key} to removed/"


class PageWritten(_Described, frozen=True):
    """A page or document was written; ``size`` in bytes, 0 where it was not determined."""

    key: StorageKey
    size: int = 0

    level: ClassVar[int] = DEBUG
    sentence: ClassVar[str] = "wrote {key}"


class PageRemoved(_Described, frozen=True):
    """A page or document was removed; ``size`` in bytes, 0 where it was not determined."""

    key: StorageKey
    size: int = 0

    level: ClassVar[int] = DEBUG
    sentence: ClassVar[str] = "removed {key}"


# ---------------------------------------------------------------- verify


class ProjectVerified(_Described, frozen=True):
    """``verify`` checked a project; ``size`` is how many bytes it read."""

    name: ProjectName
    files: int
    size: int

    level: ClassVar[int] = DEBUG
    sentence: ClassVar[str] = "verified {name}: {files} file(s), {size} bytes read"


class DamageFound(_Described, frozen=True):
    """An object is missing or wrong; ``what`` is the predicate of a sentence about its key."""

    key: StorageKey
    what: str

    level: ClassVar[int] = WARNING
    sentence: ClassVar[str] = "{key}: {what}"


class DamageRepaired(_Described, frozen=True):
    """A damaged object was repaired."""

    key: StorageKey

    level: ClassVar[int] = INFO
    sentence: ClassVar[str] = "repaired {key}"


class RepairFailed(_Described, frozen=True):
    """A damaged object could not be repaired; ``what`` is as in ``DamageFound``."""

    key: StorageKey
    what: str
    reason: str

    level: ClassVar[int] = ERROR
    sentence: ClassVar[str] = "{key}: {what}; it could not be repaired: {reason}"


class ProjectUnreadable(_Described, frozen=True):
    """A project's pages or documents cannot be read, so which files it owns is unknown.

    ``advice`` is what the operator can do.
    """

    name: ProjectName
    advice: str

    level: ClassVar[int] = ERROR
    sentence: ClassVar[str] = (
        "{name} has pages or documents here that cannot be read or are incomplete; {advice}"
    )


class OrphanFound(_Described, frozen=True):
    """An object of the served tree belongs to no project.

    ``size`` in bytes; ``moved`` is whether it was moved to the trash.
    """

    key: StorageKey
    size: int
    moved: bool

    level: ClassVar[int] = INFO

    def __str__(self) -> str:
        return f"{'moved to removed/' if self.moved else 'belongs to no project'}: {self.key}"


# ---------------------------------------------------------------- all of them

RunEvent: TypeAlias = (
    Warned
    | Halted
    | RequestsLimited
    | StepStarted
    | PhaseStarted
    | RunPlanned
    | SweepEnded
    | JobsEnded
)
ProjectEvent: TypeAlias = (
    ProjectSynced
    | ProjectUnchanged
    | ProjectAbsent
    | ProjectExcluded
    | ProjectFailed
    | ProjectBlocked
    | ProjectPostponed
    | ProjectRemoved
    | ProjectRestored
)
FileEvent: TypeAlias = (
    FilesFiltered
    | FilesRejected
    | FilesIgnored
    | CoreMetadataMissing
    | FileQueued
    | CoreMetadataSkipped
    | DownloadMirrorFailed
    | DownloadMirrorDropped
    | FileDownloaded
    | FileRestored
    | FileRemoved
    | PageWritten
    | PageRemoved
)
VerifyEvent: TypeAlias = (
    ProjectVerified | DamageFound | DamageRepaired | RepairFailed | ProjectUnreadable | OrphanFound
)
Event: TypeAlias = RunEvent | ProjectEvent | FileEvent | VerifyEvent
