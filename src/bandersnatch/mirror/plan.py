"""What a run has to do, computed from what the index has and what the mirror knew; pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import MISSED, Deferral, ProjectSummary, Standing
from bandersnatch.mirror.ledger import is_expired
from bandersnatch.mirror.tasks import Discovery, MirrorSnapshot, SyncTask, TaskHints
from bandersnatch.model.serials import NO_SERIAL, Change, Serial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bandersnatch.model.names import ProjectName

SECOND_LOOK = 10 * 60
"""Seconds between the two runs that must both miss a project before it is removed."""


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What a run has to do.

    ``cursor`` is T after it, None if only the pages will tell. ``removals`` are projects of the
    mirror that the changelog says are removed, each with the task that is deferred if a limit
    refuses its removal.
    """

    cursor: Serial | None
    tasks: Mapping[ProjectName, SyncTask] = field(default_factory=dict)
    removals: Mapping[ProjectName, SyncTask] = field(default_factory=dict)


def make_plan(
    found: Discovery, before: MirrorSnapshot, selects: Callable[[ProjectName], bool], *, force: bool
) -> SyncPlan:
    """Return what has to be done: what the index has, less what the mirror already reflects.

    With ``force`` every selected project gets a task.
    """
    tasks: dict[ProjectName, SyncTask] = {}
    for task in (
        *_from_earlier(found, before),
        *_from_listing(found, before, force=force),
        *_from_finite(found, before),
        *_from_due(found, before),
        *(SyncTask(name, hints=TaskHints.UNRECORDED) for name in before.unknown),
    ):
        if selects(task.name):
            known = tasks.get(task.name)
            tasks[task.name] = task if known is None else known.merged(task)
    removals = {
        name: tasks.pop(name)
        for name, left in before.deferred.items()
        if left.deferral is Deferral.GONE
        and name in tasks
        and TaskHints.LISTED not in tasks[name].hints
    }
    _apply_changes(found.changes, selects, tasks, removals, now=before.now)
    remembered = [
        _with_memory(tasks[name], before)
        for name in sorted(tasks)
        if force or not _is_reflected(tasks[name], before)
    ]
    return SyncPlan(
        found.cursor,
        {task.name: task for task in sorted(remembered, key=_rank)},
        {n: _with_memory(removals[n], before) for n in sorted(removals) if n in before.summaries},
    )


def _rank(task: SyncTask) -> int:
    """Return the place of a task in the queue, by name within one rank.

    Projects that may have no page come after those that must have one: they are the first that a
    limit on missing pages stops. Of these, what the last run did not come to is first. What failed
    in the last run comes last, so that it never delays anything else, whatever ends the run.
    """
    if task.earlier is not None and task.earlier.attempts:
        return 3
    if task.is_expected:
        return 0
    return 2 if task.earlier is None else 1


def _with_memory(task: SyncTask, before: MirrorSnapshot) -> SyncTask:
    """Return a task with what the catalogue and ``todo`` know of the project."""
    name, left = task.name, before.deferred.get(task.name)
    hints = task.hints | hints_of(name, before.summaries, before.fingerprint)
    if left is not None or name in before.pending or before.is_untrusted:
        hints |= TaskHints.MAYBE_PUBLISHED
    return replace(task, earlier=left, hints=hints)


def hints_of(
    name: ProjectName,
    summaries: Mapping[ProjectName, ProjectSummary],
    fingerprint: Callable[[ProjectName], str],
) -> TaskHints:
    """Return the hints that a project's summary gives: of KNOWN, EXCLUDED and POLICY_CHANGED."""
    summary = summaries.get(name)
    if summary is None:
        return TaskHints.NONE
    hints = TaskHints.KNOWN
    if summary.standing is Standing.EXCLUDED:
        hints |= TaskHints.EXCLUDED
    if summary.fingerprint != fingerprint(name):
        hints |= TaskHints.POLICY_CHANGED
    return hints


def _is_reflected(task: SyncTask, before: MirrorSnapshot) -> bool:
    """Whether the tree already reflects a task, under the policy that is in force."""
    summary = before.summaries.get(task.name)
    left = before.deferred.get(task.name)
    return (
        summary is not None
        and task.target_serial != NO_SERIAL
        and _reaches(summary.reflects, task, before)
        and summary.fingerprint == before.fingerprint(task.name)
        and summary.standing is not Standing.RETAINED
        and TaskHints.REFETCH not in task.hints
        and is_same_display(task.display, summary.display)
        and (left is None or left.deferral in {Deferral.PENDING, Deferral.UNLISTED})
    )


