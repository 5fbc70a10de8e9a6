"""What a coordinator tells its workers of the projects that are followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bandersnatch.closure.needs import Dependency
from bandersnatch.closure.state import ClosureState
from bandersnatch.cluster.settings import fingerprint_of
from bandersnatch.config.schema import (
    ClosureSettings,
    FollowedExtras,
    IndexSettings,
    NeededVersions,
    Settings,
    StorageSettings,
)
from bandersnatch.filters.chain import FilterChain
from bandersnatch.filters.following import FollowingChain
from bandersnatch.model.names import project_name
from tests.support import records as kept

if TYPE_CHECKING:
    from bandersnatch.model.names import ProjectName

SETTINGS = ClosureSettings(follow=True, versions=NeededVersions.NEEDED)
FOO = project_name("foo")

_DEPENDENCIES = st.builds(
    Dependency,
    st.text(max_size=9),
    st.lists(st.text(max_size=4), max_size=2).map(tuple),
    st.integers(0, 7),
    st.integers(0, 7),
    st.text(max_size=20),
    st.text(max_size=5),
)
_ASKED = st.dictionaries(
    kept.names,
    st.tuples(
        st.text(min_size=1, max_size=8),
        st.none() | st.lists(_DEPENDENCIES, max_size=3).map(tuple),
    ),
    max_size=4,
)


def _state(asked: dict[ProjectName, tuple[str, tuple[Dependency, ...] | None]]) -> ClosureState:
    state = ClosureState(SETTINGS, ())
    for name, (digest, dependencies) in asked.items():
        state.digests[name] = digest
        if dependencies is not None:
            state.dependencies[name] = dependencies
    return state


@given(_ASKED, _ASKED, st.sets(kept.names, max_size=3))
def test_a_worker_knows_of_its_projects_what_the_coordinator_knows(
    here: dict[ProjectName, tuple[str, tuple[Dependency, ...] | None]],
    there: dict[ProjectName, tuple[str, tuple[Dependency, ...] | None]],
    others: set[ProjectName],
) -> None:
    """Whatever it knew of them before; of other projects it knows what it knew."""
    coordinator, worker = _state(here), _state(there)
    names = {*list(here)[:2], *others}

    worker.ask(names, coordinator.asked_of(names))

    for name in {*names, *there}:
        known = coordinator if name in names else _state(there)
        assert worker.digests.get(name) == known.digests.get(name)
        if name in known.digests:
            assert worker.dependencies.get(name) == known.dependencies.get(name)


def test_what_a_page_lacked_for_an_earlier_job_is_forgotten() -> None:
    state = _state({FOO: ("a", ())})
    state.unmet[FOO] = ((">=2", 1),)

    state.ask([FOO], {FOO: ("b", None)})

    assert state.unmet == {}


def test_the_chain_without_what_is_followed_selects_the_roots() -> None:
    plain = FilterChain()
    following = FollowingChain.of(plain, ClosureState(SETTINGS, ()))

    assert plain.roots is plain
    assert following.roots == plain


def test_workers_need_the_same_closure_and_not_the_same_state() -> None:
    """What is followed comes with each job, and is not in the configuration."""
    settings = Settings(
        StorageSettings("/nowhere"), IndexSettings("https://example.org"), closure=SETTINGS
    )
    state = ClosureState(SETTINGS, ())
    chain = FollowingChain.of(FilterChain(), state)
    before = fingerprint_of(settings, chain.roots, state)
    state.digests[FOO] = "a"

    assert fingerprint_of(settings, chain.roots, state) == before
    assert fingerprint_of(settings, FilterChain(), ClosureState(SETTINGS, ())) == before
    for other in (
        structs.replace(SETTINGS, versions=NeededVersions.ALL),
        structs.replace(SETTINGS, extras=FollowedExtras.ALL),
    ):
        changed = structs.replace(settings, closure=other)
        assert fingerprint_of(changed, FilterChain(), ClosureState(other, ())) != before
