"""Requirements and markers of any source: each text is read or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.closure.markers import Verdict, evaluate, extras_of
from bandersnatch.closure.requirements import parse_requirement
from bandersnatch.errors import InvalidValue, OptionError
from bandersnatch.filters.names import requirement
from bandersnatch.filters.options import Line, Origin
from bandersnatch.model.pep508 import MAX_LENGTH, parse_marker, parse_pep508

POSIX = (("os_name", ("posix",)),)
HOSTILE = [
    r"os_name == 'a\x2'",  # not a literal of Python
    r"os_name == '\N{no such name}'",
    r"""os_name == "a\x22b'" """,  # has both quotes, and cannot be written
    "os_name == 'a\0b'",
    "os_name == 'a\nb'",
    "os_name == ",
    "(" * 3_000 + "os_name == 'a'" + ")" * 3_000,
    "os_name == 'a' or " * 1_000 + "os_name == 'b'",
    f"python_full_version < '{'9' * MAX_LENGTH}'",
]
LITERALS = st.text(st.sampled_from("ab01.'\"\\xuN{}\n\0 ()"), max_size=12)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_marker_that_cannot_be_read_is_refused_and_decides_nothing(text: str) -> None:
    with pytest.raises(InvalidValue):
        parse_marker(text)
    with pytest.raises(InvalidValue):
        parse_pep508(f"foo; {text}")
    assert evaluate(text, "", POSIX) is Verdict.UNDECIDED
    assert parse_requirement(f"foo; {text}") is None
    with pytest.raises(OptionError):
        requirement(Line(f"foo; {text}", Origin("list", 1, "foo")))


@given(LITERALS, LITERALS, st.sampled_from(["os_name", "python_version", "extra", "extras"]))
def test_any_literal_is_read_or_refused(one: str, other: str, variable: str) -> None:
    for text in (f"{variable} == '{one}'", f'"{one}" in {variable} or {variable} < "{other}"'):
        assert evaluate(text, "a", POSIX) in Verdict
        assert all(isinstance(each, str) for each in extras_of(text))
        found = parse_requirement(f"foo; {text}")
        assert found is None or str(parse_marker(found.marker)) == found.marker


def test_a_backslash_in_an_address_is_no_mistake() -> None:
    assert parse_pep508("foo @ file:///C:\\x.whl").url == "file:///C:\\x.whl"
