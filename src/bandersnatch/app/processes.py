"""Opens the processes of this machine that sync or examine the projects of a run."""

from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bandersnatch import __version__
from bandersnatch.app.configuration import Configuration, load
from bandersnatch.app.workers import (
    WorkersMirror,
    open_coordinator,
    open_fleet,
    open_workers_mirror,
)
from bandersnatch.config.load import is_pypi
from bandersnatch.mirror.fleet import MANY_TASKS, MANY_TO_READ, process_count

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from bandersnatch.clock import Clock
    from bandersnatch.cluster.messages import RunNotice
    from bandersnatch.cluster.port import WorkerQueue
    from bandersnatch.cluster.worker import Worker
    from bandersnatch.config.schema import Settings
    from bandersnatch.events import EventSink
    from bandersnatch.mirror.fleet import Fleet, FleetOpener
    from bandersnatch.mirror.mirror import Mirror


def processes_for(configuration: Configuration, path: Path, mirror: Mirror) -> FleetOpener:
    """Return what opens the processes that sync the projects of a plan.

    They read the configuration from ``path`` themselves.
    """
    settings = configuration.settings
    index = settings.index

    def opener(tasks: int) -> AbstractAsyncContextManager[Fleet | None]:
        count = _process_count(
            settings,
            _expected_tasks(settings, mirror, tasks),
            most=min(index.workers, index.download_workers),
            is_polite=is_pypi(index.url),
        )
        return _open_processes(settings, path, mirror, count)

    return opener


def readers_for(
    configuration: Configuration, path: Path, mirror: Mirror, readers: int
) -> FleetOpener:
    """Return what opens the workers or processes that read what is mirrored.

    Processes read the configuration from ``path`` themselves. There are at most ``readers``,
    which is how many projects are read concurrently.
    """
    settings = configuration.settings

    def opener(tasks: int) -> AbstractAsyncContextManager[Fleet | None]:
        if settings.cluster.enabled:
            return open_fleet(configuration, mirror)
        count = _process_count(settings, tasks, most=readers, many=MANY_TO_READ)
        return _open_processes(settings, path, mirror, count)

    return opener


@asynccontextmanager
async def _open_processes(
    settings: Settings, path: Path, mirror: Mirror, count: int
) -> AsyncIterator[Fleet | None]:
    """Start so many processes; none if there is to be a single one."""
    if count == 1:
        yield None
        return
    from bandersnatch.cluster.pipes import PipeCoordinatorQueue  # noqa: PLC0415 - as needed

    command = [sys.executable, "-m", "bandersnatch.cli.child", str(path)]
    async with (
        PipeCoordinatorQueue(command, count) as queue,
        open_coordinator(settings, mirror, queue, processes=count) as coordinator,
    ):
        yield coordinator


def _expected_tasks(settings: Settings, mirror: Mirror, tasks: int) -> int:
    """Return how many tasks there are; a first run that follows dependencies finds more of them.

    They are expected if the operator wants several processes.
    """
    is_first = mirror.closure is not None and not mirror.closure.names
    return max(tasks, settings.processes or 0) if tasks and is_first else tasks


def _process_count(
    settings: Settings, tasks: int, *, most: int, is_polite: bool = False, many: int = MANY_TASKS
) -> int:
    """Return how many processes, at most ``most``, do so many tasks."""
    is_single = settings.cluster.enabled or settings.storage.bucket is not None
    return process_count(
        1 if is_single else settings.processes,
        tasks,
        cores=_usable_cores(),
        budget=most,
        is_polite=is_polite,
        many=many,
    )


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def open_child_worker(path: Path, number: str, queue: WorkerQueue, clock: Clock) -> Worker:
    """Return the worker of a process that a coordinator on this machine has started.

    ``number`` is one that no other process has at the time. What happens is reported by the
    coordinator alone.
    """
    from bandersnatch.cluster.worker import Worker  # noqa: PLC0415 - as needed
    from bandersnatch.storage.filesystem import OWNER_MARK  # noqa: PLC0415 - as needed

    suffix = f"{OWNER_MARK}{number}"

    def opener(notice: RunNotice, sink: EventSink) -> AbstractAsyncContextManager[WorkersMirror]:
        return open_workers_mirror(load(path, notice.began), sink, clock, suffix)

    return Worker(queue, opener, lambda _: None, f"process {number}", __version__)
