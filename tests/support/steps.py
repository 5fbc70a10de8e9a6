"""A mirror in memory whose commands are killed before each change of its storage."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

from msgspec import structs

from bandersnatch.config.schema import ApiMethod, PageSettings
from bandersnatch.filters.chain import FilterChain
from bandersnatch.layout import TRASH, StorageKey
from bandersnatch.mirror.delete import delete
from bandersnatch.mirror.preparation import RunOptions
from bandersnatch.mirror.queries.why import why
from bandersnatch.mirror.restore import restore
from bandersnatch.mirror.run import MirrorRun
from bandersnatch.mirror.sync import sync
from bandersnatch.model.names import project_name
from bandersnatch.storage.dry_run import DryRunStorage
from tests.support.clock import QuickClock
from tests.support.index import Index
from tests.support.memory_storage import MemoryStorage
from tests.support.world import KillableCatalogue, KillableStorage, Killed, World

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterator

    from bandersnatch.mirror.mirror import Mirror


class StepStorage(KillableStorage):
    """Is killed between any two operations that a disk does one after the other."""

    def move(self, source: StorageKey, target: StorageKey) -> None:
        """Rename an object, whole or not at all."""
        if source in self.objects:
            self._count()
            MemoryStorage.put(self, target, self.objects[source], self.modified[source])
            del self.objects[source], self.modified[source]

    async def purge(self, keys: Collection[StorageKey], /) -> None:
        """Delete one object after the other."""
        for key in keys:
            self._count()
            await super().purge([key])


class StepWorld(World):
    """An index with three projects, and a mirror of it."""

    def __init__(self, method: ApiMethod = ApiMethod.AUTO) -> None:
        clock = QuickClock()
        index = Index(lambda: int(clock.now().timestamp()))
        index.release("Alpha", "1.0", sdist=True)
        index.release("beta", "1.0")
        index.release("Gamma", "1.0")
        super().__init__(index, clock, method)
        self.storage: StepStorage = StepStorage()
        self.catalogue = KillableCatalogue(self.storage)
        self.filters = FilterChain()
        self.pages = PageSettings(legacy_json=True)
        assert self.does(self.mirrors())

    def mirror(self) -> Mirror:
        """Return the mirror as a run uses it."""
        mirror = super().mirror()
        settings = structs.replace(mirror.settings, pages=self.pages)
        return replace(mirror, filters=self.filters, settings=settings)

    def does(self, command: Coroutine[Any, Any, object], kill_after: int = -1) -> bool:
        """Run a command; return whether it ended without being killed."""
        self.storage.kill_after = kill_after
        try:
            asyncio.run(command)
        except Killed:
            return False
        finally:
            self.storage.kill_after = -1
        return True

    def mirrors(self) -> Coroutine[Any, Any, object]:
        """Return a run of ``mirror``."""
        return MirrorRun(self.mirror(), RunOptions()).run()

    def plans(self) -> Coroutine[Any, Any, object]:
        """Return a dry run of ``mirror``."""
        mirror = self.mirror()
        storage, catalogue = DryRunStorage(mirror.storage), self.catalogue.copy()
        return MirrorRun(replace(mirror, storage=storage, catalogue=catalogue), RunOptions()).run()

    def syncs(self, name: str) -> Coroutine[Any, Any, object]:
        """Return a run of ``sync``."""
        return sync(self.mirror(), [project_name(name)])

    def deletes(self, *names: str, until_next_change: bool = False) -> Coroutine[Any, Any, object]:
        """Return a run of ``delete``."""
        spelled = {project_name(name): name for name in names}
        return delete(self.mirror(), spelled, until_next_change=until_next_change)

    def restores(self, *names: str) -> Coroutine[Any, Any, object]:
        """Return a run of ``restore``."""
        return restore(self.mirror(), [project_name(name) for name in names])

    def asks_why(self, name: str) -> list[str]:
        """Return the output of ``why``."""
        return asyncio.run(why(self.mirror(), project_name(name), None))

    # ------------------------------------------------------------ the tree

    def names(self) -> list[str]:
        """Return the projects that the root page names."""
        root = self.text("web/simple/index.v1_json")
        assert root is not None
        return [project["name"] for project in json.loads(root)["projects"]]

    def check(self) -> None:
        """Assert that each file that a page names exists, and each page that the root names."""
        objects = self.storage.objects
        for name in self.names():
            assert self.page(name) is not None, f"{name} has no page"
        for key, content in objects.items():
            if key.startswith("web/simple/") and key.endswith("/index.v1_json"):
                for file in json.loads(content).get("files", []):
                    path = "web/" + file["url"].removeprefix("../../")
                    assert StorageKey(path) in objects, f"{key} names {path}"
                    has_sidecar = StorageKey(f"{path}.metadata") in objects
                    assert not file.get("core-metadata") or has_sidecar, f"{path} lacks its sidecar"

    def forgotten_in_removed(self) -> set[StorageKey]:
        """Return the keys in ``removed/`` that the catalogue does not have: no run purges them."""
        return {key for key in self.storage.objects if key.startswith(TRASH)} - set(
            self.catalogue.trashed
        )

    def unowned(self) -> set[StorageKey]:
        """Return the release files that no page names."""
        named = set()
        for name in self.names():
            for file in (self.page(name) or {}).get("files", []):
                path = "web/" + file["url"].removeprefix("../../")
                named |= {path, f"{path}.metadata"}
        return {key for key in self.storage.objects if key.startswith("web/packages/")} - named


def killed_at_each_step(
    make: Callable[[], StepWorld], command: Callable[[StepWorld], Coroutine[Any, Any, object]]
) -> Iterator[StepWorld]:
    """Yield a world for each step before which a command was killed, and one without a kill."""
    for step in count():
        world = make()
        done = world.does(command(world), kill_after=step)
        yield world
        if done:
            assert step > 5, "a command has more steps"
            return
