"""A second user of the tree, who renames, links, truncates and swaps in it beside a run.

He acts right before calls of the program, so also between a check and the act that follows. What
is outside of the mirror must not change, and the program must not end by a bug. When he has taken
away what he brought, ``verify`` and ``mirror`` must give the tree of a clean mirror.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos.system_errors import COMMANDS, assert_allowed, prepare
from tests.support.interception import intercepted
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.chaos.case import Case

RAREST = 60
"""Calls of the program for one act of the user, at most."""

AREAS = ("web/simple", "web/packages", "removed", ".partial")
"""Where he acts. He leaves the areas themselves in their places, and the state."""

LIMIT = 60
"""Seconds in which a run must have ended."""


@dataclass
class SecondUser:
    """The acts of one seed."""

    case: Case
    seed: int
    acts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Choose the command, and how often he acts."""
        self._dice = random.Random(self.seed)
        self.command = self._dice.choice((COMMANDS[0], self._dice.choice(COMMANDS[1:])))
        self._chance = 1 / RAREST ** self._dice.random()
        self._lock = threading.Lock()
        self._root = self.case.site.root
        self._outside = self.case.site.home / "neighbour"
        self._aside = self.case.site.home.parent / "aside"
        self._pipes: list[Path] = []
        self._is_over = False
        self._count = 0

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.command}\n" + "\n".join(self.acts)

    def play(self) -> None:
        """Run the command beside the user, judge it, and let the mirror heal."""
        case = self.case
        prepare(case)
        self._aside.mkdir()
        known = {path: self._content(each) for path, _, each in self._walk(self._root)}
        before = case.snapshot()
        timer = threading.Timer(LIMIT, self._open_pipes)
        timer.start()
        try:
            with intercepted(lambda *_: self._maybe_act()):
                ran = case.site.run(*self.command)
        finally:
            timer.cancel()
            timer.join()
        assert not self._is_over, f"it waited for a pipe\n{self}"
        assert_allowed(ran, str(self))
        wrong = list(case.oracle.surroundings(before, case.snapshot()))
        assert not wrong, "\n".join([str(self), *map(str, wrong), ran.log])
        clean = self._clean_tree()
        self._take_away(known, clean)
        self._heal(clean)

    def _heal(self, clean: Mapping[str, int]) -> None:
        case = self.case
        case.clock.advance(hours=1)
        is_left = False
        for command in (("verify",), ("mirror", "--force-check")):
            ran = case.site.run(*command)
            assert_allowed(ran, str(self))
            if "rebuil" in ran.log:  # no page says whose some files are: the operator deletes them
                self._take_away({}, clean)
            if "bandersnatch mirror --rebuild" in ran.log:
                ran = case.site.mirror("--rebuild")
            assert ran.code in {0, 8}, f"{command}: {ran.code}\n{self}\n{ran.log}"
            is_left |= ran.code == 8
            for name in ran.report.get("unreadable", ()):  # he does what verify advises
                assert case.site.run("delete", "--until-next-change", name).code == 0, str(self)
        if is_left:  # what the index cannot replace leaves with its project, at the second look
            case.clock.advance(hours=1)
            assert case.site.mirror().code == 0, str(self)
        case.index.release("gamma", "3.0")  # a deleted project comes back with its next change
        try:
            case.heals(hours=1)
        except AssertionError as error:
            error.add_note(str(self))
            raise

    def _open_pipes(self) -> None:
        """Let a program go on that waits for a pipe."""
        self._is_over = True
        for path in self._pipes:
            if path.is_fifo():
                os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))

    # ------------------------------------------------------------ acts

    def _maybe_act(self) -> None:
        with self._lock:
            if self._dice.random() >= self._chance:
                return
            path = self._place()
            if path is None:
                return
            often = (self._rename, self._away, self._link, self._truncate, self._swap)
            act = self._dice.choice((*often, self._plant, self._share, self._remove))
            with suppress(OSError, shutil.Error):  # what he wants may be impossible
                said = act(path)
                self.acts.append(f"{act.__name__[1:]} {path.relative_to(self._root)} {said}")

    def _place(self) -> Path | None:
        """Return a path below an area that exists."""
        path = self._root / self._dice.choice(AREAS)
        while True:
            if path.is_symlink() or not path.is_dir():
                return path
            names = sorted(each.name for each in path.iterdir())
            if not names:
                return None if self._is_area(path) else path
            if not self._is_area(path) and self._dice.random() < 0.2:
                return path
            path = path / self._dice.choice(names)

    def _is_area(self, path: Path) -> bool:
        return str(path.relative_to(self._root)) in AREAS

    def _new_name(self) -> str:
        self._count += 1
        return f"his{self._count}"

    def _rename(self, path: Path) -> str:
        other = self._place()
        target = path.with_name(self._new_name())
        if other is not None and self._dice.random() < 0.5:
            target = other.with_name(path.name)
        path.rename(target)
        return f"to {target}"

    def _away(self, path: Path) -> str:
        path.rename(self._aside / self._new_name())
        return ""

    def _link(self, path: Path) -> str:
        targets = (self._outside, self._outside / "precious.txt", self._outside / "never")
        target = self._dice.choice((*targets, path, self._place() or path))
        path.rename(self._aside / self._new_name())
        path.symlink_to(target)
        return f"to {target}"

    def _truncate(self, path: Path) -> str:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            return "no"
        os.truncate(path, found.st_size // self._dice.choice((2, 1_000_000)))
        return "yes"

    def _swap(self, path: Path) -> str:
        other = self._place()
        if other is None or other == path:
            return "no"
        between = self._aside / self._new_name()
        path.rename(between)
        other.rename(path)
        between.rename(other)
        return f"with {other}"

    def _plant(self, path: Path) -> str:
        path.rename(self._aside / self._new_name())
        kind = self._dice.choice(("directory", "pipe", "file"))
        if kind == "directory":
            (path / "inner").mkdir(parents=True)
        elif kind == "pipe":
            os.mkfifo(path)
            self._pipes.append(path)
        else:
            path.write_bytes(b"his")
        return kind

    def _share(self, path: Path) -> str:
        """Put a second name of a file outside at a path."""
        if path.is_dir():
            return "no"
        path.rename(self._aside / self._new_name())
        os.link(self._outside / "precious.txt", path)
        return "yes"

    def _remove(self, path: Path) -> str:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
        return ""

    # ------------------------------------------------------------ what he brought

    @staticmethod
    def _content(path: Path) -> bytes | None:
        """Return the content of a file, None if it is not a regular one."""
        return path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else None

    def _walk(self, top: Path) -> list[tuple[str, int, Path]]:
        found = []
        for where, directories, names in os.walk(top):
            for name in (*directories, *names):
                path = top / where / name
                relative = str(path.relative_to(top))
                found.append((relative, stat.S_IFMT(path.lstat().st_mode), path))
        return found

    def _clean_tree(self) -> Mapping[str, int]:
        """Return the types of everything in a new mirror."""
        home = self.case.site.home.parent / "reference"
        home.mkdir()
        reference = Site(home, self.case.server)
        reference.clock = self.case.clock
        assert reference.mirror().code == 0
        return {path: kind for path, kind, _ in self._walk(reference.root)}

    def _take_away(self, known: Mapping[str, bytes | None], clean: Mapping[str, int]) -> None:
        """Remove what neither the mirror had before nor a clean one has, and all links."""
        # Files move between the served tree and the trash.
        had = {path.partition("/")[2]: content for path, content in known.items()}
        for relative, kind, path in reversed(self._walk(self._root)):
            area, _, rest = relative.partition("/")
            is_state = area not in {"web", "removed", ".partial"}
            if not os.path.lexists(path) or (is_state and kind == stat.S_IFREG):
                continue  # his pipe may have been renamed to the name of a state file
            if kind == stat.S_IFDIR:
                is_ours = had.get(rest, b"") is None and relative not in clean
                if clean.get(relative) != kind and not is_ours:
                    shutil.rmtree(path)
            elif kind != stat.S_IFREG or (
                clean.get(relative) != kind and had.get(rest) != self._content(path)
            ):
                path.unlink()
