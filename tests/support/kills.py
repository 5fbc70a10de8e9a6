"""Commands that are killed, and readers of the tree meanwhile."""

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
    """Start ``bandersnatch mirror`` as a process of its own."""
    command = [sys.executable, "-m", "bandersnatch", "-c", str(site.config), "--quiet", "mirror"]
    return start(command, new_session=True)


def kill_at_request(site: Site, number: int) -> bool:
    """Run ``mirror`` and kill it as its n-th request comes in; say whether it came to that."""
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
    """Read the tree over and over, as clients do, and yield what was ever found wrong with it."""
    wrong: list[str] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                check_tree(site.web)
            except AssertionError as error:
                # The reader may have had a page in its hands that was replaced since, and whose
                # file left the tree after it. Only what is still wrong a moment later is wrong.
                time.sleep(0.02)
                try:
                    check_tree(site.web)
                except AssertionError:
                    wrong.append(str(error))
                except FileNotFoundError:  # a page that went away in between
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
