"""The choice of versions, and the graph of who needs whom."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from bandersnatch.closure.choice import allowed, bits, choose, is_pin, newest, specifier_set
from bandersnatch.closure.graph import branch_sizes, chain, depths, dominators
from bandersnatch.closure.needs import Dependency
from bandersnatch.closure.targets import ANY, Targets, targets_of
from bandersnatch.model.names import ProjectName
from bandersnatch.model.wheels import Environment, Linux, Pythons, Tagged
from tests.support.factories import make_detail, make_file

if TYPE_CHECKING:
    from bandersnatch.model.project import ProjectDetail

EVERY = Targets([ANY])
LINUX = Environment("l", (Pythons("==3.12"),), (Linux("x86_64", "glibc", (2, 28)),))
WINDOWS = Environment(
    "w", (Pythons("==3.12"),), (Tagged("tag win_amd64", frozenset({"win_amd64"})),)
)


def page(*versions: str, tags: str = "py3-none-any") -> ProjectDetail:
    """Return a page with a wheel of each version; one with ``!`` is yanked."""
    return make_detail(
        *(
            make_file(
                f"foo-{version.rstrip('!')}-{tags}.whl",
                yanked="" if version.endswith("!") else None,
            )
            for version in versions
        )
    )


def dependency(specifier: str = "", targets: int = 1) -> Dependency:
    return Dependency(specifier, (), targets, targets, f"foo{specifier}", "1")


def chosen(detail: ProjectDetail, *dependencies: Dependency, count: int = 1) -> set[str]:
    return {str(each) for each in choose(detail, dependencies, EVERY, count)[0]}


def test_the_newest_version_of_each_requirement_is_chosen() -> None:
    detail = page("1.0", "1.1", "2.0", "2.1")

    assert chosen(detail, dependency()) == {"2.1"}
    assert chosen(detail, dependency("<2"), dependency(">=1")) == {"1.1", "2.1"}
    assert chosen(detail, dependency(">=1"), count=3) == {"1.1", "2.0", "2.1"}
    assert chosen(detail, dependency("<2"), count=0) == {"1.0", "1.1"}


def test_pre_releases_are_chosen_if_they_are_named_or_nothing_else_is_there() -> None:
    detail = page("1.0", "2.0a1")

    assert chosen(detail, dependency()) == chosen(detail, dependency(">=0.5")) == {"1.0"}
    assert chosen(detail, dependency(">=2.0a0")) == {"2.0a1"}
    assert chosen(detail, dependency(">1")) == {"2.0a1"}
    assert chosen(page("2.0a1"), dependency()) == {"2.0a1"}


def test_yanked_versions_are_chosen_only_where_they_are_pinned() -> None:
    detail = page("1.0", "2.0!")

    assert chosen(detail, dependency()) == {"1.0"}
    assert chosen(detail, dependency("==2.0")) == {"2.0"}
    assert chosen(detail, dependency("==2.*")) == chosen(detail, dependency(">1")) == set()


def test_what_nothing_satisfies_is_named_with_its_targets() -> None:
    targets = Targets(targets_of([LINUX, WINDOWS]))
    detail = page("1.0", tags="cp312-cp312-win_amd64")

    found, unmet = choose(
        detail, [dependency("", 3), dependency(">=2", 2), dependency("~", 2)], targets, 1
    )

    assert set(found) == {Version("1.0")}
    assert unmet == (("", 1), (">=2", 2), ("~", 2))


def test_texts_that_are_not_versions_are_passed_over() -> None:
    assert chosen(page("1.0", "today"), dependency()) == {"1.0"}
    assert newest([(make_file("a.whl"), "1.0"), (make_file("a.whl"), "1.10")]) == "1.10"
    assert newest([(make_file("a.whl"), "x")]) == "x"
    assert newest([]) == ""


def test_pins_are_exact() -> None:
    assert is_pin("==1.0")
    assert is_pin("===1.0")
    assert not is_pin("==1.*")
    assert not is_pin(">=1")
    assert not is_pin("nonsense")
    assert specifier_set("nonsense") is None
    assert allowed("nonsense", [Version("1")]) == []
    assert list(bits(0b1011)) == [1, 2, 8]


SPECIFIERS = st.sampled_from(["", ">=1", "<2", "==1.1", "~=1.0", "!=2.0", ">=3"])
VERSIONS = st.lists(
    st.sampled_from(["0.9", "1.0", "1.1", "1.2a1", "2.0", "2.1!", "3.0"]), unique=True
)


@given(VERSIONS, st.lists(SPECIFIERS), SPECIFIERS, st.integers(0, 3))
def test_one_more_requirement_never_takes_a_version_away(
    versions: list[str], specifiers: list[str], more: str, count: int
) -> None:
    detail = page(*versions)
    dependencies = [dependency(each) for each in specifiers]

    before, _ = choose(detail, dependencies, EVERY, count)
    after, unmet = choose(detail, [*reversed(dependencies), dependency(more)], EVERY, count)

    assert before <= after
    for specifier in {*specifiers, more}:
        satisfying = [each for each in after if specifier_set(specifier).contains(each)]  # type: ignore[union-attr]
        is_unmet = specifier in dict(unmet)
        assert is_unmet or satisfying or not specifier


# ---------------------------------------------------------------- graphs


NAMES = [ProjectName(each) for each in "abcdef"]
EDGES = st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES)))
ROOTS = st.sets(st.sampled_from(NAMES), min_size=1)


@given(ROOTS, EDGES)
def test_what_leaves_with_a_project_is_what_it_alone_reaches(
    roots: set[ProjectName], edges: dict[ProjectName, set[ProjectName]]
) -> None:
    sizes = dict.fromkeys(NAMES, 10)
    reached = set(depths(roots, edges))

    found = branch_sizes(roots, edges, sizes)

    assert found.keys() == reached
    for name in reached:
        rest = {key: each - {name} for key, each in edges.items() if key != name}
        left = reached - set(depths(roots - {name}, rest)) - {name}
        assert found[name] == (len(left) + 1, (len(left) + 1) * 10)


@given(ROOTS, EDGES)
def test_a_chain_leads_to_a_root(
    roots: set[ProjectName], edges: dict[ProjectName, set[ProjectName]]
) -> None:
    dependants = {
        name: {each for each, needed in edges.items() if name in needed} for name in NAMES
    }
    reached = depths(roots, edges)
    for name in NAMES:
        found = chain(name, roots, dependants)

        assert found[0] == name
        assert (found[-1] in roots) is (name in reached)
        assert len(found) == reached.get(name, 0) + 1
        for needed, dependant in pairwise(found):
            assert needed in edges[dependant]
    assert dominators(roots, edges).keys() == reached.keys()
