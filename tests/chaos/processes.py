"""Commands as processes that something happens to at a request."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.processes import start

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Mapping

    from tests.chaos.case import Case
    from tests.support.server import ReceivedRequest

PATIENCE = 60
"""Seconds after which a process counts as hanging."""


@contextmanager
def started(
    case: Case,
    *command: str,
    at: str,
    do: Callable[[int], None],
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Start a command as a process; at a kind of request call ``do`` with its process ID.

    ``environment`` is added to that of this process.
    """
    done = False

    def on_request(asked: ReceivedRequest) -> None:
        nonlocal done
        if asked.kind == at and not done:
            done = True
            do(process.pid)

    case.server.on_request = on_request
    program = [sys.executable, "-m", "bandersnatch", "-c", str(case.site.config), *command]
    process = start(program, new_session=True, env={**os.environ, **(environment or {})})
    try:
        yield process
    finally:
        case.server.on_request = lambda _: None
        process.kill()
        process.communicate(timeout=PATIENCE)
    assert done, "it never asked for that"


SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
"""The exit status after each signal."""
