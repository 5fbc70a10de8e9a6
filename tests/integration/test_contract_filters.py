"""All filters of earlier releases at once: the tree is what their rules give."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.index import Index
    from tests.support.site import Site

EARLIER = {
    "allowlist_project",
    "allowlist_release",
    "blocklist_project",
    "blocklist_release",
    "exclude_platform",
    "latest_release",
    "prerelease_release",
    "project_requirements",
    "project_requirements_pinned",
    "regex_project",
    "regex_project_metadata",
    "regex_release",
    "regex_release_file_metadata",
    "size_project_metadata",
    "version_range_project_metadata",
    "version_range_release_file_metadata",
    "versions_count_project_metadata",
}
"""The filters that earlier releases have."""

CONFIGURATION = """
[plugins]
enabled =
    {enabled}

[allowlist]
packages =
    # allowlist_project, allowlist_release, and no exemption from limits, for both must agree
    Good >= 1.0, != 1.9   # the extras, markers and comments of a line do not matter to the project
    pinned[extra] < 2; python_version < "3"
    Plain
    latest
    only_windows
    not-required
    blocked
    odd-one
    huge
    crowded
    single
    young
requirements = requirements.txt
requirements_path = {home}

[blocklist]
packages =
    blocked             # blocklist_project and, for every version, blocklist_release
    good == 1.1, != 1.0 # blocklist_release; no bare name, so blocklist_project skips it
    pinned == 2.0rc1
platforms =
    windows
    py2

[filter_regex]
packages = odd
releases =
    .+\\.post\\d
    9

[filter_prerelease]
packages = good

[latest_release]
keep = 2

[size_project_metadata]
max_package_size = 20 KB

[versions_count_project_metadata]
min_versions = 2
max_versions = 12

[regex_project_metadata]
none:info.version = 0\\.0
not-null:info.summary = gr
match-null:info.license = MIT

[version_range_project_metadata]
info.requires_python = 3.12

[regex_release_file_metadata]
any:release_file.packagetype =
    sdist
    bdist_wheel

[version_range_release_file_metadata]
any:release_file.requires_python =
    2.7.18
    3.12
