"""What dependencies cost: ``python bench/closure.py`` prints a table; it needs nothing else.

A mirror of a synthetic index is made as a run would leave it, with the core metadata of each file.
500 selected projects need 20,000 with 200,000 files, and each file has five requirements. Then the
steps of a run that follow dependencies are taken, with the storage and the catalogue of a real
mirror, and measured in processor time; what a run does without them is measured too, and
subtracted. ``prove`` runs as a program.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import shutil
import sys
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING

from bandersnatch import layout
from bandersnatch.app import SystemClock, load, open_mirror
from bandersnatch.catalogue.records import CatalogueUpdate, FileRecord, Marker, ProjectRecord
from bandersnatch.cli.main import ALLOCATIONS
from bandersnatch.filters.following import FollowingChain
from bandersnatch.mirror.closure_report import report_closure
from bandersnatch.mirror.following import Following
from bandersnatch.mirror.publish import Publisher
from bandersnatch.mirror.tasks import Outcome, Result, SyncTask
from bandersnatch.model.content import Validators
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.files import ReleaseFile
from bandersnatch.model.names import ProjectName
from bandersnatch.model.project import ProjectDetail
from bandersnatch.model.serials import Serial
from measure import measure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bandersnatch.mirror.mirror import Mirror

ROOTS, PROJECTS, VERSIONS = 500, 20_050, 10
POPULAR = 50
"""Projects that many others need, in rings of ten."""
RING = 10
BATCH = 200
ALL_OF = 10**9

FIRST_AIM, UNCHANGED_AIM = 0.005, 0.05
PROVE_AIM, MEMORY_AIM = 30.0, 300.0

_CONFIG = """\
[mirror]
directory = {directory}
master = http://127.0.0.1:9
allow-non-https = true
max-removals = 1000000
[plugins]
enabled = allowlist_project
[allowlist]
packages =
{packages}
[closure]
follow = {follow}
max-projects = 1000000
missing-dependencies = warn
[environments]
servers = python 3.12 3.13; linux x86_64 glibc 2.28
laptops = python 3.12 3.13; windows amd64
"""
"""The environments are four targets."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    what: str
    figure: str
    aim: str = ""

    def __str__(self) -> str:
        return f"| {self.what} | {self.figure} | {self.aim} |"


class Graph:
    """A synthetic index: who needs whom, the same each time.

    Each root has a tree of projects of its own. Every project needs popular ones too.
    """

    def __init__(self, roots: int, projects: int) -> None:
        self.roots = roots
        self._own = (projects - POPULAR) // roots
        self.projects = self._own * roots + POPULAR
        self._dice = random.Random(20261130)
        self._needs = [self._chosen(number) for number in range(self.projects)]

    def name(self, number: int) -> ProjectName:
        """Return the name of a project; the roots come first."""
        return ProjectName(f"project-{number:06}")

    def root_names(self) -> list[ProjectName]:
        """Return the names of the selected projects."""
        return [self.name(number) for number in range(self.roots)]

    def _chosen(self, number: int) -> list[int]:
        """Return the five projects that a project needs."""
        first = self.projects - POPULAR
        if number >= first:
            place = number - first
            ring = first + place - place % RING
            return [ring + (place + step) % RING for step in range(1, 6)]
        place, root = divmod(number, self.roots)
        children = [each for each in (2 * place + 1, 2 * place + 2) if each < self._own]
        needed = [each * self.roots + root for each in children]
        while len(needed) < 5:
            popular = first + int(POPULAR * self._dice.random() ** 3)
            if popular not in needed:
                needed.append(popular)
        return needed

    def requirements(self, number: int, version: int) -> list[str]:
        """Return what a version needs; the list is the same in each two versions."""
        since = version // 2
        markers = ("", "", "", '; python_version >= "3.9"', '; sys_platform != "cygwin"')
        return [
            f"{self.name(needed)}>={since}.{place}{marker}"
            for place, (needed, marker) in enumerate(zip(self._needs[number], markers, strict=True))
        ]

    def record(self, number: int) -> ProjectRecord:
        """Return a project as the catalogue has it."""
        name = self.name(number)
        files = tuple(self._file(number, version) for version in range(VERSIONS))
        detail = ProjectDetail(name, files, tuple(f"{v}.9" for v in range(VERSIONS)))
        stored = tuple(FileRecord(file, 1, 1) for file in files)
        return ProjectRecord(detail, name, Serial(1), "", Validators(), stored)

    def metadata(self, number: int, version: int) -> bytes:
        """Return the core metadata of a file."""
        lines = ["Metadata-Version: 2.1", f"Name: {self.name(number)}", f"Version: {version}.9"]
        lines += [f"Requires-Dist: {each}" for each in self.requirements(number, version)]
        return "\n".join([*lines, "", "A description.\n" * 40]).encode()

    def _file(self, number: int, version: int) -> ReleaseFile:
        filename = f"{self.name(number).replace('-', '_')}-{version}.9-py3-none-any.whl"
        digest = sha256(filename.encode()).hexdigest()
        path = f"packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{filename}"
        stated = Digest("sha256", sha256(self.metadata(number, version)).hexdigest())
        url = f"https://files.example.org/{path}"
        hashes = Hashes((Digest("sha256", digest),))
        core_metadata = Hashes((stated,))
        return ReleaseFile(filename, url, path, hashes, size=9_000, core_metadata=core_metadata)


