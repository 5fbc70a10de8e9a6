"""Cases 200 to 208: faults of workers, of their coordinator, and of what is between them."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from bandersnatch import __version__
from bandersnatch.cluster.messages import RunNotice
from bandersnatch.cluster.postgres import PostgresCoordinatorQueue
from bandersnatch.config.catalogue import read_catalogue
from tests.chaos.oracle import Oracle
from tests.chaos.tree import Disk
from tests.support.bucket_site import BucketSite
from tests.support.store_proxy import Fault, store_proxy
from tests.support.workers import WorkerProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.ceph import SharedCeph
    from tests.support.index import Index
    from tests.support.postgres import Postgres, SharedPostgres
    from tests.support.server import IndexServer, ReceivedRequest
    from tests.support.site import Site
    from tests.support.store_proxy import StoreProxy

PROJECTS = 24
_LIMIT = 240.0
"""Seconds that a gate stays closed at most."""

_TIMEOUT = 6
"""Seconds after which a worker counts as lost."""


class Gate:
    """Closes before the answer to a request about a project, by its number, until it is opened."""

    def __init__(self, server: IndexServer, number: int) -> None:
        self._number = number
        self._closed = threading.Event()
        self._opened = threading.Event()
        server.on_request = self._arrive

    def _arrive(self, asked: ReceivedRequest) -> None:
        if "project" not in asked.path:  # in names of files with an underscore
            return
        self._number -= 1
        if self._number <= 0 and not self._opened.is_set():
            self._closed.set()
            self._opened.wait(_LIMIT)

    def wait(self) -> None:
        """Wait until it has closed."""
        assert self._closed.wait(_LIMIT)

    def open(self) -> None:
        """Open it."""
        self._opened.set()


class ClusterCase:
    """A mirror whose projects are synced by workers, which are processes of their own."""

    def __init__(
        self, index: Index, server: IndexServer, site: Site, database: Postgres, clean: Site
    ) -> None:
        self.index = index
        self.server = server
        self.site = site
        self.database = database
        self._clean = clean
        self._oracle = Oracle(index, lambda _: True)
        self._stack = ExitStack()
        self._count = 0

    def close(self) -> None:
        """End all processes."""
        self._stack.close()

    def publish(self) -> None:
        """Publish projects."""
        for number in range(PROJECTS):
            self.index.release(f"project-{number:02}", "1.0")

    def gate(self, number: int) -> Gate:
        """Return a gate, which is opened at the end at the latest."""
        gate = Gate(self.server, number)
        self._stack.callback(gate.open)
        return gate

    def start(self, command: str, *flags: str, config: Path | None = None) -> WorkerProcess:
        """Start a process of the mirror."""
        self._count += 1
        log = self.site.home / f"{command}{self._count}.log"
        process = WorkerProcess(config or self.site.config, log, *flags, command=command)
        return self._stack.enter_context(process)

    def work(self, count: int = 2) -> list[WorkerProcess]:
        """Start workers."""
        return [self.start("work") for _ in range(count)]

    def ends(self, coordinator: WorkerProcess, *codes: int) -> str:
        """Wait until a run has ended, check its code, judge the tree, and return the log."""
        code = coordinator.wait()
        text = coordinator.text()
        assert code in codes, text
        assert "Traceback" not in text, text
        self.judge()
        return text

    def judge(self) -> None:
        """Check that every page names what is there and right."""
        if (self.site.web / "simple").exists():
            assert list(self._oracle.pages(Disk(self.site.root), at_rest=False)) == []

    def heals(self) -> None:
        """Check that one more run gives the tree of a clean mirror."""
        assert self.start("mirror").wait() == 0
        self.is_clean()

    def is_clean(self) -> None:
        """Check that the tree is that of a clean mirror."""
        assert self._clean.mirror().code == 0
        assert self.site.tree() == self._clean.tree()
        assert self.site.status == self._clean.status
        assert self.site.todo() == []


@pytest.fixture
def case(
    index: Index,
    server: IndexServer,
    shared_postgres: SharedPostgres,
    make_site: Callable[..., Site],
) -> Iterator[ClusterCase]:
    database = shared_postgres.get()
    site = make_site(catalogue=database.url(), cluster=True, worker_timeout=_TIMEOUT, timeout=60)
    opened = ClusterCase(index, server, site, database, make_site())
    try:
        yield opened
    finally:
        opened.close()


def rarely(*values: object) -> list[object]:
    """Return parameters of which only the first is tested with every change."""
    first, *others = values
    return [first, *(pytest.param(each, marks=pytest.mark.nightly) for each in others)]


@pytest.mark.parametrize("number", rarely(20, 1, 5, 35, 50, 65))
def test_case_200_workers_are_killed(case: ClusterCase, number: int) -> None:
    case.publish()
    gate = case.gate(number)
    workers = case.work(3)
    coordinator = case.start("mirror")
    gate.wait()
    for worker in workers[:2]:
        worker.send(signal.SIGKILL)
    gate.open()

    case.ends(coordinator, 0)

    case.is_clean()
    case.heals()


@pytest.mark.parametrize("number", rarely(20, 1, 40, 60))
def test_case_201_the_coordinator_is_killed(case: ClusterCase, number: int) -> None:
    case.publish()
    gate = case.gate(number)
    case.work()
    coordinator = case.start("mirror")
    gate.wait()
    coordinator.send(signal.SIGKILL)
    coordinator.wait()
    gate.open()
    case.judge()

    case.ends(case.start("mirror"), 0)

    case.is_clean()
    case.heals()


@pytest.mark.parametrize("number", rarely(10, 1, 30, 50))
def test_case_202_a_worker_hangs_and_goes_on_later(case: ClusterCase, number: int) -> None:
    case.publish()
    gate = case.gate(number)
    hanging, _ = case.work()
    coordinator = case.start("mirror")
    gate.wait()
    # A worker that never took part is not missed.
    wait_until(lambda: coordinator.text().count("takes part") == 2, coordinator.text)
    hanging.send(signal.SIGSTOP)
    coordinator.wait_for("does not take part any more")
    hanging.send(signal.SIGCONT)
    gate.open()

    case.ends(coordinator, 0)

    case.is_clean()
    case.heals()


@pytest.mark.parametrize("number", rarely(10, 1, 30, 50))
def test_case_203_the_database_is_restarted(case: ClusterCase, number: int) -> None:
    case.publish()
    gate = case.gate(number)
    case.work()
    coordinator = case.start("mirror")
    gate.wait()
    case.database.restart()
    gate.open()

    case.ends(coordinator, 0)

    case.is_clean()
    case.heals()


@pytest.mark.parametrize("times", rarely(1, 5, 20))
def test_case_204_connections_are_cut(case: ClusterCase, times: int) -> None:
    case.publish()
    gate = case.gate(10)
    case.work()
    coordinator = case.start("mirror")
    gate.wait()
    case.database.end_sessions()
    gate.open()
    for _ in range(times - 1):
        time.sleep(0.2)
        case.database.end_sessions()

    case.ends(coordinator, 0)

    case.is_clean()
    case.heals()


def test_case_205_a_second_coordinator_is_refused(case: ClusterCase) -> None:
    case.publish()
    gate = case.gate(5)
    case.work(1)
    first = case.start("mirror")
    gate.wait()
    config = case.site.home / "second.conf"  # the lock of the directory is not meant
    text = case.site.config.read_text().replace(str(case.site.root), f"{case.site.root}2")
    config.write_text(text)
    config.chmod(0o600)

    second = case.start("mirror", config=config)

    assert second.wait() == 6, second.text()
    status = case.start("status", "--offline")
    assert status.wait() == 0, status.text()
    assert "1 take part in a run" in status.text()
    assert "project(s) now" in status.text()
    gate.open()
    case.ends(first, 0)
    case.is_clean()


async def test_case_206_a_worker_of_another_release_is_refused(case: ClusterCase) -> None:
    settings = read_catalogue(str(case.site.options["catalogue"]))
    assert settings is not None
    notice = RunNotice("0" * 32, "0.1", "0123456789abcdef", datetime.now(UTC))
    async with PostgresCoordinatorQueue(settings) as queue:
        await queue.begin(notice)
        worker = case.start("work")
        while worker.process.poll() is None:
            await queue.live()
            await asyncio.sleep(0.1)
        refusals = [each.state.refusal for each in await queue.workers()]
        await queue.end()

    assert worker.wait() == 2
    sentence = f"the release of this worker is {__version__}, and that of the coordinator 0.1"
    assert sentence in worker.text()
    assert sentence in refusals[0]


def test_case_207_a_worker_is_asked_to_end(case: ClusterCase) -> None:
    case.publish()
    gate = case.gate(10)
    first, _ = case.work()
    coordinator = case.start("mirror")
    gate.wait()
    first.wait_for("takes part in the run")
    first.send(signal.SIGTERM)

    assert first.wait() == 143, first.text()
    gate.open()
    text = case.ends(coordinator, 0)
    assert "was lost with its worker" not in text
    case.is_clean()


@pytest.fixture
def proxy(shared_ceph: SharedCeph) -> Iterator[StoreProxy]:
    with store_proxy(shared_ceph.get().url) as running:
        yield running


@pytest.fixture
def bucket(
    tmp_path: Path,
    server: IndexServer,
    shared_ceph: SharedCeph,
    proxy: StoreProxy,
    shared_postgres: SharedPostgres,
) -> BucketSite:
    """Return a mirror in a bucket whose projects are synced by workers."""
    return BucketSite(
        tmp_path,
        server,
        shared_ceph.get(),
        url=proxy.url,
        catalogue=shared_postgres.get().url(),
        cluster=True,
        worker_timeout=_TIMEOUT,
    )


@pytest.mark.nightly
@pytest.mark.parametrize("seconds", [5.0, 60.0])
def test_case_208_the_store_is_gone_for_a_while(
    case: ClusterCase, bucket: BucketSite, proxy: StoreProxy, seconds: float
) -> None:
    case.site = bucket
    case.publish()
    case.work()
    coordinator = case.start("mirror")
    coordinator.wait_for("takes part")
    proxy.fault = lambda _: Fault.RESET
    time.sleep(seconds)
    proxy.fault = lambda _: None
    assert coordinator.wait() in {0, 7}, coordinator.text()

    assert case.start("mirror").wait() == 0
    bucket.fetch()
    case.is_clean()


@pytest.mark.nightly
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_case_200_workers_of_a_bucket_are_killed(
    case: ClusterCase, bucket: BucketSite, seed: int
) -> None:
    case.site = bucket
    case.publish()
    dice = random.Random(seed)
    workers = case.work(4)
    coordinator = case.start("mirror")
    for worker in workers[:2]:
        wait_until(lambda: len(bucket.stored("web/packages/")) >= dice.randrange(1, PROJECTS))
        worker.send(signal.SIGKILL)
    assert coordinator.wait() == 0, coordinator.text()

    bucket.fetch()
    case.judge()
    case.is_clean()
