"""An index, and a mirror of it in memory that can be killed at any change of its storage."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from bandersnatch.config.schema import (
    ApiMethod,
    IndexSettings,
    PageSettings,
    RunSettings,
    Settings,
    StorageSettings,
)
from bandersnatch.filters.chain import FilterChain
from bandersnatch.layout import StorageKey
from bandersnatch.mirror.mirror import Mirror
from bandersnatch.mirror.preparation import RunOptions
from bandersnatch.mirror.run import MirrorRun
from bandersnatch.mirror.sync import sync
from bandersnatch.model.names import project_name
from tests.support.fake_index import FakePackageIndex
from tests.support.memory_catalogue import MemoryCatalogue
from tests.support.memory_storage import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from bandersnatch.catalogue.records import CatalogueUpdate
    from tests.support.clock import QuickClock
    from tests.support.index import Index


NAMES = ("Alpha", "beta", "Gamma_x")


names = st.sampled_from(NAMES)


class Killed(BaseException):
    """The process ends here, without a chance to clean up."""


class KillableStorage(MemoryStorage):
    """Raises ``Killed`` before the n-th change; earlier changes persist."""

    kill_after = -1

    def _count(self) -> None:
        if self.kill_after == 0:
            raise Killed
        self.kill_after -= 1

    def put(self, key: StorageKey, content: bytes, modified: int | None = None) -> None:
        self._count()
        super().put(key, content, modified)

    async def write(
        self, objects: Mapping[StorageKey, bytes], /, **keywords: Any
    ) -> Sequence[StorageKey]:
        self._count()
        return await super().write(objects, **keywords)

    async def discard(self, keys: Collection[StorageKey], /) -> None:
        self._count()
        await super().discard(keys)

    async def recover(self, keys: Collection[StorageKey], /) -> None:
        self._count()
        await super().recover(keys)


class KillableCatalogue(MemoryCatalogue):
    """Raises ``Killed`` before a commit, counted together with the changes of the storage."""

    def __init__(self, storage: KillableStorage) -> None:
        super().__init__()
        self._storage = storage

    async def commit(self, batch: CatalogueUpdate, /) -> None:
        self._storage._count()
        await super().commit(batch)


class World:
    """An index, and a mirror of it in memory."""

    def __init__(self, index: Index, clock: QuickClock, method: ApiMethod) -> None:
        self.index = index
        self.clock = clock
        self.upstream = FakePackageIndex(index, clock)
        self.storage = KillableStorage()
        self.catalogue = KillableCatalogue(self.storage)
        self.method = method
        self.report: list[object] = []

    def mirror(self) -> Mirror:
        """Return the mirror as a run uses it."""
        self.catalogue.was_changed = False  # as if it had been opened now
        return Mirror(
            index=self.upstream,
            storage=self.storage,
            catalogue=self.catalogue,
            clock=self.clock,
            events=self.report.append,
            settings=Settings(
                StorageSettings("/nowhere"),
                IndexSettings(INDEX_URL, api_method=self.method),
                pages=PageSettings(),
                run=RunSettings(max_removals=100),
            ),
            filters=FilterChain(),
        )

    def run(self, kill_after: int = -1) -> None:
        """Run ``mirror``, killed after so many changes."""
        self.storage.kill_after = kill_after
        with contextlib.suppress(Killed):
            asyncio.run(MirrorRun(self.mirror(), RunOptions()).run())
        self.storage.kill_after = -1

    def sync(self, name: str, kill_after: int = -1) -> None:
        """Run ``sync``, killed after so many changes."""
        self.storage.kill_after = kill_after
        with contextlib.suppress(Killed):
            asyncio.run(sync(self.mirror(), [project_name(name)]))
        self.storage.kill_after = -1

    def text(self, key: str) -> str | None:
        """Return the text at a key, None without one."""
        content = self.storage.objects.get(StorageKey(key))
        return None if content is None else content.decode()

    @property
    def status(self) -> int:
        """The serial in ``status``."""
        return int(self.text("status") or 0)

    def page(self, name: str) -> dict[str, Any] | None:
        """Return a project's JSON page, None without one."""
        text = self.text(f"web/simple/{project_name(name)}/index.v1_json")
        return None if text is None else json.loads(text)

    def tree(self) -> dict[str, bytes]:
        """Return the content of everything that is served, by key."""
        return {
            key: content
            for key, content in self.storage.objects.items()
            if key.startswith("web/") and key not in {"web/last-modified", "web/.mirror"}
        }


INDEX_URL = "https://index.example.org"
