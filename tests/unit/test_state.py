"""``status`` and ``todo``: the file formats, and how far S may advance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import CorruptState
from bandersnatch.mirror.state import MirrorState, Todo, next_status, parse_todo, render_todo
from bandersnatch.model.names import ProjectName
from bandersnatch.model.serials import Serial
from tests.support.records import names, serials
from tests.support.strategies import hostile_text

todos = st.builds(Todo, serials, st.dictionaries(names, serials, max_size=5))


# ---------------------------------------------------------------- todo


@given(todos)
def test_a_rendered_todo_parses_to_the_same_value(todo: Todo) -> None:
    assert parse_todo(render_todo(todo)) == todo


@given(todos)
def test_a_todo_has_the_format_that_earlier_releases_read(todo: Todo) -> None:
    """A serial on the first line, then a name and a serial on each."""
    first, *lines = render_todo(todo).splitlines()
    assert int(first) == todo.cursor
    assert {name: int(serial) for name, serial in map(str.split, lines)} == todo.pending


@pytest.mark.parametrize(
    ("text", "todo"),
    [
        ("5", Todo(Serial(5))),
        ("5\n", Todo(Serial(5))),
        (" 5 \r\nfoo 3\r\n\r\n", Todo(Serial(5), {ProjectName("foo"): Serial(3)})),
        ("5\nFoo_Bar 3\nfoo-bar 4", Todo(Serial(5), {ProjectName("foo-bar"): Serial(4)})),
        ("0\nfoo 0", Todo(Serial(0), {ProjectName("foo"): Serial(0)})),
    ],
)
def test_a_todo_of_an_earlier_release_is_parsed(text: str, todo: Todo) -> None:
    assert parse_todo(text) == todo


@pytest.mark.parametrize(
    "text",
    ["", "\n", "x", "-1", "5.0", "5 6", "5\nfoo", "5\nfoo x", "5\n../foo 3", "5\nfoo -3", "5\n 3"],
)
def test_an_invalid_todo_is_refused(text: str) -> None:
    with pytest.raises(CorruptState) as caught:
        parse_todo(text)
    assert "todo" in str(caught.value)


@given(st.lists(hostile_text | names | serials.map(str), max_size=6).map("\n".join))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        todo = parse_todo(text)
    except CorruptState:
        return
    assert parse_todo(render_todo(todo)) == todo


def test_the_cursor_is_never_below_the_status() -> None:
    assert MirrorState(Serial(7), None).cursor == 7
    assert MirrorState(Serial(7), Todo(Serial(5))).cursor == 7
    assert MirrorState(Serial(7), Todo(Serial(9))).cursor == 9


# ---------------------------------------------------------------- status


@given(serials, serials, st.lists(serials | st.none(), max_size=5))
def test_status_never_passes_a_change_that_is_not_reflected(
    status: Serial, cursor: Serial, firsts: list[Serial | None]
) -> None:
    reached = next_status(status, cursor, firsts)
    assert reached >= status
    if reached > status:
        assert reached <= cursor
        assert all(first is not None and reached < first for first in firsts)


@given(serials, serials, st.lists(serials, max_size=5))
def test_status_advances_as_far_as_it_may(
    status: Serial, cursor: Serial, firsts: list[Serial]
) -> None:
    reached = next_status(status, cursor, firsts)
    assert reached >= cursor or any(first <= reached + 1 for first in firsts)


def test_status_stays_below_the_first_change_of_each_pending_project() -> None:
    assert next_status(Serial(10), Serial(100), [Serial(50), Serial(20)]) == 19
    assert next_status(Serial(10), Serial(100), []) == 100
    assert next_status(Serial(10), Serial(100), [Serial(50), None]) == 10
