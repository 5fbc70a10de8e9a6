"""State machines with a storage in memory that fails and loses power.

Nothing else changes the tree here: a run trusts what it has verified, and only ``verify`` detects
such changes.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from bandersnatch.catalogue.records import Marker, RootMarker
from bandersnatch.errors import StorageError
from bandersnatch.layout import StorageKey
from tests.support.machines import FollowingTheList, MirrorMachine
from tests.support.world import KillableCatalogue, KillableStorage, World, names

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bandersnatch.config.schema import ApiMethod
    from tests.support.clock import QuickClock
    from tests.support.index import Index

Objects = dict[StorageKey, tuple[bytes, int]]


@dataclass
class Step:
    """A change since the last flush: new content of a key, or a moved or deleted key."""

    key: StorageKey
    content: bytes | None = None
    modified: int = 0
    goes: StorageKey | None = None
    lasts: bool = False

    def apply(self, to: Objects, random_source: random.Random) -> None:
        """Apply the change, with its content or without."""
        if self.goes is not None:
            moved = to.pop(self.goes, None)
            if moved is not None and self.goes != self.key:
                to[self.key] = moved
        elif self.content is not None:
            whole = self.lasts or random_source.random() < 0.5
            to[self.key] = (self.content if whole else b"", self.modified)


class LossyStorage(KillableStorage):
    """Loses, at a power cut, changes since the last flush that were not durable.

    As on disks with a journal, names reach it in order, and each new file with all its content or
    none.
    """

    def __init__(self) -> None:
        super().__init__()
        self._durable: Objects = {}
        self._since: list[Step] = []
        self.fail_after = -1

    def _count(self) -> None:
        super()._count()
        if self.fail_after == 0:
            self.fail_after = -1
            raise StorageError("somewhere", "No space left on device")
        self.fail_after -= self.fail_after > 0

    def put(self, key: StorageKey, content: bytes, modified: int | None = None) -> None:
        super().put(key, content, modified)
        self._since.append(Step(key, content, self.modified[key]))

    async def write(
        self, objects: Mapping[StorageKey, bytes], /, **keywords: Any
    ) -> Sequence[StorageKey]:
        begin = len(self._since)
        changed = await super().write(objects, **keywords)
        self._since += [Step(key, goes=key) for key in changed if key not in objects]
        for step in self._since[begin:]:
            step.lasts = keywords.get("durable", False)
        return changed

    def move(self, source: StorageKey, target: StorageKey) -> None:
        if source in self.objects:
            self.objects[target] = self.objects.pop(source)
            self.modified[target] = self.modified.pop(source)
            self._since.append(Step(target, goes=source))

    async def purge(self, keys: Collection[StorageKey], /) -> None:
        await super().purge(keys)
        self._since += [Step(key, goes=key) for key in keys]

    async def flush(self) -> None:
        self._count()
        self._durable = {key: (text, self.modified[key]) for key, text in self.objects.items()}
        self._since.clear()

    def lose_power(self, random_source: random.Random) -> None:
        """Become what a disk has after a power cut."""
        reached = random_source.randint(0, len(self._since))
        for number, step in enumerate(self._since):
            if step.lasts or number < reached:
                step.apply(self._durable, random_source)
        self._since.clear()
        self.partial.clear()
        self.objects = {key: text for key, (text, _) in self._durable.items()}
        self.modified = {key: time for key, (_, time) in self._durable.items()}


class LossyWorld(World):
    """A mirror on a disk that fails and loses power."""

    def __init__(self, index: Index, clock: QuickClock, method: ApiMethod) -> None:
        super().__init__(index, clock, method)
        self.storage: LossyStorage = LossyStorage()
        self.catalogue = KillableCatalogue(self.storage)

    def run(self, kill_after: int = -1) -> None:
        """Run ``mirror``; the disk may fail during the run."""
        with contextlib.suppress(StorageError):
            super().run(kill_after)
        self.storage.fail_after = -1


class LossyMachine(MirrorMachine):
    """Adds failures and power cuts of the disk."""

    @initialize()
    def begin(self) -> None:
        super().begin()
        self.world: LossyWorld = LossyWorld(self.index, self.clock, self.method)

    @rule(kill_after=st.integers(0, 60), seed=st.integers(0, 1000))
    def lose_power(self, kill_after: int, seed: int) -> None:
        self.killed = True
        self.world.run(kill_after)
        self.world.storage.lose_power(random.Random(seed))

    @rule(name=names, kill_after=st.integers(0, 15), seed=st.integers(0, 1000))
    def lose_power_in_sync(self, name: str, kill_after: int, seed: int) -> None:
        self.killed = True
        self.world.sync(name, kill_after)
        self.world.storage.lose_power(random.Random(seed))

    @rule(fail_after=st.integers(0, 60))
    def have_the_disk_fail(self, fail_after: int) -> None:
        self.killed = True
        self.world.storage.fail_after = fail_after
        self.world.run()

    def in_hand(self) -> frozenset[str]:
        """Return the projects that the mirror has pending; the root page by its file name."""
        pending = (self.world.text("todo") or "").splitlines()[1:]
        known = {line.split()[0] for line in pending} | self.world.catalogue.deferrals.keys()
        if self.world.catalogue.markers.get(Marker.ROOT) != RootMarker.WRITTEN:
            known.add("index.v1_json")
        return frozenset(known)


class LossyAndFollowingTheList(LossyMachine, FollowingTheList):
    """The same with an index that has no changelog."""

    method = FollowingTheList.method
