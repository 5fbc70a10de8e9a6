"""The catalogue of a dry run: temporary tables that shadow those of the real database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from bandersnatch.catalogue.schema import TABLES
from bandersnatch.catalogue.sqlite import BUSY_TIMEOUT, SqliteCatalogue
from bandersnatch.catalogue.sqlite_file import SqliteFile

if TYPE_CHECKING:
    from collections.abc import Iterator

# Unqualified names of tables lead to the temporary ones first, so that every statement of
# SqliteCatalogue reads and writes the views. A row is in a view if it was added, or if it is in
# the real table and not hidden; changed rows are hidden and added.
_SHADOW = """
CREATE TEMP TABLE added_{table} AS SELECT * FROM main.{table} WHERE 0;
CREATE UNIQUE INDEX temp.added_{table}_key ON added_{table} ({key});
CREATE TEMP TABLE hidden_{table} ({key}, PRIMARY KEY ({key})) WITHOUT ROWID;
CREATE TEMP VIEW {table} AS
    SELECT * FROM main.{table}
    WHERE EXISTS (SELECT 1 FROM real_rows_visible)
    AND NOT EXISTS (SELECT 1 FROM hidden_{table} AS hidden WHERE {matches_real})
    UNION ALL SELECT * FROM added_{table};
CREATE TEMP TRIGGER insert_{table} INSTEAD OF INSERT ON {table} BEGIN
    INSERT OR REPLACE INTO hidden_{table} VALUES ({new_key});
    INSERT OR REPLACE INTO added_{table} VALUES ({new_row});
END;
CREATE TEMP TRIGGER delete_{table} INSTEAD OF DELETE ON {table} BEGIN
    INSERT OR REPLACE INTO hidden_{table} VALUES ({old_key});
    DELETE FROM added_{table} WHERE {matches_old};
END;
CREATE TEMP TRIGGER update_{table} INSTEAD OF UPDATE ON {table} BEGIN
    INSERT OR REPLACE INTO hidden_{table} VALUES ({new_key});
    INSERT OR REPLACE INTO added_{table} VALUES ({new_row});
END;
"""
# The sum of both numbers stays what it is in the real table: 0 unless that is damaged.
_SHADOW_TALLY = """
CREATE TEMP TABLE real_rows_visible AS SELECT 1;
CREATE TEMP VIEW tally AS SELECT projects,
    coalesce((SELECT projects + inverse FROM main.tally), 1) - projects AS inverse FROM (SELECT
    coalesce((SELECT projects FROM main.tally WHERE EXISTS (SELECT 1 FROM real_rows_visible)), 0)
    - (SELECT count(*) FROM hidden_project AS hidden CROSS JOIN main.project AS real
       WHERE real.name = hidden.name AND real.standing <> 'excluded'
       AND EXISTS (SELECT 1 FROM real_rows_visible))
    + (SELECT count(*) FROM added_project WHERE standing <> 'excluded') AS projects);
"""


class _ShadowedFile(SqliteFile):
    """A file whose tables are shadowed once ``shadow`` was called."""

    def shadow(self) -> None:
        """Create the temporary tables."""
        self.connection.executescript(f"BEGIN; {_SHADOW_TALLY} {''.join(_shadows())} COMMIT;")

    def clear(self) -> None:
        """Hide all rows of the real tables, and delete the added ones."""
        self.execute("DELETE FROM real_rows_visible")
        for table in TABLES:
            self.execute(f"DELETE FROM added_{table}")


class DryRunCatalogue(SqliteCatalogue):
    """A catalogue whose changes are kept in temporary tables, and lost when it is closed.

    The real file is opened read-only. Temporary tables are in memory as long as they are small,
    and then in a temporary file.
    """

    def __init__(self, directory: str, *, busy_timeout: float = BUSY_TIMEOUT) -> None:
        super().__init__(directory, read_only=True, busy_timeout=busy_timeout)
        self._file: _ShadowedFile = _ShadowedFile(directory, busy_timeout, read_only=True)
        self._drops = True

    async def __aenter__(self) -> Self:
        """Open the file and shadow its tables."""
        return await super().__aenter__()

    def _prepare(self) -> None:
        self._file.shadow()
        self._check_trust()


def _shadows() -> Iterator[str]:
    for table, (types, keys) in TABLES.items():
        yield _SHADOW.format(
            table=table,
            key=", ".join(keys),
            matches_real=" AND ".join(f"hidden.{k} = main.{table}.{k}" for k in keys),
            matches_old=" AND ".join(f"{k} = old.{k}" for k in keys),
            new_key=", ".join(f"new.{k}" for k in keys),
            old_key=", ".join(f"old.{k}" for k in keys),
            new_row=", ".join(f"new.{column}" for column in types),
        )
