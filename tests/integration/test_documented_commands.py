"""The command lines of README and documentation: each is run, or listed with the reason.

What is run is every command of ours that ``tests/data/command_lines.toml`` does not list. What is
listed is checked by the parser of its program, or by the linter or the files that it is about.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bandersnatch.cli.commands import COMMANDS
from bandersnatch.cli.parser import parse
from tests.support.commands import run_command
from tests.support.programs import require_program
from tests.support.wheels import wheel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.index import Index
    from tests.support.site import Site

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LISTED: dict[str, str] = tomllib.loads(
    (ROOT / "tests/data/command_lines.toml").read_text(encoding="utf-8")
)
"""The commands that the tests do not run as they stand, each with the reason."""

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
INLINE = re.compile(
    r"(\S*/)?(bandersnatch|podman|docker|tox|pytest|systemctl|chown) |uv pip|python3? (-m|/)"
)
"""How a command begins that stands in a sentence; others there are names of programs."""


@dataclass(frozen=True)
class Line:
    """A command line and its page."""

    page: str
    text: str
    is_inline: bool = False

    def commands(self) -> Iterator[str]:
        """Yield the commands that the line has between ``&&``, ``|`` and the like, quoted."""
        text = self.text
        if self.is_inline:  # optional words are left out, the first of several is taken
            text = re.sub(r" \[[A-Z][^\]]*\]|\.\.\.", "", text)
            text = re.sub(r"(?<=\w)\|\w+", "", text)
        lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        tokens = iter(lexer)
        for token in tokens:
            if token in {">", "<"}:
                next(tokens)
            elif set(token) <= set("();<>|&"):
                yield shlex.join(words)
                words = []
            else:
                words.append(token)
        yield shlex.join(words)


def lines_of(page: Path) -> Iterator[Line]:
    """Yield the command lines of a page: of its blocks, and in its sentences."""
    text, name = page.read_text(encoding="utf-8"), str(page.relative_to(ROOT))
    for _, language, block in FENCE.findall(text):
        each = [line.strip() for line in block.splitlines() if line.strip()]
        if language == "console":
            shown = [line for line in each if line.startswith("$ ")]
            yield from (Line(name, line.removeprefix("$ ")) for line in shown or each)
        elif language == "cron":
            yield from (Line(name, line.split(maxsplit=6)[6]) for line in each)
        elif language == "sh":
            ours = [line for line in each if re.match("bandersnatch|source", line)]
            yield from (Line(name, line) for line in ours)
    for code in CODE.findall(FENCE.sub("", text)):
        if INLINE.match(code):
            yield Line(name, code, is_inline=True)


def is_ours(command: str) -> bool:
    return command.partition(" ")[0].rpartition("/")[2] == "bandersnatch"


def is_name(command: str) -> bool:
    """Whether a command in a sentence is only its name, as in "run ``bandersnatch sync``"."""
    words = command.split()
    if words[1:] == ["catalogue", "copy"]:
        return True
    return len(words) == 2 and words[1] in {
        "completion",
        "copy",
        "delete",
        "doctor",
        "restore",
        "run",
        "sync",
        "why",
    }


def found() -> dict[str, str]:
    """Return all commands of all pages, each with the first page that has it."""
    commands: dict[str, str] = {}
    for page in PAGES:
        for line in lines_of(page):
            for command in filter(None, line.commands()):
                if not (line.is_inline and is_name(command)):
                    commands.setdefault(command, line.page)
    return commands


FOUND = found()
RUN = [command for command in FOUND if is_ours(command) and command not in LISTED]


def test_every_command_is_run_or_listed() -> None:
    missing = {command: page for command, page in FOUND.items() if not is_ours(command)}

    assert [f"{page}: {each}" for each, page in missing.items() if each not in LISTED] == []
    assert [each for each in LISTED if each not in FOUND] == [], "no page has these any more"
    assert all(reason.strip() for reason in LISTED.values())
    assert len(RUN) > 40
    assert [each for each in RUN if {"run", "serve"} & set(each.split())] == [], "it never ends"


# ---------------------------------------------------------------- run

PROJECTS = (
    *("attrs", "bare", "cupy", "django", "flask", "foo", "idna", "iniconfig", "name", "nose"),
    *("numpy", "pandas", "peppercorn", "pluggy", "project", "pyyaml", "requests"),
    *("sampleproject", "six", "tf-nightly"),
)
SECTIONS = """
[plugins]
enabled =
    allowlist_project
    target_environments
[allowlist]
packages =
    flask
    numpy
    pandas
[environments]
servers = python 3.12; linux x86_64 glibc 2.28
laptops = python 3.12; tag win_amd64
[closure]
follow = true
"""


@pytest.fixture
def here(index: Index, site: Site, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current directory: the files that the commands name, and a mirror."""
    for name in PROJECTS:
        file = f"{name.replace('-', '_')}-3.0-py3-none-any.whl"
        content, metadata = wheel(name, "3.0", *(["numpy"] if name == "pandas" else []))
        index.upload(name, "3.0", file, content=content, metadata=metadata)
    site.filter(SECTIONS)
    assert site.mirror().code == 0
    example = (ROOT / "bandersnatch.conf.example").read_text(encoding="utf-8")
    options = f"[mirror]\nmaster = {site.server.url}\nallow-non-https = true\n"
    here = site.home / "here"
    here.mkdir()
    (here / "bandersnatch.conf.example").write_text(example.replace("[mirror]\n", options))
    (here / "requirements.txt").write_text("flask==3.0\n")
    for name in ("CONFIG", "bucket.conf"):  # places to copy to
        place = site.config.read_text().replace(str(site.root), str(here / f"place of {name}"))
        (here / name).write_text(place)
    shutil.copy(site.config, here / "disk.conf")
    monkeypatch.chdir(here)
    assert site.ask("prove", "flask", "--write-lock", "pylock.toml", "--index", "pypi").code == 0
    return here


