"""Changes of filters that are interrupted, reverted, refused, or meet an index that lags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bandersnatch.config.schema import ApiMethod
from tests.support import faults
from tests.support.clock import QuickClock
from tests.support.filter_machine import FilteredWorld, Rules
from tests.support.filter_sections import SMALL, WITHOUT_OLD, WITHOUT_SDISTS, YOUNG, allowing
from tests.support.index import Index

if TYPE_CHECKING:
    from tests.support.server import IndexServer
    from tests.support.site import Site

EVERY_STEP = range(70)


def world() -> FilteredWorld:
    """Return a mirror of three projects with two releases each, up to date."""
    clock = QuickClock()
    index = Index(lambda: int(clock.now().timestamp()))
    for name in ("a", "b", "c"):
        for version in ("1.0", "2.0"):
            index.release(name, version, size=100 if name == "a" else 200)
    made = FilteredWorld(index, clock, ApiMethod.AUTO)
    made.run()
    return made


# ---------------------------------------------------------------- killed


@pytest.mark.parametrize(
    "rules",
    [
        Rules(allowed=frozenset("a")),
        Rules(blocked=frozenset("bc")),
        Rules(latest=True),
        Rules(small=True),
        Rules(aged=True),
    ],
)
def test_files_that_a_killed_run_removed_are_restored_under_the_earlier_rules(rules: Rules) -> None:
    for step in EVERY_STEP:
        here = world()
        before = here.tree()
        if rules.aged:
            moment = f"{here.clock.now():%Y-%m-%dT%H:%M:%S}.000000Z"
            for file in here.index.files.values():
                file.upload_time = moment
        here.rules = rules
        here.run(kill_after=step)
        here.rules = Rules()
        here.upstream.broken |= {"b", "c"}
        here.run()
        here.upstream.mend()

        here.run()

        assert here.tree().keys() == before.keys(), step
        assert rules.aged or here.tree() == before, step
        assert here.status == here.index.serial


def test_what_a_killed_sync_published_of_an_excluded_project_is_removed() -> None:
    """Its record says that nothing of it is published, until the sync commits another one."""
    for step in range(15):
        here = world()
        here.index.release("new", "1.0", size=400)
        here.rules = Rules(small=True)
        here.run()
        here.index.quarantine("new")  # so that its page is small
        here.sync("new", step)
        here.storage.kill_after = -1
        here.index.clear_quarantine("new")

        here.run()
        here.run()

        assert here.page("new") is None, step
        assert here.status == here.index.serial


def test_a_page_of_a_killed_run_is_removed_if_its_project_is_excluded_now() -> None:
    for step in EVERY_STEP:
        here = world()
        here.index.release("new", "1.0", size=400)
        here.run(kill_after=step)

        here.rules = Rules(small=True)
        here.run()
        here.run()

        assert here.page("new") is None, step
        assert here.page("a") is not None


# ---------------------------------------------------------------- refused


def test_a_change_during_a_refused_removal_is_not_missed() -> None:
    here = world()
    here.rules, here.most = Rules(allowed=frozenset("a")), 0
    here.index.release("b", "3.0")
    here.run()
    here.rules = Rules()

    here.run()

    page = here.page("b")
    assert page is not None
    assert page["meta"]["_last-serial"] == here.status == here.index.serial


@pytest.mark.parametrize("rules", [Rules(small=True), Rules(aged=True)])
def test_a_stale_page_is_not_trusted_after_a_refused_removal(rules: Rules) -> None:
    here = world()
    here.rules = Rules(small=rules.small, aged=rules.aged)
    here.index.release("old", "1.0", size=100)
    here.run()
    here.upstream.cache("old")
    late = here.upstream.stale.pop("old")
    if rules.aged:
        here.index.remove_file("old", "old-1.0-py3-none-any.whl")
    moment = f"{here.clock.now():%Y-%m-%dT%H:%M:%S}.000000Z"
    here.index.release("old", "2.0", size=400, upload_time=moment)
    here.most = 0
    here.run()
    here.upstream.stale["old"] = late
    event = here.index.serial

    here.run()

    assert here.status < event
    assert "old" in (here.text("todo") or "")


def test_projects_that_the_index_removed_go_though_filter_removals_are_refused(
    index: Index, site: Site
) -> None:
    names = [f"p{number}" for number in range(9)]
    for name in names:
        index.release(name, "1.0")
    site.mirror()
    index.remove_project("p0")
    site.filter(allowing("p0", "p1"))

    ran = site.mirror()

    assert ran.code == 5
    assert "only what is gone was removed" in ran.log
    assert ran.report["projects"]["removed"] == ["p0"]
    assert site.names() == names[1:]
    site.check()


# ---------------------------------------------------------------- synced by name


def test_a_project_synced_by_name_and_then_selected_is_removed_when_deselected(
    index: Index, site: Site
) -> None:
    for name in ("a", "b", "c"):
        index.release(name, "1.0")
    site.filter(allowing("a", "b"))
    site.mirror()
    site.sync("c")
    site.filter(allowing("a", "b", "c"))
    assert site.mirror().code == 0

    site.filter(allowing("a", "b"))

    assert site.mirror().report["projects"]["removed"] == ["c"]
    assert site.names() == ["a", "b"]


def test_a_project_synced_by_name_stays_though_the_filters_deselect_it(
    index: Index, site: Site
) -> None:
    for name in ("a", "b", "c"):
        index.release(name, "1.0")
    site.filter(allowing("a", "b", "c"))
    site.mirror()
    site.filter(allowing("a", "b"))
    site.sync("c")

    assert site.mirror().report["projects"]["removed"] == []
    assert site.names() == ["a", "b", "c"]


# ---------------------------------------------------------------- without a catalogue


@pytest.mark.parametrize("rules", [WITHOUT_SDISTS, WITHOUT_OLD, SMALL])
def test_rules_that_change_while_the_catalogue_is_lost_are_applied(
    index: Index, site: Site, rules: str
) -> None:
    index.release("a", "1.0", size=900, sdist=True)
    index.release("a", "2.0", size=900)
    index.release("b", "1.0")
    site.mirror()
    (site.root / "catalogue.sqlite").unlink()
    times = site.times()

    site.filter(rules)
    assert site.mirror().code == 0

    assert "a" not in site.names() or len(site.filenames("a")) < 3
    assert site.times()["simple/b/index.html"] == times["simple/b/index.html"]
    site.check()


def test_a_file_that_was_too_young_when_the_catalogue_was_lost_is_listed_later(
    index: Index, site: Site
) -> None:
    index.release("a", "1.0")
    moment = f"{site.clock.now():%Y-%m-%dT%H:%M:%S}.000000Z"
    index.upload("a", "2.0", "a-2.0.tar.gz", upload_time=moment)
    site.filter(YOUNG)
    site.mirror()
    (site.root / "catalogue.sqlite").unlink()
    site.clock.advance(days=1)
    site.mirror()

    site.clock.advance(days=7)
    site.mirror()

    assert site.filenames("a") == ["a-1.0-py3-none-any.whl", "a-2.0.tar.gz"]


# ---------------------------------------------------------------- other cases


def test_published_files_that_become_too_young_are_not_downloaded_again(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("a", "1.0")
    moment = f"{site.clock.now():%Y-%m-%dT%H:%M:%S}.000000Z"
    index.upload("a", "2.0", "a-2.0.tar.gz", upload_time=moment)
    site.mirror()
    server.forget()

    site.filter(f"{YOUNG.rstrip()}\n    prefetch = true")
    ran = site.mirror()

    assert ran.report["files"]["downloaded"] == 0
    assert site.filenames("a") == ["a-1.0-py3-none-any.whl"]
    site.clock.advance(days=8)
    assert site.mirror().report["files"]["downloaded"] == 0
    assert site.filenames("a") == ["a-1.0-py3-none-any.whl", "a-2.0.tar.gz"]


def test_rules_do_not_count_as_applied_to_a_page_older_than_the_published_one() -> None:
    here = world()
    here.upstream.cache("b")
    late = here.upstream.stale.pop("b")
    here.index.yank("b", "1.0")
    here.run()
    here.upstream.stale["b"] = late
    here.rules = Rules(latest=True)
    here.run()
    assert "b" in (here.text("todo") or "")

    here.upstream.mend()
    here.run()

    page = here.page("b")
    assert page is not None
    assert page["versions"] == ["2.0"]


def test_a_file_that_changed_upstream_can_be_blocked(index: Index, site: Site) -> None:
    index.release("a", "1.0")
    index.release("a", "2.0")
    site.mirror()
    index.project("a").files.pop("a-1.0-py3-none-any.whl")
    index.upload("a", "1.0", "a-1.0-py3-none-any.whl", content=b"something else")
    assert site.mirror().code == 5

    site.filter("[plugins]\nenabled = blocklist_release\n[blocklist]\npackages = a==1.0")

    assert site.mirror().code == 0
    assert site.filenames("a") == ["a-2.0-py3-none-any.whl"]
    site.check()


def test_a_dry_run_reports_each_removal_once(index: Index, server: IndexServer, site: Site) -> None:
    for name in ("a", "b", "c"):
        index.release(name, "1.0")
    site.mirror()
    index.release("b", "2.0")
    server.fault("/simple/b/", faults.status(503))
    site.mirror()
    site.filter(allowing("a", "c"))

    dry = site.mirror("--dry-run")
    ran = site.mirror()

    assert dry.report["projects"]["removed"] == ran.report["projects"]["removed"] == ["b"]
    assert dry.report["files"] == ran.report["files"]


def test_sync_after_a_plan_fetches_the_project_again(index: Index, site: Site) -> None:
    for name in ("a", "b"):
        index.release(name, "1.0")
    site.ask("plan")
    index.release("a", "2.0")

    assert site.sync("a").code == 0

    assert len(site.filenames("a")) == 2


def test_an_unrecorded_page_is_removed_though_several_runs_are_killed() -> None:
    for first in range(8, 40):
        for second in range(12):
            here = world()
            here.index.release("new", "1.0", size=400)
            here.run(kill_after=first)
            here.rules = Rules(allowed=frozenset("abc")) if second % 2 else Rules(small=True)
            here.run(kill_after=second)
            here.run()

            assert here.page("new") is None, (first, second)
