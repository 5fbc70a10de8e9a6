"""``run``: runs ``mirror`` regularly until a signal ends it, and serves the mirror if asked."""

from __future__ import annotations

import asyncio
import os
import random
from argparse import ArgumentParser, Namespace
from contextlib import asynccontextmanager
from datetime import timedelta
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from msgspec import structs

from bandersnatch.cli.arguments import flag_value
from bandersnatch.cli.deadline import Deadline
from bandersnatch.cli.exit_codes import ExitCode
from bandersnatch.cli.log import log_error
from bandersnatch.cli.notify import ServiceManager
from bandersnatch.errors import BandersnatchError, ClosedHours, Interruption

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bandersnatch.cli.session import Session
    from bandersnatch.cli.workers import Workers
    from bandersnatch.config.hours import Hours

_JITTER = 0.1
_MOST_JITTER = 60.0
"""The largest share of the interval, and the most seconds, that a run may begin late, so that
mirrors do not ask together."""

_SERVE_FLAGS = ("listen", "tls_certificate", "tls_key", "processes", "access_log")
"""The flags of ``serve``, none of which ``run`` has: the options of ``[serve]`` count."""

_LEAST_INTERVAL = timedelta(seconds=1)

_LOOK_AGAIN = 60.0
"""Seconds after which a wait for the hours looks at the clock again, which may have been set."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the flags of ``run``."""
    from bandersnatch.cli.arguments import add_report

    parser.add_argument(
        "--every",
        metavar="TIME",
        required=True,
        help="the time from the beginning of a run to that of the next one: 10m",
    )
    parser.add_argument(
        "--between", metavar="HH:MM-HH:MM", help="work only at these hours, in local time"
    )
    parser.add_argument(
        "--serve", action="store_true", help="also serve the mirror, as [serve] says"
    )
    add_report(parser)


async def run(session: Session) -> int:
    """Run ``run``.

    :raises UsageError: if a flag is invalid, or the mirror cannot be served.
    """
    from bandersnatch.config.hours import hours

    every = flag_value("--every", session.arguments.every, _interval)
    between = flag_value("--between", session.arguments.between, hours)
    manager = ServiceManager(os.environ)
    schedule = _Schedule(session, every or _LEAST_INTERVAL, between, manager)
    try:
        async with schedule.beside():
            manager.send("READY=1")
            await schedule.run()
    except Interruption:
        session.logger.info("stopped")
    finally:
        manager.send("STOPPING=1")
    return ExitCode.OK


def _interval(text: str) -> timedelta:
    from bandersnatch.config import readers
    from bandersnatch.errors import OptionError

    span = readers.duration_with_unit(text, "m")
    if span < _LEAST_INTERVAL:
        raise OptionError(f"{readers.shown(text)} is less than a second")
    return span


