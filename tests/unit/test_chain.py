"""The chain of filters."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import FilterFailure
from bandersnatch.filters.builtin.age import ReleaseAge
from bandersnatch.filters.builtin.latest import LatestRelease
from bandersnatch.filters.builtin.limits import SizeProjectMetadata
from bandersnatch.filters.chain import Dropped, FilterChain, FilterResult
from bandersnatch.filters.interface import Needs, ProjectFilter, Stage
from bandersnatch.model.names import ProjectName
from tests.support.chains import ExplainingPageRule, NameRule, PageRule
from tests.support.factories import make_detail, make_file
from tests.support.option_files import make_options
from tests.support.strategies import names

if TYPE_CHECKING:
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.project import ProjectDetail

FOO, BAR, BAZ = ProjectName("foo"), ProjectName("bar"), ProjectName("baz")
FILES = tuple(make_file(f"foo-{n}.0.tar.gz") for n in range(4))
VERSIONS = ("0.0", "1.0", "2.0", "3.0", "9.9")
PAGE = make_detail(*FILES, versions=VERSIONS)


def allowed(*listed: ProjectName) -> ProjectFilter:
    """Return a filter that keeps the projects listed."""
    kept = frozenset(listed)
    return NameRule("allowed", kept.__contains__, kept, f"allowed {sorted(kept)}")


def blocked(*listed: ProjectName) -> ProjectFilter:
    """Return a filter that keeps all but the projects listed."""
    return NameRule("blocked", lambda name: name not in listed, text=f"blocked {sorted(listed)}")


def failing(name: ProjectName) -> bool:
    """Fail, as a plugin's filter may."""
    raise FilterFailure("failing", f"it cannot judge {name}")


FAILING = NameRule("failing", failing)


def dropping(
    name: str = "dropping", stage: Stage = Stage.FILE, ran: list[str] | None = None
) -> PageRule:
    """Return a filter that drops the first file, and records that it ran."""

    def without_first(page: ProjectDetail) -> ProjectDetail:
        if ran is not None:
            ran.append(f"{stage.name.lower()} {name} {len(page.files)}")
        return page.keep(lambda file: file is not page.files[0])

    return ExplainingPageRule(name, stage, without_first, text=f"dropping {name}")


def nothing_of(page: ProjectDetail) -> None:
    """Drop a whole project."""
    del page


REJECTING = ExplainingPageRule("rejecting", Stage.METADATA, nothing_of)


def test_no_filters_keep_everything() -> None:
    chain = FilterChain()
    assert chain.selects(FOO)
    assert chain.finite_names is None
    assert chain.apply(PAGE) == FilterResult(PAGE)
    assert chain.explain(PAGE, FILES[0].filename) is None
    assert chain.needs is Needs.NOTHING
    assert chain.fingerprint_for(FOO) == ""


# ---------------------------------------------------------------- projects


def test_a_project_is_selected_if_every_filter_keeps_it() -> None:
    chain = FilterChain((allowed(FOO, BAR), blocked(BAR)))
    assert [chain.selects(name) for name in (FOO, BAR, BAZ)] == [True, False, False]
    refusing = [chain.refuses(name) for name in (FOO, BAR, BAZ)]
    assert [each and each.name for each in refusing] == [None, "blocked", "allowed"]


def test_a_project_is_neither_selected_nor_dropped_if_a_filter_fails() -> None:
    chain = FilterChain((allowed(FOO), FAILING))
    with pytest.raises(FilterFailure, match="cannot judge foo"):
        chain.selects(FOO)
    assert chain.may_select(FOO)
    assert not chain.may_select(BAR), "another filter drops it"
    assert chain.finite_names == frozenset({FOO}), "it is to be looked at, and then fails"


@pytest.mark.parametrize(
    ("projects", "finite"),
    [
        ((), None),
        ((blocked(BAR),), None),
        ((allowed(FOO, BAR),), {FOO, BAR}),
        ((allowed(FOO, BAR), allowed(BAR, BAZ)), {BAR}),
        ((allowed(FOO, BAR), blocked(BAR)), {FOO}),
        ((allowed(FOO), allowed(BAR)), set()),
        ((allowed(),), set()),
    ],
)
def test_the_projects_that_can_be_selected_are_known_if_a_filter_lists_them(
    projects: tuple[ProjectFilter, ...], finite: set[ProjectName] | None
) -> None:
    assert FilterChain(projects).finite_names == (None if finite is None else frozenset(finite))


