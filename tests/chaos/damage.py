"""Random damage to the state of a mirror: parts of another moment, bits, rows, planted names.

A seed gives the same history each time: a few runs of ``mirror``, each after events on the index,
then damage, then more runs. The oracle judges what is said of a mirror in any state; in the end
two runs of ``mirror`` and ``verify`` must give the tree of a clean mirror.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from tests.chaos.index_events import IndexEvents
from tests.chaos.oracle import Complaint, Granted, project_names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.chaos.case import Case
    from tests.chaos.tree import Snapshot
    from tests.support.site import Ran

PROJECTS = ("Alpha", "beta", "Gamma.x", "delta", "eps")
PARTS = {
    "web": "web",
    "removed": "removed",
    "catalogue": "catalogue.sqlite",
    "status": "status",
    "todo": "todo",
    "mark": "web/.mirror",
}
"""The parts of a mirror that a backup may bring back, with their paths."""

KINDS = ("nothing", "file", "link", "dangling", "fifo", "directory", "socket")
STATE_NAMES = (
    *("status", "todo", "generation", ".lock", "catalogue.sqlite", "catalogue.sqlite-journal"),
    *("web/.mirror", "web/last-modified", ".partial", "removed", "web/simple", "web/packages"),
)
AREAS = frozenset({".partial", "removed", "web/simple", "web/packages"})
ALLOWED = frozenset({0, 2, 3, 4, 5, 7, 8})
"""The exit statuses while there is damage: no bug, no lock."""

TRIES = 20


class DamagedMirror:
    """Plays the history of a seed on a case."""

    def __init__(self, case: Case, seed: int) -> None:
        self._case = case
        self._index, self._site = case.index, case.site
        self._dice = random.Random(seed)
        self._index_events = IndexEvents(case.index, self._dice)
        self._moments: list[Path] = []
        self._planted: list[Path] = []
        self._forgets = False
        """Whether a row or the whole catalogue was found damaged."""
        self._loses_pages = False
        self.log: list[str] = []
        self._site.configure(max_removals=1000, max_file_removals=1000, timeout=5)

    def play(self) -> None:
        """Play the whole history."""
        for name in PROJECTS:
            self._index_events.release(name)
        self._run("mirror")
        for _ in range(self._dice.randint(1, 2)):
            self._keep()
            self._events()
            self._run("mirror")
        for _ in range(self._dice.randint(1, 2)):
            self._dice.choice([self._restore, self._flip, self._edit, self._plant])()
        if self._dice.random() < 0.5:
            self._events()
        for _ in range(self._dice.randint(1, 2)):
            self._run(self._dice.choice(["mirror", "mirror", "verify", "plan", "status"]))
        self._recover()

    # ------------------------------------------------------------ running

    def _run(self, command: str) -> Ran:
        """Run a command; assert what holds in any state."""
        case = self._case
        self._case.clock.advance(minutes=self._dice.choice([1, 11]))
        before = case.snapshot()
        arguments = ["--offline"] if command == "status" else []
        if command in {"status", "plan"}:
            ran = self._site.ask(command, *arguments)
        else:
            ran = self._site.run(command, *arguments)
        after = case.snapshot()
        self.log.append(f"{command}: {ran.code}")
        self._forgets |= "rebuil" in ran.log or "damaged" in ran.log
        wrong = list(self._complaints(command, before, after, ran))
        assert not wrong, self._message(ran, *map(str, wrong))
        return ran

    def _complaints(
        self, command: str, before: Snapshot, after: Snapshot, ran: Ran
    ) -> list[Complaint]:
        oracle = self._case.oracle
        found = [*oracle.surroundings(before, after)]
        if ran.code not in ALLOWED:
            found.append(Complaint("I23", f"status {ran.code}"))
        if "Traceback" in ran.log:
            found.append(Complaint("K1", "a traceback"))
        if not self._planted:
            found += oracle.losses(before, after, Granted())
        if command == "verify":
            found += self._worse(before, after)
        return found

    def _worse(self, before: Snapshot, after: Snapshot) -> list[Complaint]:
        """Return the projects that were shown as the index has them, and are not any more."""
        oracle, granted = self._case.oracle, Granted()
        return [
            Complaint("I2", f"verify made {name} worse: {wrong}")
            for name in project_names(before)
            if name in self._index.projects
            and not oracle.shown(before, name, granted)
            and (wrong := oracle.shown(after, name, granted))
        ]

    def _message(self, ran: Ran, *lines: str) -> str:
        return "\n".join([*self.log, *lines, ran.out, ran.log])

    def _recover(self) -> None:
        """Take planted objects away; assert that two runs of each command heal everything.

        If all pages are lost, or a newer release seems to have been used, the operator does what a
        run advises. Files that neither a row nor a
        page names any more belong to no project, as ``verify`` says: he has it delete them.
        """
        for path in self._planted:
            is_area = str(path.relative_to(self._site.root)) in AREAS  # it may have pages by now
            if path.is_symlink() or not (path.is_dir() and is_area):
                clear(path)
        self._planted.clear()
        for _ in range(2):
            for command in ("mirror", "verify"):
                self._case.clock.advance(minutes=10)
                ran = self._run(command)
                if ran.code == 2 and "delete the file if no newer release was used" in ran.log:
                    self.log.append("delete generation")
                    (self._site.root / "generation").unlink()
                if ran.code == 7 and "bandersnatch mirror --rebuild" in ran.log:
                    self.log.append("mirror --rebuild")
                    self._site.run("mirror", "--rebuild")
                    self._forgets = True
        if self._forgets and self._loses_pages:
            self.log.append("verify --delete")
            self._site.run("verify", "--delete")
        self._case.about = "\n".join(self.log)
        try:
            self._case.heals(minutes=11)
        except AssertionError as error:
            error.add_note(self._case.about)
            raise

    # ------------------------------------------------------------ the index

    def _events(self) -> None:
        for _ in range(self._dice.randint(1, 3)):
            name = self._dice.choice(PROJECTS)
            self.log.append(f"{name}: {self._index_events.any(name, releases=2)}")

    # ------------------------------------------------------------ damage

    def _keep(self) -> None:
        """Keep a backup of this moment."""
        place = self._site.home / f"moment{len(self._moments)}"
        shutil.copytree(self._site.root, place)
        self._moments.append(place)

    def _restore(self) -> None:
        """Bring back some parts of an earlier moment."""
        moment = self._dice.choice(self._moments)
        parts = self._dice.sample(sorted(PARTS), self._dice.randint(1, len(PARTS)))
        for part in sorted(parts, reverse=True):  # web before the mark in it
            place, old = self._site.root / PARTS[part], moment / PARTS[part]
            clear(place)
            if old.is_dir():
                shutil.copytree(old, place)
            elif old.exists():
                shutil.copy2(old, place)
        self.log.append(f"restore {sorted(parts)} of {moment.name}")

    def _files(self) -> list[Path]:
        found = [path for path in self._site.root.rglob("*") if path.is_file()]
        return sorted(path for path in found if not path.is_symlink())

    def _flip(self) -> None:
        """Flip a bit: in the catalogue, or in any file."""
        files = self._files()
        path = self._dice.choice(files)
        if self._dice.random() < 0.6:
            path = self._site.root / "catalogue.sqlite"
        text = bytearray(path.read_bytes()) if path.is_file() else bytearray()
        if text:
            at, bit = self._dice.randrange(len(text)), self._dice.randrange(8)
            text[at] ^= 1 << bit
            path.write_bytes(text)
            self._loses_pages |= "/simple/" in str(path)
            self.log.append(f"flip bit {bit} of byte {at} in {path.relative_to(self._site.root)}")

    def _edit(self) -> None:
        """Change a column of a row to any value."""
        path = self._site.root / "catalogue.sqlite"
        with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA ignore_check_constraints = ON")
            query = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
            tables = [name for (name,) in database.execute(query)]
            for _ in range(TRIES if tables else 0):  # none if something else is there by now
                table = self._dice.choice(tables)
                if self._edit_row(database, table):
                    break
            database.commit()

    def _edit_row(self, database: sqlite3.Connection, table: str) -> bool:
        info = database.execute(f"PRAGMA table_info({table})").fetchall()
        keys = [name for _, name, _, _, _, is_key in info if is_key]
        column = self._dice.choice([name for _, name, *_ in info])
        rows = database.execute(f"SELECT {', '.join(keys or ['1'])} FROM {table}").fetchall()
        if not rows:
            return False
        row = self._dice.choice(sorted(rows))
        others = [value for (value,) in database.execute(f"SELECT {column} FROM {table}")]
        value = self._dice.choice(
            [
                *others,
                None,
                0,
                -1,
                1,
                2**62,
                0.5,
                "",
                "x",
                "\N{SNOWMAN}\n",
                b"",
                b"\xff\x00",
                "../x",
            ]
        )
        where = " AND ".join(f"{key} = ?" for key in keys) or "1"
        values = row if keys else ()
        found = database.execute(
            f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {where}", (value, *values)
        )
        self.log.append(f"{table} {row}: {column} = {value!r}")
        return found.rowcount > 0

    def _plant(self) -> None:
        """Replace a name by something of another kind."""
        names = [self._site.root / name for name in STATE_NAMES]
        path = self._dice.choice([*names, self._dice.choice(self._files())])
        kind = self._dice.choice(KINDS)
        clear(path)
        self._loses_pages |= path == self._site.root / "web/simple" or "/simple/" in str(path)
        plant(path, kind, self._site.home / "neighbour")
        if kind != "nothing":
            self._planted.append(path)
        self.log.append(f"{path.relative_to(self._site.root)} is made {kind}")


def clear(path: Path) -> None:
    """Take away whatever is at a path."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.is_symlink() or path.exists():
        path.unlink()


def plant(path: Path, kind: str, outside: Path) -> None:
    """Put something of a kind where nothing is."""
    if not path.parent.is_dir() or path.parent.is_symlink():
        return
    makers: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "file": lambda: path.write_bytes(b"not expected here"),
        "link": lambda: path.symlink_to(outside / "precious.txt"),
        "dangling": lambda: path.symlink_to(outside / "nothing"),
        "fifo": lambda: os.mkfifo(path),
        "directory": path.mkdir,
        "socket": lambda: _bind(path),
    }
    makers[kind]()


def _bind(path: Path) -> None:
    here = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(f"/proc/self/fd/{here}/{path.name}")
    finally:
        os.close(here)
