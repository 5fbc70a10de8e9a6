"""Cases 1 to 11: answers that are errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import faults

if TYPE_CHECKING:
    from tests.chaos.case import Case

UNAVAILABLE = [500, 502, 503, 504]


@pytest.mark.parametrize("code", UNAVAILABLE)
@pytest.mark.parametrize("where", ["list", "xmlrpc"])
def test_case_001_an_index_that_fails_once_is_asked_again(
    case: Case, where: str, code: int
) -> None:
    case.index.release("foo", "1.0")

    case.recovers(where, faults.status(code))

    assert len(case.asked(where)) == 2
    case.heals()


@pytest.mark.parametrize("code", UNAVAILABLE)
def test_case_002_an_index_that_fails_for_ever_is_left_after_five_tries(
    case: Case, code: int
) -> None:
    case.mirrored("foo")
    case.index.release("foo", "2.0")
    for where in ("list", "xmlrpc"):
        case.fault(where, faults.status(code))
    case.clock.advance(days=2)

    ran = case.mirror(exits=3)

    assert f"/simple/ is unavailable: status {code}" in ran.errors()[0]
    assert len(case.asked("list")) == len(case.asked("xmlrpc")) == 5
    case.heals()


@pytest.mark.parametrize("code", UNAVAILABLE)
def test_case_003_a_page_that_fails_once_is_recovered(case: Case, code: int) -> None:
    for name in ("foo", "bar"):
        case.index.release(name, "1.0")

    case.recovers("detail", faults.status(code), project="foo")

    case.heals()


@pytest.mark.parametrize("code", UNAVAILABLE)
def test_case_003_a_page_that_fails_for_ever_is_asked_for_in_every_run(
    case: Case, code: int
) -> None:
    case.mirrored("foo", "bar")
    for name in ("foo", "bar"):
        case.index.release(name, "2.0")
    case.fault("detail", faults.status(code), project="foo")

    for tries in (5, 10):
        ran = case.mirror(exits=4)
        assert ran.failed == {"foo": "Unavailable"}
        assert ran.report["projects"]["failed"][0]["class"] == "retry"
        assert len(case.asked("detail", of="/foo/")) == tries

    case.heals()
