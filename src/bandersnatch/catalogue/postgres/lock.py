"""The lock of a mirror in PostgreSQL: an advisory lock, which ends with its connection.

The row of ``holder`` has two counters. ``epoch`` is raised by each command that takes the lock, and
``commits`` by each of its commits. A command that has lost its connection and takes the lock again
compares both: no other command may have had the lock since, and the server must have every commit.
"""

from __future__ import annotations

import hashlib
import os
import socket
from typing import TYPE_CHECKING, NamedTuple

from bandersnatch.errors import LockConflict, LostLock

if TYPE_CHECKING:
    from bandersnatch.catalogue.database import Database
    from bandersnatch.config.catalogue import CatalogueSettings

_LONGEST_NAME = 63
"""Characters that PostgreSQL keeps of the name of an application."""

_TRY = "SELECT pg_try_advisory_lock(?)"
_LOCKS = """
    FROM pg_locks AS lock LEFT JOIN pg_stat_activity AS session ON session.pid = lock.pid
    WHERE lock.locktype = 'advisory' AND lock.granted AND lock.objsubid = 1
    AND lock.classid = ?::bigint::oid AND lock.objid = ?::bigint::oid
    AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_SELECT_HOLDER = f"SELECT session.application_name, lock.pid {_LOCKS}"
_BEGIN = "UPDATE holder SET epoch = epoch + 1, name = ? RETURNING epoch, commits"
_COUNT = "UPDATE holder SET commits = commits + 1 RETURNING commits"
_SELECT_COUNTERS = "SELECT epoch, commits FROM holder"
_SELECT_SESSION = """
    SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()
"""
_END_SESSION = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE pid = ? AND backend_start::text = ?
"""


def session_name() -> str:
    """Return what other commands, and the administrator, see of this process."""
    return f"bandersnatch on {socket.gethostname()}, process {os.getpid()}"[:_LONGEST_NAME]


class _Counters(NamedTuple):
    epoch: int
    commits: int


class AdvisoryLock:
    """The lock of the mirror whose catalogue is in the schema of ``settings``."""

    def __init__(self, settings: CatalogueSettings) -> None:
        self._shown = f"the lock of {settings.shown}, schema {settings.schema},"
        self._key_error = settings.shown
        digest = hashlib.sha256(f"bandersnatch {settings.schema}".encode()).digest()
        self._high, self._low = (int.from_bytes(digest[at : at + 4]) for at in (0, 4))
        self._key = int.from_bytes(digest[:8], signed=True)
        self._counters: _Counters | None = None
        self._session: tuple[int, str] | None = None

    def take(self, db: Database) -> None:
        """Take the lock for the session.

        :raises LockConflict: if another session has it.
        """
        if not self._try(db):
            raise LockConflict(self._shown, self.holder(db) or "another session")

    def begin(self, db: Database) -> None:
        """Raise the epoch, once the schema is there."""
        self._counters = _Counters(*db.execute(_BEGIN, (session_name(),))[0])
        self._session = self._session_of(db)

    def take_again(self, db: Database) -> bool:
        """Take the lock after a new connection was made; False if the lost one still has it.

        :raises LostLock: if another command has or had it, or if commits are missing.
        """
        assert self._counters is not None, "the lock was held"
        if not self._try(db):
            if self._session is not None and db.execute(_END_SESSION, self._session):
                return False  # it ends in a moment
            holder = self.holder(db)
            if holder is None:
                return False  # it has just ended
            raise LostLock(self._key_error, f"{holder} holds it now")
        found = _Counters(*db.execute(_SELECT_COUNTERS)[0])
        if found.epoch != self._counters.epoch:
            raise LostLock(self._key_error, "another command has held it since")
        if found.commits not in {self._counters.commits, self._counters.commits + 1}:
            why = "the server has not all that was committed, as after a restore or a fail-over"
            raise LostLock(self._key_error, f"{why}; run bandersnatch verify")
        self._counters = found
        self._session = self._session_of(db)
        return True

    def count_commit(self, db: Database) -> int:
        """Count a commit within its transaction; ``committed`` takes the result after its end."""
        ((number,),) = db.execute(_COUNT)
        return int(number)

    def committed(self, number: int) -> None:
        """Remember the number of the last commit."""
        if self._counters is not None:
            self._counters = self._counters._replace(commits=number)

    def holder(self, db: Database) -> str | None:
        """Return which session holds the lock, None if none does."""
        rows = db.execute(_SELECT_HOLDER, (self._high, self._low))
        for name, pid in rows:
            return str(name) if name else f"process {pid} of the server"
        return None

    def _try(self, db: Database) -> bool:
        return bool(db.execute(_TRY, (self._key,))[0][0])

    def _session_of(self, db: Database) -> tuple[int, str]:
        ((pid, start),) = db.execute(_SELECT_SESSION)
        return int(pid), str(start)
