"""Projects that are on their way out of a mirror by name: gone for good once that began."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch.mirror.checkpoint import MOST_WAITING, ROOT, ROOT_STALE, ROOT_WRITTEN
from bandersnatch.mirror.root import publish_root
from bandersnatch.model.project import ProjectDetail
from bandersnatch.records import (
    DELETED,
    SET_ASIDE,
    Batch,
    ProjectRecord,
    Standing,
    Validators,
)

if TYPE_CHECKING:
    from datetime import datetime

    from bandersnatch.mirror.parts import Mirror
    from bandersnatch.model.names import ProjectName
    from bandersnatch.records import Unfinished


async def finish_deletions(mirror: Mirror, began: datetime) -> None:
    """Take away the projects that are marked to go, and no others.

    Out of the root page first, then their pages, then their files, and then the marks: wherever
    this is stopped, what opens the tree next goes on with it.
    """
    marks = await marked(mirror)
    removals, publisher = mirror.removals(began), mirror.publisher()
    await publish_root(mirror, without_names=marks, always=True)
    names = list(marks)
    for start in range(0, len(names), MOST_WAITING):
        some = names[start : start + MOST_WAITING]
        spelled = {name: marks[name].display for name in some}
        batch = await removals.remove_projects(some, mirror.catalogue, publisher, spelled)
        batch.finished += some
        batch.notes[ROOT] = ROOT_STALE
        aside = [marks[name] for name in some if marks[name].kind == SET_ASIDE]
        batch.records += [await _left_out(mirror, mark) for mark in aside]
        await mirror.storage.barrier()
        await mirror.catalogue.commit(batch)
    await mirror.catalogue.commit(Batch(notes={ROOT: ROOT_WRITTEN}))


async def marked(mirror: Mirror) -> dict[ProjectName, Unfinished]:
    """Return the projects that are on their way out by name."""
    unfinished = await mirror.catalogue.unfinished()
    return {each.name: each for each in unfinished if each.kind in {DELETED, SET_ASIDE}}


async def _left_out(mirror: Mirror, mark: Unfinished) -> ProjectRecord:
    """Return what is remembered of a project that is away until the index changes it.

    Neither what the mirror knows of already, nor other terms from before, count as a change.
    """
    record = await mirror.catalogue.project(mark.name)
    if record is None:
        record = ProjectRecord(ProjectDetail(mark.name), "", mark.need, "", Validators(), ())
    return replace(
        record,
        detail=record.detail.without_files(),
        reflects=max(record.reflects, mark.need),
        terms=mirror.terms(mark.name),
        files=(),
        standing=Standing.LEFT_OUT,
        due=None,
    )
