"""The catalogue in a SQLite file.

The functions that take a connection block, and run in the catalogue's thread.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections import defaultdict
from contextlib import contextmanager, suppress
from itertools import compress, filterfalse, repeat
from operator import lt, ne
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar, cast

from bandersnatch.catalogue import dependencies
from bandersnatch.catalogue.port import MirrorCatalogue
from bandersnatch.catalogue.records import NEVER, ListEntry, Totals, TrashTotals, VerifyEntry
from bandersnatch.catalogue.rows import (
    APPLICATION,
    FILE_COLUMNS,
    PROJECT_COLUMNS,
    SCHEMA,
    TABLES,
    VERSION,
    DamagedRow,
    deferred_row,
    file_rows,
    parse_deferred,
    parse_file_stat,
    parse_path_owner,
    parse_project,
    parse_rejected,
    parse_summary,
    parse_trash_entry,
    project_row,
    rejected_rows,
    trash_row,
    unusual_rows,
)
from bandersnatch.concurrency import BlockingExecutor
from bandersnatch.errors import StorageError
from bandersnatch.layout import SIDECAR_SUFFIX
from bandersnatch.model.filenames import likely_owners
from bandersnatch.model.folding import ANY_FOLDING, EXACT, Folding
from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from bandersnatch.catalogue.records import (
        CatalogueUpdate,
        Deferred,
        FileStat,
        FollowedRow,
        Marker,
        PathOwner,
        ProjectRecord,
        ProjectSummary,
        RejectedFile,
        RequirementRow,
        TrashEntry,
        Verified,
    )
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList

    _Result = TypeVar("_Result")


FILE_NAME = "catalogue.sqlite"
_SUFFIXES = ("", "-journal", "-wal", "-shm")
"""Of the names of the files that SQLite opens."""

BUSY_TIMEOUT = 60.0
"""Seconds to wait for other processes: a query over a whole large catalogue takes some."""

_LIST_ENTRIES = 5_000
_VERIFY_ENTRIES = 500
_NAMES_PER_QUERY = 500
_CORRUPTION_ERRORS = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
"""Prefixes of the names of the errors that report a damaged file."""
_DECODING_ERROR = "Could not decode"
_HOT_JOURNAL = "SQLITE_READONLY_ROLLBACK"
"""The error for an interrupted commit that cannot be rolled back because the file is read-only."""


def _placeholders(count: int) -> str:
    return ", ".join("?" * count)


_SELECT_SUMMARY = """
    SELECT name, reflects, serial, display, fingerprint, standing, size FROM project
"""
_PUT_PROJECT = f"INSERT OR REPLACE INTO project VALUES ({_placeholders(len(PROJECT_COLUMNS))})"
_PUT_REJECTED = "INSERT OR REPLACE INTO rejected VALUES (?, ?, ?)"
_DELETE_UNRECORDED_REJECTIONS = """
    DELETE FROM rejected WHERE project = ? AND project NOT IN (SELECT name FROM project)
"""
_PUT_FILE = f"INSERT INTO file VALUES ({_placeholders(len(FILE_COLUMNS))})"
# Each "standing <> 'excluded'" is spelled as in the index verify_queue, or that is not used.
_SELECT_LIST_ENTRIES = """
    SELECT name, CASE WHEN reflects >= serial THEN serial END FROM project
    WHERE name > ? AND standing <> 'excluded' ORDER BY name LIMIT ?
"""
_SELECT_VERIFY_QUEUE = """
    SELECT name, verified, files, size FROM project
    WHERE standing <> 'excluded' AND verified < ? AND (verified, name) > (?, ?)
    ORDER BY verified, name LIMIT ?
"""
# Each "standing <> 'retained'" is spelled as in the indexes sweep_queue and watched.
_SELECT_SWEEP = """
    SELECT name FROM project WHERE standing <> 'retained' AND asked > ?1
    UNION ALL SELECT * FROM (
        SELECT name FROM project WHERE standing <> 'retained' AND asked < ?2
        ORDER BY asked, name LIMIT ?3
    ) LIMIT ?3
"""
_SELECT_WATCHED = """
    SELECT name FROM project
    WHERE standing <> 'retained' AND watched > 0 AND watched > ?1 AND asked < ?2
    ORDER BY asked, name LIMIT ?3
