"""Servers with certificates, and certificates of clients."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.support.server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    import trustme

    from tests.support.index import Index
    from tests.support.server import IndexServer


def identity(directory: Path, authority: trustme.CA) -> tuple[Path, Path, Path]:
    """Write a client's certificate and key; return the paths of both, and of both in one file."""
    issued = authority.issue_cert("mirror@example.org")
    paths = (directory / "client.pem", directory / "client.key", directory / "both.pem")
    issued.cert_chain_pems[0].write_to_path(paths[0])
    issued.private_key_pem.write_to_path(paths[1])
    issued.private_key_and_cert_chain_pem.write_to_path(paths[2])
    for path in paths:
        path.chmod(0o600)
    return paths


@contextmanager
def serving_tls(
    index: Index,
    authority: trustme.CA,
    host: str = "127.0.0.1",
    *,
    clients: trustme.CA | None = None,
    required: bool = True,
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    not_after: datetime | None = None,
) -> Iterator[IndexServer]:
    """Serve an index over TLS, to clients with certificates of ``clients`` if it is given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = version
    authority.issue_cert(host, not_after=not_after).configure_cert(context)
    if clients is not None:
        clients.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    with serving(index, context) as server:
        yield server


@contextmanager
def refusing_clients(
    authority: trustme.CA, clients: trustme.CA, version: ssl.TLSVersion
) -> Iterator[str]:
    """Run a server that requires client certificates and sends the alerts, as asyncio's do not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = version
    authority.issue_cert("127.0.0.1").configure_cert(context)
    clients.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED

    class Handler(socketserver.BaseRequestHandler):
        """Fails in the handshake, and reads what the client sent so that the alert arrives."""

        def handle(self) -> None:
            self.request.settimeout(5)
            secured = context.wrap_socket(
                self.request, server_side=True, do_handshake_on_connect=False
            )
            with secured:
                with suppress(ssl.SSLError):
                    secured.do_handshake()
                secured.shutdown(socket.SHUT_WR)
                while socket.socket.recv(secured, 65536):
                    pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
