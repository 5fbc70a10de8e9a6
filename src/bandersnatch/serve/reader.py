"""The catalogue as a server reads it: opened when it is needed, and again after some seconds.

It may be missing, appear later, and be replaced while the server is running.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

from bandersnatch.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.clock import Clock

    CatalogueOpener: TypeAlias = Callable[[], AbstractAsyncContextManager["MirrorCatalogue | None"]]
    """Opens the catalogue for reading; None if there is none."""

LIFETIME = 10.0
"""Seconds after which the catalogue is opened again."""

RETRY_AFTER = 30.0
"""Seconds without another attempt after the catalogue could not be opened, which may take some."""


class _Opened:
    def __init__(self, until: float) -> None:
        self.until = until
        self.users = 0
        self.stack = AsyncExitStack()
        self.catalogue: MirrorCatalogue | None = None


class CatalogueReader:
    """Shares one open catalogue between requests; a context."""

    def __init__(self, opener: CatalogueOpener, clock: Clock) -> None:
        self._opener = opener
        self._clock = clock
        self._current: _Opened | None = None
        self._opening = asyncio.Lock()
        self._refused: StorageError | None = None
        self._retry_at = 0.0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[MirrorCatalogue | None]:
        """Yield the catalogue; None if there is none.

        :raises StorageError: if it cannot be opened.
        """
        opened = await self._take()
        try:
            yield opened.catalogue
        finally:
            opened.users -= 1
            if opened is not self._current and not opened.users:
                await opened.stack.aclose()

    async def _take(self) -> _Opened:
        async with self._opening:
            current = self._current
            if current is None or self._clock.monotonic() >= current.until:
                await self.close()
                current = _Opened(self._clock.monotonic() + LIFETIME)
                current.catalogue = await self._enter(current.stack)
                self._current = current
            current.users += 1
            return current

    async def _enter(self, stack: AsyncExitStack) -> MirrorCatalogue | None:
        """Open the catalogue, unless that failed a moment ago."""
        if self._refused is not None and self._clock.monotonic() < self._retry_at:
            raise StorageError(self._refused.key, self._refused.why)
        try:
            opened = await stack.enter_async_context(self._opener())
        except StorageError as error:
            self._refused, self._retry_at = error, self._clock.monotonic() + RETRY_AFTER
            raise
        self._refused = None
        return opened

    async def close(self) -> None:
        """Close the catalogue, as soon as it is not in use."""
        current, self._current = self._current, None
        if current is not None and not current.users:
            await current.stack.aclose()
