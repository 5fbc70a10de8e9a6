"""The file of a catalogue in SQLite: opening, converting and replacing it. Everything blocks."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing, contextmanager, suppress
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from bandersnatch.catalogue.database import Database
from bandersnatch.catalogue.salvage import copy_rows
from bandersnatch.catalogue.schema import (
    APPLICATION,
    OBJECTS,
    OLDEST,
    SCHEMA,
    SELECT_OBJECTS,
    TABLES,
    VERSION,
    columns_of,
)
from bandersnatch.errors import CorruptState, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bandersnatch.catalogue.rows import Row

FILE_NAME = "catalogue.sqlite"
ASIDE = f"{FILE_NAME}.unusable"
"""The name of a file that was put aside."""

_SUFFIXES = ("", "-journal", "-wal", "-shm")
"""Of the names of the files that SQLite opens."""

DECODING_ERROR = "Could not decode"
"""Begins the message of the error for text that is not UTF-8."""

_HOT_JOURNAL = "SQLITE_READONLY_ROLLBACK"
"""The error for an interrupted commit that cannot be rolled back because the file is read-only."""


def exists(directory: str) -> bool:
    """Whether there is a file of a catalogue in a mirror's directory."""
    return os.path.exists(f"{directory}/{FILE_NAME}")


class Opened(Enum):
    """What was found at the place of the file."""

    READY = auto()
    """The file of a catalogue, of this version now; or nothing, and a new one was created."""
    PUT_ASIDE = auto()
    """A file that could not be used; a new one has what could be used of it."""


