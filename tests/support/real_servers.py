"""Web servers of the system, run as processes: nginx, Apache, Caddy and ``http.server``."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.programs import require_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import Message

SERVE = Path(__file__).parent.parent.parent / "docs/how-to/serve.md"
_ENVIRONMENT = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"}
_APACHE_MODULES = Path("/usr/lib/apache2/modules")
_MODULES = ("mpm_event", "authz_core", "alias", "autoindex", "dir", "headers", "mime", "rewrite")

NGINX = """
{user}
daemon off;
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{}}
http {{
    access_log off;
    include /etc/nginx/mime.types;
    client_body_temp_path {home}/body;
    proxy_temp_path {home}/proxy;
    fastcgi_temp_path {home}/fastcgi;
    uwsgi_temp_path {home}/uwsgi;
    scgi_temp_path {home}/scgi;
{block}
}}
"""
APACHE = """
ServerRoot {home}
PidFile {home}/apache.pid
ErrorLog {home}/error.log
Listen 127.0.0.1:{port}
ServerName localhost
{modules}
{user}
TypesConfig /etc/mime.types
{block}
"""
CADDY = """{{
    admin off
    auto_https off
    storage file_system {home}/caddy
}}
{block}
"""

LISTS = {
    "nginx": "server {{ listen 127.0.0.1:{port}; root {root}; autoindex on; }}",
    "apache": (
        "DocumentRoot {root}\n<Directory {root}>\nRequire all granted\nOptions +Indexes\n"
        "</Directory>"
    ),
    "apache with columns": (
        "DocumentRoot {root}\n<Directory {root}>\nRequire all granted\nOptions +Indexes\n"
        "IndexOptions FancyIndexing\n</Directory>"
    ),
    "apache with a table": (
        "DocumentRoot {root}\n<Directory {root}>\nRequire all granted\nOptions +Indexes\n"
        "IndexOptions FancyIndexing HTMLTable FoldersFirst\n</Directory>"
    ),
    "http.server": "",
}
"""What makes each server list directories."""


class Reply(NamedTuple):
    """An answer; redirects are not followed."""

    status: int
    headers: Message
    body: bytes

    @property
    def kind(self) -> str:
        """The content type without parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0]


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Do not follow."""


def fetch(url: str, accept: str = "*/*", method: str = "GET", **headers: str) -> Reply:
    """Return the answer of a server; names of headers have ``_`` for ``-``."""
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, method=method, headers={"Accept": accept, **given})
    try:
        with opener.open(request) as found:
            return Reply(found.status, found.headers, found.read())
    except urllib.error.HTTPError as error:
        return Reply(error.code, error.headers, error.read())


def documented(language: str) -> str:
    """Return the complete configuration of a server in the documentation."""
    found = re.search(
        rf"^```{language}\n(.*?)^```", SERVE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    assert found is not None
    return found[1]


@contextmanager
def public_copy(tree: Path) -> Iterator[Path]:
    """Yield a copy of a tree that every user of the system can read."""
    home = Path(tempfile.mkdtemp(prefix="bandersnatch-test-"))
    try:
        home.chmod(0o755)
        yield Path(shutil.copytree(tree, home / "web", symlinks=True))
    finally:
        shutil.rmtree(home)


@contextmanager
def serving_documented(server: str, root: Path) -> Iterator[str]:
    """Serve ``root`` as the documentation says, and yield the URL."""
    block = documented({"nginx": "nginx", "apache": "apache", "caddy": "caddy"}[server])
    port = _free_port()
    block = block.replace("/srv/pypi/web", str(root))
    block = block.replace("listen 80;", f"listen 127.0.0.1:{port};")
    block = block.replace("*:80", f"127.0.0.1:{port}")
    block = re.sub(
        r"^mirror\.example\.org \{", f"http://127.0.0.1:{port} {{", block, flags=re.MULTILINE
    )
    with _running(server, root, port, block) as url:
        yield url


@contextmanager
def serving_lists(server: str, root: Path) -> Iterator[str]:
    """Serve ``root`` with the lists of its directories, and yield the URL."""
    port = _free_port()
    block = LISTS[server].format(root=root, port=port)
    with _running(server.partition(" ")[0], root, port, block) as url:
        yield url


@contextmanager
def _running(server: str, root: Path, port: int, block: str) -> Iterator[str]:
    home = Path(tempfile.mkdtemp(prefix="server-", dir=root.parent))
    home.chmod(0o755)
    command = _command(server, root, home, port, block)
    with (home / "stderr.log").open("wb") as errors:
        process = subprocess.Popen(
            command, env=_ENVIRONMENT, stdout=errors, stderr=errors, cwd=home
        )
    try:
        _wait_for(port, process, home)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _command(server: str, root: Path, home: Path, port: int, block: str) -> list[str]:
    if server == "http.server":
        bind = ["--bind", "127.0.0.1", "--directory", str(root)]
        return [sys.executable, "-m", "http.server", str(port), *bind]
    program = require_program({"apache": "apache2"}.get(server, server))
    is_root = os.getuid() == 0
    config = home / "server.conf"
    if server == "nginx":
        user = "user root;" if is_root else ""
        config.write_text(NGINX.format(user=user, home=home, block=block))
        return [program, "-e", str(home / "error.log"), "-c", str(config)]
    if server == "apache":
        modules = "\n".join(
            f"LoadModule {name}_module {_APACHE_MODULES}/mod_{name}.so" for name in _MODULES
        )
        modules += f"\nLoadModule authz_host_module {_APACHE_MODULES}/mod_authz_host.so"
        user = "User www-data\nGroup www-data" if is_root else ""
        config.write_text(
            APACHE.format(home=home, port=port, modules=modules, user=user, block=block)
        )
        return [program, "-DFOREGROUND", "-f", str(config)]
    config.write_text(CADDY.format(home=home, block=block))
    return [program, "run", "--config", str(config), "--adapter", "caddyfile"]


@contextmanager
def serving_blocks(root: Path, ports: list[int], blocks: str) -> Iterator[None]:
    """Run nginx with the blocks of several servers, which listen on ``ports``."""
    with _running("nginx", root, ports[0], blocks):
        yield


def free_ports(count: int) -> list[int]:
    """Return different ports that are free now."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]


def _free_port() -> int:
    return free_ports(1)[0]


def _wait_for(port: int, process: subprocess.Popen[bytes], home: Path) -> None:
    for _ in range(200):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    errors = "\n".join(path.read_text() for path in home.glob("*.log"))
    pytest.fail(f"the server did not start: {process.args!r} {errors}")


@contextmanager
def serving_generated(
    server: str, root: Path, generate: Callable[[str], str], *, scheme: str = "http"
) -> Iterator[str]:
    """Serve ``root`` as ``generate`` says, given the address to listen on, and yield the URL."""
    port = _free_port()
    with _running(server, root, port, generate(f"127.0.0.1:{port}")) as url:
        yield url.replace("http:", f"{scheme}:")
