"""Opens what a cluster consists of: the coordinator, its workers, and what counts them."""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from bandersnatch import __version__
from bandersnatch.app.configuration import Configuration, load
from bandersnatch.app.indexes import connect_index, route_to_index, with_master
from bandersnatch.app.mirrors import open_closure
from bandersnatch.errors import LockConflict, StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.clock import Clock
    from bandersnatch.cluster.coordinator import Coordinator
    from bandersnatch.cluster.messages import RunNotice
    from bandersnatch.cluster.port import CoordinatorQueue, FleetView
    from bandersnatch.cluster.worker import Worker
    from bandersnatch.config.schema import Settings
    from bandersnatch.events import EventSink
    from bandersnatch.fleet_counts import FleetCounts
    from bandersnatch.index.shares import SharedLimits
    from bandersnatch.mirror.fleet import Fleet
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.storage.port import MirrorStorage

_FLEET_TIMEOUT = 5.0
"""Seconds within which a server has to have counted the workers."""

_HUNG = 120.0
"""Seconds after which a process of this machine that gives no sign of life is killed."""


@asynccontextmanager
async def open_fleet(configuration: Configuration, mirror: Mirror) -> AsyncIterator[Fleet | None]:
    """Yield the workers that sync the projects of a run; None if this process does.

    :raises StorageError: if the queue cannot be used.
    """
    settings = configuration.settings
    if not settings.cluster.enabled or settings.catalogue is None:
        yield None
        return
    from bandersnatch.cluster.postgres import PostgresCoordinatorQueue  # noqa: PLC0415 - as needed

    async with (
        PostgresCoordinatorQueue(settings.catalogue) as queue,
        open_coordinator(settings, mirror, queue) as coordinator,
    ):
        yield coordinator


@asynccontextmanager
async def open_coordinator(
    settings: Settings, mirror: Mirror, queue: CoordinatorQueue, *, processes: int = 0
) -> AsyncIterator[Coordinator]:
    """Begin the run of the workers that a queue leads to.

    If they are processes of this machine ``processes`` is their number.
    """
    from bandersnatch.cluster.coordinator import ClusterTimes, Coordinator  # noqa: PLC0415 - as needed
    from bandersnatch.cluster.messages import RunNotice  # noqa: PLC0415 - as needed
    from bandersnatch.cluster.settings import fingerprint_of  # noqa: PLC0415 - as needed
    from bandersnatch.storage.journal import JournalingStorage  # noqa: PLC0415 - as needed

    storage, cluster = mirror.storage, settings.cluster
    recorder = storage.journal if isinstance(storage, JournalingStorage) else None
    fingerprint = fingerprint_of(with_master(settings), mirror.filters.roots, mirror.closure)
    now, is_local = mirror.clock.now(), processes > 0
    notice = RunNotice(secrets.token_hex(16), __version__, fingerprint, now, is_local)
    lost_after = _HUNG if is_local else cluster.worker_timeout
    times = ClusterTimes(lost_after=lost_after, wait=cluster.worker_wait)
    coordinator = Coordinator(queue, mirror, notice, times, recorder, processes=max(1, processes))
    async with coordinator.open():
        yield coordinator


@asynccontextmanager
async def open_worker(
    configuration: Configuration, path: Path, events: EventSink, clock: Clock
) -> AsyncIterator[Worker]:
    """Yield a worker for the runs of a mirror; it reads the configuration again for each run.

    :raises UsageError: if the configuration has no cluster.
    :raises StorageError: if the queue cannot be used.
    """
    from bandersnatch.catalogue.postgres.lock import session_name  # noqa: PLC0415 - as needed

    settings = configuration.settings
    if not settings.cluster.enabled or settings.catalogue is None:
        why = "the configuration has no workers; set cluster = true and catalogue in [mirror]"
        raise UsageError(f"{path}: {why}")
    from bandersnatch.cluster.postgres import PostgresWorkerQueue  # noqa: PLC0415 - as needed
    from bandersnatch.cluster.worker import Worker  # noqa: PLC0415 - as needed

    name = session_name().removeprefix("bandersnatch on ")
    suffix = secrets.token_hex(4)

    def opener(notice: RunNotice, sink: EventSink) -> AbstractAsyncContextManager[WorkersMirror]:
        return open_workers_mirror(load(path, notice.began), sink, clock, suffix)

    async with PostgresWorkerQueue(settings.catalogue) as queue:
        yield Worker(queue, opener, events, name, __version__)


