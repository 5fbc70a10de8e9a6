"""The built-in filters by their names."""

from __future__ import annotations

import pytest

from bandersnatch.errors import Problem
from bandersnatch.filters.chain import FilterChain
from bandersnatch.filters.projects import AllowedProjects
from bandersnatch.filters.registry import PROJECT_FILTERS, SECTIONS, build_chain
from bandersnatch.model.names import ProjectName

ALLOWLIST = {"allowlist": {"packages": "foo"}}


def test_nothing_enabled_makes_an_empty_chain() -> None:
    assert build_chain([], ALLOWLIST) == (FilterChain(), [])


def test_an_enabled_filter_is_made() -> None:
    chain, problems = build_chain(["allowlist_project"], ALLOWLIST)
    assert chain == FilterChain((AllowedProjects(frozenset({ProjectName("foo")})),))
    assert problems == []


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
    chain, problems = build_chain([name], ALLOWLIST)
    assert [problem.message.startswith(message) for problem in problems] == [True]
    assert [(problem.section, problem.option) for problem in problems] == [("plugins", "enabled")]
    assert chain == FilterChain()


def test_every_problem_is_told() -> None:
    _, problems = build_chain(["nonsense", "allowlist_project", "rubbish"], {})
    assert [(problem.section, problem.option) for problem in problems] == [
        ("plugins", "enabled"),
        ("allowlist", "packages"),
        ("plugins", "enabled"),
    ]


def test_a_problem_of_a_filter_is_one_of_its_option() -> None:
    _, problems = build_chain(["allowlist_project"], {"allowlist": {"packages": "foo bar"}})
    assert problems == [
        Problem(
            "allowlist",
            "packages",
            "line 1, 'foo bar', is not a project's name or a requirement",
        )
    ]


@pytest.mark.parametrize("name", PROJECT_FILTERS)
def test_a_filter_reads_a_section_that_is_known(name: str) -> None:
    entry = PROJECT_FILTERS[name]
    assert entry.option in SECTIONS[entry.section]
