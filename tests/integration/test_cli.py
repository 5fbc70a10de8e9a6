"""The command line, from arguments to exit status, in this process and in subprocesses."""

from __future__ import annotations

import errno
import json
import logging
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib.resources import files
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from bandersnatch import __version__
from bandersnatch.app import load
from bandersnatch.cli.main import main
from tests.support import faults
from tests.support.clock import FakeClock
from tests.support.processes import start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site

LOG_LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR): .* \([a-z_]+\.py:\d+\)"
)
PROGRAM = [sys.executable, "-m", "bandersnatch"]
REPOSITORY = Path(__file__).parent.parent.parent


class Done:
    """The result of a command that ran in this process."""

    def __init__(self, argv: Sequence[str | Path]) -> None:
        out, err = StringIO(), StringIO()
        umask = os.umask(0o022)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                self.code = main([str(each) for each in argv])
        finally:
            os.umask(umask)
            logging.getLogger("bandersnatch").handlers.clear()
        self.out, self.log = out.getvalue(), err.getvalue()

    @property
    def lines(self) -> list[str]:
        """The lines of the log, each in the documented format."""
        lines = self.log.splitlines()
        for line in lines:
            assert LOG_LINE.fullmatch(line), line
        return lines


def messages(log: str) -> list[str]:
    """Return level and message of every line of a log."""
    return [line.split(" ", 2)[2].rpartition(" (")[0] for line in log.splitlines()]