def _reaches(reflects: Serial, task: SyncTask, before: MirrorSnapshot) -> bool:
    """Whether a recorded serial says that the page shows the change.

    An event of this run is news, whatever the record says: a page may have claimed too much. A
    project list alone may have a serial that is too low, so that every difference counts.
    """
    if task.happened_at is not None:
        return False
    return (
        reflects >= task.target_serial if before.has_changelog else (reflects == task.target_serial)
    )


def is_same_display(new: str, published: str) -> bool:
    """Whether a page keeps its title; either name may be unknown ("")."""
    return new == published or "" in {new, published}


# ---------------------------------------------------------------- where tasks come from


def _from_earlier(found: Discovery, before: MirrorSnapshot) -> Iterable[SyncTask]:
    """Yield what earlier runs deferred."""
    listed = found.listing.serials if found.listing is not None else {}
    # The project list says again which serial these have to reach.
    listed_again = {
        name
        for name, left in before.deferred.items()
        if left.deferral is Deferral.UNLISTED and name in listed
    }
    for name, target_serial in before.pending.items():
        task = _from_todo(name, target_serial, found, before)
        if name not in listed_again and not _is_reflected(task, before):
            yield task
    for name, left in before.deferred.items():
        if name in listed_again:
            continue
        is_wanted = left.deferral is Deferral.EMPTY_ONCE or not before.keep_removed
        has_waited = is_wanted and before.now - left.tried >= SECOND_LOOK
        if left.deferral is Deferral.INCOMPLETE or (left.deferral in MISSED and has_waited):
            yield SyncTask(
                name,
                first_serial=left.first_serial,
                noticed_at=left.noticed_at or left.since,
                display=found.display(name) or left.display,
                hints=_unlisted(name, found, before),
                removal_serial=left.removal_serial,
                quarantined=left.quarantined,
                happened_at=left.happened_at,
            )


def _from_todo(
    name: ProjectName, target_serial: Serial, found: Discovery, before: MirrorSnapshot
) -> SyncTask:
    """Return the task for a project of ``todo``.

    A project list that does not have it revokes the serial that an earlier one gave; later
    events are among the changes. So is the event of a serial above T, if there is one: until then
    only an entry of a list, which may be wrong, gave that serial.
    """
    left = before.deferred.get(name)
    noticed_at = (left.noticed_at or left.since) if left else before.now
    is_unproven = before.cursor is not None and target_serial > before.cursor
    if is_unproven or (found.listing is not None and name not in found.listing.serials):
        target_serial = NO_SERIAL
    is_listed = (
        target_serial != NO_SERIAL
        and found.listing is None
        and not (before.may_expire and is_expired(noticed_at, before.now))
        and left is not None
        and left.deferral is not Deferral.GONE
    )
    listed = TaskHints.LISTED if is_listed else TaskHints.NONE
    return SyncTask(
        name,
        target_serial=target_serial,
        first_serial=left.first_serial if left else None,
        noticed_at=noticed_at,
        display=found.display(name) or (left.display if left else ""),
        hints=listed | _unlisted(name, found, before),
        removal_serial=left.removal_serial if left else NO_SERIAL,
        quarantined=left.quarantined if left else (),
        happened_at=left.happened_at if left else None,
    )


def _unlisted(name: ProjectName, found: Discovery, before: MirrorSnapshot) -> TaskHints:
    """Return UNLISTED if the last project list that was read does not have a published project."""
    left = before.deferred.get(name)
    missed = (
        left is not None
        and left.deferral in MISSED - {Deferral.EMPTY_ONCE}
        and name not in found.finite
    )
    is_listed = found.listing is not None and name in found.listing.serials
    unlisted = missed and not (is_listed or before.keep_removed)
    return TaskHints.UNLISTED if unlisted else TaskHints.NONE


