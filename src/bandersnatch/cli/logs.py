"""Logging: one line to a record, on standard error, with nothing secret and nothing that acts."""

from __future__ import annotations

import logging
import logging.config
import re
import sys
from typing import TYPE_CHECKING

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
        level, text = _told(event)
        if text:
            self._logger.log(level, "%s", text, stacklevel=_EMITTER)


def _told(event: Event) -> tuple[int, str]:  # noqa: C901, PLR0911, PLR0912 - one line for each kind
    match event:
        case Stopped(error):
            return logging.ERROR, str(error)
        case ProjectFailed(name, error, will_retry):
            again = "the next run tries again" if will_retry else "run sync again to retry"
            return logging.ERROR, f"{name} failed: {error}; {again}"
        case Noticed(text):
            return logging.WARNING, text
        case ProjectAbsent(name):
            return logging.WARNING, f"{name} is not on the index"
        case FilesRejected(name, count, entry, reason):
            return logging.WARNING, f"{name}: left out {count} file(s); {entry}: {reason}"
        case SidecarsMissing(name, count, reason):
            return logging.WARNING, f"{name}: {count} file(s) without core metadata; {reason}"
        case Doing(text):
            return logging.INFO, text
        case Planned(projects, removals):
            return logging.INFO, f"{projects} project(s) to look at, {removals} to remove"
        case ProjectSynced(name, serial):
            return logging.INFO, f"synced {name}" + (f" at serial {serial}" if serial else "")
        case ProjectRemoved(name):
            return logging.INFO, f"removed {name}"
        case ProjectPostponed(name, error, seconds):
            return logging.DEBUG, f"{name} is asked for again in {seconds:.0f} s: {error}"
        case ProjectUnchanged(name):
            return logging.DEBUG, f"{name} is unchanged"
        case FileDownloaded(_, key, size):
            return logging.DEBUG, f"downloaded {key} ({size} bytes)"
        case FileRestored(_, key, _):
            return logging.DEBUG, f"restored {key}"
        case FileRemoved(_, key):
            return logging.DEBUG, f"moved {key} to removed/"
        case PageWritten(key):
            return logging.DEBUG, f"wrote {key}"
        case PageRemoved(key):
            return logging.DEBUG, f"took away {key}"
        case _:
            return logging.DEBUG, ""
