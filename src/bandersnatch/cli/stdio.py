"""Standard output and error, which may be closed, full, or a pipe without a reader."""

from __future__ import annotations

import os
import sys
from typing import TextIO


def open_closed() -> None:
    """Open the null device in place of each standard stream that the caller closed.

    Otherwise the next file that is opened gets its descriptor, and uvloop aborts the program.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor


def take_pipes() -> tuple[int, int]:
    """Return the descriptors of standard input and output, whose places others take.

    What plugins read then is empty, and what they print goes to standard error.
    """
    pipes = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    return pipes


def print_text(text: str) -> str:
    """Print text; return the reason if that fails, "" if it does not.

    A pipe whose reader has gone is no failure.
    """
    if sys.stdout is None:
        return ""
    try:
        print(text, flush=True)
    except UnicodeEncodeError:
        return print_text(text.encode("ascii", "backslashreplace").decode("ascii"))
    except BrokenPipeError:
        _discard(sys.stdout)
        return ""
    except OSError as error:
        _discard(sys.stdout)
        return error.strerror or str(error)
    return ""


def is_terminal() -> bool:
    """Whether standard error is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def flush() -> None:
    """Write what the streams have buffered, and discard what cannot be written.

    Otherwise Python would try it at exit, fail, and replace the exit code by its own.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            _discard(stream)


def _discard(stream: TextIO) -> None:
    """Redirect a stream to the null device, so that the flush at exit does not fail again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
