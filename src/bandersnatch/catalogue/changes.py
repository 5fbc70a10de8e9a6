"""What one commit changes in the catalogue's database."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch.catalogue.database import NAMES_PER_QUERY, batches, select_named
from bandersnatch.catalogue.dependencies import put_dependencies
from bandersnatch.catalogue.records import NEVER, Standing
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
from bandersnatch.catalogue.schema import TABLES, select
from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bandersnatch.catalogue.damage import DamageLog
    from bandersnatch.catalogue.database import Database
    from bandersnatch.catalogue.records import CatalogueUpdate, ProjectRecord, Verified
    from bandersnatch.catalogue.rows import Row
    from bandersnatch.model.names import ProjectName

_SELECT_STANDINGS = "SELECT name, standing FROM project"
_SET_PROJECT_VERIFIED = "UPDATE project SET verified = ?, detail_checksum = ? WHERE name = ?"
_SELECT_ABOVE = f"{select('project')} WHERE serial > ? OR reflects > ?"
_WITHOUT_SERIAL = {
    "serial": None,
    "reflects": NO_SERIAL,
    **dict.fromkeys(("etag", "last_modified", "body"), ""),
}
_SET_VERIFIED = "UPDATE file SET verified = ? WHERE project = ? AND path = ?"
_PROJECT = {name: place for place, name in enumerate(TABLES["project"].columns)}
_FILE = {name: place for place, name in enumerate(TABLES["file"].columns)}


def select_files(db: Database, names: Iterable[str]) -> dict[str, list[Row]]:
    """Return the rows of the files of projects, in the order of their paths; none has no key."""
    found: dict[str, list[Row]] = {}
    rows = select_named(db, select("file"), "project", names, "project, path")
    for row in rows:
        found.setdefault(row[_FILE["project"]], []).append(row)
    return found


def put(db: Database, batch: CatalogueUpdate, damage: DamageLog) -> None:
    """Make the changes of a commit; rows that turn out to be damaged are added to ``damage``."""
    if batch.forget_above is not None:
        _forget_above(db, batch.forget_above, damage)
    records = {record.name: record for record in batch.records}
    gone = [*batch.forgotten, *records]
    _remember_removed(db, batch)
    db.delete("file", "project", gone)
    db.delete("unusual_path", "project", gone)
    db.delete("project", "name", batch.forgotten)
    _put_records(db, records.values())
    _put_rejected(db, batch, gone)
    db.delete("deferred", "name", [*gone, *batch.resolved])
    db.put("deferred", map(deferred_row, batch.deferred))
    db.put("trash", map(trash_row, batch.trashed))
    db.delete("trash", "key", batch.restored)
    for some in batches(batch.verified, NAMES_PER_QUERY):
        _put_verified(db, some, damage)
    looks = [(at, name) for name, at in batch.looked.items()]
    db.executemany("UPDATE project SET asked = ? WHERE name = ?", looks)
    db.put("marker", (marker_row(key, text) for key, text in batch.markers.items()))
    put_dependencies(db, batch)


def _put_records(db: Database, records: Iterable[ProjectRecord]) -> None:
    """Store records, whose files are not there any more."""
    for some in batches(records, NAMES_PER_QUERY):
        files = [file_rows(record) for record in some]
        rows = (project_row(record, own) for record, own in zip(some, files, strict=True))
        db.put("project", rows)
        db.insert("file", chain.from_iterable(files))
        db.insert("unusual_path", chain.from_iterable(map(unusual_rows, some)))


def _forget_above(db: Database, above: Serial, damage: DamageLog) -> None:
    """Forget every serial above one, with the validators of its project.

    Damaged rows are added to ``damage``.
    """
    for some in batches(db.execute(_SELECT_ABOVE, (above, above)), NAMES_PER_QUERY):
        files = select_files(db, [row[0] for row in some])
        intact = []
        for row in some:
            own = files.get(row[0], [])
            if is_project_intact(row, own):
                unknown = {**dict(zip(_PROJECT, row, strict=True)), **_WITHOUT_SERIAL}
                intact.append(resealed(tuple(unknown.values()), own))
            else:
                damage.note("project", row)
        db.put("project", intact)
    rows = db.execute(f"{select('deferred')} WHERE target_serial > ?", (above,))
    db.put(
        "deferred",
        [
            deferred_row(structs.replace(each, target_serial=NO_SERIAL, first_serial=None))
            for each in damage.parsed("deferred", rows, parse_deferred)
        ],
    )


def _remember_removed(db: Database, batch: CatalogueUpdate) -> None:
    """Remember the published projects that are forgotten, until they are published again."""
    known = select_named(db, _SELECT_STANDINGS, "name", batch.forgotten)
    published = [name for name, standing in known if standing != Standing.EXCLUDED.value]
    db.put("removed", map(removed_row, published))
    db.delete("removed", "name", [each.name for each in batch.records if each.is_published])


def _put_rejected(db: Database, batch: CatalogueUpdate, replaced: Iterable[ProjectName]) -> None:
    """Replace the rejected files of projects with a new record, without one, and in ``rejected``.

    A resolved project without a record has no page that files could be left out of.
    """
    rejected = {each.name: each.detail.rejected for each in batch.records} | batch.rejected
    recorded = {name for name, _ in select_named(db, _SELECT_STANDINGS, "name", batch.resolved)}
    unrecorded = [name for name in batch.resolved if name not in recorded]
    db.delete("rejected", "project", [*replaced, *batch.rejected, *unrecorded])
    rows = (rejected_rows(name, rejections) for name, rejections in rejected.items())
    db.insert("rejected", chain.from_iterable(rows))


def _put_verified(db: Database, batch: Sequence[Verified], damage: DamageLog) -> None:
    """Record verifications; a project was verified when the oldest of its files was.

    A damaged project stays as it is: a new checksum would vouch for the damage.
    """
    names = list(dict.fromkeys(each.name for each in batch))
    found = {row[0]: row for row in select_named(db, select("project"), "name", names)}
    files = select_files(db, found)
    for name, row in list(found.items()):
        if not is_project_intact(row, files.get(name, [])):
            damage.note("project", row)
            del found[name]
    for each in batch:
        if each.name in found:
            own = files[each.name] = _verified_files(files.get(each.name, []), each)
            found[each.name] = _verified_project(found[each.name], own, each)
    changes = [
        (file[_FILE["verified"]], name, file[_FILE["path"]])
        for name in found
        for file in files[name]
        if _is_stored(file)
    ]
    db.executemany(_SET_VERIFIED, changes)
    verified = _PROJECT["verified"]
    sums = [(row[verified], detail_checksum(row, files[name]), name) for name, row in found.items()]
    db.executemany(_SET_PROJECT_VERIFIED, sums)


def _is_stored(file: Row) -> bool:
    return file[_FILE["modified"]] is not None


def _verified_files(files: Iterable[Row], each: Verified) -> list[Row]:
    """Return the rows of a project's files after a verification."""
    return [
        _replaced(file, _FILE["verified"], each.at)
        if _is_stored(file) and (each.paths is None or file[_FILE["path"]] in each.paths)
        else file
        for file in files
    ]


def _verified_project(row: Row, files: Iterable[Row], each: Verified) -> Row:
    """Return a project's row after a verification of its files."""
    times = [file[_FILE["verified"]] or NEVER for file in files if _is_stored(file)]
    before = row[_PROJECT["verified"]]
    at = each.at if each.paths is None else min(times, default=before)
    return _replaced(row, _PROJECT["verified"], at)


def _replaced(row: Row, place: int, value: object) -> Row:
    return (*row[:place], value, *row[place + 1 :])
