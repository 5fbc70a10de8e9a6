"""Every command with the catalogue in a real PostgreSQL, and the faults of one."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from bandersnatch.app import Configuration
from bandersnatch.catalogue.postgres.catalogue import PostgresCatalogue, PostgresDryRun
from bandersnatch.catalogue.postgres.migrations import MIGRATIONS, migrate, version_of
from bandersnatch.catalogue.postgres.session import Access, PostgresSession
from bandersnatch.catalogue.records import CatalogueUpdate, DamagedRow, Marker, Verified
from bandersnatch.catalogue.schema import TABLES
from bandersnatch.catalogue.sqlite import SqliteCatalogue
from bandersnatch.catalogue.sqlite_file import FILE_NAME
from bandersnatch.config.catalogue import CatalogueSettings, read_catalogue
from bandersnatch.config.schema import Settings, StorageSettings
from bandersnatch.errors import CorruptState, LockConflict, LostLock, StorageError, UsageError
from bandersnatch.events import Event, Warned
from bandersnatch.filters.chain import FilterChain
from bandersnatch.model.names import project_name
from tests.support.catalogues import BASE, BASE_A, BASE_B, state
from tests.support.postgres import DATABASE, PASSWORD, USER
from tests.support.records import make_record
from tests.support.serving import serving, write_tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.index import Index
    from tests.support.postgres import Postgres, SharedPostgres
    from tests.support.server import IndexServer
    from tests.support.site import Site


@pytest.fixture
def server_of_data(shared_postgres: SharedPostgres) -> Postgres:
    return shared_postgres.get()


@pytest.fixture
def filled(index: Index, make_site: Callable[..., Site], server_of_data: Postgres) -> Site:
    """Return a mirror of two projects."""
    for name in ("foo", "Bar_x"):
        index.release(name, "1.0")
    site = make_site(catalogue=server_of_data.url())
    ran = site.mirror()
    assert ran.code == 0, ran.log
    return site


def settings_of(site: Site) -> CatalogueSettings:
    settings = read_catalogue(str(site.options["catalogue"]))
    assert settings is not None
    return settings


def served(root: Path, catalogue: CatalogueSettings) -> Configuration:
    """Return the configuration of a served mirror."""
    settings = Settings(StorageSettings(str(root)), catalogue=catalogue)
    return Configuration(settings, FilterChain())


def rows(server_of_data: Postgres, schema: str) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of a schema by table."""
    found = {}
    with server_of_data.connect() as administrator:
        for table, (types, keys) in TABLES.items():
            query = f"SELECT {', '.join(types)} FROM {schema}.{table} ORDER BY {', '.join(keys)}"
            found[table] = administrator.execute(query.encode()).fetchall()
    return found


# ---------------------------------------------------------------- commands


def test_every_command_works_as_with_a_file(
    index: Index, filled: Site, make_site: Callable[..., Site]
) -> None:
    on_disk = make_site()
    index.release("foo", "2.0")
    assert "foo" in filled.ask("plan").out
    before = filled.tree()
    assert filled.mirror("--dry-run").code == 0
    assert filled.tree() == before

    assert filled.mirror().synced == ["foo"]
    assert filled.mirror().synced == []
    assert filled.sync("foo").code == 0
    assert filled.run("verify").code == 0
    assert filled.run("verify", "--quick").code == 0
    assert filled.ask("why", "foo").code == 0
    assert filled.run("delete", "--until-next-change", "bar-x").code == 0
    assert filled.names() == ["foo"]
    assert filled.run("restore", "bar-x").code == 0
    assert filled.ask("status", "--offline").code == 0
    checked = filled.ask("config", "check")

    assert checked.code == 0
    assert "Catalogue: postgresql://***@/mirrors, schema t_" in checked.out
    assert not (filled.root / FILE_NAME).exists()
    assert on_disk.mirror().code == 0
    assert filled.tree() == on_disk.tree()


