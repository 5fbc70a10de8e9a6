"""What a run did, counted from its events, and told at its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from bandersnatch.errors import EmptiedProject, RefusedCommand, SafetyStop
from bandersnatch.events import (
    DamageFound,
    DamageLeft,
    DamageRepaired,
    Event,
    FileDownloaded,
    FileRemoved,
    FileRestored,
    FilesRejected,
    Halted,
    OrphanFound,
    PageRemoved,
    PageWritten,
    ProjectAbsent,
    ProjectBlocked,
    ProjectExcluded,
    ProjectFailed,
    ProjectRemoved,
    ProjectRestored,
    ProjectSynced,
    ProjectUnchanged,
    ProjectUnreadable,
    ProjectVerified,
    SidecarsMissing,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bandersnatch.errors import BandersnatchError
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.serials import Serial


MOST_TOLD = 10_000
"""Pieces of damage that a report names; the log has every one, and a lost disk has millions."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A project that is not as the index has it, why, and whether the next run tries again."""

    name: ProjectName
    error: BandersnatchError
    will_retry: bool

    @property
    def kind(self) -> str:
        """The class of the failure: held by a limit, refused, to be retried, or rejected."""
        if isinstance(self.error, SafetyStop | EmptiedProject):
            return "held"
        if isinstance(self.error, RefusedCommand):
            return "refused"
        return "retry" if self.error.transient else "rejected"


@dataclass(slots=True)
class RunReport:
    """Counts of what happened. Sizes are in bytes; serials are None while they are not known.

    ``index_serial`` is the index's newest change when the run began; the lag is what lies
    between it and ``serial_after``. ``ended_by`` is what ended the run before its time.
    ``left`` are the first pieces of damage that could not be repaired. ``waiting`` are the
    projects for whose files the disk has no room.
    """

    command: str
    began: datetime
    ended: datetime | None = None
    synced: list[ProjectName] = field(default_factory=list)
    unchanged: int = 0
    absent: list[ProjectName] = field(default_factory=list)
    excluded: int = 0
    removed: list[ProjectName] = field(default_factory=list)
    restored: list[ProjectName] = field(default_factory=list)
    failures: dict[ProjectName, Failure] = field(default_factory=dict)
    waiting: list[ProjectName] = field(default_factory=list)
    files_downloaded: int = 0
    bytes_downloaded: int = 0
    files_restored: int = 0
    files_removed: int = 0
    files_rejected: int = 0
    sidecars_missing: int = 0
    pages_written: int = 0
    pages_removed: int = 0
    verified: int = 0
    files_verified: int = 0
    bytes_read: int = 0
    damage_found: int = 0
    damage_repaired: int = 0
    damage_left: int = 0
    left: list[DamageLeft] = field(default_factory=list)
    unknown: list[ProjectName] = field(default_factory=list)
    unowned: int = 0
    unowned_bytes: int = 0
    unowned_moved: int = 0
    stopped: list[BandersnatchError] = field(default_factory=list)
    serial_before: Serial | None = None
    serial_after: Serial | None = None
    index_serial: Serial | None = None
    pending: int = 0
    ended_by: BandersnatchError | None = None

    def __call__(self, event: Event) -> None:
        """Count an event."""
        count = _COUNTED.get(type(event))
        if count is not None:
            count(self, event)

    @property
    def seconds(self) -> float:
        """How long the run took."""
        return (self.ended - self.began).total_seconds() if self.ended else 0.0

    @property
    def lag(self) -> int | None:
        """How many serials the mirror is behind the index, None if the index tells none."""
        if self.index_serial is None or self.serial_after is None:
            return None
        return max(0, self.index_serial - self.serial_after)

    def as_dict(self) -> dict[str, Any]:
        """Return the report for ``--report``, with nothing but JSON's own types."""
        return {
            "command": self.command,
            "began": self.began.isoformat(),
            "seconds": round(self.seconds, 3),
            "serial": {
                "before": self.serial_before,
                "after": self.serial_after,
                "index": self.index_serial,
                "lag": self.lag,
            },
            "projects": self._projects(),
            "files": {
                "downloaded": self.files_downloaded,
                "bytes": self.bytes_downloaded,
                "restored": self.files_restored,
                "removed": self.files_removed,
                "rejected": self.files_rejected,
                "sidecars_missing": self.sidecars_missing,
            },
            "pages": {"written": self.pages_written, "removed": self.pages_removed},
            **self._verification(),
            "stopped": [
                {"error": type(error).__name__, "reason": str(error)}
                for error in (*self.stopped, *([self.ended_by] if self.ended_by else []))
            ],
        }

    def _projects(self) -> dict[str, Any]:
        return {
            "synced": self.synced,
            "unchanged": self.unchanged,
            "absent": self.absent,
            "left_out": self.excluded,
            "removed": self.removed,
            "restored": self.restored,
            "waiting": self.waiting,
            "pending": self.pending,
            "failed": [
                {
                    "name": failure.name,
                    "class": failure.kind,
                    "error": type(failure.error).__name__,
                    "reason": str(failure.error),
                    "will_retry": failure.will_retry,
                }
                for failure in self.failures.values()
            ],
        }

    def _verification(self) -> dict[str, Any]:
        """Return what only ``verify`` has to tell."""
        if self.command != "verify":
            return {}
        return {
            "verified": {
                "projects": self.verified,
                "files": self.files_verified,
                "bytes": self.bytes_read,
            },
            "damage": {
                "found": self.damage_found,
                "repaired": self.damage_repaired,
                "left": self.damage_left,
                "told": [
                    {"key": each.key, "what": each.what, "reason": each.reason}
                    for each in self.left
                ],
            },
            "unknown": self.unknown,
            "unowned": {
                "files": self.unowned,
                "bytes": self.unowned_bytes,
                "moved": self.unowned_moved,
            },
        }


