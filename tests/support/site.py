"""A mirror under test: its configuration, its runs from the command line, and its tree."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from textwrap import dedent
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit

from pypi_simple.html import RepositoryPage

from bandersnatch.cli.main import main
from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.server import IndexServer


@dataclass(frozen=True)
class Ran:
    """The result of a command."""

    code: int
    out: str
    log: str
    report: dict[str, Any]

    @property
    def synced(self) -> list[str]:
        """The synced projects, sorted by name."""
        return sorted(self.report["projects"]["synced"])

    @property
    def failed(self) -> dict[str, str]:
        """The failed projects, with the class of the error."""
        return {each["name"]: each["error"] for each in self.report["projects"]["failed"]}

    @property
    def stopped(self) -> list[str]:
        """The classes of the errors that stopped parts of the run."""
        return [each["error"] for each in self.report["halted"]]

    def errors(self) -> list[str]:
        """Return the ERROR lines of the log."""
        return [line for line in self.log.splitlines() if " ERROR: " in line]


class Site:
    """A directory with a configuration and a mirror."""

    def __init__(self, home: Path, server: IndexServer, **options: object) -> None:
        self.home = home
        self.server = server
        self.clock = FakeClock()
        self.root = home / "mirror"
        self.options: dict[str, object] = {
            "directory": self.root,
            "master": server.url,
            "allow-non-https": True,
            "timeout": 2,
        }
        self.allowlist: list[str] | None = None
        self.filters = ""
        self.configure(**options)

    def configure(self, **options: object) -> None:
        """Change options; underscores stand for dashes, except in names that have them."""
        for key, value in options.items():
            with_underscores = key in {"root_uri", "digest_name", "keep_index_versions"}
            self.options[key if with_underscores else key.replace("_", "-")] = value
        lines = ["[mirror]", *(f"{key} = {value}" for key, value in self.options.items())]
        if self.allowlist is not None:
            lines += ["[plugins]", "enabled = allowlist_project", "[allowlist]", "packages ="]
            lines += [f"    {name}" for name in self.allowlist]
        lines += self.filters.splitlines()
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.config.chmod(0o600)

    def allow(self, *names: str) -> None:
        """Mirror only these projects."""
        self.allowlist = list(names)
        self.configure()

    def filter(self, text: str) -> None:
        """Set the sections of filters."""
        self.allowlist, self.filters = None, dedent(text)
        self.configure()

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.home / "bandersnatch.conf"

    @property
    def web(self) -> Path:
        """The directory that a web server serves."""
        return self.root / "web"

    # ------------------------------------------------------------ running

    def mirror(self, *flags: str) -> Ran:
        """Run ``bandersnatch mirror``."""
        return self.run("mirror", *flags)

    def sync(self, *arguments: str) -> Ran:
        """Run ``bandersnatch sync``."""
        return self.run("sync", *arguments)

    def run(self, command: str, *arguments: str) -> Ran:
        """Run a command in this process with a fake clock, and return its result."""
        report = self.home / "report.json"
        report.unlink(missing_ok=True)
        ran = self.ask(command, "--report", str(report), *arguments)
        told = json.loads(report.read_text()) if report.exists() else {}
        return replace(ran, report=told)

    def ask(self, *arguments: str) -> Ran:
        """Run a command that writes no report, and return its result."""
        out, err = StringIO(), StringIO()
        umask = os.umask(0o022)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                code = main(["-c", str(self.config), *arguments], clock=self.clock)
        finally:
            os.umask(umask)
            logging.getLogger("bandersnatch").handlers.clear()
        return Ran(code, out.getvalue(), err.getvalue(), {})

    # ------------------------------------------------------------ the tree

    def text(self, path: str) -> str:
        """Return the text of a file below the mirror."""
        return (self.root / path).read_text(encoding="utf-8")

    def page(self, name: str) -> dict[str, Any]:
        """Return a project's JSON page."""
        page: dict[str, Any] = json.loads(self.text(f"web/simple/{name}/index.v1_json"))
        return page

    def filenames(self, name: str) -> list[str]:
        """Return the files that a project's JSON page lists."""
        return [file["filename"] for file in self.page(name)["files"]]

    def names(self) -> list[str]:
        """Return the projects that the root page lists."""
        page = json.loads(self.text("web/simple/index.v1_json"))
        return [project["name"] for project in page["projects"]]

    @property
    def status(self) -> int:
        """The serial in ``status``, 0 if it does not exist."""
        path = self.root / "status"
        return int(path.read_text()) if path.exists() else 0

    def todo(self) -> list[str]:
        """Return the lines of ``todo``, none if it does not exist."""
        path = self.root / "todo"
        return path.read_text().splitlines() if path.exists() else []

    def tree(self) -> dict[str, bytes]:
        """Return the content of what is served by path, without ``last-modified`` and the mark."""
        return {
            str(path.relative_to(self.web)): path.read_bytes()
            for path in sorted(self.web.rglob("*"))
            if path.is_file() and path.name not in {"last-modified", ".mirror"}
        }

    def times(self) -> Mapping[str, tuple[int, int]]:
        """Return inode and modification time of everything that is served, by path."""
        return {
            str(path.relative_to(self.web)): (path.stat().st_ino, path.stat().st_mtime_ns)
            for path in sorted(self.web.rglob("*"))
            if path.is_file() and path.name not in {"last-modified", ".mirror"}
        }

    def leftovers(self) -> list[str]:
        """Return the files in the directory of partial downloads."""
        return sorted(path.name for path in (self.root / ".partial").iterdir())

    def check(self) -> None:
        """Assert that every page is valid (``check_tree``)."""
        check_tree(self.web)