"""
_SELECT_OLDEST_LOOK = "SELECT min(asked) FROM project WHERE standing <> 'retained'"
_SELECT_LARGEST = """
    SELECT name, verified, files, size FROM project
    WHERE standing <> 'excluded' ORDER BY size DESC, name LIMIT ?
"""
_SELECT_TOTALS = """
    SELECT count(*), total(files), total(size), total(verified = 0),
           min(CASE WHEN verified > 0 THEN verified END)
    FROM project WHERE standing <> 'excluded'
"""
# Core metadata is advertised if a digest of it is known.
_SELECT_FILE_STATS = """
    SELECT path, size, modified, coalesce(instr(core_metadata, '='), 0) FROM file
    WHERE project = ? AND modified IS NOT NULL
"""
_SELECT_OWNED_FILES = """
    SELECT project, path, hashes, core_metadata FROM file
    WHERE project = ? AND modified IS NOT NULL
"""
_SELECT_OWNED_FILE = f"{_SELECT_OWNED_FILES} AND path = ?"
_SELECT_FILE = "SELECT 1 FROM file WHERE project = ? AND path = ?"
_SELECT_SIDECAR = f"{_SELECT_FILE} AND instr(core_metadata, '=') > 0"
_SELECT_PATHS = "SELECT path, project, coalesce(instr(core_metadata, '='), 0) FROM file"
_SELECT_COMPARABLE_SERIALS = """
    SELECT name, iif(fingerprint = ? AND standing <> 'retained', reflects, 0) FROM project
"""
_SELECT_DISPLAY_NAMES = "SELECT name, display FROM project WHERE display <> name"
_VERIFY_FROM_FILES = """
    UPDATE project SET verified = coalesce((
        SELECT min(coalesce(verified, 0)) FROM file
        WHERE project = project.name AND modified IS NOT NULL), verified)
    WHERE name = ?
"""


_FORGET_SERIALS = """
    UPDATE project SET serial = NULL, reflects = 0, etag = '', last_modified = '', body = ''
    WHERE serial > ? OR reflects > ?
"""
_FORGET_TARGETS = """
    UPDATE deferred SET target_serial = 0, first_serial = NULL WHERE target_serial > ?
"""


def exists(directory: str) -> bool:
    """Whether there is a file of a catalogue in a mirror's directory."""
    return os.path.exists(f"{directory}/{FILE_NAME}")


