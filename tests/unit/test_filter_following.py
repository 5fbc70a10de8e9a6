"""The chain of filters of a mirror that follows dependencies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.version import Version

from bandersnatch.filters.following import FollowingChain, NeededReleases
from bandersnatch.model.names import ProjectName
from tests.support.chains import chain_of
from tests.support.factories import make_detail, make_file

if TYPE_CHECKING:
    from bandersnatch.model.project import ProjectDetail

ROOT, NEEDED, OTHER, BLOCKED = map(ProjectName, ("root", "needed", "other", "blocked"))
CHAIN = """
    [plugins]
    enabled =
        allowlist_project
        blocklist_project
        blocklist_release
        latest_release
        prerelease_release
    [allowlist]
    packages =
        root[x]
    [blocklist]
    packages =
        blocked
        needed==1.5
    [latest_release]
    keep = 2
"""


@dataclass
class Follower:
    """Follows some projects, of which fixed versions are needed."""

    wanted: dict[ProjectName, set[str] | None] = field(default_factory=dict)
    restricts_versions: bool = True
    fingerprint: str = "closure"
    counts: list[int] = field(default_factory=list)

    @property
    def names(self) -> frozenset[ProjectName]:
        return frozenset(self.wanted)

    def follows(self, name: ProjectName, /) -> bool:
        return name in self.wanted

    def digest(self, name: ProjectName, /) -> str:
        return " ".join(sorted(self.wanted.get(name) or ()))

    def choose(self, page: ProjectDetail, count: int, /) -> frozenset[Version] | None:
        self.counts.append(count)
        found = self.wanted.get(page.name)
        return None if found is None else frozenset(map(Version, found))


def page(name: ProjectName, *versions: str) -> ProjectDetail:
    files = (make_file(f"{name}-{each}-py3-none-any.whl") for each in versions)
    return make_detail(*files, name=name, versions=versions)


def kept(chain: FollowingChain, detail: ProjectDetail) -> list[str]:
    result = chain.apply(detail)
    assert result.page is not None
    assert list(result.page.versions) == list(result.page.version_texts())
    return list(result.page.versions)


def test_what_is_followed_is_selected_unless_a_filter_drops_it() -> None:
    chain = FollowingChain.of(chain_of(CHAIN), Follower({NEEDED: {"1.0"}, BLOCKED: {"1.0"}}))

    assert [chain.selects(each) for each in (ROOT, NEEDED, OTHER, BLOCKED)] == [
        True,
        True,
        False,
        False,
    ]
    assert sorted(chain.finite_names or ()) == [NEEDED, ROOT]
    by = {each: chain.refuses(each) for each in (ROOT, NEEDED, OTHER, BLOCKED)}
    assert {name: each.name for name, each in by.items() if each is not None} == {
        OTHER: "allowlist_project",
        BLOCKED: "blocklist_project",
    }


def test_a_chain_without_a_list_stays_infinite() -> None:
    chain = FollowingChain.of(chain_of("[plugins]\nenabled ="), Follower({ROOT: {"1.0"}}))

    assert chain.finite_names is None
    assert chain.refuses(ROOT) is None


def test_only_needed_releases_of_what_is_followed_are_kept() -> None:
    follower = Follower({NEEDED: {"1.0", "1.5"}})
    chain = FollowingChain.of(chain_of(CHAIN), follower)
    detail = page(NEEDED, "1.0", "1.5", "2.0", "3.0")

    assert kept(chain, detail) == ["1.0"]
    assert set(follower.counts) == {2}
    assert chain.explain(detail, "needed-1.0-py3-none-any.whl") is None
    by = [chain.explain(detail, f"needed-{each}-py3-none-any.whl") for each in ("1.5", "2.0")]
    assert [each[0].name for each in by if each is not None] == ["blocklist_release", "closure"]
    assert by[1] is not None
    assert "no requirement needs 2.0" in by[1][1]


def test_of_a_selected_project_that_is_needed_too_both_are_kept() -> None:
    chain = FollowingChain.of(chain_of(CHAIN), Follower({ROOT: {"1.0"}}))
    detail = page(ROOT, "1.0", "2.0", "3.0", "4.0")

    assert kept(chain, detail) == ["1.0", "3.0", "4.0"]
    assert [each.by for each in chain.apply(detail).dropped] == ["latest_release"]
    assert chain.explain(detail, "root-1.0-py3-none-any.whl") is None
    found = chain.explain(detail, "root-2.0-py3-none-any.whl")
    assert found is not None
    assert found[0].name == "latest_release"


def test_a_project_that_is_not_followed_is_filtered_as_ever() -> None:
    chain = FollowingChain.of(chain_of(CHAIN), Follower())
    detail = page(ROOT, "1.0", "2.0", "3.0")

    assert kept(chain, detail) == ["2.0", "3.0"]
    assert chain.explain(detail, "root-1.0-py3-none-any.whl") is not None
    assert chain.fingerprint_for(ROOT) == chain.roots.fingerprint_for(ROOT)


def test_all_versions_are_kept_if_that_is_wanted() -> None:
    chain = FollowingChain.of(chain_of(CHAIN), Follower({NEEDED: None}, restricts_versions=False))

    assert kept(chain, page(NEEDED, "1.0", "2.0", "3.0")) == ["2.0", "3.0"]


def test_a_page_that_one_of_two_chains_drops_is_what_the_other_keeps() -> None:
    text = CHAIN + "    [size_project_metadata]\n    max_package_size = 1\n"
    text = text.replace("latest_release\n        pre", "size_project_metadata\n        pre")
    chain = FollowingChain.of(chain_of(text), Follower({ROOT: {"1.0"}}))

    assert chain.apply(page(ROOT, "1.0")).page is None


def test_fingerprints_change_with_what_is_needed() -> None:
    one = FollowingChain.of(chain_of(CHAIN), Follower({NEEDED: {"1.0"}}))
    other = FollowingChain.of(chain_of(CHAIN), Follower({NEEDED: {"2.0"}}))

    assert one.fingerprint_for(NEEDED) != other.fingerprint_for(NEEDED)
    assert one.fingerprint == other.fingerprint
    assert set(one.with_own_rules([ROOT, NEEDED, OTHER])) == {ROOT, NEEDED, OTHER}
    plain = FollowingChain.of(chain_of("[plugins]\nenabled ="), Follower({NEEDED: None}))
    assert set(plain.with_own_rules([ROOT, NEEDED, OTHER])) == {NEEDED}
    assert set(plain.roots.with_own_rules([ROOT])) == set()


def test_the_filter_says_what_it_does() -> None:
    each = NeededReleases(Follower({NEEDED: None}), 3)

    assert each.fingerprint() == "closure 3"
    assert each.explain(page(NEEDED, "1.0"), None) == ""
    assert kept_by(each) == ["1.0"]


def kept_by(each: NeededReleases) -> list[str]:
    return list(each.apply(page(NEEDED, "1.0")).versions)


def test_extras_come_from_the_lists() -> None:
    chain = chain_of(CHAIN)
    extras = {each.name: each.extras(ROOT) for each in chain.projects}

    assert extras == {"allowlist_project": {"x"}, "blocklist_project": frozenset()}


def test_the_finite_set_has_the_followed_projects_that_no_filter_drops() -> None:
    follower = Follower({NEEDED: None, BLOCKED: None})
    without_other_filters = """
        [plugins]
        enabled = allowlist_project
        [allowlist]
        packages = root
    """

    names = [
        FollowingChain.of(chain_of(text), follower).finite_names
        for text in (CHAIN, without_other_filters)
    ]

    assert names == [frozenset({ROOT, NEEDED}), frozenset({ROOT, NEEDED, BLOCKED})]
