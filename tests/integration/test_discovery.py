"""Discovery: changes from the changelog, the project list, or a finite set of pages."""

from __future__ import annotations

import xmlrpc.client
from typing import TYPE_CHECKING

import pytest

from tests.support import faults

if TYPE_CHECKING:
    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site


FOO = b'"name": "foo", "_last-serial": 999999'


def calls(server: IndexServer) -> list[str]:
    """Return the XML-RPC methods that were called, in order."""
    bodies = [asked.body.decode() for asked in server.asked if asked.kind == "xmlrpc"]
    return [str(xmlrpc.client.loads(body)[1]) for body in bodies if body]


def test_a_first_run_reads_the_list_once(index: Index, server: IndexServer, site: Site) -> None:
    index.release("foo", "1.0")

    site.mirror()

    assert server.paths("list") == ["/simple/"]
    assert calls(server) == ["changelog_last_serial", "changelog_since_serial"]


def test_events_after_a_stale_list_are_read_from_the_changelog(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    index.release("gone", "1.0")
    server.freeze("/simple/")
    index.release("new", "1.0")
    index.remove_project("gone")

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert calls(server) == ["changelog_last_serial", "changelog_since_serial"]
    assert site.names() == ["foo", "new"]
    assert site.status == index.serial


def test_the_project_list_is_compared_once_a_day(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    site.clock.advance(hours=23)
    server.forget()
    site.mirror()
    assert server.paths("list") == []

    site.clock.advance(hours=2)
    site.mirror()
    assert server.paths("list") == ["/simple/"]


def test_the_daily_comparison_finds_events_that_the_changelog_lost(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    index.release("lost", "1.0")
    index.journal.clear()
    site.mirror()
    assert site.names() == ["foo"]

    site.clock.advance(hours=25)
    ran = site.mirror()

    assert ran.code == 0
    assert site.names() == ["foo", "lost"]


def test_a_project_newer_than_a_stale_list_does_not_count_as_removed(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    server.freeze("/simple/")
    site.mirror()
    index.release("new", "1.0")
    site.mirror()
    site.clock.advance(hours=25)

    ran = site.mirror()

    assert ran.code == 0
    assert "seems to be removed" not in ran.log
    assert site.names() == ["foo", "new"]


def test_the_changelog_is_read_in_pages(index: Index, server: IndexServer, site: Site) -> None:
    from bandersnatch.index import changelog  # noqa: PLC0415

    index.release("foo", "1.0")
    site.configure(timeout=60)  # The server needs seconds for a full page on a busy machine.
    site.mirror()
    server.journal_page = changelog.PAGE_EVENTS
    foo = ("foo", f"1.0+{'a' * 90}")
    for _ in range(changelog.PAGE_EVENTS):
        index.journal.append(index.journal[-1])
        index.serial += 1
        index.journal[-1] = type(index.journal[0])(*foo, 1, "nothing", index.serial)
    index.projects["foo"].serial = index.serial
    index.release("bar", "1.0")

    ran = site.mirror()

    assert ran.code == 0
    assert calls(server)[-2:] == ["changelog_since_serial", "changelog_since_serial"]
    assert site.names() == ["bar", "foo"]


@pytest.mark.parametrize("method", ["auto", "simple"])
def test_without_a_changelog_the_project_list_is_used(
    index: Index, server: IndexServer, site: Site, method: str
) -> None:
    server.has_changelog = False
    site.configure(api_method=method)
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    server.forget()
    index.release("foo", "2.0")

    ran = site.mirror()

    assert ran.code == 0
    assert ran.synced == ["foo"]
    assert server.paths("detail") == ["/simple/foo/"]
    assert site.status == index.serial


def test_an_unchanged_list_is_requested_conditionally(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(api_method="simple")
    index.release("foo", "1.0")
    site.mirror()
    server.forget()

    ran = site.mirror()

    assert ran.code == 0
    assert [asked.kind for asked in server.asked] == ["list"]
    assert "If-None-Match" in server.asked[0].headers


def test_xmlrpc_alone_uses_its_own_list(index: Index, server: IndexServer, site: Site) -> None:
    site.configure(api_method="xmlrpc")
    index.release("Foo", "1.0")

    ran = site.mirror()

    assert ran.code == 0
    assert server.paths("list") == []
    assert "list_packages_with_serial" in calls(server)
    assert site.names() == ["foo"]


def test_xmlrpc_alone_without_a_changelog_is_an_unusable_index(
    index: Index, server: IndexServer, site: Site
) -> None:
    server.has_changelog = False
    site.configure(api_method="xmlrpc")
    index.release("foo", "1.0")

    ran = site.mirror()

    assert ran.code == 3
    assert "api-method is xmlrpc" in ran.log


def test_a_finite_set_never_requests_the_list(
    index: Index, server: IndexServer, site: Site
) -> None:
    for name in ("foo", "bar", "other"):
        index.release(name, "1.0")
    site.allow("Foo", "bar[extra]>=1  # because")

    first = site.mirror()
    assert first.code == 0
    assert site.names() == ["bar", "foo"]
    index.release("other", "2.0")
    index.release("foo", "2.0")
    server.forget()
    second = site.mirror()

    assert second.synced == ["foo"]
    assert server.paths("list") == []
    assert server.paths("detail") == ["/simple/foo/"]
    assert site.status == index.serial


def test_a_finite_set_without_a_changelog_requests_each_page_conditionally(
    index: Index, server: IndexServer, site: Site
) -> None:
    server.has_changelog = False
    index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.allow("foo", "bar")
    site.mirror()
    server.forget()

    ran = site.mirror()

    assert ran.code == 0
    assert ran.report["projects"]["unchanged"] == 2
    assert server.paths("list", "file", "sidecar") == []
    asked = [asked for asked in server.asked if asked.kind == "detail"]
    assert len(asked) == 2
    assert all("If-None-Match" in each.headers for each in asked)
    assert not (site.root / "status").exists(), "nothing proves a serial"


def test_a_name_that_the_index_lacks_is_reported_and_is_not_a_failure(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    site.allow("foo", "no-such-project")

    ran = site.mirror()

    assert ran.code == 0
    assert ran.report["projects"]["absent"] == ["no-such-project"]
    assert "no-such-project is not on the index" in ran.log
    assert site.todo() == []


def test_a_newly_allowed_project_is_fetched_without_an_event(
    index: Index, server: IndexServer, site: Site
) -> None:
    for name in ("foo", "bar", "baz"):
        index.release(name, "1.0")
    site.allow("foo")
    site.mirror()
    site.allow("foo", "bar")
    server.forget()

    ran = site.mirror()

    assert ran.synced == ["bar"]
    assert len(server.paths("file")) == 1

    site.allowlist = None
    site.configure()
    ran = site.mirror()
    assert ran.synced == ["baz"]
    assert site.names() == ["bar", "baz", "foo"]


def test_changed_page_options_render_every_page_again_without_a_download(
    index: Index, server: IndexServer, site: Site
) -> None:
    for name in ("foo", "bar"):
        index.release(name, "1.0")
    site.mirror()
    site.configure(root_uri="https://files.example.org/pypi/")
    server.forget()

    ran = site.mirror()

    assert ran.synced == ["bar", "foo"]
    assert server.paths("file", "sidecar") == []
    assert site.page("foo")["files"][0]["url"].startswith(
        "https://files.example.org/pypi/packages/"
    )


def test_an_archived_status_without_an_event_is_found_by_a_forced_check(
    index: Index, site: Site
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    index.archive("foo")
    site.mirror()
    assert site.page("foo")["project-status"]["status"] == "active"

    ran = site.mirror("--force-check")

    assert ran.code == 0
    assert site.page("foo")["project-status"]["status"] == "archived"


def test_a_forced_check_restores_lost_files_and_fetches_nothing_else(
    index: Index, server: IndexServer, site: Site
) -> None:
    (file,) = index.release("foo", "1.0")
    index.release("bar", "1.0")
    site.mirror()
    before = site.tree()
    (site.web / file.path.lstrip("/")).unlink()
    (site.web / "simple/bar/index.v1_json").unlink()
    server.forget()

    ran = site.mirror("--force-check")

    assert ran.code == 0
    assert site.tree() == before
    assert server.paths("file") == [file.path]


def test_a_forced_check_syncs_every_project_even_with_a_todo(
    index: Index, server: IndexServer, site: Site
) -> None:
    for name in ("foo", "bar"):
        index.release(name, "1.0")
    bad = server.fault("/simple/bar/", faults.status(500))
    site.mirror()
    assert site.todo()
    bad.left = 0
    server.forget()

    ran = site.mirror("--force-check")

    assert ran.code == 0
    assert sorted(set(server.paths("detail"))) == ["/simple/bar/", "/simple/foo/"]


def test_an_index_that_is_slightly_behind_gives_a_warning(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    site.mirror()
    before = site.tree()
    index.serial -= 1

    ran = site.mirror()

    assert ran.code == 0
    assert "behind this mirror" in ran.log
    assert site.tree() == before
    assert site.status == index.serial + 1


def test_an_index_that_is_far_behind_is_refused(index: Index, site: Site) -> None:
    index.serial += 1_000_000
    index.release("foo", "1.0")
    site.mirror()
    index.serial -= 900_000

    ran = site.mirror()

    assert ran.code == 5
    assert "already at" in ran.log


def test_a_list_that_is_far_behind_is_refused_without_a_changelog(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(api_method="simple")
    index.serial += 1_000_000
    index.release("foo", "1.0")
    site.mirror()
    index.serial -= 900_000
    index.projects["foo"].serial -= 900_000

    ran = site.mirror()

    assert ran.code == 5
    assert "already at" in ran.log


def test_a_serial_far_beyond_the_list_is_not_waited_for(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(api_method="simple")
    index.release("foo", "1.0")
    huge = faults.edit(lambda body: body.replace(b'"name": "foo", "_last-serial": ', FOO))
    server.fault("list", huge)

    ran = site.mirror()

    assert ran.code == 0
    assert ran.synced == ["foo"]
    assert "the list has foo at serial 9" in ran.log


def test_an_empty_list_over_xmlrpc_is_an_unusable_index(index: Index, site: Site) -> None:
    site.configure(api_method="xmlrpc")

    ran = site.mirror()

    assert ran.code == 3
    assert "no projects" in ran.log


@pytest.mark.parametrize("finite", [False, True])
def test_an_unreachable_index_exits_with_3_and_changes_nothing(
    index: Index, site: Site, *, finite: bool
) -> None:
    index.release("foo", "1.0")
    if finite:
        site.allow("foo")
    site.mirror()
    before, status, when = site.tree(), site.status, site.text("web/last-modified")
    site.configure(master="http://127.0.0.1:9")
    site.clock.advance(days=2)

    ran = site.mirror()

    assert ran.code == 3
    assert (site.tree(), site.status) == (before, status)
    assert site.text("web/last-modified") == when
    assert len(ran.errors()) == (2 if finite else 1)


def test_a_run_that_stopped_early_does_not_count_as_a_success(
    index: Index, server: IndexServer, site: Site
) -> None:
    for number in range(30):
        index.release(f"p{number}", "1.0")
    site.mirror()
    when = site.text("web/last-modified")
    site.clock.advance(days=2)
    server.fault("detail", faults.status(502))
    server.fault("xmlrpc", faults.status(502), skip=1)
    server.fault("list", faults.status(502), skip=1)

    ran = site.mirror("--force-check")

    assert ran.code == 3
    assert site.text("web/last-modified") == when


def test_a_dry_run_reports_what_would_be_done_and_changes_nothing(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("foo", "1.0")
    site.mirror()
    index.release("foo", "2.0", size=5000)
    listing = {path: path.stat().st_mtime_ns for path in site.root.rglob("*")}
    server.forget()

    ran = site.mirror("--dry-run")

    assert ran.code == 0
    assert "Dry run" in ran.out
    assert ran.synced == ["foo"]
    assert ran.report["files"]["bytes"] >= 5000
    assert server.paths("file", "sidecar") == []
    assert {path: path.stat().st_mtime_ns for path in site.root.rglob("*")} == listing


def test_a_dry_run_before_the_first_run_creates_no_directory(index: Index, site: Site) -> None:
    index.release("foo", "1.0")

    ran = site.mirror("--dry-run")

    assert ran.code == 0
    assert ran.synced == ["foo"]
    assert not site.root.exists()
