"""Random histories with rejected files, changing digests, colliding names and emptied projects.

Each step is judged by the forecast and by the oracle. The regular tests use a few seeds; the
nightly ones have as many as ``HISTORIES`` in the environment says, and new ones.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.case import Case
from tests.chaos.forecast import Forecast
from tests.chaos.histories import History, folds, give
from tests.support.folding_mount import CASE, NORMAL_FORM, folding_mount, why_impossible
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.chaos.figures import Figures
    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Ran

HISTORIES = int(os.environ.get("HISTORIES", "100"))
FRESH = 10
FEW = 1

EXACT: tuple[str, ...] = ()
KINDS = [EXACT, (CASE,), (CASE, NORMAL_FORM)]


@pytest.fixture(params=KINDS, ids=lambda kinds: "+".join(kinds) or "exact")
def kinds(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Return what the file system ignores in names."""
    found: tuple[str, ...] = request.param
    return found


@pytest.fixture(params=[True, False], ids=["changelog", "list"])
def has_events(request: pytest.FixtureRequest) -> bool:
    """Return whether the runs read the changelog, or the project list only."""
    found: bool = request.param
    return found


@pytest.fixture
def start(
    kinds: tuple[str, ...],
    tmp_path: Path,
    index: Index,
    server: IndexServer,
    figures: Figures,
    *,
    has_events: bool,
) -> Iterator[Callable[[int], History]]:
    """Return a function that begins the history of a seed on such a file system."""

    def begin(home: Path, seed: int) -> History:
        home.mkdir(exist_ok=True)
        # A busy machine may answer late: no history has a fault of the network.
        case = Case(index, server, Site(home, server, timeout=120), figures)
        return History(case, seed, folds(frozenset(kinds)), has_events=has_events)

    if not kinds:
        yield lambda seed: begin(tmp_path / "exact", seed)
        return
    if reason := why_impossible():
        pytest.skip(f"no file system that ignores case can be mounted: {reason}")
    with folding_mount(tmp_path / "disk", kinds) as mount:
        yield lambda seed: begin(mount / "home", seed)


def wrongly(ran: Ran, *, code: int | None = None, **report: object) -> Ran:
    """Return the run with another exit status, or other parts of the report."""
    return replace(ran, code=ran.code if code is None else code, report=ran.report | report)


def test_the_forecast_detects_each_deviation(case: Case) -> None:
    forecast = Forecast(case.index, lambda path: path)
    case.index.release("foo", "1.0")
    case.index.release("foo", "2.0")
    give(case.index.upload("foo", "3.0", "foo-3.0.tar.gz"), "none")
    forecast.run(0)
    ran = case.mirror(exits=4, excluded=["foo-3.0.tar.gz"])
    told = {"rejected": ran.report["rejected"]}

    def rules(ran: Ran, told: dict[str, Any]) -> set[str]:
        return {each.rule for each in forecast.judge(case.snapshot(), ran, told)}

    assert rules(ran, told) == set()
    assert rules(wrongly(ran, rejected=[]), told) == {"I27"}
    assert rules(ran, {"rejected": []}) == {"I27"}
    assert rules(wrongly(ran, code=0), told) == {"I28"}
    assert rules(wrongly(ran, projects={"failed": []}), told) == {"I28"}
    page = case.site.web / "simple/foo/index.v1_json"
    text = page.read_text()
    page.write_text(text.replace("sha256", "sha512"))
    assert rules(ran, told) == {"I26"}
    page.write_text(text)
    (case.site.root / "status").write_text("101")
    assert rules(ran, told) == {"I29"}
    (case.site.root / "status").write_text(str(case.index.serial))
    (case.site.root / "todo").write_text(f"{case.index.serial}\nfoo 103\n")
    assert rules(ran, told) == {"I30"}


@pytest.mark.parametrize("seed", range(FEW))
def test_a_random_history_goes_as_forecast(start: Callable[[int], History], seed: int) -> None:
    start(seed).play()


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(FEW, HISTORIES))
def test_many_random_histories_go_as_forecast(start: Callable[[int], History], seed: int) -> None:
    start(seed).play()


@pytest.mark.nightly
@pytest.mark.parametrize("_number", range(FRESH))
def test_new_random_histories_go_as_forecast(
    start: Callable[[int], History], _number: int, record_property: Callable[[str, object], None]
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    record_property("seed", seed)
    try:
        start(seed).play()
    except AssertionError as error:
        error.add_note(f"with the seed {seed}")
        raise
