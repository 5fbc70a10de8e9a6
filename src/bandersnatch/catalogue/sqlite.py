"""The queries that look over a whole catalogue, a piece at a time; everything here blocks."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager, suppress
from dataclasses import astuple
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import quote

from bandersnatch.catalogue.records import (
    NEVER,
    ListEntry,
    Marker,
    Totals,
    TrashTotals,
    VerifyEntry,
)
from bandersnatch.catalogue.rows import (
    APPLICATION,
    FILE_COLUMNS,
    PROJECT_COLUMNS,
    SCHEMA,
    TABLES,
    VERSION,
    DamagedRow,
    file_rows,
    had_record,
    project_record,
    project_row,
    removed_record,
    stored_record,
    unfinished_record,
)
from bandersnatch.concurrency import BlockingExecutor
from bandersnatch.errors import StorageError
from bandersnatch.layout import SIDECAR_SUFFIX
from bandersnatch.model.serials import NO_SERIAL

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from bandersnatch.catalogue.records import (
        CatalogueUpdate,
        Deferred,
        FileStat,
        Marker,
        ProjectRecord,
        ProjectSummary,
        TrashEntry,
        Verified,
    )
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList

    _Result = TypeVar("_Result")


_LISTED = 5_000
_STALE = 500
"""Projects a piece: few enough to weigh nothing, many enough that the queries do not either."""

# "standing <> 'excluded'" is as the index ``scrub`` has it, or that is not used.
_NEXT = """
    SELECT name, serial FROM project
    WHERE name > ? AND standing <> 'excluded' ORDER BY name LIMIT ?
"""
_OLDEST = """
    SELECT name, verified, files, size FROM project
    WHERE standing <> 'excluded' AND verified < ? AND (verified, name) > (?, ?)
    ORDER BY verified, name LIMIT ?
"""
# Core metadata that has a sha256 is advertised, other is not.
_STORED = """
    SELECT path, size, modified, coalesce(instr(core_metadata, 'sha256='), 0) FROM file
    WHERE project = ? AND modified IS NOT NULL
"""
_FILE = "SELECT 1 FROM file WHERE project = ? AND path = ?"
_WITH_SIDECAR = f"{_FILE} AND instr(core_metadata, 'sha256=') > 0"
_ALL = "SELECT path, coalesce(instr(core_metadata, 'sha256='), 0) FROM file"
_LARGEST = """
    SELECT name, verified, files, size FROM project
    WHERE standing <> 'excluded' ORDER BY size DESC, name LIMIT ?
"""
_TOTALS = """
    SELECT count(*), total(files), total(size), total(verified = 0),
           min(CASE WHEN verified > 0 THEN verified END)
    FROM project WHERE standing <> 'excluded'
"""
_AS_ITS_OLDEST = """
    UPDATE project SET verified = coalesce((
        SELECT min(coalesce(verified, 0)) FROM file
        WHERE project = project.name AND modified IS NOT NULL), verified)
    WHERE name = ?
