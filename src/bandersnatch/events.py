"""What a run reports, as it happens; log, progress, report and diff file are made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from bandersnatch.errors import BandersnatchError
    from bandersnatch.layout import StorageKey
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.serials import Serial


@dataclass(frozen=True, slots=True)
class Noticed:
    """Something that the operator should know and that stops nothing."""

    text: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """A part of the run was given up, or refused by a limit; the rest went on in order."""

    error: BandersnatchError


@dataclass(frozen=True, slots=True)
class Doing:
    """A longer step began."""

    text: str


@dataclass(frozen=True, slots=True)
class Planned:
    """The work of the run is known."""

    projects: int
    removals: int


@dataclass(frozen=True, slots=True)
class ProjectSynced:
    """A project's pages and files are as the index has them."""

    name: ProjectName
    serial: Serial | None


@dataclass(frozen=True, slots=True)
class ProjectUnchanged:
    """A project was looked at and there was nothing to do."""

    name: ProjectName


@dataclass(frozen=True, slots=True)
class ProjectAbsent:
    """The index has no such project, and neither has the mirror."""

    name: ProjectName


@dataclass(frozen=True, slots=True)
class ProjectLeftOut:
    """A filter wants nothing of a project, and nothing of it is here."""

    name: ProjectName
    by: str


@dataclass(frozen=True, slots=True)
class FilesFiltered:
    """A filter dropped files of a page; ``size`` is that of all of them, in bytes."""

    name: ProjectName
    by: str
    count: int
    size: int


@dataclass(frozen=True, slots=True)
class ProjectFailed:
    """A project is not as the index has it; ``will_retry`` says whether the next run tries."""

    name: ProjectName
    error: BandersnatchError
    will_retry: bool


@dataclass(frozen=True, slots=True)
class ProjectWaits:
    """A project needs files for which the disk has no room; what was published stays."""

    name: ProjectName
    error: BandersnatchError


@dataclass(frozen=True, slots=True)
class ProjectPostponed:
    """A page is older than it should be; the project went to the back of the queue."""

    name: ProjectName
    error: BandersnatchError
    seconds: float


@dataclass(frozen=True, slots=True)
class ProjectRemoved:
    """A project left the mirror."""

    name: ProjectName


@dataclass(frozen=True, slots=True)
class ProjectRestored:
    """A project that had been removed is back, as it was then."""

    name: ProjectName


@dataclass(frozen=True, slots=True)
class FilePlanned:
    """A file is to be downloaded; ``size`` in bytes, None if it is not known."""

    key: StorageKey
    size: int | None


@dataclass(frozen=True, slots=True)
class FileDownloaded:
    """A file or a sidecar came over the network and is in its place."""

    name: ProjectName
    key: StorageKey
    size: int


@dataclass(frozen=True, slots=True)
class FileRestored:
    """A file or a sidecar came back out of ``removed/``."""

    name: ProjectName
    key: StorageKey
    size: int


@dataclass(frozen=True, slots=True)
class FileRemoved:
    """A file or a sidecar left the served tree for ``removed/``."""

    name: ProjectName
    key: StorageKey
    size: int = 0


@dataclass(frozen=True, slots=True)
class FilesRejected:
    """Entries of a page were left out because they are not what they may be; the first is told."""

    name: ProjectName
    count: int
    entry: str
    reason: str


@dataclass(frozen=True, slots=True)
class SidecarsMissing:
    """Files are published without the core metadata that the index advertises; one is told."""

    name: ProjectName
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class PageWritten:
    """A page or document changed; ``size`` in bytes, 0 if nobody asked."""

    key: StorageKey
    size: int = 0


@dataclass(frozen=True, slots=True)
class PageRemoved:
    """A page or document went away; ``size`` in bytes, 0 if nobody asked."""

    key: StorageKey
    size: int = 0


@dataclass(frozen=True, slots=True)
class ProjectVerified:
    """A project was looked at by ``verify``; ``size`` is what was read, in bytes."""

    name: ProjectName
    files: int
    size: int


@dataclass(frozen=True, slots=True)
class DamageFound:
    """Something in the tree is not as it should be; ``what`` goes on from its key."""

    key: StorageKey
    what: str


@dataclass(frozen=True, slots=True)
class DamageRepaired:
    """What was damaged is right again."""

    key: StorageKey


@dataclass(frozen=True, slots=True)
class DamageLeft:
    """What is damaged could not be repaired."""

    key: StorageKey
    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class OwnerUnknown:
    """A project has pages or documents here that cannot be read, so what it owns is unknown."""

    name: ProjectName


@dataclass(frozen=True, slots=True)
class Unowned:
    """Something in the served tree belongs to no project; ``size`` in bytes."""

    key: StorageKey
    size: int
    moved: bool


Event: TypeAlias = (
    Noticed
    | Stopped
    | Doing
    | Planned
    | ProjectSynced
    | ProjectUnchanged
    | ProjectAbsent
    | ProjectLeftOut
    | FilesFiltered
    | ProjectFailed
    | ProjectWaits
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
    | OwnerUnknown
    | Unowned
)
