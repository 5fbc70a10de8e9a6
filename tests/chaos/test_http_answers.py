"""Cases 1 to 11: answers that are errors."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from tests.support import faults
from tests.support.server import serving

if TYPE_CHECKING:
    from tests.chaos.case import Case

UNAVAILABLE = [500, 502, 503, 504]


@pytest.mark.parametrize("where", ["list", "xmlrpc"])
def test_case_001_a_request_that_fails_once_is_retried(case: Case, where: str) -> None:
    for code in case.each(UNAVAILABLE):
        case.index.release("foo", f"{code}.0")
        case.clock.advance(hours=25)

        case.recovers(where, faults.status(code))

        assert len(case.asked(where)) >= 2
    case.heals()


def test_case_002_a_failing_index_is_tried_five_times(case: Case) -> None:
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    case.clock.advance(days=2)
    for code in case.each(UNAVAILABLE):
        for where in ("list", "xmlrpc"):
            case.fault(where, faults.status(code))

        ran = case.mirror(exits=3)

        assert f"/simple/ is unavailable: status {code}" in ran.errors()[0]
        assert len(case.asked("list")) == len(case.asked("xmlrpc")) == 5
    case.heals()


def test_case_003_a_page_that_fails_once_is_recovered(case: Case) -> None:
    for code in case.each(UNAVAILABLE):
        for name in ("foo", "bar"):
            case.index.release(name, f"{code}.0")

        case.recovers("detail", faults.status(code), project="foo")
    case.heals()


def test_case_003_a_failing_page_is_requested_in_every_run(case: Case) -> None:
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    for code in case.each(UNAVAILABLE):
        case.fault("detail", faults.status(code), project="foo")

        ran = case.mirror(exits=4)

        assert ran.failed == {"foo": "UnavailableHost"}
        assert ran.report["projects"]["failed"][0]["class"] == "retry"
        assert len(case.asked("detail", of="/foo/")) == 5
    case.heals()


# ---------------------------------------------------------------- Retry-After


def asleep(case: Case, sleepers: int) -> bool:
    """Whether so many tasks sleep for more than a minute."""
    return sum(seconds > 60 for seconds in case.clock.slept) >= sleepers


def test_case_004_no_request_is_sent_to_a_host_before_its_retry_after(case: Case) -> None:
    """Three workers: one gets the answer, the others while they handle a page."""
    for number in range(6):
        case.index.release(f"p{number}", "1.0")
    case.site.configure(workers=3)
    case.clock.may_pass = lambda: asleep(case, 3)
    wait = faults.status(429, Retry_After="77")
    all_asked = faults.held(lambda: len(case.asked("detail")) == 3, wait)
    limited = case.fault("detail", all_asked, times=1, project="p0")
    for name in ("p1", "p2"):
        case.fault("detail", faults.held(lambda: asleep(case, 1)), times=1, project=name)

    case.mirror()

    assert limited.hits == 1
    begun = next(n for n, each in enumerate(case.server.asked) if each.kind == "detail")
    early = [each.path for each in case.server.asked[begun + 3 :] if each.at < 77]
    case.figures.count("G9", len(early))
    assert early == []
    case.clock.may_pass = lambda: True
    case.heals()


def test_case_005_a_date_is_waited_for(case: Case) -> None:
    case.index.release("foo", "1.0")
    date = format_datetime(case.clock.now() + timedelta(seconds=123), usegmt=True)

    case.recovers("detail", faults.status(429, Retry_After=date))

    first, second = case.asked("detail")
    assert second.at - first.at >= 122
    case.heals()


RUBBISH = ["soon", "-5", "", "1.5", "1e3", "\u0663", "Sat, 99 Nov 2026 12:00:00 GMT"]


def test_case_005_garbage_means_the_normal_back_off(case: Case) -> None:
    for number, text in enumerate(case.each(RUBBISH)):
        case.index.release("foo", f"{number}.0")

        case.recovers("detail", faults.status(429, Retry_After=text))

        assert len(case.clock.slept) == number + 1
        assert 0 < case.clock.slept[-1] < 10
    case.heals()


def test_case_005_ten_minutes_are_waited_for(case: Case) -> None:
    case.index.release("foo", "1.0")

    case.recovers("detail", faults.status(429, Retry_After="600"))

    assert case.clock.passed >= 600
    case.heals()


def test_case_005_a_longer_time_ends_the_requests_to_that_host_in_this_run(case: Case) -> None:
    case.mirrored("bar", "foo")
    for name in ("bar", "foo"):
        case.index.release(name, "2.0")
    case.site.configure(workers=1)
    for text in case.each(["601", "1000000000", "9" * 400]):
        case.fault("detail", faults.status(429, Retry_After=text))

        ran = case.mirror(exits=4)

        assert ran.failed == {"bar": "RateLimit", "foo": "RateLimit"}
        assert len(case.asked("detail")) == 1
        assert case.clock.passed < 10
    case.heals()


def test_case_006_only_the_host_that_sent_retry_after_is_paused(case: Case) -> None:
    """Two workers: the file host pauses one, the other continues with the index."""
    for name in ("p0", "p1"):
        case.index.release(name, "1.0")
    case.site.configure(workers=2, json="true")
    with serving(case.index) as files:
        files.time = case.clock.monotonic
        old, new = f'"{case.server.url}/packages'.encode(), f'"{files.url}/packages'.encode()
        case.fault("detail", faults.edit(lambda body: body.replace(old, new)))
        case.fault("detail", faults.held(lambda: asleep(case, 1)), times=1, project="p1")
        files.fault("file", faults.status(503, Retry_After="77"), times=1)
        case.clock.may_pass = lambda: bool(case.asked("legacy", of="/p1/"))

        case.mirror()

        (legacy,) = case.asked("legacy", of="/p1/")
        assert legacy.at < 77
        early = [each.path for each in files.asked[1:] if each.at < 77]
        assert len(files.asked) == 5
        case.figures.count("G9", len(early))
        assert early == []
        case.clock.may_pass = lambda: True
    case.heals()


# ---------------------------------------------------------------- 404


def test_case_007_a_listed_project_without_a_page_fails(case: Case) -> None:
    """The page is requested again after a minute, when no cache has the 404 any more."""
    case.mirrored("foo")
    case.index.release("ghost", "1.0")
    case.index.release("foo", "2.0")
    case.fault("detail", faults.status(404), project="ghost")
    before = case.site.status

    for asked in (2, 4):
        ran = case.mirror(exits=4)
        assert ran.failed == {"ghost": "MissingProject"}
        assert ran.report["projects"]["failed"][0]["class"] == "retry"
        looks = case.asked("detail", of="/ghost/")
        assert len(looks) == asked
        assert looks[-1].at - looks[-2].at >= 60
        assert case.site.status == before

    case.heals()


def test_case_007_a_page_that_is_missing_for_a_moment_is_fetched_in_the_same_run(
    case: Case,
) -> None:
    case.index.release("foo", "1.0")

    case.recovers("detail", faults.status(404))

    case.heals()


def test_case_008_an_index_without_most_of_its_pages_fails_them_and_removes_nothing(
    case: Case,
) -> None:
    names = [f"p{number:02}" for number in range(24)]
    case.mirrored(*names)
    case.site.configure(workers=1, download_workers=1)
    for name in names:
        case.index.release(name, "2.0")
    case.fault("detail", faults.status(404))
    before = case.site.status

    case.mirror(exits=4)

    assert len(case.asked("detail")) == 2 * 24
    assert case.site.status == before
    assert case.site.names() == names
    case.heals()


def test_case_008_an_index_that_lost_everything_in_the_middle_stops_the_run(case: Case) -> None:
    names = [f"p{number:02}" for number in range(24)]
    case.mirrored(*names)
    case.site.configure(workers=1, download_workers=1)
    for name in names:
        case.index.release(name, "2.0")
    case.fault("detail", faults.status(404))
    case.fault("xmlrpc", faults.status(404), skip=2)

    ran = case.mirror(exits=3)

    assert "the pages of 20 projects in a row could not be fetched" in ran.log
    assert case.site.names() == names
    case.heals()


BAD_FILES = {
    "404": faults.status(404),
    "410": faults.status(410),
    "wrong bytes": faults.wrong_bytes(),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_case_009_a_missing_file_holds_its_page_for_one_run_and_is_omitted_later(
    case: Case, kind: str
) -> None:
    """A missing file must neither go unnoticed nor delay a release."""
    case.mirrored("foo", "bar")
    (dead,) = case.index.release("foo", "2.0")
    (good,) = case.index.release("foo", "3.0")
    case.index.release("bar", "2.0")
    case.fault(dead.path, BAD_FILES[kind])

    first = case.mirror(exits=4)
    assert first.failed == {"foo": "MissingFiles"}
    assert case.site.filenames("foo") == ["foo-1.0-py3-none-any.whl"]
    assert (case.site.web / good.path.lstrip("/")).read_bytes() == good.content

    for _ in range(2):
        later = case.mirror(exits=4)
        assert later.failed == {"foo": "MissingFiles"}
        assert case.site.filenames("foo") == ["foo-1.0-py3-none-any.whl", good.filename]

    case.heals()


def test_case_010_a_file_is_published_without_missing_core_metadata(case: Case) -> None:
    (file,) = case.index.release("foo", "1.0")
    for code in case.each([404, 410, 500]):
        case.fault("sidecar", faults.status(code))

        ran = case.mirror(bare=[file.filename])

        assert ran.report["files"]["core_metadata_missing"] == 1
        assert "WARNING: foo: 1 file(s) without core metadata" in ran.log
    case.heals()


def test_case_011_a_refused_page_is_requested_once_in_a_run(case: Case) -> None:
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    for code in case.each([401, 403, 451]):
        case.fault("detail", faults.status(code), project="foo")

        ran = case.mirror(exits=4)

        assert ran.failed == {"foo": "UnauthorizedRequest" if code == 401 else "RefusedRequest"}
        assert ran.report["projects"]["failed"][0]["class"] == "rejected"
        assert f"status {code}" in ran.errors()[0]
        assert len(case.asked("detail", of="/foo/")) == 1
    case.heals()
