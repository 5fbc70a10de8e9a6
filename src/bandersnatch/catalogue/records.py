"""The values that the catalogue stores and returns, and the enums of persisted state."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct, field

from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    from bandersnatch.layout import StorageKey
    from bandersnatch.model.content import Validators
    from bandersnatch.model.digests import Digest, Hashes
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail, Rejection


class FileRecord(Struct, frozen=True):
    """A stored file of a project.

    ``file.url`` is "", because the catalogue does not store it. ``file.hashes`` has the sha256 of
    the content, except for a file that was adopted without being read. ``modified`` is in
    nanoseconds since 1970. ``verified`` is when the content was last verified, in seconds since
    1970; None for a file that was adopted because of its size and time alone. ``validators`` are
    those of the last response about a file for which the index gives no digest: if they differ
    later, the file has changed. They are None for a file with a digest.
    """

    file: ReleaseFile
    modified: int
    verified: int | None
    validators: Validators | None = None


NEVER = 0
"""The time of verification of content that was never verified, and of a look that never was."""

ALWAYS = 2**53
"""A time after all others, in seconds since 1970."""


class Standing(StrEnum):
    """Why a project has a record."""

    SELECTED = "selected"
    """The project filters select it."""
    RETAINED = "retained"
    """It is published although the project filters do not select it: synced by name, or earlier."""
    EXCLUDED = "excluded"
    """Nothing of it is published: the page filters drop it, or it was deleted until it changes."""


class Deferral(StrEnum):
    """What a later run has to do about a project."""

    PENDING = "pending"
    """Sync it: the tree does not reflect the target serial. Such a project is in ``todo`` too."""
    INCOMPLETE = "incomplete"
    """Sync it unconditionally: the published page may differ from its record, or lacks files."""
    MISSING_ONCE = "missing once"
    """Ask for its page again: one run found none; it is removed when a second run agrees."""
    STALE_ONCE = "stale once"
    """Ask for its page again: it is older than a change of long ago; the same page is published."""
    EMPTY_ONCE = "empty once"
    """Ask for its page again: it lost all its files; a second run that agrees publishes that."""
    UNLISTED = "unlisted"
    """Ask for its page again: it exists, but the index's project list does not have the project."""
    GONE = "gone"
    """Remove it: the index did, and a removal limit stopped the run. It is in ``todo`` too."""
    DELETED = "deleted"
    """Finish a deletion by name, and forget the project."""
    EXCLUDED_UNTIL_CHANGE = "excluded until change"
    """Finish a deletion by name, and exclude the project until the index changes it."""


MISSED = frozenset({Deferral.MISSING_ONCE, Deferral.EMPTY_ONCE, Deferral.UNLISTED})
"""The deferrals that wait for a second look."""

DELETIONS = frozenset({Deferral.DELETED, Deferral.EXCLUDED_UNTIL_CHANGE})
"""The deferrals that every command which opens the tree finishes."""


class Cause(StrEnum):
    """Why a project was deferred, by kind; ``Deferred.reason`` has the sentence."""

    NONE = ""
    """Nothing failed, or a run was stopped in the middle."""
    NOT_VISITED = "not visited"
    """A run ended before it came to the project; nothing of the project failed."""
    UNAVAILABLE = "unavailable"
    """A host did not answer."""
    REFUSED = "refused"
    """A host refused the request."""
    PAGE_MISSING = "page missing"
    PAGE_STALE = "page stale"
    PAGE_EMPTIED = "page emptied"
    """The page lost all its files, and no event of the changelog says so."""
    PAGE_REJECTED = "page rejected"
    """No file of the page can be published; ``status`` waits for one run only."""
    FILES_REMOVED = "files removed"
    """The page lost files; the limit of a run's end decides whether that is published."""
    FILES_MISSING = "files missing"
    """The next run publishes the page without the files that are still missing."""
    FILE_CHANGED = "file changed"
    """A published file would change."""
    REMOVAL_LIMIT = "removal limit"
    DAMAGED = "damaged"
    """``verify`` found damage that it could not repair."""
    UPSTREAM = "upstream"
    """Another failure of the index or a file host."""
    STORAGE = "storage"
    OTHER = "other"