def run(site: Site, *argv: str, stderr: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """Run a command on a site in a subprocess."""
    return subprocess.run(
        [*PROGRAM, "-c", str(site.config), *argv],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=30,
        check=False,
    )


# ---------------------------------------------------------------- no configuration


def test_a_safe_example_is_written_if_there_is_no_configuration(tmp_path: Path) -> None:
    path = tmp_path / "bandersnatch.conf"

    done = Done(["-c", path, "mirror"])

    assert done.code == 1
    assert messages("\n".join(done.lines)) == [
        f"ERROR: {path} did not exist; a safe example is there now: edit it and run this again"
    ]
    assert path.read_bytes() == (REPOSITORY / "bandersnatch.conf.example").read_bytes()
    assert sorted(tmp_path.iterdir()) == [path], "nothing else was begun"


def test_the_example_is_written_with_quiet_as_well(
    tmp_path: Path,
) -> None:
    done = Done(["--quiet", "-c", tmp_path / "bandersnatch.conf", "mirror"])

    assert done.code == 1
    assert len(done.lines) == 1


def test_the_example_can_be_used_unchanged_and_selects_few_projects(tmp_path: Path) -> None:
    path = tmp_path / "bandersnatch.conf"
    Done(["-c", path, "mirror"])

    configuration = load(path)

    assert configuration.settings.notes == ()
    assert configuration.settings.storage.directory == "./mirror"
    assert configuration.filters.finite_names is not None
    assert 1 <= len(configuration.filters.finite_names) <= 10


def test_the_packaged_example_equals_the_one_in_the_repository() -> None:
    packaged = files("bandersnatch.config").joinpath("example.conf")

    assert packaged.read_bytes() == (REPOSITORY / "bandersnatch.conf.example").read_bytes()


def test_the_example_without_its_filter_selects_every_project(tmp_path: Path) -> None:
    """As its comment says: delete the two lines that enable the filter."""
    text = (REPOSITORY / "bandersnatch.conf.example").read_text(encoding="utf-8")
    step = "enabled =\n    allowlist_project\n"
    assert "delete the next two lines.\n" + step in text
    path = tmp_path / "full.conf"
    path.write_text(text.replace(step, ""), encoding="utf-8")

    assert load(path).filters.finite_names is None


@pytest.mark.parametrize(
    ("name", "why"),
    [("none/mirror.conf", "No such file or directory"), ("dangling", "File exists")],
)
def test_an_example_that_cannot_be_written_is_status_1(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")

    done = Done(["-c", tmp_path / name, "mirror"])

    assert done.code == 1
    [line] = done.lines
    path = tmp_path / name
    assert f"ERROR: {path} does not exist, and no example can be written there: {why} (" in line


# ---------------------------------------------------------------- a configuration that is wrong


@pytest.mark.parametrize("what", ["a directory", "a path through a file", "no text"])
def test_a_configuration_that_cannot_be_read_is_status_2(tmp_path: Path, what: str) -> None:
    path = tmp_path / "mirror.conf"
    if what == "a directory":
        path.mkdir()
    elif what == "a path through a file":
        path.touch()
        path /= "mirror.conf"
    else:
        path.write_bytes(b"[mirror]\n\xff\n")

    done = Done(["-c", path, "mirror"])

    assert done.code == 2
    [line] = done.lines
    assert f"ERROR: {path}: " in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_configuration_that_others_may_read_only_is_status_2(tmp_path: Path) -> None:
    path = tmp_path / "mirror.conf"
    path.touch(mode=0)

    done = Done(["-c", path, "mirror"])

    assert done.code == 2
    assert "Permission denied" in done.log


def test_every_problem_is_a_line_and_nothing_is_touched(
    server: IndexServer, site: Site, tmp_path: Path
) -> None:
    site.configure(worker=3, json="maybe")
    with site.config.open("a") as file:
        file.write("timeout = 3\n[mirro]\n[plugins]\nenabled = nonsense\n")

    done = Done(["-c", site.config, "mirror", "--report", tmp_path / "report.json"])

    assert done.code == 2
    assert messages("\n".join(done.lines)) == [
        f"ERROR: {site.config}: {problem}"
        for problem in (
            "[mirror] timeout: it is set twice (again in line 8); keep one",
            "[mirror] worker: there is no such option; did you mean 'workers'?",
            "[mirro]: there is no such section; did you mean 'mirror'?",
            "[mirror] json: 'maybe' is neither true nor false",
            "[plugins] enabled: there is no filter 'nonsense'",
        )
    ]
    assert done.out == ""
    assert server.asked == []
    assert not site.root.exists()


@pytest.mark.parametrize("flags", [["--quiet"], ["--debug"]])
def test_problems_are_logged_whatever_the_flags(site: Site, flags: list[str]) -> None:
    site.configure(json="maybe")

    done = Done([*flags, "-c", site.config, "mirror"])

    assert done.code == 2
    assert len(done.lines) == 1


def test_a_renamed_option_is_a_warning_and_the_run_continues(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    site.configure(delete_packages="true")

    ran = site.mirror()

    assert ran.code == 0
    told = "[mirror] delete-packages is read as removed-projects = delete"
    assert f"WARNING: {site.config}: {told}" in ran.log


def test_an_invalid_proxy_in_the_environment_is_status_2_and_nothing_is_touched(
    server: IndexServer, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOCKS5_PROXY", "socks5://user:secret@proxy.example.org")

    ran = site.mirror()

    assert ran.code == 2
    assert "ERROR: environment variable SOCKS5_PROXY: 'socks5://***@proxy.example.org' " in ran.log
    assert "secret" not in ran.log
    assert server.asked == []
    assert not site.root.exists()


# ---------------------------------------------------------------- how it is run


class BrokenClock(FakeClock):
    """A clock that raises."""

    def now(self) -> datetime:
        """Raise an unforeseen exception."""
        raise ZeroDivisionError("https://user:secret@example.org")


def test_a_bug_is_status_1_and_asks_for_its_traceback_to_be_reported(site: Site) -> None:
    site.clock = BrokenClock()

    ran = site.mirror()

    first, *traceback = ran.log.splitlines()
    assert ran.code == 1
    assert "ERROR: this is a bug in bandersnatch; please report it with these lines (" in first
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-1] == "ZeroDivisionError: https://***@example.org"


def test_the_program_runs_without_uvloop_as_well(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    program = (
        "import sys; sys.modules['uvloop'] = None; from bandersnatch.cli.main import main; "
        f"sys.exit(main(['-c', {str(site.config)!r}, 'mirror']))"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=30, check=False)

    assert done.returncode == 0
    site.check()


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_web_server_can_read_the_mirror_whatever_the_umask(
    index: Index, site: Site, umask: int
) -> None:
    index.release("foo", "1.0")

    done = shell(site, f"umask {umask:03o}; $P mirror")

    assert done.returncode == 0
    for path in [site.web, *site.web.rglob("*")]:
        mode = path.lstat().st_mode & 0o777
        assert mode == (0o755 if path.is_dir() else 0o644), path


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize("argv", [["--debug"], ["sync"], ["nonsense"], ["mirror", "--nonsense"]])
def test_an_invalid_argument_is_status_2(site: Site, argv: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        Done(["-c", site.config, *argv])

    assert left.value.code == 2


@pytest.mark.parametrize("name", ["no pe", "", "../etc", "-x-", "foo>=1", "größe"])
@pytest.mark.parametrize("where", ["sync", "accept"])
def test_an_invalid_project_name_is_status_2_and_nothing_is_touched(
    server: IndexServer, site: Site, name: str, where: str
) -> None:
    names = ["--", "foo", name] if where == "sync" else ["foo", f"--accept-change={name}"]

    ran = site.sync(*names)

    assert ran.code == 2
    [line] = ran.log.splitlines()
    assert f"ERROR: project name {name!a} " in line
    assert ran.out == ""
    assert server.asked == []
    assert not site.root.exists()


@pytest.mark.parametrize("module", ["bandersnatch", "bandersnatch.main"])
def test_the_program_runs_as_a_module(module: str) -> None:
    command = [sys.executable, "-m", module, "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 0
    assert done.stdout == f"bandersnatch {__version__}\n"
    assert done.stderr == ""


def test_without_arguments_the_program_prints_its_help() -> None:
    done = subprocess.run(PROGRAM, capture_output=True, text=True, timeout=30, check=False)

    assert done.returncode == 0
    assert done.stdout.startswith("usage: bandersnatch ")
    assert done.stderr == ""


# ---------------------------------------------------------------- what is lines


def test_a_first_run_prints_a_summary_and_how_to_serve(index: Index, site: Site) -> None:
    index.release("foo", "1.0")

    ran = site.mirror()

    assert "Projects: 1 synced, 0 unchanged, 0 failed, 0 removed." in ran.out
    assert f"bandersnatch -c {site.config} serve &" in ran.out
    assert ran.out.endswith("pip install --index-url http://127.0.0.1:8080/simple/ foo\n")


def test_later_runs_print_only_the_summary(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    site.mirror()
    index.release("foo", "2.0")

    assert "pip install" not in site.mirror().out


def test_quiet_prints_nothing_on_success(index: Index, site: Site) -> None:
    index.release("foo", "1.0")

    ran = site.mirror("--quiet")

    assert (ran.code, ran.out, ran.log) == (0, "", "")
    assert ran.synced == ["foo"]


def test_quiet_logs_failures(index: Index, server: IndexServer, site: Site) -> None:
    index.release("foo", "1.0")
    server.fault("/simple/foo/", faults.status(403))

    ran = site.mirror("--quiet")

    assert ran.code == 4
    assert ran.out == ""
    [line] = ran.log.splitlines()
    assert " ERROR: foo failed: " in line


def test_files_are_logged_only_with_debug(index: Index, make_site: Callable[..., Site]) -> None:
    [file] = index.release("foo", "1.0")

    assert f"DEBUG: downloaded web{file.path} (300 bytes)" in make_site().mirror("--debug").log
    assert file.filename not in make_site().mirror().log


def test_a_line_has_its_source(index: Index, server: IndexServer, site: Site) -> None:
    index.release("foo", "1.0")
    server.fault("/simple/foo/", faults.status(403))

    [line] = site.mirror().errors()

    place = re.search(r"\(([a-z]+)\.py:(\d+)\)$", line)
    assert place is not None
    source = files("bandersnatch.mirror").joinpath(f"{place[1]}.py").read_text(encoding="utf-8")
    assert "ProjectFailed(" in source.splitlines()[int(place[2]) - 1]


def test_the_report_agrees_with_the_exit_code(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    server.fault("/simple/bar/", faults.status(403))

    ran = site.mirror()

    assert ran.code == ran.report["exit_code"] == 4
    assert ran.report["command"] == "mirror"
    assert ran.synced == ["foo"]
    assert ran.failed == {"bar": "RefusedRequest"}
    assert ran.report["serial"]["index"] == index.serial
    assert "Failed: bar: " in ran.out


@pytest.mark.parametrize("place", ["none/report.json", ".", "mirror"])
def test_a_report_that_cannot_be_written_is_a_warning(index: Index, site: Site, place: str) -> None:
    index.release("foo", "1.0")

    done = Done(["-c", site.config, "mirror", "--report", site.home / place])

    assert done.code == 0
    assert "WARNING: the report could not be written: " in done.lines[-1]
    site.check()


def test_a_password_of_the_configuration_is_sent_and_never_shown(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    server.fault("/simple/bar/", faults.status(403))
    site.configure(master=server.url.replace("://", "://me:sesame@"))
    site.config.chmod(0o600)

    ran = site.mirror("--debug")

    assert ran.synced == ["foo"], "it is used"
    to_index = [asked for asked in server.asked if asked.kind in {"xmlrpc", "list", "detail"}]
    assert {asked.headers.get("Authorization") for asked in to_index} == {"Basic bWU6c2VzYW1l"}
    assert "sesame" not in ran.out + ran.log + json.dumps(ran.report)
    assert "sesame" not in site.text("todo")
    for path, content in site.tree().items():
        assert b"sesame" not in content, path


# ---------------------------------------------------------------- standard output and error


def shell(site: Site, line: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command in which $P is the program with the site's configuration."""
    program = " ".join([*PROGRAM, "-c", str(site.config)])
    return subprocess.run(
        ["bash", "-c", line.replace("$P", program)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    "line",
    [
        "$P mirror | true; exit ${PIPESTATUS[0]}",
        "$P mirror > /dev/full",
        "$P mirror >&-",
        "$P mirror 2>&-",
        "$P mirror <&- >&- 2>&-",
        "PYTHONIOENCODING=ascii $P mirror",
    ],
)
def test_a_closed_standard_output_is_not_a_failure(index: Index, site: Site, line: str) -> None:
    index.release("foo", "1.0")
    site.configure(directory=site.home / "größe")

    done = shell(site, line)

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert (site.home / "größe" / "status").read_text() == str(index.serial)


def test_a_report_to_standard_output_does_not_replace_the_device(index: Index, site: Site) -> None:
    index.release("foo", "1.0")

    done = shell(site, "$P mirror --quiet --report /dev/stdout")

    assert done.returncode == 0
    assert json.loads(done.stdout)["exit_code"] == 0
    assert Path("/dev/stdout").is_symlink()


def test_progress_is_shown_on_a_terminal(
    index: Index, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.release("foo", "1.0", size=100_000)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    reading, writing = pty.openpty()
    shown: list[bytes] = []
    reader = threading.Thread(target=lambda: shown.extend(_until_the_end(reading)))
    reader.start()
    try:
        done = run(site, "mirror", stderr=writing)
    finally:
        os.close(writing)
        reader.join(10)
        os.close(reading)

    text = b"".join(shown).decode()
    assert done.returncode == 0
    assert "projects" in text
    assert "1/1" in text
    assert "INFO" not in text


def _until_the_end(descriptor: int) -> Iterator[bytes]:
    """Yield what is written to a terminal until it is closed."""
    with suppress(OSError):
        while piece := os.read(descriptor, 100_000):
            yield piece


# ---------------------------------------------------------------- projects that are not there


def test_sync_of_a_missing_project_is_status_4_and_names_it(index: Index, site: Site) -> None:
    index.release("foo", "1.0")

    ran = site.sync("nope", "foo")

    assert ran.code == 4
    assert ran.synced == ["foo"]
    assert list(ran.failed) == ["nope"]
    [line] = ran.errors()
    assert "ERROR: nope failed: the index has no page for nope; run sync again to retry" in line
    assert "Failed: nope: the index has no page for nope (not retried)" in ran.out


def test_a_missing_project_of_the_allowlist_is_named_and_not_a_failure(
    index: Index, site: Site
) -> None:
    index.release("foo", "1.0")
    site.allow("foo", "nope")

    ran = site.mirror()

    assert ran.code == 0
    assert "Not on the index: nope." in ran.out


def test_an_index_that_does_not_answer_is_status_3(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    server.fault("list", faults.status(500))
    server.fault("xmlrpc", faults.status(500))

    ran = site.mirror()

    assert ran.code == 3
    assert len(ran.errors()) == 1
    assert ran.stopped
    assert not (site.root / "status").exists()


# ---------------------------------------------------------------- one at a time


def test_a_second_command_does_not_wait_for_the_lock(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    site.root.mkdir()
    with FileLock(site.root / ".lock"):
        began = time.monotonic()
        rans = [site.mirror(), site.sync("foo")]
        took = time.monotonic() - began

    assert took < 2
    for ran in rans:
        assert ran.code == ran.report["exit_code"] == 6
        [line] = ran.log.splitlines()
        assert f"ERROR: {site.root}/.lock is held by process {os.getpid()}; wait for it" in line
        assert ran.out == ""
    assert server.asked == []
    assert site.mirror().code == 0


@contextmanager
def stalling(
    site: Site, server: IndexServer, *argv: str, under: Sequence[str] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Run a command in a subprocess, and yield it when its downloads have stalled."""
    fault = server.fault("file", faults.silence(60, after=1000))
    with start([*under, *PROGRAM, "-c", str(site.config), *argv]) as process:
        try:
            deadline = time.monotonic() + 20
            while not fault.hits and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            assert fault.hits, "no download began"
            time.sleep(0.2)
            yield process
        finally:
            process.kill()
            server.faults.remove(fault)


def test_a_second_process_names_the_holder_of_the_lock(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0", size=5000)
    site.configure(timeout=30)
    with stalling(site, server, "mirror") as first:
        second = run(site, "sync", "foo")
        assert first.poll() is None
        reached = f".lock is held by process {first.pid}; wait for it to end"

    assert second.returncode == 6
    assert reached in second.stderr


# ---------------------------------------------------------------- signals


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_a_run_cleanly_and_the_next_continues(
    index: Index, server: IndexServer, site: Site, number: int, code: int
) -> None:
    index.release("foo", "1.0", size=5000)
    index.release("bar", "1.0", size=5000)
    site.configure(timeout=30)
    report = site.home / "interrupted.json"
    with stalling(site, server, "mirror", "--report", str(report)) as process:
        began = time.monotonic()
        process.send_signal(number)
        out, log = process.communicate(timeout=10)
        took = time.monotonic() - began

    assert process.returncode == code
    assert took < 5
    assert "Traceback" not in log
    assert f"ERROR: interrupted by signal {int(number)}; the next run continues from here" in log
    assert out.startswith("Interrupted; what was done is kept")
    assert json.loads(report.read_text())["exit_code"] == code
    assert int(site.todo()[0]) <= index.serial
    assert sorted(line.split()[0] for line in site.todo()[1:]) == ["bar", "foo"]
    assert not (site.root / "status").exists()
    temporary = [path for path in site.root.rglob("*") if path.name.startswith(("t", ".t"))]
    assert [path.name for path in temporary] == ["todo"]
    assert not list(site.web.rglob("*.whl"))

    again = site.mirror()

    assert again.code == 0
    assert again.synced == ["bar", "foo"]
    assert site.status == index.serial
    assert site.todo() == []
    assert site.leftovers() == []
    site.check()


def test_sync_can_be_interrupted(index: Index, server: IndexServer, site: Site) -> None:
    index.release("foo", "1.0", size=5000)
    site.configure(timeout=30)
    with stalling(site, server, "sync", "foo") as process:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)

    assert process.returncode == 143
    assert "Traceback" not in log
    assert site.sync("foo").code == 0
    site.check()


def test_a_signal_that_the_caller_ignores_does_not_end_a_run(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0", size=5000)
    site.configure(timeout=30)
    with stalling(site, server, "mirror", under=["nohup"]) as process:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)

    assert process.returncode == 143


def test_a_signal_before_the_run_leaves_no_traceback(tmp_path: Path) -> None:
    """The configuration is a pipe without data, so that the program waits for it."""
    pipe = tmp_path / "mirror.conf"
    os.mkfifo(pipe)
    with start([*PROGRAM, "-c", str(pipe), "mirror"]) as process:
        try:
            writing = _opened_by_a_reader(pipe)
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, log = process.communicate(timeout=10)
            os.close(writing)
        finally:
            process.kill()

    assert process.returncode == 130
    assert log == ""


def _opened_by_a_reader(pipe: Path) -> int:
    """Return the writing end of a pipe as soon as it has a reader."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert time.monotonic() < deadline, "no reader opened the pipe"
            time.sleep(0.01)


# ---------------------------------------------------------------- a storage that fails


def check_storage_failure(site: Site, ran_code: int, log: str, out: str, why: str) -> None:
    """Assert that the storage ended a command cleanly."""
    assert ran_code == 7, log
    assert "Traceback" not in log
    [line] = [line for line in log.splitlines() if " ERROR: " in line]
    assert LOG_LINE.fullmatch(line)
    assert "ERROR: storage failed at " in line
    assert why in line
    assert out == ""


def test_a_mirror_that_is_a_file_is_status_7(index: Index, server: IndexServer, site: Site) -> None:
    index.release("foo", "1.0")
    site.root.write_text("not a directory")

    ran = site.mirror()

    check_storage_failure(site, ran.code, ran.log, ran.out, "Not a directory")
    assert ran.report["exit_code"] == 7
    assert ran.stopped == ["UnusablePlace"]
    assert str(site.root) in ran.log
    assert server.asked == []


def test_a_directory_that_cannot_be_created_is_status_7(
    index: Index, server: IndexServer, site: Site
) -> None:
    """Not even root can create a directory in /sys."""
    index.release("foo", "1.0")
    site.configure(directory="/sys/bandersnatch")

    ran = site.mirror()

    check_storage_failure(site, ran.code, ran.log, ran.out, "/sys/bandersnatch: ")
    assert server.asked == []


def test_a_file_in_the_place_of_a_page_directory_is_status_7(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    (site.root / "web").mkdir(parents=True)
    (site.root / "web" / "simple").write_text("in the way")

    ran = site.mirror()

    check_storage_failure(site, ran.code, ran.log, ran.out, "irectory")


def test_a_diff_file_on_a_full_disk_is_status_7(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    (site.home / "diff").symlink_to("/dev/full")
    site.configure(diff_file=site.home / "diff")

    ran = site.mirror()

    check_storage_failure(site, ran.code, ran.log, ran.out, "/diff: No space left on device")
    (site.home / "diff").unlink()
    assert site.mirror().code == 0
    site.check()


def test_a_file_size_limit_is_status_7(index: Index, site: Site) -> None:
    index.release("foo", "1.0", size=2_000_000)

    done = shell(site, "ulimit -S -f 1000; $P mirror")

    check_storage_failure(site, done.returncode, done.stderr, done.stdout, os.strerror(errno.EFBIG))
    assert site.mirror().code == 0
    site.check()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a file system of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, timeout=10, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"a file system cannot be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], timeout=10, check=True)


def test_a_full_disk_is_status_7_and_the_next_run_continues(
    index: Index, site: Site, small_disk: Path
) -> None:
    for number in range(8):
        index.release(f"foo{number}", "1.0", size=200_000)
    site.configure(directory=small_disk / "mirror", min_free_space=0)

    ran = site.mirror()

    check_storage_failure(site, ran.code, ran.log, ran.out, "No space left on device")
    larger = ["mount", "-o", "remount,size=8m", str(small_disk)]
    subprocess.run(larger, timeout=10, check=True)
    site.root = small_disk / "mirror"
    assert site.mirror().code == 0
    assert len(site.names()) == 8
    site.check()


def test_a_read_only_disk_is_status_7(
    index: Index, server: IndexServer, site: Site, small_disk: Path
) -> None:
    index.release("foo", "1.0")
    site.configure(directory=small_disk / "mirror")
    site.root = small_disk / "mirror"
    assert site.mirror().code == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], timeout=10, check=True)
    server.forget()

    ran = site.mirror()

    check_storage_failure(site, ran.code, ran.log, ran.out, "Read-only file system")
    assert server.asked == []


# ---------------------------------------------------------------- proxies and the log


def test_requests_go_through_an_http_proxy(index: Index, server: IndexServer, site: Site) -> None:
    """The local server accepts requests for any host, so it can be a proxy."""
    index.release("foo", "1.0")
    site.configure(master="http://index.example.org", proxy=server.url)

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert {asked.headers["Host"] for asked in server.asked if asked.kind == "detail"} == {
        "index.example.org"
    }


def test_a_log_config_with_only_a_root_logger_gets_every_line(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    config = site.home / "log.conf"
    config.write_text(
        "[loggers]\nkeys=root\n[handlers]\nkeys=file\n[formatters]\nkeys=short\n"
        "[logger_root]\nhandlers=file\n"
        f"[handler_file]\nclass=FileHandler\nargs=({str(site.home / 'log.txt')!r},)\n"
        "formatter=short\n[formatter_short]\nformat=%(levelname)s %(name)s %(message)s\n"
    )
    site.configure(log_config=config)

    done = run(site, "mirror")

    assert done.returncode == 0
    assert done.stderr == ""
    lines = (site.home / "log.txt").read_text().splitlines()
    assert f"INFO bandersnatch synced foo at serial {index.serial}" in lines


def test_an_invalid_log_config_is_status_2_and_nothing_is_touched(
    server: IndexServer, site: Site
) -> None:
    config = site.home / "log.conf"
    config.write_text("[loggers]\nkeys=root\n")
    site.configure(log_config=config)

    done = run(site, "mirror")

    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert LOG_LINE.fullmatch(line)
    assert f"ERROR: {site.config}: [mirror] log-config: {config} cannot be used as" in line
    assert server.asked == []
    assert not site.root.exists()


# ---------------------------------------------------------------- the diff file


def test_the_diff_file_lists_changes_and_its_sibling_deletions(index: Index, site: Site) -> None:
    [first] = index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.configure(diff_file="{{ mirror_directory }}/changed", json="true")
    site.mirror()
    changed, deleted = site.root / "changed", site.root / "changed.deleted"
    assert f"{site.web}{first.path}" in changed.read_text().splitlines()

    index.remove_file("foo", first.filename)
    [second] = index.release("foo", "2.0")
    site.mirror()

    lines = changed.read_text().splitlines()
    assert len(lines) == len(set(lines))
    assert {str(path.relative_to(site.web)) for path in map(Path, lines)} == {
        second.path.lstrip("/"),
        f"{second.path.lstrip('/')}.metadata",
        "json/foo",
        "simple/foo/index.html",
        "simple/foo/index.v1_html",
        "simple/foo/index.v1_json",
        "simple/index.v1_json",
    }
    assert f"{site.web}{first.path}" in deleted.read_text().splitlines()

    site.mirror()

    assert changed.read_bytes() == b""
    assert deleted.read_bytes() == b""


def test_the_diff_file_lists_page_versions_and_not_the_links_to_them(
    index: Index, site: Site
) -> None:
    index.release("foo", "1.0", metadata=False)
    site.configure(diff_file=site.home / "changed", keep_index_versions=2, simple_format="JSON")

    assert site.mirror().code == 0

    lines = (site.home / "changed").read_text().splitlines()
    pages = [line for line in lines if "/simple/foo/" in line]
    assert [Path(page).parent.name for page in pages] == ["versions"]
    assert Path(pages[0]) == (site.web / "simple" / "foo" / "index.v1_json").resolve()


def test_a_dry_run_does_not_write_the_diff_file(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    diff = site.home / "diff"
    site.configure(diff_file=diff)
    site.mirror()
    before = diff.read_text()

    assert site.mirror("--dry-run", "--force-check").code == 0
    assert diff.read_text() == before
