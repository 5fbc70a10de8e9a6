"""The client of a package index over HTTP: its changelog, its pages, and its files."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from bandersnatch.errors import InvalidPage, MissingProject, MissingResource
from bandersnatch.index.download import download
from bandersnatch.index.headers import http_date, storable
from bandersnatch.index.port import FetchedDetail, FetchedList, PackageIndex
from bandersnatch.model.content import Content, Validators
from bandersnatch.model.serials import Change, Serial, optional_serial
from bandersnatch.simple.entries import PageContext
from bandersnatch.simple.html_page import parse_detail_html, parse_list_html
from bandersnatch.simple.json_page import parse_detail_json, parse_list_json
from bandersnatch.simple.limits import LEGACY, LIST, PAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bandersnatch.clock import Clock
    from bandersnatch.index.changelog import Changelog
    from bandersnatch.index.transport import Budgets, Document, Transport
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail, ProjectList
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

_STRONG_AFTER = timedelta(seconds=2)
_NOT_MODIFIED = 304
_OK_OR_NOT_MODIFIED = frozenset({200, _NOT_MODIFIED})


class IndexClient(PackageIndex):
    """Fetches from one index; ``master`` is its URL without a trailing slash."""

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
        return await self._changelog.last_serial()

    async def changes(self, since: Serial, until: Serial, /) -> Sequence[Change]:
        return await self._changelog.changes(since, until)

    async def list_with_serials(self) -> ProjectList:
        return await self._changelog.list_with_serials()

    # ------------------------------------------------------------ pages

    async def fetch_list(self, known: Validators, /) -> FetchedList | None:
        url = f"{self._master}/simple/"
        document = await self._fetch_page(url, known, LIST.size)
        validators = _validators(document)
        if _is_known(document, validators, known):
            return None
        projects = await _parse(document, lambda: self._parse_list(document))
        return FetchedList(projects, validators)

    def _parse_list(self, document: Document) -> ProjectList:
        if document.content_type in _JSON_TYPES:
            return parse_list_json(document.body, document.url)
        _require_html(document)
        return parse_list_html(document.body, document.url, charset=document.charset)

    async def fetch_detail(self, name: ProjectName, known: Validators, /) -> FetchedDetail | None:
        url = f"{self._master}/simple/{name}/"
        try:
            document = await self._fetch_page(url, known, PAGE.size)
        except MissingResource:
            raise MissingProject(name) from None
        validators = _validators(document)
        if _is_known(document, validators, known):
            return None
        detail = await _parse(document, lambda: self._parse_detail(document, name))
        return FetchedDetail(_with_header_serial(detail, document), validators)

    def _parse_detail(self, document: Document, name: ProjectName) -> ProjectDetail:
        context = PageContext(name, document.url, self._clock.now())
        if document.content_type in _JSON_TYPES:
            return parse_detail_json(document.body, context)
        _require_html(document)
        return parse_detail_html(document.body, context, charset=document.charset)

    async def fetch_legacy(self, name: ProjectName, /) -> bytes | None:
        try:
            document = await self._transport.fetch(
                f"{self._master}/pypi/{name}/json",
                limit=LEGACY.size,
                budget=self._budgets.index,
                headers={"Accept": "application/json"},
            )
        except MissingResource:
            return None
        return document.body

    async def _fetch_page(self, url: str, known: Validators, limit: int) -> Document:
        headers = {"Accept": ACCEPT}
        if known.etag:
            headers["If-None-Match"] = known.etag
        elif known.last_modified:
            headers["If-Modified-Since"] = known.last_modified
        return await self._transport.fetch(
            url,
            limit=limit,
            budget=self._budgets.index,
            headers=headers,
            accepted=_OK_OR_NOT_MODIFIED,
        )

    # ------------------------------------------------------------ files

    async def download(self, url: str, sink: Sink, /) -> Content:
        return await download(self._transport, self._budgets.files, url, sink, self._clock)


async def _parse(document: Document, parse: Callable[[], _Result]) -> _Result:
    """Return the result of ``parse``; run it in a thread if it would block the event loop."""
    if document.content_type in _JSON_TYPES and len(document.body) <= _PARSED_INLINE:
        return parse()
    return await asyncio.to_thread(parse)


def _require_html(document: Document) -> None:
    if document.content_type not in _HTML_TYPES:
        beginning = ascii(document.body[:80].decode(errors="replace"))
        kind = document.content_type or "without a type"
        raise InvalidPage(document.url, f"it is {kind}, not a simple page: {beginning}")


def _validators(document: Document) -> Validators:
    etag = storable(document.headers.get("ETag", ""))
    return Validators(
        etag=etag,
        last_modified="" if etag else _strong_last_modified(document.headers),
        body=hashlib.blake2b(document.body, digest_size=16).hexdigest(),
    )


def _strong_last_modified(headers: Mapping[str, str]) -> str:
    """Return the ``Last-Modified`` header if it is a strong validator, otherwise "".

    These times are whole seconds. One that is not clearly earlier than the time of the response can
    belong to two different bodies (RFC 9110, section 8.8.2.2).
    """
    text = storable(headers.get("Last-Modified", ""))
    modified, responded = http_date(text), http_date(headers.get("Date", ""))
    if modified is None or responded is None:
        return ""
    return text if responded - modified > _STRONG_AFTER else ""


def _is_known(document: Document, validators: Validators, known: Validators) -> bool:
    return document.status == _NOT_MODIFIED or (known.body != "" and known.body == validators.body)


def _with_header_serial(detail: ProjectDetail, document: Document) -> ProjectDetail:
    """Take the serial of the header into account: the lower of header and body counts."""
    serial = optional_serial(document.headers.get(_SERIAL_HEADER))
    if serial is None or (detail.serial is not None and detail.serial <= serial):
        return detail
    return replace(detail, serial=serial)