class Marker(StrEnum):
    """The keys of the texts that one run stores for a later one; a missing text is ""."""

    ADOPTED = "adopted"
    """When the whole tree was taken into the catalogue, in seconds since 1970."""
    CLEAN = "clean"
    """The digest of ``status`` and ``todo`` after the last run, or a ``CleanMarker``."""
    ROOT = "root"
    """A ``RootMarker``."""
    OPTIONS = "options"
    """The fingerprint of the options of the last complete run."""
    FILTERS = "filters"
    """The fingerprint of the filters of the last complete run."""
    RECONCILED = "reconciled"
    """When everything was last compared with the index, in seconds since 1970."""
    LISTING = "listing"
    """The validators of the project list, one a line."""
    SWEPT = "swept"
    """Until when the sweep has had its share of the pages, in seconds since 1970."""
    FILE_LOSSES = "file losses"
    """How many files the index took off pages in the last 24 hours; see ``mirror.losses``."""
    LAST_RUN = "last run"
    """When the last run of ``mirror`` began, whatever came of it, in seconds since 1970."""
    LAST_END = "last end"
    """How the last run of ``mirror`` ended; see ``state_word.RunEnd``."""
    PREVIOUS_SUCCESS = "previous success"
    """The time of ``LAST_SUCCESS`` before that one, in seconds since 1970."""
    LAST_SUCCESS = "last success"
    """When the last run of ``mirror`` began that left nothing undone, in seconds since 1970."""
    VERIFIED = "verified"
    """The oldest time at which content was read by the last complete ``verify``."""
    VERIFY_CYCLE = "verify cycle"
    """When the ``verify`` began that later runs continue, in seconds since 1970."""
    CLOSURE = "closure"
    """The fingerprint of the options and targets that dependencies were last judged for."""
    PROOF = "proof"
    """The result of the last proof of the whole selection; see ``mirror.proofs``."""
    INDEX = "index"
    """The index that serials, ETags and the state files are of; see ``index_identity``."""
    QUICK_VERIFY = "quick verify"
    """The last project that an interrupted ``verify`` of sizes and times compared."""
    QUICK_VERIFIED = "quick verified"
    """The latest time of an object when a whole ``verify`` last compared a listing of them.

    It is in nanoseconds since 1970, by the clock of the store.
    """
    MARK = "mark"
    """The mark of the tree that the catalogue is of; see ``mirror.mark``."""


class CleanMarker(StrEnum):
    """The values of ``Marker.CLEAN`` that are not digests."""

    DIRTY = "dirty"
    """A run that trusted the state files began and did not end; there was a ``status``."""
    UNTRUSTED = "untrusted"
    """The state files were not trusted, and no run has synced every project since."""
    FOREIGN = "foreign"
    """The catalogue was reset because it was another tree's; the state files may be, too."""


class RootMarker(StrEnum):
    """Whether the root page shows what the catalogue has."""

    STALE = "stale"
    WRITTEN = "written"


MOST_EXCLUSIONS = 20
"""Filters whose exclusions are recorded for a project."""


class ProjectRecord(Struct, frozen=True):
    """A project as it is published, or that is excluded.

    ``reflects`` is the highest serial whose change the page is known to show; it is above
    ``detail.serial`` for a page that was accepted although its own serial is older.
    ``fingerprint`` is that of the options and page filters that the page was rendered under.
    ``files`` are those of ``detail.files`` that are stored, in the same order. ``due`` is when,
    in seconds since 1970, the filters will let more files of the same page through.
    ``exclusions`` are what the filters left out of that page, at most ``MOST_EXCLUSIONS`` of them.
    ``asked`` is when the index was last asked for the page. Until ``watched`` the sweep asks for it
    more often.
    """

    detail: ProjectDetail
    display: str
    reflects: Serial
    fingerprint: str
    validators: Validators
    files: tuple[FileRecord, ...]
    standing: Standing = Standing.SELECTED
    due: int | None = None
    exclusions: tuple[Exclusion, ...] = ()
    asked: int = NEVER
    watched: int = NEVER

    @property
    def name(self) -> ProjectName:
        """The project's normalised name."""
        return self.detail.name

    @property
    def is_published(self) -> bool:
        """Whether the project has pages in the tree."""
        return self.standing is not Standing.EXCLUDED

    @property
    def size(self) -> int:
        """The size of the stored files in bytes, as far as it is known."""
        return sum(found.file.size or 0 for found in self.files)

    @property
    def verified(self) -> int:
        """The time of the oldest verification of a file, ``NEVER`` if one was never verified.

        A project without files was never verified, until ``verify`` has examined its pages.
        """
        return min((found.verified or NEVER for found in self.files), default=NEVER)


