"""How a run of ``mirror`` ends: the state that it leaves, and what is remembered of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.mirror.notes import GOOD_RUN
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


async def end_run(
    mirror: Mirror,
    files: StateFiles,
    state: MirrorState,
    plan: SyncPlan,
    checkpoint: Checkpoint,
    *,
    began: datetime,
    refused: bool,
) -> Position:
    """Write ``status`` and remember the run if it was a good one.

    ``refused`` says that a limit did not let everything go that the index no longer has.
    """
    wishes = {**plan.wanted, **plan.gone}
    firsts = [wishes[name].lo for name in checkpoint.pending]
    # Removals that were refused are changes that the tree does not show.
    firsts += [None] if refused else []
    status = next_status(state.status, checkpoint.cursor, firsts)
    if not checkpoint.pending:
        await mirror.storage.sweep(before=int(mirror.clock.now().timestamp()) + 1)
    else:
        await mirror.storage.sweep(before=int(began.timestamp()) - _ABANDONED)
    finished = not checkpoint.pending and not refused
    await files.save_status(status, finished=finished)
    if finished:
        await mirror.catalogue.commit(Batch(notes={GOOD_RUN: str(int(began.timestamp()))}))
    return Position(state.status, status, plan.cursor, len(checkpoint.pending))
