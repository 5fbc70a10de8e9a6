"""A server for an index on a real socket, with faults on demand.

It runs in its own thread, so that the program, pip and uv can run in this process or another.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
import xmlrpc.client
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web
from multidict import CIMultiDict

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Iterator
    from datetime import datetime

    from tests.support.index import Index

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"


@dataclass
class Answer:
    """The answer that the server is about to send."""

    status: int = 200
    body: bytes = b""
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)


@dataclass(frozen=True)
class ReceivedRequest:
    """A received request; ``at`` is in seconds of the server's clock."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def kind(self) -> str:
        """The route: list, detail, legacy, xmlrpc, sidecar or file."""
        return route(self.path)


def route(path: str) -> str:
    """Return the kind of a path."""
    if path in {"/simple/", "/simple"}:
        return "list"
    if path.startswith("/simple/"):
        return "detail"
    if path == "/pypi":
        return "xmlrpc"
    if path.startswith("/pypi/"):
        return "legacy"
    return "sidecar" if path.endswith(".metadata") else "file"


class Fault:
    """A fault: where, how often, and how requests fail.

    ``where`` is a route or a part of a path, ``project`` limits it to one project, and ``skip``
    requests succeed before it. ``act`` either changes the answer and returns
    None, or sends something itself and returns a response.
    """

    def __init__(
        self,
        where: str,
        act: Callable[[web.Request, Answer], Awaitable[web.StreamResponse | None]],
        times: int | None = None,
        *,
        project: str | None = None,
        skip: int = 0,
    ) -> None:
        self.where = where
        self.act = act
        self.left = times
        self.project = project
        self.skip = skip
        self.hits = 0

    def applies(self, path: str, project: str | None) -> bool:
        """Whether this request fails; counts it if so."""
        if self.left == 0 or (self.where != route(path) and self.where not in path):
            return False
        if self.project not in {None, project}:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        self.hits += 1
        return True


