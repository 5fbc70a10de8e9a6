"""What the pages for people show, rendered by Jinja2 with everything escaped.

They need no script. Their links are relative, so that they work below the prefix of a proxy.
"""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from functools import cached_property
from hashlib import blake2b
from importlib.resources import files
from ipaddress import ip_address
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, quote

from bandersnatch import __version__
from bandersnatch.catalogue.records import DELETIONS
from bandersnatch.layout import SIDECAR_SUFFIX, PageFormat
from bandersnatch.model.urls import quote_path
from bandersnatch.model.versions import version_order
from bandersnatch.serve.answers import Answer, render_head
from bandersnatch.serve.search import LONGEST_QUERY, NameIndex
from bandersnatch.state_word import judge, read_facts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jinja2 import Environment

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.catalogue.records import ProjectRecord
    from bandersnatch.clock import Clock
    from bandersnatch.concurrency import BlockingExecutor
    from bandersnatch.config.schema import Settings
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.serve.fleet_reader import FleetReader
    from bandersnatch.serve.reader import CatalogueReader
    from bandersnatch.serve.routes import WebPage
    from bandersnatch.storage.port import ServedStorage

POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
"""The content security policy: the style sheet, and nothing else."""

_VERSIONS_PER_PAGE = 30
_MOST_LISTED = 200
_LARGEST = 100
_FRESH = 5.0
"""Seconds for which the numbers of the first page are not computed again."""

_HOST = re.compile(
    r"[A-Za-z0-9._-]{1,253}(?::\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?", re.ASCII
)
_UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB")
_STYLE_AGE = "public, max-age=3600"


class Rendered(NamedTuple):
    """A template, its values and the status of the answer."""

    template: str
    values: Mapping[str, Any]
    status: int = 200