class Rig:
    """A directory with the mirror, and its configurations."""

    def __init__(self, work: Path, graph: Graph) -> None:
        self.work = work
        self.graph = graph

    def config(self, mirror: str, packages: Iterable[str], *, follow: bool) -> Path:
        """Write a configuration and return its path."""
        path = self.work / f"{mirror}-{follow}.conf"
        names = "\n".join(f"    {each}" for each in packages)
        directory = self.work / mirror
        text = _CONFIG.format(directory=directory, packages=names, follow=str(follow).lower())
        path.write_text(text)
        return path


async def fill(mirror: Mirror, graph: Graph) -> None:
    """Write the pages and core metadata of all projects."""
    publisher = Publisher.of(mirror)
    objects: dict[layout.StorageKey, bytes] = {}
    for number in range(graph.projects):
        record = graph.record(number)
        objects |= publisher.render(record.detail, record.display)
        for version, file in enumerate(record.detail.files):
            key = layout.sidecar(file)
            assert key is not None
            objects[key] = graph.metadata(number, version)
        if len(objects) > BATCH * VERSIONS or number + 1 == graph.projects:
            await mirror.storage.write(objects)
            objects = {}


async def first_run(mirror: Mirror, graph: Graph) -> float:
    """Return the processor time of the steps that sync all projects, without their downloads.

    Without a closure each project is filtered and recorded once.
    """
    spent = 0.0
    following = None if mirror.closure is None else Following(mirror, mirror.closure)
    if following is not None:
        await following.open()
    names = (
        graph.root_names()
        if following is not None
        else [graph.name(number) for number in range(graph.projects)]
    )
    synced = set[ProjectName]()
    while names:
        synced |= set(names)
        for start in range(0, len(names), BATCH):
            records = [graph.record(int(name[-6:])) for name in names[start : start + BATCH]]
            spent += await _timed_sync(mirror, following, records)
        began = process_time()
        names = [] if following is None else await following.advance()
        spent += process_time() - began
    assert len(synced) == graph.projects, f"{len(synced)} of {graph.projects} were followed"
    if following is not None:
        await mirror.catalogue.commit(CatalogueUpdate(markers={Marker.CLOSURE: following.policy}))
    return spent


async def _timed_sync(
    mirror: Mirror, following: Following | None, records: list[ProjectRecord]
) -> float:
    """Filter, read and record some projects, and return the processor time of that."""
    found = {record.name: record for record in records}

    async def sync(task: SyncTask) -> Outcome:
        record = found[task.name]
        kept = mirror.filters.apply(record.detail)
        assert kept.page is not None, f"{task.name} was dropped"
        assert len(kept.page.files) == VERSIONS, f"{task.name} lost files"
        return Outcome(task, Result.SYNCED, record=record)

    began = process_time()
    update = CatalogueUpdate()
    steps = sync if following is None else following.recording(sync)
    for name in found:
        outcome = await steps(SyncTask(name))
        assert outcome.record is not None
        update.records.append(outcome.record)
        if outcome.requirements is not None:
            update.requirements[name] = outcome.requirements
    await mirror.catalogue.commit(update)
    return process_time() - began


