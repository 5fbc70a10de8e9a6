"""What leaves a mirror at the end of a run, if it may: decided as a whole, then done in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.config.settings import RemovedProjects
from bandersnatch.mirror.checkpoint import MOST_WAITING, ROOT, ROOT_STALE, ROOT_WRITTEN
from bandersnatch.mirror.root import publish_root
from bandersnatch.records import PENDING, Batch, Standing

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from bandersnatch.mirror.checkpoint import Checkpoint
    from bandersnatch.mirror.parts import Mirror
    from bandersnatch.mirror.wanted import Wanted
    from bandersnatch.model.names import ProjectName
    from bandersnatch.records import ProjectRecord


@dataclass(frozen=True, slots=True)
class Leaving:
    """What is to leave the mirror, if it may.

    ``told`` are the projects that the index's journal says are gone, ``seen`` those that were
    seen to be. The filters do not want the projects ``deselected`` any more, nor, by their pages,
    ``rejected``, with what is to be remembered of these, nor any file of ``emptied``.
    """

    told: Mapping[ProjectName, Wanted]
    seen: Mapping[ProjectName, Wanted]
    deselected: frozenset[ProjectName]
    rejected: Mapping[ProjectName, ProjectRecord]
    emptied: Mapping[ProjectName, Wanted]

    @property
    def gone(self) -> frozenset[ProjectName]:
        """Those of the projects here that the index does not have any more."""
        return frozenset(n for n, w in {**self.told, **self.seen}.items() if not w.left_out)

    def is_unmarked(self, name: ProjectName) -> bool:
        """Whether no note in the catalogue tells that a project may be half gone."""
        if name in self.told:
            earlier = self.told[name].earlier
            return earlier is None or earlier.kind == PENDING
        return name in self.deselected

    @property
    def unwanted(self) -> frozenset[ProjectName]:
        """Those of the projects here that the filters want nothing of any more."""
        return self.deselected | self.rejected.keys()


async def let_go(
    mirror: Mirror,
    leaving: Leaving,
    projects: frozenset[ProjectName],
    checkpoint: Checkpoint,
    began: datetime,
    *,
    force: bool,
) -> None:
    """Remove ``projects``, those of ``leaving`` that may go, and what has waited long enough.

    From the root page first, then their pages, then their files. Until all of that is recorded
    the root page counts as one that does not show what the catalogue has.
    """
    if projects:
        await checkpoint.commit(Batch(notes={ROOT: ROOT_STALE}))
    await publish_root(mirror, without_names=projects, always=force or bool(projects))
    removals, publisher = mirror.removals(began), mirror.publisher()
    ordered = sorted(projects)
    for start in range(0, len(ordered), MOST_WAITING):
        some = ordered[start : start + MOST_WAITING]
        await checkpoint.mark(name for name in some if leaving.is_unmarked(name))
        removed = await removals.remove_projects(some, mirror.catalogue, publisher)
        removed.records += [leaving.rejected[name] for name in some if name in leaving.rejected]
        await checkpoint.commit(removed)
    forgotten = [name for name, wish in leaving.told.items() if wish.left_out]
    handled = [name for name in forgotten if leaving.told[name].handled]
    await remove_strays(mirror, handled, checkpoint, began)
    await checkpoint.commit(Batch(forgotten=forgotten, notes={ROOT: ROOT_WRITTEN}))
    await checkpoint.commit(
        await removals.expire(mirror.catalogue, mirror.settings.run.removal_grace)
    )


async def remove_strays(
    mirror: Mirror, handled: Collection[ProjectName], checkpoint: Checkpoint, began: datetime
) -> None:
    """Take away the page of what an earlier run had in hand, and nobody wants any more.

    It was published, perhaps, when that run was killed, and not recorded; no list tells of it.
    What the index does not have any more stays where that is wanted.
    """
    had = await mirror.catalogue.had(handled)
    here = {name for name, each in had.items() if each.standing is not Standing.LEFT_OUT}
    strays = [name for name in handled if name not in here]
    if mirror.settings.run.removed_projects is RemovedProjects.KEEP:
        strays = [n for n in strays if n in had or not mirror.filters.may_select(n)]
    removals = mirror.removals(began)
    await checkpoint.commit(
        await removals.remove_projects(strays, mirror.catalogue, mirror.publisher())
    )
