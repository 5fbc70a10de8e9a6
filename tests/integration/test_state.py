"""``status``, ``todo``, ``generation`` and the catalogue: what runs write and how they read it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from tests.support import faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site


def test_the_state_files_have_their_historic_formats(index: Index, site: Site) -> None:
    index.release("foo", "1.0")

    site.mirror()

    assert site.text("status") == str(index.serial)
    assert site.text("generation") == "5"
    assert site.text("web/last-modified") == "20261121T12:00:00\n"
    assert site.text(".lock") == ""
    assert not (site.root / "todo").exists()


def test_todo_names_pending_projects(index: Index, server: IndexServer, site: Site) -> None:
    index.release("Foo_Bar", "1.0")
    index.release("baz", "1.0")
    server.fault("/simple/foo-bar/", faults.status(403))

    site.mirror()

    serial = index.projects["foo-bar"].serial
    assert site.text("todo") == f"{index.serial}\nfoo-bar {serial}"


def test_status_stays_before_the_first_change_of_a_project_that_failed(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    index.release("bar", "1.0")
    reached = index.serial
    index.release("foo", "2.0")
    index.release("foo", "3.0")
    index.release("baz", "1.0")
    server.fault("/simple/foo/", faults.status(403))

    ran = site.mirror()

    assert (ran.code, ran.synced) == (4, ["bar", "baz"])
    assert site.status == reached


def test_a_todo_of_an_earlier_release_is_resumed(
    index: Index, server: IndexServer, site: Site
) -> None:
    """The target first, then raw names; everything else up to the target is done."""
    index.release("Done", "1.0")
    site.mirror()
    index.release("Left_Over", "1.0")
    target = index.serial
    (site.root / "todo").write_text(f"{target}\nLeft_Over {target}")
    index.release("newer", "1.0")
    server.forget()

    ran = site.mirror()

    assert ran.code == 0
    assert ran.synced == ["left-over", "newer"]
    assert site.status == index.serial
    assert site.todo() == []


def test_new_changes_are_read_even_while_a_todo_exists(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("bad", "1.0")
    server.fault("/simple/bad/", faults.status(403))
    site.mirror()
    index.release("fine", "1.0")

    ran = site.mirror()

    assert ran.synced == ["fine"]


@pytest.mark.parametrize("text", ["", "None\nfoo 3", "12\nfoo", "12\nfoo bar baz", "x\n"])
def test_an_invalid_todo_is_reported_and_nothing_is_lost(
    index: Index, site: Site, text: str
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    index.release("bar", "1.0")
    (site.root / "todo").write_text(text)

    ran = site.mirror()

    assert ran.code == 0
    assert "todo: " in ran.log
    assert ran.synced == ["bar"]


@pytest.mark.parametrize("text", ["", "garbage", "-3", "1.5"])
def test_an_invalid_status_checks_every_page_and_downloads_nothing(
    index: Index, server: IndexServer, site: Site, text: str
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    (site.root / "status").write_text(text)
    server.forget()

    ran = site.mirror()

    assert ran.code == 0
    assert server.conditional() == ["/simple/foo/"]
    assert server.paths("file", "sidecar") == []
    assert site.status == index.serial


def test_a_missing_status_checks_every_page_and_downloads_nothing(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    (site.root / "status").unlink()
    server.forget()

    ran = site.mirror()

    assert ran.code == 0
    assert server.conditional() == ["/simple/foo/"]
    assert server.paths("file", "sidecar") == []
    assert site.status == index.serial


@pytest.mark.parametrize("text", ["2", "3", "4", "four"])
def test_an_old_generation_compares_everything(index: Index, site: Site, text: str) -> None:
    index.release("foo", "1.0")
    site.mirror()
    (site.root / "generation").write_text(text)

    ran = site.mirror()

    assert ran.code == 0
    assert site.text("generation") == "5"
    assert site.status == index.serial


def test_a_tree_of_a_newer_release_is_refused(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    site.mirror()
    before = site.tree()
    (site.root / "generation").write_text("6")

    ran = site.mirror()

    assert ran.code == 2
    assert "newer release" in ran.log
    assert site.text("generation") == "6"
    assert site.tree() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no database" * 1000),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
    ],
    ids=["deleted", "empty", "garbage", "cut"],
)
def test_a_lost_catalogue_is_rebuilt_from_the_tree(
    index: Index, server: IndexServer, site: Site, damage: Callable[..., None]
) -> None:
    index.release("foo", "1.0", sdist=True)
    index.release("bar", "1.0")
    site.mirror()
    before = site.times()
    damage(site.root / "catalogue.sqlite")
    server.forget()

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert server.paths("file", "sidecar", "detail") == []
    assert site.times() == before
    assert "adopted 2 projects" in ran.log
    with sqlite3.connect(site.root / "catalogue.sqlite") as database:
        assert database.execute("SELECT count(*) FROM file").fetchone() == (3,)


def test_sync_changes_neither_status_nor_todo(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    index.release("bad", "1.0")
    bad = server.fault("/simple/bad/", faults.status(403))
    site.mirror()
    status, todo = site.status, site.todo()
    index.release("foo", "2.0")
    index.release("other", "1.0")

    ran = site.sync("foo", "Other")

    assert ran.code == 0
    assert ran.synced == ["foo", "other"]
    assert site.names() == ["foo", "other"]
    assert (site.status, site.todo()) == (status, todo)

    failed = site.sync("bad")
    assert failed.code == 4
    assert (site.status, site.todo()) == (status, todo)
    bad.left = 0
    assert site.mirror().synced == ["bad"]


def test_sync_can_leave_the_root_page_to_the_next_run(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    site.mirror()
    index.release("bar", "1.0")

    site.sync("bar", "--skip-simple-root")
    assert site.names() == ["foo"]

    site.mirror()
    assert site.names() == ["bar", "foo"]


def test_sync_fetches_projects_that_the_filters_do_not_select(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.allow("foo")

    ran = site.sync("bar")

    assert ran.code == 0
    assert site.names() == ["bar"]


def test_sync_before_mirror_gives_the_tree_of_mirror_alone(
    index: Index, make_site: Callable[..., Site]
) -> None:
    for name in ("Foo", "bar", "Baz_Qux"):
        index.release(name, "1.0")
    index.archive("bar")
    first, second = make_site(), make_site()
    first.sync("foo", "baz-qux")
    first.mirror()
    second.mirror()

    assert first.tree() == second.tree()
    assert first.status == second.status


def test_a_project_that_failed_keeps_its_title_when_it_is_synced_by_name(
    index: Index, server: IndexServer, make_site: Callable[..., Site]
) -> None:
    (dead,) = index.release("Foo_Bar", "1.0")
    site, clean = make_site(), make_site()
    fault = server.fault(dead.filename, faults.status(404))
    assert site.mirror().code == 4
    assert site.sync("foo-bar").code == 4
    fault.left = 0

    assert site.mirror().code == 0

    clean.mirror()
    assert site.tree() == clean.tree()


def test_the_tree_does_not_depend_on_the_number_of_runs(
    index: Index, make_site: Callable[..., Site]
) -> None:
    often, once = make_site(), make_site(workers=1, download_workers=1)
    index.release("Foo", "1.0")
    often.mirror()
    index.release("bar", "1.0", sdist=True)
    often.mirror()
    index.yank("Foo", "1.0", "it is broken")
    index.release("gone", "1.0")
    often.mirror()
    index.remove_project("gone")
    often.mirror()
    index.release("Foo", "2.0")
    often.mirror()
    once.mirror()

    assert often.tree() == once.tree()
    assert often.status == once.status == index.serial
