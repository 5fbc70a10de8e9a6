"""The queries of the catalogue, for every database.

The functions block. What they return of damaged rows is noted in the ``DamageLog``.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import compress, filterfalse, repeat
from operator import lt, ne
from typing import TYPE_CHECKING, cast

from bandersnatch.catalogue.changes import select_files
from bandersnatch.catalogue.database import select_named
from bandersnatch.catalogue.records import NEVER, Totals, VerifyEntry
from bandersnatch.catalogue.rows import (
    SUMMARY_COLUMNS,
    InvalidRow,
    checked,
    parse_deferred,
    parse_file_stat,
    parse_marker,
    parse_project,
    parse_rejected,
    parse_removed,
    parse_trash_entry,
    unusual_rows,
)
from bandersnatch.catalogue.schema import select
from bandersnatch.layout import SIDECAR_SUFFIX
from bandersnatch.model.filenames import likely_owners
from bandersnatch.model.folding import ANY_FOLDING, Folding
from bandersnatch.model.names import ProjectName
from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from bandersnatch.catalogue.damage import DamageLog
    from bandersnatch.catalogue.database import Database
    from bandersnatch.catalogue.records import FileStat, ProjectRecord
    from bandersnatch.catalogue.rows import Row
    from bandersnatch.model.project import ProjectList

LIST_ENTRIES = 5_000
VERIFY_ENTRIES = 500

_HAS_SIDECAR = "CASE WHEN core_metadata LIKE '%=%' THEN 1 ELSE 0 END"
"""Core metadata is advertised if a digest of it is known."""

# Each "standing <> 'excluded'" is spelled as in the index verify_queue, or that is not used.
SELECT_SUMMARIES = f"SELECT {', '.join(SUMMARY_COLUMNS)} FROM project"
SELECT_LIST_ENTRIES = f"""
    {SELECT_SUMMARIES}
    WHERE name > ? AND standing <> 'excluded' ORDER BY name LIMIT ?
"""
SELECT_VERIFY_QUEUE = """
    SELECT name, verified, files, size FROM project
    WHERE standing <> 'excluded' AND verified < ? AND (verified, name) > (?, ?)
    ORDER BY verified, name LIMIT ?
"""
# Each "standing <> 'retained'" is spelled as in the indexes sweep_queue and watched.
_SELECT_AFTER = """
    SELECT name FROM project WHERE standing <> 'retained' AND asked > ?
    ORDER BY asked, name LIMIT ?
"""
_SELECT_BEFORE = """
    SELECT name FROM project WHERE standing <> 'retained' AND asked < ?
    ORDER BY asked, name LIMIT ?
"""
_SELECT_WATCHED = """
    SELECT name FROM project
    WHERE standing <> 'retained' AND watched > 0 AND watched > ? AND asked < ?
    ORDER BY asked, name LIMIT ?
"""
SELECT_OLDEST_LOOK = "SELECT min(asked) FROM project WHERE standing <> 'retained'"
SELECT_LARGEST = """
    SELECT name, verified, files, size FROM project
    WHERE standing <> 'excluded' ORDER BY size DESC, name LIMIT ?
"""
# Multiplied by 1.0, a sum of any numbers is no error.
_SELECT_TOTALS = """
    SELECT count(*), coalesce(sum(files * 1.0), 0), coalesce(sum(size * 1.0), 0),
           coalesce(sum(CASE WHEN verified = 0 THEN 1 ELSE 0 END), 0),
           min(CASE WHEN verified > 0 THEN verified END)
    FROM project WHERE standing <> 'excluded'
"""
SELECT_TRASH_TOTALS = "SELECT count(*), coalesce(sum(size * 1.0), 0) FROM trash"
_SELECT_FILE_STATS = f"SELECT project, path, size, modified, {_HAS_SIDECAR}, verified FROM file"
_SELECT_OWNED_FILES = "SELECT project, path, hashes, core_metadata, modified FROM file"
_SELECT_CLAIMED = f"SELECT project, path, {_HAS_SIDECAR} FROM file"
_SELECT_PATHS = f"SELECT path, project, {_HAS_SIDECAR} FROM file"
_SELECT_COMPARABLE_SERIALS = """
    SELECT name, CASE WHEN fingerprint = ? AND standing <> 'retained' THEN reflects ELSE 0 END
    FROM project
