"""Which regular expressions are refused for the time that they can take."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import VERSION_PATTERN

from bandersnatch.errors import OptionError
from bandersnatch.filters.builtin.ambiguity import check_time
from bandersnatch.filters.builtin.automaton import Automaton

EXPONENTIAL = "more ways than one"
COMPLICATED = "too complicated"

FINE = [
    r"",
    r"^\d+(\.\d+)*rc",
    r"(foo|bar)-.*",
    r"^(?!foo).*",
    r".*-nightly$",
    r"(?i)torch.*",
    r"(\w+\.)*\w+",
    r"((?!foo).)*x",
    r"(?<!a)b*",
    r"(?!)",
    r"(?:a|b|a)*c",
    r"(a?)*b",
    r"(a?)+$",
    r"a{0}(a{0})*b",
    r"(a{1,1}b)*c",
    r"(?=.*foo).*bar",
    r"(a+)\1",
    r"(a)?(?(1)b|c)*",
    r"(a)?(?(1)b)c",
    r"(?>a+)b",
    r"a++b",
    r"[a-z]{2}(-[a-z]{2})*",
    r"(\d{1,3}\.){3}\d{1,3}$",
    r"([a-z]{3})+$",
    r"(?:a{2,}b)*c",
    r"(?:(?!)a)*b",
    r"[\w.-]+(\[[\w,]+\])?",
    r"Programming Language :: Python :: 3(\.\d+)*",
    r'"([^"\\]|\\.)*"',
    r"(?:ab|cd)*e",
    r"(?:ab|AB)*e",
    r"(?:[\u0400-\u04ff]b|\db)*c",
    r"(?i:x)(?:ab|AB)*e",
    r"(?i)(?:(?-i:ab|AB))*e",
    r"(?s:.)(?:\n\n|.a)*b",
    r"(?:[^\W]a|\Wa)*b",
    f"(?xi){VERSION_PATTERN}",
]

EXPLOSIVE = [
    r"(a+)+$",
    r"(a|a)*b",
    r"(a|aa)+$",
    r"(.*)*x",
    r"(\w+\s?)+$",
    r"([a-z]+)*\d",
    r"(?:a|b|ab)*c",
    r"(x+x+)+y",
    r"(.*,)*x",
    r"((a?)*b)*c",
    r"((a?)+b)*c",
    r"(?:(?:ab)*(?:ab)*)*c",
    r"(?:(?:|)b)*c",
    r"(?i)(?:ab|AB)*e",
    r"(?i:(?:ab|AB)*)e",
    r"(?s)(?:\n\n|.\n)*b",
    r"(?:\db|[5-7]b)*c",
    r"(?:[^x]b|\wb)*c",
    r"(?i)(?:\u212ab|kb)*c",
    r"(?:[\u0600-\u06ff]b|\db)*c",
    r"(?=(a+)+$)b",
    r"(?!(a+)+$)b",
    r"(x)(?(1)(a+)+|b)$",
    r"(?:a{2}|a{3})*b",
    r"(?:a{1,30}){1,30}$",
    r"(?:a{0,20}){20}b",
    r"(?:a?){30}a{30}",
    r"(?:(?:a{30,})b?)*c",
    r"(a+?)+?$",
]

CAREFUL = [r"(?>a+)+b", r"(?:a++)+b", r"(?P<x>a)(?:(?P=x)b)*c|(.)\2*", r"(.)(?:\1a)*b"]
"""Not exponential, and refused for what the check does not go into."""


def refusal(pattern: str) -> str | None:
    """Return why a pattern is refused."""
    try:
        check_time(re.compile(pattern))
    except OptionError as error:
        return str(error)
    return None


@pytest.mark.parametrize("pattern", FINE)
def test_patterns_whose_time_is_bounded_are_accepted(pattern: str) -> None:
    assert refusal(pattern) is None


@pytest.mark.parametrize("pattern", [*EXPLOSIVE, *CAREFUL])
def test_patterns_that_can_take_exponential_time_are_refused(pattern: str) -> None:
    assert EXPONENTIAL in (refusal(pattern) or "")


def test_flags_that_are_given_apart_from_the_pattern_count() -> None:
    check_time(re.compile("(?:ab|AB)*e"))
    with pytest.raises(OptionError, match=EXPONENTIAL):
        check_time(re.compile("(?:ab|AB)*e", re.IGNORECASE))


@pytest.mark.parametrize(
    "pattern",
    [
        "(?:" + "|".join(f"{chr(0x4E00 + n)}a" for n in range(300)) + ")*x",
        "(?:" + "|".join(f"{n:04}" for n in range(1500)) + ")*x",
        "".join(rf"(?:{'|'.join('ab'[n % 2] + str(n) for n in range(30))})?" for _ in range(30)),
    ],
    ids=["pairs", "circle", "edges"],
)
def test_a_pattern_that_is_too_large_to_judge_is_refused(pattern: str) -> None:
    assert COMPLICATED in (refusal(pattern) or "")


def test_what_a_later_python_may_add_is_refused_until_it_is_known() -> None:
    with pytest.raises(OptionError, match=COMPLICATED):
        Automaton().sequence([("SOMETHING_NEW", None)], 0)


def test_a_long_list_of_words_is_not_too_large() -> None:
    assert refusal("(?:" + "|".join(f"project{n}" for n in range(3000)) + ")-.*") is None


def seconds(pattern: re.Pattern[str], text: str) -> float:
    """Return the processor's time for a search in vain, at its best."""
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        assert pattern.fullmatch(text) is None
        best = min(best, time.process_time() - began)
    return best


@pytest.mark.parametrize(
    ("pattern", "pump", "lengths"),
    [
        (r"(a+)+$", "a", (14, 20)),
        (r"(a|a)*b", "a", (14, 20)),
        (r"(a|aa)+$", "a", (20, 28)),
        (r"(.*)*x", "a", (14, 20)),
        (r"(\w+\s?)+$", "a", (14, 20)),
        (r"([a-z]+)*\d", "a", (14, 20)),
        (r"((a?)*b)*c", "ab", (14, 20)),
    ],
)
def test_what_is_refused_does_take_exponential_time(
    pattern: str, pump: str, lengths: tuple[int, int]
) -> None:
    """A few characters more take many times as long, which no small power of the length does."""
    compiled = re.compile(pattern)
    short, long = (seconds(compiled, f"{pump * length}!\n!") for length in lengths)
    assert long > 8 * short


pieces = st.recursive(
    st.sampled_from(["a", "b", ".", "[ab]", "(?:)"]),
    lambda inner: (
        st.tuples(inner, inner).map("".join)
        | st.tuples(inner, inner).map(lambda two: f"({two[0]}|{two[1]})")
        | st.tuples(inner, st.sampled_from(["*", "+", "?", "*?", "{2}", "{1,2}", "{2,}"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        )
    ),
    max_leaves=5,
)
"""Small patterns over two letters."""


@given(piece=pieces)
def test_what_repeats_a_repetition_is_always_refused(piece: str) -> None:
    check = refusal(f"(?:(?:x{piece})+)+$")
    assert check is not None


@given(piece=pieces)
def test_what_is_not_repeated_is_accepted_if_its_parts_are(piece: str) -> None:
    alone = refusal(piece)
    assert (refusal(f"(?:{piece})?x(?:{piece}|y)") is None) is (alone is None)
