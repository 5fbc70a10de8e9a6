"""The file of ``SqliteCatalogue``: opening, replacing, and damage."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from bandersnatch.catalogue.records import CatalogueUpdate, CleanMarker, Marker, TrashEntry
from bandersnatch.catalogue.sqlite import SqliteCatalogue
from bandersnatch.catalogue.sqlite_file import FILE_NAME
from bandersnatch.errors import StorageError
from bandersnatch.layout import StorageKey
from bandersnatch.model.names import project_name
from tests.support.disks import is_there, listing, mounted, open_files
from tests.support.records import as_kept, make_record, make_removed, make_unfinished

if TYPE_CHECKING:
    from collections.abc import Callable

FOO = project_name("foo")
UNUSABLE = f"{FILE_NAME}.unusable"
BATCH = CatalogueUpdate(
    records=[make_record("foo", "1.zip")],
    deferred=[make_unfinished("bar")],
    trashed=[make_removed("baz")],
    markers={Marker.LISTING: "text"},
)


def marker(key: str) -> Marker:
    """Return a key that no release uses, as if it were a marker."""
    return cast("Marker", key)


MANY = [TrashEntry(StorageKey(f"removed/{n:03}{'x' * 2000}"), 1, "", 7) for n in range(300)]


async def fill(home: Path) -> None:
    """Create a catalogue with rows in every table, and a few hundred pages of the trash."""
    async with SqliteCatalogue(str(home)) as catalogue:
        await catalogue.commit(BATCH)
        await catalogue.commit(CatalogueUpdate(trashed=MANY))


async def assert_filled(catalogue: SqliteCatalogue) -> None:
    """Assert that it has everything."""
    assert await catalogue.project(FOO) == as_kept(BATCH.records[0])
    assert list(await catalogue.deferred()) == BATCH.deferred
    assert list(await catalogue.trash()) == [*MANY, *BATCH.trashed]
    assert await catalogue.marker(Marker.LISTING) == "text"


async def assert_empty(catalogue: SqliteCatalogue) -> None:
    """Assert that it is empty."""
    assert await catalogue.count() == 0
    assert await catalogue.summaries(None) == {}
    assert list(await catalogue.deferred()) == []
    assert list(await catalogue.trash()) == []
    assert await catalogue.marker(Marker.LISTING) == ""


async def assert_nothing_wrong(catalogue: SqliteCatalogue) -> None:
    """Assert that it has only what it had, and that a run makes it complete again."""
    assert set(await catalogue.summaries(None)) <= {FOO}
    assert await catalogue.project(FOO) in {None, as_kept(BATCH.records[0])}
    assert list(await catalogue.deferred()) in ([], BATCH.deferred)
    assert all(each in [*MANY, *BATCH.trashed] for each in await catalogue.trash())
    assert await catalogue.marker(Marker.LISTING) in {"", "text"}
    assert await catalogue.marker(Marker.ADOPTED) == ""
    assert await catalogue.marker(Marker.CLEAN) in {"", CleanMarker.UNTRUSTED}


# ---------------------------------------------------------------- unusable files


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all, but long enough to be looked at " * 500)


def short(path: Path) -> None:
    path.write_bytes(b"x")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100_000])


def beheaded(path: Path) -> None:
    path.write_bytes(bytes(100) + path.read_bytes()[100:])


def schema_lost(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xff" * 3000 + content[3100:])


def foreign(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE project (something TEXT)")


def another_programs(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA application_id = 7")


def half_lost(path: Path) -> None:
    """Destroy the second half, which is not read when the file is opened."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2].ljust(len(content), b"\xff"))


async def read_all(catalogue: SqliteCatalogue) -> None:
    """Read every page of the trash."""
    await catalogue.trash()


UNUSABLES = [garbage, truncated, beheaded, schema_lost, foreign, another_programs]