def test_every_command_of_ours_works(here: Path, site: Site) -> None:
    """The status is 0, or that of a project, a proof or a limit; never of a mistake or a bug."""
    wrong = []
    for command in RUN:
        words = shlex.split(command)[1:]
        if "init" in words:
            config = here / (words[words.index("-c") + 1] if "-c" in words else "bandersnatch.conf")
            config.unlink(missing_ok=True)
            words += ["--master", site.server.url]
        elif "-c" not in words:
            words = ["-c", str(site.config), *words]
        code, log = run(words, site)
        if code not in {0, 4, 8}:
            wrong.append((FOUND[command], command, code, log))
    assert wrong == []


def run(words: list[str], site: Site) -> tuple[object, str]:
    """Run a command, and return its exit status and its log."""
    try:
        done = run_command(*words, clock=site.clock)
    except SystemExit as left:
        return left.code, ""
    return done.code, done.log


# ---------------------------------------------------------------- listed


def check_ours(words: list[str]) -> None:
    parse(words[1:])


def check_help(words: list[str]) -> None:
    """Check the flags of pip or uv by the help of the command."""
    depth = 3 if words[1] == "pip" else 2
    text = help_of(Path(words[0]).name, *words[1:depth])
    for word in words[depth:]:
        if word.startswith("-"):
            assert re.search(rf"(?<!\S){word.partition('=')[0]}\b", text), word


@cache
def help_of(program: str, *words: str) -> str:
    """Return the help of a command of a program that is a Python module."""
    command = [sys.executable, "-m", program, *words, "--help"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def check_tox(words: list[str]) -> None:
    tox = ConfigParser()
    tox.read(ROOT / "tox.ini")
    names = [words[place + 1] for place, word in enumerate(words) if word == "-e"]
    for name in names:
        assert f"testenv:{name}" in tox, name


def check_paths(words: list[str]) -> None:
    """Check that the files exist that are copied, run or read, of those in the repository."""
    for word in words[1:]:
        if re.match(r"(docs|tests|container|bench)/", word):
            assert any(ROOT.glob(word)), word


def check_systemctl(words: list[str]) -> None:
    verbs = {"daemon-reload", "edit", "enable", "reload", "stop"}
    assert words[1] in verbs
    for word in words[2:]:
        name = word if "." in word else f"{word}.service"
        unit = ROOT / "docs/examples/etc/systemd/system" / name
        assert word.startswith("-") or unit.is_file()


def check_container(words: list[str]) -> None:
    """Check what runs in the container, and the files that are named."""
    check_paths(words)
    if words[1:3] == ["build", "--file"]:
        assert (ROOT / words[3]).is_file()
    inner = len(words) - words[::-1].index("bandersnatch") if "bandersnatch" in words else 0
    if {"run", "exec"} & set(words):
        parse(words[inner:])


def check_runner(words: list[str]) -> None:
    if words[1].startswith("/bandersnatch/"):
        path = ROOT / "container" / Path(words[1]).name
        done = subprocess.run(
            [sys.executable, path, *words[2:], "--help"], capture_output=True, check=False
        )
        assert done.returncode == 0
    elif words[1] == "-m":
        module = words[2].split(".")
        own = [ROOT / "src" / Path(*module), ROOT / Path(*module)]
        known = any(path.is_dir() or path.with_suffix(".py").is_file() for path in own)
        assert known or words[2] in {"http.server", "venv"}


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "bandersnatch": check_ours,
    "pip": check_help,
    "uv": check_help,
    "tox": check_tox,
    "systemctl": check_systemctl,
    "docker": check_container,
    "podman": check_container,
    "python": check_runner,
    "python3": check_runner,
}


@pytest.mark.parametrize("command", LISTED)
def test_a_listed_command_is_right(command: str) -> None:
    words = shlex.split(command)
    CHECKS.get(words[0].rpartition("/")[2], check_paths)(words)


def test_the_shell_accepts_every_line() -> None:
    bash = require_program("bash")
    lines = [line.text for page in PAGES for line in lines_of(page) if not line.is_inline]
    scripts = [
        block
        for page in PAGES
        for _, language, block in FENCE.findall(page.read_text(encoding="utf-8"))
        if language == "sh"
    ]
    for text in ("\n".join(lines), *scripts):
        done = subprocess.run([bash, "-n"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_names_of_commands_in_sentences_are_known() -> None:
    for page in PAGES:
        for code in CODE.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
            words = code.split()
            if words[:1] == ["bandersnatch"] and len(words) > 1 and words[1].isalpha():
                assert words[1] in COMMANDS, f"{page}: {code}"
