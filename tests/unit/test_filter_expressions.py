"""The filters by regular expressions over names and versions."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import InvalidRules
from bandersnatch.filters.builtin.regex import RegexProject, RegexRelease
from bandersnatch.filters.interface import Stage
from bandersnatch.filters.options import FilterOptions
from bandersnatch.model.names import ProjectName
from tests.support.factories import make_detail, make_file
from tests.support.strategies import hostile_text, names, versions

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from bandersnatch.filters.interface import PageFilter, ProjectFilter
    from bandersnatch.model.project import ProjectDetail

MAKERS: dict[str, Callable[[FilterOptions], ProjectFilter | PageFilter]] = {
    "packages": RegexProject.from_options,
    "releases": RegexRelease.from_options,
}


def options(option: str, *patterns: str) -> FilterOptions:
    """Return options whose patterns stand on the lines from 11 on, as the parser gives them."""
    text = "\n".join(["", *patterns])
    numbers = {("filter_regex", option): range(10, 11 + len(patterns))}
    return FilterOptions(sections={"filter_regex": {option: text}}, numbers=numbers)


def projects(*patterns: str) -> ProjectFilter:
    """Return the project filter."""
    return RegexProject.from_options(options("packages", *patterns))


def releases(*patterns: str) -> PageFilter:
    """Return the release filter."""
    return RegexRelease.from_options(options("releases", *patterns))


def page_of(*texts: str, listed: tuple[str, ...] = ()) -> ProjectDetail:
    """Return a page with a source distribution of each version."""
    files = (make_file(f"foo-{text}.tar.gz") for text in texts)
    return make_detail(*files, versions=listed or texts)


def narrowed(by: PageFilter, page: ProjectDetail) -> ProjectDetail:
    """Return what a filter leaves, which is a page."""
    left = by.apply(page)
    assert left is not None
    return left


@pytest.mark.parametrize(
    ("pattern", "dropped", "kept"),
    [
        ("foo", "foo foobar foo-bar", "barfoo"),
        ("foo$", "foo", "foobar"),
        (".*-nightly$", "torch-nightly", "torch-nightly-gpu nightly"),
        ("(foo|bar)-.*", "foo-x bar-x", "foo bar"),
        ("^(?!foo).*", "bar", "foo foobar"),
    ],
)
def test_a_project_is_dropped_if_its_name_begins_with_a_match(
    pattern: str, dropped: str, kept: str
) -> None:
    keeps = projects(pattern).apply
    assert [name for name in dropped.split() if keeps(ProjectName(name))] == []
    assert [name for name in kept.split() if not keeps(ProjectName(name))] == []


def test_any_pattern_is_enough() -> None:
    keeps = projects("foo$", "bar$").apply
    kept = [keeps(ProjectName(name)) for name in ("foo", "bar", "baz")]
    assert kept == [False, False, True]


@pytest.mark.parametrize(
    "pattern",
    [
        "Zope-Interface-Ext$",
        "zope_interface_ext$",
        r"zope\.interface\.ext$",
        r"ZOPE\.interface_Ext$",
        r"zope[_]interface[-]ext$",
        "[A-Z]+_[A-Z]+_EXT$",
    ],
)
def test_case_and_separators_of_a_name_do_not_matter(pattern: str) -> None:
    """The display name was matched, so that it depended on its spelling."""
    keeps = projects(pattern).apply
    assert not keeps(ProjectName("zope-interface-ext"))
    assert keeps(ProjectName("zope-interface"))


def test_a_name_of_very_many_parts_is_matched_in_few_spellings() -> None:
    name = ProjectName("-".join("abcdefghijklmnop"))
    for separator in "-_.":
        assert not projects(name.replace("-", f"[{separator}]") + "$").apply(name)
    assert not projects("a-b-c|x_y").apply(name)


def test_a_project_filter_describes_itself_and_its_reasons() -> None:
    made = projects("foo$", "bar$")
    assert made.name == "regex_project"
    assert made.describe() == ("drop the projects whose name begins with a match of: foo$, bar$",)
    assert made.explain(ProjectName("bar")) == "'bar$' in bandersnatch.conf, line 12"
    assert made.explain(ProjectName("baz")) == ""
    assert made.names is None


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        (r"^\d+(\.\d+)*rc", ["1.0", "1.0.dev1", "2.0"]),
        (r"1\.", ["2.0"]),
        (r"0", ["1.0", "1.0rc1", "1.0.dev1", "2.0"]),
        (r".*\.dev\d+$", ["1.0", "1.0rc1", "2.0"]),
        (r".*RC", ["1.0", "1.0rc1", "1.0.dev1", "2.0"]),
    ],
)
def test_a_version_is_dropped_if_it_begins_with_a_match(pattern: str, kept: list[str]) -> None:
    page = page_of("1.0", "1.0rc1", "1.0.dev1", "2.0")
    left = narrowed(releases(pattern), page)
    assert list(left.versions) == kept
    assert [file.filename for file in left.files] == [f"foo-{text}.tar.gz" for text in kept]


def test_a_version_is_dropped_as_a_whole_in_any_spelling() -> None:
    files = (make_file(f"foo-{text}.tar.gz") for text in ("1.0-rc1", "1.0rc1", "1.0"))
    wheel = make_file("foo-1.0rc1-py3-none-any.whl")
    page = make_detail(*files, wheel, versions=("1.0RC1", "1.0"))
    for pattern in (".*-rc", ".*RC", ".*0rc"):
        left = narrowed(releases(pattern), page)
        assert [file.filename for file in left.files] == ["foo-1.0.tar.gz"]
        assert left.versions == ("1.0",)


def test_texts_that_are_not_versions_are_matched_too() -> None:
    left = narrowed(releases("snap"), page_of("snapshot", "1.0"))
    assert left.versions == ("1.0",)


def test_a_release_filter_describes_itself_and_its_reasons() -> None:
    made, page = releases("2", "1"), page_of("1.0", "3.0")
    assert (made.name, made.stage) == ("regex_release", Stage.RELEASE)
    assert made.describe() == ("drop the versions that begin with a match of: 2, 1",)
    assert made.explain(page, page.files[0]) == "'1' in bandersnatch.conf, line 12"
    assert made.explain(page, page.files[1]) == ""
    assert made.explain(page, None) == ""


@pytest.mark.parametrize("option", MAKERS)
def test_terms_change_with_the_patterns_and_not_with_their_order(option: str) -> None:
    def terms(*patterns: str) -> str:
        return MAKERS[option](options(option, *patterns)).fingerprint()

    assert terms("a", "b") == terms("b", "a", "a")
    assert len({terms("a", "b"), terms("a"), terms("a b"), terms("a', 'b")}) == 4


@pytest.mark.parametrize("option", MAKERS)
@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(", "not a regular expression (missing ), unterminated subpattern at position 0)"),
        ("a{99999999999999999999}", "not a regular expression"),
        ("foo(?i)", "not a regular expression"),
        ("(" * 3000 + ")" * 3000, "too deeply nested"),
        ("foo # the old one", "begins no comment"),
    ],
    ids=["unclosed", "overflow", "flag", "deep", "comment"],
)
def test_a_pattern_that_cannot_be_used_is_refused_with_its_line(
    option: str, pattern: str, why: str
) -> None:
    with pytest.raises(InvalidRules) as raised:
        MAKERS[option](options(option, "fine", pattern, "also-fine", pattern))
    problems = raised.value.problems
    assert [(each.section, each.option) for each in problems] == [("filter_regex", option)] * 2
    assert why in problems[0].message
    assert "bandersnatch.conf, line 12" in problems[0].message
    assert "bandersnatch.conf, line 14" in problems[1].message


@pytest.mark.parametrize("option", MAKERS)
@pytest.mark.parametrize("lines", [(), ("", "  ", "# none")])
def test_a_filter_without_a_pattern_is_refused(option: str, lines: tuple[str, ...]) -> None:
    made = (FilterOptions(), options(option, *lines))
    for each in made:
        with pytest.raises(InvalidRules) as raised:
            MAKERS[option](each)
        assert str(raised.value).startswith(f"[filter_regex] {option}: it has no pattern")


def test_spaces_within_a_pattern_and_verbose_comments_are_part_of_it() -> None:
    assert not projects("(?x) f o o $ # the old one").apply(ProjectName("foo"))
    assert not projects("foo[ ]#?|bar").apply(ProjectName("bar"))


def test_what_a_later_python_may_read_otherwise_is_compiled_without_a_word() -> None:
    assert not projects("[[a]").apply(ProjectName("a"))


def test_two_configurations_in_one_process_have_nothing_in_common() -> None:
    """Patterns were kept with the class, and stayed."""
    first, second = projects("foo"), projects("bar")
    assert (first.apply(ProjectName("foo")), first.apply(ProjectName("bar"))) == (False, True)
    assert (second.apply(ProjectName("foo")), second.apply(ProjectName("bar"))) == (True, False)


PATTERNS = st.lists(
    st.sampled_from([r"\d\.", "1", ".*[abr]", ".*0$", "(?i)X", "9|8", "[^0-4]"]), min_size=1
)


@given(patterns=PATTERNS, texts=st.lists(versions | st.just("x"), unique=True), by=st.randoms())
def test_it_only_narrows_and_neither_order_nor_repetition_matters(
    patterns: list[str], texts: list[str], by: Random
) -> None:
    page = page_of(*texts)
    left = narrowed(releases(*patterns), page)
    assert set(left.files) <= set(page.files)
    assert set(left.versions) <= set(page.versions)
    assert narrowed(releases(*patterns), left) == left
    by.shuffle(texts)
    other = narrowed(releases(*reversed(patterns)), page_of(*texts))
    assert set(other.files) == set(left.files)
    assert set(other.versions) == set(left.versions)


@given(pattern=hostile_text, name=names)
def test_any_text_is_refused_or_is_a_usable_pattern(pattern: str, name: str) -> None:
    with suppress(InvalidRules):
        assert projects(*pattern.split("\n")).apply(ProjectName(name)) in {True, False}
