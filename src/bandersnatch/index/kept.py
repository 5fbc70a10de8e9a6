"""Answers of the index that a plan keeps for the run that follows."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Protocol

from multidict import CIMultiDict, CIMultiDictProxy

from bandersnatch.index.transport import Document

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_TOLD = ("Content-Type", "ETag", "Last-Modified", "Date", "X-PyPI-Last-Serial")
"""The headers that a page's meaning depends on."""

_OK = 200
_LARGE = 64 * 1024
"""Bytes; a larger document is kept by a thread."""


class Keeper(Protocol):
    """Somewhere that bytes are kept by name until they are taken."""

    @property
    def collects(self) -> bool:
        """Whether there is any use in giving it something to keep."""
        ...

    def keep(self, name: str, content: bytes) -> None:
        """Keep something, if that is possible."""
        ...

    def holds(self, name: str) -> bool:
        """Whether there may be something to take."""
        ...

    def take(self, name: str) -> bytes | None:
        """Return what was kept, once."""
        ...


class KeepsNothing:
    """A keeper for commands that neither plan nor go by a plan."""

    collects = False

    def keep(self, name: str, content: bytes) -> None:
        """Do nothing."""

    def holds(self, name: str) -> bool:
        """Return that there is nothing."""
        del name
        return False

    def take(self, name: str) -> None:
        """Return nothing."""
        del name


async def kept_or_fetched(
    keeper: Keeper, url: str, fetch: Callable[[], Awaitable[Document]]
) -> Document:
    """Return what a plan kept of ``url``, or else fetch it, and let a plan keep it."""
    kept = await asyncio.to_thread(keeper.take, url) if keeper.holds(url) else None
    document = None if kept is None else _parsed(kept)
    if document is None:
        document = await fetch()
        if keeper.collects and document.status == _OK:
            await _keep(keeper, url, document)
    return document


async def _keep(keeper: Keeper, url: str, document: Document) -> None:
    if len(document.body) > _LARGE:
        await asyncio.to_thread(lambda: keeper.keep(url, _rendered(document)))
    else:
        keeper.keep(url, _rendered(document))


def _rendered(document: Document) -> bytes:
    headers = {name: document.headers[name] for name in _TOLD if name in document.headers}
    return json.dumps({"url": document.url, "headers": headers}).encode() + b"\n" + document.body


def _parsed(kept: bytes) -> Document | None:
    head, _, body = kept.partition(b"\n")
    try:
        told = json.loads(head)
        headers = CIMultiDictProxy(
            CIMultiDict({str(k): str(v) for k, v in told["headers"].items()})
        )
        return Document(str(told["url"]), _OK, headers, body)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
