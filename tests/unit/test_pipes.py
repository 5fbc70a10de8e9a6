"""The queue over pipes: framing, what each end makes of it, and how many processes there are."""

from __future__ import annotations

import asyncio
import itertools
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.cluster import codec, frames, messages
from bandersnatch.cluster.pipes import PipeCoordinatorQueue, PipeWorkerQueue
from bandersnatch.concurrency import wait_at_most
from bandersnatch.errors import UnusableProcesses
from bandersnatch.mirror.fleet import MANY_TASKS, MANY_TO_READ, process_count
from bandersnatch.mirror.tasks import SyncTask
from bandersnatch.model.names import project_name
from bandersnatch.model.serials import Serial

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTICE = messages.RunNotice("a", "9", "f", datetime(2026, 1, 2, tzinfo=UTC), is_local=True)
JOB = messages.Job(
    "a",
    1,
    messages.SyncContext(),
    (messages.Assignment(1, SyncTask(project_name("foo"), Serial(7)), None),),
)

# ---------------------------------------------------------------- framing


@st.composite
def _pieces(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """Return messages, and their frames in arbitrary pieces."""
    sent = draw(st.lists(st.binary(max_size=300), max_size=8))
    stream = b"".join(map(frames.frame, sent))
    cuts = sorted(draw(st.sets(st.integers(0, len(stream)), max_size=20)))
    edges = [0, *cuts, len(stream)]
    return sent, [stream[begin:end] for begin, end in itertools.pairwise(edges)]


@given(_pieces())
def test_messages_come_in_whatever_pieces_they_are_read(
    drawn: tuple[list[bytes], list[bytes]],
) -> None:
    sent, pieces = drawn
    buffer = frames.FrameBuffer()
    assert [each for piece in pieces for each in buffer.feed(piece)] == sent


@given(st.binary(min_size=1, max_size=300), st.data())
def test_a_message_that_is_cut_off_does_not_come(message: bytes, data: st.DataObject) -> None:
    stream = frames.frame(message)
    end = data.draw(st.integers(0, len(stream) - 1))
    buffer = frames.FrameBuffer()
    assert list(buffer.feed(stream[:end])) == []
    assert list(buffer.feed(stream[end:])) == [message]


@given(st.integers(frames.LONGEST + 1, 2**32 - 1))
def test_an_impossible_length_is_refused(length: int) -> None:
    with pytest.raises(codec.InvalidMessage, match="it has an invalid message: it has"):
        list(frames.FrameBuffer().feed(length.to_bytes(4)))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_messages_are_refused_or_wait_for_more(garbage: bytes) -> None:
    queue = PipeWorkerQueue(lambda _: None)
    try:
        queue.take_in(garbage)
    except codec.InvalidMessage:
        return
    assert asyncio.run(queue.take()) is None


# ---------------------------------------------------------------- the end of a process


def _sent(*values: object) -> bytes:
    return b"".join(frames.frame(codec.encode(each)) for each in values)


async def test_a_process_finds_what_the_coordinator_has_sent() -> None:
    written: list[bytes] = []
    queue = PipeWorkerQueue(written.append)
    assert await queue.notice() is None
    answer = messages.Answer(3)
    queue.take_in(_sent(NOTICE, messages.Share(2, 3, 500), messages.HandedJob(5, JOB), [answer]))

    found = await queue.notice()
    assert found is not None
    assert found[0] == NOTICE
    assert await queue.notice() != found, "the pipe is open: a sign of life"
    state = messages.WorkerState("process 1", "9", "f")
    assert await queue.live(state) == messages.Share(2, 3, 500)
    assert await queue.take() == (5, JOB)
    assert await queue.take() is None
    assert await queue.receive() == [answer]
    assert await queue.receive() == []
    await queue.send("a", [answer])
    await queue.finish(5)
    told = [codec.decode(each) for each in frames.FrameBuffer().feed(b"".join(written))]
    assert told == [state, [answer], messages.JobEnd(5)]
    queue.take_in(_sent(None))
    assert queue.ended.is_set()
    assert await queue.notice() is None


@pytest.mark.parametrize("value", [7, messages.JobEnd(1), "x"])
def test_a_process_refuses_what_no_coordinator_sends(value: object) -> None:
    with pytest.raises(codec.InvalidMessage, match="unexpected kind"):
        PipeWorkerQueue(lambda _: None).take_in(_sent(value))


# ---------------------------------------------------------------- the end of the coordinator

_PROCESS = """
import os, sys
from bandersnatch.cluster import codec, frames, messages
number, how = sys.argv[-1], sys.argv[1]
buffer = frames.FrameBuffer()
def say(*values):
    os.write(1, b"".join(frames.frame(codec.encode(each)) for each in values))
state = messages.WorkerState("process " + number, "9", "f")
if how == "fails":
    sys.exit(3)
say(state)
while piece := os.read(0, 65536):
    for text in buffer.feed(piece):
        match codec.decode(text):
            case None:
                sys.exit()
            case messages.HandedJob(job):
                if how == "lies":
                    os.write(1, b"\\xff\\xff\\xff\\xff")
                if how == "works":
                    say([messages.Report("foo", 1)], messages.JobEnd(job))
"""
"""A process that is simpler than the real one."""


def _command(how: str) -> Sequence[str]:
    return [sys.executable, "-c", _PROCESS, how]


async def _started(queue: PipeCoordinatorQueue, count: int) -> list[int]:
    """Give each process a share, and return the numbers."""
    while len(found := await queue.workers()) < count:
        await queue.wait(60)
    numbers = [each.number for each in found]
    await queue.assign(dict.fromkeys(numbers, messages.Share(1, 1, 100)))
    return numbers


async def test_jobs_are_handed_out_and_reported() -> None:
    async with PipeCoordinatorQueue(_command("works"), 2) as queue:
        assert await queue.begin(NOTICE) == ()
        await queue.put(JOB)
        assert await queue.waiting() == {1}, "no process has a share yet"
        await _started(queue, 2)
        assert await queue.waiting() == frozenset()
        while not (mail := await queue.receive()):
            await queue.wait(60)
        while any(each.state.batches for each in await queue.workers()):
            await queue.wait(60)
        await queue.end()

    assert [list(each.messages) for each in mail] == [[messages.Report(project_name("foo"), 1)]]


async def test_a_process_that_keeps_a_withdrawn_job_is_killed_and_replaced() -> None:
    async with PipeCoordinatorQueue(_command("hangs"), 1) as queue:
        await queue.begin(NOTICE)
        (first,) = await _started(queue, 1)
        number = await queue.put(JOB)
        ((_, _, state),) = await queue.workers()
        assert state.batches == (1,)
        await queue.withdraw(number)
        assert all(each.number != first for each in await queue.workers())
        (second,) = await _started(queue, 1)

    assert second != first


async def test_a_job_that_may_end_a_process_has_one_of_its_own() -> None:
    async with PipeCoordinatorQueue(_command("hangs"), 1) as queue:
        await queue.begin(NOTICE)
        await _started(queue, 1)
        job = messages.Job("a", 1, JOB.context, JOB.assignments, is_alone=True)
        numbers = [await queue.put(each) for each in (job, JOB)]
        assert await queue.waiting() == {numbers[1]}


async def test_a_process_that_sends_no_message_is_replaced() -> None:
    async with PipeCoordinatorQueue(_command("lies"), 1) as queue:
        await queue.begin(NOTICE)
        (first,) = await _started(queue, 1)
        await queue.put(JOB)
        while any(each.number == first for each in await queue.workers()):
            await queue.wait(60)
        assert await _started(queue, 1) != [first]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (_command("fails"), "they end at once, with status 3"),
        (["/does/not/exist"], "No such file or directory"),
    ],
)
async def test_processes_that_cannot_be_started_are_an_error(
    command: Sequence[str], why: str
) -> None:
    async with PipeCoordinatorQueue(command, 2) as queue:
        await queue.begin(NOTICE)
        with pytest.raises(UnusableProcesses, match=f"do not work: {why}"):
            await _started(queue, 2)


