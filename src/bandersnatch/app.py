"""The composition root: the only place that knows the adapters of the ports."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from bandersnatch import __version__
from bandersnatch.config.ini import ListFiles, read_ini
from bandersnatch.config.load import enabled_filters, is_pypi, load_settings, login_origins
from bandersnatch.errors import (
    ConfigError,
    CorruptState,
    InvalidRules,
    LockConflict,
    OptionError,
    Problem,
    RefusedCopy,
    StorageError,
    UsageError,
)
from bandersnatch.events import Warned
from bandersnatch.filters.options import FilterOptions
from bandersnatch.filters.plugins.providers import Found
from bandersnatch.filters.registry import ALL, BUILT_IN, SECTIONS, build_chain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.catalogue.sql_catalogue import SqlCatalogue
    from bandersnatch.clock import Clock
    from bandersnatch.closure.state import ClosureState
    from bandersnatch.cluster.messages import RunNotice
    from bandersnatch.cluster.port import FleetView
    from bandersnatch.cluster.worker import Worker
    from bandersnatch.config.catalogue import CatalogueSettings
    from bandersnatch.config.schema import Settings, StorageSettings
    from bandersnatch.doctor.port import SingleRequests
    from bandersnatch.events import EventSink
    from bandersnatch.filters.chain import FilterChain
    from bandersnatch.fleet_counts import FleetCounts
    from bandersnatch.index.port import PackageIndex
    from bandersnatch.index.shares import SharedLimits
    from bandersnatch.mirror.fleet import Fleet
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.wheels import Environment
    from bandersnatch.serve.responder import Responder
    from bandersnatch.storage.check import StorageReport
    from bandersnatch.storage.journal import ChangeJournal
    from bandersnatch.storage.port import MirrorStorage, ServedStorage
    from bandersnatch.transfer.copy import MirrorCopy


_READ_TIMEOUT = 5.0
"""Seconds that a page for people waits for a run that is writing to the catalogue."""

_CONNECT_TIMEOUT = 2
"""Seconds that such a page waits for a database; the least that libpq accepts."""

_FLEET_TIMEOUT = 10.0
"""Seconds within which a server has to have counted the workers."""

_COMPRESSORS = 2
"""Threads that compress pages to serve."""

_FOLDS = (
    "the file system of {path} ignores {what} in names; of files whose names differ in nothing "
    "else only one can be mirrored, and the others are rejected"
)

_NOT_COPIED = (
    "{url} is an empty catalogue, and {directory}/{file} is not used any more; everything is read "
    "from the tree, unless you stop this run and copy: bandersnatch catalogue copy {directory} URL"
)


class Configuration(Struct, frozen=True):
    """A valid configuration; ``environments`` are those that are declared."""

    settings: Settings
    filters: FilterChain
    environments: tuple[Environment, ...] = ()


def load(path: Path, now: datetime | None = None) -> Configuration:
    """Load a configuration file; ``now`` is the time for filters by age, by default the current.

    :raises FileNotFoundError: if the file does not exist.
    :raises ConfigError: with all problems of the file.
    """
    file = read_ini(path, os.environ)
    names = [name for name in enabled_filters(file) if name not in BUILT_IN and name != ALL]
    plugins = _load_plugins(names)
    sections = {**SECTIONS, **{each.name: frozenset({""}) for each in plugins.providers}}
    others = any(each.reads_anything for each in plugins.providers)
    loaded = load_settings(file, sections, others=others)
    moment = now if now is not None else datetime.now(UTC)
    options = FilterOptions(
        sections=file.sections,
        path=file.path,
        numbers=file.numbers,
        files=ListFiles(),
        now=int(moment.timestamp()),
    )
    used = {"environments"} if loaded.settings.closure.follow else set[str]()
    built = build_chain(loaded.settings.filters.enabled, options, plugins, used=used)
    settings, credential_problems = _with_credentials(loaded.settings, os.environ)
    environments, unusable = _environments(options)
    missing = _missing_extras(settings)
    if loaded.problems or built.problems or credential_problems or unusable or missing:
        refused = {(each.section, each.option) for each in file.problems}
        of_filters = [each for each in built.problems if each[:2] not in refused]
        of_filters += [each for each in unusable if each not in of_filters]
        problems = [*loaded.problems, *missing, *credential_problems, *of_filters]
        raise ConfigError(file.path, problems)
    notes = (*settings.notes, *built.notes)
    return Configuration(structs.replace(settings, notes=notes), built.chain, environments)


def _environments(
    options: FilterOptions,
) -> tuple[tuple[Environment, ...], list[Problem]]:
    """Return the declared environments, and what is wrong in them."""
    if not options.sections.get("environments"):
        return (), []
    from bandersnatch.filters.builtin.environments import declared  # noqa: PLC0415 - rarely needed

    try:
        return declared(options), []
    except InvalidRules as error:
        return (), list(error.problems)


def _missing_extras(settings: Settings) -> list[Problem]:
    """Return a problem for each option that needs a library which is not installed."""
    problems = []
    if settings.storage.bucket is not None and find_spec("obstore") is None:
        why = "it needs the library obstore; run: pip install 'bandersnatch[s3]'"
        problems.append(Problem("mirror", "storage-backend", f"'s3' is not installed: {why}"))
    if settings.catalogue is not None and (why := _catalogue_problem(settings.catalogue)):
        problems.append(Problem("mirror", "catalogue", why))
    if settings.cluster.enabled and not _has_cluster():
        why = "it needs the library procrastinate; run: pip install 'bandersnatch[cluster]'"
        problems.append(Problem("mirror", "cluster", why))
    return problems


def _has_cluster() -> bool:
    return all(find_spec(name) is not None for name in ("procrastinate", "psycopg_pool"))


def _catalogue_problem(settings: CatalogueSettings) -> str:
    """Return why a catalogue in PostgreSQL cannot be used, as far as known here; else ""."""
    try:
        from bandersnatch.catalogue.postgres.failures import url_problem  # noqa: PLC0415 - as above
    except ImportError:  # also if there is psycopg without libpq
        library = "'bandersnatch[postgres]'"
        return f"it needs the library psycopg, with libpq; run: pip install {library}"
    return url_problem(settings)


def _with_credentials(
    settings: Settings, environment: Mapping[str, str]
) -> tuple[Settings, list[Problem]]:
    """Return the settings with the logins of a netrc file, and the problems of credentials."""
    problems: list[Problem] = []
    if settings.index.tls.is_set:
        from bandersnatch.index.tls import certificate_problems  # noqa: PLC0415 - rarely needed

        problems += certificate_problems(settings.index.tls)
    if not settings.index.netrc:
        return settings, problems
    from bandersnatch.config.netrc import netrc_path, read_logins  # noqa: PLC0415 - as above

    origins = login_origins(settings)
    try:
        path = netrc_path(environment)
        logins = read_logins(path, origins)
    except OptionError as error:
        return settings, [*problems, Problem("mirror", "netrc", str(error))]
    index = structs.replace(settings.index, logins=(*settings.index.logins, *logins))
    notes = settings.notes
    if not logins:
        note = f"{path} has no entry for {', '.join(origins)}"
        pypi = "PyPI needs no user name, and no other host is configured"
        notes = (*notes, f"[mirror] netrc: {note if origins else pypi}")
    return structs.replace(settings, index=index, notes=notes), problems


def _load_plugins(names: list[str]) -> Found:
    if not names:
        return Found()
    from bandersnatch.filters.plugins.installed import provided  # noqa: PLC0415 - slow, rarely needed

    return provided(names)


class SystemClock:
    """The clock of the system."""

    def now(self) -> datetime:
        """Return the current time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds from any origin, which never decrease."""
        return monotonic()

    async def sleep(self, seconds: float, /) -> None:
        """Wait for some seconds."""
        await asyncio.sleep(seconds)


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
    # These take half of the start-up time; --help and invalid options do not need them.
    from bandersnatch.index.proxy import choose_proxy  # noqa: PLC0415
    from bandersnatch.index.tls import check_environment  # noqa: PLC0415
    from bandersnatch.mirror.mirror import Mirror  # noqa: PLC0415

    check_environment(os.environ)
    settings = _with_master(configuration.settings)
    proxy = choose_proxy(settings.index.proxy, settings.index.url, os.environ)
    async with AsyncExitStack() as stack:
        storage, catalogue = await _open_storage(
            settings, stack, events, dry_run=dry_run, readers=readers
        )
        filters, closure = await _open_closure(configuration, catalogue)
        if storage.folding and not dry_run:
            events(Warned(_FOLDS.format(path=settings.storage.directory, what=storage.folding)))
        index = await _open_index(settings, stack, clock, events, proxy)
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


async def _open_closure(
    configuration: Configuration, catalogue: MirrorCatalogue
) -> tuple[FilterChain, ClosureState | None]:
    """Return the filters, with what is followed if dependencies are, and the state of that."""
    settings = configuration.settings.closure
    if not settings.follow:
        return configuration.filters, None
    from bandersnatch.closure.state import ClosureState  # noqa: PLC0415 - as above
    from bandersnatch.filters.following import FollowingChain  # noqa: PLC0415 - as above

    state = ClosureState(settings, configuration.environments)
    state.load(await catalogue.followed())
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
    from bandersnatch.transfer.copy import MirrorCopy, Place  # noqa: PLC0415 - as above

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
            opened = await _open_storage(settings, stack, events, dry_run=dry_run, readers=0)
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


@asynccontextmanager
async def open_index(
    configuration: Configuration, events: EventSink, clock: Clock
) -> AsyncIterator[PackageIndex]:
    """Yield the index alone: neither the tree nor the catalogue is opened, and no lock is taken.

    :raises ConfigError: if the environment names an invalid proxy.
    """
    from bandersnatch.index.proxy import choose_proxy  # noqa: PLC0415 - as above

    settings = _with_master(configuration.settings)
    proxy = choose_proxy(settings.index.proxy, settings.index.url, os.environ)
    async with AsyncExitStack() as stack:
        yield await _open_index(settings, stack, clock, events, proxy)


@asynccontextmanager
async def open_requests(url: str) -> AsyncIterator[tuple[SingleRequests, str]]:
    """Yield what sends single requests to an index, and its URL without user name and password.

    :raises ConfigError: if the environment names an invalid proxy or file of certificates.
    """
    from bandersnatch.config.schema import IndexSettings, split_login  # noqa: PLC0415 - as above
    from bandersnatch.index.aiohttp_client import AiohttpClient  # noqa: PLC0415
    from bandersnatch.index.hosts import HostGuard  # noqa: PLC0415
    from bandersnatch.index.proxy import choose_proxy  # noqa: PLC0415
    from bandersnatch.index.single_requests import GuardedRequests  # noqa: PLC0415
    from bandersnatch.index.tls import check_environment  # noqa: PLC0415

    check_environment(os.environ)
    address, login = split_login(url)
    proxy = choose_proxy("", address, os.environ)
    guard = HostGuard(address, [proxy])
    settings = IndexSettings(index_url=address, logins=() if login is None else (login,))
    async with AiohttpClient(settings, guard, proxy) as client:
        yield GuardedRequests(client, guard, has_proxy=bool(proxy)), address


@asynccontextmanager
async def open_responder(configuration: Configuration, clock: Clock) -> AsyncIterator[Responder]:
    """Yield what answers requests from the mirror's storage; takes no lock and asks no index."""
    from bandersnatch.concurrency import BlockingExecutor  # noqa: PLC0415 - as above
    from bandersnatch.config.schema import MetricsAccess  # noqa: PLC0415
    from bandersnatch.serve.file_tags import FileTags  # noqa: PLC0415
    from bandersnatch.serve.fleet_reader import FleetReader  # noqa: PLC0415
    from bandersnatch.serve.monitor import Monitor  # noqa: PLC0415
    from bandersnatch.serve.pages.views import WebPages  # noqa: PLC0415
    from bandersnatch.serve.reader import CatalogueReader  # noqa: PLC0415
    from bandersnatch.serve.responder import Responder  # noqa: PLC0415

    settings = configuration.settings
    reader = CatalogueReader(lambda: _read_catalogue(settings), clock)
    async with _served_storage(settings.storage) as storage:
        threads = BlockingExecutor(_COMPRESSORS, "compress")
        try:
            fleet = FleetReader(lambda: _count_fleet(settings), clock)
            pages = WebPages(storage, reader, threads, clock, settings, fleet)
            is_open = settings.serve.metrics is MetricsAccess.ALL

            async def free() -> dict[str, int]:
                return await threads.run(lambda: free_space(settings))

            monitor = Monitor(reader, storage, clock, free, fleet, is_open=is_open)
            tags = FileTags(reader)
            yield Responder(
                storage, threads, pages, tags, settings, configuration.filters, monitor=monitor
            )
        finally:
            await reader.close()
            threads.close()


