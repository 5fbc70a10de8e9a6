"""What a run has to do: what the index has, less what the mirror reflects."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.catalogue.records import Deferral, Deferred, ProjectSummary, Standing
from bandersnatch.mirror.ledger import PROOF_BY_EXPIRY
from bandersnatch.mirror.plan import (
    SECOND_LOOK,
    SyncPlan,
    deselected,
    make_plan,
    restricted,
    vanished,
    without,
)
from bandersnatch.mirror.tasks import (
    Discovery,
    MirrorSnapshot,
    SyncTask,
    TaskHints,
)
from bandersnatch.model.names import ProjectName
from bandersnatch.model.project import ProjectList
from bandersnatch.model.serials import NO_SERIAL, REMOVE_PROJECT, Change, Serial
from tests.support.records import make_unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FOO, BAR = ProjectName("foo"), ProjectName("bar")
NOW = 2_000_000_000
FINGERPRINT = "fingerprint"
names = st.sampled_from([FOO, BAR, ProjectName("baz"), ProjectName("deselected")])
serials = st.integers(1, 60).map(Serial)


def everything(_: ProjectName) -> bool:
    """Select every project."""
    return True


def selected(name: ProjectName) -> bool:
    """Select all but one."""
    return name != "deselected"


def has(reflects: int, display: str = "", fingerprint: str = FINGERPRINT) -> ProjectSummary:
    """Return the summary of a project that the catalogue has."""
    return ProjectSummary(Serial(reflects), Serial(reflects), display, fingerprint)


def change(serial: int, name: ProjectName = FOO, action: str = "new release") -> Change:
    """Return an event."""
    return Change(name, name, Serial(serial), action, NOW - 60)


def snapshot(
    summaries: Mapping[ProjectName, ProjectSummary] | None = None,
    *left: Deferred,
    status: int = 10,
    due: Sequence[ProjectName] = (),
) -> MirrorSnapshot:
    """Return what a mirror knew; pending projects are in ``todo`` too."""
    return MirrorSnapshot(
        status=Serial(status),
        pending={
            each.name: each.target_serial
            for each in left
            if each.deferral in {Deferral.PENDING, Deferral.GONE}
        },
        deferred={each.name: each for each in left},
        summaries=summaries or {},
        fingerprint=lambda _: FINGERPRINT,
        now=NOW,
        due=due,
    )


def left(deferral: Deferral, name: ProjectName = FOO, **numbers: int) -> Deferred:
    """Return what an earlier run deferred a minute ago."""
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


def listing(*projects: tuple[ProjectName, int | None], serial: int | None = 50) -> Discovery:
    """Return the discovery of a project list."""
    serials = {name: None if own is None else Serial(own) for name, own in projects}
    whole = None if serial is None else Serial(serial)
    return Discovery(whole, listing=ProjectList(serials, serial=whole))


def changed(*changes: Change, cursor: int = 60) -> Discovery:
    """Return the discovery of events."""
    return Discovery(Serial(cursor), changes=changes)


# ---------------------------------------------------------------- in general

changelogs = st.lists(
    st.tuples(names, st.sampled_from(["new release", "create", REMOVE_PROJECT])), max_size=8
).map(lambda drawn: [change(20 + n, name, action) for n, (name, action) in enumerate(drawn)])
snapshots = st.builds(
    snapshot,
    st.dictionaries(
        names, st.builds(has, st.integers(0, 40), fingerprint=st.sampled_from([FINGERPRINT, ""]))
    ),
)
lists = st.none() | st.dictionaries(names, st.none() | serials, max_size=4).map(ProjectList)


@given(changelog=changelogs, whole=lists, before=snapshots, force=st.booleans())
def test_every_change_that_is_not_reflected_gives_a_task_or_a_removal(
    changelog: list[Change], whole: ProjectList | None, before: MirrorSnapshot, *, force: bool
) -> None:
    made = plan(Discovery(Serial(60), changelog, whole), before, force=force, selects=selected)
    for name in {event.name for event in changelog if selected(event.name)}:
        events = [event for event in changelog if event.name == name]
        had = before.summaries.get(name)
        if events[-1].is_removal:
            assert name not in made.tasks
            assert (name in made.removals) == (had is not None)
        elif had is None or had.reflects < events[-1].serial:
            task = made.tasks[name]
            assert task.target_serial >= events[-1].serial
            assert TaskHints.LISTED in task.hints
            assert task.first_serial is None or task.first_serial <= events[0].serial


@given(
    changelog=changelogs, whole=lists, before=snapshots, finite=st.sets(names), force=st.booleans()
)
def test_a_deselected_project_has_neither_a_task_nor_a_removal(
    changelog: list[Change],
    whole: ProjectList | None,
    before: MirrorSnapshot,
    finite: set[ProjectName],
    *,
    force: bool,
) -> None:
    found = Discovery(Serial(60), changelog, whole, frozenset(finite))
    made = plan(found, before, force=force, selects=selected)
    assert all(map(selected, [*made.tasks, *made.removals]))
    assert not made.tasks.keys() & made.removals.keys()
    assert made.removals.keys() <= before.summaries.keys()


@given(
    changelog=changelogs, whole=lists, before=snapshots, finite=st.sets(names), force=st.booleans()
)
def test_what_must_have_a_page_comes_first_and_what_failed_comes_last(
    changelog: list[Change],
    whole: ProjectList | None,
    before: MirrorSnapshot,
    finite: set[ProjectName],
    *,
    force: bool,
) -> None:
    found = Discovery(Serial(60), changelog, whole, frozenset(finite))
    tasks = plan(found, before, force=force, selects=selected).tasks.values()

    def place(task: SyncTask) -> tuple[bool, bool, bool, ProjectName]:
        if task.earlier is not None and task.earlier.attempts:
            return True, True, True, task.name
        is_new = not task.is_expected and task.earlier is None
        return False, not task.is_expected, is_new, task.name

    assert list(tasks) == sorted(tasks, key=place)


@given(changelogs, lists, snapshots)
def test_a_reflected_project_has_no_task(
    changelog: list[Change], whole: ProjectList | None, before: MirrorSnapshot
) -> None:
    made = plan(Discovery(Serial(60), changelog, whole), before)
    for name, task in made.tasks.items():
        had = before.summaries.get(name)
        assert (
            had is None
            or had.reflects < task.target_serial
            or task.happened_at is not None  # an event is news, whatever the record says
            or had.fingerprint != FINGERPRINT
            or not task.target_serial
        )


@given(changelogs, st.dictionaries(names, serials).map(ProjectList), snapshots)
def test_force_gives_every_project_a_task(
    changelog: list[Change], whole: ProjectList, before: MirrorSnapshot
) -> None:
    made = plan(Discovery(Serial(60), changelog, whole), before, force=True)
    assert {*whole.serials, *before.summaries} <= {*made.tasks, *made.removals}.union(
        event.name for event in changelog if event.is_removal
    )


@given(st.lists(st.builds(SyncTask, st.just(FOO), serials, st.none() | serials), min_size=2))
def test_tasks_merge_in_any_order(tasks: list[SyncTask]) -> None:
    def merged(tasks: list[SyncTask]) -> tuple[Serial, Serial | None]:
        first, *others = tasks
        for other in others:
            first = first.merged(other)
        return first.target_serial, first.first_serial

    assert merged(tasks) == merged(tasks[::-1])
    assert merged(tasks)[0] == max(task.target_serial for task in tasks)


def test_a_change_that_is_read_again_keeps_its_times() -> None:
    first = SyncTask(FOO, Serial(9), noticed_at=100, happened_at=90)
    again = SyncTask(FOO, Serial(9), noticed_at=200, happened_at=90)
    listed = SyncTask(FOO, Serial(9))
    newer = SyncTask(FOO, Serial(10), noticed_at=300, happened_at=290)

    for tasks in ([first, again], [again, first], [first, listed], [listed, again, first]):
        merged = tasks[0]
        for other in tasks[1:]:
            merged = merged.merged(other)
        assert (merged.noticed_at, merged.happened_at) == (100, 90)
    assert first.merged(newer).noticed_at == newer.merged(first).noticed_at == 300


# ---------------------------------------------------------------- events


def test_a_task_spans_the_first_and_the_last_event_of_its_project() -> None:
    made = plan(changed(change(20), change(25), change(31)), snapshot({FOO: has(10)}))
    assert (made.tasks[FOO].first_serial, made.tasks[FOO].target_serial) == (20, 31)
    assert made.cursor == 60


def test_a_project_that_is_removed_and_created_again_has_a_task() -> None:
    events = [change(20, action=REMOVE_PROJECT), change(21, action="create")]
    made = plan(changed(*events), snapshot({FOO: has(10)}))
    assert made.tasks[FOO].target_serial == 21
    assert made.removals == {}


def test_a_removed_project_that_a_cached_list_still_has_is_a_removal() -> None:
    found = replace(listing((FOO, 15)), changes=(change(20, action=REMOVE_PROJECT),))
    made = plan(found, snapshot({FOO: has(10)}))
    assert list(made.removals) == [FOO]
    assert made.tasks == {}


def test_a_removed_project_that_the_mirror_does_not_have_is_ignored() -> None:
    assert plan(changed(change(20, action=REMOVE_PROJECT)), snapshot()).removals == {}


# ---------------------------------------------------------------- the project list


def test_a_project_with_a_higher_serial_in_the_list_has_a_task() -> None:
    made = plan(listing((FOO, 20), (BAR, 5)), snapshot({FOO: has(15), BAR: has(5)}))
    assert list(made.tasks) == [FOO]
    assert made.tasks[FOO] == SyncTask(
        FOO,
        Serial(20),
        first_serial=Serial(16),
        noticed_at=NOW,
        display="foo",
        hints=TaskHints.LISTED | TaskHints.KNOWN,
    )


def test_a_list_without_serials_gives_every_project_a_task() -> None:
    made = plan(listing((FOO, None), serial=None), snapshot({FOO: has(15)}))
    assert made.tasks[FOO].target_serial == NO_SERIAL


def test_another_fingerprint_or_another_title_gives_a_task() -> None:
    for had in (has(20, fingerprint="other"), has(20, display="FOO")):
        assert list(plan(listing((FOO, 20)), snapshot({FOO: had})).tasks) == [FOO]


def test_a_project_that_the_list_does_not_have_has_a_task_and_is_not_a_removal() -> None:
    found = listing((BAR, 5))
    made = plan(found, snapshot({FOO: has(15), BAR: has(5)}))
    assert made.tasks[FOO] == SyncTask(
        FOO, first_serial=Serial(11), hints=TaskHints.KNOWN | TaskHints.UNLISTED
    )
    assert made.removals == {}
    assert vanished(made, found) == {FOO}
    assert without(made, frozenset({FOO})).tasks == {}
    assert vanished(made, changed()) == frozenset()


def test_a_project_that_is_newer_than_the_list_is_not_missed() -> None:
    assert plan(listing(serial=10), snapshot({FOO: has(15)})).tasks == {}


def test_missing_projects_have_no_task_if_removed_projects_are_kept() -> None:
    before = replace(snapshot({FOO: has(15)}), keep_removed=True)
    assert plan(listing(), before).tasks == {}


# ---------------------------------------------------------------- what earlier runs deferred


def test_a_pending_project_has_a_task_with_its_earlier_serials() -> None:
    made = plan(
        changed(), snapshot({FOO: has(5)}, left(Deferral.PENDING, target_serial=9, first_serial=8))
    )
    task = made.tasks[FOO]
    assert (task.target_serial, task.first_serial, task.noticed_at) == (9, 8, NOW - 60)
    assert TaskHints.LISTED in task.hints
    assert task.earlier is not None


def test_a_pending_project_of_an_earlier_release_has_a_task() -> None:
    before = replace(snapshot(), pending={FOO: Serial(9)})
    assert plan(changed(), before).tasks[FOO] == SyncTask(
        FOO, Serial(9), noticed_at=NOW, hints=TaskHints.MAYBE_PUBLISHED
    )


@pytest.mark.parametrize(("cursor", "target"), [(8, NO_SERIAL), (9, 9), (10, 9)])
def test_a_pending_serial_above_t_is_not_waited_for(cursor: int, target: int) -> None:
    before = snapshot({FOO: has(5)}, left(Deferral.PENDING, target_serial=9, first_serial=8))
    task = plan(changed(), replace(before, cursor=Serial(cursor))).tasks[FOO]
    assert (task.target_serial, task.first_serial) == (target, 8)


def test_a_pending_project_that_is_reflected_by_now_has_no_task() -> None:
    assert (
        plan(changed(), snapshot({FOO: has(9)}, left(Deferral.PENDING, target_serial=9))).tasks
        == {}
    )


def test_a_missing_page_is_not_an_error_once_every_cache_has_expired() -> None:
    old = left(Deferral.PENDING, since=NOW - PROOF_BY_EXPIRY - 1)
    assert TaskHints.LISTED not in plan(changed(), snapshot({}, old)).tasks[FOO].hints


def test_a_list_without_a_pending_project_revokes_its_target_serial() -> None:
    made = plan(listing((BAR, 5)), snapshot({FOO: has(5)}, left(Deferral.PENDING, target_serial=9)))
    assert made.tasks[FOO].target_serial == NO_SERIAL
    assert TaskHints.LISTED not in made.tasks[FOO].hints


@pytest.mark.parametrize(
    ("deferral", "ago", "has_task"),
    [
        (Deferral.INCOMPLETE, 1, True),
        (Deferral.MISSING_ONCE, SECOND_LOOK - 1, False),
        (Deferral.MISSING_ONCE, SECOND_LOOK, True),
    ],
)
def test_a_missed_project_has_a_task_after_the_time_for_a_second_look(
    deferral: Deferral, ago: int, *, has_task: bool
) -> None:
    before = snapshot({FOO: has(9)}, left(deferral, tried=NOW - ago))
    assert (FOO in plan(changed(), before).tasks) is has_task


def test_a_removal_that_a_limit_refused_is_planned_again() -> None:
    made = plan(changed(), snapshot({FOO: has(5)}, left(Deferral.GONE)))
    assert list(made.removals) == [FOO]
    assert made.tasks == {}


def test_a_removed_project_that_is_listed_again_has_a_task() -> None:
    made = plan(listing((FOO, 20)), snapshot({FOO: has(5)}, left(Deferral.GONE)))
    assert list(made.tasks) == [FOO]
    assert made.removals == {}


# ---------------------------------------------------------------- a finite set


def test_each_project_of_a_finite_set_has_a_task() -> None:
    found = Discovery(Serial(60), finite=frozenset({FOO, BAR}))
    made = plan(found, snapshot({FOO: has(50)}))
    assert made.tasks == {
        BAR: SyncTask(BAR),
        FOO: SyncTask(FOO, first_serial=Serial(11), hints=TaskHints.KNOWN),
    }


# ---------------------------------------------------------------- other sources, and parts


def test_a_missed_project_that_is_listed_again_has_the_serial_of_the_list() -> None:
    before = snapshot({FOO: has(5)}, left(Deferral.UNLISTED, tried=NOW - SECOND_LOOK))
    made = plan(listing((FOO, 20)), before)
    assert made.tasks[FOO].target_serial == Serial(20)
    assert TaskHints.UNLISTED not in made.tasks[FOO].hints


@pytest.mark.parametrize("cursor", [None, Serial(60)])
def test_a_project_whose_page_is_to_show_more_is_asked_for(cursor: Serial | None) -> None:
    made = plan(Discovery(cursor), snapshot({FOO: has(5)}, due=(FOO,)))
    assert made.tasks[FOO].first_serial == (None if cursor is None else Serial(61))
    assert TaskHints.REFETCH in made.tasks[FOO].hints


def test_a_project_that_the_filters_excluded_is_marked() -> None:
    made = plan(changed(change(20)), snapshot({FOO: has(5)._replace(standing=Standing.EXCLUDED)}))
    assert TaskHints.EXCLUDED in made.tasks[FOO].hints


def test_published_and_excluded_projects_are_deselected_and_retained_ones_are_not() -> None:
    by_standing = dict(zip(Standing, (FOO, BAR, ProjectName("baz")), strict=True))
    summaries = {name: has(5)._replace(standing=each) for each, name in by_standing.items()}

    published, excluded = deselected(summaries, lambda _: False)

    assert published == {by_standing[Standing.SELECTED]}
    assert excluded == {by_standing[Standing.EXCLUDED]}
    assert deselected(summaries, everything) == (frozenset(), frozenset())


def test_a_part_of_a_plan_has_the_tasks_and_removals_of_its_projects() -> None:
    removed = change(21, BAR, REMOVE_PROJECT)
    made = plan(changed(change(20), removed), snapshot({FOO: has(5), BAR: has(5)}))
    assert restricted(made, frozenset({FOO})).removals == {}
    assert list(restricted(made, frozenset({FOO})).tasks) == [FOO]
    assert list(restricted(made, frozenset({BAR})).removals) == [BAR]
    assert restricted(made, frozenset({BAR})).tasks == {}
