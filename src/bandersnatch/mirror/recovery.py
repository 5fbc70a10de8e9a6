"""Whether the tree is there and the catalogue its own, before anything is believed of either."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import (
    DELETIONS,
    CatalogueUpdate,
    CleanMarker,
    Deferral,
    Marker,
    ProjectRecord,
    RootMarker,
    Standing,
)
from bandersnatch.errors import MissingObject, StorageError
from bandersnatch.events import StepStarted, Warned
from bandersnatch.layout import SIMPLE
from bandersnatch.mirror.adopt import Adoption
from bandersnatch.mirror.checkpoint import MAX_BATCH, incomplete
from bandersnatch.mirror.executor import Executor
from bandersnatch.mirror.fingerprint import PolicyFingerprint
from bandersnatch.mirror.project import ProjectSync
from bandersnatch.mirror.publish import publish_root
from bandersnatch.mirror.removal import Removals
from bandersnatch.mirror.tasks import RunContext
from bandersnatch.model.content import Validators
from bandersnatch.model.project import ProjectDetail

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from bandersnatch.catalogue.records import Deferred
    from bandersnatch.mirror.checkpoint import Checkpoint
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.state import MirrorState, StateFiles
    from bandersnatch.model.names import ProjectName
    from bandersnatch.storage.port import Storage


SAMPLE = 20
"""Projects whose pages are looked for."""

FEWEST = 3
"""Projects without which nothing is concluded; somebody may have deleted a page or two."""

_EVER = 2**62
"""Seconds since 1970 that nothing was verified after."""


async def check_belonging(mirror: Mirror, now: int) -> None:
    """Look whether the projects that the catalogue knows have pages; ``now`` as of 1970.

    Where most have none the catalogue is another tree's: everything in it is forgotten, and
    adoption begins it anew. Where only some have none, the next run publishes them again.

    :raises StorageError: if nothing is there; nothing was touched.
    """
    sample = await _sample(mirror)
    missing = [name for name in sample if not await _has_page(mirror, name)]
    if not missing:
        return
    if len(sample) < FEWEST or len(missing) * 2 <= len(sample):
        await _publish_again(mirror, missing, now)
        return
    if await _is_bare(mirror.storage):
        count = await mirror.catalogue.count()
        raise StorageError(
            SIMPLE,
            f"there are no pages, and the catalogue knows {count} projects; is the disk mounted? "
            "To begin anew on purpose, delete catalogue.sqlite",
        )
    mirror.events(
        Warned(
            f"the catalogue is that of another tree: of {len(sample)} of its projects "
            f"{len(missing)} have no page here; it is made anew from the pages that are here"
        )
    )
    await mirror.catalogue.commit(
        CatalogueUpdate(reset=True, markers={Marker.CLEAN: CleanMarker.FOREIGN})
    )


async def _sample(mirror: Mirror) -> Sequence[ProjectName]:
    """Return some projects that should have pages, not only the first of the alphabet.

    What an earlier run had in hand may have none.
    """
    busy = {each.name for each in await mirror.catalogue.deferred()}
    found = [each.name for each in await mirror.catalogue.verify_queue(_EVER, None)]
    names = [name for name in found if name not in busy]
    return names[:: max(1, -(-len(names) // SAMPLE))]


async def _has_page(mirror: Mirror, name: ProjectName) -> bool:
    """Whether a project has a page of any format, where any options would have put it."""
    for key in mirror.settings.pages.layout.all_pages(name):
        try:
            await mirror.storage.read(key)
        except MissingObject:
            continue
        except StorageError:
            return True  # there is something, whatever it is
        return True
    return False


async def _publish_again(mirror: Mirror, names: Sequence[ProjectName], now: int) -> None:
    wanted = [name for name in names if mirror.filters.may_select(name)]
    if not wanted:
        return
    others = f" and {len(wanted) - 1} other projects" if wanted[1:] else ""
    text = f"the pages of {wanted[0]}{others} are not there any more; mirror publishes them again"
    mirror.events(Warned(text))
    await mirror.catalogue.commit(
        CatalogueUpdate(deferred=[incomplete(name, now) for name in wanted])
    )


async def _is_bare(storage: Storage) -> bool:
    """Whether not even a directory of a project has anything in it."""
    async for found in storage.scan(SIMPLE):
        if "/" in found.key.removeprefix(SIMPLE):
            return False
    return True


async def finish_deletions(mirror: Mirror, began: datetime) -> None:
    """Take away the projects that are marked to go, and no others.

    Out of the root page first, then their pages, then their files, and then the marks: wherever
    this is stopped, what opens the tree next goes on with it.
    """
    marks = await marked(mirror)
    removals = Removals.of(mirror, began)
    await publish_root(mirror, omit=marks, force=True)
    names = list(marks)
    for start in range(0, len(names), MAX_BATCH):
        some = names[start : start + MAX_BATCH]
        spelled = {name: marks[name].display for name in some}
        batch = await removals.remove_projects(some, spelled)
        batch.resolved += some
        batch.markers[Marker.ROOT] = RootMarker.STALE
        aside = [
            marks[name] for name in some if marks[name].deferral == Deferral.EXCLUDED_UNTIL_CHANGE
        ]
        batch.records += [await _excluded_record(mirror, mark) for mark in aside]
        await mirror.storage.flush()
        await mirror.catalogue.commit(batch)
    await mirror.catalogue.commit(CatalogueUpdate(markers={Marker.ROOT: RootMarker.WRITTEN}))


async def marked(mirror: Mirror) -> dict[ProjectName, Deferred]:
    """Return the projects that are on their way out by name."""
    unfinished = await mirror.catalogue.deferred()
    return {each.name: each for each in unfinished if each.deferral in DELETIONS}


async def _excluded_record(mirror: Mirror, mark: Deferred) -> ProjectRecord:
    """Return what is remembered of a project that is away until the index changes it.

    Neither what the mirror knows of already, nor other terms from before, count as a change.
    """
    record = await mirror.catalogue.project(mark.name)
    if record is None:
        record = ProjectRecord(
            ProjectDetail(mark.name), "", mark.target_serial, "", Validators(), ()
        )
    return replace(
        record,
        detail=record.detail.without_files(),
        reflects=max(record.reflects, mark.target_serial),
        fingerprint=PolicyFingerprint.of(mirror)(mark.name),
        files=(),
        standing=Standing.EXCLUDED,
        due=None,
    )


def max_concurrent_projects(mirror: Mirror) -> int:
    """Return how many projects are under way at once: enough to use both budgets."""
    return mirror.settings.index.workers + mirror.settings.index.download_workers


async def open_tree(mirror: Mirror, state_files: StateFiles, began: datetime) -> MirrorState:
    """Read the state and see to it that the catalogue knows the tree.

    :raises CorruptState: if a newer release has been here.
    :raises StorageError: if the tree is not there.
    """
    state = await state_files.load()
    for warning in state.warnings:
        mirror.events(Warned(warning))
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
        mirror.events(StepStarted(text))
        await finish_deletions(mirror, began)
    return state


async def open_context(
    mirror: Mirror,
    began: datetime,
    *,
    accepted: frozenset[ProjectName],
    force: bool,
    may_empty: bool = False,
    is_second_look: bool = True,
) -> RunContext:
    """Return what is the same for every project of a run that begins now."""
    return RunContext(
        now=int(began.timestamp()),
        fingerprint=PolicyFingerprint.of(mirror),
        trash={each.key: each for each in await mirror.catalogue.trash()},
        accepted=accepted,
        force=force,
        established=await mirror.catalogue.count() > 0,
        may_empty=may_empty,
        is_second_look=is_second_look,
    )


def open_executor(
    mirror: Mirror,
    checkpoint: Checkpoint,
    context: RunContext,
    began: datetime,
    *,
    stop_on_error: bool,
    standalone: bool = False,
) -> Executor:
    """Return the executor of a plan's tasks."""
    return Executor(
        ProjectSync.of(mirror, context, began).sync,
        checkpoint,
        mirror.clock,
        mirror.events,
        stop_on_error=stop_on_error,
        standalone=standalone,
    )
