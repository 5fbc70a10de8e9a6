"""The command ``delete``: projects taken out of the mirror by name, whatever the index says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import (
    CatalogueUpdate,
    Cause,
    Deferral,
    Deferred,
    Marker,
    RootMarker,
    Standing,
)
from bandersnatch.errors import UnmirroredProject, UsageError
from bandersnatch.events import Planned, ProjectFailed, Warned
from bandersnatch.mirror.recovery import finish_deletions, open_tree
from bandersnatch.mirror.removal import Removals
from bandersnatch.mirror.state import StateFiles
from bandersnatch.model.serials import NO_SERIAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from bandersnatch.filters.chain import FilterChain
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.state import MirrorState
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.serials import Serial


def require_unwanted(names: Iterable[ProjectName], filters: FilterChain) -> None:
    """Refuse to delete what the next run would only bring back.

    :raises UsageError: if the filters want one of them, or that cannot be told.
    """
    wanted = sorted({name for name in names if filters.may_select(name)})
    if wanted:
        raise UsageError(
            f"the filters want {', '.join(wanted)}, so that the next mirror would bring it back: "
            "name it in [blocklist] packages with blocklist_project enabled, or pass "
            "--until-next-change; nothing was deleted"
        )


async def delete(
    mirror: Mirror, names: Mapping[ProjectName, str], *, until_next_change: bool = False
) -> None:
    """Take projects out of the mirror; ``names`` has each as it was spelled.

    What the filters want still is left out until the index changes it if ``until_next_change``.
    Of a project without a record no file is known, and none is touched. Neither ``status`` nor
    ``todo`` is.

    :raises UsageError: if the filters want one of them, and nothing was said of that.
    """
    if not until_next_change:
        require_unwanted(names, mirror.filters)
    began = mirror.clock.now()
    state = await open_tree(mirror, StateFiles(mirror.storage), began)
    marks = await _marks(mirror, names, state, began)
    mirror.events(Planned(0, len(marks)))
    if marks:
        markers: dict[Marker, str] = {Marker.ROOT: RootMarker.STALE}
        if any(mark.deferral == Deferral.DELETED for mark in marks):
            # Should the filters want it again, nothing else tells the next run that it is gone.
            markers |= dict.fromkeys((Marker.OPTIONS, Marker.FILTERS), "")
        await mirror.catalogue.commit(CatalogueUpdate(deferred=marks, markers=markers))
        await finish_deletions(mirror, began)


async def _marks(
    mirror: Mirror, names: Mapping[ProjectName, str], state: MirrorState, began: datetime
) -> list[Deferred]:
    """Return the marks of what is to go, and tell of what there is nothing of, or no record."""
    had = await mirror.catalogue.summaries(names)
    removals = Removals.of(mirror, began)
    needs = await _known_changes(mirror, state)
    now = int(began.timestamp())
    marks: list[Deferred] = []
    for name, spelling in names.items():
        here = name in had and had[name].standing is not Standing.EXCLUDED
        if not (here or await removals.find_pages(name, [spelling])):
            mirror.events(ProjectFailed(name, UnmirroredProject(name), will_retry=False))
            continue
        if not here:
            text = f"{name} has pages and no record; which files are its own is not known"
            mirror.events(Warned(f"{text}, and they stay"))
        marks.append(
            Deferred(
                name=name,
                deferral=Deferral.EXCLUDED_UNTIL_CHANGE
                if mirror.filters.may_select(name)
                else Deferral.DELETED,
                target_serial=max(
                    needs.get(name, NO_SERIAL), NO_SERIAL if name in had else state.cursor
                ),
                first_serial=None,
                since=now,
                tried=now,
                attempts=0,
                cause=Cause.NONE,
                reason="its deletion was cut short; the next command that writes finishes it",
                display=spelling,
            )
        )
    return marks


async def _known_changes(mirror: Mirror, state: MirrorState) -> dict[ProjectName, Serial]:
    """Return the last change of each project that is known and not shown yet."""
    needs = dict(state.todo.pending) if state.todo else {}
    for left in await mirror.catalogue.deferred():
        needs[left.name] = max(left.target_serial, needs.get(left.name, NO_SERIAL))
    return needs
