"""The commands: a mirror is opened, the work done, and what came of it told."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from bandersnatch.app import noting, open_mirror
from bandersnatch.cli.changelist import diff_files
from bandersnatch.cli.exit_codes import code_for_error, code_for_report
from bandersnatch.cli.listing import LISTED, Listing
from bandersnatch.cli.log import EventLog
from bandersnatch.cli.parser import project_names
from bandersnatch.cli.signals import interruptible
from bandersnatch.cli.stdio import is_terminal, say
from bandersnatch.cli.summary import how_to_serve, summary, write_report
from bandersnatch.errors import BandersnatchError, Interruption, StorageError
from bandersnatch.mirror.report import RunReport
from bandersnatch.mirror.run import MirrorRun, RunOptions

if TYPE_CHECKING:
    import logging
    from argparse import Namespace
    from collections.abc import Sequence
    from pathlib import Path

    from bandersnatch.app import Configuration
    from bandersnatch.clock import Clock
    from bandersnatch.config.schema import Settings
    from bandersnatch.events import Event, EventSink
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.verify.budget import VerifyOptions
    from bandersnatch.model.names import ProjectName


async def run_command(
    arguments: Namespace, configuration: Configuration, logger: logging.Logger, clock: Clock
) -> int:
    """Do what the arguments ask for, tell what was done, and return the exit status."""
    report = RunReport(arguments.command, clock.now())
    ended: BandersnatchError | None = None
    with ExitStack() as stack:
        listing = _listing(arguments)
        sinks: list[EventSink] = [report, EventLog(logger), *listing]
        if is_terminal() and not (arguments.quiet or arguments.debug):
            from bandersnatch.cli.progress import progress_display  # noqa: PLC0415 - for terminals

            sinks.append(stack.enter_context(progress_display(logger)))
        try:
            await interruptible(_work(arguments, configuration, report, sinks, clock))
        except BandersnatchError as error:
            ended = error
    report.ended = clock.now()
    code = int(code_for_report(report)) if ended is None else code_for_error(ended)
    if ended is not None:
        report.ended_by = ended
        for line in str(ended).split("\n"):
            logger.error("%s", line)
    if not arguments.quiet and (ended is None or isinstance(ended, Interruption)):
        told = [*map(str, listing), _summary(arguments, configuration, report)]
        failure = say("\n".join(told))
        if failure:
            logger.warning("the summary could not be written: %s", failure)
    if arguments.report:
        _save_report(report, arguments.report, code, logger)
    return code


async def _work(
    arguments: Namespace,
    configuration: Configuration,
    report: RunReport,
    sinks: list[EventSink],
    clock: Clock,
) -> None:
    def events(event: Event) -> None:
        for sink in sinks:
            sink(event)

    dry_run = _is_dry_run(arguments)
    accepted = frozenset(project_names(getattr(arguments, "accept_change", [])))
    named = project_names(getattr(arguments, "projects", []))
    command, settings = arguments.command, configuration.settings
    verify = _verify_orders(arguments, settings)
    if command == "delete" and not arguments.until_next_change:
        from bandersnatch.mirror.delete import require_unselected  # noqa: PLC0415 - see _do

        require_unselected(named, configuration.filters)  # before anything is touched
    opened = open_mirror(
        configuration,
        events,
        clock,
        dry_run=dry_run,
        readers=verify.workers if verify is not None else 0,
    )
    async with opened as mirror:
        with ExitStack() as stack:
            if verify is not None:
                from bandersnatch.mirror.verify.run import Verification  # noqa: PLC0415 - see _do

                await Verification(mirror, verify).run()
                return
            told = mirror
            if settings.diff.path and not dry_run:
                diff = stack.enter_context(diff_files(settings, clock.now()))
                sinks.append(diff)
                told = noting(mirror, diff.untold)
            await _do(arguments, told, named, accepted, report)


def _verify_orders(arguments: Namespace, settings: Settings) -> VerifyOptions | None:
    if arguments.command != "verify":
        return None
    from bandersnatch.cli.verify import verify_orders  # noqa: PLC0415 - see _do

    return verify_orders(arguments, settings)


async def _do(
    arguments: Namespace,
    mirror: Mirror,
    named: Sequence[ProjectName],
    accepted: frozenset[ProjectName],
    report: RunReport,
) -> None:
    """Do the work of a command; what others are made of is not imported, for that takes time."""
    match arguments.command:
        case "sync":
            from bandersnatch.mirror.sync import sync  # noqa: PLC0415 - see above

            await sync(mirror, named, accepted=accepted, skip_root=arguments.skip_simple_root)
        case "delete":
            from bandersnatch.mirror.delete import delete  # noqa: PLC0415 - see above

            spelled = dict(zip(named, arguments.projects, strict=True))
            await delete(mirror, spelled, until_next_change=arguments.until_next_change)
        case "restore":
            from bandersnatch.mirror.restore import restore  # noqa: PLC0415 - see above

            await restore(mirror, named)
        case _:
            await _mirror(mirror, RunOptions(arguments.force_check, accepted), report)


async def _mirror(mirror: Mirror, orders: RunOptions, report: RunReport) -> None:
    position = await MirrorRun(mirror, orders).run()
    report.serial_before, report.serial_after = position.before, position.after
    report.index_serial, report.pending = position.index, position.pending


def _listing(arguments: Namespace) -> list[Listing]:
    """Return what lists each key that a dry run would move, if it is asked for."""
    listed = _is_dry_run(arguments) and arguments.command in LISTED
    return [Listing(arguments.command)] if listed else []


def _is_dry_run(arguments: Namespace) -> bool:
    return bool(getattr(arguments, "dry_run", False))


def _summary(arguments: Namespace, configuration: Configuration, report: RunReport) -> str:
    dry_run = _is_dry_run(arguments)
    text = summary(report, dry_run=dry_run)
    first_run = report.serial_before == 0 and not dry_run
    if first_run and report.synced and report.ended_by is None:
        directory = configuration.settings.storage.directory
        text += f"\n{how_to_serve(directory, min(report.synced))}"
    return text


def _save_report(report: RunReport, path: Path, code: int, logger: logging.Logger) -> None:
    try:
        write_report(report, path, code=code)
    except StorageError as error:
        logger.warning("the report could not be written: %s", error)
