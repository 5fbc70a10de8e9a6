"""First runs and downloads, compared with curl, which neither checks files nor writes pages."""

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
"""Seconds by which each answer is late in the scenarios with a delay."""


class Comparison:
    """Runs of curl and of the program, by turns, that fetch the same from the same server.

    ``in_memory`` writes their trees to a file system in memory.
    """

    def __init__(self, rig: Rig, index: Index, name: str, *, in_memory: bool = False) -> None:
        self.name = name
        self._in_memory = in_memory
        self.trees: list[Path] = []
        self.last = Path()
        self._rig = rig
        self._index = index
        self._requests = 0
        self._costs: dict[str, list[Cost]] = {}

    def run(self, served: Served, *, flat: bool = False, more: int = 0) -> None:
        """Run both; ``flat`` adds curl into one directory, ``more`` curl with more connections."""
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
        self.trees.append(self._rig.fresh(name, in_memory=self._in_memory))
        return self.trees[-1]

    def ratio(self, of: str, quantity: str, aim: float | None, than: str = "curl") -> Figure:
        """Return the wall or CPU time of the program as a multiple of that of curl."""
        own, its = median(self._costs["mirror"], of), median(self._costs[than], of)
        note = f"{own:.2f} s, curl {its:.2f} s"
        return Figure(self.name, quantity, own / its, "x curl", aim, note=note)

    def other_figures(self) -> Iterator[Figure]:
        """Yield figures of the program that have no aim."""
        costs = self._costs["mirror"]
        note = f"{len(self._index.paths())} URLs to fetch"
        yield Figure(self.name, "requests", self._requests, "", note=note)
        yield Figure(self.name, "peak memory", median(costs, "memory") / 1e6, "MB")
        yield Figure(self.name, "written to files", median(costs, "written") / 1e6, "MB")


def first(rig: Rig) -> Iterator[Figure]:
    """Sync 5,000 projects for the first time, without delay."""
    sizes = rig.sizes
    index = rig.generate(Shape(sizes.projects, sizes.files, giants=sizes.giants))
    comparison = Comparison(rig, index, "first")
    with rig.serving(index) as served:
        comparison.run(served, flat=True)
    rig.keep(Mirrored(index, comparison.last))
    yield comparison.ratio("wall", "wall time", 4.0)
    yield comparison.ratio("cpu", "CPU time", 4.0)
    yield comparison.ratio("cpu", "CPU time against curl into one directory", None, "flat")
    yield from comparison.other_figures()


def in_memory(rig: Rig) -> Iterator[Figure]:
    """Do the same with the trees on a file system in memory, without the costs of a disk."""
    index = rig.few().index
    comparison = Comparison(rig, index, "first-memory", in_memory=True)
    with rig.serving(index) as served:
        comparison.run(served)
    yield comparison.ratio("wall", "wall time", 4.5)
    yield comparison.ratio("cpu", "CPU time", None)
    for tree in comparison.trees:
        shutil.rmtree(tree)


def delayed(rig: Rig) -> Iterator[Figure]:
    """Sync 1,000 projects for the first time, with each answer 30 ms late."""
    sizes = rig.sizes
    files = sizes.delayed * sizes.files // sizes.projects
    index = rig.generate(Shape(sizes.delayed, files))
    comparison = Comparison(rig, index, "delayed")
    with rig.serving(index, delay=DELAY) as served:
        comparison.run(served, more=CONNECTIONS + 10)
    yield comparison.ratio("wall", f"wall time, {sizes.delayed} projects", 1.3)
    yield comparison.ratio("wall", "wall time against curl with 26 connections", None, "more")


def tls(rig: Rig) -> Iterator[Figure]:
    """Sync 5,000 projects for the first time, over TLS, on a file system in memory."""
    sizes = rig.sizes
    index = rig.generate(Shape(sizes.projects, sizes.files, giants=sizes.giants))
    comparison = Comparison(rig, index, "tls", in_memory=True)
    with rig.serving(index, tls=True) as served:
        comparison.run(served)
    yield comparison.ratio("wall", "wall time", 4.5)
    yield comparison.ratio("cpu", "CPU time", None)
    for tree in comparison.trees:
        shutil.rmtree(tree)


def large(rig: Rig) -> Iterator[Figure]:
    """Sync a few large files."""
    sizes = rig.sizes
    projects = max(1, sizes.large // 4)
    size = sizes.large_size
    index = rig.generate(Shape(projects, 4 * projects, size, size, giants=(4,) * projects))
    comparison = Comparison(rig, index, "large")
    with rig.serving(index) as served:
        comparison.run(served)
    quantity = f"wall time, {sizes.large} files of {size // 1_000_000} MB"
    yield comparison.ratio("wall", quantity, 1.4)
    yield comparison.ratio("cpu", "CPU time", None)
    yield from comparison.other_figures()
    # Deleting a few hundred inodes does not slow down the creation of files afterwards.
    for tree in (index.directory, *comparison.trees):
        shutil.rmtree(tree)


def long(rig: Rig) -> Iterator[Figure]:
    """Sync one project with 5,000 files, with each answer 30 ms late."""
    count = rig.sizes.long
    index = rig.generate(Shape(1, count, 1_000, 10_000, giants=(count,)))
    comparison = Comparison(rig, index, "long")
    with rig.serving(index, delay=DELAY) as served:
        comparison.run(served)
    yield comparison.ratio("wall", f"wall time, one project with {count} files", 1.3)
    yield from comparison.other_figures()


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
    quantity = f"wall time of the last {part} pages of {count} compared with the first"
    note = f"{end:.1f} s against {begin:.1f} s; the aim allows 10 % of noise"
    yield Figure("pages", quantity, end / begin, "x", 1.1, note=note)
    yield Figure("pages", "CPU time per page", ran.cost.cpu / count * 1000, "ms", 1.0)
    yield Figure("pages", "wall time", ran.cost.wall, "s")
    yield Figure("pages", "peak memory", ran.cost.memory / 1e6, "MB", 400)