def _from_listing(found: Discovery, before: MirrorSnapshot, *, force: bool) -> Iterable[SyncTask]:
    """Yield a task for each listed project, and for each that the list no longer has.

    Projects that are reflected are skipped here already: of a large list that is nearly all.
    """
    listing = found.listing
    if listing is None:
        return
    names = listing.serials.keys()
    for name in names if before.changed is None else names & before.changed:
        summary = before.summaries.get(name)
        left = before.deferred.get(name)
        task = SyncTask(
            name,
            target_serial=listing.serials[name] or NO_SERIAL,
            first_serial=Serial(max(summary.reflects, before.status) + 1) if summary else None,
            noticed_at=(left.noticed_at or left.since) if left else before.now,
            display=found.display(name),
            hints=TaskHints.LISTED,
        )
        if force or not _is_reflected(task, before):
            yield task
    for name, summary in before.summaries.items():
        is_newer = listing.serial is not None and listing.serial < summary.reflects
        if not (name in listing.serials or is_newer or before.keep_removed):
            yield SyncTask(name, first_serial=Serial(before.status + 1), hints=TaskHints.UNLISTED)


def _from_finite(found: Discovery, before: MirrorSnapshot) -> Iterable[SyncTask]:
    for name in found.finite:
        is_known = name in before.summaries
        yield SyncTask(name, first_serial=Serial(before.status + 1) if is_known else None)


def _from_due(found: Discovery, before: MirrorSnapshot) -> Iterable[SyncTask]:
    """Yield the projects whose page is to show more by now, though no event says so."""
    first_serial = None if found.cursor is None else Serial(found.cursor + 1)
    for name in before.due:
        yield SyncTask(
            name, first_serial=first_serial, noticed_at=before.now, hints=TaskHints.REFETCH
        )


def _apply_changes(
    changes: Sequence[Change],
    selects: Callable[[ProjectName], bool],
    tasks: dict[ProjectName, SyncTask],
    removals: dict[ProjectName, SyncTask],
    *,
    now: int,
) -> None:
    """Add the events, in their order, to the tasks and the removals.

    A project whose last event removes it does not exist at the cursor, whatever a cached page
    or list says; one that is created again afterwards does.
    """
    for change in changes:
        name = change.name
        if not selects(name):
            continue
        task = SyncTask(
            name,
            target_serial=change.serial,
            first_serial=change.serial,
            noticed_at=now,
            happened_at=change.time,
            display=change.display,
            hints=TaskHints.LISTED,
            removal_serial=change.serial if change.removes_files else NO_SERIAL,
            quarantined=(change.version,) if change.is_quarantine and change.version else (),
        )
        known = tasks.pop(name, None) or removals.pop(name, None)
        merged = task if known is None else known.merged(task)
        (removals if change.is_removal else tasks)[name] = merged


# ---------------------------------------------------------------- parts of a plan


def deselected(
    summaries: Mapping[ProjectName, ProjectSummary], selects: Callable[[ProjectName], bool]
) -> tuple[frozenset[ProjectName], frozenset[ProjectName]]:
    """Return the projects that the project filters selected once and do not any more.

    First those that are published, then those of which only an excluded record exists.
    """
    names = [
        (name, each.standing is Standing.EXCLUDED)
        for name, each in summaries.items()
        if each.standing is not Standing.RETAINED and not selects(name)
    ]
    published = frozenset(name for name, excluded in names if not excluded)
    return published, frozenset(name for name, excluded in names if excluded)


def vanished(plan: SyncPlan, found: Discovery) -> frozenset[ProjectName]:
    """Return the published projects that the project list does not have."""
    if found.listing is None:
        return frozenset()
    skipped = TaskHints.LISTED | TaskHints.EXCLUDED
    return frozenset(
        name
        for name, task in plan.tasks.items()
        if TaskHints.KNOWN in task.hints
        and not task.hints & skipped
        and name not in found.listing.serials
    )


def without(plan: SyncPlan, names: frozenset[ProjectName]) -> SyncPlan:
    """Return the plan without the tasks of some projects."""
    return replace(plan, tasks={n: task for n, task in plan.tasks.items() if n not in names})


def restricted(plan: SyncPlan, names: frozenset[ProjectName]) -> SyncPlan:
    """Return the part of the plan that is about some projects."""
    return replace(
        plan,
        tasks={name: task for name, task in plan.tasks.items() if name in names},
        removals={name: task for name, task in plan.removals.items() if name in names},
    )
