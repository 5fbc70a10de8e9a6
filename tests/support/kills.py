"""Kills a running command, and reads the tree during a run."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.support.processes import start
from tests.support.site import check_tree

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.support.site import Site


def start_mirror(site: Site) -> subprocess.Popen[str]:
    """Start ``bandersnatch mirror`` as a separate process."""
    command = [sys.executable, "-m", "bandersnatch", "-c", str(site.config), "--quiet", "mirror"]
    return start(command, new_session=True)


def kill_at_request(site: Site, number: int) -> bool:
    """Run ``mirror`` and kill it at its n-th request; return whether it got that far."""
    running = start_mirror(site)
    left = number

    def count(_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(running.pid, signal.SIGKILL)

    site.server.on_request = count
    try:
        _, err = running.communicate(timeout=60)
    finally:
        site.server.on_request = lambda _: None
    site.server.settle()
    assert running.returncode in {0, -signal.SIGKILL}, err
    return running.returncode != 0


@contextmanager
def reader(site: Site) -> Iterator[list[str]]:
    """Read the tree repeatedly, as clients do; yield a list of all errors found."""
    wrong: list[str] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                check_tree(site.web)
            except AssertionError as error:
                # A page may have been replaced after it was read, and its file removed then.
                # Only an error that persists counts.
                time.sleep(0.02)
                try:
                    check_tree(site.web)
                except AssertionError:
                    wrong.append(str(error))
                except FileNotFoundError:  # a page was removed in between
                    continue
            except FileNotFoundError:
                continue
            time.sleep(0.005)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield wrong
    finally:
        stop.set()
        thread.join()
