"""A connection to PostgreSQL as the catalogue uses it. Everything blocks."""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from bandersnatch.catalogue.database import Database, batches
from bandersnatch.catalogue.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from psycopg import Connection

    from bandersnatch.catalogue.rows import Row

_ROWS_PER_FETCH = 5_000
_PAIRS_PER_QUERY = 100
_QUERIES = 500


class PostgresDatabase(Database):
    """A connection in autocommit mode, whose search path leads to the tables."""

    connection: Connection

    def execute(self, query: str, values: Sequence[object] = (), /) -> list[Row]:
        cursor = self.connection.execute(_translated(query), _checked(values))
        return [] if cursor.description is None else cursor.fetchall()

    def stream(self, query: str, values: Sequence[object] = (), /) -> Iterator[Row]:
        with self.connection.transaction():
            self.execute(f"DECLARE stream NO SCROLL CURSOR FOR {query}", values)
            while rows := self.execute(f"FETCH FORWARD {_ROWS_PER_FETCH} FROM stream"):
                yield from rows

    def select_pairs(
        self, select: str, columns: tuple[str, str], pairs: Iterable[tuple[str, str]], /
    ) -> Iterator[Row]:
        one = f"({columns[0]} = ? AND {columns[1]} = ?)"
        for some in batches(pairs, _PAIRS_PER_QUERY):
            query = f"{select} WHERE {' OR '.join([one] * len(some))}"
            yield from self.execute(query, [each for pair in some for each in pair])

    def executemany(self, statement: str, values: Iterable[Sequence[object]], /) -> None:
        rows = [_checked(each) for each in values]
        if rows:
            with self.connection.cursor() as cursor:
                cursor.executemany(_translated(statement), rows)

    def put(self, table: str, rows: Iterable[Row], /) -> None:
        found = by_key(table, rows)
        if found:
            self.delete_keys(table, table, found)
            self.copy(table, TABLES[table].columns, found.values())

    def insert(self, table: str, rows: Iterable[Row], /) -> None:
        found = by_key(table, rows)
        if found:
            self.copy(table, TABLES[table].columns, found.values())

    def delete(self, table: str, column: str, values: Iterable[str], /) -> None:
        wanted = [_text(value) for value in values]
        if wanted:
            self.execute(f"DELETE FROM {table} WHERE {column} = ANY(?)", [wanted])

    def delete_row(self, table: str, columns: Sequence[str], values: Sequence[object], /) -> None:
        matches = " AND ".join(f"{column} = ?" for column in columns)
        self.execute(f"DELETE FROM {table} WHERE {matches}", values)

    def clear(self) -> None:
        for table in TABLES:
            self.execute(f"DELETE FROM {table}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        with self.connection.transaction():
            yield

    # ------------------------------------------------------------ many rows

    def copy(self, table: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
        """Insert rows with these columns."""
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN".encode()
        with self.connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def delete_keys(self, table: str, target: str, keys: Iterable[tuple[str, ...]]) -> None:
        """Delete the rows with these keys of ``table`` from ``target``."""
        columns = TABLES[table].key
        arrays = ", ".join(["?::text[]"] * len(columns))
        matches = " AND ".join(f"{target}.{column} = gone.{column}" for column in columns)
        self.execute(
            f"DELETE FROM {target} USING unnest({arrays}) AS gone ({', '.join(columns)}) "
            f"WHERE {matches}",
            [[_text(value) for value in values] for values in zip(*keys, strict=True)],
        )


def by_key(table: str, rows: Iterable[Row]) -> dict[tuple[str, ...], Row]:
    """Return rows by their keys; the last of several with the same key."""
    columns, key = TABLES[table].columns, TABLES[table].key
    places = [columns.index(name) for name in key]
    return {tuple(row[place] for place in places): row for row in rows}


@lru_cache(_QUERIES)
def _translated(query: str) -> bytes:
    """Return a statement with the placeholders of psycopg."""
    return query.replace("%", "%%").replace("?", "%s").encode()


def _checked(values: Sequence[object]) -> list[object]:
    """Return values after a check of their types: a list would be stored as the text of one.

    :raises TypeError: if one is neither text nor an integer nor None nor a list of texts.
    """
    return [
        value if value is None or isinstance(value, int | list) else _text(value)
        for value in values
    ]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is not text")
    return str(value)
