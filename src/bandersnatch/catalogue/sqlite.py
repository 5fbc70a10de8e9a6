"""The catalogue in a SQLite file.

The functions that take a connection block, and run in the catalogue's thread.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections import defaultdict
from contextlib import closing, contextmanager, suppress
from itertools import compress, filterfalse, repeat
from operator import lt, ne
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar, cast

from bandersnatch.catalogue import dependencies
from bandersnatch.catalogue.changes import SELECT_FILES, SELECT_PROJECT, put
from bandersnatch.catalogue.damage import DamageLog
from bandersnatch.catalogue.port import MirrorCatalogue
from bandersnatch.catalogue.records import NEVER, ListEntry, Totals, TrashTotals, VerifyEntry
from bandersnatch.catalogue.rows import (
    SUMMARY_COLUMNS,
    InvalidRow,
    checked,
    parse_deferred,
    parse_file_stat,
    parse_list_entry,
    parse_marker,
    parse_path_owner,
    parse_project,
    parse_rejected,
    parse_removed,
    parse_summary,
    parse_trash_entry,
    unusual_rows,
)
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
from bandersnatch.concurrency import BlockingExecutor
from bandersnatch.errors import CorruptState, StorageError
from bandersnatch.layout import SIDECAR_SUFFIX
from bandersnatch.model.filenames import likely_owners
from bandersnatch.model.folding import ANY_FOLDING, EXACT, Folding
from bandersnatch.model.names import ProjectName
from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from bandersnatch.catalogue.records import (
        CatalogueUpdate,
        DamagedRow,
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
    )
    from bandersnatch.catalogue.rows import Row
    from bandersnatch.model.project import ProjectList

    _Result = TypeVar("_Result")


FILE_NAME = "catalogue.sqlite"
_ASIDE = ".unusable"
"""Follows the name of a file that was put aside."""

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
"""Begins the message of the error for text that is not UTF-8."""
_LONGEST_ERROR = 200
"""Characters of the message of an error, which may have the text that it is about."""

_HOT_JOURNAL = "SQLITE_READONLY_ROLLBACK"
"""The error for an interrupted commit that cannot be rolled back because the file is read-only."""


def _placeholders(count: int) -> str:
    return ", ".join("?" * count)


# Each "standing <> 'excluded'" is spelled as in the index verify_queue, or that is not used.
_SELECT_SUMMARIES = f"SELECT {', '.join(SUMMARY_COLUMNS)} FROM project"
_SELECT_LIST_ENTRIES = f"""
    {_SELECT_SUMMARIES}
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
_SELECT_NEXT = "SELECT * FROM project WHERE name > ? ORDER BY name LIMIT ?"
_SELECT_PLACES = "SELECT project, place FROM unusual_path WHERE project = ?"
_DELETE_OWNERLESS = "DELETE FROM {} WHERE project NOT IN (SELECT name FROM project)"
_COUNT = "SELECT count(*) FROM project WHERE standing <> 'excluded'"


def exists(directory: str) -> bool:
    """Whether there is a file of a catalogue in a mirror's directory."""
    return os.path.exists(f"{directory}/{FILE_NAME}")


