"""From arguments to an exit code: the only place that leaves the program."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from bandersnatch.cli.arguments import DEFAULT_CONFIG, parse
from bandersnatch.cli.exit_codes import ExitCode, code_for, code_of
from bandersnatch.errors import (
    BandersnatchError,
    Interrupted,
    InvalidValue,
    StorageError,
    UsageError,
)

if TYPE_CHECKING:
    import logging
    from argparse import Namespace
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bandersnatch.app import Configuration
    from bandersnatch.mirror.report import RunReport
    from bandersnatch.model.names import ProjectName
    from bandersnatch.ports import EventSink

_UMASK = 0o022


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit status."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    os.umask(_UMASK)  # whatever the caller's, a web server must be able to read the mirror
    from bandersnatch.cli import logs  # noqa: PLC0415 - --help needs none of what follows

    logger = logs.set_up(arguments)
    try:
        return _run(arguments, logger)
    except BandersnatchError as error:
        for line in str(error).splitlines():
            logger.exception("%s", line)
        return code_for(error)
    except Exception:
        logger.exception("this is a bug in bandersnatch; please report it with these lines")
        return ExitCode.BUG


def _run(arguments: Namespace, logger: logging.Logger) -> int:
    from bandersnatch import app  # noqa: PLC0415 - see main
    from bandersnatch.cli import logs  # noqa: PLC0415

    try:
        configuration = app.load(arguments.config)
    except FileNotFoundError:
        return _write_example(arguments.config, logger)
    settings = configuration.settings
    if settings.log_config:
        logs.replace_by_file(logger, settings.log_config)
        logger.setLevel(logs.level(arguments))
    for note in settings.notes:
        logger.warning("%s: %s", arguments.config, note)
    return _runner()(_command(arguments, configuration, logger))


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
        logger.error("%s does not exist, and cannot be written: %s", path, error.strerror)  # noqa: TRY400 - no bug
    else:
        logger.warning(
            "%s did not exist; a safe example is there now: edit it and run this again", path
        )
    return ExitCode.BUG


async def _command(
    arguments: Namespace, configuration: Configuration, logger: logging.Logger
) -> int:
    from bandersnatch.app import SystemClock  # noqa: PLC0415
    from bandersnatch.cli.logs import EventLog  # noqa: PLC0415
    from bandersnatch.cli.signals import interruptible  # noqa: PLC0415
    from bandersnatch.mirror.report import RunReport  # noqa: PLC0415

    dry_run = getattr(arguments, "dry_run", False)
    clock = SystemClock()
    report = RunReport(arguments.command, clock.now())
    sinks: list[EventSink] = [report, EventLog(logger)]
    ended: BandersnatchError | None = None
    with ExitStack() as stack:
        if sys.stderr.isatty() and not (arguments.quiet or arguments.debug):
            from bandersnatch.cli.progress import progress_display  # noqa: PLC0415

            sinks.append(stack.enter_context(progress_display(logger)))
        if configuration.settings.diff.path and not dry_run:
            from bandersnatch.cli.diff import diff_files  # noqa: PLC0415

            settings = configuration.settings
            sinks.append(stack.enter_context(diff_files(settings, clock.now())))
        try:
            await interruptible(_work(arguments, configuration, report, sinks))
        except (Interrupted, StorageError) as error:
            ended = error
    report.ended = clock.now()
    code = code_for(ended) if ended is not None else int(code_of(report))
    if ended is not None:
        logger.error("%s", ended)
    _tell(arguments, configuration, report, interrupted=isinstance(ended, Interrupted))
    if arguments.report:
        _report(report, arguments.report, code, logger)
    return code


async def _work(
    arguments: Namespace,
    configuration: Configuration,
    report: RunReport,
    sinks: Sequence[EventSink],
) -> None:
    from bandersnatch.app import SystemClock, open_mirror  # noqa: PLC0415
    from bandersnatch.mirror.run import MirrorRun, Orders  # noqa: PLC0415
    from bandersnatch.mirror.sync import sync  # noqa: PLC0415

    def events(event: object) -> None:
        for sink in sinks:
            sink(event)  # type: ignore[arg-type]

    accepted = frozenset(_names(arguments.accept_change))
    dry_run = getattr(arguments, "dry_run", False)
    async with open_mirror(configuration, events, SystemClock(), dry_run=dry_run) as mirror:
        if arguments.command == "sync":
            names = _names(arguments.projects)
            await sync(mirror, names, accepted=accepted, skip_root=arguments.skip_simple_root)
            return
        position = await MirrorRun(mirror, Orders(arguments.force_check, accepted)).run()
        report.serial_before, report.serial_after = position.before, position.after
        report.index_serial, report.pending = position.index, position.pending


def _names(texts: Sequence[str]) -> list[ProjectName]:
    from bandersnatch.model.names import project_name  # noqa: PLC0415

    try:
        return [project_name(text) for text in texts]
    except InvalidValue as error:
        raise UsageError(str(error)) from error


def _tell(
    arguments: Namespace, configuration: Configuration, report: RunReport, *, interrupted: bool
) -> None:
    if arguments.quiet:
        return
    from bandersnatch.cli.summary import how_to_serve, summary  # noqa: PLC0415

    dry_run = getattr(arguments, "dry_run", False)
    print(summary(report, dry_run=dry_run, interrupted=interrupted))
    first_sync = report.serial_before == 0 and report.synced and not dry_run
    if first_sync and not interrupted:
        directory = configuration.settings.storage.directory
        print(how_to_serve(directory, min(report.synced)))


def _report(report: RunReport, path: Path, code: int, logger: logging.Logger) -> None:
    from bandersnatch.cli.summary import write_report  # noqa: PLC0415

    try:
        write_report(report, path, code=code)
    except StorageError as error:
        logger.warning("the report could not be written: %s", error)
