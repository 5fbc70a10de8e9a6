"""What a command works with, and how it opens the mirror and reports its run."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from msgspec import Struct

from bandersnatch.app import Configuration, open_mirror, with_journal
from bandersnatch.catalogue.records import CatalogueUpdate, Marker
from bandersnatch.cli.changelist import DryRunListing, open_diff_file
from bandersnatch.cli.exit_codes import ExitCode, code_for_error, code_for_report
from bandersnatch.cli.log import EventLog
from bandersnatch.cli.run_totals import PhaseTimer, totals_of
from bandersnatch.cli.stdio import is_terminal, print_text
from bandersnatch.cli.summary import how_to_serve, summary, write_report
from bandersnatch.errors import BandersnatchError, ClosedHours, Interruption, StorageError
from bandersnatch.mirror.report import RunReport
from bandersnatch.state_word import RunEnd
from bandersnatch.storage.output import OutputFile

if TYPE_CHECKING:
    import logging
    from argparse import Namespace
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from bandersnatch.cli.deadline import Deadline
    from bandersnatch.cli.signals import Signals
    from bandersnatch.clock import Clock
    from bandersnatch.events import Event, EventSink
    from bandersnatch.mirror.mirror import Mirror

_Result = TypeVar("_Result")


class Job(Struct, frozen=True):
    """The work of a command that changes the mirror.

    ``listing`` collects the changes of a dry run. ``has_diff`` is whether the changes belong into
    the diff file. ``readers`` is as for ``open_mirror``.
    """

    work: Callable[[Mirror, RunReport], Awaitable[None]]
    listing: DryRunListing | None = None
    has_diff: bool = True
    readers: int = 0


class Session(Struct, frozen=True):
    """What a command works with."""

    arguments: Namespace
    configuration: Configuration
    logger: logging.Logger
    clock: Clock
    signals: Signals | Deadline

    async def query(self, work: Callable[[Mirror], Awaitable[_Result]]) -> _Result:
        """Return what ``work`` makes of the mirror, which it cannot change."""
        return await self.use_mirror([EventLog(self.logger)], work, dry_run=True)

    async def use_mirror(
        self,
        sinks: Sequence[EventSink],
        work: Callable[[Mirror], Awaitable[_Result]],
        *,
        dry_run: bool,
        readers: int = 0,
    ) -> _Result:
        """Open the mirror and return what ``work`` makes of it; ``sinks`` receive the events.

        :raises Interruption: if a signal stopped the work.
        """

        def events(event: Event) -> None:
            for sink in sinks:
                sink(event)

        async def use() -> _Result:
            opened = open_mirror(
                self.configuration, events, self.clock, dry_run=dry_run, readers=readers
            )
            async with opened as mirror:
                return await work(mirror)

        return await self.signals.interruptible(use())

    async def run_job(self, prepare: Callable[[Session], Job]) -> int:
        """Run a job with its log, report and summary, and return the exit code.

        :raises BandersnatchError: if ``prepare`` or the job raises one; the report names it.
        """
        report = RunReport(self.arguments.command, self.clock.now())
        listing: DryRunListing | None = None
        ended_by: BandersnatchError | None = None
        try:
            job = prepare(self)
            listing = job.listing
            await _run(self, job, report)
        except BandersnatchError as error:
            ended_by = error
        report.ended, report.ended_by = self.clock.now(), ended_by
        code = code_for_report(report) if ended_by is None else code_for_error(ended_by)
        if ended_by is None or isinstance(ended_by, Interruption | ClosedHours):
            _print_summary(self, report, listing)
        if self.arguments.report:
            try:
                root = self.configuration.settings.storage.state_directory
                write_report(report, self.arguments.report, root=root, code=code)
            except StorageError as error:
                self.logger.warning("the report could not be written: %s", error)
        if ended_by is not None:
            raise ended_by
        return code

    def show_progress(self, sinks: list[EventSink], stack: ExitStack) -> None:
        """Add a progress display to ``sinks`` until ``stack`` closes, if there is a terminal."""
        if is_terminal() and not (self.arguments.quiet or self.arguments.debug):
            from bandersnatch.cli.progress import progress_display  # noqa: PLC0415 - for terminals

            sinks.append(stack.enter_context(progress_display(self.logger)))

    def answer(self, text: str) -> ExitCode:
        """Print the output of a command."""
        failure = print_text(text)
        if failure:
            self.logger.error("the output could not be written: %s", failure)
            return ExitCode.STORAGE
        return ExitCode.OK


@asynccontextmanager
async def _recorded_end(
    session: Session, mirror: Mirror, report: RunReport, timer: PhaseTimer
) -> AsyncIterator[None]:
    """Record how a run of ``mirror`` ends.

    A run that is killed leaves no record, nor does one that the storage ended: it may not write
    to a tree that is not there, nor after it has lost its lock.
    """
    code: int = ExitCode.BUG
    try:
        yield
        code = code_for_report(report)
    except asyncio.CancelledError:
        code = session.signals.stop_code
        raise
    except BandersnatchError as error:
        code = code_for_error(error)
        raise
    finally:
        is_recorded = report.command == "mirror" and not session.arguments.dry_run
        if is_recorded and code not in {ExitCode.STORAGE, ExitCode.LOCKED}:
            began, ended = (int(each.timestamp()) for each in (report.began, session.clock.now()))
            totals = totals_of(report, timer.seconds(), mirror.index.traffic)
            end = RunEnd(int(code), began, ended, totals)
            with suppress(StorageError):  # then the run's own error says so
                markers = {Marker.LAST_END: str(end)}
                await mirror.catalogue.commit(CatalogueUpdate(markers=markers))


async def _write_metrics(session: Session, mirror: Mirror) -> None:
    """Write the metrics file; a failure is a warning, because the run itself is done."""
    from bandersnatch.app import free_space  # noqa: PLC0415 - only with the option
    from bandersnatch.metrics import read_snapshot, render_metrics  # noqa: PLC0415 - as above

    settings = session.configuration.settings
    now, free = int(session.clock.now().timestamp()), free_space(settings)
    try:
        snapshot = await read_snapshot(mirror.catalogue, now=now, is_running=False, free=free)
        with OutputFile(settings.metrics_file, settings.storage.state_directory) as file:
            file.replace(render_metrics(snapshot))
    except StorageError as error:
        session.logger.warning("the metrics could not be written: %s", error)


async def _run(session: Session, job: Job, report: RunReport) -> None:
    settings, dry_run = session.configuration.settings, session.arguments.dry_run
    timer = PhaseTimer(session.clock)
    sinks: list[EventSink] = [report, EventLog(session.logger), timer]
    if job.listing is not None:
        sinks.append(job.listing)

    async def work(mirror: Mirror) -> None:
        async with AsyncExitStack() as stack:
            if job.has_diff and settings.diff.path and not dry_run:
                opened = open_diff_file(settings, session.clock.now(), mirror.storage)
                diff = await stack.enter_async_context(opened)
                sinks.append(diff)
                mirror = with_journal(mirror, diff.journal)
            try:
                async with _recorded_end(session, mirror, report, timer):
                    await job.work(mirror, report)
            finally:
                if settings.metrics_file and not dry_run:
                    await _write_metrics(session, mirror)

    with ExitStack() as stack:
        session.show_progress(sinks, stack)
        await session.use_mirror(sinks, work, dry_run=dry_run, readers=job.readers)


def _print_summary(session: Session, report: RunReport, listing: DryRunListing | None) -> None:
    arguments = session.arguments
    if arguments.quiet:
        return
    text = summary(report, dry_run=arguments.dry_run)
    if listing is not None:
        text = f"{listing}\n{text}"
    first_run = report.serial_before == 0 and not arguments.dry_run
    if first_run and report.synced and report.ended_by is None:
        from bandersnatch.storage.mounts import mount_point_of  # noqa: PLC0415 - first runs only

        storage = session.configuration.settings.storage
        is_known = storage.must_exist or storage.bucket is not None
        mount_point = None if is_known else mount_point_of(storage.directory)
        project = min(report.synced)
        text += f"\n{how_to_serve(storage.directory, arguments.config, project, mount_point)}"
    failure = print_text(text)
    if failure:
        session.logger.warning("the summary could not be written: %s", failure)
