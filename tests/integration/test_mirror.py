"""The main job: a first run, a run with changes, a run without any."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site


def test_a_first_run_mirrors_everything(index: Index, site: Site) -> None:
    index.release("Foo", "1.0", sdist=True)
    index.release("Foo", "2.0")
    index.release("bar_baz", "0.1")

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert ran.synced == ["bar-baz", "foo"]
    assert site.names() == ["bar-baz", "foo"]
    assert site.status == index.serial
    assert site.todo() == []
    assert site.text("generation") == "5"
    assert site.leftovers() == []
    site.check()


def test_a_run_with_nothing_to_do_sends_one_request_and_writes_nothing(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    before = site.times()
    server.forget()

    ran = site.mirror()

    assert ran.code == 0
    assert "none had to be downloaded" in ran.out
    assert [asked.kind for asked in server.asked] == ["xmlrpc"]
    assert site.times() == before


def test_only_changed_projects_are_requested(index: Index, server: IndexServer, site: Site) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    server.forget()
    index.release("foo", "2.0")

    ran = site.mirror()

    assert ran.synced == ["foo"]
    assert server.paths("list", "detail") == ["/simple/foo/"]
    assert len(server.paths("file")) == 1
    assert site.filenames("foo") == ["foo-1.0-py3-none-any.whl", "foo-2.0-py3-none-any.whl"]
    assert site.status == index.serial
    site.check()
