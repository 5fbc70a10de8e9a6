"""The n-th system call fails, for n = 1, 2, ...: full disks, bad disks, no descriptors, no rights.

The run says so in one line and ends with 7, or with 4 where only a project is hit; or it did not
need that call, and all is done. What was right stays, and the next run heals what is missing.
"""

from __future__ import annotations

import errno
import re
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

FEW = 3
"""Calls of each workload that are tried for every change of the program."""

PARTS = 8
"""Parts that all calls are tried in, side by side."""

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

_LARGE = 1024 * 1024
"""Bytes of a download that is worth going on with."""


def fail(trials: Trials, calls: Iterable[tuple[Call, int]], *, reading: bool = False) -> None:
    """Let each of these calls of a copy fail, look, and let it heal."""
    for failing, error in calls:
        number = failing.number
        site = trials.copy()

        def decide(call: Call, number: int = number, error: int = error) -> int | None:
            fails = call.number == number and error in ERRORS[call.name]
            return error if fails else None

        watched = trials.watch(site, decide, reading=reading)
        failed = watched.calls[min(number, len(watched.calls)) - 1]
        with noted(f"call {failed}: {errno.errorcode[error]}\n{watched.log}"):
            check_told(trials, site, watched)
            trials.check_in_between(site)
            check_no_litter(site, failed)
            trials.check_healed(site)


def check_told(trials: Trials, site: Site, watched: Watched) -> None:
    """Assert that the exit code is honest and that one line says what is wrong."""
    assert "Traceback" not in watched.log
    assert watched.code in {0, 4, 7}
    errors = [line for line in watched.log.splitlines() if " ERROR: " in line]
    if watched.code == 0:
        assert errors == []
        assert trials.shown(site) == trials.after
    elif watched.code == 7:
        assert len(errors) == 1
    else:
        failed = [re.findall(r"ERROR: (\S+)", line)[0] for line in errors]
        assert failed
        assert len(failed) == len(set(failed))


def check_no_litter(site: Site, failed: Call) -> None:
    """Assert that nothing is left but large downloads, and what could not be removed."""
    partial = site.root / ".partial"
    there = partial.iterdir() if partial.is_dir() else ()
    left = [path for path in there if path.stat().st_size < _LARGE]
    assert left == [] or failed.name == "unlink", left


@pytest.fixture
def prepare(tmp_path: Path, server: IndexServer) -> Callable[[Workload], Trials]:
    """Return what makes a workload ready."""
    return lambda workload: Trials(tmp_path, server, workload)


def in_turn(calls: Iterable[Call]) -> list[tuple[Call, int]]:
    """Return the calls, each with one of the errors that it can have, all of them in turn."""
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
"""No space left on the disk, or for this user; without room for names it is the first too."""


@pytest.mark.parametrize("workload", [FIRST, UPDATE], ids=str)
def test_case_100_a_full_disk_ends_the_run_in_order(
    prepare: Callable[[Workload], Trials], workload: Workload
) -> None:
    """What is done is not recorded if that needs room; no reserve is kept for it."""
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
    """A copy would be seen while it is made, and would not be whole after a kill."""
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
    assert "keep the mirror on one" in watched.log
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