async def read_fleet(settings: Settings) -> FleetView | None:
    """Return the workers of a mirror; None if the configuration has none.

    :raises StorageError: if the queue cannot be read.
    """
    if not settings.cluster.enabled or settings.catalogue is None:
        return None
    from bandersnatch.cluster.postgres import PostgresFleetQuery  # noqa: PLC0415 - as needed

    async with PostgresFleetQuery(settings.catalogue) as query:
        return await query.read()


async def count_fleet(settings: Settings) -> FleetCounts | None:
    """Count the workers for a server, which does not wait for a database that does not answer."""
    try:
        async with asyncio.timeout(_FLEET_TIMEOUT):
            view = await read_fleet(settings)
    except (StorageError, TimeoutError):
        return None
    return None if view is None else view.counts(settings.cluster.worker_timeout)


class WorkersMirror(Struct, frozen=True):
    """What a worker works with in one run."""

    mirror: Mirror
    limits: SharedLimits
    fingerprint: str


@asynccontextmanager
async def open_workers_mirror(
    configuration: Configuration, events: EventSink, clock: Clock, suffix: str
) -> AsyncIterator[WorkersMirror]:
    """Open the mirror without its lock, with the catalogue for reading, and yield it.

    ``suffix`` tells the temporary files of this process from those of others.
    """
    from bandersnatch.cluster.settings import fingerprint_of  # noqa: PLC0415 - as needed
    from bandersnatch.index.shares import SharedLimits  # noqa: PLC0415 - as needed
    from bandersnatch.mirror.mirror import Mirror  # noqa: PLC0415 - as needed

    settings, proxy = route_to_index(configuration.settings)
    async with AsyncExitStack() as stack:
        storage = await _open_workers_storage(settings, stack, suffix)
        catalogue = await _open_workers_catalogue(settings, stack, events)
        limits = SharedLimits()
        stack.callback(limits.close)
        index = await connect_index(settings, stack, clock, events, proxy, limits)
        filters, closure = open_closure(configuration)
        mirror = Mirror(
            index=index,
            storage=storage,
            catalogue=catalogue,
            clock=clock,
            events=events,
            settings=settings,
            filters=filters,
            closure=closure,
        )
        fingerprint = fingerprint_of(settings, configuration.filters, closure)
        yield WorkersMirror(mirror, limits, fingerprint)


async def _open_workers_catalogue(
    settings: Settings, stack: AsyncExitStack, events: EventSink
) -> MirrorCatalogue:
    """Return the catalogue for reading."""
    if settings.catalogue is None:
        from bandersnatch.catalogue.sqlite import SqliteCatalogue  # noqa: PLC0415 - as needed

        directory = settings.storage.state_directory
        return await stack.enter_async_context(SqliteCatalogue(directory, read_only=True))
    from bandersnatch.catalogue.postgres.catalogue import PostgresCatalogue  # noqa: PLC0415 - as needed
    from bandersnatch.catalogue.postgres.session import Access  # noqa: PLC0415 - as needed

    opened = PostgresCatalogue(settings.catalogue, Access(is_writing=False), events)
    return await stack.enter_async_context(opened)


async def _open_workers_storage(
    settings: Settings, stack: AsyncExitStack, suffix: str
) -> MirrorStorage:
    """Return the storage of a worker.

    That of a mirror in a bucket has a state directory of its own on this machine: the first that no
    other worker uses, so that large downloads are resumed.
    """
    storage = settings.storage
    if storage.bucket is None:
        from bandersnatch.storage.filesystem import FilesystemStorage  # noqa: PLC0415 - as needed

        opened = FilesystemStorage(storage.directory, keep_free=storage.keep_free, worker=suffix)
        return await stack.enter_async_context(opened)
    from bandersnatch.storage.s3.storage import BucketStorage  # noqa: PLC0415 - as needed

    for number in count(1):
        home = f"{storage.bucket.state_directory}/workers/{number}"
        bucket = structs.replace(storage.bucket, state_directory=home)
        own = BucketStorage(structs.replace(storage, bucket=bucket), os.environ, is_worker=True)
        try:
            return await stack.enter_async_context(own)
        except LockConflict:
            continue  # another worker of this machine has it
    raise AssertionError("there is always another number")
