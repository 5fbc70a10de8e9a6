"""The built-in filters by their names."""

from __future__ import annotations

import pytest

from bandersnatch.errors import Problem
from bandersnatch.filters.chain import FilterChain
from bandersnatch.filters.projects import AllowedProjects
from bandersnatch.filters.registry import PROJECT_FILTERS, SECTIONS, Built, build_chain
from bandersnatch.model.names import ProjectName

ALLOWLIST = {"allowlist": {"packages": "foo"}}
ALLOWED = FilterChain((AllowedProjects(frozenset({ProjectName("foo")})),))


def test_nothing_enabled_makes_an_empty_chain() -> None:
    assert build_chain([], {}) == Built(FilterChain())


def test_an_enabled_filter_is_made() -> None:
    assert build_chain(["allowlist_project"], ALLOWLIST) == Built(ALLOWED)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense", "nobody provides 'nonsense'"),
        ("", "nobody provides ''"),
        (
            "whitelist_project",
            "nobody provides 'whitelist_project'; did you mean 'allowlist_project'?",
        ),
        (
            "allowlist_projects, blocklist_project",
            "nobody provides 'allowlist_projects, blocklist_project'",
        ),
    ],
)
def test_a_name_that_nobody_provides_is_a_problem(name: str, message: str) -> None:
    built = build_chain([name], ALLOWLIST)
    problems = built.problems
    assert [problem.message.startswith(message) for problem in problems] == [True]
    assert [(problem.section, problem.option) for problem in problems] == [("plugins", "enabled")]
    assert built.chain == FilterChain()


def test_every_problem_is_told() -> None:
    problems = build_chain(["nonsense", "allowlist_project", "rubbish"], {}).problems
    assert [(problem.section, problem.option) for problem in problems] == [
        ("plugins", "enabled"),
        ("allowlist", "packages"),
        ("plugins", "enabled"),
    ]


def test_a_problem_of_a_filter_is_one_of_its_option() -> None:
    problems = build_chain(["allowlist_project"], {"allowlist": {"packages": "foo bar"}}).problems
    message = "line 1, 'foo bar', is not a project's name or a requirement"
    assert problems == (Problem("allowlist", "packages", message),)


@pytest.mark.parametrize("name", PROJECT_FILTERS)
def test_a_filter_reads_a_section_that_is_known(name: str) -> None:
    entry = PROJECT_FILTERS[name]
    assert entry.option in SECTIONS[entry.section]


def test_what_no_enabled_filter_reads_is_told_of() -> None:
    sections = {"mirror": {"x": "y"}, "blocklist": {"packages": "foo", "platforms": "x"}}
    assert build_chain([], ALLOWLIST | sections).notes == (
        "[allowlist] packages has no effect: no enabled filter reads it",
        "[blocklist] packages has no effect: no enabled filter reads it",
        "[blocklist] platforms has no effect: no enabled filter reads it",
    )
    assert build_chain(["allowlist_project"], ALLOWLIST).notes == ()


def test_all_is_every_filter_that_something_is_set_for() -> None:
    assert build_chain(["all"], ALLOWLIST) == Built(ALLOWED)
    assert build_chain(["all", "allowlist_project"], ALLOWLIST) == Built(ALLOWED)


def test_all_is_refused_where_it_would_let_in_more_than_was_meant() -> None:
    assert [
        (problem.section, problem.option)
        for sections in ({}, {"mirror": {"x": "y"}}, ALLOWLIST | {"blocklist": {"packages": "x"}})
        for problem in build_chain(["all"], sections).problems
    ] == [("plugins", "enabled"), ("plugins", "enabled"), ("blocklist", "packages")]
