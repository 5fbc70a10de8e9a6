"""``sync``: brings only the named projects up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.cli.arguments import add_accept_change, add_projects, add_report, project_names

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from bandersnatch.cli.session import Job, Session
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.report import RunReport


def add_arguments(parser: ArgumentParser) -> None:
    """Add the flags of ``sync``."""
    add_report(parser)
    add_accept_change(parser)
    add_projects(parser, "+")
    parser.add_argument(
        "--skip-simple-root", action="store_true", help="do not write the root page"
    )
    parser.set_defaults(dry_run=False)


async def run(session: Session) -> int:
    """Run ``sync``."""
    return await session.run_job(_job)


def _job(session: Session) -> Job:
    from bandersnatch.cli.session import Job
    from bandersnatch.mirror.sync import sync

    arguments = session.arguments
    accepted = frozenset(project_names(arguments.accept_change))
    names = project_names(arguments.projects)

    async def work(mirror: Mirror, _: RunReport) -> None:
        await sync(mirror, names, accepted=accepted, skip_root=arguments.skip_simple_root)

    return Job(work)