"""


def list_entries(db: sqlite3.Connection, after: str) -> list[ListEntry]:
    """Return the next projects after a name, in the order of names."""
    return [ListEntry(*row) for row in db.execute(_NEXT, (after, _LISTED))]


def verify_queue(
    db: sqlite3.Connection, before: int, after: VerifyEntry | None
) -> list[VerifyEntry]:
    """Return the next projects that were verified before a time, the oldest first."""
    last = (after.verified, after.name) if after is not None else (NEVER - 1, "")
    return [VerifyEntry(*row) for row in db.execute(_OLDEST, (before, *last, _STALE))]


def file_stats(
    db: sqlite3.Connection, names: Collection[ProjectName]
) -> dict[ProjectName, list[FileStat]]:
    """Return the files of projects as they lie there."""
    found: dict[ProjectName, list[FileStat]] = {}
    for name in names:
        if rows := db.execute(_STORED, (name,)).fetchall():
            found[name] = list(map(stored_record, rows))
    return found


def paths_owned(
    db: sqlite3.Connection, claims: Collection[tuple[ProjectName, str]]
) -> frozenset[str]:
    """Return those of the paths that belong to the project that they are claimed for."""
    return frozenset(path for name, path in claims if _is_owned(db, name, path))


def _is_owned(db: sqlite3.Connection, name: ProjectName, path: str) -> bool:
    if db.execute(_FILE, (name, path)).fetchone():
        return True
    file = path.removesuffix(SIDECAR_SUFFIX)
    return file != path and db.execute(_WITH_SIDECAR, (name, file)).fetchone() is not None


def paths_known(db: sqlite3.Connection, paths: Collection[str]) -> frozenset[str]:
    """Return those of the paths that belong to any project: one look at every row.

    There is no index over paths: it would be as large as all the rest, for this alone.
    """
    wanted, found = frozenset(paths), set[str]()
    if not wanted:
        return wanted
    for path, sidecar in db.execute(_ALL):
        found.add(path)
        if sidecar:
            found.add(path + SIDECAR_SUFFIX)
        if len(found) > _LISTED:
            found &= wanted
    return wanted & found


_ALIKE = "SELECT name, reflects FROM project WHERE fingerprint = ? AND standing <> 'retained'"
_UNLIKE = "SELECT name FROM project WHERE fingerprint <> ? OR standing = 'retained'"
_SHOWN = "SELECT name, display FROM project WHERE display <> name"


def changed_since(
    db: sqlite3.Connection, listing: ProjectList, fingerprint: str
) -> frozenset[ProjectName]:
    """Return the projects that are not here just as a whole list has them.

    Of hundreds of thousands all but a few are: they are compared as two columns, for which no
    values are made but numbers and names.
    """
    reflects = dict(db.execute(_ALIKE, (fingerprint,)))
    shown = dict(db.execute(_SHOWN))
    display_names = listing.display_names
    differing = {
        name
        for name, serial in listing.serials.items()
        if not serial
        or reflects.get(name, NO_SERIAL) < serial
        or (
            (name in shown or name in display_names)
            and shown.get(name, name) != display_names.get(name, name)
        )
    }
    differing |= reflects.keys() - listing.serials.keys()
    differing.update(name for (name,) in db.execute(_UNLIKE, (fingerprint,)))
    return frozenset(differing)


def totals(db: sqlite3.Connection) -> Totals:
    """Return what the mirror has, counted."""
    projects, files, size, unverified, oldest = db.execute(_TOTALS).fetchone()
    return Totals(projects, int(files), int(size), int(unverified), oldest or NEVER)


def largest(db: sqlite3.Connection, count: int) -> list[VerifyEntry]:
    """Return the projects with the most bytes, the largest first."""
    return [VerifyEntry(*row) for row in db.execute(_LARGEST, (count,))]


def trash_totals(db: sqlite3.Connection) -> TrashTotals:
    """Return what lies in ``removed/``, counted."""
    files, size = db.execute("SELECT count(*), total(size) FROM trash").fetchone()
    return TrashTotals(files, int(size))


def put_verified(db: sqlite3.Connection, each: Verified) -> None:
    """Write down that content was found right; a project is as old as the oldest of its files."""
    if each.paths is None:
        db.execute(
            "UPDATE file SET verified = ? WHERE project = ? AND modified IS NOT NULL",
            (each.at, each.name),
        )
        db.execute("UPDATE project SET verified = ? WHERE name = ?", (each.at, each.name))
        return
    db.executemany(
        "UPDATE file SET verified = ? WHERE project = ? AND path = ? AND modified IS NOT NULL",
        [(each.at, each.name, path) for path in each.paths],
    )
    db.execute(_AS_ITS_OLDEST, (each.name,))


FILE_NAME = "catalogue.sqlite"

_NAMES_A_QUERY = 500
PATIENCE = 60.0
"""Seconds to wait for others: a question that looks over all of a large catalogue takes some."""
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
"""How the names of the errors begin that tell of a damaged file."""
_NO_TEXT = "Could not decode"
_CUT_OFF = "SQLITE_READONLY_ROLLBACK"
"""The name of the error for a commit that was cut off and may not be taken back here."""
_HAD = "SELECT name, reflects, serial, display, fingerprint, standing, size FROM project"


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
        self._threads = BlockingExecutor(1, "catalogue")
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

    async def summaries(
        self, names: Iterable[ProjectName] | None, /
    ) -> dict[ProjectName, ProjectSummary]:
        """Return what is known of the projects named, or of all; in the order of names."""
        wanted = None if names is None else sorted(names)
        return await self._run(lambda: self._had(wanted))

    def _had(self, names: list[ProjectName] | None) -> dict[ProjectName, ProjectSummary]:
        if names is None:
            return dict(map(had_record, self._db.execute(f"{_HAD} ORDER BY name")))
        found: dict[ProjectName, ProjectSummary] = {}
        for start in range(0, len(names), _NAMES_A_QUERY):
            some = names[start : start + _NAMES_A_QUERY]
            query = f"{_HAD} WHERE name IN ({_placeholders(len(some))}) ORDER BY name"
            found.update(map(had_record, self._db.execute(query, some)))
        return found

    async def changed_since(
        self, listing: ProjectList, fingerprint: str, /
    ) -> frozenset[ProjectName]:
        """Return the projects that are not here just as a whole list has them."""
        return await self._run(lambda: changed_since(self._db, listing, fingerprint))

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

    async def deferred(self) -> Sequence[Deferred]:
        """Return the projects to come back to, in the order of names."""
        query = "SELECT * FROM deferred ORDER BY name"
        return await self._run(lambda: list(map(unfinished_record, self._db.execute(query))))

    async def trash(self, *, before: int | None = None) -> Sequence[TrashEntry]:
        """Return what lies in ``removed/``, or only what was put there before a time."""
        query = "SELECT * FROM trash WHERE ? IS NULL OR at < ? ORDER BY key"
        return await self._run(
            lambda: list(map(removed_record, self._db.execute(query, (before, before))))
        )

    async def marker(self, marker: Marker, /) -> str:
        """Return the text that is stored under a marker, "" if there is none."""

        def text() -> str:
            row = self._db.execute("SELECT text FROM marker WHERE key = ?", (marker,)).fetchone()
            return str(row[0]) if row else ""

        return await self._run(text)

    # ------------------------------------------------------------ looking over everything

    async def list_entries(self, after: str, /) -> Sequence[ListEntry]:
        """Return the next projects after a name, in the order of names."""
        return await self._run(lambda: list_entries(self._db, after))

    async def verify_queue(
        self, before: int, after: VerifyEntry | None, /
    ) -> Sequence[VerifyEntry]:
        """Return the next projects that were verified before a time, the oldest first."""
        return await self._run(lambda: verify_queue(self._db, before, after))

    async def file_stats(
        self, names: Collection[ProjectName], /
    ) -> Mapping[ProjectName, list[FileStat]]:
        """Return the files of projects as they lie there."""
        return await self._run(lambda: file_stats(self._db, names))

    async def paths_owned(self, claims: Collection[tuple[ProjectName, str]], /) -> frozenset[str]:
        """Return those of the paths that belong to the project that they are claimed for."""
        return await self._run(lambda: paths_owned(self._db, claims))

    async def paths_known(self, paths: Collection[str], /) -> frozenset[str]:
        """Return those of the paths that belong to any project."""
        return await self._run(lambda: paths_known(self._db, paths))

    async def totals(self) -> Totals:
        """Return what the mirror has, counted."""
        return await self._run(lambda: totals(self._db))

    async def largest(self, count: int, /) -> Sequence[VerifyEntry]:
        """Return the projects with the most bytes, the largest first."""
        return await self._run(lambda: largest(self._db, count))

    async def trash_totals(self) -> TrashTotals:
        """Return what lies in ``removed/``, counted."""
        return await self._run(lambda: trash_totals(self._db))

    # ------------------------------------------------------------ writing

    async def commit(self, batch: CatalogueUpdate, /) -> None:
        """Remember the changes, all or none."""
        if batch:
            await self._run(lambda: self._commit(batch))

    def _commit(self, batch: CatalogueUpdate) -> None:
        db, records = self._db, {record.name: record for record in batch.records}
        db.execute("BEGIN IMMEDIATE")
        try:
            for table in TABLES if batch.reset else ():
                db.execute(f"DELETE FROM {table}")
            gone = [(name,) for name in (*batch.forgotten, *records)]
            db.executemany("DELETE FROM file WHERE project = ?", gone)
            db.executemany("DELETE FROM project WHERE name = ?", [(n,) for n in batch.forgotten])
            db.executemany(_PUT_PROJECT, map(project_row, records.values()))
            for record in records.values():
                db.executemany(_PUT_FILE, file_rows(record))
            finished = [*gone, *((name,) for name in batch.resolved)]
            db.executemany("DELETE FROM deferred WHERE name = ?", finished)
            db.executemany(
                f"INSERT OR REPLACE INTO deferred VALUES ({_placeholders(10)})",
                [astuple(each) for each in batch.deferred],
            )
            db.executemany(
                f"INSERT OR REPLACE INTO trash VALUES ({_placeholders(4)})",
                [astuple(each) for each in batch.trashed],
            )
            db.executemany("DELETE FROM trash WHERE key = ?", [(k,) for k in batch.restored])
            for each in batch.verified:
                put_verified(db, each)
            db.executemany("INSERT OR REPLACE INTO marker VALUES (?, ?)", batch.markers.items())
            db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
