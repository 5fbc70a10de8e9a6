"""Errors: their sentences, and whether they are transient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bandersnatch import errors
from bandersnatch.errors import (
    AbandonedAttempt,
    BandersnatchError,
    BlockingLink,
    ChangedFile,
    ClosedHours,
    ConfigError,
    CorruptState,
    DigestMismatch,
    EmptiedProject,
    FilterFailure,
    ForeignLink,
    IndexRollback,
    InsufficientSpace,
    IntegrityError,
    Interruption,
    InvalidPage,
    InvalidResponse,
    InvalidRules,
    InvalidValue,
    LockConflict,
    LostLock,
    LostProcesses,
    MissingFiles,
    MissingObject,
    MissingProject,
    MissingResource,
    MissingWorkers,
    ObstructedPath,
    OptionError,
    OversizedContent,
    PacedRequest,
    Problem,
    RateLimit,
    RefusedCommand,
    RefusedCopy,
    RefusedRequest,
    RefusedWorker,
    RejectedFiles,
    RejectedPage,
    ResponseError,
    SafetyStop,
    SizeMismatch,
    SkippedRequest,
    SlowResponse,
    StalePage,
    StorageError,
    TooManyFileRemovals,
    TooManyOrphans,
    TooManyRemovals,
    UnauthorizedClient,
    UnauthorizedRequest,
    UnavailableHost,
    UnexpectedError,
    UnmirroredProject,
    UnrestorableProject,
    UnsafeUrl,
    UnstorableName,
    UnusableChangelog,
    UnusableIndex,
    UnusablePlace,
    UnusableProcesses,
    UpstreamError,
    UsageError,
    WithdrawnFiles,
    WrongIndexUrl,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "https://example.org/x"
GONE = MissingResource(URL, 404)
SILENT = UnavailableHost(URL, "it was silent for too long")

SENTENCES: list[tuple[BandersnatchError, str]] = [
    (
        errors.TooManyFollowed(60_000, 50_000),
        (
            "with what the selected projects need, the mirror would have 60000 projects, and "
            "[closure] max-projects is 50000; nothing more is followed; if that is right, raise it"
        ),
    ),
    (
        errors.ClosureTooDeep(3, 2, "foo"),
        (
            "3 needed projects, such as foo, are further than 2 steps from a selected one and not "
            "mirrored; if they are wanted, raise [closure] depth"
        ),
    ),
    (errors.MissingDependency("foo 1.0 needs bar"), "foo 1.0 needs bar"),
    (
        ConfigError("a.conf", [Problem("mirror", "workers", "is 0"), Problem("", "", "is empty")]),
        "a.conf: [mirror] workers: is 0\na.conf: is empty",
    ),
    (OptionError("it is no number"), "it is no number"),
    (UsageError("name a project"), "name a project"),
    (InvalidValue("size", -1, "is too small"), "size -1 is too small"),
    (UnavailableHost(URL, "timeout"), f"{URL} is unavailable: timeout"),
    (RateLimit(URL, "429", retry_after=60.0), f"{URL} is unavailable: 429"),
    (RefusedRequest(URL, 403), f"{URL} was refused with status 403"),
    (MissingResource(URL, 410), f"{URL} does not exist (status 410)"),
    (SkippedRequest(URL, "it was missing twice"), f"{URL} was not requested: it was missing twice"),
    (
        PacedRequest(URL, 300.0),
        f'{URL} was not requested: the index answered "not found" too often within five minutes',
    ),
    (
        InvalidResponse(URL, "status 204 has no content"),
        f"{URL} gave an answer to another request: status 204 has no content",
    ),
    (SlowResponse(URL, "it sent nothing"), f"{URL} is unavailable: it sent nothing"),
    (UnusablePlace("web/foo", "Permission denied"), "storage failed at web/foo: Permission denied"),
    (
        UnexpectedError(KeyError("x"), "Traceback"),
        "a bug in bandersnatch: KeyError: 'x'; please report it with the traceback",
    ),
    (MissingProject("foo"), "the index has no page for foo"),
    (StalePage("foo", target=9, actual=7), "the page of foo is at serial 7, 9 is needed"),
    (InvalidPage(URL, "it is empty"), f"{URL} cannot be read: it is empty"),
    (OversizedContent(URL, 5), f"{URL} is larger than 5 bytes"),
    (
        UnauthorizedRequest(URL, 401),
        (
            f"{URL} was refused with status 401: the user name and password are missing or wrong; "
            "write them into the URL of master, index-url or download-mirror, or set netrc = true"
        ),
    ),
    (
        UnauthorizedClient(URL, "unknown ca"),
        (
            f"{URL} was refused in the TLS handshake (unknown ca): the server asks for a client "
            "certificate, or for another one; set client-cert and client-key"
        ),
    ),
    (UnsafeUrl(URL, "it is private"), f"{URL} is not followed: it is private"),
    (UnusableChangelog(URL, "status 404"), f"{URL} offers no changelog: status 404"),
    (UnusableIndex("it lists no projects"), "it lists no projects"),
    (
        DigestMismatch(URL, expected="sha256=a", actual="sha256=b"),
        f"{URL} has sha256=b, the index says sha256=a",
    ),
    (SizeMismatch(URL, expected=5, actual=4), f"{URL} has 4 bytes, the index says 5"),
    (MissingFiles("foo", [GONE, SILENT]), f"2 file(s) missing; the first: {GONE}"),
    (
        ChangedFile("foo", "foo-1.zip", published="a", offered="b"),
        (
            "foo-1.zip is published with sha256 a and the index now says b; the published file "
            "stays; if the change is genuine, run with --accept-change foo"
        ),
    ),
    (
        EmptiedProject("foo", 3),
        (
            "foo has no files on the index now and had 3; its page stays until a run of mirror, "
            "ten minutes later at the earliest, finds the same"
        ),
    ),
    (
        WithdrawnFiles(90, 100),
        (
            "the index has taken 90 of its 100 files off the page, "
            "and the limit max-file-removals has not let that through"
        ),
    ),
    (
        TooManyFileRemovals(90, 2, name="foo", rest=7),
        (
            "the index has taken 90 files off the pages of 2 project(s), foo among them, and only "
            "7 more may leave the mirror within 24 hours (max-file-removals); these pages stay as "
            "they are; if that is right, run mirror with --max-file-removals 90 once"
        ),
    ),
    (
        TooManyRemovals(9, 5, emptied=2),
        (
            "9 projects are gone from the index, or without a file there, and one run may remove "
            "5; nothing was removed; if that is right, run mirror with --max-removals 9 once"
        ),
    ),
    (
        TooManyRemovals(9, 5, by_filters=2, emptied=1),
        (
            "the filters exclude 2 projects or all their files, 7 are gone from the index, or "
            "without a file there, and one run may remove 5; "
            "nothing was removed; if that is right, run mirror with --max-removals 9 once"
        ),
    ),
    (
        TooManyRemovals(9, 5),
        (
            "9 projects are gone from the index and one run may remove 5; nothing was removed; "
            "if that is right, run mirror with --max-removals 9 once"
        ),
    ),
    (
        IndexRollback(mirror=9, index=7),
        (
            "the index is at serial 7 and this mirror already at 9; nothing was changed; if the "
            "index was reset, or the mirror's serial is wrong, delete its status and todo files: "
            "the next run compares every page, and loses nothing"
        ),
    ),
    (
        TooManyRemovals(9, 5, by_filters=9),
        (
            "the filters exclude 9 projects or all their files and one run may remove 5; "
            "nothing was removed; if that is right, run mirror with --max-removals 9 once"
        ),
    ),
    (
        TooManyRemovals(9, 5, by_filters=6),
        (
            "the filters exclude 6 projects or all their files, 3 are gone from the index, "
            "and one run may remove 5; "
            "only what is gone was removed; if that is right, run mirror with --max-removals 9 once"
        ),
    ),
    (
        TooManyRemovals(9, 5, by_filters=2),
        (
            "the filters exclude 2 projects or all their files, 7 are gone from the index, "
            "and one run may remove 5; "
            "nothing was removed; if that is right, run mirror with --max-removals 9 once"
        ),
    ),
    (
        WrongIndexUrl("it has no list", "master", "try master = https://example.org"),
        "it has no list; master may be wrong: try master = https://example.org",
    ),
    (
        RejectedFiles(2, ".x.zip", "its name begins with a dot"),
        (
            "rejected 2 file(s), which the mirror lacks; .x.zip: its name begins with a dot; "
            "if that is acceptable, name them in ignore-rejected"
        ),
    ),
    (
        RejectedPage("no file is left", 2, ".x.zip", "its name begins with a dot"),
        (
            "its page is not published: no file is left; rejected 2 file(s); "
            ".x.zip: its name begins with a dot"
        ),
    ),
    (FilterFailure("acme", "it broke"), "the filter acme failed: it broke"),
    (
        InvalidRules([Problem("a", "b", "it is odd"), Problem("c", "", "it too")]),
        "[a] b: it is odd\n[c]: it too",
    ),
    (LockConflict(".lock", "process 5"), ".lock is held by process 5; wait for it to end"),
    (
        LostLock("postgresql://***@db/mirrors", "another command has held it since"),
        (
            "postgresql://***@db/mirrors: the connection was lost with the lock of the mirror, and "
            "another command has held it since; stopped"
        ),
    ),
    (
        UnusableProcesses("they end at once, with status 1"),
        (
            "the processes of this run do not work: they end at once, with status 1; what was done "
            "before is kept; see the messages above, run this again, or set processes = 1 in "
            "[mirror]"
        ),
    ),
    (
        LostProcesses("foo", 3),
        (
            "3 processes have ended while they worked on foo; if the system killed them for lack "
            "of memory its log says so; processes = 1 in [mirror] does everything in one process"
        ),
    ),
    (
        MissingWorkers("postgresql://***@db/mirrors", 60),
        (
            "no worker has taken part for 60 s, and cluster = true leaves the work to workers; "
            "start one on any machine that reaches postgresql://***@db/mirrors and the storage: "
            "bandersnatch -c FILE work"
        ),
    ),
    (
        RefusedWorker("the release", "9.1", "9.0", "install the same release on both"),
        (
            "the release of this worker is 9.1, and that of the coordinator 9.0; install the same "
            "release on both"
        ),
    ),
    (
        AbandonedAttempt("foo"),
        "foo was given to another worker; this one does nothing more for it",
    ),
    (CorruptState("status", "it is no number"), "status: it is no number"),
    (StorageError("web/x", "disk full"), "storage failed at web/x: disk full"),
    (MissingObject("web/x"), "storage failed at web/x: it does not exist"),
    (
        ForeignLink("web/x", "in a circle"),
        "storage failed at web/x: it is a link that leads in a circle",
    ),
    (ObstructedPath("web/x", "it is no directory"), "storage failed at web/x: it is no directory"),
    (
        TooManyOrphans(9, 5),
        (
            "9 files belong to no project and one run may move 5 of them out of the tree; "
            "nothing was moved; if that is right, set max-removals = 9 for one run"
        ),
    ),
    (
        InsufficientSpace("web/x", 5000, free=3000, floor=2000),
        (
            "not enough free space for web/x: it needs 5,000 bytes, 3,000 are free, and "
            "min-free-space reserves 2,000 of them; free some space, or lower min-free-space"
        ),
    ),
    (UnstorableName("web/x", "too long"), "storage failed at web/x: too long"),
    (UnmirroredProject("foo"), "foo is not in the mirror"),
    (
        BlockingLink("foo", "web/x"),
        "foo is not completely removed: a link leads to web/x; remove that link by hand",
    ),
    (
        UnrestorableProject("foo", "it is here already"),
        "foo cannot be restored: it is here already",
    ),
    (RefusedCopy("/srv/b", "there is another mirror"), "/srv/b: there is another mirror"),
    (
        ClosedHours("22:00-06:00"),
        "stopped because the hours 22:00-06:00 are over; the next run continues from here",
    ),
    (Interruption(15), "interrupted by signal 15; the next run continues from here"),
]

FAMILIES = {
    *(BandersnatchError, UpstreamError, ResponseError, IntegrityError, SafetyStop),
    RefusedCommand,
}
"""Base classes that are never raised themselves."""

TRANSIENT = {
    *(
        InvalidResponse,
        UnavailableHost,
        SlowResponse,
        RateLimit,
        MissingProject,
        PacedRequest,
        StalePage,
    ),
    *(IntegrityError, DigestMismatch, SizeMismatch, MissingFiles, EmptiedProject),
}


def kinds(of: type[BandersnatchError]) -> Iterator[type[BandersnatchError]]:
    """Yield an error class and all its subclasses."""
    if of.__module__ == errors.__name__:
        yield of
    for kind in of.__subclasses__():
        yield from kinds(kind)


TREE = list(dict.fromkeys(kinds(BandersnatchError)))


@pytest.mark.parametrize(("error", "sentence"), SENTENCES)
def test_an_error_renders_its_sentence(error: BandersnatchError, sentence: str) -> None:
    assert str(error) == sentence


def test_every_error_has_a_tested_sentence() -> None:
    assert set(TREE) - FAMILIES == {type(error) for error, _ in SENTENCES}


@pytest.mark.parametrize("kind", TREE)
def test_an_error_states_whether_it_is_transient(kind: type[BandersnatchError]) -> None:
    assert kind.transient is (kind in TRANSIENT)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("mirror", "workers", "is 0"), "[mirror] workers: is 0"),
        (Problem("mirror", "", "is missing"), "[mirror]: is missing"),
        (Problem("", "line 3", "has no section"), "line 3: has no section"),
        (Problem("", "", "is empty"), "is empty"),
    ],
)
def test_a_problem_names_section_and_option(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_braces_in_facts_are_not_interpreted() -> None:
    assert str(InvalidPage("{why}", "{url}")) == "{why} cannot be read: {url}"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\x1b[0m\n\u202e", "'a\\x1b[0m\\n\\u202e'"),
        (None, "None"),
        ("x" * 100, "'" + "x" * 79 + "..."),
        (10**400, "1" + "0" * 79 + "..."),
        (b"\xff", "b'\\xff'"),
    ],
    ids=type,
)
def test_an_invalid_value_is_shown_escaped_and_shortened(value: object, shown: str) -> None:
    assert str(InvalidValue("x", value, "is refused")) == f"x {shown} is refused"


def test_an_invalid_value_is_a_value_error() -> None:
    assert isinstance(InvalidValue("x", 1, "is refused"), ValueError)


def test_missing_files_state_whether_a_host_was_unavailable() -> None:
    assert MissingFiles("foo", [GONE, SILENT]).unavailable
    assert not MissingFiles("foo", [GONE]).unavailable
