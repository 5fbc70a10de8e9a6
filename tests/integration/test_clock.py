"""A clock that is wrong, between runs and against the index: nothing is lost by it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.index import Index
from tests.support.server import serving
from tests.support.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.server import IndexServer

RIGHT = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def trash(site: Site) -> list[str]:
    """Return the names of the files in the trash."""
    return sorted(path.name for path in (site.root / "removed").rglob("*") if path.is_file())


def doubts(log: str) -> list[str]:
    return [line for line in log.splitlines() if "nothing is purged or expires" in line]


@pytest.fixture
def removed(index: Index, server: IndexServer, site: Site) -> Site:
    """Return a mirror with a removed project in its trash."""
    index.release("foo", "1.0")
    index.release("gone", "1.0")
    site.mirror()
    index.remove_project("gone")
    site.clock.advance(hours=1)
    assert site.mirror().code == 0
    assert trash(site)
    server.forget()
    return site


@pytest.mark.parametrize("offset", [-30 * DAY, -2 * DAY, timedelta(hours=2), 400 * DAY])
def test_a_clock_that_contradicts_the_index_purges_nothing(
    removed: Site, index: Index, server: IndexServer, offset: timedelta
) -> None:
    kept = trash(removed)
    index.release("foo", "2.0")
    removed.clock.advance(days=20)
    right = removed.clock.now()
    server.now = lambda: right
    removed.clock.start += offset

    ran = removed.mirror()

    assert ran.code == 0
    assert len(doubts(ran.log)) == 1
    assert set(kept) <= set(trash(removed))
    assert removed.status == index.serial


def test_a_clock_that_agrees_with_the_index_purges_after_any_pause(
    removed: Site, server: IndexServer
) -> None:
    removed.clock.advance(days=300)
    server.now = removed.clock.now

    ran = removed.mirror()

    assert doubts(ran.log) == []
    assert trash(removed) == []


def test_a_clock_that_was_set_back_purges_nothing_and_is_trusted_in_the_next_run(
    removed: Site,
) -> None:
    removed.clock.start -= timedelta(hours=5)
    first = removed.mirror()
    removed.clock.advance(minutes=10)
    second = removed.mirror()

    assert len(doubts(first.log)) == 1
    assert doubts(second.log) == []


@pytest.mark.parametrize("days", [-30, -1, 1, 30, 3650])
def test_upload_times_are_kept_as_stated_whatever_the_clock_says(
    index: Index, site: Site, make_site: Callable[..., Site], days: int
) -> None:
    stated = (RIGHT - 3 * DAY).isoformat().replace("+00:00", ".000000Z")
    index.upload("foo", "1.0", "foo-1.0.tar.gz", upload_time=stated)
    site.clock.start = RIGHT + timedelta(days=days)
    assert site.mirror().code == 0
    site.clock.start = RIGHT

    assert site.mirror().code == 0

    assert site.page("foo")["files"][0]["upload-time"] == stated
    clean = make_site()
    clean.mirror()
    assert site.tree() == clean.tree()


def test_a_file_from_the_future_is_not_old_enough_until_it_is(index: Index, site: Site) -> None:
    stated = (RIGHT + 5 * DAY).isoformat().replace("+00:00", ".000000Z")
    index.release("foo", "1.0")
    index.upload("foo", "2.0", "foo-2.0.tar.gz", upload_time=stated)
    site.filter(
        """
        [plugins]
        enabled = release_age
        [release_age]
        min-age = 2d
        """
    )
    assert site.mirror().code == 0
    assert "foo-2.0.tar.gz" not in site.filenames("foo")
    site.clock.start = RIGHT + 8 * DAY

    assert site.mirror().code == 0

    assert "foo-2.0.tar.gz" in site.filenames("foo")


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.integers(-20_000, 27_000), min_size=1, max_size=4),
    stated=st.booleans(),
)
def test_any_steps_of_the_clock_end_in_the_tree_of_a_clean_mirror(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], *, stated: bool
) -> None:
    """Days from 1972 to 2100; the index's clock is right, and its answers state it or not."""
    index, home = Index(), tmp_path_factory.mktemp("clocks")
    (home / "a").mkdir()
    (home / "b").mkdir()
    with serving(index) as server:
        site = Site(home / "a", server)
        server.now = (lambda: RIGHT) if stated else None
        for number, days in enumerate(steps):
            index.release("foo", f"{number}.0")
            index.release(f"p{number}", "1.0")
            if number:
                index.remove_project(f"p{number - 1}")
            site.clock.start = RIGHT + timedelta(days=days)
            ran = site.mirror()
            assert ran.code == 0, ran.log
        site.clock.start = RIGHT
        for _ in range(2):
            site.clock.advance(minutes=15)
            assert site.mirror().code == 0
        clean = Site(home / "b", server)
        clean.mirror()
        assert site.tree() == clean.tree()
        assert site.status == index.serial
