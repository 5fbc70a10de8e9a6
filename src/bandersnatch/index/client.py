"""The client of a package index over HTTP: its changelog, its pages, and its files."""

from __future__ import annotations

import asyncio
import hashlib
from codecs import BOM_UTF8
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec

from bandersnatch.errors import InvalidPage, MissingProject, MissingResource, UnusableChangelog
from bandersnatch.index.answers import NOT_MODIFIED
from bandersnatch.index.directory_names import DirectoryNames
from bandersnatch.index.download import download, fetch_validators
from bandersnatch.index.headers import http_date, storable
from bandersnatch.index.missing import Kind
from bandersnatch.index.port import Changes, FetchedDetail, FetchedList, PackageIndex
from bandersnatch.index.probe import IndexProbe, address_of
from bandersnatch.model.content import Content, Validators
from bandersnatch.model.serials import Serial, optional_serial
from bandersnatch.simple.entries import PageContext
from bandersnatch.simple.html_page import parse_detail_html, parse_list_html
from bandersnatch.simple.json_page import parse_detail_json, parse_list_json
from bandersnatch.simple.limits import LEGACY, LIST, PAGE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from bandersnatch.clock import Clock
    from bandersnatch.config.schema import IndexSettings
    from bandersnatch.index.changelog import Changelog
    from bandersnatch.index.download_mirror import DownloadMirror
    from bandersnatch.index.port import FailureBudget, Traffic
    from bandersnatch.index.transport import Budgets, Document, Transport
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail, ProjectList
    from bandersnatch.storage.port import Sink

    _Result = TypeVar("_Result")

ACCEPT = (
    "application/vnd.pypi.simple.v1+json, "
    "application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
)
ACCEPT_HTML = "text/html, application/vnd.pypi.simple.v1+html;q=0.9"
_JSON_TYPES = frozenset({"application/vnd.pypi.simple.v1+json", "application/json"})
_HTML_TYPES = frozenset({"application/vnd.pypi.simple.v1+html", "text/html"})
_VAGUE_TYPES = frozenset(
    {
        "",
        "application/octet-stream",
        "binary/octet-stream",
        "text/plain",
        "text/json",
        "application/xhtml+xml",
    }
)
"""The types that servers give to files whose names they do not know; the content decides."""

_BEGINNING = 1024
"""Bytes in which the content of a page must begin, after white space."""
_SERIAL_HEADER = "X-PyPI-Last-Serial"

_PARSED_INLINE = 64 * 1024
"""Bytes; a larger JSON body is parsed in a thread."""

_STRONG_AFTER = timedelta(seconds=2)


class _Statistics(msgspec.Struct):
    """The document of totals that an index publishes."""

    total_packages_size: Annotated[int, msgspec.Meta(ge=0)]