def _downloaded(report: RunReport, event: FileDownloaded) -> None:
    report.files_downloaded += 1
    report.bytes_downloaded += event.size


def _verified(report: RunReport, event: ProjectVerified) -> None:
    report.verified += 1
    report.files_verified += event.files
    report.bytes_read += event.size


def _left(report: RunReport, event: DamageLeft) -> None:
    report.damage_left += 1
    if len(report.left) < MOST_TOLD:
        report.left.append(event)


def _unowned(report: RunReport, event: OrphanFound) -> None:
    report.unowned += 1
    report.unowned_bytes += event.size
    report.unowned_moved += event.moved


def _failed(report: RunReport, event: ProjectFailed) -> None:
    report.failures[event.name] = Failure(event.name, event.error, event.will_retry)


def _adds(counter: str) -> Callable[[RunReport, Any], None]:
    """Return what adds an event's count, or one, to a counter."""

    def count(report: RunReport, event: object) -> None:
        setattr(report, counter, getattr(report, counter) + getattr(event, "count", 1))

    return count


def _lists(names: str) -> Callable[[RunReport, Any], None]:
    """Return what adds an event's project to a list."""

    def append(report: RunReport, event: _OfOne) -> None:
        getattr(report, names).append(event.name)

    return append


_OfOne: TypeAlias = (
    ProjectSynced | ProjectRemoved | ProjectRestored | ProjectAbsent | ProjectBlocked
)

_COUNTED: dict[type, Callable[[RunReport, Any], None]] = {
    ProjectSynced: _lists("synced"),
    ProjectUnchanged: _adds("unchanged"),
    ProjectAbsent: _lists("absent"),
    ProjectExcluded: _adds("excluded"),
    ProjectRemoved: _lists("removed"),
    ProjectRestored: _lists("restored"),
    ProjectFailed: _failed,
    ProjectBlocked: _lists("waiting"),
    FileDownloaded: _downloaded,
    FileRestored: _adds("files_restored"),
    FileRemoved: _adds("files_removed"),
    FilesRejected: _adds("files_rejected"),
    SidecarsMissing: _adds("sidecars_missing"),
    PageWritten: _adds("pages_written"),
    PageRemoved: _adds("pages_removed"),
    ProjectVerified: _verified,
    DamageFound: _adds("damage_found"),
    DamageRepaired: _adds("damage_repaired"),
    DamageLeft: _left,
    ProjectUnreadable: lambda report, event: report.unknown.append(event.name),
    OrphanFound: _unowned,
    Halted: lambda report, event: report.stopped.append(event.error),
}
"""What each kind of event does to the report; a run has several for every file."""