async def unchanged(config: Path) -> float:
    """Return the processor time of opening a mirror, and of what a run does that has no task."""
    configuration, clock = load(config), SystemClock()
    gc.collect()
    began = process_time()
    async with open_mirror(configuration, lambda _: None, clock) as mirror:
        assert mirror.filters.finite_names is not None
        following = None if mirror.closure is None else Following(mirror, mirror.closure)
        if following is not None:
            await following.open()
            await following.load([])
            assert not await following.advance()
            assert not following.may_have_lost
            await report_closure(mirror, following)
        return process_time() - began


async def _filled(config: Path, graph: Graph) -> None:
    async with open_mirror(load(config), print, SystemClock()) as mirror:
        await fill(mirror, graph)


async def _first(config: Path, graph: Graph) -> float:
    async with open_mirror(load(config), print, SystemClock()) as mirror:
        assert isinstance(mirror.filters, FollowingChain) == (mirror.closure is not None)
        return await first_run(mirror, graph)


def rows(rig: Rig, *, only_prove: bool = False) -> Iterator[Row]:
    """Measure everything."""
    graph = rig.graph
    every = [graph.name(number) for number in range(graph.projects)]
    plain = rig.config("plain", every, follow=False)
    followed = rig.config("followed", graph.root_names(), follow=True)
    if not (rig.work / "followed").exists():
        (rig.work / "plain").mkdir()
        (rig.work / "followed").mkdir()
        print("writing the mirror", file=sys.stderr)
        asyncio.run(_filled(followed, graph))
        without = asyncio.run(_first(plain, graph))
        spent = asyncio.run(_first(followed, graph)) - without
        yield Row(
            f"following, first run, {graph.projects:,} projects, a project",
            f"{spent / graph.projects * 1000:.2f} ms",
            f"{FIRST_AIM * 1000:.0f} ms",
        )
    if not only_prove:
        with_closure = min(asyncio.run(unchanged(followed)) for _ in range(5))
        without = min(asyncio.run(unchanged(plain)) for _ in range(5))
        yield Row(
            f"following in a run that changes nothing (without it {without * 1000:.0f} ms)",
            f"{(with_closure - without) * 1000:.0f} ms",
            f"{UNCHANGED_AIM * 1000:.0f} ms",
        )
    command = [sys.executable, "-m", "bandersnatch", "-c", str(followed), "prove", "--each"]
    cost = measure(command, log=rig.work / "prove.log")
    said = (rig.work / "prove.log").read_text().splitlines()[-1]
    what = f"`prove --each`, {said}"
    yield Row(f"{what}: processor time", f"{cost.cpu:.1f} s", f"{PROVE_AIM:.0f} s")
    yield Row(f"{what}: peak memory", f"{cost.memory / 1e6:.0f} MB", f"{MEMORY_AIM:.0f} MB")


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--roots", type=int, default=ROOTS, help="projects that are selected")
    parser.add_argument("--projects", type=int, default=PROJECTS, help="projects of the index")
    parser.add_argument("--work", help="a directory that is kept; later runs use its mirror")
    parser.add_argument("--only-prove", action="store_true", help="measure prove alone")
    arguments = parser.parse_args()
    gc.set_threshold(ALLOCATIONS)
    work = Path(arguments.work or tempfile.mkdtemp(prefix="bandersnatch-closure-"))
    work.mkdir(parents=True, exist_ok=True)
    rig = Rig(work, Graph(arguments.roots, arguments.projects))
    print("| | figure | aim |\n|---|--:|--:|")
    for row in rows(rig, only_prove=arguments.only_prove):
        print(row, flush=True)
    if not arguments.work:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