class SqliteCatalogue(MirrorCatalogue):
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
        path = Path(directory).absolute() / FILE_NAME
        self._path = str(path)
        self._uri = path.as_uri()
        self._read_only = read_only
        self._busy_timeout = busy_timeout
        self._threads = BlockingExecutor(1, "catalogue")
        self._database: sqlite3.Connection | None = None
        self._is_damaged = False
        self._damage = DamageLog()
        self._drops = not read_only
        self._changed = False

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
    def _db(self) -> sqlite3.Connection:
        assert self._database is not None, "the catalogue is used inside its context"
        return self._database

    async def _run(self, call: Callable[[], _Result]) -> _Result:
        def mapped() -> _Result:
            with self._mapped_errors():
                try:
                    result = call()
                except sqlite3.OperationalError as error:
                    if not (self._drops and str(error).startswith(_DECODING_ERROR)):
                        raise
                    self._drop_unreadable()
                    result = call()
                self._drop_damaged()
                return result

        return await self._threads.run(mapped)

    @contextmanager
    def _mapped_errors(self) -> Iterator[None]:
        try:
            yield
        except InvalidRow as error:
            raise StorageError(FILE_NAME, str(error)) from error
        except sqlite3.Error as error:
            why = str(error)[:_LONGEST_ERROR]
            known = getattr(error, "sqlite_errorname", "").startswith(_CORRUPTION_ERRORS)
            if known or why.startswith(_DECODING_ERROR):
                self._is_damaged = True
                why += "; it is put aside, and the next run makes a new one"
            raise StorageError(FILE_NAME, why) from error

    # ------------------------------------------------------------ damage

    def _drop_damaged(self) -> None:
        """Drop the damaged rows that were found."""
        if not self._damage:
            return
        if self._drops:
            self._damage.drop(self._db)
        else:
            self._damage.ignore()

    def _drop_unreadable(self) -> None:
        """Drop every damaged row, so that no text is left that is not UTF-8."""
        self._db.text_factory = _text
        try:
            after = ""
            while after := self._check(after):
                self._drop_damaged()
            self._check_small_rows()
            self._drop_damaged()
        finally:
            self._db.text_factory = str

    def _check_small_rows(self) -> None:
        for table, parse in _SMALL_ROWS.items():
            for _ in self._parsed(table, "", (), parse):
                pass

    def _check(self, after: str) -> str:
        """Check the next projects; return the last name, "" after the last one."""
        db = self._db
        rows = db.execute(_SELECT_NEXT, (after, _VERIFY_ENTRIES)).fetchall()
        if not rows:
            for table in ("file", "unusual_path"):
                db.execute(_DELETE_OWNERLESS.format(table))
            return ""
        for row in rows:
            try:
                record = parse_project(row, db.execute(SELECT_FILES, (row[0],)).fetchall())
                places = set(db.execute(_SELECT_PLACES, (row[0],)))
            except (InvalidRow, UnicodeEncodeError):
                self._damage.note("project", row)
            else:
                if places != set(unusual_rows(record)):
                    self._damage.note("project", row)
        names = [row[0] for row in rows if isinstance(row[0], str) and row[0].isascii()]
        return names[-1] if names else after

    def _parsed(
        self,
        table: str,
        rest: str,
        values: Sequence[object],
        parse: Callable[[Row], _Result],
    ) -> Iterator[_Result]:
        """Yield the values of the rows of a table that are not damaged."""
        rows = self._db.execute(f"SELECT * FROM {table} {rest}", values)
        return self._damage.parsed(table, rows, parse)

    # ------------------------------------------------------------ opening

    def _open(self) -> None:
        for suffix in _SUFFIXES:
            _require_regular(self._path + suffix, FILE_NAME + suffix)
        if self._read_only and not os.path.exists(self._path):
            self._replace(None)
            self._prepare()
            return
        try:
            self._connect(f"{self._uri}?mode={'ro' if self._read_only else 'rwc'}")
            is_usable, version = self._inspect()
            if is_usable:
                self._prepare()
        except sqlite3.DatabaseError as error:
            if (
                isinstance(error, sqlite3.OperationalError)
                and error.sqlite_errorname != _HOT_JOURNAL
                and not str(error).startswith(_DECODING_ERROR)
            ):
                raise  # locked, full, not permitted: the file itself may be undamaged
            is_usable, version = False, None
        if not is_usable:
            self._replace(version)
            self._prepare()

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

    def _inspect(self) -> tuple[bool, int | None]:
        """Return whether the file is one of this version, and the version that can be converted.

        :raises CorruptState: if a newer release made it.
        """
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        objects = self._db.execute(SELECT_OBJECTS).fetchall()
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
        is_older = version >= OLDEST and _columns(self._db) == _sorted(columns_of(version))
        return False, version if is_older else None

    def _create(self) -> None:
        self._db.executescript(
            f"BEGIN; {SCHEMA} PRAGMA application_id = {APPLICATION};"
            f"PRAGMA user_version = {VERSION}; COMMIT;"
        )

    def _replace(self, version: int | None) -> None:
        """Put the file aside, make a new one, and copy what can be used."""
        if self._database is not None:
            self._database.close()
        if not self._read_only:
            with suppress(OSError):
                os.replace(self._path, f"{self._path}{_ASIDE}")
            if version is None:
                self._damage.note_whole(f"{FILE_NAME}{_ASIDE}")
        self._connect("file::memory:" if self._read_only else self._uri)
        self._create()
        if not self._read_only:
            self._salvage(version)

    def _salvage(self, version: int | None) -> None:
        """Copy what can be used of the file that was put aside."""
        old = sqlite3.connect(f"{self._uri}{_ASIDE}?mode=ro&immutable=1", uri=True)
        with closing(old), suppress(sqlite3.Error, OverflowError):
            old.text_factory = _text
            copy_rows(old, self._db, version)

    def _prepare(self) -> None:
        """Check the rows that say how far the others are to be trusted, and the tally."""
        if self._read_only:
            return
        self._check_trust()
        if _tally(self._db) is None:
            self._db.execute("DELETE FROM tally")
            (count,) = self._db.execute(_COUNT).fetchone()
            self._db.execute("INSERT INTO tally VALUES (?, ?)", (count, -count))

    def _check_trust(self) -> None:
        self._db.text_factory = _text
        for table in ("marker", "deferred", "rejected"):
            for _ in self._parsed(table, "", (), _SMALL_ROWS[table]):
                pass
        self._db.text_factory = str
        self._drop_damaged()

    def _end(self) -> None:
        """Close the file; replace it if it turned out to be damaged."""
        if self._is_damaged and not self._read_only:
            with suppress(sqlite3.Error):
                self._replace(None)
        if self._database is not None:
            self._database.close()

    # ------------------------------------------------------------ Catalogue

    async def summaries(
        self, names: Iterable[ProjectName] | None, /
    ) -> dict[ProjectName, ProjectSummary]:
        selected = None if names is None else sorted(names)
        return await self._run(lambda: self._summaries(selected))

    async def changed_since(
        self, listing: ProjectList, fingerprint: str, /, *, exact: bool = False
    ) -> frozenset[ProjectName]:
        return await self._run(lambda: _changed_since(self._db, listing, fingerprint, exact=exact))

    async def count(self) -> int:
        def count() -> int:
            found = _tally(self._db)
            return int(self._db.execute(_COUNT).fetchone()[0]) if found is None else found

        return await self._run(count)

    async def due(self, now: int, /) -> Sequence[ProjectName]:
        query = "SELECT name FROM project WHERE due IS NOT NULL AND due <= ?"

        return await self._run(lambda: sorted(_names(self._db.execute(query, (now,)))))

    async def last_due(self) -> int | None:
        query = "SELECT due FROM project WHERE due IS NOT NULL ORDER BY due DESC LIMIT 1"

        def last() -> int | None:
            (found, *_) = self._db.execute(query).fetchone() or (None,)
            return found if isinstance(found, int) else None

        return await self._run(last)

    async def sweep_queue(
        self, now: int, count: int, /, *, before: int, watched: bool = False
    ) -> Sequence[ProjectName]:
        query, values = _SELECT_WATCHED if watched else _SELECT_SWEEP, (now, before, count)
        return await self._run(lambda: _names(self._db.execute(query, values)))

    async def oldest_look(self) -> int | None:
        query = _SELECT_OLDEST_LOOK
        found = await self._run(lambda: self._db.execute(query).fetchone()[0])
        return found if isinstance(found, int) else None

    async def project(self, name: ProjectName, /) -> ProjectRecord | None:
        return await self._run(lambda: self._project(name))

    async def deferred(self) -> Sequence[Deferred]:
        return await self._run(
            lambda: list(self._parsed("deferred", "ORDER BY name", (), parse_deferred))
        )

    async def rejected(self) -> Sequence[RejectedFile]:
        return await self._run(
            lambda: list(self._parsed("rejected", "ORDER BY project, entry", (), parse_rejected))
        )

    async def trash(
        self, *, before: int | None = None, after: int | None = None
    ) -> Sequence[TrashEntry]:
        rest = "WHERE (?1 IS NULL OR at < ?1) AND (?2 IS NULL OR at > ?2) ORDER BY key"
        return await self._run(
            lambda: list(self._parsed("trash", rest, (before, after), parse_trash_entry))
        )

    async def removed(self, names: Iterable[ProjectName], /) -> frozenset[ProjectName]:
        wanted = sorted(names)

        def removed() -> frozenset[ProjectName]:
            rows = self._named("SELECT * FROM removed", wanted)
            return frozenset(self._damage.parsed("removed", rows, parse_removed))

        return await self._run(removed)

    async def marker(self, marker: Marker, /) -> str:
        found = await self._run(
            lambda: dict(self._parsed("marker", "WHERE key = ?", (marker,), parse_marker))
        )
        return found.get(marker, "")

    async def take_damaged(self) -> Sequence[DamagedRow]:
        return self._damage.take()

    @property
    def changed(self) -> bool:
        return self._changed

    async def commit(self, batch: CatalogueUpdate, /) -> None:
        if batch:
            await self._run(lambda: self._commit(batch))

    def _commit(self, batch: CatalogueUpdate) -> None:
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            if batch.reset:
                self._delete_all()
            put(db, batch, self._damage)
            db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise
        self._changed |= bool(batch.records or batch.forgotten or batch.trashed or batch.restored)

    def _delete_all(self) -> None:
        for table in TABLES:
            self._db.execute(f"DELETE FROM {table}")

    def _summaries(self, names: list[ProjectName] | None) -> dict[ProjectName, ProjectSummary]:
        if names is None:
            rows = self._db.execute(f"{_SELECT_SUMMARIES} ORDER BY name")
            return dict(self._damage.parsed("project", rows, parse_summary))
        named = self._named(_SELECT_SUMMARIES, names)
        return dict(self._damage.parsed("project", named, parse_summary))

    def _named(self, select: str, names: Sequence[ProjectName]) -> Iterator[Row]:
        """Yield the rows with these names, which are sorted."""
        for start in range(0, len(names), _NAMES_PER_QUERY):
            some = names[start : start + _NAMES_PER_QUERY]
            query = f"{select} WHERE name IN ({_placeholders(len(some))}) ORDER BY name"
            yield from self._db.execute(query, some)

    def _project(self, name: ProjectName) -> ProjectRecord | None:
        row = self._db.execute(SELECT_PROJECT, (name,)).fetchone()
        if row is None:
            return None
        files = self._db.execute(SELECT_FILES, (name,)).fetchall()
        rest = "WHERE project = ? ORDER BY entry"
        rejected = [
            each.rejection for each in self._parsed("rejected", rest, (name,), parse_rejected)
        ]
        try:
            return parse_project(row, files, rejected)
        except InvalidRow:
            self._damage.note("project", row)
            return None

    # ------------------------------------------------------------ Inventory

    async def list_entries(self, after: str, /) -> Sequence[ListEntry]:
        values = (after, _LIST_ENTRIES)

        def entries() -> list[ListEntry]:
            rows = self._db.execute(_SELECT_LIST_ENTRIES, values)
            return list(self._damage.parsed("project", rows, parse_list_entry))

        return await self._run(entries)

    async def check(self, after: str, /) -> str:
        return await self._run(lambda: self._check(after))

    async def verify_queue(
        self, before: int, after: VerifyEntry | None, /
    ) -> Sequence[VerifyEntry]:
        last = (after.verified, after.name) if after is not None else (NEVER - 1, "")
        values = (before, *last, _VERIFY_ENTRIES)
        return await self._run(
            lambda: list(_entries(self._db.execute(_SELECT_VERIFY_QUEUE, values)))
        )

    async def file_stats(
        self, names: Collection[ProjectName], /
    ) -> Mapping[ProjectName, list[FileStat]]:
        return await self._run(lambda: _file_stats(self._db, names))

    async def path_owners(
        self, name: ProjectName, paths: Collection[str], folding: Folding = EXACT, /
    ) -> Sequence[PathOwner]:
        def owners() -> list[PathOwner]:
            rows = _owner_rows(self._db, name, paths, folding)
            intact = {project for project in {row[0] for row in rows} if self._project(project)}
            return [parse_path_owner(row) for row in rows if row[0] in intact]

        return await self._run(owners)

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
        return await self._run(lambda: list(_entries(self._db.execute(_SELECT_LARGEST, (count,)))))

    async def trash_totals(self) -> TrashTotals:
        query = "SELECT count(*), total(size) FROM trash"
        files, size = await self._run(lambda: self._db.execute(query).fetchone())
        return TrashTotals(files, int(size))

    # ------------------------------------------------------------ Dependencies

    async def requirements(
        self, names: Iterable[ProjectName] | None, /
    ) -> Mapping[ProjectName, RequirementRow]:
        selected = None if names is None else sorted(names)
        return await self._run(
            lambda: dependencies.select_requirements(self._db, selected, self._damage)
        )

    async def requirements_missing(self) -> Sequence[ProjectName]:
        return await self._run(lambda: dependencies.select_missing(self._db))

    async def requirements_unjudged(self) -> Sequence[ProjectName]:
        return await self._run(lambda: dependencies.select_unjudged(self._db))

    async def dependencies(
        self, names: Iterable[ProjectName] | None, /
    ) -> Mapping[ProjectName, Mapping[ProjectName, str]]:
        selected = None if names is None else sorted(names)
        return await self._run(
            lambda: dependencies.select_dependencies(self._db, selected, self._damage)
        )

    async def dependants(
        self, names: Iterable[ProjectName], /
    ) -> Mapping[ProjectName, Mapping[ProjectName, str]]:
        selected = sorted(names)
        return await self._run(
            lambda: dependencies.select_dependants(self._db, selected, self._damage)
        )

    async def followed(self) -> Mapping[ProjectName, FollowedRow]:
        return await self._run(lambda: dependencies.select_followed(self._db, self._damage))