def test_before_the_first_run_there_is_no_schema_and_a_plan_creates_none(
    index: Index, make_site: Callable[..., Site], server_of_data: Postgres
) -> None:
    index.release("foo", "1.0")
    site = make_site(catalogue=server_of_data.url())

    assert site.ask("plan").code == 0
    assert site.mirror("--dry-run").code == 0
    assert site.ask("status", "--offline").code in {0, 8}

    with server_of_data.connect() as administrator:
        query = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
        assert administrator.execute(query, [settings_of(site).schema]).fetchall() == []


async def test_serve_searches_it_and_serves_without_it(
    tmp_path: Path, server_of_data: Postgres
) -> None:
    write_tree(tmp_path, catalogue=False)
    settings = server_of_data.settings()
    configuration = served(tmp_path, settings)
    async with serving(configuration) as client:
        assert b"no catalogue" in (await client.get("/-/search?q=foo")).body
    async with PostgresCatalogue(settings) as catalogue:
        await catalogue.commit(CatalogueUpdate(records=[make_record("foo", "1.0.tar.gz")]))
    async with serving(configuration) as client:
        assert b"/project/foo/" in (await client.get("/-/search?q=foo")).body
    unreachable = CatalogueSettings("postgresql://127.0.0.1:9/mirrors")
    async with serving(served(tmp_path, unreachable)) as client:
        assert (await client.get("/-/search?q=foo")).status == 503
        assert (await client.get("/-/search?q=foo")).status == 503
        assert (await client.get("/simple/foo/")).status == 200


def test_a_file_that_is_not_used_any_more_is_named(
    index: Index, site: Site, server_of_data: Postgres
) -> None:
    index.release("foo", "1.0")
    assert site.mirror().code == 0
    site.configure(catalogue=server_of_data.url())

    ran = site.mirror()

    assert ran.code == 0
    assert "catalogue.sqlite is not used any more" in ran.log
    assert "not used any more" not in site.mirror().log


def test_the_catalogue_of_another_mirror_is_refused_and_not_reset(
    index: Index, filled: Site, make_site: Callable[..., Site], server_of_data: Postgres
) -> None:
    other = make_site()
    assert other.mirror().code == 0
    other.configure(catalogue=filled.options["catalogue"])
    before = rows(server_of_data, settings_of(filled).schema)

    ran = other.mirror()

    assert ran.code == 7
    assert "the catalogue is that of another mirror; give this one a schema of its own" in ran.log
    assert rows(server_of_data, settings_of(filled).schema) == before


# ---------------------------------------------------------------- copies


def test_a_catalogue_is_copied_both_ways_with_everything(
    index: Index, site: Site, server_of_data: Postgres, server: IndexServer, tmp_path: Path
) -> None:
    for name in ("foo", "bar", "gone"):
        index.release(name, "1.0")
    assert site.mirror().code == 0
    index.remove_file("foo", next(iter(index.project("foo").files)))
    index.release("foo", "2.0")
    assert site.mirror().code == 0
    assert site.run("delete", "--until-next-change", "gone").code == 0
    url = server_of_data.url()

    first = site.ask("catalogue", "copy", str(site.root), url)
    again = site.ask("catalogue", "copy", str(site.root), url)

    assert first.code == 0, first.log
    assert first.out.startswith("Copied ")
    assert again.code == 2
    assert "not empty" in again.log
    site.configure(catalogue=url)
    server.forget()
    assert site.mirror().synced == []
    assert server.paths("detail", "file") == []

    home = tmp_path / "back"
    home.mkdir()
    back = site.ask("catalogue", "copy", url, str(home))
    (home / "other").mkdir()
    lost = site.ask("catalogue", "copy", str(home / "other"), server_of_data.url())

    assert back.code == 0, back.log
    assert lost.code == 2
    assert "has no catalogue.sqlite" in lost.log
    (site.root / FILE_NAME).unlink()
    (home / FILE_NAME).rename(site.root / FILE_NAME)
    del site.options["catalogue"]
    site.configure()
    assert site.mirror().synced == []
    assert server.paths("detail", "file") == []
    assert site.run("restore", "gone").code == 0


