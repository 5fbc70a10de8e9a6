"""Values that cross the ports: what was fetched, what is stored, what is remembered."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bandersnatch.layout import StorageKey
    from bandersnatch.model.content import Validators
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.model.serials import Serial


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file that the mirror has: as it is published, and as it lies on the storage.

    The file's ``url`` is "", for the catalogue does not keep it. ``verified`` is when the
    content was last found right, in seconds since 1970; None for a file that was taken over by
    size and time alone. ``modified`` is in nanoseconds since 1970.
    """

    file: ReleaseFile
    modified: int
    verified: int | None


NEVER = 0
"""In place of a time: what is known by size and time alone."""


class Standing(Enum):
    """Why a project has a record."""

    WANTED = "wanted"
    """The filters want it."""
    RETAINED = "kept"
    """It is here though the project filters do not want it: by name, or from before."""
    EXCLUDED = "left out"
    """The page filters want nothing of it; it is not here, and remembered to be left alone."""


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """A project that the mirror has, as it is published, or has decided to leave out.

    ``reflects`` is the highest serial whose change the page is known to show; it can be above
    ``detail.serial`` for a page that was accepted although its own serial lags.
    ``terms`` is the fingerprint of the options and page filters the page was made under.
    ``files`` are those of ``detail.files`` that are stored, in the same order. ``due`` is when,
    in seconds since 1970, the filters will let more of the same page through.
    """

    detail: ProjectDetail
    display: str
    reflects: Serial
    terms: str
    validators: Validators
    files: tuple[FileRecord, ...]
    standing: Standing = Standing.WANTED
    due: int | None = None

    @property
    def name(self) -> ProjectName:
        """The project's normalised name."""
        return self.detail.name

    @property
    def size(self) -> int:
        """How many bytes its stored files have, as far as that is known."""
        return sum(found.file.size or 0 for found in self.files)

    @property
    def verified(self) -> int:
        """When the content of all its files had last been found right; 0 if it never was.

        A project without files counts as never verified until ``verify`` has seen its pages.
        """
        return min((found.verified or NEVER for found in self.files), default=NEVER)


class ProjectSummary(NamedTuple):
    """The part of a record that planning looks at; ``size`` is that of its files, in bytes."""

    reflects: Serial
    serial: Serial | None
    display: str
    terms: str
    standing: Standing = Standing.WANTED
    size: int = 0


@dataclass(frozen=True, slots=True)
class Deferred:
    """A project that a later run has to come back to.

    ``lo`` is the first change that the mirror does not show, None if that is not known (then
    ``status`` stays where it is); ``need`` is the last. ``since`` is when it was first noticed,
    ``tried`` when it was last, in seconds since 1970; ``attempts`` counts the runs that failed.
    ``kind`` says what the next run makes of it, ``fault`` is the class of the error that
    ``reason`` tells in words. ``display`` is the name as the index shows it, "" if it is not
    known.
    """

    name: ProjectName
    kind: str
    target_serial: Serial
    first_serial: Serial | None
    since: int
    tried: int
    attempts: int
    fault: str
    reason: str
    display: str = ""


PENDING = "pending"
"""``kind``: not reflected; in ``todo`` too."""
INCOMPLETE = "incomplete"
"""``kind``: published without something that the index has; looked at again, not in ``todo``."""
MISSING_ONCE = "absent"
"""``kind``: seems to be gone from the index; removed when a second look agrees."""
UNLISTED = "unlisted"
"""``kind``: missing in a whole list, and its page still answers; one of the two is old."""
MISSED = frozenset({MISSING_ONCE, UNLISTED})
"""The kinds of what is looked at again when some time has passed."""
GONE = "gone"
"""``kind``: removed from the index, and kept here because a limit was reached; in ``todo`` too."""
DELETED = "deleted"
"""``kind``: on its way out by name; what opens the tree next goes on with that."""
SET_ASIDE = "set aside"
"""``kind``: the same, and then left out until the index changes it."""


@dataclass(frozen=True, slots=True)
class TrashEntry:
    """A file that waits in ``removed/``; ``at`` is when it came there, in seconds since 1970."""

    key: StorageKey
    size: int
    sha256: str
    at: int


class ListEntry(NamedTuple):
    """A project as the root page has it."""

    name: ProjectName
    serial: Serial | None


class FileStat(NamedTuple):
    """A file as it was recorded; ``modified`` is in nanoseconds since 1970.

    ``sidecar`` says that its core metadata is advertised.
    """

    path: str
    size: int | None
    modified: int
    sidecar: bool


class VerifyEntry(NamedTuple):
    """A project whose content was last found right at ``verified``, in seconds since 1970.

    ``size`` is that of its files, in bytes.
    """

    name: ProjectName
    verified: int
    files: int
    size: int


@dataclass(frozen=True, slots=True)
class Verified:
    """Files of a project whose content was found right ``at`` a time.

    ``paths`` None stands for the whole project: every file of it, and its pages.
    """

    name: ProjectName
    at: int
    paths: frozenset[str] | None = None


class Totals(NamedTuple):
    """What the mirror has: projects, files, bytes, and how much of it has been read through.

    ``unverified`` counts the projects with content that was never found right; ``verified`` is
    the oldest time of the others, NEVER if there are none.
    """

    projects: int
    files: int
    size: int
    unverified: int
    verified: int


class TrashTotals(NamedTuple):
    """How much lies in ``removed/``: files, with pages and core metadata, and their bytes."""

    files: int
    size: int


@dataclass(slots=True)
class CatalogueUpdate:
    """What one commit of the catalogue changes, all or nothing.

    A record takes the place of the project's earlier one with all its files, and ends its
    deferral unless the batch says otherwise. ``reset`` forgets everything that was known before
    the rest is remembered.
    """

    records: list[ProjectRecord] = field(default_factory=list)
    forgotten: list[ProjectName] = field(default_factory=list)
    deferred: list[Deferred] = field(default_factory=list)
    resolved: list[ProjectName] = field(default_factory=list)
    trashed: list[TrashEntry] = field(default_factory=list)
    restored: list[StorageKey] = field(default_factory=list)
    verified: list[Verified] = field(default_factory=list)
    markers: dict[str, str] = field(default_factory=dict)
    reset: bool = False

    def __bool__(self) -> bool:
        return any(getattr(self, slot) for slot in self.__slots__)
