"""Fills the catalogue of a mirror with 700,000 projects, without syncing each of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch.catalogue.records import CatalogueUpdate, ProjectRecord
from bandersnatch.catalogue.sqlite import SqliteCatalogue
from bandersnatch.model.content import Validators
from bandersnatch.model.names import ProjectName
from bandersnatch.model.serials import Serial

if TYPE_CHECKING:
    from pathlib import Path

    from generate import Index, Project

SYNCED = 600
"""Projects that are synced; more than the pages that a run samples at its start."""

_BATCH = 10_000

_VERSIONS = ("0.1.0", "0.1.1", "0.2.0", "1.0.0")
"""Versions of each project, so that its row is as long as that of a real one."""


def prefill(mirror: Path, index: Index, synced: Index) -> None:
    """Add a row for each project of an index to a mirror's catalogue.

    ``synced`` has the projects that were synced: the first ones by name, so many that each run
    finds the pages that it samples to check that catalogue and tree belong together.
    """
    others = [each for name, each in index.projects.items() if name not in synced.projects]
    asyncio.run(_prefill(mirror, next(iter(synced.projects)), others))


async def _prefill(mirror: Path, name: str, projects: list[Project]) -> None:
    async with SqliteCatalogue(str(mirror)) as catalogue:
        known = await catalogue.project(ProjectName(name))
        assert known is not None, "the first project was not synced"
        for start in range(0, len(projects), _BATCH):
            some = projects[start : start + _BATCH]
            await catalogue.commit(CatalogueUpdate(records=[_like(known, each) for each in some]))


def _like(known: ProjectRecord, project: Project) -> ProjectRecord:
    name, serial = ProjectName(project.name), Serial(project.serial)
    return structs.replace(
        known,
        detail=replace(known.detail, name=name, serial=serial, versions=_VERSIONS),
        display=project.name,
        reflects=serial,
        validators=Validators(etag=f'"{project.serial:024x}"', body=f"{project.serial:032x}"),
    )
