"""A coordinator and its workers, as processes, with a real PostgreSQL and a shared directory."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import signal
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bandersnatch.app import load
from bandersnatch.cluster.messages import HostPause, RunNotice
from bandersnatch.cluster.postgres import PostgresCoordinatorQueue
from tests.support.serving import serving
from tests.support.workers import WorkerProcess, wait_until, workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bandersnatch.config.catalogue import CatalogueSettings
    from tests.support.index import Index
    from tests.support.postgres import Postgres, SharedPostgres
    from tests.support.server import Answer, IndexServer, ReceivedRequest
    from tests.support.site import Site


def publish_projects(index: Index) -> None:
    """Publish the projects that ``change_projects`` changes."""
    for name in ("stays", "grows", "goes", "shrinks"):
        index.release(name, "1.0")
    index.release("shrinks", "2.0")


def change_projects(index: Index) -> None:
    """Make a change of each kind: a release, a new project, a removed one, and a removed file."""
    index.release("grows", "2.0")
    index.release("comes", "1.0")
    index.remove_project("goes")
    index.remove_file("shrinks", "shrinks-1.0-py3-none-any.whl")


@pytest.fixture
def database(shared_postgres: SharedPostgres) -> Postgres:
    return shared_postgres.get()


@pytest.fixture
def shared(make_site: Callable[..., Site], database: Postgres) -> Site:
    """Return a mirror whose projects are synced by workers."""
    return make_site(catalogue=database.url(), cluster=True, worker_timeout=10)


def test_workers_give_the_tree_of_a_single_process(
    index: Index, shared: Site, make_site: Callable[..., Site]
) -> None:
    publish_projects(index)
    alone = make_site()
    with workers(shared) as (first, second):
        ran = shared.mirror()
        assert ran.code == 0, ran.log + first.text() + second.text()
        change_projects(index)
        for _ in range(2):  # a second look confirms what is gone
            shared.clock.passed += 3_600
            ran = shared.mirror()
            assert ran.code in {0, 4}, ran.log

    assert alone.mirror().code == 0
    for _ in range(2):
        alone.clock.passed += 3_600
        assert alone.mirror().code in {0, 4}
    assert shared.tree() == alone.tree()
    assert shared.status == alone.status
    shared.check()
    assert "takes part in the run" in first.text() + second.text()


def test_workers_find_and_repair_the_damage_that_a_single_process_does(
    index: Index, shared: Site, make_site: Callable[..., Site]
) -> None:
    for number in range(12):
        index.release(f"project-{number}", "1.0", size=5_000)
    alone = make_site()
    assert alone.mirror().code == 0
    found = []
    with workers(shared) as (first, second):
        assert shared.mirror().code == 0
        intact = shared.tree()
        for site in (shared, alone):
            wheels = sorted(site.web.glob("packages/**/*.whl"))
            wheels[0].write_bytes(b"x" * wheels[0].stat().st_size)
            wheels[1].unlink()
            (site.web / "simple/project-5/index.html").write_bytes(b"")
            site.clock.advance(minutes=1)
            found.append(site.run("verify"))

    for ran in found:
        assert ran.code == 0, ran.log + first.text() + second.text()
        ran.report["damage"]["details"].sort(key=lambda each: each["key"])
    assert found[0].report["damage"] == found[1].report["damage"]
    assert found[0].report["damage"]["repaired"] == 3
    assert shared.tree() == alone.tree() == intact


def test_verify_without_a_worker_ends_with_7_and_reads_nothing(index: Index, shared: Site) -> None:
    index.release("foo", "1.0")
    with workers(shared, 1):
        assert shared.mirror().code == 0
    shared.configure(worker_wait=2)

    ran = shared.run("verify")

    assert ran.code == 7
    assert "no worker has taken part for 2 s" in ran.log
    assert ran.report["verified"]["projects"] == 0
    for flag in ("--quick", "--dry-run"):
        assert shared.run("verify", flag).code == 0


def test_a_worker_that_is_killed_while_it_reads_is_replaced(index: Index, shared: Site) -> None:
    for number in range(20):
        index.release(f"project-{number}", "1.0", size=20_000)
    with workers(shared, 2) as (first, _):
        assert shared.mirror().code == 0
        log = shared.home / "verify.log"
        # At this rate it takes eight seconds.
        flags = ("--rate", "50 kB/s")
        with WorkerProcess(shared.config, log, *flags, command="verify") as coordinator:
            wait_until(lambda: _reads(first.process.pid) or coordinator.process.poll() is not None)
            first.send(signal.SIGKILL)
            assert coordinator.wait() == 0, coordinator.text()

    assert "was lost with its worker" in coordinator.text()
    assert "Verified: 20 projects" in coordinator.text()


def _reads(number: int) -> bool:
    """Whether a process has opened a release file."""
    try:
        opened = [str(each.readlink()) for each in Path(f"/proc/{number}/fd").iterdir()]
    except OSError:  # one was closed meanwhile
        return False
    return any(each.endswith(".whl") for each in opened)


def test_a_worker_with_once_ends_with_the_run(index: Index, shared: Site) -> None:
    index.release("foo", "1.0")
    with WorkerProcess(shared.config, shared.home / "log", "--once") as worker:
        assert shared.mirror().code == 0
        assert worker.wait() == 0


def test_without_a_worker_the_run_ends_with_7_and_says_how_to_start_one(
    index: Index, shared: Site
) -> None:
    index.release("foo", "1.0")
    shared.configure(worker_wait=2)

    ran = shared.mirror()

    assert ran.code == 7
    assert "no worker has taken part for 2 s" in ran.log
    assert "bandersnatch -c FILE work" in ran.log
    shared.configure(worker_wait=60)
    with workers(shared, 1):
        assert shared.mirror().code == 0
    assert shared.names() == ["foo"]


def test_a_run_with_nothing_to_do_needs_no_worker(index: Index, shared: Site) -> None:
    index.release("foo", "1.0")
    with workers(shared, 1):
        assert shared.mirror().code == 0

    assert shared.mirror().code == 0
    assert shared.mirror("--dry-run").code == 0


def test_a_worker_with_another_configuration_is_refused(
    index: Index, shared: Site, make_site: Callable[..., Site]
) -> None:
    index.release("foo", "1.0")
    options = {"catalogue": shared.options["catalogue"], "directory": shared.root}
    other = make_site(**options, cluster=True, worker_timeout=4, json=True)
    shared.configure(worker_wait=20)
    with workers(other, 1) as (worker,):
        ran = shared.mirror()
        assert worker.wait() == 2

    assert ran.code == 7
    found = re.search(
        r"the fingerprint of the configuration of this worker is ([0-9a-f]{16}), and that of the "
        r"coordinator ([0-9a-f]{16}); give both the same",
        worker.text(),
    )
    assert found is not None, worker.text()
    assert found[1] != found[2]
    assert found[1] in ran.log
    assert found[2] in ran.log


def test_a_worker_with_another_storage_is_refused(
    index: Index, shared: Site, make_site: Callable[..., Site]
) -> None:
    index.release("foo", "1.0")
    other = make_site(catalogue=shared.options["catalogue"], cluster=True, worker_timeout=10)
    other.root.mkdir()
    shared.configure(worker_wait=20)
    with workers(other, 1) as (worker,):
        assert shared.mirror().code == 7
        assert worker.wait() == 2

    assert "the storage of this worker is another one" in worker.text()


def test_work_needs_a_cluster(site: Site) -> None:
    ran = site.ask("work")

    assert ran.code == 2
    assert "the configuration has no workers; set cluster = true" in ran.log


def test_a_cluster_needs_a_catalogue_in_postgresql(make_site: Callable[..., Site]) -> None:
    ran = make_site(cluster=True).mirror()

    assert ran.code == 2
    assert "[mirror] cluster: catalogue is not set; workers need one in PostgreSQL" in ran.log


def test_a_worker_that_is_asked_to_end_hands_its_projects_back(
    index: Index, shared: Site, make_site: Callable[..., Site]
) -> None:
    for number in range(60):
        index.release(f"project-{number}", "1.0")
    with (
        workers(shared, 1) as (first,),
        WorkerProcess(shared.config, shared.home / "mirror.log", command="mirror") as coordinator,
    ):
        wait_until(lambda: any(shared.web.glob("packages/**/*.whl")))
        first.send(signal.SIGTERM)
        assert first.wait() == 143, first.text()
        with workers(shared, 1):
            assert coordinator.wait() == 0, coordinator.text()

    alone = make_site()
    assert alone.mirror().code == 0
    assert shared.tree() == alone.tree()
    assert "was lost with its worker" not in coordinator.text()


def test_the_diff_file_has_what_workers_changed(
    index: Index, shared: Site, make_site: Callable[..., Site]
) -> None:
    publish_projects(index)
    shared.configure(diff_file=shared.home / "diff")
    alone = make_site()
    alone.configure(diff_file=alone.home / "diff")
    with workers(shared):
        assert shared.mirror().code == 0
    assert alone.mirror().code == 0

    def lines(site: Site) -> set[str]:
        text = (site.home / "diff").read_text()
        return {line.removeprefix(str(site.root)) for line in text.splitlines()}

    assert lines(shared) == lines(alone)
    assert not (shared.root / ".journal").exists()


# ---------------------------------------------------------------- what is shown


async def _shown(site: Site) -> tuple[dict[str, int], str]:
    """Return the counts of ``/metrics`` by name and state, and the text of the first page."""
    async with serving(load(site.config, datetime.now(UTC))) as client:
        metrics = (await client.get("/metrics")).body.decode()
        page = unescape((await client.get("/")).body.decode())
    found = re.findall(
        r'^bandersnatch_(workers|jobs)\{state="(\w+)"\} (\d+)', metrics, re.MULTILINE
    )
    counts = {f"{name} {state}": int(count) for name, state, count in found}
    return counts, " ".join(re.sub(r"<[^>]+>", " ", page).split())


def _are_working(site: Site, count: int) -> bool:
    """Whether so many workers are working on projects."""
    return asyncio.run(_shown(site))[0].get("workers working") == count


@contextmanager
def _held(site: Site, server: IndexServer, count: int, *flags: str) -> Iterator[threading.Event]:
    """Run workers and a coordinator; no page is answered until the yielded event is set.

    The block begins when all workers take part. After it the run has to succeed. ``flags`` are
    those of the coordinator.
    """
    site.configure(timeout=100)
    opened = threading.Event()

    def hold(asked: ReceivedRequest) -> None:
        if asked.kind == "detail":
            opened.wait(90)

    server.on_request = hold
    log = site.home / "mirror.log"
    with (
        workers(site, count),
        WorkerProcess(site.config, log, *flags, command="mirror") as coordinator,
    ):
        try:
            wait_until(lambda: coordinator.text().count("takes part") == count, coordinator.text)
            yield opened
        finally:
            opened.set()
        assert coordinator.wait() == 0, coordinator.text()
    site.check()


def test_what_workers_did_is_reported_by_the_coordinator(
    index: Index, server: IndexServer, shared: Site
) -> None:
    for number in range(30):
        index.release(f"project-{number}", "1.0")
    path = shared.home / "report.json"
    shared.configure(metrics_file=shared.home / "m.prom")
    with _held(shared, server, 2, "--report", str(path)):
        pass

    report = json.loads(path.read_text())
    assert report["exit_code"] == 0
    assert len(report["projects"]["synced"]) == 30
    assert report["files"]["downloaded"] == 60  # core metadata, too
    metrics = (shared.home / "m.prom").read_text()
    assert "bandersnatch_last_run_workers 2.0" in metrics
    assert re.search(r'last_run_jobs\{result="done"\} [1-9]', metrics), metrics
    assert 'bandersnatch_last_run_jobs{result="lost"} 0.0' in metrics


def test_a_server_counts_workers_and_jobs(index: Index, server: IndexServer, shared: Site) -> None:
    for number in range(40):
        index.release(f"project-{number}", "1.0")
    with _held(shared, server, 1):
        wait_until(lambda: _are_working(shared, 1))
        counts, page = asyncio.run(_shown(shared))

    assert counts.pop("jobs running") in {1, 2}
    assert counts.pop("jobs waiting") >= 1
    assert counts == {
        "workers working": 1,
        "workers idle": 0,
        "workers without_share": 0,
        "workers silent": 0,
    }
    assert "Workers 1 Jobs" in page
    assert re.search(r"Jobs [12] running, [1-9]\d* waiting", page), page
    counts, page = asyncio.run(_shown(shared))
    assert set(counts.values()) == {0}
    assert "Workers 0 Jobs 0 running, 0 waiting" in page


async def _show_pause(settings: CatalogueSettings, host: str) -> None:
    async with PostgresCoordinatorQueue(settings) as queue:
        await queue.begin(RunNotice("a", "9", "f", datetime.now(UTC)))
        for seconds in (500.0, 100.0):
            await queue.show_pause(HostPause(host, seconds))
        await queue.show_pause(HostPause("over.example.org", 0.0))


def test_a_pause_is_shown_until_it_is_over(index: Index, shared: Site) -> None:
    index.release("foo", "1.0")
    with workers(shared, 1):
        assert shared.mirror().code == 0
    settings = load(shared.config, datetime.now(UTC)).settings.catalogue
    assert settings is not None

    asyncio.run(_show_pause(settings, "files.example.org"))

    ran = shared.ask("status", "--json", "--offline")
    ((host, left),) = [
        (each["host"], each["seconds_left"])
        for each in json.loads(ran.out)["workers"]["paused_hosts"]
    ]
    assert host == "files.example.org"
    assert 100 < left <= 500
    assert "no requests to files.example.org until 20" in shared.ask("status", "--offline").out
    _, page = asyncio.run(_shown(shared))
    assert re.search(r"Pause 1 host asked for one, \d+ s are left", page), page


def test_a_server_counts_nothing_without_a_queue(
    index: Index, shared: Site, database: Postgres
) -> None:
    index.release("foo", "1.0")
    with workers(shared, 1):
        assert shared.mirror().code == 0
    schema = str(shared.options["catalogue"]).rpartition("=")[2]
    with database.connect() as connection:
        connection.execute(f"DROP SCHEMA {schema}_queue CASCADE".encode())

    counts, page = asyncio.run(_shown(shared))

    assert set(counts.values()) == {0}
    assert "Projects 1" in page


# ---------------------------------------------------------------- limits

_PAUSE = 8
"""Seconds for which a host asks for a pause."""


def test_a_pause_that_a_host_asks_for_holds_all_workers(
    index: Index, server: IndexServer, shared: Site
) -> None:
    for number in range(90):
        index.release(f"project-{number}", "1.0", metadata=False)
    shared.configure(workers=4)
    asked_for: list[float] = []

    async def be_slow(_: object, __: object) -> None:
        if not asked_for or server.time() < asked_for[0] + _PAUSE:
            await asyncio.sleep(0.5)

    async def ask_for_a_pause(_: object, answer: Answer) -> None:
        asked_for.append(server.time())
        answer.status, answer.body = 429, b""
        answer.headers.clear()
        answer.headers["Retry-After"] = str(_PAUSE)

    server.fault("detail", be_slow)
    with _held(shared, server, 2) as opened:
        opened.set()
        wait_until(lambda: _are_working(shared, 2))
        server.fault("detail", ask_for_a_pause, 1)

    times = [each.at for each in server.asked if each.kind == "detail"]
    after = [asked_for[0], *(each for each in times if each > asked_for[0])]
    gaps = [later - earlier for earlier, later in itertools.pairwise(after)]
    assert len(after) > 20  # each of them had more to do
    assert max(gaps) >= _PAUSE - 5  # the others are told by way of the coordinator


def test_the_rate_of_downloads_is_that_of_all_workers_together(
    index: Index, server: IndexServer, shared: Site
) -> None:
    count, size, rate = 40, 50_000, 400_000
    for number in range(count):
        index.release(f"project-{number}", "1.0", size=size, metadata=False)
    shared.configure(max_rate=f"{rate // 1000} kB/s", download_workers=2)
    with _held(shared, server, 2):
        pass

    times = [each.at for each in server.asked if each.kind == "file"]
    assert len(times) == count
    # At most two downloads are under way, so the others had come before the last request.
    # Workers of which each had the whole rate would take half of this time.
    assert times[-1] - times[0] >= (count - 2) * size / rate - 1.0
