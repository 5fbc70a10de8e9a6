"""The ``download-mirror``: another host of the files, asked first as long as that helps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch.errors import IntegrityError, RefusedRequest, UpstreamError
from bandersnatch.events import DownloadMirrorDropped, DownloadMirrorFailed
from bandersnatch.index.download import download_once
from bandersnatch.index.watchdog import EAGER

if TYPE_CHECKING:
    import asyncio

    from bandersnatch.events import EventSink
    from bandersnatch.index.transport import Transport
    from bandersnatch.model.content import Content
    from bandersnatch.storage.port import Sink

MAX_FAILURES = 3
"""Failures after which the mirror is dropped, unless it provided many files meanwhile."""

_SHARE = 10
"""A mirror that provides more files than this for each failure is kept."""

_LACKING = frozenset({403, 404, 410})
"""The statuses with which a mirror says that it lacks a file; object stores answer 403."""


class DownloadMirror:
    """Downloads from the download mirror, until it has failed too often in this run.

    The index's own file host has every file, so nothing is tried twice here, and a low rate is
    noticed sooner. A file that the mirror lacks is no failure; wrong content is one.
    """

    def __init__(
        self,
        transport: Transport,
        budget: asyncio.Semaphore,
        events: EventSink,
        *,
        timeout: float,
    ) -> None:
        """Take the collaborators; ``timeout`` is in seconds, for the beginning of a response."""
        self._transport = transport
        self._budget = budget
        self._events = events
        self._patience = structs.replace(EAGER, answer=timeout)
        self._provided = 0
        self._failures = 0
        self._is_dropped = False

    async def try_download(self, url: str, sink: Sink) -> Content | None:
        """Return the content of the file at ``url``, None if the mirror does not provide it.

        :raises StorageError: if the storage fails.
        """
        if self._is_dropped:
            return None
        try:
            content = await download_once(self._transport, self._budget, url, sink, self._patience)
        except RefusedRequest as error:
            if error.status not in _LACKING:
                self._count(error)
        except (UpstreamError, IntegrityError) as error:
            self._count(error)
        else:
            self._provided += 1
            return content
        return None

    def _count(self, error: UpstreamError | IntegrityError) -> None:
        self._failures += 1
        self._events(DownloadMirrorFailed(error))
        limit = max(MAX_FAILURES, self._provided // _SHARE)
        if self._failures >= limit and not self._is_dropped:
            self._is_dropped = True
            self._events(DownloadMirrorDropped(self._failures, error))
