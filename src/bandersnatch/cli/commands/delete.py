"""``delete``: removes projects from the mirror by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.cli.arguments import add_projects, add_report, project_names

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from bandersnatch.cli.session import Job, Session
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.report import RunReport


def add_arguments(parser: ArgumentParser) -> None:
    """Add the flags of ``delete``."""
    add_report(parser)
    add_projects(parser, "+")
    parser.add_argument(
        "--until-next-change",
        action="store_true",
        help="also delete projects that the filters select, until the index changes them",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="list what would be removed, change nothing"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="accepted for compatibility, without effect"
    )
    parser.add_argument(
        "--skip-json-fetch",
        action="store_true",
        help="accepted for compatibility, without effect: nothing is fetched",
    )


async def run(session: Session) -> int:
    """Run ``delete``."""
    return await session.run_job(_job)


def _job(session: Session) -> Job:
    from bandersnatch.cli.changelist import DryRunListing
    from bandersnatch.cli.session import Job
    from bandersnatch.events import FileRemoved, PageRemoved
    from bandersnatch.mirror.delete import delete, require_unselected

    arguments = session.arguments
    names = project_names(arguments.projects)
    spellings = dict(zip(names, arguments.projects, strict=True))
    if not arguments.until_next_change:
        require_unselected(names, session.configuration.filters)

    async def work(mirror: Mirror, _: RunReport) -> None:
        await delete(mirror, spellings, until_next_change=arguments.until_next_change)

    return Job(work, DryRunListing(PageRemoved, FileRemoved) if arguments.dry_run else None)
