"""Recorded work was made durable first, checked by the order of system calls."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from bandersnatch.catalogue.records import Marker, RootMarker
from tests.chaos.workloads import FIRST, REMOVAL, UPDATE, Trials

if TYPE_CHECKING:
    from pathlib import Path

    from tests.chaos.workloads import Workload
    from tests.support.server import IndexServer
    from tests.support.site import Site
    from tests.support.system_calls import Call

STATE = {"status", "todo", "generation"}
JOURNAL = "catalogue.sqlite-journal"
ROOT_PAGE = "web/simple/index.v1_json"


class Disk:
    """The files that a power cut could damage, computed from the system calls so far."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._flushed: set[str] = set()
        self._contents: set[str] = set()
        self._names: set[str] = set()
        self._done: set[str] = set()
        self._committed = False
        self.vouched = 0

    @property
    def volatile(self) -> set[str]:
        """The files that would be missing or incomplete."""
        return self._contents | self._names

    def decide(self, call: Call) -> None:
        """Record a call before it is made."""
        path = call.paths[0]
        if self._committed and path != JOURNAL:
            self._committed = False
            self._check_rows()
        if call.name in {"write", "open"}:
            self._flushed.discard(path)
        elif call.name == "fsync":
            self._flushed.add(path)
            self._names = {each for each in self._names if parent(each) != path}
        elif call.name == "syncfs":
            self._names, self._contents = set(), set()
        elif call.name == "rename":
            self._renamed(*call.paths)
        elif call.name == "unlink":
            assert path != "todo" or "status" in self._done, "nothing tells how far it was"
            self._committed = path == JOURNAL
            self._names |= {path} & STATE

    def _renamed(self, source: str, target: str) -> None:
        self._done.add(target)
        if target in STATE:
            assert source in self._flushed, f"{target} has no content that lasts"
            assert self.volatile == set(), f"{target} is there before them"
        self._names.add(target)
        if parent(source) != ".partial":
            self._names.add(source)
        elif source not in self._flushed:
            self._contents.add(target)

    def _check_rows(self) -> None:
        """Assert that everything that the catalogue has would survive."""
        copy = self._site.home / "copy.sqlite"
        shutil.copy(self._site.root / "catalogue.sqlite", copy)
        with closing(sqlite3.connect(copy)) as catalogue:
            files = [f"web/{path}" for (path,) in catalogue.execute("SELECT path FROM file")]
            names = [name for (name,) in catalogue.execute("SELECT name FROM project")]
            removed = [key for (key,) in catalogue.execute("SELECT key FROM trash")]
            notes = dict(catalogue.execute("SELECT key, text FROM marker"))
        pages = [f"web/simple/{name}/index.v1_json" for name in names]
        pages += [ROOT_PAGE] if notes.get(Marker.ROOT) == RootMarker.WRITTEN else []
        self.vouched = len(files) + len(pages) + len(removed)
        assert self.volatile & {*files, *pages, *removed} == set()

    def check_at_the_end(self) -> None:
        """Assert that a power cut after the end would damage nothing."""
        assert self.volatile == set()
        assert self.vouched > 5


def parent(path: str) -> str:
    """Return the directory of a file, "" for the root."""
    return path.rpartition("/")[0]


@pytest.mark.parametrize("workload", [FIRST, UPDATE, REMOVAL], ids=str)
def test_nothing_is_recorded_before_it_is_durable(
    tmp_path: Path, server: IndexServer, workload: Workload
) -> None:
    trials = Trials(tmp_path, server, workload)
    site = trials.copy()
    disk = Disk(site)

    watched = trials.watch(site, disk.decide)

    assert watched.code == 0, watched.log
    disk.check_at_the_end()
