"""Fixtures: an index, a server for it, and mirrors of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support import ceph, postgres, processes
from tests.support.hiding import sitecustomize as hiding  # before any module of the program
from tests.support.index import Index
from tests.support.server import IndexServer, serving
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


# The machine may be busy: the duration of an example proves nothing.
settings.register_profile("fresh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples each time, so that results depend on the code alone. Draw new ones with
# --hypothesis-profile=fresh, and add a test of its own for each failure that they find.
settings.register_profile("same", settings.get_profile("fresh"), derandomize=True)
# Where the versions of dependencies are tried, and not values.
settings.register_profile("few", settings.get_profile("same"), max_examples=10)
settings.load_profile("same")


def pytest_configure() -> None:
    """Let the Python processes that tests start hide the same from the program, if anything."""
    if hiding.is_on():
        path = str(Path(hiding.__file__).parent)
        os.environ["PYTHONPATH"] = os.pathsep.join([path, os.environ.get("PYTHONPATH", "")])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have measured (``record_property``)."""
    for report in terminalreporter.getreports("passed"):
        if report.user_properties:
            values = ", ".join(f"{key}: {value}" for key, value in report.user_properties)
            terminalreporter.write_line(f"{report.nodeid}: {values}")


@pytest.fixture(autouse=True)
def no_network_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the proxies and the certificates that the environment names.

    Every run of the program would read the file of certificates, which takes 27 ms.
    """
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name == "SSL_CERT_FILE":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def shared_ceph() -> Iterator[ceph.SharedCeph]:
    """Return what starts an object store when a test needs it."""
    yield from ceph.shared_ceph()


@pytest.fixture(scope="session")
def shared_postgres() -> Iterator[postgres.SharedPostgres]:
    """Return what starts a database server when a test needs it."""
    yield from postgres.shared_postgres()


@pytest.fixture
def default_handlers() -> Iterator[None]:
    """Give signals their default handlers during a test, however pytest was started."""
    yield from processes.default_handlers()


@pytest.fixture
def index() -> Index:
    """Return an empty index."""
    return Index()


@pytest.fixture
def server(index: Index) -> Iterator[IndexServer]:
    """Serve the index."""
    with serving(index) as running:
        yield running


@pytest.fixture
def make_site(tmp_path: Path, server: IndexServer) -> Callable[..., Site]:
    """Return a factory of mirrors of the index, each in its own directory."""
    count = iter(range(100))

    def make(**options: object) -> Site:
        home = tmp_path / f"site{next(count)}"
        home.mkdir()
        return Site(home, server, **options)

    return make


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    """Return a mirror of the index with default options."""
    return make_site()
