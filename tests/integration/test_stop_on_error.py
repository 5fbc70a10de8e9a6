"""``stop-on-error``: a run that stops loses nothing, and the next costs what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import faults
from tests.support.index import Index
from tests.support.server import serving
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.server import IndexServer

NAMES = [f"p{number:02}" for number in range(12)]


@pytest.fixture
def index() -> Index:
    index = Index()
    for name in NAMES:
        index.release(name.upper(), "1.0")
    return index


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site(stop_on_error="true", workers=1, download_workers=1)


def test_the_cursor_moves_as_without_the_option(
    index: Index, server: IndexServer, site: Site
) -> None:
    server.fault("/simple/p03/", faults.status(403))

    ran = site.mirror()

    assert ran.code == 4
    assert list(ran.failed) == ["p03"]
    assert site.todo()[0] == str(index.serial)
    assert {line.split()[0] for line in site.todo()[1:]} == {*NAMES} - {*ran.synced}
    assert site.status < index.serial


def test_the_next_run_asks_for_what_was_not_visited_and_for_nothing_else(
    index: Index, server: IndexServer, make_site: Callable[..., Site], site: Site
) -> None:
    fault = server.fault("/simple/p03/", faults.status(403))
    first = site.mirror()
    fault.left = 0
    server.forget()

    ran = site.mirror()

    assert ran.code == 0
    assert server.paths("list") == []
    rest = sorted({*NAMES} - {*first.synced})
    assert sorted(server.paths("detail")) == [f"/simple/{name}/" for name in rest]
    assert ran.synced == rest
    assert site.status == index.serial
    assert site.todo() == []
    clean = make_site()
    clean.mirror()
    assert site.tree() == clean.tree()


def test_a_file_that_stays_broken_does_not_keep_other_projects_waiting(
    index: Index, server: IndexServer, site: Site
) -> None:
    """What failed comes last, so the second run finishes everything before it stops again."""
    index.release("a-first", "1.0")
    server.fault("file", faults.status(403), project="a-first")
    assert site.mirror().code == 4

    ran = site.mirror()

    assert ran.code == 4
    assert ran.failed == {"a-first": "MissingFiles"}
    assert site.names() == ["a-first", *NAMES]


def test_projects_that_a_forced_run_did_not_visit_are_checked_by_the_next(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(stop_on_error="false")
    assert site.mirror().code == 0
    site.configure(stop_on_error="true")
    for path in site.web.glob("packages/**/p1*.whl"):
        path.write_bytes(b"x")
    fault = server.fault("/simple/p03/", faults.status(403))
    assert site.mirror("--force-check").code == 4
    fault.left = 0

    assert site.mirror().code == 0

    site.check()


def test_the_policy_is_applied_to_projects_that_were_not_visited(
    index: Index, server: IndexServer, make_site: Callable[..., Site], site: Site
) -> None:
    site.configure(stop_on_error="false")
    assert site.mirror().code == 0
    site.configure(stop_on_error="true", digest_name="md5")
    fault = server.fault("/simple/p03/", faults.status(403))
    assert site.mirror().code == 4
    fault.left = 0

    assert site.mirror().code == 0

    clean = make_site(digest_name="md5")
    clean.mirror()
    assert site.tree() == clean.tree()


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    broken=st.sets(st.sampled_from(NAMES), min_size=1, max_size=4),
    events=st.lists(st.sampled_from(NAMES), max_size=4),
)
def test_any_set_of_broken_projects_leaves_the_tree_of_a_clean_mirror_when_they_are_mended(
    tmp_path_factory: pytest.TempPathFactory, broken: set[str], events: list[str]
) -> None:
    index = Index()
    for name in NAMES:
        index.release(name, "1.0")
    home: Path = tmp_path_factory.mktemp("any")
    (home / "a").mkdir()
    (home / "b").mkdir()
    with serving(index) as server:
        site = Site(home / "a", server, stop_on_error="true", workers=1, download_workers=1)
        planted = [server.fault("detail", faults.status(403), project=name) for name in broken]
        assert site.mirror().code == 4
        assert site.todo()[0] == str(index.serial)
        for name in events:
            index.release(name, f"2.{index.serial}")
        for _ in broken:
            assert site.mirror().code == 4
            assert site.todo()[0] == str(index.serial)
        assert {*NAMES} - broken <= {*site.names()}
        for fault in planted:
            fault.left = 0

        assert site.mirror().code == 0

        assert site.todo() == []
        assert site.status == index.serial
        clean = Site(home / "b", server)
        clean.mirror()
        assert site.tree() == clean.tree()
