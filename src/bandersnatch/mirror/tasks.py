"""The values of a run: what the index has, what the mirror knew, each task and its outcome."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, Flag, auto
from typing import TYPE_CHECKING

from bandersnatch.model.project import ProjectList, ProjectStatus, Rejection, UnknownStatus
from bandersnatch.model.serials import NO_SERIAL, Change, Serial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bandersnatch.catalogue import records
    from bandersnatch.errors import BandersnatchError
    from bandersnatch.filters.chain import Dropped
    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.fingerprint import PolicyFingerprint
    from bandersnatch.mirror.owners import PathOwners
    from bandersnatch.model.names import ProjectName


NO_CHANGE = Serial(2**53 - 1)
"""The first change that the tree does not reflect of a project of which it reflects all."""


# ---------------------------------------------------------------- before the work


class Opening(Enum):
    """The request that began a run, whose answer showed that the index works."""

    NONE = auto()
    CHANGELOG = auto()
    LIST = auto()


@dataclass(frozen=True, slots=True)
class Discovery:
    """What the index has.

    ``changes`` are events, ``listing`` is the whole project list, ``finite`` a finite set of
    projects to ask for one by one; each may be missing. ``cursor`` is the serial up to which
    they reach, None if unknown. ``head`` is the index's head serial, None if unknown;
    ``newest`` and ``ceiling`` are those of the ``Ledger``. ``markers`` are stored once every task
    was worked on. ``opening`` is the first request that was answered.
    """

    cursor: Serial | None
    changes: Sequence[Change] = ()
    listing: ProjectList | None = None
    finite: frozenset[ProjectName] = frozenset()
    head: Serial | None = None
    newest: Serial | None = None
    ceiling: Serial | None = None
    markers: Mapping[records.Marker, str] = field(default_factory=dict)
    opening: Opening = Opening.NONE

    def display(self, name: ProjectName) -> str:
        """Return the display name of a project in the project list, "" if that has none."""
        if self.listing is None or name not in self.listing.serials:
            return ""
        return self.listing.display_names.get(name, name)


@dataclass(frozen=True, slots=True)
class MirrorSnapshot:
    """What the mirror knew when a run began.

    ``status`` is S; ``pending`` are the projects of ``todo`` with their target serials.
    ``deferred`` and ``summaries`` come from the catalogue. ``fingerprint`` returns that of the
    options and filters for a project. ``due`` are the projects whose page is to show more files
    by now. ``now`` is in seconds since 1970. ``changed`` are the only projects that differ from
    the project list, None if all have to be compared. ``keep_removed`` says that projects which
    the index removed stay in the mirror. ``may_expire`` is False if the clock is doubted: no
    change is old enough then to be shown by every page. ``has_changelog`` is False if only the
    project list says what changed. ``cursor`` is T, None if unknown. ``unknown`` are projects with
    a page in the tree and without a record, after a part of the mirror was restored.
    ``is_untrusted`` says that the catalogue may be of another moment than the tree.
    """

    status: Serial
    pending: Mapping[ProjectName, Serial]
    deferred: Mapping[ProjectName, records.Deferred]
    summaries: Mapping[ProjectName, records.ProjectSummary]
    fingerprint: Callable[[ProjectName], str]
    now: int
    due: Sequence[ProjectName] = ()
    changed: frozenset[ProjectName] | None = None
    keep_removed: bool = False
    may_expire: bool = True
    has_changelog: bool = True
    cursor: Serial | None = None
    unknown: frozenset[ProjectName] = frozenset()
    is_untrusted: bool = False


@dataclass(frozen=True, slots=True)
class RunContext:
    """What is the same for every task of a run.

    ``now`` is when the run began, in seconds since 1970. ``trash`` are the files in ``removed/``.
    ``accepted`` are the projects whose published files may change. ``force`` checks the files
    even where the page is the same. ``established`` says that the mirror already has projects.
    ``may_empty`` lets the index or the filters leave a project without files. ``may_lose`` is
    how many published files the index may take off the page of a project that stays: 0 for one
    that it does not have, any number if it is None. ``is_standalone`` is for a command that has no
    end at which limits decide. ``may_expire`` is as in ``MirrorSnapshot``. ``cursor``,
    ``newest`` and ``ceiling`` are those of the run's ``Ledger``.
    """

    now: int
    fingerprint: PolicyFingerprint
    owners: PathOwners
    trash: Mapping[StorageKey, records.TrashEntry] = field(default_factory=dict)
    accepted: frozenset[ProjectName] = frozenset()
    force: bool = False
    established: bool = True
    may_empty: bool = False
    may_lose: Mapping[ProjectName, int] | None = field(default_factory=dict)
    is_standalone: bool = False
    may_expire: bool = True
    cursor: Serial | None = None
    newest: Serial | None = None
    ceiling: Serial | None = None


# ---------------------------------------------------------------- one project


class TaskHints(Flag):
    """What is known about a project before its page is fetched."""

    NONE = 0
    LISTED = auto()
    """The index names the project now, so that a missing page is an error and not a removal."""
    UNLISTED = auto()
    """The project list does not have the project, so that its page may come from a stale cache."""
    KNOWN = auto()
    """The catalogue has a record of it."""
    EXCLUDED = auto()
    """Its record only says that nothing of it is published."""
    REFETCH = auto()
    """More files of the same page are to be published by now, so that it is fetched again."""
    POLICY_CHANGED = auto()
    """What is published was rendered under other options or filters."""
    MAYBE_PUBLISHED = auto()
    """An earlier run may have published something that it did not record."""
    SWEPT = auto()
    """Nothing says that it changed: the sweep asks for its page."""
    UNRECORDED = auto()
    """It has a page in the tree that the catalogue knows nothing of, after a restore of a part."""


@dataclass(frozen=True, slots=True)
class SyncTask:
    """A project to sync.

    ``target_serial`` is the serial that its page must have reached, 0 for any.
    ``first_serial`` is the first change that the tree does not reflect, None if unknown.
    ``noticed_at`` is when this mirror first saw the last change, 0 if unknown, and ``happened_at``
    its time by the index, None if unknown, both in seconds since 1970.
    ``display`` is the name as the index shows it, "" if unknown. ``earlier`` is what an earlier
    run deferred. ``removal_serial`` is the serial of the last event that takes files off the page,
    0 if there is none; ``quarantined`` are the versions that such events put in quarantine.
    """

    name: ProjectName
    target_serial: Serial = NO_SERIAL
    first_serial: Serial | None = None
    noticed_at: int = 0
    display: str = ""
    hints: TaskHints = TaskHints.NONE
    earlier: records.Deferred | None = None
    removal_serial: Serial = NO_SERIAL
    quarantined: tuple[str, ...] = ()
    happened_at: int | None = None

    def merged(self, other: SyncTask) -> SyncTask:
        """Return one task for two: the lower first serial, the higher target serial."""
        later = other if other.target_serial >= self.target_serial else self
        noticed_at, happened_at = later.noticed_at, later.happened_at
        if other.target_serial == self.target_serial:  # the same change may be read again
            noticed_at = min(self.noticed_at or noticed_at, other.noticed_at or self.noticed_at)
            happened_at = self.happened_at if other.happened_at is None else other.happened_at
        first = None
        if self.first_serial is not None and other.first_serial is not None:
            first = min(self.first_serial, other.first_serial)
        return replace(
            later,
            first_serial=first,
            noticed_at=noticed_at,
            happened_at=happened_at,
            display=other.display or self.display,
            hints=self.hints | other.hints,
            earlier=self.earlier or other.earlier,
            removal_serial=max(self.removal_serial, other.removal_serial),
            quarantined=tuple(dict.fromkeys((*self.quarantined, *other.quarantined))),
        )

    @property
    def is_expected(self) -> bool:
        """Whether the index should have a page: it names the project, or the mirror has it."""
        is_known = TaskHints.KNOWN in self.hints and TaskHints.EXCLUDED not in self.hints
        return TaskHints.LISTED in self.hints or (is_known and TaskHints.UNLISTED not in self.hints)

    def is_doubted(self, status: ProjectStatus | UnknownStatus) -> bool:
        """Whether the page of a published project may come from a stale cache.

        The project list omits quarantined projects, and their pages have that status (PEP 792).
        """
        is_published = TaskHints.KNOWN in self.hints and TaskHints.EXCLUDED not in self.hints
        is_unlisted = TaskHints.UNLISTED in self.hints and TaskHints.LISTED not in self.hints
        return is_published and is_unlisted and status is not ProjectStatus.QUARANTINED


class Result(Enum):
    """What one task came to."""

    SYNCED = auto()
    UNCHANGED = auto()
    ABSENT = auto()
    """Neither the index nor the mirror has the project."""
    MISSING_ONCE = auto()
    """The index has no page of it for the first time, or for a time that is too short."""
    GONE = auto()
    """The index has no page of it for the second time."""
    STALE_ONCE = auto()
    """Its page is older than a change of long ago that this mirror has only just seen."""
    EMPTY_ONCE = auto()
    """Its page lost all its files, without an event, for the first time or for too short a time."""
    EMPTY = auto()
    """The same for the second time; the end of the run decides whether that is published."""
    LOSES_FILES = auto()
    """The index took files off its page; the end of the run decides whether that is published."""
    EXCLUDED = auto()
    """The page filters drop it, and nothing of it is published."""
    UNWANTED = auto()
    """The page filters drop it; what is published is to be removed at the end of the run."""
    EMPTIED = auto()
    """The page filters drop all its files; the end of the run decides whether they may."""
    REJECTED = auto()
    """So many files of the page are rejected that it is not published; what was published stays."""
    FAILED = auto()
    """It could not be synced; what was published stays."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one task came to, with everything that has to be recorded.

    ``record`` is what the catalogue is to hold. ``error`` is why the project failed, or why it is
    published without some files; ``incomplete`` says that a later run has to sync it again.
    ``unread`` is why the JSON page could not be read, so that what was published is the HTML page.
    ``unlisted`` says that its page exists although the project list does not have it.
    ``rejected`` are the rejected files of a page that is not published.
    ``removed`` are files that were moved to the trash, ``restored`` those that came back.
    ``lost`` is how many published files the index took off the page, as the limit counts them.
    ``dropped`` is what the filters dropped from the page; the last of it is the whole page for a
    project that is excluded. ``held_by`` is why the end of the run or a later run decides.
    ``requirements`` are those of the files of ``record``, None if dependencies are not followed.
    ``unmet`` is what is asked of the project and what its page does not satisfy: specifiers, each
    with the targets in which that is so.
    ``seen`` is the digest of a page that a later run has to see again.
    """

    task: SyncTask
    result: Result
    record: records.ProjectRecord | None = None
    error: BandersnatchError | None = None
    incomplete: bool = False
    unlisted: bool = False
    rejected: tuple[Rejection, ...] = ()
    removed: tuple[records.TrashEntry, ...] = ()
    restored: tuple[StorageKey, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    lost: int = 0
    held_by: BandersnatchError | None = None
    unread: BandersnatchError | None = None
    requirements: records.RequirementRow | None = None
    unmet: tuple[tuple[str, int], ...] = ()
    seen: str = ""
