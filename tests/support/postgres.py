"""A server of PostgreSQL on the loopback interface and a socket, from Debian's packages.

It does not flush to the disk. It needs ``apt-get install --no-install-recommends postgresql``.
Without it tests that use it are skipped, or fail if the environment has ``REQUIRE_SERVICES=1``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bandersnatch.config.catalogue import CatalogueSettings, read_catalogue
from tests.support.programs import missing
from tests.support.sockets import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

PACKAGE = "postgresql"
DATABASE = "mirrors"
USER, PASSWORD = "mirror", "secret-of-the-mirror"
"""A user who may do what the manual asks for, by TCP and with a password."""

_ADMINISTRATOR = "postgres"
_START_LIMIT = 60
"""Seconds."""

_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "127.0.0.1",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "log_min_messages": "fatal",
    "lc_messages": "C",
    "autovacuum": "off",
}
_UNTIL_END_OF_INPUT = '"$@" & read -r _; kill -QUIT $!; wait $!'
"""A script that ends a server with its own input: also if the tests are killed."""

_ACCESS = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


def _programs() -> Path | None:
    """Return the directory of the programs of a server; None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    path = shutil.which("initdb")
    return None if path is None else Path(path).parent


def require_postgres() -> Path:
    """Return the directory of the programs; skip the test without them, or let it fail."""
    return _programs() or missing(f"PostgreSQL is not installed: apt-get install {PACKAGE}")


class Postgres:
    """A server with one database; a context. ``port`` is that of TCP and of the socket."""

    def __init__(self, home: Path, programs: Path) -> None:
        self.home = home
        self._programs = programs
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Create it, start it, and wait until it answers."""
        if os.geteuid() == 0:  # initdb refuses it
            user = pwd.getpwnam(_ADMINISTRATOR)
            os.chown(self.home, user.pw_uid, user.pw_gid)
        arguments = ["--auth=trust", f"--username={_ADMINISTRATOR}", "--encoding=UTF8"]
        data = str(self.home / "data")
        subprocess.run(
            self._command("initdb", "-D", data, *arguments, "--locale=C", "--no-sync"),
            check=True,
            capture_output=True,
            timeout=_START_LIMIT,
        )
        (self.home / "data" / "pg_hba.conf").write_text(_ACCESS)
        try:
            self.start()
            self._create()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Stop it; it has nothing to save."""
        self.stop()

    def _command(self, program: str, *arguments: str) -> list[str]:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() != 0:
            return command
        user = ["--reuid", _ADMINISTRATOR, "--regid", _ADMINISTRATOR, "--clear-groups"]
        return ["setpriv", *user, *command]

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {**_SETTINGS, "port": self.port, "unix_socket_directories": self.home}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.home / "log").open("ab") as log:
            command = self._command("postgres", "-D", str(self.home / "data"), *options)
            self._process = subprocess.Popen(
                ["sh", "-c", _UNTIL_END_OF_INPUT, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        limit = time.monotonic() + _START_LIMIT
        while not self._answers():
            if time.monotonic() > limit:
                text = (self.home / "log").read_text(errors="replace")
                raise RuntimeError(f"PostgreSQL did not start: {text[-2000:]}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        import psycopg  # noqa: PLC0415 - not for the tests that need no database

        try:
            self.connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it, by default at once, as ``pg_ctl -m immediate`` does."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(OSError, ValueError):  # it has not come so far
            lines = (self.home / "data" / "postmaster.pid").read_text().splitlines()
            os.kill(int(lines[0]), how)
        process.communicate(timeout=_START_LIMIT)

    def restart(self) -> None:
        """Stop it at once, and start it again: it has to recover."""
        self.stop()
        self.start()

    def _create(self) -> None:
        with self.connect("postgres") as administrator:
            administrator.execute(f"CREATE DATABASE {DATABASE}".encode())
            role = f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'"
            administrator.execute(role.encode())
            grant = f"GRANT CREATE, TEMPORARY ON DATABASE {DATABASE} TO {USER}"
            administrator.execute(grant.encode())

    # ------------------------------------------------------------ connections

    def connect(self, database: str = DATABASE) -> Connection:
        """Return a connection of the administrator."""
        import psycopg  # noqa: PLC0415 - as above

        return psycopg.connect(
            host=str(self.home),
            port=self.port,
            user=_ADMINISTRATOR,
            dbname=database,
            autocommit=True,
        )

    def url(self, schema: str = "") -> str:
        """Return the URL of a schema, by the socket; a new one unless it is given."""
        schema = schema or f"t_{uuid.uuid4().hex}"
        return f"postgresql://{USER}@/{DATABASE}?host={self.home}&port={self.port}&schema={schema}"

    def settings(self, schema: str = "") -> CatalogueSettings:
        """Return the settings of a schema; of a new one unless it is given."""
        settings = read_catalogue(self.url(schema))
        assert settings is not None
        return settings

    def sessions(self) -> list[int]:
        """Return the numbers of the server's processes that work for the program."""
        query = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'bandersnatch%'"
        with self.connect() as administrator:
            return [row[0] for row in administrator.execute(query)]

    def end_sessions(self) -> int:
        """Cut the connections of the program, and return how many there were."""
        query = """
            SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE application_name LIKE 'bandersnatch%'
        """
        with self.connect() as administrator:
            row = administrator.execute(query).fetchone()
        assert row is not None
        return int(row[0])


class SharedPostgres:
    """A server that is started when it is needed first, and shared by the tests of a process."""

    def __init__(self) -> None:
        self._home: Path | None = None
        self._running: Postgres | None = None

    def get(self) -> Postgres:
        """Return it; skip the test if it is not installed."""
        programs = require_postgres()
        if self._running is None:
            memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
            self._home = Path(tempfile.mkdtemp(prefix="postgres", dir=memory))
            self._running = Postgres(self._home, programs).__enter__()
        return self._running

    def stop(self) -> None:
        """End it, and delete its files."""
        if self._running is not None:
            self._running.__exit__()
        if self._home is not None:
            shutil.rmtree(self._home)


def shared_postgres() -> Iterator[SharedPostgres]:
    """Yield what starts a server, and stop it at the end."""
    shared = SharedPostgres()
    try:
        yield shared
    finally:
        shared.stop()
