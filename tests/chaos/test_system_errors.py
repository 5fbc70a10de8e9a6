"""Any error of the system at any call, and named tests of what that has found.

The regular tests use a few seeds; the nightly ones ``SYSTEM_SEEDS`` of the environment, from
``SYSTEM_FROM`` on, and ``TRACED_SEEDS`` of processes.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.oracle import Granted
from tests.chaos.system_errors import NAMES, SystemErrors, TracedErrors, heal, prepare
from tests.support.interception import intercepted
from tests.support.tracing import require_strace

if TYPE_CHECKING:
    from tests.chaos.case import Case

FEW = 8
FIRST = int(os.environ.get("SYSTEM_FROM", str(FEW)))
SEEDS = int(os.environ.get("SYSTEM_SEEDS", "300"))
TRACED = int(os.environ.get("TRACED_SEEDS", "100"))


@pytest.mark.parametrize("seed", range(FEW))
def test_case_141_any_error_at_any_call_is_reported_and_heals(case: Case, seed: int) -> None:
    SystemErrors(case, seed).play()


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEEDS))
def test_case_141_many_errors_at_any_call_are_reported_and_heal(case: Case, seed: int) -> None:
    SystemErrors(case, seed).play()


def test_case_141_a_lock_that_cannot_be_released_is_left_to_the_system(case: Case) -> None:
    """It is released when the process ends; seeds 45, 47 and others ended by a traceback."""
    case.index.release("foo", "1.0")

    def fail(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "fcntl.flock" and arguments[1] == fcntl.LOCK_UN:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with intercepted(fail):
        case.mirror()


@pytest.mark.parametrize("is_lost", [True, False], ids=["storage fails", "storage works"])
def test_case_141_a_failed_repair_has_one_line_beside_that_of_the_storage(
    case: Case,
    is_lost: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Seed 177 counted as one failure without a line, if the repair came before the halt."""
    prepare(case)
    gone = "beta_x-1.0.tar.gz"

    def fail(event: str, arguments: tuple[Any, ...]) -> None:
        is_of_gamma = any(str(each).startswith("gamma-1.0-") for each in arguments[:2])
        if (event == "open" and arguments[0] == gone) or (is_lost and is_of_gamma):
            raise OSError(errno.EBADE, os.strerror(errno.EBADE))

    before = case.snapshot()
    with intercepted(fail):
        ran = case.site.run("verify")

    assert ran.code == (7 if is_lost else 8), ran.log
    assert [each["key"].rpartition("/")[2] for each in ran.report["damage"]["details"]] == [gone]
    granted = Granted(behind=frozenset(NAMES))
    assert case.oracle.judge(before, case.snapshot(), ran, granted) == []
    heal(case, "")


def test_case_141_a_page_that_cannot_be_read_stays_on_the_root_page(case: Case) -> None:
    """Seed 1096: ``restore`` succeeded, and the root page lacked the project."""
    case.mirrored("foo", "bar")
    assert case.site.run("delete", "--until-next-change", "foo").code == 0
    opened = 0

    def fail(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal opened
        if event == "open" and arguments[0] == "index.html":
            opened += 1
            if opened == number:
                raise OSError(errno.EDOM, os.strerror(errno.EDOM))

    for number in range(1, 30):
        opened = 0
        with intercepted(fail):
            ran = case.site.run("restore", "foo")
        if opened < number:
            break  # every one has failed once
        if ran.code == 0:
            assert case.site.names() == ["bar", "foo"]
        assert case.site.run("delete", "--until-next-change", "foo").code in {0, 4}


@pytest.mark.parametrize("number", [errno.EILSEQ, errno.ENAMETOOLONG])
@pytest.mark.parametrize("event", ["open", "os.mkdir"])
def test_case_141_an_error_about_a_short_name_rejects_no_file_for_good(
    case: Case, event: str, number: int
) -> None:
    """Seed 20588: the file counted as rejected, so that no later run asked for it."""
    case.mirrored("foo")
    case.index.release("foo", "2.0", sdist=True)
    failed: list[str] = []

    def fail(found: str, arguments: tuple[Any, ...]) -> None:
        if found == event and not failed and _is_of_a_file(arguments[0]):
            failed.append(str(arguments[0]))
            raise OSError(number, os.strerror(number))

    with intercepted(fail):
        ran = case.site.mirror()

    assert failed
    assert ran.code in {0, 4, 7}, ran.log
    assert "rejected" not in ran.log
    case.heals()


def _is_of_a_file(name: object) -> bool:
    """Whether a name is that of a release file, or of one of its directories."""
    text = str(name).rpartition("/")[2]
    return "foo-2.0" in text or (len(text) in {2, 60} and text.isalnum())


@pytest.mark.parametrize("seed", range(3))
def test_case_141_any_system_call_of_a_process_may_fail(case: Case, seed: int) -> None:
    require_strace()
    TracedErrors(case, seed).play()


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(FIRST, FIRST + TRACED))
def test_case_141_many_system_calls_of_processes_may_fail(case: Case, seed: int) -> None:
    require_strace()
    TracedErrors(case, seed).play()
