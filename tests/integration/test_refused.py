"""Invalid filter configurations: all problems are reported together, before any request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Ran, Site

WRONG = r"""
[plugins]
enabled =
    allowlist_projcet
    allowlist_project, latest_release
    nobody_knows_this
    allowlist_project
    allowlist_release
    blocklist_project
    blocklist_release
    exclude_platform
    latest_release
    prerelease_release
    project_requirements
    project_status
    regex_project
    regex_project_metadata
    regex_release
    regex_release_file_metadata
    release_age
    size_project_metadata
    target_environments
    version_range_project_metadata
    version_range_release_file_metadata
    versions_count_project_metadata
[allowlist]
packages =
packagse = foo
requirements =
    missing.txt
    no-such-*.txt
    rubbish.txt
    wrong.txt
[blocklist]
packages =
    foo bar
    *
packages-file =
    missing-too.txt
    no-text.bin
    a-directory
platforms =
    windwos
    macos, linux
[filter_regex]
packages =
    foo{e<=1}
    foo(
releases =
[filter_prerelease]
packages =
[latest_release]
keep = three
keep-per = major version
sort_by = size
[size_project_metadata]
max_package_size = big
[versions_count_project_metadata]
min_versions = 9
max_versions = 3
[project_status]
drop = achived
[regex_project_metadata]
some:info.name = foo
info.clasifiers = Typed
[regex_release_file_metadata]
any:release_file.packagetype =
search = perhaps
[version_range_project_metadata]
info.requires_python = new
[version_range_release_file_metadata]
[release_age]
min-age = a while
freeze-at = yesterday
exceptions = foo>=1
prefetch = maybe
[environments]
first = pyton 3.11; linux x86_64 glibc 2.28
second = python 3.11; linux x86-64 glibc 2.28
third = python 3.11; linux x86_64
fourth = python 3.11
fifth = python 3.x; windows amd64
[target_environments]
sdists = sometimes
[latest_releases]
keep = 3
"""

PROBLEMS = """
[plugins] enabled: write one name on each line, without commas
[plugins] enabled: there is no filter 'allowlist_projcet'; did you mean 'allowlist_project'?
[plugins] enabled: there is no filter 'nobody_knows_this'
[latest_releases]: there is no such section; did you mean 'latest_release'?
[allowlist] packagse: there is no such option; did you mean 'packages'?
[allowlist] packages: allowlist_project is enabled and the list is empty; name | or remove
[allowlist] packages: allowlist_release is enabled and the list is empty; name | or remove
[allowlist] requirements: 'missing.txt' in {config}, line 35: | cannot be read: No such file
[allowlist] requirements: 'no-such-*.txt' in {config}, line 36: no file in | is named no-such-*.txt
[allowlist] requirements: 'rubbish.txt' in {config}, line 37: rubbish.txt, line 2 is not | UTF-8
[allowlist] requirements: 'foo ==' in wrong.txt, line 2: | write one a line, like foo>=1
[blocklist] packages: 'foo bar' in {config}, line | write one a line, like foo>=1
[blocklist] packages: '*' in {config}, line | names nearly every project
[blocklist] packages-file: 'missing-too.txt' in {config}, line | cannot be read: No such file
[blocklist] packages-file: 'no-text.bin' in {config}, line | no-text.bin, line 1 is not | UTF-8
[blocklist] packages-file: 'a-directory' in {config}, line | cannot be read: Is a directory
[blocklist] platforms: 'windwos' in {config}, line | did you mean 'windows'?
[blocklist] platforms: 'macos,' in {config}, line | did you mean 'macos'?
[filter_regex] packages: 'foo{e<=1}' in {config}, line | begins no count | [{]
[filter_regex] packages: 'foo(' in {config}, line | not a regular expression
[filter_regex] releases: it has no pattern; write one on each line
[filter_prerelease] packages: the list is empty; name a project, or remove the option
[latest_release] keep: 'three' is not a number of releases
[latest_release] keep-per: 'major version' is not a value of keep-per; | major, minor, project
[latest_release] sort_by: 'size' is not a value of sort_by | time, version
[size_project_metadata] max_package_size: 'big' is not a size like '2 GB'
[versions_count_project_metadata] min_versions: 9 is more than max_versions, 3
[project_status] drop: | 'achived' is not a project's status; did you mean 'archived'?
[regex_project_metadata] some:info.name: 'some' is not a tag
[regex_project_metadata] info.clasifiers: info has no 'clasifiers'; did you mean 'classifiers'?
[regex_release_file_metadata] any:release_file.packagetype: it has no pattern; write one
[regex_release_file_metadata] search: 'perhaps' in {config}, line | neither true nor false
[version_range_project_metadata] info.requires_python: 'new' in | write one such as 3.12
[version_range_release_file_metadata]: the filter is enabled and no path is set, such as
[release_age] min-age: 'a while' is not a time span like '24 h'
[release_age] freeze-at: 'yesterday' is not a date like '2026-08-01'
[release_age] exceptions: 'foo>=1' in {config}, line | as foo==1.0
[release_age] prefetch: 'maybe' is neither true nor false
[environments] first: | not with 'pyton'; did you mean 'python'?
[environments] second: | 'x86-64' is not a known architecture; did you mean 'x86_64'?
[environments] third: | write 'linux ARCHITECTURE glibc X.Y'
[environments] fourth: no platform is named; add a clause such as
[environments] fifth: | '3.x' is not a version of the form X.Y
[target_environments] sdists: 'sometimes' is none of keep, drop, when-no-wheel
"""
"""The beginning of each reported line and, after bars, parts that follow in this order."""


@pytest.fixture
def wrong(index: Index, site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return a mirror whose filter sections have nearly every kind of problem."""
    index.release("foo", "1.0")
    (site.home / "rubbish.txt").write_bytes(b"foo\n\xff\xfe\x00bar")
    (site.home / "wrong.txt").write_text("foo\nfoo ==\n", encoding="utf-8")
    (site.home / "no-text.bin").write_bytes(b"\x00\x01\xff")
    (site.home / "a-directory").mkdir()
    monkeypatch.chdir(site.home)
    site.filter(WRONG)
    return site


def problems(ran: Ran, site: Site) -> list[str]:
    """Return the problems in the log, each without the path that all of them begin with."""
    beginning = f"ERROR: {site.config}: "
    return [line.partition(beginning)[2] for line in ran.log.splitlines() if beginning in line]


@pytest.mark.parametrize("command", [("mirror",), ("sync", "foo"), ("plan",), ("why", "foo")])
def test_an_invalid_configuration_sends_no_request_and_creates_nothing(
    wrong: Site, server: IndexServer, command: tuple[str, ...]
) -> None:
    ran = wrong.ask(*command)
    assert ran.code == 2
    assert len(problems(ran, wrong)) > 40
    assert server.asked == []
    assert not wrong.root.exists()


def test_every_problem_is_reported_once_on_its_own_line(wrong: Site) -> None:
    ran = wrong.ask("config", "check")
    assert ran.code == 2
    assert ran.out == ""
    lines = problems(ran, wrong)
    assert len(lines) == len(ran.log.splitlines()) == len(set(lines))
    expected = [line.replace("{config}", str(wrong.config)) for line in PROBLEMS.split("\n")[1:-1]]
    found = {line: sum(_has_all(text, line.split("|")) for text in lines) for line in expected}
    assert found == dict.fromkeys(expected, 1)
    assert len(lines) == len(expected)


def _has_all(text: str, parts: list[str]) -> bool:
    """Whether a text begins with the first part and has the others after it, in this order."""
    first, *others = (re.escape(part.strip()) for part in parts)
    return re.match(".*".join([first, *others]), text) is not None
