"""``config check``, ``plan`` and ``why``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import faults

if TYPE_CHECKING:
    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site

POLICY = """
    [plugins]
    enabled =
        latest_release
        allowlist_project
        exclude_platform
    [allowlist]
    packages =
        six
        zope.interface   # a comment
    [latest_release]
    keep = 2
    [blocklist]
    platforms =
        windows
"""


def line_of(site: Site, text: str) -> int:
    """Return the line number of a text in the configuration."""
    return [line.strip() for line in site.config.read_text().splitlines()].index(text) + 1


# ---------------------------------------------------------------- config check


def test_config_check_describes_filters_in_the_order_of_their_stages(
    server: IndexServer, site: Site
) -> None:
    site.filter(POLICY)

    ran = site.ask("config", "check")

    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == f"{site.config} can be used."
    assert f"Mirror:  {site.root}" in lines
    names = [line.split()[1] for line in lines if line.lstrip()[:2] in {"1.", "2.", "3."}]
    assert names == ["allowlist_project:", "exclude_platform:", "latest_release:"]
    assert "keep only the 2 projects named in [allowlist] packages" in ran.out
    assert "at most 2 can be selected" in ran.out
    assert "keep the latest 2" in ran.out
    assert not server.asked, "nothing is asked of the network"
    assert not site.root.exists(), "nothing is written"


def test_config_check_without_filters_selects_everything(site: Site) -> None:
    ran = site.ask("config", "check")
    assert ran.code == 0
    assert "Projects: all that the index has. No filter selects among them." in ran.out
    assert "Files: all." in ran.out


def test_config_check_notes_options_without_effect(site: Site) -> None:
    site.filter("[allowlist]\npackages = six\n[latest_release]\nkeep = 1")
    ran = site.ask("config", "check")
    assert ran.code == 0
    assert "Note: [allowlist] packages has no effect: no enabled filter reads it" in ran.out


def test_config_check_of_an_invalid_configuration_is_status_2_with_every_problem(
    server: IndexServer, site: Site
) -> None:
    site.filter(
        """
        [plugins]
        enabled =
            lastest_release
            allowlist_project
            exclude_platform
        [blocklist]
        platforms = windos
        """
    )
    for command in (("config", "check"), ("mirror",), ("plan",), ("why", "six")):
        ran = site.ask(*command)
        assert ran.code == 2
        assert len(ran.errors()) == 3
        assert "did you mean 'latest_release'" in ran.log
        assert "the list is empty" in ran.log
        assert "did you mean 'windows'" in ran.log
        assert f"line {line_of(site, 'platforms = windos')}" in ran.log
    assert not server.asked


def test_config_needs_a_part(site: Site) -> None:
    with pytest.raises(SystemExit, match="2"):
        site.ask("config")


# ---------------------------------------------------------------- plan

FILTERS = """
    [plugins]
    enabled =
        blocklist_project
        exclude_platform
        latest_release
        size_project_metadata
    [blocklist]
    packages = blocked
    platforms = windows
    [latest_release]
    keep = 2
    [size_project_metadata]
    max_package_size = 20 kB
