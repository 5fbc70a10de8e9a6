"""``restore``: brings back trashed projects as they were, and nothing else."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from humanfriendly import format_size

from tests.support.deletions import NEXT_COMMANDS, area_of, block, listed
from tests.support.disks import listing
from tests.support.kills import reader
from tests.support.steps import StepWorld, killed_at_each_step

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.support.index import File, Index
    from tests.support.server import IndexServer
    from tests.support.site import Site


@pytest.fixture
def filled(index: Index, site: Site) -> Site:
    """Return a mirror of two projects."""
    index.release("Foo_Bar", "1.0", sdist=True, requires_python=">=3.8")
    index.release("Foo_Bar", "2.0")
    index.yank("Foo_Bar", "1.0", "it is <broken>")
    index.release("baz", "1.0")
    assert site.mirror().code == 0
    return site


def delete(site: Site, *names: str) -> None:
    """Delete projects that the filters select."""
    assert site.run("delete", "--until-next-change", *names).code == 0


def trash_of(site: Site) -> list[str]:
    """Return the paths in the trash."""
    removed = site.root / "removed"
    return sorted(str(p.relative_to(removed)) for p in removed.rglob("*") if not p.is_dir())


def first_file(index: Index) -> File:
    """Return the first file of the deleted project."""
    return next(iter(index.projects["foo-bar"].files.values()))


# ---------------------------------------------------------------- complete projects


OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "documents": {"json": "true"},
    "hashed": {"hash_index": "true"},
    "html": {"simple_format": "HTML"},
    "json": {"simple_format": "JSON"},
    "another digest": {"digest_name": "blake2b"},
    "another root": {"root_uri": "https://files.example.org/mirror"},
    "no core metadata": {"core_metadata": "false"},
    "all": {"json": "true", "hash_index": "true", "root_uri": "https://files.example.org"},
}


@pytest.mark.parametrize("options", OPTIONS)
def test_a_deleted_project_is_restored_byte_for_byte(
    index: Index, server: IndexServer, filled: Site, options: str
) -> None:
    filled.configure(**OPTIONS[options])
    filled.mirror()
    before = filled.tree()
    delete(filled, "foo-bar")
    assert filled.tree() != before
    server.forget()

    ran = filled.run("restore", "foo.BAR")

    assert ran.code == 0, ran.log
    assert filled.tree() == before
    assert trash_of(filled) == []
    assert ran.report["projects"]["restored"] == ["foo-bar"]
    assert "Restored: foo-bar.\n" in ran.out
    assert server.asked == [], "no request was sent"
    times = filled.times()
    assert filled.mirror().code == 0
    assert server.paths("file", "sidecar") == []
    assert filled.tree() == before
    assert filled.times() == times, "the next run has nothing to do"


def test_restored_files_are_moved_and_not_copied(index: Index, filled: Site) -> None:
    before = {k: v for k, v in filled.times().items() if k.startswith("packages/")}
    delete(filled, "foo-bar")

    filled.run("restore", "foo-bar")

    assert {k: v for k, v in filled.times().items() if k.startswith("packages/")} == before


def test_page_versions_stay_in_the_trash_and_the_page_is_restored(
    index: Index, filled: Site
) -> None:
    filled.configure(keep_index_versions=2)
    index.release("foo-bar", "3.0")
    filled.mirror()
    before = filled.page("foo-bar")
    delete(filled, "foo-bar")
    filled.clock.advance(minutes=1)

    assert filled.run("restore", "foo-bar").code == 0

    assert filled.page("foo-bar") == before
    assert len(trash_of(filled)) == 3
    assert all(path.startswith("simple/foo-bar/versions/") for path in trash_of(filled))
    filled.check()


def test_a_project_that_cannot_be_restored_is_a_failure_and_the_others_are_restored(
    filled: Site,
) -> None:
    before = filled.tree()
    delete(filled, "foo-bar", "baz")

    ran = filled.run("restore", "nope", "foo-bar", "baz", "Foo.Bar")

    assert ran.code == ran.report["exit_code"] == 4
    assert ran.failed == {"nope": "UnrestorableProject"}
    [line] = ran.errors()
    assert "ERROR: nope cannot be restored: it has no page in removed/ (" in line
    assert filled.tree() == before


def test_restoring_a_mirrored_project_is_a_failure_and_changes_nothing(filled: Site) -> None:
    before = filled.times()

    ran = filled.run("restore", "baz")

    assert ran.code == 4
    assert "baz cannot be restored: it is in the mirror already" in ran.log
    assert filled.times() == before


def test_an_unreadable_page_in_the_tree_is_not_overwritten(filled: Site) -> None:
    delete(filled, "foo-bar")
    page = filled.web / "simple/foo-bar/index.html"
    page.parent.mkdir()
    page.write_text("an operator wrote it")

    assert filled.run("restore", "foo-bar").code == 4

    assert page.read_text() == "an operator wrote it"


@pytest.mark.parametrize("name", ["", "..", "../foo-bar", "*"])
def test_an_invalid_name_is_a_usage_error(filled: Site, name: str) -> None:
    delete(filled, "foo-bar")
    before = listing(filled.home)

    assert filled.ask("restore", "foo-bar", name).code == 2

    assert listing(filled.home) == before


def test_a_removed_project_is_restored_without_a_reachable_index(
    index: Index, filled: Site
) -> None:
    before = {k: v for k, v in filled.tree().items() if "foo" in k}
    index.remove_project("foo-bar")
    filled.mirror()
    filled.configure(master="http://127.0.0.1:9")

    assert filled.run("restore", "foo-bar").code == 0

    assert {k: v for k, v in filled.tree().items() if "foo" in k} == before
    assert filled.names() == ["baz", "foo-bar"]


def test_the_diff_file_names_what_was_restored(filled: Site) -> None:
    delete(filled, "foo-bar")
    filled.configure(diff_file=filled.home / "diff")

    filled.run("restore", "foo-bar")

    changed = (filled.home / "diff").read_text().splitlines()
    assert f"{filled.web}/simple/foo-bar/index.html" in changed
    assert len([line for line in changed if "/packages/" in line]) == 5


# ---------------------------------------------------------------- the next run of mirror


def test_mirror_updates_a_restored_project(index: Index, server: IndexServer, filled: Site) -> None:
    delete(filled, "foo-bar")
    filled.run("restore", "foo-bar")
    index.release("foo-bar", "3.0")
    server.forget()

    assert filled.mirror().synced == ["foo-bar"]

    assert len(filled.filenames("foo-bar")) == 4
    assert len(server.paths("file")) == 1


def test_mirror_finds_changes_that_were_made_while_the_project_was_deleted(
    index: Index, filled: Site
) -> None:
    """Earlier runs have read and ignored these events."""
    block(filled, "foo-bar")
    filled.run("delete", "foo-bar")
    index.release("foo-bar", "3.0")
    filled.mirror()
    filled.run("restore", "foo-bar")
    assert len(filled.filenames("foo-bar")) == 3
    filled.filter("")

    assert filled.mirror().code == 0

    assert len(filled.filenames("foo-bar")) == 4
    filled.check()


def test_mirror_removes_a_restored_project_that_the_index_lacks(index: Index, filled: Site) -> None:
    index.remove_project("foo-bar")
    filled.mirror()
    filled.run("restore", "foo-bar")

    ran = filled.mirror()
    assert "foo-bar seems to be removed" in ran.log
    assert "foo-bar" in filled.names(), "a second look decides"
    filled.clock.advance(minutes=11)
    filled.mirror()

    assert filled.names() == ["baz"]
    assert filled.run("restore", "foo-bar").code == 0, "it can be restored again"


def test_with_removed_projects_keep_a_restored_project_that_the_index_lacks_stays(
    index: Index, filled: Site
) -> None:
    index.remove_project("foo-bar")
    filled.mirror()
    filled.configure(removed_projects="keep")
    filled.run("restore", "foo-bar")
    before = filled.tree()

    for _ in range(4):
        assert filled.mirror().code == 0
        filled.clock.advance(days=1.1)

    assert filled.tree() == before


def test_mirror_does_not_change_a_restored_project_that_is_not_selected(
    index: Index, filled: Site
) -> None:
    block(filled, "foo-bar")
    filled.mirror()
    assert filled.names() == ["baz"]

    assert filled.run("restore", "foo-bar").code == 0

    before = {k: v for k, v in filled.tree().items() if "foo" in k}
    index.release("foo-bar", "3.0")
    index.release("baz", "2.0")
    for _ in range(3):
        assert filled.mirror().code == 0
        filled.clock.advance(days=1.1)
    assert filled.names() == ["baz", "foo-bar"]
    assert {k: v for k, v in filled.tree().items() if "foo" in k} == before
    assert filled.run("delete", "foo-bar").code == 0, "it can be deleted by name"


def test_mirror_removes_a_restored_project_that_the_page_filters_exclude(
    index: Index, filled: Site
) -> None:
    size = "[plugins]\nenabled = size_project_metadata\n"
    filled.filter(f"{size}[size_project_metadata]\nmax_package_size = 500")
    filled.mirror()
    assert filled.names() == ["baz"]
    assert filled.run("restore", "foo-bar").code == 0
    assert filled.names() == ["baz", "foo-bar"]

    assert filled.mirror().report["projects"]["removed"] == ["foo-bar"]

    assert filled.names() == ["baz"]


# ---------------------------------------------------------------- missing files


def test_a_missing_file_is_reported_and_not_listed_until_mirror_downloads_it(
    index: Index, server: IndexServer, filled: Site
) -> None:
    before = filled.tree()
    delete(filled, "foo-bar")
    file = first_file(index)
    (filled.root / "removed" / file.path.lstrip("/")).unlink()

    ran = filled.run("restore", "foo-bar")

    assert ran.code == 0
    text = f"foo-bar is restored without missing files: {file.filename} ("
    assert text in ran.log
    assert file.filename not in filled.filenames("foo-bar")
    assert len(filled.filenames("foo-bar")) == 2
    filled.check()
    server.forget()
    filled.mirror()
    assert server.paths("file") == [file.path]
    assert filled.tree() == before


def test_at_most_ten_missing_files_are_named(index: Index, site: Site) -> None:
    for number in range(13):
        index.release("foo", f"{number}.0", metadata=False)
    site.mirror()
    delete(site, "foo")
    for path in sorted((site.root / "removed").rglob("*.whl"))[:12]:
        path.unlink()

    ran = site.run("restore", "foo")

    assert ran.code == 0
    [line] = [line for line in ran.log.splitlines() if "WARNING" in line]
    assert " and 2 more (" in line
    assert len(site.filenames("foo")) == 1


@pytest.mark.parametrize("damage", [b"", b"x" * 300], ids=["cut", "other bytes"])
def test_a_damaged_file_is_not_restored(index: Index, filled: Site, damage: bytes) -> None:
    delete(filled, "foo-bar")
    file = first_file(index)
    (filled.root / "removed" / file.path.lstrip("/")).write_bytes(damage)

    ran = filled.run("restore", "foo-bar")

    assert ran.code == 0
    assert file.filename in ran.log
    assert area_of(filled, file) == "removed", "until the grace time is over"
    filled.check()


def test_missing_core_metadata_is_not_advertised(index: Index, filled: Site) -> None:
    delete(filled, "foo-bar")
    file = first_file(index)
    (filled.root / "removed" / f"{file.path.lstrip('/')}.metadata").write_text("not what it was")

    ran = filled.run("restore", "foo-bar")

    assert ran.code == 0
    assert "foo-bar: 1 file(s) without core metadata" in ran.log
    entries = {each["filename"]: each for each in filled.page("foo-bar")["files"]}
    assert "core-metadata" not in entries[file.filename]
    assert len([each for each in entries.values() if each.get("core-metadata")]) == 1
    filled.check()


def test_a_project_without_any_file_left_is_not_restored(index: Index, filled: Site) -> None:
    delete(filled, "foo-bar")
    for path in (filled.root / "removed/packages").rglob("*"):
        if path.is_file():
            path.unlink()
    before = listing(filled.root)

    ran = filled.run("restore", "foo-bar")

    assert ran.code == 4
    assert "foo-bar cannot be restored: none of the files that its page lists is left" in ran.log
    after = listing(filled.root)
    assert before.keys() == after.keys()
    assert {k for k in before if before[k] != after[k]} <= {".", ".partial", "generation"}


def test_a_project_cannot_be_restored_after_the_grace_time(filled: Site) -> None:
    delete(filled, "foo-bar")
    filled.clock.advance(days=15)
    filled.mirror()

    assert filled.run("restore", "foo-bar").code == 4


def test_a_file_that_is_in_the_served_tree_already_is_used(index: Index, filled: Site) -> None:
    before = filled.tree()
    delete(filled, "foo-bar")
    file = first_file(index)
    place = filled.web / file.path.lstrip("/")
    place.parent.mkdir(parents=True)
    (filled.root / "removed" / file.path.lstrip("/")).rename(place)

    ran = filled.run("restore", "foo-bar")

    assert ran.code == 0
    assert filled.tree() == before


def test_a_project_whose_page_lists_no_files_is_restored(index: Index, site: Site) -> None:
    index.release("evil", "1.0")
    index.release("baz", "1.0")
    site.mirror()
    index.quarantine("evil")
    site.mirror()
    before = site.tree()
    assert site.page("evil")["files"] == []
    delete(site, "evil")

    assert site.run("restore", "evil").code == 0

    assert site.tree() == before


def test_a_project_is_restored_without_a_catalogue(filled: Site) -> None:
    before = filled.tree()
    delete(filled, "foo-bar")
    (filled.root / "catalogue.sqlite").unlink()

    assert filled.run("restore", "foo-bar").code == 0

    assert filled.tree() == before
    assert trash_of(filled) == []


# ---------------------------------------------------------------- the choice of the page


def test_the_html_page_is_used_if_the_json_page_is_invalid(index: Index, filled: Site) -> None:
    delete(filled, "foo-bar")
    page = filled.root / "removed/simple/foo-bar/index.v1_json"
    page.write_text("{ this is not a page")

    assert filled.run("restore", "foo-bar").code == 0

    assert len(filled.filenames("foo-bar")) == 3
    assert "Links for Foo_Bar" in filled.text("web/simple/foo-bar/index.html")
    filled.check()


def test_a_project_without_a_valid_page_is_not_restored(filled: Site) -> None:
    delete(filled, "foo-bar")
    for page in (filled.root / "removed/simple/foo-bar").iterdir():
        page.write_text("{ this is not a page")

    ran = filled.run("restore", "foo-bar")

    assert ran.code == 4
    assert "foo-bar cannot be restored: removed/simple/foo-bar/index.v1_" in ran.log
    assert "is not a page of it: it is" in ran.log
    assert filled.names() == ["baz"]


def test_the_page_that_was_trashed_last_is_used(index: Index, filled: Site) -> None:
    """An older JSON page may be left from before pages were published in HTML only."""
    delete(filled, "foo-bar")
    old = (filled.root / "removed/simple/foo-bar/index.v1_json").read_bytes()
    filled.run("restore", "foo-bar")
    filled.configure(simple_format="HTML")
    index.release("foo-bar", "3.0")
    filled.mirror()
    before = filled.tree()
    filled.clock.advance(hours=1)
    delete(filled, "foo-bar")
    (filled.root / "removed/simple/foo-bar/index.v1_json").write_bytes(old)

    assert filled.run("restore", "foo-bar").code == 0

    assert filled.tree() == before


def test_a_page_published_under_other_options_is_rendered_under_the_current_ones(
    index: Index, filled: Site
) -> None:
    delete(filled, "foo-bar")
    filled.configure(hash_index="true", simple_format="JSON")

    assert filled.run("restore", "foo-bar").code == 0

    assert (filled.web / "simple/f/foo-bar/index.v1_json").exists()
    assert not (filled.web / "simple/foo-bar").exists()
    assert not (filled.web / "simple/f/foo-bar/index.html").exists()
    filled.check()


def test_without_release_files_restored_pages_keep_their_urls(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(release_files="false")
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    before = site.tree()
    assert server.url in site.text("web/simple/foo/index.html")
    delete(site, "foo")

    assert site.run("restore", "foo").code == 0

    assert site.tree() == before


def test_a_page_that_links_to_files_of_the_mirror_is_refused_without_release_files(
    filled: Site,
) -> None:
    delete(filled, "foo-bar")
    filled.configure(release_files="false")

    ran = filled.run("restore", "foo-bar")

    assert ran.code == 4
    assert "its page links to files of this mirror, and release-files is off" in ran.log


def test_a_page_without_the_configured_digest_is_refused_without_release_files(
    index: Index, site: Site
) -> None:
    site.configure(release_files="false")
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    delete(site, "foo")
    site.configure(digest_name="md5")

    ran = site.run("restore", "foo")

    assert ran.code == 4
    assert "foo cannot be restored: its page has no md5 digests" in ran.log


# ---------------------------------------------------------------- hostile pages and links


HOSTILE_URLS = [
    "//packages/../../../outside-1.0.tar.gz",
    "../../packages/..%2f..%2f..%2foutside-1.0.tar.gz",
    "../../../../../../etc/outside-1.0.tar.gz",
    "file:///etc/hostname",
    "../../json/baz",
]


@pytest.mark.parametrize("url", HOSTILE_URLS)
def test_an_edited_page_cannot_restore_anything_outside_the_project(
    index: Index, filled: Site, url: str
) -> None:
    outside = filled.home / "outside-1.0.tar.gz"
    outside.write_text("not ours")
    delete(filled, "foo-bar")
    path = filled.root / "removed/simple/foo-bar/index.v1_json"
    page = json.loads(path.read_text())
    page["files"][0] |= {"url": url, "filename": url.rpartition("/")[2]}
    page["files"][1]["yanked"] = "<script>alert(1)</script>"
    path.write_text(json.dumps(page))
    before = {k: v for k, v in filled.tree().items() if "simple/" not in k}

    ran = filled.run("restore", "foo-bar")

    assert ran.code == 0, ran.log
    assert re.search("foo-bar is restored without (1 rejected file|missing files)", ran.log)
    assert outside.read_text() == "not ours"
    assert before.items() <= filled.tree().items()
    assert len(filled.filenames("foo-bar")) == 2
    assert "<script>" not in filled.text("web/simple/foo-bar/index.html")
    filled.check()


def test_a_page_of_another_project_is_not_used(filled: Site) -> None:
    delete(filled, "foo-bar")
    for page in (filled.root / "removed/simple/foo-bar").iterdir():
        page.write_bytes((filled.web / "simple/baz" / page.name).read_bytes())

    ran = filled.run("restore", "foo-bar")

    assert ran.code == 4
    assert filled.names() == ["baz"]


@pytest.mark.parametrize("text", ["", "[]", '{"info": {"name": "baz"}, "releases": {}}', "{}"])
def test_an_invalid_or_foreign_document_is_not_restored(filled: Site, text: str) -> None:
    filled.configure(json="true")
    filled.mirror()
    delete(filled, "foo-bar")
    for path in ("json/foo-bar", "pypi/foo-bar/json"):
        (filled.root / "removed" / path).write_text(text)

    assert filled.run("restore", "foo-bar").code == 0

    assert not (filled.web / "json/foo-bar").exists()
    assert filled.names() == ["baz", "foo-bar"]


@pytest.mark.parametrize("what", ["page", "document", "file"])
def test_a_link_in_the_trash_is_not_followed_out_of_the_mirror(
    index: Index, filled: Site, what: str
) -> None:
    filled.configure(json="true")
    filled.mirror()
    delete(filled, "foo-bar")
    outside = filled.home / "outside"
    outside.mkdir()
    file = first_file(index)
    places = {
        "page": ["simple/foo-bar/index.v1_json"],
        "document": ["json/foo-bar", "pypi/foo-bar/json"],
        "file": [file.path.lstrip("/")],
    }
    for number, place in enumerate(places[what]):
        at = filled.root / "removed" / place
        at.rename(outside / str(number))
        at.symlink_to(outside / str(number))
    before = listing(outside)

    ran = filled.run("restore", "foo-bar")

    assert ran.code == 0, ran.log
    assert listing(outside) == before
    assert (file.filename in filled.filenames("foo-bar")) is (what != "file")
    assert (filled.web / "json/foo-bar").exists() is (what != "document")
    assert not [path for path in filled.web.rglob("*") if path.is_symlink()]
    filled.check()


def test_a_trashed_file_behind_a_linked_directory_is_missing(index: Index, filled: Site) -> None:
    delete(filled, "foo-bar")
    outside = filled.home / "outside"
    outside.mkdir()
    file = first_file(index)
    above = (filled.root / "removed" / file.path.lstrip("/")).parent
    above.rename(outside / "moved")
    above.symlink_to(outside / "moved")
    before = listing(outside)

    ran = filled.run("restore", "foo-bar")

    assert ran.code == 0
    assert f"foo-bar is restored without missing files: {file.filename}" in ran.log
    assert file.filename not in filled.filenames("foo-bar")
    assert listing(outside) == before
    filled.check()


def test_a_project_is_not_restored_to_a_linked_directory(index: Index, filled: Site) -> None:
    delete(filled, "foo-bar")
    outside = filled.home / "outside"
    outside.mkdir()
    above = (filled.root / "web" / first_file(index).path.lstrip("/")).parent
    above.parent.mkdir(parents=True)
    above.symlink_to(outside)

    ran = filled.run("restore", "foo-bar")

    assert ran.code == 7
    assert list(outside.iterdir()) == []
    above.unlink()
    assert filled.mirror().code == 0
    assert filled.names() == ["baz"]
    assert not list((filled.web / "packages").rglob("foo_bar*"))
    filled.check()


# ---------------------------------------------------------------- a dry run


def test_a_dry_run_lists_what_would_be_restored_and_changes_nothing(filled: Site) -> None:
    filled.configure(json="true")
    filled.mirror()
    delete(filled, "foo-bar")
    before, there = listing(filled.root), filled.tree()

    dry = filled.run("restore", "foo-bar", "nope", "--dry-run")

    assert dry.code == 4
    assert listing(filled.root) == before
    filled.run("restore", "foo-bar")
    new = {f"web/{k}": format_size(len(v)) for k, v in filled.tree().items() if there.get(k) != v}
    roots = {key for key in new if key.startswith("web/simple/index.")}
    assert {k: v for k, v in listed(dry).items() if k not in roots} == {
        k: v for k, v in new.items() if k not in roots
    }


# ---------------------------------------------------------------- order and interruption


def test_a_concurrent_reader_never_finds_a_page_without_its_files(
    index: Index, filled: Site
) -> None:
    names = [f"p{number}" for number in range(8)]
    for name in names:
        index.release(name, "1.0", sdist=True)
    filled.mirror()
    delete(filled, *names)

    with reader(filled) as wrong:
        for name in names:
            assert filled.run("restore", name).code == 0

    assert wrong == []


@pytest.mark.parametrize("set_aside", [True, False])
@pytest.mark.parametrize("next_command", ["mirror", "sync", "delete another", "restore"])
def test_a_restoration_killed_at_any_step_is_finished_or_undone(
    next_command: str,
    set_aside: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    def make() -> StepWorld:
        world = StepWorld()
        if set_aside:
            world.does(world.deletes("Alpha", until_next_change=True))
        else:
            world.index.remove_project("Alpha")
            world.does(world.mirrors())
        assert world.names() == ["beta", "gamma"]
        return world

    def restores(world: StepWorld) -> Coroutine[Any, Any, object]:
        return world.restores("Alpha")

    whole = StepWorld()
    undone = 0
    for world in killed_at_each_step(make, restores):
        world.check()
        assert world.does(NEXT_COMMANDS.get(next_command, restores)(world))
        world.check()

        assert world.unowned() == set()
        assert world.forgotten_in_removed() == set()
        undone += "alpha" not in world.names()
        if "alpha" not in world.names():
            assert world.page("alpha") is None
            world.does(world.mirrors())
            assert "alpha" not in world.names(), "it stays excluded"
            world.does(restores(world))
        assert "alpha" in world.names()
        assert {k: v for k, v in world.tree().items() if "alpha" in k} == {
            k: v for k, v in whole.tree().items() if "alpha" in k
        }
        world.check()
    assert (undone > 5) is (next_command != "restore")
