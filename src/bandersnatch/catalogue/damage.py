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
    from collections.abc import Callable, Iterable, Iterator

    from bandersnatch.catalogue.database import Database
    from bandersnatch.catalogue.rows import Row

    _Value = TypeVar("_Value")

_OF_PROJECT = (("project", "name"), ("file", "project"), ("unusual_path", "project"))
"""The tables with the rows of a project that are dropped together, with the column of its name."""

_HARMLESS = frozenset(map(str, Marker)) - {Marker.CLEAN}
"""The markers whose absence makes a run do more, never less."""


class DamageLog:
    """The damaged rows that were found, and not reported yet; each is reported once.

    ``is_stuck`` says that a row was found again after it was dropped: an index of the database is
    damaged too, so that it does not find the row by its key.
    """

    def __init__(self) -> None:
        self._to_drop: dict[tuple[str, tuple[Any, ...]], None] = {}
        self._dropped: list[DamagedRow] = []
        self._reported: set[tuple[str, tuple[Any, ...]]] = set()
        self.is_stuck = False

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

    def drop(self, db: Database) -> None:
        """Drop the rows, in one transaction."""
        found, self._to_drop = self._to_drop, {}
        with db.transaction():
            for table, key in found:
                _drop(db, table, key)
        self.is_stuck |= not self._reported.isdisjoint(found)
        self._report(found)

    def ignore(self) -> None:
        """Report the rows as dropped, without a change: the database is read-only."""
        found, self._to_drop = self._to_drop, {}
        self._report(found)

    def _report(self, found: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
        new = [each for each in found if each not in self._reported]
        self._dropped += [DamagedRow(table, _shown(key)) for table, key in new]
        self._reported.update(new)

    def note_whole(self, place: str) -> None:
        """Report that the catalogue as a whole could not be used, and is at ``place`` now."""
        self._dropped.append(DamagedRow("", place))

    def take(self) -> list[DamagedRow]:
        """Return the rows that were dropped since the last call."""
        found, self._dropped = self._dropped, []
        return found


def _drop(db: Database, table: str, key: tuple[Any, ...]) -> None:
    if table == "project":
        for each, column in _OF_PROJECT:
            db.delete_row(each, (column,), key)
        _put_marker(db, Marker.ADOPTED, "")
        return
    db.delete_row(table, TABLES[table].key, key)
    if table == "dependency":
        db.delete_row("requirement", ("project",), key[:1])
    elif table == "followed":
        db.execute("DELETE FROM requirement")
    if table == "trash":
        _put_marker(db, Marker.ADOPTED, "")
    elif table in {"deferred", "rejected"} or (table == "marker" and key[0] not in _HARMLESS):
        _put_marker(db, Marker.CLEAN, CleanMarker.UNTRUSTED)


def _put_marker(db: Database, marker: Marker, text: str) -> None:
    db.put("marker", [marker_row(marker, text)])


def _shown(key: tuple[Any, ...]) -> str:
    """Return the first value of a key; "" if it is not text that can be shown."""
    (value, *_) = key
    return value if isinstance(value, str) and value.isprintable() else ""
