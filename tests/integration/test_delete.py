"""``delete``: removes projects by name: root page, pages, files; and nothing else."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from humanfriendly import format_size

from tests.support import faults
from tests.support.chains import chain_of
from tests.support.deletions import BLOCKING, NEXT_COMMANDS, area_of, block, deletes_alpha, listed
from tests.support.disks import listing
from tests.support.kills import reader
from tests.support.steps import StepWorld, killed_at_each_step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site


@pytest.fixture
def filled(index: Index, site: Site) -> Site:
    """Return a mirror of three projects; the filters no longer select foo-bar."""
    index.release("Foo_Bar", "1.0", sdist=True)
    index.release("Foo_Bar", "2.0")
    index.release("baz", "1.0")
    index.release("qux", "1.0")
    assert site.mirror().code == 0
    block(site, "foo-bar")
    return site


# ---------------------------------------------------------------- what is trashed


def test_a_deleted_project_is_trashed(index: Index, filled: Site) -> None:
    ran = filled.run("delete", "foo.BAR")

    assert ran.code == 0, ran.log
    assert ran.report["projects"]["removed"] == ["foo-bar"]
    assert ran.report["files"]["removed"] == 5, "three files and two with core metadata"
    assert filled.names() == ["baz", "qux"]
    assert not (filled.web / "simple/foo-bar").exists()
    for file in index.projects["foo-bar"].files.values():
        assert area_of(filled, file) == "removed"
        assert not (filled.web / file.path.lstrip("/")).parent.exists(), (
            "empty directories are removed"
        )
    assert (filled.root / "removed/simple/foo-bar/index.html").exists()
    filled.check()


def test_a_deleted_project_is_mirrored_again_when_the_filters_select_it(
    index: Index, server: IndexServer, filled: Site
) -> None:
    filled.run("delete", "foo-bar")
    index.release("foo-bar", "3.0")

    ran = filled.mirror()
    assert ran.code == 0
    assert filled.names() == ["baz", "qux"]
    assert filled.status == index.serial

    server.forget()
    filled.filter("")
    assert filled.mirror().code == 0
    assert len(filled.filenames("foo-bar")) == 4
    assert len(server.paths("file")) == 1, "trashed files are restored without a download"
    filled.check()


def test_neither_status_nor_todo_is_changed(
    index: Index, server: IndexServer, filled: Site
) -> None:
    index.release("baz", "2.0")
    server.fault("/simple/baz/", faults.status(403))
    filled.mirror()
    state = filled.status, filled.todo()
    assert state[1]

    filled.run("delete", "foo-bar")

    assert (filled.status, filled.todo()) == state


def test_several_projects_are_deleted_and_duplicate_names_count_once(filled: Site) -> None:
    block(filled, "foo-bar", "baz", "qux")

    ran = filled.run("delete", "foo-bar", "Foo_Bar", "baz", "qux")

    assert ran.code == 0
    assert ran.report["projects"]["removed"] == ["baz", "foo-bar", "qux"]
    assert filled.names() == [], "the removal limit does not apply to named projects"
    assert not list(filled.web.rglob("*.whl*"))


def test_mirror_purges_a_deleted_project_after_the_grace_time(filled: Site) -> None:
    filled.run("delete", "foo-bar")

    filled.clock.advance(days=13.9)
    filled.mirror()
    assert len([path for path in (filled.root / "removed").rglob("*") if path.is_file()]) == 8

    filled.clock.advance(days=0.2)
    filled.mirror()
    assert not [path for path in (filled.root / "removed").rglob("*") if path.is_file()]


@pytest.mark.parametrize("hashed", ["true", "false"])
def test_pages_and_documents_are_trashed_under_any_options(
    index: Index, site: Site, hashed: str
) -> None:
    site.configure(json="true", keep_index_versions=2)
    for version in ("1.0", "2.0"):
        index.release("foo", version)
        site.mirror()
    site.configure(hash_index="true")
    index.release("foo", "3.0")
    site.mirror()
    assert (site.web / "json/foo").exists()
    site.configure(hash_index=hashed, json="false", simple_format="HTML")
    block(site, "foo")

    ran = site.run("delete", "foo")

    assert ran.code == 0, ran.log
    assert not [path for path in site.web.rglob("*") if "foo" in path.name]
    assert not (site.web / "simple/f").exists()
    assert not (site.web / "pypi/foo").exists()


@pytest.mark.parametrize("typed", ["foo-bar", "Foo_Bar"])
def test_pages_under_the_display_name_are_trashed_too(filled: Site, typed: str) -> None:
    old = filled.web / "simple/Foo_Bar"
    old.mkdir()
    (old / "index.html").write_text("<a href='../../packages/x/foo_bar-1.0.tar.gz'></a>")
    (old / "notes.txt").write_text("an operator's own")

    assert filled.run("delete", typed).code == 0

    assert [path.name for path in old.iterdir()] == ["notes.txt"]
    assert (filled.root / "removed/simple/Foo_Bar/index.html").exists()


def test_pages_under_the_name_as_typed_are_trashed_without_a_catalogue(filled: Site) -> None:
    old = filled.web / "simple/FOO.Bar"
    old.mkdir()
    (old / "index.html").write_text("before 4.0")
    (filled.root / "catalogue.sqlite").unlink()

    assert filled.run("delete", "FOO.Bar").code == 0

    assert not old.exists()


def test_the_files_of_an_adopted_project_are_trashed(index: Index, filled: Site) -> None:
    (filled.root / "catalogue.sqlite").unlink()

    assert filled.run("delete", "foo-bar").code == 0

    for file in index.projects["foo-bar"].files.values():
        assert area_of(filled, file) == "removed"
    assert filled.names() == ["baz", "qux"]
    filled.check()


def test_a_file_whose_name_is_escaped_in_its_url_is_trashed(index: Index, site: Site) -> None:
    """The name on the disk is the decoded one."""
    odd = index.upload("foo", "1!1.0+local.1", "foo-1!1.0+local.1.tar.gz")
    (other,) = index.release("bar", "1.0")
    site.mirror()
    block(site, "foo")
    assert area_of(site, odd) == "web"

    assert site.run("delete", "foo").code == 0

    assert area_of(site, odd) == "removed"
    assert area_of(site, other) == "web"
    site.check()


def test_a_file_that_another_project_owns_too_stays(index: Index, site: Site) -> None:
    content = b"of both" * 50
    shared = index.upload("a", "1.0", "a-b-1.0.tar.gz", content=content)
    index.upload("a-b", "1.0", "a-b-1.0.tar.gz", content=content)
    site.mirror()
    block(site, "a")

    assert site.run("delete", "a").code == 0

    assert area_of(site, shared) == "web"
    site.check()


def test_the_diff_files_name_what_changed_and_what_was_deleted(filled: Site) -> None:
    filled.configure(diff_file=filled.home / "diff")

    filled.run("delete", "foo-bar")

    gone = (filled.home / "diff.deleted").read_text().splitlines()
    assert len(gone) == 8
    assert f"{filled.web}/simple/foo-bar/index.html" in gone
    changed = (filled.home / "diff").read_text().splitlines()
    assert f"{filled.web}/simple/index.html" in changed


# ---------------------------------------------------------------- what is refused


def test_deleting_a_selected_project_is_refused_and_changes_nothing(
    index: Index, site: Site
) -> None:
    for name in ("foo", "bar", "baz"):
        index.release(name, "1.0")
    site.mirror()
    block(site, "baz")
    before = listing(site.home)

    ran = site.ask("delete", "baz", "foo", "bar")

    assert ran.code == 2
    [line] = ran.log.splitlines()
    assert "ERROR: the filters select bar, foo, " in line
    assert "[blocklist] packages with blocklist_project enabled" in line
    assert "--until-next-change" in line
    assert ran.out == ""
    assert listing(site.home) == before


def test_a_refused_deletion_does_not_create_the_mirror(site: Site) -> None:
    before = listing(site.home)

    assert site.ask("delete", "foo").code == 2

    assert listing(site.home) == before


def test_a_project_that_the_allowlist_does_not_name_can_be_deleted(
    index: Index, site: Site
) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.allow("foo")
    site.mirror()
    site.sync("bar")

    assert site.run("delete", "foo").code == 2
    assert site.run("delete", "bar").code == 0
    assert site.names() == ["foo"]


@pytest.mark.parametrize("name", ["", ".", "..", "*", "/", "../foo", "foo/bar", "-", "foo\n", "ü"])
@pytest.mark.parametrize("flag", ["--until-next-change", "--dry-run"])
def test_an_invalid_name_is_a_usage_error(filled: Site, name: str, flag: str) -> None:
    before = listing(filled.home)

    ran = filled.ask("delete", flag, "--", "foo-bar", name)

    assert ran.code == 2
    [line] = ran.log.splitlines()
    assert "ERROR: project name " in line
    assert listing(filled.home) == before


def test_a_project_that_is_not_mirrored_is_a_failure_and_the_others_are_deleted(
    filled: Site,
) -> None:
    block(filled, "foo-bar", "nope")

    ran = filled.run("delete", "nope", "foo-bar")

    assert ran.code == ran.report["exit_code"] == 4
    assert ran.failed == {"nope": "UnmirroredProject"}
    [line] = ran.errors()
    assert "ERROR: nope is not in the mirror (" in line
    assert "Failed: nope is not in the mirror\n" in ran.out
    assert filled.names() == ["baz", "qux"]
    assert filled.run("delete", "foo-bar").code == 4, "it is deleted already"


def test_an_excluded_project_is_not_mirrored(index: Index, site: Site) -> None:
    index.release("large", "1.0", size=2000)
    index.release("small", "1.0")
    size = "[plugins]\nenabled = size_project_metadata\n"
    site.filter(f"{size}[size_project_metadata]\nmax_package_size = 1000")
    site.mirror()

    ran = site.run("delete", "large", "--until-next-change")

    assert ran.code == 4
    assert ran.failed == {"large": "UnmirroredProject"}


def test_a_deletion_does_not_wait_for_the_lock(filled: Site) -> None:
    with FileLock(filled.root / ".lock"):
        ran = filled.run("delete", "foo-bar")
        assert filled.run("delete", "foo-bar", "--dry-run").code == 0, "a dry run takes no lock"

    assert ran.code == 6
    assert "foo-bar" in filled.names()


# ---------------------------------------------------------------- independence of the index


def test_a_deletion_sends_no_requests(server: IndexServer, filled: Site) -> None:
    server.forget()

    ran = filled.run("delete", "foo-bar", "nope", "--workers", "3", "--skip-json-fetch")

    assert ran.code == 2, "the filters select nope"
    block(filled, "foo-bar", "nope")
    ran = filled.run("delete", "foo-bar", "nope", "--workers", "3", "--skip-json-fetch")
    assert ran.code == 4
    assert filled.names() == ["baz", "qux"]
    assert server.asked == []


def test_a_deletion_does_not_need_a_reachable_index(filled: Site) -> None:
    filled.configure(master="http://127.0.0.1:9")

    assert filled.run("delete", "foo-bar").code == 0
    assert filled.names() == ["baz", "qux"]


@pytest.mark.parametrize(
    "answer",
    [
        faults.status(404),
        faults.body(b"<html><body>Welcome</body></html>"),
        faults.body(b"{}"),
        faults.body(b""),
    ],
    ids=["404", "html", "{}", "nothing"],
)
@pytest.mark.parametrize("flags", [[], ["--dry-run"], ["--skip-json-fetch", "--workers=1"]])
def test_a_refused_deletion_changes_nothing_whatever_the_index_answers(
    index: Index, server: IndexServer, site: Site, answer: Callable[..., Any], flags: list[str]
) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    before = site.times()
    server.fault("/", answer)

    assert site.run("delete", "foo", *flags).code == 2
    assert site.run("delete", "nope", "--until-next-change", *flags).code == 4

    assert site.times() == before


# ---------------------------------------------------------------- until the next change


def serve_changelog(server: IndexServer, site: Site) -> None:
    """Follow the changelog of an index."""


def serve_listing(server: IndexServer, site: Site) -> None:
    """Follow the list of an index without a changelog."""
    server.has_changelog = False


def serve_names(server: IndexServer, site: Site) -> None:
    """Follow a few projects of an index with a changelog."""
    site.allow("foo", "bar")


def serve_names_without_changelog(server: IndexServer, site: Site) -> None:
    """Ask for a few pages in every run."""
    server.has_changelog = False
    site.allow("foo", "bar")


def serve_without_serials(server: IndexServer, site: Site) -> None:
    """Follow an index that knows no serials."""
    server.has_changelog = server.has_serials = False


KINDS = [
    serve_changelog,
    serve_listing,
    serve_names,
    serve_names_without_changelog,
    serve_without_serials,
]


@pytest.mark.parametrize("etags", [True, False], ids=["etags", "no etags"])
@pytest.mark.parametrize("adopted", [False, True], ids=["mirrored", "adopted"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_selected_project_is_excluded_until_the_index_changes_it(
    index: Index,
    server: IndexServer,
    site: Site,
    kind: Callable[[IndexServer, Site], None],
    adopted: bool,  # noqa: FBT001 - a parameter of the test
    etags: bool,  # noqa: FBT001 - as above
) -> None:
    kind(server, site)
    server.has_etags = etags
    (old,) = index.release("foo", "1.0")
    index.release("bar", "1.0")
    assert site.mirror().code == 0
    if adopted:
        (site.root / "catalogue.sqlite").unlink()

    assert site.run("delete", "foo", "--until-next-change").code == 0

    assert site.names() == ["bar"]
    index.release("bar", "2.0")
    for _ in range(4):
        ran = site.mirror()
        assert ran.code == 0, ran.log
        assert site.names() == ["bar"], "it has not changed"
        site.clock.advance(days=1.1)
    index.release("foo", "2.0")
    server.forget()
    ran = site.mirror()
    assert ran.code == 0
    assert site.names() == ["bar", "foo"]
    assert area_of(site, old) == "web"
    assert len(server.paths("file")) == 1, "the old file is restored from the trash"
    site.check()


@pytest.mark.parametrize("adopted", [False, True], ids=["mirrored", "adopted"])
@pytest.mark.parametrize("command", [["mirror", "--force-check"], ["sync", "foo"]])
def test_a_forced_check_restores_an_excluded_project(
    index: Index,
    server: IndexServer,
    site: Site,
    command: list[str],
    adopted: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    before = site.tree()
    if adopted:
        (site.root / "catalogue.sqlite").unlink()
    site.run("delete", "foo", "--until-next-change")
    site.mirror()
    server.forget()

    ran = site.run(*command)

    assert ran.code == 0
    assert "foo" in ran.synced
    assert site.tree() == before
    assert server.paths("file") == []


def test_changed_filters_for_other_projects_do_not_restore_it(index: Index, site: Site) -> None:
    for name in ("foo", "bar", "baz"):
        index.release(name, "1.0")
    site.mirror()
    site.run("delete", "foo", "--until-next-change")

    block(site, "baz")
    site.mirror()

    assert site.names() == ["bar"]


def test_filters_that_changed_before_the_deletion_do_not_restore_it(
    index: Index, site: Site
) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    site.filter("[plugins]\nenabled = prerelease_release")
    site.run("delete", "foo", "--until-next-change")

    assert site.mirror().code == 0

    assert site.names() == ["bar"]


def test_why_says_that_it_was_deleted(index: Index, site: Site) -> None:
    (file,) = index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    site.run("delete", "foo", "--until-next-change")
    excluded = "it was deleted until the index changes it; sync restores it before that"

    assert site.ask("why", "foo").out.splitlines()[0] == excluded
    expected = f"{file.filename}: kept, and not in the mirror: the project was deleted\n"
    assert site.ask("why", "foo", "1.0").out == expected
    index.release("foo", "2.0")
    assert excluded not in site.ask("why", "foo").out


def test_a_file_that_matures_does_not_restore_it(index: Index, site: Site) -> None:
    site.filter("[plugins]\nenabled = release_age\n[release_age]\nmin-age = 7d")
    index.release("foo", "1.0", upload_time="2024-01-01T00:00:00.000000Z")
    young = f"{site.clock.now():%Y-%m-%dT%H:%M:%S}.000000Z"
    index.release("foo", "2.0", upload_time=young)
    index.release("bar", "1.0")
    site.mirror()
    assert site.names() == ["bar", "foo"]
    site.run("delete", "foo", "--until-next-change")

    site.clock.advance(days=8)
    site.mirror()

    assert site.names() == ["bar"]


def test_a_pending_change_does_not_restore_it(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    index.release("foo", "2.0")
    broken = server.fault("/simple/foo/", faults.status(403))
    assert site.mirror().code == 4
    assert site.todo()[1:]
    site.run("delete", "foo", "--until-next-change")
    broken.left = 0

    ran = site.mirror()

    assert ran.code == 0
    assert site.names() == ["bar"]
    assert site.todo() == []
    assert site.status == index.serial
    index.release("foo", "3.0")
    assert site.mirror().synced == ["foo"]


@pytest.mark.parametrize("flags", [[], ["--until-next-change"]])
def test_a_blocked_project_is_restored_when_it_is_unblocked(filled: Site, flags: list[str]) -> None:
    """No run in between had the old filters."""
    filled.run("delete", "foo-bar", *flags)
    filled.filter("")

    assert filled.mirror().synced == ["foo-bar"]


# ---------------------------------------------------------------- invalid pages and rows


@pytest.mark.parametrize("flags", [[], ["--until-next-change"]])
def test_a_page_without_a_record_is_trashed_and_its_files_stay(
    index: Index, server: IndexServer, filled: Site, flags: list[str]
) -> None:
    files = list(index.projects["foo-bar"].files.values())
    for page in (filled.web / "simple/foo-bar").iterdir():
        page.write_text("{ this is not a page")
    (filled.root / "catalogue.sqlite").unlink()
    if flags:
        filled.filter("")

    ran = filled.run("delete", "foo-bar", *flags)

    assert ran.code == 0, ran.log
    assert "foo-bar has pages and no record; its files are unknown, and stay" in ran.log
    assert filled.names() == ["baz", "qux"]
    assert not (filled.web / "simple/foo-bar").exists()
    assert {area_of(filled, file) for file in files} == {"web"}
    filled.mirror()
    assert filled.names() == ["baz", "qux"]


HOSTILE = [
    *["../outside.txt", "../../outside.txt", "/etc/hostname", "../status", "../catalogue.sqlite"],
    *["json/bar", "pypi/bar/json", "simple/bar/index.html", "simple/index.html", "last-modified"],
    *["packages/../../../outside.txt", "packages/./../x/../../../outside.txt", "packages//x"],
    *["", ".", "packages", "packages/", "packages/aa\0"],
]


@pytest.mark.parametrize("path", HOSTILE)
def test_an_edited_row_cannot_remove_anything_outside_the_project(
    index: Index, site: Site, path: str
) -> None:
    site.configure(json="true")
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    outside = site.home / "outside.txt"
    outside.write_text("not of the mirror")
    with sqlite3.connect(site.root / "catalogue.sqlite") as database:
        database.execute("UPDATE file SET path = ? WHERE project = 'foo'", (path,))
    block(site, "foo")
    others = {k: v for k, v in site.tree().items() if "foo" not in k and "simple/index" not in k}

    ran = site.run("delete", "foo")

    assert ran.code == 0, ran.log
    assert "the catalogue has damaged rows (project foo)" in ran.log
    assert not list((site.web / "packages").rglob("foo-*"))
    assert outside.read_text() == "not of the mirror"
    assert others.items() <= site.tree().items()
    assert site.names() == ["bar"]
    assert site.status == index.serial
    site.check()


def test_an_edited_row_cannot_remove_a_file_of_another_project(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    (bars,) = index.release("bar", "1.0")
    site.mirror()
    with sqlite3.connect(site.root / "catalogue.sqlite") as database:
        stolen = bars.path.lstrip("/")
        database.execute("UPDATE file SET path = ? WHERE project = 'foo'", (stolen,))
    block(site, "foo")

    assert site.run("delete", "foo").code == 0

    assert area_of(site, bars) == "web"
    site.check()


@pytest.mark.parametrize(
    "url",
    [
        "//packages/../../../outside.txt",
        "../../packages/..%2f..%2f..%2foutside.txt",
        "../../packages/%2e%2e/%2e%2e/%2e%2e/outside.txt",
        "/packages/../../outside.txt",
        "file:///etc/hostname",
        "../../json/bar",
    ],
)
def test_an_edited_page_cannot_remove_anything_outside_the_project(
    index: Index, filled: Site, url: str
) -> None:
    """The page may be adopted; nothing outside the files of the project is touched."""
    outside = filled.home / "outside.txt"
    outside.write_text("not of the mirror")
    for page in (filled.web / "simple/foo-bar").iterdir():
        text = page.read_text()
        path = next(iter(index.projects["foo-bar"].files.values())).path
        page.write_text(text.replace(f"../..{path}", url))
        assert url in page.read_text()
    (filled.root / "catalogue.sqlite").unlink()
    others = {k: v for k, v in filled.tree().items() if "foo" not in k and "index" not in k}

    assert filled.run("delete", "foo-bar").code == 0

    assert outside.read_text() == "not of the mirror"
    assert others.items() <= filled.tree().items()
    assert filled.names() == ["baz", "qux"]
    filled.check()


# ---------------------------------------------------------------- links


@pytest.fixture
def outside(filled: Site) -> Path:
    """Return a directory outside the mirror with files that could be deleted."""
    path = filled.home / "outside"
    path.mkdir()
    for name in ("index.html", "index.v1_html", "index.v1_json", "json", "foo-bar", "file.whl"):
        (path / name).write_text("not of the mirror")
    return path


def replace_by_link(at: Path, target: Path) -> None:
    """Replace a file or directory by a link."""
    at.rename(at.with_name(f"{at.name}.aside"))
    at.symlink_to(target)


@pytest.mark.parametrize(
    ("what", "target"),
    [
        ("simple/foo-bar/index.html", "index.html"),
        ("simple/foo-bar/index.v1_json", "nowhere"),
        ("json/foo-bar", "foo-bar"),
        ("pypi/foo-bar/json", "json"),
    ],
)
def test_a_link_in_place_of_a_page_is_removed_and_not_followed(
    filled: Site, outside: Path, what: str, target: str
) -> None:
    filled.configure(json="true")
    filled.sync("foo-bar")
    replace_by_link(filled.web / what, outside / target)
    before = listing(outside)

    ran = filled.run("delete", "foo-bar")

    assert ran.code == 0, ran.log
    assert listing(outside) == before
    assert not os.path.lexists(filled.web / what)
    assert filled.names() == ["baz", "qux"]


def test_a_link_in_place_of_a_file_is_removed_and_not_followed(
    index: Index, filled: Site, outside: Path
) -> None:
    file = next(iter(index.projects["foo-bar"].files.values()))
    place = filled.web / file.path.lstrip("/")
    replace_by_link(place, outside / "file.whl")
    before = listing(outside)

    assert filled.run("delete", "foo-bar").code == 0

    assert listing(outside) == before
    assert not os.path.lexists(place)


@pytest.mark.parametrize("what", ["simple/foo-bar", "the directory of a file", "packages/its hash"])
def test_objects_behind_a_linked_directory_stay_and_the_link_is_reported(
    index: Index, filled: Site, outside: Path, what: str
) -> None:
    file = next(iter(index.projects["foo-bar"].files.values()))
    place = (filled.web / file.path.lstrip("/")).parent
    if what == "simple/foo-bar":
        replace_by_link(filled.web / what, outside)
    else:
        above = place if what == "the directory of a file" else place.parent.parent
        above.rename(outside / "moved")
        above.symlink_to(outside / "moved")
    before = listing(outside)

    ran = filled.run("delete", "foo-bar")

    assert ran.code == 4
    assert ran.failed == {"foo-bar": "BlockingLink"}
    [line] = ran.errors()
    assert "foo-bar is not completely removed: a link leads to web/" in line
    assert listing(outside) == before
    assert filled.names() == ["baz", "qux"]
    assert filled.mirror().code == 0


def test_a_link_inside_the_trash_stops_the_deletion_until_it_is_removed(
    filled: Site, outside: Path
) -> None:
    (filled.root / "removed").mkdir()
    (filled.root / "removed/simple").symlink_to(outside)
    before, tree = listing(outside), filled.tree()

    ran = filled.run("delete", "foo-bar")

    assert ran.code == 4
    assert ran.failed == {"foo-bar": "ObstructedPath"}
    assert "storage failed at removed/simple: it is a link" in ran.log
    assert listing(outside) == before
    pages = {key: text for key, text in tree.items() if "simple/index" not in key}
    assert pages.items() <= filled.tree().items()
    (filled.root / "removed/simple").unlink()
    ran = filled.mirror()
    assert ran.code == 0
    assert ran.report["projects"]["removed"] == ["foo-bar"], "the deletion is finished"
    filled.check()


# ---------------------------------------------------------------- a dry run


def test_a_dry_run_lists_what_would_be_trashed_and_changes_nothing(
    index: Index, filled: Site
) -> None:
    filled.configure(json="true", keep_index_versions=2)
    filled.sync("foo-bar")
    index.release("foo-bar", "3.0")
    filled.sync("foo-bar")
    lost = next(iter(index.projects["foo-bar"].files.values()))
    (filled.web / lost.path.lstrip("/")).unlink()
    before = listing(filled.root)

    dry = filled.run("delete", "foo-bar", "--dry-run")

    assert dry.code == 0
    assert dry.report["projects"]["removed"] == ["foo-bar"]
    assert listing(filled.root) == before
    there = {f"web/{key}": len(content) for key, content in filled.tree().items()}
    filled.run("delete", "foo-bar")
    left = {f"web/{key}" for key in filled.tree()}
    gone = {key: size for key, size in there.items() if key not in left}
    assert len(gone) == 3 + 3 + 2 + 3 + 3, "pages, page versions, documents, files, core metadata"
    assert listed(dry) == {key: format_size(size) for key, size in gone.items()}
    assert f"Together: {len(gone)}, {format_size(sum(gone.values()))}\n" in dry.out
    assert "Dry run: this is what would be done; nothing was changed." in dry.out


def test_a_dry_run_refuses_what_a_deletion_refuses(filled: Site) -> None:
    before = listing(filled.root)

    assert filled.run("delete", "baz", "--dry-run").code == 2
    ran = filled.run("delete", "nope", "--until-next-change", "--dry-run")
    assert ran.code == 4
    assert "Together: 0, 0 bytes" in ran.out

    assert listing(filled.root) == before


def test_a_dry_run_without_a_catalogue_changes_nothing(filled: Site) -> None:
    (filled.root / "catalogue.sqlite").unlink()
    before = listing(filled.root)

    ran = filled.run("delete", "foo-bar", "--dry-run")

    assert len(listed(ran)) == 8
    assert listing(filled.root) == before


# ---------------------------------------------------------------- order and interruption


def test_a_concurrent_reader_never_finds_a_page_without_its_files(
    index: Index, filled: Site
) -> None:
    names = [f"p{number}" for number in range(12)]
    for name in names:
        index.release(name, "1.0", sdist=True)
    filled.mirror()

    with reader(filled) as wrong:
        for name in names:
            assert filled.run("delete", name, "--until-next-change").code == 0

    assert wrong == []
    assert filled.names() == ["baz", "qux"]


@pytest.mark.parametrize("next_command", NEXT_COMMANDS)
def test_a_deletion_killed_at_any_step_is_finished_by_the_next_command(
    next_command: str,
) -> None:
    begun = 0
    for world in killed_at_each_step(StepWorld, deletes_alpha):
        world.check()
        whole = world.page("alpha") is not None
        begun += not whole
        assert world.does(NEXT_COMMANDS[next_command](world))
        world.check()

        if "alpha" in world.names():
            assert whole, "the deletion had not begun"
            continue
        assert world.page("alpha") is None
        assert world.unowned() == set()
        assert world.forgotten_in_removed() == set()
        world.clock.advance(days=1.1)
        world.does(world.mirrors())
        assert "alpha" not in world.names(), "it stays excluded"
        world.index.release("Alpha", "2.0")
        world.does(world.mirrors())
        assert "alpha" in world.names()
        world.check()
    assert begun > 5


@pytest.mark.parametrize("next_command", ["mirror", "sync"])
def test_a_killed_deletion_of_a_blocked_project_is_finished(next_command: str) -> None:
    def make() -> StepWorld:
        world = StepWorld()
        world.filters = chain_of(BLOCKING.format("alpha"))
        return world

    for world in killed_at_each_step(make, lambda world: world.deletes("Alpha")):
        world.check()
        before = world.names()
        assert world.does(NEXT_COMMANDS[next_command](world))
        world.check()

        assert next_command == "sync" or "alpha" not in world.names()
        assert "alpha" in before or "alpha" not in world.names()
        assert world.unowned() == set()
        assert world.forgotten_in_removed() == set()


def test_a_dry_run_after_a_kill_changes_nothing() -> None:
    """The deletion is finished in the overlays only."""
    for world in killed_at_each_step(StepWorld, deletes_alpha):
        deferrals, objects = dict(world.catalogue.deferrals), dict(world.storage.objects)
        world.does(world.plans())
        assert (world.catalogue.deferrals, world.storage.objects) == (deferrals, objects)


def test_why_reports_an_interrupted_deletion() -> None:
    lines = {
        line
        for world in killed_at_each_step(StepWorld, deletes_alpha)
        for line in world.asks_why("Alpha")
    }

    assert "its deletion was interrupted; the next command that writes finishes it" in lines
    assert not [line for line in lines if line.startswith("it failed")]
