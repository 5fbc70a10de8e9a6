"""The chain of filters."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.filters.chain import FilterChain, Stage
from bandersnatch.filters.projects import AllowedProjects
from bandersnatch.model.names import ProjectName
from tests.support.factories import make_detail, make_file
from tests.unit.strategies import names

if TYPE_CHECKING:
    from bandersnatch.model.project import ProjectDetail

FOO, BAR, BAZ = ProjectName("foo"), ProjectName("bar"), ProjectName("baz")
PAGE = make_detail(*(make_file(f"foo-{n}.0.tar.gz") for n in range(4)))


@dataclass(frozen=True)
class Blocked:
    """A project filter that keeps all but the projects it names."""

    blocked: frozenset[ProjectName]
    names: None = None

    @property
    def terms(self) -> str:
        return f"blocked {' '.join(sorted(self.blocked))}"

    def __call__(self, name: ProjectName, /) -> bool:
        return name not in self.blocked


@dataclass(frozen=True)
class Dropping:
    """A page filter that drops the first file, and writes down that it ran."""

    stage: Stage
    name: str
    ran: list[str] = field(default_factory=list, compare=False)

    @property
    def terms(self) -> str:
        return f"dropping {self.name}"

    def __call__(self, page: ProjectDetail, /) -> ProjectDetail:
        self.ran.append(f"{self.stage.name.lower()} {self.name} {len(page.files)}")
        return page.keep(lambda file: file is not page.files[0])


def allowed(*listed: ProjectName) -> AllowedProjects:
    """Return a filter that keeps the projects listed."""
    return AllowedProjects(frozenset(listed))


def test_no_filters_keep_everything() -> None:
    chain = FilterChain()
    assert chain.selects(FOO)
    assert chain.finite_names is None
    assert chain.narrow(PAGE) is PAGE


def test_a_project_is_selected_if_every_filter_keeps_it() -> None:
    chain = FilterChain((allowed(FOO, BAR), Blocked(frozenset({BAR}))))
    assert [chain.selects(name) for name in (FOO, BAR, BAZ)] == [True, False, False]


@pytest.mark.parametrize(
    ("projects", "finite"),
    [
        ((), None),
        ((Blocked(frozenset({BAR})),), None),
        ((allowed(FOO, BAR),), {FOO, BAR}),
        ((allowed(FOO, BAR), allowed(BAR, BAZ)), {BAR}),
        ((allowed(FOO, BAR), Blocked(frozenset({BAR}))), {FOO}),
        ((allowed(FOO), allowed(BAR)), set()),
        ((allowed(),), set()),
    ],
)
def test_the_projects_that_can_be_selected_are_known_if_a_filter_lists_them(
    projects: tuple[AllowedProjects | Blocked, ...], finite: set[ProjectName] | None
) -> None:
    assert FilterChain(projects).finite_names == finite


@given(st.lists(st.frozensets(names.map(ProjectName)), max_size=3), st.frozensets(names))
def test_what_is_selected_is_in_the_finite_set_and_the_other_way_round(
    lists: list[frozenset[ProjectName]], blocked: frozenset[str]
) -> None:
    chain = FilterChain(
        (*map(AllowedProjects, lists), Blocked(frozenset(map(ProjectName, blocked))))
    )
    finite = chain.finite_names
    if finite is None:
        assert not lists
    else:
        assert finite == {name for name in frozenset().union(*lists) if chain.selects(name)}


def test_page_filters_run_by_stage_and_then_by_name() -> None:
    ran: list[str] = []
    filters = [
        Dropping(Stage.SELECTION, "a", ran),
        Dropping(Stage.FILE, "c", ran),
        Dropping(Stage.FILE, "b", ran),
        Dropping(Stage.METADATA, "d", ran),
    ]
    for order in permutations(filters):
        ran.clear()
        assert FilterChain(pages=order).narrow(PAGE).files == ()
        assert ran == ["metadata d 4", "file b 3", "file c 2", "selection a 1"]


def test_the_stages_are_in_the_order_that_is_written_down() -> None:
    assert sorted(Stage) == [Stage.METADATA, Stage.FILE, Stage.RELEASE, Stage.SELECTION]


def test_the_fingerprint_does_not_depend_on_the_order() -> None:
    projects = (allowed(FOO), Blocked(frozenset({BAR})))
    pages = (Dropping(Stage.FILE, "a"), Dropping(Stage.FILE, "b"))
    one = FilterChain(projects, pages).fingerprint
    assert FilterChain(projects[::-1], pages[::-1]).fingerprint == one


def test_the_fingerprint_differs_when_a_decision_may() -> None:
    chains = [
        FilterChain(),
        FilterChain((allowed(FOO),)),
        FilterChain((allowed(BAR),)),
        FilterChain((allowed(FOO, BAR),)),
        FilterChain((Blocked(frozenset({FOO})),)),
        FilterChain((allowed(FOO), Blocked(frozenset({FOO})))),
        FilterChain(pages=(Dropping(Stage.FILE, "a"),)),
        FilterChain((allowed(FOO),), (Dropping(Stage.FILE, "a"),)),
    ]
    assert len({chain.fingerprint for chain in chains}) == len(chains)
