"""What one commit changes in the catalogue's database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch.catalogue.dependencies import put_dependencies
from bandersnatch.catalogue.records import NEVER
from bandersnatch.catalogue.rows import (
    deferred_row,
    detail_checksum,
    file_rows,
    is_project_intact,
    marker_row,
    parse_deferred,
    project_row,
    rejected_rows,
    removed_row,
    resealed,
    trash_row,
    unusual_rows,
)
from bandersnatch.catalogue.schema import TABLES
from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from bandersnatch.catalogue.damage import DamageLog
    from bandersnatch.catalogue.records import CatalogueUpdate, Verified
    from bandersnatch.catalogue.rows import Row
    from bandersnatch.model.names import ProjectName

SELECT_PROJECT = "SELECT * FROM project WHERE name = ?"
SELECT_FILES = "SELECT * FROM file WHERE project = ? ORDER BY path"

_DELETE_UNRECORDED_REJECTIONS = """
    DELETE FROM rejected WHERE project = ? AND project NOT IN (SELECT name FROM project)
"""
_SELECT_PUBLISHED = "SELECT name FROM project WHERE name = ? AND standing <> 'excluded'"
_SET_PROJECT_VERIFIED = "UPDATE project SET verified = ?, detail_checksum = ? WHERE name = ?"
_SELECT_ABOVE = "SELECT * FROM project WHERE serial > ?1 OR reflects > ?1"
_WITHOUT_SERIAL = {
    "serial": None,
    "reflects": NO_SERIAL,
    **dict.fromkeys(("etag", "last_modified", "body"), ""),
}
_SET_VERIFIED = "UPDATE file SET verified = ? WHERE project = ? AND path = ?"
_PROJECT = {name: place for place, name in enumerate(TABLES["project"].columns)}
_FILE = {name: place for place, name in enumerate(TABLES["file"].columns)}


def put_rows(db: sqlite3.Connection, table: str, rows: Iterable[Row]) -> None:
    """Insert rows, or replace those with the same keys."""
    places = ", ".join("?" * len(TABLES[table].columns))
    db.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({places})", rows)


def put(db: sqlite3.Connection, batch: CatalogueUpdate, damage: DamageLog) -> None:
    """Make the changes of a commit; rows that turn out to be damaged are added to ``damage``."""
    if batch.forget_above is not None:
        _forget_above(db, batch.forget_above, damage)
    records = {record.name: record for record in batch.records}
    gone = [(name,) for name in (*batch.forgotten, *records)]
    _remember_removed(db, batch)
    db.executemany("DELETE FROM file WHERE project = ?", gone)
    db.executemany("DELETE FROM unusual_path WHERE project = ?", gone)
    db.executemany("DELETE FROM project WHERE name = ?", [(n,) for n in batch.forgotten])
    for record in records.values():
        files = file_rows(record)
        put_rows(db, "project", [project_row(record, files)])
        put_rows(db, "file", files)
        put_rows(db, "unusual_path", unusual_rows(record))
    _put_rejected(db, batch, gone)
    resolved = [*gone, *((name,) for name in batch.resolved)]
    db.executemany("DELETE FROM deferred WHERE name = ?", resolved)
    put_rows(db, "deferred", map(deferred_row, batch.deferred))
    put_rows(db, "trash", map(trash_row, batch.trashed))
    db.executemany("DELETE FROM trash WHERE key = ?", [(key,) for key in batch.restored])
    for each in batch.verified:
        _put_verified(db, each, damage)
    looks = [(at, name) for name, at in batch.looked.items()]
    db.executemany("UPDATE project SET asked = ? WHERE name = ?", looks)
    put_rows(db, "marker", (marker_row(key, text) for key, text in batch.markers.items()))
    put_dependencies(db, batch)


def _forget_above(db: sqlite3.Connection, above: Serial, damage: DamageLog) -> None:
    """Forget every serial above one, with the validators of its project.

    Damaged rows are added to ``damage``.
    """
    for row in db.execute(_SELECT_ABOVE, (above,)).fetchall():
        files = db.execute(SELECT_FILES, (row[0],)).fetchall()
        if not is_project_intact(row, files):
            damage.note("project", row)
            continue
        unknown = {**dict(zip(_PROJECT, row, strict=True)), **_WITHOUT_SERIAL}
        put_rows(db, "project", [resealed(tuple(unknown.values()), files)])
    rows = db.execute("SELECT * FROM deferred WHERE target_serial > ?", (above,)).fetchall()
    put_rows(
        db,
        "deferred",
        (
            deferred_row(structs.replace(each, target_serial=NO_SERIAL, first_serial=None))
            for each in damage.parsed("deferred", rows, parse_deferred)
        ),
    )


def _remember_removed(db: sqlite3.Connection, batch: CatalogueUpdate) -> None:
    """Remember the published projects that are forgotten, until they are published again."""
    for name in batch.forgotten:
        published = db.execute(_SELECT_PUBLISHED, (name,)).fetchall()
        put_rows(db, "removed", (removed_row(each) for (each,) in published))
    present = [(record.name,) for record in batch.records if record.is_published]
    db.executemany("DELETE FROM removed WHERE name = ?", present)


def _put_rejected(
    db: sqlite3.Connection, batch: CatalogueUpdate, replaced: Iterable[tuple[ProjectName]]
) -> None:
    """Replace the rejected files of projects with a new record, without one, and in ``rejected``.

    A resolved project without a record has no page that files could be left out of.
    """
    rejected = {each.name: each.detail.rejected for each in batch.records} | batch.rejected
    names = [*replaced, *((name,) for name in batch.rejected)]
    db.executemany("DELETE FROM rejected WHERE project = ?", names)
    db.executemany(_DELETE_UNRECORDED_REJECTIONS, [(name,) for name in batch.resolved])
    for name, rejections in rejected.items():
        put_rows(db, "rejected", rejected_rows(name, rejections))


def _put_verified(db: sqlite3.Connection, each: Verified, damage: DamageLog) -> None:
    """Record a verification; a project was verified when the oldest of its files was.

    A damaged project stays as it is: a new checksum would vouch for the damage.
    """
    row = db.execute(SELECT_PROJECT, (each.name,)).fetchone()
    if row is None:
        return
    files: list[Row] = db.execute(SELECT_FILES, (each.name,)).fetchall()
    if not is_project_intact(row, files):
        damage.note("project", row)
        return
    stored = [place for place, file in enumerate(files) if file[_FILE["modified"]] is not None]
    for place in stored:
        if each.paths is None or files[place][_FILE["path"]] in each.paths:
            files[place] = _replaced(files[place], _FILE["verified"], each.at)
    times = [files[place][_FILE["verified"]] or NEVER for place in stored]
    verified = each.at if each.paths is None else min(times, default=row[_PROJECT["verified"]])
    row = _replaced(row, _PROJECT["verified"], verified)
    changes = [
        (files[place][_FILE["verified"]], each.name, files[place][_FILE["path"]])
        for place in stored
    ]
    db.executemany(_SET_VERIFIED, changes)
    db.execute(_SET_PROJECT_VERIFIED, (verified, detail_checksum(row, files), each.name))


def _replaced(row: Row, place: int, value: object) -> Row:
    return (*row[:place], value, *row[place + 1 :])
