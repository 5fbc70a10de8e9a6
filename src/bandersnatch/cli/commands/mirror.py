"""``mirror``: brings the mirror up to date with the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.cli.arguments import add_accept_change, add_report, project_names

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from bandersnatch.cli.session import Job, Session
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.report import RunReport


def add_arguments(parser: ArgumentParser) -> None:
    """Add the flags of ``mirror``."""
    add_report(parser)
    add_accept_change(parser)
    parser.add_argument(
        "--force-check", action="store_true", help="check every project, whatever the state says"
    )
    parser.add_argument(
        "--cleanup-todo",
        action="store_true",
        help="accepted for compatibility: a project that is gone never stays in todo",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="report what would be done, change nothing"
    )


async def run(session: Session) -> int:
    """Run ``mirror``."""
    return await session.run_job(_job)


def _job(session: Session) -> Job:
    from bandersnatch.cli.session import Job
    from bandersnatch.mirror.run import MirrorRun, RunOptions

    accepted = frozenset(project_names(session.arguments.accept_change))
    options = RunOptions(session.arguments.force_check, accepted)

    async def work(mirror: Mirror, report: RunReport) -> None:
        position = await MirrorRun(mirror, options).run()
        report.serial_before, report.serial_after = position.before, position.after
        report.index_serial, report.pending = position.index, position.pending

    return Job(work)