def _served_storage(settings: StorageSettings) -> AbstractAsyncContextManager[ServedStorage]:
    if settings.bucket is not None:
        from bandersnatch.storage.s3.served import ServedBucket  # noqa: PLC0415 - as above

        return nullcontext(ServedBucket(settings, os.environ))
    from bandersnatch.storage.served import ServedFiles  # noqa: PLC0415 - as above

    return ServedFiles(settings.directory)


@asynccontextmanager
async def _read_catalogue(settings: Settings) -> AsyncIterator[MirrorCatalogue | None]:
    """Yield the catalogue for reading; None if there is none."""
    if settings.catalogue is not None:
        from bandersnatch.catalogue.postgres.catalogue import PostgresCatalogue  # noqa: PLC0415
        from bandersnatch.catalogue.postgres.session import Access  # noqa: PLC0415

        access = Access(is_writing=False, patience=0.0, connect_timeout=_CONNECT_TIMEOUT)
        async with PostgresCatalogue(settings.catalogue, access) as shared:
            yield None if shared.is_empty else shared
        return
    from bandersnatch.catalogue.sqlite import SqliteCatalogue  # noqa: PLC0415 - as above
    from bandersnatch.catalogue.sqlite_file import exists  # noqa: PLC0415 - as above

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
            from bandersnatch.catalogue.sqlite import SqliteCatalogue  # noqa: PLC0415 - as above
            from bandersnatch.catalogue.sqlite_file import exists  # noqa: PLC0415
            from bandersnatch.storage.lock import MirrorLock  # noqa: PLC0415

            if must_exist and not exists(place):
                raise UsageError(f"{place} has no catalogue.sqlite; name the directory of a mirror")
            lock = MirrorLock(place)
            lock.acquire()
            stack.callback(lock.release)
            yield await stack.enter_async_context(SqliteCatalogue(place))
            return
        if why := _catalogue_problem(place):
            raise UsageError(f"{place.shown}: {why}")
        from bandersnatch.catalogue.postgres.catalogue import PostgresCatalogue  # noqa: PLC0415
        from bandersnatch.catalogue.postgres.session import Access  # noqa: PLC0415

        if must_exist:  # one that writes creates the schema
            async with PostgresCatalogue(place, Access(is_writing=False)) as found:
                if found.is_empty:
                    why = f"there is no catalogue in the schema {place.schema}"
                    raise UsageError(f"{place.shown}: {why}; name another one: ?schema=NAME")
        yield await stack.enter_async_context(PostgresCatalogue(place))


