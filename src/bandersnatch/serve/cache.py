"""Pages in memory, with their digests and in each encoding that a client asked for.

A page is looked at in the storage before each use, and read again if it has changed. Many requests
for a page that is not in memory cause one read, and one compression for each encoding.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections import OrderedDict
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, cast

from msgspec import Struct, field

from bandersnatch.errors import MissingObject
from bandersnatch.serve.negotiation import Encoding

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

    from bandersnatch.concurrency import BlockingExecutor
    from bandersnatch.layout import StorageKey
    from bandersnatch.storage.port import ServedContent, ServedObject, ServedStorage

BUDGET = 48 * 1024**2
"""Bytes of all pages in memory."""

LARGEST = 1024**2
"""Bytes of a page that is kept as it is. Of a larger one only the compressed content is kept."""

PIECE = 256 * 1024
"""Bytes that are read of a larger page at a time."""

_SMALLEST_COMPRESSED = 512
"""Bytes; compressing less saves no packet."""

_QUICK = 32 * 1024
"""Bytes that are compressed in the event loop: a thread would take longer to wake."""

_OVERHEAD = 2_048
"""Bytes that a page takes besides its content."""

_GZIP_LEVEL, _ZSTD_LEVEL = 6, 6
_GZIP_WINDOW = 31
"""``wbits`` of zlib for a gzip header and the largest window."""


class Compressor(Protocol):
    """Compresses a content that comes in pieces."""

    def compress(self, data: bytes | bytearray, /) -> bytes:
        """Return what can be sent now."""
        ...

    def flush(self) -> bytes:
        """Return the rest."""
        ...


def available_encodings() -> tuple[Encoding, ...]:
    """Return the encodings besides identity that this Python has, the best first."""
    if find_spec("_zstd") is not None:  # since Python 3.14
        return (Encoding.ZSTD, Encoding.GZIP)
    return (Encoding.GZIP,)


def _compressor(encoding: Encoding) -> Compressor:
    if encoding is Encoding.ZSTD:
        zstd = import_module("compression.zstd")
        return cast("Compressor", zstd.ZstdCompressor(level=_ZSTD_LEVEL))
    return zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)


class CachedPage(Struct):
    """A page as it was when it was read; ``body`` is None if it is too large to be kept.

    ``digest`` is that of the content. ``encoded`` has the compressed content by encoding.
    ``heads`` are rendered response headers, which the server keeps here.
    """

    found: ServedObject
    digest: str
    body: bytes | None
    encoded: dict[Encoding, bytes] = field(default_factory=dict)
    heads: dict[Hashable, bytes] = field(default_factory=dict)

    @property
    def weight(self) -> int:
        """The bytes that the page takes in memory."""
        return len(self.body or b"") + sum(map(len, self.encoded.values())) + _OVERHEAD


class ChangedMeanwhile(Exception):
    """A page was replaced after its digest had been computed."""


class PageCache:
    """The pages that were used last, up to ``budget`` bytes."""

    def __init__(
        self, storage: ServedStorage, threads: BlockingExecutor, *, budget: int = BUDGET
    ) -> None:
        self._storage = storage
        self._threads = threads
        self._budget = budget
        self._pages: OrderedDict[StorageKey, CachedPage] = OrderedDict()
        self.reads = 0
        """How often a page was read."""
        self.compressions = 0
        """How often a page was compressed."""
        self._weights: dict[StorageKey, int] = {}
        self._weight = 0
        self._pending: dict[Hashable, asyncio.Future[CachedPage]] = {}

    async def get(self, key: StorageKey, encoding: Encoding) -> CachedPage | None:
        """Return the page that is served at ``key`` now; None if there is none.

        It has its content in ``encoding``, unless it is too small for that. Without compression
        the content of a large page is not in memory.

        :raises StorageError: if it cannot be read.
        """
        page = await self._current(key)
        if page is None or encoding is Encoding.IDENTITY or encoding in page.encoded:
            return page
        if page.found.size < _SMALLEST_COMPRESSED:
            return page
        read = page
        work = (key, page.found.tag, encoding)
        try:
            return await self._once(work, lambda: self._compress(key, read, encoding))
        except (ChangedMeanwhile, MissingObject):
            return await self._current(key)  # this once without compression

    async def _current(self, key: StorageKey) -> CachedPage | None:
        page = self._pages.get(key)
        found = await self._storage.look(key, None if page is None else page.found)
        if found is None:
            self._forget(key)
            return None
        if page is not None and page.found.tag == found.tag:
            self._pages.move_to_end(key)
            return page
        try:
            return await self._once((key, found.tag), lambda: self._read(key))
        except MissingObject:  # it was removed in this moment
            return None

    async def _once(
        self, work: Hashable, call: Callable[[], Coroutine[None, None, CachedPage]]
    ) -> CachedPage:
        """Return the result of ``call``; requests that need the same work wait for one call."""
        if (pending := self._pending.get(work)) is not None:
            return await asyncio.shield(pending)
        task = self._pending[work] = asyncio.ensure_future(call())
        task.add_done_callback(lambda _: self._pending.pop(work, None))
        return await asyncio.shield(task)

    # ------------------------------------------------------------ reading

    async def _read(self, key: StorageKey) -> CachedPage:
        self.reads += 1
        async with self._storage.open(key) as content:
            if content.found.size <= LARGEST:
                body = bytes(await content.read(0, content.found.size))
                hasher = hashlib.blake2b(body, digest_size=16)
                page = CachedPage(content.found, hasher.hexdigest(), body)
            else:
                hasher = hashlib.blake2b(digest_size=16)
                await self._feed(content, hasher.update)
                page = CachedPage(content.found, hasher.hexdigest(), None)
        self._keep(key, page)
        return page

    async def _feed(
        self, content: ServedContent, consume: Callable[[bytes | bytearray], object]
    ) -> None:
        for start in range(0, content.found.size, PIECE):
            piece = await content.read(start, PIECE)
            await self._threads.run(lambda piece=piece: consume(piece))  # type: ignore[misc]

    async def _compress(self, key: StorageKey, page: CachedPage, encoding: Encoding) -> CachedPage:
        self.compressions += 1
        compressor = _compressor(encoding)
        pieces: list[bytes] = []
        if page.body is None:
            async with self._storage.open(key) as content:
                if content.found.tag != page.found.tag:
                    raise ChangedMeanwhile
                await self._feed(content, lambda data: pieces.append(compressor.compress(data)))
        else:
            await self._compress_body(page.body, compressor, pieces)
        pieces.append(compressor.flush())
        page.encoded[encoding] = b"".join(pieces)
        self._keep(key, page)
        return page

    async def _compress_body(
        self, body: bytes, compressor: Compressor, pieces: list[bytes]
    ) -> None:
        if len(body) <= _QUICK:
            pieces.append(compressor.compress(body))
        else:
            await self._threads.run(lambda: pieces.append(compressor.compress(body)))

    # ------------------------------------------------------------ keeping

    def _keep(self, key: StorageKey, page: CachedPage) -> None:
        """Keep a page; drop those that were not used for longest if all exceed the budget."""
        self._forget(key)
        self._pages[key] = page
        self._weights[key] = page.weight
        self._weight += page.weight
        while self._weight > self._budget and len(self._pages) > 1:
            self._forget(next(iter(self._pages)))

    def _forget(self, key: StorageKey) -> None:
        if self._pages.pop(key, None) is not None:
            self._weight -= self._weights.pop(key)
