"""Project pages and project lists in JSON (PEP 691): parse and render.

A document is decoded into typed structs. If a value in it has the wrong type, it is decoded
again entry by entry, so that an invalid entry is rejected on its own and not with the page.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from bandersnatch.errors import InvalidPage
from bandersnatch.model.digests import parse_fragment
from bandersnatch.model.files import ReleaseFile, format_upload_time
from bandersnatch.model.project import ProjectDetail, ProjectList
from bandersnatch.model.serials import Serial, optional_serial
from bandersnatch.simple.entries import (
    RawFile,
    build_project_list,
    check_api_version,
    check_page_name,
    parse_status,
    validate_files,
    validate_versions,
)
from bandersnatch.simple.limits import LIST, PAGE, check_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from bandersnatch.model.names import ProjectName
    from bandersnatch.simple.entries import PageContext

API_VERSION = "1.4"
"""The newest version of the API whose rules are all met; 1.5 is not for mirrors (PEP 752)."""
NEWEST_MINOR = 4
"""The newest minor version whose every key is known."""

_Struct = TypeVar("_Struct")

_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>u[dD][89a-fA-F][\da-fA-F]{2})|.)", re.DOTALL
)
"""Escapes in JSON; ``half`` is a surrogate without its partner, which is not valid Unicode."""
_MAX_ESCAPES, _MAX_REPAIRED_SIZE = 10_000, LIST.size // 4
"""A list with more escapes or bytes is not searched for single surrogates."""


class _Meta(msgspec.Struct):
    api_version: Any = msgspec.field(default="1.0", name="api-version")
    serial: Any = msgspec.field(default=None, name="_last-serial")


class _File(msgspec.Struct, rename="kebab"):
    filename: str
    url: str
    hashes: dict[str, str | None]
    size: int | None = None
    upload_time: str | None = None
    requires_python: str | None = None
    yanked: bool | str | None = None
    core_metadata: bool | dict[str, str] | None = None
    dist_info_metadata: bool | dict[str, str] | None = None
    data_dist_info_metadata: bool | dict[str, str] | None = None
    provenance: str | None = None


class _LooseFile(msgspec.Struct, rename="kebab"):
    filename: Any = None
    url: Any = None
    hashes: Any = None
    size: Any = None
    upload_time: Any = None
    requires_python: Any = None
    yanked: Any = None
    core_metadata: Any = None
    dist_info_metadata: Any = None
    data_dist_info_metadata: Any = None
    provenance: Any = None


class _Page(msgspec.Struct, rename="kebab"):
    name: str
    files: list[_File]
    meta: _Meta = msgspec.field(default_factory=_Meta)
    versions: list[str] = []
    project_status: Any = None


class _LoosePage(msgspec.Struct, rename="kebab"):
    name: str
    files: list[msgspec.Raw]
    meta: _Meta = msgspec.field(default_factory=_Meta)
    versions: Any = None
    project_status: Any = None


class _Project(msgspec.Struct):
    name: str
    serial: int | str | None = msgspec.field(default=None, name="_last-serial")


class _LooseProject(msgspec.Struct):
    name: Any = None
    serial: Any = msgspec.field(default=None, name="_last-serial")


class _List(msgspec.Struct):
    projects: list[_Project]
    meta: _Meta = msgspec.field(default_factory=_Meta)


class _LooseList(msgspec.Struct):
    projects: list[msgspec.Raw]
    meta: _Meta = msgspec.field(default_factory=_Meta)


def _decode(text: bytes, kind: type[_Struct], where: str) -> _Struct:
    try:
        return msgspec.json.decode(
            memoryview(text)[len(BOM_UTF8) :] if text.startswith(BOM_UTF8) else text, type=kind
        )
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InvalidPage(where, f"it is not JSON ({error})") from error


def _decode_loosely(text: bytes, kind: type[_Struct], where: str) -> _Struct:
    try:
        return _decode(text, kind, where)
    except msgspec.ValidationError as error:
        raise InvalidPage(where, str(error)) from error


def parse_detail_json(text: bytes, context: PageContext) -> ProjectDetail:
    """Return the contents of a project's JSON page (PEP 691, 700, 740, 792).

    Invalid file entries end up in ``rejected``.

    :raises InvalidPage: if the page as a whole is not valid.
    """
    check_memory(text, PAGE, context.url)
    page: _Page | _LoosePage
    try:
        page = _decode(text, _Page, context.url)
    except msgspec.ValidationError:
        page = _decode_loosely(text, _LoosePage, context.url)
    check_api_version(page.meta.api_version, context.url)
    check_page_name(page.name, context)
    files, rejected = validate_files(_entries(page.files, context.url), context)
    status, reason = parse_status(page.project_status)
    return ProjectDetail(
        name=context.name,
        files=files,
        versions=validate_versions(page.versions) if isinstance(page.versions, list) else (),
        serial=optional_serial(page.meta.serial),
        status=status,
        status_reason=reason,
        rejected=rejected,
    )


def _entries(files: Iterable[_File | msgspec.Raw], where: str) -> Iterator[RawFile]:
    for file in files:
        if isinstance(file, _File):
            yield _entry(file)
            continue
        try:
            loose = _decode(bytes(file), _LooseFile, where)
        except msgspec.ValidationError:
            loose = _LooseFile(filename=bytes(file))
        yield _entry(loose)


def _entry(file: _File | _LooseFile) -> RawFile:
    metadata = file.core_metadata
    if metadata is None:
        # Two older spellings of the same key (PEP 714; PyPI writes the second).
        metadata = file.dist_info_metadata
    if metadata is None:
        metadata = file.data_dist_info_metadata
    return RawFile(
        filename=file.filename,
        url=file.url,
        hashes=_hashes(file.hashes, file.url),
        size=file.size,
        upload_time=file.upload_time,
        requires_python=file.requires_python,
        yanked=file.yanked,
        core_metadata=metadata,
        provenance=file.provenance,
    )


def _hashes(given: object, url: object) -> Mapping[str, object]:
    """Return the digests of an entry; some indexes give one as text, or only in the URL."""
    if isinstance(given, dict) and given:
        return given
    if isinstance(given, str):
        return parse_fragment(given)
    return parse_fragment(url.partition("#")[2]) if isinstance(url, str) else {}


def parse_list_json(text: bytes, where: str) -> ProjectList:
    """Return the projects of a root page in JSON.

    Names with the same normalised form count as one project, with the highest serial.

    :raises InvalidPage: if it is not such a page, or more than 1 % of its entries are invalid.
    """
    check_memory(text, LIST, where)
    try:
        return _parsed_list(text, where)
    except InvalidPage:
        if not (0 < text.count(b"\\") <= _MAX_ESCAPES and len(text) <= _MAX_REPAIRED_SIZE):
            raise
        return _parsed_list(_ESCAPES.sub(_replaced, text), where)


def _replaced(escape: re.Match[bytes]) -> bytes:
    """Return the escape, or U+FFFD for half a surrogate pair: only that entry is invalid then."""
    return rb"\ufffd" if escape["half"] else escape[0]


def _parsed_list(text: bytes, where: str) -> ProjectList:
    page: _List | _LooseList
    try:
        page = _decode(text, _List, where)
    except msgspec.ValidationError:
        page = _decode_loosely(text, _LooseList, where)
    check_api_version(page.meta.api_version, where)
    return build_project_list(
        _listed(page.projects, where),
        where=where,
        serial=optional_serial(page.meta.serial),
        notes=_version_notes(str(page.meta.api_version)),
    )


def _version_notes(version: str) -> Iterator[str]:
    """Yield a note if ``version`` is newer than this release; the page is used (PEP 629)."""
    minor = version.partition(".")[2]
    if minor.isdecimal() and minor.isascii() and int(minor[:9]) > NEWEST_MINOR:
        yield (
            f"the index has API version {version[:20]} and this release knows 1.{NEWEST_MINOR}; "
            "newer keys are ignored"
        )


def _listed(
    projects: Iterable[_Project | msgspec.Raw], where: str
) -> Iterator[tuple[object, object]]:
    for project in projects:
        if isinstance(project, _Project):
            yield project.name, project.serial
            continue
        try:
            loose = _decode(bytes(project), _LooseProject, where)
        except msgspec.ValidationError:
            loose = _LooseProject(name=bytes(project))
        yield loose.name, loose.serial


def render_detail_json(
    detail: ProjectDetail,
    *,
    digest_name: str,
    file_url: Callable[[ReleaseFile], str],
) -> bytes:
    """Return a project's page, on one line.

    From version 1.1 on a page must have all sizes and versions (PEP 700). A page that lacks
    some claims version 1.0 and leaves out the keys of later versions.
    """
    sized = all(file.size is not None for file in detail.files)
    complete = sized and bool(detail.versions or not detail.files)
    meta: dict[str, Any] = {"api-version": API_VERSION if complete else "1.0"}
    if detail.serial is not None:
        meta["_last-serial"] = detail.serial
    page: dict[str, Any] = {
        "files": [_file(file, digest_name, file_url(file)) for file in detail.files],
        "meta": meta,
        "name": detail.name,
    }
    if complete:
        page["versions"] = detail.versions
        page["project-status"] = {"status": detail.status.value}
        if detail.status_reason:
            page["project-status"]["reason"] = detail.status_reason
    return json.dumps(page).encode("ascii")


def _file(file: ReleaseFile, digest_name: str, url: str) -> dict[str, Any]:
    digests = [file.hashes.get(digest_name), file.digest]
    entry: dict[str, Any] = {
        "filename": file.filename,
        "hashes": {digest.algorithm: digest.value for digest in digests if digest is not None},
    }
    if file.requires_python is not None:
        entry["requires-python"] = file.requires_python
    if file.size is not None:
        entry["size"] = file.size
    if file.upload_time is not None:
        entry["upload-time"] = format_upload_time(file.upload_time)
    entry["url"] = url
    entry["yanked"] = file.yanked or file.yanked is not None
    if file.sidecar is not None:
        entry["core-metadata"] = {file.sidecar.algorithm: file.sidecar.value}
    elif file.core_metadata is False:
        entry["core-metadata"] = False
    if file.provenance is not None:
        entry["provenance"] = file.provenance
    return entry


class JsonListRenderer:
    """Renders the root page incrementally, from projects in their final order.

    Each project has its serial, if known, and the page the highest of them. PyPI has the same
    private keys; they allow to mirror this mirror.
    """

    def __init__(self) -> None:
        self._projects = bytearray()
        self._serial: Serial | None = None

    def add(self, projects: Iterable[tuple[ProjectName, Serial | None]]) -> None:
        """Add projects with their serials."""
        entries = []
        for name, serial in projects:
            if serial is None:
                entries.append(f'{{"name": "{name}"}}')
                continue
            entries.append(f'{{"name": "{name}", "_last-serial": {serial}}}')
            if self._serial is None or serial > self._serial:
                self._serial = serial
        if entries:
            self._projects += b", " if self._projects else b""
            self._projects += ", ".join(entries).encode()

    def finish(self) -> bytes:
        """Return the page; call this once, after the last ``add``."""
        meta = f'"_last-serial": {self._serial}, ' if self._serial is not None else ""
        head = f'{{"meta": {{{meta}"api-version": "{API_VERSION}"}}, "projects": ['
        return b"".join((head.encode(), self._projects, b"]}"))