class SqliteCatalogue(MirrorCatalogue):
    """A catalogue in one file of the mirror's directory; as a context it opens and closes it.

    A file that is damaged, or of another program or version, is renamed and replaced by a new
    one: everything in it can be rebuilt from the tree. Damage that is only found later is an
    error, and the file is renamed when it is closed. With ``read_only`` nothing is renamed or
    written, and an unusable file counts as an empty one. ``busy_timeout`` is how long another
    process may delay a commit or a query, in seconds.
    """

    def __init__(
        self, directory: str, *, read_only: bool = False, busy_timeout: float = BUSY_TIMEOUT
    ) -> None:
        path = Path(directory).absolute() / FILE_NAME
        self._path = str(path)
        self._uri = path.as_uri()
        self._read_only = read_only
        self._busy_timeout = busy_timeout
        self._threads = BlockingExecutor(1, "catalogue")
        self._database: sqlite3.Connection | None = None
        self._is_damaged = False

    async def __aenter__(self) -> Self:
        """Open the file; create it if there is none.

        :raises StorageError: if that fails.
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
            await self._threads.run(lambda: self._close(set_aside=self._is_damaged))
        finally:
            self._threads.close()

    @property
    def _db(self) -> sqlite3.Connection:
        assert self._database is not None, "the catalogue is used inside its context"
        return self._database

    async def _run(self, call: Callable[[], _Result]) -> _Result:
        def mapped() -> _Result:
            with self._mapped_errors():
                return call()

        return await self._threads.run(mapped)

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, DamagedRow) as error:
            why = str(error)
            known = getattr(error, "sqlite_errorname", "").startswith(_CORRUPTION_ERRORS)
            if known or isinstance(error, DamagedRow) or why.startswith(_DECODING_ERROR):
                self._is_damaged = True
                why += "; it is put aside, and the next run makes a new one"
            raise StorageError(FILE_NAME, why) from error

    # ------------------------------------------------------------ opening

    def _open(self) -> None:
        for suffix in _SUFFIXES:
            _require_regular(self._path + suffix, FILE_NAME + suffix)
        if self._read_only and not os.path.exists(self._path):
            self._replace()
            return
        try:
            self._connect(f"{self._uri}?mode={'ro' if self._read_only else 'rwc'}")
            usable = self._is_usable()
        except sqlite3.DatabaseError as error:
            if (
                isinstance(error, sqlite3.OperationalError)
                and error.sqlite_errorname != _HOT_JOURNAL
            ):
                raise  # locked, full, not permitted: the file itself may be undamaged
            usable = False
        if not usable:
            self._replace()

    def _connect(self, uri: str) -> None:
        self._database = sqlite3.connect(
            uri,
            timeout=self._busy_timeout,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )
        # FULL alone does not make the deletion of the journal durable, and with it the commit.
        self._db.execute("PRAGMA synchronous = EXTRA")
        self._db.execute("PRAGMA recursive_triggers = ON")  # REPLACE fires the delete triggers
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

    def _replace(self) -> None:
        self._close(set_aside=True)
        self._connect("file::memory:" if self._read_only else self._uri)
        self._create()

    def _close(self, *, set_aside: bool) -> None:
        if self._database is not None:
            self._database.close()
        if set_aside and not self._read_only:
            with suppress(OSError):
                os.replace(self._path, f"{self._path}.unusable")

    # ------------------------------------------------------------ Catalogue

    async def summaries(
        self, names: Iterable[ProjectName] | None, /
    ) -> dict[ProjectName, ProjectSummary]:
        selected = None if names is None else sorted(names)
        return await self._run(lambda: _summaries(self._db, selected))

    async def changed_since(
        self, listing: ProjectList, fingerprint: str, /, *, exact: bool = False
    ) -> frozenset[ProjectName]:
        return await self._run(lambda: _changed_since(self._db, listing, fingerprint, exact=exact))

    async def count(self) -> int:
        query = "SELECT projects FROM tally"
        return await self._run(lambda: int(self._db.execute(query).fetchone()[0]))

    async def due(self, now: int, /) -> Sequence[ProjectName]:
        query = "SELECT name FROM project WHERE due IS NOT NULL AND due <= ?"
        return await self._run(lambda: sorted(n for (n,) in self._db.execute(query, (now,))))

    async def sweep_queue(
        self, now: int, count: int, /, *, before: int, watched: bool = False
    ) -> Sequence[ProjectName]:
        query, values = _SELECT_WATCHED if watched else _SELECT_SWEEP, (now, before, count)
        return await self._run(lambda: [name for (name,) in self._db.execute(query, values)])

    async def oldest_look(self) -> int | None:
        query = _SELECT_OLDEST_LOOK
        found = await self._run(lambda: self._db.execute(query).fetchone()[0])
        return None if found is None else int(found)

    async def project(self, name: ProjectName, /) -> ProjectRecord | None:
        return await self._run(lambda: _project(self._db, name))

    async def deferred(self) -> Sequence[Deferred]:
        query = "SELECT * FROM deferred ORDER BY name"
        return await self._run(lambda: list(map(parse_deferred, self._db.execute(query))))

    async def rejected(self) -> Sequence[RejectedFile]:
        query = "SELECT * FROM rejected ORDER BY project, entry"
        return await self._run(lambda: list(map(parse_rejected, self._db.execute(query))))

    async def trash(self, *, before: int | None = None) -> Sequence[TrashEntry]:
        query = "SELECT * FROM trash WHERE ? IS NULL OR at < ? ORDER BY key"
        return await self._run(
            lambda: list(map(parse_trash_entry, self._db.execute(query, (before, before))))
        )

    async def marker(self, marker: Marker, /) -> str:
        query = "SELECT text FROM marker WHERE key = ?"
        row = await self._run(lambda: self._db.execute(query, (marker,)).fetchone())
        return str(row[0]) if row else ""

    async def commit(self, batch: CatalogueUpdate, /) -> None:
        if batch:
            await self._run(lambda: self._commit(batch))

    def _commit(self, batch: CatalogueUpdate) -> None:
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            if batch.reset:
                self._delete_all()
            _put(db, batch)
            db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise

    def _delete_all(self) -> None:
        for table in TABLES:
            self._db.execute(f"DELETE FROM {table}")

    # ------------------------------------------------------------ Inventory

    async def list_entries(self, after: str, /) -> Sequence[ListEntry]:
        values = (after, _LIST_ENTRIES)
        return await self._run(
            lambda: [ListEntry(*row) for row in self._db.execute(_SELECT_LIST_ENTRIES, values)]
        )

    async def verify_queue(
        self, before: int, after: VerifyEntry | None, /
    ) -> Sequence[VerifyEntry]:
        last = (after.verified, after.name) if after is not None else (NEVER - 1, "")
        values = (before, *last, _VERIFY_ENTRIES)
        return await self._run(
            lambda: [VerifyEntry(*row) for row in self._db.execute(_SELECT_VERIFY_QUEUE, values)]
        )

    async def file_stats(
        self, names: Collection[ProjectName], /
    ) -> Mapping[ProjectName, list[FileStat]]:
        return await self._run(lambda: _file_stats(self._db, names))

    async def path_owners(
        self, name: ProjectName, paths: Collection[str], folding: Folding = EXACT, /
    ) -> Sequence[PathOwner]:
        return await self._run(lambda: _path_owners(self._db, name, paths, folding))

    async def paths_owned(self, claims: Collection[tuple[ProjectName, str]], /) -> frozenset[str]:
        return await self._run(
            lambda: frozenset(path for name, path in claims if _is_owned(self._db, name, path))
        )

    async def paths_known(
        self,
        paths: Collection[str],
        /,
        *,
        omit: Collection[ProjectName] = (),
        folding: Folding = EXACT,
    ) -> frozenset[str]:
        folded = {path: folding.fold(path) for path in paths}

        def query() -> frozenset[str]:
            places = frozenset(folded.values())
            known = _paths_known(self._db, places, frozenset(omit), folding)
            return frozenset(path for path, place in folded.items() if place in known)

        return await self._run(query)

    async def totals(self) -> Totals:
        return await self._run(lambda: _totals(self._db))

    async def listed_files(self) -> int:
        query = "SELECT count(*) FROM file"
        return await self._run(lambda: int(self._db.execute(query).fetchone()[0]))

    async def largest(self, count: int, /) -> Sequence[VerifyEntry]:
        return await self._run(
            lambda: [VerifyEntry(*row) for row in self._db.execute(_SELECT_LARGEST, (count,))]
        )

    async def trash_totals(self) -> TrashTotals:
        query = "SELECT count(*), total(size) FROM trash"
        files, size = await self._run(lambda: self._db.execute(query).fetchone())
        return TrashTotals(files, int(size))

    # ------------------------------------------------------------ Dependencies

    async def requirements(
        self, names: Iterable[ProjectName] | None, /
    ) -> Mapping[ProjectName, RequirementRow]:
        selected = None if names is None else sorted(names)
        return await self._run(lambda: dependencies.select_requirements(self._db, selected))

    async def requirements_missing(self) -> Sequence[ProjectName]:
        return await self._run(lambda: dependencies.select_missing(self._db))

    async def requirements_unjudged(self) -> Sequence[ProjectName]:
        return await self._run(lambda: dependencies.select_unjudged(self._db))

    async def dependencies(
        self, names: Iterable[ProjectName] | None, /
    ) -> Mapping[ProjectName, Mapping[ProjectName, str]]:
        selected = None if names is None else sorted(names)
        return await self._run(lambda: dependencies.select_dependencies(self._db, selected))

    async def dependants(
        self, names: Iterable[ProjectName], /
    ) -> Mapping[ProjectName, Mapping[ProjectName, str]]:
        selected = sorted(names)
        return await self._run(lambda: dependencies.select_dependants(self._db, selected))

    async def followed(self) -> Mapping[ProjectName, FollowedRow]:
        return await self._run(lambda: dependencies.select_followed(self._db))


# ---------------------------------------------------------------- queries


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


def _summaries(
    db: sqlite3.Connection, names: list[ProjectName] | None
) -> dict[ProjectName, ProjectSummary]:
    if names is None:
        return dict(map(parse_summary, db.execute(f"{_SELECT_SUMMARY} ORDER BY name")))
    found: dict[ProjectName, ProjectSummary] = {}
    for start in range(0, len(names), _NAMES_PER_QUERY):
        some = names[start : start + _NAMES_PER_QUERY]
        query = f"{_SELECT_SUMMARY} WHERE name IN ({_placeholders(len(some))}) ORDER BY name"
        found.update(map(parse_summary, db.execute(query, some)))
    return found


def _project(db: sqlite3.Connection, name: ProjectName) -> ProjectRecord | None:
    row = db.execute("SELECT * FROM project WHERE name = ?", (name,)).fetchone()
    if row is None:
        return None
    files = db.execute("SELECT * FROM file WHERE project = ?", (name,))
    rejected = db.execute("SELECT * FROM rejected WHERE project = ? ORDER BY entry", (name,))
    return parse_project(row, files, rejected)


def _changed_since(
    db: sqlite3.Connection,
    listing: ProjectList,
    fingerprint: str,
    *,
    exact: bool,
) -> frozenset[ProjectName]:
    """Compare the list and the catalogue column by column.

    Of hundreds of thousands of projects nearly all are equal: the loops over them run in C, and
    only one column of the catalogue is in memory at a time.
    """
    reflects = dict(db.execute(_SELECT_COMPARABLE_SERIALS, (fingerprint,)))
    known = cast("Mapping[ProjectName, Serial]", listing.serials)
    changed = {name for name, serial in listing.serials.items() if not serial}
    if changed:
        known = {name: serial for name, serial in known.items() if serial}
    recorded = map(reflects.get, known, repeat(NO_SERIAL))
    outdated = map(ne if exact else lt, recorded, known.values())
    changed.update(compress(known, outdated))
    changed.update(filterfalse(listing.serials.__contains__, reflects))
    del reflects
    stored, display_names = dict(db.execute(_SELECT_DISPLAY_NAMES)), listing.display_names
    renamed = map(ne, map(stored.get, display_names, display_names), display_names.values())
    changed.update(compress(display_names, renamed))
    changed.update(filterfalse(display_names.__contains__, stored))
    return frozenset(changed)


def _file_stats(
    db: sqlite3.Connection, names: Collection[ProjectName]
) -> dict[ProjectName, list[FileStat]]:
    found: dict[ProjectName, list[FileStat]] = {}
    for name in names:
        if rows := db.execute(_SELECT_FILE_STATS, (name,)).fetchall():
            found[name] = list(map(parse_file_stat, rows))
    return found


def _path_owners(
    db: sqlite3.Connection, name: ProjectName, paths: Collection[str], folding: Folding
) -> list[PathOwner]:
    by_project: dict[ProjectName, list[str]] = defaultdict(list)
    for path in paths:
        for other in likely_owners(path.rpartition("/")[2]):
            if other != name:
                by_project[other].append(path)
    for other, path in _unusual_owners(db, paths):
        if other != name:
            by_project[other].append(path)
    found = []
    for other, wanted in by_project.items():
        if folding:
            places = set(map(folding.fold, wanted))
            rows = db.execute(_SELECT_OWNED_FILES, (other,))
            found += [parse_path_owner(row) for row in rows if folding.fold(row[1]) in places]
        else:
            for path in dict.fromkeys(wanted):
                rows = db.execute(_SELECT_OWNED_FILE, (other, path))
                found += map(parse_path_owner, rows)
    return found


def _unusual_owners(
    db: sqlite3.Connection, paths: Collection[str]
) -> Iterator[tuple[ProjectName, str]]:
    """Yield each project that has one of the paths though the file's name does not tell it."""
    if db.execute("SELECT 1 FROM unusual_path LIMIT 1").fetchone() is None:
        return
    places: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        places[ANY_FOLDING.fold(path)].append(path)
    names = list(places)
    for start in range(0, len(names), _NAMES_PER_QUERY):
        some = names[start : start + _NAMES_PER_QUERY]
        query = (
            f"SELECT project, place FROM unusual_path WHERE place IN ({_placeholders(len(some))})"
        )
        for project, place in db.execute(query, some):
            for path in places[place]:
                yield project, path


