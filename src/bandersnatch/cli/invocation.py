"""What a command works with that needs no configuration, and how coroutines are run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    import logging
    from argparse import Namespace
    from collections.abc import Callable, Coroutine

    from bandersnatch.cli.exit_codes import ExitCode
    from bandersnatch.cli.signals import Signals
    from bandersnatch.clock import Clock


class Invocation(Struct, frozen=True):
    """What a command works with that needs no configuration.

    Until it runs a coroutine, a signal ends the process.
    """

    arguments: Namespace
    logger: logging.Logger
    clock: Clock
    signals: Signals

    def run(self, work: Coroutine[Any, Any, int]) -> int:
        """Run a coroutine; from now on a signal cancels what it makes interruptible."""
        self.signals.defer()
        return runner()(work)

    def answer(self, text: str) -> ExitCode:
        """Print the output of a command."""
        from bandersnatch.cli.exit_codes import ExitCode  # noqa: PLC0415 - not for --help
        from bandersnatch.cli.stdio import print_text  # noqa: PLC0415 - as above

        failure = print_text(text)
        if failure:
            self.logger.error("the output could not be written: %s", failure)
            return ExitCode.STORAGE
        return ExitCode.OK


def runner() -> Callable[[Coroutine[Any, Any, int]], int]:
    """Return the function that runs a coroutine: on uvloop, if it is installed."""
    import asyncio  # noqa: PLC0415 - not for --help

    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return asyncio.run

    def run(command: Coroutine[Any, Any, int]) -> int:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as opened:
            return opened.run(command)

    return run
