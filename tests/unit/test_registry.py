"""The built-in filters by their names, and the chain that is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bandersnatch.errors import InvalidRules, OptionError, Problem
from bandersnatch.filters.chain import FilterChain
from bandersnatch.filters.options import FilterOptions
from bandersnatch.filters.plugins.providers import Found, Provider
from bandersnatch.filters.registry import BUILT_IN, SECTIONS, Built, build_chain
from tests.support.chains import NameRule
from tests.support.option_files import OptionFiles

if TYPE_CHECKING:
    from bandersnatch.filters.interface import PageFilter, ProjectFilter

WHOLE: dict[str, dict[str, str]] = {
    **{each.section: {} for each in BUILT_IN.values() if each.section},
    "allowlist": {"packages": "foo", "requirements": "requirements.txt"},
    "blocklist": {"packages": "bar\nfoo<1", "platforms": "windows"},
    "filter_regex": {"packages": "^odd", "releases": ".*dev"},
    "filter_prerelease": {"packages": "foo"},
    "latest_release": {"keep": "3"},
    "size_project_metadata": {"max_package_size": "1 GB"},
    "versions_count_project_metadata": {"max_versions": "99"},
    "regex_project_metadata": {"any:info.classifiers": ".*Python.*"},
    "regex_release_file_metadata": {"any:release_file.packagetype": "bdist_wheel"},
    "version_range_project_metadata": {"any:info.requires_python": "3.11"},
    "version_range_release_file_metadata": {"any:release_file.requires_python": "3.11"},
    "environments": {"here": "python 3.11; linux x86_64 glibc 2.28"},
    "target_environments": {"sdists": "keep"},
    "release_age": {"min-age": "3 days"},
    "project_status": {"drop": "archived"},
}
"""A value for every filter that needs one."""

FILES = OptionFiles({"requirements.txt": b"foo==1.0\n"})


def options(**sections: dict[str, str]) -> FilterOptions:
    """Return options with these sections."""
    return FilterOptions(sections=sections, files=FILES)


ALLOWLIST = options(allowlist={"packages": "foo"})


def names(chain: FilterChain) -> list[str]:
    """Return the names of the filters of a chain."""
    return [each.name for each in chain.projects] + [each.name for each in chain.pages]


def test_nothing_enabled_makes_an_empty_chain() -> None:
    assert build_chain([], options()) == Built(FilterChain())


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_filter_can_be_enabled_by_its_name(name: str) -> None:
    built = build_chain([name], options(**WHOLE))
    assert built.problems == ()
    made: list[ProjectFilter | PageFilter] = [*built.chain.projects, *built.chain.pages]
    assert [each.name for each in made] == [name]
    assert all(each.describe() and each.fingerprint() for each in made)


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_filter_that_has_nothing_to_go_by_is_refused(name: str) -> None:
    built = build_chain([name], options())
    if BUILT_IN[name].section or name in {"blocklist_project", "blocklist_release"}:
        assert built.problems == ()
        return
    assert built.problems
    for problem in built.problems:
        assert problem.section in SECTIONS
        assert {problem.option, ""} & SECTIONS[problem.section] or not problem.option
        assert problem.message


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_class_is_where_the_registry_says_and_has_its_name(name: str) -> None:
    assert BUILT_IN[name].load().name == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense", "there is no filter 'nonsense'"),
        ("", "there is no filter ''"),
        (
            "whitelist_project",
            "there is no filter 'whitelist_project'; did you mean 'allowlist_project'?",
        ),
        ("lastest_release", "there is no filter 'lastest_release'; did you mean 'latest_release'?"),
        (
            "acme_filtr",
            "there is no filter 'acme_filtr'; did you mean 'acme_filter'?; one is broken",
        ),
    ],
)
def test_an_unknown_name_is_a_problem(name: str, message: str) -> None:
    found = Found(names=frozenset({"acme_filter"}), broken=("one is broken",))
    built = build_chain([name], ALLOWLIST, found)
    assert [problem.message.startswith(message) for problem in built.problems] == [True]
    assert [(p.section, p.option) for p in built.problems] == [("plugins", "enabled")]
    assert built.chain == FilterChain()


def test_every_problem_is_reported_once() -> None:
    enabled = ["nonsense", "allowlist_project", "allowlist_release", "rubbish"]
    bad = options(allowlist={"packages": "foo bar"})
    problems = build_chain(enabled, bad).problems
    assert [(problem.section, problem.option) for problem in problems] == [
        ("plugins", "enabled"),
        ("allowlist", "packages"),
        ("plugins", "enabled"),
    ]


def test_settings_that_no_enabled_filter_reads_are_noted() -> None:
    sections = {
        "mirror": {"x": "y"},
        "allowlist": {"packages": "foo"},
        "blocklist": {"packages": "foo", "platforms": "x"},
    }
    assert build_chain([], options(**sections)).notes == (
        "[allowlist] packages has no effect: no enabled filter reads it",
        "[blocklist] packages has no effect: no enabled filter reads it",
        "[blocklist] platforms has no effect: no enabled filter reads it",
    )
    assert build_chain(["allowlist_project"], ALLOWLIST).notes == ()


# ---------------------------------------------------------------- all


def test_all_is_every_filter_that_something_is_set_for() -> None:
    built = build_chain(["all"], options(**WHOLE))
    assert built.problems == ()
    assert sorted(names(built.chain)) == sorted(BUILT_IN)
    assert built.notes == ()


def test_all_does_not_enable_a_release_allowlist_without_a_list() -> None:
    built = build_chain(["all"], options(latest_release={"keep": "3"}))
    assert names(built.chain) == ["latest_release"]
    blocking = build_chain(
        ["all", "latest_release"],
        options(latest_release={"keep": "3"}, blocklist={"platforms": "windows"}),
    )
    assert sorted(names(blocking.chain)) == ["exclude_platform", "latest_release"]


@pytest.mark.parametrize("section", ["yanked_release", "filter_prerelease", "release_age"])
def test_a_section_of_its_own_is_enough_for_all_even_if_it_is_empty(section: str) -> None:
    assert len(names(build_chain(["all"], options(**{section: {}})).chain)) == 1


def test_all_is_refused_if_no_filter_has_a_setting() -> None:
    for sections in ({}, {"mirror": {"x": "y"}}):
        (problem,) = build_chain(["all"], options(**sections)).problems
        assert (problem.section, problem.option) == ("plugins", "enabled")
        assert "and none has one" in problem.message


# ---------------------------------------------------------------- of other packages


def of_name(name: str) -> ProjectFilter:
    """Return a filter that a package makes."""
    return NameRule(name, lambda _: True)


def refusing(_: FilterOptions) -> PageFilter:
    """Fail, as a package's filter may."""
    raise InvalidRules([Problem("plugins", "enabled", "acme is broken")])


