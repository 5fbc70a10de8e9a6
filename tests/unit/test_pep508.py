"""Requirements and markers of any source: each text is read or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.closure.markers import Verdict, evaluate, extras_of
from bandersnatch.closure.requirements import parse_metadata, parse_requirement
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


NUMBERS = st.sampled_from(["0", "1", "7", "39", "40", "98", "99", "100", "07"])
ENDINGS = st.sampled_from(["", ".0", ".*", "rc1", ".post1", "+a", ".dev0", "x"])


@given(
    st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "~=", "===", "in", "not in"]),
    st.sampled_from(["3.12.", "3.12", "3.13.", "3.", ""]),
    NUMBERS,
    ENDINGS,
    st.booleans(),
)
def test_a_comparison_with_a_version_is_decided_as_by_every_patch_level(
    operator: str,
    series: str,
    number: str,
    ending: str,
    is_reversed: bool,  # noqa: FBT001 - drawn
) -> None:
    sides = ["python_full_version", f"'{series}{number}{ending}'"]
    text = f" {operator} ".join(reversed(sides) if is_reversed else sides)
    patches = tuple(f"3.12.{patch}" for patch in (*range(40), 99))

    found = evaluate(text, "", (("python_full_version", patches),))

    each = {evaluate(text, "", (("python_full_version", (patch,)),)) for patch in patches}
    assert found is (each.pop() if len(each) == 1 else Verdict.UNDECIDED)


def test_the_requirements_of_a_file_have_a_limit() -> None:
    """Each marker of 4,000 characters has a hundred comparisons."""
    marker = " or ".join(f"python_full_version == '3.12.{each}'" for each in range(95))
    lines = [f"Requires-Dist: foo{each}; {marker}" for each in range(150)]
    text = "\n".join(["Metadata-Version: 2.1", *lines, "", ""]).encode()

    assert parse_metadata(text) == "its requirements have more than 500,000 characters"


def test_a_backslash_in_an_address_is_no_mistake() -> None:
    assert parse_pep508("foo @ file:///C:\\x.whl").url == "file:///C:\\x.whl"
