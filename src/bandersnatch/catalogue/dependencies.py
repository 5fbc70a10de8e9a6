"""The tables of who needs whom, for a closure of dependencies.

``requirement`` has what the files of a project state, as texts that the catalogue does not read.
``dependency`` has what each project asks of each other one, and ``followed`` the projects that some
other project needs. The functions take a connection and block. A project whose row of one of them
is damaged counts as one whose requirements were not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import FollowedRow, RequirementRow, requirements_basis
from bandersnatch.catalogue.rows import checked, sealed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from bandersnatch.catalogue.damage import DamageLog
    from bandersnatch.catalogue.records import CatalogueUpdate
    from bandersnatch.catalogue.rows import Row
    from bandersnatch.model.names import ProjectName

_NAMES_PER_QUERY = 500
_SELECT_MISSING = """
    SELECT name FROM project
    WHERE standing <> 'excluded' AND name NOT IN (SELECT project FROM requirement) ORDER BY name
"""


def select_requirements(
    db: sqlite3.Connection, names: Sequence[ProjectName] | None, damage: DamageLog
) -> dict[ProjectName, RequirementRow]:
    """Return the rows of the named projects, or all, by name."""
    rows = _rows(db, "requirement", "project", names)
    found = damage.parsed("requirement", rows, checked)
    return {name: RequirementRow(*row) for name, *row in found}


def select_missing(db: sqlite3.Connection) -> list[ProjectName]:
    """Return the published projects without a row of requirements, by name."""
    return [name for (name,) in db.execute(_SELECT_MISSING)]


def select_unjudged(db: sqlite3.Connection) -> list[ProjectName]:
    """Return the projects whose requirements were not judged yet, by name."""
    query = "SELECT project FROM requirement WHERE contexts = '' ORDER BY project"
    return [name for (name,) in db.execute(query)]


def select_dependencies(
    db: sqlite3.Connection, names: Sequence[ProjectName] | None, damage: DamageLog
) -> dict[ProjectName, dict[ProjectName, str]]:
    """Return what the named projects, or all, ask of others: by dependant, then by needed name."""
    found: dict[ProjectName, dict[ProjectName, str]] = {}
    rows = _rows(db, "dependency", "project", names)
    for project, needed, asks in damage.parsed("dependency", rows, checked):
        found.setdefault(project, {})[needed] = asks
    return found


def select_dependants(
    db: sqlite3.Connection, names: Sequence[ProjectName], damage: DamageLog
) -> dict[ProjectName, dict[ProjectName, str]]:
    """Return what is asked of the named projects: by needed name, then by dependant."""
    found: dict[ProjectName, dict[ProjectName, str]] = {}
    rows = _rows(db, "dependency", "needed", names)
    for project, needed, asks in damage.parsed("dependency", rows, checked):
        found.setdefault(needed, {})[project] = asks
    return found


def select_followed(db: sqlite3.Connection, damage: DamageLog) -> dict[ProjectName, FollowedRow]:
    """Return the projects that others need, by name."""
    rows = _rows(db, "followed", "name", None)
    return {name: FollowedRow(*row) for name, *row in damage.parsed("followed", rows, checked)}


def _rows(
    db: sqlite3.Connection, table: str, column: str, names: Sequence[ProjectName] | None
) -> Iterator[Row]:
    """Yield the rows of a table whose column has one of the names, or all rows."""
    query = f"SELECT * FROM {table}"
    if names is None:
        yield from db.execute(f"{query} ORDER BY {column}")
        return
    for start in range(0, len(names), _NAMES_PER_QUERY):
        some = names[start : start + _NAMES_PER_QUERY]
        marks = ", ".join("?" * len(some))
        yield from db.execute(f"{query} WHERE {column} IN ({marks}) ORDER BY {column}", some)


def put_dependencies(db: sqlite3.Connection, batch: CatalogueUpdate) -> None:
    """Make the changes of a batch to these tables; its records are stored already.

    A project that is not published any more needs nothing. One whose files have changed has no row
    of requirements until its files are read again; what it asked for stays until then.
    """
    if batch.records or batch.forgotten:
        _remove_outdated(db, batch)
    bases = {record.name: requirements_basis(record) for record in batch.records}
    db.executemany(
        "INSERT OR REPLACE INTO requirement VALUES (?, ?, ?, ?, ?)",
        [
            sealed((name, bases.get(name, row.basis), row.contexts, row.needs))
            for name, row in batch.requirements.items()
        ],
    )
    for name, asks in batch.dependencies.items():
        db.execute("DELETE FROM dependency WHERE project = ?", (name,))
        db.executemany(
            "INSERT INTO dependency VALUES (?, ?, ?, ?)",
            [sealed((name, needed, text)) for needed, text in asks.items()],
        )
    db.executemany("DELETE FROM followed WHERE name = ?", [(n,) for n in batch.unfollowed])
    db.executemany(
        "INSERT OR REPLACE INTO followed VALUES (?, ?, ?, ?)",
        [sealed((name, *row)) for name, row in batch.followed.items()],
    )


def _remove_outdated(db: sqlite3.Connection, batch: CatalogueUpdate) -> None:
    if db.execute("SELECT 1 FROM requirement LIMIT 1").fetchone() is None:
        return
    gone = [(name,) for name in batch.forgotten]
    gone += [(record.name,) for record in batch.records if not record.is_published]
    db.executemany("DELETE FROM requirement WHERE project = ?", gone)
    db.executemany("DELETE FROM dependency WHERE project = ?", gone)
    db.executemany(
        "DELETE FROM requirement WHERE project = ? AND basis <> ?",
        [(record.name, requirements_basis(record)) for record in batch.records],
    )
