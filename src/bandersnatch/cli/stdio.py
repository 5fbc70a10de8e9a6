"""Standard output and error, which may be closed, full, or gone with whoever read them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO


def open_closed() -> None:
    """Let what the caller closed lead to nowhere.

    Otherwise the next file that is opened takes its number, and uvloop aborts the program.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def say(text: str) -> str:
    """Print text for people; return why that could not be done, "" if it could."""
    if sys.stdout is None:
        return ""
    try:
        print(text, flush=True)
    except UnicodeEncodeError:
        return say(text.encode("ascii", "backslashreplace").decode("ascii"))
    except BrokenPipeError:
        _give_up(sys.stdout)
        return ""
    except OSError as error:
        _give_up(sys.stdout)
        return error.strerror or str(error)
    return ""


def is_terminal() -> bool:
    """Whether somebody looks at standard error."""
    return sys.stderr is not None and sys.stderr.isatty()


def settle() -> None:
    """Write what is still held back, so that leaving the program cannot fail on it.

    It would end with a status of Python's own, whatever the run came to.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            _give_up(stream)


def _give_up(stream: TextIO) -> None:
    """Lead a stream to nowhere, so that leaving the program does not fail on it again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
