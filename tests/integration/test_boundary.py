"""Unforeseen failures and series of failures: what fails is one project, all others are done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandersnatch.cli.exit_codes import ExitCode, code_for_report
from bandersnatch.config.schema import ApiMethod
from bandersnatch.errors import UnexpectedError
from bandersnatch.events import Halted, ProjectFailed
from bandersnatch.mirror.preparation import RunOptions
from bandersnatch.mirror.report import RunReport
from bandersnatch.mirror.run import MirrorRun
from tests.support import faults
from tests.support.clock import QuickClock
from tests.support.index import Index
from tests.support.world import World

if TYPE_CHECKING:
    from bandersnatch.index.port import FetchedDetail
    from bandersnatch.model.content import Validators
    from bandersnatch.model.names import ProjectName
    from tests.support.server import IndexServer
    from tests.support.site import Site

UNFORESEEN = [
    KeyError("x"),
    RuntimeError("first line\nsecond line"),
    AssertionError(),
    RecursionError("too deep"),
    UnicodeDecodeError("utf-8", b"", 0, 1, "odd"),
    ExceptionGroup("several", [ValueError("x"), KeyError("y")]),
    OSError("without a number"),
    StopAsyncIteration(),
]

METHODS = st.sampled_from([ApiMethod.XMLRPC, ApiMethod.SIMPLE])


class BrokenWorld(World):
    """A mirror whose index client has bugs: an exception for some projects, never translated."""

    def __init__(self, broken: dict[str, Exception], method: ApiMethod) -> None:
        index = Index()
        for name in ("Alpha", "beta", "Gamma_x"):
            index.release(name, "1.0")
        super().__init__(index, QuickClock(), method)
        fetch = self.upstream.fetch_detail

        async def fetch_detail(
            name: ProjectName, known: Validators, /, *, doubtful: bool = False
        ) -> FetchedDetail | None:
            if name in broken:
                raise broken[name]
            return await fetch(name, known, doubtful=doubtful)

        self.upstream.fetch_detail = fetch_detail  # type: ignore[method-assign]
        self.broken = broken


@given(
    broken=st.dictionaries(
        st.sampled_from(["alpha", "beta", "gamma-x"]),
        st.sampled_from(UNFORESEEN),
        min_size=1,
    ),
    method=METHODS,
)
@settings(deadline=None)
def test_an_unforeseen_exception_is_the_failure_of_one_project(
    broken: dict[str, Exception], method: ApiMethod
) -> None:
    world = BrokenWorld(broken, method)

    world.run()

    failures = [each for each in world.report if isinstance(each, ProjectFailed)]
    assert {each.name for each in failures} == broken.keys()
    for each in failures:
        assert isinstance(each.error, UnexpectedError)
        assert "fetch_detail" in each.error.traceback
        assert "\n" not in str(each.error)
    report = RunReport("mirror", world.clock.now())
    for event in world.report:
        report(event)  # type: ignore[arg-type]
    assert code_for_report(report) is ExitCode.BUG
    assert all("traceback" in each for each in report.as_dict()["projects"]["failed"])  # type: ignore[index]
    for name in ("alpha", "beta", "gamma-x"):
        assert (world.page(name) is None) == (name in broken)
    assert world.status < world.index.serial

    broken.clear()
    world.run()
    assert world.status == world.index.serial
    assert all(world.page(name) for name in ("alpha", "beta", "gamma-x"))


@pytest.mark.parametrize("error", [MemoryError(), KeyboardInterrupt()])
def test_what_concerns_the_whole_run_ends_it(error: BaseException) -> None:
    world = BrokenWorld({"beta": error}, ApiMethod.XMLRPC)  # type: ignore[dict-item]

    with pytest.raises(type(error)):
        asyncio.run(MirrorRun(world.mirror(), RunOptions()).run())


# ---------------------------------------------------------------- series of failures


@pytest.mark.parametrize("status", [404, 500])
@pytest.mark.parametrize("method", ["xmlrpc", "simple"])
def test_any_number_of_broken_projects_does_not_end_a_run(
    index: Index, server: IndexServer, site: Site, status: int, method: str
) -> None:
    site.configure(api_method=method)
    for number in range(60):
        index.release(f"a{number:02}", "1.0")
    index.release("z", "1.0")
    server.fault("/simple/a", faults.status(status))

    ran = site.mirror()

    assert ran.code == 4
    assert ran.synced == ["z"]
    assert ran.stopped == []
    assert len(site.todo()) == 61


@pytest.mark.parametrize("status", [404, 500])
def test_an_index_that_fails_altogether_is_given_up(
    index: Index, server: IndexServer, site: Site, status: int
) -> None:
    index.release("old", "1.0")
    site.mirror()
    for number in range(100):
        index.release(f"a{number:02}", "1.0")
    asked = 0

    def fail_later(_: object) -> None:
        nonlocal asked
        asked += 1
        if asked == 5:
            server.fault("/", faults.status(status))

    server.on_request = fail_later

    ran = site.mirror()

    assert ran.code == 3
    assert "UnusableIndex" in ran.stopped
    assert len(server.paths("detail")) < 60 * 5


def test_a_page_that_worked_shows_that_the_index_still_works(
    index: Index, server: IndexServer, site: Site
) -> None:
    """The changelog and the list fail after the beginning; the other pages do not."""
    for number in range(40):
        index.release(f"a{number:02}", "1.0")
        index.release(f"z{number:02}", "1.0")
    index.release("old", "1.0")
    site.mirror()
    for number in range(40):
        index.release(f"a{number:02}", "2.0")
        index.release(f"z{number:02}", "2.0")
    server.forget()
    server.fault("/simple/a", faults.status(500))
    server.fault("xmlrpc", faults.status(500), skip=2)

    ran = site.mirror()

    assert ran.code == 4
    assert ran.synced == [f"z{number:02}" for number in range(40)]


def test_pages_that_fail_in_a_row_are_requested_once_each(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(workers=1, download_workers=1)
    for number in range(60):
        index.release(f"a{number:02}", "1.0")
    server.fault("/simple/a", faults.status(500))

    site.mirror()

    assert len(server.paths("detail")) <= 22 * 5 + 40


@given(
    broken=st.sets(st.integers(0, 39), max_size=39),
    method=METHODS,
)
@settings(deadline=None, max_examples=30)
def test_any_share_of_broken_projects_leaves_the_others_up_to_date(
    broken: set[int], method: ApiMethod
) -> None:
    index = Index()
    names = [f"p{number:02}" for number in range(40)]
    for name in names:
        index.release(name, "1.0")
    world = World(index, QuickClock(), method)
    world.upstream.broken = {names[number] for number in broken}

    world.run()

    assert not [each for each in world.report if isinstance(each, Halted)]
    assert {name for name in names if world.page(name)} == {*names} - world.upstream.broken
    world.upstream.mend()
    world.run()
    assert all(map(world.page, names))
    assert world.status == index.serial
