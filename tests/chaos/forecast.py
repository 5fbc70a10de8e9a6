"""What each run of a history must do: pages, rejected files, ``status``, ``todo``, exit status.

The rules I26 to I30 of ``docs/development/oracle.md``. Nothing of the program is imported.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.chaos.oracle import Complaint, Granted, json_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tests.chaos.oracle import Output
    from tests.chaos.tree import Tree
    from tests.support.index import File, Index, Project

SECOND_LOOK = 600
"""Seconds after which the second look at a page without files may confirm the first."""

RUNS_THAT_HOLD = 1
"""Runs for which ``status`` waits for a page whose files are all rejected."""

GONE = "gone"
"""What ``Standing.waits`` is when a project is removed."""

CONTESTANTS = frozenset({"gamma", "gamma-ray"})
"""Two projects after both of which a file can be named."""

VARIANTS = "-variants.json"
"""The end of the name of the one file that may change under its name."""

_REMOVAL = re.compile(r"remove (file|release)|release quarantined")


@dataclass
class Standing:
    """What the mirror must have of a project after a run.

    ``page`` has the shown files by name, and is None without a page. ``reflects`` is the serial of
    that page, ``seen`` the highest serial at a visit. ``waits`` is why the project is in ``todo``:
    "rejected", "changed", "empty", "missing", or "" if it is not there. ``first`` is the serial
    of the first event that the page does not reflect, None if it is unknown. ``lost`` are the paths
    of the files that have the places of rejected ones.
    """

    page: dict[str, File] | None = None
    rejected: frozenset[str] = frozenset()
    reflects: int = 0
    seen: int = 0
    waits: str = ""
    since: float = 0
    runs: int = 0
    first: int | None = None
    lost: frozenset[str] = frozenset()

    @property
    def holds_status(self) -> bool:
        """Whether ``status`` waits for this project."""
        return bool(self.waits) and not (self.waits == "rejected" and self.runs > RUNS_THAT_HOLD)


@dataclass
class Forecast:
    """Follows an index, and knows what each run must do.

    ``fold`` returns an equal text for paths that the file system does not hold apart. ``ignored``
    are the projects whose rejected files the operator acknowledges. ``has_events`` is False for
    runs that read only the project list.
    """

    index: Index
    fold: Callable[[str], str]
    has_events: bool = True
    ignored: set[str] = field(default_factory=set)
    standings: dict[str, Standing] = field(default_factory=dict)
    status: int = 0
    listed: frozenset[str] = frozenset()
    """The projects of the first run."""
    _reached: int = 0
    """The highest serial of an entry of a list so far."""
    _born: dict[str, int] = field(default_factory=dict)
    """For removed projects, the serial at which that was seen."""
    _before: dict[str, dict[str, File]] = field(default_factory=dict)
    """The pages at the beginning of a run."""

    def run(self, now: float) -> None:
        """Advance by a run at a time in seconds."""
        self._before = {name: each.page or {} for name, each in self.standings.items()}
        # Of two new files the one of gamma-ray wins, so gamma comes after it.
        for name in sorted(self.standings.keys() | self.index.projects.keys(), reverse=True):
            project = self.index.projects.get(name)
            standing = self.standings.setdefault(name, Standing(reflects=self._born.get(name, 0)))
            if project is None or project.serial > standing.seen or standing.waits:
                self._visit(name, standing, now)
        for name in [name for name, each in self.standings.items() if each.waits == GONE]:
            del self.standings[name]
            self._born[name] = self.index.serial
        self._give_free_places(now)
        firsts = [self._first(*each) for each in self.standings.items() if each[1].holds_status]
        cursor = self._cursor()
        if None not in firsts:
            reached = [cursor, *(first - 1 for first in firsts if first is not None)]
            self.status = max(self.status, min(reached))
        self.listed = self.listed or frozenset(self.standings)

    def _cursor(self) -> int:
        """Return the serial that the run reaches: a list reaches that of its newest entry."""
        if self.has_events:
            return self.index.serial
        self._reached = max([self._reached, *(p.serial for p in self.index.projects.values())])
        return self._reached

    def _give_free_places(self, now: float) -> None:
        """Visit the projects again that wanted a path whose owner has left it."""
        self._before = {}
        shown = {file.path for each in self.standings.values() for file in self._files(each)}
        for name, standing in sorted(self.standings.items()):
            if standing.lost - shown:
                self._visit(name, standing, now)

    def _first(self, name: str, standing: Standing) -> int | None:
        """Return the serial of the first event that a waiting project does not reflect."""
        if not self.has_events:
            return standing.first
        if not standing.reflects and name in (self.listed or self.standings):
            return None  # the list of the first run has no events
        events = (e.serial for e in self.index.journal if _named(e.name) == name)
        return next(serial for serial in events if serial > standing.reflects)

    # ------------------------------------------------------------ one project

    def _visit(self, name: str, standing: Standing, now: float) -> None:
        project = self.index.projects.get(name)
        if project is None:
            self._miss(standing, now)
        else:
            self._read(name, project, standing, now)
            standing.seen = project.serial

    def _miss(self, standing: Standing, now: float) -> None:
        """Visit a project that the index does not have; an event or a second look removes it."""
        is_confirmed = standing.waits == "missing" and now - standing.since >= SECOND_LOOK
        if self.has_events or standing.page is None or is_confirmed:
            standing.waits = GONE
        else:
            self._wait(standing, "missing", now, first=self.status + 1)

    def _read(self, name: str, project: Project, standing: Standing, now: float) -> None:
        shown = standing.page or {}
        files = project.files
        bad = {name for name, file in files.items() if is_invalid(file)}
        listed = {name: file for name, file in files.items() if name not in bad}
        # What is shown already stays, even if its entry is invalid now.
        listed |= {name: shown[name] for name in bad & shown.keys()}
        if bad and not listed:
            self._wait(standing, "rejected", now)
            standing.rejected = frozenset(bad)
            return
        if shown and not listed and not self._has_evidence(project, standing):
            is_second = standing.waits == "empty" and now - standing.since >= SECOND_LOOK
            if not is_second:
                self._wait(standing, "empty", now)
                return
        if any(_has_changed(shown[name], listed[name]) for name in shown.keys() & listed.keys()):
            self._wait(standing, "changed", now)
            return
        collided = self._collisions(name, shown, listed)
        left = {each: file for each, file in listed.items() if each not in collided}
        standing.lost = frozenset(collided.values())
        if collided and not left and not self._needs_place(shown, listed):
            self._wait(standing, "rejected", now)
            standing.rejected = frozenset(bad | collided.keys())
            return
        if collided and shown.keys() - left.keys():  # a place is free now: the same run goes on
            collided = self._collisions(name, left, listed)
            left = {each: file for each, file in listed.items() if each not in collided}
            standing.lost = frozenset(collided.values())
        standing.page, standing.rejected = left, frozenset(bad | collided.keys())
        standing.reflects, standing.waits, standing.runs = project.serial, "", 0

    def _wait(self, standing: Standing, why: str, now: float, *, first: int | None = None) -> None:
        if first is None and standing.page is not None:
            first = max(standing.reflects, self.status) + 1
        if not standing.waits:
            standing.first = first
        elif standing.first is not None and first is not None:
            standing.first = min(standing.first, first)
        if standing.waits != why:
            standing.runs, standing.since = 0, now
        standing.waits = why
        standing.runs += 1

    def _has_evidence(self, project: Project, standing: Standing) -> bool:
        return self.has_events and any(
            _REMOVAL.match(event.action)
            for event in self.index.journal
            if event.serial > standing.reflects and _named(event.name) == _named(project.display)
        )

    def _collisions(
        self, name: str, shown: Mapping[str, File], listed: Mapping[str, File]
    ) -> dict[str, str]:
        """Return the files whose place another one has, with the path of that one.

        That is a file of another project, the shown one, or else the first.
        """
        taken = {self.fold(file.path): file for file in shown.values()}
        others = {self.fold(file.path): file for file in self._files_of_others(name)}
        collided = {}
        for filename, file in sorted(listed.items()):
            place = self.fold(file.path)
            owner = taken.setdefault(place, file)
            if owner.path == file.path:
                owner = others.get(place, file)
            is_other = owner.path != file.path or owner.sha256 != file.sha256
            if is_other and not (filename in shown and owner.path == file.path):
                collided[filename] = owner.path
        return collided

    def _files_of_others(self, name: str) -> Iterator[File]:
        """Yield what other projects show, and showed when the run began."""
        for other in (self.standings.keys() | self._before.keys()) - {name}:
            if other in self.standings:
                yield from self._files(self.standings[other])
            yield from self._before.get(other, {}).values()

    def _files(self, standing: Standing) -> Iterable[File]:
        return (standing.page or {}).values()

    def _needs_place(self, shown: Mapping[str, File], listed: Mapping[str, File]) -> bool:
        """Return whether a listed file needs the place of a shown one that leaves the page."""
        leaving = {self.fold(shown[name].path) for name in shown.keys() - listed.keys()}
        return any(self.fold(file.path) in leaving for file in listed.values())

    # ------------------------------------------------------------ results

    @property
    def failures(self) -> dict[str, str]:
        """The projects that the report must name as failed, with the class of the error."""
        failed = {}
        for name, standing in self.standings.items():
            if standing.rejected and name not in self.ignored:
                failed[name] = "RejectedFiles"
            if standing.waits == "changed":
                failed[name] = "ChangedFile"
        return failed

    @property
    def rejections(self) -> set[tuple[str, str, bool]]:
        """The rejected files: project, name, and whether the operator acknowledges it."""
        return {
            (name, file, name in self.ignored)
            for name, standing in self.standings.items()
            for file in standing.rejected
        }

    @property
    def waiting(self) -> set[str]:
        """The projects that ``todo`` must name."""
        return {name for name, standing in self.standings.items() if standing.waits}

    @property
    def exit_status(self) -> int:
        """The exit status: 5 for a changed file, else 4 for a rejected one, else 0."""
        kinds = set(self.failures.values())
        return 5 if "ChangedFile" in kinds else 4 if kinds else 0

    @property
    def granted(self) -> Granted:
        """The deviations from the index that the other rules must permit."""
        left_out = {
            f"{name}/{filename}"
            for name, standing in self.standings.items()
            for filename in standing.rejected - (standing.page or {}).keys()
        }
        return Granted(excluded=frozenset(left_out), behind=frozenset(self.waiting))

    # ------------------------------------------------------------ judging

    def judge(self, tree: Tree, output: Output, told: Mapping[str, Any]) -> Iterator[Complaint]:
        """Return all violations; ``told`` is what ``status --json`` says after the run."""
        for name, standing in self.standings.items():
            shown, wanted = _shown_files(tree, name), _wanted_files(standing)
            if shown != wanted:
                yield Complaint("I26", f"{name} shows {shown}, not {wanted}")
        for source, document in (("the report", output.report), ("status", told)):
            named = {(e["project"], e["file"], e["ignored"]) for e in document["rejected"]}
            if named != self.rejections:
                yield Complaint("I27", f"{source} lists {named}, not {self.rejections}")
        failed = {each["name"]: each["error"] for each in output.report["projects"]["failed"]}
        if (failed, output.code) != (self.failures, self.exit_status):
            here, there = (failed, output.code), (self.failures, self.exit_status)
            yield Complaint("I28", f"failed: {here}, not {there}")
        status = int(tree.read("status") or 0)
        if status != self.status:
            yield Complaint("I29", f"status is {status}, not {self.status}")
        lines = (tree.read("todo") or b"").decode().splitlines()[1:]
        pending = {line.split()[0] for line in lines}
        if pending != self.waiting:
            yield Complaint("I30", f"todo names {pending}, not {self.waiting}")


def is_invalid(file: File) -> bool:
    """Whether a file must be rejected: it is hidden, or neither document gives a digest."""
    return file.filename.startswith(".") or (file.hashes == {} and file.digests == {})


def is_contested(filename: str) -> bool:
    """Whether a file is named after both ``CONTESTANTS``."""
    return filename.lower().startswith("gamma-ray-")


def _has_changed(shown: File, listed: File) -> bool:
    return shown.sha256 != listed.sha256 and not listed.filename.endswith(VARIANTS)


def _shown_files(tree: Tree, name: str) -> dict[str, dict[str, str]] | None:
    """Return the digests of each file that a page shows, None without a page."""
    page = json_page(tree, name)
    return None if page is None else {each.filename: dict(each.digests) for each in page.links}


def _wanted_files(standing: Standing) -> dict[str, dict[str, str]] | None:
    """Return the digests that a page must show: sha256, whatever the index gives."""
    if standing.page is None:
        return None
    return {name: {"sha256": file.sha256} for name, file in standing.page.items()}


def _named(display: str) -> str:
    return re.sub(r"[-_.]+", "-", display).lower()


def read_status(out: str) -> dict[str, Any]:
    """Return the document of ``status --json``."""
    found: dict[str, Any] = json.loads(out)
    return found
