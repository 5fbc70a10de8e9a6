"""The budget of ``verify``, and how it is divided over the projects that are handed out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.mirror.verify.budget import Budget, Pace
from bandersnatch.mirror.verify.distribution import DistributedExaminer
from bandersnatch.mirror.verify.findings import FilesByAge, FilesByPath, Findings
from tests.support import records as kept
from tests.support.clock import FakeClock, QuickClock

if TYPE_CHECKING:
    from bandersnatch.catalogue.records import ProjectRecord
    from bandersnatch.mirror.verify.findings import Examination

_ALL = FilesByAge(2**40, 0)


@given(st.lists(st.integers(0, 10_000), max_size=9), st.integers(1, 20_000))
async def test_a_budget_of_bytes_is_spent_with_the_last_of_them(
    sizes: list[int], most: int
) -> None:
    budget = Budget(QuickClock(), size=most)
    read = 0
    for size in sizes:
        assert budget.left == (None, max(0, most - read))
        assert budget.is_spent is (read >= most)
        await budget.take(size)
        read += size


async def test_a_budget_of_time_is_spent_with_the_time() -> None:
    clock = FakeClock()
    budget = Budget(clock, seconds=10)
    states = []
    for seconds in (4, 6, 1):
        clock.advance(seconds=seconds)
        states.append((budget.is_spent, budget.left))
    assert states == [(False, (6, None)), (True, (0, None)), (True, (0, None))]


async def test_a_budget_without_limits_is_never_spent() -> None:
    budget = Budget(FakeClock())
    await budget.take(2**60)
    assert budget.left == (None, None)
    assert not budget.is_spent
    assert not budget.is_paced


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=9), st.sampled_from([0.25, 0.5, 1.0]))
async def test_budgets_with_one_pace_read_at_its_rate_together(
    sizes: list[int], share: float
) -> None:
    clock = QuickClock()
    pace = Pace(clock, 1_000)
    pace.share = share
    budgets = [Budget(clock, pace=pace) for _ in sizes]
    for budget, size in zip(budgets, sizes, strict=True):
        assert budget.is_paced
        await budget.take(size)

    assert clock.monotonic() == pytest.approx(sum(sizes) / 1_000 / share)


# ---------------------------------------------------------------- projects that are handed out


async def test_projects_that_are_read_at_a_time_do_not_spend_the_same_bytes() -> None:
    """What they are expected to need is counted when they are handed out."""
    records = [kept.make_record(name, f"{name}-1.0.tar.gz") for name in ("a", "b", "c")]
    size = records[0].files[0].file.size
    assert size
    budget = Budget(FakeClock(), size=2 * size)
    allowances: list[int | None] = []
    gate = asyncio.Event()

    async def examine(_: ProjectRecord, examination: Examination) -> Findings:
        allowances.append(examination.size)
        await gate.wait()
        return Findings(0, size=size)

    examiner = DistributedExaminer(examine, budget, FakeClock())
    tasks = [asyncio.create_task(examiner.examine(each, _ALL)) for each in records[:2]]
    await asyncio.sleep(0)
    assert allowances == [2 * size, size]
    assert budget.is_spent
    gate.set()
    await asyncio.gather(*tasks)
    assert budget.is_spent


@pytest.mark.parametrize("read", [0, 3, 10**6])
async def test_what_is_read_above_the_expected_is_counted_and_nothing_is_given_back(
    read: int,
) -> None:
    record = kept.make_record("a", "a-1.0.tar.gz")
    expected = record.files[0].file.size
    assert expected
    budget = Budget(FakeClock(), size=10**9)

    async def examine(_: ProjectRecord, __: Examination) -> Findings:
        return Findings(0, size=read)

    await DistributedExaminer(examine, budget, FakeClock()).examine(record, _ALL)

    assert budget.left == (None, 10**9 - max(read, expected))


async def test_files_that_are_not_selected_are_not_counted() -> None:
    record = kept.make_record("a", "a-1.0.tar.gz", "a-2.0.tar.gz")
    chosen = record.files[0].file
    budget = Budget(FakeClock(), size=10**9)

    async def examine(_: ProjectRecord, __: Examination) -> Findings:
        return Findings(0)

    selection = FilesByPath(frozenset({chosen.path}))
    await DistributedExaminer(examine, budget, FakeClock()).examine(record, selection)

    assert budget.left == (None, 10**9 - (chosen.size or 0))


async def test_the_time_of_an_examination_is_that_of_the_clock_of_the_run() -> None:
    clock = FakeClock()

    async def examine(_: ProjectRecord, __: Examination) -> Findings:
        return Findings(5)

    found = await DistributedExaminer(examine, Budget(clock), clock).examine(
        kept.make_record("a", "a-1.0.tar.gz"), _ALL
    )

    assert found.at == int(clock.now().timestamp())


async def test_a_project_that_no_worker_reports_in_time_is_unfinished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bandersnatch.mirror.verify.distribution._GRACE", 0.01)
    budget = Budget(FakeClock(), seconds=0.01)

    async def examine(_: ProjectRecord, examination: Examination) -> Findings:
        assert examination.seconds == 0.01
        await asyncio.Event().wait()
        raise AssertionError

    found = await DistributedExaminer(examine, budget, FakeClock()).examine(
        kept.make_record("a", "a-1.0.tar.gz"), _ALL
    )

    assert found.is_unfinished
    assert not list(found.damage)
    assert not found.intact
