"""The n-th system call fails, for n = 1, 2, ...: full and bad disks, no descriptors, no rights.

The run logs one line and ends with 7, or with 4 if only a project is affected, or it did not need
that call and succeeds. Valid content stays, and the next run repairs what is missing.
"""

from __future__ import annotations

import errno
import re
from dataclasses import replace
from itertools import cycle
from typing import TYPE_CHECKING

import pytest

from tests.chaos.workloads import EXPIRY, FIRST, REBUILD, REMOVAL, UPDATE, VERSIONS, Trials
from tests.support.system_calls import noted, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.chaos.workloads import Workload
    from tests.support.server import IndexServer
    from tests.support.site import Site
    from tests.support.system_calls import Call, Watched

FEW = 2
"""Calls of each workload that fail in the regular tests."""

PARTS = 8
"""Parts that all calls are divided into, to run in parallel."""

ERRORS = {
    "open": (errno.ENOSPC, errno.EMFILE, errno.EACCES, errno.EIO),
    "write": (errno.ENOSPC, errno.EIO),
    "fsync": (errno.EIO, errno.ENOSPC),
    "syncfs": (errno.EIO, errno.ENOSPC),
    "rename": (errno.EACCES, errno.EIO, errno.ENOSPC),
    "mkdir": (errno.ENOSPC, errno.EACCES),
    "unlink": (errno.EIO, errno.EACCES),
    "rmdir": (errno.EIO,),
    "symlink": (errno.ENOSPC,),
    "utime": (errno.EIO,),
    "stat": (errno.EIO, errno.EACCES),
    "read": (errno.EIO,),
    "list": (errno.EIO,),
    "chmod": (errno.EPERM,),
}
"""How each kind of call can fail."""

JOURNAL = "catalogue.sqlite-journal"

_LARGE = 1024 * 1024
"""Bytes of a partial download that is resumed."""


def fail(trials: Trials, calls: Iterable[tuple[Call, int]], *, reading: bool = False) -> None:
    """Make each of these calls fail in a copy, check it, and assert that it heals."""
    for failing, error in calls:
        number = failing.number
        site = trials.copy()

        def decide(call: Call, number: int = number, error: int = error) -> int | None:
            fails = call.number == number and error in ERRORS[call.name]
            return error if fails else None

        watched = trials.watch(site, decide, reading=reading)
        failed = watched.calls[min(number, len(watched.calls)) - 1]
        with noted(f"call {failed}: {errno.errorcode[error]}\n{watched.log}"):
            check_told(trials, site, watched, failed)
            trials.check_in_between(site, watched.log)
            check_no_litter(site, failed)
            trials.check_healed(site)


def check_told(trials: Trials, site: Site, watched: Watched, failed: Call | None = None) -> None:
    """Assert that the exit status is correct and that one line states the error.

    If the journal of the catalogue's last transaction, which only says when the run ended, could
    not be deleted, the next run rolls it back.
    """
    assert "Traceback" not in watched.log
    assert watched.code in {0, 4, 7}
    errors = [line for line in watched.log.splitlines() if " ERROR: " in line]
    if watched.code == 0:
        assert errors == []
        shown = trials.shown(site)
        if failed is not None and failed.name == "unlink":
            shown = replace(shown, beside=shown.beside - {JOURNAL})
        assert shown == trials.after
    elif watched.code == 7:
        assert len(errors) == 1
    else:
        projects = [re.findall(r"ERROR: (\S+)", line)[0] for line in errors]
        assert projects
        assert len(projects) == len(set(projects))


def check_no_litter(site: Site, failed: Call) -> None:
    """Assert that only large partial downloads are left, and files that could not be removed."""
    partial = site.root / ".partial"
    there = partial.iterdir() if partial.is_dir() else ()
    left = [path for path in there if path.stat().st_size < _LARGE]
    assert left == [] or failed.name == "unlink", left


@pytest.fixture
def prepare(tmp_path: Path, server: IndexServer) -> Callable[[Workload], Trials]:
    """Return a function that prepares a workload."""
    return lambda workload: Trials(tmp_path, server, workload)


def in_turn(calls: Iterable[Call]) -> list[tuple[Call, int]]:
    """Return the calls, each with one of its possible errors, by turns."""
    turns = {name: cycle(errors) for name, errors in ERRORS.items()}
    return [(call, next(turns[call.name])) for call in calls]


@pytest.mark.parametrize("workload", [FIRST, UPDATE, REMOVAL], ids=str)
def test_case_103_a_failing_call_is_reported_and_destroys_nothing(
    prepare: Callable[[Workload], Trials], workload: Workload
) -> None:
    trials = prepare(workload)

    fail(trials, in_turn(spread(trials.calls(), FEW)))


def test_case_103_a_failing_read_is_reported_and_destroys_nothing(
    prepare: Callable[[Workload], Trials],
) -> None:
    trials = prepare(UPDATE)

    fail(trials, in_turn(spread(reading(trials), FEW)), reading=True)


def reading(trials: Trials) -> list[Call]:
    """Return the calls of a run that change nothing."""
    reading = trials.calls(reading=True)
    return [call for call in reading if call.name in {"stat", "read", "list"}]


FULL = (errno.ENOSPC, errno.EDQUOT)
"""No space left on the disk, or for this user; a lack of inodes gives the first as well."""


@pytest.mark.parametrize("workload", [FIRST, UPDATE], ids=str)
def test_case_100_a_full_disk_ends_the_run_in_order(
    prepare: Callable[[Workload], Trials], workload: Workload
) -> None:
    """Finished work is not recorded if that needs space; none is reserved for it."""
    trials = prepare(workload)
    for first, error in zip(spread(trials.calls(), 4), cycle(FULL)):
        site = trials.copy()

        def decide(call: Call, number: int = first.number, error: int = error) -> int | None:
            needs_room = call.name in {"open", "write", "mkdir", "rename", "symlink"}
            return error if needs_room and call.number >= number else None

        watched = trials.watch(site, decide)
        with noted(f"from call {first} on: {errno.errorcode[error]}\n{watched.log}"):
            check_told(trials, site, watched)
            trials.check_in_between(site)
            check_no_litter(site, first)
            trials.check_healed(site)


def test_case_103_a_failed_rename_is_not_replaced_by_a_copy(
    prepare: Callable[[Workload], Trials],
) -> None:
    """A copy would be visible while it is written, and incomplete after a kill."""
    trials = prepare(UPDATE)
    site = trials.copy()
    failed: list[str] = []

    def decide(call: Call) -> int | None:
        if call.name == "rename" and call.paths[1].startswith("web/"):
            failed.append(call.paths[1])
            return errno.EXDEV
        return None

    watched = trials.watch(site, decide)

    assert watched.code == 7
    assert "may be on a file system of their own" in watched.log
    assert failed
    assert trials.shown(site).tree == trials.before.tree
    trials.check_healed(site)


EVERYTHING = (FIRST, UPDATE, REMOVAL, EXPIRY, REBUILD, VERSIONS)


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("workload", EVERYTHING, ids=str)
def test_case_103_every_call_fails(
    prepare: Callable[[Workload], Trials], workload: Workload, part: int
) -> None:
    trials = prepare(workload)

    fail(trials, in_turn(trials.calls())[part::PARTS])


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("workload", [UPDATE, REBUILD], ids=str)
def test_case_103_every_call_fails_to_read(
    prepare: Callable[[Workload], Trials], workload: Workload, part: int
) -> None:
    trials = prepare(workload)

    fail(trials, in_turn(reading(trials))[part::PARTS], reading=True)