def check_tree(web: Path) -> int:
    """Assert that all files that pages name exist and are valid; return their number.

    It imports nothing of the program: it parses pages as pip does and hashes files.
    """
    count = 0
    pages = sorted(web.glob("simple/**/index.html"))
    names = {page.parent.name for page in pages}
    for page in pages:
        base = _base(page, web)
        for link in RepositoryPage.from_html(page.read_bytes(), base).links:
            parts = urlsplit(link.url)
            if parts.path.endswith("/"):
                name = parts.path.rstrip("/").rpartition("/")[2]
                there = name in names or list(web.glob(f"simple/**/{name}/index.html"))
                assert there, f"{name} has no page"
                continue
            _check_file(web, link.url)
            metadata = link.attrs.get("data-core-metadata")
            if metadata:
                _check_file(web, f"{parts._replace(fragment='').geturl()}.metadata#{metadata}")
            count += 1
    for page in sorted(web.glob("simple/**/index.v1_json")):
        base = _base(page, web)
        for file in json.loads(page.read_text()).get("files", ()):
            url = urljoin(base, file["url"])
            path = _check_file(web, f"{url}#sha256={file['hashes']['sha256']}")
            assert path.stat().st_size == file.get("size", path.stat().st_size)
            metadata = file.get("core-metadata")
            if metadata:
                _check_file(web, f"{url}.metadata#sha256={metadata['sha256']}")
            count += 1
    return count


def _base(page: Path, web: Path) -> str:
    """Return the URL of a page as clients see it, with ``hash-index`` too."""
    name = "" if page.parent == web / "simple" else f"{page.parent.name}/"
    return f"https://mirror.example.org/simple/{name}"


def _check_file(web: Path, url: str) -> Path:
    parts = urlsplit(url)
    path = web / unquote(parts.path).lstrip("/").removeprefix("simple/../../")
    algorithm, _, expected = parts.fragment.partition("=")
    assert path.is_file(), f"{path} is linked and not there"
    assert hashlib.new(algorithm, path.read_bytes()).hexdigest() == expected, f"{path} is wrong"
    return path
