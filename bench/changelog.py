"""The changelog of a generated index over XML-RPC, in a thread of the benchmark."""

from __future__ import annotations

import threading
import time
import xmlrpc.client
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from generate import Index

_PAGE = 50_000
"""The largest number of events in one answer."""


@contextmanager
def changelog(index: Index, *, delay: float) -> Iterator[int]:
    """Serve the changelog while the block runs, and yield the port."""

    class Handler(_Handler):
        def answer(self, method: str | None, since: int) -> Any:  # noqa: ANN401 - of XML-RPC
            time.sleep(delay)
            if method == "changelog_last_serial":
                return index.serial
            return [event for event in index.events if since < _serial(event)][:_PAGE]

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def _serial(event: list[Any]) -> int:
    serial: int = event[-1]
    return serial


class _Handler(BaseHTTPRequestHandler):
    """Answers the two methods that the program calls."""

    def answer(self, method: str | None, since: int) -> Any:  # noqa: ANN401 - of XML-RPC
        raise NotImplementedError

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        arguments, method = xmlrpc.client.loads(body.decode())
        result = self.answer(method, int(str(arguments[0])) if arguments else 0)
        text = xmlrpc.client.dumps((result,), methodresponse=True, allow_none=True).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Do not log."""
