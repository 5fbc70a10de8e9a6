"""What the catalogue needs of a database; the adapters are SQLite and PostgreSQL.

Statements are in the part of SQL that both have, with ``?`` where a value belongs. All functions
and methods block, and run in the catalogue's thread.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from bandersnatch.catalogue.rows import Row

    _Item = TypeVar("_Item")

NAMES_PER_QUERY = 500


class Database(Protocol):
    """An open database with the tables of ``schema.TABLES``."""

    def execute(self, query: str, values: Sequence[object] = (), /) -> list[Row]:
        """Run a statement, and return its rows; none if it is not a query."""
        ...

    def stream(self, query: str, values: Sequence[object] = (), /) -> Iterator[Row]:
        """Yield the rows of a query, which may be too many for the memory.

        Nothing else may be run before the last one.
        """
        ...

    def select_pairs(
        self, select: str, columns: tuple[str, str], pairs: Iterable[tuple[str, str]], /
    ) -> Iterator[Row]:
        """Yield the rows of a query without a condition whose columns have one of the pairs."""
        ...

    def executemany(self, statement: str, values: Iterable[Sequence[object]], /) -> None:
        """Run a statement that is not a query for each of the values."""
        ...

    def put(self, table: str, rows: Iterable[Row], /) -> None:
        """Insert rows with every column, or replace those with the same keys."""
        ...

    def insert(self, table: str, rows: Iterable[Row], /) -> None:
        """Insert rows with every column, whose keys the table does not have yet.

        Of several rows with the same key the last one counts.
        """
        ...

    def delete(self, table: str, column: str, values: Iterable[str], /) -> None:
        """Delete the rows whose column has one of the values."""
        ...

    def delete_row(self, table: str, columns: Sequence[str], values: Sequence[object], /) -> None:
        """Delete the rows with these values, which may be damaged."""
        ...

    def clear(self) -> None:
        """Delete all rows of all tables."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """Begin a transaction; it is committed durably at its end, or rolled back by an error."""
        ...


def batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Yield lists of the items, each of ``size`` but the last."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def placeholders(count: int) -> str:
    """Return the marks of some values."""
    return ", ".join("?" * count)


def select_named(
    db: Database, select: str, column: str, names: Iterable[str], order: str = ""
) -> Iterator[Row]:
    """Yield the rows of a query without a condition whose column has one of the names.

    They are ordered by ``order``, by default the column, within each part of the names.
    """
    for some in batches(names, NAMES_PER_QUERY):
        condition = f"WHERE {column} IN ({placeholders(len(some))})"
        yield from db.execute(f"{select} {condition} ORDER BY {order or column}", some)