"""

REQUIREMENTS = """\
good
PINNED == 2.0rc1
plain
latest
only-windows
unlisted
blocked
odd.one
huge
crowded
single
young
"""

RETAINED = {
    # 1.2 and 1.3 are the two latest of what the other filters leave.
    "good": ["good-1.2-py3-none-any.whl", "good-1.2.tar.gz", "good-1.3-py2.py3-none-any.whl"],
    # Of four versions, the current one takes the place of the second highest: 4.0 and 3.0 are
    # yanked, so 2.0 is what an installer takes.
    "latest": ["latest-2.0-py3-none-any.whl", "latest-4.0-py3-none-any.whl"],
    # No version is left with a file, and the project is there all the same.
    "only-windows": [],
    # 2.0rc1 is a pre-release, blocked, not allowed and not among the latest: the requirement has a
    # specifier, so that only its own filter decides on releases.
    "pinned": ["pinned-2.0rc1.tar.gz"],
    # Nothing is said about it: no Python required, and no pre-release of it is dropped.
    "plain": ["plain-1.0-py3-none-any.whl", "plain-2.0rc1-py3-none-any.whl"],
}
"""What is mirrored, worked out by hand."""

DROPPED = {
    # ---- file filters
    "good good-1.2-cp312-cp312-win_amd64.whl": "exclude_platform",
    "good good-1.2-py2-none-any.whl": "exclude_platform",
    "good good-1.2.win32.exe": "exclude_platform",
    "good good-1.2-py3.12.egg": "regex_release_file_metadata",
    "good good-1.3-py3-none-any.whl": "version_range_release_file_metadata",
    "pinned pinned-2.0rc1-py3-none-win_amd64.whl": "exclude_platform",
    "only-windows only_windows-1.0-py3-none-win32.whl": "exclude_platform",
    # ---- release filters; "good" has a bare requirement, so that all of them decide
    "good good-0.9.tar.gz": "allowlist_release",
    "good good-1.9.tar.gz": "allowlist_release",
    "good good-old_1.tar.gz": "allowlist_release",  # no version satisfies no specifier
    "good good-1.1.tar.gz": "blocklist_release",
    "good good-1.4rc1.tar.gz": "prerelease_release",
    "good good-1.4.post1.tar.gz": "regex_release",
    "good good-1.0.tar.gz": "latest_release",
    "latest latest-3.0-py3-none-any.whl": "latest_release",
    "pinned pinned-1.0-py3-none-any.whl": "project_requirements_pinned",
    "pinned pinned-3.0-py3-none-any.whl": "project_requirements_pinned",
}
"""The filter that drops each file, by project and file."""

EXCLUDED = {
    "unlisted": "allowlist_project",
    "not-required": "project_requirements",
    "blocked": "blocklist_project",
    "odd-one": "regex_project",  # matched as pip asks for it, not as it is displayed
    "huge": "size_project_metadata",  # although it is listed
    "crowded": "versions_count_project_metadata",
    "single": "versions_count_project_metadata",
    "young": "regex_project_metadata",  # the legacy document says 0.0.2
}
"""The filter that drops each project."""


@pytest.fixture
def mirror(index: Index, site: Site) -> Site:
    """Return a mirror of an index that has something for every filter, not yet run."""
    for version in ("0.9", "1.0", "1.1", "1.4rc1", "1.4.post1", "1.9", "old_1"):
        index.upload("Good", version, f"good-{version}.tar.gz")
    index.release("Good", "1.2", sdist=True)
    for ending in ("-cp312-cp312-win_amd64.whl", "-py2-none-any.whl", ".win32.exe", "-py3.12.egg"):
        index.upload("Good", "1.2", f"good-1.2{ending}")
    index.upload("Good", "1.3", "good-1.3-py2.py3-none-any.whl", requires_python=">=2.7")
    index.upload("Good", "1.3", "good-1.3-py3-none-any.whl", requires_python=">=3.13")
    for version in ("1.0", "2.0", "3.0", "4.0"):
        index.release("latest", version)
        index.release("pinned", version)
    index.yank("latest", "3.0")
    index.yank("latest", "4.0")
    index.upload("pinned", "2.0rc1", "pinned-2.0rc1.tar.gz")
    index.upload("pinned", "2.0rc1", "pinned-2.0rc1-py3-none-win_amd64.whl")
    index.upload("only_windows", "1.0", "only_windows-1.0-py3-none-win32.whl")
    index.upload("only_windows", "2.0", "only_windows-2.0-cp312-cp312-win_amd64.whl")
    for name in ("plain", "unlisted", "not-required", "blocked", "Odd_One"):
        index.release(name, "1.0")
        index.release(name, "2.0rc1")
    index.release("huge", "1.0", size=20_000)
    index.release("huge", "2.0", size=481)  # 20 KB are 20,480 bytes
    for number in range(13):
        index.release("crowded", f"{number}.0")
    index.release("single", "1.0")
    index.release("young", "0.0.1")
    index.release("young", "0.0.2")
    enabled = "\n    ".join(sorted(EARLIER))
    (site.home / "requirements.txt").write_text(REQUIREMENTS, encoding="utf-8")
    site.filter(CONFIGURATION.format(enabled=enabled, home=site.home))
    return site


def test_the_tree_is_the_documented_one(mirror: Site) -> None:
    ran = mirror.mirror()

    assert ran.code == 0
    assert ran.failed == {}
    assert mirror.names() == sorted(RETAINED)
    assert {name: mirror.filenames(name) for name in RETAINED} == RETAINED
    listed = {name: mirror.page(name)["versions"] for name in RETAINED}
    assert listed == {
        "good": ["1.2", "1.3"],
        "latest": ["2.0", "4.0"],
        "only-windows": [],
        "pinned": ["2.0rc1"],
        "plain": ["1.0", "2.0rc1"],
    }
    stored = [path.name for path in mirror.web.rglob("*") if path.suffix in {".whl", ".gz", ".exe"}]
    assert sorted(stored) == sorted(name for names in RETAINED.values() for name in names)
    mirror.check()

    again = mirror.mirror()
    assert (again.code, again.synced) == (0, [])


def test_each_file_is_dropped_by_the_documented_filter(mirror: Site) -> None:
    assert {*DROPPED.values(), *EXCLUDED.values()} == EARLIER - {
        "version_range_project_metadata",  # the index's documents tell no Python: that is kept
    }
    for asked, by in DROPPED.items():
        project, filename = asked.split()
        assert f"{filename}: dropped by {by}: " in mirror.ask("why", project, filename).out
    for project, by in EXCLUDED.items():
        said = mirror.ask("why", project).out
        assert f"{by} drops " in said, said
