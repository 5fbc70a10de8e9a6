"""A session whose changes are made in temporary tables, which shadow the real ones."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from bandersnatch.catalogue.postgres.database import by_key
from bandersnatch.catalogue.postgres.failures import connection_error
from bandersnatch.catalogue.postgres.migrations import TABLES_ALONE
from bandersnatch.catalogue.postgres.session import Access, PostgresSession
from bandersnatch.catalogue.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import psycopg

    from bandersnatch.catalogue.rows import Row
    from bandersnatch.config.catalogue import CatalogueSettings

# Unqualified names lead to temporary tables and views first. A row is in a view if it was added, or
# if it is in the real table and not hidden; changed rows are hidden and added.
_SHADOW = """
CREATE TEMPORARY TABLE added_{table} (LIKE {schema}.{table} INCLUDING INDEXES);
CREATE TEMPORARY TABLE hidden_{table} AS SELECT {key} FROM {schema}.{table} LIMIT 0;
ALTER TABLE hidden_{table} ADD PRIMARY KEY ({key});
CREATE TEMPORARY VIEW {table} AS
    SELECT {columns} FROM {schema}.{table} AS real
    WHERE EXISTS (SELECT 1 FROM real_rows_visible)
    AND NOT EXISTS (SELECT 1 FROM hidden_{table} AS hidden WHERE {matches_real})
    UNION ALL SELECT {columns} FROM added_{table};
CREATE FUNCTION pg_temp.delete_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hidden_{table} VALUES ({old_key}) ON CONFLICT DO NOTHING;
    DELETE FROM added_{table} WHERE {matches_old};
    RETURN OLD;
END $$;
CREATE TRIGGER delete_{table} INSTEAD OF DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION pg_temp.delete_{table}();
CREATE FUNCTION pg_temp.update_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO hidden_{table} VALUES ({old_key}) ON CONFLICT DO NOTHING;
    DELETE FROM added_{table} WHERE {matches_old};
    INSERT INTO added_{table} ({columns}) VALUES ({new_row});
    RETURN NEW;
END $$;
CREATE TRIGGER update_{table} INSTEAD OF UPDATE ON {table}
    FOR EACH ROW EXECUTE FUNCTION pg_temp.update_{table}();
"""


class ShadowedSession(PostgresSession):
    """A session that reads the schema, and changes only temporary tables.

    They are created when something changes first: queries need none. Without a schema the tables
    themselves are temporary.
    """

    def __init__(self, settings: CatalogueSettings) -> None:
        super().__init__(settings, Access(is_writing=False))

    def open(self) -> None:
        """Connect; see ``PostgresSession``."""
        super().open()
        if self.is_empty:
            self._create("SET LOCAL search_path = pg_temp", *TABLES_ALONE)

    def restore(self, lost: psycopg.Error) -> float:
        """Make the connection again.

        :raises StorageError: if the temporary tables were lost with the connection.
        """
        if self.is_shadowed or self.is_empty:
            raise connection_error(self._settings, lost, "the connection was lost in a dry run")
        return super().restore(lost)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if not (self.is_shadowed or self.is_empty):
            self._create("CREATE TEMPORARY TABLE real_rows_visible AS SELECT 1", *self._shadows())
            self.is_shadowed = True
        with super().transaction():
            yield

    def put(self, table: str, rows: Iterable[Row], /) -> None:
        if self.is_empty:
            super().put(table, rows)
        elif found := by_key(table, rows):
            keys = f"hidden_{table}"
            self.delete_keys(table, keys, found)
            self.copy(keys, TABLES[table].key, found)
            self.delete_keys(table, f"added_{table}", found)
            self.copy(f"added_{table}", TABLES[table].columns, found.values())

    def insert(self, table: str, rows: Iterable[Row], /) -> None:
        self.put(table, rows)

    def clear(self) -> None:
        if self.is_empty:
            super().clear()
            return
        self.execute("DELETE FROM real_rows_visible")
        for table in TABLES:
            self.execute(f"DELETE FROM added_{table}")

    def _create(self, *statements: str) -> None:
        """Create temporary objects, which even a transaction that only reads may then change."""
        with self.connection.transaction():
            self.connection.execute("SET TRANSACTION READ WRITE")
            for statement in statements:
                self.connection.execute(statement.encode())

    def _shadows(self) -> Iterator[str]:
        for table, (types, keys) in TABLES.items():
            yield _SHADOW.format(
                table=table,
                schema=f'"{self._settings.schema}"',
                key=", ".join(keys),
                columns=", ".join(types),
                matches_real=" AND ".join(f"hidden.{k} = real.{k}" for k in keys),
                matches_old=" AND ".join(f"{k} = OLD.{k}" for k in keys),
                old_key=", ".join(f"OLD.{k}" for k in keys),
                new_row=", ".join(f"NEW.{column}" for column in types),
            )
