"""Cases 46 to 51: serials of projects that go back, come late, are huge, or lag."""

from __future__ import annotations

import json
import xmlrpc.client
from typing import TYPE_CHECKING

import pytest

from tests.chaos.lists import listing, with_serial
from tests.support import faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.web import Request

    from tests.chaos.case import Case
    from tests.support.server import Answer

HUGE = 10**12


@pytest.mark.nightly
def test_an_endless_changelog_is_aborted(case: Case) -> None:
    """Each answer is full, and advances by one serial."""
    case.mirrored("bar", "foo")
    case.index.release("foo", "2.0")
    rows = [["foo", "2.0", 1_700_000_000, "new release", 10**9]] * 50_000
    page = xmlrpc.client.dumps((rows,), methodresponse=True).encode()

    async def act(request: Request, answer: Answer) -> None:
        arguments, method = xmlrpc.client.loads((await request.read()).decode())
        if method == "changelog_since_serial":
            (since,) = arguments
            answer.body = page.replace(b"1000000000", str(since + 1).encode())  # type: ignore[operator]

    case.fault("xmlrpc", faults.call("changelog_last_serial", case.index.serial + 900_000))
    case.fault("xmlrpc", act)

    case.mirror(exits=3)

    assert 20 <= len(case.asked("xmlrpc")) <= 23
    case.heals()


def test_case_046_a_serial_that_goes_back_changes_nothing(case: Case) -> None:
    case.site.configure(api_method="simple")
    case.mirrored("bar", "foo")
    case.index.release("foo", "2.0")
    case.mirror()
    old = json.dumps(case.index.detail_json("foo", files_at=case.server.url) | {"files": []})
    low = old.replace(f'"_last-serial": {case.index.serial}', '"_last-serial": 101')
    case.index.release("bar", "2.0")
    case.fault("list", with_serial("foo", 101))
    case.fault("detail", faults.body(low.encode()), project="foo")
    case.fault("detail", faults.header("X-PyPI-Last-Serial", "101"), project="foo")

    for flags in ((), ("--force-check",)):
        case.mirror(*flags)
        assert len(case.site.filenames("foo")) == 2

    case.heals()


def test_case_047_a_serial_that_becomes_visible_late_is_synced(case: Case) -> None:
    """Each project's serial is compared with its own, not with the highest one."""
    case.site.configure(api_method="simple")
    case.mirrored("bar", "foo")
    before = case.index.list_json()
    case.index.release("foo", "2.0")
    case.index.release("bar", "2.0")
    late = case.index.list_json()
    late["projects"] = [
        next(
            each for each in (before if name == "foo" else late)["projects"] if each["name"] == name
        )
        for name in ("bar", "foo")
    ]
    case.fault("list", faults.body(json.dumps(late).encode()), times=1)

    first = case.mirror(behind=["foo"])
    assert first.synced == ["bar"]

    assert case.mirror().synced == ["foo"]
    case.heals()


def test_case_047_an_event_that_becomes_visible_late_is_found_by_the_comparison(
    case: Case,
) -> None:
    """The changelog is in the order of commits; what it missed is found within a day."""
    case.mirrored("bar", "foo")
    case.index.release("foo", "2.0")
    late = [each for each in case.index.journal if each.serial == case.index.serial]
    case.index.journal.remove(late[0])
    case.index.release("bar", "2.0")

    assert case.mirror(behind=["foo"]).synced == ["bar"]
    case.index.journal.insert(-1, late[0])
    case.clock.advance(hours=25)

    assert case.mirror().synced == ["foo"]
    case.heals()


@pytest.mark.parametrize("method", ["auto", "simple"])
def test_case_048_a_serial_beyond_that_of_the_list_is_ignored(case: Case, method: str) -> None:
    """No page can reach it, so the run does not wait: the page is shown, exit status 0."""
    case.site.configure(api_method=method)
    case.mirrored("bar", "foo")
    case.fault("list", with_serial("foo", HUGE))

    for run in range(2):
        for name in ("foo", "bar"):
            case.index.release(name, f"{run}.1")
        case.clock.advance(hours=25)
        ran = case.mirror()
        assert ran.synced == ["bar", "foo"]
        warning = f"the list has foo at serial {HUGE}, far above the index's own serial"
        assert f"WARNING: {warning}" in ran.log
        assert case.site.status == case.index.serial

    case.heals()


def test_case_048_a_serial_that_no_page_reaches_delays_its_project_only(case: Case) -> None:
    """A possible serial: the run waits for it until no cache can be that old."""
    case.site.configure(api_method="simple")
    case.mirrored("bar", "foo")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    before = case.site.status
    case.fault("list", with_serial("foo", case.index.serial + 1000))

    for synced in (["bar"], []):
        ran = case.mirror(exits=4)
        assert ran.failed == {"foo": "StalePage"}
        assert ran.synced == synced
        assert case.site.status == before

    case.heals(hours=50)


