"""What a run is to do: computed from what is wanted and what is had; pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import MISSED, Deferral, Standing
from bandersnatch.mirror.tasks import Discovery, MirrorSnapshot, SyncTask, is_expired
from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from bandersnatch.catalogue.records import ProjectSummary
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.serials import Change

SECOND_LOOK = 10 * 60
"""Seconds that must lie between the two looks that let a project count as gone."""


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What to do this run.

    ``cursor`` is T after it, None if only the pages will tell. ``gone`` are projects of the
    mirror that the index's journal says are removed, with the wish that stays if they may not be.
    """

    cursor: Serial | None
    wanted: Mapping[ProjectName, SyncTask] = field(default_factory=dict)
    gone: Mapping[ProjectName, SyncTask] = field(default_factory=dict)


def make_plan(
    found: Discovery, before: MirrorSnapshot, selects: Callable[[ProjectName], bool], *, force: bool
) -> SyncPlan:
    """Return what is to be done: what is wanted, less what is had.

    With ``force`` every project that is wanted is looked at, had or not.
    """
    wishes: dict[ProjectName, SyncTask] = {}
    for wish in (
        *_from_earlier(found, before),
        *_from_listing(found, before, force=force),
        *_from_sweep(found, before),
        *_from_due(found, before),
    ):
        if selects(wish.name):
            known = wishes.get(wish.name)
            wishes[wish.name] = wish if known is None else known.merged(wish)
    gone = {
        name: wishes.pop(name)
        for name, left in before.unfinished.items()
        if left.deferral == Deferral.GONE and name in wishes and not wishes[name].listed
    }
    _apply_changes(found.changes, selects, wishes, gone)
    wanted = {
        name: _with_memory(wish, before)
        for name, wish in sorted(wishes.items())
        if force or not _is_had(wish, before)
    }
    leaving = {n: _with_memory(gone[n], before) for n in sorted(gone) if n in before.had}
    return SyncPlan(found.cursor, wanted, leaving)


def _with_memory(wish: SyncTask, before: MirrorSnapshot) -> SyncTask:
    """Return a wish with what is known of the project already."""
    had, left = before.had.get(wish.name), before.unfinished.get(wish.name)
    return replace(
        wish,
        earlier=left,
        handled=left is not None or wish.name in before.pending,
        had=had is not None,
        excluded=had is not None and had.standing is Standing.EXCLUDED,
        remade=had is not None and had.fingerprint != before.fingerprint(wish.name),
    )


def _is_had(wish: SyncTask, before: MirrorSnapshot) -> bool:
    """Whether the tree already shows what the wish is for, as that of a project that is wanted."""
    had = before.had.get(wish.name)
    left = before.unfinished.get(wish.name)
    return (
        had is not None
        and wish.target_serial != NO_SERIAL
        and had.reflects >= wish.target_serial
        and had.fingerprint == before.fingerprint(wish.name)
        and had.standing is not Standing.RETAINED
        and not wish.anew
        and is_same_display(wish.display, had.display)
        and (left is None or left.deferral in {Deferral.PENDING, Deferral.UNLISTED})
    )


def is_same_display(wanted: str, had: str) -> bool:
    """Whether a page need not be made anew for its title; either name may be unknown ("")."""
    return wanted == had or "" in {wanted, had}


def _from_earlier(found: Discovery, before: MirrorSnapshot) -> Iterable[SyncTask]:
    """Yield what earlier runs left to do."""
    listed = found.listing.serials if found.listing is not None else {}
    unfinished = before.unfinished.values()
    # The list says again how new these are to be.
    listed_again = {
        e.name for e in unfinished if e.deferral == Deferral.UNLISTED and e.name in listed
    }
    for name, target_serial in before.pending.items():
        wish = _still_wanted(name, target_serial, found, before)
        if name not in listed_again and not _is_had(wish, before):
            yield wish
    for name, left in before.unfinished.items():
        if name in listed_again:
            continue
        rested = not before.keep_removed and before.now - left.tried >= SECOND_LOOK
        if left.deferral == Deferral.INCOMPLETE or (left.deferral in MISSED and rested):
            yield SyncTask(
                name,
                first_serial=left.first_serial,
                noticed_at=left.since,
                display=left.display,
                unlisted=_is_unlisted(name, found, before),
            )


def _still_wanted(
    name: ProjectName, target_serial: Serial, found: Discovery, before: MirrorSnapshot
) -> SyncTask:
    """Return the wish for a project that an earlier run could not bring up to ``need``.

    A whole list that does not name it takes back what an earlier one said; what happened after
    the list is among the changes.
    """
    left = before.unfinished.get(name)
    noticed_at = left.since if left else before.now
    if found.listing is not None and name not in found.listing.serials:
        target_serial = NO_SERIAL
    return SyncTask(
        name,
        target_serial=target_serial,
        first_serial=left.first_serial if left else None,
        noticed_at=noticed_at,
        display=left.display if left else "",
        listed=(
            target_serial != NO_SERIAL
            and found.listing is None
            and not is_expired(noticed_at, before.now)
            and left is not None
            and left.deferral != Deferral.GONE
        ),
        unlisted=_is_unlisted(name, found, before),
    )