@given(st.lists(st.frozensets(names.map(ProjectName)), max_size=3), st.frozensets(names))
def test_what_is_selected_is_in_the_finite_set_and_the_other_way_round(
    lists: list[frozenset[ProjectName]], refused: frozenset[str]
) -> None:
    chain = FilterChain((*(allowed(*each) for each in lists), blocked(*map(ProjectName, refused))))
    finite = chain.finite_names
    if finite is None:
        assert not lists
    else:
        every = frozenset[ProjectName]().union(*lists)
        assert finite == frozenset(name for name in every if chain.selects(name))


# ---------------------------------------------------------------- pages


def test_page_filters_run_by_stage_and_then_by_name() -> None:
    ran: list[str] = []
    filters = [
        dropping("a", Stage.SELECTION, ran),
        dropping("c", Stage.FILE, ran),
        dropping("b", Stage.FILE, ran),
        dropping("d", Stage.METADATA, ran),
    ]
    for order in permutations(filters):
        ran.clear()
        chain = FilterChain(pages=order)
        narrowed = chain.apply(PAGE)
        assert narrowed.page is not None
        assert narrowed.page.files == ()
        assert ran == ["metadata d 4", "file b 3", "file c 2", "selection a 1"]
        assert [each.name for each in chain.in_order_of_stages()] == ["d", "b", "c", "a"]


def test_the_stages_have_the_documented_order() -> None:
    assert sorted(Stage) == [Stage.METADATA, Stage.FILE, Stage.RELEASE, Stage.SELECTION]


def test_each_dropped_file_is_reported_with_its_filter_and_reason() -> None:
    chain = FilterChain(pages=(dropping("b"), dropping("a")))
    narrowed = chain.apply(PAGE)
    assert narrowed.dropped == (Dropped("a", FILES[:1]), Dropped("b", FILES[1:2]))
    told = [chain.explain(PAGE, file.filename) for file in FILES]
    assert [each and (each[0].name, each[1]) for each in told] == [
        ("a", "a drops foo-0.0.tar.gz"),
        ("b", "b drops foo-1.0.tar.gz"),
        None,
        None,
    ]


def test_a_version_that_lost_all_its_files_is_not_listed() -> None:
    narrowed = FilterChain(pages=(dropping(),)).apply(PAGE)
    assert narrowed.page is not None
    assert narrowed.page.versions == ("1.0", "2.0", "3.0", "9.9"), "9.9 never had a file"


def test_a_project_that_a_filter_drops_is_dropped_whatever_the_others_say() -> None:
    chain = FilterChain(pages=(dropping(), REJECTING))
    assert chain.apply(PAGE) == FilterResult(None, (Dropped("rejecting", FILES),))
    assert chain.explain(PAGE, FILES[0].filename) == (REJECTING, "rejecting drops None")


def test_an_exclusive_filter_disables_the_other_release_filters_of_a_project() -> None:
    alone = replace(dropping("alone", Stage.RELEASE), exclusive=frozenset({FOO}))
    others = (dropping("file"), dropping("release", Stage.RELEASE), dropping("z", Stage.SELECTION))
    chain = FilterChain(pages=(alone, *others))
    assert [each.name for each in chain.in_order(FOO)] == ["file", "alone"]
    assert [each.name for each in chain.in_order(BAR)] == ["file", "alone", "release", "z"]


def test_the_needs_of_a_chain_are_those_of_all_filters() -> None:
    one = replace(dropping("a"), needs=Needs.SIZES)
    two = replace(dropping("b"), needs=Needs.DOCUMENT)
    assert FilterChain(pages=(one, two)).needs == Needs.SIZES | Needs.DOCUMENT


# ---------------------------------------------------------------- what comes later


def young(*, prefetch: bool, change: int | None = 1000) -> PageRule:
    """Return a filter that drops the last two files for now."""

    def keeps(page: ProjectDetail) -> ProjectDetail:
        return page.keep(lambda file: file.filename < "foo-2")

    later = (lambda page: page) if prefetch else None
    return PageRule("young", Stage.FILE, keeps, change=change, later=later)


