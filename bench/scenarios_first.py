"""First runs, and what is downloaded: against curl, which neither checks nor writes a page."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from check import check_complete
from figures import Figure
from generate import Shape
from measure import Cost, median
from rig import CONNECTIONS, Mirrored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from generate import Index
    from rig import Rig
    from serve import Served

DELAY = 0.03
"""Seconds that every answer waits for where there is a delay."""


class Contest:
    """Runs of curl and of the program that fetch the same from the same server, in turn."""

    def __init__(self, rig: Rig, index: Index, name: str) -> None:
        self.name = name
        self.trees: list[Path] = []
        self.last = Path()
        self._rig = rig
        self._index = index
        self._requests = 0
        self._costs: dict[str, list[Cost]] = {}

    def run(self, served: Served, *, flat: bool = False, more: int = 0) -> None:
        """Run it; with ``flat`` curl writes into one directory too, ``more`` are connections."""
        runs = {"curl": lambda: self._curl(served), "mirror": lambda: self._mirror(served)}
        if flat:
            runs["flat"] = lambda: self._curl(served, flat=True)
        if more:
            runs["more"] = lambda: self._curl(served, connections=more)
        self._costs = self._rig.rounds(runs)

    def _curl(self, served: Served, *, flat: bool = False, connections: int = CONNECTIONS) -> Cost:
        target, paths = self._tree("curl"), self._index.paths()
        return self._rig.curl(served, paths, target, flat=flat, connections=connections)

    def _mirror(self, served: Served) -> Cost:
        self.last = tree = self._tree("mirror")
        ran = self._rig.mirror(served, tree)
        check_complete(tree, self._index)
        self._requests = len(ran.requests)
        return ran.cost

    def _tree(self, name: str) -> Path:
        self.trees.append(self._rig.fresh(name))
        return self.trees[-1]

    def ratio(self, of: str, what: str, aim: float | None, than: str = "curl") -> Figure:
        """Return how many times of curl's wall or CPU time the program took."""
        own, its = median(self._costs["mirror"], of), median(self._costs[than], of)
        note = f"{own:.2f} s against {its:.2f} s"
        return Figure(self.name, what, own / its, "x curl", aim, note=note)

    def besides(self) -> Iterator[Figure]:
        """Return what is told of the program and has no aim."""
        costs = self._costs["mirror"]
        note = f"{len(self._index.paths())} things to fetch"
        yield Figure(self.name, "requests", self._requests, "", note=note)
        yield Figure(self.name, "peak memory", median(costs, "memory") / 1e6, "MB")
        yield Figure(self.name, "written to files", median(costs, "written") / 1e6, "MB")


def first(rig: Rig) -> Iterator[Figure]:
    """Sync some thousand projects for the first time, without delay."""
    sizes = rig.sizes
    index = rig.generate(Shape(sizes.projects, sizes.files, giants=sizes.giants))
    contest = Contest(rig, index, "first")
    with rig.serving(index) as served:
        contest.run(served, flat=True)
    rig.keep(Mirrored(index, contest.last))
    yield contest.ratio("wall", "wall time", 4.0)
    yield contest.ratio("cpu", "CPU time", 4.0)
    yield contest.ratio("cpu", "CPU time against curl into one directory", None, "flat")
    yield from contest.besides()


def delayed(rig: Rig) -> Iterator[Figure]:
    """Sync fewer projects for the first time, every answer 30 ms late."""
    sizes = rig.sizes
    files = sizes.delayed * sizes.files // sizes.projects
    index = rig.generate(Shape(sizes.delayed, files))
    contest = Contest(rig, index, "delayed")
    with rig.serving(index, delay=DELAY) as served:
        contest.run(served, more=CONNECTIONS + 10)
    yield contest.ratio("wall", f"wall time, {sizes.delayed} projects", 1.3)
    yield contest.ratio("wall", "wall time against curl with 26 connections", None, "more")


def tls(rig: Rig) -> Iterator[Figure]:
    """Sync some thousand projects for the first time, over TLS."""
    sizes = rig.sizes
    index = rig.generate(Shape(sizes.projects, sizes.files, giants=sizes.giants))
    contest = Contest(rig, index, "tls")
    with rig.serving(index, tls=True) as served:
        contest.run(served)
    yield contest.ratio("wall", "wall time", 3.0)
    yield contest.ratio("cpu", "CPU time", None)


def large(rig: Rig) -> Iterator[Figure]:
    """Sync a few large files."""
    sizes = rig.sizes
    projects = max(1, sizes.large // 4)
    size = sizes.large_size
    index = rig.generate(Shape(projects, 4 * projects, size, size, giants=(4,) * projects))
    contest = Contest(rig, index, "large")
    with rig.serving(index) as served:
        contest.run(served)
    what = f"wall time, {sizes.large} files of {size // 1_000_000} MB"
    yield contest.ratio("wall", what, 1.6)
    yield contest.ratio("cpu", "CPU time", None)
    yield from contest.besides()
    # A few hundred inodes: nobody who creates files afterwards has to look past many of them.
    for tree in (index.directory, *contest.trees):
        shutil.rmtree(tree)


def long(rig: Rig) -> Iterator[Figure]:
    """Sync one project with thousands of files, every answer 30 ms late."""
    count = rig.sizes.long
    index = rig.generate(Shape(1, count, 1_000, 10_000, giants=(count,)))
    contest = Contest(rig, index, "long")
    with rig.serving(index, delay=DELAY) as served:
        contest.run(served)
    yield contest.ratio("wall", f"wall time, one project with {count} files", 1.3)
    yield from contest.besides()


def pages(rig: Rig) -> Iterator[Figure]:
    """Sync pages without files for the first time."""
    count, part = rig.sizes.pages, rig.sizes.pages // rig.sizes.parts
    index = rig.listed(count)
    tree = rig.fresh("mirror")
    with rig.serving(index) as served:
        ran = rig.mirror(served, tree)
    check_complete(tree, index)
    times = [each.at for each in ran.requests if each.path.count("/") == 3]
    begin, end = times[part] - times[0], times[-1] - times[-1 - part]
    what = f"wall time of the last {part} pages of {count} against the first"
    note = f"{end:.1f} s against {begin:.1f} s; a tenth is for noise"
    yield Figure("pages", what, end / begin, "x", 1.1, note=note)
    yield Figure("pages", "CPU time of a page", ran.cost.cpu / count * 1000, "ms", 1.0)
    yield Figure("pages", "wall time", ran.cost.wall, "s")
    yield Figure("pages", "peak memory", ran.cost.memory / 1e6, "MB", 400)
