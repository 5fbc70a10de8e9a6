"""Patterns: `re` and `regex` agree about each that is accepted, and a match has a time limit."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bandersnatch.errors import FilterFailure, OptionError
from bandersnatch.filters.builtin.regex import (
    TIME_LIMIT,
    Expression,
    RegexProject,
    RegexRelease,
    expression,
)
from bandersnatch.filters.chain import FilterChain
from bandersnatch.filters.options import Line, Origin
from bandersnatch.model.names import ProjectName
from tests.support.factories import make_detail, make_file
from tests.support.option_files import make_options


def compiled(text: str, flags: re.RegexFlag = re.NOFLAG) -> Expression:
    """Return a pattern that is written on line 7 and belongs to ``own``."""
    return expression(Line(text, Origin("x.conf", 7, text)), "own", flags)


# ---------------------------------------------------------------- the meaning

LITERALS = st.sampled_from(
    [*"abAB1-_. \n=:&|~", "\x1c", "\xe9", "\xb2", "\u0301", "\u017f", "\xdf"]
)
ITEMS = LITERALS.map(re.escape) | st.sampled_from(
    [r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", ".", "a-c", "^", "]", r"\b", "0-9"]
)
SETS = st.builds(
    lambda negation, items: f"[{negation}{''.join(items)}]",
    st.sampled_from(["", "^"]),
    st.lists(ITEMS, min_size=1, max_size=4),
)
ATOMS = (
    LITERALS.map(re.escape)
    | SETS
    | st.sampled_from(
        [*(".", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S"), *(r"\b", r"\B", "^", "$", r"\A", r"\Z")]
    )
)
COUNTS = st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{,2}", "{1,}"])
GROUPS = st.sampled_from(
    [
        *("(%s)", "(?:%s)", "(?=%s)", "(?!%s)", "(?<=%s)", "(?<!%s)", "(?i:%s)", "(?s:%s)"),
        *("(?>%s)", "(?P<n>%s)", r"(%s)\1", "(?-i:%s)", "(%s)?(?(1)a|b)", "(?#%s)", "(?m:%s)"),
    ]
)
GRAMMAR = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map("|".join),
        st.builds(lambda group, part: group % part, GROUPS, inner),
        st.builds("(?:{}){}{}".format, inner, COUNTS, st.sampled_from(["", "?", "+"])),
        st.builds("{}{}".format, ATOMS, COUNTS),
    ),
    max_leaves=6,
)
FRAGMENTS = st.sampled_from(
    [
        *("{e<=1}", "[[:alpha:]]", "--", "&&", "||", "~~", r"\p{L}", r"\X", r"\K", "(?R)", "(?1)"),
        *("(?|", "(?r)", "(?V1)", "(?b)", "(?e)", r"\L<n>", r"\m", r"\M", r"\G", "(?&n)", "(?P>n)"),
        *("(?x)", "(?a)", "(?i)", "#", "{", "}", "[", "]", "(", ")", "*", "+", r"\N{DIGIT ONE}"),
        *(
            "{1 ,2}",
            "\xa0",
            "(?u:",
            "(?a:",
            r"\h",
            r"\R",
            "(?<n>",
            "(*FAIL)",
            r"\g<1>",
            r"\0",
            "\\",
        ),
    ]
)
MUTATED = st.builds(
    lambda text, fragment, place: text[:place] + fragment + text[place:],
    GRAMMAR,
    FRAGMENTS,
    st.integers(0, 30),
)
TEXTS = st.text(
    st.sampled_from(
        [
            *("a", "b", "A", "B", "1", "-", "_", ".", " ", "\n", "=", ":", "&", "|", "~", "[", "]"),
            *("\x1c", "\xe9", "\xc9", "\xb2", "\u0301", "\u017f", "\u212a", "s", "\xdf", "\u1e9e"),
            *("i", "\u0130", "\u0131"),
        ]
    ),
    max_size=6,
)


@given(
    pattern=GRAMMAR | MUTATED,
    texts=st.lists(TEXTS, min_size=3, max_size=6).map(lambda texts: ["", *texts]),
    flags=st.sampled_from([re.NOFLAG, re.IGNORECASE, re.ASCII]),
)
def test_a_pattern_that_is_accepted_means_to_regex_what_it_means_to_re(
    pattern: str, texts: list[str], flags: re.RegexFlag
) -> None:
    try:
        found = compiled(pattern, flags)
    except OptionError:
        assume(False)  # noqa: FBT003 - it has no name
        raise
    if "(?i:" in pattern and not found.compiled.flags & re.IGNORECASE:
        # An "i" in such a group matches the letters without or with another dot only to re.
        texts = [text.translate({0x130: None, 0x131: None}) for text in texts]
    if re.search(r"\\1|\(\?P=", pattern):
        texts = list(filter(str.isascii, texts))
    for text in texts:
        assert found.matches(text) is (found.compiled.match(text) is not None)
        assert found.matches(text, anywhere=True) is (found.compiled.search(text) is not None)


@pytest.mark.parametrize("flags", [re.NOFLAG, re.ASCII])
@pytest.mark.parametrize(
    "pattern",
    [
        *(r"\b", r"\B", r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", r"\."),
        *(r"[\w-]", r"[^\w-]", r"[\W]", r"[\Wa]", r"[^\Wa]", r"[\W^]", r"[^\D\S]"),
    ],
)
def test_each_class_and_boundary_means_to_regex_what_it_means_to_re(
    pattern: str, flags: re.RegexFlag
) -> None:
    found = compiled(f"a?{pattern}b?", flags)
    for text in ("", "a", "-", "a-", "ab", " ", "1", "^", ".", "\xe9", "\xb2", "a\x1c", "\n"):
        assert found.matches(text) is (found.compiled.match(text) is not None)
        assert found.matches(text, anywhere=True) is (found.compiled.search(text) is not None)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(foo){e<=1}", "a '{' that begins no count of repeats must be written as [{]"),
        ("foo{1, 2}", "a '{' that begins no count"),
        ("foo{", "a '{' that begins no count"),
        ("[[:alpha:]]", "[[:alpha:] looks like a POSIX class or an operation of sets"),
        ("[a-z--b]", "[a-z--b] looks like"),
        ("[a&&b]", "[a&&b] looks like"),
        ("[a||b]", "[a||b] looks like"),
        ("[a~~b]", "[a~~b] looks like"),
        (r"\p{Lu}", r"it is not a regular expression (bad escape \p at position 0)"),
        (r"\L<names>", "it is not a regular expression"),
        ("(?R)", "it is not a regular expression"),
        ("(?r)foo", "it is not a regular expression"),
        ("(?V1)foo", "it is not a regular expression"),
        ("foo(?a:b)", "(?a: sets a, u or L for a part; write (?a) at the beginning"),
        ("(?x)foo\xa0bar", "a pattern with the flag x may have no spaces but those of ASCII"),
        ("(?x:foo\x1cbar)", "a pattern with the flag x may have no spaces"),
        ("a{3000000000}", "its counts of repeats multiply to more than 10,000"),
        ("((a{30}){30,}b){30}", "its counts of repeats multiply to more than 10,000"),
        ("(" * 3000 + ")" * 3000, "it is too deeply nested; split it"),
    ],
)
def test_a_pattern_that_means_another_thing_to_regex_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(OptionError) as caught:
        compiled(pattern)
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("foo[{]e<=1}", "foo{e<=1}"),
        (r"foo\{e<=1}", "foo{e<=1}"),
        ("a{2}b{1,}c{,2}d{1,3}", "aabcd"),
        (r"\N{DIGIT ONE}", "1"),
        ("[[a]", "["),
        ("[]^-]+", "]^-"),
        (r"[\W^]", "^"),
        (r"[^\Wa]", "b"),
        (r"(?#[)(\w)", "\xe9"),
        (r"a\Bb", "ab"),
        ("(a{30}){30}", "a" * 900),
        ("a{0,3000000000}", "a"),
    ],
)
def test_similar_patterns_are_accepted(pattern: str, text: str) -> None:
    assert compiled(pattern).matches(text)


# ---------------------------------------------------------------- the time

SLOW = "(a|aa)+$"
LONG = "a" * 60 + "-b"


def test_a_match_over_the_time_limit_fails_with_the_pattern_and_its_place() -> None:
    with pytest.raises(FilterFailure) as caught:
        compiled(SLOW).matches(LONG)
    assert caught.value.filter_name == "own"
    assert caught.value.why.startswith(
        f"'(a|aa)+$' in x.conf, line 7 takes more than {TIME_LIMIT:g} second for a text of 62 "
    )


def test_a_project_whose_name_takes_too_long_is_neither_selected_nor_dropped() -> None:
    options = make_options(filter_regex={"packages": SLOW})
    chain = FilterChain((RegexProject.from_options(options),))
    assert chain.selects(ProjectName("foo"))
    with pytest.raises(FilterFailure, match="the filter regex_project failed"):
        chain.selects(ProjectName(LONG))


def test_a_version_that_takes_too_long_fails_the_project() -> None:
    options = make_options(filter_regex={"releases": SLOW})
    chain = FilterChain(pages=(RegexRelease.from_options(options),))
    with pytest.raises(FilterFailure, match="the filter regex_release failed"):
        chain.apply(make_detail(make_file("foo-1.0.tar.gz"), versions=("1.0", LONG)))


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(x+x+)+y", "(.*)*.*=.*c", "(a*)*b$", "(?:a|aa){1,40}$", "(a|aa)?" * 40]
)
def test_any_pattern_ends_in_time(pattern: str) -> None:
    try:
        compiled(pattern).matches(LONG)
    except FilterFailure as error:
        assert "takes more than" in error.why  # noqa: PT017 - both are right


@pytest.mark.parametrize("pattern", [".*a.*b.*c", "a*?b{2,9}c+", "[ab]*[bc]*[cd]*x"])
def test_a_pattern_that_is_matched_without_a_limit_is_fast_for_every_short_text(
    pattern: str,
) -> None:
    assert not compiled(pattern).matches("ab" * 100, anywhere=True)
