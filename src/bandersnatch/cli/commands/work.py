"""``work``: syncs projects for ``mirror``, which runs elsewhere with ``cluster = true``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from bandersnatch.cli.session import Session


def add_arguments(parser: ArgumentParser) -> None:
    """Add the flags of ``work``."""
    parser.add_argument(
        "--once", action="store_true", help="end with the run that is under way, or with the next"
    )


async def run(session: Session) -> int:
    """Run ``work``."""
    from bandersnatch.app import open_worker
    from bandersnatch.cli.exit_codes import ExitCode
    from bandersnatch.cli.log import EventLog

    arguments, events = session.arguments, EventLog(session.logger)

    async def work() -> None:
        opened = open_worker(session.configuration, arguments.config, events, session.clock)
        async with opened as worker:
            await worker.run(once=arguments.once)

    await session.signals.interruptible(work())
    return ExitCode.OK
