"""The commands that look and change nothing: ``plan``, ``why``, ``status``, ``config check``."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

from bandersnatch.app import open_mirror
from bandersnatch.cli import status
from bandersnatch.cli.exit_codes import ExitCode, code_for_error, code_for_report
from bandersnatch.cli.forecast import table
from bandersnatch.cli.log import EventLog
from bandersnatch.cli.parser import flag_value, project_names
from bandersnatch.cli.policy import policy
from bandersnatch.cli.signals import interruptible
from bandersnatch.cli.stdio import is_terminal, say
from bandersnatch.cli.text import one_line
from bandersnatch.config.readers import rate
from bandersnatch.errors import BandersnatchError
from bandersnatch.events import Halted, ProjectAbsent, StepStarted, Warned
from bandersnatch.mirror.queries.estimate import Estimate
from bandersnatch.mirror.queries.status import mirror_status
from bandersnatch.mirror.queries.why import why
from bandersnatch.mirror.report import RunReport
from bandersnatch.mirror.run import MirrorRun, RunOptions

if TYPE_CHECKING:
    import logging
    from argparse import Namespace

    from bandersnatch.app import Configuration
    from bandersnatch.clock import Clock
    from bandersnatch.events import Event, EventSink
    from bandersnatch.mirror.queries.status import MirrorStatus

_TOLD = (StepStarted, Warned, Halted, ProjectAbsent)
"""What a plan logs; of the rest it would have to say that it does not happen."""


async def answer(
    arguments: Namespace, configuration: Configuration, logger: logging.Logger, clock: Clock
) -> int:
    """Answer what is asked, and return the exit status."""
    try:
        if arguments.command == "config":
            return _told(policy(configuration, str(arguments.config)), logger)
        if arguments.command == "why":
            lines = await _why(arguments, configuration, logger, clock)
            return _told("\n".join(map(one_line, lines)), logger)
        if arguments.command == "status":
            return await _status(arguments, configuration, logger, clock)
        return await _plan(arguments, configuration, logger, clock)
    except BandersnatchError as error:
        for line in str(error).split("\n"):
            logger.error("%s", line)  # noqa: TRY400 - no bug
        return code_for_error(error)


def _told(text: str, logger: logging.Logger) -> int:
    failure = say(text)
    if failure:
        logger.error("the answer could not be written: %s", failure)
        return ExitCode.STORAGE
    return ExitCode.OK


async def _why(
    arguments: Namespace, configuration: Configuration, logger: logging.Logger, clock: Clock
) -> list[str]:
    (name,) = project_names([arguments.project])
    lines: list[str] = []

    async def ask() -> None:
        log = EventLog(logger)
        async with open_mirror(configuration, log, clock, dry_run=True) as mirror:
            lines.extend(await why(mirror, name, arguments.what))

    await interruptible(ask())
    return lines


async def _status(
    arguments: Namespace, configuration: Configuration, logger: logging.Logger, clock: Clock
) -> int:
    held_to = status.limits(arguments)
    directory = configuration.settings.storage.directory
    asked: list[MirrorStatus] = []

    async def ask() -> None:
        log = EventLog(logger)
        async with open_mirror(configuration, log, clock, dry_run=True) as mirror:
            asked.append(await mirror_status(mirror, offline=arguments.offline))

    await interruptible(ask())
    (found,) = asked
    beyond = status.exceeded(found, held_to)
    if arguments.json:
        text = status.as_json(found, directory, beyond)
    elif arguments.quiet:
        for line in beyond:
            logger.error("%s", one_line(line))
        return status.verdict(beyond)
    else:
        text = status.table(found, directory, held_to, beyond)
    return _told(text, logger) or status.verdict(beyond)


async def _plan(
    arguments: Namespace, configuration: Configuration, logger: logging.Logger, clock: Clock
) -> int:
    speed = flag_value("--bandwidth", arguments.bandwidth, rate)
    only = frozenset(project_names(arguments.projects)) or None
    forecast = Estimate(files=[] if arguments.files else None)
    report, log = RunReport("plan", clock.now()), EventLog(logger)
    sinks: list[EventSink] = [forecast, report]

    def events(event: Event) -> None:
        for sink in sinks:
            sink(event)
        if isinstance(event, _TOLD):
            log(event)

    async def run() -> None:
        opened = open_mirror(configuration, events, clock, dry_run=True)
        async with opened as mirror:
            await forecast.before(mirror.catalogue)
            await MirrorRun(mirror, RunOptions(only=only)).run()
            await forecast.after(mirror.catalogue, mirror.storage)

    with ExitStack() as stack:
        if is_terminal() and not (arguments.quiet or arguments.debug):
            from bandersnatch.cli.progress import progress_display  # noqa: PLC0415 - for terminals

            sinks.append(stack.enter_context(progress_display(logger)))
        await interruptible(run())
    for name in sorted(only or ()):
        if not configuration.filters.may_select(name):
            logger.warning("the project filters do not want %s; ask: why %s", name, name)
    text = (
        _as_json(forecast, report, speed) if arguments.json else _as_table(forecast, report, speed)
    )
    return _told(text, logger) or int(code_for_report(report))


def _as_json(forecast: Estimate, report: RunReport, speed: float | None) -> str:
    failed = {name: str(each.error) for name, each in report.failures.items()}
    return json.dumps({**forecast.as_dict(speed), "failed": failed}, indent=2)


def _as_table(forecast: Estimate, report: RunReport, speed: float | None) -> str:
    failures = [
        f"Could not be looked at: {name}: {one_line(str(each.error))}"
        for name, each in report.failures.items()
    ]
    return "\n".join([table(forecast, speed), *failures])
