"""nginx in front of a generated index, with the changelog behind it."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import threading
import time
import xmlrpc.client
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CONFIG = """
{user}
worker_processes 2;
daemon off;
pid {work}/nginx.pid;
error_log {work}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log {work}/access.log combined buffer=64k flush=1s;
  sendfile on; tcp_nopush on; keepalive_requests 1000000; keepalive_timeout 60s;
  client_body_temp_path {work}/body; proxy_temp_path {work}/proxy;
  fastcgi_temp_path {work}/fastcgi; uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
  default_type application/octet-stream;
  server {{
    listen 127.0.0.1:{port};
    root {root};
    location = /pypi {{ proxy_pass http://127.0.0.1:{changelog}; }}
    location ~ ^/simple/(?<page>(?:[a-z0-9-]+/)?)$ {{
      types {{ application/vnd.pypi.simple.v1+json v1_json; }}
      gzip_static on;
      add_header Vary Accept;
      try_files /simple/${{page}}index.v1_json =404;
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Served:
    """A running index; ``log`` has a line for each request."""

    url: str
    log: Path

    def requests(self) -> int:
        """Return how many requests there have been; nginx writes its log once a second."""
        time.sleep(1.5)
        return len(self.log.read_bytes().splitlines())


@contextmanager
def served(root: Path, work: Path, *, serial: int) -> Iterator[Served]:
    """Serve what was generated below ``root`` while the block runs."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    work.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    with _changelog(serial) as changelog:
        user = "user root;" if getpass.getuser() == "root" else ""
        config = work / "nginx.conf"
        config.write_text(
            _CONFIG.format(user=user, work=work, port=port, root=root, changelog=changelog)
        )
        process = subprocess.Popen([nginx, "-c", str(config), "-e", str(work / "error.log")])
        try:
            _wait_for(port)
            yield Served(f"http://127.0.0.1:{port}", work / "access.log")
        finally:
            process.terminate()
            process.wait(10)


class _ChangelogHandler(BaseHTTPRequestHandler):
    """Answers the two methods that a run calls; nothing has changed."""

    serial = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        _, method = xmlrpc.client.loads(body.decode())
        is_head = method == "changelog_last_serial"
        text = xmlrpc.client.dumps((self.serial if is_head else [],), methodresponse=True)
        answer = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@contextmanager
def _changelog(serial: int) -> Iterator[int]:
    handler = type("Handler", (_ChangelogHandler,), {"serial": serial})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("nginx did not start")
