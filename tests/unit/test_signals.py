"""Signals: the first cancels the work, the second kills the process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from bandersnatch.cli.signals import interruptible
from bandersnatch.errors import Interruption, StorageError
from tests.support.processes import start

pytestmark = pytest.mark.usefixtures("default_handlers")

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


async def test_uninterrupted_work_returns_its_result() -> None:
    async def work() -> str:
        return "done"

    assert await interruptible(work()) == "done"


async def test_an_exception_of_the_work_is_raised() -> None:
    async def work() -> None:
        raise StorageError("status", "No space left on device")

    with pytest.raises(StorageError):
        await interruptible(work())


@pytest.mark.parametrize("number", SIGNALS)
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
    await interruptible(asyncio.sleep(0))

    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    assert signal.getsignal(number) == usual


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


STUBBORN = """
import asyncio
from bandersnatch.cli.signals import interruptible

async def work():
    while True:
        try:
            print("working", flush=True)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

asyncio.run(interruptible(work()))
"""


def test_a_second_signal_kills_work_that_does_not_end() -> None:
    with start([sys.executable, "-c", STUBBORN]) as process:
        assert process.stdout is not None
        try:
            for _ in range(2):
                assert process.stdout.readline() == "working\n"
                assert process.poll() is None
                process.send_signal(signal.SIGTERM)
            process.wait(timeout=10)
        finally:
            process.kill()

    assert process.returncode == -signal.SIGTERM


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
