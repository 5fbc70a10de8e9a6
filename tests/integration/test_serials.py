"""Serials, order and times of an index that are wrong, through the command line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support import faults

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Ran, Site

HUGE = 2**52


def warnings(ran: Ran) -> list[str]:
    """Return the warnings of the log."""
    return [line for line in ran.log.splitlines() if " WARNING: " in line]


def page_serial(serial: int | None) -> faults.Act:
    """Return a fault that gives a project page another serial."""

    def change(page: dict[str, object]) -> None:
        page["meta"] = {"api-version": "1.4", "_last-serial": serial}

    return faults.document(change)


@pytest.mark.parametrize("head", [2**31 - 1, 500_000, 200])
def test_a_head_that_is_wrong_once_claims_nothing(
    index: Index, server: IndexServer, site: Site, head: int
) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    index.release("foo", "2.0")
    server.fault("xmlrpc", faults.call("changelog_last_serial", head), times=1)

    ran = site.mirror()

    assert ran.code == 0
    assert site.status <= index.serial
    index.release("bar", "2.0")
    assert site.mirror().code == 0
    assert len(site.filenames("foo")) == len(site.filenames("bar")) == 2
    assert site.status == index.serial


def test_events_that_come_later_than_the_head_are_read_by_the_next_run(
    index: Index, site: Site
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    reached = site.status
    shown = list(index.journal)
    index.release("foo", "2.0")
    late, index.journal = index.journal, shown

    ran = site.mirror()

    assert ran.code == 0
    assert any("its events end at" in line for line in warnings(ran))
    assert site.status == reached
    index.journal = late
    assert site.mirror().code == 0
    assert len(site.filenames("foo")) == 2
    assert site.status == index.serial


@pytest.mark.parametrize("by", [HUGE, 250_000, 150_000, 3, 1])
def test_a_page_with_a_serial_that_is_too_high_does_not_freeze(
    index: Index, server: IndexServer, site: Site, by: int
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    index.release("foo", "2.0")
    server.has_etags = False
    fault = server.fault("detail", page_serial(index.serial + by), project="foo", times=1)

    assert site.mirror().code == 0
    assert fault.hits == 1
    index.release("foo", "3.0")
    ran = site.mirror()

    assert ran.code == 0
    assert len(site.filenames("foo")) == 3
    root = json.loads(site.text("web/simple/index.v1_json"))
    assert root["meta"]["_last-serial"] == index.serial
    assert site.page("foo")["meta"]["_last-serial"] == index.serial


@pytest.mark.parametrize("has_etags", [True, False])
def test_a_huge_serial_freezes_nothing_where_nothing_contradicts_it(
    index: Index, server: IndexServer, site: Site, *, has_etags: bool
) -> None:
    site.configure(api_method="simple")
    site.allow("foo")
    index.release("foo", "1.0")
    server.has_etags = has_etags
    server.fault("detail", page_serial(HUGE), times=1)

    assert site.mirror().code == 0
    index.release("foo", "2.0")
    for _ in range(2):
        assert site.mirror().code == 0

    assert len(site.filenames("foo")) == 2
    root = json.loads(site.text("web/simple/index.v1_json"))
    assert "_last-serial" not in root["meta"], "nothing proves a serial"
    assert not (site.root / "status").exists()


def test_a_page_far_below_its_record_is_believed_where_nothing_else_has_serials(
    index: Index, server: IndexServer, site: Site
) -> None:
    """The index was made anew, and the mirror no longer asks for a list."""
    site.configure(api_method="simple")
    server.list_has_serials = True
    index.serial = 1_000_000
    index.release("foo", "1.0")
    assert site.mirror().code == 0
    site.allow("foo")
    index.serial = 100
    index.release("foo", "2.0")

    assert site.mirror().code == 0

    assert len(site.filenames("foo")) == 2
    index.release("foo", "3.0")
    assert site.mirror().code == 0
    assert len(site.filenames("foo")) == 3


def test_what_sync_publishes_has_its_serial_after_the_next_run(index: Index, site: Site) -> None:
    index.release("foo", "1.0")

    assert site.sync("foo").code == 0
    assert site.mirror().code == 0

    assert site.page("foo")["meta"]["_last-serial"] == index.serial


def test_an_index_with_serials_in_its_list_alone_is_followed(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(api_method="simple")
    index.release("foo", "1.0")
    server.fault("detail", page_serial(None))
    server.fault("detail", faults.header("X-PyPI-Last-Serial", None))

    for number in range(2, 5):
        assert site.mirror().code == 0
        site.clock.advance(hours=25)
        index.release("foo", f"{number}.0")
    assert site.mirror().code == 0

    assert len(site.filenames("foo")) == 4


def test_a_page_without_a_serial_is_recorded_as_proving_nothing(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    index.release("foo", "2.0")
    server.has_serials = False
    old = site.filenames("foo")

    assert site.mirror().code == 0
    assert site.filenames("foo") != old
    server.has_serials = True
    site.clock.advance(hours=25)
    assert site.mirror().code == 0

    assert site.page("foo")["meta"]["_last-serial"] == index.serial


def test_a_change_of_long_ago_that_was_only_just_seen_waits_for_a_second_look(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    index.release("foo", "2.0")
    index.journal[-1].time = 0
    server.now = site.clock.now
    serial = index.serial - 1
    server.fault("detail", page_serial(serial), project="foo")
    reached = site.status

    first = site.mirror()

    assert first.code == 0
    assert f"the page of foo is at serial {serial}, {index.serial} is needed" in warnings(first)[0]
    assert site.status == reached
    assert site.todo()[1:] == [f"foo {index.serial}"]
    assert len(site.filenames("foo")) == 1
    second = site.mirror()
    assert second.code == 0
    assert warnings(second) == []
    assert len(site.filenames("foo")) == 2
    assert site.status == index.serial
    assert site.todo() == []


def test_a_stale_page_stays_stale_while_one_of_two_clocks_is_wrong(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    server.freeze("/simple/foo/")
    index.release("foo", "2.0")
    site.clock.advance(days=3)
    server.now = lambda: site.clock.now().replace(year=site.clock.now().year - 1)

    ran = site.mirror()

    assert ran.code == 4
    assert ran.failed == {"foo": "StalePage"}
    server.thaw()
    assert site.mirror().code == 0
    assert len(site.filenames("foo")) == 2


# ---------------------------------------------------------------- another index


def test_another_index_is_followed_without_loss(index: Index, site: Site) -> None:
    from tests.support.index import Index as Other  # noqa: PLC0415 - the fixture hides it
    from tests.support.server import serving  # noqa: PLC0415

    index.serial = 3_000_000
    index.release("foo", "1.0")
    index.release("gone", "1.0")
    site.mirror()
    other = Other()
    other.release("foo", "1.0", size=300)
    other.release("foo", "2.0")
    other.release("new", "1.0")
    with serving(other) as server:
        server.now = site.clock.now
        site.configure(master=server.url)
        site.clock.advance(minutes=20)

        ran = site.mirror("--accept-change", "foo")

        assert ran.code == 0, ran.log
        assert any("this mirror followed" in line for line in warnings(ran))
        assert set(site.names()) >= {"foo", "new"}
        assert len(site.filenames("foo")) == 2
        site.clock.advance(minutes=20)
        ran = site.mirror()
        assert ran.code == 0
        assert site.names() == ["foo", "new"]
        assert site.status == other.serial
        assert not any("this mirror followed" in line for line in warnings(site.mirror()))
    site.check()


def test_the_same_index_under_another_spelling_is_the_same(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    site.mirror()
    site.configure(master=site.server.url + "/")

    ran = site.mirror()

    assert ran.code == 0
    assert warnings(ran) == []
    assert ran.synced == []


# ---------------------------------------------------------------- the way out


def test_the_way_out_of_a_serial_that_was_too_high_loses_nothing(
    index: Index, site: Site, tmp_path: Path
) -> None:
    del tmp_path
    index.release("foo", "1.0")
    site.mirror()
    (site.root / "status").write_text("9000000")
    index.release("foo", "2.0")

    ran = site.mirror()

    assert ran.code == 0, "an edited status is not trusted"
    assert len(site.filenames("foo")) == 2
    assert site.status == index.serial


def test_the_alarm_names_a_way_out_that_works(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(api_method="simple")
    server.list_has_serials = True
    index.serial = 1_000_000
    index.release("foo", "1.0")
    site.mirror()
    index.serial = 100
    index.release("foo", "2.0")

    ran = site.mirror()

    assert ran.code == 5
    assert "delete its status and todo files" in ran.log
    (site.root / "status").unlink()
    (site.root / "todo").unlink(missing_ok=True)
    for _ in range(2):
        site.clock.advance(minutes=20)
        assert site.mirror().code == 0
    assert len(site.filenames("foo")) == 2
    assert site.status == index.serial
    site.check()
