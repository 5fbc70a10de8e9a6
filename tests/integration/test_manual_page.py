"""``man``: the manual page, as the programs read it that print such pages."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from bandersnatch.cli.commands.man import _STATUSES
from bandersnatch.cli.exit_codes import ExitCode
from bandersnatch.cli.syntax import read_syntax
from tests.support.commands import run_command
from tests.support.programs import require_program


@pytest.fixture(scope="module")
def page() -> str:
    """Return the source of the page."""
    done = run_command("man")
    assert done.code == 0, done.log
    return done.out


def test_mandoc_finds_no_fault(page: str) -> None:
    """The page has no date, so that it is the same each time; no other remark is accepted."""
    done = subprocess.run(
        [require_program("mandoc"), "-T", "lint", "-W", "warning"],
        input=page,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    remarks = [line for line in done.stdout.splitlines() if "missing date" not in line]
    assert remarks == []


def test_man_shows_every_command_flag_and_status(page: str) -> None:
    done = subprocess.run(
        [require_program("man", "apt-get install man-db"), "--warnings=all", "-l", "-"],
        input=page,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C", "PAGER": "cat", "MANPAGER": "cat"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    text = re.sub(r".\x08", "", done.stdout)
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    for each in read_syntax().walk():
        if not each.commands:
            assert f"   {' '.join(each.words)}\n" in text, each.words
        for flag in each.flags:
            for name in flag.spellings:
                assert f"{name} " in f"{text} ".replace("\n", " ").replace(",", " ")
    assert set(_STATUSES) == {*ExitCode, 129, 130, 143}
    for code in _STATUSES:
        assert re.search(rf"^ +{int(code)} +\w|^ +{int(code)}$", text, re.MULTILINE)


def test_nothing_in_a_text_is_read_as_a_macro(page: str) -> None:
    macros = {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))}

    assert macros == {".TH", ".SH", ".SS", ".TP", ".PP"}
    assert not re.search(r"(?<!\\)-", page.partition("\n")[2].replace("\n", ""))
