"""Fixtures of the fault tests, and the option that writes the fault table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chaos.case import Case
from tests.chaos.figures import Figures
from tests.chaos.table import FIGURES, FaultTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site

OPTION = "--write-fault-table"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option, which exists if pytest is given this directory."""
    parser.addoption(OPTION, metavar="FILE", help="write the outcome of every case to FILE")


def pytest_configure(config: pytest.Config) -> None:
    """Collect the outcome of every case in the main process."""
    path = config.getoption(OPTION, default=None)
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(FaultTable(Path(path)))


LONGEST_NIGHTLY = 3600
"""Seconds that a nightly test may take."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give nightly tests a time limit of their own."""
    for item in items:
        if item.get_closest_marker("nightly"):
            item.add_marker(pytest.mark.timeout(LONGEST_NIGHTLY))


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Iterator[Figures]:
    """Yield the figures of this test, which its report carries."""
    counted = Figures()
    yield counted
    request.node.user_properties.append((FIGURES, counted.as_dict()))


@pytest.fixture
def case(
    index: Index,
    server: IndexServer,
    make_site: Callable[..., Site],
    figures: Figures,
) -> Case:
    """Return a case with an empty index and a mirror that has not run yet."""
    return Case(index, server, make_site(timeout=5), figures)
