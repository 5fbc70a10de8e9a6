"""What is wanted, less what is had."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.catalogue.records import Deferral, Deferred, ProjectSummary
from bandersnatch.mirror.plan import SECOND_LOOK, SyncPlan, make_plan, vanished, without
from bandersnatch.mirror.tasks import PROOF_BY_EXPIRY, Discovery, MirrorSnapshot, SyncTask
from bandersnatch.model.names import ProjectName
from bandersnatch.model.project import ProjectList
from bandersnatch.model.serials import NO_SERIAL, REMOVE_PROJECT, Change, Serial
from tests.support.records import make_unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FOO, BAR = ProjectName("foo"), ProjectName("bar")
NOW = 2_000_000_000
FINGERPRINT = "fingerprint"
names = st.sampled_from([FOO, BAR, ProjectName("baz"), ProjectName("left-out")])
serials = st.integers(1, 60).map(Serial)


def everything(_: ProjectName) -> bool:
    """Select every project."""
    return True


def kept(name: ProjectName) -> bool:
    """Select all but one."""
    return name != "left-out"


def has(reflects: int, display: str = "", fingerprint: str = FINGERPRINT) -> ProjectSummary:
    """Return what is had of a project."""
    return ProjectSummary(Serial(reflects), Serial(reflects), display, fingerprint)


def change(serial: int, name: ProjectName = FOO, action: str = "new release") -> Change:
    """Return an event."""
    return Change(name, name, Serial(serial), action, NOW - 60)


def situation(
    had: Mapping[ProjectName, ProjectSummary] | None = None,
    *left: Deferred,
    status: int = 10,
    due: Sequence[ProjectName] = (),
) -> MirrorSnapshot:
    """Return what a mirror knew; what is left as pending is in ``todo`` too."""
    return MirrorSnapshot(
        status=Serial(status),
        pending={
            each.name: each.target_serial
            for each in left
            if each.deferral in {Deferral.PENDING, Deferral.GONE}
        },
        unfinished={each.name: each for each in left},
        had=had or {},
        fingerprint=lambda _: FINGERPRINT,
        now=NOW,
        due=due,
    )


def left(deferral: Deferral, name: ProjectName = FOO, **numbers: int) -> Deferred:
    """Return what an earlier run left, noticed a minute ago."""
    return make_unfinished(name, deferral, **({"since": NOW - 60, "tried": NOW - 60} | numbers))


def plan(
    found: Discovery,
    before: MirrorSnapshot,
    *,
    force: bool = False,
    selects: Callable[[ProjectName], bool] = everything,
) -> SyncPlan:
    """Return the plan."""
    return make_plan(found, before, selects, force=force)


def listing(*told: tuple[ProjectName, int | None], serial: int | None = 50) -> Discovery:
    """Return a whole list that was read."""
    projects = {name: None if own is None else Serial(own) for name, own in told}
    whole = None if serial is None else Serial(serial)
    return Discovery(whole, listing=ProjectList(projects, serial=whole))


def changed(*changes: Change, cursor: int = 60) -> Discovery:
    """Return a journal that was read."""
    return Discovery(Serial(cursor), changes=changes)


# ---------------------------------------------------------------- in general

journals = st.lists(
    st.tuples(names, st.sampled_from(["new release", "create", REMOVE_PROJECT])), max_size=8
).map(lambda drawn: [change(20 + n, name, action) for n, (name, action) in enumerate(drawn)])
situations = st.builds(
    situation,
    st.dictionaries(
        names, st.builds(has, st.integers(0, 40), fingerprint=st.sampled_from([FINGERPRINT, ""]))
    ),
)
lists = st.none() | st.dictionaries(names, st.none() | serials, max_size=4).map(ProjectList)


@given(journal=journals, whole=lists, before=situations, force=st.booleans())
def test_every_change_that_is_not_had_is_wanted_or_gone(
    journal: list[Change], whole: ProjectList | None, before: MirrorSnapshot, *, force: bool
) -> None:
    made = plan(Discovery(Serial(60), journal, whole), before, force=force, selects=kept)
    for name in {event.name for event in journal if kept(event.name)}:
        events = [event for event in journal if event.name == name]
        had = before.had.get(name)
        if events[-1].is_removal:
            assert name not in made.wanted
            assert (name in made.gone) == (had is not None)
        elif had is None or had.reflects < events[-1].serial:
            wish = made.wanted[name]
            assert wish.target_serial >= events[-1].serial
            assert wish.listed
            assert wish.first_serial is None or wish.first_serial <= events[0].serial


@given(journal=journals, whole=lists, before=situations, sweep=st.sets(names), force=st.booleans())
def test_what_is_left_out_is_neither_wanted_nor_gone(
    journal: list[Change],
    whole: ProjectList | None,
    before: MirrorSnapshot,
    sweep: set[ProjectName],
    *,
    force: bool,
) -> None:
    found = Discovery(Serial(60), journal, whole, frozenset(sweep))
    made = plan(found, before, force=force, selects=kept)
    assert all(map(kept, [*made.wanted, *made.gone]))
    assert not made.wanted.keys() & made.gone.keys()
    assert made.gone.keys() <= before.had.keys()
    assert list(made.wanted) == sorted(made.wanted)


@given(journals, lists, situations)
def test_what_is_had_is_not_asked_for_again(
    journal: list[Change], whole: ProjectList | None, before: MirrorSnapshot
) -> None:
    made = plan(Discovery(Serial(60), journal, whole), before)
    for name, wish in made.wanted.items():
        had = before.had.get(name)
        assert (
            had is None
            or had.reflects < wish.target_serial
            or had.fingerprint != FINGERPRINT
            or not wish.target_serial
        )


@given(journals, st.dictionaries(names, serials).map(ProjectList), situations)
def test_with_force_everything_is_looked_at(
    journal: list[Change], whole: ProjectList, before: MirrorSnapshot
) -> None:
    made = plan(Discovery(Serial(60), journal, whole), before, force=True)
    assert {*whole.serials, *before.had} <= {*made.wanted, *made.gone}.union(
        event.name for event in journal if event.is_removal
    )


@given(st.lists(st.builds(SyncTask, st.just(FOO), serials, st.none() | serials), min_size=2))
def test_wishes_are_one_in_any_order(wishes: list[SyncTask]) -> None:
    def merged(wishes: list[SyncTask]) -> tuple[Serial, Serial | None]:
        first, *others = wishes
        for other in others:
            first = first.merged(other)
        return first.target_serial, first.first_serial

    assert merged(wishes) == merged(wishes[::-1])
    assert merged(wishes)[0] == max(wish.target_serial for wish in wishes)


# ---------------------------------------------------------------- events


def test_the_first_and_the_last_event_of_a_project_count() -> None:
    made = plan(changed(change(20), change(25), change(31)), situation({FOO: has(10)}))
    assert (made.wanted[FOO].first_serial, made.wanted[FOO].target_serial) == (20, 31)
    assert made.cursor == 60


def test_a_project_that_is_removed_and_created_again_is_wanted() -> None:
    events = [change(20, action=REMOVE_PROJECT), change(21, action="create")]
    made = plan(changed(*events), situation({FOO: has(10)}))
    assert made.wanted[FOO].target_serial == 21
    assert made.gone == {}


def test_a_removed_project_that_a_cached_list_still_names_is_gone() -> None:
    found = replace(listing((FOO, 15)), changes=(change(20, action=REMOVE_PROJECT),))
    made = plan(found, situation({FOO: has(10)}))
    assert list(made.gone) == [FOO]
    assert made.wanted == {}


def test_a_removed_project_that_is_not_had_is_no_work() -> None:
    assert plan(changed(change(20, action=REMOVE_PROJECT)), situation()).gone == {}


# ---------------------------------------------------------------- the whole list


def test_what_the_list_has_newer_is_wanted() -> None:
    made = plan(listing((FOO, 20), (BAR, 5)), situation({FOO: has(15), BAR: has(5)}))
    assert list(made.wanted) == [FOO]
    assert made.wanted[FOO] == SyncTask(
        FOO,
        Serial(20),
        first_serial=Serial(16),
        noticed_at=NOW,
        display="foo",
        listed=True,
        had=True,
    )


def test_a_list_without_serials_wants_everything_looked_at() -> None:
    made = plan(listing((FOO, None), serial=None), situation({FOO: has(15)}))
    assert made.wanted[FOO].target_serial == NO_SERIAL


def test_another_fingerprint_or_another_title_want_the_page_made_anew() -> None:
    for had in (has(20, fingerprint="other"), has(20, display="FOO")):
        assert list(plan(listing((FOO, 20)), situation({FOO: had})).wanted) == [FOO]


def test_what_the_list_does_not_name_is_looked_at_and_not_taken_for_gone() -> None:
    found = listing((BAR, 5))
    made = plan(found, situation({FOO: has(15), BAR: has(5)}))
    assert made.wanted[FOO] == SyncTask(FOO, first_serial=Serial(11), had=True, unlisted=True)
    assert made.gone == {}
    assert vanished(made, found) == {FOO}
    assert without(made, frozenset({FOO})).wanted == {}
    assert vanished(made, changed()) == frozenset()


def test_what_is_younger_than_the_list_is_not_missed() -> None:
    assert plan(listing(serial=10), situation({FOO: has(15)})).wanted == {}


def test_where_removed_projects_are_kept_nobody_looks_for_them() -> None:
    before = replace(situation({FOO: has(15)}), keep_removed=True)
    assert plan(listing(), before).wanted == {}


# ---------------------------------------------------------------- what earlier runs left


def test_what_is_pending_is_wanted_as_before() -> None:
    made = plan(
        changed(), situation({FOO: has(5)}, left(Deferral.PENDING, target_serial=9, first_serial=8))
    )
    wish = made.wanted[FOO]
    assert (wish.target_serial, wish.first_serial, wish.noticed_at, wish.listed) == (
        9,
        8,
        NOW - 60,
        True,
    )
    assert wish.earlier is not None


def test_what_is_pending_in_a_todo_of_an_earlier_release_is_wanted() -> None:
    before = replace(situation(), pending={FOO: Serial(9)})
    assert plan(changed(), before).wanted[FOO] == SyncTask(
        FOO, Serial(9), noticed_at=NOW, handled=True
    )


def test_what_is_pending_and_had_by_now_is_done() -> None:
    assert (
        plan(changed(), situation({FOO: has(9)}, left(Deferral.PENDING, target_serial=9))).wanted
        == {}
    )


def test_a_missing_page_is_no_fault_any_more_once_every_cache_has_expired() -> None:
    old = left(Deferral.PENDING, since=NOW - PROOF_BY_EXPIRY - 1)
    assert not plan(changed(), situation({}, old)).wanted[FOO].listed


def test_a_list_that_does_not_name_what_is_pending_takes_the_wish_back() -> None:
    made = plan(
        listing((BAR, 5)), situation({FOO: has(5)}, left(Deferral.PENDING, target_serial=9))
    )
    assert made.wanted[FOO].target_serial == NO_SERIAL
    assert not made.wanted[FOO].listed


@pytest.mark.parametrize(
    ("deferral", "ago", "is_wanted"),
    [
        (Deferral.INCOMPLETE, 1, True),
        (Deferral.MISSING_ONCE, SECOND_LOOK - 1, False),
        (Deferral.MISSING_ONCE, SECOND_LOOK, True),
    ],
)
def test_a_second_look_is_taken_when_it_can_tell_something(
    deferral: Deferral, ago: int, *, is_wanted: bool
) -> None:
    before = situation({FOO: has(9)}, left(deferral, tried=NOW - ago))
    assert (FOO in plan(changed(), before).wanted) is is_wanted


def test_what_may_not_go_yet_is_gone_still() -> None:
    made = plan(changed(), situation({FOO: has(5)}, left(Deferral.GONE)))
    assert list(made.gone) == [FOO]
    assert made.wanted == {}


def test_what_was_gone_and_is_listed_again_is_wanted() -> None:
    made = plan(listing((FOO, 20)), situation({FOO: has(5)}, left(Deferral.GONE)))
    assert list(made.wanted) == [FOO]
    assert made.gone == {}


# ---------------------------------------------------------------- a finite set


def test_each_project_of_a_finite_set_is_looked_at() -> None:
    found = Discovery(Serial(60), sweep=frozenset({FOO, BAR}))
    made = plan(found, situation({FOO: has(50)}))
    assert made.wanted == {
        BAR: SyncTask(BAR),
        FOO: SyncTask(FOO, first_serial=Serial(11), had=True),
    }