def test_filters_of_other_packages_are_built_with_their_notes() -> None:
    found = Found(
        (
            Provider("acme", "acme 1.0", lambda _: of_name("acme"), note="acme is old"),
            Provider("acme", "acme 1.0", lambda _: of_name("acme too")),
            Provider("other", "other 1.0", lambda _: of_name("other")),
        )
    )
    built = build_chain(["acme"], options(), found)
    assert names(built.chain) == ["acme", "acme too"]
    assert built.notes == ("acme is old",)


def picky(_: FilterOptions) -> PageFilter:
    """Refuse an option."""
    raise OptionError("it must name a prefix")


def test_an_option_that_a_factory_refuses_is_a_problem_of_the_filter() -> None:
    built = build_chain(["acme"], options(), Found((Provider("acme", "acme 1.0", picky),)))
    assert built.problems == (Problem("acme", "", "it must name a prefix"),)


def test_a_filter_of_another_package_that_cannot_be_built_is_a_problem() -> None:
    found = Found((Provider("acme", "acme 1.0", refusing),))
    built = build_chain(["acme"], options(), found)
    assert built.problems == (Problem("plugins", "enabled", "acme is broken"),)


def test_a_package_cannot_replace_a_built_in_filter() -> None:
    found = Found((Provider("allowlist_project", "evil 1.0", lambda _: of_name("evil")),))
    assert names(build_chain(["allowlist_project"], ALLOWLIST, found).chain) == [
        "allowlist_project"
    ]


def test_no_setting_is_without_effect_if_a_legacy_plugin_is_enabled() -> None:
    provider = Provider("acme", "acme 1.0", lambda _: of_name("acme"), reads_anything=True)
    sections = options(blocklist={"packages": "foo"})
    assert build_chain(["acme"], sections, Found((provider,))).notes == ()
