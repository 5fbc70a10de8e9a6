"""The adapters that the contract suites of the catalogue run against."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from bandersnatch.catalogue.overlay import DryRunCatalogue
from bandersnatch.catalogue.records import (
    CatalogueUpdate,
    Deferral,
    Marker,
)
from bandersnatch.catalogue.sqlite import SqliteCatalogue
from bandersnatch.model.names import project_name
from tests.support.memory_catalogue import MemoryCatalogue
from tests.support.records import make_record, make_removed, make_unfinished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from bandersnatch.catalogue.port import Catalogue, MirrorCatalogue
    from bandersnatch.config.catalogue import CatalogueSettings
    from tests.support.postgres import SharedPostgres


BASE = CatalogueUpdate(
    records=[make_record("base-b", "1.zip", "2.zip", serial=20), make_record("base-a", serial=10)],
    deferred=[make_unfinished("base-u"), make_unfinished("base-b", deferral=Deferral.INCOMPLETE)],
    trashed=[make_removed("base-2", at=50), make_removed("base-1", at=60)],
    markers={Marker.LISTING: "note", Marker.ROOT: ""},
)
"""The initial content of every catalogue; that of a dry run is in the real one."""


FOO = project_name("foo")


BASE_A, BASE_B, BASE_U = project_name("base-a"), project_name("base-b"), project_name("base-u")


@asynccontextmanager
async def sqlite(home: Path) -> AsyncIterator[MirrorCatalogue]:
    async with SqliteCatalogue(str(home)) as catalogue:
        await catalogue.commit(BASE)
        yield catalogue


@asynccontextmanager
async def memory(_: Path) -> AsyncIterator[MirrorCatalogue]:
    catalogue = MemoryCatalogue()
    await catalogue.commit(BASE)
    yield catalogue


@asynccontextmanager
async def dry_run(home: Path) -> AsyncIterator[MirrorCatalogue]:
    """Yield a dry run, and assert that the real catalogue does not change."""
    async with sqlite(home) as real:
        before = await state(real)
        async with DryRunCatalogue(str(home)) as catalogue:
            yield catalogue
        assert await state(real) == before


@asynccontextmanager
async def postgres(settings: CatalogueSettings) -> AsyncIterator[MirrorCatalogue]:
    from bandersnatch.catalogue.postgres.catalogue import PostgresCatalogue  # noqa: PLC0415

    async with PostgresCatalogue(settings) as catalogue:
        await catalogue.commit(BASE)
        yield catalogue


@asynccontextmanager
async def postgres_dry_run(settings: CatalogueSettings) -> AsyncIterator[MirrorCatalogue]:
    """Yield a dry run, and assert that the real catalogue does not change."""
    from bandersnatch.catalogue.postgres.catalogue import PostgresDryRun  # noqa: PLC0415

    async with postgres(settings) as real:
        before = await state(real)
        async with PostgresDryRun(settings) as catalogue:
            yield catalogue
        assert await state(real) == before


_LOCAL: dict[str, Callable[[Path], AbstractAsyncContextManager[MirrorCatalogue]]] = {
    "sqlite": sqlite,
    "memory": memory,
    "dry run": dry_run,
}
_SERVED: dict[str, Callable[[CatalogueSettings], AbstractAsyncContextManager[MirrorCatalogue]]] = {
    "postgres": postgres,
    "postgres dry run": postgres_dry_run,
}
ADAPTERS = (*_LOCAL, *_SERVED)
RARELY_SERVED = (*_LOCAL, *(pytest.param(each, marks=pytest.mark.nightly) for each in _SERVED))
"""The same, for tests of hundreds of commits; those in a database are not for every change."""


def open_adapter(
    name: str, home: Path, server: SharedPostgres
) -> AbstractAsyncContextManager[MirrorCatalogue]:
    """Open a new catalogue of one kind; skip the test if it needs what is missing."""
    if name in _SERVED:
        return _SERVED[name](server.get().settings())
    return _LOCAL[name](home)


async def state(catalogue: Catalogue) -> dict[str, object]:
    """Return the content of a catalogue."""
    had = await catalogue.summaries(None)
    return {
        "had": list(had.items()),
        "count": await catalogue.count(),
        "projects": [await catalogue.project(name) for name in had],
        "unfinished": list(await catalogue.deferred()),
        "removed": list(await catalogue.trash()),
        "notes": [
            await catalogue.marker(key) for key in (Marker.LISTING, Marker.ROOT, Marker.FILTERS)
        ],
    }
