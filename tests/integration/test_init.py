"""``init``: the first configuration, its cost, and what is refused."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.app import load
from bandersnatch.config.draft import Draft, render_draft
from bandersnatch.config.ini import read_ini
from tests.support.commands import Result, run_command

if TYPE_CHECKING:
    from tests.support.index import Index
    from tests.support.server import IndexServer


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty directory that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(server: IndexServer, *flags: object) -> Result:
    return run_command("init", "--master", server.url, *flags)


def test_a_mirror_of_projects(home: Path, index: Index, server: IndexServer) -> None:
    index.release("Foo", "1.0", size=3000)
    index.release("bar", "1.0")

    done = init(server, "--project", "Foo", "--directory", "here")

    assert done.code == 0, done.log
    assert "To download: 1 file of 1 project, 3 KB" in done.out
    assert "bandersnatch -c bandersnatch.conf mirror" in done.out
    settings = load(home / "bandersnatch.conf").settings
    assert settings.storage.directory == str(home / "here")
    assert not (home / "here").exists()
    assert run_command("-c", "bandersnatch.conf", "mirror").code == 0
    assert (home / "here/web/simple/foo/index.html").exists()
    assert not (home / "here/web/simple/bar").exists()


def test_a_mirror_of_lock_files_and_projects(home: Path, index: Index, server: IndexServer) -> None:
    for name in ("foo", "bar", "other"):
        index.release(name, "1.0")
        index.release(name, "2.0")
    (home / "requirements.txt").write_text("foo==1.0\n")

    done = init(server, "--requirements", "requirements.txt", "--project", "bar")

    assert done.code == 0, done.log
    assert "To download: 3 files of 2 projects" in done.out
    assert (home / "bandersnatch-projects.txt").read_text() == "bar\n"


def test_a_mirror_for_an_environment(home: Path, index: Index, server: IndexServer) -> None:
    index.upload("foo", "1.0", "foo-1.0-cp312-cp312-win_amd64.whl")
    index.upload("foo", "1.0", "foo-1.0-cp312-cp312-manylinux_2_17_x86_64.whl")

    flags = ["--project", "foo", "--environment", "python 3.12; linux x86_64 glibc 2.28"]
    done = init(server, *flags)

    assert done.code == 0, done.log
    assert "To download: 1 file of 1 project" in done.out
    assert load(home / "bandersnatch.conf").settings.filters.enabled[1] == "target_environments"


def test_a_full_mirror_costs_one_request(home: Path, server: IndexServer) -> None:
    server.statistics = b'{"total_packages_size": 30000000000000, "top_packages": {}}'

    done = init(server, "--full")

    assert done.code == 0, done.log
    assert "All files of the index: 30 TB." in done.out
    assert [each.path for each in server.asked] == ["/stats/"]
    assert load(home / "bandersnatch.conf").settings.filters.enabled == ()


@pytest.mark.parametrize("statistics", [None, b"", b"[]", b'{"total_packages_size": -1}', b"\xff"])
def test_an_index_that_does_not_state_its_size(
    home: Path, server: IndexServer, statistics: bytes | None
) -> None:
    server.statistics = statistics

    done = init(server, "--full")

    assert done.code == 0, done.log
    assert "does not state its size" in done.out
    assert (home / "bandersnatch.conf").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "nothing says what to mirror; add --project NAME, --requirements FILE or --full"),
        (["--full", "--project", "foo"], "leave out --project and --requirements"),
        (["--project", "foo bar"], "foo bar"),
        (["--requirements", "missing.txt"], "missing.txt cannot be read"),
        (["--requirements", "Pipfile.lock"], "the supported lock files are"),
        (["--project", "foo", "--environment", "windos"], "nothing was written"),
        (["--project", "foo", "--environment", "a\nb"], "--environment"),
        (["--project", "foo", "--directory", "~/x"], "--directory"),
        (["--project", "foo", "--master", "ftp://x"], "--master"),
        (["--project", "foo", "-c", "missing/x.conf"], "missing/x.conf cannot be written"),
    ],
)
def test_what_is_refused_writes_nothing(
    home: Path, server: IndexServer, flags: list[str], said: str
) -> None:
    (home / "Pipfile.lock").write_text("{}")

    done = init(server, *flags)

    assert done.code == 2
    assert said in done.log
    assert "Traceback" not in done.log
    assert [each.name for each in home.iterdir()] == ["Pipfile.lock"]
    assert server.asked == []


def test_a_lock_file_that_is_invalid_writes_nothing(home: Path, server: IndexServer) -> None:
    (home / "uv.lock").write_text("][")

    done = init(server, "--requirements", "uv.lock", "--project", "foo")

    assert done.code == 2
    assert "uv.lock is not TOML" in done.log
    assert [each.name for each in home.iterdir()] == ["uv.lock"]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_file_is_never_replaced(home: Path, server: IndexServer, kind: str) -> None:
    path = home / "mine.conf"
    if kind == "link":
        path.symlink_to("nowhere")
    else:
        path.write_text("precious")

    done = init(server, "-c", "mine.conf", "--project", "foo")

    assert done.code == 2
    assert "mine.conf exists, and init replaces no file; name another one by -c FILE" in done.log
    assert path.is_symlink() or path.read_text() == "precious"


def test_the_file_of_projects_is_not_replaced_either(home: Path, server: IndexServer) -> None:
    (home / "bandersnatch-projects.txt").write_text("precious")
    (home / "requirements.txt").write_text("foo\n")

    done = init(server, "--requirements", "requirements.txt", "--project", "foo")

    assert done.code == 2
    assert "bandersnatch-projects.txt cannot be written: File exists" in done.log
    assert not (home / "bandersnatch.conf").exists()


def test_an_index_that_cannot_be_reached(home: Path) -> None:
    done = run_command("init", "--full", "--master", "http://127.0.0.1:1")

    assert done.code == 3
    assert "what the mirror will cost could not be found out" in done.log
    assert (home / "bandersnatch.conf").exists()


@pytest.mark.skipif(os.name != "posix", reason="terminals of POSIX")
@pytest.mark.parametrize(
    ("answers", "code", "size"),
    [
        ("\nfoo\n\n", 0, "1 file of 1 project"),
        (
            "deep/mirror\nrequirements.txt\npython 3.12; linux x86_64 glibc 2.28\n",
            0,
            "1 file of 1 project",
        ),
        ("\x04", 2, "the input has ended; nothing was written"),
        ("\n\n\n", 2, "nothing says what to mirror"),
    ],
)
def test_on_a_terminal_it_asks(
    home: Path, index: Index, server: IndexServer, answers: str, code: int, size: str
) -> None:
    index.release("foo", "1.0")
    (home / "requirements.txt").write_text("foo\n")
    ours, theirs = pty.openpty()
    program = [sys.executable, "-m", "bandersnatch", "init", "--master", server.url]
    process = subprocess.Popen(program, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, answers.encode())
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(ours)

    assert process.wait(60) == code, shown
    assert size in shown.decode()
    assert "Directory of the mirror" in shown.decode()


texts = st.text(
    st.characters(min_codepoint=33, max_codepoint=0x2FFF, categories=("L", "N", "P", "S"))
)


@given(texts.map(lambda text: f"/{text}"))
def test_any_path_is_read_as_it_was_written(directory: str) -> None:
    text = render_draft(Draft(directory, projects=("foo",)))

    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "c.conf"
        path.write_text(text, encoding="utf-8")
        assert read_ini(path, {}).sections["mirror"]["directory"] == directory
