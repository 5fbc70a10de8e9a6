"""Processes of this machine that sync or examine the projects of a run: ``processes = N``."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import start
from tests.support.workers import wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.support.index import Index
    from tests.support.server import ReceivedRequest
    from tests.support.site import Site

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="the tests find processes by /proc"
)

_MANY = 40
_LIMIT = 240.0
"""Seconds that a process may take."""

_FILTER = """
import os, signal
from bandersnatch.filters.interface import PageFilter, Stage

class Deadly(PageFilter):
    name = "deadly"
    stage = Stage.SELECTION

    def apply(self, page):
        if page.name == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        return page

    def fingerprint(self):
        return "1"
"""


def publish_projects(index: Index) -> None:
    """Publish many projects, with those that ``change_projects`` changes."""
    for number in range(_MANY):
        index.release(f"project-{number}", "1.0")
    for name in ("grows", "goes", "shrinks"):
        index.release(name, "1.0")
    index.release("shrinks", "2.0")


def change_projects(index: Index) -> None:
    """Make a change of each kind: a release, a new project, a removed one, and a removed file."""
    index.release("grows", "2.0")
    index.release("comes", "1.0")
    index.remove_project("goes")
    index.remove_file("shrinks", "shrinks-1.0-py3-none-any.whl")


def children_of(number: int) -> list[int]:
    """Return the processes that a process has started and that have not ended."""
    try:
        text = Path(f"/proc/{number}/task/{number}/children").read_text()
    except FileNotFoundError:
        return []
    return [each for each in map(int, text.split()) if is_alive(each)]


def is_alive(number: int) -> bool:
    """Whether there is a process of ``mirror`` with this number that has not ended."""
    try:
        return b"bandersnatch.cli.child" in Path(f"/proc/{number}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def start_mirror(site: Site, **environment: str) -> subprocess.Popen[str]:
    """Start ``mirror`` as a process of its own, which writes a report."""
    return start_command(site, "mirror", **environment)


def start_command(site: Site, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start a command as a process of its own, which writes a report."""
    command = [sys.executable, "-m", "bandersnatch", "-c", str(site.config)]
    command += [*arguments, "--report", str(site.home / "report.json")]
    return start(command, new_session=True, env={**os.environ, **environment})


def report_of(site: Site) -> dict[str, object]:
    """Return the report of the last run."""
    found: dict[str, object] = json.loads((site.home / "report.json").read_text())
    return found


# ---------------------------------------------------------------- without faults


def test_processes_give_the_tree_of_a_single_one(
    index: Index, make_site: Callable[..., Site]
) -> None:
    publish_projects(index)
    several, one = make_site(processes=2), make_site(processes=1)
    for site in (several, one):
        ran = site.mirror()
        assert ran.code == 0, ran.log
    change_projects(index)
    for _ in range(2):  # a second look confirms what is gone
        rans = []
        for site in (several, one):
            site.clock.passed += 3_600
            rans.append(site.mirror())
        assert rans[0].code == rans[1].code, rans[0].log
        assert rans[0].synced == rans[1].synced

    assert several.tree() == one.tree()
    assert several.status == one.status
    assert several.todo() == one.todo()
    assert {each.name for each in several.root.iterdir()} == {
        each.name for each in one.root.iterdir()
    }
    several.check()


def test_the_report_and_the_log_are_those_of_a_single_process(
    index: Index, make_site: Callable[..., Site]
) -> None:
    publish_projects(index)
    (broken,) = index.release("broken", "1.0")
    broken.hashes = {"sha256": "0" * 64}
    rans = [make_site(processes=count).mirror() for count in (2, 1)]

    def told(number: int) -> tuple[object, ...]:
        ran = rans[number]
        lines = sorted(line.split(" ", 2)[2] for line in ran.log.splitlines() if " " in line)
        ran.report["projects"]["synced"].sort()  # else in the order of their ends
        counted = {key: ran.report[key] for key in ("projects", "files")}
        return ran.code, lines, json.dumps(counted, sort_keys=True)

    assert told(0) == told(1)


def test_the_diff_file_is_that_of_a_single_process(
    index: Index, make_site: Callable[..., Site]
) -> None:
    publish_projects(index)
    found = []
    for count in (2, 1):
        site = make_site(processes=count)
        site.configure(diff_file=site.home / "diff")
        assert site.mirror().code == 0
        text = (site.home / "diff").read_text()
        found.append({line.removeprefix(str(site.root)) for line in text.splitlines()})
        assert not (site.root / ".journal").exists()

    assert found[0] == found[1]


