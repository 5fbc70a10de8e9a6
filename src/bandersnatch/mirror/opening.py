"""What commands begin with: a tree that is known and whole, and visits to projects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.events import Doing, Noticed
from bandersnatch.mirror.adopt import Adoption
from bandersnatch.mirror.belonging import check_belonging
from bandersnatch.mirror.deletions import finish_deletions, marked
from bandersnatch.mirror.outcome import Visit
from bandersnatch.mirror.visits import Visits

if TYPE_CHECKING:
    from datetime import datetime

    from bandersnatch.mirror.checkpoint import Checkpoint
    from bandersnatch.mirror.parts import Mirror
    from bandersnatch.mirror.state import MirrorState, StateFiles
    from bandersnatch.model.names import ProjectName


def side_by_side(mirror: Mirror) -> int:
    """Return how many projects are under way at once: enough to use both budgets."""
    return mirror.settings.index.workers + mirror.settings.index.download_workers


async def open_tree(mirror: Mirror, state_files: StateFiles, began: datetime) -> MirrorState:
    """Read the state and see to it that the catalogue knows the tree.

    :raises CorruptState: if a newer release has been here.
    :raises StorageError: if the tree is not there.
    """
    state = await state_files.load()
    for note in state.notes:
        mirror.events(Noticed(note))
    await check_belonging(mirror, int(began.timestamp()))
    await state_files.begin()
    adoption = Adoption(
        mirror.storage,
        mirror.catalogue,
        mirror.events,
        mirror.settings,
        mirror.filters,
        now=began,
    )
    await adoption.run()
    if marks := await marked(mirror):
        text = f"taking away {len(marks)} project(s) that a command left half deleted or restored"
        mirror.events(Doing(text))
        await finish_deletions(mirror, began)
    return state


async def open_visit(
    mirror: Mirror,
    began: datetime,
    *,
    accepted: frozenset[ProjectName],
    force: bool,
    may_empty: bool = False,
    is_second_look: bool = True,
) -> Visit:
    """Return what is the same for every project of a run that begins now."""
    return Visit(
        now=int(began.timestamp()),
        terms=mirror.terms,
        lying={each.key: each for each in await mirror.catalogue.removed()},
        accepted=accepted,
        force=force,
        established=await mirror.catalogue.count() > 0,
        may_empty=may_empty,
        is_second_look=is_second_look,
    )


def open_visits(
    mirror: Mirror,
    checkpoint: Checkpoint,
    visit: Visit,
    began: datetime,
    *,
    stop_on_error: bool,
    on_the_side: bool = False,
) -> Visits:
    """Return what visits the projects of a plan."""
    return Visits(
        mirror.project_sync(visit, began).sync,
        checkpoint,
        mirror.clock,
        mirror.events,
        stop_on_error=stop_on_error,
        on_the_side=on_the_side,
    )
