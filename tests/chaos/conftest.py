"""Fixtures of the matrix, and the option that writes its table."""

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
    """Add the option; it is there when this directory is what pytest is given."""
    parser.addoption(OPTION, metavar="FILE", help="write what became of every case to FILE")


def pytest_configure(config: pytest.Config) -> None:
    """Collect what becomes of every case, in the process that hears of all of them."""
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
    """Yield what this test counts into; it is handed over at its end."""
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
    """Return a case with an index that has nothing, and a mirror that has nothing of it."""
    return Case(index, server, make_site(timeout=5), figures)
