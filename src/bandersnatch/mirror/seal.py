"""Whether ``status`` and ``todo`` are what the last run left.

A run that ends in order remembers a fingerprint of both in the catalogue. Where they are others
later, they were deleted, edited, copied from another mirror, or written by another program, and
what they say may not be true: the run then takes nothing for granted, and looks at every project.

While a run is under way a word stands in place of the fingerprint, from before it changes either
file, so that one that is killed does not look like this.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch.events import Noticed
from bandersnatch.mirror.notes import STATE
from bandersnatch.mirror.state import Todo
from bandersnatch.model.serials import NO_SERIAL

if TYPE_CHECKING:
    from bandersnatch.mirror.parts import Mirror
    from bandersnatch.mirror.state import MirrorState, StateFiles

OPEN = "open"
"""A run that believed the files has begun and not ended in order; there was a ``status``."""

DOUBTED = "doubted"
"""The files were not believed, and no run has looked at every project since."""

UNKNOWN = "unknown"
"""The catalogue was begun anew because it was of another tree; maybe the files are, too."""

NOT_BELIEVED = frozenset({DOUBTED, UNKNOWN})

_WHY = {
    DOUBTED: "status or todo was not as a run left it, and not every project was looked at since",
    UNKNOWN: "status and todo are not known to be of this tree",
}


def seal_for(note: str, found: str) -> str:
    """Return what stands in the note while a run is under way that finds these.

    ``found`` is the fingerprint of the files, "" if there is no ``status``.
    """
    if note in NOT_BELIEVED:
        return note
    believed = note in {"", found} or (note == OPEN and found)
    return (OPEN if found else "") if believed else DOUBTED


async def judged(mirror: Mirror, files: StateFiles, state: MirrorState) -> MirrorState:
    """Return the state as far as it can be believed.

    Of one that cannot, only the names of what was pending are left.
    """
    note, found = await mirror.catalogue.note(STATE), await files.fingerprint()
    seal = seal_for(note, found)
    if seal not in NOT_BELIEVED:
        return replace(state, seal=seal)
    missing = "status is not there any more"
    changed = "status or todo is not as the last run left it" if found else missing
    why = _WHY.get(note, changed)
    how = "compared with the index" if seal == UNKNOWN else "looked at again"
    text = f"{why}; every project is {how}, and nothing that is right is downloaded"
    mirror.events(Noticed(text))
    names = state.todo.pending if state.todo else ()
    todo = Todo(NO_SERIAL, dict.fromkeys(names, NO_SERIAL))
    return replace(state, status=NO_SERIAL, todo=todo, seal=seal)


async def sealed(files: StateFiles, state: MirrorState, *, complete: bool) -> str:
    """Return the note for the end of a run; ``complete`` says that it looked at everything."""
    if state.seal in NOT_BELIEVED and not complete:
        return state.seal
    return await files.fingerprint()