class SqliteFile(Database):
    """One file in a mirror's directory, or a database in memory for one that is not there.

    A file that is damaged, or of another program, is renamed and replaced by a new one that has
    the rows which are not damaged. A file of an older version is converted. With ``read_only``
    nothing is renamed or written, and an unusable file counts as an empty one.
    """

    def __init__(self, directory: str, busy_timeout: float, *, read_only: bool) -> None:
        path = Path(directory).absolute() / FILE_NAME
        self._path = str(path)
        self._aside = str(path.with_name(ASIDE))
        self._uri = path.as_uri()
        self._aside_uri = path.with_name(ASIDE).as_uri()
        self._read_only = read_only
        self._busy_timeout = busy_timeout
        self._connection: sqlite3.Connection | None = None

    # ------------------------------------------------------------ opening

    def open(self) -> Opened:
        """Open the file, and make it usable.

        :raises StorageError: if there is something that is not a regular file.
        :raises CorruptState: if a newer release made it.
        :raises sqlite3.Error: if that fails.
        """
        for suffix in _SUFFIXES:
            _require_regular(self._path + suffix, FILE_NAME + suffix)
        if self._read_only and not os.path.exists(self._path):
            self.replace(None)
            return Opened.READY
        try:
            self._connect(f"{self._uri}?mode={'ro' if self._read_only else 'rwc'}")
            is_usable, version = self._inspect()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # a message quotes the file
            if (
                isinstance(error, sqlite3.OperationalError)
                and not str(error).startswith(DECODING_ERROR)  # from Python, it has no name
                and error.sqlite_errorname != _HOT_JOURNAL
            ):
                raise  # locked, full, not permitted: the file itself may be undamaged
            is_usable, version = False, None
        return Opened.READY if is_usable else self.replace(version)

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection, while the file is open."""
        assert self._connection is not None, "the catalogue is used inside its context"
        return self._connection

    def _connect(self, uri: str) -> None:
        self._connection = sqlite3.connect(
            uri,
            timeout=self._busy_timeout,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )
        # FULL alone does not make the deletion of the journal durable, and with it the commit.
        self.execute("PRAGMA synchronous = EXTRA")
        self.execute("PRAGMA recursive_triggers = ON")  # REPLACE fires the delete triggers
        self.execute("PRAGMA cache_size = -16000")

    def _inspect(self) -> tuple[bool, int | None]:
        """Return whether the file is one of this version, and the version that can be converted.

        :raises CorruptState: if a newer release made it.
        """
        ((application,),) = self.execute("PRAGMA application_id")
        ((version,),) = self.execute("PRAGMA user_version")
        objects = self.execute(SELECT_OBJECTS)
        if not objects and not self._read_only:
            self._create()
            return True, None
        if application != APPLICATION:
            return False, None
        if version > VERSION:
            why = (
                f"a newer release made it (its version is {version}, and this release knows "
                f"{VERSION}); use that release, or delete the file: the next run makes a new one"
            )
            raise CorruptState(FILE_NAME, why)
        if version == VERSION:
            return objects == OBJECTS, None
        is_older = version >= OLDEST and _columns(self.connection) == _sorted(columns_of(version))
        return False, version if is_older else None

    def _create(self) -> None:
        self.connection.executescript(
            f"BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION};"
            f"PRAGMA user_version = {VERSION}; COMMIT;"
        )

    def replace(self, version: int | None) -> Opened:
        """Put the file aside, make a new one, and copy what can be used.

        ``version`` is the older version of the file, None if it is not usable as a whole.
        """
        self.close()
        if not self._read_only:
            with suppress(OSError):
                os.replace(self._path, self._aside)
        self._connect("file::memory:" if self._read_only else self._uri)
        self._create()
        if self._read_only:
            return Opened.READY
        self._salvage(version)
        return Opened.PUT_ASIDE if version is None else Opened.READY

    def _salvage(self, version: int | None) -> None:
        """Copy what can be used of the file that was put aside."""
        old = sqlite3.connect(f"{self._aside_uri}?mode=ro&immutable=1", uri=True)
        unreadable = (sqlite3.Error, OverflowError, UnicodeDecodeError)
        with closing(old), suppress(*unreadable), self.transaction(), suppress(*unreadable):
            old.text_factory = text_of
            copy_rows(old, self, version)

    @contextmanager
    def reading_invalid_text(self) -> Iterator[None]:
        """Return text that is not UTF-8 with surrogates, instead of an error."""
        self.connection.text_factory = text_of
        try:
            yield
        finally:
            self.connection.text_factory = str

    def close(self) -> None:
        """Close it, if it is open."""
        if self._connection is not None:
            self._connection.close()

    # ------------------------------------------------------------ Database

    def execute(self, query: str, values: Sequence[object] = (), /) -> list[Row]:
        return self.connection.execute(query, values).fetchall()

    def stream(self, query: str, values: Sequence[object] = (), /) -> Iterator[Row]:
        return self.connection.execute(query, values)

    def select_pairs(
        self, select: str, columns: tuple[str, str], pairs: Iterable[tuple[str, str]], /
    ) -> Iterator[Row]:
        first, second = columns
        for pair in pairs:
            yield from self.execute(f"{select} WHERE {first} = ? AND {second} = ?", pair)

    def executemany(self, statement: str, values: Iterable[Sequence[object]], /) -> None:
        self.connection.executemany(statement, values)

    def put(self, table: str, rows: Iterable[Row], /) -> None:
        places = ", ".join("?" * len(TABLES[table].columns))
        self.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({places})", rows)

    def insert(self, table: str, rows: Iterable[Row], /) -> None:
        self.put(table, rows)

    def delete(self, table: str, column: str, values: Iterable[str], /) -> None:
        rows = [(value,) for value in values]
        self.executemany(f"DELETE FROM {table} WHERE {column} = ?", rows)

    def delete_row(self, table: str, columns: Sequence[str], values: Sequence[object], /) -> None:
        """Delete rows by values that may be of any type, and even text that is not UTF-8."""
        matches = " AND ".join(
            f"{column} = CAST(? AS TEXT)" if isinstance(value, str) else f"{column} IS ?"
            for column, value in zip(columns, values, strict=True)
        )
        stored = [
            value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
            for value in values
        ]
        self.execute(f"DELETE FROM {table} WHERE {matches}", stored)

    def clear(self) -> None:
        for table in TABLES:
            self.execute(f"DELETE FROM {table}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self.execute("ROLLBACK")
            raise


def text_of(content: bytes) -> str:
    """Return text as Python does for file names: also if it is not UTF-8."""
    return content.decode("utf-8", "surrogateescape")


def _columns(db: sqlite3.Connection) -> dict[str, list[str]]:
    """Return the columns of our tables that are there."""
    found = {name: [row[1] for row in db.execute(f"PRAGMA table_info({name})")] for name in TABLES}
    return _sorted({name: columns for name, columns in found.items() if columns})


def _sorted(columns: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    return {name: sorted(names) for name, names in columns.items()}


def _require_regular(path: str, name: str) -> None:
    """Check a file before SQLite opens it, which follows links and waits for pipes.

    :raises StorageError: if it exists and is not a regular file.
    """
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StorageError(name, error.strerror or str(error)) from error
    if not stat.S_ISREG(found.st_mode):
        why = "it is a link" if stat.S_ISLNK(found.st_mode) else "it is not a regular file"
        raise StorageError(name, f"{why}; move it away, and the next run makes a new one")
