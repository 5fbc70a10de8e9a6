"""The state of a mirror of hundreds of thousands of projects, without syncing each of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import CatalogueUpdate, ProjectRecord
from bandersnatch.catalogue.sqlite import SqliteCatalogue
from bandersnatch.model.content import Validators
from bandersnatch.model.names import ProjectName
from bandersnatch.model.serials import Serial

if TYPE_CHECKING:
    from pathlib import Path

    from generate import Index, Project

SEEN = 600
"""Projects that are synced; more than those that a run looks for the pages of."""

_BATCH = 10_000

_VERSIONS = ("0.1.0", "0.1.1", "0.2.0", "1.0.0")
"""Of every project, so that its row is as long as that of one with releases."""


def pretend(mirror: Path, index: Index, seen: Index) -> None:
    """Let a mirror's catalogue know all projects of an index as it knows those that were synced.

    ``seen`` are these: the first ones by name, so many that every run finds the pages that it
    looks for to see that catalogue and tree belong together.
    """
    others = [each for name, each in index.projects.items() if name not in seen.projects]
    asyncio.run(_pretend(mirror, next(iter(seen.projects)), others))


async def _pretend(mirror: Path, name: str, projects: list[Project]) -> None:
    async with SqliteCatalogue(str(mirror)) as catalogue:
        known = await catalogue.project(ProjectName(name))
        assert known is not None, "the first project was not synced"
        for start in range(0, len(projects), _BATCH):
            some = projects[start : start + _BATCH]
            await catalogue.commit(CatalogueUpdate(records=[_like(known, each) for each in some]))


def _like(known: ProjectRecord, project: Project) -> ProjectRecord:
    name, serial = ProjectName(project.name), Serial(project.serial)
    return replace(
        known,
        detail=replace(known.detail, name=name, serial=serial, versions=_VERSIONS),
        display=project.name,
        reflects=serial,
        validators=Validators(etag=f'"{project.serial:024x}"', body=f"{project.serial:032x}"),
    )