class ProjectSummary(NamedTuple):
    """The part of a record that planning needs; ``size`` is that of its files, in bytes."""

    reflects: Serial
    serial: Serial | None
    display: str
    fingerprint: str
    standing: Standing = Standing.SELECTED
    size: int = 0

    @property
    def is_published(self) -> bool:
        """Whether the project has pages in the tree."""
        return self.standing is not Standing.EXCLUDED


class Deferred(Struct, frozen=True):
    """A project that a later run has to sync again.

    ``first_serial`` is the first change that the tree does not reflect, None if unknown (then
    ``status`` stays where it is); ``target_serial`` is the last. ``since`` is when the deferral
    began and ``tried`` when the project was last synced, in seconds since 1970; ``attempts``
    counts the runs that failed. ``reason`` is the error as a sentence. ``display`` is the name as
    the index shows it, "" if unknown.
    ``removal_serial``, ``quarantined``, ``noticed_at`` and ``happened_at`` are those of the task.
    ``seen`` is the digest of the page that waits for a second look, else "".
    """

    name: ProjectName
    deferral: Deferral
    target_serial: Serial
    first_serial: Serial | None
    since: int
    tried: int
    attempts: int
    cause: Cause
    reason: str
    display: str = ""
    removal_serial: Serial = NO_SERIAL
    quarantined: tuple[str, ...] = ()
    noticed_at: int = 0
    happened_at: int | None = None
    seen: str = ""

    @property
    def changed_at(self) -> int:
        """When the index changed the project, or ``since`` if its time cannot be right."""
        happened_at = self.happened_at or 0
        return happened_at if 0 < happened_at <= self.since else self.since


class TrashEntry(Struct, frozen=True):
    """An object in the trash since ``at``, in seconds since 1970; ``sha256`` is "" if unknown."""

    key: StorageKey
    size: int
    sha256: str
    at: int


class ListEntry(NamedTuple):
    """A project on the root page; ``serial`` is None if nothing proved that of its page."""

    name: ProjectName
    serial: Serial | None


class Exclusion(NamedTuple):
    """The versions of a project that one filter left out: how many, and the newest of them."""

    filter: str
    versions: int
    newest: str


class RejectedFile(NamedTuple):
    """A file of a project that the mirror left out; see ``Rejection``."""

    project: ProjectName
    rejection: Rejection


class PathOwner(NamedTuple):
    """A file of another project at a path, maybe in another spelling, and what it should be."""

    project: ProjectName
    path: str
    hashes: Hashes
    sidecar: Digest | None

    @classmethod
    def of(cls, project: ProjectName, file: ReleaseFile) -> PathOwner:
        """Return a project as the owner of one of its files."""
        return cls(project, file.path, file.hashes, file.sidecar)

    def differs(self, other: PathOwner) -> bool:
        """Whether two projects cannot share a path: another spelling, or another content.

        Files without a common digest may differ.
        """
        compared = {self.hashes.agrees_with(other.hashes), other.hashes.agrees_with(self.hashes)}
        if self.path != other.path or True not in compared:
            return True
        return None not in {self.sidecar, other.sidecar} and self.sidecar != other.sidecar


class DamagedRow(NamedTuple):
    """A damaged row that was dropped: its table, and the first value of its key.

    ``key`` may be damaged, too; it is "" if it cannot be shown. ``table`` is "" if the catalogue as
    a whole could not be used, and ``key`` the place at which it was put aside.
    """

    table: str
    key: str


