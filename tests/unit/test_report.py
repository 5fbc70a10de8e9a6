"""The report: what it counts, and its JSON object."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bandersnatch.errors import (
    BandersnatchError,
    ChangedFile,
    DigestMismatch,
    EmptiedProject,
    IndexRollback,
    Interruption,
    InvalidPage,
    MissingFiles,
    MissingProject,
    RefusedRequest,
    StalePage,
    UnavailableHost,
    UnmirroredProject,
    UnusableIndex,
)
from bandersnatch.events import (
    CoreMetadataMissing,
    DownloadMirrorFailed,
    FileDownloaded,
    FileQueued,
    FileRemoved,
    FileRestored,
    FilesIgnored,
    FilesRejected,
    Halted,
    JobsEnded,
    PageRemoved,
    PageWritten,
    PhaseStarted,
    ProjectAbsent,
    ProjectFailed,
    ProjectPostponed,
    ProjectRemoved,
    ProjectRestored,
    ProjectSynced,
    ProjectUnchanged,
    RunPhase,
    RunPlanned,
    StepStarted,
    SweepEnded,
    Warned,
)
from bandersnatch.layout import StorageKey
from bandersnatch.mirror.report import RunReport
from bandersnatch.model.names import project_name
from bandersnatch.model.project import Rejection
from bandersnatch.model.serials import Serial

BEGAN = datetime(2026, 11, 21, 12, tzinfo=UTC)
FOO, BAR = project_name("foo"), project_name("bar")
KEY = StorageKey("web/packages/foo-1.0.tar.gz")


def report() -> RunReport:
    """Return the report of a new run."""
    return RunReport("mirror", BEGAN)


def written(report: RunReport) -> Any:
    """Return the report as JSON values."""
    return json.loads(json.dumps(report.as_dict()))


def test_the_report_of_a_run_without_events_is_empty() -> None:
    assert report().as_dict() == {
        "command": "mirror",
        "began": "2026-11-21T12:00:00+00:00",
        "seconds": 0.0,
        "serial": {"before": None, "after": None, "index": None, "lag": None},
        "projects": {
            "synced": [],
            "unchanged": 0,
            "absent": [],
            "excluded": 0,
            "removed": [],
            "restored": [],
            "blocked": [],
            "pending": 0,
            "failed": [],
        },
        "files": {
            "downloaded": 0,
            "bytes": 0,
            "restored": 0,
            "removed": 0,
            "rejected": 0,
            "ignored": 0,
            "core_metadata_missing": 0,
            "download_mirror_failures": 0,
        },
        "rejected": [],
        "pages": {"written": 0, "removed": 0},
        "sweep": {"asked": 0, "found": 0},
        "unproved": 0,
        "halted": [],
    }


def test_projects_are_listed_and_unchanged_ones_are_counted() -> None:
    run = report()
    run(ProjectSynced(FOO, Serial(7)))
    run(ProjectSynced(BAR, None))
    run(ProjectSynced(FOO, Serial(7)))  # again, to give a path to its owner
    run(ProjectUnchanged(FOO))
    run(ProjectUnchanged(BAR))
    run(ProjectAbsent(FOO))
    run(ProjectRemoved(BAR))
    run(ProjectRestored(FOO))

    projects = written(run)["projects"]

    assert projects["synced"] == ["foo", "bar"]
    assert projects["unchanged"] == 2
    assert projects["absent"] == ["foo"]
    assert projects["removed"] == ["bar"]
    assert projects["restored"] == ["foo"]


def test_what_the_sweep_finds_is_counted() -> None:
    run = report()
    run(SweepEnded(81, 3))

    assert written(run)["sweep"] == {"asked": 81, "found": 3}


def test_jobs_are_added_up() -> None:
    run = report()
    run(JobsEnded(2, 30, 1))
    run(JobsEnded(2, 3, 0))

    assert (run.workers, run.jobs_done, run.jobs_lost) == (2, 33, 1)


def test_files_and_bytes_and_pages_are_counted() -> None:
    run = report()
    run(FileDownloaded(FOO, KEY, 300))
    run(FileDownloaded(FOO, KEY, 45))
    run(FileRestored(FOO, KEY, 300))
    run(FileRemoved(FOO, KEY))
    run(FilesRejected(FOO, tuple(Rejection(each, "no digest") for each in "abc")))
    run(FilesIgnored(BAR, (Rejection("b.whl", "no digest"),)))
    run(CoreMetadataMissing(FOO, 2, "not there"))
    run(DownloadMirrorFailed(UnavailableHost("https://example.org", "it timed out")))
    run(PageWritten(KEY))
    run(PageWritten(KEY))
    run(PageRemoved(KEY))

    whole = run.as_dict()

    assert whole["files"] == {
        "downloaded": 2,
        "bytes": 345,
        "restored": 1,
        "removed": 1,
        "rejected": 3,
        "ignored": 1,
        "core_metadata_missing": 2,
        "download_mirror_failures": 1,
    }
    assert whole["pages"] == {"written": 2, "removed": 1}


def test_rejected_files_are_listed_and_fail_their_project() -> None:
    run = report()
    run(FilesRejected(FOO, (Rejection("a b.html", "is odd"), Rejection("c", "is new"))))
    run(FilesIgnored(FOO, (Rejection("d", "is bad"),)))
    run(FilesIgnored(BAR, (Rejection("e", "is bad"),)))

    whole = run.as_dict()

    assert whole["rejected"] == [
        {"project": "foo", "file": "a b.html", "reason": "is odd", "ignored": False},
        {"project": "foo", "file": "c", "reason": "is new", "ignored": False},
        {"project": "foo", "file": "d", "reason": "is bad", "ignored": True},
        {"project": "bar", "file": "e", "reason": "is bad", "ignored": True},
    ]
    assert written(run)["projects"]["failed"] == [
        {
            "name": "foo",
            "class": "rejected",
            "error": "RejectedFiles",
            "reason": (
                "rejected 2 file(s), which the mirror lacks; a b.html: is odd; "
                "if that is acceptable, name them in ignore-rejected"
            ),
            "will_retry": False,
        }
    ]


def test_another_failure_of_a_project_is_not_replaced_by_its_rejected_files() -> None:
    run = report()
    run(ProjectFailed(FOO, MissingProject("foo"), will_retry=True))
    run(FilesRejected(FOO, (Rejection("a", "is odd"),)))

    assert [each.error for each in run.failures.values()] == [run.failures[FOO].error]
    assert isinstance(run.failures[FOO].error, MissingProject)
    assert len(run.rejected) == 1


def test_other_events_do_not_change_the_report() -> None:
    run = report()
    for event in (
        StepStarted("reading"),
        PhaseStarted(RunPhase.SYNC),
        Warned("something"),
        RunPlanned(3, 1),
        FileQueued(KEY, 300),
        ProjectPostponed(FOO, StalePage("foo", target=8, actual=7), 2.0),
    ):
        run(event)

    assert run.as_dict() == report().as_dict()


def test_a_failure_has_class_reason_and_whether_it_is_retried() -> None:
    run = report()
    run(ProjectFailed(FOO, RefusedRequest("https://example.org/foo/", 403), will_retry=True))

    assert written(run)["projects"]["failed"] == [
        {
            "name": "foo",
            "class": "rejected",
            "error": "RefusedRequest",
            "reason": "https://example.org/foo/ was refused with status 403",
            "will_retry": True,
        }
    ]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MissingProject("foo"), "retry"),
        (UnavailableHost("https://example.org", "it timed out"), "retry"),
        (DigestMismatch("https://example.org/f", expected="a", actual="b"), "retry"),
        (MissingFiles("foo", [RefusedRequest("https://example.org", 403)]), "retry"),
        (InvalidPage("https://example.org", "it is not JSON"), "rejected"),
        (ChangedFile("foo", "f", published="a", offered="b"), "held"),
        (EmptiedProject("foo", 3), "held"),
        (UnmirroredProject("foo"), "refused"),
    ],
)
def test_the_class_of_a_failure_follows_from_its_error(error: BandersnatchError, kind: str) -> None:
    run = report()
    run(ProjectFailed(FOO, error, will_retry=True))

    assert run.failures[FOO].kind == kind


def test_a_project_that_fails_twice_is_one_failure() -> None:
    run = report()
    run(ProjectFailed(FOO, MissingProject("foo"), will_retry=True))
    run(ProjectFailed(FOO, RefusedRequest("https://example.org", 403), will_retry=True))

    [failed] = written(run)["projects"]["failed"]
    assert failed["error"] == "RefusedRequest"


def test_errors_that_halted_a_part_come_before_the_one_that_ended_the_run() -> None:
    run = report()
    run(Halted(UnusableIndex("no answer")))
    run(Halted(IndexRollback(mirror=8, index=7)))
    run.ended_by = Interruption(15)

    stopped = written(run)["halted"]

    assert [each["error"] for each in stopped] == [
        "UnusableIndex",
        "IndexRollback",
        "Interruption",
    ]
    assert stopped[0]["reason"] == "no answer"
    assert stopped[2]["reason"] == "interrupted by signal 15; the next run continues from here"


@pytest.mark.parametrize(
    ("after", "index", "lag"),
    [(90, 100, 10), (100, 100, 0), (101, 100, 0), (None, 100, None), (100, None, None)],
)
def test_the_lag_is_the_difference_between_index_and_mirror(
    after: int | None, index: int | None, lag: int | None
) -> None:
    run = report()
    run.serial_after = None if after is None else Serial(after)
    run.index_serial = None if index is None else Serial(index)

    assert run.lag == lag
    assert written(run)["serial"]["lag"] == lag


def test_the_duration_is_the_time_between_start_and_end() -> None:
    run = report()
    assert run.seconds == 0
    run.ended = BEGAN + timedelta(seconds=1.23456)

    assert run.seconds == 1.23456
    assert written(run)["seconds"] == 1.235


def test_the_report_can_be_serialised_as_json() -> None:
    run = report()
    run(ProjectSynced(FOO, Serial(7)))
    run(ProjectFailed(BAR, MissingProject("bar"), will_retry=True))
    run(Halted(UnusableIndex("no answer")))
    run.serial_before, run.serial_after = Serial(1), Serial(2)

    assert json.loads(json.dumps(run.as_dict())) == run.as_dict()
