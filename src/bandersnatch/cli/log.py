"""The log: one line per record on standard error, without credentials or control characters."""

from __future__ import annotations

import logging
import sys
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from bandersnatch.cli.text import one_line, printable
from bandersnatch.errors import BandersnatchError, ConfigError, Problem, UnexpectedError
from bandersnatch.events import ProjectFailed

if TYPE_CHECKING:
    from argparse import Namespace

    from bandersnatch.events import Event

FORMAT = "%(asctime)s %(levelname)s: %(message)s (%(filename)s:%(lineno)d)"


class SafeFormatter(logging.Formatter):
    """Formats records safely: only a traceback has more than one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text."""
        text = super().format(record)
        return printable(text) if record.exc_info else one_line(text)


class SafeMessage(logging.Filter):
    """Makes messages safe for the handlers and formats of a ``log-config`` file."""

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
    """Return the lowest level that is logged."""
    if arguments.debug:
        return logging.DEBUG
    return logging.ERROR if arguments.quiet else logging.INFO


def use_file(logger: logging.Logger, path: str, arguments: Namespace) -> None:
    """Configure logging by the operator's ``log-config`` file.

    Loggers that the file does not name stay enabled, so that a file with only a root logger works.
    A level that the file sets for this program's logger counts, unless a flag asks for another.

    :raises ConfigError: if the file cannot be used; the log is as it was before.
    """
    import logging.config  # noqa: PLC0415 - imports a socket server, and is rarely needed

    before = logger.handlers
    logger.handlers, logger.propagate = [], True
    logger.setLevel(logging.NOTSET)
    try:
        text = Path(path).read_text(encoding="utf-8")
        logging.config.fileConfig(StringIO(text), disable_existing_loggers=False)
    except Exception as error:  # the file names classes and expressions, which raise anything
        logger.handlers, logger.propagate = before, False
        logger.setLevel(level(arguments))
        message = f"{path} cannot be used as a logging configuration ({_reason(error)})"
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


def log_error(logger: logging.Logger, error: BandersnatchError) -> None:
    """Log each sentence of an error as a record, without a traceback."""
    for line in str(error).split("\n"):
        logger.error("%s", line, stacklevel=2)


_EMITTER = 3
"""Frames from the log call to where the event was emitted: the sink and the caller of all sinks."""


class EventLog:
    """The sink that logs each event as one record; those of the types ``only``, if given."""

    def __init__(self, logger: logging.Logger, only: tuple[type[Event], ...] = ()) -> None:
        self._logger = logger
        self._only = only

    def __call__(self, event: Event) -> None:
        """Log an event."""
        if self._only and not isinstance(event, self._only):
            return
        if self._logger.isEnabledFor(event.level):
            self._logger.log(event.level, "%s", event, stacklevel=_EMITTER)
        if isinstance(event, ProjectFailed) and isinstance(event.error, UnexpectedError):
            for line in event.error.traceback.splitlines():
                self._logger.debug("%s", line, stacklevel=_EMITTER)
