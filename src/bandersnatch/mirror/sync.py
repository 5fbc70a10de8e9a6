"""The command ``sync``: a few projects, on the side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.events import Noticed, Planned
from bandersnatch.mirror.checkpoint import Checkpoint
from bandersnatch.mirror.opening import (
    open_tree,
    open_visit,
    open_visits,
    side_by_side,
)
from bandersnatch.mirror.root import publish_root
from bandersnatch.mirror.state import StateFiles
from bandersnatch.mirror.wanted import Wanted
from bandersnatch.records import Standing

if TYPE_CHECKING:
    from collections.abc import Collection

    from bandersnatch.mirror.parts import Mirror
    from bandersnatch.model.names import ProjectName


async def sync(
    mirror: Mirror,
    names: Collection[ProjectName],
    *,
    accepted: frozenset[ProjectName] = frozenset(),
    skip_root: bool = False,
) -> None:
    """Bring the projects named up to date, whatever the project filters say.

    Neither ``status`` nor what ``mirror`` has still to do is touched.
    """
    began = mirror.clock.now()
    state_files = StateFiles(mirror.storage)
    await open_tree(mirror, state_files, began)
    wanted = await wanted_by_name(mirror, names)
    mirror.events(Planned(len(wanted), 0))
    checkpoint = Checkpoint(
        mirror.storage,
        mirror.catalogue,
        state_files,
        mirror.clock,
        todo=None,
        now=int(began.timestamp()),
    )
    await checkpoint.mark(wish.name for wish in wanted if wish.earlier is None)
    visit = await open_visit(mirror, began, accepted=accepted, force=True, may_empty=True)
    stop = mirror.settings.run.stop_on_error
    visits = open_visits(mirror, checkpoint, visit, began, stop_on_error=stop, on_the_side=True)
    try:
        await visits.run(wanted, workers=side_by_side(mirror))
    finally:
        await checkpoint.commit()
    for name in visits.unwanted:
        text = f"the filters want nothing of {name} any more; it stays until mirror takes it away"
        mirror.events(Noticed(text))
    if not skip_root:
        await publish_root(mirror)


async def wanted_by_name(mirror: Mirror, names: Collection[ProjectName]) -> list[Wanted]:
    """Return the wish for each project, with what is known of it already."""
    had, terms = await mirror.catalogue.had(names), mirror.terms
    unfinished = {each.name: each for each in await mirror.catalogue.unfinished()}
    return [
        Wanted(
            name,
            display=unfinished[name].display if name in unfinished else "",
            listed=True,
            had=name in had,
            left_out=name in had and had[name].standing is Standing.LEFT_OUT,
            remade=name in had and had[name].terms != terms(name),
            earlier=unfinished.get(name),
        )
        for name in dict.fromkeys(names)
    ]
