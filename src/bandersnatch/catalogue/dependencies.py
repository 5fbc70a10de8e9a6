"""The tables of who needs whom, for a closure of dependencies.

``requirement`` has what the files of a project state, as texts that the catalogue does not read.
``dependency`` has what each project asks of each other one, and ``followed`` the projects that some
other project needs. The functions take a connection and block. A project whose row of one of them
is damaged counts as one whose requirements were not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.catalogue.database import select_named
from bandersnatch.catalogue.records import FollowedRow, RequirementRow, requirements_basis
from bandersnatch.catalogue.rows import are_intact, checked, sealed
from bandersnatch.catalogue.schema import select

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bandersnatch.catalogue.damage import DamageLog
    from bandersnatch.catalogue.database import Database
    from bandersnatch.catalogue.records import CatalogueUpdate
    from bandersnatch.catalogue.rows import Row
    from bandersnatch.model.names import ProjectName

_SELECT_MISSING = """
    SELECT name FROM project
    WHERE standing <> 'excluded' AND name NOT IN (SELECT project FROM requirement) ORDER BY name
"""


def select_requirements(
    db: Database, names: Sequence[ProjectName] | None, damage: DamageLog
) -> dict[ProjectName, RequirementRow]:
    """Return the rows of the named projects, or all, by name."""
    rows = _rows(db, "requirement", "project", names)
    found = damage.parsed("requirement", rows, checked)
    return {name: RequirementRow(*row) for name, *row in found}


def select_missing(db: Database, published: int) -> list[ProjectName]:
    """Return the published projects without a row of requirements, by name.

    Only ``published`` projects have such a row, so that comparing the numbers shows most times that
    none is missing. Where damaged rows were dropped a later run may be the one that finds it.
    """
    if db.execute("SELECT count(*) FROM requirement") == [(published,)]:
        return []
    return [name for (name,) in db.execute(_SELECT_MISSING)]


def select_unjudged(db: Database) -> list[ProjectName]:
    """Return the projects whose requirements were not judged yet, by name."""
    query = "SELECT project FROM requirement WHERE contexts = '' ORDER BY project"
    return [name for (name,) in db.execute(query)]


def select_dependencies(
    db: Database, names: Sequence[ProjectName] | None, damage: DamageLog
) -> dict[ProjectName, dict[ProjectName, str]]:
    """Return what the named projects, or all, ask of others: by dependant, then by needed name."""
    found: dict[ProjectName, dict[ProjectName, str]] = {}
    rows = _rows(db, "dependency", "project", names)
    for project, needed, asks in damage.parsed("dependency", rows, checked):
        found.setdefault(project, {})[needed] = asks
    return found


def select_dependants(
    db: Database, names: Sequence[ProjectName], damage: DamageLog
) -> dict[ProjectName, dict[ProjectName, str]]:
    """Return what is asked of the named projects: by needed name, then by dependant."""
    found: dict[ProjectName, dict[ProjectName, str]] = {}
    rows = _rows(db, "dependency", "needed", names)
    for project, needed, asks in damage.parsed("dependency", rows, checked):
        found.setdefault(needed, {})[project] = asks
    return found


def select_followed(db: Database, damage: DamageLog) -> dict[ProjectName, FollowedRow]:
    """Return the projects that others need, by name."""
    rows = db.execute(select("followed"))  # every run reads all of them
    if not are_intact(rows):
        rows = [(*row, 0) for row in damage.parsed("followed", rows, checked)]
    return {name: FollowedRow(digest, unmet) for name, digest, unmet, _ in rows}


def _rows(
    db: Database, table: str, column: str, names: Sequence[ProjectName] | None
) -> Iterator[Row]:
    """Yield the rows of a table whose column has one of the names, or all rows."""
    if names is None:
        yield from db.stream(f"{select(table)} ORDER BY {column}")
    else:
        yield from select_named(db, select(table), column, names)


def put_dependencies(db: Database, batch: CatalogueUpdate) -> None:
    """Make the changes of a batch to these tables; its records are stored already.

    A project that is not published any more needs nothing. One whose files have changed has no row
    of requirements until its files are read again; what it asked for stays until then.
    """
    if batch.records or batch.forgotten:
        _remove_outdated(db, batch)
    bases = {record.name: requirements_basis(record) for record in batch.records}
    db.put(
        "requirement",
        [
            sealed((name, bases.get(name, row.basis), row.contexts, row.needs))
            for name, row in batch.requirements.items()
        ],
    )
    db.delete("dependency", "project", batch.dependencies)
    db.insert(
        "dependency",
        [
            sealed((name, needed, text))
            for name, asks in batch.dependencies.items()
            for needed, text in asks.items()
        ],
    )
    db.delete("followed", "name", batch.unfollowed)
    db.put("followed", [sealed((name, *row)) for name, row in batch.followed.items()])


def _remove_outdated(db: Database, batch: CatalogueUpdate) -> None:
    if not db.execute("SELECT 1 FROM requirement LIMIT 1"):
        return
    gone = [*batch.forgotten]
    gone += [record.name for record in batch.records if not record.is_published]
    db.delete("requirement", "project", gone)
    db.delete("dependency", "project", gone)
    db.executemany(
        "DELETE FROM requirement WHERE project = ? AND basis <> ?",
        [(record.name, requirements_basis(record)) for record in batch.records],
    )