@pytest.mark.parametrize("harm", UNUSABLES)
async def test_an_unusable_file_is_set_aside_and_replaced(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    await fill(tmp_path)
    harm(tmp_path / FILE_NAME)
    harmed = (tmp_path / FILE_NAME).read_bytes()
    before = open_files()

    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        await assert_nothing_wrong(catalogue)
        assert (tmp_path / UNUSABLE).read_bytes() == harmed
    assert open_files() == before
    await fill(tmp_path)

    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        await assert_filled(catalogue)
    assert set(listing(tmp_path)) == {".", FILE_NAME, UNUSABLE}


@pytest.mark.parametrize("harm", [empty, short])
async def test_a_file_without_a_schema_is_initialised(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    harm(tmp_path / FILE_NAME)

    await fill(tmp_path)

    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        await assert_filled(catalogue)
    assert set(listing(tmp_path)) == {".", FILE_NAME}


async def test_only_the_last_file_that_was_set_aside_is_kept(tmp_path: Path) -> None:
    for content in (b"first" * 1000, b"second" * 1000):
        (tmp_path / FILE_NAME).write_bytes(content)
        async with SqliteCatalogue(str(tmp_path)):
            pass

    assert (tmp_path / UNUSABLE).read_bytes() == b"second" * 1000


async def test_a_file_that_cannot_be_set_aside_is_an_error(tmp_path: Path) -> None:
    garbage(tmp_path / FILE_NAME)
    (tmp_path / UNUSABLE).mkdir()
    before = open_files()

    with pytest.raises(StorageError, match="file is not a database"):
        await fill(tmp_path)

    assert open_files() == before


async def test_a_journal_of_a_deleted_file_does_not_damage_a_new_one(tmp_path: Path) -> None:
    """An operator may delete the catalogue without its journal."""
    await fill(tmp_path)
    cut_off_a_commit(tmp_path)
    (tmp_path / FILE_NAME).unlink()

    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        await assert_empty(catalogue)
    await fill(tmp_path)

    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        await assert_filled(catalogue)


async def test_damage_found_after_opening_is_an_error_once(tmp_path: Path) -> None:
    """Checking the whole file when it is opened would take minutes."""
    await fill(tmp_path)
    half_lost(tmp_path / FILE_NAME)
    damaged = (tmp_path / FILE_NAME).read_bytes()

    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        with pytest.raises(StorageError) as caught:
            await read_all(catalogue)

    assert str(caught.value) == (
        "storage failed at catalogue.sqlite: database disk image is malformed; "
        "it is put aside, and the next run makes a new one"
    )
    assert (tmp_path / UNUSABLE).read_bytes() == damaged
    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        await assert_nothing_wrong(catalogue)


# ---------------------------------------------------------------- read-only


@pytest.mark.parametrize("harm", [*UNUSABLES, empty, short])
async def test_read_only_an_unusable_file_is_not_changed_and_counts_as_empty(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    await fill(tmp_path)
    harm(tmp_path / FILE_NAME)
    before = listing(tmp_path)

    async with SqliteCatalogue(str(tmp_path), read_only=True) as catalogue:
        await assert_empty(catalogue)

    assert listing(tmp_path) == before


async def test_read_only_changes_nothing_not_even_by_opening(tmp_path: Path) -> None:
    await fill(tmp_path)
    before = listing(tmp_path)

    async with SqliteCatalogue(str(tmp_path), read_only=True) as catalogue:
        await assert_filled(catalogue)
        with pytest.raises(StorageError, match="readonly"):
            await catalogue.commit(CatalogueUpdate(markers={Marker.LISTING: "changed"}))

    assert listing(tmp_path) == before


async def test_read_only_creates_nothing(tmp_path: Path) -> None:
    async with SqliteCatalogue(str(tmp_path / "never"), read_only=True) as catalogue:
        await assert_empty(catalogue)

    assert not is_there(tmp_path / "never")


async def test_read_only_a_file_with_damage_found_after_opening_is_not_changed(
    tmp_path: Path,
) -> None:
    await fill(tmp_path)
    half_lost(tmp_path / FILE_NAME)
    before = listing(tmp_path)

    async with SqliteCatalogue(str(tmp_path), read_only=True) as catalogue:
        with pytest.raises(StorageError, match=r"malformed|Could not decode"):
            await read_all(catalogue)

    assert listing(tmp_path) == before


async def test_read_only_a_file_with_an_interrupted_commit_counts_as_empty(tmp_path: Path) -> None:
    """Rolling back the commit would change the file."""
    await fill(tmp_path)
    cut_off_a_commit(tmp_path)
    before = listing(tmp_path)

    async with SqliteCatalogue(str(tmp_path), read_only=True) as catalogue:
        await assert_empty(catalogue)

    assert listing(tmp_path) == before


# ---------------------------------------------------------------- commits


def cut_off_a_commit(home: Path) -> None:
    """Kill a process in the middle of a commit, with half of it in the file."""
    program = """
        import os, sqlite3, sys
        database = sqlite3.connect(sys.argv[1], isolation_level=None)
        database.execute("PRAGMA cache_size = 2")
        database.execute("BEGIN IMMEDIATE")
        database.execute("UPDATE marker SET text = 'half a commit'")
        database.execute("DELETE FROM project")
        os._exit(9)
    """
    text = "\n".join(line.strip() for line in program.splitlines())
    done = subprocess.run([sys.executable, "-c", text, str(home / FILE_NAME)], check=False)
    assert done.returncode == 9
    assert (home / f"{FILE_NAME}-journal").exists()


async def test_a_commit_survives_reopening(tmp_path: Path) -> None:
    await fill(tmp_path)

    for _ in range(2):
        async with SqliteCatalogue(str(tmp_path)) as catalogue:
            await assert_filled(catalogue)

    assert set(listing(tmp_path)) == {".", FILE_NAME}


async def test_an_interrupted_commit_is_rolled_back(tmp_path: Path) -> None:
    await fill(tmp_path)
    cut_off_a_commit(tmp_path)

    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        await assert_filled(catalogue)

    assert set(listing(tmp_path)) == {".", FILE_NAME}


async def test_a_commit_is_durable_to_the_end_of_its_journal(tmp_path: Path) -> None:
    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        (level,) = catalogue._db.execute("PRAGMA synchronous")[0]
        (journal,) = catalogue._db.execute("PRAGMA journal_mode")[0]

    assert (level, journal) == (3, "delete")


async def test_a_full_disk_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    with mounted(tmp_path, size="2m"):
        await fill(tmp_path)
        large = {marker(f"m{number}"): "y" * 100_000 for number in range(30)}
        async with SqliteCatalogue(str(tmp_path)) as catalogue:
            with pytest.raises(StorageError, match="database or disk is full"):
                await catalogue.commit(CatalogueUpdate(forgotten=[FOO], markers=large))
            await assert_filled(catalogue)
            await catalogue.commit(CatalogueUpdate(markers={Marker.LISTING: "text"}))

        async with SqliteCatalogue(str(tmp_path)) as catalogue:
            await assert_filled(catalogue)


async def test_a_commit_waits_a_minute_for_long_queries(tmp_path: Path) -> None:
    """A query takes seconds where a disk is slow, and must not end a run."""
    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        (milliseconds,) = catalogue._db.execute("PRAGMA busy_timeout")[0]

    assert milliseconds == 60_000


# ---------------------------------------------------------------- opening


async def test_a_locked_file_is_an_error_and_is_not_replaced(tmp_path: Path) -> None:
    await fill(tmp_path)
    before = open_files()

    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageError, match="database is locked"):
            async with SqliteCatalogue(str(tmp_path), busy_timeout=0.2):
                pass

    assert open_files() == before
    async with SqliteCatalogue(str(tmp_path)) as catalogue:
        await assert_filled(catalogue)


async def test_a_file_in_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="unable to open database file"):
        await fill(tmp_path / "home")


@pytest.mark.parametrize("suffix", ["", "-journal", "-wal", "-shm"])
@pytest.mark.parametrize("kind", ["directory", "link", "dangling", "fifo"])
@pytest.mark.parametrize("read_only", [False, True])
async def test_what_is_not_a_regular_file_is_not_opened(
    tmp_path: Path, kind: str, suffix: str, *, read_only: bool
) -> None:
    """SQLite would follow a link, and wait for the other end of a pipe."""
    home, outside = tmp_path / "home", tmp_path / "outside"
    home.mkdir()
    await fill(home)
    outside.write_bytes(b"secret")
    path = home / f"{FILE_NAME}{suffix}"
    path.unlink(missing_ok=True)
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(outside if kind == "link" else tmp_path / "never")

    says = "it is a link" if kind in {"link", "dangling"} else "it is not a regular file"
    with pytest.raises(StorageError, match=f"{says}; move it away") as caught:
        async with SqliteCatalogue(str(home), read_only=read_only):
            pass

    assert caught.value.key == path.name
    assert outside.read_bytes() == b"secret"
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(
    "name", ["plain", "a b", "a%20b", "a?mode=ro", "a#b", "\N{SNOWMAN}", "a:b"]
)
async def test_the_name_of_the_directory_does_not_matter(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()

    await fill(tmp_path / name)

    assert set(listing(tmp_path / name)) == {".", FILE_NAME}
    for read_only in (False, True):
        async with SqliteCatalogue(str(tmp_path / name), read_only=read_only) as catalogue:
            await assert_filled(catalogue)


async def test_a_second_slash_before_the_directory_does_not_matter(tmp_path: Path) -> None:
    await fill(tmp_path)

    async with SqliteCatalogue(f"/{tmp_path}") as catalogue:
        await assert_filled(catalogue)


async def test_a_relative_directory_stays_where_it_was(tmp_path: Path) -> None:
    await fill(tmp_path)
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        catalogue = SqliteCatalogue(".")
    finally:
        os.chdir(here)

    async with catalogue:
        await assert_filled(catalogue)