class WebPages:
    """Answers the requests of people."""

    def __init__(
        self,
        storage: ServedStorage,
        catalogue: CatalogueReader,
        threads: BlockingExecutor,
        clock: Clock,
        settings: Settings,
        fleet: FleetReader,
    ) -> None:
        self._storage = storage
        self._catalogue = catalogue
        self._threads = threads
        self._clock = clock
        self._layout = settings.pages.layout
        self._fleet = fleet
        self._names: NameIndex | None = None
        self._names_tag: object = None
        self._loading: asyncio.Task[None] | None = None
        self._home: tuple[float, Rendered] | None = None

    @cached_property
    def _environment(self) -> Environment:
        from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - for people

        environment = Environment(
            loader=PackageLoader("bandersnatch.serve.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters.update(size=size_text, iso=_iso, minute=_minute, day=_day)
        environment.globals["version"] = __version__
        return environment

    async def answer(self, page: WebPage, query: str, host: str | None, *, secure: bool) -> Answer:
        """Return a page; ``host`` is what the client calls this server.

        :raises StorageError: if the storage or the catalogue cannot be read.
        """
        texts = parse_qs(query, max_num_fields=10) if query else {}
        if page.page == "style":
            return _style_sheet()
        rendered = await self._rendered(page, texts)
        known = host if host is not None and _HOST.fullmatch(host) else "mirror.example.org"
        values = {
            **rendered.values,
            "root": page.root,
            "index": f"{'https' if secure else 'http'}://{known}/simple/",
            "trusted": "" if secure or _is_loopback(known) else known,
        }
        body = await self._threads.run(lambda: self._render(rendered.template, values))
        return Answer("page", rendered.status, _head(rendered.status, len(body)), body)

    def _render(self, template: str, values: Mapping[str, Any]) -> bytes:
        return self._environment.get_template(template).render(values).encode("utf-8", "replace")

    async def _rendered(self, page: WebPage, texts: Mapping[str, list[str]]) -> Rendered:
        match page.page:
            case "home":
                return await self._show_home()
            case "search":
                return await self._show_search(texts)
            case "largest":
                return await self._show_largest()
            case "failures":
                return await self._show_failures()
            case _:
                assert page.name is not None, "the page of a project has its name"
                return await self._show_project(page.name, _page_number(texts))

    # ------------------------------------------------------------ the mirror

    async def _show_home(self) -> Rendered:
        now = self._clock.monotonic()
        if self._home is None or now >= self._home[0]:
            self._home = (now + _FRESH, await self._make_home())
        return self._home[1]

    async def _make_home(self) -> Rendered:
        async with self._catalogue.open() as catalogue:
            if catalogue is None:
                return Rendered("home.html", {"state": None})
            is_running = await self._storage.is_locked()
            now = int(self._clock.now().timestamp())
            facts = await read_facts(catalogue, now=now, is_running=is_running)
            values: dict[str, Any] = {
                "state": judge(facts),
                "totals": await catalogue.totals(),
                "last_success": facts.last_success,
                "failures": facts.pending,
            }
        values["fleet"] = await self._fleet.counts()
        return Rendered("home.html", values)

    async def _show_largest(self) -> Rendered:
        async with self._catalogue.open() as catalogue:
            found = [] if catalogue is None else await catalogue.largest(_LARGEST)
            return Rendered("largest.html", {"available": catalogue is not None, "projects": found})

    async def _show_failures(self) -> Rendered:
        async with self._catalogue.open() as catalogue:
            if catalogue is None:
                values: dict[str, Any] = {"available": False, "deferred": (), "rejected": ()}
                return Rendered("failures.html", values)
            deferred = [d for d in await catalogue.deferred() if d.deferral not in DELETIONS]
            rejected = await catalogue.rejected()
        return Rendered(
            "failures.html",
            {
                "available": True,
                "total": len(deferred),
                "deferred": deferred[:_MOST_LISTED],
                "rejected": rejected[:_MOST_LISTED],
            },
        )

    # ------------------------------------------------------------ search

    async def _show_search(self, texts: Mapping[str, list[str]]) -> Rendered:
        query, number = texts.get("q", [""])[0][:LONGEST_QUERY].strip(), _page_number(texts)
        index = await self._name_index()
        values: dict[str, Any] = {"query": query, "number": number, "available": index is not None}
        names, more = ([], False) if index is None else index.search(query, number)
        values |= {"names": names, "more": more, "href": _search_link(query)}
        return Rendered("search.html", values)

    async def _name_index(self) -> NameIndex | None:
        """Return the names, which are read again in the background once the mirror has changed."""
        tags = [await self._storage.look(self._layout.root_page(form)) for form in PageFormat]
        tag = [each and each.tag for each in tags]
        if self._loading is None and (self._names is None or tag != self._names_tag):
            self._loading = asyncio.ensure_future(self._load_names(tag))
            self._loading.add_done_callback(self._loaded)
        if self._names is None and self._loading is not None:
            await asyncio.shield(self._loading)
        return self._names

    def _loaded(self, task: asyncio.Task[None]) -> None:
        self._loading = None
        if not task.cancelled():
            task.exception()  # retrieved; who waits for the names raises it

    async def _load_names(self, tag: object) -> None:
        async with self._catalogue.open() as catalogue:
            if catalogue is None:
                self._names = None
                return
            self._names = await NameIndex.load(catalogue)
            self._names_tag = tag

    # ------------------------------------------------------------ a project

    async def _show_project(self, name: ProjectName, number: int) -> Rendered:
        async with self._catalogue.open() as catalogue:
            if catalogue is None:
                text = "There is no catalogue of the mirror, which has what this page shows."
                return _missing(text)
            record = await catalogue.project(name)
            problem = await _problem(catalogue, name)
        if record is None or not record.is_published:
            exclusions = () if record is None else record.exclusions
            return _missing(f"The project {name} is not in this mirror.", exclusions)
        values = await self._threads.run(lambda: _project_values(record, number))
        return Rendered("project.html", {**values, "problem": problem})


async def _problem(catalogue: MirrorCatalogue, name: ProjectName) -> object | None:
    return next((each for each in await catalogue.deferred() if each.name == name), None)


def _missing(text: str, exclusions: tuple[object, ...] = ()) -> Rendered:
    return Rendered("missing.html", {"text": text, "exclusions": exclusions}, 404)


def _project_values(record: ProjectRecord, number: int) -> dict[str, Any]:
    """Return what the page of a project shows."""
    detail = record.detail
    texts = dict(zip(detail.files, detail.version_texts(), strict=True))
    ordered = sorted(detail.files, key=lambda file: version_order(texts[file]), reverse=True)
    groups = [(text, list(found)) for text, found in groupby(ordered, key=texts.__getitem__)]
    start = (number - 1) * _VERSIONS_PER_PAGE
    stored = {each.file.path for each in record.files}
    newest = next((text for text, _ in groups if text), "")
    return {
        "name": detail.name,
        "display": record.display or detail.name,
        "status": _status_text(detail.status),
        "status_reason": detail.status_reason,
        "newest": newest,
        "file_count": len(detail.files),
        "size": record.size,
        "requirement": _requirement(detail.name, groups, newest),
        "exclusions": record.exclusions,
        "releases": [
            {"version": text, "files": [_file_values(file, stored) for file in found]}
            for text, found in groups[start : start + _VERSIONS_PER_PAGE]
        ],
        "number": number,
        "more": len(groups) > start + _VERSIONS_PER_PAGE,
        "href": lambda page: f"?page={page}",
    }


def _status_text(status: object) -> str:
    return str(getattr(status, "value", status))


def _requirement(name: str, groups: list[tuple[str, list[ReleaseFile]]], newest: str) -> str:
    """Return the lines of a requirements file that install the newest version by its hashes."""
    found = next((found for text, found in groups if text == newest), [])
    hashes = [f"--hash=sha256:{file.sha256.value}" for file in found if file.sha256 is not None]
    return " \\\n    ".join([f"{name}=={newest}", *hashes])


def _file_values(file: ReleaseFile, stored: set[str]) -> dict[str, Any]:
    """Return what the row of a file shows; ``stored`` are the paths of files that exist."""
    is_stored = file.path in stored
    python, platform = _tags(file.filename)
    return {
        "filename": file.filename,
        "url": f"../../../{quote_path(file.path)}" if is_stored else "",
        "yanked": file.yanked,
        "requires": file.requires_python,
        "metadata": f"../../../{quote_path(file.path + SIDECAR_SUFFIX)}"
        if is_stored and file.sidecar is not None
        else "",
        "provenance": file.provenance,
        "python": python,
        "platform": platform,
        "size": file.size,
        "uploaded": None if file.upload_time is None else int(file.upload_time.timestamp()),
        "sha256": None if file.sha256 is None else file.sha256.value,
    }


def _tags(filename: str) -> tuple[str, str]:
    """Return the Python and platform tags of a wheel; of another file what it is."""
    if not filename.endswith(".whl"):
        return ("source", "") if filename.endswith((".tar.gz", ".zip")) else ("", "")
    parts = filename[:-4].split("-")
    return (parts[-3], parts[-1].replace(".", " ")) if len(parts) > 4 else ("", "")  # noqa: PLR2004 - PEP 427


# ---------------------------------------------------------------- answers


def _head(status: int, length: int) -> bytes:
    return render_head(
        status,
        {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Length": str(length),
            "Cache-Control": "no-cache",
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "same-origin",
        },
    )


def _style_sheet() -> Answer:
    body = files("bandersnatch.serve.pages").joinpath("style.css").read_bytes()
    fields = {
        "Content-Type": "text/css; charset=utf-8",
        "Content-Length": str(len(body)),
        "Cache-Control": _STYLE_AGE,
        "ETag": f'"{blake2b(body, digest_size=16).hexdigest()}"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'",
    }
    return Answer("page", 200, render_head(200, fields), body)


def _search_link(query: str) -> Callable[[int], str]:
    return lambda page: f"?q={quote(query, safe='')}&page={page}"


def _is_loopback(host: str) -> bool:
    """Whether a host, with or without a port, is one that pip asks by plain HTTP unasked."""
    name = re.sub(r":\d+$", "", host).strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _page_number(texts: Mapping[str, list[str]]) -> int:
    text = texts.get("page", ["1"])[0]
    return int(text) if re.fullmatch(r"[1-9]\d{0,4}", text, re.ASCII) else 1


# ---------------------------------------------------------------- texts


def size_text(count: int) -> str:
    """Return a number of bytes with a decimal unit."""
    value, unit = float(count), 0
    while value >= 999.95 and unit < len(_UNITS) - 1:  # noqa: PLR2004 - rounds to 1000.0
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if unit else f"{count} bytes"


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _minute(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def _day(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"
