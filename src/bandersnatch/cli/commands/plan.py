"""``plan``: reports what ``mirror`` would do and what it would cost."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

from bandersnatch.cli.arguments import add_projects, flag_value, project_names
from bandersnatch.cli.text import columns, counted, one_line, size
from bandersnatch.errors import BandersnatchError, RejectedFiles

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

    from bandersnatch.cli.session import Session
    from bandersnatch.events import EventSink
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.queries.estimate import Estimate
    from bandersnatch.mirror.report import RunReport
    from bandersnatch.model.names import ProjectName


def add_arguments(parser: ArgumentParser) -> None:
    """Add the flags of ``plan``."""
    add_projects(parser, "*", "only these (default: all that need work)")
    parser.add_argument("--bandwidth", metavar="RATE", help="report the time at RATE: '100 Mbit/s'")
    parser.add_argument("--files", action="store_true", help="also list each file to download")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


async def run(session: Session) -> int:
    """Run ``plan``: a dry run of ``mirror`` whose events the estimate counts."""
    from bandersnatch.cli.exit_codes import code_for_report
    from bandersnatch.config.readers import rate
    from bandersnatch.mirror.queries.estimate import Estimate
    from bandersnatch.mirror.report import RunReport

    arguments = session.arguments
    bandwidth = flag_value("--bandwidth", arguments.bandwidth, rate)
    only = frozenset(project_names(arguments.projects)) or None
    estimate = Estimate(files=[] if arguments.files else None)
    report = RunReport("plan", session.clock.now())
    await _dry_run(session, estimate, report, only)
    for name in sorted(only or ()):
        if not session.configuration.filters.may_select(name):
            session.logger.warning("the project filters drop %s; ask: why %s", name, name)
    as_text = _as_json if arguments.json else _as_table
    return session.answer(as_text(estimate, report, bandwidth)) or code_for_report(report)


async def _dry_run(
    session: Session, estimate: Estimate, report: RunReport, only: frozenset[ProjectName] | None
) -> None:
    from bandersnatch.app import check_storage
    from bandersnatch.cli.log import EventLog
    from bandersnatch.events import Halted, ProjectAbsent, StepStarted, Warned
    from bandersnatch.mirror.preparation import RunOptions
    from bandersnatch.mirror.run import MirrorRun

    problems = check_storage(session.configuration.settings).problems

    async def work(mirror: Mirror) -> None:
        for problem in problems:
            mirror.events(Halted(problem))
        await estimate.before(mirror.catalogue)
        await MirrorRun(mirror, RunOptions(only=only, sweep=False)).run()
        await estimate.after(mirror.catalogue, mirror.storage)
        await estimate.after_closure(mirror)

    # The sentences of other events say that something was done, which a plan does not do.
    log = EventLog(session.logger, only=(StepStarted, Warned, Halted, ProjectAbsent))
    sinks: list[EventSink] = [estimate, report, log]
    with ExitStack() as stack:
        session.show_progress(sinks, stack)
        await session.use_mirror(sinks, work, dry_run=True)


def _as_json(estimate: Estimate, report: RunReport, bandwidth: float | None) -> str:
    failed = {name: str(each.error) for name, each in report.failures.items()}
    return json.dumps({**estimate.as_dict(bandwidth), "failed": failed}, indent=2)


def _as_table(estimate: Estimate, report: RunReport, bandwidth: float | None) -> str:
    failures = [
        f"{_failure(each.error)}: {name}: {one_line(str(each.error))}"
        for name, each in report.failures.items()
    ]
    return "\n".join([table(estimate, bandwidth), *failures])


def _failure(error: BandersnatchError) -> str:
    return "Would fail" if isinstance(error, RejectedFiles) else "Could not be checked"


def table(estimate: Estimate, bandwidth: float | None) -> str:
    """Return an estimate as lines for people; ``bandwidth`` is in bytes per second."""
    lines = [*_work(estimate, bandwidth), *_disk(estimate)]
    if estimate.filters:
        rows = [
            (name, f"{each.projects:,}", f"{each.dropped.files:,}", size(each.dropped.size))
            for name, each in sorted(estimate.filters.items())
        ]
        lines += ["", *columns([("dropped by", "projects", "files", "size"), *rows])]
    if estimate.largest:
        shares = [(name, *_share(estimate, name), size(all_)) for name, all_ in estimate.largest]
        head = ("largest projects", "new files", "to download", "size then")
        lines += ["", *columns([head, *shares])]
    if estimate.branches:
        from bandersnatch.cli.commands.closure import branch_lines

        title = "costliest branches of dependencies, with what only they need"
        lines += ["", title, *branch_lines(estimate.branches)]
    if estimate.files:
        listed = [(path, f"{count:,}") for path, count in sorted(estimate.files)]
        lines += ["", *columns([("files to download", "bytes"), *listed])]
    return "\n".join(lines)


def _share(estimate: Estimate, name: ProjectName) -> tuple[str, str]:
    found = estimate.downloads.get(name)
    return (f"{found.files:,}", size(found.size)) if found else ("", "")


def _work(estimate: Estimate, bandwidth: float | None) -> Iterator[str]:
    all_files = estimate.to_download
    yield (
        f"To download: {counted(all_files.files, 'file')} of "
        f"{counted(len(estimate.downloads), 'project')}, {size(all_files.size)}"
    )
    if estimate.sidecars:
        yield f"  and {counted(estimate.sidecars, 'core metadata file')} of unknown size"
    if bandwidth is not None:
        time = timedelta(seconds=max(1, round(estimate.seconds(bandwidth))))
        yield f"Time for that: about {time} at {size(bandwidth)}/s"
    if estimate.restored.files:
        yield f"To restore from removed/: {counted(estimate.restored.files, 'file')}"
    if estimate.removed.files or estimate.projects_removed:
        projects = len(estimate.projects_removed)
        yield (
            f"To move to removed/: {counted(estimate.removed.files, 'file')}, "
            f"{size(estimate.removed.size)}"
            + (f", with {counted(projects, 'whole project')}" if projects else "")
        )


def _disk(estimate: Estimate) -> Iterator[str]:
    yield (
        f"Mirror afterwards: {counted(estimate.projects_after, 'project')}, "
        f"{size(estimate.size_after)} "
        f"(now {size(estimate.size_before)})"
    )
    for space, fits in (
        (estimate.space, estimate.fits),
        (estimate.trash_space, estimate.trash_fits),
    ):
        if space is not None:
            where = f"the disk of {space.place}" if space.place else "the disk"
            yield f"Free on {where}: {size(space.free)}: {'enough' if fits else 'NOT ENOUGH'}"
