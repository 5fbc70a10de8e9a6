"""``verify``: checks every file and page, and repairs what is damaged."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bandersnatch.cli.arguments import add_report, flag_value, project_names

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from bandersnatch.cli.session import Job, Session
    from bandersnatch.config.schema import Settings
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.report import RunReport
    from bandersnatch.mirror.verify.budget import VerifyOptions

_MOST_WORKERS = 100


def add_arguments(parser: ArgumentParser) -> None:
    """Add the flags of ``verify``."""
    add_report(parser)
    parser.add_argument(
        "--delete", action="store_true", help="move files that belong to no project to removed/"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="report what is damaged, change nothing"
    )
    parser.add_argument(
        "--json-update",
        action="store_true",
        help="first ask the index for changes of every page, and of every JSON document",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=0,
        metavar="N",
        help="projects to read concurrently (default: the option verifiers)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="compare sizes and times, read only what differs"
    )
    parser.add_argument(
        "--sample",
        metavar="PERCENT",
        help="read this share of the mirror, the least recently read first",
    )
    parser.add_argument("--max-age", metavar="DAYS", help="read what was not read for DAYS days")
    parser.add_argument(
        "--budget", metavar="TIME|SIZE", help="stop after this time or amount: '2 h' or '50 GB'"
    )
    parser.add_argument("--rate", metavar="RATE", help="read no faster than this: '20 MB/s'")
    parser.add_argument(
        "--ignore-unreadable",
        action="append",
        default=[],
        metavar="PROJECT",
        help="with --delete: treat PROJECT, which cannot be read, as if it owned nothing",
    )


async def run(session: Session) -> int:
    """Run ``verify``."""
    return await session.run_job(_job)


def _job(session: Session) -> Job:
    from bandersnatch.app import readers_for
    from bandersnatch.cli.session import Job
    from bandersnatch.mirror.fleet import no_fleet
    from bandersnatch.mirror.verify.run import Verification

    arguments, configuration = session.arguments, session.configuration
    options = verify_options(arguments, configuration.settings)

    async def work(mirror: Mirror, _: RunReport) -> None:
        fleets = no_fleet
        if options.repair:  # a dry run changes nothing, not even the state of workers
            fleets = readers_for(configuration, arguments.config, mirror, options.workers)
        await Verification(mirror, options, fleets).run()

    return Job(work, has_diff=False, readers=options.workers)


def verify_options(arguments: Namespace, settings: Settings) -> VerifyOptions:
    """Return what the flags ask for.

    :raises UsageError: if the value of one of them is invalid, or two exclude each other.
    """
    from bandersnatch.config import readers
    from bandersnatch.errors import UsageError
    from bandersnatch.mirror.verify.budget import VerifyOptions

    workers = arguments.workers or settings.run.verifiers
    if not 0 < workers <= _MOST_WORKERS:
        raise UsageError(f"--workers {workers} is not between 1 and {_MOST_WORKERS}")
    budget = flag_value("--budget", arguments.budget, readers.time_or_size)
    max_age = flag_value("--max-age", arguments.max_age, readers.days)
    options = VerifyOptions(
        repair=not arguments.dry_run,
        delete=arguments.delete,
        update=arguments.json_update,
        quick=arguments.quick,
        sample=flag_value("--sample", arguments.sample, readers.percent),
        max_age=None if max_age is None else int(max_age.total_seconds()),
        seconds=budget.total_seconds() if isinstance(budget, timedelta) else None,
        size=budget if isinstance(budget, int) else None,
        rate=flag_value("--rate", arguments.rate, readers.rate),
        workers=workers,
        ignore_unreadable=frozenset(project_names(arguments.ignore_unreadable)),
    )
    if options.quick and options.is_partial:
        raise UsageError("--quick checks everything; it excludes --sample, --max-age and --budget")
    return options
