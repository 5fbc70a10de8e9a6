"""The catalogue in a SQLite file."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self, TypeVar

from bandersnatch.catalogue import queries
from bandersnatch.catalogue.rows import InvalidRow
from bandersnatch.catalogue.sql_catalogue import SqlCatalogue
from bandersnatch.catalogue.sqlite_file import (
    ASIDE,
    DECODING_ERROR,
    FILE_NAME,
    Opened,
    SqliteFile,
)
from bandersnatch.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    _Result = TypeVar("_Result")

BUSY_TIMEOUT = 60.0
"""Seconds to wait for other processes: a query over a whole large catalogue takes some."""

_CORRUPTION_ERRORS = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
"""Prefixes of the names of the errors that report a damaged file."""
_LONGEST_ERROR = 200
"""Characters of the message of an error, which may have the text that it is about."""


class SqliteCatalogue(SqlCatalogue):
    """A catalogue in one file of the mirror's directory; as a context it opens and closes it.

    A file that is damaged, or of another program, is renamed and replaced by a new one that has
    the rows which are not damaged: everything else can be rebuilt from the tree. A file of an older
    version is converted. Damage of the file that is only found later is an error, and the file is
    replaced when it is closed; damaged rows are dropped. With ``read_only`` nothing is renamed or
    written, and an unusable file counts as an empty one. ``busy_timeout`` is how long another
    process may delay a commit or a query, in seconds.
    """

    def __init__(
        self, directory: str, *, read_only: bool = False, busy_timeout: float = BUSY_TIMEOUT
    ) -> None:
        super().__init__(drops=not read_only)
        self._file = SqliteFile(directory, busy_timeout, read_only=read_only)
        self._read_only = read_only
        self._is_damaged = False

    async def __aenter__(self) -> Self:
        """Open the file; create it if there is none.

        :raises StorageError: if that fails.
        :raises CorruptState: if a newer release made it.
        """
        try:
            await self._run(self._open)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the file."""
        try:
            await self._threads.run(self._end)
        finally:
            self._threads.close()

    @property
    def _db(self) -> SqliteFile:
        return self._file

    def guarded(self, call: Callable[[], _Result]) -> _Result:
        """Return the result of a call; see ``SqlCatalogue``."""
        with self._mapped_errors():
            try:
                result = call()
            except sqlite3.OperationalError as error:
                if not (self._drops and str(error).startswith(DECODING_ERROR)):
                    raise
                self._drop_unreadable()
                result = call()
            self._drop_damaged()
            return result

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except InvalidRow as error:
            raise StorageError(FILE_NAME, str(error)) from error
        except (sqlite3.Error, UnicodeDecodeError) as error:  # a message quotes the file
            why = str(error)[:_LONGEST_ERROR]
            is_known = getattr(error, "sqlite_errorname", "").startswith(_CORRUPTION_ERRORS)
            if is_known or isinstance(error, UnicodeDecodeError) or why.startswith(DECODING_ERROR):
                self._is_damaged = True
                why += "; it is put aside, and the next run makes a new one"
            raise StorageError(FILE_NAME, why) from error

    def _open(self) -> None:
        if self._file.open() is Opened.PUT_ASIDE:
            self._damage.note_whole(ASIDE)
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # locked, full, not permitted: the file itself may be undamaged
            self._replace()
            self._prepare()

    def _prepare(self) -> None:
        """Check the rows that say how far the others are to be trusted, and the tally."""
        if self._read_only:
            return
        self._check_trust()
        if self._tally() is None:
            self._db.execute("DELETE FROM tally")
            count = super()._count()
            self._db.execute("INSERT INTO tally VALUES (?, ?)", (count, -count))

    def _check_trust(self) -> None:
        with self._file.reading_invalid_text():
            queries.check_small_rows(self._db, queries.TRUST, self._damage)
        self._drop_damaged()

    def _replace(self) -> None:
        if self._file.replace(None) is Opened.PUT_ASIDE:
            self._damage.note_whole(ASIDE)

    def _end(self) -> None:
        """Close the file; replace it if it turned out to be damaged."""
        if (self._is_damaged or self._damage.is_stuck) and not self._read_only:
            with suppress(sqlite3.Error):
                self._replace()
        self._file.close()

    def _drop_unreadable(self) -> None:
        """Drop every damaged row, so that no text is left that is not UTF-8."""
        with self._file.reading_invalid_text():
            after = ""
            while after := queries.check_projects(self._db, after, self._damage):
                self._drop_damaged()
            self._drop_damaged()
            queries.check_small_rows(self._db, queries.SMALL_ROWS, self._damage)
            self._drop_damaged()

    def _count(self) -> int:
        found = self._tally()
        return super()._count() if found is None else found

    def _tally(self) -> int | None:
        """Return the number of projects that is kept, None if it is damaged."""
        rows = self._db.execute("SELECT projects, inverse FROM tally")
        if len(rows) != 1 or not all(isinstance(number, int) for number in rows[0]):
            return None
        projects, inverse = rows[0]
        return int(projects) if projects >= 0 and projects == -inverse else None
