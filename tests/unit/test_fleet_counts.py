"""How workers are counted for metrics and web pages."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.cluster.port import FleetView, WorkerView
from bandersnatch.fleet_counts import FleetCounts
from bandersnatch.metrics import Served, render_metrics
from bandersnatch.serve.fleet_reader import LIFETIME, FleetReader
from tests.support.clock import FakeClock

_small = st.integers(0, 40)
_workers = st.builds(WorkerView, st.just("a"), _small, _small, _small, st.booleans())


def test_each_worker_is_counted_by_what_it_does() -> None:
    view = FleetView(
        (
            WorkerView("working", 3, 0, 0),
            WorkerView("working, with the last of its share", 1, 0, 0, has_share=False),
            WorkerView("idle", 0, 9, 29),
            WorkerView("waits", 0, 9, 1, has_share=False),
            WorkerView("silent", 7, 9, 30),
        ),
        waiting=4,
        running=2,
    )

    counts = view.counts(30)

    assert counts == FleetCounts(2, 1, 1, 1, 4, 2)
    assert counts.alive == 4


@given(st.lists(_workers, max_size=8).map(tuple))
def test_every_worker_is_counted_once(workers: tuple[WorkerView, ...]) -> None:
    counts = FleetView(workers).counts(30)

    assert counts.alive + counts.silent == len(workers)


def test_metrics_have_the_counts_of_a_mirror_with_workers_alone() -> None:
    text = render_metrics(None, Served({}, 0), FleetCounts(without_share=2, waiting=3)).decode()

    assert 'bandersnatch_workers{state="without_share"} 2.0' in text
    assert 'bandersnatch_jobs{state="waiting"} 3.0' in text
    assert "bandersnatch_workers{" not in render_metrics(None, Served({}, 0)).decode()


async def test_requests_share_the_counts_of_some_seconds() -> None:
    clock, read = FakeClock(), 0

    async def count() -> FleetCounts:
        nonlocal read
        read += 1
        await asyncio.sleep(0)
        return FleetCounts(working=read)

    reader = FleetReader(count, clock)

    async def ask() -> set[FleetCounts | None]:
        return set(await asyncio.gather(*(reader.counts() for _ in range(5))))

    assert await ask() == {FleetCounts(working=1)}
    clock.advance(seconds=LIFETIME)
    assert await ask() == {FleetCounts(working=2)}
