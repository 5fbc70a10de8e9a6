"""The catalogue in a schema of a database in PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

import psycopg

from bandersnatch.catalogue import queries
from bandersnatch.catalogue.postgres.failures import connection_error, statement_error
from bandersnatch.catalogue.postgres.session import Access, PostgresSession
from bandersnatch.catalogue.postgres.shadows import ShadowedSession
from bandersnatch.catalogue.rows import InvalidRow
from bandersnatch.catalogue.schema import TABLES
from bandersnatch.catalogue.sql_catalogue import SqlCatalogue
from bandersnatch.errors import LostLock, StorageError
from bandersnatch.events import Warned

if TYPE_CHECKING:
    from collections.abc import Callable

    from bandersnatch.catalogue.row_copy import CopiedRows
    from bandersnatch.config.catalogue import CatalogueSettings
    from bandersnatch.events import EventSink

    _Result = TypeVar("_Result")

_WRITING = Access(is_writing=True)
_HANGS_AFTER = 10.0
"""Seconds that an interrupted command waits for a statement; then it closes the connection."""

_MOST_ATTEMPTS = 20
"""Of one operation, which may be what the server fails at."""

_RESTORED = "the connection to {shown} was lost, and made again after {seconds:.1f} s"


class PostgresCatalogue(SqlCatalogue):
    """A catalogue in a schema; as a context it connects, and holds the lock of the mirror.

    A session that reads takes no lock and changes nothing. What a lost connection interrupted is
    done again on a new one; ``events`` receives a warning. If another command has held the lock
    since, every method raises ``LostLock``.
    """

    is_shared: ClassVar[bool] = True

    def __init__(
        self,
        settings: CatalogueSettings,
        access: Access = _WRITING,
        events: EventSink | None = None,
        *,
        session: PostgresSession | None = None,
    ) -> None:
        super().__init__(drops=access.is_writing)
        self._settings = settings
        self._session = session or PostgresSession(settings, access)
        self._events = events
        self._lost: LostLock | None = None
        self._waits: list[float] = []

    async def __aenter__(self) -> Self:
        """Connect, and create the schema or bring it to this version.

        :raises LockConflict: if another command holds the lock.
        :raises CorruptState: if a newer release made the catalogue.
        :raises StorageError: if the database cannot be used.
        """
        try:
            await self._run(self._session.open)
            if self._drops:
                await self._run(self._check_trust)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connection, and with it release the lock."""
        try:
            await self._threads.run(self._session.close)
        finally:
            self._threads.close()

    @property
    def is_empty(self) -> bool:
        """Whether there is no schema to read."""
        return self._session.is_empty

    @property
    def _db(self) -> PostgresSession:
        return self._session

    async def _run(self, call: Callable[[], _Result]) -> _Result:
        if self._lost is not None:
            raise self._lost
        self._session.allow()
        timers: list[asyncio.TimerHandle] = []

        def cancel() -> None:
            self._session.interrupt()
            loop = asyncio.get_running_loop()
            timers.append(loop.call_later(_HANGS_AFTER, self._session.sever))

        try:
            return await self._threads.run(lambda: self.guarded(call), cancel=cancel)
        except LostLock as error:
            self._lost = error
            raise
        finally:
            for each in timers:
                each.cancel()
            self._report()

    def guarded(self, call: Callable[[], _Result]) -> _Result:
        """Return the result of a call, which is made again if the connection is lost in it."""
        lost: psycopg.Error | None = None
        for _ in range(_MOST_ATTEMPTS):
            try:
                if lost is not None:
                    self._waits.append(self._session.restore(lost))
                result = call()
                self._drop_damaged()
            except InvalidRow as error:
                raise StorageError(self._settings.shown, str(error)) from error
            except psycopg.Error as error:
                if not self._session.is_lost(error):
                    raise statement_error(self._settings, error) from error
                lost = error
            else:
                return result
        assert lost is not None, "the last attempt failed"
        what = f"the connection was lost {_MOST_ATTEMPTS} times in one operation"
        raise connection_error(self._settings, lost, what)

    def _count(self) -> int:
        if not (self._session.is_empty or self._session.is_shadowed):
            rows = self._db.execute("SELECT projects FROM tally")
            if len(rows) == 1 and rows[0][0] >= 0:
                return int(rows[0][0])
        return super()._count()

    async def copy_from(self, source: SqlCatalogue) -> CopiedRows:
        """Copy everything of another catalogue, and let the server know what is there now."""
        copied = await super().copy_from(source)
        await self._run(lambda: self._db.execute(f"VACUUM (ANALYZE) {', '.join(TABLES)}"))
        return copied

    def _report(self) -> None:
        while self._waits:
            seconds = self._waits.pop(0)
            if self._events is not None:
                text = _RESTORED.format(shown=self._settings.shown, seconds=seconds)
                self._events(Warned(text))

    def _check_trust(self) -> None:
        queries.check_small_rows(self._db, queries.TRUST, self._damage)


class PostgresDryRun(PostgresCatalogue):
    """A catalogue whose changes are kept in temporary tables, and lost when it is closed."""

    def __init__(self, settings: CatalogueSettings, events: EventSink | None = None) -> None:
        session = ShadowedSession(settings)
        super().__init__(settings, Access(is_writing=False), events, session=session)
        self._drops = True