class IndexServer:
    """Serves an ``Index``; its attributes select the features of the server."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self.url = ""
        self.asked: list[ReceivedRequest] = []
        self.faults: list[Fault] = []
        self.frozen: dict[str, tuple[str, Answer]] = {}
        # Features of the index.
        self.speaks_json = True
        self.has_changelog = True
        self.has_legacy = True
        self.has_serials = True
        self.list_has_serials = True
        self.has_etags = True
        self.has_ranges = True
        self.login = ""
        self.statistics: bytes | None = None
        """The document of totals, None for an index without one."""
        self.journal_page = 50_000
        self.on_request: Callable[[ReceivedRequest], None] = lambda _: None
        self.now: Callable[[], datetime] | None = None
        """The time that answers state; without one, answers have no ``Date``."""
        self.time: Callable[[], float] = time.monotonic
        self.settle: Callable[[], None] = lambda: None
        """Waits until no request is served any more; a killed program may have left some."""

    # ------------------------------------------------------------ requests

    def paths(self, *kinds: str) -> list[str]:
        """Return the paths of the requests of these kinds, in order."""
        return [asked.path for asked in self.asked if asked.kind in kinds]

    def conditional(self) -> list[str]:
        """Return the paths of project pages in order; each request must have been conditional."""
        pages = [asked for asked in self.asked if asked.kind == "detail"]
        assert all("If-None-Match" in asked.headers for asked in pages)
        return sorted(asked.path for asked in pages)

    def forget(self) -> None:
        """Forget the requests so far."""
        self.asked.clear()

    def fault(
        self,
        where: str,
        act: Callable[[web.Request, Answer], Awaitable[web.StreamResponse | None]],
        times: int | None = None,
        *,
        project: str | None = None,
        skip: int = 0,
    ) -> Fault:
        """Add a fault and return it."""
        fault = Fault(where, act, times, project=project, skip=skip)
        self.faults.append(fault)
        return fault

    def freeze(self, path: str) -> None:
        """Cache the current answer for a path until ``thaw``."""
        self.frozen[path] = ("", self.answer(path))

    def thaw(self) -> None:
        """Purge the cache."""
        self.frozen.clear()

    # ------------------------------------------------------------ answering

    def answer(self, path: str) -> Answer:
        """Return the present answer to an unconditional GET request."""
        return self._answer(path, {}, "GET", b"")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        body = await request.read()
        asked = ReceivedRequest(
            request.method, request.path, dict(request.headers), body, self.time()
        )
        self.asked.append(asked)
        self.on_request(asked)
        if self.login and request.headers.get("Authorization") != self.login:
            return web.Response(status=401)
        if request.path in self.frozen:
            answer = self.frozen[request.path][1]
            answer = Answer(answer.status, answer.body, answer.headers.copy())
        else:
            answer = self._answer(request.path, request.headers, request.method, body)
        project = self._project_at(request.path)
        for fault in [fault for fault in self.faults if fault.applies(request.path, project)]:
            response = await fault.act(request, answer)
            if response is not None:
                return response
        return self._send(request, answer)

    async def state_time(self, _: web.Request, response: web.StreamResponse) -> None:
        """Set the ``Date`` of an answer, which is that of the mirror's clock or missing."""
        response.headers.pop("Date", None)
        if self.now is not None:
            response.headers["Date"] = format_datetime(self.now(), usegmt=True)

    def _project_at(self, path: str) -> str | None:
        """Return the normalised name of the project that a path belongs to."""
        if route(path) in {"detail", "legacy"}:
            return path.split("/")[2]
        file = path.removesuffix(".metadata")
        for name, project in self.index.projects.items():
            if any(each.path == file for each in project.files.values()):
                return name
        return None

    def _answer(self, path: str, headers: Any, method: str, body: bytes) -> Answer:  # noqa: PLR0911
        kind = route(path)
        if kind == "xmlrpc":
            return self._xmlrpc(method, body)
        if kind == "list":
            return self._page(self._list(headers), headers)
        if kind == "detail":
            name = path.split("/")[2]
            if name not in self.index.projects:
                return Answer(404)
            return self._page(self._detail(name, headers), headers)
        if kind == "legacy":
            name = path.split("/")[2]
            if not self.has_legacy or name not in self.index.projects:
                return Answer(404)
            text = self.index.legacy(name, files_at=self.url).encode()
            return Answer(200, text, CIMultiDict({"Content-Type": "application/json"}))
        if path == "/stats/" and self.statistics is not None:
            return Answer(200, self.statistics, CIMultiDict({"Content-Type": "application/json"}))
        file = self.index.files.get(path.removesuffix(".metadata"))
        if file is None:
            return Answer(404)
        content = file.content if kind == "file" else file.metadata
        if content is None:
            return Answer(404)
        told = CIMultiDict({"Content-Type": "application/octet-stream"} | file.headers)
        is_known = headers.get("If-None-Match", "?") == file.headers.get("ETag")
        return Answer(304, b"", told) if is_known else Answer(200, content, told)

    def _list(self, headers: Any) -> Answer:
        if self._wants_json(headers):
            page = self.index.list_json(
                serials=self.has_serials,
                own_serials=self.has_serials and self.list_has_serials,
            )
            answer = Answer(200, json.dumps(page).encode(), CIMultiDict({"Content-Type": JSON}))
        else:
            text = self.index.list_html().encode()
            answer = Answer(200, text, CIMultiDict({"Content-Type": "text/html; charset=utf-8"}))
        if self.has_serials:
            answer.headers["X-PyPI-Last-Serial"] = str(self.index.serial)
        return answer

    def _detail(self, name: str, headers: Any) -> Answer:
        if self._wants_json(headers):
            page = self.index.detail_json(name, files_at=self.url, serials=self.has_serials)
            answer = Answer(200, json.dumps(page).encode(), CIMultiDict({"Content-Type": JSON}))
        else:
            text = self.index.detail_html(name, files_at=self.url).encode()
            answer = Answer(200, text, CIMultiDict({"Content-Type": "text/html; charset=utf-8"}))
        if self.has_serials:
            answer.headers["X-PyPI-Last-Serial"] = str(self.index.projects[name].serial)
        return answer

    def _wants_json(self, headers: Any) -> bool:
        return self.speaks_json and ("json" in headers.get("Accept", JSON))

    def _page(self, answer: Answer, headers: Any) -> Answer:
        if self.has_etags:
            etag = f'"{hashlib.sha256(answer.body).hexdigest()[:32]}"'
            answer.headers["ETag"] = etag
            if headers.get("If-None-Match") == etag:
                return Answer(304, b"", answer.headers)
        return answer

    def _xmlrpc(self, method: str, body: bytes) -> Answer:
        if not self.has_changelog or method != "POST":
            return Answer(405, b"", CIMultiDict({"Allow": "GET"}))
        arguments, name = xmlrpc.client.loads(body.decode())
        result: Any
        if name == "changelog_last_serial":
            result = self.index.serial
        elif name == "changelog_since_serial":
            since = int(str(arguments[0]))
            events = [event for event in self.index.journal if event.serial > since]
            result = [
                [event.name, event.version, event.time, event.action, event.serial]
                for event in events[: self.journal_page]
            ]
        elif name == "list_packages_with_serial":
            result = {
                project.display: project.serial
                for project in self.index.projects.values()
                if project.status != "quarantined"
            }
        else:
            fault = xmlrpc.client.Fault(-32601, f"no method {name}")
            return _xml(xmlrpc.client.dumps(fault))
        return _xml(xmlrpc.client.dumps((result,), methodresponse=True, allow_none=True))

    def _send(self, request: web.Request, answer: Answer) -> web.Response:
        wanted = request.headers.get("Range", "")
        if self.has_ranges and wanted.startswith("bytes=") and answer.status == 200:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            total = len(answer.body)
            if start >= total:
                answer = Answer(416)
            else:
                answer.headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
                answer = Answer(206, answer.body[start:], answer.headers)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


def _xml(text: str) -> Answer:
    return Answer(200, text.encode(), CIMultiDict({"Content-Type": "text/xml"}))


@contextmanager
def serving(index: Index, tls: ssl.SSLContext | None = None) -> Iterator[IndexServer]:
    """Run a server for an index while the block runs."""
    server = IndexServer(index)
    loop = asyncio.new_event_loop()
    stopping = asyncio.Event()
    ready = threading.Event()

    async def serve() -> None:
        application = web.Application(client_max_size=64 * 1024**2)
        application.router.add_route("*", "/{path:.*}", server.handle)
        application.on_response_prepare.append(server.state_time)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        port = runner.addresses[0][1]
        server.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        ready.set()
        await stopping.wait()
        await runner.cleanup()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def settle() -> None:
        while len(asyncio.all_tasks()) > len((serve, settle)):  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)

    server.settle = lambda: asyncio.run_coroutine_threadsafe(settle(), loop).result(10)
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(10)
        loop.close()
