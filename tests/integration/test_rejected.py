"""Rejected files: each is a failure of every run, until it is gone or acknowledged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support import faults
from tests.support.earlier import EarlierRelease

if TYPE_CHECKING:
    from tests.support.index import File, Index
    from tests.support.server import IndexServer
    from tests.support.site import Ran, Site

GOOD = "foo-1.0-py3-none-any.whl"
HIDDEN = ".foo-1.0.zip"
"""A file name that is rejected, because web servers and patterns treat it specially."""


def reject(index: Index, name: str = "foo", filename: str = HIDDEN) -> File:
    """Upload a file that is rejected."""
    return index.upload(name, "1.0", filename, content=b"rejected")


def rejected(ran: Ran) -> list[tuple[str, str, bool]]:
    """Return the rejected files in a report, and whether they are acknowledged."""
    return [(each["project"], each["file"], each["ignored"]) for each in ran.report["rejected"]]


def status_of(site: Site) -> dict[str, object]:
    """Return what ``status`` says about rejected files and pending projects."""
    told = json.loads(site.ask("status", "--json", "--offline").out)
    return {key: told[key] for key in ("rejected", "deferred")}


# ---------------------------------------------------------------- a file among others


def test_a_rejected_file_fails_the_project_in_every_run(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    reject(index)

    for run in range(3):
        ran = site.mirror()

        assert ran.code == 4, run
        assert ran.failed == {"foo": "RejectedFiles"}
        assert rejected(ran) == [("foo", HIDDEN, False)]
        assert ran.report["files"]["rejected"] == 1
        assert [line.partition(" ERROR: ")[2][:31] for line in ran.errors()] == [
            "foo failed: rejected 1 file(s),"
        ]
        assert HIDDEN in ran.out
        assert site.filenames("foo") == [GOOD]
        assert (site.status, site.todo()) == (index.serial, [])
    site.check()


def test_a_run_with_nothing_to_do_asks_for_no_page(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    reject(index)
    site.mirror()
    server.forget()

    assert site.mirror().code == 4

    assert server.paths("detail") == []


def test_the_project_is_asked_for_when_it_changes(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    reject(index)
    site.mirror()
    index.remove_file("foo", HIDDEN)

    ran = site.mirror()

    assert ran.code == 0
    assert rejected(ran) == []
    assert server.paths("detail") != []
    assert status_of(site) == {"rejected": [], "deferred": []}


def test_a_removed_project_is_no_failure_any_more(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    for number in range(9):
        index.release(f"other{number}", "1.0")
    reject(index)
    site.mirror()
    index.remove_project("foo")

    assert site.mirror().code == 0


def test_a_project_that_is_not_selected_any_more_is_no_failure(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    reject(index)
    site.mirror()
    site.allow("bar")
    site.configure(max_removals=9)

    assert site.mirror().code == 0


def test_status_and_why_name_the_rejected_files(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    reject(index)
    site.mirror()

    (told,) = json.loads(site.ask("status", "--json", "--offline").out)["rejected"]
    assert (told["project"], told["file"], told["ignored"]) == ("foo", HIDDEN, False)
    assert "Rejected: 1 file of 1 project" in site.ask("status", "--offline").out
    assert f"{HIDDEN}: rejected: " in site.ask("why", "foo").out
    assert f"{HIDDEN}: rejected: " in site.ask("why", "foo", HIDDEN).out
    assert HIDDEN not in site.ask("why", "foo", GOOD).out


def test_sync_reports_the_rejected_files_of_its_projects(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    reject(index)
    site.mirror()

    assert site.sync("bar").code == 0
    ran = site.sync("foo")

    assert ran.code == 4
    assert rejected(ran) == [("foo", HIDDEN, False)]


def test_a_dry_run_reports_the_rejected_files(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    reject(index)

    ran = site.ask("plan")

    assert ran.code == 4
    assert HIDDEN in ran.out


def test_files_in_quarantine_are_not_rejected(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    reject(index)
    site.mirror()
    index.quarantine("foo")

    assert site.mirror().code == 0


# ---------------------------------------------------------------- acknowledgement


@pytest.mark.parametrize(
    "pattern", [f"foo:{HIDDEN}", HIDDEN, "FOO:*", "f*:.foo*", ".foo-?.0.zip", "\n    x\n    foo:*"]
)
def test_an_acknowledged_file_is_listed_and_no_failure(
    index: Index, site: Site, pattern: str
) -> None:
    index.release("foo", "1.0")
    reject(index)
    site.configure(ignore_rejected=pattern)

    for _ in range(2):
        ran = site.mirror()

        assert ran.code == 0
        assert ran.failed == {}
        assert rejected(ran) == [("foo", HIDDEN, True)]
    (told,) = json.loads(site.ask("status", "--json", "--offline").out)["rejected"]
    assert told["ignored"] is True
    assert "ignore-rejected acknowledges it" in site.ask("why", "foo").out


def test_an_acknowledgement_works_without_a_change(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    reject(index)
    assert site.mirror().code == 4
    server.forget()

    site.configure(ignore_rejected="foo:*")
    assert site.mirror().code == 0
    site.configure(ignore_rejected="bar:*")
    assert site.mirror().code == 4

    assert server.paths("detail") == []


def test_another_rejected_file_is_a_failure_again(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    reject(index)
    site.configure(ignore_rejected=f"foo:{HIDDEN}")
    site.mirror()
    reject(index, filename=".foo-2.0.zip")

    ran = site.mirror()

    assert ran.code == 4
    assert sorted(rejected(ran)) == [("foo", HIDDEN, True), ("foo", ".foo-2.0.zip", False)]


# ---------------------------------------------------------------- pages without other files


def test_a_page_whose_files_are_all_rejected_is_not_published(index: Index, site: Site) -> None:
    index.release("bar", "1.0")
    reject(index)
    first = site.mirror()

    assert first.code == 4
    assert first.failed == {"foo": "RejectedFiles"}
    assert site.names() == ["bar"]
    assert (site.status, site.todo()) == (0, [str(index.serial), f"foo {index.serial}"])

    index.release("bar", "2.0")
    for _ in range(2):
        ran = site.mirror()

        assert ran.code == 4
        assert site.names() == ["bar"]
        assert site.status == index.serial, "status does not wait after the second run"
        assert [line.split()[0] for line in site.todo()[1:]] == ["foo"]
        assert rejected(ran) == [("foo", HIDDEN, False)]
    (left,) = json.loads(site.ask("status", "--json", "--offline").out)["deferred"]
    assert (left["name"], left["error"]) == ("foo", "page rejected")


def test_such_a_page_is_published_when_a_file_can_be(index: Index, site: Site) -> None:
    reject(index)
    for _ in range(3):
        site.mirror()
    index.release("foo", "1.0")
    index.remove_file("foo", HIDDEN)

    ran = site.mirror()

    assert ran.code == 0
    assert site.filenames("foo") == [GOOD]
    assert (site.status, site.todo()) == (index.serial, [])
    assert status_of(site) == {"rejected": [], "deferred": []}


def test_such_a_page_can_be_acknowledged(index: Index, site: Site) -> None:
    index.release("bar", "1.0")
    reject(index)
    site.configure(ignore_rejected="foo:*")

    for _ in range(3):
        ran = site.mirror()

        assert ran.code == 0
        assert rejected(ran) == [("foo", HIDDEN, True)]
    assert site.names() == ["bar"]
    assert json.loads(site.ask("status", "--json", "--offline").out)["last_success"] is not None


def test_such_a_page_does_not_replace_one_with_files(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    index.remove_file("foo", GOOD)
    reject(index)

    for _ in range(3):
        ran = site.mirror()

        assert ran.code == 4
        assert ran.failed == {"foo": "RejectedFiles"}
        assert site.filenames("foo") == [GOOD]
    assert site.status == index.serial

    index.release("foo", "2.0")
    ran = site.mirror()
    assert rejected(ran) == [("foo", HIDDEN, False)]
    assert site.filenames("foo") == ["foo-2.0-py3-none-any.whl"]


def test_sync_reports_a_page_whose_files_are_all_rejected(index: Index, site: Site) -> None:
    index.release("bar", "1.0")
    site.mirror()
    reject(index)

    ran = site.sync("foo")

    assert (ran.code, ran.failed) == (4, {"foo": "RejectedPage"})
    assert site.names() == ["bar"]


# ---------------------------------------------------------------- published files


def spoil(server: IndexServer, filename: str = GOOD) -> None:
    """Make the entry of a file invalid."""

    def change(page: dict[str, object]) -> None:
        files = page["files"]
        assert isinstance(files, list)
        for each in files:
            if each["filename"] == filename:
                each["size"] = -1

    server.fault("detail", faults.document(change))


def test_a_published_file_whose_entry_becomes_invalid_stays(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    index.release("foo", "2.0")
    spoil(server)

    for _ in range(2):
        ran = site.mirror()

        assert ran.code == 4
        assert rejected(ran) == [("foo", GOOD, False)]
        assert site.filenames("foo") == [GOOD, "foo-2.0-py3-none-any.whl"]
        assert (site.status, site.todo()) == (index.serial, [])
    site.check()

    server.faults.clear()
    index.release("foo", "3.0")
    assert site.mirror().code == 0
    assert len(site.filenames("foo")) == 3
    site.check()


def test_a_published_file_that_is_lost_while_its_entry_is_invalid_leaves_the_page(
    index: Index, server: IndexServer, site: Site
) -> None:
    (lost,) = index.release("foo", "1.0")
    site.mirror()
    index.release("foo", "2.0")
    (site.web / lost.path.lstrip("/")).unlink()
    spoil(server)

    ran = site.mirror()

    assert ran.code == 4
    assert site.filenames("foo") == ["foo-2.0-py3-none-any.whl"]
    site.check()


# ---------------------------------------------------------------- takeovers


PAGE = "foo-1.0.html"
"""A file that an earlier release mirrored, and whose name is rejected now."""


def take_over(index: Index, site: Site) -> File:
    """Write the tree of an earlier release, whose page lists a file that no page may list now."""
    index.release("foo", "1.0")
    file = index.upload("foo", "1.0", PAGE, content=b"<html>")
    for number in range(3):
        index.release(f"other{number}", "1.0")
    EarlierRelease(site, index).write()
    return file


def test_a_page_that_lists_a_rejected_file_stays_until_it_is_acknowledged(
    index: Index, site: Site
) -> None:
    file = take_over(index, site)
    before = site.page("foo")

    for _ in range(3):
        ran = site.mirror()

        assert ran.code == 4, ran.log
        assert rejected(ran) == [("foo", PAGE, False)]
        assert site.page("foo") == before
        assert (site.web / file.path.lstrip("/")).exists()
    assert site.status == index.serial
    assert site.run("verify", "--delete").report["orphans"]["files"] == 0
    assert (site.web / file.path.lstrip("/")).exists()

    site.configure(ignore_rejected=f"foo:{PAGE}")
    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert site.filenames("foo") == [GOOD]
    assert (site.status, site.todo()) == (index.serial, [])
    assert site.run("verify", "--delete").report["orphans"]["files"] == 0
    assert (site.web / file.path.lstrip("/")).exists()


def test_a_tree_whose_rejected_files_the_index_lacks_is_taken_over(
    index: Index, site: Site
) -> None:
    take_over(index, site)
    index.remove_file("foo", PAGE)

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert site.filenames("foo") == [GOOD]
    assert rejected(ran) == []


def test_a_served_file_with_an_invalid_entry_stays_on_a_takeover(
    index: Index, server: IndexServer, site: Site
) -> None:
    """Another file of the page is missing, so that the project is not adopted."""
    (file,) = index.release("foo", "1.0")
    (missing,) = index.release("foo", "2.0")
    EarlierRelease(site, index).write()
    (site.web / missing.path.lstrip("/")).unlink()
    spoil(server)

    ran = site.mirror()

    assert ran.code == 4
    assert rejected(ran) == [("foo", GOOD, False)]
    assert site.filenames("foo") == [GOOD, "foo-2.0-py3-none-any.whl"]
    assert site.run("verify", "--delete").report["orphans"]["files"] == 0
    assert (site.web / file.path.lstrip("/")).exists()
    site.check()
