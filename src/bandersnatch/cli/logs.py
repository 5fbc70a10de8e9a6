"""Logging: one line to a record, on standard error, with nothing secret and nothing that acts."""

from __future__ import annotations

import logging
import logging.config
import re
import sys
from typing import TYPE_CHECKING, Any

from bandersnatch.errors import ConfigError, Problem
from bandersnatch.events import (
    Doing,
    Event,
    FileDownloaded,
    FileRemoved,
    FileRestored,
    FilesRejected,
    Noticed,
    PageRemoved,
    PageWritten,
    Planned,
    ProjectAbsent,
    ProjectFailed,
    ProjectPostponed,
    ProjectRemoved,
    ProjectSynced,
    ProjectUnchanged,
    SidecarsMissing,
    Stopped,
)

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

FORMAT = "%(asctime)s %(levelname)s: %(message)s (%(filename)s:%(lineno)d)"

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


class SafeFormatter(logging.Formatter):
    """Hides credentials in URLs and shows control characters as escapes."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text."""
        text = _CREDENTIALS.sub("***@", super().format(record))
        if not record.exc_info:
            text = text.replace("\n", "\\n")
        return _CONTROLS.sub(lambda match: ascii(match[0])[1:-1], text)


def set_up(arguments: Namespace) -> logging.Logger:
    """Make the program's logger log to standard error and return it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(SafeFormatter(FORMAT))
    logger = logging.getLogger("bandersnatch")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(level(arguments))
    return logger


def level(arguments: Namespace) -> int:
    """Return the least level that is logged."""
    if arguments.debug:
        return logging.DEBUG
    return logging.ERROR if arguments.quiet else logging.INFO


def replace_by_file(logger: logging.Logger, path: str) -> None:
    """Log as the operator's own ``log-config`` file says (contract, section 2.3).

    Loggers that the file does not name stay alive, so that a file with just a root logger works.

    :raises ConfigError: if it cannot be used.
    """
    logger.handlers = []
    logger.propagate = True
    try:
        logging.config.fileConfig(path, disable_existing_loggers=False)
    except (OSError, KeyError, ValueError, RuntimeError, ImportError, AttributeError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"{path} is no usable logging configuration ({why})"
        raise ConfigError("configuration", [Problem("mirror", "log-config", message)]) from error


_EMITTER = 3
"""How far up the stack the event was made: above this sink, and what calls all sinks."""


class EventLog:
    """Turns events into log lines: one for each project, none for each file but at debug."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def __call__(self, event: Event) -> None:
        """Log an event."""
        told = _TOLD.get(type(event))
        if told is not None and self._logger.isEnabledFor(told[0]):
            level, tell = told
            self._logger.log(level, "%s", tell(event), stacklevel=_EMITTER)


def _failure(event: ProjectFailed) -> str:
    again = "the next run tries again" if event.will_retry else "run sync again to retry"
    return f"{event.name} failed: {event.error}; {again}"


_TOLD: dict[type, tuple[int, Callable[[Any], str]]] = {
    Stopped: (logging.ERROR, lambda e: str(e.error)),
    ProjectFailed: (logging.ERROR, _failure),
    Noticed: (logging.WARNING, lambda e: e.text),
    ProjectAbsent: (logging.WARNING, lambda e: f"{e.name} is not on the index"),
    FilesRejected: (
        logging.WARNING,
        lambda e: f"{e.name}: left out {e.count} file(s); {e.entry}: {e.reason}",
    ),
    SidecarsMissing: (
        logging.WARNING,
        lambda e: f"{e.name}: {e.count} file(s) without core metadata; {e.reason}",
    ),
    Doing: (logging.INFO, lambda e: e.text),
    Planned: (
        logging.INFO,
        lambda e: f"{e.projects} project(s) to look at, {e.removals} to remove",
    ),
    ProjectSynced: (logging.INFO, lambda e: f"synced {e.name} at serial {e.serial}"),
    ProjectRemoved: (logging.INFO, lambda e: f"removed {e.name}"),
    ProjectPostponed: (
        logging.DEBUG,
        lambda e: f"{e.name} is asked for again in {e.seconds:.0f} s: {e.error}",
    ),
    ProjectUnchanged: (logging.DEBUG, lambda e: f"{e.name} is unchanged"),
    FileDownloaded: (logging.DEBUG, lambda e: f"downloaded {e.key} ({e.size} bytes)"),
    FileRestored: (logging.DEBUG, lambda e: f"restored {e.key}"),
    FileRemoved: (logging.DEBUG, lambda e: f"moved {e.key} to removed/"),
    PageWritten: (logging.DEBUG, lambda e: f"wrote {e.key}"),
    PageRemoved: (logging.DEBUG, lambda e: f"took away {e.key}"),
}
"""The level and the words of each kind of event; a run has several for every file."""
