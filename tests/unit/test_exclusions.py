"""What the filters leave out of a page, as it is recorded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bandersnatch.catalogue.records import MOST_EXCLUSIONS, Exclusion
from bandersnatch.catalogue.rows import exclusions_text, parse_exclusions
from bandersnatch.filters.chain import Dropped, FilterResult
from bandersnatch.mirror.project import exclusions_of
from tests.support.factories import make_detail, make_file

FILES = tuple(
    make_file(name)
    for name in sorted(
        ("foo-1.0.tar.gz", "foo-1.0.zip", "foo-2.0.tar.gz", "foo-10.0.tar.gz", "foo-x.tar.gz")
    )
)
PAGE = replace(make_detail(name="foo"), files=FILES)


def dropped(by: str, *names: str) -> Dropped:
    """Return the files of these names, dropped by a filter."""
    return Dropped(by, tuple(file for file in FILES if file.filename in names))


def test_versions_are_counted_for_each_filter_with_the_newest() -> None:
    result = FilterResult(
        replace(PAGE, files=tuple(f for f in FILES if f.filename == "foo-1.0.zip")),
        (
            dropped("latest_release", "foo-x.tar.gz", "foo-2.0.tar.gz", "foo-10.0.tar.gz"),
            dropped("exclude_platform", "foo-1.0.tar.gz"),
        ),
    )

    assert exclusions_of(PAGE, result) == (Exclusion("latest_release", 3, "10.0"),)


def test_a_project_that_is_left_out_has_no_version() -> None:
    result = FilterResult(None, (Dropped("size_project_metadata", FILES),))

    assert exclusions_of(PAGE, result) == (Exclusion("size_project_metadata", 4, "10.0"),)


def test_nothing_that_is_left_out_is_nothing() -> None:
    assert exclusions_of(PAGE, FilterResult(PAGE)) == ()


def test_their_number_has_a_limit() -> None:
    many = tuple(dropped(f"f{n}", "foo-2.0.tar.gz") for n in range(100))

    found = exclusions_of(PAGE, FilterResult(replace(PAGE, files=()), many))

    assert len(found) == MOST_EXCLUSIONS


@pytest.mark.parametrize("exclusions", [(), (Exclusion("a", 1, "2"), Exclusion("b", 3, "1 x"))])
def test_they_are_read_as_they_were_written(exclusions: tuple[Exclusion, ...]) -> None:
    assert parse_exclusions(exclusions_text(exclusions)) == exclusions


@pytest.mark.parametrize("text", ["a", "a\t1", "a\tx\t1", "a\t1\t1\t1", "\n"])
def test_an_invalid_text_is_a_damaged_row(text: str) -> None:
    with pytest.raises(ValueError, match=r"unpack|invalid literal"):
        parse_exclusions(text)
