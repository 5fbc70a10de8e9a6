"""Removals by the index: in the promised order, within limits, and reversible."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bandersnatch.config.schema import ApiMethod
from tests.support import faults
from tests.support.steps import StepWorld, killed_at_each_step

if TYPE_CHECKING:
    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site


def test_a_project_that_the_index_removed_is_trashed(index: Index, site: Site) -> None:
    index.release("keep", "1.0")
    (file,) = index.release("gone", "1.0")
    site.mirror()
    index.remove_project("gone")

    ran = site.mirror()

    assert ran.code == 0
    assert ran.report["projects"]["removed"] == ["gone"]
    assert site.names() == ["keep"]
    assert not (site.web / "simple/gone").exists()
    assert not (site.web / file.path.lstrip("/")).exists()
    trashed = site.root / "removed" / file.path.lstrip("/")
    assert trashed.read_bytes() == file.content
    assert trashed.with_name(trashed.name + ".metadata").exists()
    assert (site.root / "removed/simple/gone/index.html").exists()
    assert site.status == index.serial
    site.check()


def test_the_trash_is_purged_after_the_grace_time(index: Index, site: Site) -> None:
    index.release("keep", "1.0")
    index.release("gone", "1.0")
    site.mirror()
    index.remove_project("gone")
    site.mirror()

    site.clock.advance(days=13.9)
    site.mirror()
    assert any((site.root / "removed").rglob("*.whl"))

    site.clock.advance(days=0.2)
    site.mirror()
    assert not any(path.is_file() for path in (site.root / "removed").rglob("*"))


def test_a_project_that_returns_within_the_grace_time_is_restored_without_a_download(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("keep", "1.0")
    (file,) = index.release("gone", "1.0")
    site.mirror()
    project = index.projects["gone"]
    index.remove_project("gone")
    site.mirror()
    index.projects["gone"] = project
    index._happens("gone", "create")
    server.forget()

    ran = site.mirror()

    assert ran.report["files"]["restored"] == 2, "the file and its core metadata"
    assert server.paths("file", "sidecar") == []
    assert site.filenames("gone") == [file.filename]
    assert "core-metadata" in site.page("gone")["files"][0]
    site.check()


def test_a_file_that_the_index_removed_is_trashed(index: Index, site: Site) -> None:
    old, new = *index.release("foo", "1.0"), *index.release("foo", "2.0")
    site.mirror()
    index.remove_file("foo", old.filename)

    ran = site.mirror()

    assert ran.code == 0
    assert site.filenames("foo") == [new.filename]
    assert (site.root / "removed" / old.path.lstrip("/")).exists()
    site.check()


def test_a_project_that_is_removed_and_created_again_is_not_removed(
    index: Index, site: Site
) -> None:
    index.release("keep", "1.0")
    index.release("foo", "1.0")
    site.mirror()
    index.remove_project("foo")
    index.release("foo", "2.0")

    ran = site.mirror()

    assert ran.code == 0
    assert site.filenames("foo") == ["foo-2.0-py3-none-any.whl"]


def test_a_cached_page_does_not_prevent_the_removal_of_a_project(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("keep", "1.0")
    index.release("gone", "1.0")
    site.mirror()
    server.freeze("/simple/gone/")
    index.remove_project("gone")

    site.mirror()

    assert site.names() == ["keep"]


def test_an_unlisted_project_is_synced_again_until_its_page_is_gone(
    index: Index, server: IndexServer, site: Site
) -> None:
    """Without a changelog only the list shows a removal; the page may come from a cache."""
    site.configure(api_method="simple")
    index.release("keep", "1.0")
    index.release("gone", "1.0")
    site.mirror()
    shown = site.status
    server.freeze("/simple/gone/")
    index.remove_project("gone")

    for _ in range(3):
        site.mirror()
        assert site.names() == ["gone", "keep"]
        assert site.status == shown, "the removal is neither reflected nor skipped"
        site.clock.advance(minutes=20)
    server.thaw()
    site.mirror()
    assert site.names() == ["gone", "keep"], "a page that is missing once may still exist"
    site.clock.advance(minutes=20)
    ran = site.mirror()

    assert ran.report["projects"]["removed"] == ["gone"]
    assert site.status == shown, "no entry of the list reaches the removal"
    site.check()


def test_an_unlisted_project_whose_page_outlives_every_cache_exists(
    index: Index, server: IndexServer, site: Site
) -> None:
    """Some indexes do not list every project; that must not hold back status for ever."""
    site.configure(api_method="simple")
    index.release("keep", "1.0")
    index.release("hidden", "1.0")
    site.mirror()
    shown = site.status
    server.freeze("/simple/hidden/")
    index.remove_project("hidden")
    site.mirror()
    assert site.status == shown

    site.clock.advance(hours=50)
    site.mirror()
    assert (site.status, site.todo()) == (shown, []), "no entry of the list reaches the removal"
    index.release("keep", "2.0")
    site.clock.advance(hours=25)
    site.mirror()

    assert site.status == index.serial
    assert site.names() == ["hidden", "keep"]


def test_an_unlisted_project_that_is_listed_again_is_no_longer_deferred(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(api_method="simple")
    index.release("keep", "1.0")
    index.release("back", "1.0")
    site.mirror()
    project = index.projects["back"]
    server.freeze("/simple/back/")
    index.remove_project("back")
    site.mirror()
    index.projects["back"] = project
    index._happens("back", "create")
    server.thaw()

    site.clock.advance(minutes=20)
    ran = site.mirror()

    assert ran.report["projects"]["pending"] == 0
    assert site.status == index.serial
    site.check()


def test_a_quarantined_project_keeps_a_page_with_its_status_and_no_files(
    index: Index, site: Site
) -> None:
    (file,) = index.release("evil", "1.0")
    site.mirror()
    index.quarantine("evil")

    ran = site.mirror()

    assert ran.code == 0
    page = site.page("evil")
    assert page["files"] == []
    assert page["project-status"] == {"status": "quarantined"}
    html = site.text("web/simple/evil/index.html")
    assert '<meta name="pypi:project-status" content="quarantined">' in html
    assert "<a " not in html
    assert not (site.web / file.path.lstrip("/")).exists()
    assert (site.root / "removed" / file.path.lstrip("/")).exists()


def test_the_end_of_a_quarantine_restores_the_files_without_a_download(
    index: Index, server: IndexServer, site: Site
) -> None:
    (file,) = index.release("cleared", "1.0")
    site.mirror()
    index.quarantine("cleared")
    site.mirror()
    index.clear_quarantine("cleared")
    server.forget()

    site.mirror()

    assert site.filenames("cleared") == [file.filename]
    assert server.paths("file") == []
    site.check()


def test_files_that_an_index_lists_in_quarantine_are_not_published(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("evil", "1.0")
    site.mirror()
    index.archive("evil")
    server.fault(
        "/simple/evil/", faults.edit(lambda body: body.replace(b"archived", b"quarantined"))
    )
    index.yank("evil", "1.0")

    site.mirror()

    assert site.page("evil")["files"] == []


def test_more_removals_than_the_limit_remove_nothing(index: Index, site: Site) -> None:
    for number in range(12):
        index.release(f"project{number}", "1.0")
    site.mirror()
    before = site.tree()
    for number in range(6):
        index.remove_project(f"project{number}")

    ran = site.mirror()

    assert ran.code == 5
    assert ran.stopped == ["TooManyRemovals"]
    assert "--max-removals 6" in ran.log
    assert site.tree() == before
    assert site.status < index.serial
    assert len(site.todo()) == 7


def test_refused_removals_are_done_when_the_operator_raises_the_limit(
    index: Index, site: Site
) -> None:
    for number in range(12):
        index.release(f"project{number}", "1.0")
    site.mirror()
    for number in range(6):
        index.remove_project(f"project{number}")
    site.mirror()
    index.release("new", "1.0")
    again = site.mirror()
    assert again.code == 5
    assert again.synced == ["new"]

    site.configure(max_removals=6)
    ran = site.mirror()

    assert ran.code == 0
    assert len(ran.report["projects"]["removed"]) == 6
    assert len(site.names()) == 7
    assert site.todo() == []
    assert site.status == index.serial
    site.check()


def test_the_default_limit_never_removes_the_last_project(index: Index, site: Site) -> None:
    index.release("only", "1.0")
    site.mirror()
    index.remove_project("only")

    ran = site.mirror()

    assert ran.code == 5
    assert site.names() == ["only"]


def test_with_removed_projects_keep_a_project_stays(index: Index, site: Site) -> None:
    site.configure(removed_projects="keep")
    index.release("keep", "1.0")
    index.release("gone", "1.0")
    site.mirror()
    before = site.tree()
    index.remove_project("gone")

    ran = site.mirror()

    assert ran.code == 0
    assert site.tree() == before
    assert site.status == index.serial


def test_a_project_missing_from_the_list_is_removed_at_the_second_look_after_ten_minutes(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(api_method="simple")
    for name in ("foo", "bar", "gone"):
        index.release(name, "1.0")
    site.mirror()
    index.remove_project("gone")

    first = site.mirror()
    assert first.code == 0
    assert "gone seems to be removed" in first.log
    assert "gone" in site.names()

    site.clock.advance(minutes=5)
    site.mirror()
    assert "gone" in site.names(), "too soon"

    site.clock.advance(minutes=6)
    last = site.mirror()
    assert last.report["projects"]["removed"] == ["gone"]
    assert site.names() == ["bar", "foo"]
    site.check()


def test_an_unlisted_project_whose_page_answers_stays(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(api_method="simple")
    for name in ("foo", "bar", "hidden"):
        index.release(name, "1.0")
    site.mirror()
    server.fault("list", faults.edit(lambda body: body.replace(b'"hidden"', b'"other"')))
    index.release("bar", "2.0")

    for _ in range(3):
        site.mirror()
        site.clock.advance(hours=1)

    assert "hidden" in site.names()


def test_an_empty_project_list_removes_nothing(
    index: Index, server: IndexServer, site: Site
) -> None:
    site.configure(api_method="simple")
    for name in ("foo", "bar", "baz"):
        index.release(name, "1.0")
    site.mirror()
    before = site.tree()
    index.serial += 1
    server.fault("list", faults.body(b'{"meta": {"_last-serial": 999}, "projects": []}'))

    for _ in range(2):
        ran = site.mirror()
        site.clock.advance(hours=1)
        assert ran.code == 5

    assert site.tree() == before


def test_a_first_run_against_an_empty_index_is_refused(index: Index, site: Site) -> None:
    ran = site.mirror()

    assert ran.code == 3
    assert "no projects" in ran.log


def test_the_trash_of_a_killed_removal_is_purged_after_the_grace_time() -> None:
    def make() -> StepWorld:
        world = StepWorld()
        world.index.remove_project("Alpha")
        return world

    for world in killed_at_each_step(make, StepWorld.mirrors):
        world.check()
        world.does(world.mirrors())
        world.check()

        assert world.names() == ["beta", "gamma"]
        assert world.forgotten_in_removed() == set()


def test_page_versions_are_trashed_under_any_layout(index: Index, site: Site) -> None:
    site.configure(keep_index_versions=3)
    index.release("keep", "1.0")
    index.release("gone", "1.0")
    site.mirror()
    site.configure(hash_index="true")
    site.mirror()
    assert list((site.web / "simple/gone/versions").iterdir())
    index.remove_project("gone")

    site.mirror()

    assert not (site.web / "simple/gone").exists()
    assert not (site.web / "simple/g").exists()
    assert len(list((site.root / "removed/simple/gone/versions").iterdir())) == 3
    site.check()


def test_a_file_that_another_project_owns_too_stays(index: Index, site: Site) -> None:
    """Some indexes assign files to projects by prefixes of their names."""
    content = b"of both" * 50
    shared = index.upload("a", "1.0", "a-b-1.0.tar.gz", content=content)
    index.upload("a-b", "1.0", "a-b-1.0.tar.gz", content=content)
    (own,) = index.release("a", "2.0")
    site.mirror()
    index.remove_project("a")

    assert site.mirror().report["projects"]["removed"] == ["a"]

    assert (site.web / shared.path.lstrip("/")).read_bytes() == content
    assert not (site.web / own.path.lstrip("/")).exists()
    site.check()


def test_a_file_that_two_removed_projects_own_is_trashed(index: Index, site: Site) -> None:
    content = b"of both" * 50
    index.upload("a", "1.0", "a-b-1.0.tar.gz", content=content)
    shared = index.upload("a-b", "1.0", "a-b-1.0.tar.gz", content=content)
    index.release("keep", "1.0")
    site.mirror()
    index.remove_project("a")
    index.remove_project("a-b")

    site.mirror()

    assert not (site.web / shared.path.lstrip("/")).exists()
    assert (site.root / "removed" / shared.path.lstrip("/")).exists()


def test_a_page_of_an_excluded_project_that_a_killed_sync_published_is_removed() -> None:
    """The sync was about to restore it."""

    def make() -> StepWorld:
        world = StepWorld()
        world.does(world.deletes("Alpha", until_next_change=True))
        return world

    for world in killed_at_each_step(make, lambda world: world.syncs("Alpha")):
        world.index.remove_project("Alpha")
        world.does(world.mirrors())

        assert world.page("alpha") is None
        assert world.forgotten_in_removed() == set()


@pytest.mark.parametrize("method", [ApiMethod.AUTO, ApiMethod.SIMPLE])
def test_a_killed_removal_is_not_undone_by_another_command(method: ApiMethod) -> None:
    """The root page does not list a project whose page is removed already."""

    def make() -> StepWorld:
        world = StepWorld(method)
        world.index.remove_project("Alpha")
        if method is ApiMethod.SIMPLE:
            world.does(world.mirrors())  # the first look
            world.clock.advance(minutes=11)
        return world

    for world in killed_at_each_step(make, StepWorld.mirrors):
        world.does(world.syncs("beta"))
        world.check()
        world.does(world.mirrors())
        world.check()

        assert world.names() == ["beta", "gamma"]
        assert world.page("alpha") is None
        entries = (project.serial for project in world.index.projects.values())
        reached = max(entries) if method is ApiMethod.SIMPLE else world.index.serial
        assert world.status == reached