async def is_mirror_running(settings: Settings) -> bool:
    """Return whether a command that changes the mirror is running, as far as that is known."""
    from bandersnatch.storage.lock import is_mirror_locked  # noqa: PLC0415 - as above

    if await asyncio.to_thread(is_mirror_locked, settings.storage.state_directory):
        return True
    if settings.catalogue is None:
        return False
    from bandersnatch.catalogue.postgres.session import is_locked  # noqa: PLC0415 - as above

    return await asyncio.to_thread(is_locked, settings.catalogue)


def free_space(settings: Settings) -> dict[str, int]:
    """Return the free bytes of the mirror's disks by place, ``.`` for the directory; blocks."""
    from bandersnatch.storage import check  # noqa: PLC0415 - as above

    storage = settings.storage
    found = check.check_storage if storage.bucket is None else check.check_state_directory
    return {each.place or ".": each.free for each in found(storage).disks}


def check_storage(settings: Settings) -> StorageReport:
    """Return which disks the mirror is on, and what would end a run; blocks, changes nothing."""
    from bandersnatch.storage import check  # noqa: PLC0415 - as above

    found: list[StorageError | CorruptState | None] = []
    if settings.storage.bucket is None:
        report = check.check_storage(settings.storage)
    else:
        from bandersnatch.storage.s3.check import bucket_problem  # noqa: PLC0415 - as above

        report = check.check_state_directory(settings.storage)
        found.append(bucket_problem(settings.storage, os.environ))
    if settings.catalogue is not None:
        from bandersnatch.catalogue.postgres.session import connection_problem  # noqa: PLC0415

        found.append(connection_problem(settings.catalogue))
    problems = (*report.problems, *(each for each in found if each is not None))
    return structs.replace(report, problems=problems)


