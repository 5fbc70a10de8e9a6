"""Command lines that run in this process."""

from __future__ import annotations

import logging
import os
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING, NamedTuple

from bandersnatch.cli.main import main

if TYPE_CHECKING:
    from bandersnatch.clock import Clock


class Result(NamedTuple):
    """The exit code of a command, its output and its log."""

    code: int
    out: str
    log: str


def run_command(*argv: object, clock: Clock | None = None) -> Result:
    """Run a command line and return its result."""
    out, err = StringIO(), StringIO()
    umask = os.umask(0o022)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = main([str(each) for each in argv], clock=clock)
    finally:
        os.umask(umask)
        logging.getLogger("bandersnatch").handlers.clear()
    return Result(code, out.getvalue(), err.getvalue())
