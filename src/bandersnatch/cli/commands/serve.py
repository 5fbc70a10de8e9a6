"""``serve``: serves the mirror to clients until a signal ends it."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch.cli.arguments import flag_value
from bandersnatch.cli.exit_codes import ExitCode
from bandersnatch.errors import Interruption, UsageError

if TYPE_CHECKING:
    import socket
    from argparse import ArgumentParser
    from collections.abc import Callable, Sequence

    from bandersnatch.cli.listening import ServerCertificate
    from bandersnatch.cli.request_log import RequestLog
    from bandersnatch.cli.session import Session
    from bandersnatch.cli.workers import Workers
    from bandersnatch.config.schema import ListenAddress, ServeSettings

_GRACE = 30.0
"""Seconds for requests that have begun when a signal ends the server."""

_SPARE_DESCRIPTORS = 64
"""Descriptors that are not those of connections and of the files that are sent to them."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add the flags of ``serve``; each overrides an option of ``[serve]``."""
    parser.add_argument(
        "--listen",
        action="append",
        metavar="ADDRESS:PORT|unix:PATH",
        help="where to listen (default: 127.0.0.1:8080); may be repeated",
    )
    parser.add_argument("--tls-certificate", metavar="FILE", help="serve HTTPS with this chain")
    parser.add_argument("--tls-key", metavar="FILE", help="the key of the certificate")
    parser.add_argument("--processes", metavar="N", help="share the load between N processes")
    parser.add_argument(
        "--access-log", metavar="FILE", help="log each request in the common format; - for stdout"
    )
    parser.add_argument(
        "--until-stdin-closes",
        action="store_true",
        help="end in order when standard input is closed, as when its other end has died",
    )


async def run(session: Session) -> int:
    """Run ``serve``."""
    settings = _with_flags(session)
    work = _serve if settings.processes == 1 else _supervise
    try:
        await session.signals.interruptible(work(session, settings))
    except Interruption:
        session.logger.info("stopped")
    return ExitCode.OK


def _with_flags(session: Session) -> ServeSettings:
    """Return the settings as the flags override them.

    :raises UsageError: if a flag has an invalid value.
    """
    from bandersnatch.config import readers
    from bandersnatch.config.schema import listen_addresses

    arguments, settings = session.arguments, session.configuration.settings.serve
    listen = None if arguments.listen is None else "\n".join(arguments.listen)
    changed = {
        "listen": flag_value("--listen", listen, listen_addresses),
        "tls_certificate": flag_value("--tls-certificate", arguments.tls_certificate, readers.path),
        "tls_key": flag_value("--tls-key", arguments.tls_key, readers.path),
        "processes": flag_value("--processes", arguments.processes, readers.whole_number(1, 64)),
        "access_log": flag_value("--access-log", arguments.access_log, readers.path),
    }
    found = structs.replace(settings, **{k: v for k, v in changed.items() if v is not None})
    if found.tls_key and not found.tls_certificate:
        raise UsageError(
            "--tls-key needs --tls-certificate, which names the certificate of the key"
        )
    return found


async def supervise(session: Session, started: Callable[[Workers], None]) -> None:
    """Serve the mirror in processes of their own until this is cancelled.

    ``started`` takes the processes.

    :raises UsageError: if a socket cannot be opened, or the certificate cannot be used.
    """
    await _start_workers(session, _with_flags(session), started)


async def _supervise(session: Session, settings: ServeSettings) -> None:
    def started(workers: Workers) -> None:
        session.signals.on_hang_up(workers.hang_up)

    await _start_workers(session, settings, started)


async def _start_workers(
    session: Session, settings: ServeSettings, started: Callable[[Workers], None]
) -> None:
    """Start processes that serve, and replace those that end, until this is cancelled.

    :raises UsageError: if a socket cannot be opened, or the certificate cannot be used.
    """
    from bandersnatch.cli.listening import ServerCertificate, open_shared_sockets
    from bandersnatch.cli.workers import Workers

    if settings.tls_certificate:
        ServerCertificate(settings)
    with ExitStack() as stack:
        groups = open_shared_sockets(_addresses(session, settings), settings.processes)
        for each in {id(each): each for group in groups for each in group}.values():
            stack.enter_context(closing(each))
        workers = Workers(session, settings, groups)
        started(workers)
        _announce(session, groups[0], is_tls=bool(settings.tls_certificate))
        await workers.run()


def _addresses(session: Session, settings: ServeSettings) -> Sequence[ListenAddress]:
    """Return where to listen: as the flag says, else on passed sockets, else as configured."""
    from bandersnatch.cli.listening import passed_sockets

    if session.arguments.listen:
        return settings.listen
    return passed_sockets(os.environ) or settings.listen


async def _serve(session: Session, settings: ServeSettings) -> None:
    """Serve until this is cancelled.

    :raises UsageError: if a socket cannot be opened or the certificate cannot be used.
    """
    from bandersnatch.app import open_responder
    from bandersnatch.cli.listening import ServerCertificate, open_sockets
    from bandersnatch.serve.access_log import AccessLog
    from bandersnatch.serve.connections import ConnectionLimits
    from bandersnatch.serve.server import Server

    certificate = ServerCertificate(settings) if settings.tls_certificate else None
    with ExitStack() as stack:
        sockets = open_sockets(_addresses(session, settings))
        for each in sockets:
            stack.enter_context(closing(each))
        async with open_responder(session.configuration, session.clock) as responder:
            limits = ConnectionLimits(
                settings.connections_per_address, _most_connections(), settings.trusted_proxies
            )
            log = _request_log(session, settings, stack)
            lines = None if log is None else AccessLog(log.write)
            server = Server(responder, limits, session.clock, session.logger, lines)
            session.signals.on_hang_up(lambda: _reload(session, certificate, log))
            tls = None if certificate is None else certificate.context
            async with server.listening(sockets, tls, grace=_GRACE):
                if session.arguments.until_stdin_closes:
                    await _stdin_closed()
                else:
                    _announce(session, sockets, is_tls=tls is not None)
                    await asyncio.Event().wait()


async def _stdin_closed() -> None:
    """Return when standard input, a pipe, is closed."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(4096):
        pass


def _request_log(session: Session, settings: ServeSettings, stack: ExitStack) -> RequestLog | None:
    if not settings.access_log:
        return None
    from bandersnatch.cli.request_log import RequestLog

    root = session.configuration.settings.storage.state_directory
    return stack.enter_context(RequestLog(settings.access_log, root, session.logger))


def _most_connections() -> int:
    """Return how many connections the limit of open files permits."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return 500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(16, (wanted - _SPARE_DESCRIPTORS) // 2)


def _reload(
    session: Session, certificate: ServerCertificate | None, log: RequestLog | None
) -> None:
    """Read the certificate again, and open the log again."""
    if log is not None:
        log.reopen()
    if certificate is None:
        return
    try:
        certificate.reload()
    except UsageError as error:
        session.logger.error("%s; the old certificate stays in use", error)  # noqa: TRY400 - not a bug
    else:
        session.logger.info("the certificate was read again")


def _announce(session: Session, sockets: list[socket.socket], *, is_tls: bool) -> None:
    from bandersnatch.cli.listening import address_of

    scheme = "https" if is_tls else "http"
    for each in sockets:
        address = address_of(each)
        url = address if address.startswith("unix:") else f"{scheme}://{address}/simple/"
        session.logger.info("serving on %s", url)
