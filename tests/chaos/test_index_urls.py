"""Cases 127 to 130: wrong URLs, vague content types, an index that moved, hosts of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import faults
from tests.support.static_site import Reply, static_site

if TYPE_CHECKING:
    from aiohttp.web import Request

    from tests.chaos.case import Case
    from tests.support.server import Answer


@pytest.mark.parametrize("end", ["simple", "pypi", "web"])
@pytest.mark.parametrize("named", [True, False])
def test_case_127_a_wrong_master_removes_nothing(case: Case, end: str, *, named: bool) -> None:
    if named:
        case.site.allow("bar", "foo")
    case.mirrored("bar", "foo")
    right = case.server.url
    case.site.configure(master=f"{right}/{end}")
    before = case.site.tree()
    for _ in range(3):
        case.clock.advance(hours=25)

        ran = case.mirror(exits=3)

        assert f"master may be wrong: try master = {right} (" in ran.log
        assert "max-removals" not in ran.log
        assert case.site.tree() == before
    case.site.configure(master=right)
    case.heals()


def test_case_127_an_index_with_none_of_the_named_projects_is_no_success(case: Case) -> None:
    case.index.release("foo", "1.0")
    case.site.allow("misspelt")
    for _ in range(2):
        assert "master may be wrong" in case.mirror(exits=3).log
    case.site.allow("foo")
    case.heals()


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/plain", "text/json", None])
@pytest.mark.parametrize("json", [True, False])
def test_case_128_a_page_is_read_by_its_content(
    case: Case, kind: str | None, *, json: bool
) -> None:
    case.server.speaks_json = json
    case.index.release("foo", "1.0")
    for where in ("list", "detail"):
        case.fault(where, faults.header("Content-Type", kind))
    case.mirror()
    assert case.site.names() == ["foo"]
    case.heals()


@pytest.mark.parametrize("content", [b"", b"\0", b"{", b"[]", b"<", b"<!--"])
def test_case_128_a_page_that_cannot_be_read_is_requested_as_html(
    case: Case, content: bytes
) -> None:
    async def no_json(request: Request, answer: Answer) -> None:
        if "json" in request.headers["Accept"]:
            await faults.body(content, "application/octet-stream")(request, answer)

    case.index.release("foo", "1.0")
    for where in ("list", "detail"):
        case.fault(where, no_json)
    case.mirror()
    assert case.site.names() == ["foo"]
    assert len(case.asked("detail")) == 2


def test_case_129_every_kind_of_request_follows_the_index_to_its_new_url(case: Case) -> None:
    right = case.server.url
    with static_site() as old:
        old.choose = lambda path, _: Reply(b"", location=right + path, status=308)
        case.site.configure(master=old.url, json=True)
        case.mirrored("foo", "bar")
        case.index.release("foo", "2.0")
        ran = case.mirror()
        assert ran.synced == ["foo"]
        assert case.asked("list") == [], "the changelog was followed"
        case.heals()


def test_case_130_a_file_on_a_host_that_is_not_listed_is_not_requested(case: Case) -> None:
    case.mirrored("foo")
    with static_site("localhost") as other:
        case.server.fault("file", faults.redirect(f"{other.url}/file"))
        case.site.configure(file_hosts="files.example.org")
        case.index.release("foo", "2.0")

        ran = case.mirror(exits=4)

        assert ran.failed == {"foo": "MissingFiles"}
        assert "file-hosts does not list its host" in ran.log
        assert other.asked == []
    case.heals()
