"""The program: from arguments to an exit code."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

from bandersnatch.cli.arguments import DEFAULT_CONFIG
from bandersnatch.cli.parser import parse
from bandersnatch.cli.signals import Signals
from bandersnatch.cli.stdio import flush, open_closed

if TYPE_CHECKING:
    import logging
    from argparse import Namespace
    from collections.abc import Sequence
    from pathlib import Path

    from bandersnatch.clock import Clock

_UMASK = 0o022

ALLOCATIONS = 20_000
"""Allocations between two cyclic garbage collections; at the default of 700 they cost 5 %."""


def main(
    argv: Sequence[str] | None = None,
    *,
    clock: Clock | None = None,
    signals: Signals | None = None,
) -> int:
    """Run the program and return its exit code.

    ``clock`` is the system's unless given. Signals are handled until the end unless the handlers
    are installed already, which is what ``signals`` says.
    """
    if signals is None:
        with Signals() as installed:
            return main(argv, clock=clock, signals=installed)
    gc.disable()  # until the imports are done, which leave no garbage
    open_closed()
    arguments = parse(sys.argv[1:] if argv is None else argv)
    os.umask(_UMASK)  # a web server must be able to read the mirror, whatever the caller's umask
    # --help needs none of these.
    from bandersnatch.cli import log  # noqa: PLC0415
    from bandersnatch.cli.exit_codes import ExitCode, code_for_error  # noqa: PLC0415
    from bandersnatch.errors import BandersnatchError  # noqa: PLC0415

    logger = log.set_up(arguments)
    try:
        return _run(arguments, logger, clock, signals)
    except BandersnatchError as error:
        log.log_error(logger, error)
        return code_for_error(error)
    except Exception:
        logger.exception("this is a bug in bandersnatch; please report it with these lines")
        return ExitCode.BUG
    finally:
        gc.enable()
        flush()


def _run(
    arguments: Namespace, logger: logging.Logger, clock: Clock | None, signals: Signals
) -> int:
    from bandersnatch import app  # noqa: PLC0415 - see main
    from bandersnatch.cli import log  # noqa: PLC0415
    from bandersnatch.cli.commands import UNCONFIGURED, load_command, load_unconfigured  # noqa: PLC0415
    from bandersnatch.cli.invocation import Invocation, runner  # noqa: PLC0415
    from bandersnatch.cli.session import Session  # noqa: PLC0415

    chosen = clock if clock is not None else app.SystemClock()
    if arguments.command in UNCONFIGURED:
        unconfigured = load_unconfigured(arguments.command)
        return unconfigured.run(Invocation(arguments, logger, chosen, signals))
    try:
        configuration = app.load(arguments.config, chosen.now())
    except FileNotFoundError:
        return _write_example(arguments.config, logger)
    settings = configuration.settings
    if settings.log_config:
        log.use_file(logger, settings.log_config, arguments)
    for note in settings.notes:
        logger.warning("%s: %s", arguments.config, note)
    command = load_command(arguments.command)
    gc.set_threshold(ALLOCATIONS)
    gc.enable()
    signals.defer()
    return runner()(command.run(Session(arguments, configuration, logger, chosen, signals)))


def _write_example(path: Path, logger: logging.Logger) -> int:
    """Write a safe example where the configuration file should be, and return the exit code."""
    from importlib.resources import files  # noqa: PLC0415 - see main

    from bandersnatch.cli.exit_codes import ExitCode  # noqa: PLC0415
    from bandersnatch.storage.output import write_new  # noqa: PLC0415

    text = files("bandersnatch.config").joinpath("example.conf").read_text(encoding="utf-8")
    if path == DEFAULT_CONFIG:
        text = text.replace("directory = ./mirror", "directory = /srv/pypi")
    try:
        write_new(str(path), text.encode())
    except OSError as error:
        why = error.strerror
        logger.error("%s does not exist, and no example can be written there: %s", path, why)  # noqa: TRY400 - not a bug
    else:
        logger.error(
            "%s did not exist; a safe example is there now: edit it and run this again", path
        )
    return ExitCode.BUG