def with_journal(mirror: Mirror, journal: ChangeJournal) -> Mirror:
    """Return the mirror with a storage that journals each served change before it makes it."""
    from bandersnatch.storage.journal import JournalingStorage  # noqa: PLC0415 - as above

    return replace(mirror, storage=JournalingStorage(mirror.storage, journal))


@asynccontextmanager
async def open_fleet(configuration: Configuration, mirror: Mirror) -> AsyncIterator[Fleet | None]:
    """Yield the workers that sync the projects of a run; None if this process does.

    :raises StorageError: if the queue cannot be used.
    """
    settings = configuration.settings
    if not settings.cluster.enabled or settings.catalogue is None:
        yield None
        return
    from bandersnatch.cluster.coordinator import ClusterTimes, Coordinator  # noqa: PLC0415
    from bandersnatch.cluster.messages import RunNotice  # noqa: PLC0415
    from bandersnatch.cluster.postgres import PostgresCoordinatorQueue  # noqa: PLC0415
    from bandersnatch.cluster.settings import fingerprint_of  # noqa: PLC0415
    from bandersnatch.storage.journal import JournalingStorage  # noqa: PLC0415 - as above

    storage, cluster = mirror.storage, settings.cluster
    recorder = storage.journal if isinstance(storage, JournalingStorage) else None
    fingerprint = fingerprint_of(_with_master(settings), mirror.filters)
    notice = RunNotice(secrets.token_hex(16), __version__, fingerprint, mirror.clock.now())
    async with PostgresCoordinatorQueue(settings.catalogue) as queue:
        times = ClusterTimes(lost_after=cluster.worker_timeout, wait=cluster.worker_wait)
        coordinator = Coordinator(queue, mirror, notice, times, recorder)
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
    from bandersnatch.catalogue.postgres.lock import session_name  # noqa: PLC0415 - as above

    settings = configuration.settings
    if not settings.cluster.enabled or settings.catalogue is None:
        why = "the configuration has no workers; set cluster = true and catalogue in [mirror]"
        raise UsageError(f"{path}: {why}")
    from bandersnatch.cluster.postgres import PostgresWorkerQueue  # noqa: PLC0415 - as above
    from bandersnatch.cluster.worker import Worker  # noqa: PLC0415

    name = session_name().removeprefix("bandersnatch on ")
    suffix = secrets.token_hex(4)

    def opener(notice: RunNotice, sink: EventSink) -> AbstractAsyncContextManager[_WorkersMirror]:
        return _open_workers_mirror(load(path, notice.began), sink, clock, suffix)

    async with PostgresWorkerQueue(settings.catalogue) as queue:
        yield Worker(queue, opener, events, name, __version__)


