"""Opens the index: its HTTP client, limits and changelog."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch.config.load import is_pypi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bandersnatch.app.configuration import Configuration
    from bandersnatch.clock import Clock
    from bandersnatch.config.schema import IndexSettings, Settings
    from bandersnatch.doctor.port import SingleRequests
    from bandersnatch.events import EventSink
    from bandersnatch.index.aiohttp_client import AiohttpClient
    from bandersnatch.index.hosts import HostGuard
    from bandersnatch.index.port import PackageIndex
    from bandersnatch.index.shares import SharedLimits
    from bandersnatch.index.transport import Transport


@asynccontextmanager
async def open_index(
    configuration: Configuration, events: EventSink, clock: Clock
) -> AsyncIterator[PackageIndex]:
    """Yield the index alone: neither the tree nor the catalogue is opened, and no lock is taken.

    :raises ConfigError: if the environment names an invalid proxy or file of certificates.
    """
    settings, proxy = route_to_index(configuration.settings)
    async with AsyncExitStack() as stack:
        yield await connect_index(settings, stack, clock, events, proxy)


def route_to_index(settings: Settings) -> tuple[Settings, str]:
    """Return the settings with an index, PyPI if they have none, and the proxy on the way to it.

    :raises ConfigError: if the environment names an invalid proxy or file of certificates.
    """
    from bandersnatch.index.proxy import choose_proxy  # noqa: PLC0415 - as needed
    from bandersnatch.index.tls import check_environment  # noqa: PLC0415 - as needed

    check_environment(os.environ)
    settings = with_master(settings)
    return settings, choose_proxy(settings.index.proxy, settings.index.url, os.environ)


async def connect_index(
    settings: Settings,
    stack: AsyncExitStack,
    clock: Clock,
    events: EventSink,
    proxy: str,
    limits: SharedLimits | None = None,
) -> PackageIndex:
    """Return the index of settings that name one; ``stack`` closes it.

    ``limits`` give this process its share of the limits of all workers.
    """
    from bandersnatch.index.aiohttp_client import AiohttpClient  # noqa: PLC0415 - as needed
    from bandersnatch.index.changelog import Changelog  # noqa: PLC0415 - as needed
    from bandersnatch.index.client import IndexClient  # noqa: PLC0415 - as needed
    from bandersnatch.index.download_mirror import DownloadMirror  # noqa: PLC0415 - as needed
    from bandersnatch.index.hosts import HostGuard  # noqa: PLC0415 - as needed
    from bandersnatch.index.masked import MaskedIndex, PathMask  # noqa: PLC0415 - as needed
    from bandersnatch.index.transport import Budgets  # noqa: PLC0415 - as needed

    index = settings.index
    others = [settings.files.download_mirror, proxy]
    mask = PathMask([index.url, *others])
    events = mask.sink(events)
    guard = HostGuard(index.url, others, index.file_hosts)
    budgets = Budgets(asyncio.Semaphore(index.workers), asyncio.Semaphore(index.download_workers))
    client = await stack.enter_async_context(AiohttpClient(index, guard, proxy))
    transport = _transport(index, client, guard, clock, events)
    if limits is not None:
        limits.bind(budgets, index.workers, index.download_workers, transport)
    changelog = None
    if not index.index_url:
        changelog = Changelog(transport, clock, budgets.index, f"{index.master}/pypi")
    download_mirror = DownloadMirror(transport, budgets.files, events, timeout=index.timeout)
    opened = IndexClient(index, transport, changelog, budgets, clock, download_mirror)
    return MaskedIndex(opened, mask) if mask else opened


def with_master(settings: Settings) -> Settings:
    """Return the settings with PyPI as index if they have none."""
    if settings.index.url:
        return settings
    from distlib.index import DEFAULT_INDEX  # noqa: PLC0415 - as needed

    master = str(DEFAULT_INDEX).rpartition("/")[0]  # without its last segment, "pypi"
    return structs.replace(settings, index=structs.replace(settings.index, master=master))


def _transport(
    index: IndexSettings, client: AiohttpClient, guard: HostGuard, clock: Clock, events: EventSink
) -> Transport:
    """Return what sends requests, with the limits of the settings."""
    from bandersnatch.index.missing import MissingLimits  # noqa: PLC0415 - as needed
    from bandersnatch.index.rate_limit import RateLimiter  # noqa: PLC0415 - as needed
    from bandersnatch.index.transport import Transport  # noqa: PLC0415 - as needed

    jitter = random.Random()  # noqa: S311 - spreads retries, guards nothing
    missing = MissingLimits(clock, events, lambda: is_pypi(index.url))
    return Transport(
        client,
        guard,
        clock,
        jitter,
        missing,
        RateLimiter(index.max_rate, clock),
        timeout=index.timeout,
        document_timeout=index.global_timeout,
    )


@asynccontextmanager
async def open_requests(url: str) -> AsyncIterator[tuple[SingleRequests, str]]:
    """Yield what sends single requests to an index, and its URL without user name and password.

    :raises ConfigError: if the environment names an invalid proxy or file of certificates.
    """
    from bandersnatch.config.schema import IndexSettings, split_login  # noqa: PLC0415 - as needed
    from bandersnatch.index.aiohttp_client import AiohttpClient  # noqa: PLC0415 - as needed
    from bandersnatch.index.hosts import HostGuard  # noqa: PLC0415 - as needed
    from bandersnatch.index.proxy import choose_proxy  # noqa: PLC0415 - as needed
    from bandersnatch.index.single_requests import GuardedRequests  # noqa: PLC0415 - as needed
    from bandersnatch.index.tls import check_environment  # noqa: PLC0415 - as needed

    check_environment(os.environ)
    address, login = split_login(url)
    proxy = choose_proxy("", address, os.environ)
    guard = HostGuard(address, [proxy])
    settings = IndexSettings(index_url=address, logins=() if login is None else (login,))
    async with AiohttpClient(settings, guard, proxy) as client:
        yield GuardedRequests(client, guard, has_proxy=bool(proxy)), address
