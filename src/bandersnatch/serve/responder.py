"""What is answered to a request; knows nothing of connections."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from msgspec import Struct

from bandersnatch.config.schema import FilteredAnswer
from bandersnatch.errors import MissingObject
from bandersnatch.layout import PageFormat
from bandersnatch.model.project import ProjectDetail
from bandersnatch.serve import answers
from bandersnatch.serve.answers import Answer, plain_answer, render_head
from bandersnatch.serve.cache import CachedPage, PageCache, available_encodings
from bandersnatch.serve.conditions import (
    UNSATISFIABLE,
    ByteRange,
    Condition,
    Headers,
    byte_range,
    check_conditions,
)
from bandersnatch.serve.negotiation import (
    CONTENT_TYPES,
    Encoding,
    acceptable_formats,
    best_encoding,
    format_named,
    format_parameter,
)
from bandersnatch.serve.routes import (
    File,
    LastModified,
    LegacyDocument,
    ProjectPage,
    Redirect,
    RootPage,
    Sidecar,
    WebPage,
    route,
    split_target,
)
from bandersnatch.simple.html_page import render_detail_html
from bandersnatch.simple.json_page import render_detail_json
from bandersnatch.storage.port import ServedObject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bandersnatch.concurrency import BlockingExecutor
    from bandersnatch.config.schema import Settings
    from bandersnatch.filters.chain import FilterChain
    from bandersnatch.layout import StorageKey
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.serve.file_tags import FileTags
    from bandersnatch.serve.monitor import Monitor
    from bandersnatch.serve.pages.views import WebPages
    from bandersnatch.storage.port import ServedContent, ServedStorage

_REMEMBERED = 4_096
"""Paths, and values of headers, whose meaning is remembered."""

_LONGEST_REMEMBERED = 256
_READ_METHODS = frozenset({"GET", "HEAD"})


class RequestHeaders(Headers, Protocol):
    """The headers of a request, some of which may occur several times."""

    def getall(self, name: str, default: Sequence[str], /) -> Sequence[str]:
        """Return all values of a header."""
        ...


class _WithoutRange:
    """The headers of a HEAD request, for which ranges are not defined (RFC 9110, section 14.2)."""

    def __init__(self, headers: RequestHeaders) -> None:
        self._headers = headers

    def get(self, name: str, /) -> str | None:
        """Return the first value of a header other than ``Range``."""
        return None if name == "Range" else self._headers.get(name)

    def getall(self, name: str, default: Sequence[str], /) -> Sequence[str]:
        """Return all values of a header."""
        return self._headers.getall(name, default)


class Representation(Struct, frozen=True):
    """How a cached page is sent: everything that its headers depend on."""

    kind: str
    content_type: str
    variant: str
    age: str
    vary: str


_LEGACY = Representation("legacy", "application/json", "", answers.PAGE_AGE, "Accept-Encoding")
_LAST_MODIFIED = Representation(
    "last-modified", "text/plain; charset=utf-8", "", answers.NO_CACHE, "Accept-Encoding"
)


_FILE = Representation("file", "application/octet-stream", "", answers.FILE_AGE, "")
_MUTABLE_FILE = Representation("file", "application/json", "", answers.PAGE_AGE, "")


def _document(found: Sidecar | LegacyDocument | LastModified) -> Representation:
    if isinstance(found, Sidecar):
        age, vary = answers.FILE_AGE, "Accept-Encoding"
        return Representation("sidecar", found.content_type, "", age, vary)
    return _LEGACY if isinstance(found, LegacyDocument) else _LAST_MODIFIED


def _pages(kind: str) -> dict[PageFormat, Representation]:
    vary = "Accept, Accept-Encoding"
    return {
        form: Representation(kind, CONTENT_TYPES[form], f".{form.value}", answers.PAGE_AGE, vary)
        for form in PageFormat
    }


_ROOT_PAGES = _pages("root")
_PROJECT_PAGES = _pages("project")
_WITH_CONTENT = frozenset({200, 206})
_ATTEMPTS = 5


class Responder:
    """Answers requests from the storage."""

    def __init__(
        self,
        storage: ServedStorage,
        threads: BlockingExecutor,
        web_pages: WebPages,
        tags: FileTags,
        settings: Settings,
        filters: FilterChain,
        *,
        monitor: Monitor,
    ) -> None:
        self._storage = storage
        self._web_pages = web_pages
        self._tags = tags
        self.monitor = monitor
        self._pages = PageCache(storage, threads)
        self._settings = settings
        self._layout = settings.pages.layout
        self._filters = filters
        self._encodings = available_encodings()
        self._route = lru_cache(_REMEMBERED)(route)
        self._formats = lru_cache(_REMEMBERED)(self._acceptable_formats)
        self._encoding = lru_cache(_REMEMBERED)(self._best_encoding)

    async def answer(  # noqa: PLR0911 - one for each kind
        self, method: str, target: str, headers: RequestHeaders, *, secure: bool = False
    ) -> Answer:
        """Return the answer to a request; ``secure`` is whether it came by HTTPS.

        :raises StorageError: if the storage cannot be read.
        """
        if method not in _READ_METHODS:
            text = "this server is read-only: use GET or HEAD"
            return plain_answer(405, text, {"Allow": "GET, HEAD"})
        if method == "HEAD":
            headers = _WithoutRange(headers)
        path, query = split_target(target)
        found = self._route(path) if len(path) <= _LONGEST_REMEMBERED else route(path)
        match found:
            case ProjectPage() | RootPage():
                return await self._simple(found, query, headers)
            case File():
                return await self._file(found, method, headers)
            case Sidecar() | LegacyDocument() | LastModified():
                return await self._cached(found.key, _document(found), headers) or _not_found()
            case WebPage():
                host = headers.get("Host")
                return await self._web_pages.answer(found, query, host, secure=secure)
            case Redirect():
                return _redirect(found, query)
            case None:
                return _not_found()

    # ------------------------------------------------------------ negotiation

    def _acceptable_formats(self, accept: str | None) -> list[PageFormat]:
        return acceptable_formats(accept, self._layout.formats)

    def _best_encoding(self, accept: str | None) -> Encoding:
        return best_encoding(accept, self._encodings)

    def _formats_for(self, query: str, headers: RequestHeaders) -> list[PageFormat]:
        named = format_parameter(query) if query else None
        if named is not None:
            form = format_named(named)
            return [] if form is None else [form]
        accept = _joined(headers, "Accept")
        if accept is not None and len(accept) > _LONGEST_REMEMBERED:
            return self._acceptable_formats(accept)
        return self._formats(accept)

    def _encoding_for(self, headers: RequestHeaders) -> Encoding:
        accept = _joined(headers, "Accept-Encoding")
        if accept is not None and len(accept) > _LONGEST_REMEMBERED:
            return self._best_encoding(accept)
        return self._encoding(accept)

    # ------------------------------------------------------------ pages

    async def _simple(
        self, found: ProjectPage | RootPage, query: str, headers: RequestHeaders
    ) -> Answer:
        forms = [found.form] if found.form is not None else self._formats_for(query, headers)
        hows = _ROOT_PAGES if isinstance(found, RootPage) else _PROJECT_PAGES
        for form in forms:
            answer = await self._cached(self._key(found, form), hows[form], headers)
            if answer is not None:
                return answer
        # A format that is acceptable and published is missing while a run adds or removes a page.
        is_published = any(each in self._layout.formats for each in forms)
        if found.form is None and not is_published and await self._any_exists(found, forms):
            return _not_acceptable()
        if isinstance(found, ProjectPage) and self._is_filtered_empty(found.name):
            return self._empty_page(found.name, forms, headers)
        return _not_found()

    def _key(self, found: ProjectPage | RootPage, form: PageFormat) -> StorageKey:
        if isinstance(found, RootPage):
            return self._layout.root_page(form)
        return self._layout.page(found.name, form)

    async def _any_exists(self, found: ProjectPage | RootPage, tried: list[PageFormat]) -> bool:
        """Whether a page exists in a format that was not tried."""
        for form in PageFormat:
            if form not in tried and await self._storage.look(self._key(found, form)) is not None:
                return True
        return False

    async def _cached(
        self, key: StorageKey, how: Representation, headers: RequestHeaders
    ) -> Answer | None:
        """Return the answer with a page, None if there is none."""
        encoding = self._encoding_for(headers)
        for _ in range(_ATTEMPTS):
            page = await self._pages.get(key, encoding)
            if page is None:
                return None
            sent = encoding if encoding in page.encoded else Encoding.IDENTITY
            answer = _page_answer(page, how, sent, headers)
            if answer.status not in _WITH_CONTENT or answer.content_is_ready:
                return answer
            opened = await self._open(key)
            if opened is not None and opened.content.found.tag == page.found.tag:
                answer.content, answer.stack = opened.content, opened.stack
                return answer
            if opened is not None:
                await opened.stack.aclose()
        return plain_answer(503, "the page is being replaced", {"Retry-After": "1"}, kind=how.kind)

    # ------------------------------------------------------------ files

    async def _file(self, file: File, method: str, headers: RequestHeaders) -> Answer:
        """Return the answer with a release file, which is sent in pieces."""
        found = await self._storage.look(file.key)
        if found is None:
            return _not_found()
        if method == "HEAD":
            return _file_answer(file, found, await self._tags.tag(file.key, found), headers)
        opened = await self._open(file.key)
        if opened is None:
            return _not_found()
        found = opened.content.found
        answer = _file_answer(file, found, await self._tags.tag(file.key, found), headers)
        if answer.status in _WITH_CONTENT:
            answer.content, answer.stack = opened.content, opened.stack
        else:
            await opened.stack.aclose()
        return answer

    async def _open(self, key: StorageKey) -> _Opened | None:
        stack = AsyncExitStack()
        try:
            content = await stack.enter_async_context(self._storage.open(key))
        except MissingObject:
            return None
        return _Opened(content, stack)

    # ------------------------------------------------------------ what filters left out

    def _is_filtered_empty(self, name: ProjectName) -> bool:
        return self._settings.serve.filtered is FilteredAnswer.EMPTY and not (
            self._filters.may_select(name)
        )

    def _empty_page(
        self, name: ProjectName, forms: list[PageFormat], headers: RequestHeaders
    ) -> Answer:
        """Return a page without files: a client finds the project here, and looks no further."""
        form = next((each for each in forms if each in self._layout.formats), None)
        if form is None:
            return _not_acceptable()
        detail = ProjectDetail(name)
        if form is PageFormat.V1_JSON:
            body = render_detail_json(detail, digest_name="sha256", file_url=_no_url)
        else:
            body = render_detail_html(detail, display=name, digest_name="sha256", file_url=_no_url)
        found = ServedObject(len(body), 0, None)
        digest = blake2b(body, digest_size=16).hexdigest()
        page = CachedPage(found, digest, body)
        return _page_answer(page, _PROJECT_PAGES[form], Encoding.IDENTITY, headers)


class _Opened(Struct, frozen=True):
    """An open object, until ``stack`` is closed."""

    content: ServedContent
    stack: AsyncExitStack


# ---------------------------------------------------------------- answers


def _page_answer(
    page: CachedPage, how: Representation, encoding: Encoding, headers: RequestHeaders
) -> Answer:
    """Return the answer with a page; without its content if that is not in memory."""
    suffix = "" if encoding is Encoding.IDENTITY else f".{encoding.value}"
    etag = f'"{page.digest}{how.variant}{suffix}"'
    modified = page.found.modified // answers.NANOSECONDS
    condition = check_conditions(headers, etag, modified)
    if condition is not Condition.SEND:
        return _without_content(how, condition, etag)
    body = page.body if encoding is Encoding.IDENTITY else page.encoded[encoding]
    size = page.found.size if body is None else len(body)
    span = byte_range(headers, size, etag, modified)
    if span is UNSATISFIABLE:
        return _unsatisfiable(how.kind, size)
    if span is None:
        known = (how.kind, how.variant, encoding)
        head = page.heads.get(known)
        if head is None:
            fields = _content_fields(how, encoding, etag, modified)
            head = page.heads[known] = render_head(200, {**fields, "Content-Length": str(size)})
        if body is not None:
            return Answer(how.kind, 200, head, body)
        return Answer(how.kind, 200, head, span=ByteRange(0, size))
    fields = _content_fields(how, encoding, etag, modified) | _range_fields(span, size)
    answer = Answer(how.kind, 206, render_head(206, fields), span=span)
    if body is not None:
        answer.body = body[span.start : span.stop]
    return answer


def _file_answer(file: File, found: ServedObject, etag: str, headers: Headers) -> Answer:
    """Return the answer with a release file, without its content."""
    modified = found.modified // answers.NANOSECONDS
    how = _MUTABLE_FILE if file.is_mutable else _FILE
    condition = check_conditions(headers, etag, modified)
    if condition is not Condition.SEND:
        return _without_content(how, condition, etag)
    span = byte_range(headers, found.size, etag, modified)
    if span is UNSATISFIABLE:
        return _unsatisfiable(how.kind, found.size)
    fields = _content_fields(how, Encoding.IDENTITY, etag, modified)
    if span is None:
        fields["Content-Length"] = str(found.size)
        whole = ByteRange(0, found.size)
        return Answer(how.kind, 200, render_head(200, fields), span=whole)
    return Answer(
        how.kind, 206, render_head(206, fields | _range_fields(span, found.size)), span=span
    )


def _content_fields(
    how: Representation, encoding: Encoding, etag: str, modified: int
) -> dict[str, str]:
    fields = {
        "Content-Type": how.content_type,
        "ETag": etag,
        "Last-Modified": answers.http_date(modified),
        "Cache-Control": how.age,
        "Accept-Ranges": "bytes",
        **answers.SAFE_HEADERS,
    }
    if how.vary:
        fields["Vary"] = how.vary
    if encoding is not Encoding.IDENTITY:
        fields["Content-Encoding"] = encoding.value
    return fields


def _range_fields(span: ByteRange, size: int) -> dict[str, str]:
    return {
        "Content-Length": str(span.stop - span.start),
        "Content-Range": f"bytes {span.start}-{span.stop - 1}/{size}",
    }


def _without_content(how: Representation, condition: Condition, etag: str) -> Answer:
    if condition is Condition.FAILED:
        return plain_answer(412, "the content is another one", kind=how.kind)
    fields = {"ETag": etag, "Cache-Control": how.age} | ({"Vary": how.vary} if how.vary else {})
    return Answer(how.kind, 304, render_head(304, fields))


def _unsatisfiable(kind: str, size: int) -> Answer:
    fields = {"Content-Range": f"bytes */{size}"}
    return plain_answer(416, "the content has no such range", fields, kind=kind)


def _not_found() -> Answer:
    return plain_answer(404, "not found", kind="missing")


def _not_acceptable() -> Answer:
    types = ", ".join(each.partition(";")[0] for each in CONTENT_TYPES.values())
    return plain_answer(406, f"acceptable types: {types}", {"Vary": "Accept"})


def _redirect(found: Redirect, query: str) -> Answer:
    location = f"{found.location}?{_quoted(query)}" if query else found.location
    return plain_answer(301, "", {"Location": location}, kind="redirect")


def _quoted(query: str) -> str:
    return quote(query.encode("utf-8", "surrogateescape"), safe="!$&'()*+,;=:@/?%-._~")


def _joined(headers: RequestHeaders, name: str) -> str | None:
    """Return the values of all headers of a name as one (RFC 9110, section 5.3)."""
    values = headers.getall(name, ())
    if len(values) <= 1:
        return values[0] if values else None
    return ", ".join(values)


def _no_url(file: ReleaseFile) -> str:
    raise AssertionError(file)