class _Schedule:
    """Runs ``mirror`` again and again; a run that fails does not end it."""

    def __init__(
        self, session: Session, every: timedelta, hours: Hours | None, manager: ServiceManager
    ) -> None:
        self._session = session
        self._every = every.total_seconds()
        self._hours = hours
        self._manager = manager
        self._workers: Workers | None = None
        self._random = random.Random()  # noqa: S311 - spreads runs, guards nothing

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[None]:
        """Run what works beside the runs: the server, and the signs of life for systemd.

        :raises UsageError: if the mirror cannot be served.
        """
        tasks = [asyncio.ensure_future(self._manager.keep_alive())]
        self._session.signals.on_hang_up(self._hang_up)
        try:
            if self._session.arguments.serve:
                tasks.append(await self._start_server())
            yield
        finally:
            for each in tasks:
                each.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _start_server(self) -> asyncio.Task[None]:
        """Serve the mirror in processes of its own, whose work no run delays.

        :raises UsageError: if a socket cannot be opened, or the certificate cannot be used.
        """
        from bandersnatch.cli.commands import serve

        flags = {**vars(self._session.arguments), **dict.fromkeys(_SERVE_FLAGS)}
        session = structs.replace(self._session, arguments=Namespace(**flags))
        started: asyncio.Future[Workers] = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(serve.supervise(session, started.set_result))
        both: set[asyncio.Future[Any]] = {task, started}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            await task  # which has failed
        self._workers = started.result()  # they get the signals that this process gets
        task.add_done_callback(self._server_ended)
        return task

    def _server_ended(self, task: asyncio.Task[None]) -> None:
        """Say that the server has failed; runs go on."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._session.logger.error("the mirror is not served any more: %s; runs go on", error)

    # ------------------------------------------------------------ runs

    async def run(self) -> None:
        """Run until a signal ends it.

        :raises Interruption: when that happens.
        """
        clock = self._session.clock
        due = clock.monotonic()
        while True:
            if await self._wait_for_hours():
                await self._sleep(self._jitter())
                due = clock.monotonic()
            if await self._run_once():
                due = max(due + self._every, clock.monotonic())
                self._manager.send("STATUS=waiting for the next run")
                await self._sleep(max(0.0, due + self._jitter() - clock.monotonic()))

    def _jitter(self) -> float:
        return self._random.uniform(0, min(self._every * _JITTER, _MOST_JITTER))

    async def _sleep(self, seconds: float) -> None:
        await self._session.signals.interruptible(self._session.clock.sleep(seconds))

    async def _wait_for_hours(self) -> bool:
        """Wait until the hours begin, and return whether that took time."""
        has_waited = False
        while (seconds := self._until_hours()) > 0:
            if not has_waited:
                self._session.logger.info("waiting for the hours %s", self._hours)
                self._manager.send(f"STATUS=waiting for the hours {self._hours}")
            has_waited = True
            await self._sleep(min(seconds, _LOOK_AGAIN))
        return has_waited

    def _until_hours(self) -> float:
        now = self._session.clock.now()
        return 0.0 if self._hours is None else (self._hours.opens(now) - now).total_seconds()

    async def _run_once(self) -> bool:
        """Run ``mirror`` once; return False if it was stopped because the hours ended.

        :raises Interruption: if a signal came.
        """
        from bandersnatch.cli.commands import mirror

        logger = self._session.logger
        self._manager.send("STATUS=updating the mirror")
        try:
            code = await mirror.run(self._for_mirror())
        except Interruption:
            raise
        except ClosedHours as error:
            logger.info("%s", error)
            return False
        except BandersnatchError as error:
            log_error(logger, error)
        except Exception:
            logger.exception("this is a bug in bandersnatch; please report it with these lines")
        else:
            if code:
                logger.warning("the run ended with exit status %d; the next one will follow", code)
        return True

    def _for_mirror(self) -> Session:
        """Return a session of ``mirror``, with the flags of ``run`` and the end of the hours."""
        from bandersnatch.cli.commands import mirror

        parser = ArgumentParser(add_help=False)
        mirror.add_arguments(parser)
        flags = {**vars(parser.parse_args([])), **vars(self._session.arguments)}
        arguments = Namespace(**flags | {"command": "mirror"})
        signals, now = self._session.signals, self._session.clock.now()
        if self._hours is not None:
            end = self._hours.closes(now) or now
            signals = Deadline(signals, (end - now).total_seconds(), str(self._hours))
        return structs.replace(self._session, arguments=arguments, signals=signals)

    # ------------------------------------------------------------ SIGHUP

    def _hang_up(self) -> None:
        """Read the configuration again, and let the server read its certificate again."""
        if self._workers is not None:
            self._workers.hang_up()
        self._manager.send("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}")
        self._reload()
        self._manager.send("READY=1")

    def _reload(self) -> None:
        """Read the configuration for the next run; one that is invalid changes nothing."""
        from bandersnatch import app

        session, logger = self._session, self._session.logger
        path, old = session.arguments.config, "the old configuration stays in use"
        try:
            configuration = app.load(path, session.clock.now())
        except BandersnatchError as error:
            log_error(logger, error)
            logger.error("%s is invalid; %s", path, old)  # noqa: TRY400 - not a bug
            return
        except OSError as error:
            logger.error("%s cannot be read: %s; %s", path, error.strerror, old)  # noqa: TRY400 - as above
            return
        for note in configuration.settings.notes:
            logger.warning("%s: %s", path, note)
        self._session = structs.replace(session, configuration=configuration)
        logger.info("the configuration was read again")
