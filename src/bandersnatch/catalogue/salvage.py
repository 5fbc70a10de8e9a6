"""Copies what can be used of a file of the catalogue into a new one.

The rows of an older version are converted. Of a file that is put aside those rows are copied that
prove themselves by their checksums: among them are ETags, and the times at which changes were
first seen, which nothing else knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from bandersnatch.catalogue.queries import SMALL_ROWS
from bandersnatch.catalogue.records import CleanMarker, Marker
from bandersnatch.catalogue.rows import (
    InvalidRow,
    marker_row,
    parse_project,
    resealed,
    sealed,
    unusual_rows,
)
from bandersnatch.catalogue.schema import TABLES, columns_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator, Mapping

    from bandersnatch.catalogue.database import Database
    from bandersnatch.catalogue.rows import Row

_DEFAULTS: Mapping[str, Any] = {
    "checksum": 0,
    "detail_checksum": 0,
    "exclusions": "",
    "asked": 0,
    "watched": 0,
    "noticed_at": 0,
    "happened_at": None,
    "seen": "",
}
"""The values of columns that older versions lack; checksums are computed."""


class _Reader(NamedTuple):
    """Reads the rows of another file; ``seals`` says that its rows have no checksums yet."""

    db: sqlite3.Connection
    columns: Mapping[str, tuple[str, ...]]
    seals: bool

    def rows(self, table: str, where: str = "", *values: object) -> Iterator[Row]:
        """Yield the rows of a table as this version has them."""
        there = self.columns.get(table, ())
        if not there:
            return
        wanted = TABLES[table].columns
        query = f"SELECT {', '.join(there)} FROM {table} {where}"
        for row in self.db.execute(query, values):
            found = {**_DEFAULTS, **dict(zip(there, row, strict=True))}
            yield tuple(found[column] for column in wanted)


def copy_rows(old: sqlite3.Connection, new: Database, version: int | None) -> None:
    """Copy the rows of ``old`` to ``new``, an empty file, within a transaction of it.

    ``version`` is the older version whose schema ``old`` has, or None for any other file. Then the
    next run adopts what the tree has besides, and does not trust the state files.

    :raises sqlite3.Error: if ``old`` cannot be read to its end; what was read is copied.
    """
    if version is not None:
        reader = _Reader(old, columns_of(version), seals=True)
    else:
        reader = _Reader(old, _columns_there(old), seals=False)
    try:
        _copy_all(reader, new)
    finally:
        if version is None:
            _distrust(new)


def _copy_all(reader: _Reader, new: Database) -> None:
    _copy_projects(reader, new)
    for table, parse in SMALL_ROWS.items():
        rows = (sealed(row[:-1]) if reader.seals else row for row in reader.rows(table))
        new.put(table, filter(_check_with(parse), rows))


def _distrust(db: Database) -> None:
    markers = {Marker.ADOPTED: "", Marker.CLEAN: CleanMarker.UNTRUSTED}
    db.put("marker", [marker_row(key, text) for key, text in markers.items()])


def _copy_projects(reader: _Reader, new: Database) -> None:
    for row in reader.rows("project"):
        files = list(reader.rows("file", "WHERE project = ? ORDER BY path", row[0]))
        found = resealed(row, files) if reader.seals else row
        try:
            record = parse_project(found, files)
        except InvalidRow:
            continue
        new.put("project", [found])
        new.put("file", files)
        new.put("unusual_path", unusual_rows(record))


def _check_with(parse: Callable[[Row], object]) -> Callable[[Row], bool]:
    def is_valid(row: Row) -> bool:
        try:
            parse(row)
        except InvalidRow:
            return False
        return True

    return is_valid


def _columns_there(db: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    """Return the columns of this version for each table that has all of them."""
    there = {}
    for name, table in TABLES.items():
        found = {row[1] for row in db.execute(f"PRAGMA table_info({name})")}
        if found.issuperset(table.columns):
            there[name] = table.columns
    return there
