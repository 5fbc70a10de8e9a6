"""``kill -9`` at any moment: every page stays valid, and one more run gives the clean tree."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.kills import kill_at_request, reader, start_mirror

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site


def fill(index: Index) -> None:
    """Publish a few projects of different kinds."""
    index.release("Alpha", "1.0", sdist=True)
    index.release("beta", "1.0", size=2_000_000)
    index.release("beta", "2.0")
    for number in range(4):
        index.release(f"gamma{number}", "1.0")


def change(index: Index) -> None:
    """Release, yank and remove files and projects."""
    index.release("Alpha", "2.0", size=1_500_000)
    index.yank("beta", "1.0", "broken")
    index.remove_file("Alpha", "alpha-1.0.tar.gz")
    index.remove_project("gamma0")
    index.quarantine("gamma1")
    index.release("delta", "1.0")


@pytest.mark.parametrize("number", [1, 2, 3, 4, 6, 8, 10, 13, 16, 19])
def test_a_killed_first_run_is_completed_by_the_next(
    index: Index, make_site: Callable[..., Site], number: int
) -> None:
    fill(index)
    clean, killed = make_site(), make_site()
    clean.mirror()

    with reader(killed) as wrong:
        assert kill_at_request(killed, number)
        killed.clock = clean.clock
        ran = killed.mirror()

    assert ran.code == 0, ran.log
    assert wrong == []
    assert killed.tree() == clean.tree()
    assert killed.status == clean.status
    assert killed.todo() == []
    assert killed.leftovers() == []


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7, 8])
def test_a_killed_run_with_changes_is_completed_by_the_next(
    index: Index, make_site: Callable[..., Site], number: int
) -> None:
    fill(index)
    clean, killed = make_site(), make_site()
    clean.mirror()
    killed.mirror()
    change(index)
    clean.mirror()

    with reader(killed) as wrong:
        kill_at_request(killed, number)
        assert killed.status <= index.serial
        ran = killed.mirror()

    assert ran.code == 0, ran.log
    assert wrong == []
    assert killed.tree() == clean.tree()
    assert killed.status == clean.status == index.serial
    assert killed.leftovers() == []


@pytest.mark.parametrize("part", range(8))
def test_a_run_killed_at_any_time_is_completed_by_the_next(
    index: Index, server: IndexServer, make_site: Callable[..., Site], part: int
) -> None:
    """Between requests as well: while it writes, commits, removes and publishes."""
    fill(index)
    clean, killed = make_site(), make_site()
    clean.mirror()
    killed.mirror()
    change(index)
    began = time.monotonic()
    clean.run("mirror")
    whole = time.monotonic() - began
    first_request = threading.Event()
    server.on_request = lambda _: first_request.set()

    with reader(killed) as wrong:
        running = start_mirror(killed)
        first_request.wait(30)
        time.sleep(whole * part / 8)
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()
        ran = killed.mirror()

    assert ran.code == 0, ran.log
    assert wrong == []
    assert killed.tree() == clean.tree()
    assert killed.status == index.serial
    assert killed.leftovers() == []
