"""``/metrics`` and ``/health``: the state of the mirror for machines."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

import msgspec

from bandersnatch.serve.answers import NO_CACHE, Answer, plain_answer, render_head
from bandersnatch.state_word import StateWord, judge, read_facts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from bandersnatch.clock import Clock
    from bandersnatch.serve.fleet_reader import FleetReader
    from bandersnatch.serve.reader import CatalogueReader
    from bandersnatch.storage.port import ServedStorage

PATHS = frozenset({"/metrics", "/health"})

_HEALTHY = frozenset({StateWord.CURRENT, StateWord.PARTIAL})
_FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-IP")


class Monitor:
    """Answers what monitoring systems ask."""

    def __init__(
        self,
        catalogue: CatalogueReader,
        storage: ServedStorage,
        clock: Clock,
        free_space: Callable[[], Awaitable[Mapping[str, int]]],
        fleet: FleetReader,
        *,
        is_open: bool,
    ) -> None:
        """Take the collaborators; ``is_open`` is whether anybody may have the metrics."""
        self._catalogue = catalogue
        self._storage = storage
        self._clock = clock
        self._free_space = free_space
        self._fleet = fleet
        self._is_open = is_open

    def may_see(self, client: str, headers: Mapping[str, str]) -> bool:
        """Whether a client may have the metrics: if it is on this machine, unless all may.

        A request that a proxy on this machine passes on is not from this machine.
        """
        if self._is_open:
            return True
        try:
            is_local = ip_address(client.partition("%")[0]).is_loopback
        except ValueError:
            return False
        return is_local and not any(name in headers for name in _FORWARDED)

    async def metrics(self, requests: Mapping[tuple[str, int], int], sent: int) -> Answer:
        """Return the metrics of the mirror and of this server.

        :raises StorageError: if the catalogue cannot be read.
        """
        from bandersnatch import metrics  # noqa: PLC0415 - slow, and rarely asked for

        snapshot = None
        async with self._catalogue.open() as catalogue:
            if catalogue is not None:
                snapshot = await metrics.read_snapshot(
                    catalogue,
                    now=int(self._clock.now().timestamp()),
                    is_running=await self._storage.is_locked(),
                    free=await self._free_space(),
                )
        fleet = await self._fleet.counts()
        body = metrics.render_metrics(snapshot, metrics.Served(requests, sent), fleet)
        return _answer("metrics", 200, metrics.CONTENT_TYPE, body)

    async def health(self) -> Answer:
        """Return the state as JSON, with 200 if it is ``current`` or ``partial``, else 503.

        :raises StorageError: if the catalogue cannot be read.
        """
        async with self._catalogue.open() as catalogue:
            if catalogue is None:
                found = {"state": "unknown", "reason": "there is no catalogue", "running": False}
                return _answer("health", 503, "application/json", msgspec.json.encode(found))
            facts = await read_facts(
                catalogue,
                now=int(self._clock.now().timestamp()),
                is_running=await self._storage.is_locked(),
            )
        state = judge(facts)
        found = {"state": state.word, "reason": state.reason, "running": state.is_running}
        status = 200 if state.word in _HEALTHY else 503
        return _answer("health", status, "application/json", msgspec.json.encode(found))


def refused() -> Answer:
    """Return the answer to a client that may not have the metrics."""
    return plain_answer(403, "metrics are for this machine; see the option metrics of [serve]")


def _answer(kind: str, status: int, content_type: str, body: bytes) -> Answer:
    fields = {
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
        "Cache-Control": NO_CACHE,
        "X-Content-Type-Options": "nosniff",
    }
    return Answer(kind, status, render_head(status, fields), body)
