"""Signals: the first cancels the work, the second kills the process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from bandersnatch.cli.signals import REPEAT, Signals
from bandersnatch.errors import Interruption, StorageError
from tests.support.processes import start
from tests.support.system import needs_posix

if TYPE_CHECKING:
    from collections.abc import Coroutine

pytestmark = pytest.mark.usefixtures("default_handlers")

_Result = TypeVar("_Result")

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
EACH = [signal.SIGINT, signal.SIGTERM, pytest.param(signal.SIGHUP, marks=needs_posix)]


async def interruptible(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Return the result of work that signals interrupt."""
    with Signals() as signals:
        signals.defer()
        return await signals.interruptible(work)


async def test_uninterrupted_work_returns_its_result() -> None:
    async def work() -> str:
        return "done"

    assert await interruptible(work()) == "done"


async def test_an_exception_of_the_work_is_raised() -> None:
    async def work() -> None:
        raise StorageError("status", "No space left on device")

    with pytest.raises(StorageError):
        await interruptible(work())


@pytest.mark.parametrize("number", EACH)
async def test_a_signal_cancels_the_work_and_waits_until_it_has_ended(number: int) -> None:
    said = []

    async def work() -> None:
        os.kill(os.getpid(), number)
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(0)
            said.append("state saved")

    with pytest.raises(Interruption) as caught:
        await interruptible(work())

    assert caught.value.signal == number
    assert said == ["state saved"]


@pytest.mark.parametrize("number", SIGNALS)
async def test_the_signal_handlers_are_removed_afterwards(number: int) -> None:
    before = signal.getsignal(number)

    await interruptible(asyncio.sleep(0))

    assert signal.getsignal(number) == before


async def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:

        async def work() -> str:
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0.05)
            return "done"

        assert await interruptible(work()) == "done"
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_a_cancellation_without_a_signal_is_not_an_interruption() -> None:
    task = asyncio.ensure_future(interruptible(asyncio.sleep(10)))
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_work_is_not_begun_after_a_signal() -> None:
    began = []

    async def work() -> None:
        began.append(True)

    with Signals() as signals:
        signals.defer()
        signal.raise_signal(signal.SIGTERM)
        for _ in range(2):
            with pytest.raises(Interruption) as caught:
                await signals.interruptible(work())
            assert caught.value.signal == signal.SIGTERM

    assert began == []


async def test_a_signal_after_the_work_changes_nothing() -> None:
    with Signals() as signals:
        signals.defer()
        await signals.interruptible(asyncio.sleep(0))
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(0)


async def test_the_same_signal_within_a_second_counts_once() -> None:
    """It comes to the process and to its group, as from ``timeout`` and terminals."""
    now = 100.0
    ended = []

    async def work() -> None:
        nonlocal now
        try:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(10)
        finally:
            now += REPEAT - 0.01
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.01)
            ended.append("state saved")

    with Signals(lambda: now) as signals:
        signals.defer()
        with pytest.raises(Interruption):
            await signals.interruptible(work())

    assert ended == ["state saved"]


def test_threads_other_than_the_main_one_install_no_handlers() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    results = []

    def run() -> None:
        results.append(asyncio.run(interruptible(asyncio.sleep(0, "done"))))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert results == ["done"]
    assert [signal.getsignal(number) for number in SIGNALS] == before


WAITING = """
from bandersnatch.cli.signals import Signals

with Signals():
    print("waiting", flush=True)
    input()
"""


@pytest.mark.parametrize("number", EACH)
def test_a_signal_before_anything_is_begun_ends_the_process(number: signal.Signals) -> None:
    with start([sys.executable, "-c", WAITING], stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "waiting\n"
            process.send_signal(number)
            _, log = process.communicate(timeout=10)
        finally:
            process.kill()

    assert process.returncode == 128 + number
    assert log == ""


STUBBORN = """
import asyncio
from bandersnatch.cli.signals import Signals

async def work():
    while True:
        try:
            print("working", flush=True)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

with Signals() as signals:
    signals.defer()
    asyncio.run(signals.interruptible(work()))
"""


@pytest.mark.parametrize(
    ("second", "wait"), [(signal.SIGTERM, REPEAT), (signal.SIGINT, 0)], ids=["same", "another"]
)
def test_a_second_signal_kills_work_that_does_not_end(second: signal.Signals, wait: float) -> None:
    with start([sys.executable, "-c", STUBBORN]) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "working\n"
            process.send_signal(signal.SIGTERM)
            assert process.stdout.readline() == "working\n"
            assert process.poll() is None
            time.sleep(wait)
            process.send_signal(second)
            process.wait(timeout=10)
        finally:
            process.kill()

    assert process.returncode == -second


IGNORED = """
import signal
print(*[each.name for each in signal.Signals if signal.getsignal(each) == signal.SIG_IGN])
"""


def test_processes_of_tests_do_not_inherit_ignored_signals() -> None:
    """Otherwise tests that send signals fail under ``nohup`` or in the background of a script."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)

    with start([sys.executable, "-c", IGNORED]) as process:
        out, _ = process.communicate(timeout=10)

    assert not {number.name for number in SIGNALS} & set(out.split())
