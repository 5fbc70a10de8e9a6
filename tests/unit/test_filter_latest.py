"""The filters of recent releases and of pre-releases."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from bandersnatch.errors import InvalidRules
from bandersnatch.filters.builtin.latest import LatestRelease
from bandersnatch.filters.builtin.prereleases import PrereleaseRelease
from bandersnatch.filters.interface import Needs, Stage
from bandersnatch.filters.options import FilterOptions
from bandersnatch.model.names import ProjectName
from tests.support.factories import UPLOADED, make_detail, make_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bandersnatch.filters.interface import PageFilter
    from bandersnatch.model.project import ProjectDetail


def latest(**texts: str) -> PageFilter:
    """Return the filter of the latest releases; ``_`` stands for ``-`` in ``keep_per``."""
    if "keep_per" in texts:
        texts["keep-per"] = texts.pop("keep_per")
    return LatestRelease.from_options(FilterOptions(sections={"latest_release": texts}))


def prerelease(**texts: str) -> PageFilter:
    """Return the filter of pre-releases."""
    return PrereleaseRelease.from_options(FilterOptions(sections={"filter_prerelease": texts}))


def page_of(*versions: str, yanked: Iterable[str] = (), **times: int) -> ProjectDetail:
    """Return a page with one file a version; ``times`` are hours, by version with _ for dots."""
    files = []
    for version in versions:
        hours = times.get(f"v{version.replace('.', '_')}", 0)
        fields: dict[str, Any] = {"upload_time": UPLOADED + timedelta(hours=hours)}
        if version in yanked:
            fields["yanked"] = "broken"
        files.append(make_file(f"foo-{version}.tar.gz", **fields))
    return make_detail(*files, versions=versions)


def left(made: PageFilter, page: ProjectDetail) -> set[str]:
    """Return the versions whose files are left; the page lists just the same."""
    narrowed = made.apply(page)
    assert narrowed is not None
    kept = {narrowed.version_of(file) for file in narrowed.files}
    assert set(narrowed.versions) == kept
    return kept


# ---------------------------------------------------------------- the latest


@pytest.mark.parametrize(
    ("keep", "versions", "kept"),
    [
        ("0", "1.0 2.0 3.0", "1.0 2.0 3.0"),
        ("5", "1.0 2.0 3.0", "1.0 2.0 3.0"),
        ("3", "1.0 2.0 3.0", "1.0 2.0 3.0"),
        ("2", "1.0 2.0 3.0", "2.0 3.0"),
        ("1", "1.0 2.0 3.0", "3.0"),
        ("2", "1.9 1.10 1.2", "1.9 1.10"),
        ("2", "1.0 2.0 3.0rc1", "2.0 3.0rc1"),
        ("1", "1.0 2.0 3.0rc1", "2.0"),
        ("2", "1.0 3.0a1 3.0a2", "1.0 3.0a2"),
        ("2", "1.0a1 1.0a2 1.0a3", "1.0a2 1.0a3"),
        ("2", "1.0 2.0 nonsense", "1.0 2.0"),
        ("1", "nonsense worse", "worse"),
        ("2", "1.0 1!0.1 2.0", "1!0.1 2.0"),
    ],
)
def test_the_latest_are_kept_and_the_one_that_people_install(
    keep: str, versions: str, kept: str
) -> None:
    page = page_of(*versions.split())
    assert left(latest(keep=keep), page) == set(kept.split())


def test_the_last_release_that_can_be_installed_is_never_dropped() -> None:
    page = page_of("1.0", "2.0", "3.0", yanked=("2.0", "3.0"))
    assert left(latest(keep="1"), page) == {"1.0"}
    assert left(latest(keep="2"), page) == {"1.0", "3.0"}


def test_a_release_is_yanked_when_all_its_files_are() -> None:
    files = (
        make_file("foo-1.0.tar.gz"),
        make_file("foo-2.0.tar.gz", yanked=""),
        make_file("foo-2.0-py3-none-any.whl"),
    )
    assert left(latest(keep="1"), make_detail(*files, versions=("1.0", "2.0"))) == {"2.0"}


def test_the_latest_can_be_chosen_by_time() -> None:
    page = page_of("1.0", "2.0", "3.0", v1_0=5, v2_0=9, v3_0=1)
    made = latest(keep="2", sort_by="time")
    assert left(made, page) == {"2.0", "3.0"}, "3.0 is what people install"
    page = page_of("1.0", "2.0", "3.0", v1_0=5, v2_0=1, v3_0=9)
    assert left(made, page) == {"1.0", "3.0"}
    assert made.needs is Needs.TIMES


def test_a_release_without_a_time_is_the_oldest() -> None:
    files = (
        make_file("foo-1.0.tar.gz"),
        make_file("foo-2.0.tar.gz", upload_time=None),
        make_file("foo-3.0.tar.gz"),
    )
    page = make_detail(*files, versions=("1.0", "2.0", "3.0"))
    assert left(latest(keep="2", sort_by="time"), page) == {"1.0", "3.0"}


@pytest.mark.parametrize(
    ("per", "kept"),
    [
        ("minor", "1.0.1 1.1.2 2.0 2.1b1"),
        ("major", "1.1.2 2.0 2.1b1"),
        ("project", "2.0"),
    ],
)
def test_so_many_can_be_kept_of_each_series(per: str, kept: str) -> None:
    page = page_of("1.0", "1.0.1", "1.1", "1.1.2", "2.0", "2.1b1")
    assert left(latest(keep="1", keep_per=per), page) == set(kept.split())


def test_texts_that_are_not_versions_are_one_group() -> None:
    page = page_of("1.0", "worse", "worst")
    assert left(latest(keep="1", keep_per="minor"), page) == {"1.0", "worst"}


def test_an_invalid_version_fails_nothing_and_replaces_no_release() -> None:
    page = page_of("1.0", "2.0", "3.0", "2004-01-01-draft")
    assert left(latest(keep="2"), page) == {"2.0", "3.0"}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({}, "keep: it must say how many"),
        ({"keep": "-1"}, "'-1' is not a number of releases"),
        ({"keep": "two"}, "'two' is not a number of releases"),
        ({"keep": "2", "sort_by": "tme"}, "'tme' is not a value of sort_by; did you mean 'time'"),
        ({"keep": "2", "keep_per": "patch"}, "there are: major, minor, project"),
    ],
)
def test_what_cannot_be_understood_is_refused(texts: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidRules, match=message):
        latest(**texts)


def test_the_filter_describes_itself() -> None:
    assert latest(keep="3").stage is Stage.SELECTION
    assert latest(keep="3").needs is Needs.NOTHING
    assert latest(keep="0").describe() == ("keep all releases (keep = 0)",)
    assert latest(keep="3").describe() == ("keep the latest 3",)
    made = latest(keep="2", keep_per="minor", sort_by="time")
    assert made.describe() == ("keep the latest 2 of each minor series by upload time",)
    reason = "its version is not one of the latest 2 of each minor series by upload time"
    assert made.explain(page_of("1.0"), None) == reason
    assert (
        len({latest(keep=k, keep_per=p).fingerprint() for k in "12" for p in ("minor", "major")})
        == 4
    )


versions = st.lists(
    st.sampled_from(
        [
            "1.0",
            "1.0.1",
            "1.1",
            "2.0",
            "2.0rc1",
            "2.0.dev3",
            "2.1",
            "3.0a1",
            "1!0.1",
            "odd",
            "odder",
        ]
    ),
    min_size=1,
    unique=True,
)


@given(
    versions,
    st.integers(1, 5),
    st.sampled_from(["project", "minor", "major"]),
    st.sampled_from(["version", "time"]),
    st.data(),
)
def test_the_latest_do_not_depend_on_order_and_are_the_latest_of_themselves(
    drawn: list[str], keep: int, per: str, sort_by: str, data: st.DataObject
) -> None:
    yanked = data.draw(st.sets(st.sampled_from(drawn)))
    made = latest(keep=str(keep), keep_per=per, sort_by=sort_by)
    once = made.apply(page_of(*drawn, yanked=yanked))
    assert once is not None
    assert made.apply(once) == once
    shuffled = data.draw(st.permutations(drawn))
    again = made.apply(page_of(*shuffled, yanked=yanked))
    assert again is not None
    assert set(again.files) == set(once.files)
    final = [
        v for v in drawn if v not in yanked and "odd" not in v and not Version(v).is_prerelease
    ]
    if final:
        newest = max(final, key=Version)
        assert newest in {once.version_of(file) for file in once.files}
    if per == "project":
        assert len(once.releases()) == min(keep, len(drawn))


# ---------------------------------------------------------------- pre-releases


@pytest.mark.parametrize(
    ("version", "kept"),
    [
        ("1.0", True),
        ("1.0.post1", True),
        ("1.0+local", True),
        ("1.0rc1", False),
        ("1.0a1", False),
        ("1.0alpha1", False),
        ("1.0b2", False),
        ("1.0beta2", False),
        ("1.0.dev3", False),
        ("1.0c1", False),
        ("1.0pre1", False),
        ("1.0preview1", False),
        ("1.0a", False),
        ("1.0RC1", False),
        ("1.0rc1+local", False),
        ("1.0rc1.post2", False),
        ("1.0.post1.dev2", False),
        ("nightly", True),
    ],
)
def test_pre_releases_are_recognised_by_pep_440_and_not_by_spelling(
    version: str, *, kept: bool
) -> None:
    assert left(prerelease(), page_of("0.1", version)) == {"0.1"} | ({version} if kept else set())


def test_only_the_projects_listed_lose_their_pre_releases() -> None:
    page = page_of("1.0", "2.0rc1")
    assert left(prerelease(packages="Foo"), page) == {"1.0"}
    assert left(prerelease(packages="F*  # all with f"), page) == {"1.0"}
    assert left(prerelease(packages="bar"), page) == {"1.0", "2.0rc1"}


def test_an_empty_list_of_pre_releases_is_refused() -> None:
    with pytest.raises(InvalidRules, match="the list is empty"):
        prerelease(packages="  # none")


def test_the_filter_of_pre_releases_describes_itself() -> None:
    page = page_of("1.0rc1")
    assert prerelease().describe() == ("drop the pre-releases",)
    assert prerelease().explain(page, page.files[0]) == "its version is a pre-release"
    made = prerelease(packages="foo")
    assert made.describe() == (
        "drop the pre-releases of the projects named in [filter_prerelease] (1)",
    )
    assert "'foo' in bandersnatch.conf" in made.explain(page, page.files[0])
    assert [made.fingerprint_for(ProjectName(n)) for n in ("foo", "bar")] == [
        "prerelease_release",
        "",
    ]
    everywhere = prerelease().fingerprint_for
    assert everywhere is not None
    assert everywhere(ProjectName("bar")) == "prerelease_release"
