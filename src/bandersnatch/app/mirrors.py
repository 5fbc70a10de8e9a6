"""Opens mirrors: one to work on, or two to copy."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from bandersnatch.app.indexes import connect_index, route_to_index
from bandersnatch.app.storages import open_storage
from bandersnatch.errors import RefusedCopy
from bandersnatch.events import Warned

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bandersnatch.app.configuration import Configuration
    from bandersnatch.clock import Clock
    from bandersnatch.closure.state import ClosureState
    from bandersnatch.config.schema import Settings, StorageSettings
    from bandersnatch.events import EventSink
    from bandersnatch.filters.chain import FilterChain
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.transfer.copy import MirrorCopy

_FOLDS = (
    "the file system of {path} ignores {what} in names; of files whose names differ in nothing "
    "else only one can be mirrored, and the others are rejected"
)


@asynccontextmanager
async def open_mirror(
    configuration: Configuration,
    events: EventSink,
    clock: Clock,
    *,
    dry_run: bool = False,
    readers: int = 0,
) -> AsyncIterator[Mirror]:
    """Open storage, catalogue and index, and yield the mirror; holds the lock of the tree.

    A ``dry_run`` changes nothing and takes no lock. ``readers`` is how many files are read
    concurrently, if more than usual.

    :raises ConfigError: if the environment names an invalid proxy or file of certificates;
        nothing was touched.
    :raises LockConflict: if another command holds the lock.
    :raises StorageError: if the mirror's directory cannot be used.
    """
    from bandersnatch.mirror.mirror import Mirror  # noqa: PLC0415 - as needed

    settings, proxy = route_to_index(configuration.settings)
    async with AsyncExitStack() as stack:
        storage, catalogue = await open_storage(
            settings, stack, events, dry_run=dry_run, readers=readers
        )
        filters, closure = open_closure(configuration)
        if closure is not None:
            closure.load(await catalogue.followed())
        if storage.folding and not dry_run:
            events(Warned(_FOLDS.format(path=settings.storage.directory, what=storage.folding)))
        index = await connect_index(settings, stack, clock, events, proxy)
        yield Mirror(
            index=index,
            storage=storage,
            catalogue=catalogue,
            clock=clock,
            events=events,
            settings=settings,
            filters=filters,
            closure=closure,
        )


def open_closure(configuration: Configuration) -> tuple[FilterChain, ClosureState | None]:
    """Return the filters, with what is followed if dependencies are, and the state of that.

    The state follows no project yet.
    """
    settings = configuration.settings.closure
    if not settings.follow:
        return configuration.filters, None
    from bandersnatch.closure.state import ClosureState  # noqa: PLC0415 - as needed
    from bandersnatch.filters.following import FollowingChain  # noqa: PLC0415 - as needed

    state = ClosureState(settings, configuration.environments)
    return FollowingChain.of(configuration.filters, state), state


@asynccontextmanager
async def open_copy(
    source: Configuration, target: Configuration, events: EventSink, *, dry_run: bool
) -> AsyncIterator[MirrorCopy]:
    """Open two mirrors without an index, and yield the copy of one to the other; holds both locks.

    :raises UsageError: if both are the same.
    :raises LockConflict: if another command holds a lock.
    :raises StorageError: if one of both cannot be used.
    """
    from bandersnatch.transfer.copy import MirrorCopy, Place  # noqa: PLC0415 - as needed

    first, second = source.settings.storage, target.settings.storage
    _check_apart(first, second)
    if source.settings.pages.hash_index != target.settings.pages.hash_index:
        why = "hash-index differs; copy with the same value, and change it after that"
        raise RefusedCopy(second.directory, why)
    shared = target.settings.catalogue
    if shared is not None and shared == source.settings.catalogue:
        why = "both configurations have this catalogue; give that of the copy ?schema=NAME"
        raise RefusedCopy(shared.shown, why)
    async with AsyncExitStack() as stack:

        async def place(settings: Settings) -> Place:
            opened = await open_storage(settings, stack, events, dry_run=dry_run, readers=0)
            return Place(settings.storage.directory, *opened)

        yield MirrorCopy(
            await place(source.settings),
            await place(target.settings),
            source.settings.pages,
            events,
            most=target.settings.index.download_workers,
            dry_run=dry_run,
        )


def _check_apart(source: StorageSettings, target: StorageSettings) -> None:
    """Refuse places that are one, by any path, or of which one is in the other.

    :raises RefusedCopy: if they are.
    """
    first, second = source.directory, target.directory
    stores = [(b.endpoint, b.bucket) if (b := each.bucket) else None for each in (source, target)]
    if stores[0] != stores[1]:
        return
    if source.bucket is None:
        first, second = os.path.realpath(first), os.path.realpath(second)
    if first == second:
        raise RefusedCopy(target.directory, "both configurations are of this mirror")
    if f"{first}/".startswith(f"{second}/") or f"{second}/".startswith(f"{first}/"):
        why = f"{source.directory} is in this place, or contains it; copy to another place"
        raise RefusedCopy(target.directory, why)
