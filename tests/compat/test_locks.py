"""pip, uv, Poetry and PDM install what they have locked, and what they locked at another index."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct

from tests.support.programs import require_program
from tests.support.serving import serve_process
from tests.support.wheels import wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.index import Index
    from tests.support.site import Site

PROJECT = """
[project]
name = "app"
version = "1"
requires-python = ">=3.11"
dependencies = ["ham"]
"""
POETRY = """
[tool.poetry]
package-mode = false
[[tool.poetry.source]]
name = "mirror"
url = "{url}"
priority = "primary"
"""
PDM = """
[tool.pdm]
distribution = false
"""
pytestmark = pytest.mark.timeout(900)  # Poetry and PDM take seconds to start
NO_PROXY_ANSWERS = "http://127.0.0.1:9"


class Servers(Struct):
    """The addresses of two servers of one tree; the lock files are made at the first."""

    first: str
    second: str


@pytest.fixture
def servers(index: Index, site: Site) -> Iterator[Servers]:
    """Mirror two projects, the first of which needs the second, and serve them twice."""
    for name, version, requires in (
        ("ham", "1.0", ["spam>=1"]),
        ("spam", "1.0", []),
        ("spam", "2.0", []),
    ):
        content, metadata = wheel(name, version, *requires)
        filename = f"{name}-{version}-py3-none-any.whl"
        index.upload(name, version, filename, content=content, metadata=metadata)
    assert site.mirror().code == 0
    with ExitStack() as stack:
        first, second = (stack.enter_context(serve_process(site.config)) for _ in "12")
        yield Servers(f"{first}/simple/", f"{second}/simple/")


class Workplace:
    """A directory with a project, an environment, and no network but 127.0.0.1."""

    def __init__(self, home: Path) -> None:
        self.project = home / "app"
        self.project.mkdir()
        self.environment = self.project / ".venv"
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "http_proxy": NO_PROXY_ANSWERS,
            "https_proxy": NO_PROXY_ANSWERS,
            "no_proxy": "127.0.0.1",
            "PDM_CHECK_UPDATE": "0",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_CACHE_DIR": "1",
            "POETRY_CACHE_DIR": str(home / "cache"),
            "POETRY_NO_INTERACTION": "1",
            "POETRY_VIRTUALENVS_IN_PROJECT": "1",
            "UV_NO_CACHE": "1",
            "UV_NO_CONFIG": "1",
            "UV_PYTHON": sys.executable,
        }

    def run(self, *command: str, right: bool = True, **environ: str) -> str:
        """Run a program in the project, and return what it writes.

        ``right`` tells whether it must end with 0 or must not.
        """
        ran = subprocess.run(
            command,
            cwd=self.project,
            env=self._environ | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        assert (ran.returncode == 0) == right, ran.stdout
        return ran.stdout

    def empty_environment(self) -> None:
        """Make an environment without packages."""
        shutil.rmtree(self.environment, ignore_errors=True)
        self.run("uv", "venv", "--quiet", str(self.environment))

    @property
    def installed(self) -> set[str]:
        """The packages in the environment, without those of the environment itself."""
        found = self.environment.glob("lib/python*/site-packages/*.dist-info")
        return {each.name.removesuffix(".dist-info") for each in found} & {"ham-1.0", "spam-2.0"}

    def write_project(self, text: str) -> None:
        (self.project / "pyproject.toml").write_text(PROJECT + text)

    def spoil(self, lock: str) -> None:
        """Replace the hashes of a lock file by others."""
        path = self.project / lock
        text, count = re.subn("sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, path.read_text())
        assert count >= 2, text
        path.write_text(text)


@pytest.fixture
def work(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def program(name: str) -> str:
    """Return the path of a program, or skip the test."""
    return require_program(name, "`tox -e clients` installs it")


BOTH = {"ham-1.0", "spam-2.0"}


def test_pip_with_a_requirement_file_that_has_hashes(servers: Servers, work: Workplace) -> None:
    """Such a file names no index, and so is right for any that has the same files."""
    (work.project / "requirements.in").write_text("ham\n")
    options = ["--quiet", "--generate-hashes", "--default-index", servers.first]
    work.run("uv", "pip", "compile", *options, "requirements.in", "-o", "requirements.txt")
    assert servers.first not in (work.project / "requirements.txt").read_text().partition("\n\n")[2]
    pip = [sys.executable, "-m", "pip", "--python", str(work.environment), "install"]
    install = [*pip, "--require-hashes", "--index-url", servers.second, "-r", "requirements.txt"]

    work.empty_environment()
    work.run(*install)
    assert work.installed == BOTH

    work.empty_environment()
    work.spoil("requirements.txt")
    assert "DO NOT MATCH" in work.run(*install, right=False)
    assert work.installed == set()


def test_uv(servers: Servers, work: Workplace) -> None:
    """Its lock file has the URLs of the files; ``uv lock`` replaces them and keeps the versions."""
    work.write_project("")
    work.run("uv", "lock", "--default-index", servers.first)
    work.run("uv", "sync", "--locked", "--default-index", servers.first)
    assert work.installed == BOTH

    work.run("uv", "sync", "--locked", "--default-index", servers.second, right=False)
    work.run("uv", "lock", "--default-index", servers.second)
    lock = (work.project / "uv.lock").read_text()
    assert servers.first not in lock
    assert lock.count(servers.second.removesuffix("simple/")) == 4
    work.empty_environment()
    work.run("uv", "sync", "--locked", "--default-index", servers.second)
    assert work.installed == BOTH

    work.spoil("uv.lock")
    work.empty_environment()
    failed = work.run("uv", "sync", "--frozen", "--default-index", servers.second, right=False)
    assert "Hash mismatch" in failed


def test_uv_installs_its_locked_hashes_from_another_index(
    servers: Servers, work: Workplace
) -> None:
    """Exported, the lock file is a requirement file with hashes."""
    work.write_project("")
    work.run("uv", "lock", "--default-index", servers.first)
    work.run("uv", "export", "--frozen", "--no-emit-project", "-o", "requirements.txt")
    work.empty_environment()

    install = ["uv", "pip", "install", "--python", str(work.environment), "--require-hashes"]
    work.run(*install, "--default-index", servers.second, "-r", "requirements.txt")

    assert work.installed == BOTH


def test_poetry(servers: Servers, work: Workplace) -> None:
    """Its lock file names the source; ``poetry lock`` replaces it and keeps the versions."""
    poetry = program("poetry")
    work.write_project(POETRY.format(url=servers.first))
    work.run(poetry, "lock")
    work.run(poetry, "install")
    assert work.installed == BOTH

    work.write_project(POETRY.format(url=servers.second))
    work.run(poetry, "lock")
    lock = (work.project / "poetry.lock").read_text()
    assert servers.first.rstrip("/") not in lock
    shutil.rmtree(work.environment)
    work.run(poetry, "install")
    assert work.installed == BOTH

    work.spoil("poetry.lock")
    shutil.rmtree(work.environment)
    work.run(poetry, "install", right=False)
    assert work.installed == set()


def test_pdm(servers: Servers, work: Workplace) -> None:
    """Its lock file has names and hashes alone, and is right for any index with these files."""
    pdm = program("pdm")
    work.write_project(PDM)
    work.empty_environment()
    work.run(pdm, "use", str(work.environment / "bin" / "python"))
    work.run(pdm, "lock", PDM_PYPI_URL=servers.first)
    work.run(pdm, "sync", PDM_PYPI_URL=servers.second)
    assert work.installed == BOTH

    work.spoil("pdm.lock")
    work.empty_environment()
    work.run(pdm, "sync", right=False, PDM_PYPI_URL=servers.second)
    assert work.installed == set()
