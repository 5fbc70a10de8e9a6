"""Copies all rows of one catalogue into another one, of any kind. Everything blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from bandersnatch.catalogue.changes import select_files
from bandersnatch.catalogue.database import placeholders
from bandersnatch.catalogue.queries import SMALL_ROWS
from bandersnatch.catalogue.rows import InvalidRow, parse_project, unusual_rows
from bandersnatch.catalogue.schema import TABLES, select
from bandersnatch.errors import StorageError, UsageError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence

    from bandersnatch.catalogue.damage import DamageLog
    from bandersnatch.catalogue.database import Database
    from bandersnatch.catalogue.rows import Row

_PROJECTS_PER_PAGE = 500
_ROWS_PER_PAGE = 5_000


class CopiedRows(NamedTuple):
    """How many rows were copied; ``others`` are those of neither projects nor their files."""

    projects: int
    files: int
    others: int


class Page(NamedTuple):
    """Rows by table, and the key of the last one; None if there are no more."""

    last: tuple[object, ...] | None
    rows: dict[str, list[Row]]


class Source(Protocol):
    """The catalogue that is copied."""

    def read_page(self, table: str, after: Sequence[object], /) -> Page:
        """Return the next rows after a key; see ``read_page``."""
        ...


def read_page(db: Database, table: str, after: Sequence[object], damage: DamageLog) -> Page:
    """Return the next rows of a table after a key, projects with their files.

    An empty ``after`` is before all keys. Damaged rows are noted in ``damage``, and left out.
    """
    keys = TABLES[table].key
    size = _PROJECTS_PER_PAGE if table == "project" else _ROWS_PER_PAGE
    condition = f"WHERE ({', '.join(keys)}) > ({placeholders(len(keys))})" if after else ""
    query = f"{select(table)} {condition} ORDER BY {', '.join(keys)} LIMIT ?"
    rows = db.execute(query, [*after, size])
    if not rows:
        return Page(None, {})
    places = [TABLES[table].columns.index(name) for name in keys]
    last = tuple(rows[-1][place] for place in places)
    if table == "project":
        return Page(last, _with_files(db, rows, damage))
    parsed = damage.parsed(table, rows, _unchanged_by(SMALL_ROWS[table]))
    return Page(last, {table: list(parsed)})


def _with_files(db: Database, rows: Sequence[Row], damage: DamageLog) -> dict[str, list[Row]]:
    """Return rows of projects with those that belong to them, by table."""
    found: dict[str, list[Row]] = {"project": [], "file": [], "unusual_path": []}
    files = select_files(db, [row[0] for row in rows])
    for row in rows:
        own = files.get(row[0], [])
        try:
            record = parse_project(row, own)
        except InvalidRow:
            damage.note("project", row)
            continue
        found["project"].append(row)
        found["file"] += own
        found["unusual_path"] += unusual_rows(record)
    return found


def _unchanged_by(parse: Callable[[Row], object]) -> Callable[[Row], Row]:
    def check(row: Row) -> Row:
        parse(row)
        return row

    return check


def copy_all(source: Source, target: Database, stop: threading.Event) -> CopiedRows:
    """Copy everything into an empty database, in one transaction, until ``stop`` is set.

    :raises UsageError: if the target is not empty, or the source is.
    :raises StorageError: if ``stop`` was set, or if the source cannot be read.
    """
    for table in TABLES:
        if target.execute(f"SELECT 1 FROM {table} LIMIT 1"):
            raise UsageError("the catalogue to copy to is not empty; name one that is")
    counts = dict.fromkeys(TABLES, 0)
    with target.transaction():
        # The markers are last: what is dropped as damaged before changes them.
        for table in ("project", *sorted(SMALL_ROWS.keys() - {"marker"}), "marker"):
            for rows in _pages(source, table, stop):
                for name, some in rows.items():
                    target.insert(name, some)
                    counts[name] += len(some)
        if not any(counts.values()):
            raise UsageError("the catalogue to copy has nothing; check its name")
    others = sum(counts[name] for name in SMALL_ROWS)
    return CopiedRows(counts["project"], counts["file"], others)


def _pages(source: Source, table: str, stop: threading.Event) -> Iterator[dict[str, list[Row]]]:
    after: tuple[object, ...] | None = ()
    while after is not None:
        if stop.is_set():
            raise StorageError("catalogue", "the copy was interrupted; nothing was changed")
        after, rows = source.read_page(table, after)
        yield rows
