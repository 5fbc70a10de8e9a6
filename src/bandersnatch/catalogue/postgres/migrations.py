"""The schema of a catalogue in PostgreSQL, as numbered migrations; forward only.

A migration that was released never changes: a later one makes the difference. The tables have the
columns of ``catalogue.schema.TABLES``, in any order. Their text is compared byte by byte, as SQLite
and Python do. ``tally`` has the number of projects that are not excluded: counting 700,000 rows
takes the server up to half a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.errors import CorruptState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bandersnatch.catalogue.database import Database

_FIRST_TABLES = (
    """
    CREATE TABLE project (
        name text COLLATE "C" PRIMARY KEY,
        display text COLLATE "C" NOT NULL,
        serial bigint,
        reflects bigint NOT NULL,
        fingerprint text COLLATE "C" NOT NULL,
        standing text COLLATE "C" NOT NULL,
        due bigint,
        size bigint NOT NULL,
        checksum bigint NOT NULL,
        etag text COLLATE "C" NOT NULL,
        last_modified text COLLATE "C" NOT NULL,
        body text COLLATE "C" NOT NULL,
        status text COLLATE "C" NOT NULL,
        reason text COLLATE "C" NOT NULL,
        versions text COLLATE "C" NOT NULL,
        files bigint NOT NULL,
        verified bigint NOT NULL,
        exclusions text COLLATE "C" NOT NULL,
        watched bigint NOT NULL,
        detail_checksum bigint NOT NULL,
        asked bigint NOT NULL
    )
    """,
    """
    CREATE TABLE file (
        path text COLLATE "C" NOT NULL,
        project text COLLATE "C" NOT NULL,
        size bigint,
        modified bigint,
        verified bigint,
        hashes text COLLATE "C" NOT NULL,
        uploaded text COLLATE "C",
        requires_python text COLLATE "C",
        yanked text COLLATE "C",
        core_metadata text COLLATE "C",
        provenance text COLLATE "C",
        validators text COLLATE "C",
        PRIMARY KEY (project, path)
    )
    """,
    """
    CREATE TABLE unusual_path (
        project text COLLATE "C" NOT NULL,
        place text COLLATE "C" NOT NULL,
        PRIMARY KEY (project, place)
    )
    """,
    """
    CREATE TABLE deferred (
        name text COLLATE "C" PRIMARY KEY,
        deferral text COLLATE "C" NOT NULL,
        target_serial bigint NOT NULL,
        first_serial bigint,
        since bigint NOT NULL,
        tried bigint NOT NULL,
        attempts bigint NOT NULL,
        cause text COLLATE "C" NOT NULL,
        reason text COLLATE "C" NOT NULL,
        display text COLLATE "C" NOT NULL,
        removal_serial bigint NOT NULL,
        quarantined text COLLATE "C" NOT NULL,
        noticed_at bigint NOT NULL,
        happened_at bigint,
        seen text COLLATE "C" NOT NULL,
        checksum bigint NOT NULL
    )
    """,
    """
    CREATE TABLE rejected (
        project text COLLATE "C" NOT NULL,
        entry text COLLATE "C" NOT NULL,
        reason text COLLATE "C" NOT NULL,
        checksum bigint NOT NULL,
        PRIMARY KEY (project, entry)
    )
    """,
    """
    CREATE TABLE trash (
        key text COLLATE "C" PRIMARY KEY,
        size bigint NOT NULL,
        sha256 text COLLATE "C" NOT NULL,
        at bigint NOT NULL,
        checksum bigint NOT NULL
    )
    """,
    'CREATE TABLE removed (name text COLLATE "C" PRIMARY KEY, checksum bigint NOT NULL)',
    """
    CREATE TABLE marker (
        key text COLLATE "C" PRIMARY KEY,
        text text COLLATE "C" NOT NULL,
        checksum bigint NOT NULL
    )
    """,
    """
    CREATE TABLE requirement (
        project text COLLATE "C" PRIMARY KEY,
        basis text COLLATE "C" NOT NULL,
        contexts text COLLATE "C" NOT NULL,
        needs text COLLATE "C" NOT NULL,
        checksum bigint NOT NULL
    )
    """,
    """
    CREATE TABLE dependency (
        project text COLLATE "C" NOT NULL,
        needed text COLLATE "C" NOT NULL,
        asks text COLLATE "C" NOT NULL,
        checksum bigint NOT NULL,
        PRIMARY KEY (project, needed)
    )
    """,
    """
    CREATE TABLE followed (
        name text COLLATE "C" PRIMARY KEY,
        digest text COLLATE "C" NOT NULL,
        unmet text COLLATE "C" NOT NULL,
        checksum bigint NOT NULL
    )
    """,
    "CREATE INDEX dependant ON dependency (needed)",
    "CREATE INDEX due ON project (due) WHERE due IS NOT NULL",
    "CREATE INDEX sweep_queue ON project (asked, name) WHERE standing <> 'retained'",
    "CREATE INDEX unjudged ON requirement (project) WHERE contexts = ''",
    "CREATE INDEX unusual_place ON unusual_path (place)",
    "CREATE INDEX verify_queue ON project (verified, name) WHERE standing <> 'excluded'",
    """
    CREATE INDEX watched ON project (asked, name, watched)
    WHERE standing <> 'retained' AND watched > 0
    """,
    "CREATE TABLE tally (projects bigint NOT NULL)",
    "INSERT INTO tally VALUES (0)",
    """
    CREATE TABLE holder (
        one boolean PRIMARY KEY CHECK (one),
        epoch bigint NOT NULL,
        commits bigint NOT NULL,
        name text NOT NULL
    )
    """,
    "INSERT INTO holder VALUES (true, 0, 0, '')",
)

# With ``search_path`` they also work when a table is edited from another schema.
_FUNCTION = "RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS"
_CHANGE = "UPDATE tally SET projects = projects"
_COUNTED = "(SELECT count(*) FROM changed WHERE standing <> 'excluded')"
_FIRST_TRIGGERS = (
    (
        f"CREATE FUNCTION count_inserted() {_FUNCTION} "
        f"$$ BEGIN {_CHANGE} + {_COUNTED}; RETURN NULL; END $$"
    ),
    (
        f"CREATE FUNCTION count_deleted() {_FUNCTION} "
        f"$$ BEGIN {_CHANGE} - {_COUNTED}; RETURN NULL; END $$"
    ),
    (
        f"CREATE FUNCTION count_changed() {_FUNCTION} $$ BEGIN {_CHANGE} "
        "+ (NEW.standing <> 'excluded')::int - (OLD.standing <> 'excluded')::int; "
        "RETURN NULL; END $$"
    ),
    """
    CREATE TRIGGER count_inserted AFTER INSERT ON project REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_inserted()
    """,
    """
    CREATE TRIGGER count_deleted AFTER DELETE ON project REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION count_deleted()
    """,
    """
    CREATE TRIGGER count_changed AFTER UPDATE OF standing ON project
    FOR EACH ROW EXECUTE FUNCTION count_changed()
    """,
)

MIGRATIONS: Mapping[int, tuple[str, ...]] = {1: (*_FIRST_TABLES, *_FIRST_TRIGGERS)}
"""The statements of each migration by number, from 1 on without a gap."""

TABLES_ALONE = _FIRST_TABLES
"""The statements that create the tables of the newest version, without triggers."""

_CREATE_RECORD = """
    CREATE TABLE IF NOT EXISTS migration (
        number integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now()
    )
