"""``mirror``: brings the mirror up to date with the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.cli.arguments import (
    add_accept_change,
    add_removal_limits,
    add_report,
    flag_value,
    project_names,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from bandersnatch.cli.session import Job, Session
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.report import RunReport


def add_arguments(parser: ArgumentParser) -> None:
    """Add the flags of ``mirror``."""
    add_report(parser)
    add_accept_change(parser)
    add_removal_limits(parser)
    parser.add_argument(
        "--force-check", action="store_true", help="check every project, whatever the state says"
    )
    parser.add_argument(
        "--rebuild",
        action="store_true",
        help="forget the catalogue, and rebuild it from the pages and files that are there",
    )
    parser.add_argument(
        "--prove",
        action="store_true",
        help="prove at the end that the mirror alone can install what is selected",
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


async def _prove(mirror: Mirror, session: Session) -> int:
    """Prove the whole selection, report what does not pass, and return how many proofs do not."""
    from bandersnatch.closure.targets import targets_of
    from bandersnatch.events import StepStarted, Warned
    from bandersnatch.mirror.proofs import ProofResult
    from bandersnatch.mirror.queries import prove

    mirror.events(StepStarted("proving that the mirror can install what is selected"))
    prover = prove.Prover(mirror, targets_of(session.configuration.environments))
    questions = await prove.whole_selection(mirror)
    if mirror.filters.finite_names is not None and questions:
        questions = [prove.combine(questions, f"{len(questions)} selected project(s)")]
    proofs = [proof for each in questions for proof in await prover.prove(each)]
    wrong = [each for each in proofs if each.result is not ProofResult.PASSED]
    for each in wrong:
        reasons = "; ".join(each.lines)
        text = f"{each.result.value}: {each.label} in {each.target.name}: {reasons}"
        mirror.events(Warned(text))
    await prove.remember(mirror, prove.summarize(proofs, mirror.clock.now()))
    return len(wrong)


def _job(session: Session) -> Job:
    from bandersnatch.app import open_fleet, processes_for
    from bandersnatch.cli.session import Job
    from bandersnatch.config.readers import whole_number
    from bandersnatch.mirror.preparation import RunOptions
    from bandersnatch.mirror.run import MirrorRun

    arguments = session.arguments
    options = RunOptions(
        arguments.force_check,
        frozenset(project_names(arguments.accept_change)),
        max_removals=flag_value("--max-removals", arguments.max_removals, whole_number(0)),
        max_file_removals=flag_value(
            "--max-file-removals", arguments.max_file_removals, whole_number(0)
        ),
        rebuild=arguments.rebuild,
    )

    async def work(mirror: Mirror, report: RunReport) -> None:
        if arguments.dry_run:
            position = await MirrorRun(mirror, options).run()
        else:
            processes = processes_for(session.configuration, arguments.config, mirror)
            async with open_fleet(session.configuration, mirror) as fleet:
                position = await MirrorRun(mirror, options, fleet, processes).run()
        report.serial_before, report.serial_after = position.before, position.after
        report.index_serial, report.pending = position.index, position.pending
        if arguments.prove and not arguments.dry_run:
            report.unproved = await _prove(mirror, session)

    return Job(work)
