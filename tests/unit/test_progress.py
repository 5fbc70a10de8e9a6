"""The progress display, on a terminal that is a text buffer."""

from __future__ import annotations

import logging
import re
import sys
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from rich.progress import Progress

from bandersnatch.cli.progress import ProgressSink, progress_display
from bandersnatch.errors import MissingProject
from bandersnatch.events import (
    FileDownloaded,
    FileQueued,
    PageWritten,
    ProjectAbsent,
    ProjectExcluded,
    ProjectFailed,
    ProjectSynced,
    ProjectUnchanged,
    RunPlanned,
    StepStarted,
    Warned,
)
from bandersnatch.layout import StorageKey
from bandersnatch.model.names import project_name

if TYPE_CHECKING:
    from collections.abc import Iterator

FOO = project_name("foo")
KEY = StorageKey("web/packages/foo-1.0.tar.gz")


@pytest.fixture
def progress() -> Iterator[Progress]:
    """Return a hidden display, which is drawn only on request."""
    console = Console(file=StringIO(), force_terminal=True, width=100)
    with Progress(console=console, auto_refresh=False) as progress:
        yield progress


@pytest.fixture
def _logger() -> Iterator[None]:
    """Restore the handlers."""
    yield
    logging.getLogger("bandersnatch.test_progress").handlers = []


def program_logger() -> logging.Logger:
    """Return a logger that writes to the current standard error, as the program's does."""
    logger = logging.getLogger("bandersnatch.test_progress")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger.handlers, logger.propagate = [handler], False
    logger.setLevel(logging.INFO)
    return logger


@pytest.fixture
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make rich treat standard error as a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")


def plain(text: str) -> str:
    """Return text without terminal escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


# ---------------------------------------------------------------- what moves the bars


def test_the_project_bar_has_no_total_before_the_run_is_planned(progress: Progress) -> None:
    sink = ProgressSink(progress)
    totals = [progress.tasks[0].total]
    sink(RunPlanned(4, 1))
    totals.append(progress.tasks[0].total)

    assert totals == [None, 4]


def test_a_project_counts_whatever_its_result(progress: Progress) -> None:
    sink = ProgressSink(progress)
    sink(RunPlanned(5, 0))
    sink(ProjectSynced(FOO, None))
    sink(ProjectUnchanged(FOO))
    sink(ProjectFailed(FOO, MissingProject("foo"), will_retry=True))
    sink(ProjectAbsent(FOO))
    sink(ProjectExcluded(FOO, "size_project_metadata"))

    projects, _ = progress.tasks
    assert projects.completed == projects.total == 5


def test_files_count_by_size_and_number(progress: Progress) -> None:
    sink = ProgressSink(progress)
    sink(FileQueued(KEY, 1000))
    sink(FileQueued(KEY, None))
    sink(FileQueued(KEY, 500))
    sink(FileDownloaded(FOO, KEY, 1000))
    sink(FileDownloaded(FOO, KEY, 200))

    _, files = progress.tasks
    assert files.total == 1500
    assert files.completed == 1200
    assert files.description == "2 files"


def test_other_events_move_no_bar(progress: Progress) -> None:
    sink = ProgressSink(progress)
    before = [(task.completed, task.total) for task in progress.tasks]
    sink(PageWritten(KEY))
    sink(Warned("something"))

    assert [(task.completed, task.total) for task in progress.tasks] == before


# ---------------------------------------------------------------- on a terminal


@pytest.mark.usefixtures("_terminal", "_logger")
def test_a_terminal_shows_projects_files_bytes_and_steps(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logger = program_logger()
    with progress_display(logger) as sink:
        sink(StepStarted("reading the [list] of all projects"))
        sink(RunPlanned(3, 0))
        sink(ProjectSynced(FOO, None))
        sink(FileQueued(KEY, 4_000_000))
        sink(FileDownloaded(FOO, KEY, 1_000_000))

    out, err = capsys.readouterr()
    shown = plain(err)
    assert out == ""
    assert "reading the [list] of all projects" in shown
    assert "projects" in shown
    assert "1/3" in shown
    assert "1 files" in shown
    assert "1.0 MB/4.0 MB" in shown


@pytest.mark.usefixtures("_terminal", "_logger")
def test_warnings_are_printed_above_the_display_and_lower_levels_are_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logger = program_logger()
    with progress_display(logger):
        logger.info("synced foo")
        logger.warning("[bold]careful[/bold]")
    logger.info("it is over")

    shown = plain(capsys.readouterr().err)
    assert "synced foo" not in shown
    assert "WARNING: [bold]careful[/bold]" in shown
    assert shown.endswith("INFO: it is over\n")


@pytest.mark.usefixtures("_terminal", "_logger")
def test_the_display_is_removed_at_the_end_and_on_failure(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logger = program_logger()
    before = logger.handlers
    with pytest.raises(MissingProject), progress_display(logger):
        raise MissingProject("foo")

    assert logger.handlers is before
    assert "\x1b[?25h" in capsys.readouterr().err, "the cursor is there again"


@pytest.mark.usefixtures("_terminal", "_logger")
def test_a_log_to_another_stream_is_unchanged(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A log-config may write to a file; the display must not replace that handler."""
    logger = program_logger()
    file = StringIO()
    logger.handlers = [*logger.handlers, logging.StreamHandler(file), logging.NullHandler()]
    with progress_display(logger):
        logger.info("synced foo")
        logger.error("bar failed")

    assert file.getvalue() == "synced foo\nbar failed\n"
    assert "bar failed" in plain(capsys.readouterr().err)


@pytest.mark.usefixtures("_logger")
def test_without_a_terminal_there_is_no_display(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logger = program_logger()
    with progress_display(logger) as sink:
        sink(RunPlanned(3, 0))
        sink(ProjectSynced(FOO, None))

    assert capsys.readouterr().err.strip() == ""