def early(chain: FilterChain, page: ProjectDetail = PAGE) -> tuple[int | None, list[ReleaseFile]]:
    """Return when more comes, and what of it is to be fetched already."""
    narrowed = chain.apply(page)
    return narrowed.due, list(narrowed.early)


def test_the_time_of_the_next_change_is_returned() -> None:
    assert early(FilterChain(pages=(young(prefetch=False),))) == (1000, [])
    both = (young(prefetch=False), replace(young(prefetch=False, change=900), name="younger"))
    assert early(FilterChain(pages=both))[0] == 1000, "the second filter dropped nothing more"
    assert early(FilterChain(pages=(young(prefetch=False, change=None),))) == (None, [])


def test_files_of_later_are_prefetched_unless_another_filter_drops_them() -> None:
    assert early(FilterChain(pages=(young(prefetch=True),))) == (1000, list(FILES[2:]))

    def without_last(page: ProjectDetail) -> ProjectDetail:
        return page.keep(lambda file: file is not FILES[3])

    selecting = PageRule("selecting", Stage.SELECTION, without_last)
    assert early(FilterChain(pages=(young(prefetch=True), selecting))) == (1000, [FILES[2]])


def test_nothing_is_prefetched_of_a_page_that_will_not_change() -> None:
    page = replace(PAGE, files=FILES[:2])
    assert early(FilterChain(pages=(young(prefetch=True),)), page) == (None, [])


def test_nothing_is_prefetched_of_a_project_that_will_be_dropped() -> None:
    def few(page: ProjectDetail) -> ProjectDetail | None:
        return page if len(page.files) < 4 else None

    counting = PageRule("z", Stage.FILE, few)
    last = dropping("last", Stage.SELECTION)
    assert early(FilterChain(pages=(young(prefetch=True), counting, last))) == (1000, [])


def test_a_filter_may_give_no_reason() -> None:
    project = NameRule("p", lambda _: False)
    assert project.explain(FOO) == ""
    bare = PageRule("bare", Stage.FILE, lambda page: page.keep(lambda _: False))
    assert FilterChain(pages=(bare,)).explain(PAGE, FILES[0].filename) == (bare, "")


# ---------------------------------------------------------------- terms


def test_the_fingerprint_does_not_depend_on_the_order() -> None:
    projects = (allowed(FOO), blocked(BAR))
    pages = (dropping("a"), dropping("b"))
    one = FilterChain(projects, pages).fingerprint
    assert FilterChain(projects[::-1], pages[::-1]).fingerprint == one


def test_the_fingerprint_differs_when_a_decision_may() -> None:
    chains = [
        FilterChain(),
        FilterChain((allowed(FOO),)),
        FilterChain((allowed(BAR),)),
        FilterChain((allowed(FOO, BAR),)),
        FilterChain((blocked(FOO),)),
        FilterChain((allowed(FOO), blocked(FOO))),
        FilterChain(pages=(dropping("a"),)),
        FilterChain((allowed(FOO),), (dropping("a"),)),
    ]
    assert len({chain.fingerprint for chain in chains}) == len(chains)


def test_a_rule_about_one_project_changes_the_fingerprint_of_no_other() -> None:
    ruled = replace(dropping("a"), text="of foo", texts={FOO: "rule"})
    before, after = FilterChain(pages=(dropping("b"),)), FilterChain(pages=(ruled, dropping("b")))
    assert after.fingerprint_for(FOO) != before.fingerprint_for(FOO)
    assert after.fingerprint_for(BAR) == before.fingerprint_for(BAR)
    assert after.fingerprint != before.fingerprint


def test_a_chain_has_project_rules_or_changes_with_time_if_a_filter_does() -> None:
    exempt = make_options(size_project_metadata={"max_package_size": "1"})
    aged = make_options(release_age={"min-age": "1 day"})
    plain = make_options(latest_release={"keep": "1"})
    chains = [
        FilterChain(pages=(LatestRelease.from_options(plain),)),
        FilterChain(pages=(SizeProjectMetadata.from_options(exempt),)),
        FilterChain(pages=(ReleaseAge.from_options(aged),)),
    ]
    assert [each.has_project_rules for each in chains] == [False, True, True]
    assert [each.changes_with_time for each in chains] == [False, False, True]
