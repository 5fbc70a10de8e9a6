"""Opens storages and catalogues, and says what keeps them from being used."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch.app.configuration import catalogue_problem
from bandersnatch.errors import CorruptState, StorageError, UsageError
from bandersnatch.events import Warned

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.catalogue.sql_catalogue import SqlCatalogue
    from bandersnatch.config.catalogue import CatalogueSettings
    from bandersnatch.config.schema import Settings, StorageSettings
    from bandersnatch.events import EventSink
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.storage.check import StorageReport
    from bandersnatch.storage.journal import ChangeJournal
    from bandersnatch.storage.port import MirrorStorage, ServedStorage

_READ_TIMEOUT = 5.0
"""Seconds that a page for people waits for a run that is writing to the catalogue."""

_CONNECT_TIMEOUT = 2
"""Seconds that such a page waits for a database; the least that libpq accepts."""

_NOT_COPIED = (
    "{url} is an empty catalogue, and {directory}/{file} is not used any more; everything is read "
    "from the tree, unless you stop this run and copy: bandersnatch catalogue copy {directory} URL"
)


async def open_storage(
    settings: Settings, stack: AsyncExitStack, events: EventSink, *, dry_run: bool, readers: int
) -> tuple[MirrorStorage, MirrorCatalogue]:
    """Open storage and catalogue of a mirror, with their locks, until ``stack`` closes them.

    :raises LockConflict: if another command holds a lock.
    :raises StorageError: if one cannot be used.
    """
    opened = _storage(settings, read_only=dry_run, readers=readers)
    storage = await stack.enter_async_context(opened)
    catalogue = await _open_catalogue(settings, stack, events, dry_run=dry_run)
    if not dry_run:
        return storage, catalogue
    from bandersnatch.storage.dry_run import DryRunStorage  # noqa: PLC0415 - as needed

    return DryRunStorage(storage), catalogue


def _storage(
    settings: Settings, *, read_only: bool, readers: int
) -> AbstractAsyncContextManager[MirrorStorage]:
    """Return the storage, which is not open yet.

    :raises StorageError: if it needs a disk that is not mounted.
    """
    storage = settings.storage
    if storage.bucket is not None:
        from bandersnatch.storage.s3.storage import BucketStorage  # noqa: PLC0415 - as needed

        return BucketStorage(
            storage,
            os.environ,
            read_only=read_only,
            has_workers=settings.cluster.enabled,
            threads=readers,
        )
    from bandersnatch.storage.filesystem import FilesystemStorage  # noqa: PLC0415 - as needed
    from bandersnatch.storage.mounts import require_disk  # noqa: PLC0415 - as needed

    require_disk(storage.directory, must_exist=storage.must_exist)
    return FilesystemStorage(
        storage.directory, read_only=read_only, threads=readers, keep_free=storage.keep_free
    )


async def _open_catalogue(
    settings: Settings, stack: AsyncExitStack, events: EventSink, *, dry_run: bool
) -> MirrorCatalogue:
    directory = settings.storage.state_directory
    if settings.catalogue is not None:
        from bandersnatch.catalogue.postgres.catalogue import (  # noqa: PLC0415 - as needed
            PostgresCatalogue,
            PostgresDryRun,
        )

        if dry_run:
            return await stack.enter_async_context(PostgresDryRun(settings.catalogue, events))
        shared = PostgresCatalogue(settings.catalogue, events=events)
        await stack.enter_async_context(shared)
        await _warn_of_file(settings.catalogue, shared, directory, events)
        return shared
    if dry_run:
        from bandersnatch.catalogue.overlay import DryRunCatalogue  # noqa: PLC0415 - as needed

        return await stack.enter_async_context(DryRunCatalogue(directory))
    from bandersnatch.catalogue.sqlite import SqliteCatalogue  # noqa: PLC0415 - as needed

    return await stack.enter_async_context(SqliteCatalogue(directory))


async def _warn_of_file(
    settings: CatalogueSettings, catalogue: MirrorCatalogue, directory: str, events: EventSink
) -> None:
    """Warn if a new catalogue is empty, and the mirror has the file of an earlier one."""
    from bandersnatch.catalogue.sqlite_file import FILE_NAME, exists  # noqa: PLC0415 - as needed

    if exists(directory) and not await catalogue.count():
        events(Warned(_NOT_COPIED.format(directory=directory, file=FILE_NAME, url=settings.shown)))


def served_storage(settings: StorageSettings) -> AbstractAsyncContextManager[ServedStorage]:
    """Return the storage that a server reads from, which is not open yet."""
    if settings.bucket is not None:
        from bandersnatch.storage.s3.served import ServedBucket  # noqa: PLC0415 - as needed

        return nullcontext(ServedBucket(settings, os.environ))
    from bandersnatch.storage.served import ServedFiles  # noqa: PLC0415 - as needed

    return ServedFiles(settings.directory)


@asynccontextmanager
async def read_catalogue(settings: Settings) -> AsyncIterator[MirrorCatalogue | None]:
    """Yield the catalogue for reading; None if there is none."""
    if settings.catalogue is not None:
        from bandersnatch.catalogue.postgres.catalogue import PostgresCatalogue  # noqa: PLC0415 - as needed
        from bandersnatch.catalogue.postgres.session import Access  # noqa: PLC0415 - as needed

        access = Access(is_writing=False, patience=0.0, connect_timeout=_CONNECT_TIMEOUT)
        async with PostgresCatalogue(settings.catalogue, access) as shared:
            yield None if shared.is_empty else shared
        return
    from bandersnatch.catalogue.sqlite import SqliteCatalogue  # noqa: PLC0415 - as needed
    from bandersnatch.catalogue.sqlite_file import exists  # noqa: PLC0415 - as needed

    directory = settings.storage.state_directory
    if not exists(directory):
        yield None
        return
    opened = SqliteCatalogue(directory, read_only=True, busy_timeout=_READ_TIMEOUT)
    async with opened as catalogue:
        yield catalogue


@asynccontextmanager
async def open_to_copy(
    place: CatalogueSettings | str, *, must_exist: bool
) -> AsyncIterator[SqlCatalogue]:
    """Yield a catalogue with its lock held: one in PostgreSQL, or the file in a state directory.

    :raises UsageError: if there is none and there must be, or if a library is missing.
    :raises LockConflict: if another command works with it.
    :raises StorageError: if it cannot be opened.
    """
    async with AsyncExitStack() as stack:
        if isinstance(place, str):
            from bandersnatch.catalogue.sqlite import SqliteCatalogue  # noqa: PLC0415 - as needed
            from bandersnatch.catalogue.sqlite_file import exists  # noqa: PLC0415 - as needed
            from bandersnatch.storage.lock import MirrorLock  # noqa: PLC0415 - as needed

            if must_exist and not exists(place):
                raise UsageError(f"{place} has no catalogue.sqlite; name the directory of a mirror")
            lock = MirrorLock(place)
            lock.acquire()
            stack.callback(lock.release)
            yield await stack.enter_async_context(SqliteCatalogue(place))
            return
        if why := catalogue_problem(place):
            raise UsageError(f"{place.shown}: {why}")
        from bandersnatch.catalogue.postgres.catalogue import PostgresCatalogue  # noqa: PLC0415 - as needed
        from bandersnatch.catalogue.postgres.session import Access  # noqa: PLC0415 - as needed

        if must_exist:  # one that writes creates the schema
            async with PostgresCatalogue(place, Access(is_writing=False)) as found:
                if found.is_empty:
                    why = f"there is no catalogue in the schema {place.schema}"
                    raise UsageError(f"{place.shown}: {why}; name another one: ?schema=NAME")
        yield await stack.enter_async_context(PostgresCatalogue(place))


def with_journal(mirror: Mirror, journal: ChangeJournal) -> Mirror:
    """Return the mirror with a storage that journals each served change before it makes it."""
    from bandersnatch.storage.journal import JournalingStorage  # noqa: PLC0415 - as needed

    return replace(mirror, storage=JournalingStorage(mirror.storage, journal))


async def is_mirror_running(settings: Settings) -> bool:
    """Return whether a command that changes the mirror is running, as far as that is known."""
    from bandersnatch.storage.lock import is_mirror_locked  # noqa: PLC0415 - as needed

    if await asyncio.to_thread(is_mirror_locked, settings.storage.state_directory):
        return True
    if settings.catalogue is None:
        return False
    from bandersnatch.catalogue.postgres.session import is_locked  # noqa: PLC0415 - as needed

    return await asyncio.to_thread(is_locked, settings.catalogue)


def free_space(settings: Settings) -> dict[str, int]:
    """Return the free bytes of the mirror's disks by place, ``.`` for the directory; blocks."""
    from bandersnatch.storage import check  # noqa: PLC0415 - as needed

    storage = settings.storage
    found = check.check_storage if storage.bucket is None else check.check_state_directory
    return {each.place or ".": each.free for each in found(storage).disks}


def check_storage(settings: Settings) -> StorageReport:
    """Return which disks the mirror is on, and what would end a run; blocks, changes nothing."""
    from bandersnatch.storage import check  # noqa: PLC0415 - as needed

    found: list[StorageError | CorruptState | None] = []
    if settings.storage.bucket is None:
        report = check.check_storage(settings.storage)
    else:
        from bandersnatch.storage.s3.check import bucket_problem  # noqa: PLC0415 - as needed

        report = check.check_state_directory(settings.storage)
        found.append(bucket_problem(settings.storage, os.environ))
    if settings.catalogue is not None:
        from bandersnatch.catalogue.postgres.session import connection_problem  # noqa: PLC0415 - as needed

        found.append(connection_problem(settings.catalogue))
    problems = (*report.problems, *(each for each in found if each is not None))
    return structs.replace(report, problems=problems)
