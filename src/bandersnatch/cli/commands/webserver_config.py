"""``webserver-config``: prints the configuration of a web server for this mirror."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bandersnatch.cli.arguments import flag_value
from bandersnatch.errors import OptionError, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from bandersnatch.cli.session import Session
    from bandersnatch.config.webserver import Site

_SERVERS = ("nginx", "caddy", "apache")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of ``webserver-config``."""
    parser.add_argument("server", choices=_SERVERS, help="the web server")
    parser.add_argument(
        "--server-name",
        metavar="HOST",
        default="mirror.example.org",
        help="the name that clients use (default: mirror.example.org)",
    )
    parser.add_argument(
        "--listen",
        metavar="ADDRESS:PORT",
        help="where to listen (default: port 80, with a certificate 443)",
    )
    parser.add_argument(
        "--tls-certificate",
        metavar="FILE",
        help="serve HTTPS with this chain (default: that of [serve])",
    )
    parser.add_argument("--tls-key", metavar="FILE", help="the key of the certificate")


async def run(session: Session) -> int:
    """Run ``webserver-config``.

    :raises UsageError: if a flag or a path cannot be used.
    """
    from bandersnatch.config.webserver import WebServer, render_webserver

    site = _site(session)
    try:
        text = render_webserver(WebServer(session.arguments.server), site)
    except OptionError as error:
        raise UsageError(str(error)) from error
    for note in _notes(session):
        session.logger.warning("%s", note)
    return session.answer(text.rstrip("\n"))


def _site(session: Session) -> Site:
    from bandersnatch.config import readers
    from bandersnatch.config.webserver import Site

    arguments, settings = session.arguments, session.configuration.settings
    if settings.storage.bucket is not None:
        raise UsageError(
            "the mirror is in a bucket, which such a server cannot read as files; "
            "run: bandersnatch serve"
        )
    host, port = flag_value("--listen", arguments.listen, readers.host_and_port) or ("", 0)
    names = flag_value("--server-name", arguments.server_name, readers.hosts) or ()
    if len(names) != 1 or ":" in names[0]:
        raise UsageError(f"--server-name {arguments.server_name!r} is not the name of one host")
    certificate = flag_value("--tls-certificate", arguments.tls_certificate, readers.path)
    key = flag_value("--tls-key", arguments.tls_key, readers.path)
    if key and not certificate:
        raise UsageError(
            "--tls-key needs --tls-certificate, which names the certificate of the key"
        )
    if not certificate:
        certificate, key = settings.serve.tls_certificate, settings.serve.tls_key
    return Site(
        web=str(Path(settings.storage.directory).absolute() / "web"),
        server_name=names[0],
        host=host,
        port=port,
        certificate=_absolute(certificate),
        key=_absolute(key or certificate),
        formats=settings.pages.formats,
        hash_index=settings.pages.hash_index,
        legacy_json=settings.pages.legacy_json,
    )


def _absolute(path: str) -> str:
    return str(Path(path).absolute()) if path else ""


def _notes(session: Session) -> list[str]:
    """Return what the options say that such a server cannot do."""
    from bandersnatch.config.schema import FilteredAnswer

    if session.configuration.settings.serve.filtered is FilteredAnswer.EMPTY:
        return ["filtered = empty needs bandersnatch serve; this server answers 404"]
    return []
