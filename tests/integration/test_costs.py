"""What a run costs, counted: requests, calls to the file system, bytes written and statements.

Nothing is timed. A small mirror and a larger one see the same changes; the cost of a
run must depend on what changed, and not on what exists.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.index import Index
from tests.support.server import serving
from tests.support.site import Site, check_tree
from tests.support.system_calls import watch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.support.system_calls import Call

_DRIVER = """
import json, pathlib, sqlite3, sys
from bandersnatch.cli.main import main
from tests.support.clock import FakeClock

statements = [["", 0]]

def say(text):
    statements.append([text, 0])

def step():
    statements[-1][1] += 1

def heard(event, arguments):
    # An audit event (PEP 578) precedes every connection.
    if event == "sqlite3.connect/handle":
        def follow(*_):
            try:
                arguments[0].set_trace_callback(say)
            except sqlite3.ProgrammingError:
                return
            arguments[0].set_progress_handler(step, 1)
            sys.setprofile(None)
        sys.setprofile(follow)

sys.addaudithook(heard)
clock = FakeClock()
clock.passed = float(sys.argv[2])
code = main(sys.argv[3:], clock=clock)
pathlib.Path(sys.argv[1]).write_text(json.dumps(statements[1:]))
sys.exit(code)
"""
_LATER = 60.0
"""Seconds between two runs, by their own clock."""

_CHANGED = (3, 5, 8)
"""The numbers of the projects that have a release between two runs."""

_TALLIED = 2
"""The statement that SQLite reports for a trigger that counts rows."""

_CHANGING = ("open", "write", "rename", "utime", "unlink", "fsync", "syncfs")
"""Calls whose number does not depend on which directories exist already."""


@dataclass(frozen=True)
class Cost:
    """The requests of a run, its calls on files of the mirror, and its statements.

    ``statements`` are counted by verb and table. ``steps`` is how often SQLite's machine went on
    to another row or place, so that reading more of a table shows; statements with a LIMIT, which
    is far above what these mirrors have, do not count. ``directories`` is how often a directory
    was opened; ``calls`` has the other calls.
    """

    requests: Counter[str]
    calls: list[Call] = field(repr=False)
    statements: Counter[str]
    steps: int
    directories: int

    def count(self, *names: str) -> int:
        """Return the number of calls with these names."""
        return sum(call.name in names for call in self.calls)

    def files(self) -> Counter[str]:
        """Return the number of calls that change files, except those of the catalogue."""
        return Counter(c.name for c in self.calls if c.name in _CHANGING and not _in_catalogue(c))

    def written(self, *, catalogue: bool) -> int:
        """Return how many bytes were written, into the catalogue or into everything else."""
        return sum(c.size for c in self.calls if _in_catalogue(c) == catalogue)


def _in_catalogue(call: Call) -> bool:
    return call.paths[0].startswith("catalogue")


class Counted:
    """A mirror of projects with a wheel each, whose runs are measured."""

    def __init__(self, home: Path, projects: int) -> None:
        home.mkdir()
        self._statements = home / "statements.json"
        self._home = home
        self.index = Index()
        for number in range(projects):
            self.index.release(_name(number), "1.0")

    def run(self, *, synced: bool, changed: Sequence[int] = ()) -> Cost:
        """Run ``mirror``; if ``synced``, after another run and releases of those ``changed``."""
        with serving(self.index) as server:
            site = Site(self._home, server)
            if synced:
                assert site.mirror().code == 0
            for number in changed:
                self.index.release(_name(number), "2.0")
            server.forget()
            own = [str(self._statements), str(_LATER), "-c", str(site.config), "--quiet"]
            command = [sys.executable, "-c", _DRIVER, *own, "mirror"]
            watched = watch(command, site.root, reading=True)
            assert (watched.code, watched.log) == (0, "")
            check_tree(site.web)
            requests = Counter(asked.kind for asked in server.asked)
        statements = json.loads(self._statements.read_text())
        steps = sum(count for statement, count in statements if "LIMIT" not in statement)
        kinds = Counter(_kind(text) for text, _ in statements)
        calls = [call for call in watched.calls if not _opens_directory(call, site.root)]
        return Cost(requests, calls, kinds, steps, len(watched.calls) - len(calls))


def _opens_directory(call: Call, root: Path) -> bool:
    return call.name == "open" and (root / call.paths[0]).is_dir()


def _name(number: int) -> str:
    return f"project-{number:03}"


def _kind(statement: str) -> str:
    """Return the verb and the tables of a statement."""
    verb = statement.split(maxsplit=1)[0].rstrip(";")
    return " ".join([verb, *re.findall(r"(?:FROM|INTO|UPDATE) (\w+)", statement)])


def _of_each(home: Path, *numbers: int, synced: bool, changed: Sequence[int] = ()) -> list[Cost]:
    """Return the cost of the same run for mirrors of different sizes."""
    return [Counted(home / f"{n}", n).run(synced=synced, changed=changed) for n in numbers]


def test_a_first_run_costs_a_constant_and_an_amount_for_each_project(tmp_path: Path) -> None:
    few, more = 20, 40
    less, cost = _of_each(tmp_path, few, more, synced=False)
    difference = more - few
    # The head serial and the list; then a page, a wheel and its core metadata for each project.
    assert cost.requests == {"xmlrpc": 2, "list": 1, "detail": more, "file": more, "sidecar": more}
    # A wheel, its core metadata and three pages, each opened, written and renamed once; the
    # first two get their times, and are opened once more before that. No project is flushed alone.
    assert cost.files() - less.files() == {
        "open": 7 * difference,
        "write": 5 * difference,
        "rename": 5 * difference,
        "utime": 2 * difference,
    }
    # Everything else: the root's three pages, the state, and directories.
    rest = cost.files() - Counter(open=7 * more, write=5 * more, rename=5 * more)
    expected = Counter(open=25, write=9, rename=9, utime=2 * more, fsync=37, syncfs=2, unlink=2)
    assert rest <= expected
    # Three directories of the wheel and one of the pages, each made and opened.
    assert cost.directories - less.directories <= 4 * difference
    assert cost.count("mkdir") - less.count("mkdir") <= 4 * difference
    assert cost.count("stat") - less.count("stat") <= 12 * difference
    # SQLite reads whether another process changed the catalogue, before the query of the claim.
    assert cost.count("read") - less.count("read") == difference

    # Its earlier rows, rejected files and deferral are deleted, because they may exist.
    each = ("INSERT project", "INSERT file", "DELETE file", "DELETE rejected", "DELETE deferred")
    made = Counter(dict.fromkeys(each, 1)) + Counter({"INSERT project": _TALLIED})
    # That the project was removed before is forgotten.
    made += Counter({"DELETE removed": 1})
    # Paths whose owners their names do not tell are deleted, and looked up once for the claim: no
    # file leaves a page here.
    made += Counter({"DELETE unusual_path": 1, "SELECT unusual_path": 1})
    assert cost.statements - less.statements == {one: made[one] * difference for one in made}
    rest = cost.statements - Counter({one: made[one] * more for one in made})
    # Twelve transactions with markers, the tables, and queries. The mark of the mirror takes one to
    # be made, one before the tree changes, and one at the end.
    assert rest.total() <= 120
    assert rest["BEGIN"] <= 12
    assert cost.written(catalogue=True) - less.written(catalogue=True) <= 1024 * difference


def test_a_run_with_nothing_to_do_costs_the_same_for_any_size(tmp_path: Path) -> None:
    less, cost = _of_each(tmp_path, 40, 80, synced=True)
    assert cost.requests == less.requests == {"xmlrpc": 1}
    assert cost.statements == less.statements
    assert cost.files() == less.files()
    assert cost.written(catalogue=True) == less.written(catalogue=True)
    assert cost.written(catalogue=False) == less.written(catalogue=False) <= 22
    # "status" and the time of the run; twenty pages are opened to check the tree. One file is made
    # and deleted to see whether the file system holds names apart.
    assert cost.files() <= Counter(open=40, write=2, rename=2, unlink=2, fsync=15, syncfs=1)
    assert cost.count("fsync", "syncfs") <= 31  # with those of five transactions
    assert cost.statements["BEGIN"] <= 5
    # The mark, rows that may be damaged, and the index that is followed are looked up.
    assert cost.statements.total() <= 61
    assert len(cost.calls) <= 560
    assert cost.count("stat") == less.count("stat")
    assert cost.count("read") - less.count("read") <= 2  # the tables are longer
    assert cost.steps == less.steps
    assert cost.directories <= 50


def test_a_run_costs_what_changed_and_not_what_exists(tmp_path: Path) -> None:
    # How many database pages the rows touch varies with the size without growing with it: 40, 60,
    # 160 and 200 projects cost the same, and 80 a few pages more.
    less, cost = _of_each(tmp_path, 40, 160, synced=True, changed=_CHANGED)
    changed = len(_CHANGED)
    # The head serial and the events; a page, a wheel and its core metadata for each project.
    expected = {"xmlrpc": 2, "detail": changed, "file": changed, "sidecar": changed}
    assert cost.requests == less.requests == expected
    assert cost.statements == less.statements
    assert cost.files() == less.files()
    # For each project as in a first run, and its page is read for its serial; the root's three
    # pages and two state files once.
    assert cost.files()["rename"] <= 5 * changed + 6
    assert cost.files() <= Counter(
        open=70 + changed, write=21, rename=21, utime=6, unlink=2, fsync=31, syncfs=2
    )
    assert cost.count("fsync", "syncfs") <= 58  # with those of nine transactions
    assert cost.statements["BEGIN"] <= 9
    # Rows, files, rejected files and deferrals: seven for each project, which has two wheels by
    # now; the paths that others have; the triggers that count rows; and
    # whether there are requirements.
    assert cost.statements.total() <= 120 + 2 * _TALLIED * changed
    assert cost.directories <= 80
    assert len(cost.calls) <= 958
    assert cost.written(catalogue=True) - less.written(catalogue=True) <= 4096
    # The root pages name every project: in HTML, twice, and in JSON.
    assert cost.written(catalogue=False) - less.written(catalogue=False) <= 3 * 64 * 120
    assert cost.steps == less.steps
