"""Changed filters: newly selected projects are added, deselected ones removed, nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support import faults
from tests.support.filter_sections import SMALL, WITHOUT_OLD, WITHOUT_SDISTS, YOUNG, allowing

if TYPE_CHECKING:
    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site


# ---------------------------------------------------------------- projects by name


def test_widened_filters_fetch_new_projects_and_change_nothing_else(
    index: Index, server: IndexServer, site: Site
) -> None:
    for name in ("a", "b", "c"):
        index.release(name, "1.0")
    site.filter(allowing("a"))
    site.mirror()
    before = site.times()

    site.filter(allowing("a", "b"))
    ran = site.mirror()

    assert ran.code == 0
    assert ran.synced == ["b"]
    assert site.names() == ["a", "b"]
    assert {k: v for k, v in site.times().items() if k in before and "index." not in k} == {
        k: v for k, v in before.items() if "index." not in k
    }
    assert site.times()["simple/a/index.html"] == before["simple/a/index.html"]
    assert "/simple/c/" not in server.paths("detail")
    site.check()


def test_narrowed_filters_remove_deselected_projects(index: Index, site: Site) -> None:
    files = {name: index.release(name, "1.0")[0] for name in ("a", "b", "c")}
    site.filter(allowing("a", "b", "c"))
    site.mirror()

    site.filter(allowing("a"))
    ran = site.mirror()

    assert ran.code == 0
    assert ran.report["projects"]["removed"] == ["b", "c"]
    assert site.names() == ["a"]
    for name in ("b", "c"):
        assert not (site.web / "simple" / name).exists()
        assert (site.root / "removed" / files[name].path.lstrip("/")).exists()
    site.check()
    assert site.mirror().report["projects"]["removed"] == []


def test_switched_filters_do_both_and_switching_back_downloads_nothing(
    index: Index, server: IndexServer, site: Site
) -> None:
    for name in ("a", "b", "c"):
        index.release(name, "1.0")
    site.filter(allowing("a", "b"))
    site.mirror()
    before = site.tree()
    site.filter(allowing("b", "c"))
    assert site.mirror().code == 0
    assert site.names() == ["b", "c"]
    site.check()

    server.forget()
    site.filter(allowing("a", "b"))
    ran = site.mirror()

    assert ran.report["files"]["downloaded"] == 0
    assert ran.report["files"]["restored"] == 2, "the wheel and its core metadata"
    assert site.tree() == before
    site.check()


def test_a_blocked_project_is_removed_from_a_full_mirror(index: Index, site: Site) -> None:
    for name in ("a", "b"):
        index.release(name, "1.0")
    site.mirror()

    site.filter("[plugins]\nenabled = blocklist_project\n[blocklist]\npackages = B")
    ran = site.mirror()

    assert ran.code == 0
    assert site.names() == ["a"]
    site.filter("")
    assert site.mirror().synced == ["b"]
    assert site.names() == ["a", "b"]


def test_removals_above_the_limit_are_refused_until_the_operator_allows_them(
    index: Index, site: Site
) -> None:
    names = [f"p{number}" for number in range(9)]
    for name in names:
        index.release(name, "1.0")
    site.filter(allowing(*names))
    site.mirror()
    before = site.tree()

    site.filter(allowing("p0", "p1"))
    for _ in range(2):
        ran = site.mirror()
        assert ran.code == 5
        assert "the filters exclude 7 projects or all their files" in ran.log
        assert "run mirror with --max-removals 7 once" in ran.log
        assert site.tree() == before

    site.configure(max_removals=7)
    ran = site.mirror()
    assert ran.code == 0
    assert site.names() == ["p0", "p1"]
    site.check()


def test_a_project_synced_by_name_stays_when_the_filters_change(index: Index, site: Site) -> None:
    for name in ("a", "b", "c"):
        index.release(name, "1.0")
    site.filter(allowing("a", "b"))
    site.mirror()
    site.sync("c")

    site.filter(allowing("a"))
    ran = site.mirror()

    assert ran.report["projects"]["removed"] == ["b"]
    assert site.names() == ["a", "c"]
    site.check()


def test_an_adopted_tree_keeps_projects_that_the_filters_never_selected(
    index: Index, site: Site
) -> None:
    for name in ("a", "b"):
        index.release(name, "1.0")
    site.mirror()
    (site.root / "catalogue.sqlite").unlink()

    site.filter(allowing("a"))
    ran = site.mirror()

    assert ran.code == 0
    assert "the project filters do not select 1 of them; these stay as they are" in ran.log
    assert site.names() == ["a", "b"]


# ---------------------------------------------------------------- files


def test_a_file_filter_trashes_the_files_it_drops_and_restores_them_without_it(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("a", "1.0", sdist=True)
    index.release("b", "1.0")
    site.mirror()
    before, times = site.tree(), site.times()

    site.filter(WITHOUT_SDISTS)
    ran = site.mirror()

    assert ran.code == 0
    assert ran.report["files"]["removed"] == 1
    assert site.filenames("a") == ["a-1.0-py3-none-any.whl"]
    assert not list(site.web.rglob("*.tar.gz"))
    assert list((site.root / "removed").rglob("*.tar.gz"))
    assert site.times()["simple/b/index.html"] == times["simple/b/index.html"]
    site.check()

    server.forget()
    site.filter("")
    ran = site.mirror()
    assert ran.report["files"]["downloaded"] == 0
    assert site.tree() == before
    site.check()


def test_a_release_filter_drops_versions_from_the_page_too(index: Index, site: Site) -> None:
    index.release("a", "1.0")
    index.release("a", "2.0")
    site.filter(WITHOUT_OLD)
    site.mirror()
    assert site.filenames("a") == ["a-2.0-py3-none-any.whl"]
    assert site.page("a")["versions"] == ["2.0"]

    index.release("a", "3.0")
    ran = site.mirror()
    assert ran.report["files"]["removed"] == 2
    assert site.filenames("a") == ["a-3.0-py3-none-any.whl"]
    site.check()


def test_a_rule_about_one_project_syncs_no_other(
    index: Index, server: IndexServer, site: Site
) -> None:
    rules = "[plugins]\nenabled = blocklist_release\n[blocklist]\npackages =\n    a==1.0"
    for name in ("a", "b", "c"):
        for version in ("1.0", "2.0"):
            index.release(name, version)
    site.filter(rules)
    site.mirror()
    server.forget()

    site.filter(f"{rules}\n    b==2.0")
    ran = site.mirror()

    assert ran.synced == ["b"]
    assert site.filenames("b") == ["b-1.0-py3-none-any.whl"]
    assert "/simple/a/" not in server.paths("detail")
    assert "/simple/c/" not in server.paths("detail")


def test_filters_that_drop_all_files_of_many_projects_are_held(index: Index, site: Site) -> None:
    for number in range(8):
        index.release(f"p{number}", "1.0rc1")
    index.release("final", "1.0")
    site.mirror()
    before = site.tree()

    site.filter("[plugins]\nenabled = prerelease_release")
    ran = site.mirror()
    assert ran.code == 5
    assert "the filters exclude 8 projects or all their files" in ran.log
    assert site.tree() == before
    assert site.mirror().code == 5, "it is asked every time"

    site.configure(max_removals=8)
    ran = site.mirror()
    assert ran.code == 0
    assert site.filenames("p0") == []
    assert site.filenames("final") == ["final-1.0-py3-none-any.whl"]
    site.check()
    assert site.todo() == []
    assert site.status == index.serial


# ---------------------------------------------------------------- whole projects by their page


def test_an_excluded_project_is_recorded_and_requested_again_only_when_it_changes(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("large", "1.0", size=2000)
    index.release("small", "1.0")
    site.filter(SMALL)

    ran = site.mirror()

    assert ran.code == 0
    assert ran.report["projects"]["excluded"] == 1
    assert site.names() == ["small"]
    assert not (site.web / "simple/large").exists()
    server.forget()
    assert site.mirror("--dry-run").code == 0
    site.clock.advance(days=2)
    site.mirror()
    assert "/simple/large/" not in server.paths("detail"), "the list says that nothing changed"

    before = site.times()
    site.filter("")
    assert "large" in site.mirror().synced
    assert site.names() == ["large", "small"]
    assert site.times()["simple/small/index.html"] == before["simple/small/index.html"]
    site.check()


def test_a_project_that_grows_too_large_is_removed_and_can_be_mirrored_again(
    index: Index, site: Site
) -> None:
    index.release("small", "1.0")
    index.release("grows", "1.0")
    site.filter(SMALL)
    site.mirror()
    assert site.names() == ["grows", "small"]

    index.release("grows", "2.0", size=5000)
    ran = site.mirror()
    assert ran.code == 0
    assert ran.report["projects"]["removed"] == ["grows"]
    assert site.names() == ["small"]
    assert site.status == index.serial
    assert site.todo() == []

    index.remove_file("grows", "grows-2.0-py3-none-any.whl")
    assert site.mirror().code == 0
    assert site.names() == ["grows", "small"]
    site.check()


def test_deselected_projects_above_the_limit_stay(index: Index, site: Site) -> None:
    for number in range(7):
        index.release(f"p{number}", "1.0", size=3000)
    index.release("small", "1.0")
    site.mirror()
    before = site.tree()
    site.filter(SMALL)

    assert site.mirror().code == 5
    assert site.tree() == before

    site.configure(max_removals=7)
    assert site.mirror().code == 0
    assert site.names() == ["small"]


def test_sync_leaves_the_removal_of_an_excluded_project_to_mirror(index: Index, site: Site) -> None:
    index.release("small", "1.0")
    index.release("grows", "1.0")
    index.release("large", "1.0", size=5000)
    site.filter(SMALL)
    site.mirror()
    for name in ("grows", "large"):
        index.release(name, "2.0", size=5000)

    ran = site.sync("grows", "large")

    assert ran.code == 0
    assert ran.report["projects"]["excluded"] == 1
    assert "the filters drop all of grows; it stays until the next run of mirror" in ran.log
    assert site.filenames("grows") == ["grows-1.0-py3-none-any.whl"]
    assert site.names() == ["grows", "small"]
    assert site.mirror().report["projects"]["removed"] == ["grows"]
    site.check()


def test_the_record_of_an_excluded_project_is_deleted_when_the_index_removes_it(
    index: Index, site: Site
) -> None:
    for number in range(9):
        index.release(f"p{number}", "1.0", size=3000)
    index.release("small", "1.0")
    site.filter(SMALL)
    site.mirror()

    for number in range(9):
        index.remove_project(f"p{number}")
    ran = site.mirror()

    assert ran.code == 0, "nothing of them was here, so nothing is removed"
    assert ran.report["projects"]["removed"] == []
    assert site.status == index.serial


# ---------------------------------------------------------------- age


def test_a_file_that_matures_is_listed_by_the_next_run_without_an_event(
    index: Index, server: IndexServer, site: Site
) -> None:
    now = site.clock.now()
    index.release("a", "1.0")
    index.upload("a", "2.0", "a-2.0.tar.gz", upload_time=f"{now:%Y-%m-%dT%H:%M:%S}.000000Z")
    site.filter(YOUNG)
    site.mirror()
    assert site.filenames("a") == ["a-1.0-py3-none-any.whl"]

    site.clock.advance(days=6.9)
    assert site.mirror().synced == []
    site.clock.advance(days=0.2)
    ran = site.mirror()

    assert ran.synced == ["a"]
    assert site.filenames("a") == ["a-1.0-py3-none-any.whl", "a-2.0.tar.gz"]
    assert site.status == index.serial
    site.check()
    server.forget()
    assert site.mirror().synced == []


def test_a_prefetched_file_is_listed_without_a_download(
    index: Index, server: IndexServer, site: Site
) -> None:
    now = site.clock.now()
    index.release("a", "1.0")
    late = index.upload("a", "2.0", "a-2.0.tar.gz", upload_time=f"{now:%Y-%m-%dT%H:%M:%S}.000000Z")
    site.configure(diff_file=site.home / "changed")
    site.filter(f"{YOUNG.rstrip()}\n    prefetch = true")
    ran = site.mirror()
    assert "a-2.0.tar.gz" not in (site.home / "changed").read_text()
    assert ran.report["files"]["downloaded"] == 3, "two files and one core metadata"
    assert site.filenames("a") == ["a-1.0-py3-none-any.whl"]
    assert not (site.web / late.path.lstrip("/")).exists(), "it is not served yet"

    site.clock.advance(days=7.1)
    server.forget()
    ran = site.mirror()

    assert ran.report["files"]["downloaded"] == 0
    assert str(site.web / late.path.lstrip("/")) in (site.home / "changed").read_text()
    assert site.filenames("a") == ["a-1.0-py3-none-any.whl", "a-2.0.tar.gz"]
    site.check()


# ---------------------------------------------------------------- interrupted


@pytest.mark.parametrize("flags", [(), ("--force-check",)])
def test_an_interrupted_change_of_filters_is_continued(
    index: Index, server: IndexServer, site: Site, flags: tuple[str, ...]
) -> None:
    for name in ("a", "b", "c", "d"):
        index.release(name, "1.0", sdist=True)
    site.filter(allowing("a", "b", "c"))
    site.mirror()
    site.filter(
        allowing("b", "c", "d").replace("enabled =", "enabled =\n        exclude_platform\n       ")
        + "\n    [blocklist]\n    platforms = windows"
    )
    server.fault("/simple/d/", faults.status(503))
    assert site.mirror(*flags).code == 4
    server.faults.clear()
    assert "a" not in site.names(), "one that fails stops nothing else"

    ran = site.mirror()

    assert ran.code == 0
    assert site.names() == ["b", "c", "d"]
    site.check()


def test_a_dry_run_reports_removals_and_changes_nothing(index: Index, site: Site) -> None:
    for name in ("a", "b"):
        index.release(name, "1.0")
    site.filter(allowing("a", "b"))
    site.mirror()
    before = site.tree()
    site.filter(allowing("a"))

    ran = site.mirror("--dry-run")

    assert ran.report["projects"]["removed"] == ["b"]
    assert site.tree() == before
    assert json.loads(site.text("web/simple/index.v1_json"))["projects"][1]["name"] == "b"
