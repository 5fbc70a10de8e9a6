"""The life of a project: the code's table, the documentation's, and what a checkpoint records."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bandersnatch.catalogue.records import CatalogueUpdate, Deferral, Standing
from bandersnatch.filters.chain import Dropped
from bandersnatch.mirror.checkpoint import Checkpoint
from bandersnatch.mirror.ledger import PROOF_BY_EXPIRY
from bandersnatch.mirror.lifecycle import (
    TRANSITIONS,
    Condition,
    DeferralChange,
    RecordChange,
    TodoChange,
    Transition,
    transition,
)
from bandersnatch.mirror.state import StateFiles, Todo
from bandersnatch.mirror.tasks import Outcome, Result, SyncTask, TaskHints
from bandersnatch.model.names import project_name
from bandersnatch.model.serials import Serial
from tests.support.clock import FakeClock
from tests.support.memory_catalogue import MemoryCatalogue
from tests.support.memory_storage import MemoryStorage
from tests.support.records import make_record, make_unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "lifecycle.md"
FOO = project_name("foo")
NOW = 2_000_000_000
OLD, YOUNG = NOW - PROOF_BY_EXPIRY - 1, NOW - 60


def rows(heading: str) -> list[tuple[str, ...]]:
    """Return the cells of the table below a heading of the page."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[1:]]


def result_of(cell: str) -> Result:
    """Return the result that a cell names."""
    return Result[cell.upper().replace(" ", "_")]


def deferral_of(cell: str) -> Deferral | DeferralChange:
    """Return the deferral, or what becomes of it, that a cell names."""
    return DeferralChange(cell) if cell in set(DeferralChange) else Deferral(cell)


def documented() -> dict[tuple[Result, Condition], Transition]:
    """Return the page's table of transitions."""
    return {
        (result_of(result), Condition(condition)): Transition(
            RecordChange(record), deferral_of(deferral), TodoChange(todo)
        )
        for result, condition, record, deferral, todo in rows("What a result changes")
    }


def outcomes() -> Iterator[Outcome]:
    """Yield an outcome for every result under every combination of circumstances."""
    earlier = [None, *itertools.product(Deferral, (OLD, YOUNG))]
    flags = [False, True]
    for result, left, excluded, unlisted, incomplete in itertools.product(
        Result, earlier, flags, flags, flags
    ):
        task = SyncTask(
            FOO,
            target_serial=Serial(9),
            first_serial=Serial(8),
            hints=TaskHints.EXCLUDED if excluded else TaskHints.NONE,
            earlier=None if left is None else make_unfinished("foo", left[0], since=left[1]),
        )
        yield Outcome(task, result, incomplete=incomplete, unlisted=unlisted)


APPLIES: dict[Condition, Callable[[Outcome], bool]] = {
    Condition.UNLISTED_LONG: lambda outcome: (
        outcome.unlisted
        and outcome.task.earlier is not None
        and outcome.task.earlier.deferral is Deferral.UNLISTED
        and outcome.task.earlier.since == OLD
    ),
    Condition.UNLISTED: lambda outcome: outcome.unlisted,
    Condition.INCOMPLETE: lambda outcome: outcome.incomplete,
    Condition.RESUMED: lambda outcome: (
        outcome.task.earlier is not None and outcome.task.earlier.deferral is Deferral.INCOMPLETE
    ),
    Condition.EXCLUDED: lambda outcome: TaskHints.EXCLUDED in outcome.task.hints,
    Condition.ANY: lambda _: True,
}


# ---------------------------------------------------------------- page and code


def test_the_page_has_the_transitions_of_the_code_in_the_same_order() -> None:
    assert list(documented().items()) == list(TRANSITIONS.items())


def test_each_outcome_makes_the_transition_that_the_page_shows() -> None:
    table = documented()
    for outcome in outcomes():
        applying = (
            change
            for (result, condition), change in table.items()
            if result is outcome.result and APPLIES[condition](outcome)
        )
        assert transition(outcome, NOW) == next(applying), outcome


@pytest.mark.parametrize(
    ("heading", "values"),
    [
        ("Standings", [each.value for each in Standing]),
        ("Deferrals", [each.value for each in Deferral]),
        ("Results", [each.name.lower().replace("_", " ") for each in Result]),
    ],
)
def test_the_page_describes_every_state(heading: str, values: list[str]) -> None:
    assert sorted(row[0] for row in rows(heading)) == sorted(values)


@pytest.mark.parametrize("state", [*Standing, *Deferral])
def test_the_diagram_shows_every_state(state: Standing | Deferral) -> None:
    diagram = PAGE.read_text(encoding="utf-8").split("```")[1]
    assert state.title().replace(" ", "") in diagram


# ---------------------------------------------------------------- what a checkpoint records


def recorded_outcome(result: Result, condition: Condition) -> Outcome:
    """Return an outcome for a row of the table, as complete as a run makes it."""
    left = {
        Condition.UNLISTED_LONG: make_unfinished("foo", Deferral.UNLISTED, since=0),
        Condition.RESUMED: make_unfinished("foo", Deferral.INCOMPLETE),
    }.get(condition)
    has_record = result in {Result.SYNCED, Result.UNCHANGED, Result.EXCLUDED, Result.UNWANTED}
    return Outcome(
        SyncTask(
            FOO,
            target_serial=Serial(9),
            first_serial=Serial(8),
            hints=TaskHints.EXCLUDED if condition is Condition.EXCLUDED else TaskHints.NONE,
            earlier=left
            or (make_unfinished("foo", Deferral.MISSING_ONCE) if result is Result.GONE else None),
        ),
        result,
        make_record("foo", "1.zip", serial=9) if has_record else None,
        incomplete=condition is Condition.INCOMPLETE,
        unlisted=condition in {Condition.UNLISTED, Condition.UNLISTED_LONG},
        dropped=(Dropped("filter", ()),),
    )


@pytest.mark.parametrize(("result", "condition"), TRANSITIONS)
async def test_a_checkpoint_records_the_transition(result: Result, condition: Condition) -> None:
    outcome, change = recorded_outcome(result, condition), TRANSITIONS[result, condition]
    catalogue, storage, clock = MemoryCatalogue(), MemoryStorage(), FakeClock()
    before, earlier = make_record("foo", serial=3), outcome.task.earlier
    await catalogue.commit(
        CatalogueUpdate(records=[before], deferred=[] if earlier is None else [earlier])
    )
    checkpoint = Checkpoint(
        storage,
        catalogue,
        StateFiles(storage),
        clock,
        todo=Todo(Serial(9), {FOO: Serial(9)}),
        now=int(clock.now().timestamp()),
    )

    await checkpoint.add(outcome)
    await checkpoint.save()

    record = await catalogue.project(FOO)
    serial = {RecordChange.STORED: 9, RecordChange.KEPT: 3, RecordChange.DELETED: None}
    assert (record and record.detail.serial) == serial[change.record]
    kept = [] if earlier is None else [earlier.deferral]
    expected = {DeferralChange.RESOLVED: [], DeferralChange.KEPT: kept}
    found = [each.deferral for each in await catalogue.deferred()]
    assert found == (
        [change.deferral] if isinstance(change.deferral, Deferral) else expected[change.deferral]
    )
    assert (FOO in checkpoint.pending) == (change.todo is TodoChange.PENDING)
