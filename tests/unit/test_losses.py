"""How files that the index takes off pages are counted and limited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.mirror.losses import (
    WINDOW,
    LossWindow,
    count_losses,
    loss_limit,
    within_limit,
)
from bandersnatch.model.names import project_name
from bandersnatch.model.project import ProjectDetail
from tests.support.factories import make_file

if TYPE_CHECKING:
    from bandersnatch.model.files import ReleaseFile

FOO = project_name("foo")
START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = 2_000_000_000


def file(version: str, day: int | None = None, *, sdist: bool = False) -> ReleaseFile:
    """Return a file of a version, uploaded on a day or at an unknown time."""
    filename = f"foo-{version}.tar.gz" if sdist else f"foo-{version}-py3-none-any.whl"
    time = None if day is None else START + timedelta(days=day)
    return make_file(filename, upload_time=time)


def page(*files: ReleaseFile) -> ProjectDetail:
    """Return the index's page with these files."""
    return ProjectDetail(FOO, tuple(files))


# ---------------------------------------------------------------- the limit


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        (0, 200),
        (49, 200),
        (50, 19),
        (100, 39),
        (500, 199),
        (502, 200),
        (10_000, 200),
        (10_050, 201),
        (1_000_000, 20_000),
    ],
)
def test_the_default_limit(files: int, limit: int) -> None:
    assert loss_limit(files, None) == limit


@given(st.integers(50, 10**7))
def test_the_default_limit_is_always_below_forty_percent(files: int) -> None:
    assert loss_limit(files, None) * 10 < files * 4


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_a_configured_number_replaces_the_default(files: int, configured: int) -> None:
    assert loss_limit(files, configured) == configured


@given(
    st.dictionaries(
        st.integers(0, 99).map(lambda n: project_name(f"p{n}")), st.integers(1, 50), max_size=20
    ),
    st.integers(0, 200),
)
def test_the_smallest_losses_are_allowed_first(losses: dict[str, int], rest: int) -> None:
    allowed = within_limit({project_name(name): n for name, n in losses.items()}, rest)

    others = {name: n for name, n in losses.items() if name not in allowed}
    assert sum(allowed.values()) <= rest
    assert max(allowed.values(), default=0) <= min(others.values(), default=50)
    assert not others or sum(allowed.values()) + min(others.values()) > rest


# ---------------------------------------------------------------- the window


def test_losses_are_added_up_for_24_hours() -> None:
    window = LossWindow().added(NOW, 3).added(NOW, 4).added(NOW + 60, 5)

    assert window.total == 12
    assert LossWindow.parse(window.render(), NOW + 120).total == 12
    assert LossWindow.parse(window.render(), NOW + WINDOW).total == 5
    assert LossWindow.parse(window.render(), NOW + WINDOW + 60).total == 0


@given(st.dictionaries(st.integers(NOW - 80_000, NOW), st.integers(1, 10**6), max_size=9))
def test_a_window_survives_its_storage(entries: dict[int, int]) -> None:
    window = LossWindow(tuple(entries.items()))

    assert LossWindow.parse(window.render(), NOW) == window


@given(st.text())
def test_any_stored_text_gives_a_window(text: str) -> None:
    assert LossWindow.parse(text, NOW).total >= 0


def test_a_loss_far_in_the_future_is_forgotten() -> None:
    """A clock was wrong when it was stored; otherwise it would count until that time."""
    assert LossWindow.parse(f"{NOW + 10 * WINDOW} 500", NOW).total == 0
    assert LossWindow.parse(f"{NOW + 60} 500", NOW).total == 500


# ---------------------------------------------------------------- what counts


def test_each_file_that_the_page_lacks_counts() -> None:
    published = [file("1.0", 1), file("2.0", 2), file("3.0", 3)]

    assert count_losses(published, page(*published), ()) == 0
    assert count_losses(published, page(published[2]), ()) == 2
    assert count_losses(published, page(), ()) == 3


def test_a_file_that_moved_to_another_path_is_not_lost() -> None:
    moved = make_file(
        "foo-1.0-py3-none-any.whl", path="packages/elsewhere/foo-1.0-py3-none-any.whl"
    )

    assert count_losses([file("1.0", 1)], page(moved), ()) == 0


def test_files_of_a_quarantined_release_do_not_count() -> None:
    published = [file("1.0", 1), file("1.0", 1, sdist=True), file("2.0", 2)]

    assert count_losses(published, page(published[2]), ["1.0"]) == 0
    assert count_losses(published, page(published[2]), ["1"]) == 0, "the same version"
    assert count_losses(published, page(), ["1.0"]) == 1
    assert count_losses(published, page(), ["9.0"]) == 3


@pytest.mark.parametrize("timed", [True, False])
def test_files_that_are_replaced_by_as_many_newer_ones_do_not_count(*, timed: bool) -> None:
    def build(number: int) -> ReleaseFile:
        return file(f"1.0.dev{number}", number if timed else None)

    published = [build(number) for number in range(10)]

    assert count_losses(published, page(*map(build, range(5, 15))), ()) == 0
    assert count_losses(published, page(*map(build, range(10, 20))), ()) == 0
    assert count_losses(published, page(*map(build, range(8, 11))), ()) == 7


def test_older_files_replace_nothing() -> None:
    published = [file("5.0", 5), file("6.0", 6)]

    assert count_losses(published, page(file("1.0", 1), file("2.0", 2)), ()) == 2
    assert count_losses(published, page(file("7.0", 1), file("8.0", 2)), ()) == 2
    assert count_losses([file("5.0"), file("6.0")], page(file("1.0"), file("5.5")), ()) == 1


def test_a_version_without_order_replaces_nothing() -> None:
    assert count_losses([file("odd_one")], page(file("odd_two")), ()) == 1


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20)), unique_by=lambda each: each[0]),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20)), unique_by=lambda each: each[0]),
)
def test_the_count_is_never_negative_nor_more_than_what_left(
    before: list[tuple[int, int]], after: list[tuple[int, int]]
) -> None:
    published = [file(f"{number}.0", day) for number, day in before]
    listed = [file(f"{number}.0", day) for number, day in after]
    gone = {number for number, _ in before} - {number for number, _ in after}

    assert 0 <= count_losses(published, page(*listed), ()) <= len(gone)
