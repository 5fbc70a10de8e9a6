"""Faults of the index and the network: recovered where possible, reported where not."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from tests.support import faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site

ONCE = [
    faults.status(500),
    faults.status(502),
    faults.status(503),
    faults.status(504),
    faults.status(429),
    faults.status(408),
    faults.status(522),
    faults.reset(),
    faults.cut(10),
]
ONCE_IDS = ["500", "502", "503", "504", "429", "408", "522", "reset", "cut"]


@pytest.mark.parametrize("act", ONCE, ids=ONCE_IDS)
@pytest.mark.parametrize("where", ["list", "detail", "file", "sidecar", "xmlrpc"])
def test_a_transient_fault_is_recovered_in_the_same_run(
    index: Index, server: IndexServer, site: Site, where: str, act: faults.Act
) -> None:
    index.release("foo", "1.0")
    fault = server.fault(where, act, times=1)

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert fault.hits == 1
    assert ran.report["files"]["core_metadata_missing"] == 0
    assert site.leftovers() == []
    assert site.status == index.serial
    site.check()


@pytest.mark.parametrize(
    "act",
    [faults.status(500), faults.status(403), faults.reset(), faults.cut(10)],
    ids=["500", "403", "reset", "cut"],
)
def test_a_project_that_always_fails_stops_no_other(
    index: Index, server: IndexServer, site: Site, act: faults.Act
) -> None:
    for name in ("aaa", "bad", "zzz"):
        index.release(name, "1.0")
    fault = server.fault("/simple/bad/", act)

    first = site.mirror()
    assert first.code == 4
    assert list(first.failed) == ["bad"]
    assert len(first.errors()) == 1
    assert "bad failed: " in first.errors()[0]
    assert site.names() == ["aaa", "zzz"]
    assert [line.split()[0] for line in site.todo()[1:]] == ["bad"]

    index.release("later", "1.0")
    second = site.mirror()
    assert second.code == 4
    assert second.synced == ["later"]
    assert site.names() == ["aaa", "later", "zzz"]
    assert site.status < index.serial

    fault.left = 0
    third = site.mirror()
    assert third.code == 0
    assert third.synced == ["bad"]
    assert site.todo() == []
    assert site.status == index.serial
    site.check()


def test_all_requests_wait_for_retry_after_in_seconds(
    index: Index, server: IndexServer, site: Site
) -> None:
    for number in range(6):
        index.release(f"p{number}", "1.0")
    server.fault("/simple/p0/", faults.status(429, Retry_After="77"), times=1)

    ran = site.mirror()

    assert ran.code == 0
    assert site.clock.passed >= 77
    assert 77 in [round(seconds) for seconds in site.clock.slept]


def test_no_request_is_sent_to_a_host_before_its_retry_after(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(workers=1, download_workers=1)
    for number in range(6):
        index.release(f"p{number}", "1.0")
    server.fault("/simple/p0/", faults.status(429, Retry_After="77"), times=1)
    asked: list[tuple[str, float]] = []
    server.on_request = lambda request: asked.append((request.path, site.clock.passed))

    ran = site.mirror()

    assert ran.code == 0
    told = [path for path, _ in asked].index("/simple/p0/")
    assert len(asked) > told + 10
    assert [path for path, at in asked[told + 1 :] if at < 77] == []


def test_requests_wait_for_retry_after_as_a_date(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    date = format_datetime(site.clock.now() + timedelta(seconds=123), usegmt=True)
    server.fault("detail", faults.status(503, Retry_After=date), times=1)

    ran = site.mirror()

    assert ran.code == 0
    assert site.clock.passed >= 120


@pytest.mark.parametrize("text", ["soon", "-5", ""])
def test_an_invalid_retry_after_means_an_ordinary_pause(
    index: Index, server: IndexServer, site: Site, text: str
) -> None:
    index.release("foo", "1.0")
    server.fault("detail", faults.status(429, Retry_After=text), times=1)

    ran = site.mirror()

    assert ran.code == 0
    assert 0 < site.clock.passed < 10


def test_a_host_that_asks_for_too_long_a_pause_gets_no_more_requests_in_the_run(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    server.fault("file", faults.status(429, Retry_After="1000000000"))

    ran = site.mirror()

    assert ran.code == 4
    assert site.clock.passed < 100
    assert len(server.paths("file")) <= 2


def test_the_changelog_waits_for_its_rate_limit(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    text = (
        b"<?xml version='1.0'?><methodResponse><fault><value><struct><member>"
        b"<name>faultCode</name><value><int>-32500</int></value></member><member>"
        b"<name>faultString</name><value><string>HTTPTooManyRequests: The action could not be "
        b"performed because there were too many requests by the client. Limit may reset in 42 "
        b"seconds.</string></value></member></struct></value></fault></methodResponse>"
    )
    server.fault("xmlrpc", faults.body(text), times=1)

    ran = site.mirror()

    assert ran.code == 0
    assert 42 in site.clock.slept


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>log in</html>", b"<?xml version='1.0'?><methodResponse/>", b"{}"],
    ids=["nothing", "html", "empty", "json"],
)
def test_a_run_continues_without_an_invalid_changelog(
    index: Index, server: IndexServer, site: Site, answer: bytes
) -> None:
    index.release("foo", "1.0")
    server.fault("xmlrpc", faults.body(answer))

    ran = site.mirror()

    assert ran.code == 0
    assert site.names() == ["foo"]


@pytest.mark.parametrize(
    ("method", "result"),
    [
        ("changelog_last_serial", "soon"),
        ("changelog_last_serial", -1),
        ("changelog_last_serial", []),
    ],
)
def test_an_invalid_head_serial_means_no_changelog(
    index: Index, server: IndexServer, site: Site, method: str, result: object
) -> None:
    index.release("foo", "1.0")
    server.fault("xmlrpc", faults.call(method, result))

    ran = site.mirror()

    assert ran.code == 0
    assert site.names() == ["foo"]


EVENT = ["foo", "1.0", 1_700_000_000, "new release"]


@pytest.mark.parametrize(
    "rows",
    [
        {},
        "foo",
        ["foo"],
        [[*EVENT]],
        [[*EVENT, "x"]],
        [[*EVENT, -1]],
        [[*EVENT, 1]],
        [["foo", "1.0", "now", "new release", 10_000]],
        [["foo", "1.0", 1_700_000_000, None, 10_000]],
    ],
    ids=repr,
)
def test_invalid_events_stop_the_run_and_lose_nothing(
    index: Index, server: IndexServer, site: Site, rows: object
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    before, status = site.tree(), site.status
    index.release("foo", "2.0")
    bad = server.fault("xmlrpc", faults.call("changelog_since_serial", rows))

    ran = site.mirror()

    assert ran.code == 3
    assert (site.tree(), site.status) == (before, status)
    bad.left = 0
    assert site.mirror().code == 0
    assert len(site.filenames("foo")) == 2


def test_an_event_without_a_name_is_ignored(index: Index, server: IndexServer, site: Site) -> None:
    index.release("foo", "1.0")
    site.mirror()
    for version in ("2.0", "3.0"):
        index.release("foo", version)
    rows = [
        [None, None, 1_700_000_000, "nobody knows", index.serial - 1],
        ["foo", "3.0", 1_700_000_000, "new release", index.serial],
    ]
    server.fault("xmlrpc", faults.call("changelog_since_serial", rows))

    assert site.mirror().code == 0
    assert site.status == index.serial


@pytest.mark.parametrize(
    "line",
    [
        b'ETag: "\xff\xfe"',
        b"ETag: " + b"x" * 5000,
        b"Last-Modified: Sat, 21 Nov 99999999999 12:00:00 GMT",
        b"Last-Modified: \xff",
        b"Date: Sat, 99 Nov 2026 12:00:00 GMT",
        b"X-PyPI-Last-Serial: \xff",
        b"X-PyPI-Last-Serial: " + b"9" * 5000,
        b"Cache-Control: \x7f",
    ],
    ids=lambda line: ascii(line[:30]),
)
def test_any_value_of_a_header_is_tolerated(
    index: Index, server: IndexServer, site: Site, line: bytes
) -> None:
    index.release("foo", "1.0")
    server.fault("detail", faults.raw_header(line))

    for _ in range(2):
        ran = site.mirror("--force-check")

        assert ran.code == 0, ran.log
    assert site.names() == ["foo"]


def test_a_slow_download_is_aborted_and_resumed_later(
    index: Index, server: IndexServer, site: Site
) -> None:
    """The clock moves ten seconds for each piece of a hundred bytes."""
    (file,) = index.release("foo", "1.0", size=2000)
    slow = server.fault("file", faults.trickle(100, lambda: site.clock.advance(seconds=10)), 1)

    ran = site.mirror("--debug")

    assert ran.code == 0
    assert slow.hits == 1
    assert server.paths("file") == [file.path] * 2
    site.check()


def test_a_stale_page_is_retried_at_the_end_of_the_queue(
    index: Index, server: IndexServer, site: Site
) -> None:
    for name in ("aaa", "zzz"):
        index.release(name, "1.0")
    site.mirror()
    server.freeze("/simple/aaa/")
    index.release("aaa", "2.0")
    index.release("zzz", "2.0")
    server.forget()
    server.on_request = lambda _: server.thaw() if site.clock.passed > 5 else None

    ran = site.mirror()

    assert ran.code == 0
    assert ran.report["projects"]["synced"] == ["zzz", "aaa"]
    assert site.filenames("aaa")[-1] == "aaa-2.0-py3-none-any.whl"


def test_a_page_that_stays_stale_is_left_for_the_next_run(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    status = site.status
    server.freeze("/simple/foo/")
    index.release("foo", "2.0")
    index.release("bar", "2.0")

    ran = site.mirror()

    assert ran.code == 4
    assert ran.failed == {"foo": "StalePage"}
    assert ran.synced == ["bar"]
    assert status <= site.status < index.serial
    assert site.filenames("foo") == ["foo-1.0-py3-none-any.whl"]

    server.thaw()
    assert site.mirror().code == 0
    assert site.filenames("foo")[-1] == "foo-2.0-py3-none-any.whl"


def test_a_page_whose_serial_lags_for_49_hours_is_accepted(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    index._time = lambda: int(site.clock.now().timestamp())
    index.release("foo", "2.0")
    index.projects["foo"].serial -= 1
    assert site.mirror().failed == {"foo": "StalePage"}

    site.clock.advance(hours=48)
    assert site.mirror().failed == {"foo": "StalePage"}

    site.clock.advance(hours=2)
    ran = site.mirror()
    assert ran.code == 0
    assert site.status == index.serial
    assert len(site.filenames("foo")) == 2
    assert site.mirror().report["projects"]["synced"] == []


def test_a_missing_page_is_retried_after_a_minute(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    server.fault("detail", faults.status(404), times=1)

    ran = site.mirror()

    assert ran.code == 0
    assert site.clock.passed >= 60
    assert site.names() == ["foo"]


def test_a_listed_project_without_a_page_fails(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    index.release("ghost", "1.0")
    server.fault("/simple/ghost/", faults.status(404))

    for _ in range(2):
        ran = site.mirror()
        assert ran.code == 4
        assert ran.failed == {"ghost": "MissingProject"}
    assert site.status == 0
    assert site.names() == ["foo"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<html><title>Log in</title><a href='/x'>x</a></html>", "text/html"),
        (b"<html><title>Log in</title></html>", None),
        (b"", None),
        (b"null", None),
        (b"[]", None),
        (b"{}", None),
        (b"[" * 100_000, None),
        (b'{"meta": {"api-version": "2.0"}, "name": "foo", "files": []}', None),
        (b'{"meta": {"api-version": "1.0"}, "name": "bar", "files": []}', None),
        (b'{"meta": {"api-version": "1.0"}, "name": "foo", "files": {}}', None),
        (b'{"name": "foo", "files": [], "x": NaN}', None),
        (b"\xff\xfe", None),
        (b"PK\x03\x04", "application/zip"),
    ],
)
def test_an_invalid_page_leaves_the_last_good_one(
    index: Index, server: IndexServer, site: Site, content: bytes, kind: str | None
) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    before = site.tree()
    server.fault("/simple/foo/", faults.body(content, kind))
    index.yank("foo", "1.0")

    ran = site.mirror()

    assert ran.code == 4
    assert ran.failed == {"foo": "InvalidPage"}
    assert site.tree() == before


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<html><title>Log in</title></html>", "text/html"),
        (b"null", None),
        (b'{"projects": 3}', None),
        (b'{"projects": [{"name": "../x"}, {"name": 3}, {"name": "ok"}]}', None),
        (b"\x00\x01", "application/octet-stream"),
    ],
)
def test_an_invalid_list_is_an_unusable_index(
    index: Index, server: IndexServer, site: Site, content: bytes, kind: str | None
) -> None:
    site.configure(api_method="simple")
    index.release("foo", "1.0")
    site.mirror()
    before, status = site.tree(), site.status
    index.release("foo", "2.0")
    server.fault("list", faults.body(content, kind))

    ran = site.mirror()

    assert ran.code == 3
    assert (site.tree(), site.status) == (before, status)


def test_a_document_above_its_limit_is_refused(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    server.fault("/simple/foo/", faults.endless())

    ran = site.mirror()

    assert ran.code == 4
    assert ran.failed == {"foo": "OversizedContent"}


def test_an_allowed_redirect_is_followed(index: Index, server: IndexServer, site: Site) -> None:
    (file,) = index.release("foo", "1.0")
    index.files["/packages/moved"] = file
    server.fault(file.path, faults.redirect("/packages/moved"))

    ran = site.mirror()

    assert ran.code == 0
    site.check()


@pytest.mark.parametrize(
    "to",
    [
        *["ftp://127.0.0.1/x", "file:///etc/passwd", "data:text/plain,x", "http://u@127.0.0.1/"],
        *["", "http://[::1/", "http://127.0.0.1:x/", "http://a..b/", f"http://{'a' * 64}.example/"],
        *["https://xn--/", "http://%00/", "http://a b/", "http:///x"],
    ],
)
def test_a_redirect_to_another_host_is_refused(
    index: Index, server: IndexServer, site: Site, to: str
) -> None:
    index.release("foo", "1.0")
    server.fault("detail", faults.redirect(to))

    ran = site.mirror()

    assert ran.failed == {"foo": "UnsafeUrl"}
    assert len(server.paths("detail")) == 1


def test_a_redirect_loop_is_refused(index: Index, server: IndexServer, site: Site) -> None:
    index.release("foo", "1.0")
    server.fault("/simple/foo/", faults.redirect("/simple/foo/"))

    ran = site.mirror()

    assert ran.failed == {"foo": "UnsafeUrl"}
    assert len(server.paths("detail")) == 4


def test_a_silent_host_fails_after_the_timeout(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(timeout=0.3)
    index.release("foo", "1.0", size=5000)
    server.fault("file", faults.silence(5, after=100), times=1)

    ran = site.mirror()

    assert ran.code == 0
    site.check()


def test_stop_on_error_stops_at_the_first_failure(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(stop_on_error="true", workers=1, download_workers=1)
    for number in range(20):
        index.release(f"p{number:02}", "1.0")
    server.fault("/simple/p00/", faults.status(403))

    ran = site.mirror()

    assert ran.code == 4
    assert len(ran.synced) < 5
    assert len(site.todo()) > 15


def test_tasks_that_a_stopped_run_did_not_reach_are_done_by_the_next(
    index: Index, server: IndexServer, make_site: Callable[..., Site]
) -> None:
    """The events are read again, because they say more than names and serials: titles."""
    site, clean = make_site(stop_on_error="true", workers=1, download_workers=1), make_site()
    for number in range(20):
        index.release(f"P{number:02}", "1.0")
    fault = server.fault("/simple/p00/", faults.status(403))
    assert site.mirror().code == 4
    fault.left = 0

    assert site.mirror().code == 0

    clean.mirror()
    assert site.tree() == clean.tree()
    assert site.status == clean.status


def test_a_page_older_than_the_published_one_is_ignored(
    index: Index, server: IndexServer, site: Site
) -> None:
    """Where projects are asked for by name, nothing else says that a page is an old one."""
    site.allow("foo")
    site.configure(api_method="simple")
    index.release("foo", "1.0")
    server.freeze("/simple/foo/")
    old = dict(server.frozen)
    server.thaw()
    index.release("foo", "2.0")
    assert site.mirror().code == 0
    before = site.tree()
    server.frozen = old

    ran = site.mirror("--force-check")

    assert ran.code == 0
    assert server.paths("detail") == ["/simple/foo/"] * 2
    assert site.tree() == before


def test_a_project_that_failed_eight_times_is_tried_once_a_run(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    server.freeze("/simple/foo/")
    index.release("foo", "2.0")
    index._time = lambda: int(site.clock.now().timestamp())
    for _ in range(8):
        site.mirror()
    server.forget()

    site.mirror()

    assert len(server.paths("detail")) == 1
