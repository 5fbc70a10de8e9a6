"""How a run of ``mirror`` ends: the state that it leaves, and what is remembered of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.mirror.notes import GOOD_RUN, STATE
from bandersnatch.mirror.seal import sealed
from bandersnatch.mirror.state import next_status
from bandersnatch.records import Batch

if TYPE_CHECKING:
    from datetime import datetime

    from bandersnatch.mirror.checkpoint import Checkpoint
    from bandersnatch.mirror.parts import Mirror
    from bandersnatch.mirror.plan import SyncPlan
    from bandersnatch.mirror.state import MirrorState, StateFiles
    from bandersnatch.model.serials import Serial

_ABANDONED = 7 * 86_400
"""Seconds after which an unfinished download is given up while others are still pending."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a run left the mirror; ``index`` is None for an index without serials."""

    before: Serial
    after: Serial
    index: Serial | None
    pending: int


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run came to its end.

    ``complete`` says that everything was visited, ``refused`` that a limit did not let everything
    go that the index no longer has.
    """

    began: datetime
    complete: bool
    refused: bool


async def end_run(
    mirror: Mirror,
    files: StateFiles,
    state: MirrorState,
    plan: SyncPlan,
    checkpoint: Checkpoint,
    ending: Ending,
) -> Position:
    """Write ``status``, and remember what it is now, and the run if it was a good one."""
    began = int(ending.began.timestamp())
    wishes = {**plan.wanted, **plan.gone}
    firsts = [wishes[name].lo for name in checkpoint.pending]
    # Removals that were refused are changes that the tree does not show.
    firsts += [None] if ending.refused else []
    status = next_status(state.status, checkpoint.cursor, firsts)
    if not checkpoint.pending:
        await mirror.storage.sweep(before=int(mirror.clock.now().timestamp()) + 1)
    else:
        await mirror.storage.sweep(before=began - _ABANDONED)
    finished = not checkpoint.pending and not ending.refused
    await files.save_status(status, finished=finished)
    notes = {STATE: await sealed(files, state, complete=ending.complete)}
    if finished:
        notes[GOOD_RUN] = str(began)
    await mirror.catalogue.commit(Batch(notes=notes))
    return Position(state.status, status, plan.cursor, len(checkpoint.pending))
