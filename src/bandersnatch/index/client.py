"""The package index: implements the port ``PackageIndex`` over HTTP."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from bandersnatch.errors import InvalidPage, MissingProject, MissingResource
from bandersnatch.index.download import download
from bandersnatch.index.headers import http_date, repeatable
from bandersnatch.index.port import FetchedDetail, FetchedList
from bandersnatch.model.content import Validators
from bandersnatch.model.serials import optional_serial
from bandersnatch.simple.entries import PageContext
from bandersnatch.simple.json_page import parse_detail_json, parse_list_json
from bandersnatch.simple.limits import LEGACY, LIST, PAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bandersnatch.clock import Clock
    from bandersnatch.index.changelog import Changelog
    from bandersnatch.index.transport import Budgets, Document, Transport
    from bandersnatch.model.content import Content
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail, ProjectList
    from bandersnatch.model.serials import Change, Serial
    from bandersnatch.storage.port import Sink

    _Result = TypeVar("_Result")

ACCEPT = (
    "application/vnd.pypi.simple.v1+json, "
    "application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
)
_JSON_TYPES = frozenset({"application/vnd.pypi.simple.v1+json", "application/json"})
_HTML_TYPES = frozenset({"application/vnd.pypi.simple.v1+html", "text/html"})
_SERIAL_HEADER = "X-PyPI-Last-Serial"

_PARSED_INLINE = 64 * 1024
"""Bytes; a larger JSON body is parsed in a thread."""

_SETTLED = timedelta(seconds=2)
_NOT_MODIFIED = 304
_OK_OR_SAME = frozenset({200, _NOT_MODIFIED})


class MasterClient:
    """Asks one index: its changelog, its pages, and the hosts of its files."""

    def __init__(
        self,
        master: str,
        transport: Transport,
        changelog: Changelog,
        budgets: Budgets,
        clock: Clock,
    ) -> None:
        self._master = master
        self._transport = transport
        self._changelog = changelog
        self._budgets = budgets
        self._clock = clock

    # ------------------------------------------------------------ the changelog

    async def last_serial(self) -> Serial:
        """Return the serial of the newest change."""
        return await self._changelog.last_serial()

    async def changes(self, since: Serial, until: Serial, /) -> Sequence[Change]:
        """Return the changes after ``since`` up to ``until``."""
        return await self._changelog.changes(since, until)

    async def list_with_serials(self) -> ProjectList:
        """Return all projects with their serials, from the changelog's side."""
        return await self._changelog.list_with_serials()

    # ------------------------------------------------------------ pages

    async def fetch_list(self, known: Validators, /) -> FetchedList | None:
        """Return the root page, or None if it is the one that is known."""
        url = f"{self._master}/simple/"
        document = await self._page(url, known, LIST.size)
        validators = _validators(document)
        if _is_known(document, validators, known):
            return None
        projects = await _parsed(document, lambda: self._parse_list(document))
        return FetchedList(projects, validators)

    def _parse_list(self, document: Document) -> ProjectList:
        if document.content_type in _JSON_TYPES:
            return parse_list_json(document.body, document.url)
        self._require_html(document)
        from bandersnatch.simple.html_page import parse_list_html  # noqa: PLC0415 - slow to import

        return parse_list_html(document.body, document.url, charset=document.charset)

    async def fetch_detail(self, name: ProjectName, known: Validators, /) -> FetchedDetail | None:
        """Return a project's page, or None if it is the one that is known."""
        url = f"{self._master}/simple/{name}/"
        try:
            document = await self._page(url, known, PAGE.size)
        except MissingResource:
            raise MissingProject(name) from None
        validators = _validators(document)
        if _is_known(document, validators, known):
            return None
        detail = await _parsed(document, lambda: self._parse_detail(document, name))
        return FetchedDetail(_with_header_serial(detail, document), validators)

    def _parse_detail(self, document: Document, name: ProjectName) -> ProjectDetail:
        context = PageContext(name, document.url, self._clock.now())
        if document.content_type in _JSON_TYPES:
            return parse_detail_json(document.body, context)
        self._require_html(document)
        from bandersnatch.simple.html_page import parse_detail_html  # noqa: PLC0415 - slow to import

        return parse_detail_html(document.body, context, charset=document.charset)

    def _require_html(self, document: Document) -> None:
        if document.content_type not in _HTML_TYPES:
            beginning = ascii(document.body[:80].decode(errors="replace"))
            kind = document.content_type or "without a type"
            raise InvalidPage(document.url, f"it is {kind}, not a simple page: {beginning}")

    async def fetch_legacy(self, name: ProjectName, /) -> bytes | None:
        """Return a project's legacy JSON document, or None if there is none."""
        url = f"{self._master}/pypi/{name}/json"
        try:
            document = await self._transport.document(
                url,
                limit=LEGACY.size,
                budget=self._budgets.index,
                headers={"Accept": "application/json"},
            )
        except MissingResource:
            return None
        return document.body

    async def _page(self, url: str, known: Validators, limit: int) -> Document:
        headers = {"Accept": ACCEPT}
        if known.etag:
            headers["If-None-Match"] = known.etag
        elif known.last_modified:
            headers["If-Modified-Since"] = known.last_modified
        return await self._transport.document(
            url, limit=limit, budget=self._budgets.index, headers=headers, accepted=_OK_OR_SAME
        )

    # ------------------------------------------------------------ files

    async def download(self, url: str, sink: Sink, /) -> Content:
        """Stream a file into ``sink`` and finish it."""
        return await download(self._transport, self._budgets.files, url, sink, self._clock)


async def _parsed(document: Document, parse: Callable[[], _Result]) -> _Result:
    """Parse small JSON at once, and anything that would hold up the event loop in a thread."""
    if document.content_type in _JSON_TYPES and len(document.body) <= _PARSED_INLINE:
        return parse()
    return await asyncio.to_thread(parse)


def _validators(document: Document) -> Validators:
    etag = repeatable(document.headers.get("ETag", ""))
    return Validators(
        etag=etag,
        last_modified="" if etag else _settled_time(document.headers),
        body=hashlib.blake2b(document.body, digest_size=16).hexdigest(),
    )


def _settled_time(headers: Mapping[str, str]) -> str:
    """Return the time of the last change, if no later one can bear the same time.

    Such times are in whole seconds. One that is not clearly before the moment of the answer may
    be that of two different bodies (RFC 9110, section 8.8.2.2).
    """
    text = repeatable(headers.get("Last-Modified", ""))
    changed, answered = http_date(text), http_date(headers.get("Date", ""))
    if changed is None or answered is None:
        return ""
    return text if answered - changed > _SETTLED else ""


def _is_known(document: Document, validators: Validators, known: Validators) -> bool:
    return document.status == _NOT_MODIFIED or (known.body != "" and known.body == validators.body)


def _with_header_serial(detail: ProjectDetail, document: Document) -> ProjectDetail:
    """Take the serial from the header; where header and body disagree the lower one counts."""
    told = optional_serial(document.headers.get(_SERIAL_HEADER))
    if told is None or (detail.serial is not None and detail.serial <= told):
        return detail
    return replace(detail, serial=told)
