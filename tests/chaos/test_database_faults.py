"""Cases 180 to 188: faults of the database that the catalogue is in."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from itertools import count
from typing import TYPE_CHECKING

import pytest

from bandersnatch.catalogue.postgres.catalogue import PostgresCatalogue
from bandersnatch.config.catalogue import read_catalogue
from tests.chaos.index_events import change_projects, publish_projects
from tests.chaos.oracle import Oracle
from tests.chaos.tree import Disk
from tests.support.postgres import USER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.index import Index
    from tests.support.postgres import Postgres, SharedPostgres
    from tests.support.server import IndexServer, ReceivedRequest
    from tests.support.site import Ran, Site


class DatabaseCase:
    """A mirror of a few projects with its catalogue in PostgreSQL, and the faults of that."""

    def __init__(
        self, index: Index, server: IndexServer, site: Site, database: Postgres, clean: Site
    ) -> None:
        self.index = index
        self.server = server
        self.site = site
        self.database = database
        self._clean = clean
        self._oracle = Oracle(index, lambda _: True)

    @property
    def schema(self) -> str:
        """The schema of the catalogue."""
        settings = read_catalogue(str(self.site.options["catalogue"]))
        assert settings is not None
        return settings.schema

    def publish(self) -> None:
        """Publish changes of all kinds after a first run."""
        publish_projects(self.index)
        assert self.site.mirror().code == 0
        change_projects(self.index)

    def at_request(self, number: int, act: Callable[[], object]) -> None:
        """Act before the answer to a request of the next run; in a thread, which is waited for."""
        requests = count()

        def on_request(_: ReceivedRequest) -> None:
            if next(requests) == number:
                thread = threading.Thread(target=act)
                thread.start()
                thread.join()

        self.server.on_request = on_request

    def run(self, *exits: int) -> Ran:
        """Run ``mirror``, and judge the tree then."""
        ran = self.site.mirror()
        self.server.on_request = lambda _: None
        assert ran.code in exits, ran.log
        assert "Traceback" not in ran.log
        self.judge()
        return ran

    def judge(self) -> None:
        """Check that every page names what is there and right."""
        assert list(self._oracle.pages(Disk(self.site.root), at_rest=False)) == []

    def heals(self) -> None:
        """Check that a run without faults gives the tree of a clean mirror."""
        self.server.on_request = lambda _: None
        for _ in range(2):
            self.site.clock.passed += 3_600
            assert self.site.mirror().code in {0, 4}
        assert self.site.mirror().code == 0
        assert self._clean.mirror().code == 0
        assert self.site.tree() == self._clean.tree()
        assert self.site.status == self._clean.status

    def rows(self) -> list[tuple[object, ...]]:
        """Return what the catalogue has of projects, and its counters."""
        with self.database.connect() as administrator:
            found = []
            for table, order in (("project", "name"), ("marker", "key"), ("holder", "epoch")):
                query = f"SELECT * FROM {self.schema}.{table} ORDER BY {order}"
                found += administrator.execute(query.encode()).fetchall()
        return found


@pytest.fixture
def case(
    index: Index,
    server: IndexServer,
    shared_postgres: SharedPostgres,
    make_site: Callable[..., Site],
) -> DatabaseCase:
    database = shared_postgres.get()
    site = make_site(catalogue=database.url())
    return DatabaseCase(index, server, site, database, make_site())


def rarely(*values: object) -> list[object]:
    """Return parameters of which only the first is tested with every change."""
    first, *others = values
    return [first, *(pytest.param(each, marks=pytest.mark.nightly) for each in others)]


@pytest.mark.parametrize("number", rarely(4, 0, 1, 2, 3, 6))
def test_case_180_a_server_that_is_restarted_is_waited_for(case: DatabaseCase, number: int) -> None:
    case.publish()
    case.at_request(number, case.database.restart)

    ran = case.run(0, 4)

    assert "made again after" in ran.log, ran.log
    case.heals()


@pytest.mark.parametrize("number", rarely(3, 0, 1, 2, 4, 5, 6))
def test_case_181_a_connection_that_is_cut_is_made_again(case: DatabaseCase, number: int) -> None:
    case.publish()
    case.at_request(number, case.database.end_sessions)

    ran = case.run(0, 4)

    assert "made again after" in ran.log, ran.log
    case.heals()


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(6))
def test_case_181_connections_that_are_cut_all_the_time(case: DatabaseCase, seed: int) -> None:
    case.publish()
    draw, over = random.Random(seed), threading.Event()

    def cut() -> None:
        while not over.wait(draw.random() / 5):
            case.database.end_sessions()

    thread = threading.Thread(target=cut)
    thread.start()
    try:
        case.run(0, 4)
    finally:
        over.set()
        thread.join()

    case.heals()


@pytest.mark.nightly
def test_case_182_a_server_that_stays_away_ends_the_run(case: DatabaseCase) -> None:
    case.publish()
    case.at_request(4, case.database.stop)
    try:
        ran = case.run(7)
    finally:
        case.database.start()

    assert "the connection was lost, and not made again within 6" in ran.log
    assert len(ran.errors()) == 1
    case.heals()


@pytest.mark.nightly
def test_case_182_a_server_that_hangs_does_not_keep_a_command_from_ending(
    case: DatabaseCase,
) -> None:
    case.publish()
    stopped: list[int] = []

    def stop() -> None:
        stopped.extend(case.database.sessions())
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)

    case.at_request(2, stop)
    process = command(case.site)
    while not stopped:
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    process.terminate()
    try:
        assert process.wait(60) == 143
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)

    case.judge()
    case.heals()


@pytest.mark.parametrize("number", rarely(3, 0, 2, 5))
def test_case_183_a_lock_that_another_command_took_ends_the_run(
    case: DatabaseCase, number: int
) -> None:
    case.publish()
    settings = read_catalogue(str(case.site.options["catalogue"]))
    assert settings is not None
    seen: list[list[tuple[object, ...]]] = []

    async def take() -> None:
        async with PostgresCatalogue(settings):
            seen.append(case.rows())

    def steal() -> None:
        case.database.end_sessions()
        asyncio.run(take())

    case.at_request(number, steal)

    ran = case.run(6)

    assert "another command has held it since; stopped" in ran.log
    assert case.rows() == seen[0]
    assert len(ran.errors()) == 1
    case.heals()


def test_case_184_two_machines_with_one_catalogue(
    case: DatabaseCase, make_site: Callable[..., Site]
) -> None:
    other = make_site(catalogue=case.site.options["catalogue"])
    case.publish()
    codes: list[int] = []
    case.at_request(3, lambda: codes.append(command(other).wait(60)))

    case.run(0, 4)

    assert codes == [6]
    assert not (other.root / "web" / "simple").exists()
    assert other.mirror().code == 7, "its tree has no page, and the catalogue has projects"
    case.heals()


def command(site: Site) -> subprocess.Popen[bytes]:
    """Run ``mirror`` in a process of its own."""
    arguments = [sys.executable, "-m", "bandersnatch", "-c", str(site.config), "mirror"]
    return subprocess.Popen(arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def test_case_185_a_catalogue_of_a_newer_release_is_left_alone(case: DatabaseCase) -> None:
    case.publish()
    with case.database.connect() as administrator:
        statement = f"INSERT INTO {case.schema}.migration (number) VALUES (99)"
        administrator.execute(statement.encode())
    before = case.rows()

    ran = case.run(2)

    assert "a newer release made this catalogue" in ran.log
    assert case.rows() == before
    with case.database.connect() as administrator:
        statement = f"DELETE FROM {case.schema}.migration WHERE number = 99"
        administrator.execute(statement.encode())
    case.heals()


@pytest.mark.parametrize("privilege", rarely("UPDATE", "DELETE"))
def test_case_186_a_permission_that_is_missing_ends_the_run(
    case: DatabaseCase, privilege: str
) -> None:
    case.publish()
    table = f"{case.schema}.{'holder' if privilege == 'UPDATE' else 'file'}"
    with case.database.connect() as administrator:
        administrator.execute(f"REVOKE {privilege} ON {table} FROM {USER}".encode())

    ran = case.run(7)

    assert "permission denied for table" in ran.log
    assert len(ran.errors()) == 1
    with case.database.connect() as administrator:
        administrator.execute(f"GRANT {privilege} ON {table} TO {USER}".encode())
    case.heals()


@pytest.mark.parametrize(
    "statement",
    rarely(
        "UPDATE {}.file SET hashes = ''",
        "UPDATE {}.project SET reflects = reflects + 1000",
        "UPDATE {}.marker SET text = 'x'",
    ),
)
def test_case_187_rows_that_somebody_edits_are_read_again(
    case: DatabaseCase, statement: str
) -> None:
    case.publish()
    with case.database.connect() as administrator:
        administrator.execute(statement.format(case.schema).encode())

    case.run(0, 4)

    case.heals()


@pytest.mark.parametrize("seed", rarely(*range(8)))
def test_case_188_a_kill_at_any_moment(case: DatabaseCase, seed: int, tmp_path: Path) -> None:
    case.publish()
    draw = random.Random(seed)
    for _ in range(2):
        process = command(case.site)
        requests, limit = count(), draw.randrange(8)

        def on_request(_: ReceivedRequest) -> None:
            if next(requests) == limit:  # noqa: B023 - it is replaced before they change
                process.kill()  # noqa: B023

        case.server.on_request = on_request
        process.wait(120)
        case.server.settle()
        case.judge()

    case.heals()
