"""What leaves a mirror at the end of a run, if it may: decided as a whole, then done in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.config.settings import RemovedProjects
from bandersnatch.mirror.checkpoint import ROOT, ROOT_WRITTEN
from bandersnatch.mirror.parts import publish_root
from bandersnatch.model.serials import NO_SERIAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from bandersnatch.mirror.checkpoint import Checkpoint
    from bandersnatch.mirror.parts import Mirror
    from bandersnatch.mirror.plan import Wanted
    from bandersnatch.mirror.state import MirrorState
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

    From the root page first, then their pages, then their files.
    """
    await publish_root(mirror, without_names=projects, always=force or bool(projects))
    removals = mirror.removals(began)
    removed = await removals.remove_projects(sorted(projects), mirror.catalogue, mirror.publisher())
    removed.records += [leaving.rejected[n] for n in sorted(projects & leaving.rejected.keys())]
    removed.forgotten += [name for name, wish in leaving.told.items() if wish.left_out]
    removed.notes[ROOT] = ROOT_WRITTEN
    await checkpoint.commit(removed)
    lying = await mirror.catalogue.removed()
    await checkpoint.commit(await removals.expire(lying, mirror.settings.run.removal_grace))


async def remove_strays(
    mirror: Mirror,
    state: MirrorState,
    unfinished: Iterable[ProjectName],
    checkpoint: Checkpoint,
    began: datetime,
) -> None:
    """Take away the page of what an earlier run had in hand, and nobody wants any more.

    It was published, perhaps, when that run was killed, and not recorded; no list tells of it.
    """
    if mirror.settings.run.removed_projects is RemovedProjects.KEEP:
        return
    handled = dict.fromkeys(unfinished, NO_SERIAL) | dict(state.todo.pending if state.todo else {})
    known = (await mirror.catalogue.had(handled)).keys() | checkpoint.pending.keys()
    strays = [name for name in handled if name not in known]
    removals = mirror.removals(began)
    await checkpoint.commit(
        await removals.remove_projects(strays, mirror.catalogue, mirror.publisher())
    )
