"""A plain web server that serves a mirror, as an operator would set one up."""

from __future__ import annotations

import functools
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class WebHandler(SimpleHTTPRequestHandler):
    """Serves JSON pages as the index page of a directory, with their content type."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if "/simple/" in self.path and self.path.endswith("/"):
            self.path += "index.v1_json"
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Do not log."""


WebHandler.extensions_map = {
    **SimpleHTTPRequestHandler.extensions_map,
    ".v1_json": "application/vnd.pypi.simple.v1+json",
}


@contextmanager
def web_server(directory: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a tree; yield its URL, and a list with the path of each request."""
    asked: list[str] = []
    handler = type("Handler", (WebHandler,), {"asked": asked})
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(handler, directory=str(directory))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
