"""Cases 156 to 160: answers to other requests, and wrong words of the index, one at a time."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import faults
from tests.support.server import serving

if TYPE_CHECKING:
    from tests.chaos.case import Case
    from tests.support.faults import Act

HUGE = 2**52

NO_ANSWERS = {
    "304": faults.status(304),
    "206": faults.part("bytes 5-9/10", 5),
    "204": faults.status(204),
    "twice": faults.edit(lambda content: gzip.compress(gzip.compress(content))),
}


def with_serial(serial: int | None) -> Act:
    """Give a page another serial, or none."""

    def change(page: dict[str, Any]) -> None:
        page["meta"]["_last-serial"] = serial

    return faults.document(change)


# ---------------------------------------------------------------- answers to other requests


@pytest.mark.parametrize("kind", NO_ANSWERS)
def test_case_156_a_page_that_is_no_answer_is_requested_once_more(case: Case, kind: str) -> None:
    case.server.has_etags = False
    case.mirrored("bar")
    case.index.release("foo", "1.0")
    case.recovers("detail", NO_ANSWERS[kind], project="foo")
    case.index.release("foo", "2.0")
    case.index.release("bar", "2.0")
    case.fault("detail", NO_ANSWERS[kind], project="foo")
    case.server.forget()

    ran = case.mirror(exits=4)

    assert ran.failed == {"foo": "InvalidResponse"}
    sent = [each.headers.get("Cache-Control") for each in case.asked("detail", of="/foo/")]
    assert sent == [None, "no-cache"]
    case.heals()


@pytest.mark.parametrize("kind", NO_ANSWERS)
def test_case_156_a_list_that_is_no_answer_ends_the_run(case: Case, kind: str) -> None:
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    case.clock.advance(hours=25)
    case.fault("list", NO_ANSWERS[kind])
    case.server.has_etags = False

    ran = case.mirror(exits=3)

    assert "gave an answer to another request" in ran.errors()[0]
    case.heals()


# ---------------------------------------------------------------- serials


@pytest.mark.parametrize("head", [HUGE, 2**31 - 1, 700_000, 150])
def test_case_157_a_wrong_head_claims_nothing(case: Case, head: int) -> None:
    case.mirrored("foo", "bar")
    case.index.release("foo", "2.0")
    case.fault("xmlrpc", faults.call("changelog_last_serial", head), times=1)

    case.mirror()

    assert case.site.status <= case.index.serial
    case.index.release("bar", "2.0")
    case.heals()


def test_case_157_late_events_are_read_by_the_next_run(case: Case) -> None:
    case.mirrored("foo")
    reached, shown = case.site.status, list(case.index.journal)
    case.index.release("foo", "2.0")
    late, case.index.journal = case.index.journal, shown

    case.mirror(behind=["foo"])

    assert case.site.status == reached
    case.index.journal = late
    case.heals()


@pytest.mark.parametrize("serial", [HUGE, 900_000, None])
def test_case_158_an_impossible_serial_proves_nothing(case: Case, serial: int | None) -> None:
    case.mirrored("foo", "bar")
    case.index.release("foo", "2.0")
    case.fault("detail", with_serial(serial), times=1, project="foo")
    case.fault("detail", faults.header("X-PyPI-Last-Serial", None), times=1, project="foo")

    case.mirror()

    assert "_last-serial" not in case.site.page("foo")["meta"]
    case.heals(hours=25)


# ---------------------------------------------------------------- clocks


@pytest.mark.parametrize("days", [-400, 3])
def test_case_159_a_page_stays_stale_for_a_wrong_clock(case: Case, days: int) -> None:
    case.mirrored("foo")
    right = case.clock.now
    case.server.now = right
    case.server.freeze("/simple/foo/")
    case.index.release("foo", "2.0")
    now = right()
    case.server.now = lambda: now
    case.clock.advance(days=days)

    ran = case.mirror(exits=4)

    assert ran.failed == {"foo": "StalePage"}
    case.clock.advance(days=-days)
    case.heals()


def test_case_159_an_old_change_that_is_new_here_waits_for_a_second_look(case: Case) -> None:
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    case.index.journal[-1].time = 0
    case.server.now = case.clock.now
    case.fault("detail", with_serial(case.index.serial - 1), project="foo")
    case.fault("detail", faults.header("X-PyPI-Last-Serial", None), project="foo")

    case.mirror(behind=["foo"])

    assert case.site.todo()[1:] == [f"foo {case.index.serial}"]
    case.clock.advance(minutes=11)
    assert case.site.mirror().code == 0
    assert case.site.todo() == []
    assert len(case.site.filenames("foo")) == 2
    case.index.release("foo", "3.0")
    case.heals()


# ---------------------------------------------------------------- another index


def test_case_160_another_index_is_compared_and_downloads_nothing_again(case: Case) -> None:
    case.mirrored("foo", "bar")
    with serving(case.index) as other:
        case.site.configure(master=other.url)
        case.server = other

        ran = case.mirror()

        assert "this mirror followed" in ran.log
        assert case.asked("file") == []
        case.heals()