async def test_a_copy_leaves_damaged_rows_out(tmp_path: Path, server_of_data: Postgres) -> None:
    settings = server_of_data.settings()
    async with PostgresCatalogue(settings) as source, SqliteCatalogue(str(tmp_path)) as target:
        await source.commit(BASE)
        with server_of_data.connect() as administrator:
            statement = f"UPDATE {settings.schema}.file SET size = 1 WHERE project = 'base-b'"
            administrator.execute(statement.encode())

        copied = await target.copy_from(source)

        assert (copied.projects, copied.files) == (1, 0)
        assert await source.take_damaged() == [DamagedRow("project", "base-b")]
        assert await state(target) == await state(source)


def test_a_whole_mirror_is_copied_to_another_schema_and_not_to_its_own(
    filled: Site, make_site: Callable[..., Site], server_of_data: Postgres
) -> None:
    other = make_site(catalogue=filled.options["catalogue"])
    refused = filled.ask("copy", str(other.config))
    other.configure(catalogue=server_of_data.url())

    ran = filled.ask("copy", str(other.config))

    assert refused.code == 2
    assert "both configurations have this catalogue" in refused.log
    assert ran.code == 0, ran.log
    assert other.tree() == filled.tree()
    assert other.mirror().synced == []


def test_a_schema_without_a_catalogue_is_not_copied_and_not_created(
    site: Site, server_of_data: Postgres, tmp_path: Path
) -> None:
    url, home = server_of_data.url(), tmp_path / "home"
    home.mkdir()

    ran = site.ask("catalogue", "copy", url, str(home))
    again = site.ask("catalogue", "copy", url, str(home))

    assert (ran.code, again.code) == (2, 2)
    assert "there is no catalogue in the schema" in again.log
    assert len(again.errors()) == 1
    assert not (home / FILE_NAME).exists()


async def test_an_empty_catalogue_is_not_copied(tmp_path: Path, server_of_data: Postgres) -> None:
    async with (
        SqliteCatalogue(str(tmp_path)) as source,
        PostgresCatalogue(server_of_data.settings()) as target,
    ):
        with pytest.raises(UsageError, match="has nothing; check its name"):
            await target.copy_from(source)