async def test_a_cancellation_that_comes_with_the_event_counts() -> None:
    event = asyncio.Event()
    task = asyncio.ensure_future(wait_at_most(event, 60))
    await asyncio.sleep(0)
    event.set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# ---------------------------------------------------------------- how many


@pytest.mark.parametrize(
    ("wanted", "tasks", "cores", "budget", "is_polite", "count"),
    [
        (None, MANY_TASKS, 8, 10, False, 4),
        (None, MANY_TASKS, 2, 10, False, 2),
        (None, MANY_TASKS, 8, 3, False, 3),
        (None, MANY_TASKS, 1, 10, False, 1),
        (None, MANY_TASKS - 1, 8, 10, False, 1),
        (None, 10 * MANY_TASKS, 8, 10, True, 1),
        (6, 10 * MANY_TASKS, 2, 10, True, 6),
        (6, 2, 2, 10, False, 2),
        (6, 0, 2, 10, False, 1),
        (1, MANY_TASKS, 8, 10, False, 1),
    ],
)
def test_the_number_of_processes(
    wanted: int | None, tasks: int, cores: int, budget: int, is_polite: object, count: int
) -> None:
    found = process_count(wanted, tasks, cores=cores, budget=budget, is_polite=bool(is_polite))
    assert found == count


@pytest.mark.parametrize(("tasks", "count"), [(MANY_TO_READ - 1, 1), (MANY_TO_READ, 3)])
def test_fewer_processes_read_than_projects_are_read_concurrently(tasks: int, count: int) -> None:
    assert process_count(None, tasks, cores=8, budget=3, many=MANY_TO_READ) == count
