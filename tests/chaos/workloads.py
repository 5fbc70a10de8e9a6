"""Commands to interrupt: a mirror, later changes of its index, and the command to run.

A workload is prepared once. Each trial starts with a copy, and is compared with the state before
and with the result of a run without a fault. A new command needs one more workload.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.support.clock import FakeClock
from tests.support.disks import files
from tests.support.site import Ran, Site, check_tree
from tests.support.system_calls import watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.system_calls import Call, Watched


@dataclass(frozen=True)
class Workload:
    """How to prepare a mirror for a command, and the options."""

    name: str
    prepare: Callable[[Index, Site], None]
    command: tuple[str, ...] = ("mirror",)
    keeps_versions: bool = False
    is_damaged: bool = False

    def __str__(self) -> str:
        return self.name


def fill(index: Index) -> None:
    """Publish a few projects of different kinds."""
    index.release("Alpha", "1.0", sdist=True)
    index.release("beta", "1.0", size=200_000)
    index.release("beta", "2.0")
    index.release("Gamma.x", "1.0", requires_python=">=3.9")


def nothing_yet(index: Index, _: Site) -> None:
    """Create an index without a mirror of it."""
    fill(index)


def news(index: Index, site: Site) -> None:
    """Add projects, releases and yanks after a run."""
    site.configure(json=True)
    fill(index)
    assert site.mirror().code == 0
    index.release("Alpha", "2.0", size=1_500_000)
    index.yank("beta", "1.0", "broken")
    index.release("delta", "1.0", metadata=False)


def losses(index: Index, site: Site) -> None:
    """Remove files and projects after a run."""
    site.configure(json=True)
    fill(index)
    index.release("delta", "1.0")
    assert site.mirror().code == 0
    index.remove_file("Alpha", "alpha-1.0.tar.gz")
    index.remove_project("beta")
    index.quarantine("Gamma.x")


def leftovers_of_losses(index: Index, site: Site) -> None:
    """Let the grace time end for removed files, and restore some of them on the index."""
    losses(index, site)
    assert site.mirror().code == 0
    site.configure(removal_grace="0 s")
    index.clear_quarantine("Gamma.x")


def no_catalogue(index: Index, site: Site) -> None:
    """Delete the catalogue, and change something on the index."""
    news(index, site)
    (site.root / "catalogue.sqlite").unlink()


def other_filters(index: Index, site: Site) -> None:
    """Make the filters exclude some of the projects."""
    fill(index)
    index.release("delta", "1.0")
    assert site.mirror().code == 0
    site.filter(
        """
        [plugins]
        enabled = blocklist_project
            latest_release
        [blocklist]
        packages = gamma-x
        [latest_release]
        keep = 1
        """
    )


def earlier_pages(index: Index, site: Site) -> None:
    """Create earlier versions of pages."""
    site.configure(keep_index_versions=2)
    fill(index)
    assert site.mirror().code == 0
    site.clock.advance(minutes=1)
    index.release("beta", "3.0")
    assert site.mirror().code == 0
    site.clock.advance(minutes=1)
    index.release("Alpha", "2.0")
    index.release("beta", "4.0")


def damage(index: Index, site: Site) -> None:
    """Remove, truncate or change files, core metadata, pages and documents."""
    site.configure(json=True)
    fill(index)
    assert site.mirror().code == 0
    harmed = [
        min(site.web.glob("packages/**/alpha-*.whl")),
        min(site.web.glob("packages/**/beta-1.0*.metadata")),
        site.web / "simple/beta/index.html",
        site.web / "simple/index.v1_json",
        site.web / "json/gamma-x",
    ]
    for path in harmed[::2]:
        path.write_bytes(path.read_bytes()[:-2])
    for path in harmed[1::2]:
        path.unlink()


FIRST = Workload("first", nothing_yet)
UPDATE = Workload("update", news)
REMOVAL = Workload("removal", losses)
EXPIRY = Workload("expiry", leftovers_of_losses)
REBUILD = Workload("rebuild", no_catalogue)
FILTERS = Workload("filters", other_filters)
SYNC = Workload("sync", news, ("sync", "alpha", "delta"))
VERSIONS = Workload("versions", earlier_pages, keeps_versions=True)

VERIFY = Workload("verify", damage, ("verify",), is_damaged=True)

PUT_ASIDE = "catalogue.sqlite.unusable"
"""A damaged catalogue that was renamed; the operator deletes it."""

WORKLOADS = (FIRST, UPDATE, REMOVAL, EXPIRY, REBUILD, FILTERS, SYNC, VERSIONS, VERIFY)


@dataclass(frozen=True)
class Shown:
    """The served tree, the state, and the other files of a mirror."""

    pages: dict[str, bytes]
    packages: dict[str, bytes]
    removed: dict[str, bytes]
    status: str
    beside: frozenset[str]

    @property
    def tree(self) -> dict[str, bytes]:
        """Everything that is served except ``last-modified``."""
        return {**self.pages, **self.packages}


class Trials:
    """A prepared workload, of which any number of copies can be run."""

    def __init__(self, home: Path, server: IndexServer, workload: Workload) -> None:
        self._home = home
        self._server = server
        self._count = 0
        self.workload = workload
        self._prepared = self._site("prepared")
        workload.prepare(server.index, self._prepared)
        self._prepared.root.mkdir(exist_ok=True)
        self.before = self.shown(self._prepared)
        clean = self.copy()
        self.must_succeed(self.finish(clean))
        self.after = self.shown(clean)

    def _site(self, name: str) -> Site:
        home = self._home / name
        home.mkdir()
        site = Site(home, self._server)
        # A process uses the machine's clock, so the fake clock continues from there.
        site.clock = FakeClock(datetime.now(UTC))
        return site

    def copy(self, root: Path | None = None) -> Site:
        """Return a copy of the prepared mirror."""
        self._count += 1
        site = self._site(f"copy{self._count}")
        site.root = root if root is not None else site.root
        site.options = {**self._prepared.options, "directory": site.root}
        site.allowlist, site.filters = self._prepared.allowlist, self._prepared.filters
        site.configure()
        shutil.copytree(self._prepared.root, site.root, symlinks=True, dirs_exist_ok=True)
        site.clock.passed = max(self._prepared.clock.passed, site.clock.passed) + 60
        return site

    def command(self, site: Site) -> list[str]:
        """Return the command line."""
        program = [sys.executable, "-m", "bandersnatch", "-c", str(site.config), "--quiet"]
        return [*program, *self.workload.command]

    def finish(self, site: Site) -> Ran:
        """Run the command in this process."""
        return site.run(*self.workload.command)

    def watch(
        self,
        site: Site,
        decide: Callable[[Call], int | None] = lambda _: None,
        *,
        reading: bool = False,
    ) -> Watched:
        """Run the command as a separate process; see ``system_calls.watch``."""
        return watch(self.command(site), site.root, decide, reading=reading)

    def calls(self, *, reading: bool = False) -> list[Call]:
        """Return the system calls of the command without a fault."""
        whole = self.copy()
        watched = self.watch(whole, reading=reading)
        assert (watched.code, watched.log) == (0, "")
        assert self.shown(whole) == self.after
        return watched.calls

    @staticmethod
    def must_succeed(ran: Ran) -> None:
        """Assert that a run succeeded without warnings or errors."""
        assert (ran.code, ran.errors()) == (0, []), ran.log

    def shown(self, site: Site) -> Shown:
        """Return the state of a mirror."""
        web = site.tree() if site.web.is_dir() else {}
        versions = "/versions/" if self.workload.keeps_versions else None
        web = {key: text for key, text in web.items() if not (versions and versions in key)}
        status = site.root / "status"
        return Shown(
            pages={k: text for k, text in web.items() if not k.startswith("packages/")},
            packages={k: text for k, text in web.items() if k.startswith("packages/")},
            removed=_without_temporary(files(site.root / "removed")),
            status=status.read_text() if status.exists() else "",
            beside=frozenset(path.name for path in site.root.iterdir()) - {PUT_ASIDE},
        )

    # ------------------------------------------------------------ assertions

    def check_in_between(self, site: Site, log: str = "") -> None:
        """Assert the rules that hold at any moment.

        If the storage failed at some projects only, according to ``log``, the root page is a new
        one. Then each of its entries must be one of the page before, or of that after a run
        without a fault, and ``status`` must not claim the last event.
        """
        now = self.shown(site)
        is_partial = " failed: storage failed at" in log
        if not self.workload.is_damaged:
            check_tree(site.web)
            _check_root(now.pages)
        if is_partial:
            entries = [*_root_entries(self.before.tree), *_root_entries(self.after.tree)]
            assert [each for each in _root_entries(now.tree) if each not in entries] == []
        for key, text in now.tree.items():
            if is_partial and key.startswith("simple/index."):
                continue
            ours = (self.before.tree.get(key), self.after.tree.get(key))
            assert text in ours, f"{key} is neither what it was nor what it is to be"
        for key in self.before.tree.keys() & self.after.tree.keys():
            assert key in now.tree, f"{key} is away"
        if is_partial:  # something is pending, so status is before the last event
            before, current, after = (
                int(each.status or 0) for each in (self.before, now, self.after)
            )
            assert before <= current < after
            return
        assert now.status in {self.before.status, self.after.status}
        if now.status != self.before.status:
            assert now.tree == self.after.tree, "status covers changes that the tree lacks"

    def check_healed(self, site: Site) -> None:
        """Assert that one more run gives the tree of a clean mirror, and a next changes nothing."""
        self.must_succeed(self.finish(site))
        now = self.shown(site)
        _assert_same(now.tree, self.after.tree)
        _assert_same(now.removed, self.after.removed)
        assert (now.status, now.beside) == (self.after.status, self.after.beside)
        assert site.leftovers() == []
        times = site.times()
        self.must_succeed(self.finish(site))
        assert site.times() == times


def _without_temporary(found: dict[str, bytes]) -> dict[str, bytes]:
    """Leave out what is in the directory of temporary files of another file system."""
    return {path: content for path, content in found.items() if not path.startswith(".partial/")}


def _root_entries(pages: dict[str, bytes]) -> list[dict[str, Any]]:
    """Return the projects on the root page."""
    root: dict[str, Any] = json.loads(pages.get("simple/index.v1_json", b'{"projects": []}'))
    entries: list[dict[str, Any]] = root["projects"]
    return entries


def _check_root(pages: dict[str, bytes]) -> None:
    """Assert that the root page names only projects that have a page."""
    for project in _root_entries(pages):
        assert f"simple/{project['name']}/index.v1_json" in pages, f"{project} has no page"


def _assert_same(ours: dict[str, bytes], clean: dict[str, bytes]) -> None:
    assert ours.keys() == clean.keys()
    assert [key for key in ours if ours[key] != clean[key]] == []
