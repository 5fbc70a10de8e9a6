"""The command ``sync``: a few projects, on the side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import Standing
from bandersnatch.events import Planned, Warned
from bandersnatch.mirror.checkpoint import Checkpoint
from bandersnatch.mirror.fingerprint import PolicyFingerprint
from bandersnatch.mirror.publish import publish_root
from bandersnatch.mirror.recovery import (
    max_concurrent_projects,
    open_context,
    open_executor,
    open_tree,
)
from bandersnatch.mirror.state import StateFiles
from bandersnatch.mirror.tasks import SyncTask

if TYPE_CHECKING:
    from collections.abc import Collection

    from bandersnatch.mirror.mirror import Mirror
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
    visit = await open_context(mirror, began, accepted=accepted, force=True, may_empty=True)
    stop = mirror.settings.run.stop_on_error
    visits = open_executor(mirror, checkpoint, visit, began, stop_on_error=stop, standalone=True)
    try:
        await visits.run(wanted, workers=max_concurrent_projects(mirror))
    finally:
        await checkpoint.commit()
    for name in visits.unwanted:
        text = f"the filters want nothing of {name} any more; it stays until mirror takes it away"
        mirror.events(Warned(text))
    if not skip_root:
        await publish_root(mirror)


async def wanted_by_name(mirror: Mirror, names: Collection[ProjectName]) -> list[SyncTask]:
    """Return the wish for each project, with what is known of it already."""
    had, fingerprint = await mirror.catalogue.summaries(names), PolicyFingerprint.of(mirror)
    unfinished = {each.name: each for each in await mirror.catalogue.deferred()}
    return [
        SyncTask(
            name,
            display=unfinished[name].display if name in unfinished else "",
            listed=True,
            had=name in had,
            excluded=name in had and had[name].standing is Standing.EXCLUDED,
            remade=name in had and had[name].fingerprint != fingerprint(name),
            earlier=unfinished.get(name),
        )
        for name in dict.fromkeys(names)
    ]
