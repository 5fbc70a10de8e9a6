"""The files under ``docs/examples/etc``, as the programs read them that they are for."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bandersnatch.cli.parser import parse
from bandersnatch.config import readers
from tests.support.programs import require_program

if TYPE_CHECKING:
    from argparse import Namespace

    from tests.support.index import Index
    from tests.support.site import Site

ETC = Path(__file__).parents[2] / "docs" / "examples" / "etc"
UNITS = sorted((ETC / "systemd/system").iterdir())
PROGRAM = "/usr/local/bin/bandersnatch"
PACKAGE = "apt-get install systemd"


def run_program(name: str, *arguments: object) -> str:
    """Run a program and return its output, or skip the test if it is not installed."""
    path = require_program(name, PACKAGE if name.startswith("systemd-") else "")
    done = subprocess.run(
        [path, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def parsed(line: str) -> Namespace:
    """Return the arguments of a command line of the program."""
    program, *words = shlex.split(line)
    assert program in {PROGRAM, "bandersnatch"}
    return parse(words)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root directory with the accounts of root and mirror."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (tmp_path / "etc/group").write_text("root:x:0:\n")
    run_program("systemd-sysusers", f"--root={tmp_path}", ETC / "sysusers.d/bandersnatch.conf")
    return tmp_path


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    copies = []
    for unit in UNITS:
        text = unit.read_text().replace(PROGRAM, sys.executable)
        copies.append(tmp_path / unit.name)
        copies[-1].write_text(text)

    assert run_program("systemd-analyze", "verify", "--man=no", *copies) == ""


@pytest.mark.parametrize(
    "name", ["bandersnatch.service", "bandersnatch-run.service", "bandersnatch-serve.service"]
)
def test_a_service_is_confined(name: str) -> None:
    """The exposure of a service, as systemd judges it, goes from 0 to 10; below 2 is "OK"."""
    unit = ETC / "systemd/system" / name
    flags = ("--offline=true", "--threshold=20", "--no-pager")
    assert "Overall exposure level" in run_program("systemd-analyze", "security", *flags, unit)


def test_the_commands_of_the_units_are_ours() -> None:
    commands = [
        parsed(line)
        for unit in UNITS
        for line in re.findall(r"^ExecStart=(.*)", unit.read_text(), re.MULTILINE)
    ]
    assert {each.command for each in commands} == {"mirror", "run", "serve"}


def test_the_commands_of_cron_are_ours() -> None:
    lines = (ETC / "cron.d/bandersnatch").read_text().splitlines()
    jobs = [line.split(maxsplit=6) for line in lines if re.match(r"[*\d]", line)]
    commands = [parsed(" ".join(job[6:])) for job in jobs]

    assert [job[5] for job in jobs] == ["mirror"] * 3
    assert [each.command for each in commands] == ["mirror", "verify", "status"]
    assert readers.percent(commands[1].sample) == 3
    assert not any("%" in " ".join(job) for job in jobs), "cron reads % as the end of a line"
    for job in jobs:
        assert all(re.fullmatch(r"\*(/\d+)?|\d+", field) for field in job[:5])


def test_the_user_and_the_directories_are_created(root: Path) -> None:
    run_program(
        "systemd-tmpfiles", f"--root={root}", "--create", ETC / "tmpfiles.d/bandersnatch.conf"
    )
    account = re.search(r"^mirror:x:(\d+):", (root / "etc/passwd").read_text(), re.MULTILINE)
    assert account
    for directory in ("srv/pypi", "run/bandersnatch"):
        assert (root / directory).is_dir()
        assert os.geteuid() != 0 or (root / directory).stat().st_uid == int(account[1])


def test_logrotate_accepts_its_file(tmp_path: Path) -> None:
    """The user must exist, which that of the file does not on this machine."""
    log = tmp_path / "access.log"
    log.write_text("one line\n")
    text = (ETC / "logrotate.d/bandersnatch").read_text()
    assert "/var/log/bandersnatch/*.log {" in text
    text = text.replace("/var/log/bandersnatch/", f"{tmp_path}/").replace("mirror mirror", "")
    text = re.sub(r"^ *su *$", "", text, flags=re.MULTILINE)
    (tmp_path / "configuration").write_text(text)
    (tmp_path / "configuration").chmod(0o644)
    tmp_path.chmod(0o755)

    printed = run_program("logrotate", "--debug", tmp_path / "configuration")

    assert "error:" not in printed
    assert f"considering log {log}" in printed
    assert "systemctl try-reload-or-restart bandersnatch-serve.service" in text


def test_a_socket_of_systemd_is_served(index: Index, site: Site) -> None:
    activate = require_program("systemd-socket-activate", PACKAGE)
    index.release("foo", "1.0")
    site.mirror()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    unit = (ETC / "systemd/system/bandersnatch-serve.service").read_text()
    (line,) = re.findall(r"^ExecStart=\S+ (.*)", unit, re.MULTILINE)
    words = line.replace("/var/log/bandersnatch", str(site.home)).split()
    command = [sys.executable, "-m", "bandersnatch", "-c", str(site.config), *words]
    with subprocess.Popen(
        [activate, f"--listen=127.0.0.1:{port}", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            assert b"foo" in fetch(f"http://127.0.0.1:{port}/simple/")
        finally:
            process.terminate()
            process.communicate(timeout=60)
    assert "GET /simple/" in (site.home / "access.log").read_text()


def fetch(url: str) -> bytes:
    """Return a page of a server that may be starting."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(100):
        try:
            with opener.open(url, timeout=60) as reply:
                return bytes(reply.read())
        except urllib.error.URLError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")
