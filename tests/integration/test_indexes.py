"""Other indexes than PyPI: HTML only, without serials, mirrors of mirrors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support import faults
from tests.support.static_site import Reply, static_site
from tests.support.web_server import web_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site


def test_an_index_that_serves_html_only_is_mirrored(
    index: Index, server: IndexServer, site: Site
) -> None:
    server.speaks_json = False
    server.has_changelog = False
    server.has_serials = False
    index.release("Foo", "1.0", requires_python=">=3.8", sdist=True)
    index.release("bar", "1.0")
    index.yank("bar", "1.0", "broken")

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert site.names() == ["bar", "foo"]
    page = site.page("foo")
    assert page["meta"]["api-version"] == "1.4"
    assert page["versions"] == ["1.0"]
    assert [file["size"] for file in page["files"]] == [300, 300]
    assert page["files"][0]["requires-python"] == ">=3.8"
    assert site.page("bar")["files"][0]["yanked"] == "broken"
    site.check()

    server.forget()
    again = site.mirror()
    assert again.code == 0
    assert again.report["projects"]["unchanged"] == 2
    assert server.paths("file", "sidecar") == []

    index.release("foo", "2.0")
    assert site.mirror().synced == ["foo"]


def test_file_sizes_come_from_the_download_without_legacy_documents(
    index: Index, server: IndexServer, site: Site
) -> None:
    server.speaks_json = server.has_changelog = server.has_serials = server.has_legacy = False
    index.release("foo", "1.0")

    ran = site.mirror()

    assert ran.code == 0
    page = site.page("foo")
    assert page["files"][0]["size"] == 300
    assert "upload-time" not in page["files"][0]
    assert "_last-serial" not in page["meta"]
    assert "SERIAL" not in site.text("web/simple/foo/index.html")
    server.forget()
    site.mirror()
    assert server.paths("file", "sidecar") == []
    site.check()


@pytest.mark.parametrize("etags", [True, False])
def test_an_index_without_serials_is_followed_by_its_pages(
    index: Index, server: IndexServer, site: Site, *, etags: bool
) -> None:
    server.has_changelog = server.has_serials = False
    server.has_etags = etags
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    assert site.status == 0
    before = site.times()
    server.forget()

    ran = site.mirror()
    assert ran.code == 0
    assert ran.report["projects"]["unchanged"] == 2
    assert site.times() == before
    assert server.paths("file", "sidecar") == []

    index.release("foo", "2.0")
    assert site.mirror().synced == ["foo"]
    index.remove_project("bar")
    site.mirror()
    site.clock.advance(minutes=11)
    assert site.mirror().report["projects"]["removed"] == ["bar"]
    site.check()


def test_a_mirror_of_this_mirror_follows_its_serials(
    index: Index, make_site: Callable[..., Site]
) -> None:
    first = make_site()
    for name in ("Foo", "bar", "baz"):
        index.release(name, "1.0", sdist=True)
    index.archive("bar")
    first.mirror()
    with web_server(first.web) as (url, asked):
        second = make_site(master=url)

        ran = second.mirror()

        assert ran.code == 0, ran.log
        assert second.names() == first.names()
        assert second.tree().keys() == first.tree().keys()
        assert second.status == max(p.serial for p in index.projects.values())
        second.check()

        index.release("foo", "2.0")
        first.mirror()
        asked.clear()
        ran = second.mirror()
        assert ran.synced == ["foo"]
        assert [path for path in asked if path.startswith("/simple/")] == [
            "/simple/",
            "/simple/foo/",
        ]
        second.check()


def test_a_mirror_of_a_mirror_is_the_same_mirror(
    index: Index, make_site: Callable[..., Site]
) -> None:
    first = make_site()
    index.release("foo", "1.0", sdist=True)
    index.yank("foo", "1.0", "because")
    first.mirror()
    with web_server(first.web) as (url, _):
        second = make_site(master=url)
        second.mirror()

    assert second.tree() == first.tree()


def test_a_mirror_written_by_an_earlier_release_can_be_mirrored(
    index: Index, server: IndexServer, site: Site
) -> None:
    """Its list has no serials of projects, its pages have theirs as text, and API version 1.1."""
    server.has_changelog = False
    server.list_has_serials = False
    server.fault("detail", faults.edit(_as_earlier_releases_wrote))
    server.fault("detail", faults.header("X-PyPI-Last-Serial", None))
    server.fault("list", faults.header("X-PyPI-Last-Serial", None))
    index.release("foo", "1.0")
    index.release("bar", "1.0")

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert site.names() == ["bar", "foo"]
    assert site.page("foo")["meta"]["_last-serial"] == index.projects["foo"].serial
    site.check()
    server.forget()
    again = site.mirror()
    assert again.report["projects"]["unchanged"] == 2
    assert server.paths("file", "sidecar") == []
    index.release("foo", "2.0")
    assert site.mirror().synced == ["foo"]


def _as_earlier_releases_wrote(body: bytes) -> bytes:
    page = json.loads(body)
    page["meta"] = {"api-version": "1.1", "_last-serial": str(page["meta"]["_last-serial"])}
    for file in page["files"]:
        file["yanked"] = bool(file["yanked"])
        for key in ("provenance", "data-dist-info-metadata"):
            del file[key]
    del page["project-status"]
    return json.dumps(page).encode()


def test_an_index_below_a_path_is_mirrored(
    index: Index, server: IndexServer, make_site: Callable[..., Site]
) -> None:
    first = make_site()
    index.release("foo", "1.0")
    first.mirror()
    below = first.home / "below/pypi"
    below.parent.mkdir()
    first.web.rename(below)
    with web_server(first.home / "below") as (url, _):
        second = make_site(master=f"{url}/pypi/", api_method="simple")
        ran = second.mirror()

    assert ran.code == 0, ran.log
    second.check()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_master_that_moved_is_followed_by_every_kind_of_request(
    index: Index, server: IndexServer, make_site: Callable[..., Site], status: int
) -> None:
    with static_site() as old:
        old.choose = lambda path, _: Reply(b"", location=server.url + path, status=status)
        site = make_site(master=old.url, json=True)
        index.release("foo", "1.0")
        ran = site.mirror()
        assert ran.code == 0, ran.log
        site.check()

        index.release("foo", "2.0")
        server.forget()
        ran = site.mirror()

        assert ran.synced == ["foo"]
        assert {asked.kind for asked in server.asked} >= {"xmlrpc", "detail", "legacy", "file"}
        assert "list" not in {asked.kind for asked in server.asked}
        assert "WARNING" not in ran.log
        site.check()


def test_a_redirect_of_the_changelog_to_a_page_is_no_changelog(
    index: Index, server: IndexServer, make_site: Callable[..., Site]
) -> None:
    with static_site() as old:
        old.choose = lambda path, _: Reply(b"", location=server.url + path, status=303)
        index.release("foo", "1.0")
        site = make_site(master=old.url)
        assert site.mirror().code == 0
        assert server.paths("xmlrpc") == []
        assert site.names() == ["foo"]


def test_a_refusal_after_a_redirect_names_the_new_address(
    index: Index, server: IndexServer, make_site: Callable[..., Site]
) -> None:
    """The login is sent to its own host only."""
    index.release("foo", "1.0")
    server.login = "Basic bWU6c2VjcmV0"
    with static_site("localhost") as old:
        old.choose = lambda path, _: Reply(b"", location=server.url + path)
        url = old.url.replace("://", "://me:secret@")
        ran = make_site(master=url).mirror()

        assert ran.code == 3
        assert f"{server.url}/simple/" in ran.log
        assert "secret" not in ran.log
