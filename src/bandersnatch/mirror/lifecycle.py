"""The life of a project as one table: what is recorded after a task came to a result; pure.

``docs/explanation/lifecycle.md`` shows the same table, and a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import Deferral
from bandersnatch.mirror.ledger import is_expired
from bandersnatch.mirror.tasks import Outcome, Result, TaskHints

if TYPE_CHECKING:
    from collections.abc import Mapping


class Condition(StrEnum):
    """What a transition depends on besides the result; the first that applies counts."""

    UNLISTED_LONG = "unlisted for 49 hours"
    UNLISTED = "unlisted"
    INCOMPLETE = "incomplete"
    RESUMED = "deferred as incomplete"
    EXCLUDED = "recorded as excluded"
    ANY = "any"


class RecordChange(StrEnum):
    """What becomes of the project's record."""

    STORED = "stored"
    """The outcome's record replaces it, if the outcome has one."""
    KEPT = "kept"
    DELETED = "deleted"


class DeferralChange(StrEnum):
    """What becomes of the project's deferral where no new one is stored."""

    RESOLVED = "none"
    """There is none afterwards."""
    KEPT = "kept"
    """The end of the run decides."""


class TodoChange(StrEnum):
    """What becomes of the project in ``todo``."""

    DONE = "done"
    """It leaves ``todo``, once the transition is durable."""
    PENDING = "pending"
    """It stays in ``todo``, and ``status`` before its first change."""


@dataclass(frozen=True, slots=True)
class Transition:
    """What is recorded of a project."""

    record: RecordChange
    deferral: Deferral | DeferralChange
    todo: TodoChange


_STORED, _KEPT, _DELETED = RecordChange.STORED, RecordChange.KEPT, RecordChange.DELETED
_DONE, _PENDING = TodoChange.DONE, TodoChange.PENDING
_RESOLVED = DeferralChange.RESOLVED

TRANSITIONS: Mapping[tuple[Result, Condition], Transition] = {
    (Result.SYNCED, Condition.UNLISTED_LONG): Transition(_STORED, Deferral.UNLISTED, _DONE),
    (Result.SYNCED, Condition.UNLISTED): Transition(_STORED, Deferral.UNLISTED, _PENDING),
    (Result.SYNCED, Condition.INCOMPLETE): Transition(_STORED, Deferral.INCOMPLETE, _DONE),
    (Result.SYNCED, Condition.ANY): Transition(_STORED, _RESOLVED, _DONE),
    (Result.UNCHANGED, Condition.UNLISTED_LONG): Transition(_STORED, Deferral.UNLISTED, _DONE),
    (Result.UNCHANGED, Condition.UNLISTED): Transition(_STORED, Deferral.UNLISTED, _PENDING),
    (Result.UNCHANGED, Condition.ANY): Transition(_STORED, _RESOLVED, _DONE),
    (Result.EXCLUDED, Condition.INCOMPLETE): Transition(_STORED, Deferral.INCOMPLETE, _DONE),
    (Result.EXCLUDED, Condition.ANY): Transition(_STORED, _RESOLVED, _DONE),
    (Result.ABSENT, Condition.EXCLUDED): Transition(_DELETED, _RESOLVED, _DONE),
    (Result.ABSENT, Condition.ANY): Transition(_KEPT, _RESOLVED, _DONE),
    (Result.MISSING_ONCE, Condition.ANY): Transition(_KEPT, Deferral.MISSING_ONCE, _PENDING),
    (Result.GONE, Condition.ANY): Transition(_KEPT, DeferralChange.KEPT, _DONE),
    (Result.STALE_ONCE, Condition.ANY): Transition(_KEPT, Deferral.STALE_ONCE, _PENDING),
    (Result.EMPTY_ONCE, Condition.ANY): Transition(_KEPT, Deferral.EMPTY_ONCE, _PENDING),
    (Result.EMPTY, Condition.ANY): Transition(_KEPT, Deferral.EMPTY_ONCE, _PENDING),
    (Result.LOSES_FILES, Condition.RESUMED): Transition(_KEPT, Deferral.INCOMPLETE, _PENDING),
    (Result.LOSES_FILES, Condition.ANY): Transition(_KEPT, Deferral.PENDING, _PENDING),
    (Result.UNWANTED, Condition.ANY): Transition(_KEPT, Deferral.INCOMPLETE, _PENDING),
    (Result.EMPTIED, Condition.ANY): Transition(_KEPT, Deferral.INCOMPLETE, _PENDING),
    (Result.REJECTED, Condition.RESUMED): Transition(_KEPT, Deferral.INCOMPLETE, _PENDING),
    (Result.REJECTED, Condition.ANY): Transition(_KEPT, Deferral.PENDING, _PENDING),
    (Result.FAILED, Condition.RESUMED): Transition(_KEPT, Deferral.INCOMPLETE, _PENDING),
    (Result.FAILED, Condition.ANY): Transition(_KEPT, Deferral.PENDING, _PENDING),
}
"""The transition for each result, under the first condition that it has a row for."""

HELD = frozenset({Result.UNWANTED, Result.EMPTIED, Result.EMPTY, Result.LOSES_FILES})
"""The results that the end of the run decides about, which are not failures.

Until then a project that the filters drop is incomplete: its removal may be interrupted, and then
it has to be synced again even if the filters select it by that time.
"""


def transition(outcome: Outcome, now: int, *, may_expire: bool = True) -> Transition:
    """Return what is recorded after a task; ``now`` is in seconds since 1970.

    ``may_expire`` is False if the clock is doubted.
    """
    conditions = _conditions(outcome, now, may_expire=may_expire)
    rows = (TRANSITIONS.get((outcome.result, each)) for each in conditions)
    return next(row for row in rows if row is not None)


def _conditions(outcome: Outcome, now: int, *, may_expire: bool) -> tuple[Condition, ...]:
    """Return the conditions that apply, in the order of their precedence."""
    earlier, hints = outcome.task.earlier, outcome.task.hints
    deferral = None if earlier is None else earlier.deferral
    since = now if earlier is None or deferral is not Deferral.UNLISTED else earlier.since
    applies = {
        Condition.UNLISTED_LONG: outcome.unlisted and may_expire and is_expired(since, now),
        Condition.UNLISTED: outcome.unlisted,
        Condition.INCOMPLETE: outcome.incomplete,
        Condition.RESUMED: deferral is Deferral.INCOMPLETE,
        Condition.EXCLUDED: TaskHints.EXCLUDED in hints,
        Condition.ANY: True,
    }
    return tuple(each for each in Condition if applies[each])
