"""What is true of every chain of filters, whatever is configured and whatever a page says."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import FilterFailure
from bandersnatch.model.names import ProjectName
from tests.support.chains import kept
from tests.support.configurations import (
    PAGE_FILTERS,
    PROJECT_FILTERS,
    Configuration,
    configurations,
    varied_pages,
)

if TYPE_CHECKING:
    from random import Random

    from bandersnatch.filters.chain import FilterChain, FilterResult
    from bandersnatch.model.project import ProjectDetail

FOO = ProjectName("foo")
NAMES = [*map(ProjectName, ("foo", "other", "third", "bar", "foo-bar", "x", "oo", "zoo"))]
GROWS_TOO_SMALL = "versions_count_project_metadata"

page_configurations = configurations(PAGE_FILTERS)
shuffles = st.randoms(use_true_random=False)


def narrowed_by(chain: FilterChain, page: ProjectDetail) -> FilterResult | None:
    """Return what a chain makes of a page, None if it cannot tell."""
    try:
        return chain.apply(page)
    except FilterFailure:
        return None


def answer(chain: FilterChain, page: ProjectDetail) -> object:
    """Return what a chain makes of a page as a value in which no order is left."""
    narrowed = narrowed_by(chain, page)
    if narrowed is None:
        return "it cannot tell"
    dropped = {each.by: frozenset(each.files) for each in narrowed.dropped}
    left = narrowed.page
    if left is None:
        return dropped
    early = frozenset(narrowed.early)
    return frozenset(left.files), frozenset(left.versions), dropped, narrowed.due, early


def shuffled(page: ProjectDetail, order: Random) -> ProjectDetail:
    """Return a page with its files and versions in another order."""
    files, versions = list(page.files), list(page.versions)
    order.shuffle(files)
    order.shuffle(versions)
    return replace(page, files=tuple(files), versions=tuple(versions))


@given(page_configurations, varied_pages(), shuffles)
def test_the_order_of_the_page_changes_nothing(
    configuration: Configuration, page: ProjectDetail, order: Random
) -> None:
    chain = configuration.chain()
    assert answer(chain, shuffled(page, order)) == answer(chain, page)


@given(page_configurations, varied_pages(), shuffles)
def test_the_order_of_the_configuration_changes_nothing(
    configuration: Configuration, page: ProjectDetail, order: Random
) -> None:
    chain, other = configuration.chain(), configuration.chain(order)
    assert other.fingerprint == chain.fingerprint
    assert other.fingerprint_for(FOO) == chain.fingerprint_for(FOO)
    assert answer(other, page) == answer(chain, page)


@given(page_configurations, varied_pages())
def test_it_only_narrows(configuration: Configuration, page: ProjectDetail) -> None:
    narrowed = narrowed_by(configuration.chain(), page)
    if narrowed is None or narrowed.page is None:
        return
    left = narrowed.page
    assert [file for file in page.files if file in left.files] == [*left.files]
    assert [version for version in page.versions if version in left.versions] == [*left.versions]
    assert replace(left, files=page.files, versions=page.versions) == page
    assert not set(narrowed.early) & set(left.files)
    assert set(narrowed.early) <= set(page.files)


@given(page_configurations, varied_pages())
def test_applying_the_chain_to_its_result_changes_nothing(
    configuration: Configuration, page: ProjectDetail
) -> None:
    if GROWS_TOO_SMALL in configuration.enabled:  # what is left may have too few versions
        configuration.sections[GROWS_TOO_SMALL]["min_versions"] = ["0"]
        configuration.sections[GROWS_TOO_SMALL]["max_versions"] = ["4"]
    chain = configuration.chain()
    narrowed = narrowed_by(chain, page)
    if narrowed is not None and narrowed.page is not None:
        again = chain.apply(narrowed.page)
        assert again.page == narrowed.page
        assert again.dropped == ()


@given(page_configurations, varied_pages())
def test_every_dropped_file_and_no_other_has_a_filter_and_a_reason(
    configuration: Configuration, page: ProjectDetail
) -> None:
    chain = configuration.chain()
    narrowed = narrowed_by(chain, page)
    if narrowed is None:
        return
    by = {file.filename: each.by for each in narrowed.dropped for file in each.files}
    assert by.keys() | set(kept(narrowed)) == {file.filename for file in page.files}
    assert not by.keys() & set(kept(narrowed))
    for file in page.files:
        told = chain.explain(page, file.filename)
        assert (told and told[0].name) == by.get(file.filename)
        assert told is None or told[1].strip()
    assert chain.explain(page, "foo-9.9.tar.gz") is None or narrowed.page is None


@given(page_configurations, varied_pages(), st.sampled_from(["third==1.0", "third"]))
def test_a_rule_about_another_project_changes_neither_terms_nor_decisions(
    configuration: Configuration, page: ProjectDetail, line: str
) -> None:
    changed = deepcopy(configuration)
    lists = [
        changed.sections["allowlist"]["packages"],
        changed.sections["blocklist"]["packages"],
        changed.sections["release_age"].get("exceptions", []),
        changed.files["requirements.txt"],
        changed.files["late.txt"],
    ]
    if "packages" in changed.sections["filter_prerelease"]:
        lists.append(changed.sections["filter_prerelease"]["packages"])
    for each in lists:
        each.append(line)
    before, after = configuration.chain(), changed.chain()
    assert after.fingerprint_for(FOO) == before.fingerprint_for(FOO)
    assert answer(after, page) == answer(before, page)


@given(page_configurations, page_configurations, varied_pages(), st.data())
def test_decisions_that_differ_have_terms_that_differ(
    configuration: Configuration,
    other: Configuration,
    page: ProjectDetail,
    data: st.DataObject,
) -> None:
    section = data.draw(st.sampled_from(sorted(configuration.sections)))
    changed = replace(
        configuration,
        sections=configuration.sections | {section: other.sections[section]},
        files=data.draw(st.sampled_from([configuration.files, other.files])),
    )
    before, after = configuration.chain(), changed.chain()
    if answer(before, page) != answer(after, page):
        assert before.fingerprint != after.fingerprint
        assert before.fingerprint_for(FOO) != after.fingerprint_for(FOO)


@given(configurations(PROJECT_FILTERS), st.sampled_from(NAMES), shuffles)
def test_the_projects_that_can_be_selected_are_those_that_are(
    configuration: Configuration, name: ProjectName, order: Random
) -> None:
    chain, other = configuration.chain(), configuration.chain(order)
    assert other.selects(name) == chain.selects(name) == (chain.refuses(name) is None)
    assert other.fingerprint == chain.fingerprint
    refusing = chain.refuses(name)
    assert refusing is None or refusing.explain(name).strip()
    finite = chain.finite_names
    assert other.finite_names == finite
    if finite is not None:
        assert (name in finite) == chain.selects(name)
        assert all(map(chain.selects, finite))
