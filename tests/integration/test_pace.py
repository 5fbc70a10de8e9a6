"""PyPI's limit on answers "not found", and documents that an index lacks.

The fake index is PyPI here: it is the proxy for the host that the program takes for PyPI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from distlib.index import DEFAULT_INDEX

from tests.support import faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site

PACE = 40
ABSENT = [f"absent{number:02}" for number in range(60)]


@pytest.fixture
def pypi(server: IndexServer, make_site: Callable[..., Site]) -> Callable[..., Site]:
    """Return a factory of mirrors whose index is PyPI."""
    address = f"http://{urlsplit(str(DEFAULT_INDEX)).hostname}"

    proxy, server.url = server.url, address

    def make(**options: object) -> Site:
        site = make_site(proxy=proxy, **options)
        # Time does not pass while anything else is to be done.
        site.clock.may_pass = lambda: False
        return site

    return make


def notes(log: str) -> list[str]:
    return [line for line in log.splitlines() if "not found" in line or "in a row" in line]


@pytest.mark.parametrize("method", ["xmlrpc", "simple", "auto"])
def test_projects_beyond_the_pace_are_left_to_the_next_run(
    index: Index, server: IndexServer, pypi: Callable[..., Site], method: str
) -> None:
    index.release("aaa", "1.0")
    site = pypi(api_method=method)
    site.allow("aaa", *ABSENT)

    ran = site.mirror()

    assert ran.code == 0, ran.log
    missing = {path for path in server.paths("detail") if "absent" in path}
    assert len(missing) == PACE
    assert site.names() == ["aaa"]
    assert len(notes(ran.log)) == 1
    assert {line.split()[0] for line in site.todo()[1:]} == {*ABSENT} - {
        path.split("/")[2] for path in missing
    }

    server.forget()
    site.clock.advance(hours=1)
    ran = site.mirror()

    assert ran.code == 0
    asked = {path.split("/")[2] for path in server.paths("detail")}
    assert {*ABSENT} - {path.split("/")[2] for path in missing} <= asked
    if method != "simple":
        assert site.todo() == []
        assert site.status == index.serial


def test_they_are_requested_in_the_same_run_if_it_is_still_at_work(
    index: Index, server: IndexServer, pypi: Callable[..., Site]
) -> None:
    """A file is downloaded while the five minutes pass."""
    index.release("aaa", "1.0")
    site = pypi()
    site.allow("aaa", *ABSENT)
    began: list[float] = []

    async def hold(*_: object) -> None:
        import asyncio  # noqa: PLC0415

        site.clock.may_pass = lambda: True
        while len([path for path in server.paths("detail") if "absent" in path]) < len(ABSENT):
            began.append(site.clock.passed)
            await asyncio.sleep(0.01)

    server.fault("file", hold, 1)

    ran = site.mirror()

    assert ran.code == 0
    assert len(server.paths("detail")) == len(ABSENT) + 1
    assert site.todo() == []
    assert began[-1] >= 300


def test_forty_missing_projects_cost_no_time(
    server: IndexServer, index: Index, pypi: Callable[..., Site]
) -> None:
    index.release("aaa", "1.0")
    site = pypi()
    site.allow("aaa", *ABSENT[:PACE])

    ran = site.mirror()

    assert ran.code == 0
    assert notes(ran.log) == []
    assert site.todo() == []
    assert len(server.paths("detail")) == PACE + 1


def test_projects_that_exist_are_done_before_those_that_may_not(
    index: Index, pypi: Callable[..., Site]
) -> None:
    """A new name in the list of a mirror does not delay what the mirror has."""
    for number in range(10):
        index.release(f"z{number}", "1.0")
    site = pypi()
    site.allow(*(f"z{number}" for number in range(10)))
    site.mirror()
    for number in range(10):
        index.release(f"z{number}", "2.0")
    site.allow(*ABSENT, *(f"z{number}" for number in range(10)))

    ran = site.mirror()

    assert ran.code == 0
    assert ran.synced == [f"z{number}" for number in range(10)]


@pytest.mark.parametrize("count", [5, 60])
def test_projects_without_files_have_no_legacy_document(
    index: Index, server: IndexServer, pypi: Callable[..., Site], count: int
) -> None:
    """PyPI has tens of thousands of them; they do not keep a run from everything else."""
    server.fault("legacy", faults.status(404), project=None).where = "/pypi/empty"
    for number in range(count):
        index.project(f"empty{number:02}")
        index._happens(f"empty{number:02}", "create")
    for number in range(20):
        index.release(f"full{number:02}", "1.0")
    site = pypi(json="true")

    ran = site.mirror()

    assert ran.code == 0, ran.log
    missing = [path for path in server.paths("legacy") if "empty" in path]
    assert len(missing) == min(count, 20)
    assert {name for name in site.names() if name.startswith("full")} == {
        f"full{number:02}" for number in range(20)
    }
    assert len(site.todo()[1:]) == max(0, count - 20)


@pytest.mark.parametrize(("kind", "option"), [("legacy", "json"), ("sidecar", "core-metadata")])
def test_documents_that_another_index_lacks_are_not_requested_for_each_project(
    index: Index, server: IndexServer, make_site: Callable[..., Site], kind: str, option: str
) -> None:
    for number in range(70):
        index.release(f"p{number:02}", "1.0")
    server.fault(kind, faults.status(404))
    site = make_site(workers=2, download_workers=1)
    site.configure(**{option: "true"})

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert 40 <= len(server.paths(kind)) < 45
    assert len(notes(ran.log)) == 1
    assert len(site.names()) == 70
    site.check()

    server.faults.clear()
    server.forget()
    index.release("p00", "2.0")
    assert site.mirror().code == 0
    assert server.paths(kind)


def test_a_listed_project_that_is_missing_is_requested_twice(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("aaa", "1.0")
    index.release("bar", "1.0")
    server.fault("/simple/aaa/", faults.status(404))

    ran = site.mirror()

    assert ran.code == 4
    assert server.paths("detail").count("/simple/aaa/") == 2
