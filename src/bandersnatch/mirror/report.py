"""The report of a run: its events counted, and what the command adds at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, assert_never

from msgspec import Struct

from bandersnatch import events
from bandersnatch.catalogue.records import RejectedFile
from bandersnatch.errors import (
    BandersnatchError,
    EmptiedProject,
    RefusedCommand,
    SafetyStop,
    UnexpectedError,
)

if TYPE_CHECKING:
    from datetime import datetime

    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.serials import Serial

MOST_DETAILS = 10_000
"""Failed repairs and rejected files that a report names; a lost disk causes millions."""

Json: TypeAlias = dict[str, object]


class Failure(Struct, frozen=True):
    """A project that could not be processed; ``will_retry`` is whether the next run tries again."""

    name: ProjectName
    error: BandersnatchError
    will_retry: bool

    @property
    def kind(self) -> str:
        """``held`` by a limit, ``refused`` by the command, for ``retry``, or ``rejected``."""
        if isinstance(self.error, SafetyStop | EmptiedProject):
            return "held"
        if isinstance(self.error, RefusedCommand):
            return "refused"
        return "retry" if self.error.transient else "rejected"

    def as_dict(self) -> Json:
        """Return the failure as an object of the report; a bug with its traceback."""
        found: Json = {
            "name": self.name,
            "class": self.kind,
            "error": type(self.error).__name__,
            "reason": str(self.error),
            "will_retry": self.will_retry,
        }
        if isinstance(self.error, UnexpectedError):
            found["traceback"] = self.error.traceback
        return found


class RunReport(Struct):
    """Counts and names from the events of a run, which it receives as a sink.

    Sizes are in bytes; serials are None while they are unknown. ``synced`` has each project once,
    also if a run synced it again to give a path to its owner. ``blocked`` are projects for whose
    files the disk has no space. ``rejected`` are the files that are left out, and ``ignored`` those
    that are left out as the operator acknowledged. ``repairs_failed`` has the first
    ``MOST_DETAILS`` failed repairs.
    ``unproved`` is how many proofs of ``mirror --prove`` did not pass.
    ``swept`` counts the pages that the sweep asked for, ``found_by_sweep`` those that had changed.
    ``halted`` are the errors that ended a part of the run, ``ended_by`` is the one that ended all
    of it. ``index_serial`` is the index's newest serial when the run began. ``workers`` are the
    other processes that have synced projects, in ``jobs_done`` jobs; ``jobs_lost`` were offered
    again.
    """

    command: str
    began: datetime
    ended: datetime | None = None
    synced: dict[ProjectName, None] = {}
    unchanged: int = 0
    absent: list[ProjectName] = []
    excluded: int = 0
    removed: list[ProjectName] = []
    restored: list[ProjectName] = []
    failures: dict[ProjectName, Failure] = {}
    blocked: list[ProjectName] = []
    files_downloaded: int = 0
    bytes_downloaded: int = 0
    files_restored: int = 0
    files_removed: int = 0
    rejected: list[RejectedFile] = []
    ignored: list[RejectedFile] = []
    core_metadata_missing: int = 0
    download_mirror_failures: int = 0
    pages_written: int = 0
    pages_removed: int = 0
    projects_verified: int = 0
    files_verified: int = 0
    bytes_verified: int = 0
    damage_found: int = 0
    damage_repaired: int = 0
    damage_unrepaired: int = 0
    repairs_failed: list[events.RepairFailed] = []
    unreadable: list[ProjectName] = []
    unproved: int = 0
    orphans: int = 0
    orphans_bytes: int = 0
    orphans_moved: int = 0
    halted: list[BandersnatchError] = []
    serial_before: Serial | None = None
    serial_after: Serial | None = None
    index_serial: Serial | None = None
    pending: int = 0
    swept: int = 0
    found_by_sweep: int = 0
    ended_by: BandersnatchError | None = None
    workers: int = 0
    jobs_done: int = 0
    jobs_lost: int = 0

    def __call__(self, event: events.Event) -> None:
        """Count an event."""
        if isinstance(event, events.FileEvent):
            self._count_files(event)
        elif isinstance(event, events.ProjectEvent):
            self._count_project(event)
        elif isinstance(event, events.VerifyEvent):
            self._count_verified(event)
        else:
            match event:
                case events.Halted(error=error):
                    self.halted.append(error)
                case events.SweepEnded(asked=asked, found=found):
                    self.swept += asked
                    self.found_by_sweep += found
                case events.JobsEnded(workers=workers, done=done, lost=lost):
                    self.workers = max(self.workers, workers)
                    self.jobs_done += done
                    self.jobs_lost += lost
                case (
                    events.Warned()
                    | events.RequestsLimited()
                    | events.StepStarted()
                    | events.PhaseStarted()
                    | events.RunPlanned()
                ):
                    pass
                case _:
                    assert_never(event)

    def _count_files(self, event: events.FileEvent) -> None:
        match event:
            case events.FileDownloaded(size=size):
                self.files_downloaded += 1
                self.bytes_downloaded += size
            case events.PageWritten():
                self.pages_written += 1
            case events.PageRemoved():
                self.pages_removed += 1
            case events.FileRestored():
                self.files_restored += 1
            case events.FileRemoved():
                self.files_removed += 1
            case events.FilesRejected() | events.FilesIgnored():
                self._add_rejections(event)
            case events.CoreMetadataMissing(count=count) | events.CoreMetadataSkipped(count=count):
                self.core_metadata_missing += count
            case events.DownloadMirrorFailed():
                self.download_mirror_failures += 1
            case events.FileQueued() | events.FilesFiltered() | events.DownloadMirrorDropped():
                pass
            case _:
                assert_never(event)

    def _add_rejections(self, event: events.FilesRejected | events.FilesIgnored) -> None:
        found = [RejectedFile(event.name, each) for each in event.rejections]
        if isinstance(event, events.FilesIgnored):
            self.ignored += found
            return
        self.rejected += found
        failure = Failure(event.name, event.error, will_retry=False)
        self.failures.setdefault(event.name, failure)

    def _count_project(self, event: events.ProjectEvent) -> None:
        match event:
            case events.ProjectUnchanged():
                self.unchanged += 1
            case events.ProjectSynced(name=name):
                self.synced[name] = None
            case events.ProjectAbsent(name=name):
                self.absent.append(name)
            case events.ProjectExcluded():
                self.excluded += 1
            case events.ProjectRemoved(name=name):
                self.removed.append(name)
            case events.ProjectRestored(name=name):
                self.restored.append(name)
            case events.ProjectFailed(name=name, error=error, will_retry=will_retry):
                self.failures[name] = Failure(name, error, will_retry)
            case events.ProjectBlocked(name=name):
                self.blocked.append(name)
            case events.ProjectPostponed():
                pass
            case _:
                assert_never(event)

    def _count_verified(self, event: events.VerifyEvent) -> None:
        match event:
            case events.ProjectVerified(files=files, size=size):
                self.projects_verified += 1
                self.files_verified += files
                self.bytes_verified += size
            case events.DamageFound():
                self.damage_found += 1
            case events.DamageRepaired():
                self.damage_repaired += 1
            case events.RepairFailed():
                self.damage_unrepaired += 1
                if len(self.repairs_failed) < MOST_DETAILS:
                    self.repairs_failed.append(event)
            case events.ProjectUnreadable(name=name):
                self.unreadable.append(name)
            case events.OrphanFound(size=size, moved=moved):
                self.orphans += 1
                self.orphans_bytes += size
                self.orphans_moved += moved
            case _:
                assert_never(event)

    @property
    def seconds(self) -> float:
        """How long the run took."""
        return (self.ended - self.began).total_seconds() if self.ended else 0.0

    @property
    def lag(self) -> int | None:
        """How many serials the mirror is behind the index, None if that is unknown."""
        if self.index_serial is None or self.serial_after is None:
            return None
        return max(0, self.index_serial - self.serial_after)

    def as_dict(self) -> Json:
        """Return the report as the object that ``--report`` writes."""
        errors = (*self.halted, *([self.ended_by] if self.ended_by else []))
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
                "rejected": len(self.rejected),
                "ignored": len(self.ignored),
                "core_metadata_missing": self.core_metadata_missing,
                "download_mirror_failures": self.download_mirror_failures,
            },
            "rejected": self._rejections(),
            "sweep": {"asked": self.swept, "found": self.found_by_sweep},
            "pages": {"written": self.pages_written, "removed": self.pages_removed},
            **(self._verification() if self.command == "verify" else {}),
            "unproved": self.unproved,
            "halted": [{"error": type(error).__name__, "reason": str(error)} for error in errors],
        }

    def _projects(self) -> Json:
        return {
            "synced": list(self.synced),
            "unchanged": self.unchanged,
            "absent": self.absent,
            "excluded": self.excluded,
            "removed": self.removed,
            "restored": self.restored,
            "blocked": self.blocked,
            "pending": self.pending,
            "failed": [failure.as_dict() for failure in self.failures.values()],
        }

    def _rejections(self) -> list[Json]:
        """Return the first of the rejected files, those that count as failures before the rest."""
        marked = [(each, False) for each in self.rejected] + [(each, True) for each in self.ignored]
        return [
            {
                "project": each.project,
                "file": each.rejection.entry,
                "reason": each.rejection.reason,
                "ignored": is_ignored,
            }
            for each, is_ignored in marked[:MOST_DETAILS]
        ]

    def _verification(self) -> Json:
        return {
            "verified": {
                "projects": self.projects_verified,
                "files": self.files_verified,
                "bytes": self.bytes_verified,
            },
            "damage": {
                "found": self.damage_found,
                "repaired": self.damage_repaired,
                "unrepaired": self.damage_unrepaired,
                "details": [
                    {"key": each.key, "what": each.what, "reason": each.reason}
                    for each in self.repairs_failed
                ],
            },
            "unreadable": self.unreadable,
            "orphans": {
                "files": self.orphans,
                "bytes": self.orphans_bytes,
                "moved": self.orphans_moved,
            },
        }
