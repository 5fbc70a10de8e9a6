"""The queries that look over a whole catalogue, a piece at a time; everything here blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.catalogue.rows import stored_record
from bandersnatch.layout import SIDECAR_SUFFIX
from bandersnatch.model.serials import NO_SERIAL
from bandersnatch.records import NEVER, Listed, Stale, Totals, Waiting

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection

    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList
    from bandersnatch.records import Stored, Verified

_LISTED = 5_000
_STALE = 500
"""Projects a piece: few enough to weigh nothing, many enough that the queries do not either."""

# "standing <> 'left out'" is as the index ``scrub`` has it, or that is not used.
_NEXT = """
    SELECT name, serial FROM project
    WHERE name > ? AND standing <> 'left out' ORDER BY name LIMIT ?
"""
_OLDEST = """
    SELECT name, verified, files, size FROM project
    WHERE standing <> 'left out' AND verified < ? AND (verified, name) > (?, ?)
    ORDER BY verified, name LIMIT ?
"""
# Core metadata that has a sha256 is advertised, other is not.
_STORED = """
    SELECT path, size, modified, coalesce(instr(core_metadata, 'sha256='), 0) FROM file
    WHERE project = ? AND modified IS NOT NULL
"""
_FILE = "SELECT 1 FROM file WHERE project = ? AND path = ?"
_WITH_SIDECAR = f"{_FILE} AND instr(core_metadata, 'sha256=') > 0"
_ALL = "SELECT path, coalesce(instr(core_metadata, 'sha256='), 0) FROM file"
_LARGEST = """
    SELECT name, verified, files, size FROM project
    WHERE standing <> 'left out' ORDER BY size DESC, name LIMIT ?
"""
_TOTALS = """
    SELECT count(*), total(files), total(size), total(verified = 0),
           min(CASE WHEN verified > 0 THEN verified END)
    FROM project WHERE standing <> 'left out'
"""
_AS_ITS_OLDEST = """
    UPDATE project SET verified = coalesce((
        SELECT min(coalesce(verified, 0)) FROM file
        WHERE project = project.name AND modified IS NOT NULL), 0)
    WHERE name = ?
"""


def listed(db: sqlite3.Connection, after: str) -> list[Listed]:
    """Return the next projects after a name, in the order of names."""
    return [Listed(*row) for row in db.execute(_NEXT, (after, _LISTED))]


def stale(db: sqlite3.Connection, before: int, after: Stale | None) -> list[Stale]:
    """Return the next projects that were verified before a time, the oldest first."""
    last = (after.verified, after.name) if after is not None else (NEVER - 1, "")
    return [Stale(*row) for row in db.execute(_OLDEST, (before, *last, _STALE))]


def stored(
    db: sqlite3.Connection, names: Collection[ProjectName]
) -> dict[ProjectName, list[Stored]]:
    """Return the files of projects as they lie there."""
    found: dict[ProjectName, list[Stored]] = {}
    for name in names:
        if rows := db.execute(_STORED, (name,)).fetchall():
            found[name] = list(map(stored_record, rows))
    return found


def owned(db: sqlite3.Connection, claims: Collection[tuple[ProjectName, str]]) -> frozenset[str]:
    """Return those of the paths that belong to the project that they are claimed for."""
    return frozenset(path for name, path in claims if _is_owned(db, name, path))


def _is_owned(db: sqlite3.Connection, name: ProjectName, path: str) -> bool:
    if db.execute(_FILE, (name, path)).fetchone():
        return True
    file = path.removesuffix(SIDECAR_SUFFIX)
    return file != path and db.execute(_WITH_SIDECAR, (name, file)).fetchone() is not None


def named(db: sqlite3.Connection, paths: Collection[str]) -> frozenset[str]:
    """Return those of the paths that belong to any project: one look at every row.

    There is no index over paths: it would be as large as all the rest, for this alone.
    """
    wanted, found = frozenset(paths), set[str]()
    if not wanted:
        return wanted
    for path, sidecar in db.execute(_ALL):
        found.add(path)
        if sidecar:
            found.add(path + SIDECAR_SUFFIX)
        if len(found) > _LISTED:
            found &= wanted
    return wanted & found


_ALIKE = "SELECT name, reflects FROM project WHERE terms = ? AND standing <> 'kept'"
_UNLIKE = "SELECT name FROM project WHERE terms <> ? OR standing = 'kept'"
_SHOWN = "SELECT name, display FROM project WHERE display <> name"


def unlike(db: sqlite3.Connection, listing: ProjectList, terms: str) -> frozenset[ProjectName]:
    """Return the projects that are not here just as a whole list has them.

    Of hundreds of thousands all but a few are: they are compared as two columns, for which no
    values are made but numbers and names.
    """
    reflects = dict(db.execute(_ALIKE, (terms,)))
    shown = dict(db.execute(_SHOWN))
    displays = listing.displays
    differing = {
        name
        for name, serial in listing.serials.items()
        if not serial
        or reflects.get(name, NO_SERIAL) < serial
        or (
            (name in shown or name in displays)
            and shown.get(name, name) != displays.get(name, name)
        )
    }
    differing |= reflects.keys() - listing.serials.keys()
    differing.update(name for (name,) in db.execute(_UNLIKE, (terms,)))
    return frozenset(differing)


def totals(db: sqlite3.Connection) -> Totals:
    """Return what the mirror has, counted."""
    projects, files, size, unverified, oldest = db.execute(_TOTALS).fetchone()
    return Totals(projects, int(files), int(size), int(unverified), oldest or NEVER)


def largest(db: sqlite3.Connection, count: int) -> list[Stale]:
    """Return the projects with the most bytes, the largest first."""
    return [Stale(*row) for row in db.execute(_LARGEST, (count,))]


def removed_totals(db: sqlite3.Connection) -> Waiting:
    """Return what lies in ``removed/``, counted."""
    files, size = db.execute("SELECT count(*), total(size) FROM removed").fetchone()
    return Waiting(files, int(size))


def put_verified(db: sqlite3.Connection, each: Verified) -> None:
    """Write down that content was found right; a project is as old as the oldest of its files."""
    if each.paths is None:
        db.execute(
            "UPDATE file SET verified = ? WHERE project = ? AND modified IS NOT NULL",
            (each.at, each.name),
        )
        db.execute("UPDATE project SET verified = ? WHERE name = ?", (each.at, each.name))
        return
    db.executemany(
        "UPDATE file SET verified = ? WHERE project = ? AND path = ? AND modified IS NOT NULL",
        [(each.at, each.name, path) for path in each.paths],
    )
    db.execute(_AS_ITS_OLDEST, (each.name,))
