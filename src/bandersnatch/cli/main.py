"""From arguments to an exit code: the only place that leaves the program."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING

from bandersnatch.cli.exit_codes import ExitCode, code_for_error
from bandersnatch.cli.parser import DEFAULT_CONFIG, QUESTIONS, parse
from bandersnatch.cli.stdio import open_closed, settle
from bandersnatch.errors import BandersnatchError, Interruption

if TYPE_CHECKING:
    import logging
    from argparse import Namespace
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bandersnatch.clock import Clock

_UMASK = 0o022

ALLOCATIONS = 20_000
"""Between two searches for garbage in cycles, of which there is little; they cost 5 % at 700."""


def main(argv: Sequence[str] | None = None, *, clock: Clock | None = None) -> int:
    """Run the program and return its exit status.

    ``clock`` is the machine's unless another is given.
    """
    gc.disable()  # until everything is imported, of which nothing goes away
    open_closed()
    arguments = parse(sys.argv[1:] if argv is None else argv)
    os.umask(_UMASK)  # whatever the caller's, a web server must be able to read the mirror
    from bandersnatch.cli import log  # noqa: PLC0415 - --help needs none of what follows

    logger = log.set_up(arguments)
    try:
        return _run(arguments, logger, clock)
    except BandersnatchError as error:
        for line in str(error).split("\n"):
            logger.error("%s", line)  # noqa: TRY400 - no bug
        return code_for_error(error)
    except KeyboardInterrupt:  # before the work began, or after it ended
        return code_for_error(Interruption(signal.SIGINT))
    except Exception:
        logger.exception("this is a bug in bandersnatch; please report it with these lines")
        return ExitCode.BUG
    finally:
        gc.enable()
        settle()


def _run(arguments: Namespace, logger: logging.Logger, clock: Clock | None) -> int:
    from bandersnatch import app  # noqa: PLC0415 - see main
    from bandersnatch.cli import log  # noqa: PLC0415

    try:
        chosen = clock if clock is not None else app.SystemClock()
        configuration = app.load(arguments.config, chosen.now())
    except FileNotFoundError:
        return _write_example(arguments.config, logger)
    settings = configuration.settings
    if settings.log_config:
        log.use_file(logger, settings.log_config, arguments)
    for note in settings.notes:
        logger.warning("%s: %s", arguments.config, note)
    gc.set_threshold(ALLOCATIONS)
    gc.enable()
    if arguments.command in QUESTIONS:
        from bandersnatch.cli.questions import answer  # noqa: PLC0415 - a run needs none of it

        return _runner()(answer(arguments, configuration, logger, chosen))
    from bandersnatch.cli.commands import run_command  # noqa: PLC0415

    return _runner()(run_command(arguments, configuration, logger, chosen))


def _runner() -> Callable[..., int]:
    """Return what runs a coroutine: on uvloop, where that exists."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return asyncio.run

    def run(command: object) -> int:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(command)  # type: ignore[arg-type]

    return run


def _write_example(path: Path, logger: logging.Logger) -> int:
    """Write the safe example where the configuration should be (contract, section 1.4)."""
    from importlib.resources import files  # noqa: PLC0415

    text = files("bandersnatch.config").joinpath("example.conf").read_text(encoding="utf-8")
    if path == DEFAULT_CONFIG:
        text = text.replace("directory = ./mirror", "directory = /srv/pypi")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        why = error.strerror
        logger.error("%s does not exist, and no example can be written there: %s", path, why)  # noqa: TRY400 - no bug
    else:
        logger.error(
            "%s did not exist; a safe example is there now: edit it and run this again", path
        )
    return ExitCode.BUG
