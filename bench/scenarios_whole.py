"""The whole index, simulated from a first run on, and what the real one would take."""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import TYPE_CHECKING

from check import check_complete
from database import database
from figures import Figure
from forecast import Rates, WholeIndex, forecast, inputs
from generate import Shape, change
from measure import measure, median
from rig import CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from database import Server
    from generate import Index
    from measure import Cost
    from rig import Ran, Rig

_ALWAYS = "reconcile-interval = 1 s"
"""Makes each run compare the whole list if it begins that long after the last one."""

_CHECKED = 10
"""One of so many pages is read after the first run."""

_NIGHTS = 2
"""Runs of ``verify``: the second continues the first."""

_PIECE = 1_000_000
_PIECES = 300


def whole(rig: Rig) -> Iterator[Figure]:
    """Simulate the whole index: a first run, a day of changes, a comparison, two nights."""
    yield from _Simulation(rig, "whole").run(unchanged=(0.5, 80))


def whole_postgres(rig: Rig) -> Iterator[Figure]:
    """Simulate the same with the catalogue in PostgreSQL."""
    with database() as server:
        yield from _Simulation(rig, "whole-postgres", server).run(unchanged=(1.0, 100))


class _Simulation:
    """The life of a mirror of a whole index, whose pages have no files at first."""

    def __init__(self, rig: Rig, name: str, server: Server | None = None) -> None:
        self._rig = rig
        self._name = name
        self._server = server
        self._options = f"catalogue = {server.url}" if server else ""
        self._count = rig.sizes.whole
        self._tree = rig.fresh("mirror")

    def run(self, unchanged: tuple[float, int]) -> Iterator[Figure]:
        """Yield all figures; ``unchanged`` are the aims for a run with nothing to do."""
        index = self._rig.listed(self._count)
        yield from self._first(index)
        yield from self._repeated(index, "nothing changed", "", unchanged)
        yield from self._changes(index)
        yield from self._repeated(index, "every project compared", _ALWAYS, (2.0, 300))
        yield from self._verify()
        yield Figure(self._name, "size of the catalogue", self._size() / 1e6, "MB")

    def _mirror(self, index: Index, options: str = "") -> Ran:
        with self._rig.serving(index) as served:
            return self._rig.mirror(served, self._tree, options=f"{self._options}\n{options}")

    # ------------------------------------------------------------ the runs

    def _first(self, index: Index) -> Iterator[Figure]:
        """Sync every page."""
        before = self._used()
        ran = self._mirror(index)
        after = self._used()
        stored = sum(entry.is_dir() for entry in os.scandir(self._tree / "web/simple"))
        if stored != self._count:
            raise RuntimeError(f"the mirror is incomplete: {stored} of {self._count} projects")
        check_complete(self._tree, index, list(index.projects)[::_CHECKED])
        part = self._count // self._rig.sizes.parts
        times = [each.at for each in ran.requests if each.path.count("/") == 3]
        begin, end = times[part] - times[0], times[-1] - times[-1 - part]
        page = ran.cost.cpu / self._count
        if self._server is None:
            self._rig.page_cpu = page
        note = f"{self._count / ran.cost.wall:,.0f} pages/s, CPU {ran.cost.cpu:,.0f} s"
        yield self._figure(f"first run of {self._count:,} pages", ran.cost.wall, "s", note=note)
        yield self._figure("first run: CPU time per page", page * 1e3, "ms", 1.0)
        yield self._figure(
            f"first run: the last {part:,} pages compared with the first",
            end / begin,
            "x",
            1.1,
            note=f"{end:.0f} s against {begin:.0f} s",
        )
        yield self._figure("first run: peak memory", ran.cost.memory / 1e6, "MB", 400)
        yield from self._spent("first run", after - before)

    def _repeated(
        self, index: Index, what: str, options: str, aims: tuple[float, int]
    ) -> Iterator[Figure]:
        """Run several times with nothing to sync."""
        ran, before = [], self._used()
        for _ in range(self._rig.runs):
            time.sleep(2.0 if options else 0.0)
            ran.append(self._mirror(index, options))
        used = (self._used() - before) / self._rig.runs
        check_complete(self._tree, index, ())
        yield from self._costs(what, [each.cost for each in ran], aims)
        yield from self._spent(what, used)

    def _changes(self, index: Index) -> Iterator[Figure]:
        """Sync a day of changes: a release with one file in each of many projects."""
        count = self._rig.sizes.changed_of_whole
        paths = change(index, count)
        names = [path.split("/")[2] for path in paths if path.startswith("/simple/")]
        before = self._used()
        ran = self._mirror(index)
        after = self._used()
        check_complete(self._tree, index, names)
        what = f"a day of {count:,} changes"
        note = f"{len(paths):,} URLs to fetch, CPU {ran.cost.cpu:.0f} s"
        yield self._figure(f"{what}: wall time", ran.cost.wall, "s", note=note)
        yield self._figure(f"{what}: CPU time per project", ran.cost.cpu / count * 1e3, "ms")
        yield self._figure(f"{what}: peak memory", ran.cost.memory / 1e6, "MB", 400)
        yield from self._spent(what, after - before)

    def _verify(self) -> Iterator[Figure]:
        """Verify a part of the mirror each night, as a timer does."""
        seconds = self._rig.sizes.night
        for night in range(1, _NIGHTS + 1):
            report = self._rig.fresh("report.json")
            arguments = ("verify", "--budget", f"{seconds} s", "--report", str(report))
            command = self._rig.command(None, self._tree, *arguments, options=self._options)
            before = self._used()
            cost = measure(command, log=self._rig.fresh("verify.log"))
            after = self._used()
            verified = json.loads(report.read_text())["verified"]
            what = f"verify, night {night} with a budget of {seconds} s"
            note = f"{verified['files']:,} files, {verified['bytes'] / 1e6:,.0f} MB"
            yield self._figure(f"{what}: projects", verified["projects"], "", note=note)
            more = f"CPU {cost.cpu:.0f} s in all"
            yield self._figure(f"{what}: wall time beyond it", cost.wall - seconds, "s", note=more)
            yield self._figure(f"{what}: peak memory", cost.memory / 1e6, "MB")
            yield from self._spent(what, after - before)

    # ------------------------------------------------------------ figures

    def _figure(
        self, quantity: str, value: float, unit: str, aim: float | None = None, *, note: str = ""
    ) -> Figure:
        return Figure(self._name, quantity, value, unit, aim, note=note)

    def _costs(self, what: str, costs: list[Cost], aims: tuple[float, int]) -> Iterator[Figure]:
        seconds, memory = aims
        note = f"CPU {median(costs, 'cpu'):.2f} s"
        yield self._figure(f"{what}: wall time", median(costs, "wall"), "s", seconds, note=note)
        yield self._figure(f"{what}: peak memory", median(costs, "memory") / 1e6, "MB", memory)

    def _used(self) -> float:
        """Return the processor time of the server of the database so far, in seconds."""
        return self._server.cpu() if self._server else 0.0

    def _spent(self, what: str, seconds: float) -> Iterator[Figure]:
        if self._server:
            yield self._figure(f"{what}: CPU time of the server", seconds, "s")

    def _size(self) -> int:
        """Return the size of the catalogue, in bytes."""
        if self._server:
            return _size_of(self._server.data / "base")
        return sum(path.stat().st_size for path in self._tree.glob("catalogue.sqlite*"))


