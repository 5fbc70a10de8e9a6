"""A server of PostgreSQL for the benchmark, with its default settings; it flushes each commit."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from serve import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_USER = "postgres"
_START_LIMIT = 60
"""Seconds."""


class Server(NamedTuple):
    """A running server: the URL of its database, its directory, and its first process."""

    url: str
    data: Path
    process: int

    def cpu(self) -> float:
        """Return the processor time of all its processes so far, in seconds.

        Those that ended are counted by the first one, which waited for them.
        """
        children = Path(f"/proc/{self.process}/task/{self.process}/children").read_text().split()
        ticks = sum(_times(self.process)) + sum(sum(_times(int(each))[:2]) for each in children)
        return ticks / os.sysconf("SC_CLK_TCK")


def _times(process: int) -> list[int]:
    """Return the user and system time of a process, and of what it waited for, in ticks."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:  # it has ended just now
        return [0, 0, 0, 0]
    return [int(each) for each in text.rpartition(")")[2].split()[11:15]]


@contextmanager
def database() -> Iterator[Server]:
    """Create a server in a temporary directory, and yield it.

    :raises RuntimeError: if PostgreSQL is not installed, or does not start.
    """
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not programs:
        raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
    # Not below the working directory, which the server's user may not enter.
    home = Path(tempfile.mkdtemp(prefix="bandersnatch-bench-"))
    as_user: list[str] = []
    if os.geteuid() == 0:  # initdb refuses it
        user = pwd.getpwnam(_USER)
        os.chown(home, user.pw_uid, user.pw_gid)
        as_user = ["setpriv", "--reuid", _USER, "--regid", _USER, "--clear-groups"]
    data, port, place = str(home / "data"), free_port(), programs[-1].parent
    initdb = [*as_user, str(place / "initdb"), "-D", data, "-A", "trust", "-U", _USER]
    subprocess.run([*initdb, "--encoding=UTF8", "--locale=C"], check=True, capture_output=True)
    options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={home}"]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [*as_user, str(programs[-1]), "-D", data, "-p", str(port), *options],
            stdout=log,
            stderr=log,
        )
    try:
        _wait(home / f".s.PGSQL.{port}", server)
        url = f"postgresql://{_USER}@/postgres?host={home}&port={port}"
        yield Server(url, Path(data), server.pid)
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(home)


def _wait(socket: Path, server: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + _START_LIMIT
    while not socket.exists():
        if server.poll() is not None or time.monotonic() > limit:
            raise RuntimeError("PostgreSQL did not start")
        time.sleep(0.05)