# ---------------------------------------------------------------- queries


_SMALL_ROWS: Mapping[str, Callable[[Row], object]] = {
    "marker": parse_marker,
    "deferred": parse_deferred,
    "rejected": parse_rejected,
    "trash": parse_trash_entry,
    "removed": parse_removed,
    "requirement": checked,
    "dependency": checked,
    "followed": checked,
}


def _names(rows: Iterable[Row]) -> list[ProjectName]:
    """Return the names in rows of one column, which were not checked, if they are text."""
    return [ProjectName(name) for (name,) in rows if isinstance(name, str)]


def _entries(rows: Iterable[Row]) -> Iterator[VerifyEntry]:
    """Yield the entries of rows whose values have the right types; others were not checked."""
    for row in rows:
        if list(map(type, row)) == [str, int, int, int]:
            yield VerifyEntry(*row)


def _text(content: bytes) -> str:
    """Return text as Python does for file names: also if it is not UTF-8."""
    return content.decode("utf-8", "surrogateescape")


def _columns(db: sqlite3.Connection) -> dict[str, list[str]]:
    """Return the columns of our tables that are there."""
    found = {name: [row[1] for row in db.execute(f"PRAGMA table_info({name})")] for name in TABLES}
    return _sorted({name: columns for name, columns in found.items() if columns})


