"""Projects that lose files on the index: evidence, second looks, and the limit of 24 hours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bandersnatch.catalogue.records import Marker
from tests.support import faults
from tests.support.steps import StepWorld, killed_at_each_step

if TYPE_CHECKING:
    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Ran, Site


def releases(index: Index, name: str, count: int, *, first: int = 0) -> list[str]:
    """Publish ``count`` versions of a project, and return the names of the files."""
    return [
        index.release(name, f"{number}.0", size=20, metadata=False)[0].filename
        for number in range(first, first + count)
    ]


def warnings(ran: Ran) -> list[str]:
    """Return the warnings of the log."""
    return [line for line in ran.log.splitlines() if " WARNING: " in line]


# ---------------------------------------------------------------- all files of a project


@pytest.mark.parametrize("how", ["remove file", "remove release", "release quarantined"])
def test_an_event_is_evidence_that_a_project_has_no_files(
    index: Index, site: Site, how: str
) -> None:
    (file,) = index.release("foo", "1.0")
    index.release("keep", "1.0")
    site.mirror()
    if how == "remove file":
        index.remove_file("foo", file.filename)
    elif how == "remove release":
        index.lose_files("foo", action="remove release")
    else:
        index.quarantine_release("foo", "1.0")

    ran = site.mirror()

    assert ran.code == 0
    assert warnings(ran) == []
    assert site.filenames("foo") == []
    assert site.status == index.serial
    assert (site.root / "removed" / file.path.lstrip("/")).exists()
    site.check()


def test_an_event_counts_in_a_later_run_too(index: Index, server: IndexServer, site: Site) -> None:
    (file,) = index.release("foo", "1.0")
    index.release("keep", "1.0")
    site.mirror()
    index.remove_file("foo", file.filename)
    server.fault("detail", faults.status(500), project="foo")
    assert site.mirror().code == 4
    server.faults.clear()

    ran = site.mirror()

    assert ran.code == 0
    assert warnings(ran) == []
    assert site.filenames("foo") == []


def test_an_event_that_the_page_reflects_already_is_no_evidence(index: Index, site: Site) -> None:
    """The page was fetched after the event, and still had files."""
    old, new = *index.release("foo", "1.0"), *index.release("foo", "2.0")
    index.release("keep", "1.0")
    site.mirror()
    index.remove_file("foo", old.filename)
    site.sync("foo")
    index.lose_files("foo")

    ran = site.mirror()

    assert ran.code == 0
    assert site.filenames("foo") == [new.filename]
    assert len(warnings(ran)) == 1


@pytest.mark.parametrize("method", ["auto", "simple"])
def test_without_an_event_a_second_look_ten_minutes_later_has_to_agree(
    index: Index, site: Site, method: str
) -> None:
    site.configure(api_method=method)
    (file,) = index.release("foo", "1.0")
    index.release("keep", "1.0")
    site.mirror()
    reflected = site.status
    index.lose_files("foo")

    for minutes in (0, 9):
        site.clock.advance(minutes=minutes)
        ran = site.mirror()

        assert ran.code == 0
        assert ran.failed == {}
        (warning,) = warnings(ran)
        assert "foo has no files on the index now and had 1" in warning
        assert site.filenames("foo") == [file.filename]
        assert site.status == reflected, "the loss is not reflected"
        assert site.todo()[1:] == [f"foo {index.serial}"]
        assert ran.report["projects"]["pending"] == 1

    site.clock.advance(minutes=1)
    ran = site.mirror()
    assert ran.code == 0
    assert site.filenames("foo") == []
    assert site.status == index.serial
    assert site.todo() == []
    site.check()


@pytest.mark.parametrize("method", ["auto", "simple"])
def test_files_that_come_back_end_the_wait(index: Index, site: Site, method: str) -> None:
    site.configure(api_method=method)
    (file,) = index.release("foo", "1.0")
    site.mirror()
    index.lose_files("foo")
    site.mirror()
    project = index.project("foo")
    project.files[file.filename] = file
    project.versions.append("1.0")
    index._happens("foo", "add owner someone")

    site.clock.advance(minutes=20)
    ran = site.mirror()

    assert ran.code == 0
    assert warnings(ran) == []
    assert site.filenames("foo") == [file.filename]
    assert site.todo() == []
    assert site.status == index.serial


def test_a_later_event_ends_the_wait(index: Index, site: Site) -> None:
    (file,) = index.release("foo", "1.0")
    site.mirror()
    index.lose_files("foo")
    site.mirror()
    index._happens("foo", f"remove file {file.filename}")

    assert site.mirror().code == 0

    assert site.filenames("foo") == []
    assert site.todo() == []


def test_status_and_why_name_what_waits(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    site.mirror()
    index.lose_files("foo")
    site.mirror()

    for command in (["status", "--offline"], ["why", "foo"]):
        assert "foo has no files on the index now and had 1" in site.ask(*command).out


def test_sync_does_not_publish_a_page_without_files(index: Index, site: Site) -> None:
    (file,) = index.release("foo", "1.0")
    index.release("keep", "1.0")
    site.mirror()
    index.lose_files("foo")
    site.mirror()
    site.clock.advance(minutes=20)

    ran = site.sync("foo")

    assert ran.code == 4
    assert ran.failed == {"foo": "EmptiedProject"}
    assert site.filenames("foo") == [file.filename]
    assert site.mirror().code == 0
    assert site.filenames("foo") == []


def test_emptied_projects_without_events_count_as_removed_ones(index: Index, site: Site) -> None:
    """Five of each are below the limit, together they are not."""
    names = [f"p{number:02}" for number in range(12)]
    for name in names:
        index.release(name, "1.0")
    site.mirror()
    for name in names[:5]:
        index.lose_files(name)
    assert site.mirror().code == 0
    for name in names[5:10]:
        index.remove_project(name)
    before = site.tree()

    site.clock.advance(minutes=20)
    ran = site.mirror()

    assert ran.code == 5
    assert "10 projects are gone from the index, or without a file there" in ran.log
    assert site.tree() == before
    assert site.mirror("--max-removals", "10").code == 0
    assert site.names() == [*names[:5], *names[10:]]


def test_too_many_emptied_projects_are_refused_until_they_are_let_through(
    index: Index, site: Site
) -> None:
    names = [f"p{number}" for number in range(9)]
    for name in names:
        index.release(name, "1.0")
    site.mirror()
    for name in names[:6]:
        index.lose_files(name)
    assert site.mirror().code == 0
    before, reflected = site.tree(), site.status

    for _ in range(2):
        site.clock.advance(minutes=20)
        ran = site.mirror()
        assert ran.code == 5
        assert ran.stopped == ["TooManyRemovals"]
        assert "6 projects are gone from the index, or without a file there" in ran.log
        assert site.tree() == before
        assert site.status == reflected

    ran = site.mirror("--max-removals", "6")
    assert ran.code == 0
    assert [name for name in names if not site.filenames(name)] == names[:6]
    assert site.status == index.serial
    site.check()


# ---------------------------------------------------------------- the limit of files


def test_the_files_that_leave_a_page_have_a_limit(index: Index, site: Site) -> None:
    """100 files, of which never 40 % go: 39."""
    small, middle, large = (releases(index, f"p{n}", 100 // 3 + (n == 2)) for n in range(3))
    site.mirror()
    reflected = site.status
    index.lose_files("p2", *large[:30])
    held = index.serial
    index.lose_files("p0", *small[:9])
    index.lose_files("p1", *middle[:20])

    ran = site.mirror()

    assert ran.code == 5
    assert ran.stopped == ["TooManyFileRemovals"]
    assert "30 files off the pages of 1 project(s), p2 among them" in ran.log
    assert "only 10 more may leave" in ran.log
    assert [len(site.filenames(f"p{n}")) for n in range(3)] == [24, 13, 34], "smallest first"
    assert reflected <= site.status < held
    assert site.todo()[1:] == [f"p2 {held}"]
    site.check()

    before = site.tree()
    assert site.mirror().code == 5, "in every run"
    assert site.tree() == before
    text = site.ask("status", "--offline").out
    assert "the index has taken 30 of its 34 files off the page" in text

    ran = site.mirror("--max-file-removals", "30")
    assert ran.code == 0
    assert len(site.filenames("p2")) == 4
    assert site.status == index.serial
    assert site.todo() == []
    site.check()


def test_pages_of_files_that_are_not_stored_have_the_same_limit(index: Index, site: Site) -> None:
    site.configure(release_files="false", root_uri="https://files.example.org")
    files = releases(index, "foo", 50)
    site.mirror()
    index.lose_files("foo", *files[:20])

    assert site.mirror().code == 5
    assert len(site.filenames("foo")) == 50


def test_losses_are_added_up_over_24_hours(index: Index, site: Site) -> None:
    files = releases(index, "foo", 100)
    site.mirror()
    for start in (0, 15):
        index.lose_files("foo", *files[start : start + 15])
        assert site.mirror().code == 0
        site.clock.advance(hours=11)

    index.lose_files("foo", *files[30:45])
    assert site.mirror().code == 5
    assert len(site.filenames("foo")) == 70

    site.clock.advance(hours=3)
    assert site.mirror().code == 0, "the first loss is longer ago than 24 hours"
    assert len(site.filenames("foo")) == 55


@pytest.mark.parametrize(("configured", "code"), [(9, 5), (10, 0)])
def test_a_configured_limit_replaces_the_default(
    index: Index, site: Site, configured: int, code: int
) -> None:
    site.configure(max_file_removals=configured)
    files = releases(index, "foo", 12)
    site.mirror()
    index.lose_files("foo", *files[:10])

    assert site.mirror().code == code
    assert len(site.filenames("foo")) == (12 if code else 2)


def test_a_page_emptied_with_an_event_counts_for_the_limit_of_files(
    index: Index, site: Site
) -> None:
    site.configure(max_file_removals=5)
    releases(index, "foo", 6)
    releases(index, "bar", 5)
    site.mirror()
    index.lose_files("foo", action="remove release")
    index.lose_files("bar", action="remove release")

    ran = site.mirror()

    assert ran.code == 5
    assert ran.stopped == ["TooManyFileRemovals"]
    assert (len(site.filenames("foo")), len(site.filenames("bar"))) == (6, 0)


def test_what_is_no_loss_does_not_count(index: Index, site: Site) -> None:
    """Own filters, quarantine of a project and of a release, and replaced files."""
    site.configure(max_file_removals=0)
    for name in ("filtered", "quarantined", "release", "nightly"):
        releases(index, name, 3)
    site.mirror()
    index.quarantine("quarantined")
    index.quarantine_release("release", "2.0")
    old = list(index.project("nightly").files)
    releases(index, "nightly", 3, first=3)
    index.lose_files("nightly", *old)
    site.filter(
        """
        [plugins]
        enabled = exclude_release latest_release
        [latest_release]
        keep = 2
        """.replace("exclude_release ", "")
    )

    ran = site.mirror()

    assert ran.code == 0
    assert site.filenames("quarantined") == []
    assert site.filenames("release") == [f"release-{n}.0-py3-none-any.whl" for n in (0, 1)]
    assert site.filenames("nightly") == [f"nightly-{n}.0-py3-none-any.whl" for n in (4, 5)]
    assert len(site.filenames("filtered")) == 2
    site.check()


def test_the_files_of_a_cleared_release_are_restored_without_a_download(
    index: Index, server: IndexServer, site: Site
) -> None:
    files = releases(index, "foo", 2)
    site.mirror()
    index.quarantine_release("foo", "1.0")
    site.mirror()
    assert site.filenames("foo") == files[:1]
    index.clear_release("foo", "1.0")
    server.forget()

    assert site.mirror().code == 0

    assert site.filenames("foo") == files
    assert server.paths("file") == []


def test_projects_without_losses_are_not_delayed(index: Index, site: Site) -> None:
    site.configure(max_file_removals=0)
    files = releases(index, "foo", 3)
    index.release("bar", "1.0")
    site.mirror()
    index.lose_files("foo", files[0])
    index.release("bar", "2.0")
    index.release("new", "1.0")

    ran = site.mirror()

    assert ran.code == 5
    assert ran.synced == ["bar", "new"]
    assert site.names() == ["bar", "foo", "new"]


def test_a_held_page_gets_no_new_files_and_recovers(index: Index, site: Site) -> None:
    site.configure(max_file_removals=0)
    files = releases(index, "foo", 3)
    site.mirror()
    lost = [index.project("foo").files[name] for name in files[:2]]
    index.lose_files("foo", *files[:2])
    assert site.mirror().code == 5
    for file in lost:
        index.project("foo").files[file.filename] = file
    index.project("foo").versions[:] = ["0.0", "1.0", "2.0"]
    index._happens("foo", "add owner someone")

    ran = site.mirror()

    assert ran.code == 0
    assert site.filenames("foo") == files
    assert site.todo() == []


def test_verify_publishes_no_page_that_lost_files(index: Index, site: Site) -> None:
    files = releases(index, "foo", 3)
    site.mirror()
    index.lose_files("foo", *files[:2])
    (site.web / "simple/foo/index.html").unlink()

    ran = site.run("verify", "--json-update")

    assert ran.code == 0
    assert site.filenames("foo") == files
    assert site.mirror().code == 0
    assert site.filenames("foo") == files[2:]


def test_sync_publishes_what_the_operator_names(index: Index, site: Site) -> None:
    site.configure(max_file_removals=0)
    files = releases(index, "foo", 3)
    site.mirror()
    index.lose_files("foo", *files[:2])

    assert site.sync("foo").code == 0

    assert site.filenames("foo") == files[2:]
    assert site.mirror().code == 0


@pytest.mark.parametrize("flag", ["--max-removals", "--max-file-removals"])
@pytest.mark.parametrize("value", ["x", "1.5", ""])
def test_a_flag_that_is_no_number_is_refused(
    index: Index, site: Site, flag: str, value: str
) -> None:
    index.release("foo", "1.0")

    ran = site.ask("mirror", f"{flag}={value}")

    assert ran.code == 2
    assert flag in ran.log
    assert "is not a whole number" in ran.log


def test_a_killed_run_neither_loses_nor_doubles_a_loss() -> None:
    def make() -> StepWorld:
        world = StepWorld()
        world.index.lose_files("Alpha", "alpha-1.0.tar.gz", action="remove release")
        return world

    for world in killed_at_each_step(make, StepWorld.mirrors):
        world.check()
        world.does(world.mirrors())
        world.check()

        page = world.page("alpha")
        assert page is not None
        assert [file["filename"] for file in page["files"]] == ["alpha-1.0-py3-none-any.whl"]
        assert world.catalogue.markers[Marker.FILE_LOSSES].endswith(" 1")
        assert world.status == world.index.serial
