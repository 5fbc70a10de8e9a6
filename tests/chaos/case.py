"""A test case: an index, a mirror of it, faults between them, and the oracle.

The rules that it checks are in ``docs/development/oracle.md``.
"""

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
from tests.chaos.tree import Disk, Snapshot, fingerprint
from tests.support.processes import run_process
from tests.support.site import Ran, Site

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.chaos.figures import Figures
    from tests.support.faults import Act
    from tests.support.index import Index
    from tests.support.processes import Ended
    from tests.support.server import Fault, IndexServer, ReceivedRequest

_Kind = TypeVar("_Kind")

MAX_READS = 200
"""Project pages that a reader reads during one run, at most."""

TRIES = 4
"""Reads before a violation counts: a page may have changed between two reads."""

_FIGURES = {
    "G1": {"I23"},
    "G3": {"K2"},
    "G4": {"K8"},
    "G5": {"I6", "I7"},
}
"""The figures that every run counts for, with the rules whose violations they count."""


class Grants(TypedDict, total=False):
    """The fields of ``Granted``, with any collections."""

    excluded: Collection[str]
    bare: Collection[str]
    behind: Collection[str]
    removals: int
    expires: bool
    expired: Collection[str]


@dataclass
class Reader:
    """Reads the tree as clients do, at each request to the index."""

    oracle: Oracle
    root: Path
    expected: list[str]
    reads: int = 0
    pages: int = 0
    wrong: list[Complaint] = field(default_factory=list)
    known: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)

    def read(self, _: ReceivedRequest) -> None:
        """Check the pages if anything has changed since they were checked last.

        After a violation they are checked again: only one that persists counts.
        """
        before, self.known = self.known, fingerprint(self.root / "web")
        if self.pages > MAX_READS or self.known == before:
            return
        self.reads += 1
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
    """Causes faults, runs the program, and lets the oracle judge.

    ``about`` names the current one of several faults, for the message of a failure.
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
        # Nothing may touch these neighbours; the name of one begins like that of the mirror.
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
        """Make requests fail; see ``Fault``."""
        return self.server.fault(where, act, times, project=project, skip=skip)

    def each(self, kinds: Iterable[_Kind]) -> Iterator[_Kind]:
        """Yield the kinds of a fault, and clear the faults after each."""
        for kind in kinds:
            self.about = f"about {kind!r:.60}"
            yield kind
            self.server.faults.clear()
            self.server.forget()
        self.about = ""

    def mirrored(self, *names: str) -> None:
        """Publish these projects, and mirror them without a fault."""
        for name in names:
            self.index.release(name, "1.0")
        self.mirror()
        self.server.forget()

    # ------------------------------------------------------------ running

    def mirror(self, *flags: str, exits: int = 0, **granted: Unpack[Grants]) -> Ran:
        """Run ``mirror``, and assert its exit status and that the oracle has no complaint."""
        return self.run("mirror", *flags, exits=exits, **granted)

    def sync(self, *arguments: str, exits: int = 0, **granted: Unpack[Grants]) -> Ran:
        """Run ``sync`` and assert the same."""
        return self.run("sync", *arguments, exits=exits, **granted)

    def run(self, command: str, *arguments: str, exits: int = 0, **granted: Unpack[Grants]) -> Ran:
        """Run a command and assert the same."""
        return self._judged(lambda: self.site.run(command, *arguments), exits, granted)

    def process(
        self,
        command: str,
        *,
        exits: int = 0,
        trusting: Path | None = None,
        environment: Mapping[str, str] | None = None,
        **granted: Unpack[Grants],
    ) -> Ended:
        """Run a command as a separate process and assert the same.

        ``trusting`` is a file with the certificates of trusted authorities, ``environment`` is
        added to that of this process.
        """
        added = {**(environment or {})}
        if trusting is not None:
            added["SSL_CERT_FILE"] = str(trusting)
        ended: list[Ended] = []

        def run() -> Ran:
            report = self.site.home / "report.json"
            arguments = ["-c", str(self.site.config), command, "--report", str(report)]
            passed = self.clock.passed
            done = run_process(arguments, self.site.home, passed=passed, environment=added)
            ended.append(done)
            return Ran(done.code, done.out, done.log, json.loads(report.read_text()))

        self._judged(run, exits, granted)
        return ended[0]

    def endures(self, *, exits: Collection[int], without: Collection[str] = ()) -> Ran:
        """Run ``mirror`` while the index may say anything.

        Assert that the exit status is one of ``exits``, and that the oracle has no complaint by
        rules other than those in ``without``, which the program cannot keep then.
        """
        ran, wrong = self._observed(lambda: self.site.run("mirror"), {})
        left = [each for each in wrong if each.rule not in without]
        message = "\n".join([self.about, *map(str, left), f"status {ran.code}", ran.log])
        assert not left, message
        assert "Traceback" not in ran.log, message
        assert ran.code in exits, message
        return ran

    def _judged(self, run: Callable[[], Ran], exits: int, granted: Grants) -> Ran:
        ran, wrong = self._observed(run, granted)
        message = "\n".join([self.about, *map(str, wrong), f"status {ran.code}", ran.log])
        assert not wrong, message
        assert ran.code == exits, message
        return ran

    def _observed(self, run: Callable[[], Ran], granted: Grants) -> tuple[Ran, Sequence[Complaint]]:
        """Run a command, and return the complaints about what it did, and about what is read."""
        allowed = _granted(granted)
        before = self.snapshot()
        reader = Reader(self.oracle, self.site.root, project_names(before))
        self.server.on_request = reader.read
        try:
            ran = run()
        finally:
            self.server.on_request = lambda _: None
        after = self.snapshot()
        complaints = self.oracle.judge(before, after, ran, allowed)
        self._count(before, after, ran, complaints, reader, allowed)
        return ran, [*complaints, *reader.wrong]

    def snapshot(self) -> Snapshot:
        """Return a snapshot of everything."""
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
        self.figures.count("G14", bool(reader.wrong), of=reader.reads)

    # ------------------------------------------------------------ recovery

    def recovers(self, where: str, act: Act, **fault: Any) -> Ran:
        """Assert that a transient fault is recovered in the same run."""
        armed = self.fault(where, act, times=1, **fault)
        recovered = False
        try:
            ran = self.mirror()
            assert armed.hits == 1, "the fault did not occur"
            recovered = True
        finally:
            self.figures.count("G9", not recovered)
        return ran

    def heals(
        self, *, exits: Sequence[int] = (0,), expired: Collection[str] = (), **spans: float
    ) -> Ran:
        """Clear all faults; assert that one run gives the tree of a clean mirror (K7, I15).

        ``exits`` has the exit status of each run, where a rule requires a second look; ``spans``
        is the time before each run, as keywords of ``timedelta``. ``expired`` are the files that
        may be purged from the trash.
        """
        self.server.faults.clear()
        self.server.thaw()
        runs = []
        for code in exits:
            self.clock.passed += timedelta(**spans).total_seconds()
            runs.append(self.mirror(exits=code, expired=expired))
        assert runs[-1].code == 0
        clean = self.clean_mirror()
        assert self.site.tree().keys() == clean.tree().keys()
        assert self.site.tree() == clean.tree()
        assert (self.site.status, self.site.todo()) == (clean.status, [])
        self._is_quiet(expired)
        return runs[-1]

    def clean_mirror(self) -> Site:
        """Return a mirror that was made now, with the same configuration and time."""
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

    def _is_quiet(self, expired: Collection[str]) -> None:
        """Assert that one more run writes nothing that is served and downloads nothing (I16)."""
        self.server.forget()
        times = self.site.times()
        ran = self.mirror(expired=expired)
        assert ran.synced == []
        assert self.site.times() == times
        assert self.server.paths("file", "sidecar", "legacy") == []

    # ------------------------------------------------------------ requests

    def asked(self, *kinds: str, of: str | None = None) -> list[ReceivedRequest]:
        """Return the requests of these kinds, with ``of`` only those whose path contains it."""
        return [
            each
            for each in self.server.asked
            if each.kind in kinds and (of is None or of in each.path)
        ]


def _granted(given: Grants) -> Granted:
    return Granted(
        excluded=frozenset(given.get("excluded", ())),
        bare=frozenset(given.get("bare", ())),
        behind=frozenset(given.get("behind", ())),
        removals=given.get("removals"),
        expires=given.get("expires", False),
        expired=frozenset(given.get("expired", ())),
    )