async def read_fleet(settings: Settings) -> FleetView | None:
    """Return the workers of a mirror; None if the configuration has none.

    :raises StorageError: if the queue cannot be read.
    """
    if not settings.cluster.enabled or settings.catalogue is None:
        return None
    from bandersnatch.cluster.postgres import PostgresFleetQuery  # noqa: PLC0415 - as above

    async with PostgresFleetQuery(settings.catalogue) as query:
        return await query.read()


async def _count_fleet(settings: Settings) -> FleetCounts | None:
    """Count the workers for a server, which does not wait for a database that does not answer."""
    try:
        async with asyncio.timeout(_FLEET_TIMEOUT):
            view = await read_fleet(settings)
    except (StorageError, TimeoutError):
        return None
    return None if view is None else view.counts(settings.cluster.worker_timeout)


class _WorkersMirror(Struct, frozen=True):
    """What a worker works with in one run."""

    mirror: Mirror
    limits: SharedLimits
    fingerprint: str


@asynccontextmanager
async def _open_workers_mirror(
    configuration: Configuration, events: EventSink, clock: Clock, suffix: str
) -> AsyncIterator[_WorkersMirror]:
    """Open the mirror without its lock, with the catalogue for reading, and yield it.

    ``suffix`` tells the temporary files of this process from those of others.
    """
    from bandersnatch.catalogue.postgres.catalogue import PostgresCatalogue  # noqa: PLC0415
    from bandersnatch.catalogue.postgres.session import Access  # noqa: PLC0415
    from bandersnatch.cluster.settings import fingerprint_of  # noqa: PLC0415
    from bandersnatch.index.proxy import choose_proxy  # noqa: PLC0415
    from bandersnatch.index.shares import SharedLimits  # noqa: PLC0415
    from bandersnatch.index.tls import check_environment  # noqa: PLC0415
    from bandersnatch.mirror.mirror import Mirror  # noqa: PLC0415

    check_environment(os.environ)
    settings = _with_master(configuration.settings)
    assert settings.catalogue is not None, "a worker has one"
    proxy = choose_proxy(settings.index.proxy, settings.index.url, os.environ)
    async with AsyncExitStack() as stack:
        storage = await _open_workers_storage(settings, stack, suffix)
        catalogue = PostgresCatalogue(settings.catalogue, Access(is_writing=False), events)
        await stack.enter_async_context(catalogue)
        limits = SharedLimits()
        stack.callback(limits.close)
        index = await _open_index(settings, stack, clock, events, proxy, limits)
        mirror = Mirror(
            index=index,
            storage=storage,
            catalogue=catalogue,
            clock=clock,
            events=events,
            settings=settings,
            filters=configuration.filters,
        )
        yield _WorkersMirror(mirror, limits, fingerprint_of(settings, configuration.filters))


