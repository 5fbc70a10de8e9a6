"""Serials and changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import InvalidValue
from bandersnatch.model.names import ProjectName
from bandersnatch.model.serials import Change, Serial, parse_serial
from tests.support.strategies import json_values


@pytest.mark.parametrize(
    ("value", "serial"),
    [
        (0, 0),
        (1, 1),
        (2**53 - 1, 2**53 - 1),
        ("0", 0),
        ("42", 42),
        ("0000000000000042", 42),
        (str(2**53 - 1), 2**53 - 1),
    ],
)
def test_a_whole_number_is_a_serial(value: object, serial: int) -> None:
    assert parse_serial(value) == serial


@pytest.mark.parametrize(
    "value",
    [
        *[-1, 2**53, 10**400, True, False, 1.0, 1.5, float("inf"), None, [], {}, b"1"],
        *["", " 1", "1 ", "1\n", "-1", "+1", "1.0", "1e3", "0x1", "1_0", "one", "None"],
        *["\u0661", "\xb2", str(2**53), "9" * 16, "0" * 16 + "1", "9" * 5_000],
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(InvalidValue, match=r"^serial "):
        parse_serial(value)


@given(json_values | st.integers() | st.from_regex(r"\s?[+-]?[0-9]{1,18}\s?"))
def test_a_serial_is_a_number_below_two_to_the_53_or_refused(value: object) -> None:
    try:
        serial = parse_serial(value)
    except InvalidValue:
        return
    assert type(serial) is int
    assert 0 <= serial < 2**53
    assert serial == int(str(value))


@pytest.mark.parametrize(
    ("action", "removes"),
    [
        ("remove project", True),
        ("remove release", False),
        ("remove file foo-1.0.tar.gz", False),
        ("Remove project", False),
        ("create", False),
        ("", False),
    ],
)
def test_only_the_action_remove_project_is_a_removal(action: str, *, removes: bool) -> None:
    change = Change(ProjectName("foo"), "Foo", Serial(5), action, 0)
    assert change.is_removal is removes
