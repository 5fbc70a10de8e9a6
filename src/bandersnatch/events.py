"""Somebody to tell, and the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from bandersnatch.errors import BandersnatchError
    from bandersnatch.layout import StorageKey
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.serials import Serial


class EventSink(Protocol):
    """Somebody who wants to know what happens; must neither block nor raise."""

    def __call__(self, event: Event, /) -> None:
        """Take note of an event."""
        ...


class Warned(Struct, frozen=True):
    """Something that the operator should know and that stops nothing."""

    text: str


class Halted(Struct, frozen=True):
    """A part of the run was given up, or refused by a limit; the rest went on in order."""

    error: BandersnatchError


class StepStarted(Struct, frozen=True):
    """A longer step began."""

    text: str


class Planned(Struct, frozen=True):
    """The work of the run is known."""

    projects: int
    removals: int


class ProjectSynced(Struct, frozen=True):
    """A project's pages and files are as the index has them."""

    name: ProjectName
    serial: Serial | None


class ProjectUnchanged(Struct, frozen=True):
    """A project was looked at and there was nothing to do."""

    name: ProjectName


class ProjectAbsent(Struct, frozen=True):
    """The index has no such project, and neither has the mirror."""

    name: ProjectName


class ProjectExcluded(Struct, frozen=True):
    """A filter wants nothing of a project, and nothing of it is here."""

    name: ProjectName
    by: str


class FilesFiltered(Struct, frozen=True):
    """A filter dropped files of a page; ``size`` is that of all of them, in bytes."""

    name: ProjectName
    by: str
    count: int
    size: int


class ProjectFailed(Struct, frozen=True):
    """A project is not as the index has it; ``will_retry`` says whether the next run tries."""

    name: ProjectName
    error: BandersnatchError
    will_retry: bool


class ProjectBlocked(Struct, frozen=True):
    """A project needs files for which the disk has no room; what was published stays."""

    name: ProjectName
    error: BandersnatchError


class ProjectPostponed(Struct, frozen=True):
    """A page is older than it should be; the project went to the back of the queue."""

    name: ProjectName
    error: BandersnatchError
    seconds: float


class ProjectRemoved(Struct, frozen=True):
    """A project left the mirror."""

    name: ProjectName


class ProjectRestored(Struct, frozen=True):
    """A project that had been removed is back, as it was then."""

    name: ProjectName


class FilePlanned(Struct, frozen=True):
    """A file is to be downloaded; ``size`` in bytes, None if it is not known."""

    key: StorageKey
    size: int | None


class FileDownloaded(Struct, frozen=True):
    """A file or a sidecar came over the network and is in its place."""

    name: ProjectName
    key: StorageKey
    size: int


class FileRestored(Struct, frozen=True):
    """A file or a sidecar came back out of ``removed/``."""

    name: ProjectName
    key: StorageKey
    size: int


class FileRemoved(Struct, frozen=True):
    """A file or a sidecar left the served tree for ``removed/``."""

    name: ProjectName
    key: StorageKey
    size: int = 0


class FilesRejected(Struct, frozen=True):
    """Entries of a page were left out because they are not what they may be; the first is told."""

    name: ProjectName
    count: int
    entry: str
    reason: str


class SidecarsMissing(Struct, frozen=True):
    """Files are published without the core metadata that the index advertises; one is told."""

    name: ProjectName
    count: int
    reason: str


class PageWritten(Struct, frozen=True):
    """A page or document changed; ``size`` in bytes, 0 if nobody asked."""

    key: StorageKey
    size: int = 0


class PageRemoved(Struct, frozen=True):
    """A page or document went away; ``size`` in bytes, 0 if nobody asked."""

    key: StorageKey
    size: int = 0


class ProjectVerified(Struct, frozen=True):
    """A project was looked at by ``verify``; ``size`` is what was read, in bytes."""

    name: ProjectName
    files: int
    size: int


class DamageFound(Struct, frozen=True):
    """Something in the tree is not as it should be; ``what`` goes on from its key."""

    key: StorageKey
    what: str


class DamageRepaired(Struct, frozen=True):
    """What was damaged is right again."""

    key: StorageKey


class DamageLeft(Struct, frozen=True):
    """What is damaged could not be repaired."""

    key: StorageKey
    what: str
    reason: str


class ProjectUnreadable(Struct, frozen=True):
    """A project has pages or documents here that cannot be read, so what it owns is unknown."""

    name: ProjectName


class OrphanFound(Struct, frozen=True):
    """Something in the served tree belongs to no project; ``size`` in bytes."""

    key: StorageKey
    size: int
    moved: bool


Event: TypeAlias = (
    Warned
    | Halted
    | StepStarted
    | Planned
    | ProjectSynced
    | ProjectUnchanged
    | ProjectAbsent
    | ProjectExcluded
    | FilesFiltered
    | ProjectFailed
    | ProjectBlocked
    | ProjectPostponed
    | ProjectRemoved
    | ProjectRestored
    | FilePlanned
    | FileDownloaded
    | FileRestored
    | FileRemoved
    | FilesRejected
    | SidecarsMissing
    | PageWritten
    | PageRemoved
    | ProjectVerified
    | DamageFound
    | DamageRepaired
    | DamageLeft
    | ProjectUnreadable
    | OrphanFound
)