async def _open_workers_storage(
    settings: Settings, stack: AsyncExitStack, suffix: str
) -> MirrorStorage:
    """Return the storage of a worker.

    That of a mirror in a bucket has a state directory of its own on this machine: the first that no
    other worker uses, so that large downloads are resumed.
    """
    storage = settings.storage
    if storage.bucket is None:
        from bandersnatch.storage.filesystem import FilesystemStorage  # noqa: PLC0415 - as above

        opened = FilesystemStorage(storage.directory, keep_free=storage.keep_free, worker=suffix)
        return await stack.enter_async_context(opened)
    from bandersnatch.storage.s3.storage import BucketStorage  # noqa: PLC0415 - as above

    for number in count(1):
        home = f"{storage.bucket.state_directory}/workers/{number}"
        bucket = structs.replace(storage.bucket, state_directory=home)
        own = BucketStorage(structs.replace(storage, bucket=bucket), os.environ, is_worker=True)
        try:
            return await stack.enter_async_context(own)
        except LockConflict:
            continue  # another worker of this machine has it
    raise AssertionError("there is always another number")


def _with_master(settings: Settings) -> Settings:
    """Return the settings with PyPI as index if they have none."""
    if settings.index.url:
        return settings
    from distlib.index import DEFAULT_INDEX  # noqa: PLC0415 - slow to import

    master = str(DEFAULT_INDEX).rpartition("/")[0]  # without its last segment, "pypi"
    return structs.replace(settings, index=structs.replace(settings.index, master=master))


async def _open_storage(
    settings: Settings, stack: AsyncExitStack, events: EventSink, *, dry_run: bool, readers: int
) -> tuple[MirrorStorage, MirrorCatalogue]:
    opened = _storage(settings, read_only=dry_run, readers=readers)
    storage = await stack.enter_async_context(opened)
    catalogue = await _open_catalogue(settings, stack, events, dry_run=dry_run)
    if not dry_run:
        return storage, catalogue
    from bandersnatch.storage.dry_run import DryRunStorage  # noqa: PLC0415

    return DryRunStorage(storage), catalogue