"""
_SELECT_DISPLAY_NAMES = "SELECT name, display FROM project WHERE display <> name"
_SELECT_NEXT = f"{select('project')} WHERE name > ? ORDER BY name LIMIT ?"
_DELETE_OWNERLESS = "DELETE FROM {} WHERE project NOT IN (SELECT name FROM project)"
SELECT_COUNT = "SELECT count(*) FROM project WHERE standing <> 'excluded'"
SELECT_DUE = "SELECT name FROM project WHERE due IS NOT NULL AND due <= ?"
SELECT_LAST_DUE = "SELECT due FROM project WHERE due IS NOT NULL ORDER BY due DESC LIMIT 1"

SMALL_ROWS: Mapping[str, Callable[[Row], object]] = {
    "marker": parse_marker,
    "deferred": parse_deferred,
    "rejected": parse_rejected,
    "trash": parse_trash_entry,
    "removed": parse_removed,
    "requirement": checked,
    "dependency": checked,
    "followed": checked,
}
"""How the rows of the tables besides those of projects and files are checked."""

TRUST = ("marker", "deferred", "rejected")
"""The tables that say how far the others are to be trusted."""


def names_of(rows: Iterable[Row]) -> list[ProjectName]:
    """Return the names in rows of one column, which were not checked, if they are text."""
    return [ProjectName(name) for (name,) in rows if isinstance(name, str)]


def verify_entries(rows: Iterable[Row]) -> list[VerifyEntry]:
    """Return the entries of rows whose values have the right types; others were not checked."""
    return [VerifyEntry(*row) for row in rows if list(map(type, row)) == [str, int, int, int]]


def check_small_rows(db: Database, tables: Iterable[str], damage: DamageLog) -> None:
    """Check all rows of some of the tables of ``SMALL_ROWS``."""
    for table in tables:
        for _ in damage.parsed(table, db.stream(select(table)), SMALL_ROWS[table]):
            pass


def check_projects(db: Database, after: str, damage: DamageLog) -> str:
    """Check the next projects after a name; return the last name, "" after the last one."""
    rows = db.execute(_SELECT_NEXT, (after, VERIFY_ENTRIES))
    if not rows:
        with db.transaction():  # a dry run makes its tables for changes then
            for table in ("file", "unusual_path"):
                db.execute(_DELETE_OWNERLESS.format(table))
        return ""
    names = [row[0] for row in rows if _is_storable(row[0])]
    files = select_files(db, names)
    places = defaultdict(set)
    for place in select_named(db, select("unusual_path"), "project", names):
        places[place[0]].add(place)
    for row in rows:
        try:
            record = parse_project(row, files.get(row[0], []))
            is_intact = places.get(row[0], set()) == set(unusual_rows(record))
        except (InvalidRow, UnicodeEncodeError):
            is_intact = False
        if not is_intact:
            damage.note("project", row)
    names = [name for name in names if name.isascii()]
    return names[-1] if names else after


def _is_storable(name: object) -> bool:
    """Whether a name that was read is text, and valid UTF-8."""
    try:
        return isinstance(name, str) and bool(name.encode())
    except UnicodeEncodeError:
        return False


def select_sweep(
    db: Database, now: int, count: int, *, before: int, watched: bool
) -> list[ProjectName]:
    """Return the projects whose pages were asked for longest ago; see ``Catalogue``."""
    if watched:
        return names_of(db.execute(_SELECT_WATCHED, (now, before, count)))
    found = db.execute(_SELECT_AFTER, (now, count))
    found += db.execute(_SELECT_BEFORE, (before, count - len(found)))
    return names_of(found)


def changed_since(
    db: Database, listing: ProjectList, fingerprint: str, *, exact: bool
) -> frozenset[ProjectName]:
    """Compare the list and the catalogue column by column.

    Of hundreds of thousands of projects nearly all are equal: the loops over them run in C, and
    only one column of the catalogue is in memory at a time.
    """
    reflects = dict(cast("Iterable[tuple[ProjectName, Serial]]", _comparable(db, fingerprint)))
    known = cast("Mapping[ProjectName, Serial]", listing.serials)
    changed = {name for name, serial in listing.serials.items() if not serial}
    if changed:
        known = {name: serial for name, serial in known.items() if serial}
    try:
        changed.update(_outdated(reflects, known, exact=exact))
    except TypeError:  # a damaged row has a serial of another type, and counts as missing
        found = cast("Mapping[ProjectName, object]", reflects)
        reflects = {name: Serial(each) for name, each in found.items() if isinstance(each, int)}
        changed.update(_outdated(reflects, known, exact=exact))
    changed.update(filterfalse(listing.serials.__contains__, reflects))
    del reflects
    stored = dict(cast("Iterable[tuple[ProjectName, str]]", db.stream(_SELECT_DISPLAY_NAMES)))
    display_names = listing.display_names
    renamed = map(ne, map(stored.get, display_names, display_names), display_names.values())
    changed.update(compress(display_names, renamed))
    changed.update(filterfalse(display_names.__contains__, stored))
    return frozenset(filter(_is_storable, changed))


def _outdated(
    reflects: Mapping[ProjectName, Serial], listed: Mapping[ProjectName, Serial], *, exact: bool
) -> Iterator[ProjectName]:
    recorded = map(reflects.get, listed, repeat(NO_SERIAL))
    return compress(listed, map(ne if exact else lt, recorded, listed.values()))


def _comparable(db: Database, fingerprint: str) -> Iterator[Row]:
    return db.stream(_SELECT_COMPARABLE_SERIALS, (fingerprint,))


def select_project(db: Database, name: ProjectName, damage: DamageLog) -> ProjectRecord | None:
    """Return one project with its files; None without an undamaged record."""
    rows = db.execute(f"{select('project')} WHERE name = ?", (name,))
    if not rows:
        return None
    files = select_files(db, [name]).get(name, [])
    query = f"{select('rejected')} WHERE project = ? ORDER BY entry"
    found = damage.parsed("rejected", db.execute(query, (name,)), parse_rejected)
    rejected = [each.rejection for each in found]
    try:
        return parse_project(rows[0], files, rejected)
    except InvalidRow:
        damage.note("project", rows[0])
        return None


def select_file_stats(
    db: Database, names: Collection[ProjectName]
) -> dict[ProjectName, list[FileStat]]:
    """Return the stored files of the projects; a project without files has no key."""
    found: dict[ProjectName, list[FileStat]] = {}
    for name, *row in select_named(db, _SELECT_FILE_STATS, "project", names, "project, path"):
        if row[2] is not None:
            found.setdefault(name, []).append(parse_file_stat(tuple(row)))
    return found


# ---------------------------------------------------------------- paths


def owner_rows(
    db: Database, name: ProjectName, paths: Collection[str], folding: Folding
) -> list[Row]:
    """Return the rows of the stored files of other projects that have one of the paths.

    They have the values that ``parse_path_owner`` needs.
    """
    by_project: dict[ProjectName, list[str]] = defaultdict(list)
    for path in paths:
        for other in likely_owners(path.rpartition("/")[2]):
            if other != name:
                by_project[other].append(path)
    for other, path in _unusual_owners(db, paths):
        if other != name:
            by_project[other].append(path)
    if not folding:
        pairs = {(other, path): None for other, some in by_project.items() for path in some}
        rows = db.select_pairs(_SELECT_OWNED_FILES, ("project", "path"), pairs)
        return [tuple(row) for *row, modified in rows if modified is not None]
    places = {other: set(map(folding.fold, some)) for other, some in by_project.items()}
    rows = select_named(db, _SELECT_OWNED_FILES, "project", by_project)
    return [
        tuple(row)
        for *row, modified in rows
        if modified is not None and folding.fold(row[1]) in places[row[0]]
    ]


def _unusual_owners(db: Database, paths: Collection[str]) -> Iterator[tuple[ProjectName, str]]:
    """Yield each project that has one of the paths though the file's name does not tell it."""
    if not db.execute("SELECT 1 FROM unusual_path LIMIT 1"):
        return
    places: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        places[ANY_FOLDING.fold(path)].append(path)
    for project, place in select_named(db, select("unusual_path"), "place", places):
        for path in places[place]:
            yield project, path


