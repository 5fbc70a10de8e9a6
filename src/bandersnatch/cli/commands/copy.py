"""``copy``: copies the mirror to the place of another configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from bandersnatch.cli.session import Session
    from bandersnatch.transfer.copy import CopyResult

_MOST_SHOWN = 20
"""What was not copied and is named one by one."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``copy``."""
    parser.add_argument(
        "target", type=Path, metavar="CONFIG", help="the configuration of the place to copy to"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="report what would be copied, change nothing"
    )


async def run(session: Session) -> int:
    """Run ``copy``."""
    from bandersnatch.app import load, open_copy
    from bandersnatch.cli.exit_codes import ExitCode
    from bandersnatch.cli.log import EventLog
    from bandersnatch.errors import UsageError

    arguments, log = session.arguments, EventLog(session.logger)
    try:
        target = load(arguments.target, session.clock.now())
    except FileNotFoundError:
        raise UsageError(f"there is no configuration {arguments.target}") from None

    async def work() -> CopyResult:
        opened = open_copy(session.configuration, target, log, dry_run=arguments.dry_run)
        async with opened as copy:
            return await copy.run()

    result = await session.signals.interruptible(work())
    problems = [*result.failed.items(), *result.lost.items()]
    for name, why in problems[:_MOST_SHOWN]:
        session.logger.error("%s was not copied: %s", name, why)
    answered = session.answer(_summary(result, dry_run=arguments.dry_run))
    return ExitCode.DAMAGE if problems and answered is ExitCode.OK else answered


def _summary(result: CopyResult, *, dry_run: bool) -> str:
    from bandersnatch.cli.text import counted, size

    lines = [
        f"Projects:  {counted(result.projects, 'project')}",
        f"Copied:    {counted(result.files, 'file')}, {size(result.bytes)}",
        f"Present:   {counted(result.present, 'file')}, copied earlier",
    ]
    if result.deleted:
        gone = counted(result.deleted, "object")
        lines.append(f"Deleted:   {gone} that the mirror no longer has")
    if result.lost:
        lines.append(f"Left out:  {counted(len(result.lost), 'object')} of the trash")
    if result.failed:
        failed = counted(len(result.failed), "project")
        lines.append(f"Failed:    {failed}; the copy is not complete: do not use it yet")
    elif dry_run:
        lines.append("Result:    nothing was changed")
    else:
        lines.append("Result:    complete; use the configuration of the copy from now on")
    return "\n".join(lines)
