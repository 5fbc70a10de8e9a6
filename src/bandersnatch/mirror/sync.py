"""The command ``sync``: brings named projects up to date, independently of ``mirror``."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch.events import RunPlanned, StepStarted, Warned
from bandersnatch.mirror import recovery
from bandersnatch.mirror.checkpoint import Checkpoint, incomplete
from bandersnatch.mirror.fingerprint import PolicyFingerprint
from bandersnatch.mirror.health import IndexHealth
from bandersnatch.mirror.index_check import require_index
from bandersnatch.mirror.ledger import ceiling_above
from bandersnatch.mirror.mark import finish_marks
from bandersnatch.mirror.plan import hints_of
from bandersnatch.mirror.publish import publish_root
from bandersnatch.mirror.rejections import report_rejections
from bandersnatch.mirror.removal import Removals
from bandersnatch.mirror.state import StateFiles
from bandersnatch.mirror.tasks import RunContext, SyncTask, TaskHints

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from datetime import datetime

    from bandersnatch.mirror.executor import Executor
    from bandersnatch.mirror.following import Following
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.owners import PathOwners
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.serials import Serial


async def sync(
    mirror: Mirror,
    names: Collection[ProjectName],
    *,
    accepted: frozenset[ProjectName] = frozenset(),
    skip_root: bool = False,
) -> None:
    """Bring the named projects up to date, whatever the project filters select.

    Neither ``status`` nor ``todo`` is changed. ``accepted`` are the projects whose published
    files may change.

    :raises WrongIndexUrl: if there is no index at the configured URL.
    """
    began = mirror.clock.now()
    state_files = StateFiles(mirror.storage)
    state = await recovery.open_tree(mirror, state_files, began)
    tasks = await tasks_by_name(mirror, names)
    mirror.events(RunPlanned(len(tasks), 0))
    ceiling = ceiling_above(state.cursor)

    async def execute(tasks: Collection[SyncTask]) -> Executor:
        context = await _open_context(mirror, began, accepted, ceiling)
        return await _execute(mirror, tasks, state_files, began, context, following)

    following = await _open_following(mirror, names)
    executor = await execute(tasks)
    followed = [] if following is None else await following.advance()
    while following is not None and followed:
        mirror.events(StepStarted(f"following {len(followed)} project(s) that others need"))
        tasks = await tasks_by_name(mirror, followed, hints=TaskHints.NONE)
        await execute(tasks)
        followed = await following.advance()
    for name in executor.unwanted:
        mirror.events(
            Warned(f"the filters drop all of {name}; it stays until the next run of mirror")
        )
    await report_rejections(mirror, names)
    if following is not None:
        from bandersnatch.mirror.closure_report import report_closure  # noqa: PLC0415 - as below

        await report_closure(mirror, following)
    if not skip_root:
        await publish_root(mirror)
    await finish_marks(mirror)


async def _open_following(mirror: Mirror, names: Collection[ProjectName]) -> Following | None:
    """Return what finds the projects that others need, None if that is not configured."""
    if mirror.closure is None:
        return None
    from bandersnatch.mirror.following import Following  # noqa: PLC0415 - rarely needed, slow

    following = Following(mirror, mirror.closure, local=True)
    await following.open()
    await following.load(names)
    return following


async def _open_context(
    mirror: Mirror, began: datetime, accepted: frozenset[ProjectName], ceiling: Serial | None
) -> RunContext:
    return await recovery.open_context(
        mirror,
        began,
        accepted=accepted,
        force=True,
        may_empty=True,
        is_standalone=True,
        ceiling=ceiling,
    )


def _standalone_checkpoint(mirror: Mirror, state_files: StateFiles, began: datetime) -> Checkpoint:
    """Return a checkpoint that leaves ``status`` and ``todo`` as they are."""
    return Checkpoint(
        mirror.storage,
        mirror.catalogue,
        state_files,
        mirror.clock,
        todo=None,
        now=int(began.timestamp()),
    )


async def _execute(
    mirror: Mirror,
    tasks: Collection[SyncTask],
    state_files: StateFiles,
    began: datetime,
    context: RunContext,
    following: Following | None,
) -> Executor:
    """Work on the tasks, and return the executor that did.

    :raises WrongIndexUrl: if there is no index at the configured URL.
    """
    checkpoint = _standalone_checkpoint(mirror, state_files, began)
    await checkpoint.mark(task.name for task in tasks if task.earlier is None)
    stop = mirror.settings.run.stop_on_error
    health = IndexHealth.of(mirror, None, [task.name for task in tasks])
    executor = recovery.open_executor(
        mirror,
        checkpoint,
        context,
        began,
        health,
        stop_on_error=stop,
        standalone=True,
        following=following,
    )
    workers = recovery.max_concurrent_projects(mirror)

    async def execute(some: Collection[SyncTask]) -> None:
        await executor.run(some, workers=workers)

    try:
        await execute(tasks)
        if executor.complete:
            await settle_paths(mirror, context.owners, execute, checkpoint, began, free=True)
    finally:
        await checkpoint.commit()
    if tasks and not (mirror.index.pages or executor.failed_otherwise):
        await require_index(mirror.index, mirror.settings.index, [task.name for task in tasks])
    return executor


async def settle_paths(
    mirror: Mirror,
    owners: PathOwners,
    execute: Callable[[Collection[SyncTask]], Awaitable[object]],
    checkpoint: Checkpoint,
    began: datetime,
    *,
    free: bool,
) -> bool:
    """Sync projects again that claimed the same path, so that each path has its right owner.

    ``execute`` works on tasks of the same run. With ``free`` the projects are synced, too, that
    wanted a path whose owner has left it. Projects that are new and lose a path are removed
    first: nothing that was published before this run is. Return whether there were any projects.
    """
    await checkpoint.commit()
    resync = await owners.settle(free=free)
    if resync.new:
        await checkpoint.mark(resync.new)
        update = await Removals.of(mirror, began).remove_projects(sorted(resync.new))
        update.deferred += [incomplete(name, int(began.timestamp())) for name in resync.new]
        await checkpoint.commit(update)
    for names in (resync.losers, resync.winners):
        if names:
            tasks = await _resync_tasks(mirror, names)
            for task in tasks:  # pending again, until they are done
                checkpoint.pending.setdefault(task.name, task.target_serial)
            await execute(tasks)
            await checkpoint.commit()
    return bool(resync)


async def _resync_tasks(mirror: Mirror, names: Collection[ProjectName]) -> list[SyncTask]:
    tasks = await tasks_by_name(mirror, sorted(names))
    hints = (task.hints & ~TaskHints.LISTED | TaskHints.REFETCH for task in tasks)
    return [replace(task, hints=each) for task, each in zip(tasks, hints, strict=True)]


async def tasks_by_name(
    mirror: Mirror, names: Collection[ProjectName], *, hints: TaskHints = TaskHints.LISTED
) -> list[SyncTask]:
    """Return a task for each project, with what the catalogue knows of it, and with ``hints``."""
    summaries, fingerprint = await mirror.catalogue.summaries(names), PolicyFingerprint.of(mirror)
    deferred = {each.name: each for each in await mirror.catalogue.deferred()}
    return [
        SyncTask(
            name,
            display=deferred[name].display if name in deferred else "",
            hints=hints | hints_of(name, summaries, fingerprint),
            earlier=deferred.get(name),
        )
        for name in dict.fromkeys(names)
    ]
