"""Project filters: allowlist_project."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import OptionError
from bandersnatch.filters.projects import AllowedProjects, allowlist_project, requirement_names
from bandersnatch.model.names import ProjectName
from tests.unit.strategies import hostile_text, names

FOO, BAR = ProjectName("foo"), ProjectName("bar")


def test_only_the_projects_that_are_named_are_kept() -> None:
    keeps = AllowedProjects(frozenset({FOO}))
    assert keeps(FOO)
    assert not keeps(BAR)


def test_the_terms_are_the_names_in_order() -> None:
    assert AllowedProjects(frozenset({FOO, BAR})).terms == "allowlist_project bar foo"


@pytest.mark.parametrize(
    "line",
    [
        "foo-bar",
        "Foo_Bar",
        "foo.bar==1.0",
        "foo-bar >= 1, != 2",
        "foo-bar[extra]>=1; python_version < '3'",
        "foo-bar @ https://example.org/foo_bar-1.0.zip#sha256=00",
        "  foo-bar  # why",
        "foo-bar#why",
    ],
)
def test_a_line_names_a_project_as_requirements_do(line: str) -> None:
    assert requirement_names(line) == {"foo-bar"}


def test_each_line_names_a_project_and_empty_lines_and_comments_none() -> None:
    assert requirement_names("foo\n\n# comment\n  \nbar>=1\nFOO") == {FOO, BAR}
    assert requirement_names("") == frozenset()


@pytest.mark.parametrize(
    "line",
    [
        *[
            "foo, bar",
            "foo bar",
            "-r other.txt",
            "--hash=sha256:00",
            "git+https://example.org/x",
            "*",
        ],
        *["../foo", "foo/bar", "foo==", "foo>1 or 2", "na\xefve", "\u212aelvin", "foo; nonsense"],
        *["x" * 201],
    ],
    ids=lambda line: ascii(line)[:20],
)
def test_a_line_that_names_none_is_pointed_at(line: str) -> None:
    with pytest.raises(OptionError) as caught:
        requirement_names(f"foo\n# comment\n{line}\nbar")
    assert str(caught.value) == (f"line 3, {line[:80]!r}, is not a project's name or a requirement")


@given(hostile_text | st.text() | st.lists(names).map("\n".join))
def test_any_text_names_projects_or_is_refused(text: str) -> None:
    try:
        named = requirement_names(text)
    except OptionError:
        return
    assert requirement_names("\n".join(named)) == named


def test_the_filter_is_made_from_its_section() -> None:
    made = allowlist_project({"allowlist": {"packages": "Foo\nbar>=1"}})
    assert made == AllowedProjects(frozenset({FOO, BAR}))


@pytest.mark.parametrize(
    "sections",
    [{}, {"allowlist": {}}, {"allowlist": {"packages": ""}}, {"allowlist": {"packages": "# foo"}}],
    ids=repr,
)
def test_an_empty_list_does_not_mean_everything(sections: dict[str, dict[str, str]]) -> None:
    with pytest.raises(OptionError, match="is enabled and the list is empty"):
        allowlist_project(sections)
