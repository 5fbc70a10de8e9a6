"""``restore``: restores removed projects from the trash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.cli.arguments import add_projects, add_report, project_names

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from bandersnatch.cli.session import Job, Session
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.report import RunReport


def add_arguments(parser: ArgumentParser) -> None:
    """Add the flags of ``restore``."""
    add_report(parser)
    add_projects(parser, "+")
    parser.add_argument(
        "--dry-run", action="store_true", help="list what would be restored, change nothing"
    )


async def run(session: Session) -> int:
    """Run ``restore``."""
    return await session.run_job(_job)


def _job(session: Session) -> Job:
    from bandersnatch.cli.changelist import DryRunListing
    from bandersnatch.cli.session import Job
    from bandersnatch.events import FileRestored, PageWritten
    from bandersnatch.mirror.restore import restore

    names = project_names(session.arguments.projects)

    async def work(mirror: Mirror, _: RunReport) -> None:
        await restore(mirror, names)

    dry_run = session.arguments.dry_run
    return Job(work, DryRunListing(FileRestored, PageWritten) if dry_run else None)
