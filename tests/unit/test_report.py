"""What a run is counted to have done."""

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
    FileDownloaded,
    FileQueued,
    FileRemoved,
    FileRestored,
    FilesRejected,
    Halted,
    PageRemoved,
    PageWritten,
    ProjectAbsent,
    ProjectFailed,
    ProjectPostponed,
    ProjectRemoved,
    ProjectRestored,
    ProjectSynced,
    ProjectUnchanged,
    RunPlanned,
    StepStarted,
    Warned,
)
from bandersnatch.layout import StorageKey
from bandersnatch.mirror.report import RunReport
from bandersnatch.model.names import project_name
from bandersnatch.model.serials import Serial

BEGAN = datetime(2026, 11, 21, 12, tzinfo=UTC)
FOO, BAR = project_name("foo"), project_name("bar")
KEY = StorageKey("web/packages/foo-1.0.tar.gz")


def report() -> RunReport:
    """Return the report of a run that has just begun."""
    return RunReport("mirror", BEGAN)


def told_by(report: RunReport) -> Any:
    """Return the report as it is written."""
    return json.loads(json.dumps(report.as_dict()))


def test_a_run_that_did_nothing_has_done_nothing() -> None:
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
            "core_metadata_missing": 0,
        },
        "pages": {"written": 0, "removed": 0},
        "halted": [],
    }


def test_projects_are_listed_and_those_without_news_are_counted() -> None:
    told = report()
    told(ProjectSynced(FOO, Serial(7)))
    told(ProjectSynced(BAR, None))
    told(ProjectUnchanged(FOO))
    told(ProjectUnchanged(BAR))
    told(ProjectAbsent(FOO))
    told(ProjectRemoved(BAR))
    told(ProjectRestored(FOO))

    projects = told_by(told)["projects"]

    assert projects["synced"] == ["foo", "bar"]
    assert projects["unchanged"] == 2
    assert projects["absent"] == ["foo"]
    assert projects["removed"] == ["bar"]
    assert projects["restored"] == ["foo"]


def test_files_and_bytes_and_pages_are_counted() -> None:
    told = report()
    told(FileDownloaded(FOO, KEY, 300))
    told(FileDownloaded(FOO, KEY, 45))
    told(FileRestored(FOO, KEY, 300))
    told(FileRemoved(FOO, KEY))
    told(FilesRejected(FOO, 3, "a.whl", "no digest"))
    told(FilesRejected(BAR, 1, "b.whl", "no digest"))
    told(CoreMetadataMissing(FOO, 2, "not there"))
    told(PageWritten(KEY))
    told(PageWritten(KEY))
    told(PageRemoved(KEY))

    whole = told.as_dict()

    assert whole["files"] == {
        "downloaded": 2,
        "bytes": 345,
        "restored": 1,
        "removed": 1,
        "rejected": 4,
        "core_metadata_missing": 2,
    }
    assert whole["pages"] == {"written": 2, "removed": 1}


def test_what_is_said_on_the_way_counts_for_nothing() -> None:
    told = report()
    for event in (
        StepStarted("reading"),
        Warned("something"),
        RunPlanned(3, 1),
        FileQueued(KEY, 300),
        ProjectPostponed(FOO, StalePage("foo", target=8, actual=7), 2.0),
    ):
        told(event)

    assert told.as_dict() == report().as_dict()


def test_a_failure_is_told_with_its_class_its_reason_and_whether_it_is_tried_again() -> None:
    told = report()
    told(ProjectFailed(FOO, RefusedRequest("https://example.org/foo/", 403), will_retry=True))

    assert told_by(told)["projects"]["failed"] == [
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
def test_a_failure_is_to_be_retried_or_held_by_a_limit_or_rejected(
    error: BandersnatchError, kind: str
) -> None:
    told = report()
    told(ProjectFailed(FOO, error, will_retry=True))

    assert told.failures[FOO].kind == kind


def test_a_project_that_fails_twice_has_failed_once() -> None:
    told = report()
    told(ProjectFailed(FOO, MissingProject("foo"), will_retry=True))
    told(ProjectFailed(FOO, RefusedRequest("https://example.org", 403), will_retry=True))

    [failed] = told_by(told)["projects"]["failed"]
    assert failed["error"] == "RefusedRequest"


def test_what_stopped_a_part_of_the_run_is_told_and_then_what_ended_it() -> None:
    told = report()
    told(Halted(UnusableIndex("no answer")))
    told(Halted(IndexRollback(mirror=8, index=7)))
    told.ended_by = Interruption(15)

    stopped = told_by(told)["halted"]

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
def test_the_lag_is_what_lies_between_the_mirror_and_the_index(
    after: int | None, index: int | None, lag: int | None
) -> None:
    told = report()
    told.serial_after = None if after is None else Serial(after)
    told.index_serial = None if index is None else Serial(index)

    assert told.lag == lag
    assert told_by(told)["serial"]["lag"] == lag


def test_a_run_takes_the_time_from_its_begin_to_its_end() -> None:
    told = report()
    assert told.seconds == 0
    told.ended = BEGAN + timedelta(seconds=1.23456)

    assert told.seconds == 1.23456
    assert told_by(told)["seconds"] == 1.235


def test_the_report_is_made_of_what_json_has() -> None:
    told = report()
    told(ProjectSynced(FOO, Serial(7)))
    told(ProjectFailed(BAR, MissingProject("bar"), will_retry=True))
    told(Halted(UnusableIndex("no answer")))
    told.serial_before, told.serial_after = Serial(1), Serial(2)

    assert json.loads(json.dumps(told.as_dict())) == told.as_dict()
