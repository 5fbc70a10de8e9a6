"""The filter that lets nothing through before it has been public for a while."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import InvalidRules
from bandersnatch.filters.builtin.age import ReleaseAge
from bandersnatch.filters.chain import FilterChain
from bandersnatch.filters.interface import Needs, Stage
from bandersnatch.filters.options import FilterOptions
from bandersnatch.model.names import ProjectName
from tests.support.factories import NOW, make_detail, make_file

if TYPE_CHECKING:
    from bandersnatch.filters.interface import PageFilter
    from bandersnatch.model.project import ProjectDetail

DAY = timedelta(days=1)


def age(now: datetime = NOW, /, **texts: str) -> PageFilter:
    """Return the filter; in the names of options ``_`` stands for ``-``."""
    section = {name.replace("_", "-"): text for name, text in texts.items()}
    seconds = int(now.timestamp())
    return ReleaseAge.from_options(FilterOptions(sections={"release_age": section}, now=seconds))


def page_of(*ages: float | None) -> ProjectDetail:
    """Return a page with a version for each age in days; None for an unknown one."""
    files = [
        make_file(f"foo-{n}.tar.gz", upload_time=None if days is None else NOW - days * DAY)
        for n, days in enumerate(ages)
    ]
    return make_detail(*files, versions=tuple(str(n) for n in range(len(ages))))


def left(made: PageFilter, page: ProjectDetail) -> list[str]:
    """Return the versions whose files are left."""
    narrowed = made.apply(page)
    assert narrowed is not None
    return [narrowed.version_of(file) for file in narrowed.files]


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        ({}, ["0", "1"]),
        ({"min_age": "7 days"}, ["0", "1"]),
        ({"min_age": "7d"}, ["0", "1"]),
        ({"min_age": "168 h"}, ["0", "1"]),
        ({"min_age": "2 days"}, ["0", "1", "2"]),
        ({"min_age": "0"}, ["0", "1", "2", "3"]),
        ({"min_age": "20 days"}, ["0"]),
    ],
)
def test_files_that_are_old_enough_are_kept_and_files_without_a_time_are_not(
    texts: dict[str, str], kept: list[str]
) -> None:
    assert left(age(**texts), page_of(30, 7, 3, 0.5, None)) == kept


@pytest.mark.parametrize(
    ("date", "kept"),
    [
        ("2026-11-01", ["0", "1"]),
        ("2026-10-31", ["0"]),
        ("2026-11-01T12:00:00Z", ["0"]),
        ("2026-11-01T12:00:01+00:00", ["0", "1"]),
        ("2026-11-01 13:00:01+01:00", ["0", "1"]),
    ],
)
def test_nothing_newer_than_a_date_is_kept_however_old_it_becomes(
    date: str, kept: list[str]
) -> None:
    page = page_of(30, 20, 15)  # the second was uploaded on 2026-11-01 at noon
    for now in (NOW, NOW + 3000 * DAY):
        made = age(now, freeze_at=date)
        assert left(made, page) == kept
        assert made.next_change(page) is None


def test_projects_and_exact_versions_can_be_excepted() -> None:
    page = page_of(30, 3, 3, None)
    assert left(age(exceptions="Foo"), page) == ["0", "1", "2", "3"]
    assert left(age(exceptions="bar"), page) == ["0"]
    assert left(age(exceptions="foo==2.0"), page) == ["0", "2"]
    assert left(age(exceptions="foo==3\nf*==1"), page) == ["0", "1", "3"]
    assert left(age(freeze_at="2026-01-01", exceptions="foo==1"), page) == ["1"]


def test_when_the_next_file_is_old_enough_is_known_to_the_second() -> None:
    page = page_of(30, 3, 5, None)
    made = age()
    due = made.next_change(page)
    assert due == int((NOW + 2 * DAY).timestamp())
    assert left(age(datetime.fromtimestamp(due - 1, UTC)), page) == ["0"]
    assert left(age(datetime.fromtimestamp(due, UTC)), page) == ["0", "2"]
    assert made.next_change(page_of(30, None)) is None


def test_only_with_prefetch_is_anything_fetched_early() -> None:
    page = page_of(30, 3, None)
    assert FilterChain(pages=(age(),)).apply(page).early == ()
    (early,) = FilterChain(pages=(age(prefetch="yes"),)).apply(page).early
    assert early.filename == "foo-1.tar.gz"
    frozen = age(prefetch="true", freeze_at="2026-11-01")
    assert FilterChain(pages=(frozen,)).apply(page).early == ()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"min_age": "7"}, "'7' has no unit; write one, such as '7 days'"),
        ({"min_age": "1.5"}, "'1.5' has no unit"),
        ({"min_age": "soon"}, "'soon' is not a time span like '24 h' or '14 days'"),
        ({"freeze_at": "yesterday"}, "'yesterday' is not a date like '2026-08-01'"),
        ({"freeze_at": "2026-02-30"}, "is not a date"),
        ({"prefetch": "maybe"}, "'maybe' is neither true nor false"),
        ({"exceptions": "foo>=1"}, "name a project or one version, as foo==1.0"),
        ({"exceptions": "foo==1.*"}, "name a project or one version"),
        ({"exceptions": "foo bar"}, "is not a project's name or a requirement"),
    ],
)
def test_what_cannot_be_understood_is_refused(texts: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidRules, match=message):
        age(**texts)


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(InvalidRules) as caught:
        age(min_age="soon", freeze_at="never", prefetch="maybe", exceptions="foo bar")
    options = [problem.option for problem in caught.value.problems]
    assert options == ["min-age", "freeze-at", "prefetch", "exceptions"]


def test_the_filter_describes_itself_and_its_reasons() -> None:
    made = age(min_age="1 day", freeze_at="2026-11-20", exceptions="bar")
    assert (made.stage, made.needs) == (Stage.FILE, Needs.TIMES)
    assert made.describe() == (
        "list no file before it is 1 day old, with 1 exceptions",
        "list no file uploaded at 2026-11-21 00:00 UTC or later, with 1 exceptions",
    )
    page = page_of(0.2, 2, None)
    reasons = [age(freeze_at="2026-11-20").explain(page, file) for file in page.files]
    assert reasons == [
        "it was uploaded 2026-11-21 07:12 UTC, after freeze-at",
        "it is too young: uploaded 2026-11-19 12:00 UTC, listed from 2026-11-26 12:00 UTC",
        "the index gives no upload time, so its age is unknown",
    ]


def test_an_exception_changes_the_terms_of_its_project_only() -> None:
    with_one, without = age(exceptions="foo==1").fingerprint_for, age().fingerprint_for
    assert with_one is not None
    assert without is not None
    assert with_one(ProjectName("foo")) != without(ProjectName("foo"))
    assert with_one(ProjectName("bar")) == without(ProjectName("bar"))
    terms = {
        age(**t).fingerprint()
        for t in ({}, {"min_age": "1d"}, {"exceptions": "x"}, {"prefetch": "1"})
    }
    assert len(terms) == 4


@given(
    st.lists(st.none() | st.floats(0, 30), max_size=6),
    st.integers(0, 30),
    st.integers(0, 40),
)
def test_age_narrows_more_the_less_time_has_passed(
    ages: list[float | None], least: int, later: int
) -> None:
    page = page_of(*ages)
    made, then = age(min_age=f"{least} days"), age(NOW + later * DAY, min_age=f"{least} days")
    once = made.apply(page)
    assert once is not None
    assert made.apply(once) == once
    assert set(left(made, page)) <= set(left(then, page))
    due = made.next_change(page)
    if due is not None:
        assert left(age(datetime.fromtimestamp(due, UTC), min_age=f"{least} days"), page) != left(
            made, page
        )
