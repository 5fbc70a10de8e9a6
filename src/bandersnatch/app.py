"""The composition root: the only place that knows the adapters of the ports."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from bandersnatch.config.ini import ListFiles, read_ini
from bandersnatch.config.load import enabled_filters, is_pypi, load_settings, login_origins
from bandersnatch.errors import ConfigError, InvalidRules, OptionError, Problem
from bandersnatch.events import Warned
from bandersnatch.filters.options import FilterOptions
from bandersnatch.filters.plugins.providers import Found
from bandersnatch.filters.registry import ALL, BUILT_IN, SECTIONS, build_chain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.clock import Clock
    from bandersnatch.closure.state import ClosureState
    from bandersnatch.config.schema import Settings
    from bandersnatch.doctor.port import SingleRequests
    from bandersnatch.events import EventSink
    from bandersnatch.filters.chain import FilterChain
    from bandersnatch.index.port import PackageIndex
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.wheels import Environment
    from bandersnatch.serve.responder import Responder
    from bandersnatch.storage.check import StorageReport
    from bandersnatch.storage.journal import ChangeJournal
    from bandersnatch.storage.port import MirrorStorage


_READ_TIMEOUT = 5.0
"""Seconds that a page for people waits for a run that is writing to the catalogue."""

_COMPRESSORS = 2
"""Threads that compress pages to serve."""

_FOLDS = (
    "the file system of {path} ignores {what} in names; of files whose names differ in nothing "
    "else only one can be mirrored, and the others are rejected"
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
    built = build_chain(loaded.settings.filters.enabled, options, plugins)
    settings, credential_problems = _with_credentials(loaded.settings, os.environ)
    environments, unusable = _environments(options)
    if loaded.problems or built.problems or credential_problems or unusable:
        refused = {(each.section, each.option) for each in file.problems}
        of_filters = [each for each in built.problems if each[:2] not in refused]
        of_filters += [each for each in unusable if each not in of_filters]
        raise ConfigError(file.path, [*loaded.problems, *credential_problems, *of_filters])
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
        storage, catalogue = await _open_storage(settings, stack, dry_run=dry_run, readers=readers)
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
    state.load({name: row.digest for name, row in (await catalogue.followed()).items()})
    return FollowingChain.of(configuration.filters, state), state


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
    from bandersnatch.serve.monitor import Monitor  # noqa: PLC0415
    from bandersnatch.serve.pages.views import WebPages  # noqa: PLC0415
    from bandersnatch.serve.reader import CatalogueReader  # noqa: PLC0415
    from bandersnatch.serve.responder import Responder  # noqa: PLC0415
    from bandersnatch.storage.served import ServedFiles  # noqa: PLC0415

    settings = configuration.settings
    reader = CatalogueReader(lambda: _read_catalogue(settings.storage.directory), clock)
    async with ServedFiles(settings.storage.directory) as storage:
        threads = BlockingExecutor(_COMPRESSORS, "compress")
        try:
            pages = WebPages(storage, reader, threads, clock, settings)
            is_open = settings.serve.metrics is MetricsAccess.ALL

            async def free() -> dict[str, int]:
                return await threads.run(lambda: free_space(settings))

            monitor = Monitor(reader, storage, clock, free, is_open=is_open)
            tags = FileTags(reader)
            yield Responder(
                storage, threads, pages, tags, settings, configuration.filters, monitor=monitor
            )
        finally:
            await reader.close()
            threads.close()


@asynccontextmanager
async def _read_catalogue(directory: str) -> AsyncIterator[MirrorCatalogue | None]:
    """Yield the catalogue for reading; None if there is none."""
    from bandersnatch.catalogue.sqlite import SqliteCatalogue, exists  # noqa: PLC0415 - as above

    if not exists(directory):
        yield None
        return
    opened = SqliteCatalogue(directory, read_only=True, busy_timeout=_READ_TIMEOUT)
    async with opened as catalogue:
        yield catalogue


async def is_mirror_running(settings: Settings) -> bool:
    """Return whether a command that changes the mirror is running, as far as that is known."""
    from bandersnatch.storage.served import ServedFiles  # noqa: PLC0415 - as above

    async with ServedFiles(settings.storage.directory) as storage:
        return await storage.is_locked()


def free_space(settings: Settings) -> dict[str, int]:
    """Return the free bytes of the mirror's disks by place, ``.`` for the directory; blocks."""
    return {each.place or ".": each.free for each in check_storage(settings).disks}


def check_storage(settings: Settings) -> StorageReport:
    """Return which disks the mirror is on, and what would end a run; blocks, changes nothing."""
    from bandersnatch.storage import check  # noqa: PLC0415 - as above

    return check.check_storage(settings.storage)


def with_journal(mirror: Mirror, journal: ChangeJournal) -> Mirror:
    """Return the mirror with a storage that journals each served change before it makes it."""
    from bandersnatch.storage.journal import JournalingStorage  # noqa: PLC0415 - as above

    return replace(mirror, storage=JournalingStorage(mirror.storage, journal))


def _with_master(settings: Settings) -> Settings:
    """Return the settings with PyPI as index if they have none."""
    if settings.index.url:
        return settings
    from distlib.index import DEFAULT_INDEX  # noqa: PLC0415 - slow to import

    master = str(DEFAULT_INDEX).rpartition("/")[0]  # without its last segment, "pypi"
    return structs.replace(settings, index=structs.replace(settings.index, master=master))


async def _open_storage(
    settings: Settings, stack: AsyncExitStack, *, dry_run: bool, readers: int
) -> tuple[MirrorStorage, MirrorCatalogue]:
    from bandersnatch.catalogue.sqlite import SqliteCatalogue  # noqa: PLC0415
    from bandersnatch.storage.filesystem import FilesystemStorage  # noqa: PLC0415
    from bandersnatch.storage.mounts import require_disk  # noqa: PLC0415

    directory = settings.storage.directory
    require_disk(directory, must_exist=settings.storage.must_exist)
    keep_free = settings.storage.keep_free
    opened = FilesystemStorage(directory, read_only=dry_run, threads=readers, keep_free=keep_free)
    storage = await stack.enter_async_context(opened)
    if not dry_run:
        return storage, await stack.enter_async_context(SqliteCatalogue(directory))
    from bandersnatch.catalogue.overlay import DryRunCatalogue  # noqa: PLC0415
    from bandersnatch.storage.dry_run import DryRunStorage  # noqa: PLC0415

    catalogue = await stack.enter_async_context(DryRunCatalogue(directory))
    return DryRunStorage(storage), catalogue


async def _open_index(
    settings: Settings, stack: AsyncExitStack, clock: Clock, events: EventSink, proxy: str
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
    changelog = None
    if not index.index_url:
        changelog = Changelog(transport, clock, budgets.index, f"{index.master}/pypi")
    download_mirror = DownloadMirror(transport, budgets.files, events, timeout=index.timeout)
    opened = IndexClient(index, transport, changelog, budgets, clock, download_mirror)
    return MaskedIndex(opened, mask) if mask else opened
