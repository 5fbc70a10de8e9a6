"""Parts of a mirror from other moments, records that prove nothing, and times in the future."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site

CATALOGUE = "catalogue.sqlite"
DIFFERENT = "of different moments"


def mark(site: Site) -> int:
    """Return the counter of the mark in the tree."""
    return int(site.text("web/.mirror").split()[1])


def marks_in_catalogue(site: Site) -> str:
    """Return the mark in the catalogue."""
    with closing(sqlite3.connect(site.root / CATALOGUE)) as database:
        (text,) = database.execute("SELECT text FROM marker WHERE key = 'mark'").fetchone()
        return str(text)


def mirrored(index: Index, site: Site, *names: str) -> None:
    """Publish projects and mirror them."""
    for name in names:
        index.release(name, "1.0", sdist=True)
    assert site.mirror().code == 0


# ---------------------------------------------------------------- the mark


def test_each_command_that_changes_something_moves_the_mark(index: Index, site: Site) -> None:
    site.allow("foo", "bar")
    mirrored(index, site, "foo", "bar")
    assert mark(site) == 1
    assert site.mirror().code == 0
    assert site.run("verify").code == 0
    assert mark(site) == 1
    assert f"{site.text('web/.mirror').strip()}" == marks_in_catalogue(site)

    index.release("foo", "2.0")
    site.sync("foo")
    assert mark(site) == 2
    site.allow("foo")
    site.run("delete", "bar")
    assert mark(site) == 3
    site.run("restore", "bar")
    assert mark(site) == 4
    site.ask("plan")
    assert mark(site) == 4
    assert f"{site.text('web/.mirror').strip()}" == marks_in_catalogue(site)
    site.check()


def test_a_tree_of_an_earlier_release_gets_a_mark(index: Index, site: Site) -> None:
    mirrored(index, site, "foo")
    (site.root / "web/.mirror").unlink()
    (site.root / CATALOGUE).unlink()

    ran = site.mirror()

    assert ran.code == 0
    assert DIFFERENT not in ran.log
    assert mark(site) == 1


def test_a_deleted_catalogue_takes_the_mark_of_the_tree(
    index: Index, server: IndexServer, site: Site
) -> None:
    mirrored(index, site, "foo", "bar")
    before = site.text("web/.mirror")
    (site.root / CATALOGUE).unlink()
    server.forget()

    ran = site.mirror()

    assert ran.code == 0
    assert "adopted 2 projects" in ran.log
    assert server.paths("file") == []
    assert site.text("web/.mirror").split()[0] == before.split()[0]
    assert site.text("web/.mirror").strip() == marks_in_catalogue(site)


def test_a_catalogue_of_another_mirror_is_noticed_by_its_name(
    index: Index, make_site: Callable[..., Site]
) -> None:
    """Also if it knows exactly the same projects."""
    ours, theirs = make_site(), make_site()
    mirrored(index, ours, "foo", "bar", "baz")
    index.release("foo", "2.0")
    theirs.mirror()
    shutil.copy(theirs.root / CATALOGUE, ours.root)

    ran = ours.mirror()

    assert ran.code == 0
    assert "its mark is that of another mirror" in ran.log
    assert ours.tree() == theirs.tree()


@pytest.mark.parametrize("command", ["sync", "verify"])
def test_other_commands_leave_the_comparison_to_mirror(
    index: Index, site: Site, command: str
) -> None:
    mirrored(index, site, "foo", "bar")
    shutil.copytree(site.web, site.home / "backup")
    index.release("foo", "2.0")
    site.mirror()
    shutil.rmtree(site.web)
    shutil.copytree(site.home / "backup", site.web)

    ran = site.run(command, *(["bar"] if command == "sync" else []))

    assert DIFFERENT in ran.log
    assert mark(site) == 1
    assert DIFFERENT in site.mirror().log
    assert len(site.filenames("foo")) == 3
    assert DIFFERENT not in site.mirror().log
    site.check()


# ---------------------------------------------------------------- what verify renders


def test_verify_does_not_put_an_older_record_over_a_newer_page(
    index: Index, server: IndexServer, site: Site
) -> None:
    """The catalogue is that of a backup, and the mark with it."""
    mirrored(index, site, "foo", "bar")
    backup = (site.root / CATALOGUE).read_bytes(), site.text("web/.mirror")
    index.release("foo", "2.0")
    site.mirror()
    before = site.tree()
    (site.root / CATALOGUE).write_bytes(backup[0])
    (site.root / "web/.mirror").write_text(backup[1])
    server.forget()

    ran = site.run("verify")

    assert site.tree() == before
    assert server.paths("file") == []
    assert ran.code == 0, ran.log


@pytest.mark.parametrize("offered", [True, False], ids=["offered", "not offered"])
def test_verify_renders_no_page_that_names_a_damaged_file(
    index: Index, site: Site, *, offered: bool
) -> None:
    mirrored(index, site, "foo", "bar")
    (found,) = site.web.rglob("foo-1.0.tar.gz")
    found.write_bytes(b"rotten")
    (site.web / "simple/foo/index.html").unlink()
    if not offered:
        index.remove_file("foo", "foo-1.0.tar.gz")

    ran = site.run("verify")

    if offered:
        assert ran.code == 0, ran.log
        assert (site.web / "simple/foo/index.html").exists()
        site.check()
    else:
        assert ran.code == 8, ran.log
        assert not (site.web / "simple/foo/index.html").exists()
        assert site.mirror().code == 0
        assert site.filenames("foo") == ["foo-1.0-py3-none-any.whl"]
        site.check()


# ---------------------------------------------------------------- times in the future


def test_a_time_in_the_trash_that_is_in_the_future_counts_as_now(index: Index, site: Site) -> None:
    mirrored(index, site, "foo", "bar")
    site.clock.passed += 74 * 365 * 86_400.0  # nothing says that this is wrong
    index.release("foo", "2.0")
    site.configure(reconcile_interval="0")
    index.remove_file("foo", "foo-1.0.tar.gz")
    site.mirror()
    trashed = list((site.root / "removed").rglob("*.tar.gz"))
    assert trashed
    site.clock.passed -= 74 * 365 * 86_400.0
    site.mirror()  # the clock is doubted: it is behind the last run
    site.clock.advance(days=13)
    site.mirror()
    assert trashed[0].exists()
    site.clock.advance(days=15)

    site.mirror()

    assert not trashed[0].exists()
