"""The progress display; imported only if there is a terminal."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from bandersnatch import events

if TYPE_CHECKING:
    from collections.abc import Iterator


class ProgressSink:
    """The sink that moves two bars: projects, and the bytes of queued files."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._projects = progress.add_task("projects", total=None, sized=False)
        self._files = progress.add_task("files", total=0, sized=True)
        self._size = 0
        self._count = 0

    def __call__(self, event: events.Event) -> None:
        """Move the bars."""
        match event:
            case events.RunPlanned(projects):
                self._progress.update(self._projects, total=projects)
            case (
                events.ProjectSynced()
                | events.ProjectUnchanged()
                | events.ProjectFailed()
                | events.ProjectAbsent()
                | events.ProjectExcluded()
                | events.ProjectVerified()
            ):
                self._progress.advance(self._projects)
            case events.FileQueued(size=size):
                self._size += size or 0
                self._progress.update(self._files, total=self._size)
            case events.FileDownloaded(size=size):
                self._count += 1
                text = f"{self._count} files"
                self._progress.update(self._files, advance=size, description=text)
            case events.StepStarted(text):
                self._progress.console.print(text, markup=False, highlight=False)
            case _:
                pass


class _AmountColumn(ProgressColumn):
    """The completed part and the total; for bytes also the speed."""

    def render(self, task: Task) -> Text:
        if not task.fields["sized"]:
            total = "?" if task.total is None else f"{task.total:.0f}"
            return Text(f"{task.completed:.0f}/{total}")
        speed = f", {decimal(int(task.speed))}/s" if task.speed else ""
        return Text(f"{decimal(int(task.completed))}/{decimal(int(task.total or 0))}{speed}")


class _AboveHandler(logging.Handler):
    """Prints log lines above the display, as another handler formats them."""

    def __init__(self, progress: Progress, handler: logging.Handler) -> None:
        super().__init__(logging.WARNING)
        self._progress = progress
        self._handler = handler

    def emit(self, record: logging.LogRecord) -> None:
        text = Text(self._handler.format(record))
        self._progress.console.print(text, soft_wrap=True)


@contextmanager
def progress_display(logger: logging.Logger) -> Iterator[ProgressSink]:
    """Show a display on standard error while the block runs, and yield its sink.

    Meanwhile log lines for the terminal are printed above it, from WARNING on.
    """
    columns = (
        TextColumn("{task.description:>12}"),
        BarColumn(),
        _AmountColumn(),
        TimeRemainingColumn(),
    )
    handlers = logger.handlers
    to_terminal = {handler for handler in handlers if _writes_to(handler, sys.stderr)}
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        logger.handlers = [
            _AboveHandler(progress, handler) if handler in to_terminal else handler
            for handler in handlers
        ]
        try:
            yield ProgressSink(progress)
        finally:
            logger.handlers = handlers


def _writes_to(handler: logging.Handler, stream: TextIO) -> bool:
    return isinstance(handler, logging.StreamHandler) and handler.stream is stream
