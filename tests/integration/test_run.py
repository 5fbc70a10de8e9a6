"""``run``: regular runs in one process, their hours, signals and messages to systemd."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from bandersnatch.state_word import StateWord
from tests.support.faults import held
from tests.support.processes import start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.index import Index
    from tests.support.site import Site

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")


def started(
    site: Site, *flags: str, environment: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    program = [sys.executable, "-m", "bandersnatch", "-c", str(site.config), "run", *flags]
    with log_file(site).open("w") as log:
        return start(program, env={**os.environ, **(environment or {})}, stderr=log.fileno())


def log_file(site: Site) -> Path:
    return site.home / "run.log"


def says(site: Site, text: str) -> Callable[[], bool]:
    return lambda: text in log_file(site).read_text()


def wait_until(condition: Callable[[], object]) -> None:
    for _ in range(900):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen")


def ended(
    site: Site, process: subprocess.Popen[str], number: int = signal.SIGTERM
) -> tuple[int, str]:
    process.send_signal(number)
    process.communicate(timeout=60)
    return process.returncode, log_file(site).read_text()


def test_it_runs_again_and_goes_on_after_failures(site: Site, index: Index) -> None:
    index.release("foo", "1.0")
    process = started(site, "--every", "1 s")
    wait_until((site.web / "simple/foo/index.html").exists)
    site.server.fault("xmlrpc", _fail, times=50)
    site.server.fault("list", _fail, times=50)
    index.release("bar", "1.0")
    time.sleep(2)
    site.server.faults.clear()
    wait_until((site.web / "simple/bar/index.html").exists)

    code, log = ended(site, process)

    assert code == 0
    assert "stopped" in log
    assert "Traceback" not in log


async def _fail(_: object, answer: object) -> None:
    answer.status = 503  # type: ignore[attr-defined]


def test_a_hang_up_reads_the_configuration_again(site: Site, index: Index) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.allow("foo")
    process = started(site, "--every", "1 s")
    wait_until((site.web / "simple/foo/index.html").exists)
    assert not (site.web / "simple/bar").exists()
    good = site.config.read_text()
    site.config.write_text("[mirror]\nworkers = many\n")
    process.send_signal(signal.SIGHUP)
    wait_until(says(site, "the old configuration stays in use"))
    site.config.write_text(good.replace("    foo", "    foo\n    bar"))
    process.send_signal(signal.SIGHUP)
    wait_until((site.web / "simple/bar/index.html").exists)

    code, log = ended(site, process, signal.SIGINT)

    assert code == 0
    assert "the old configuration stays in use" in log
    assert "the configuration was read again" in log


def test_systemd_is_told(site: Site) -> None:
    path = site.home / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(60)
        environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"}
        process = started(site, "--every", "1 h", environment=environment)
        heard: set[str] = set()
        while not {"READY=1", "WATCHDOG=1"} <= heard:
            heard.update(manager.recv(4096).decode().splitlines())
        ended(site, process)
        manager.settimeout(1)
        while "STOPPING=1" not in heard:
            heard.update(manager.recv(4096).decode().splitlines())


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--every", "10"], "--every '10' has no unit; write one, such as '10 m'"),
        (["--every", "0"], "--every '0' is less than a second"),
        (["--every", "10 ms"], "--every '10 ms' is less than a second"),
        (["--every", "soon"], "--every 'soon' is not a time span like '24 h' or '14 days'"),
        (
            ["--every", "1h", "--between", "22-6"],
            "--between '22-6' is not a span of hours like '22:00-06:00'",
        ),
    ],
)
def test_what_is_refused(site: Site, flags: list[str], said: str) -> None:
    ran = site.ask("run", *flags)

    assert ran.code == 2
    assert ran.log.count("\n") == 1
    assert said in ran.log
    assert not site.root.exists()


def local(zone_offset: timedelta) -> str:
    """Return a value of TZ for a zone east of UTC by an offset, with its seconds."""
    seconds = round(zone_offset.total_seconds())
    sign, rest = ("-" if seconds >= 0 else ""), abs(seconds)
    return f"XXX{sign}{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"


def at_six(before: timedelta) -> str:
    """Return a zone in which it is soon six o'clock."""
    now = datetime.now(UTC)
    wanted = datetime(now.year, now.month, now.day, 6, tzinfo=UTC) - before
    return local(wanted - now)


def test_a_run_ends_with_its_hours_and_the_next_one_goes_on(site: Site, index: Index) -> None:
    index.release("foo", "1.0", size=700)
    index.release("bar", "1.0", size=300)
    may_answer = False
    site.server.fault("file", held(lambda: may_answer), project="bar")
    report = site.home / "report.json"
    flags = ("--every", "1 s", "--between", "22:00-06:00", "--report", str(report))
    code, log = -1, ""
    for seconds in (12, 50):  # a machine that is busy may need the second
        environment = {"TZ": at_six(timedelta(seconds=seconds))}
        process = started(site, *flags, environment=environment)
        wait_until(says(site, "waiting for the hours"))
        code, log = ended(site, process)
        if report.exists():
            break

    assert code == 0
    assert "stopped because the hours 22:00-06:00 are over" in log
    assert "waiting for the hours 22:00-06:00" in log
    assert "Traceback" not in log
    written = json.loads(report.read_text())
    assert written["exit_code"] == 4
    assert written["halted"][0]["error"] == "ClosedHours"
    state = json.loads(site.ask("status", "--offline", "--json").out)
    assert state["state"]["word"] == StateWord.PARTIAL
    assert (site.web / "simple/foo/index.html").exists()

    may_answer = True
    site.server.forget()
    assert site.mirror().code == 0
    assert {path.rpartition("/")[2][:3] for path in site.server.paths("file")} == {"bar"}


def test_outside_of_its_hours_it_waits(site: Site, index: Index) -> None:
    index.release("foo", "1.0")
    environment = {"TZ": at_six(timedelta(seconds=-5))}
    process = started(site, "--every", "1 s", "--between", "22:00-06:00", environment=environment)
    wait_until(says(site, "waiting for the hours 22:00-06:00"))

    code, _ = ended(site, process)

    assert code == 0
    assert not site.root.exists()


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def fetched(port: int) -> bytes:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/simple/foo/") as reply:
            return bytes(reply.read())
    except OSError:
        return b""


def test_it_serves_the_mirror(site: Site, index: Index) -> None:
    index.release("foo", "1.0")
    port = free_port()
    with site.config.open("a") as file:
        file.write(f"\n[serve]\nlisten = 127.0.0.1:{port}\n")
    process = started(site, "--every", "1 h", "--serve")
    wait_until(lambda: b"foo-1.0" in fetched(port))
    process.send_signal(signal.SIGHUP)

    code, log = ended(site, process)

    assert code == 0
    assert f"serving on http://127.0.0.1:{port}/simple/" in log
    assert fetched(port) == b""


def test_an_address_in_use_ends_it_before_the_first_run(site: Site) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with site.config.open("a") as file:
            file.write(f"\n[serve]\nlisten = 127.0.0.1:{port}\n")
        process = started(site, "--every", "1 h", "--serve")
        process.communicate(timeout=60)
    log = log_file(site).read_text()

    assert process.returncode == 2
    assert f"127.0.0.1:{port}" in log
    assert log.count("\n") == 1
    assert not site.root.exists()
