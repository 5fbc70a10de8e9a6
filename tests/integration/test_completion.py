"""``completion``: what bash, zsh and fish complete with the scripts that it prints."""

from __future__ import annotations

import os
import pty
import select
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bandersnatch.cli.commands import COMMANDS
from bandersnatch.cli.syntax import read_syntax
from tests.support.commands import run_command
from tests.support.programs import require_program

if TYPE_CHECKING:
    from collections.abc import Callable

SHELLS = ["bash", "zsh", "fish"]

COMPLETED = [
    ("bandersnatch mir", ["mirror"]),
    ("bandersnatch webs", ["webserver-config"]),
    ("bandersnatch -c some.conf mir", ["mirror"]),
    ("bandersnatch --config some.conf --debug mir", ["mirror"]),
    ("bandersnatch --qu", ["--quiet"]),
    ("bandersnatch mirror --forc", ["--force-check"]),
    ("bandersnatch mirror --max-removals 5 --forc", ["--force-check"]),
    ("bandersnatch sync mirror --skip", ["--skip-simple-root"]),
    ("bandersnatch webserver-config ngi", ["nginx"]),
    ("bandersnatch config ch", ["check"]),
    ("bandersnatch config check --onl", ["--online"]),
    ("bandersnatch completion zs", ["zsh"]),
    ("bandersnatch -c som", ["some.conf"]),
    ("bandersnatch mirror --report som", ["some.conf"]),
    ("bandersnatch init --directory oth", ["other directory"]),
    ("bandersnatch sync som", []),
    ("bandersnatch mirror --max-removals som", []),
]
"""A beginning of a command line, and what its last word is completed to."""


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a shell that is installed; its script is in the current directory."""
    name = str(request.param)
    require_program(name)
    done = run_command("completion", name)
    assert done.code == 0, done.log
    (tmp_path / "script").write_text(done.out)
    home = tmp_path / "home"
    (home / "other directory").mkdir(parents=True)
    (home / "some.conf").write_text("")
    monkeypatch.chdir(home)
    return name


def run_shell(*words: str, text: str = "") -> str:
    done = subprocess.run(
        words, input=text, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def ask_bash(lines: list[str]) -> list[list[str]]:
    """Return the candidates of each line, as readline would ask for them."""
    program = ["source ../script", "complete -p bandersnatch > /dev/null"]
    for line in lines:
        words = " ".join(map(shlex.quote, line.split(" ")))
        program += [
            f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _bandersnatch",
            'for each in "${COMPREPLY[@]}"; do echo "$each"; done; echo .',
        ]
    answers = run_shell("bash", "--norc", text="\n".join(program)).split(".\n")[:-1]
    return [each.splitlines() for each in answers]


def ask_fish(lines: list[str]) -> list[list[str]]:
    """Return the candidates of each line, without their descriptions."""
    program = ["source ../script", *(f"complete -C {shlex.quote(each)}; echo ." for each in lines)]
    printed = run_shell("fish", "--no-config", "-c", "\n".join(program)).split("\n")
    answers: list[list[str]] = [[]]
    for each in printed[:-1]:
        if each == ".":
            answers.append([])
        else:
            answers[-1].append(each.partition("\t")[0].replace("\\ ", " ").rstrip("/"))
    return answers[:-1]


def ask_zsh(lines: list[str]) -> list[list[str]]:
    """Return what each line becomes in a terminal with the tabulator key.

    zsh completes in its line editor only. Unambiguous candidates are inserted: the line is run
    by a function that prints its last argument.
    """
    master, slave = pty.openpty()
    env = {"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": str(Path.cwd()), "PS1": ""}
    with subprocess.Popen(
        ["zsh", "-f", "-i", "+o", "prompt_cr"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=env,
        start_new_session=True,
    ) as process:
        os.close(slave)
        try:
            say = 'bandersnatch() { print -r -- "<$argv[-1]>" }; unsetopt beep list_ambiguous'
            type_line(master, "autoload -U compinit; compinit -D; source ../script", "")
            type_line(master, say, "")
            return [
                [] if found == line.split(" ")[-1] else [found.rstrip("/")]
                for line in lines
                for found in [type_line(master, f"{line}\t", "<")]
            ]
        finally:
            process.kill()
            os.close(master)


def type_line(master: int, text: str, wanted: str) -> str:
    """Type a line; return what stands between < and > in the answer, if that is ``wanted``."""
    os.write(master, f"{text}\n".encode())
    got, end = "", time.monotonic() + 30
    while wanted and not (">\r" in got or ">\n" in got):
        assert time.monotonic() < end, got
        if select.select([master], [], [], 0.2)[0]:
            got += os.read(master, 65536).decode(errors="replace")
    return got.rpartition(">")[0].rpartition("<")[2]


ASK: dict[str, Callable[[list[str]], list[list[str]]]] = {
    "bash": ask_bash,
    "fish": ask_fish,
    "zsh": ask_zsh,
}


def test_a_shell_completes(shell: str) -> None:
    answers = ASK[shell]([line for line, _ in COMPLETED])

    found = dict(zip([line for line, _ in COMPLETED], answers, strict=True))
    assert found == dict(COMPLETED)


@pytest.mark.parametrize("shell", ["bash", "fish"], indirect=True)
def test_a_shell_has_every_command_flag_and_choice(shell: str) -> None:
    syntax = read_syntax()
    wanted = {"bandersnatch ": set(COMMANDS)}
    for each in syntax.walk():
        call = " ".join(each.words)
        names = {name for flag in each.flags for name in flag.spellings}
        wanted[f"{call} --"] = {name for name in names if name.startswith("--")}
        for argument in each.arguments[:1]:
            if argument.value.choices:
                wanted[f"{call} "] = set(argument.value.choices)

    assert [set(each) for each in ASK[shell](list(wanted))] == list(wanted.values())


def test_bash_completes_a_value_after_an_equals_sign() -> None:
    """Readline makes ``--report=x`` three words; the sign may also be the last of them."""
    require_program("bash")
    program = run_command("completion", "bash").out
    program += "COMP_WORDS=(bandersnatch init --directory = /us); COMP_CWORD=4; _bandersnatch\n"
    program += "echo $COMPREPLY\n"
    program += "COMP_WORDS=(bandersnatch config check --config =); COMP_CWORD=4; cd /\n"
    program += '_bandersnatch; [[ " ${COMPREPLY[*]} " == *" usr "* ]] && echo yes\n'
    assert run_shell("bash", "--norc", text=program) == "/usr\nyes\n"


def test_other_commands_do_not_import_it() -> None:
    program = (
        "import sys; from bandersnatch.cli.main import main;"
        "main(['-c', 'missing/x.conf', 'status']);"
        "print(*{'bandersnatch.cli.syntax', 'bandersnatch.cli.commands.man',"
        " 'bandersnatch.cli.commands.completion'}.intersection(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "\n"


def test_an_unknown_shell_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run_command("completion", "csh")

    assert left.value.code == 2
