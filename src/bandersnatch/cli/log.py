"""Logging: one line to a record, on standard error, with nothing secret and nothing that acts."""

from __future__ import annotations

import logging
import re
import sys
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bandersnatch.errors import ConfigError, Problem, RefusedCommand
from bandersnatch.events import (
    DamageFound,
    DamageLeft,
    DamageRepaired,
    Event,
    FileDownloaded,
    FileRemoved,
    FileRestored,
    FilesFiltered,
    FilesRejected,
    Halted,
    OrphanFound,
    PageRemoved,
    PageWritten,
    Planned,
    ProjectAbsent,
    ProjectBlocked,
    ProjectExcluded,
    ProjectFailed,
    ProjectPostponed,
    ProjectRemoved,
    ProjectRestored,
    ProjectSynced,
    ProjectUnchanged,
    ProjectUnreadable,
    SidecarsMissing,
    StepStarted,
    Warned,
)

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

FORMAT = "%(asctime)s %(levelname)s: %(message)s (%(filename)s:%(lineno)d)"

_CREDENTIALS = re.compile(r"(?<=://)[^/\s]+@")
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def without_credentials(text: str) -> str:
    """Return text with the user names and passwords in its URLs hidden."""
    return _CREDENTIALS.sub("***@", text)


def one_line(text: str) -> str:
    """Return text with nothing in it that is secret, begins a line, or acts on a terminal."""
    return _escaped(without_credentials(text)).replace("\n", "\\n")


def _escaped(text: str) -> str:
    return _CONTROLS.sub(lambda match: ascii(match[0])[1:-1], text)


class SafeFormatter(logging.Formatter):
    """Hides credentials in URLs and shows control characters as escapes."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text; only a traceback takes more than one line."""
        text = super().format(record)
        return _escaped(without_credentials(text)) if record.exc_info else one_line(text)


class SafeMessage(logging.Filter):
    """Does the same to messages themselves, for handlers and formats that an operator chose."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        record.msg, record.args = one_line(record.getMessage()), None
        return True


def set_up(arguments: Namespace) -> logging.Logger:
    """Make the program's logger log to standard error and return it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(SafeFormatter(FORMAT))
    logger = logging.getLogger("bandersnatch")
    logger.handlers = [handler]
    logger.filters = [SafeMessage()]
    logger.propagate = False
    logger.setLevel(level(arguments))
    return logger


def level(arguments: Namespace) -> int:
    """Return the least level that is logged."""
    if arguments.debug:
        return logging.DEBUG
    return logging.ERROR if arguments.quiet else logging.INFO


def replace_by_file(logger: logging.Logger, path: str, arguments: Namespace) -> None:
    """Log as the operator's own ``log-config`` file says (contract, section 2.3).

    Loggers that the file does not name stay alive, so that a file with just a root logger works.
    A level that it gives to this program's logger counts, unless a flag asks for another.

    :raises ConfigError: if the file cannot be used; the log is as it was then.
    """
    import logging.config  # noqa: PLC0415 - it has a server within, and is seldom needed

    before = logger.handlers
    logger.handlers, logger.propagate = [], True
    logger.setLevel(logging.NOTSET)
    try:
        text = Path(path).read_text(encoding="utf-8")
        logging.config.fileConfig(StringIO(text), disable_existing_loggers=False)
    except Exception as error:  # the file names classes and has expressions: anything may come
        logger.handlers, logger.propagate = before, False
        logger.setLevel(level(arguments))
        message = f"{path} is no usable logging configuration ({_reason(error)})"
        problem = Problem("mirror", "log-config", message)
        raise ConfigError(str(arguments.config), [problem]) from error
    if logger.level == logging.NOTSET or arguments.debug or arguments.quiet:
        logger.setLevel(level(arguments))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, KeyError):
        return f"there is no {error}"
    return str(error).partition("\n")[0] or type(error).__name__


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
    if isinstance(event.error, RefusedCommand):
        return str(event.error)
    again = "the next run tries again" if event.will_retry else "run sync again to retry"
    return f"{event.name} failed: {event.error}; {again}"


_TOLD: dict[type, tuple[int, Callable[[Any], str]]] = {
    Halted: (logging.ERROR, lambda e: str(e.error)),
    ProjectFailed: (logging.ERROR, _failure),
    Warned: (logging.WARNING, lambda e: e.text),
    ProjectAbsent: (logging.WARNING, lambda e: f"{e.name} is not on the index"),
    FilesRejected: (
        logging.WARNING,
        lambda e: f"{e.name}: left out {e.count} file(s); {e.entry}: {e.reason}",
    ),
    SidecarsMissing: (
        logging.WARNING,
        lambda e: f"{e.name}: {e.count} file(s) without core metadata; {e.reason}",
    ),
    DamageLeft: (
        logging.ERROR,
        lambda e: f"{e.key}: {e.what}; it could not be repaired: {e.reason}",
    ),
    ProjectUnreadable: (
        logging.ERROR,
        lambda e: f"{e.name} has pages or documents here that cannot be read or are incomplete",
    ),
    DamageFound: (logging.WARNING, lambda e: f"{e.key}: {e.what}"),
    DamageRepaired: (logging.INFO, lambda e: f"repaired {e.key}"),
    OrphanFound: (
        logging.INFO,
        lambda e: f"{'moved to removed/' if e.moved else 'belongs to no project'}: {e.key}",
    ),
    StepStarted: (logging.INFO, lambda e: e.text),
    Planned: (
        logging.INFO,
        lambda e: f"{e.projects} project(s) to look at, {e.removals} to remove",
    ),
    ProjectSynced: (logging.INFO, lambda e: f"synced {e.name} at serial {e.serial}"),
    ProjectRemoved: (logging.INFO, lambda e: f"removed {e.name}"),
    ProjectRestored: (logging.INFO, lambda e: f"restored {e.name}"),
    ProjectBlocked: (logging.INFO, lambda e: f"{e.name} waits: {e.error}"),
    ProjectPostponed: (
        logging.DEBUG,
        lambda e: f"{e.name} is asked for again in {e.seconds:.0f} s: {e.error}",
    ),
    ProjectExcluded: (logging.INFO, lambda e: f"{e.name} is left out by {e.by}"),
    FilesFiltered: (logging.DEBUG, lambda e: f"{e.by} drops {e.count} file(s) of {e.name}"),
    ProjectUnchanged: (logging.DEBUG, lambda e: f"{e.name} is unchanged"),
    FileDownloaded: (logging.DEBUG, lambda e: f"downloaded {e.key} ({e.size} bytes)"),
    FileRestored: (logging.DEBUG, lambda e: f"restored {e.key}"),
    FileRemoved: (logging.DEBUG, lambda e: f"moved {e.key} to removed/"),
    PageWritten: (logging.DEBUG, lambda e: f"wrote {e.key}"),
    PageRemoved: (logging.DEBUG, lambda e: f"took away {e.key}"),
}
"""The level and the words of each kind of event; a run has several for every file."""
