"""Pauses that hosts ask for: who is told of them, and how they are shown."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from bandersnatch.cli.commands.status import _fleet_dict, _workers
from bandersnatch.cluster import messages
from bandersnatch.cluster.coordinator import ClusterTimes, Coordinator
from bandersnatch.cluster.pauses import HostPauses
from bandersnatch.cluster.pipes import PipeCoordinatorQueue
from bandersnatch.cluster.port import FleetView, Mail, SeenWorker, WorkerQueue
from bandersnatch.cluster.worker import Worker
from bandersnatch.config.rates import RateSchedule
from bandersnatch.config.schema import ApiMethod
from bandersnatch.errors import RateLimit
from bandersnatch.fleet_counts import PausedHost
from bandersnatch.index.hosts import HostGuard
from bandersnatch.index.missing import MissingLimits
from bandersnatch.index.rate_limit import RateLimiter
from bandersnatch.index.transport import Transport
from bandersnatch.metrics import Served, render_metrics
from tests.support.clock import QuickClock
from tests.support.index import Index
from tests.support.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from yarl import URL

    from bandersnatch.events import EventSink
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.names import ProjectName

HOST = "files.example.org"
NOTICE = messages.RunNotice("a", "9", "f", datetime(2026, 1, 2, tzinfo=UTC), is_local=True)
_LIMIT = 120.0
"""Seconds that anything may take."""

_PAUSES = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.floats(0, 900), st.floats(0, 900)), max_size=6
)


@given(_PAUSES, st.floats(0, 2000))
def test_a_pause_lasts_as_long_as_the_longest_that_a_host_asked_for(
    asked: list[tuple[str, float, float]], now: float
) -> None:
    pauses, ends = HostPauses(), dict[str, float]()
    for host, seconds, at in asked:
        pauses.add(messages.HostPause(host, seconds), at)
        ends[host] = max(ends.get(host, 0), at + seconds)

    left = {each.host: each.seconds for each in pauses.left(now)}

    assert left == {host: end - now for host, end in ends.items() if end > now}


# ---------------------------------------------------------------- the coordinator


class _Queue(PipeCoordinatorQueue):
    """A queue without processes; ``come`` adds a worker."""

    def __init__(self) -> None:
        super().__init__([], 0)
        self.live_workers: list[SeenWorker] = []
        self.shares: dict[int, messages.Share] = {}
        self.shown: list[messages.HostPause] = []

    def come(self, number: int) -> None:
        state = messages.WorkerState(f"worker {number}", "9", "f")
        self.live_workers.append(SeenWorker(number, "1", state))

    async def begin(self, notice: messages.RunNotice, /) -> Sequence[str]:  # type: ignore[override]
        del notice
        return ()

    async def workers(self) -> Sequence[SeenWorker]:
        return [
            each._replace(sign=str(asyncio.get_running_loop().time())) for each in self.live_workers
        ]

    async def assign(self, shares: Mapping[int, messages.Share], /) -> None:
        self.shares |= shares

    async def show_pause(self, pause: messages.HostPause, /) -> None:
        self.shown.append(pause)

    def post(self, worker: int, message: object) -> None:
        self._mail.append(Mail(worker, len(self.shown) + 1, [message]))
        self._news.set()


async def _wait_until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(_LIMIT):
        while not is_so():  # noqa: ASYNC110 - several things are waited for
            await asyncio.sleep(0.01)


def _mirror() -> Mirror:
    return World(Index(), QuickClock(), ApiMethod.XMLRPC).mirror()


async def test_the_first_share_of_a_worker_has_the_pauses_that_are_under_way() -> None:
    async with _Queue() as queue:
        queue.come(1)
        coordinator = Coordinator(queue, _mirror(), NOTICE, ClusterTimes())
        async with coordinator.open():
            await _wait_until(lambda: 1 in queue.shares)
            assert queue.shares[1].pauses == ()
            queue.post(1, messages.HostPause(HOST, 500.0))
            await _wait_until(lambda: queue.shown)
            queue.come(2)
            await _wait_until(lambda: 2 in queue.shares)

    ((host, seconds),) = [(each.host, each.seconds) for each in queue.shares[2].pauses]
    assert host == HOST
    assert 500 - _LIMIT < seconds <= 500
    assert queue.shown == [messages.HostPause(HOST, 500.0)]


# ---------------------------------------------------------------- a worker


class _Limits:
    """Records what a worker does with its limits."""

    def __init__(self) -> None:
        self.calls: list[object] = []
        self.held = (0, 0, 0)

    def assign(self, share: messages.Share, /) -> None:
        self.calls.append(share.index)

    def pause(self, host: str, seconds: float, /) -> None:
        self.calls.append((host, seconds))

    def on_pause(self, call: Callable[[str, float], None], /) -> None:
        """Nothing asks for one here."""


class _Opened(Struct):
    mirror: Mirror
    limits: _Limits
    fingerprint: str


class _WorkerQueue(WorkerQueue):
    """Gives a worker these shares, one at each sign of life; then the run is over."""

    def __init__(self, shares: Sequence[messages.Share]) -> None:
        self._shares = list(shares)

    async def notice(self) -> tuple[messages.RunNotice, str] | None:
        return (NOTICE, str(len(self._shares))) if self._shares else None

    async def live(self, state: messages.WorkerState, /) -> messages.Share:
        del state
        return self._shares.pop(0)

    async def leave(self) -> None:
        """Nobody is told."""

    async def take(self) -> None:
        return None

    async def finish(self, number: int, /) -> None:
        """Do nothing: it has no job."""

    async def is_current(self, run: str, name: ProjectName, attempt: int, /) -> bool:
        del run, name, attempt
        return True

    async def receive(self) -> Sequence[object]:
        return ()

    async def send(self, run: str, messages: Sequence[object], /) -> None:
        """Nobody reads it."""

    async def wait(self, seconds: float, /) -> None:
        await asyncio.sleep(seconds)


async def test_a_worker_pauses_before_it_uses_its_share_and_once_for_each_share() -> None:
    pause = messages.HostPause(HOST, 500.0)
    first = messages.Share(1, 1, 500, (pause,))
    queue, limits = _WorkerQueue([first, first, messages.Share(2, 1, 500)]), _Limits()

    @asynccontextmanager
    async def opener(notice: messages.RunNotice, sink: EventSink) -> AsyncIterator[_Opened]:
        del sink
        yield _Opened(_mirror(), limits, notice.fingerprint)

    async with asyncio.timeout(_LIMIT):
        await Worker(queue, opener, lambda _: None, "worker 1", "9").run(once=True)

    assert limits.calls == [(HOST, 500.0), 1, 1, 2]


# ---------------------------------------------------------------- what people see


class _Refusal:
    """A response that asks for a pause."""

    status = 429
    headers: Mapping[str, str] = {"Retry-After": "77"}
    has_arrived = True

    def __init__(self, url: str) -> None:
        self.url = url

    async def read_piece(self) -> bytes:
        return b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """There is no connection."""


class _RefusingClient:
    """A client whose server asks for a pause."""

    async def send(
        self,
        url: URL,
        headers: Mapping[str, str],
        *,
        decompress: bool,
        content: bytes | None = None,
        method: str = "GET",
    ) -> _Refusal:
        del headers, decompress, content, method
        return _Refusal(str(url))


async def test_the_host_that_is_told_of_has_no_login() -> None:
    clock, told = QuickClock(), list[object]()
    transport = Transport(
        _RefusingClient(),
        HostGuard("https://example.org"),
        clock,
        random.Random(1),
        MissingLimits(clock, lambda _: None, lambda: False),
        RateLimiter(RateSchedule(), clock),
        timeout=20.0,
        document_timeout=60.0,
    )
    transport.on_pause = lambda *asked: told.append(asked)

    with pytest.raises(RateLimit):
        await transport.request("https://me:secret@example.org:8443/a", headers={}, decompress=True)

    assert told == [("example.org:8443", 77.0)]


def test_status_and_metrics_say_which_host_is_waited_for_and_until_when() -> None:
    view = FleetView(paused=(PausedHost(HOST, 1_800_000_000, 42),))

    text = "\n".join(_workers(view))
    found = _fleet_dict(view)
    metrics = render_metrics(None, Served({}, 0), view.counts(30)).decode()

    assert f"no requests to {HOST} until 2027-01-15 08:00:00 UTC" in text
    assert "(42 s left)" in text
    assert found is not None
    assert found["paused_hosts"] == [
        {"host": HOST, "until": "2027-01-15T08:00:00+00:00", "seconds_left": 42}
    ]
    assert f'bandersnatch_host_pause_end_timestamp_seconds{{host="{HOST}"}} 1.8e+09' in metrics
    without = render_metrics(None, Served({}, 0), FleetView().counts(30)).decode()
    assert "host_pause_end_timestamp_seconds{" not in without
