"""The command ``delete``: removes projects by name, whatever the index says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.catalogue import records
from bandersnatch.errors import UnmirroredProject, UsageError
from bandersnatch.events import ProjectFailed, RunPlanned, Warned
from bandersnatch.mirror.mark import finish_marks
from bandersnatch.mirror.recovery import finish_deletions, open_tree
from bandersnatch.mirror.removal import Removals
from bandersnatch.mirror.state import MirrorState, StateFiles
from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from bandersnatch.filters.chain import FilterChain
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.model.names import ProjectName


def require_unselected(names: Iterable[ProjectName], filters: FilterChain) -> None:
    """Refuse to delete projects that the next run would only sync again.

    :raises UsageError: if the filters select one of them, or its filters fail.
    """
    selected = sorted({name for name in names if filters.may_select(name)})
    if selected:
        raise UsageError(
            f"the filters select {', '.join(selected)}, so the next run of mirror would download "
            "it again: name it in [blocklist] packages with blocklist_project enabled, or pass "
            "--until-next-change; nothing was deleted"
        )


async def delete(
    mirror: Mirror, names: Mapping[ProjectName, str], *, until_next_change: bool = False
) -> None:
    """Delete projects; ``names`` has each name as the operator spelled it.

    With ``until_next_change`` projects that the filters select are excluded until the index
    changes them. The files of a project without a record are unknown, and stay. Neither
    ``status`` nor ``todo`` is changed.

    :raises UsageError: if the filters select one of them, without ``until_next_change``.
    """
    if not until_next_change:
        require_unselected(names, mirror.filters)
    began = mirror.clock.now()
    state = await open_tree(mirror, StateFiles(mirror.storage), began)
    deferred = await _defer_deletions(mirror, names, state, began)
    mirror.events(RunPlanned(0, len(deferred)))
    if deferred:
        markers: dict[records.Marker, str] = {records.Marker.ROOT: records.RootMarker.STALE}
        if any(each.deferral == records.Deferral.DELETED for each in deferred):
            # If later filters select it, only a comparison of everything finds that it is missing.
            markers |= dict.fromkeys((records.Marker.OPTIONS, records.Marker.FILTERS), "")
        await mirror.catalogue.commit(records.CatalogueUpdate(deferred=deferred, markers=markers))
        await finish_deletions(mirror, began)
    await finish_marks(mirror)


async def _defer_deletions(
    mirror: Mirror, names: Mapping[ProjectName, str], state: MirrorState, began: datetime
) -> list[records.Deferred]:
    """Return a deferral for each project of the mirror; report the others, and missing records."""
    known = await mirror.catalogue.summaries(names)
    removals = Removals.of(mirror, began)
    changes = await _last_changes(mirror, state)
    now = int(began.timestamp())
    deferred: list[records.Deferred] = []
    for name, spelling in names.items():
        is_recorded = name in known and known[name].is_published
        if not (is_recorded or await removals.find_pages(name, [spelling])):
            mirror.events(ProjectFailed(name, UnmirroredProject(name), will_retry=False))
            continue
        if not is_recorded:
            text = f"{name} has pages and no record; its files are unknown, and stay"
            mirror.events(Warned(text))
        target_serial = max(
            changes.get(name, NO_SERIAL), NO_SERIAL if name in known else state.cursor
        )
        is_selected = mirror.filters.may_select(name)
        deferred.append(
            records.Deferred(
                name=name,
                deferral=records.Deferral.EXCLUDED_UNTIL_CHANGE
                if is_selected
                else records.Deferral.DELETED,
                target_serial=target_serial,
                first_serial=None,
                since=now,
                tried=now,
                attempts=0,
                cause=records.Cause.NONE,
                reason="its deletion was interrupted; the next command that writes finishes it",
                display=spelling,
            )
        )
    return deferred


async def _last_changes(mirror: Mirror, state: MirrorState) -> dict[ProjectName, Serial]:
    """Return the last change of each project that the tree does not reflect yet."""
    changes = dict(state.todo.pending) if state.todo else {}
    for each in await mirror.catalogue.deferred():
        changes[each.name] = max(each.target_serial, changes.get(each.name, NO_SERIAL))
    return changes
