"""A web server with fixed answers, and the layouts of well-known indexes for it."""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class Reply(NamedTuple):
    """An answer; ``kind`` is its content type, "" for none. ``location`` is that of a redirect."""

    body: bytes
    kind: str = "text/html"
    location: str = ""
    status: int = 200


class StaticSite:
    """Answers by path; other paths are missing. ``asked`` has the method and path of requests."""

    def __init__(self) -> None:
        self.url = ""
        self.replies: dict[str, Reply] = {}
        self.choose: Callable[[str, Mapping[str, str]], Reply | None] = lambda _, __: None
        """Returns an answer that depends on the headers, None for the one of the path."""
        self.asked: list[str] = []

    def answer(self, method: str, path: str, headers: Mapping[str, str]) -> Reply | None:
        """Return the answer to a request, None if there is none."""
        self.asked.append(f"{method} {path}")
        return self.choose(path, headers) or self.replies.get(path)

    def paths(self) -> list[str]:
        """Return the paths of the requests, in order."""
        return [each.partition(" ")[2] for each in self.asked]


class _Handler(BaseHTTPRequestHandler):
    site: StaticSite

    def do_GET(self) -> None:
        reply = self.site.answer(self.command, self.path, dict(self.headers))
        if reply is None:
            self.send_error(404)
            return
        self.send_response(302 if reply.location and reply.status == 200 else reply.status)
        if reply.location:
            self.send_header("Location", reply.location)
        if reply.kind:
            self.send_header("Content-Type", reply.kind)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def send_response(self, code: int, message: str | None = None) -> None:
        # Without a Date: the clock of the mirror is not that of this server.
        self.send_response_only(code, message)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Do not log."""


@contextmanager
def static_site(host: str = "127.0.0.1") -> Iterator[StaticSite]:
    """Run a server and yield it; ``host`` is the name in its URL."""
    site = StaticSite()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    site.url = f"http://{host}:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


# ---------------------------------------------------------------- layouts

CONTENTS = {
    "torch": {
        "torch-2.0.0+cpu-cp311-cp311-linux_x86_64.whl": b"a wheel",
        "torch-2.1.0+cpu-cp311-cp311-linux_x86_64.whl": b"another wheel",
    },
    "typing-extensions": {
        "typing_extensions-4.8.0-py3-none-any.whl": b"a small wheel",
        "typing_extensions-4.8.0.tar.gz": b"an archive",
    },
}
"""The files of each project, by their names."""


class Layout(NamedTuple):
    """The shape of an index: where its pages and files are, and how it links to them.

    The texts are format strings with ``site`` (the URL of the server), ``name``, ``file`` (quoted)
    and ``sha256``. ``root`` and ``page`` are paths, ``listed`` is the address on the root page,
    "" for an index without one. ``path`` is the path of a file and ``link`` its address.
    """

    root: str
    listed: str
    page: str
    link: str
    path: str


LAYOUTS = {
    "pytorch": Layout(
        "/whl/cpu/", "{name}/", "/whl/cpu/{name}/", "/whl/cpu/{file}", "/whl/cpu/{file}"
    ),
    "vendor": Layout("/", "/{name}/", "/{name}/", "{site}/{name}/{file}", "/{name}/{file}"),
    "gitlab": Layout(
        "/api/v4/projects/1/packages/pypi/simple/",
        "{site}/api/v4/projects/1/packages/pypi/simple/{name}",
        "/api/v4/projects/1/packages/pypi/simple/{name}/",
        "{site}/api/v4/projects/1/packages/pypi/files/{sha256}/{file}",
        "/api/v4/projects/1/packages/pypi/files/{sha256}/{file}",
    ),
    "gitlab without a list": Layout(
        "/api/v4/groups/1/-/packages/pypi/simple/",
        "",
        "/api/v4/groups/1/-/packages/pypi/simple/{name}/",
        "{site}/api/v4/projects/7/packages/pypi/files/{sha256}/{file}",
        "/api/v4/projects/7/packages/pypi/files/{sha256}/{file}",
    ),
    "artifactory": Layout(
        "/artifactory/api/pypi/local/simple/",
        "{name}/",
        "/artifactory/api/pypi/local/simple/{name}/",
        "../../{name}/1/{file}",
        "/artifactory/api/pypi/local/{name}/1/{file}",
    ),
    "nexus": Layout(
        "/repository/pypi/simple/",
        "{name}/",
        "/repository/pypi/simple/{name}/",
        "../../packages/{name}/1/{file}",
        "/repository/pypi/packages/{name}/1/{file}",
    ),
    "files beside the page": Layout(
        "/simple/", "{name}", "/simple/{name}/", "{file}", "/simple/{name}/{file}"
    ),
}


def publish(site: StaticSite, layout: Layout, files: StaticSite | None = None) -> None:
    """Publish ``CONTENTS`` on a site in a layout; the files are on ``files`` if it is given."""
    host = files or site
    for name, contents in CONTENTS.items():
        links = []
        for filename, content in contents.items():
            digest = hashlib.sha256(content).hexdigest()
            words = {"site": host.url, "name": name, "file": quote(filename), "sha256": digest}
            address = f"{layout.link.format(**words)}#sha256={digest}"
            links.append(f'<a href="{escape(address)}">{escape(filename)}</a><br/>')
            host.replies[layout.path.format(**words)] = Reply(content, "application/octet-stream")
        page = f"<!DOCTYPE html><html><body><h1>Links for {name}</h1>{''.join(links)}</body></html>"
        site.replies[layout.page.format(name=name)] = Reply(page.encode())
    if layout.listed:
        listed = (layout.listed.format(site=site.url, name=name) for name in CONTENTS)
        entries = "".join(
            f'<a href="{address}">{name}</a><br>'
            for address, name in zip(listed, CONTENTS, strict=True)
        )
        site.replies[layout.root] = Reply(f"<html><body>{entries}</body></html>".encode())