"""


SIZE = "[size_project_metadata]\nmax_package_size = 20 kB"


def many(index: Index) -> None:
    """Publish projects of all kinds."""
    for name in ("a", "b", "c", "blocked"):
        for version in ("1.0", "2.0", "3.0"):
            index.release(name, version, sdist=name == "b", size=1000)
    index.upload("c", "3.0", "c-3.0-cp311-cp311-win_amd64.whl", size=700)
    index.release("large", "1.0", size=30_000)


def planned(site: Site, *arguments: str) -> dict[str, Any]:
    """Return a plan."""
    ran = site.ask("plan", "--json", *arguments)
    assert ran.code == 0, ran.log
    answer: dict[str, Any] = json.loads(ran.out)
    return answer


def test_a_plan_agrees_with_the_next_run_and_writes_nothing(
    index: Index, server: IndexServer, site: Site
) -> None:
    many(index)
    site.filter(FILTERS)

    answer = planned(site, "--files")
    assert not site.root.exists(), "a plan writes nothing"
    assert not server.paths("file"), "a plan fetches no files"
    pages = server.paths("detail")
    server.forget()
    ran = site.mirror()

    assert ran.code == 0
    assert sorted(server.paths("detail")) == sorted(pages), "a run never trusts an earlier answer"
    assert sorted(pages) == [f"/simple/{name}/" for name in ("a", "b", "c", "large")]
    release_files = [path for path in server.paths("file") if not path.endswith(".metadata")]
    assert answer["download"]["files"] == len(release_files) == 8
    files = [path for path in (site.web / "packages").rglob("*") if path.is_file()]
    sizes = [path.stat().st_size for path in files if path.suffix != ".metadata"]
    assert answer["download"]["bytes"] == sum(sizes) == answer["disk"]["bytes_after"]
    assert {(site.root / each["path"], each["bytes"]) for each in answer["files"]} == {
        (path, path.stat().st_size) for path in files if path.suffix != ".metadata"
    }
    sidecars = [path for path in files if path.suffix == ".metadata"]
    assert answer["download"]["core_metadata_files"] == len(sidecars)
    assert answer["download"]["per_project"]["b"] == {"files": 4, "bytes": 4000}
    site.check()


def test_a_plan_has_what_each_filter_drops(index: Index, site: Site) -> None:
    many(index)
    site.filter(FILTERS)
    answer = planned(site)
    assert answer["filters"] == {
        "exclude_platform": {"projects": 0, "files": 1, "bytes": 700},
        "latest_release": {"projects": 0, "files": 4, "bytes": 4000},
        "size_project_metadata": {"projects": 1, "files": 1, "bytes": 30_000},
    }
    assert answer["disk"]["projects_after"] == 3
    assert [each["name"] for each in answer["disk"]["largest"]] == ["b", "a", "c"]
    assert answer["disk"]["fits"] is True


def test_a_plan_of_a_current_mirror_is_empty(index: Index, server: IndexServer, site: Site) -> None:
    many(index)
    site.filter(FILTERS)
    site.mirror()
    before = {path: path.stat().st_mtime_ns for path in site.root.rglob("*")}
    answer = planned(site)
    assert answer["download"]["files"] == 0
    assert answer["disk"]["bytes_before"] == answer["disk"]["bytes_after"] == 8000
    after = {path: path.stat().st_mtime_ns for path in site.root.rglob("*")}
    assert {path: time for path, time in after.items() if path in before} == before
    assert after.keys() == before.keys()


def test_a_plan_has_what_changed_filters_would_remove_and_restore(index: Index, site: Site) -> None:
    many(index)
    site.filter(FILTERS)
    site.mirror()
    site.filter(
        FILTERS.replace("keep = 2", "keep = 1").replace("= blocked", "= blocked\n        a")
    )

    answer = planned(site)
    assert answer["remove"] == {"projects": ["a"], "files": 5, "bytes": 5000}
    ran = site.mirror()
    assert ran.report["projects"]["removed"] == ["a"]
    assert ran.report["files"]["removed"] == 5 + 4, "with core metadata"

    site.filter(FILTERS)
    answer = planned(site)
    assert answer["download"]["files"] == 0, "all files are in removed/"
    assert answer["restore"] == {"files": 5, "bytes": 5000}
    assert site.mirror().report["files"]["restored"] == 5 + 4


def test_a_plan_of_named_projects_checks_no_others(
    index: Index, server: IndexServer, site: Site
) -> None:
    many(index)
    site.filter(FILTERS)
    answer = planned(site, "B", "blocked")
    assert "drop blocked; ask: why blocked" in site.ask("plan", "blocked").log
    assert answer["download"]["per_project"] == {"b": {"files": 4, "bytes": 4000}}
    assert server.paths("detail") == ["/simple/b/"]
    assert not server.paths("list")


def test_a_plan_without_json_is_a_table(index: Index, site: Site) -> None:
    many(index)
    site.filter(FILTERS)
    ran = site.ask("plan", "--bandwidth", "8 kbit/s")
    assert ran.code == 0
    assert "To download: 8 files of 3 projects, 8 KB" in ran.out
    assert "Time for that: about 0:00:08 at 1 KB/s" in ran.out
    assert "exclude_platform" in ran.out
    assert "synced" not in ran.log, "it did not happen"


def test_a_plan_names_projects_that_could_not_be_checked(
    index: Index, server: IndexServer, site: Site
) -> None:
    many(index)
    site.filter(FILTERS)
    server.fault("/simple/b/", faults.body(b"{}", "application/vnd.pypi.simple.v1+json"))
    ran = site.ask("plan")
    assert ran.code == 4
    assert "Could not be checked: b: " in ran.out
    assert site.ask("plan", "--json").code == 4


def test_a_plan_that_would_remove_too_much_is_status_5(index: Index, site: Site) -> None:
    for number in range(9):
        index.release(f"p{number}", "1.0")
    site.mirror()
    site.filter("[plugins]\nenabled = allowlist_project\n[allowlist]\npackages = p1")
    ran = site.ask("plan")
    assert ran.code == 5
    assert "--max-removals 8" in ran.log


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("plan", "--bandwidth", "fast"), "--bandwidth 'fast' is not a rate"),
        (("plan", "no/name"), "is not letters, digits"),
        (("why", "no/name"), "is not letters, digits"),
    ],
)
def test_an_invalid_query_is_status_2(site: Site, arguments: tuple[str, ...], message: str) -> None:
    ran = site.ask(*arguments)
    assert ran.code == 2
    assert message in ran.log


def test_a_plan_without_an_index_is_status_3(index: Index, server: IndexServer, site: Site) -> None:
    index.release("a", "1.0")
    server.fault("", faults.status(503))
    ran = site.ask("plan")
    assert ran.code == 3
    assert not ran.out


def test_pages_that_changed_after_the_plan_are_fetched_again(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("a", "1.0")
    planned(site)
    index.release("a", "2.0")

    ran = site.mirror()

    assert ran.code == 0
    assert site.filenames("a") == ["a-1.0-py3-none-any.whl", "a-2.0-py3-none-any.whl"]
    assert site.status == index.serial


# ---------------------------------------------------------------- why


def why(site: Site, *arguments: str) -> str:
    """Return an answer."""
    ran = site.ask("why", *arguments)
    assert ran.code == 0, ran.log
    return ran.out


def test_why_names_the_filter_and_the_line_that_drop_a_project(
    index: Index, server: IndexServer, site: Site
) -> None:
    many(index)
    site.filter(FILTERS)
    site.mirror()
    server.forget()

    answer = why(site, "Blocked")

    assert answer == (
        "blocked is not mirrored: blocklist_project drops it: 'blocked' in "
        f"{site.config}, line {line_of(site, 'packages = blocked')}\n"
    )
    assert not server.asked


def test_why_of_a_mirrored_project_counts_its_files(index: Index, site: Site) -> None:
    many(index)
    site.filter(FILTERS)
    assert "c is selected, and is not in the mirror yet" in why(site, "c")
    site.mirror()
    answer = why(site, "c")
    assert f"c is mirrored, as of serial {index.projects['c'].serial}" in answer
    assert "of 4 files on the index the filters keep 2; 2 are in the mirror" in answer
    assert "exclude_platform drops 1" in answer
    assert "latest_release drops 1" in answer


def test_why_of_a_file_or_version_that_is_not_stored(index: Index, site: Site) -> None:
    many(index)
    site.filter(FILTERS)
    site.mirror()
    line = line_of(site, "platforms = windows")
    windows = (
        "c-3.0-cp311-cp311-win_amd64.whl: dropped by exclude_platform: "
        f"'windows' in {site.config}, line {line}"
    )
    assert why(site, "c", "c-3.0-cp311-cp311-win_amd64.whl").splitlines()[1:] == [windows]
    assert why(site, "c", "3.0.0").splitlines()[1:] == [
        windows,
        "c-3.0-py3-none-any.whl: kept, and in the mirror",
    ]
    assert "dropped by latest_release: its version is not one of the latest 2" in why(
        site, "c", "1.0"
    )
    assert "the index has no file or version 9.9 of c" in why(site, "c", "9.9")
    index.release("c", "4.0")
    assert "c-4.0-py3-none-any.whl: kept, and not in the mirror yet" in why(site, "c", "4.0")


def test_why_of_an_excluded_project(index: Index, site: Site) -> None:
    many(index)
    site.filter(FILTERS)
    site.mirror()
    answer = why(site, "large")
    assert "it is excluded: size_project_metadata drops the whole project" in answer
    assert "its files have 30000 bytes, more than '20 kB' in" in answer
    assert "dropped by size_project_metadata" in why(site, "large", "1.0")


def test_why_of_a_failed_project(index: Index, server: IndexServer, site: Site) -> None:
    index.release("a", "1.0")
    index.release("b", "1.0")
    server.fault("/simple/b/", faults.body(b"{}", "application/vnd.pypi.simple.v1+json"))
    site.mirror()
    answer = why(site, "b")
    assert "b is selected, and is not in the mirror yet" in answer
    assert "it failed 1 time, last 20" in answer
    assert "what the index has is unknown: " in answer


def test_why_of_a_project_whose_filter_fails(index: Index, server: IndexServer, site: Site) -> None:
    index.release("a", "1.0", metadata=False)
    server.speaks_json = server.has_legacy = False  # so that no size is known
    site.filter("[plugins]\nenabled = size_project_metadata\n" + SIZE)
    assert site.mirror().code == 4
    answer = why(site, "a")
    assert "the filter size_project_metadata failed: the index does not give the size of" in answer
    assert "until that is fixed, a does not change" in answer


def test_why_of_a_removal_that_a_limit_refused(index: Index, site: Site) -> None:
    for number in range(9):
        index.release(f"p{number}", "1.0")
    site.mirror()
    for number in range(8):
        index.remove_project(f"p{number}")
    assert site.mirror().code == 5
    answer = why(site, "p0")
    assert "it has been gone from the index since " in answer
    assert "one run may not remove so many projects" in answer


def test_why_of_a_file_that_is_too_young(index: Index, site: Site) -> None:
    now = site.clock.now()
    index.release("a", "1.0")
    index.upload("a", "2.0", "a-2.0.tar.gz", upload_time=f"{now:%Y-%m-%dT%H:%M:%S}.000000Z")
    site.filter("[plugins]\nenabled = release_age")
    site.mirror()
    answer = why(site, "a", "2.0")
    assert "dropped by release_age: it is too young: uploaded " in answer
    assert ", listed from " in answer
    assert "more files are listed from " in why(site, "a")


def test_why_of_something_that_the_index_removed(index: Index, site: Site) -> None:
    index.release("keep", "1.0")
    index.release("gone", "1.0", metadata=False)
    index.release("less", "1.0", metadata=False)
    index.release("less", "2.0", metadata=False)
    site.mirror()
    index.remove_project("gone")
    index.remove_file("less", "less-1.0-py3-none-any.whl")

    answer = why(site, "gone")
    assert "the index has no such project" in answer
    assert "gone-1.0-py3-none-any.whl: in the mirror; the next run removes it" in answer
    site.mirror()
    answer = why(site, "less", "less-1.0-py3-none-any.whl")
    assert "the index has no file or version less-1.0-py3-none-any.whl of less" in answer
    assert "less-1.0-py3-none-any.whl: in removed/ since " in answer
    assert "gone-1.0-py3-none-any.whl: in removed/" in why(
        site, "gone", "gone-1.0-py3-none-any.whl"
    )


def test_why_of_a_quarantined_or_archived_project(index: Index, site: Site) -> None:
    index.release("odd", "1.0")
    site.mirror()
    index.archive("odd")
    assert "the index says that it is archived" in why(site, "odd")
    index.quarantine("odd")
    answer = why(site, "odd")
    assert "the index says that it is quarantined" in answer
    assert "its page is mirrored without files as long as it is quarantined" in answer


def test_why_of_a_project_that_was_synced_by_name(index: Index, site: Site) -> None:
    many(index)
    site.filter(FILTERS)
    site.mirror()
    site.sync("blocked")
    answer = why(site, "blocked")
    assert "blocked is not mirrored: blocklist_project drops it" in answer
    assert "it is in the mirror nevertheless, from earlier or synced by name, and stays" in answer
    answer = why(site, "blocked", "2.0")
    assert "blocked-2.0-py3-none-any.whl: in the mirror, and stays" in answer
    assert "blocked-3.0" not in answer


def test_why_of_a_file_of_a_deselected_project(index: Index, site: Site) -> None:
    index.release("a", "1.0")
    index.release("b", "1.0")
    site.mirror()
    site.filter("[plugins]\nenabled = blocklist_project\n[blocklist]\npackages = b")
    site.mirror()
    assert "b-1.0-py3-none-any.whl: in removed/ since " in why(site, "b", "b-1.0-py3-none-any.whl")


def test_a_query_changes_nothing_and_takes_no_lock(
    index: Index, server: IndexServer, site: Site
) -> None:
    many(index)
    site.filter(FILTERS)
    site.mirror()
    before = {path: path.stat().st_mtime_ns for path in site.root.rglob("*")}
    answers: list[str] = []

    def ask(_: object) -> None:
        if not answers:
            answers.append("asking")

    server.on_request = ask
    why(site, "a")
    why(site, "a", "1.0")
    assert {path: path.stat().st_mtime_ns for path in site.root.rglob("*")} == before