class IndexClient(PackageIndex):
    """Fetches from one index."""

    def __init__(
        self,
        settings: IndexSettings,
        transport: Transport,
        changelog: Changelog | None,
        budgets: Budgets,
        clock: Clock,
        download_mirror: DownloadMirror,
    ) -> None:
        """Take the collaborators; ``changelog`` is None for an index that has pages only."""
        self.pages = self.files = 0
        self._address = address_of(settings)
        self._probe = IndexProbe(settings, transport, budgets, ACCEPT)
        self._transport = transport
        self._changelog = changelog
        self._budgets = budgets
        self._clock = clock
        self._download_mirror = download_mirror
        self._has_changelog = False
        self._directories = DirectoryNames(self._probe.read_beginning, self._fetch_projects)

    @property
    def traffic(self) -> Traffic:
        return self._transport.traffic

    @property
    def clock_offset(self) -> float | None:
        return self._transport.clock_offset

    # ------------------------------------------------------------ the changelog

    async def last_serial(self) -> Serial:
        serial = await self._usable_changelog().last_serial()
        self._has_changelog = True  # so it is no plain directory
        return serial

    async def changes(self, since: Serial, until: Serial, /) -> Changes:
        return await self._usable_changelog().changes(since, until)

    async def list_with_serials(self) -> ProjectList:
        return await self._usable_changelog().list_with_serials()

    def _usable_changelog(self) -> Changelog:
        if self._changelog is None:
            raise UnusableChangelog(self._address.root, "index-url stands for pages only")
        return self._changelog

    # ------------------------------------------------------------ pages

    async def fetch_list(self, known: Validators, /) -> FetchedList | None:
        return await self._fetch_parsed(
            self._address.root, known, LIST.size, self._parse_list, kind=Kind.LIST
        )

    async def _parse_list(
        self, document: Document, validators: Validators, _: InvalidPage | None
    ) -> FetchedList:
        def parse() -> ProjectList:
            if _is_json(document):
                return parse_list_json(document.body, document.url)
            return parse_list_html(document.body, document.url, charset=document.charset)

        listing = await _parse(document, parse)
        self._directories.learn(listing)
        return FetchedList(listing, validators)

    async def _fetch_projects(self) -> ProjectList | None:
        fetched = await self.fetch_list(Validators())
        return None if fetched is None else fetched.projects

    async def fetch_detail(
        self, name: ProjectName, known: Validators, /, *, doubtful: bool = False
    ) -> FetchedDetail | None:
        async def parse_detail(
            document: Document, validators: Validators, unread: InvalidPage | None
        ) -> FetchedDetail:
            detail = await _parse(document, lambda: self._parse_detail(document, name))
            lacking = None if _is_json(document) else unread
            return FetchedDetail(_with_header_serial(detail, document), validators, lacking)

        async def fetch(directory: str) -> FetchedDetail | None:
            url = f"{self._address.root}{directory}/"
            return await self._fetch_parsed(url, known, PAGE.size, parse_detail, doubtful=doubtful)

        try:
            fetched = await self._fetch_in_directory(name, fetch)
        except MissingResource:
            raise MissingProject(name) from None
        self.pages += 1
        return fetched

    async def _fetch_in_directory(
        self, name: ProjectName, fetch: Callable[[str], Awaitable[FetchedDetail | None]]
    ) -> FetchedDetail | None:
        """Return what ``fetch`` makes of a project's page, given the name of its directory.

        That is the normalised name, except in a plain directory.

        :raises MissingResource: if there is no page.
        """
        directory = self._directories.get(name)
        try:
            return await fetch(directory)
        except MissingResource:
            if self._has_changelog:
                raise
            other = await self._directories.look_up(name)
            if other == directory:
                raise
        return await fetch(other)

    def _parse_detail(self, document: Document, name: ProjectName) -> ProjectDetail:
        context = PageContext(name, document.url, self._clock.now())
        if _is_json(document):
            return parse_detail_json(document.body, context)
        return parse_detail_html(document.body, context, charset=document.charset)

    async def fetch_legacy(self, name: ProjectName, /, *, doubtful: bool = False) -> bytes | None:
        if not self._address.legacy:
            return None
        try:
            document = await self._transport.fetch(
                f"{self._address.legacy}{name}/json",
                limit=LEGACY.size,
                budget=self._budgets.index,
                headers={"Accept": "application/json"},
                kind=Kind.LEGACY,
                doubtful=doubtful,
            )
        except MissingResource:
            return None
        return document.body

    async def total_size(self) -> int | None:
        if not self._address.legacy:
            return None
        try:
            document = await self._transport.fetch(
                f"{self._address.legacy.removesuffix('pypi/')}stats/",
                limit=LEGACY.size,
                budget=self._budgets.index,
                headers={"Accept": "application/json"},
                kind=Kind.LEGACY,
                doubtful=True,
            )
            return msgspec.json.decode(document.body, type=_Statistics).total_packages_size
        except (MissingResource, msgspec.MsgspecError, UnicodeError):
            return None

    async def _fetch_parsed(
        self,
        url: str,
        known: Validators,
        limit: int,
        parse: Callable[[Document, Validators, InvalidPage | None], Awaitable[_Result]],
        *,
        kind: Kind = Kind.PAGE,
        doubtful: bool = False,
    ) -> _Result | None:
        """Return what ``parse`` makes of a page, None if the page still matches ``known``.

        A page whose type says nothing is read by its content. If that fails, HTML is requested:
        some servers have a valid HTML page beside a JSON page that they cannot serve. ``parse``
        is given the error of the first page then.
        """
        unread: InvalidPage | None = None
        for accept in (ACCEPT, ACCEPT_HTML):
            document = await self._fetch_page(url, known, limit, accept, kind, doubtful=doubtful)
            validators = _validators(document)
            if _is_known(document, validators, known):
                return None
            try:
                return await parse(document, validators, unread)
            except InvalidPage as error:
                if accept == ACCEPT_HTML or document.content_type not in _VAGUE_TYPES:
                    raise
                unread = error.with_traceback(None)
        raise AssertionError("the last of the requests returns or raises")

    async def _fetch_page(
        self,
        url: str,
        known: Validators,
        limit: int,
        accept: str,
        kind: Kind,
        *,
        doubtful: bool,
    ) -> Document:
        headers = {"Accept": accept}
        if known.etag:
            headers["If-None-Match"] = known.etag
        elif known.last_modified:
            headers["If-Modified-Since"] = known.last_modified
        return await self._transport.fetch(
            url,
            limit=limit,
            budget=self._budgets.index,
            headers=headers,
            kind=kind,
            doubtful=doubtful,
        )

    # ------------------------------------------------------------ where the index is

    async def has_index(self, names: Sequence[ProjectName], /) -> bool:
        return await self._probe.has_index(names)

    async def likely_option(self, names: Sequence[ProjectName], /) -> str:
        return await self._probe.likely_option(names)

    # ------------------------------------------------------------ files

    async def fetch_validators(self, url: str, known: Validators, /) -> Validators:
        return await fetch_validators(self._transport, self._budgets.files, url, known)

    async def download(
        self,
        url: str,
        sink: Sink,
        /,
        *,
        mirror_url: str = "",
        budget: FailureBudget | None = None,
    ) -> Content:
        content = None
        if mirror_url:
            content = await self._download_mirror.try_download(mirror_url, sink)
        if content is None:
            content = await download(
                self._transport, self._budgets.files, url, sink, failures=budget
            )
        self.files += 1
        return content


