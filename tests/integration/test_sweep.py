"""The sweep finds what no serial shows, and delays nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from bandersnatch.catalogue.records import ALWAYS, NEVER
from bandersnatch.mirror.sweep import MOST, MOST_PER_HOUR, PAUSE, WATCH, share, watched_until
from bandersnatch.model.project import ProjectStatus
from bandersnatch.model.serials import Serial
from tests.support import faults
from tests.support.factories import make_detail, make_file
from tests.support.records import make_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Ran, Site

MONTH = timedelta(days=30)
NOW = 1_790_000_000


# ---------------------------------------------------------------- the share of a run


@pytest.mark.parametrize(
    ("projects", "elapsed", "pages"),
    [
        (700_000, 300, 81),
        (700_000, 3600, 972),
        (10, 300, 0),
        (10, 3 * 86_400, 1),
        (700_000, 7 * 86_400, MOST),
        (1_000, 365 * 86_400, 1_000),
        (10_000_000, 3600, MOST_PER_HOUR),
        (1_000, 0, 0),
        (1_000, -60, 0),
    ],
)
def test_a_share_is_in_proportion_to_time_within_limits(
    projects: int, elapsed: float, pages: int
) -> None:
    assert share(projects, elapsed, MONTH) == pages


def test_a_page_is_watched_after_changes_uploads_and_quarantine() -> None:
    record = make_record("foo", serial=4)
    uploaded = datetime.fromtimestamp(NOW - 86_400, UTC)
    old = make_file("foo-1.tar.gz", upload_time=uploaded - timedelta(days=99))
    new = make_file("foo-2.tar.gz", upload_time=uploaded)

    assert watched_until(make_detail(old), None, NOW) == NEVER
    assert watched_until(make_detail(old, new), None, NOW) == NOW - 86_400 + WATCH
    assert watched_until(make_detail(), None, NOW) == NEVER
    assert watched_until(make_detail(serial=Serial(5)), record, NOW) == NOW + WATCH
    quarantined = make_detail(status=ProjectStatus.QUARANTINED)
    assert watched_until(quarantined, None, NOW) == ALWAYS


# ---------------------------------------------------------------- runs


def swept(site: Site, *flags: str, **later: float) -> Ran:
    """Run ``mirror`` after some time."""
    site.clock.advance(**(later or {"days": 30}))
    return site.mirror(*flags)


@pytest.fixture
def mirrored(index: Index, site: Site) -> Site:
    """Return a mirror of ten projects, whose projects are not compared with the index again."""
    for number in range(10):
        index.release(f"p{number}", "1.0")
    site.configure(reconcile_interval="9999 days")
    assert site.mirror().code == 0
    return site


def test_what_no_serial_shows_is_found(index: Index, server: IndexServer, mirrored: Site) -> None:
    index.archive("p3")
    server.forget()

    ran = swept(mirrored)

    assert ran.code == 0
    assert mirrored.page("p3")["project-status"] == {"status": "archived"}
    assert ran.report["sweep"] == {"asked": 10, "found": 1}
    assert ran.synced == ["p3"]
    assert "found by the sweep: 1" in ran.out
    pages = [asked for asked in server.asked if asked.kind == "detail"]
    assert len(pages) == 10
    assert all("If-None-Match" in asked.headers for asked in pages)
    mirrored.check()


def test_a_share_is_asked_for_and_the_rest_later(server: IndexServer, mirrored: Site) -> None:
    asked: list[str] = []
    for days, pages in ((2, 0), (2, 1), (6, 2), (18, 6), (3, 1)):
        server.forget()
        ran = swept(mirrored, days=days)
        assert ran.report["sweep"]["asked"] == pages
        asked += server.paths("detail")
    assert len(set(asked)) == 10


def test_an_interval_of_zero_asks_for_nothing(server: IndexServer, mirrored: Site) -> None:
    mirrored.configure(sweep_interval="0")
    server.forget()
    assert swept(mirrored).report["sweep"]["asked"] == 0
    assert not server.paths("detail")
    assert json.loads(mirrored.ask("status", "--json", "--offline").out)["sweep"] == {
        "oldest_look": None
    }


def test_a_finite_set_of_projects_is_not_swept(index: Index, site: Site) -> None:
    index.release("a", "1.0")
    site.allow("a")
    site.mirror()
    assert swept(site).report["sweep"]["asked"] == 0


def test_a_watched_page_is_asked_for_again_after_a_day(
    index: Index, server: IndexServer, mirrored: Site
) -> None:
    index.release("p7", "2.0")
    mirrored.mirror()
    swept(mirrored, seconds=1)
    server.forget()

    ran = swept(mirrored, seconds=6 * 86_400 + PAUSE)

    assert ran.report["sweep"]["asked"] == 2
    assert "/simple/p7/" in server.paths("detail")


def test_events_come_first_and_status_does_not_wait(
    index: Index, server: IndexServer, mirrored: Site
) -> None:
    index.release("p1", "2.0")
    server.fault("detail", faults.status(500), project="p5")

    ran = swept(mirrored)

    assert ran.code == 4
    assert ran.failed.keys() == {"p5"}
    assert mirrored.status == index.serial
    assert mirrored.todo() == [str(index.serial), "p5 0"]
    index.release("p2", "3.0")
    ran = swept(mirrored, minutes=5)
    assert mirrored.status == index.serial
    server.faults.clear()
    assert swept(mirrored, minutes=5).code == 0
    assert not mirrored.todo()


def test_a_project_that_is_gone_without_an_event_needs_two_looks(
    index: Index, mirrored: Site
) -> None:
    del index.projects["p4"]

    ran = swept(mirrored)
    assert ran.code == 0
    assert mirrored.status == index.serial
    assert "p4" in mirrored.names()

    ran = swept(mirrored, hours=1)
    assert ran.report["projects"]["removed"] == ["p4"]
    assert "p4" not in mirrored.names()


def test_a_deleted_project_does_not_come_back_by_the_sweep(
    index: Index, server: IndexServer, mirrored: Site
) -> None:
    assert mirrored.run("delete", "--until-next-change", "p6").code == 0
    server.has_etags = False
    index.project("p6").display = "P6"

    assert swept(mirrored).code == 0
    assert "p6" not in mirrored.names()

    index.project("p6").status = "deprecated"
    assert swept(mirrored).code == 0
    assert "p6" in mirrored.names()


def test_status_shows_the_oldest_look(mirrored: Site) -> None:
    swept(mirrored, days=6)
    mirrored.clock.advance(hours=2)
    status = mirrored.ask("status", "--offline")
    assert "every page was asked for since 2026-11-21" in status.out
    oldest = json.loads(mirrored.ask("status", "--json", "--offline").out)["sweep"]["oldest_look"]
    assert oldest["seconds_ago"] == 6 * 86_400 + 7200


def test_pages_of_an_adopted_tree_were_never_asked_for(mirrored: Site) -> None:
    (mirrored.root / "catalogue.sqlite").unlink()
    mirrored.options["api-method"] = "xmlrpc"
    assert mirrored.run("verify", "--quick").code == 0
    assert "some pages have not been asked for yet" in mirrored.ask("status", "--offline").out


def test_a_wrong_clock_does_not_end_the_sweep(index: Index, make_site: Callable[..., Site]) -> None:
    """Looks in the future are repeated first."""
    site = make_site(reconcile_interval="9999 days")
    for number in range(4):
        index.release(f"p{number}", "1.0")
    site.clock.advance(days=4000)
    site.mirror()
    site.clock.passed = 0

    assert site.mirror().report["sweep"]["asked"] == 0
    assert swept(site).report["sweep"]["asked"] in {0, 4}
