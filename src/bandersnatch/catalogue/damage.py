"""Damaged rows of the catalogue: collects, drops, and reports them.

A damaged row counts as missing. When it is dropped, the catalogue also forgets what vouched for
its completeness, so that the next command that opens the tree finds what is missing, whatever
happens to this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from bandersnatch.catalogue.records import CleanMarker, DamagedRow, Marker
from bandersnatch.catalogue.rows import InvalidRow, marker_row
from bandersnatch.catalogue.schema import TABLES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator

    from bandersnatch.catalogue.rows import Row

    _Value = TypeVar("_Value")

_OF_PROJECT = (("project", "name"), ("file", "project"), ("unusual_path", "project"))
"""The tables with the rows of a project that are dropped together, with the column of its name."""

_HARMLESS = frozenset(map(str, Marker)) - {Marker.CLEAN}
"""The markers whose absence makes a run do more, never less."""


class DamageLog:
    """The damaged rows that were found, and not reported yet."""

    def __init__(self) -> None:
        self._to_drop: dict[tuple[str, tuple[Any, ...]], None] = {}
        self._dropped: list[DamagedRow] = []

    def __bool__(self) -> bool:
        """Whether there are rows to drop."""
        return bool(self._to_drop)

    def parsed(
        self, table: str, rows: Iterable[Row], parse: Callable[[Row], _Value]
    ) -> Iterator[_Value]:
        """Yield the values of the rows that are not damaged; ``rows`` have every column."""
        for row in rows:
            try:
                value = parse(row)
            except InvalidRow:
                self.note(table, row)
            else:
                yield value

    def note(self, table: str, row: Row) -> None:
        """Add a row of a table, with every column."""
        columns, key = TABLES[table].columns, TABLES[table].key
        self._to_drop[table, tuple(row[columns.index(name)] for name in key)] = None

    def drop(self, db: sqlite3.Connection) -> None:
        """Drop the rows, in one transaction."""
        found, self._to_drop = self._to_drop, {}
        db.execute("BEGIN IMMEDIATE")
        try:
            for table, key in found:
                _drop(db, table, key)
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        self._dropped += [DamagedRow(table, _shown(key)) for table, key in found]

    def ignore(self) -> None:
        """Report the rows as dropped, without a change: the database is read-only."""
        found, self._to_drop = self._to_drop, {}
        self._dropped += [DamagedRow(table, _shown(key)) for table, key in found]

    def note_whole(self, place: str) -> None:
        """Report that the catalogue as a whole could not be used, and is at ``place`` now."""
        self._dropped.append(DamagedRow("", place))

    def take(self) -> list[DamagedRow]:
        """Return the rows that were dropped since the last call."""
        found, self._dropped = self._dropped, []
        return found


def _drop(db: sqlite3.Connection, table: str, key: tuple[Any, ...]) -> None:
    if table == "project":
        for each, column in _OF_PROJECT:
            _delete(db, each, (column,), key)
        _put_marker(db, Marker.ADOPTED, "")
        return
    _delete(db, table, TABLES[table].key, key)
    if table == "dependency":
        _delete(db, "requirement", ("project",), key[:1])
    elif table == "followed":
        db.execute("DELETE FROM requirement")
    if table == "trash":
        _put_marker(db, Marker.ADOPTED, "")
    elif table in {"deferred", "rejected"} or (table == "marker" and key[0] not in _HARMLESS):
        _put_marker(db, Marker.CLEAN, CleanMarker.UNTRUSTED)


def _delete(
    db: sqlite3.Connection, table: str, columns: tuple[str, ...], key: tuple[Any, ...]
) -> None:
    """Delete rows by their key, which may be of any type, and even text that is not UTF-8."""
    texts = [isinstance(value, str) for value in key]
    matches = " AND ".join(
        f"{column} = CAST(? AS TEXT)" if is_text else f"{column} IS ?"
        for column, is_text in zip(columns, texts, strict=True)
    )
    values = [
        value.encode("utf-8", "surrogateescape") if is_text else value
        for value, is_text in zip(key, texts, strict=True)
    ]
    db.execute(f"DELETE FROM {table} WHERE {matches}", values)


def _put_marker(db: sqlite3.Connection, marker: Marker, text: str) -> None:
    db.execute("INSERT OR REPLACE INTO marker VALUES (?, ?, ?)", marker_row(marker, text))


def _shown(key: tuple[Any, ...]) -> str:
    """Return the first value of a key; "" if it is not text that can be shown."""
    (value, *_) = key
    return value if isinstance(value, str) and value.isprintable() else ""
