"""The filters that judge a project as a whole: size, number of versions, status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import FilterFailure, InvalidRules
from bandersnatch.filters.builtin.limits import (
    ProjectStatusFilter,
    SizeProjectMetadata,
    VersionsCountProjectMetadata,
)
from bandersnatch.filters.interface import Needs, Stage
from bandersnatch.filters.options import FilterOptions
from bandersnatch.model.project import ProjectStatus, UnknownStatus
from tests.support.factories import make_detail, make_file

if TYPE_CHECKING:
    from bandersnatch.filters.interface import PageFilter

MIB = 1024**2


def options(enabled: str = "", **sections: dict[str, str]) -> FilterOptions:
    """Return options as a file would give them."""
    return FilterOptions(sections=sections, enabled=frozenset(enabled.split()))


def size(limit: str, allowed: str | None = None, enabled: str = "") -> PageFilter:
    """Return the filter by size."""
    sections = {"size_project_metadata": {"max_package_size": limit}}
    if allowed is not None:
        sections["allowlist"] = {"packages": allowed}
    return SizeProjectMetadata.from_options(options(enabled, **sections))


def count(enabled: str = "", allowed: str = "", **limits: str) -> PageFilter:
    """Return the filter by the number of versions."""
    sections = {"versions_count_project_metadata": limits, "allowlist": {"packages": allowed}}
    return VersionsCountProjectMetadata.from_options(options(enabled, **sections))


def of_sizes(*sizes: int | None, **fields: Any) -> Any:
    """Return a page with files of these sizes."""
    files = (make_file(f"foo-{n}.tar.gz", size=each) for n, each in enumerate(sizes))
    return make_detail(*files, **fields)


# ---------------------------------------------------------------- size


@pytest.mark.parametrize(
    ("limit", "sizes", "kept"),
    [
        ("1048576", (MIB,), True),
        ("1048575", (MIB,), False),
        ("1 MB", (MIB,), True),
        ("1M", (MIB, 1), False),
        ("1 MiB", (MIB // 2, MIB // 2), True),
        (" 2 GB\n", (2 * 1024 * MIB,), True),
        ("0", (0,), True),
        ("0", (1,), False),
    ],
)
def test_a_project_is_kept_up_to_the_limit_in_powers_of_1024(
    limit: str, sizes: tuple[int, ...], *, kept: bool
) -> None:
    page = of_sizes(*sizes)
    assert size(limit).apply(page) == (page if kept else None)


def test_a_listed_project_is_exempt() -> None:
    page = of_sizes(10)
    assert size("5", "FOO>=1").apply(page) == page
    assert size("5", "fo*").apply(page) == page
    assert size("5", "bar").apply(page) is None


def test_the_limit_applies_to_the_allowlist_if_that_selects_projects() -> None:
    assert size("5", "foo", "allowlist_project").apply(of_sizes(10)) is None
    assert size("15", "foo", "allowlist_project").apply(of_sizes(10)) is not None


def test_an_unknown_size_fails_the_project() -> None:
    assert size("5").needs is Needs.SIZES
    with pytest.raises(FilterFailure, match=r"does not give the size of foo-1\.tar\.gz"):
        size("500").apply(of_sizes(1, None))
    assert size("5", "foo").apply(of_sizes(None)) is not None, "its size is not needed"


@pytest.mark.parametrize("limit", ["", "a lot", "-5", "5 apples"])
def test_a_text_that_is_not_a_size_is_refused(limit: str) -> None:
    with pytest.raises(InvalidRules, match="max_package_size"):
        size(limit)


def test_a_size_filter_without_a_limit_is_refused() -> None:
    with pytest.raises(InvalidRules, match="how large a project may be"):
        SizeProjectMetadata.from_options(options())


def test_the_size_filter_describes_itself() -> None:
    made = size("2000", "bar")
    assert made.stage is Stage.METADATA
    assert made.describe() == (
        (
            "drop projects whose files have more than 2,000 bytes, except the 1 named in "
            "[allowlist] packages"
        ),
    )
    assert made.explain(of_sizes(3000), None) == (
        "its files have 3000 bytes, more than '2000' in bandersnatch.conf"
    )
    other = size("2000", "bar\nfoo").fingerprint_for
    assert other is not None
    assert made.fingerprint_for(of_sizes(1).name) != other(of_sizes(1).name)
    assert made.fingerprint() != size("2001", "bar").fingerprint()


# ---------------------------------------------------------------- number of versions


@pytest.mark.parametrize(
    ("limits", "versions", "kept"),
    [
        ({"min_versions": "2"}, ("1",), False),
        ({"min_versions": "2"}, ("1", "2"), True),
        ({"max_versions": "2"}, ("1", "2"), True),
        ({"max_versions": "2"}, ("1", "2", "3"), False),
        ({"min_versions": "1", "max_versions": "0"}, ("1", "2", "3"), True),
        ({"min_versions": "2", "max_versions": "2"}, ("1", "2"), True),
        ({"min_versions": "2", "max_versions": "2"}, ("1", "2", "3"), False),
    ],
)
def test_versions_count_with_or_without_files(
    limits: dict[str, str], versions: tuple[str, ...], *, kept: bool
) -> None:
    page = make_detail(make_file("foo-1.tar.gz"), versions=versions)
    assert count(**limits).apply(page) == (page if kept else None)


def test_a_version_counts_once_in_any_spelling() -> None:
    files = (make_file("foo-1.0.tar.gz"), make_file("foo-1.0.0-py3-none-any.whl"))
    assert count(max_versions="1").apply(make_detail(*files, versions=("1",))) is not None


def test_an_index_that_lists_no_versions_is_counted_by_its_files() -> None:
    files = (make_file("foo-1.0.tar.gz"), make_file("foo-2.0.tar.gz"))
    assert count(max_versions="1").apply(make_detail(*files, versions=())) is None


def test_the_number_of_versions_has_the_same_exceptions_as_the_size() -> None:
    page = make_detail(versions=("1.0", "2.0"))
    assert count(allowed="foo", max_versions="1").apply(page) == page
    assert count("allowlist_project", allowed="foo", max_versions="1").apply(page) is None


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({}, "neither it nor min_versions is set"),
        ({"min_versions": "0", "max_versions": "0"}, "neither it nor"),
        ({"min_versions": "many"}, "'many' is not a whole number"),
        ({"max_versions": "-1"}, "'-1' is not a whole number"),
        ({"max_versions": "1.5"}, "'1.5' is not a whole number"),
        ({"min_versions": "3", "max_versions": "2"}, "3 is more than max_versions, 2"),
    ],
)
def test_contradictory_limits_are_refused(limits: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidRules, match=message):
        count(**limits)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"min_versions": "2"}, "2 or more"),
        ({"max_versions": "9"}, "at most 9"),
        ({"min_versions": "2", "max_versions": "9"}, "2 to 9"),
    ],
)
def test_the_count_filter_describes_itself(limits: dict[str, str], words: str) -> None:
    made = count(**limits)
    assert made.describe() == (f"keep only projects with {words} versions",)
    assert made.explain(make_detail(), None) == f"it has 1 versions, and {words} are allowed"
    assert made.fingerprint_for(make_detail().name) == made.fingerprint().strip()
    exempt = count(allowed="foo", **limits).fingerprint_for
    assert exempt is not None
    assert exempt(make_detail().name) == "versions_count_project_metadata exempt"


# ---------------------------------------------------------------- status


@pytest.mark.parametrize("status", ProjectStatus)
@pytest.mark.parametrize(
    ("rules", "dropped"),
    [
        ({"drop": "archived"}, {"archived"}),
        ({"drop": "archived, Deprecated"}, {"archived", "deprecated"}),
        ({"drop": "archived\ndeprecated\nquarantined"}, {"archived", "deprecated", "quarantined"}),
        ({"keep": "active"}, {"archived", "deprecated", "quarantined"}),
        ({"keep": "active deprecated"}, {"archived", "quarantined"}),
    ],
)
def test_projects_are_dropped_by_their_status(
    rules: dict[str, str], dropped: set[str], status: ProjectStatus
) -> None:
    page = make_detail(status=status)
    made = ProjectStatusFilter.from_options(options(project_status=rules))
    assert made.apply(page) == (None if status.value in dropped else page)
    assert made.describe() == (f"drop projects that are {', '.join(sorted(dropped))}",)
    (option,) = rules
    assert made.explain(page, None).startswith(f"it is {status.value}: {option} = ")


@pytest.mark.parametrize(
    "rules", [{"drop": "archived deprecated quarantined"}, {"keep": "active"}], ids=str
)
def test_an_unknown_status_counts_as_active(rules: dict[str, str]) -> None:
    page = make_detail(status=UnknownStatus("new"))
    assert ProjectStatusFilter.from_options(options(project_status=rules)).apply(page) is page


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({}, "must name statuses"),
        ({"drop": ""}, "must name statuses"),
        ({"drop": "archived", "keep": "active"}, "and not both"),
        ({"drop": "archivd"}, "'archivd' is not a project's status; did you mean 'archived'"),
        ({"keep": "xyzzy"}, "there are: active, archived, deprecated, quarantined"),
        ({"drop": "active"}, "drops active projects"),
        ({"keep": "archived"}, "drops active projects"),
    ],
)
def test_contradictory_statuses_are_refused(rules: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidRules, match=message):
        ProjectStatusFilter.from_options(options(project_status=rules))


# ---------------------------------------------------------------- all of them


@given(
    sizes=st.lists(st.integers(0, 100), min_size=1, max_size=5),
    status=st.sampled_from(ProjectStatus),
    limit=st.integers(0, 300),
    most=st.integers(1, 6),
)
def test_a_filter_of_projects_keeps_a_page_as_it_is_or_drops_it(
    sizes: list[int], status: ProjectStatus, limit: int, most: int
) -> None:
    page = of_sizes(*sizes, status=status, versions=())
    for made, kept in (
        (size(str(limit)), sum(sizes) <= limit),
        (count(max_versions=str(most)), len(sizes) <= most),
        (
            ProjectStatusFilter.from_options(options(project_status={"keep": "active"})),
            status.value == "active",
        ),
    ):
        assert made.apply(page) == (page if kept else None)
        reversed_page = of_sizes(*sizes[::-1], status=status, versions=())
        assert (made.apply(reversed_page) is None) == (not kept)
