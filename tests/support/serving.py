"""A server of a small tree, and a client that says exactly what is sent."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from bandersnatch.app import Configuration, SystemClock, open_responder
from bandersnatch.config.schema import PageSettings, ServeSettings, Settings, StorageSettings
from bandersnatch.filters.chain import FilterChain
from bandersnatch.serve.access_log import AccessLog
from bandersnatch.serve.connections import ConnectionLimits
from bandersnatch.serve.server import Server

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from bandersnatch.clock import Clock

JSON = "application/vnd.pypi.simple.v1+json"
V1_HTML = "application/vnd.pypi.simple.v1+html"
FILE = "packages/aa/bb/" + "c" * 60 + "/foo-1.0-py3-none-any.whl"

PAGES = {
    "simple/index.html": b"<!DOCTYPE html><a href='foo/'>foo</a>",
    "simple/index.v1_html": b"<!DOCTYPE html><a href='foo/'>foo</a>",
    "simple/index.v1_json": b'{"projects": [{"name": "foo"}]}',
    "simple/foo/index.html": b"<!DOCTYPE html><title>foo</title>" + b"<br/>" * 400,
    "simple/foo/index.v1_html": b"<!DOCTYPE html><title>foo</title>" + b"<br/>" * 400,
    "simple/foo/index.v1_json": b'{"name": "foo", "files": [' + b" " * 2000 + b"]}",
    "json/foo": b'{"info": {}}',
    "pypi/foo/json": b'{"info": {}}',
    "last-modified": b"20261130T11:58:51\n",
    FILE: bytes(range(256)) * 512,
    f"{FILE}.metadata": b"Metadata-Version: 2.1\nName: foo\n" + b"x" * 2000,
}
"""A tree, by the path below ``web/``."""

OTHERS = {
    "status": b"12\n",
    "todo": b"",
    "catalogue.sqlite": b"secret",
    "removed/packages/gone-1.0.tar.gz": b"secret",
    "web/.mirror": b"secret",
    "web/secret.txt": b"secret",
    "web/simple/.partial/t1": b"secret",
    "web/simple/foo/other.html": b"secret",
    "web/simple/foo/versions/index_1_2.html": b"secret",
    "web/packages/.partial/t1": b"secret",
    "web/packages/aa/evil.html": b"secret",
    "web/local-stats/days/x": b"secret",
}
"""What must not be served."""


class Reply(NamedTuple):
    """An answer; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def write_tree(root: Path, *, catalogue: bool = True) -> None:
    """Write the tree and what must not be served; ``catalogue``: with a file that is none."""
    for path, content in [*((f"web/{k}", v) for k, v in PAGES.items()), *OTHERS.items()]:
        if path == "catalogue.sqlite" and not catalogue:
            continue
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


class Client:
    """Sends requests to one server."""

    def __init__(self, port: int, server: Server) -> None:
        self.port = port
        self.server = server
        self.lines: list[bytes] = []

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection."""
        return await asyncio.open_connection("127.0.0.1", self.port, limit=2**26)

    async def get(self, target: str, method: str = "GET", **headers: str) -> Reply:
        """Send a request; ``_`` in the names of headers stands for ``-``."""
        fields = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in headers.items())
        text = f"{method} {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}\r\n"
        return parse_reply(await self.send(text.encode("utf-8", "surrogateescape")))

    async def send(self, data: bytes, *, half_close: bool = False) -> bytes:
        """Send bytes, and return everything that comes until the server closes."""
        reader, writer = await self.connect()
        writer.write(data)
        if half_close:
            writer.write_eof()
        try:
            return await asyncio.wait_for(reader.read(), 30)
        finally:
            writer.close()


def parse_reply(data: bytes) -> Reply:
    """Parse one answer that ends with the connection."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(": ")
        assert name.lower() not in headers, f"{name} is there twice"
        headers[name.lower()] = value
    return Reply(int(first.split(" ")[1]), headers, body)


def serve_configuration(
    root: Path,
    *,
    pages: PageSettings | None = None,
    serve: ServeSettings | None = None,
    filters: FilterChain | None = None,
) -> Configuration:
    """Return a configuration of the tree at ``root``."""
    settings = Settings(
        storage=StorageSettings(str(root)),
        pages=pages or PageSettings(),
        serve=serve or ServeSettings(),
    )
    return Configuration(settings, filters or FilterChain())


@asynccontextmanager
async def serving(
    configuration: Configuration,
    *,
    most: int = 0,
    total: int = 1000,
    trusted: tuple[str, ...] = (),
    tls: ssl.SSLContext | None = None,
    grace: float = 5.0,
    clock: Clock | None = None,
) -> AsyncIterator[Client]:
    """Serve a mirror, and yield a client of it."""
    listening = socket.create_server(("127.0.0.1", 0))
    lines: list[bytes] = []
    clock = clock or SystemClock()
    async with open_responder(configuration, clock) as responder:
        server = Server(
            responder,
            ConnectionLimits(most, total, trusted),
            clock,
            logging.getLogger("serve-test"),
            AccessLog(lines.append),
        )
        client = Client(listening.getsockname()[1], server)
        client.lines = lines
        async with server.listening([listening], tls, grace=grace):
            yield client
    listening.close()


@contextmanager
def serve_process(configuration: Path) -> Iterator[str]:
    """Run ``bandersnatch serve`` until the block ends, and yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        flags = ["-c", str(configuration), "serve", "--listen", f"fd:{listening.fileno()}"]
        process = subprocess.Popen(
            [sys.executable, "-m", "bandersnatch", *flags],
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[listening.fileno()],
        )
        assert process.stderr is not None
        with process:
            try:
                assert "serving on" in (line := process.stderr.readline()), line
                yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            finally:
                process.terminate()
                rest = process.stderr.read()
        assert "Traceback" not in rest, rest
        assert process.returncode == 0, rest
