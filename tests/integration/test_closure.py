"""``[closure]``: what the selected projects need is mirrored, and leaves with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.closures import LINUX, WINDOWS, configuration, release

if TYPE_CHECKING:
    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site


def flask(index: Index) -> None:
    """Publish flask with what it needs, and something that it does not need."""
    release(index, "flask", "3.1", "werkzeug>=3.1", "jinja2>=3", "dotenv; extra == 'env'")
    release(index, "werkzeug", "3.0")
    release(index, "werkzeug", "3.1", "MarkupSafe>=2")
    release(index, "Jinja2", "3.1", "markupsafe>=2.0", "colorama; sys_platform == 'win32'")
    release(index, "MarkupSafe", "3.0")
    release(index, "colorama", "0.4")
    release(index, "dotenv", "1.0")
    release(index, "unrelated", "1.0")


def test_what_is_needed_is_mirrored_and_nothing_else(index: Index, site: Site) -> None:
    flask(index)
    site.filter(configuration("flask", environments=[LINUX]))

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert site.names() == ["flask", "jinja2", "markupsafe", "werkzeug"]
    assert site.filenames("werkzeug") == ["werkzeug-3.1-py3-none-any.whl"]
    site.check()


def test_markers_are_judged_for_each_environment(index: Index, site: Site) -> None:
    flask(index)
    site.filter(configuration("flask", environments=[LINUX, WINDOWS]))

    ran = site.mirror()

    assert ran.code == 0
    assert "colorama" in site.names()
    assert "has no effect" not in ran.log, "the closure reads the environments"


def test_without_environments_every_marker_may_hold(index: Index, site: Site) -> None:
    flask(index)
    site.filter(configuration("flask"))

    assert site.mirror().code == 0

    assert "colorama" in site.names()
    assert "dotenv" not in site.names(), "extras are decided"


def test_extras_are_followed_as_they_are_asked_for(index: Index, site: Site) -> None:
    flask(index)
    site.filter(configuration("flask[env]", environments=[LINUX]))

    assert site.mirror().code == 0

    assert "dotenv" in site.names()


def test_a_run_that_changes_nothing_asks_for_nothing(
    index: Index, server: IndexServer, site: Site
) -> None:
    flask(index)
    site.filter(configuration("flask", environments=[LINUX]))
    site.mirror()
    server.forget()

    ran = site.mirror()

    assert ran.code == 0
    assert server.paths("detail") == []
    assert server.paths("list") == []


def test_a_new_release_is_looked_at_alone(index: Index, server: IndexServer, site: Site) -> None:
    flask(index)
    site.filter(configuration("flask", environments=[LINUX]))
    site.mirror()
    release(index, "flask", "3.2", "werkzeug>=3.1", "jinja2>=3", "blinker")
    release(index, "blinker", "1.9")
    server.forget()

    ran = site.mirror()

    assert ran.code == 0
    assert "blinker" in site.names()
    assert sorted(server.paths("detail")) == ["/simple/blinker/", "/simple/flask/"]


def test_what_only_a_removed_project_needed_leaves_with_it(index: Index, site: Site) -> None:
    flask(index)
    release(index, "jupyter", "1.0", "werkzeug<3.1", "a")
    release(index, "a", "1.0", "b")
    release(index, "b", "1.0", "a", "c")
    release(index, "c", "1.0")
    site.filter(configuration("flask", "jupyter", environments=[LINUX]))
    site.mirror()
    assert len(site.filenames("werkzeug")) == 2
    site.filter(configuration("flask", environments=[LINUX]))
    site.options["max-removals"] = 3
    site.configure()

    refused = site.mirror()

    assert refused.code == 5
    assert "--max-removals 4" in refused.log
    assert "c" in site.names()
    assert len(site.filenames("werkzeug")) == 2

    ran = site.mirror("--max-removals", "4")

    assert ran.code == 0, ran.log
    assert site.names() == ["flask", "jinja2", "markupsafe", "werkzeug"]
    assert site.filenames("werkzeug") == ["werkzeug-3.1-py3-none-any.whl"]
    site.check()


def test_a_dependency_that_a_release_no_longer_has_leaves(index: Index, site: Site) -> None:
    flask(index)
    site.filter(configuration("flask", environments=[LINUX]))
    site.mirror()
    release(index, "flask", "3.2", "werkzeug>=3.1")

    ran = site.mirror()

    assert ran.code == 0
    assert site.names() == ["flask", "markupsafe", "werkzeug"]


def test_a_missing_dependency_fails_the_run_and_the_rest_goes_on(index: Index, site: Site) -> None:
    release(index, "foo", "1.0", "bar", "gone>=2", "other; extra == 'x'", "nope <1")
    release(index, "bar", "1.0")
    release(index, "nope", "2.0")
    site.filter(configuration("foo", environments=[LINUX]))

    ran = site.mirror()

    assert ran.code == 4
    assert "bar" in site.names()
    assert "foo 1.0 (gone>=2) needs gone, which the index does not have" in ran.log
    assert "foo 1.0 (nope <1) needs nope, of which the index has no such version" in ran.log
    assert site.mirror().code == 4, "as long as it is missing"

    site.filter(configuration("foo", environments=[LINUX], missing_dependencies="warn"))
    assert site.mirror().code == 0


def test_what_a_filter_drops_is_named_with_the_filter(index: Index, site: Site) -> None:
    release(index, "foo", "1.0", "bar", "baz>=2")
    release(index, "bar", "1.0")
    release(index, "baz", "2.0")
    site.filter(
        configuration(
            "foo",
            environments=[LINUX],
            filters="blocklist_project blocklist_release",
            sections="[blocklist]\npackages =\n    bar\n    baz>=2",
        )
    )

    ran = site.mirror()

    assert ran.code == 4
    assert "needs bar, which blocklist_project drops" in ran.log
    assert "needs baz, which" in ran.log or "of which blocklist_release drops" in ran.log


def test_sync_follows_one_project(index: Index, site: Site) -> None:
    flask(index)
    release(index, "foo", "1.0", "bar")
    release(index, "bar", "1.0")
    site.filter(configuration("flask", environments=[LINUX]))
    site.mirror()

    ran = site.sync("foo")

    assert ran.code == 0
    assert site.names() == ["bar", "flask", "foo", "jinja2", "markupsafe", "werkzeug"]
    assert site.mirror().code == 0
    assert "bar" in site.names(), "as long as foo is there"


def test_limits_fail_loudly(index: Index, site: Site) -> None:
    flask(index)
    site.filter(configuration("flask", environments=[LINUX], max_projects=2))

    ran = site.mirror()

    assert ran.code == 5
    assert "max-projects" in ran.log
    assert site.names() == ["flask"]

    site.filter(configuration("flask", environments=[LINUX], depth=1))
    ran = site.mirror()
    assert ran.code == 5
    assert "depth" in ran.log
    assert site.names() == ["flask", "jinja2", "werkzeug"]

    site.filter(configuration("flask", environments=[LINUX]))
    assert site.mirror().code == 0
    assert "markupsafe" in site.names()


def test_a_dry_run_follows_dependencies(index: Index, site: Site) -> None:
    flask(index)
    site.filter(configuration("flask", environments=[LINUX]))

    ran = site.ask("plan", "--json")

    assert ran.code == 0
    for name in ("flask", "werkzeug", "jinja2", "markupsafe"):
        assert f'"{name}"' in ran.out
