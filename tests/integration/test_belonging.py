"""A missing tree does not count as empty, and a catalogue of another tree is not used."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.disks import listing

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Ran, Site

MOUNTED = "is the disk mounted?"
FOREIGN = "the catalogue belongs to another tree"
AGAIN = "mirror publishes them again"
CATALOGUE = "catalogue.sqlite"


def fill(index: Index, *names: str) -> None:
    """Publish projects."""
    for name in names:
        index.release(name, "1.0", sdist=True)


def names_of(letter: str, count: int = 8) -> list[str]:
    """Return the names of some projects."""
    return [f"{letter}{number}" for number in range(count)]


def reported(ran: Ran) -> set[str]:
    """Return what a command reported about the tree and its catalogue."""
    return {text for text in (MOUNTED, FOREIGN, AGAIN) if text in ran.log}


# ---------------------------------------------------------------- a tree that does not exist


@pytest.mark.parametrize("area", ["web", "web/simple"])
@pytest.mark.parametrize(
    "command", [["mirror"], ["mirror", "--force-check"], ["sync", "a1"], ["plan"]]
)
def test_a_tree_that_is_not_mounted_is_refused_and_nothing_written(
    index: Index, server: IndexServer, site: Site, area: str, command: list[str]
) -> None:
    fill(index, *names_of("a"))
    site.mirror()
    before = listing(site.root)
    place = site.root / area
    aside = site.home / "unmounted"
    place.rename(aside)
    place.mkdir()
    index.release("a1", "2.0")
    server.forget()

    ran = site.ask(*command)

    assert ran.code == 7
    (error,) = ran.errors()
    assert MOUNTED in error
    assert "the catalogue knows 8 projects" in error
    assert "mirror --rebuild" in error
    assert server.asked == []
    assert list(place.iterdir()) == []
    place.rmdir()
    aside.rename(place)
    # The catalogue records how a run of mirror ended.
    changing = {".", "web", ".partial", ".lock"}
    if command[0] == "mirror":
        changing.add("catalogue.sqlite")
    after = listing(site.root)
    assert {k: v for k, v in after.items() if k not in changing} == {
        k: v for k, v in before.items() if k not in changing
    }

    assert site.mirror().synced == ["a1"]
    site.check()


def test_a_deleted_catalogue_starts_a_tree_over_without_a_download(
    index: Index, server: IndexServer, site: Site
) -> None:
    fill(index, *names_of("a"))
    site.mirror()
    before = site.tree()
    shutil.rmtree(site.web / "simple")
    assert site.mirror().code == 7
    (site.root / CATALOGUE).unlink()
    server.forget()

    ran = site.mirror()

    assert ran.code == 0
    assert server.paths("file", "sidecar") == []
    assert site.tree() == before


def test_a_root_page_alone_is_not_a_tree(index: Index, site: Site) -> None:
    fill(index, *names_of("a"))
    site.mirror()
    for name in names_of("a"):
        shutil.rmtree(site.web / "simple" / name)

    assert reported(site.mirror()) == {MOUNTED}


# ---------------------------------------------------------------- a few pages


@pytest.mark.parametrize("there", [1, 2, 9])
def test_a_deleted_page_is_published_again(
    index: Index, server: IndexServer, site: Site, there: int
) -> None:
    fill(index, *names_of("a", there))
    site.mirror()
    before = site.tree()
    shutil.rmtree(site.web / "simple/a0")
    server.forget()

    ran = site.mirror()

    assert ran.code == 0
    assert reported(ran) == {AGAIN}
    assert server.paths("detail") == ["/simple/a0/"]
    assert server.paths("file", "sidecar") == []
    assert site.tree() == before
    assert reported(site.mirror()) == set()


def test_both_pages_of_two_projects_are_published_again(index: Index, site: Site) -> None:
    fill(index, "foo", "bar")
    site.mirror()
    before = site.tree()
    shutil.rmtree(site.web / "simple")

    ran = site.mirror()

    assert "the pages of bar and 1 other projects do not exist any more" in ran.log
    assert site.tree() == before


def test_sync_leaves_missing_pages_to_mirror(index: Index, server: IndexServer, site: Site) -> None:
    fill(index, *names_of("a", 5))
    site.mirror()
    shutil.rmtree(site.web / "simple/a0")
    server.forget()

    assert site.sync("a3").code == 0
    assert server.paths("detail") == ["/simple/a3/"]

    assert site.mirror().code == 0
    assert site.names() == names_of("a", 5)
    site.check()


def test_a_missing_page_of_a_deselected_project_is_ignored(index: Index, site: Site) -> None:
    fill(index, "foo", "bar", "baz", "qux")
    site.allow("foo", "bar", "baz")
    site.sync("qux")
    site.mirror()
    shutil.rmtree(site.web / "simple/qux")

    ran = site.mirror()

    assert ran.code == 0
    assert reported(ran) == set()


# ---------------------------------------------------------------- another tree's catalogue


@pytest.mark.parametrize("with_state", [False, True], ids=["alone", "with status"])
def test_the_catalogue_of_another_mirror_is_rebuilt_from_the_tree(
    index: Index,
    server: IndexServer,
    make_site: Callable[..., Site],
    with_state: bool,  # noqa: FBT001 - a parameter
) -> None:
    ours, theirs = make_site(), make_site()
    fill(index, *names_of("a"), *names_of("b"))
    ours.allow(*names_of("a"))
    theirs.allow(*names_of("b"))
    ours.mirror()
    index.release("a1", "2.0")
    theirs.mirror()
    before = set(index.files)
    index.release("a2", "2.0")
    shutil.copy(theirs.root / CATALOGUE, ours.root)
    if with_state:
        shutil.copy(theirs.root / "status", ours.root)
    there = set(ours.tree())
    server.forget()

    ran = ours.mirror()

    assert ran.code == 0, ran.log
    assert reported(ran) == {FOREIGN}
    assert "adopted 8 projects" in ran.log
    new = {f.path for f in index.projects["a1"].files.values() if f.version == "2.0"}
    assert set(server.paths("file")) == new | (set(index.files) - before)
    assert there <= set(ours.tree()), "nothing is deleted"
    assert ours.status == index.serial
    clean = make_site()
    clean.allow(*names_of("a"))
    clean.mirror()
    assert ours.tree() == clean.tree()
    assert reported(ours.mirror()) == set()


def test_a_status_beside_a_foreign_catalogue_is_not_trusted(
    index: Index, make_site: Callable[..., Site]
) -> None:
    """It may say more than this tree shows, and a project that fails must hold it back."""
    ours, theirs = make_site(), make_site()
    fill(index, *names_of("a"), *names_of("b"))
    ours.allow(*names_of("a"))
    theirs.allow(*names_of("b"))
    ours.mirror()
    index.release("a1", "2.0")
    first = index.serial
    theirs.mirror()
    for name in (CATALOGUE, "status"):
        shutil.copy(theirs.root / name, ours.root)
    dead = next(f for f in index.projects["a1"].files.values() if f.version == "2.0")
    del index.files[dead.path]

    ran = ours.mirror()

    assert ran.code == 4
    assert "status and todo are not known to be of this tree" in ran.log
    assert ours.status < first


def test_a_plan_with_a_foreign_catalogue_changes_nothing(
    index: Index, make_site: Callable[..., Site]
) -> None:
    ours, theirs = make_site(), make_site()
    fill(index, *names_of("a"), *names_of("b"))
    ours.allow(*names_of("a"))
    theirs.allow(*names_of("b"))
    ours.mirror()
    theirs.mirror()
    shutil.copy(theirs.root / CATALOGUE, ours.root)
    before = listing(ours.root)

    ran = ours.ask("mirror", "--dry-run")

    assert ran.code == 0
    assert reported(ran) == {FOREIGN}
    assert "none had to be downloaded" in ran.out
    assert listing(ours.root) == before


# ---------------------------------------------------------------- what is neither


@pytest.mark.parametrize(
    "options",
    [
        {"hash_index": "true"},
        {"simple_format": "HTML"},
        {"simple_format": "JSON"},
        {"release_files": "false"},
        {"keep_index_versions": 2},
    ],
    ids=str,
)
def test_pages_are_found_where_earlier_options_put_them(
    index: Index, site: Site, options: dict[str, object]
) -> None:
    fill(index, *names_of("a"))
    site.mirror()
    site.configure(**options)

    there = site.mirror()
    assert (there.code, reported(there)) == (0, set())
    site.configure(
        hash_index="false", simple_format="ALL", release_files="true", keep_index_versions=0
    )
    back = site.mirror()
    assert (back.code, reported(back)) == (0, set())


def test_a_mirror_without_selected_projects_has_no_missing_pages(index: Index, site: Site) -> None:
    for name in names_of("a"):
        index.release(name, "1.0", size=5000)
    site.filter(
        """
        [plugins]
        enabled = size_project_metadata
        [size_project_metadata]
        max_package_size = 1 kB
        """
    )
    assert site.mirror().code == 0
    assert site.names() == []

    ran = site.mirror()

    assert (ran.code, reported(ran)) == (0, set())


def test_a_mirror_is_rebuilt_from_what_is_there(index: Index, site: Site) -> None:
    """The way out where the tree was lost, and the catalogue was not."""
    for name in ("a", "b", "c", "d"):
        index.release(name, "1.0")
    assert site.mirror().code == 0
    shutil.rmtree(site.web)
    assert site.mirror().code == 7

    ran = site.mirror("--rebuild")

    assert ran.code == 0, ran.log
    assert site.names() == ["a", "b", "c", "d"]
    site.check()


@pytest.mark.parametrize("command", ["mirror", "plan"])
def test_a_mirror_that_must_exist_is_not_begun(index: Index, site: Site, command: str) -> None:
    index.release("a", "1.0")
    site.configure(must_exist="true")

    ran = site.ask(command)

    assert ran.code == 7
    assert "there is no mirror here, and must-exist = true; is the disk mounted?" in ran.log
    assert not site.root.exists()
    site.configure(must_exist="false")
    assert site.mirror().code == 0
    site.configure(must_exist="true")
    assert site.mirror().code == 0
