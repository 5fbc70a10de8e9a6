"""A server that sends raw bytes, and free ports."""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextmanager
def answering(content: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Answer the first request of each connection with these bytes, and close it.

    Yields the port and a list with the first line of each request.
    """
    asked: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines = iter(self.rfile.readline, b"")
            asked.append(next(lines, b"").rstrip())
            for line in lines:
                if not line.strip():
                    break
            self.wfile.write(content)

    with _Server(("127.0.0.1", 0), Handler) as server:
        serve = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        serve.start()
        yield server.server_address[1], asked
        server.shutdown()


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface that nothing listens on."""
    with ExitStack() as stack:
        opened = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in opened:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in opened]
