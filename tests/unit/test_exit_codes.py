"""Exit codes (docs/reference/command-line.md, "Exit status")."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest

from bandersnatch.cli.exit_codes import ExitCode, code_for_error, code_for_report, most_severe
from bandersnatch.errors import (
    BandersnatchError,
    ChangedFile,
    ClosedHours,
    ConfigError,
    CorruptState,
    EmptiedProject,
    IndexRollback,
    InsufficientSpace,
    Interruption,
    InvalidPage,
    LockConflict,
    LostLock,
    MissingObject,
    MissingProject,
    MissingWorkers,
    Problem,
    RefusedRequest,
    RefusedWorker,
    StorageError,
    TooManyRemovals,
    UnavailableHost,
    UnstorableName,
    UnusableIndex,
    UnusableProcesses,
    UsageError,
)
from bandersnatch.events import (
    CoreMetadataMissing,
    Event,
    FilesIgnored,
    FilesRejected,
    Halted,
    ProjectAbsent,
    ProjectFailed,
    ProjectSynced,
    Warned,
)
from bandersnatch.mirror.report import RunReport
from bandersnatch.model.names import project_name
from bandersnatch.model.project import Rejection

FOO, BAR = project_name("foo"), project_name("bar")
URL = "https://example.org/"
FAILED = ProjectFailed(FOO, RefusedRequest(URL, 403), will_retry=True)
CHANGED = ProjectFailed(BAR, ChangedFile("bar", "f", published="1", offered="2"), will_retry=True)
UNUSABLE = Halted(UnusableIndex("no answer"))
LIMIT = Halted(TooManyRemovals(9, 5))
NO_ROOM = Halted(InsufficientSpace("web/x", 5, free=3, floor=2))

PRECEDENCE = [1, 7, 5, 3, 4, 8]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("f", [Problem("mirror", "workers", "no")]), 2),
        (UsageError("no"), 2),
        (CorruptState("generation", "it is from a newer release"), 2),
        (UnavailableHost(URL, "it timed out"), 3),
        (RefusedRequest(URL, 403), 3),
        (InvalidPage(URL, "it is not JSON"), 3),
        (UnusableIndex("nothing there"), 3),
        (TooManyRemovals(9, 5), 5),
        (IndexRollback(mirror=9, index=5), 5),
        (LockConflict("/srv/pypi/.lock", "process 7"), 6),
        (LostLock("postgresql://db/mirrors", "another command holds it now"), 6),
        (MissingWorkers("postgresql://db/mirrors", 60), 7),
        (UnusableProcesses("they end at once, with status 1"), 7),
        (RefusedWorker("the release", "9.1", "9.0", "install the same on both"), 2),
        (StorageError("status", "No space left on device"), 7),
        (MissingObject("status"), 7),
        (UnstorableName("web/x", "too long"), 7),
        (ClosedHours("22:00-06:00"), 4),
        (Interruption(2), 130),
        (Interruption(15), 143),
        (Interruption(1), 129),
        (BandersnatchError("unheard of"), 1),
    ],
)
def test_each_error_that_ends_a_run_has_a_code(error: BandersnatchError, code: int) -> None:
    assert code_for_error(error) == code


@pytest.mark.parametrize(
    ("events", "code"),
    [
        ([], 0),
        ([ProjectSynced(FOO, None), ProjectAbsent(BAR), Warned("something")], 0),
        ([FilesIgnored(FOO, (Rejection("a", "b"),)), CoreMetadataMissing(FOO, 1, "a")], 0),
        ([FilesRejected(FOO, (Rejection("a", "b"),))], 4),
        ([FAILED, ProjectSynced(BAR, None)], 4),
        ([ProjectFailed(FOO, MissingProject("foo"), will_retry=False)], 4),
        ([ProjectFailed(FOO, EmptiedProject("foo", 3), will_retry=True)], 4),
        ([CHANGED], 5),
        ([FAILED, CHANGED], 5),
        ([LIMIT], 5),
        ([NO_ROOM], 7),
        ([NO_ROOM, LIMIT, UNUSABLE, FAILED], 7),
        ([UNUSABLE], 3),
        ([FAILED, UNUSABLE], 3),
        ([FAILED, UNUSABLE, CHANGED], 5),
        ([UNUSABLE, LIMIT, FAILED], 5),
    ],
)
def test_a_completed_run_has_the_most_severe_code(events: list[Event], code: int) -> None:
    for order in itertools.permutations(events):
        report = RunReport("mirror", datetime(2026, 11, 21, tzinfo=UTC))
        for event in order:
            report(event)
        assert code_for_report(report) == code


@pytest.mark.parametrize(("graver", "lesser"), [*itertools.combinations(PRECEDENCE, 2)])
def test_the_more_severe_of_two_codes_is_returned_in_any_order(graver: int, lesser: int) -> None:
    assert most_severe([ExitCode(graver), ExitCode(lesser)]) == graver
    assert most_severe([ExitCode(lesser), ExitCode(graver), ExitCode.OK]) == graver


def test_without_codes_the_result_is_ok() -> None:
    assert most_severe([]) == 0
