"""What coordinator and workers exchange, and how budgets are divided."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch import errors, events
from bandersnatch.catalogue.records import RequirementRow
from bandersnatch.cluster import codec, messages
from bandersnatch.cluster.budget import divide, divide_all
from bandersnatch.cluster.remote import FencedStorage
from bandersnatch.filters.chain import Dropped
from bandersnatch.index.shares import SharedBudget
from bandersnatch.layout import StorageKey
from bandersnatch.mirror.tasks import Outcome, Result, SyncTask, TaskHints
from bandersnatch.mirror.verify.findings import (
    Damage,
    Examination,
    FilesByAge,
    FilesByPath,
    Findings,
)
from bandersnatch.model.names import project_name
from bandersnatch.model.project import Rejection
from bandersnatch.storage.port import MirrorStorage
from tests.support import records as kept

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bandersnatch.catalogue.records import ProjectRecord

# ---------------------------------------------------------------- values

_TEXTS = kept.texts | st.just("\ud800 lone")
_TASKS = st.builds(
    SyncTask,
    name=kept.names,
    target_serial=kept.serials,
    first_serial=st.none() | kept.serials,
    noticed_at=kept.seconds,
    display=_TEXTS,
    hints=st.integers(0, 511).map(TaskHints),
    earlier=st.none() | kept.unfinished,
    removal_serial=kept.serials,
    quarantined=st.lists(_TEXTS, max_size=2).map(tuple),
    happened_at=st.none() | kept.seconds,
)


@st.composite
def _outcomes(draw: st.DrawFn) -> Outcome:
    record = draw(st.none() | kept.project_records())
    files = () if record is None else record.detail.files
    return Outcome(
        draw(_TASKS),
        draw(st.sampled_from(Result)),
        record,
        incomplete=draw(st.booleans()),
        rejected=draw(st.lists(st.builds(Rejection, _TEXTS, _TEXTS), max_size=2).map(tuple)),
        removed=draw(st.lists(kept.removed, max_size=2).map(tuple)),
        dropped=(Dropped("age", files),),
        requirements=draw(st.none() | st.just(RequirementRow("a", "b", "c"))),
        unmet=draw(st.lists(st.tuples(_TEXTS, st.integers(0, 2**40)), max_size=2).map(tuple)),
    )


@given(_outcomes())
def test_an_outcome_comes_back_as_it_was_sent(outcome: Outcome) -> None:
    assert codec.decode(codec.encode(outcome)) == outcome


@given(_TASKS, st.none() | kept.project_records())
def test_a_job_comes_back_as_it_was_sent(task: SyncTask, record: ProjectRecord | None) -> None:
    assignment = messages.Assignment(3, task, record)
    asked = {task.name: ("digest", None), project_name("foo"): ("other", "[]")}
    context = messages.SyncContext(frozenset({task.name}), may_lose={task.name: 2}, asked=asked)
    job = messages.Job("run", 7, context, (assignment,))

    assert codec.decode(codec.encode(job)) == job


_DAMAGE = st.builds(Damage, kept.texts.map(StorageKey), kept.texts)
_BY_PATH = st.dictionaries(kept.texts, _DAMAGE, max_size=2)
_FINDINGS = st.builds(
    Findings,
    kept.seconds,
    pages=st.lists(_DAMAGE, max_size=2),
    documents=st.lists(_DAMAGE, max_size=2),
    files=_BY_PATH,
    sidecars=_BY_PATH,
    intact=st.dictionaries(kept.texts, st.integers(0, 2**63 - 1), max_size=3),
    size=kept.seconds,
    is_newer=st.booleans(),
    is_unfinished=st.booleans(),
)
_SELECTIONS = st.builds(FilesByAge, kept.seconds, kept.seconds) | st.builds(
    FilesByPath, st.frozensets(kept.texts, max_size=3)
)


@given(kept.project_records(), _SELECTIONS, _FINDINGS)
def test_an_examination_and_its_findings_come_back_as_they_were_sent(
    record: ProjectRecord, selection: FilesByAge | FilesByPath, findings: Findings
) -> None:
    examination = Examination(record.name, selection, 2.5, 7)
    context = messages.ExaminationContext(3, 1e6, current_documents=True)
    job = messages.Job("run", 7, context, (messages.Assignment(3, examination, record),))
    report = messages.Report(record.name, 3, findings=findings)

    assert codec.decode(codec.encode(job)) == job
    assert codec.decode(codec.encode(report)) == report
    assert not job.is_sync
    assert not report.is_handed_back


@pytest.mark.parametrize(
    "error",
    [
        errors.StalePage("foo", target=7, actual=None),
        errors.MissingFiles("foo", [errors.UnavailableHost("https://example.org/a", "timeout")]),
        errors.ChangedFile("foo", "foo-1.tar.gz", published="a", offered="b"),
        errors.UnusableIndex("it is empty"),
        errors.InsufficientSpace("web/a", 5, free=1, floor=2),
        errors.UnexpectedError(ValueError("x"), "Traceback ..."),
        errors.RejectedPage("no file is left", 1, "a", "b"),
        errors.PacedRequest("https://example.org/", 3.5),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_keeps_its_kind_its_sentence_and_its_facts(
    error: errors.BandersnatchError,
) -> None:
    found = codec.decode(codec.encode(error))

    assert type(found) is type(error)
    assert str(found) == str(error)
    assert repr(vars(found)) == repr(vars(error))
    assert found.transient == error.transient


def test_every_event_can_be_sent() -> None:
    kinds = {each for each in vars(events).values() if _is_event(each)}
    assert kinds <= set(codec.KINDS.values())
    event = events.ProjectFailed(
        project_name("foo"), errors.StalePage("foo", target=2, actual=1), will_retry=True
    )
    found = codec.decode(codec.encode(messages.Events((events.Warned("x"), event))))
    assert list(map(str, found.events)) == ["x", str(event)]


def _is_event(value: Any) -> bool:
    return isinstance(value, type) and bool(getattr(value, "__struct_fields__", ()))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\x02" + codec.encode(1)[1:],
        codec.encode("abc")[:-1] + b"\xff",
        codec.encode(1)[:3],
    ],
)
def test_bytes_that_are_no_message_are_refused(text: bytes) -> None:
    with pytest.raises(codec.InvalidMessage, match="it has an invalid message"):
        codec.decode(text)


def test_only_known_kinds_are_sent() -> None:
    with pytest.raises(TypeError, match="object is no kind of a message"):
        codec.encode([object()])


def test_a_time_comes_back() -> None:
    notice = messages.RunNotice("a", "7", "f", datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC))
    assert codec.decode(codec.encode(notice)) == notice


# ---------------------------------------------------------------- budgets

_SHARES = st.dictionaries(st.integers(1, 9), st.integers(0, 40), max_size=6)


def _used(assigned: Mapping[int, int], held: Mapping[int, int]) -> int:
    return sum(max(assigned[worker], held[worker]) for worker in assigned)


@given(st.integers(1, 40), _SHARES, st.data())
def test_the_workers_never_have_more_than_there_is(
    total: int, assigned: dict[int, int], data: st.DataObject
) -> None:
    held = {worker: data.draw(st.integers(0, 40)) for worker in assigned}
    before = _used(assigned, held)

    shares = divide(total, assigned, held)

    assert shares.keys() == assigned.keys()
    assert all(share >= 0 for share in shares.values())
    assert _used(shares, held) <= max(total, before)


@given(st.integers(1, 40), st.integers(1, 9))
def test_shares_settle_at_an_equal_division(total: int, count: int) -> None:
    shares = dict.fromkeys(range(count), 0)
    for _ in range(3):
        shares = divide(total, shares, shares)

    assert sum(shares.values()) == total
    assert max(shares.values()) - min(shares.values()) <= 1


def test_a_new_worker_gets_what_another_one_has_given_up() -> None:
    first = divide(10, {1: 10, 2: 0}, {1: 10, 2: 0})
    assert first == {1: 5, 2: 0}
    assert divide(10, first, {1: 7, 2: 0}) == {1: 5, 2: 3}
    assert divide(10, first, {1: 5, 2: 0}) == {1: 5, 2: 5}


def test_without_workers_nothing_is_divided() -> None:
    assert divide_all(messages.Share(10, 3, 1000), {}, {}) == {}


async def test_a_share_is_taken_from_requests_as_they_end() -> None:
    semaphore = asyncio.Semaphore(4)
    budget = SharedBudget(semaphore, 4)
    await asyncio.sleep(0)
    assert budget.held == 0
    budget.assign(3)
    for _ in range(3):
        await semaphore.acquire()
    assert semaphore.locked()

    budget.assign(1)
    await asyncio.sleep(0)
    assert budget.held == 3
    for _ in range(3):
        semaphore.release()
    await asyncio.sleep(0.01)

    assert budget.held == 1
    await semaphore.acquire()
    assert semaphore.locked()
    budget.close()


# ---------------------------------------------------------------- the fence


def test_every_operation_of_a_storage_is_fenced_or_cannot_change_the_served_tree() -> None:
    reads = {"read", "scan", "folding", "believes_records", "probe", "stat", "listing", "digest"}
    reads |= {"read_files", "stream", "free_space"}
    outside = {"flush", "purge", "purge_downloads"}  # the trash, and partial downloads
    changes = {"write", "publish_version", "discard", "recover", "receive"}

    operations = {name for name in dir(MirrorStorage) if not name.startswith("_")}

    assert operations == reads | outside | changes
    assert changes <= vars(FencedStorage).keys()
