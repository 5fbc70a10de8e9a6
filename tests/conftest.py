"""Fixtures: an index, a server that is it, and mirrors of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support import processes
from tests.support.index import Index
from tests.support.server import IndexServer, serving
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


# Others may be at work on the machine: how long an example takes says nothing.
settings.register_profile("fresh", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples each time: what is submitted is judged by what it is, not by the dice. New
# ones are drawn with --hypothesis-profile=fresh, and what they find becomes a test by its name.
settings.register_profile("same", settings.get_profile("fresh"), derandomize=True)
settings.load_profile("same")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what tests have measured (``record_property``)."""
    for report in terminalreporter.getreports("passed"):
        if report.user_properties:
            told = ", ".join(f"{key}: {value}" for key, value in report.user_properties)
            terminalreporter.write_line(f"{report.nodeid}: {told}")


@pytest.fixture(autouse=True)
def no_proxy_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test go through a proxy that this machine's environment names."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def default_handlers() -> Iterator[None]:
    """Give signals their default handlers during a test, however pytest was started."""
    yield from processes.default_handlers()


@pytest.fixture
def index() -> Index:
    """Return an index with nothing on it."""
    return Index()


@pytest.fixture
def server(index: Index) -> Iterator[IndexServer]:
    """Serve the index."""
    with serving(index) as running:
        yield running


@pytest.fixture
def make_site(tmp_path: Path, server: IndexServer) -> Callable[..., Site]:
    """Return a maker of mirrors, each in a directory of its own, all of the same index."""
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
