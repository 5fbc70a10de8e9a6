"""Cases 92 to 99 and 140: signals, stops, locks, scarce resources, closed streams, exceptions.

Case 91 is in ``test_kill_loop.py``.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from tests.chaos.processes import PATIENCE, SIGNALS, started
from tests.support import faults
from tests.support.clock import FakeClock
from tests.support.disks import listing
from tests.support.processes import start

if TYPE_CHECKING:
    from tests.chaos.case import Case
    from tests.support.server import ReceivedRequest


@pytest.mark.parametrize("number", SIGNALS, ids=lambda each: each.name)
@pytest.mark.parametrize("at", ["detail", "file"])
@pytest.mark.parametrize("group", [False, True], ids=["process", "group"])
def test_case_092_a_signal_ends_a_run_in_order(
    case: Case, number: signal.Signals, at: str, *, group: bool
) -> None:
    """Requests are cancelled and finished work is kept, also if the group is signalled too."""
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0", size=2_000_000)
    before, served = case.site.status, case.site.tree()
    held = case.fault(at, faults.silence(PATIENCE, after=1000))

    def interrupt(pid: int) -> None:
        os.kill(pid, number)
        if group:
            time.sleep(0.02)
            os.killpg(pid, number)

    with started(case, "mirror", at=at, do=interrupt) as process:
        out, log = process.communicate(timeout=PATIENCE)

    assert process.returncode == SIGNALS[number]
    assert held.hits
    assert f"ERROR: interrupted by signal {int(number)}; the next run continues from here" in log
    assert "Traceback" not in log + out
    assert served.items() <= case.site.tree().items()
    assert case.site.status == before
    assert case.site.leftovers() == []
    case.site.check()
    case.heals()


def test_case_093_a_stopped_process_can_be_continued(case: Case) -> None:
    """Its connections are lost, its lock is kept."""
    for name in ("foo", "bar"):
        case.index.release(name, "1.0")
    codes: list[int] = []

    def stop(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        state = ""
        while state != "T":
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        second = subprocess.run(
            [sys.executable, "-m", "bandersnatch", "-c", str(case.site.config), "sync", "foo"],
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )
        codes.append(second.returncode)
        os.kill(pid, signal.SIGCONT)

    case.fault("detail", faults.reset(), times=1)
    with started(case, "mirror", at="detail", do=stop) as process:
        _, log = process.communicate(timeout=PATIENCE)

    assert process.returncode == 0, log
    assert codes == [6]
    case.heals()


WRITING = [
    *(["mirror"], ["mirror", "--force-check"], ["sync", "foo"], ["verify"]),
    *(["delete", "--until-next-change", "foo"], ["restore", "foo"]),
]


@pytest.mark.parametrize("command", WRITING, ids=" ".join)
def test_case_094_a_second_command_is_refused_immediately(case: Case, command: list[str]) -> None:
    """The message names the process that holds the lock."""
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    with FileLock(case.site.root / ".lock"):
        before = listing(case.site.root)

        ran = case.site.run(*command)

        works = case.server.asked or listing(case.site.root) != before
        case.figures.count("G12", bool(works))
    assert ran.code == 6
    assert not works
    (line,) = ran.errors()
    assert f".lock is held by process {os.getpid()}; wait for it to end" in line
    case.heals()


@pytest.mark.parametrize("command", [["status", "--offline"], ["plan"], ["why", "foo"]])
def test_case_094_a_read_only_command_does_not_wait_for_the_lock(
    case: Case, command: list[str]
) -> None:
    case.mirrored("foo")
    with FileLock(case.site.root / ".lock"):
        assert case.site.ask(*command).code == 0


def test_case_095_the_lock_file_of_a_dead_process_is_ignored(case: Case) -> None:
    """The kernel's lock counts, not the file."""
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    (case.site.root / ".lock").write_text("12345\nsome.other.host\n")

    case.mirror()

    case.heals()


@pytest.mark.parametrize("again", [True, False])
def test_case_095_a_removed_lock_file_ends_the_run_before_a_commit(
    case: Case, *, again: bool
) -> None:
    """Another command could hold a new lock file by then."""
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    before, lock = case.site.status, case.site.root / ".lock"

    def take_away(asked: ReceivedRequest) -> None:
        if asked.kind == "file":
            lock.unlink(missing_ok=True)
            if again:
                lock.touch()

    case.server.on_request = take_away
    ran = case.site.mirror()
    case.server.on_request = lambda _: None

    assert ran.code == 7
    (line,) = ran.errors()
    assert "storage failed at .lock: it was deleted, and another command may be" in line
    assert case.site.status == before
    case.site.check()
    case.heals()