def _size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


# ---------------------------------------------------------------- the real index


def real(rig: Rig) -> Iterator[Figure]:
    """Say what a first run of the real index takes, from measured costs; needs ``whole``."""
    if rig.page_cpu is None:
        raise RuntimeError("the cost of a page is not known; run it together with whole")
    index = WholeIndex()
    rates = Rates(
        page=rig.page_cpu,
        file=_file_cpu(rig, index.mean_size, rig.page_cpu),
        hashing=_hashing(),
        processors=os.cpu_count() or 1,
        file_connections=CONNECTIONS,
    )
    for line in (*inputs(index, rates), *forecast(index, rates)):
        yield Figure("real", line.what, line.value, line.unit, note=line.how)


def _file_cpu(rig: Rig, size: float, page_cpu: float) -> float:
    """Return the processor time of a file of a mean size, in seconds, measured over TLS."""
    count = rig.sizes.typical
    projects = count // 2
    shape = Shape(projects, count, int(size / 4), int(size * 7 / 4))
    index, tree = rig.generate(shape), rig.fresh("mirror")
    with rig.serving(index, tls=True) as served:
        cost = rig.mirror(served, tree).cost
    check_complete(tree, index)
    return (cost.cpu - projects * page_cpu) / count


def _hashing() -> float:
    """Return how many bytes one core hashes in a second, with sha256 and BLAKE2b."""
    piece = os.urandom(_PIECE)
    digests = (hashlib.sha256(), hashlib.blake2b(digest_size=32))
    began = time.process_time()
    for _ in range(_PIECES):
        for digest in digests:
            digest.update(piece)
    return _PIECE * _PIECES / (time.process_time() - began)
