"""The catalogue in one SQLite file, read and written by one thread."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager, suppress
from dataclasses import astuple
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import quote

from bandersnatch.catalogue import survey
from bandersnatch.catalogue.rows import (
    FILE_COLUMNS,
    PROJECT_COLUMNS,
    DamagedRow,
    file_rows,
    had_record,
    project_record,
    project_row,
    removed_record,
    unfinished_record,
)
from bandersnatch.catalogue.schema import APPLICATION, SCHEMA, TABLES, VERSION
from bandersnatch.errors import StorageError
from bandersnatch.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList
    from bandersnatch.records import (
        Batch,
        Had,
        Listed,
        ProjectRecord,
        Removed,
        Stale,
        Stored,
        Totals,
        Unfinished,
        Waiting,
    )

    _Result = TypeVar("_Result")

FILE_NAME = "catalogue.sqlite"

_NAMES_A_QUERY = 500
PATIENCE = 60.0
"""Seconds to wait for others: a question that looks over all of a large catalogue takes some."""
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
"""How the names of the errors begin that tell of a damaged file."""
_NO_TEXT = "Could not decode"
_CUT_OFF = "SQLITE_READONLY_ROLLBACK"
"""The name of the error for a commit that was cut off and may not be taken back here."""
_HAD = "SELECT name, reflects, serial, display, terms, standing, size FROM project"


def _placeholders(count: int) -> str:
    return ", ".join("?" * count)


_PUT_PROJECT = f"INSERT OR REPLACE INTO project VALUES ({_placeholders(len(PROJECT_COLUMNS))})"
_PUT_FILE = f"INSERT INTO file VALUES ({_placeholders(len(FILE_COLUMNS))})"


class SqliteCatalogue:
    """Implements ``MirrorCatalogue``; as a context it opens and closes the file.

    A file that is damaged, or of another program or version, is put aside and begun anew:
    everything in it can be found out again from the tree. Damage that is only met with later is
    an error, and the file is put aside when it is closed. ``read_only`` begins anew in memory.
    ``patience`` is how long another process may keep a commit or a query waiting, in seconds.
    """

    def __init__(
        self, directory: str, *, read_only: bool = False, patience: float = PATIENCE
    ) -> None:
        self._path = f"{os.path.abspath(directory)}/{FILE_NAME}"
        self._read_only = read_only
        self._patience = patience
        self._threads = Threads(1, "catalogue")
        self._database: sqlite3.Connection | None = None
        self._damaged = False

    async def __aenter__(self) -> Self:
        """Open the file, making it if needed.

        :raises StorageError: if that fails.
        """
        try:
            await self._threads.run(self._open)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the file."""
        try:
            await self._threads.run(lambda: self._close(put_aside=self._damaged))
        finally:
            self._threads.close()

    @property
    def _db(self) -> sqlite3.Connection:
        assert self._database is not None, "the catalogue is used inside its context"
        return self._database

    async def _run(self, call: Callable[[], _Result]) -> _Result:
        def translated() -> _Result:
            with self._translated():
                return call()

        return await self._threads.run(translated)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, DamagedRow) as error:
            why = str(error)
            known = getattr(error, "sqlite_errorname", "").startswith(_DAMAGED)
            if known or isinstance(error, DamagedRow) or why.startswith(_NO_TEXT):
                self._damaged = True
                why += "; it is put aside, and the next run makes a new one"
            raise StorageError(FILE_NAME, why) from error

    # ------------------------------------------------------------ opening

    def _open(self) -> None:
        with self._translated():
            if self._read_only and not os.path.exists(self._path):
                self._begin_anew()
                return
            try:
                self._connect(
                    f"file://{quote(self._path)}?mode={'ro' if self._read_only else 'rwc'}"
                )
                usable = self._is_usable()
            except sqlite3.DatabaseError as error:
                cut_off = error.sqlite_errorname == _CUT_OFF
                if isinstance(error, sqlite3.OperationalError) and not cut_off:
                    raise  # locked, full, not permitted: the file itself may be all right
                usable = False
            if not usable:
                self._begin_anew()

    def _connect(self, uri: str) -> None:
        self._database = sqlite3.connect(
            uri, timeout=self._patience, isolation_level=None, check_same_thread=False, uri=True
        )
        # FULL alone does not make the end of the journal durable, and with it the commit.
        self._db.execute("PRAGMA synchronous = EXTRA")
        self._db.execute("PRAGMA recursive_triggers = ON")  # a row that is replaced goes first
        self._db.execute("PRAGMA cache_size = -16000")

    def _is_usable(self) -> bool:
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables == 0 and not self._read_only:
            self._create()
            return True
        return bool(application == APPLICATION and version == VERSION)

    def _create(self) -> None:
        self._db.executescript(
            f"BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION};"
            f"PRAGMA user_version = {VERSION}; COMMIT;"
        )

    def _begin_anew(self) -> None:
        self._close(put_aside=True)
        self._connect("file::memory:" if self._read_only else f"file://{quote(self._path)}")
        self._create()

    def _close(self, *, put_aside: bool) -> None:
        if self._database is not None:
            self._database.close()
        if put_aside and not self._read_only:
            with suppress(OSError):
                os.replace(self._path, f"{self._path}.unusable")

    # ------------------------------------------------------------ reading

    async def had(self, names: Iterable[ProjectName] | None, /) -> dict[ProjectName, Had]:
        """Return what is known of the projects named, or of all; in the order of names."""
        wanted = None if names is None else sorted(names)
        return await self._run(lambda: self._had(wanted))

    def _had(self, names: list[ProjectName] | None) -> dict[ProjectName, Had]:
        if names is None:
            return dict(map(had_record, self._db.execute(f"{_HAD} ORDER BY name")))
        found: dict[ProjectName, Had] = {}
        for start in range(0, len(names), _NAMES_A_QUERY):
            some = names[start : start + _NAMES_A_QUERY]
            query = f"{_HAD} WHERE name IN ({_placeholders(len(some))}) ORDER BY name"
            found.update(map(had_record, self._db.execute(query, some)))
        return found

    async def unlike(self, listing: ProjectList, terms: str, /) -> frozenset[ProjectName]:
        """Return the projects that are not here just as a whole list has them."""
        return await self._run(lambda: survey.unlike(self._db, listing, terms))

    async def count(self) -> int:
        """Return how many projects are here; those that are left out do not count."""
        query = "SELECT projects FROM tally"
        return await self._run(lambda: int(self._db.execute(query).fetchone()[0]))

    async def due(self, now: int, /) -> Sequence[ProjectName]:
        """Return the projects that more of the same page is to be published of by now."""
        query = "SELECT name FROM project WHERE due IS NOT NULL AND due <= ?"
        return await self._run(lambda: sorted(n for (n,) in self._db.execute(query, (now,))))

    async def project(self, name: ProjectName, /) -> ProjectRecord | None:
        """Return one project with its files."""
        return await self._run(lambda: self._project(name))

    def _project(self, name: ProjectName) -> ProjectRecord | None:
        row = self._db.execute("SELECT * FROM project WHERE name = ?", (name,)).fetchone()
        if row is None:
            return None
        files = self._db.execute("SELECT * FROM file WHERE project = ?", (name,))
        return project_record(row, files)

    async def unfinished(self) -> Sequence[Unfinished]:
        """Return the projects to come back to, in the order of names."""
        query = "SELECT * FROM unfinished ORDER BY name"
        return await self._run(lambda: list(map(unfinished_record, self._db.execute(query))))

    async def removed(self, *, before: int | None = None) -> Sequence[Removed]:
        """Return what lies in ``removed/``, or only what was put there before a time."""
        query = "SELECT * FROM removed WHERE ? IS NULL OR at < ? ORDER BY key"
        return await self._run(
            lambda: list(map(removed_record, self._db.execute(query, (before, before))))
        )

    async def note(self, key: str, /) -> str:
        """Return a remembered text, "" if there is none."""

        def note() -> str:
            row = self._db.execute("SELECT text FROM note WHERE key = ?", (key,)).fetchone()
            return str(row[0]) if row else ""

        return await self._run(note)

    # ------------------------------------------------------------ looking over everything

    async def listed(self, after: str, /) -> Sequence[Listed]:
        """Return the next projects after a name, in the order of names."""
        return await self._run(lambda: survey.listed(self._db, after))

    async def stale(self, before: int, after: Stale | None, /) -> Sequence[Stale]:
        """Return the next projects that were verified before a time, the oldest first."""
        return await self._run(lambda: survey.stale(self._db, before, after))

    async def stored(self, names: Collection[ProjectName], /) -> Mapping[ProjectName, list[Stored]]:
        """Return the files of projects as they lie there."""
        return await self._run(lambda: survey.stored(self._db, names))

    async def owned(self, claims: Collection[tuple[ProjectName, str]], /) -> frozenset[str]:
        """Return those of the paths that belong to the project that they are claimed for."""
        return await self._run(lambda: survey.owned(self._db, claims))

    async def named(self, paths: Collection[str], /) -> frozenset[str]:
        """Return those of the paths that belong to any project."""
        return await self._run(lambda: survey.named(self._db, paths))

    async def totals(self) -> Totals:
        """Return what the mirror has, counted."""
        return await self._run(lambda: survey.totals(self._db))

    async def largest(self, count: int, /) -> Sequence[Stale]:
        """Return the projects with the most bytes, the largest first."""
        return await self._run(lambda: survey.largest(self._db, count))

    async def removed_totals(self) -> Waiting:
        """Return what lies in ``removed/``, counted."""
        return await self._run(lambda: survey.removed_totals(self._db))

    # ------------------------------------------------------------ writing

    async def commit(self, batch: Batch, /) -> None:
        """Remember the changes, all or none."""
        if batch:
            await self._run(lambda: self._commit(batch))

    def _commit(self, batch: Batch) -> None:
        db, records = self._db, {record.name: record for record in batch.records}
        db.execute("BEGIN IMMEDIATE")
        try:
            for table in TABLES if batch.anew else ():
                db.execute(f"DELETE FROM {table}")
            gone = [(name,) for name in (*batch.forgotten, *records)]
            db.executemany("DELETE FROM file WHERE project = ?", gone)
            db.executemany("DELETE FROM project WHERE name = ?", [(n,) for n in batch.forgotten])
            db.executemany(_PUT_PROJECT, map(project_row, records.values()))
            for record in records.values():
                db.executemany(_PUT_FILE, file_rows(record))
            finished = [*gone, *((name,) for name in batch.finished)]
            db.executemany("DELETE FROM unfinished WHERE name = ?", finished)
            db.executemany(
                f"INSERT OR REPLACE INTO unfinished VALUES ({_placeholders(10)})",
                [astuple(each) for each in batch.unfinished],
            )
            db.executemany(
                f"INSERT OR REPLACE INTO removed VALUES ({_placeholders(4)})",
                [astuple(each) for each in batch.removed],
            )
            db.executemany("DELETE FROM removed WHERE key = ?", [(k,) for k in batch.restored])
            for each in batch.verified:
                survey.put_verified(db, each)
            db.executemany("INSERT OR REPLACE INTO note VALUES (?, ?)", batch.notes.items())
            db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
