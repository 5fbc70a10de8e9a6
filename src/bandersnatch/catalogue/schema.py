"""The tables of the catalogue's database, and what may be done with a file by its schema.

Rows have checksums. Those of ``project`` have two: ``checksum`` is of the columns before it, which
planning and the root page need of very many projects; ``detail_checksum`` is of those before it
and of all file rows of the project. ``asked`` is in neither: it changes with every look at a page.
``file`` has none of its own, nor have ``unusual_path`` and ``tally``, which are computed from the
others.

``unusual_path`` has the paths of files whose names do not tell the project that they belong to
(``likely_owners``), in the spelling that no file system holds apart. The owners of any path are
found with it and with the keys of ``file``: an index over all paths would be as large as all other
tables. ``tally`` has the number of projects that are not excluded, and its negative: counting the
rows of ``project`` would take longer than everything else in a run with nothing to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

APPLICATION = 0x62616E64
VERSION = 9

_TYPES = {
    "text": ("TEXT", "= 'text'"),
    "text?": ("TEXT", "IN ('text', 'null')"),
    "integer": ("INTEGER", "= 'integer'"),
    "integer?": ("INTEGER", "IN ('integer', 'null')"),
}


class Table(NamedTuple):
    """A table: the types of its columns by name, and the names of its key's columns.

    The type of a column that may be null ends with a question mark.
    """

    types: Mapping[str, str]
    key: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.types)

    def create(self, name: str) -> str:
        """Return the statement that creates the table.

        A column accepts values of its type alone. (SQLite has a word for that, ``STRICT``, in
        versions that not every system has.)
        """
        columns = []
        for column, of_type in self.types.items():
            affinity, check = _TYPES[of_type]
            columns.append(f"{column} {affinity} CHECK (typeof({column}) {check})")
        key = f"PRIMARY KEY ({', '.join(self.key)})"
        return f"CREATE TABLE {name} ({', '.join([*columns, key])}) WITHOUT ROWID"


def select(table: str) -> str:
    """Return the query for all rows of a table, with its columns in their order."""
    return f"SELECT {', '.join(TABLES[table].columns)} FROM {table}"


def _table(key: str, /, **types: str) -> Table:
    return Table(types, tuple(key.split()))


TABLES: Mapping[str, Table] = {
    "project": _table(
        "name",
        name="text",
        display="text",
        serial="integer?",
        reflects="integer",
        fingerprint="text",
        standing="text",
        due="integer?",
        size="integer",
        checksum="integer",
        etag="text",
        last_modified="text",
        body="text",
        status="text",
        reason="text",
        versions="text",
        files="integer",
        verified="integer",
        exclusions="text",
        watched="integer",
        detail_checksum="integer",
        asked="integer",
    ),
    "file": _table(
        "project path",
        path="text",
        project="text",
        size="integer?",
        modified="integer?",
        verified="integer?",
        hashes="text",
        uploaded="text?",
        requires_python="text?",
        yanked="text?",
        core_metadata="text?",
        provenance="text?",
        validators="text?",
    ),
    "unusual_path": _table("project place", project="text", place="text"),
    "deferred": _table(
        "name",
        name="text",
        deferral="text",
        target_serial="integer",
        first_serial="integer?",
        since="integer",
        tried="integer",
        attempts="integer",
        cause="text",
        reason="text",
        display="text",
        removal_serial="integer",
        quarantined="text",
        noticed_at="integer",
        happened_at="integer?",
        seen="text",
        checksum="integer",
    ),
    "rejected": _table(
        "project entry", project="text", entry="text", reason="text", checksum="integer"
    ),
    "trash": _table(
        "key", key="text", size="integer", sha256="text", at="integer", checksum="integer"
    ),
    "removed": _table("name", name="text", checksum="integer"),
    "marker": _table("key", key="text", text="text", checksum="integer"),
    "requirement": _table(
        "project",
        project="text",
        basis="text",
        contexts="text",
        needs="text",
        checksum="integer",
    ),
    "dependency": _table(
        "project needed", project="text", needed="text", asks="text", checksum="integer"
    ),
    "followed": _table("name", name="text", digest="text", unmet="text", checksum="integer"),
}

_TALLY = """tally (projects INTEGER CHECK (typeof(projects) = 'integer'),
    inverse INTEGER CHECK (typeof(inverse) = 'integer'))"""
_INDEXES = {
    "dependant": "dependency (needed)",
    "due": "project (due) WHERE due IS NOT NULL",
    "sweep_queue": "project (asked, name) WHERE standing <> 'retained'",
    "unjudged": "requirement (project) WHERE contexts = ''",
    "unusual_place": "unusual_path (place)",
    "verify_queue": "project (verified, name) WHERE standing <> 'excluded'",
    "watched": "project (asked, name, watched) WHERE standing <> 'retained' AND watched > 0",
}
_TRIGGERS = {
    "count_changed": """AFTER UPDATE OF standing ON project
