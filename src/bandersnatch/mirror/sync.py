"""The command ``sync``: brings named projects up to date, independently of ``mirror``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.events import RunPlanned, Warned
from bandersnatch.mirror import recovery
from bandersnatch.mirror.checkpoint import Checkpoint
from bandersnatch.mirror.fingerprint import PolicyFingerprint
from bandersnatch.mirror.health import IndexHealth
from bandersnatch.mirror.index_check import require_index
from bandersnatch.mirror.plan import hints_of
from bandersnatch.mirror.publish import publish_root
from bandersnatch.mirror.rejections import report_rejections
from bandersnatch.mirror.state import StateFiles
from bandersnatch.mirror.tasks import SyncTask, TaskHints

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from bandersnatch.mirror.executor import Executor
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.names import ProjectName


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
    await recovery.open_tree(mirror, state_files, began)
    tasks = await tasks_by_name(mirror, names)
    mirror.events(RunPlanned(len(tasks), 0))
    executor = await _execute(mirror, tasks, state_files, began, accepted)
    for name in executor.unwanted:
        mirror.events(
            Warned(f"the filters drop all of {name}; it stays until the next run of mirror")
        )
    await report_rejections(mirror, names)
    if not skip_root:
        await publish_root(mirror)


async def _execute(
    mirror: Mirror,
    tasks: Collection[SyncTask],
    state_files: StateFiles,
    began: datetime,
    accepted: frozenset[ProjectName],
) -> Executor:
    """Work on the tasks, and return the executor that did.

    :raises WrongIndexUrl: if there is no index at the configured URL.
    """
    checkpoint = Checkpoint(
        mirror.storage,
        mirror.catalogue,
        state_files,
        mirror.clock,
        todo=None,
        now=int(began.timestamp()),
    )
    await checkpoint.mark(task.name for task in tasks if task.earlier is None)
    context = await recovery.open_context(
        mirror, began, accepted=accepted, force=True, may_empty=True, is_standalone=True
    )
    stop = mirror.settings.run.stop_on_error
    health = IndexHealth.of(mirror, None, [task.name for task in tasks])
    executor = recovery.open_executor(
        mirror, checkpoint, context, began, health, stop_on_error=stop, standalone=True
    )
    try:
        await executor.run(tasks, workers=recovery.max_concurrent_projects(mirror))
    finally:
        await checkpoint.commit()
    if tasks and not (mirror.index.pages or executor.failed_otherwise):
        await require_index(mirror.index, mirror.settings.index, [task.name for task in tasks])
    return executor


async def tasks_by_name(mirror: Mirror, names: Collection[ProjectName]) -> list[SyncTask]:
    """Return a task for each project, with what the catalogue knows of it."""
    summaries, fingerprint = await mirror.catalogue.summaries(names), PolicyFingerprint.of(mirror)
    deferred = {each.name: each for each in await mirror.catalogue.deferred()}
    return [
        SyncTask(
            name,
            display=deferred[name].display if name in deferred else "",
            hints=TaskHints.LISTED | hints_of(name, summaries, fingerprint),
            earlier=deferred.get(name),
        )
        for name in dict.fromkeys(names)
    ]
