"""Damaged rows and schemas of the catalogue: nothing wrong is ever returned."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from bandersnatch.catalogue.overlay import DryRunCatalogue
from bandersnatch.catalogue.records import (
    CatalogueUpdate,
    CleanMarker,
    DamagedRow,
    FollowedRow,
    Marker,
    RequirementRow,
    Verified,
)
from bandersnatch.catalogue.rows import InvalidRow, parse_trash_entry, sealed
from bandersnatch.catalogue.schema import OBJECTS, SELECT_OBJECTS, TABLES, VERSION, columns_of
from bandersnatch.catalogue.sqlite import SqliteCatalogue
from bandersnatch.catalogue.sqlite_file import FILE_NAME
from bandersnatch.errors import CorruptState, StorageError
from bandersnatch.model.names import project_name
from bandersnatch.model.project import Rejection
from tests.support.records import as_kept, make_record, make_removed, make_unfinished

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FOO, BAR, GONE = project_name("foo"), project_name("bar"), project_name("gone")
FILLED = CatalogueUpdate(
    records=[
        make_record("foo", "1.zip", "2.zip"),
        make_record("bar", "1.tar.gz", serial=20),
        make_record("gone", "1.zip"),
    ],
    deferred=[make_unfinished("bar"), make_unfinished("baz")],
    trashed=[make_removed("old")],
    rejected={project_name("qux"): (Rejection.of("x.zip", "why"),)},
    requirements={FOO: RequirementRow("basis", "contexts", "needs")},
    dependencies={FOO: {BAR: "any"}},
    followed={BAR: FollowedRow("digest", "nothing")},
    markers={
        Marker.ADOPTED: "7",
        Marker.CLEAN: "digest",
        Marker.LISTING: "etag",
        Marker.MARK: f"{'a' * 32} 3",
    },
)
BITS = 120
"""Flipped bits that are tried."""


async def fill(home: Path) -> None:
    """Make a catalogue with rows in every table."""
    async with SqliteCatalogue(str(home)) as catalogue:
        await catalogue.commit(FILLED)
        await catalogue.commit(CatalogueUpdate(forgotten=[GONE]))


def edit(home: Path, statement: str, *values: object) -> int:
    """Change the file as somebody may who knows SQLite; return the number of changed rows."""
    with closing(sqlite3.connect(home / FILE_NAME)) as database:
        database.execute("PRAGMA ignore_check_constraints = ON")
        changed = database.execute(statement, values).rowcount
        database.commit()
    return changed


async def content(catalogue: SqliteCatalogue) -> dict[str, Any]:
    """Return everything that the catalogue has, read in every way."""
    entries = await catalogue.list_entries("")
    return {
        "summaries": await catalogue.summaries(None),
        "projects": {
            n: structs.replace(found, asked=0)  # it has no checksum
            for n in (FOO, BAR)
            if (found := await catalogue.project(n))
        },
        "entries": {each.name: each.serial for each in entries},
        "deferred": {each.name: each for each in await catalogue.deferred()},
        "rejected": {each.project: each for each in await catalogue.rejected()},
        "trash": {each.key: each for each in await catalogue.trash()},
        "removed": {each: each for each in await catalogue.removed([GONE, FOO])},
        "requirements": await catalogue.requirements(None),
        "dependencies": await catalogue.dependencies(None),
        "dependants": await catalogue.dependants([FOO, BAR]),
        "followed": await catalogue.followed(),
        "markers": {each: text for each in Marker if (text := await catalogue.marker(each))},
    }


def assert_subset(found: dict[str, Any], true: dict[str, Any]) -> None:
    """Assert that whatever was found is right, except what says that nothing is trusted."""
    for kind, values in found.items():
        for key, value in values.items():
            distrusts = (key, value) == (Marker.CLEAN, CleanMarker.UNTRUSTED)
            assert distrusts or value == true[kind].get(key), (kind, key)


@pytest.fixture
async def true(tmp_path: Path) -> dict[str, Any]:
    """Fill a catalogue in the directory; return its content."""
    await fill(tmp_path)
    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        found = await content(catalogue)
    assert found["projects"][FOO] == as_kept(FILLED.records[0])
    assert all(found.values())
    return found


VALUES: list[object] = [None, -1, 0, 2**62, 1.5, "", "x", "\N{SNOWMAN}\n", b"", b"\xff", "foo"]


@pytest.mark.parametrize(
    ("table", "column"), [(name, column) for name, each in TABLES.items() for column in each.types]
)
async def test_a_changed_value_of_any_type_is_not_believed(
    tmp_path: Path, true: dict[str, Any], table: str, column: str
) -> None:
    original = (tmp_path / FILE_NAME).read_bytes()
    for value in VALUES:
        (tmp_path / FILE_NAME).write_bytes(original)
        try:
            changed = edit(tmp_path, f"UPDATE OR IGNORE {table} SET {column} = ?", value)
        except sqlite3.IntegrityError:
            continue  # a key that is null
        if not changed:
            continue  # the key must not be null, or is there already
        async with SqliteCatalogue(str(tmp_path)) as catalogue:
            after = ""
            while after := await catalogue.check(after):
                pass
            assert_subset(await content(catalogue), true)
            assert_subset(await content(catalogue), true)
        async with SqliteCatalogue(str(tmp_path)) as catalogue:
            assert_subset(await content(catalogue), true)
            assert await catalogue.take_damaged() == []


async def test_text_that_is_not_utf_8_costs_its_row_alone(
    tmp_path: Path, true: dict[str, Any]
) -> None:
    edit(tmp_path, "UPDATE project SET display = CAST(x'ff' AS TEXT) WHERE name = 'foo'")

    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        found = await catalogue.summaries(None)
        damaged = await catalogue.take_damaged()

    assert found == {BAR: true["summaries"][BAR]}
    assert damaged == [DamagedRow("project", "foo")]


@pytest.mark.parametrize("opened", [SqliteCatalogue, DryRunCatalogue])
async def test_a_flipped_bit_anywhere_never_gives_a_wrong_value(
    tmp_path: Path, true: dict[str, Any], opened: Callable[[str], SqliteCatalogue]
) -> None:
    original = (tmp_path / FILE_NAME).read_bytes()
    dice = random.Random("bits")
    for _ in range(BITS):
        text = bytearray(original)
        at = dice.randrange(len(text))
        text[at] ^= 1 << dice.randrange(8)
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        (tmp_path / "copy").mkdir()
        (tmp_path / "copy" / FILE_NAME).write_bytes(text)
        for _again in range(2):
            try:
                async with opened(str(tmp_path / "copy")) as catalogue:
                    assert_subset(await content(catalogue), true)
            except (StorageError, CorruptState):
                pass  # the next command has a new file


# ---------------------------------------------------------------- what a damaged row takes along


async def test_a_damaged_project_goes_with_its_files_and_is_searched_for(
    tmp_path: Path, true: dict[str, Any]
) -> None:
    edit(tmp_path, "UPDATE file SET size = size + 1 WHERE path LIKE '%foo-1.zip'")

    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        assert await catalogue.summaries([FOO]), "its own row is right"
        assert await catalogue.project(FOO) is None
        assert await catalogue.take_damaged() == [DamagedRow("project", "foo")]
        assert await catalogue.take_damaged() == []
        assert await catalogue.summaries([FOO]) == {}
        assert await catalogue.file_stats([FOO]) == {}
        assert await catalogue.count() == 1
        assert await catalogue.marker(Marker.ADOPTED) == ""
        assert await catalogue.marker(Marker.CLEAN) == true["markers"][Marker.CLEAN]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE deferred SET target_serial = 1 WHERE name = 'baz'",
        "UPDATE rejected SET entry = 'y.zip'",
        "UPDATE marker SET key = 'klean' WHERE key = 'clean'",
        "UPDATE marker SET text = 'dirty' WHERE key = 'clean'",
    ],
)
async def test_a_lost_row_that_nothing_else_knows_ends_the_trust_in_the_state(
    tmp_path: Path, true: dict[str, Any], statement: str
) -> None:
    assert true
    edit(tmp_path, statement)

    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        assert await catalogue.marker(Marker.CLEAN) == CleanMarker.UNTRUSTED
        assert len(await catalogue.take_damaged()) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE requirement SET needs = 'x'",
        "UPDATE dependency SET asks = 'x'",
        "UPDATE followed SET digest = ''",
    ],
)
async def test_a_damaged_row_of_a_closure_has_requirements_read_again(
    tmp_path: Path, true: dict[str, Any], statement: str
) -> None:
    assert true
    edit(tmp_path, statement)

    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        await content(catalogue)
        assert FOO in await catalogue.requirements_missing()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE project SET reflects = 999 WHERE name = 'foo'",
        "UPDATE project SET fingerprint = 'x' WHERE name = 'foo'",
        "UPDATE file SET size = 999 WHERE project = 'foo'",
        "UPDATE file SET yanked = 'x' WHERE project = 'foo'",
    ],
)
async def test_a_verification_does_not_vouch_for_a_damaged_row(
    tmp_path: Path, true: dict[str, Any], statement: str
) -> None:
    edit(tmp_path, statement)

    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        await catalogue.commit(CatalogueUpdate(verified=[Verified(FOO, 50), Verified(BAR, 50)]))
        assert await catalogue.project(FOO) is None
        bar = await catalogue.project(BAR)

    assert bar is not None
    assert [each.verified for each in bar.files] == [50]
    assert bar.detail == true["projects"][BAR].detail


@pytest.mark.parametrize("key", ["", "..", "/x", "../x", "removed/../../x", "a//b", "a\0"])
def test_a_checksum_makes_no_invalid_row_valid(key: str) -> None:
    with pytest.raises(InvalidRow):
        parse_trash_entry(sealed((key, 1, "", 7)))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tally SET projects = 1000000",
        "UPDATE tally SET projects = 'many'",
        "UPDATE tally SET inverse = NULL",
        "DELETE FROM tally",
        "INSERT INTO tally VALUES (3, -3)",
    ],
)
@pytest.mark.parametrize("opened", [SqliteCatalogue, DryRunCatalogue])
async def test_a_wrong_number_of_projects_is_counted_again(
    tmp_path: Path,
    true: dict[str, Any],
    statement: str,
    opened: Callable[[str], SqliteCatalogue],
) -> None:
    assert true
    edit(tmp_path, statement)

    async with opened(str(tmp_path)) as catalogue:
        assert await catalogue.count() == 2
        await catalogue.commit(CatalogueUpdate(records=[make_record("new", "1.zip")]))
        assert await catalogue.count() == 3


async def test_rows_of_files_without_a_project_are_dropped(
    tmp_path: Path, true: dict[str, Any]
) -> None:
    assert true
    edit(tmp_path, "UPDATE file SET project = 'nobody' WHERE project = 'foo'")

    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        path = FILLED.records[0].files[0].file.path
        assert await catalogue.paths_known([path]) == {path}
        after = ""
        while after := await catalogue.check(after):
            pass
        assert await catalogue.paths_known([path]) == frozenset()
        assert await catalogue.take_damaged() == [DamagedRow("project", "foo")]


async def test_a_damaged_project_owns_no_path(tmp_path: Path, true: dict[str, Any]) -> None:
    assert true
    path = FILLED.records[0].files[0].file.path
    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        (owner,) = await catalogue.path_owners(BAR, [path])
        assert owner.project == FOO
    edit(tmp_path, "UPDATE file SET hashes = '' WHERE project = 'foo'")

    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        assert await catalogue.path_owners(BAR, [path]) == []


# ---------------------------------------------------------------- types and schemas


@pytest.mark.parametrize(
    ("table", "column", "of_type"),
    [(n, column, of_type) for n, each in TABLES.items() for column, of_type in each.types.items()],
)
async def test_a_column_refuses_values_of_other_types(
    tmp_path: Path, true: dict[str, Any], table: str, column: str, of_type: str
) -> None:
    assert true
    wrong: list[object] = [b"x"]
    wrong += [] if of_type.endswith("?") else [None]
    wrong += ["x"] if of_type.startswith("integer") else []
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        database.execute("INSERT INTO unusual_path VALUES ('foo', 'packages/x')")
        for value in wrong:
            with pytest.raises(sqlite3.IntegrityError):
                database.execute(f"UPDATE {table} SET {column} = ?", (value,))


async def test_sqlite_stores_the_schema_as_expected(tmp_path: Path, true: dict[str, Any]) -> None:
    assert true
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        assert database.execute(SELECT_OBJECTS).fetchall() == OBJECTS


SCHEMA_CHANGES = [
    "ALTER TABLE project ADD COLUMN note TEXT",
    "ALTER TABLE marker ADD COLUMN note TEXT NOT NULL DEFAULT 'x'",
    "DROP INDEX due",
    "DROP TRIGGER count_inserted",
    "CREATE TRIGGER mine AFTER UPDATE ON marker BEGIN DELETE FROM trash; END",
    "CREATE TABLE something (else_ TEXT)",
    "PRAGMA application_id = 7",
    "PRAGMA user_version = 0",
]


@pytest.mark.parametrize("statement", SCHEMA_CHANGES)
async def test_a_file_with_another_schema_is_put_aside_and_keeps_its_right_rows(
    tmp_path: Path, true: dict[str, Any], statement: str
) -> None:
    edit(tmp_path, "UPDATE project SET reflects = 999 WHERE name = 'bar'")
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as database:
        database.execute(statement)
        database.commit()

    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        found = await content(catalogue)

    assert (tmp_path / f"{FILE_NAME}.unusable").exists()
    assert_subset(found, true)
    assert found["projects"] == {FOO: true["projects"][FOO]}
    assert found["deferred"] == true["deferred"]
    assert found["markers"][Marker.CLEAN] == CleanMarker.UNTRUSTED
    assert Marker.ADOPTED not in found["markers"]


@pytest.mark.parametrize("opened", [SqliteCatalogue, DryRunCatalogue])
async def test_a_file_of_a_newer_release_is_refused_and_stays(
    tmp_path: Path, true: dict[str, Any], opened: Callable[[str], SqliteCatalogue]
) -> None:
    assert true
    edit(tmp_path, f"PRAGMA user_version = {VERSION + 1}")
    before = (tmp_path / FILE_NAME).read_bytes()

    with pytest.raises(CorruptState, match="a newer release made it"):
        async with opened(str(tmp_path)):
            pass

    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert not (tmp_path / f"{FILE_NAME}.unusable").exists()


def made_older(home: Path, version: int) -> None:
    """Give the file the schema of an older version."""
    with closing(sqlite3.connect(home / FILE_NAME, isolation_level=None)) as database:
        for kind in ("trigger", "index"):
            query = "SELECT name FROM sqlite_master WHERE type = ? AND name NOT LIKE 'sqlite_%'"
            for (name,) in database.execute(query, (kind,)).fetchall():
                database.execute(f"DROP {kind} {name}")
        for name in TABLES:
            columns = ", ".join(columns_of(version).get(name, ()))
            if columns:
                database.execute(f"CREATE TABLE older AS SELECT {columns} FROM {name}")
            database.execute(f"DROP TABLE {name}")
            if columns:
                database.execute(f"ALTER TABLE older RENAME TO {name}")
        database.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize("version", range(6, VERSION))
async def test_a_file_of_an_older_version_is_converted(
    tmp_path: Path, true: dict[str, Any], version: int
) -> None:
    made_older(tmp_path, version)

    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        found = await content(catalogue)

    added = {"removed"}
    if version < 8:
        added |= {"requirements", "dependencies", "dependants", "followed"}
    for kind in added:
        assert found.pop(kind) == {}
        del true[kind]
    assert found == true


async def test_an_older_file_with_another_schema_is_put_aside(
    tmp_path: Path, true: dict[str, Any]
) -> None:
    assert true
    made_older(tmp_path, 6)
    edit(tmp_path, "ALTER TABLE project DROP COLUMN due")

    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        assert await catalogue.count() == 0
        assert await catalogue.marker(Marker.CLEAN) == CleanMarker.UNTRUSTED