async def _open_catalogue(
    settings: Settings, stack: AsyncExitStack, events: EventSink, *, dry_run: bool
) -> MirrorCatalogue:
    directory = settings.storage.state_directory
    if settings.catalogue is not None:
        from bandersnatch.catalogue.postgres.catalogue import (  # noqa: PLC0415 - as above
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
        from bandersnatch.catalogue.overlay import DryRunCatalogue  # noqa: PLC0415

        return await stack.enter_async_context(DryRunCatalogue(directory))
    from bandersnatch.catalogue.sqlite import SqliteCatalogue  # noqa: PLC0415

    return await stack.enter_async_context(SqliteCatalogue(directory))


async def _warn_of_file(
    settings: CatalogueSettings, catalogue: MirrorCatalogue, directory: str, events: EventSink
) -> None:
    """Warn if a new catalogue is empty, and the mirror has the file of an earlier one."""
    from bandersnatch.catalogue.sqlite_file import FILE_NAME, exists  # noqa: PLC0415 - as above

    if exists(directory) and not await catalogue.count():
        events(Warned(_NOT_COPIED.format(directory=directory, file=FILE_NAME, url=settings.shown)))


def _storage(
    settings: Settings, *, read_only: bool, readers: int
) -> AbstractAsyncContextManager[MirrorStorage]:
    """Return the storage, which is not open yet.

    :raises StorageError: if it needs a disk that is not mounted.
    """
    storage = settings.storage
    if storage.bucket is not None:
        from bandersnatch.storage.s3.storage import BucketStorage  # noqa: PLC0415

        return BucketStorage(
            storage,
            os.environ,
            read_only=read_only,
            has_workers=settings.cluster.enabled,
            threads=readers,
        )
    from bandersnatch.storage.filesystem import FilesystemStorage  # noqa: PLC0415
    from bandersnatch.storage.mounts import require_disk  # noqa: PLC0415

    require_disk(storage.directory, must_exist=storage.must_exist)
    return FilesystemStorage(
        storage.directory, read_only=read_only, threads=readers, keep_free=storage.keep_free
    )


async def _open_index(
    settings: Settings,
    stack: AsyncExitStack,
    clock: Clock,
    events: EventSink,
    proxy: str,
    limits: SharedLimits | None = None,
) -> PackageIndex:
    from bandersnatch.index.aiohttp_client import AiohttpClient  # noqa: PLC0415
    from bandersnatch.index.changelog import Changelog  # noqa: PLC0415
    from bandersnatch.index.client import IndexClient  # noqa: PLC0415
    from bandersnatch.index.download_mirror import DownloadMirror  # noqa: PLC0415
    from bandersnatch.index.hosts import HostGuard  # noqa: PLC0415
    from bandersnatch.index.masked import MaskedIndex, PathMask  # noqa: PLC0415
    from bandersnatch.index.missing import MissingLimits  # noqa: PLC0415
    from bandersnatch.index.rate_limit import RateLimiter  # noqa: PLC0415
    from bandersnatch.index.transport import Budgets, Transport  # noqa: PLC0415

    index = settings.index
    others = [settings.files.download_mirror, proxy]
    mask = PathMask([index.url, *others])
    events = mask.sink(events)
    guard = HostGuard(index.url, others, index.file_hosts)
    budgets = Budgets(asyncio.Semaphore(index.workers), asyncio.Semaphore(index.download_workers))
    jitter = random.Random()  # noqa: S311 - spreads retries, guards nothing
    client = await stack.enter_async_context(AiohttpClient(index, guard, proxy))
    missing = MissingLimits(clock, events, lambda: is_pypi(index.url))
    transport = Transport(
        client,
        guard,
        clock,
        jitter,
        missing,
        RateLimiter(index.max_rate, clock),
        timeout=index.timeout,
        document_timeout=index.global_timeout,
    )
    if limits is not None:
        limits.bind(budgets, index.workers, index.download_workers, transport)
    changelog = None
    if not index.index_url:
        changelog = Changelog(transport, clock, budgets.index, f"{index.master}/pypi")
    download_mirror = DownloadMirror(transport, budgets.files, events, timeout=index.timeout)
    opened = IndexClient(index, transport, changelog, budgets, clock, download_mirror)
    return MaskedIndex(opened, mask) if mask else opened