def _sorted(columns: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    return {name: sorted(names) for name, names in columns.items()}


def _tally(db: sqlite3.Connection) -> int | None:
    """Return the number of projects that is kept, None if it is damaged."""
    rows = db.execute("SELECT projects, inverse FROM tally").fetchall()
    if len(rows) != 1 or not all(isinstance(number, int) for number in rows[0]):
        return None
    projects, inverse = rows[0]
    return int(projects) if projects >= 0 and projects == -inverse else None


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


def _owner_rows(
    db: sqlite3.Connection, name: ProjectName, paths: Collection[str], folding: Folding
) -> list[Row]:
    by_project: dict[ProjectName, list[str]] = defaultdict(list)
    for path in paths:
        for other in likely_owners(path.rpartition("/")[2]):
            if other != name:
                by_project[other].append(path)
    for other, path in _unusual_owners(db, paths):
        if other != name:
            by_project[other].append(path)
    found: list[Row] = []
    for other, wanted in by_project.items():
        if folding:
            places = set(map(folding.fold, wanted))
            rows = db.execute(_SELECT_OWNED_FILES, (other,))
            found += [row for row in rows if folding.fold(row[1]) in places]
        else:
            for path in dict.fromkeys(wanted):
                found += db.execute(_SELECT_OWNED_FILE, (other, path))
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
