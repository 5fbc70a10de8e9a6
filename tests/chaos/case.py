"""A case of the matrix: an index, a mirror of it, faults between them, and the oracle."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from tests.chaos.oracle import (
    Complaint,
    Granted,
    Oracle,
    excess_of_removals,
    page_forms,
    project_names,
)
from tests.chaos.tree import Disk, Snapshot
from tests.support.processes import run_process
from tests.support.site import Ran, Site

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from tests.chaos.figures import Figures
    from tests.support.faults import Act
    from tests.support.index import Index
    from tests.support.processes import Ended
    from tests.support.server import Asked, Fault, IndexServer

_Kind = TypeVar("_Kind")

LOOKS = 200
"""Projects that a reader looks at during one run, over and over, at most."""

TRIES = 4
"""Times that a reader looks before something counts as wrong: it may have changed in between."""

_FIGURES = {
    "G1": {"I23"},
    "G3": {"K2", "I13"},
    "G4": {"K8"},
    "G5": {"I6", "I7"},
}
"""The figures that every run counts for, with the rules whose breach is a violation."""


class Grants(TypedDict, total=False):
    """The same as ``Granted``, with any collections."""

    excluded: Collection[str]
    bare: Collection[str]
    behind: Collection[str]
    removals: int
    expires: bool


@dataclass
class Reader:
    """Looks at the tree as clients do, whenever the index is asked for something."""

    oracle: Oracle
    root: Path
    expected: list[str]
    looks: int = 0
    pages: int = 0
    wrong: list[Complaint] = field(default_factory=list)

    def look(self, _: Asked) -> None:
        """Look once, and again if something seems wrong: only what stays wrong is."""
        if self.pages > LOOKS:
            return
        self.looks += 1
        self.pages += max(1, len(self.expected))
        tree = Disk(self.root)
        found: list[Complaint] = []
        for _try in range(TRIES):
            found = list(self.oracle.pages(tree, at_rest=False))
            for name in self.expected:
                if name in self.oracle.index.projects and not page_forms(tree, name):
                    found.append(Complaint("I3", f"{name} had a page and has none"))
            if not found:
                return
        self.wrong += found


class Case:
    """Lets things go wrong, runs the program, and lets the oracle judge.

    ``about`` is which of several faults a test is at, for whoever reads that it failed.
    """

    def __init__(self, index: Index, server: IndexServer, site: Site, figures: Figures) -> None:
        self.index = index
        self.server = server
        self.site = site
        self.figures = figures
        self.oracle = Oracle(index, self._selects)
        self.clock = site.clock
        self.about = ""
        index.follow(lambda: int(site.clock.now().timestamp()))
        server.time = site.clock.monotonic
        # What nobody may touch: a neighbour, and one whose name begins as the mirror's does.
        for name in ("neighbour", "mirror-of-another"):
            (site.home / name).mkdir()
            (site.home / name / "precious.txt").write_text("not yours")

    def _selects(self, name: str) -> bool:
        allowed = self.site.allowlist
        return allowed is None or name in allowed

    def fault(
        self,
        where: str,
        act: Act,
        times: int | None = None,
        *,
        project: str | None = None,
        skip: int = 0,
    ) -> Fault:
        """Let requests go wrong; see ``Fault``."""
        return self.server.fault(where, act, times, project=project, skip=skip)

    def each(self, kinds: Iterable[_Kind]) -> Iterator[_Kind]:
        """Yield one kind of a fault after another, and clear the faults after each."""
        for kind in kinds:
            self.about = f"about {kind!r:.60}"
            yield kind
            self.server.faults.clear()
            self.server.forget()
        self.about = ""

    def mirrored(self, *names: str) -> None:
        """Publish these projects, and mirror them while all is well."""
        for name in names:
            self.index.release(name, "1.0")
        self.mirror()
        self.server.forget()

    # ------------------------------------------------------------ running

    def mirror(self, *flags: str, exits: int = 0, **granted: Unpack[Grants]) -> Ran:
        """Run ``mirror``, and assert that it exits so and that nobody can complain."""
        return self.run("mirror", *flags, exits=exits, **granted)

    def sync(self, *arguments: str, exits: int = 0, **granted: Unpack[Grants]) -> Ran:
        """Run ``sync``, likewise."""
        return self.run("sync", *arguments, exits=exits, **granted)

    def run(self, command: str, *arguments: str, exits: int = 0, **granted: Unpack[Grants]) -> Ran:
        """Run a command, likewise."""
        return self._judged(lambda: self.site.run(command, *arguments), exits, granted)

    def process(
        self,
        command: str,
        *,
        exits: int = 0,
        trusting: Path | None = None,
        **granted: Unpack[Grants],
    ) -> Ended:
        """Run a command as a process of its own, likewise.

        ``trusting`` is a file with the certificates of the authorities that it trusts.
        """
        environment = {} if trusting is None else {"SSL_CERT_FILE": str(trusting)}
        ended: list[Ended] = []

        def run() -> Ran:
            report = self.site.home / "report.json"
            arguments = ["-c", str(self.site.config), command, "--report", str(report)]
            passed = self.clock.passed
            done = run_process(arguments, self.site.home, passed=passed, environment=environment)
            ended.append(done)
            return Ran(done.code, done.out, done.log, json.loads(report.read_text()))

        self._judged(run, exits, granted)
        return ended[0]

    def _judged(self, run: Callable[[], Ran], exits: int, granted: Grants) -> Ran:
        allowed = _granted(granted)
        before = self.snapshot()
        reader = Reader(self.oracle, self.site.root, project_names(before))
        self.server.on_request = reader.look
        try:
            ran = run()
        finally:
            self.server.on_request = lambda _: None
        after = self.snapshot()
        complaints = self.oracle.judge(before, after, ran, allowed)
        self._count(before, after, ran, complaints, reader, allowed)
        wrong = [*complaints, *reader.wrong]
        told = [self.about, *map(str, wrong), f"status {ran.code}", ran.log]
        assert not wrong, "\n".join(told)
        assert ran.code == exits, "\n".join(told)
        return ran

    def snapshot(self) -> Snapshot:
        """Return everything as it is now."""
        (self.site.home / "report.json").unlink(missing_ok=True)
        taken = Snapshot(self.site.home, self.site.root.name)
        taken.around.pop(".", None)
        return taken

    def _count(
        self,
        before: Snapshot,
        after: Snapshot,
        ran: Ran,
        complaints: Sequence[Complaint],
        reader: Reader,
        granted: Granted,
    ) -> None:
        rules = {each.rule for each in complaints}
        for figure, broken in _FIGURES.items():
            self.figures.count(figure, bool(rules & broken))
        failed = len(ran.failed)
        silent = sum(each.rule == "K1" for each in complaints)
        self.figures.count("G2", min(silent, failed), of=failed)
        if failed:
            self.figures.count("G6", "K5" in rules)
        self.figures.measure("G13", max(0, excess_of_removals(before, after, granted)))
        self.figures.count("G14", bool(reader.wrong), of=reader.looks)

    # ------------------------------------------------------------ what is to come of it

    def recovers(self, where: str, act: Act, **fault: Any) -> Ran:
        """Assert that a fault that passes is recovered in the same run."""
        armed = self.fault(where, act, times=1, **fault)
        recovered = False
        try:
            ran = self.mirror()
            assert armed.hits == 1, "the fault was not met"
            recovered = True
        finally:
            self.figures.count("G9", not recovered)
        return ran

    def heals(self, *, exits: Sequence[int] = (0,), **spans: float) -> Ran:
        """Clear all faults; then one more run gives the tree of a clean mirror (K7, I15).

        ``exits`` has the status of each run that it takes, where the rules ask for a second
        look; ``spans`` are the time before each of them, as ``timedelta`` takes it.
        """
        self.server.faults.clear()
        self.server.thaw()
        runs = []
        for code in exits:
            self.clock.passed += timedelta(**spans).total_seconds()
            runs.append(self.mirror(exits=code))
        assert runs[-1].code == 0
        clean = self._clean_mirror()
        assert self.site.tree().keys() == clean.tree().keys()
        assert self.site.tree() == clean.tree()
        assert (self.site.status, self.site.todo()) == (clean.status, [])
        self._is_quiet()
        return runs[-1]

    def _clean_mirror(self) -> Site:
        home = self.site.home / "neighbour" / "clean"
        home.mkdir()
        clean = Site(home, self.server)
        clean.clock = self.clock
        clean.allowlist, clean.filters = self.site.allowlist, self.site.filters
        clean.options = {**self.site.options, "directory": clean.root}
        clean.configure()
        ran = clean.mirror()
        assert ran.code == 0, ran.log
        return clean

    def _is_quiet(self) -> None:
        """Assert that a run after that writes nothing that is served and asks for no file (I16)."""
        self.server.forget()
        times = self.site.times()
        ran = self.mirror()
        assert ran.synced == []
        assert self.site.times() == times
        assert self.server.paths("file", "sidecar", "legacy") == []

    # ------------------------------------------------------------ looking

    def asked(self, *kinds: str, of: str | None = None) -> list[Asked]:
        """Return the requests of these kinds, maybe only those whose path names something."""
        return [
            each
            for each in self.server.asked
            if each.kind in kinds and (of is None or of in each.path)
        ]


def _granted(told: Grants) -> Granted:
    return Granted(
        excluded=frozenset(told.get("excluded", ())),
        bare=frozenset(told.get("bare", ())),
        behind=frozenset(told.get("behind", ())),
        removals=told.get("removals"),
        expires=told.get("expires", False),
    )