def _is_owned(db: sqlite3.Connection, name: ProjectName, path: str) -> bool:
    if db.execute(_SELECT_FILE, (name, path)).fetchone():
        return True
    file = path.removesuffix(SIDECAR_SUFFIX)
    return file != path and db.execute(_SELECT_SIDECAR, (name, file)).fetchone() is not None


def _paths_known(
    db: sqlite3.Connection, paths: frozenset[str], omit: frozenset[ProjectName], folding: Folding
) -> frozenset[str]:
    """Return which of some folded paths belong to any project.

    Read every row once: an index over paths would be as large as all other tables.
    """
    found = set[str]()
    if not paths:
        return paths
    for path, project, has_sidecar in db.execute(_SELECT_PATHS):
        if project in omit:
            continue
        place = folding.fold(path) if folding else path
        found.add(place)
        if has_sidecar:
            found.add(place + SIDECAR_SUFFIX)
        if len(found) > _LIST_ENTRIES:
            found &= paths
    return paths & found


def _totals(db: sqlite3.Connection) -> Totals:
    projects, files, size, unverified, oldest = db.execute(_SELECT_TOTALS).fetchone()
    return Totals(projects, int(files), int(size), int(unverified), oldest or NEVER)


# ---------------------------------------------------------------- changes


def _put(db: sqlite3.Connection, batch: CatalogueUpdate) -> None:
    if batch.forget_above is not None:
        above = (batch.forget_above,)
        db.execute(_FORGET_SERIALS, above * 2)
        db.execute(_FORGET_TARGETS, above)
    records = {record.name: record for record in batch.records}
    gone = [(name,) for name in (*batch.forgotten, *records)]
    db.executemany("DELETE FROM file WHERE project = ?", gone)
    db.executemany("DELETE FROM unusual_path WHERE project = ?", gone)
    db.executemany("DELETE FROM project WHERE name = ?", [(n,) for n in batch.forgotten])
    db.executemany(_PUT_PROJECT, map(project_row, records.values()))
    for record in records.values():
        db.executemany(_PUT_FILE, file_rows(record))
        db.executemany("INSERT OR IGNORE INTO unusual_path VALUES (?, ?)", unusual_rows(record))
    _put_rejected(db, batch, gone)
    resolved = [*gone, *((name,) for name in batch.resolved)]
    db.executemany("DELETE FROM deferred WHERE name = ?", resolved)
    db.executemany(
        f"INSERT OR REPLACE INTO deferred VALUES ({_placeholders(15)})",
        map(deferred_row, batch.deferred),
    )
    db.executemany(
        f"INSERT OR REPLACE INTO trash VALUES ({_placeholders(4)})",
        map(trash_row, batch.trashed),
    )
    db.executemany("DELETE FROM trash WHERE key = ?", [(key,) for key in batch.restored])
    for each in batch.verified:
        _put_verified(db, each)
    looks = [(at, name) for name, at in batch.looked.items()]
    db.executemany("UPDATE project SET asked = ? WHERE name = ?", looks)
    db.executemany("INSERT OR REPLACE INTO marker VALUES (?, ?)", batch.markers.items())
    dependencies.put_dependencies(db, batch)


def _put_rejected(
    db: sqlite3.Connection, batch: CatalogueUpdate, replaced: Iterable[tuple[ProjectName]]
) -> None:
    """Replace the rejected files of projects with a new record, without one, and in ``rejected``.

    A resolved project without a record has no page that files could be left out of.
    """
    rejected = {each.name: each.detail.rejected for each in batch.records} | batch.rejected
    names = [*replaced, *((name,) for name in batch.rejected)]
    db.executemany("DELETE FROM rejected WHERE project = ?", names)
    db.executemany(_DELETE_UNRECORDED_REJECTIONS, [(name,) for name in batch.resolved])
    for name, rejections in rejected.items():
        db.executemany(_PUT_REJECTED, rejected_rows(name, rejections))


def _put_verified(db: sqlite3.Connection, each: Verified) -> None:
    """Record a verification; a project was verified when the oldest of its files was."""
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
    db.execute(_VERIFY_FROM_FILES, (each.name,))
