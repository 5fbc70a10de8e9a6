"""Random histories of a mirror that follows dependencies, in memory.

A seed gives the same history each time: projects that need one another, also in rings, with bad
core metadata, requirements that are not any, projects that do not exist, limits, kills at any
change, lost and damaged core metadata, and dependants that leave. Every run comes to its end. In
the end everything is mended, and the tree must have what a new mirror has.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch.config.schema import ApiMethod
from bandersnatch.errors import BandersnatchError, UnexpectedError
from bandersnatch.events import Halted, ProjectFailed
from bandersnatch.mirror.preparation import RunOptions
from bandersnatch.mirror.run import MirrorRun
from tests.support.clock import QuickClock
from tests.support.closure_world import ClosureWorld
from tests.support.closures import metadata, release
from tests.support.index import Index
from tests.support.world import Killed

if TYPE_CHECKING:
    from collections.abc import Callable

    from bandersnatch.mirror.mirror import Mirror

CHANGES = 3_000
"""Changes of the storage and the catalogue in one run; a run that does not end makes more."""

ROOTS = ("r", "s")
VERSIONS = ("1.0", "1.1", "2.0", "2.1", "3.0")
NOT_METADATA = (
    b"",
    b"\xff\xfe\x00",
    b"no header\n\n",
    b"Metadata-Version: none\n\n",
    b"Metadata-Version: 2.1\n" + b"Requires-Dist: a\n" * 3 + b"\x00\n",
    b"Metadata-Version: 2.1\n" + b"".join(b"Requires-Dist: p%d\n" % n for n in range(10_001)),
)
NOT_REQUIREMENTS = (
    *("", "!!!", "a b", "-e .", "a @", "a @ https://example.org/a.zip", "a[", "a>=", "\x00"),
    *("a; python_version", "a; extra == ", "a" * 5_000, "a>=1.*", "a (>=1.0,)", "a >='1.0'"),
    "a" + ">=1," * 900,
)


class SeededWorld(ClosureWorld):
    """A mirror of two projects and of what they need; limits may be set."""

    allowed: tuple[str, ...] = ROOTS
    max_projects = 5_000
    depth: int | None = None

    def mirror(self) -> Mirror:
        """Return the mirror with the limits."""
        plain = super().mirror()
        assert plain.closure is not None
        limited = structs.replace(
            plain.settings.closure, max_projects=self.max_projects, depth=self.depth
        )
        plain.closure.settings = limited
        return replace(plain, settings=structs.replace(plain.settings, closure=limited))


class ClosureHistory:
    """The history of a seed."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self.has_rings = self._dice.random() < 0.5
        self._names = "abcdef"[: self._dice.randint(2, 6)]
        self._published: set[tuple[str, str]] = set()
        self.world = SeededWorld(Index(), QuickClock(), ApiMethod.XMLRPC)
        self.log: list[str] = []

    def play(self) -> None:
        """Play the whole history."""
        for name in (*ROOTS, *self._names):
            self._release(name)
        self._run()
        for _ in range(self._dice.randint(2, 5)):
            for _ in range(self._dice.randint(1, 3)):
                self._dice.choice(self._events())()
            self._run()
        self._recover()

    # ------------------------------------------------------------ events

    def _events(self) -> list[Callable[[], None]]:
        return [
            *(self._release_any, self._release_any, self._release_any, self._bad_metadata),
            *(self._leave, self._limit, self._lose_sidecar, self._damage_sidecar),
        ]

    def _release_any(self) -> None:
        self._release(self._dice.choice((*ROOTS, *self._names)))

    def _free(self, name: str) -> str | None:
        free = [each for each in VERSIONS if (name, each) not in self._published]
        version = self._dice.choice(free) if free else None
        if version is not None:
            self._published.add((name, version))
        return version

    def _release(self, name: str) -> None:
        version = self._free(name)
        if version is not None:
            asked = {self._requirement(name) for _ in range(self._dice.randint(0, 4))}
            self.log.append(f"{name} {version} needs {sorted(asked)}")
            release(self.world.index, name, version, *sorted(asked), extras=("e", "f"))

    def _requirement(self, name: str) -> str:
        dice = self._dice
        if dice.random() < 0.1:
            return dice.choice(NOT_REQUIREMENTS).replace("\x00", "").replace("a", "absent", 1)
        needed = [each for each in self._names if self.has_rings or each > name or name in ROOTS]
        needed.append("absent")
        extra = dice.choice(["", "", "[e]", "[f]", "[e,f]"])
        specifier = dice.choice(["", "", "<2", ">=2", "<1.1", "==2.0", ">9"])
        marker = dice.choice(["", "", "; extra == 'e'", "; sys_platform == 'win32'"])
        return f"{dice.choice(needed)}{extra}{specifier}{marker}"

    def _bad_metadata(self) -> None:
        name = self._dice.choice((*ROOTS, *self._names))
        version = self._free(name)
        if version is not None:
            text = self._dice.choice(NOT_METADATA)
            self.log.append(f"{name} {version} has bad metadata {text[:40]!r}")
            filename = f"{name}-{version}-py3-none-any.whl"
            self.world.index.upload(name, version, filename, metadata=text)

    def _leave(self) -> None:
        self.world.allowed = ROOTS if self.world.allowed != ROOTS else (self._dice.choice(ROOTS),)
        self.log.append(f"selected: {self.world.allowed}")

    def _limit(self) -> None:
        self.world.max_projects = self._dice.choice([1, 2, 3, 5_000])
        self.world.depth = self._dice.choice([None, 1, 2])
        self.log.append(f"limits: {self.world.max_projects}, {self.world.depth}")

    def _sidecars(self) -> list[str]:
        return sorted(key for key in self.world.storage.objects if key.endswith(".metadata"))

    def _lose_sidecar(self) -> None:
        for key in self._dice.sample(self._sidecars(), min(1, len(self._sidecars()))):
            self.log.append(f"lost: {key}")
            del self.world.storage.objects[key]  # type: ignore[arg-type]

    def _damage_sidecar(self) -> None:
        for key in self._dice.sample(self._sidecars(), min(1, len(self._sidecars()))):
            self.log.append(f"damaged: {key}")
            damaged = metadata("x", "1.0", ["absent", "!!!"])
            self.world.storage.objects[key] = damaged  # type: ignore[index]

    # ------------------------------------------------------------ running

    def _run(self) -> None:
        """Run ``mirror``, which may be killed; it always ends, and without a bug."""
        kills = self._dice.random() < 0.4
        self._end(self._dice.randint(0, 40) if kills else CHANGES, is_killed=kills)

    def _end(self, changes: int, *, is_killed: bool = False) -> None:
        world = self.world
        world.storage.kill_after = changes
        world.report.clear()
        try:
            asyncio.run(MirrorRun(world.mirror(), RunOptions()).run())
        except Killed:
            assert is_killed, f"the run does not end: {self.log}"
        except BandersnatchError as error:
            self.log.append(f"ended by {error}")
        finally:
            world.storage.kill_after = -1
        self.log.append("run")
        failed = [each for each in world.report if isinstance(each, ProjectFailed)]
        bugs = [each for each in failed if isinstance(each.error, UnexpectedError)]
        assert not bugs, (bugs, self.log)

    def _recover(self) -> None:
        """Lift the limits, and let runs repair everything; compare with a new mirror."""
        world = self.world
        world.allowed, world.max_projects, world.depth = ROOTS, 5_000, None
        for _ in range(2):
            self._end(CHANGES)
        assert not [each for each in world.report if isinstance(each, Halted)], self.log
        new = SeededWorld(world.index, world.clock, world.method)
        new.run()
        expected, found = self._pages(new), self._pages(world)
        assert expected.keys() <= found.keys(), self.log
        if not self.has_rings:
            assert found == expected, self.log

    def _pages(self, world: SeededWorld) -> dict[str, bytes]:
        return {key: text for key, text in world.tree().items() if key.startswith("web/simple/")}