def test_a_small_run_imports_nothing_of_it(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    command = [sys.executable, "-X", "importtime", "-m", "bandersnatch", "-c", str(site.config)]
    running = start([*command, "mirror"])
    _, log = running.communicate(timeout=_LIMIT)

    assert running.returncode == 0, log
    assert "bandersnatch.mirror.run" in log
    assert "bandersnatch.cluster" not in log


def test_a_dry_run_and_a_plan_start_no_process(
    index: Index, make_site: Callable[..., Site]
) -> None:
    publish_projects(index)
    site = make_site(processes=2)
    for arguments in (["mirror", "--dry-run"], ["plan"]):
        command = [sys.executable, "-m", "bandersnatch", "-c", str(site.config), *arguments]
        found: list[int] = []
        running = start(command)

        def look(_: object, number: int = running.pid, found: list[int] = found) -> None:
            found.extend(children_of(number))

        site.server.on_request = look
        _, log = running.communicate(timeout=_LIMIT)
        site.server.on_request = lambda _: None
        assert running.returncode == 0, log
        assert found == []


# ---------------------------------------------------------------- verify


def damage_tree(site: Site) -> None:
    """Damage files, sidecars and pages of several projects, each in another way."""
    files = sorted(site.web.glob("packages/**/*.whl"))
    content = files[0].read_bytes()
    times = files[0].stat()
    files[0].write_bytes(content[:-1] + bytes([content[-1] ^ 0xFF]))
    os.utime(files[0], ns=(times.st_atime_ns, times.st_mtime_ns))
    files[1].write_bytes(content + b"x")
    files[2].unlink()
    os.utime(files[3], ns=(1, 1))  # it is touched, and intact
    sidecars = sorted(site.web.glob("packages/**/*.metadata"))
    sidecars[5].write_bytes(b"")
    pages = sorted(site.web.glob("simple/project-*/index.html"))
    pages[6].write_bytes(b"<html></html>")
    pages[7].unlink()


def test_processes_find_and_repair_the_damage_that_a_single_one_does(
    index: Index, make_site: Callable[..., Site]
) -> None:
    publish_projects(index)
    sites = several, one = make_site(processes=1), make_site(processes=1)
    for site in sites:
        assert site.mirror().code == 0
    intact = one.tree()
    several.configure(processes=2)
    for site in sites:
        damage_tree(site)
        site.clock.advance(minutes=1)

    found = [site.run("verify") for site in sites]

    for ran in found:
        assert ran.code == 0, ran.log
        ran.report["damage"]["details"].sort(key=lambda each: each["key"])
    assert found[0].report["damage"] == found[1].report["damage"]
    assert found[0].report["damage"]["repaired"] == 6
    assert several.tree() == one.tree() == intact
    for site in sites:
        site.clock.advance(minutes=1)
        assert site.run("verify", "--quick").report["damage"]["found"] == 0


def test_processes_spend_one_budget_of_bytes_together(
    index: Index, make_site: Callable[..., Site]
) -> None:
    for number in range(_MANY):
        index.release(f"project-{number}", "1.0", size=5_000)
    site = make_site(processes=1)
    assert site.mirror().code == 0
    site.configure(processes=2)

    counts, sizes = [], []
    for _ in range(5):
        site.clock.advance(days=1)
        ran = site.run("verify", "--budget", "60 kB")
        assert ran.code == 0, ran.log
        counts.append(ran.report["verified"]["projects"])
        sizes.append(ran.report["verified"]["bytes"])

    assert sum(counts[:4]) == _MANY
    assert all(size <= 70_000 for size in sizes)


@pytest.mark.parametrize(
    ("flags", "is_used"), [((), True), (("--dry-run",), False), (("--quick",), False)]
)
def test_a_verify_that_reads_little_or_changes_nothing_starts_no_process(
    index: Index, make_site: Callable[..., Site], flags: tuple[str, ...], *, is_used: bool
) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site = make_site(processes=2)
    assert site.mirror().code == 0
    command = [sys.executable, "-X", "importtime", "-m", "bandersnatch", "-c", str(site.config)]
    running = start([*command, "verify", *flags])
    _, log = running.communicate(timeout=_LIMIT)

    assert running.returncode == 0, log
    assert "bandersnatch.mirror.verify.run" in log
    assert ("bandersnatch.cluster" in log) is is_used


def test_processes_of_verify_that_are_killed_are_replaced(
    index: Index, make_site: Callable[..., Site]
) -> None:
    for number in range(_MANY):
        index.release(f"project-{number}", "1.0", size=20_000)
    site = make_site(processes=2)
    assert site.mirror().code == 0
    intact = site.tree()
    damage_tree(site)
    # At this rate it takes eight seconds without the kills.
    running = start_command(site, "verify", "--rate", "100 kB/s")
    for _ in range(2):
        wait_until(lambda: running.poll() is not None or bool(readers_of(running.pid)))
        for each in readers_of(running.pid)[:1]:
            os.kill(each, signal.SIGKILL)
    _, log = running.communicate(timeout=_LIMIT)

    assert running.returncode == 0, log
    assert "was lost with its worker" in log
    assert site.tree() == intact
    found = report_of(site)
    assert found["verified"]["projects"] == _MANY, found  # type: ignore[index]
    assert found["damage"]["repaired"] == 6, found  # type: ignore[index]


def readers_of(number: int) -> list[int]:
    """Return the children of a process that have opened a release file."""
    return [each for each in children_of(number) if _has_opened(each, ".whl")]


def _has_opened(number: int, ending: str) -> bool:
    try:
        opened = [str(each.readlink()) for each in Path(f"/proc/{number}/fd").iterdir()]
    except OSError:  # it has ended, or closed one
        return False
    return any(each.endswith(ending) for each in opened)


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize("seed", range(4))
def test_processes_that_are_killed_are_replaced(
    index: Index, make_site: Callable[..., Site], seed: int
) -> None:
    publish_projects(index)
    killed, clean = make_site(processes=2), make_site()
    chosen = random.Random(seed)
    at = set(chosen.sample(range(3, 2 * _MANY), 3))
    running, asked, kills = start_mirror(killed), 0, 0

    def kill(_: object) -> None:
        nonlocal asked, kills
        asked += 1
        children = children_of(running.pid)
        if asked in at and children:
            os.kill(chosen.choice(children), signal.SIGKILL)
            kills += 1

    killed.server.on_request = kill
    _, log = running.communicate(timeout=_LIMIT)
    killed.server.on_request = lambda _: None
    killed.server.settle()

    assert kills
    assert running.returncode == 0, log
    assert clean.mirror().code == 0
    assert killed.tree() == clean.tree()
    assert killed.status == clean.status
    assert killed.todo() == []
    killed.check()


@pytest.mark.parametrize("number", [1, 12, 40])
def test_processes_end_with_a_coordinator_that_is_killed(
    index: Index, make_site: Callable[..., Site], number: int
) -> None:
    publish_projects(index)
    killed, clean = make_site(processes=2), make_site()
    running, asked = start_mirror(killed), 0
    children: list[int] = []

    def kill(asked_for: ReceivedRequest) -> None:
        nonlocal asked
        asked += asked_for.kind in {"detail", "file"}
        if asked == number and not children:
            children.extend(children_of(running.pid))
            os.kill(running.pid, signal.SIGKILL)

    killed.server.on_request = kill
    running.communicate(timeout=_LIMIT)
    killed.server.on_request = lambda _: None
    assert running.returncode == -signal.SIGKILL
    assert children
    wait_until(lambda: not any(map(is_alive, children)))
    killed.server.settle()

    again = start_mirror(killed)
    _, log = again.communicate(timeout=_LIMIT)

    assert again.returncode == 0, log
    assert clean.mirror().code == 0
    assert killed.tree() == clean.tree()
    assert killed.status == clean.status
    assert killed.leftovers() == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_processes_before_the_run(
    index: Index, make_site: Callable[..., Site], number: int, code: int
) -> None:
    publish_projects(index)
    stopped, clean = make_site(processes=2), make_site()
    running, asked = start_mirror(stopped), 0
    children: list[int] = []

    def interrupt(_: object) -> None:
        nonlocal asked
        asked += 1
        if asked == 20:
            children.extend(children_of(running.pid))
            os.kill(running.pid, number)

    stopped.server.on_request = interrupt
    _, log = running.communicate(timeout=_LIMIT)
    stopped.server.on_request = lambda _: None

    assert running.returncode == code, log
    assert children
    assert not any(map(is_alive, children))
    assert "Traceback" not in log
    ran = stopped.mirror()
    assert ran.code == 0, ran.log
    assert clean.mirror().code == 0
    assert stopped.tree() == clean.tree()


def test_a_project_that_ends_every_process_fails_alone(
    index: Index, make_site: Callable[..., Site], tmp_path: Path
) -> None:
    publish_projects(index)
    index.release("deadly", "1.0")
    packages = tmp_path / "packages"
    info = packages / "deadly-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[bandersnatch.filters.v1]\ndeadly = deadly:Deadly\n")
    (packages / "deadly.py").write_text(_FILTER)
    site = make_site(processes=2)
    site.filter("[plugins]\nenabled = deadly\n")

    running = start_mirror(site, PYTHONPATH=str(packages))
    _, log = running.communicate(timeout=_LIMIT)

    assert running.returncode == 4, log
    assert "3 processes have ended while they worked on deadly" in log
    assert len(site.names()) == _MANY + 3
    assert site.todo()[1:] == [f"deadly {index.serial}"]


def test_processes_that_cannot_be_started_end_the_run(
    index: Index, make_site: Callable[..., Site]
) -> None:
    publish_projects(index)
    site = make_site(processes=2)
    running = start_mirror(site)

    def spoil(_: object) -> None:
        site.config.write_text("[mirror]\n")

    site.server.on_request = spoil
    _, log = running.communicate(timeout=_LIMIT)
    site.server.on_request = lambda _: None

    assert running.returncode == 7, log
    assert "the processes of this run do not work" in log
    site.configure()
    assert site.mirror().code == 0