def test_case_048_an_event_beyond_the_newest_serial_is_ignored(case: Case) -> None:
    """The comparison of the whole list finds its change."""
    case.mirrored("bar", "foo")
    before = case.site.status
    for name in ("bar", "foo"):
        case.index.release(name, "2.0")
    new = [e for e in case.index.journal if e.serial > before]
    rows = [[e.name, e.version, e.time, e.action, e.serial] for e in new[:-1]]
    rows.append(["foo", "2.0", new[-1].time, new[-1].action, 2_000_000_000])
    case.fault("xmlrpc", faults.call("changelog_since_serial", rows))

    assert case.mirror(behind=["foo"]).synced == ["bar"]
    assert case.site.status == new[0].serial

    case.heals(hours=25)


def test_case_049_a_project_with_a_huge_serial_and_no_page_does_not_move_status(case: Case) -> None:
    case.site.configure(api_method="simple")
    case.mirrored("bar", "foo")
    case.index.release("foo", "2.0")
    before = case.site.status
    ghost = {"name": "ghost", "_last-serial": HUGE}
    case.fault("list", listing(lambda page: page["projects"].append(ghost)))

    for synced in (["foo"], []):
        ran = case.mirror(exits=4)
        assert ran.failed == {"ghost": "MissingProject"}
        assert ran.synced == synced
        assert case.site.status == before

    case.heals()


# ---------------------------------------------------------------- pages that lag


@pytest.mark.parametrize("method", ["auto", "simple"])
def test_case_050_a_page_that_lags_for_a_moment_is_fetched_in_the_same_run(
    case: Case, method: str
) -> None:
    case.site.configure(api_method=method)
    case.mirrored("bar", "foo")
    case.server.freeze("/simple/foo/")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    asked = case.server.on_request

    def thaw() -> bool:
        if len(case.asked("detail", of="/foo/")) >= 3:
            case.server.thaw()
        return True

    case.fault("detail", faults.held(thaw), project="foo")

    case.mirror()

    assert asked is not None
    assert len(case.asked("detail", of="/foo/")) >= 3
    case.heals()


@pytest.mark.parametrize("method", ["auto", "simple"])
def test_case_050_a_page_that_lags_for_days_delays_no_other_project(
    case: Case, method: str
) -> None:
    case.site.configure(api_method=method)
    case.mirrored("bar", "foo")
    case.server.freeze("/simple/foo/")
    case.index.release("foo", "2.0")
    before = case.site.status

    for day in range(3):
        case.index.release("bar", f"{day + 2}.0")
        ran = case.mirror(exits=4)
        assert ran.failed == {"foo": "StalePage"}
        assert ran.report["projects"]["failed"][0]["class"] == "retry"
        assert ran.synced == ["bar"]
        assert before <= case.site.status < case.index.serial
        case.clock.advance(hours=12)

    case.heals()


def serials(change: Callable[[int], object], where: str) -> list[faults.Act]:
    """Return acts that change the serial in the header, in the body, or in both."""

    async def header(_: Request, answer: Answer) -> None:
        told = change(int(answer.headers.popone("X-PyPI-Last-Serial")))
        if told is not None:
            answer.headers["X-PyPI-Last-Serial"] = str(told)

    def body(content: bytes) -> bytes:
        page = json.loads(content)
        page["meta"]["_last-serial"] = change(page["meta"]["_last-serial"])
        return json.dumps(page).encode()

    acts: dict[str, list[faults.Act]] = {"header": [header], "body": [faults.edit(body)]}
    return acts.get(where, [*acts["header"], *acts["body"]])


ODD: dict[str, Callable[[int], object]] = {
    "missing": lambda _: None,
    "rubbish": lambda _: "soon",
    "negative": lambda serial: -serial,
    "higher": lambda serial: serial + 1000,
}


@pytest.mark.parametrize("where", ["header", "body"])
def test_case_051_one_of_two_serials_is_enough(case: Case, where: str) -> None:
    """If one is invalid the other counts; if they differ, the lower one."""
    case.mirrored("bar", "foo")
    for number, kind in enumerate(case.each(ODD)):
        for name in ("foo", "bar"):
            case.index.release(name, f"2.{number}")
        for act in serials(ODD[kind], where):
            case.fault("detail", act, project="foo")

        assert case.mirror().synced == ["bar", "foo"]
    case.heals()


@pytest.mark.parametrize("where", ["header", "body", "both"])
def test_case_051_a_page_with_a_lower_serial_is_stale(case: Case, where: str) -> None:
    case.mirrored("bar", "foo")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    for act in serials(lambda serial: serial - 1, where):
        case.fault("detail", act, project="foo")

    ran = case.mirror(exits=4)

    assert ran.failed == {"foo": "StalePage"}
    assert ran.synced == ["bar"]
    case.heals()


def test_case_051_a_page_without_a_serial_is_published_without_one(case: Case) -> None:
    """An index may have serials only in its list."""
    case.mirrored("bar", "foo")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    for act in serials(lambda _: None, "both"):
        case.fault("detail", act, project="foo")

    assert case.mirror().synced == ["bar", "foo"]

    case.index.release("foo", "3.0")
    case.heals()
