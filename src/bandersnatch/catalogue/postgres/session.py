"""A connection to the database of a catalogue that is made again when it is lost."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bandersnatch.catalogue.postgres.database import PostgresDatabase
from bandersnatch.catalogue.postgres.failures import (
    connection_error,
    is_lost,
    is_passing,
    statement_error,
)
from bandersnatch.catalogue.postgres.lock import AdvisoryLock, session_name
from bandersnatch.catalogue.postgres.migrations import (
    MIGRATIONS,
    migrate,
    require_known,
    version_of,
)
from bandersnatch.errors import CorruptState, LockConflict, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bandersnatch.config.catalogue import CatalogueSettings

CONNECT_TIMEOUT = 10
"""Seconds for one attempt to connect."""

PATIENCE = 60.0
"""Seconds within which a lost connection has to be made again."""

_DELAYS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds before each attempt; the last is that before all others, too."""

_MOMENT = 0.5
"""Seconds before another attempt to open."""

_OLDEST_SERVER = 120_000

_KEEPALIVE = {
    "keepalives_idle": "20",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""Parameters of libpq: a peer that has vanished is noticed within a minute."""

_SETTINGS = (
    "SET client_encoding = 'UTF8'",
    "SET idle_in_transaction_session_timeout = 0",
    "SET statement_timeout = 0",
    "SET lock_timeout = '60s'",  # of a table that another session has locked
    # A commit must survive a power failure, whatever the default of the server is.
    (
        "SELECT set_config('synchronous_commit', 'on', false) "
        "WHERE current_setting('synchronous_commit') = 'off'"
    ),
)
_READ_ONLY = "SET default_transaction_read_only = {}"
_HAS_SCHEMA = "SELECT 1 FROM pg_namespace WHERE nspname = ?"


class Access(NamedTuple):
    """How a catalogue is opened: to change it, which takes the lock, or to read it.

    ``patience`` are the seconds within which a lost connection has to be made again.
    """

    is_writing: bool
    patience: float = PATIENCE
    connect_timeout: int = CONNECT_TIMEOUT


_BRIEFLY = Access(is_writing=False, patience=0.0, connect_timeout=5)


class PostgresSession(PostgresDatabase):
    """A session in the schema of one mirror; everything blocks.

    A session that writes holds the lock of the mirror, creates the schema, and brings it to the
    version of this release. ``is_empty`` says that one that reads found no schema,
    ``is_shadowed`` that its changes are in temporary tables.
    """

    def __init__(self, settings: CatalogueSettings, access: Access) -> None:
        self._settings = settings
        self._access = access
        self._patience = access.patience
        self._lock = AdvisoryLock(settings)
        self._stop = threading.Event()
        self._is_established = False
        self._is_open = False
        self._waited = 0.0
        self.is_empty = False
        self.is_shadowed = False

    # ------------------------------------------------------------ opening

    def open(self) -> None:
        """Connect, and prepare the schema.

        :raises LockConflict: if another command has the lock.
        :raises CorruptState: if a newer release made the catalogue.
        :raises StorageError: if there is no connection, or no usable database. A server that is
            starting, or ends the connection at once, is asked again.
        :raises psycopg.Error: if a statement fails.
        """
        logging.getLogger("psycopg").setLevel(logging.ERROR)  # it warns of lost connections, too
        until = time.monotonic() + self._patience
        was_lost = False
        while not self._is_open:
            try:
                self._open_once()
            except LockConflict:
                # The session that was lost a moment ago may still have the lock.
                if not was_lost or self._is_over(until):
                    raise
            except psycopg.Error as error:
                was_lost = was_lost or self._is_established
                if not is_passing(error) or self._is_over(until):
                    if self._is_established:
                        raise
                    raise connection_error(self._settings, error) from error

    def _is_over(self, until: float) -> bool:
        """Wait a moment, and return whether to give up."""
        return time.monotonic() > until or self._stop.wait(_MOMENT)

    def _open_once(self) -> None:
        self._is_established = False
        self._connect()
        self._is_established = True
        self._check_server()
        if self._access.is_writing:
            self._open_for_writing()
        else:
            self._open_for_reading()
        self._is_open = True

    def _connect(self) -> None:
        self.close()
        defaults = {
            "application_name": session_name(),
            "connect_timeout": str(self._access.connect_timeout),
            **_KEEPALIVE,
        }
        parameters = {**defaults, **conninfo_to_dict(self._settings.url)}
        self.connection = psycopg.connect(make_conninfo("", **parameters), autocommit=True)
        for statement in _SETTINGS:
            self.execute(statement)
        # Roles and databases may have a default of their own.
        self.execute(_READ_ONLY.format("off" if self._access.is_writing else "on"))

    def _check_server(self) -> None:
        info = self.connection.info
        if info.server_version < _OLDEST_SERVER:
            version = info.server_version // 10_000
            raise StorageError(self._settings.shown, f"it has PostgreSQL {version}; 12 is needed")
        encoding = info.parameter_status("server_encoding")
        if encoding != "UTF8":
            why = f"the database has the encoding {encoding}; create one with --encoding=UTF8"
            raise StorageError(self._settings.shown, why)

    def _open_for_writing(self) -> None:
        schema = self._settings.schema
        self._lock.take(self)
        if not self.execute(_HAS_SCHEMA, (schema,)):
            self.execute(f'CREATE SCHEMA "{schema}"')
        self._use_schema()
        migrate(self, self._settings.shown, version_of(self, schema))
        self._lock.begin(self)

    def _open_for_reading(self) -> None:
        version = version_of(self, self._settings.schema)
        newest = max(MIGRATIONS)
        require_known(self._settings.shown, version, newest)
        self.is_empty = version == 0
        if 0 < version < newest:
            why = f"its version is {version}; bandersnatch mirror brings it to {newest}"
            raise StorageError(self._settings.shown, why)
        self._use_schema()

    def _use_schema(self) -> None:
        self.execute(f'SET search_path = "{self._settings.schema}"')

    def close(self) -> None:
        """Close the connection, and with it release the lock."""
        with suppress(psycopg.Error, AttributeError):
            self.connection.close()

    # ------------------------------------------------------------ a lost connection

    def allow(self) -> None:
        """Permit waiting, after ``interrupt``."""
        self._stop.clear()

    def interrupt(self) -> None:
        """End waiting for a new connection; thread-safe."""
        self._stop.set()

    def sever(self) -> None:
        """Close the connection under a statement that does not end; thread-safe."""
        with suppress(OSError, psycopg.Error):
            descriptor = os.dup(self.connection.fileno())
            with socket.socket(fileno=descriptor) as peer:
                peer.shutdown(socket.SHUT_RDWR)

    def is_lost(self, error: psycopg.Error) -> bool:
        """Whether an error means that the connection has to be made again."""
        return self._is_open and is_lost(self.connection, error)

    def restore(self, lost: psycopg.Error) -> float:
        """Make the connection again, and return the seconds that it took.

        :raises LostLock: if the lock was taken since.
        :raises StorageError: if that does not succeed in time, or was interrupted; later calls try
            only once.
        :raises psycopg.Error: if a statement fails on the new connection.
        """
        began = time.monotonic()
        error = lost
        for delay in _delays():
            if self._stop.wait(delay):
                self._patience = 0.0
                raise connection_error(self._settings, error, "the connection was lost")
            try:
                if self._restore_once():
                    return time.monotonic() - began
            except psycopg.OperationalError as again:
                error = again
            waited = time.monotonic() - began
            if waited >= self._patience:
                self._patience, self._waited = 0.0, max(waited, self._waited)
                what = f"the connection was lost, and not made again within {self._waited:.0f} s"
                raise connection_error(self._settings, error, what)
        raise AssertionError("there is always another delay")

    def _restore_once(self) -> bool:
        self._connect()
        self._use_schema()
        return not self._access.is_writing or self._lock.take_again(self)

    # ------------------------------------------------------------ transactions

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Begin a transaction; one of the session that holds the lock is counted."""
        number: int | None = None
        with self.connection.transaction():
            yield
            if self._access.is_writing:
                number = self._lock.count_commit(self)
        if number is not None:
            self._lock.committed(number)


def is_locked(settings: CatalogueSettings) -> bool:
    """Whether a command holds the lock of the mirror; False if that cannot be found out."""
    session = PostgresSession(settings, _BRIEFLY)
    try:
        session.open()
        return AdvisoryLock(settings).holder(session) is not None
    except (psycopg.Error, StorageError, CorruptState):
        return False
    finally:
        session.close()


def connection_problem(settings: CatalogueSettings) -> StorageError | CorruptState | None:
    """Return why a catalogue cannot be read, None if it can, or if there is none yet."""
    session = PostgresSession(settings, _BRIEFLY)
    try:
        session.open()
    except psycopg.Error as error:
        return statement_error(settings, error)
    except (StorageError, CorruptState) as error:
        return error
    finally:
        session.close()
    return None


def _delays() -> Iterator[float]:
    yield from _DELAYS
    while True:
        yield _DELAYS[-1]
