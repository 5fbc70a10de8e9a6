"""Opens what answers the requests of clients."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from bandersnatch.app.storages import free_space, read_catalogue, served_storage
from bandersnatch.app.workers import count_fleet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bandersnatch.app.configuration import Configuration
    from bandersnatch.clock import Clock
    from bandersnatch.serve.responder import Responder

_COMPRESSORS = 2
"""Threads that compress pages to serve."""


@asynccontextmanager
async def open_responder(configuration: Configuration, clock: Clock) -> AsyncIterator[Responder]:
    """Yield what answers requests from the mirror's storage; takes no lock and asks no index."""
    from bandersnatch.concurrency import BlockingExecutor  # noqa: PLC0415 - as needed
    from bandersnatch.config.schema import MetricsAccess  # noqa: PLC0415 - as needed
    from bandersnatch.serve.file_tags import FileTags  # noqa: PLC0415 - as needed
    from bandersnatch.serve.fleet_reader import FleetReader  # noqa: PLC0415 - as needed
    from bandersnatch.serve.monitor import Monitor  # noqa: PLC0415 - as needed
    from bandersnatch.serve.pages.views import WebPages  # noqa: PLC0415 - as needed
    from bandersnatch.serve.reader import CatalogueReader  # noqa: PLC0415 - as needed
    from bandersnatch.serve.responder import Responder  # noqa: PLC0415 - as needed

    settings = configuration.settings
    reader = CatalogueReader(lambda: read_catalogue(settings), clock)
    async with served_storage(settings.storage) as storage:
        threads = BlockingExecutor(_COMPRESSORS, "compress")
        try:
            fleet = FleetReader(lambda: count_fleet(settings), clock)
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