@pytest.mark.parametrize("most", [16, 24, 40])
def test_case_097_a_low_limit_of_open_files_is_reported_and_loses_nothing(
    case: Case, most: int
) -> None:
    """A kill for lack of memory is case 91; few threads are ever started."""
    case.mirrored("foo", "bar")
    for name in ("foo", "bar", "baz"):
        case.index.release(name, "2.0", sdist=True)
    before = case.site.tree()

    done = subprocess.run(
        [sys.executable, "-m", "bandersnatch", "-c", str(case.site.config), "mirror"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )

    assert done.returncode in {0, 3, 4, 7}
    assert before.keys() <= case.site.tree().keys()
    assert (done.returncode == 0) == (case.site.status == case.index.serial)
    assert done.returncode == 0 or " ERROR: " in done.stderr
    case.site.check()
    case.heals()


STREAMS = ["<&- >&- 2>&-", ">/dev/full 2>/dev/full", "2>&1 | true"]


@pytest.mark.parametrize("streams", STREAMS)
def test_case_098_a_run_with_closed_output_continues(case: Case, streams: str) -> None:
    case.index.release("foo", "1.0")
    log = case.site.home / "logging.ini"
    log.write_text(LOGGING)
    case.site.configure(log_config=log)
    line = f'"{sys.executable}" -m bandersnatch -c "{case.site.config}" mirror {streams}'

    done = subprocess.run(["bash", "-c", f"set -o pipefail; {line}"], check=False, timeout=PATIENCE)

    assert done.returncode == 0
    assert case.site.status == case.index.serial
    del case.site.options["log-config"]
    case.site.configure()
    case.heals()


LOGGING = """
[loggers]
keys = root
[handlers]
keys = full
[formatters]
keys =
[logger_root]
level = INFO
handlers = full
[handler_full]
class = FileHandler
args = ("/dev/full", "w")
"""
"""A log on a full disk."""


class BreaksAt(FakeClock):
    """A clock whose n-th reading raises an unexpected exception."""

    def __init__(self, number: int, like: FakeClock) -> None:
        super().__init__(like.start)
        self.passed = like.passed
        self.left = number

    def monotonic(self) -> float:
        """Return the seconds since the start, or raise."""
        self.left -= 1
        if self.left == 0:
            raise RuntimeError("an unexpected error")
        return super().monotonic()


@pytest.mark.parametrize("stride", [3, pytest.param(1, marks=pytest.mark.nightly)])
def test_case_099_an_exception_at_any_step_destroys_nothing(case: Case, stride: int) -> None:
    """Every layer reads the clock, so the exception occurs in all of them."""
    case.mirrored("foo", "bar")
    right, count = case.clock, 0
    while True:
        count += stride
        for name in ("foo", "bar"):
            case.index.release(name, f"{count + 1}.0")
        before = case.site.status
        case.site.clock = breaking = BreaksAt(count, right)
        ran = case.site.mirror()
        case.site.clock = right
        case.site.check()
        if breaking.left > 0:
            break
        assert ran.code in {1, 4}, ran.log
        assert before <= case.site.status <= case.index.serial
    assert ran.code == 0
    assert count > 10
    case.heals()


GAPS = (0.0, 0.001, 0.02, 0.3)
"""Seconds between two signals that count as one."""


@pytest.mark.parametrize("number", SIGNALS, ids=lambda each: each.name)
@pytest.mark.parametrize("gap", GAPS)
def test_case_140_the_same_signal_twice_at_once_counts_once(
    case: Case, number: signal.Signals, gap: float
) -> None:
    """It comes to the process, then to its group, and once more to the process."""
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0", size=2_000_000)
    before, served = case.site.status, case.site.tree()
    case.fault("file", faults.silence(PATIENCE, after=1000))

    def interrupt(pid: int) -> None:
        for target in (pid, -pid, pid):
            try:
                os.kill(target, number)
            except ProcessLookupError:
                return
            time.sleep(gap)

    with started(case, "mirror", at="file", do=interrupt) as process:
        out, log = process.communicate(timeout=PATIENCE)

    assert process.returncode == SIGNALS[number]
    assert log.count(f"ERROR: interrupted by signal {int(number)}; the next run") == 1, log
    assert "Traceback" not in log + out
    assert served.items() <= case.site.tree().items()
    assert case.site.status == before
    assert case.site.leftovers() == []
    case.heals()


@pytest.mark.parametrize("number", SIGNALS, ids=lambda each: each.name)
@pytest.mark.skipif(shutil.which("timeout") is None, reason="needs timeout of GNU coreutils")
def test_case_140_timeout_ends_a_run_in_order(case: Case, number: signal.Signals) -> None:
    """On a busy machine the time can be over before anything is begun and logged."""
    case.mirrored("foo")
    case.index.release("foo", "2.0", size=2_000_000)
    served = case.site.tree()
    case.fault("file", faults.silence(PATIENCE, after=1000))
    program = [sys.executable, "-m", "bandersnatch", "-c", str(case.site.config), "mirror"]
    limit = ["timeout", "--preserve-status", "-s", number.name, "3"]
    with start([*limit, *program], new_session=True) as process:
        _, log = process.communicate(timeout=PATIENCE)

    assert process.returncode == SIGNALS[number]
    assert log == "" or log.count("ERROR: interrupted by signal") == 1, log
    assert served.items() <= case.site.tree().items()
    case.heals()


def test_case_140_another_signal_kills_the_process_and_loses_nothing(case: Case) -> None:
    """Both come before the process can answer the first, because it is stopped."""
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0", size=2_000_000)
    served = case.site.tree()
    case.fault("file", faults.silence(PATIENCE, after=1000))

    def interrupt(pid: int) -> None:
        for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
            os.kill(pid, number)

    with started(case, "mirror", at="file", do=interrupt) as process:
        process.communicate(timeout=PATIENCE)

    assert process.returncode in {-signal.SIGTERM, -signal.SIGINT}
    assert served.items() <= case.site.tree().items()
    case.heals()
