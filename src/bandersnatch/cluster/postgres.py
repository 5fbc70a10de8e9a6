"""The queue between the coordinator and its workers, in PostgreSQL, by the library procrastinate.

It has a schema of its own beside the catalogue's. Nothing in it outlives a run but the doubts, so a
schema of another format is dropped and made again.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from abc import ABC, abstractmethod
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeVar

import psycopg
from procrastinate import App, PsycopgConnector
from procrastinate import exceptions as failures
from procrastinate.jobs import Job, Status
from psycopg import AsyncConnection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from bandersnatch.catalogue.postgres.failures import connection_error, is_passing, statement_error
from bandersnatch.catalogue.postgres.lock import session_name
from bandersnatch.cluster import codec, messages
from bandersnatch.cluster.port import (
    CoordinatorQueue,
    FleetView,
    Mail,
    SeenWorker,
    TakenJob,
    WorkerQueue,
    WorkerView,
)
from bandersnatch.concurrency import wait_at_most
from bandersnatch.errors import CorruptState, StorageError
from bandersnatch.fleet_counts import PausedHost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from bandersnatch.config.catalogue import CatalogueSettings
    from bandersnatch.model.names import ProjectName

    _Result = TypeVar("_Result")

FORMAT = "2"
"""The format of the tables below; with that of procrastinate it is compared at the beginning."""

_SUFFIX = "_queue"
_LONGEST_SCHEMA = 63
_QUEUE, _TASK = "projects", "sync"

_PATIENCE = 60.0
"""Seconds within which a lost connection has to be made again."""

_PAUSE = 0.5
_CONNECTIONS = 3
_CONNECT_TIMEOUT = "10"
_OPTIONS = {
    "connect_timeout": _CONNECT_TIMEOUT,
    "keepalives_idle": "20",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}

_TABLES = (
    "CREATE TABLE format (number text NOT NULL)",
    """
    CREATE TABLE run (
        one boolean PRIMARY KEY CHECK (one), id text NOT NULL, notice bytea NOT NULL,
        sign bigint NOT NULL
    )
    """,
    """
    CREATE TABLE worker (
        id bigint PRIMARY KEY, state bytea NOT NULL, share bytea, sign bigint NOT NULL,
        name text NOT NULL, projects bigint NOT NULL, done bigint NOT NULL,
        seen timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE UNLOGGED TABLE pause (
        host text COLLATE "C" PRIMARY KEY, until timestamptz NOT NULL
    )
    """,
    """
    CREATE TABLE attempt (
        project text COLLATE "C" PRIMARY KEY, run text NOT NULL, number bigint NOT NULL
    )
    """,
    'CREATE TABLE doubt (project text COLLATE "C" PRIMARY KEY, run text NOT NULL)',
    """
    CREATE UNLOGGED TABLE mail (
        id bigserial PRIMARY KEY, run text NOT NULL, worker bigint NOT NULL,
        sequence bigint NOT NULL, messages bytea NOT NULL, UNIQUE (worker, sequence)
    )
    """,
    """
    CREATE UNLOGGED TABLE reply (
        id bigserial PRIMARY KEY, worker bigint NOT NULL, messages bytea NOT NULL
    )
    """,
    "CREATE INDEX reply_worker ON reply (worker)",
)


class _Queue(ABC):
    """What coordinator and worker have in common: connections, and news by NOTIFY.

    ``kind`` names the process to the administrator of the database.
    """

    def __init__(self, settings: CatalogueSettings, kind: str) -> None:
        self._settings = settings
        self.schema = f"{settings.schema}{_SUFFIX}"
        digest = hashlib.sha256(self.schema.encode()).hexdigest()[:24]
        self._channel = f"bandersnatch_{digest}"
        parameters = {
            "application_name": session_name().replace("bandersnatch", f"bandersnatch {kind}", 1),
            **_OPTIONS,
            **conninfo_to_dict(settings.url),
        }
        self._conninfo = make_conninfo("", **parameters)
        self._pool: AsyncConnectionPool[AsyncConnection] = AsyncConnectionPool(
            self._conninfo,
            min_size=1,
            max_size=_CONNECTIONS,
            open=False,
            timeout=_PATIENCE,
            configure=self._configure,
            check=AsyncConnectionPool.check_connection,
            kwargs={"autocommit": True},
        )
        self._app = App(connector=PsycopgConnector())
        self._news = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._closing = False

    async def __aenter__(self) -> Self:
        """Connect.

        :raises StorageError: if the database cannot be used.
        """
        if len(self.schema) > _LONGEST_SCHEMA:
            why = f"its name is too long for a queue beside it, {self.schema}; use a shorter one"
            raise StorageError(f"the schema {self._settings.schema}", why)
        for name in ("psycopg", "psycopg.pool", "procrastinate"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what fails is raised, or retried
        try:
            await (await AsyncConnection.connect(self._conninfo)).close()  # for a clear error
        except psycopg.Error as error:
            if not is_passing(error):
                raise connection_error(self._settings, error) from error
        await self._pool.open()
        await self._app.connector.open_async(self._pool)
        self._listening = asyncio.ensure_future(self._listen())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close the connections."""
        self._closing = True
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
        await self._pool.close()

    async def _configure(self, connection: AsyncConnection) -> None:
        """Prepare a connection; a commit may be lost in a crash, which every message survives."""
        path = sql.SQL("SET search_path = {}").format(sql.Identifier(self.schema))
        await connection.execute(path)
        await connection.execute("SET synchronous_commit = 'off'")

    # ------------------------------------------------------------ statements

    async def run(self, work: Callable[[AsyncConnection], Awaitable[_Result]]) -> _Result:
        """Return the result of ``work`` with a connection; see ``repeated``."""

        async def call() -> _Result:
            async with self._pool.connection(timeout=_PATIENCE) as connection:
                return await work(connection)

        return await self.repeated(call)

    async def repeated(self, call: Callable[[], Awaitable[_Result]]) -> _Result:
        """Return the result of ``call``, which is made again after a connection was lost.

        :raises StorageError: if that lasts too long, or if a statement fails.
        """
        until = monotonic() + _PATIENCE
        while True:
            try:
                return await call()
            except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
                await self._wait_for_server(error, until)
            except psycopg.Error as error:
                raise statement_error(self._settings, error) from error
            except failures.ConnectorException as error:
                cause = error.__cause__
                if not isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
                    raise StorageError(self._settings.shown, str(cause or error)) from error
                await self._wait_for_server(cause, until)

    async def _wait_for_server(self, error: Exception, until: float) -> None:
        if monotonic() > until:
            shown = error if isinstance(error, psycopg.Error) else psycopg.Error(str(error))
            raise connection_error(self._settings, shown) from error
        await asyncio.sleep(_PAUSE)

    async def execute(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a statement."""

        async def work(connection: AsyncConnection) -> list[tuple[Any, ...]]:
            cursor = await connection.execute(query.encode(), values)
            return [] if cursor.description is None else await cursor.fetchall()

        return await self.run(work)

    # ------------------------------------------------------------ news

    async def _listen(self) -> None:
        """Set ``news`` when another process says that there is something new for this one."""
        while True:
            try:
                async with await AsyncConnection.connect(
                    self._conninfo, autocommit=True
                ) as connection:
                    await connection.execute(
                        sql.SQL("LISTEN {}").format(sql.Identifier(self._channel))
                    )
                    self._news.set()
                    async for notice in connection.notifies():
                        if self.is_for_this(notice.payload):
                            self._news.set()
            except psycopg.Error:
                await asyncio.sleep(_PAUSE)

    @abstractmethod
    def is_for_this(self, payload: str) -> bool:
        """Whether news is for this process."""

    async def wait(self, seconds: float, /) -> None:
        await wait_at_most(self._news, seconds)
        self._news.clear()

    async def has_queue(self) -> bool:
        """Whether the coordinator has made the queue."""
        query = "SELECT to_regclass(%s) IS NOT NULL"
        return bool((await self.execute(query, [f"{self.schema}.run"]))[0][0])


class PostgresCoordinatorQueue(_Queue, CoordinatorQueue):
    """The queue of the coordinator; the lock of the catalogue makes it the only one."""

    def __init__(self, settings: CatalogueSettings) -> None:
        super().__init__(settings, "coordinator")
        self._run = ""
        self._read: set[int] = set()

    def is_for_this(self, payload: str) -> bool:
        return payload == "c"

    async def begin(self, notice: messages.RunNotice, /) -> Sequence[ProjectName]:
        self._run = notice.run
        await self._make_schema()

        async def begin(connection: AsyncConnection) -> None:
            async with connection.transaction():
                await connection.execute("SET LOCAL synchronous_commit = 'on'")
                await connection.execute(
                    "INSERT INTO doubt SELECT project, run FROM attempt ON CONFLICT DO NOTHING"
                )
                for table in (
                    "attempt",
                    "worker",
                    "mail",
                    "reply",
                    "run",
                    "pause",
                    "procrastinate_jobs",
                ):
                    await connection.execute(f"DELETE FROM {table}".encode())
                await connection.execute(
                    "INSERT INTO run VALUES (true, %s, %s, 0)",
                    (notice.run, codec.encode(notice)),
                )

        await self.run(begin)
        found = await self.execute("SELECT project FROM doubt ORDER BY project")
        await self._notify("*")
        return [row[0] for row in found]

    async def _make_schema(self) -> None:
        """Create the tables, unless they are there in this format."""
        version = f"{FORMAT} {_library_version()}"
        if await self.has_queue():
            rows = await self.execute("SELECT number FROM format")
            if [each[0] for each in rows] == [version]:
                return
        name = sql.Identifier(self.schema)

        async def make(connection: AsyncConnection) -> None:
            async with connection.transaction():
                drop = sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(name)
                await connection.execute(drop)
                await connection.execute(sql.SQL("CREATE SCHEMA {}").format(name))
                await connection.execute(self._app.schema_manager.get_schema())
                for statement in _TABLES:
                    await connection.execute(statement.encode())
                await connection.execute("INSERT INTO format VALUES (%s)", (version,))

        await self.run(make)

    async def settle_doubts(self) -> None:
        await self.execute("DELETE FROM doubt WHERE run <> %s", (self._run,))

    async def live(self) -> None:
        await self.execute("UPDATE run SET sign = sign + 1 WHERE id = %s", (self._run,))

    async def end(self) -> None:
        await self.execute("DELETE FROM run WHERE id = %s", (self._run,))
        await self._notify("*")

    async def put(self, job: messages.Job, /) -> int:
        if job.is_sync:
            await self._make_current(job)
        key = f"{job.run} {job.batch}"  # so that no repetition queues it twice
        queued = Job(
            queue=_QUEUE,
            lock=key,
            queueing_lock=key,
            task_name=_TASK,
            task_kwargs={"job": base64.b64encode(codec.encode(job)).decode()},
        )

        async def put() -> int:
            try:
                deferred = await self._app.job_manager.defer_job_async(queued)
            except failures.AlreadyEnqueued:
                query = "SELECT id FROM procrastinate_jobs WHERE queueing_lock = %s"
                return int((await self.execute(query, (key,)))[0][0])
            assert deferred.id is not None, "a deferred job has a number"
            return deferred.id

        number = await self.repeated(put)
        await self._notify("*")
        return number

    async def _make_current(self, job: messages.Job) -> None:
        names = [each.task.name for each in job.assignments]
        numbers = [each.attempt for each in job.assignments]
        await self.execute(
            "INSERT INTO attempt SELECT name, %s, number "
            "FROM unnest(%s::text[], %s::bigint[]) AS given (name, number) "
            "ON CONFLICT (project) DO UPDATE SET run = excluded.run, number = excluded.number",
            (job.run, names, numbers),
        )

    async def withdraw(self, number: int, /) -> None:
        await self.execute("DELETE FROM procrastinate_jobs WHERE id = %s", (number,))

    async def waiting(self) -> frozenset[int]:
        query = "SELECT id FROM procrastinate_jobs WHERE status = 'todo'"
        return frozenset(row[0] for row in await self.execute(query))

    async def doubt(self, names: Collection[ProjectName], /) -> None:
        await self.execute(
            "INSERT INTO doubt SELECT name, %s FROM unnest(%s::text[]) AS given (name) "
            "ON CONFLICT (project) DO UPDATE SET run = excluded.run",
            (self._run, list(names)),
        )

    async def close_attempts(self, names: Collection[ProjectName], /) -> None:
        query = "DELETE FROM attempt WHERE project = ANY(%s) AND run = %s"
        await self.execute(query, (list(names), self._run))

    async def workers(self) -> Sequence[SeenWorker]:
        rows = await self.execute("SELECT id, sign, state FROM worker ORDER BY id")
        return [SeenWorker(row[0], str(row[1]), codec.decode(row[2])) for row in rows]

    async def assign(self, shares: Mapping[int, messages.Share], /) -> None:
        for number, share in shares.items():
            text = codec.encode(share)
            await self.execute("UPDATE worker SET share = %s WHERE id = %s", (text, number))
        await self._notify("*")

    async def show_pause(self, pause: messages.HostPause, /) -> None:
        await self.execute(
            "INSERT INTO pause VALUES (%s, now() + make_interval(secs => %s)) "
            "ON CONFLICT (host) DO UPDATE SET until = greatest(pause.until, excluded.until)",
            (pause.host, pause.seconds),
        )

    async def receive(self) -> Sequence[Mail]:
        if self._read:
            await self.execute("DELETE FROM mail WHERE id = ANY(%s)", (list(self._read),))
        rows = await self.execute(
            "SELECT id, worker, sequence, messages FROM mail WHERE run = %s ORDER BY id",
            (self._run,),
        )
        fresh = [row for row in rows if row[0] not in self._read]
        self._read = {row[0] for row in rows}
        return [Mail(row[1], row[2], codec.decode(row[3])) for row in fresh]

    async def send(self, worker: int, some: Sequence[object], /) -> None:
        query = "INSERT INTO reply (worker, messages) VALUES (%s, %s)"
        await self.execute(query, (worker, codec.encode(list(some))))
        await self._notify(str(worker))

    async def _notify(self, payload: str) -> None:
        await self.execute("SELECT pg_notify(%s, %s)", (self._channel, payload))


class PostgresWorkerQueue(_Queue, WorkerQueue):
    """The queue of a worker."""

    def __init__(self, settings: CatalogueSettings) -> None:
        super().__init__(settings, "worker")
        self._number = 0
        self._sign = self._sequence = 0
        self._read: set[int] = set()

    def is_for_this(self, payload: str) -> bool:
        return payload in {"*", str(self._number)}

    async def notice(self) -> tuple[messages.RunNotice, str] | None:
        if not await self.has_queue():
            return None
        rows = await self.execute("SELECT notice, sign, id FROM run")
        if not rows:
            return None
        try:
            return codec.decode(rows[0][0]), str(rows[0][1])
        except codec.InvalidMessage as error:
            why = "another release has written it; install the same release on both"
            raise CorruptState("the queue of the workers", why) from error

    async def live(self, state: messages.WorkerState, /) -> messages.Share:
        await self._register()
        self._sign += 1
        rows = await self.execute(
            "INSERT INTO worker (id, state, sign, name, projects, done) "
            "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET "
            "state = excluded.state, sign = excluded.sign, name = excluded.name, "
            "projects = excluded.projects, done = excluded.done, seen = now() RETURNING share",
            (
                *(self._number, codec.encode(state), self._sign),
                *(state.name, state.projects, state.done),
            ),
        )
        share = rows[0][0]
        if share is None:
            await self.execute("SELECT pg_notify(%s, 'c')", (self._channel,))
            return messages.Share()
        found: messages.Share = codec.decode(share)
        return found

    async def _register(self) -> None:
        query = "SELECT 1 FROM procrastinate_workers WHERE id = %s"
        if self._number and await self.execute(query, (self._number,)):
            return
        self._number = await self.repeated(self._app.job_manager.register_worker)

    async def leave(self) -> None:
        await self.execute("DELETE FROM worker WHERE id = %s", (self._number,))
        await self.repeated(lambda: self._app.job_manager.unregister_worker(self._number))

    async def take(self) -> TakenJob | None:
        manager = self._app.job_manager
        found = await self.repeated(lambda: manager.fetch_job([_QUEUE], self._number))
        if found is None or found.id is None:
            return None
        return TakenJob(found.id, codec.decode(base64.b64decode(str(found.task_kwargs["job"]))))

    async def finish(self, number: int, /) -> None:
        manager = self._app.job_manager
        with suppress(StorageError):  # the coordinator has withdrawn it
            await self.repeated(
                lambda: manager.finish_job_by_id_async(number, Status.SUCCEEDED, delete_job=True)
            )

    async def is_current(self, run: str, name: ProjectName, attempt: int, /) -> bool:
        query = (
            "SELECT 1 FROM attempt JOIN run ON run.id = attempt.run "
            "WHERE project = %s AND run.id = %s AND number = %s"
        )
        return bool(await self.execute(query, (name, run, attempt)))

    async def receive(self) -> Sequence[object]:
        if self._read:
            await self.execute("DELETE FROM reply WHERE id = ANY(%s)", (list(self._read),))
        rows = await self.execute(
            "SELECT id, messages FROM reply WHERE worker = %s ORDER BY id", (self._number,)
        )
        fresh = [row[1] for row in rows if row[0] not in self._read]
        self._read = {row[0] for row in rows}
        return [each for text in fresh for each in codec.decode(text)]

    async def send(self, run: str, some: Sequence[object], /) -> None:
        self._sequence += 1
        await self.execute(
            "INSERT INTO mail (run, worker, sequence, messages) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (worker, sequence) DO NOTHING",
            (run, self._number, self._sequence, codec.encode(list(some))),
        )
        await self.execute("SELECT pg_notify(%s, 'c')", (self._channel,))


class PostgresFleetQuery(_Queue):
    """Reads what the workers of a mirror do, for people."""

    def __init__(self, settings: CatalogueSettings) -> None:
        super().__init__(settings, "status")

    def is_for_this(self, payload: str) -> bool:
        del payload
        return False

    async def read(self) -> FleetView:
        """Return the workers of the run that is under way; none without a run."""
        if not await self.has_queue() or not await self.execute("SELECT 1 FROM run"):
            return FleetView()
        workers = await self.execute(
            "SELECT name, projects, done, extract(epoch FROM now() - seen)::bigint, share "
            "FROM worker ORDER BY id"
        )
        rows = await self.execute(
            "SELECT count(*) FILTER (WHERE status = 'todo'), "
            "count(*) FILTER (WHERE status = 'doing') FROM procrastinate_jobs"
        )
        views = (
            WorkerView(name, projects, done, seconds, _has_share(share))
            for name, projects, done, seconds, share in workers
        )
        paused = await self.execute(
            "SELECT host, extract(epoch FROM until)::bigint, "
            "ceil(extract(epoch FROM until - now()))::bigint "
            "FROM pause WHERE until > now() ORDER BY host"
        )
        waiting, running = rows[0]
        pauses = (PausedHost(*row) for row in paused)
        return FleetView(tuple(views), waiting, running, tuple(pauses))


def _has_share(share: bytes | None) -> bool:
    """Whether the coordinator has given a worker a share of ``workers``."""
    return share is not None and bool(codec.decode(share).index)


def _library_version() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - slow to import

    return version("procrastinate")