BEGIN UPDATE tally SET
    projects = projects + (new.standing <> 'excluded') - (old.standing <> 'excluded'),
    inverse = inverse - (new.standing <> 'excluded') + (old.standing <> 'excluded'); END""",
    "count_deleted": """AFTER DELETE ON project WHEN old.standing <> 'excluded'
BEGIN UPDATE tally SET projects = projects - 1, inverse = inverse + 1; END""",
    "count_inserted": """AFTER INSERT ON project WHEN new.standing <> 'excluded'
BEGIN UPDATE tally SET projects = projects + 1, inverse = inverse - 1; END""",
}


def _objects() -> list[tuple[str, str, str, str]]:
    """Return the type, name, table and statement of each object, by type and name."""
    indexes = [
        ("index", name, text.partition(" ")[0], f"CREATE INDEX {name} ON {text}")
        for name, text in _INDEXES.items()
    ]
    tables = [("table", name, name, table.create(name)) for name, table in TABLES.items()]
    tables.append(("table", "tally", "tally", f"CREATE TABLE {_TALLY}"))
    triggers = [
        ("trigger", name, "project", f"CREATE TRIGGER {name} {text}")
        for name, text in _TRIGGERS.items()
    ]
    return [*indexes, *sorted(tables), *triggers]


OBJECTS = _objects()
"""The schema as SQLite stores it."""

SELECT_OBJECTS = """
    SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'
    ORDER BY type, name
"""

SCHEMA = (
    "".join(
        f"{sql};\n"
        for kind in ("table", "index", "trigger")
        for k, _, _, sql in OBJECTS
        if k == kind
    )
    + "INSERT INTO tally VALUES (0, 0);\n"
)
"""The statements that create all of it."""

_ADDED: Mapping[int, Mapping[str, tuple[str, ...]]] = {
    7: {"unusual_path": ("project", "place")},
    8: {
        "project": ("exclusions", "asked", "watched"),
        "deferred": ("noticed_at", "happened_at", "seen"),
        "requirement": ("project", "basis", "contexts", "needs"),
        "dependency": ("project", "needed", "asks"),
        "followed": ("name", "digest", "unmet"),
    },
    9: {
        "project": ("checksum", "detail_checksum"),
        "removed": ("name", "checksum"),
        **dict.fromkeys(
            ("deferred", "rejected", "trash", "marker", "requirement", "dependency", "followed"),
            ("checksum",),
        ),
    },
}
"""The columns that each version added, by table."""

OLDEST = min(_ADDED) - 1
"""The oldest version whose files can be converted."""


def columns_of(version: int) -> dict[str, tuple[str, ...]]:
    """Return the columns of each table of a version."""
    later: dict[str, set[str]] = {name: set() for name in TABLES}
    for number, added in _ADDED.items():
        if number > version:
            for name, columns in added.items():
                later[name].update(columns)
    found = {
        name: tuple(column for column in table.columns if column not in later[name])
        for name, table in TABLES.items()
    }
    return {name: columns for name, columns in found.items() if columns}