class FileStat(NamedTuple):
    """The recorded size and time of a file; ``modified`` is in nanoseconds since 1970.

    ``sidecar`` is whether its core metadata is advertised, ``verified`` when its content was last
    verified, in seconds since 1970; None if it never was.
    """

    path: str
    size: int | None
    modified: int
    sidecar: bool
    verified: int | None


class VerifyEntry(NamedTuple):
    """A project in the queue of ``verify``.

    ``verified`` is when its content was last verified, in seconds since 1970; ``files`` is the
    number of its files, and ``size`` their size in bytes.
    """

    name: ProjectName
    verified: int
    files: int
    size: int


class Verified(Struct, frozen=True):
    """The verification of files of a project, ``at`` a time in seconds since 1970.

    If ``paths`` is None, all its files and pages were verified.
    """

    name: ProjectName
    at: int
    paths: frozenset[str] | None = None


class Totals(NamedTuple):
    """The numbers of projects, of their files and bytes, and of projects without verification.

    ``unverified`` counts the projects with content that was never verified; ``verified`` is the
    oldest verification of the others, ``NEVER`` if there are none.
    """

    projects: int
    files: int
    size: int
    unverified: int
    verified: int


class TrashTotals(NamedTuple):
    """The number of objects in the trash, with pages and core metadata, and their bytes."""

    files: int
    size: int


class RequirementRow(NamedTuple):
    """What the files of a project state about requirements.

    ``basis`` identifies the files (``requirements_basis``). ``contexts`` are those that the
    project's dependencies were judged in, "" if they were not yet, and ``needs`` is what its files
    state; both are texts of ``closure.needs``.
    """

    basis: str
    contexts: str
    needs: str


class FollowedRow(NamedTuple):
    """A project that others need.

    ``digest`` is that of what they ask of it, "" if it is kept out of the mirror. ``unmet`` says
    what they ask for and the mirror does not have, a text of ``closure.needs``.
    """

    digest: str
    unmet: str


def requirements_basis(record: ProjectRecord) -> str:
    """Return a text that changes whenever the files of a project may state other requirements."""
    files = (f"{each.file.path} {each.file.sidecar}" for each in record.files)
    return hashlib.sha256("\n".join(files).encode()).hexdigest()[:16]


class CatalogueUpdate(Struct):
    """The changes of one commit of the catalogue.

    A record replaces the project's earlier one with all its files. It ends the deferral of the
    project, as ``forgotten`` and ``resolved`` do, unless ``deferred`` has a new one. ``restored``
    are the keys that left the trash. ``rejected`` replaces the rejected files of projects whose
    page is not published, and of which no record is stored now; those of the others are in
    ``detail.rejected`` of their records. ``looked`` are projects whose page was asked for and is
    as recorded, with the time of the request. ``reset`` deletes everything else first.
    ``requirements`` replaces those of projects; the basis of a row counts only for a project that
    has no record here. ``dependencies`` replaces all that a project asks of others, by their names.
    ``followed`` adds or replaces projects that others need, and ``unfollowed`` removes them.
    ``forget_above`` forgets every serial above it first, with the validators of its project.
    """

    records: list[ProjectRecord] = field(default_factory=list)
    forgotten: list[ProjectName] = field(default_factory=list)
    deferred: list[Deferred] = field(default_factory=list)
    resolved: list[ProjectName] = field(default_factory=list)
    trashed: list[TrashEntry] = field(default_factory=list)
    restored: list[StorageKey] = field(default_factory=list)
    verified: list[Verified] = field(default_factory=list)
    looked: dict[ProjectName, int] = field(default_factory=dict)
    rejected: dict[ProjectName, tuple[Rejection, ...]] = field(default_factory=dict)
    markers: dict[Marker, str] = field(default_factory=dict)
    requirements: dict[ProjectName, RequirementRow] = field(default_factory=dict)
    dependencies: dict[ProjectName, dict[ProjectName, str]] = field(default_factory=dict)
    followed: dict[ProjectName, FollowedRow] = field(default_factory=dict)
    unfollowed: list[ProjectName] = field(default_factory=list)
    reset: bool = False
    forget_above: Serial | None = None

    def __bool__(self) -> bool:
        is_forgetting = self.forget_above is not None
        return is_forgetting or any(getattr(self, name) for name in self.__struct_fields__)
