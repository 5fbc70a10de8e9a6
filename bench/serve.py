"""nginx that serves a generated index, with the changelog behind it."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from changelog import changelog
from generate import PAGE, SERIAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from generate import Index

ECHO = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
"""The nginx module that delays answers, of Debian's ``libnginx-mod-http-echo``."""

_CONFIG = """
{user}
{modules}
worker_processes 2;
daemon off;
pid {work}/nginx.pid;
error_log {work}/error.log;
events {{ worker_connections 1024; }}
http {{
  log_format bench '$msec $status $bytes_sent $request_method $request_uri';
  access_log {work}/access.log bench buffer=64k flush=100ms;
  sendfile on; tcp_nopush on; keepalive_requests 1000000; keepalive_timeout 60s;
  client_body_temp_path {work}/body; proxy_temp_path {work}/proxy;
  fastcgi_temp_path {work}/fastcgi; uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
  default_type application/octet-stream;
  map_hash_max_size 262144; map_hash_bucket_size 128;
  map $request_uri $serial {{
    /simple/ {serial};
    include {work}/serials;
    "~^/simple/[a-z]+-(?<number>[0-9]+)/$" {first}$number;
  }}
  server {{
    listen 127.0.0.1:{port}{tls};
    root {root};
    location = /pypi {{ proxy_pass http://127.0.0.1:{changelog}; }}
    {locations}
    location @made-up {{
      types {{}}
      default_type application/vnd.pypi.simple.v1+json;
      add_header X-PyPI-Last-Serial $serial;
      return 200 '{{"meta": {{"api-version": "1.4", "_last-serial": $serial}}, "name": "$made",
 "versions": [], "project-status": {{"status": "active"}}, "files": []}}';
    }}
  }}
}}
"""
_PAGES = "~ ^/simple/(?:(?<made>[a-z0-9-]+)/)?$"
_PAGE_RULES = """
      types {{ application/vnd.pypi.simple.v1+json v1_json; }}
      gzip_static on;
      add_header Vary Accept; add_header X-PyPI-Last-Serial $serial;
      try_files ${{uri}}{page} {otherwise};
"""
_TLS = """ ssl;
    ssl_certificate {work}/ca.pem; ssl_certificate_key {work}/key.pem;
    ssl_session_cache shared:bench:1m"""


class Request(NamedTuple):
    """A request in nginx's log: the time of the answer, in seconds, and its size in bytes."""

    at: float
    status: int
    size: int
    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Served:
    """A running index; ``log`` has a line for each request, ``ca`` is its root certificate."""

    url: str
    log: Path
    ca: Path | None = None

    def mark(self) -> int:
        """Return the end of the log; nginx writes it ten times a second."""
        time.sleep(0.3)
        return self.log.stat().st_size

    def since(self, mark: int) -> list[Request]:
        """Return the requests after an earlier end of the log."""
        self.mark()
        with self.log.open() as lines:
            lines.seek(mark)
            rows = [line.rstrip("\n").split(" ", 4) for line in lines]
        return [Request(float(a), int(b), int(c), d, e) for a, b, c, d, e in rows]


@contextmanager
def served(
    index: Index, work: Path, port: int, *, delay: float = 0.0, tls: bool = False
) -> Iterator[Served]:
    """Serve an index while the block runs, each answer ``delay`` seconds late.

    :raises RuntimeError: if the module for delays is not installed.
    """
    if delay and not ECHO.exists():
        raise RuntimeError(f"{ECHO} is missing; install libnginx-mod-http-echo")
    work.mkdir(parents=True, exist_ok=True)
    if tls:
        _certify(work)
    own = [f"/simple/{p.name}/ {p.serial};" for n in index.renewed if (p := index.projects.get(n))]
    (work / "serials").write_text("\n".join(own))
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    with changelog(index, delay=delay) as behind:
        config = work / "nginx.conf"
        config.write_text(_config(index, work, port, behind, delay=delay, tls=tls))
        process = subprocess.Popen([nginx, "-c", str(config), "-e", str(work / "error.log")])
        try:
            _wait_for(port, process)
            url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
            yield Served(url, work / "access.log", work / "ca.pem" if tls else None)
        finally:
            process.terminate()
            process.wait(10)


def _config(index: Index, work: Path, port: int, behind: int, *, delay: float, tls: bool) -> str:
    return _CONFIG.format(
        user="user root;" if getpass.getuser() == "root" else "",
        modules=f"load_module {ECHO};" if delay else "",
        work=work,
        port=port,
        root=index.directory,
        changelog=behind,
        serial=index.serial,
        first=SERIAL // 1_000_000,
        tls=_TLS.format(work=work) if tls else "",
        locations=_locations("@made-up" if index.made_up else "=404", delay),
    )


def _locations(otherwise: str, delay: float) -> str:
    pages = _PAGE_RULES.format(page=PAGE, otherwise=otherwise)
    if not delay:
        return f"location {_PAGES} {{ {pages} }}"
    waits = f"echo_sleep {delay};"
    return f"""
    location {_PAGES} {{ {waits} echo_exec @page; }}
    location @page {{ {pages} }}
    location /packages/ {{ {waits} echo_exec @file; }}
    location @file {{ }}
"""


def _certify(work: Path) -> None:
    """Make a self-signed certificate."""
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    made += ["-nodes", "-days", "2", "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1"]
    made += ["-keyout", str(work / "key.pem"), "-out", str(work / "ca.pem")]
    subprocess.run(made, check=True, capture_output=True)


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise RuntimeError("nginx did not start")