def _is_unlisted(name: ProjectName, found: Discovery, before: MirrorSnapshot) -> bool:
    """Whether the last whole list that was read does not have what is here."""
    left = before.unfinished.get(name)
    missed = left is not None and left.deferral in MISSED and name not in found.sweep
    listed_now = found.listing is not None and name in found.listing.serials
    return missed and not (listed_now or before.keep_removed)


def _from_listing(found: Discovery, before: MirrorSnapshot, *, force: bool) -> Iterable[SyncTask]:
    """Yield what the whole list says: projects to look at, and those that it no longer has.

    What is had is left out here already: of a large list that is nearly everything.
    """
    listing = found.listing
    if listing is None:
        return
    names = listing.serials.keys()
    for name in names if before.differing is None else names & before.differing:
        serial = listing.serials[name]
        had = before.had.get(name)
        left = before.unfinished.get(name)
        wish = SyncTask(
            name,
            target_serial=serial or NO_SERIAL,
            first_serial=Serial(max(had.reflects, before.status) + 1) if had else None,
            noticed_at=left.since if left else before.now,
            display=listing.display_names.get(name, name),
            listed=True,
        )
        if force or not _is_had(wish, before):
            yield wish
    for name, had in before.had.items():
        younger = listing.serial is not None and listing.serial < had.reflects
        if not (name in listing.serials or younger or before.keep_removed):
            yield SyncTask(name, first_serial=Serial(before.status + 1), unlisted=True)


def _from_sweep(found: Discovery, before: MirrorSnapshot) -> Iterable[SyncTask]:
    for name in found.sweep:
        had = before.had.get(name)
        yield SyncTask(name, first_serial=Serial(before.status + 1) if had else None)


def _from_due(found: Discovery, before: MirrorSnapshot) -> Iterable[SyncTask]:
    """Yield the projects whose page is to show more by now, though no event says so."""
    first_serial = None if found.cursor is None else Serial(found.cursor + 1)
    for name in before.due:
        yield SyncTask(name, first_serial=first_serial, noticed_at=before.now, anew=True)


def no_more_wanted(
    had: Mapping[ProjectName, ProjectSummary], selects: Callable[[ProjectName], bool]
) -> tuple[frozenset[ProjectName], frozenset[ProjectName]]:
    """Return the projects that the filters wanted once and do not any more.

    Those that are here, and those of which nothing but a memory is.
    """
    names = [
        (name, each.standing is Standing.EXCLUDED)
        for name, each in had.items()
        if each.standing is not Standing.RETAINED and not selects(name)
    ]
    here = frozenset(name for name, excluded in names if not excluded)
    return here, frozenset(name for name, excluded in names if excluded)


def _apply_changes(
    changes: Sequence[Change],
    selects: Callable[[ProjectName], bool],
    wishes: dict[ProjectName, SyncTask],
    gone: dict[ProjectName, SyncTask],
) -> None:
    """Add the events, in their order, to what is wanted and to what is gone.

    A project whose last event removes it does not exist at the cursor, whatever a cached page
    or list says; one that is created again afterwards does.
    """
    for change in changes:
        name = change.name
        if not selects(name):
            continue
        wish = SyncTask(
            name,
            target_serial=change.serial,
            first_serial=change.serial,
            noticed_at=change.time,
            display=change.display,
            listed=True,
        )
        known = wishes.pop(name, None) or gone.pop(name, None)
        merged = wish if known is None else known.merged(wish)
        (gone if change.is_removal else wishes)[name] = merged


def vanished(plan: SyncPlan, found: Discovery) -> frozenset[ProjectName]:
    """Return the mirror's projects that a whole list does not name, to be asked for one by one."""
    if found.listing is None:
        return frozenset()
    return frozenset(
        name
        for name, wish in plan.wanted.items()
        if wish.had and not (wish.listed or wish.excluded) and name not in found.listing.serials
    )


def without(plan: SyncPlan, names: frozenset[ProjectName]) -> SyncPlan:
    """Return the plan without looking at some projects."""
    kept = {name: wish for name, wish in plan.wanted.items() if name not in names}
    return replace(plan, wanted=kept)


def restricted(plan: SyncPlan, names: frozenset[ProjectName]) -> SyncPlan:
    """Return the part of the plan that is about some projects."""
    return replace(
        plan,
        wanted={name: wish for name, wish in plan.wanted.items() if name in names},
        gone={name: wish for name, wish in plan.gone.items() if name in names},
    )