def select_owned(db: Database, claims: Collection[tuple[ProjectName, str]]) -> frozenset[str]:
    """Return the paths that belong to the project that they are claimed for."""
    wanted = dict.fromkeys(claims)
    for name, path in claims:
        if path.endswith(SIDECAR_SUFFIX):
            wanted[name, path.removesuffix(SIDECAR_SUFFIX)] = None
    owned = set[tuple[str, str]]()
    for project, path, has_sidecar in db.select_pairs(_SELECT_CLAIMED, ("project", "path"), wanted):
        owned.add((project, path))
        if has_sidecar:
            owned.add((project, path + SIDECAR_SUFFIX))
    return frozenset(path for name, path in claims if (name, path) in owned)


def select_known(
    db: Database, paths: frozenset[str], omit: frozenset[ProjectName], folding: Folding
) -> frozenset[str]:
    """Return which of some folded paths belong to any project.

    Read every row once: an index over paths would be as large as all other tables.
    """
    found = set[str]()
    if not paths:
        return paths
    for path, project, has_sidecar in db.stream(_SELECT_PATHS):
        if project in omit:
            continue
        place = folding.fold(path) if folding else path
        found.add(place)
        if has_sidecar:
            found.add(place + SIDECAR_SUFFIX)
        if len(found) > LIST_ENTRIES:
            found &= paths
    return paths & found


def select_totals(db: Database) -> Totals:
    """Return the numbers of projects, files and bytes."""
    ((projects, files, size, unverified, oldest),) = db.execute(_SELECT_TOTALS)
    return Totals(projects, int(files), int(size), int(unverified), oldest or NEVER)