@pytest.mark.parametrize(
    "place",
    [
        *("postgresql:user:hidden@host/db", "postgres:/user:hidden@host/db"),
        *("host=h password=hidden dbname=x", "service=a password=hidden"),
    ],
)
def test_a_database_that_is_not_a_url_is_no_directory(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A directory of that name would be created, and the message would show the password."""
    monkeypatch.chdir(tmp_path)

    for arguments in ([place, "a"], ["a", place]):
        ran = site.ask("catalogue", "copy", *arguments)
        assert ran.code == 2
        assert "write the database as a URL" in ran.log
        assert "hidden" not in ran.log
    assert not [each for each in tmp_path.iterdir() if "hidden" in each.name]


async def test_one_directory_by_two_paths_is_refused(site: Site, tmp_path: Path) -> None:
    async with SqliteCatalogue(str(tmp_path)):
        pass
    (tmp_path / "link").symlink_to(tmp_path)

    ran = site.ask("catalogue", "copy", f"{tmp_path}/", str(tmp_path / "link"))

    assert ran.code == 2
    assert "FROM and TO are the same catalogue" in ran.log


def test_arguments_that_are_no_catalogues_are_refused(site: Site, tmp_path: Path) -> None:
    for arguments in (["a", "a"], ["mysql://x/y", "a"], ["", "a"], ["~", "a"]):
        ran = site.ask("catalogue", "copy", *arguments)
        assert ran.code == 2
        assert len(ran.errors()) == 1


# ---------------------------------------------------------------- who may, and where


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://{user}:wrong@127.0.0.1:{port}/{database}", "check the password"),
        ("postgresql://{user}:{password}@127.0.0.1:{port}/none", "create it, for example with"),
        ("postgresql://127.0.0.1:9/mirrors", "check that the server is running"),
        ("postgresql://no.such.host.invalid/mirrors", "check the name of the host"),
        ("postgresql://nobody@/{database}?host={home}&port={port}", "create the user"),
    ],
)
def test_a_database_that_cannot_be_used_is_one_sentence(
    site: Site, server_of_data: Postgres, url: str, text: str
) -> None:
    site.configure(
        catalogue=url.format(
            user=USER,
            password=PASSWORD,
            port=server_of_data.port,
            database=DATABASE,
            home=server_of_data.home,
        )
    )

    ran, checked = site.mirror(), site.ask("config", "check")

    assert (ran.code, checked.code) == (7, 7)
    assert text in checked.out
    assert text in ran.log
    assert len(ran.errors()) == 1
    assert "Traceback" not in ran.log
    assert PASSWORD not in ran.log
    assert "wrong@" not in ran.log


def test_the_password_may_come_from_the_environment(
    index: Index, site: Site, server_of_data: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.release("foo", "1.0")
    schema = server_of_data.settings().schema
    address = f"{USER}@127.0.0.1:{server_of_data.port}/{DATABASE}"
    site.configure(catalogue=f"postgresql://{address}?schema={schema}")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)

    assert site.mirror().code == 0


def test_a_missing_permission_is_named_with_the_way_out(
    site: Site, server_of_data: Postgres
) -> None:
    with server_of_data.connect() as administrator:
        administrator.execute("CREATE ROLE reader LOGIN")
    url = server_of_data.url()
    site.configure(catalogue=url.replace(f"{USER}@", "reader@"))

    ran = site.mirror()

    assert ran.code == 7
    assert "GRANT CREATE" in ran.log


async def test_another_encoding_is_refused(server_of_data: Postgres) -> None:
    with server_of_data.connect() as administrator:
        statement = "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0"
        administrator.execute(statement)
    url = server_of_data.settings().url.replace(f"/{DATABASE}", "/latin")

    with pytest.raises(StorageError, match="encoding LATIN1; create one with --encoding=UTF8"):
        async with PostgresCatalogue(CatalogueSettings(url)):
            pass


# ---------------------------------------------------------------- versions


async def test_the_tables_of_the_migrations_are_those_of_the_schema(
    server_of_data: Postgres,
) -> None:
    settings = server_of_data.settings()
    types = {"text": "text", "integer": "bigint"}
    async with PostgresCatalogue(settings):
        pass
    query = """
        SELECT table_name, column_name, data_type, is_nullable, collation_name
        FROM information_schema.columns WHERE table_schema = %s
    """
    with server_of_data.connect() as administrator:
        found = administrator.execute(query, [settings.schema]).fetchall()
    expected = {
        (name, column, types[kind.rstrip("?")], "YES" if kind.endswith("?") else "NO")
        for name, table in TABLES.items()
        for column, kind in table.types.items()
    }
    assert {row[:4] for row in found if row[0] in TABLES} == expected
    assert {row[4] for row in found if row[0] in TABLES and row[2] == "text"} == {"C"}


async def test_a_catalogue_of_a_newer_release_is_refused(
    site: Site, server_of_data: Postgres
) -> None:
    settings = server_of_data.settings()
    async with PostgresCatalogue(settings) as catalogue:
        await catalogue.commit(BASE)
    with server_of_data.connect() as administrator:
        statement = f"INSERT INTO {settings.schema}.migration (number) VALUES (99)"
        administrator.execute(statement.encode())
    before = rows(server_of_data, settings.schema)
    for opened in (PostgresCatalogue(settings), PostgresDryRun(settings)):
        with pytest.raises(CorruptState, match="a newer release made this catalogue"):
            async with opened:
                pass
    assert rows(server_of_data, settings.schema) == before


def test_migrations_are_applied_once_and_in_order(server_of_data: Postgres) -> None:
    settings = server_of_data.settings()
    later = {2: ("CREATE TABLE second (a text)",), 3: ("ALTER TABLE second ADD b text",)}
    session = PostgresSession(settings, Access(is_writing=True))
    session.open()
    try:
        assert version_of(session, settings.schema) == 1
        for _ in range(2):
            version = version_of(session, settings.schema)
            migrate(session, "x", version, {**MIGRATIONS, **later})
        assert version_of(session, settings.schema) == 3
        assert session.execute("SELECT a, b FROM second") == []
        with pytest.raises(CorruptState):
            migrate(session, "x", 3)
    finally:
        session.close()


async def test_an_older_catalogue_is_not_read(server_of_data: Postgres) -> None:
    settings = server_of_data.settings()
    async with PostgresCatalogue(settings):
        pass
    with server_of_data.connect() as administrator:
        administrator.execute(f"UPDATE {settings.schema}.migration SET number = 0".encode())
    async with PostgresDryRun(settings) as catalogue:
        assert catalogue.is_empty


async def test_a_schema_of_another_program_is_refused(server_of_data: Postgres) -> None:
    settings = server_of_data.settings()
    with server_of_data.connect() as administrator:
        administrator.execute(f"CREATE SCHEMA {settings.schema} AUTHORIZATION {USER}".encode())
        administrator.execute(f"CREATE TABLE {settings.schema}.file (a text)".encode())

    with pytest.raises(StorageError, match="tables of another program"):
        async with PostgresCatalogue(settings):
            pass


@pytest.mark.parametrize(
    "made",
    [
        *("TABLE {}.migration (id int)", "TABLE {}.migration (number text)"),
        *("SEQUENCE {}.file", "FUNCTION {}.count_deleted() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
    ],
)
def test_objects_of_another_program_are_named_and_left_alone(
    site: Site, server_of_data: Postgres, made: str
) -> None:
    site.configure(catalogue=server_of_data.url())
    schema = settings_of(site).schema
    with server_of_data.connect() as administrator:
        administrator.execute(f"CREATE SCHEMA {schema} AUTHORIZATION {USER}".encode())
        administrator.execute(f"CREATE {made.format(schema)}".encode())
        administrator.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {USER}".encode())
    count = f"SELECT count(*) FROM pg_class WHERE relnamespace = '{schema}'::regnamespace".encode()
    with server_of_data.connect() as administrator:
        before = administrator.execute(count).fetchall()

    ran = site.mirror()

    assert ran.code == 7
    assert "has tables of another program: use another one, ?schema=NAME" in ran.log
    assert len(ran.errors()) == 1
    with server_of_data.connect() as administrator:
        assert administrator.execute(count).fetchall() == before


def test_a_role_that_only_reads_by_default_writes(
    index: Index, site: Site, server_of_data: Postgres
) -> None:
    """The options of the URL stand for those of a role or a database."""
    index.release("foo", "1.0")
    url = server_of_data.url()
    site.configure(catalogue=f"{url}&options=-c%%20default_transaction_read_only%%3Don")

    assert site.mirror().code == 0


# ---------------------------------------------------------------- the lock


def test_a_second_command_finds_the_lock_held(filled: Site) -> None:
    async def contend() -> None:
        async with PostgresCatalogue(settings_of(filled)):
            ran = await asyncio.to_thread(filled.mirror)
            assert ran.code == 6
            assert "is held by bandersnatch on " in ran.log
            assert "running" in (await asyncio.to_thread(filled.ask, "status", "--offline")).out
            assert (await asyncio.to_thread(filled.ask, "plan")).code == 0

    asyncio.run(contend())
    assert filled.mirror().code == 0


async def test_a_lock_that_was_taken_since_ends_everything(server_of_data: Postgres) -> None:
    settings = server_of_data.settings()
    async with PostgresCatalogue(settings) as ours:
        await ours.commit(BASE)
        server_of_data.end_sessions()
        async with PostgresCatalogue(settings) as theirs:
            with pytest.raises(LostLock, match=r"bandersnatch on .* holds it now; stopped"):
                await ours.commit(CatalogueUpdate(forgotten=[BASE_A]))
            await theirs.commit(CatalogueUpdate(markers={Marker.ROOT: "theirs"}))
        with pytest.raises(LostLock):
            await ours.count()
    async with PostgresCatalogue(settings) as later:
        assert await later.count() == 2
        assert await later.marker(Marker.ROOT) == "theirs"


async def test_an_epoch_or_commits_that_moved_end_everything(server_of_data: Postgres) -> None:
    settings = server_of_data.settings()
    async with PostgresCatalogue(settings) as ours:
        await ours.commit(BASE)
        server_of_data.end_sessions()
        async with PostgresCatalogue(settings):
            pass
        with pytest.raises(LostLock, match="another command has held it since"):
            await ours.count()
    async with PostgresCatalogue(settings) as ours:
        await ours.commit(CatalogueUpdate(markers={Marker.ROOT: "x"}))
        with server_of_data.connect() as administrator:
            statement = f"UPDATE {settings.schema}.holder SET commits = commits - 1"
            administrator.execute(statement.encode())
        server_of_data.end_sessions()
        with pytest.raises(LostLock, match="not all that was committed"):
            await ours.count()


async def test_two_mirrors_in_one_database_do_not_exclude_each_other(
    server_of_data: Postgres,
) -> None:
    one, two = server_of_data.settings(), server_of_data.settings()
    async with PostgresCatalogue(one) as first, PostgresCatalogue(two) as second:
        await first.commit(BASE)
        assert (await first.count(), await second.count()) == (2, 0)
        with pytest.raises(LockConflict):
            async with PostgresCatalogue(one):
                pass


# ---------------------------------------------------------------- lost connections


async def test_a_connection_that_is_cut_is_made_again(server_of_data: Postgres) -> None:
    events: list[Event] = []
    settings = server_of_data.settings()
    async with PostgresCatalogue(settings, events=events.append) as catalogue:
        await catalogue.commit(BASE)
        before = await state(catalogue)
        again = CatalogueUpdate(records=BASE.records, deferred=BASE.deferred)
        for change in (CatalogueUpdate(forgotten=[BASE_A]), again):
            assert server_of_data.end_sessions() == 1
            await catalogue.commit(change)
            assert server_of_data.end_sessions() == 1
            await catalogue.summaries(None)
        assert await state(catalogue) == before
    assert len(events) == 4
    assert all(isinstance(each, Warned) and "made again after" in each.text for each in events)


async def test_a_connection_that_is_cut_in_a_commit_loses_nothing(
    server_of_data: Postgres,
) -> None:
    settings = server_of_data.settings()
    records = [make_record(f"p{number}", "1.zip", "2.zip") for number in range(300)]
    async with PostgresCatalogue(settings) as catalogue:
        for at in (0.0, 0.01, 0.03, 0.06):
            await catalogue.commit(CatalogueUpdate(reset=True))
            commit = asyncio.create_task(catalogue.commit(CatalogueUpdate(records=records)))
            await asyncio.sleep(at)
            await asyncio.to_thread(server_of_data.end_sessions)
            await commit
            assert await catalogue.count() == len(records)


async def test_a_server_that_is_restarted_is_waited_for(server_of_data: Postgres) -> None:
    async with PostgresCatalogue(server_of_data.settings()) as catalogue:
        await catalogue.commit(BASE)
        before = await state(catalogue)
        server_of_data.stop()
        waiting = asyncio.create_task(catalogue.commit(CatalogueUpdate(verified=[])))
        reading = asyncio.create_task(state(catalogue))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(server_of_data.start)
        await waiting
        assert await reading == before


async def test_a_server_that_stays_away_is_given_up(server_of_data: Postgres) -> None:
    access = Access(is_writing=True, patience=0.3)
    async with PostgresCatalogue(server_of_data.settings(), access) as catalogue:
        server_of_data.stop(signal.SIGINT)
        try:
            with pytest.raises(StorageError, match="was lost, and not made again within"):
                await catalogue.commit(BASE)
            with pytest.raises(StorageError):
                await catalogue.count()
        finally:
            server_of_data.start()
        await catalogue.commit(BASE)
        assert await catalogue.count() == 2


async def test_waiting_ends_when_the_command_is_interrupted(server_of_data: Postgres) -> None:
    async with PostgresCatalogue(server_of_data.settings()) as catalogue:
        server_of_data.stop()
        try:
            waiting = asyncio.create_task(catalogue.commit(BASE))
            await asyncio.sleep(0.2)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                async with asyncio.timeout(20):
                    await waiting
        finally:
            server_of_data.start()
        await catalogue.commit(BASE)


async def test_a_dry_run_ends_with_its_connection(server_of_data: Postgres) -> None:
    settings = server_of_data.settings()
    async with PostgresCatalogue(settings) as real:
        await real.commit(BASE)
        async with PostgresDryRun(settings) as catalogue:
            server_of_data.end_sessions()
            assert await catalogue.count() == 2, "nothing was changed yet"
            await catalogue.commit(CatalogueUpdate(forgotten=[BASE_A]))
            server_of_data.end_sessions()
            with pytest.raises(StorageError, match="lost in a dry run"):
                await catalogue.count()
        assert await real.count() == 2


# ---------------------------------------------------------------- damage


async def test_damaged_rows_are_dropped_and_reported(server_of_data: Postgres) -> None:
    settings = server_of_data.settings()
    async with PostgresCatalogue(settings) as catalogue:
        await catalogue.commit(BASE)
    statements = (
        "UPDATE {}.project SET reflects = 1 WHERE name = 'base-a'",
        "UPDATE {}.file SET size = size + 1 WHERE project = 'base-b'",
        "UPDATE {}.deferred SET tried = 1 WHERE name = 'base-u'",
        "INSERT INTO {}.file SELECT path, 'nobody', 1, 1, 1, '' FROM {}.file LIMIT 1",
    )
    with server_of_data.connect() as administrator:
        for statement in statements:
            text = statement.format(settings.schema, settings.schema)
            administrator.execute(text.encode())
    async with PostgresCatalogue(settings) as catalogue:
        await catalogue.commit(CatalogueUpdate(verified=[Verified(BASE_B, 50)]))
        assert await catalogue.project(BASE_B) is None
        after = ""
        while after := await catalogue.check(after):
            pass
        assert await catalogue.count() == 0
        assert await catalogue.listed_files() == 0
        damaged = set(await catalogue.take_damaged())
    names = {("deferred", "base-u"), ("project", "base-a"), ("project", "base-b")}
    assert damaged == {DamagedRow(*each) for each in names}


async def test_projects_are_counted_whoever_changes_them(server_of_data: Postgres) -> None:
    settings = server_of_data.settings()
    changes = (
        ("UPDATE {}.project SET standing = 'excluded' WHERE name = 'base-a'", 1),
        ("UPDATE {}.project SET standing = 'selected'", 2),
        ("UPDATE {}.tally SET projects = -1", 2),
        ("DELETE FROM {}.tally", 2),
        ("DELETE FROM {}.project", 0),
    )
    async with PostgresCatalogue(settings) as catalogue:
        await catalogue.commit(BASE)
        for statement, count in changes:
            with server_of_data.connect() as administrator:
                administrator.execute(statement.format(settings.schema).encode())
            assert await catalogue.count() == count


async def test_text_with_a_nul_character_is_an_error_and_changes_nothing(
    server_of_data: Postgres,
) -> None:
    async with PostgresCatalogue(server_of_data.settings()) as catalogue:
        with pytest.raises(StorageError, match="NUL"):
            await catalogue.commit(CatalogueUpdate(markers={Marker.ROOT: "a\0b"}))
        assert await catalogue.marker(Marker.ROOT) == ""


async def test_a_statement_that_fails_says_why(server_of_data: Postgres) -> None:
    settings = server_of_data.settings()
    async with PostgresCatalogue(settings) as catalogue:
        with server_of_data.connect() as administrator:
            administrator.execute(f"DROP SCHEMA {settings.schema} CASCADE".encode())
        with pytest.raises(StorageError, match="CASCADE, and the next run fills a new one"):
            await catalogue.project(project_name("foo"))