"""
_SELECT_VERSION = 'SELECT coalesce(max(number), 0) FROM "{}".migration'


def version_of(db: Database, schema: str) -> int:
    """Return the number of the last migration that was applied to a schema, 0 for none."""
    there = "SELECT 1 FROM pg_tables WHERE schemaname = ? AND tablename = 'migration'"
    if not db.execute(there, (schema,)):
        return 0
    ((version,),) = db.execute(_SELECT_VERSION.format(schema))
    return int(version)


def require_known(shown: str, version: int, newest: int) -> None:
    """Check that a schema is not that of a newer release.

    :raises CorruptState: if it is.
    """
    if version > newest:
        why = (
            f"a newer release made this catalogue (its version is {version}, and this release "
            f"knows {newest}); use that release, or another schema: ?schema=NAME"
        )
        raise CorruptState(shown, why)


def migrate(
    db: Database,
    shown: str,
    version: int,
    migrations: Mapping[int, tuple[str, ...]] = MIGRATIONS,
) -> None:
    """Apply the migrations that the schema of ``version`` lacks, each in a transaction.

    ``shown`` is the URL of the database, as messages show it.

    :raises CorruptState: if a newer release has applied others.
    """
    require_known(shown, version, max(migrations))
    if version == max(migrations):
        return
    for number in range(version + 1, max(migrations) + 1):
        with db.transaction():
            db.execute(_CREATE_RECORD)
            for statement in migrations[number]:
                db.execute(statement)
            db.execute("INSERT INTO migration (number) VALUES (?)", (number,))