async def _parse(document: Document, parse: Callable[[], _Result]) -> _Result:
    """Return the result of ``parse``; run it in a thread if it would block the event loop."""
    if _is_json(document) and len(document.body) <= _PARSED_INLINE:
        return parse()
    return await asyncio.to_thread(parse)


def _is_json(document: Document) -> bool:
    """Whether a page is JSON; otherwise it is HTML.

    :raises InvalidPage: if it is neither, by its type, or by its first character if the type says
        nothing.
    """
    kind = document.content_type
    if kind in _JSON_TYPES:
        return True
    if kind in _HTML_TYPES:
        return False
    first = document.body[:_BEGINNING].removeprefix(BOM_UTF8).lstrip()[:1]
    if kind in _VAGUE_TYPES and first in {b"{", b"<"}:
        return first == b"{"
    beginning = ascii(document.body[:80].decode(errors="replace"))
    why = f"it is {kind or 'without a type'}, not a simple page: {beginning}"
    raise InvalidPage(document.url, why)


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
    return document.status == NOT_MODIFIED or (known.body != "" and known.body == validators.body)


def _with_header_serial(detail: ProjectDetail, document: Document) -> ProjectDetail:
    """Take the serial of the header into account: the lower of header and body counts."""
    serial = optional_serial(document.headers.get(_SERIAL_HEADER))
    if serial is None or (detail.serial is not None and detail.serial <= serial):
        return detail
    return replace(detail, serial=serial)
