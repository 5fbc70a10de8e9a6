"""The legacy JSON document of a project, ``/pypi/<name>/json``: parse and render.

With ``json = true`` it is stored. It also has values that a page of API version 1.0 lacks:
sizes, upload times, versions and more digests.
"""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from bandersnatch.errors import InvalidPage, InvalidValue
from bandersnatch.model.digests import Digest, Hashes, parse_hashes
from bandersnatch.model.files import ReleaseFile, check_size, parse_upload_time
from bandersnatch.model.project import MAX_FILES
from bandersnatch.model.serials import Serial, optional_serial
from bandersnatch.simple.entries import PageContext, check_page_name, validate_versions
from bandersnatch.simple.limits import LEGACY, check_memory

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from bandersnatch.model.project import ProjectDetail

_MAX_DEPTH, _INDENT = 64, 4
_PIECES = 10_000
"""How many pieces of the JSON encoder are joined at a time."""


class LegacyFile(msgspec.Struct, frozen=True):
    """The document's entry for one file; values may be missing."""

    size: int | None
    upload_time: datetime | None
    hashes: Hashes


class LegacyDocument(msgspec.Struct, frozen=True):
    """The decoded document, and its useful parts.

    ``files`` has the files by each of their digests, ``by_name`` by their names.
    """

    content: dict[str, Any]
    versions: tuple[str, ...]
    files: dict[Digest, LegacyFile]
    by_name: dict[str, LegacyFile]
    serial: Serial | None


def parse_legacy(text: bytes, context: PageContext) -> LegacyDocument:
    """Return the document.

    :raises InvalidPage: if it is not valid, belongs to another project, or is too large.
    """
    check_memory(text, LEGACY, context.url)
    try:
        content = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InvalidPage(context.url, f"it is not a JSON object ({error})") from error
    _check_growth(content, context.url)
    info, releases = content.get("info"), content.get("releases")
    if not isinstance(info, dict) or not isinstance(releases, dict):
        raise InvalidPage(context.url, "it has no info and releases")
    check_page_name(info.get("name"), context)
    entries = [entry for files in releases.values() if isinstance(files, list) for entry in files]
    files: dict[Digest, LegacyFile] = {}
    by_name: dict[str, LegacyFile] = {}
    if len(entries) > MAX_FILES:
        raise InvalidPage(context.url, f"it names more than {MAX_FILES} files")
    for entry in entries:
        if isinstance(entry, dict):
            hashes = _hashes(entry)
            file = _file(entry, hashes)
            files.update(dict.fromkeys(hashes, file))
            if isinstance(filename := entry.get("filename"), str):
                by_name[filename] = file
    return LegacyDocument(
        content,
        validate_versions(releases),
        files,
        by_name,
        optional_serial(content.get("last_serial")),
    )


def _hashes(entry: dict[str, Any]) -> Hashes:
    """Return the valid digests of an entry; old documents have only ``md5_digest``."""
    digests = entry.get("digests")
    hashes = parse_hashes(digests) if isinstance(digests, dict) else Hashes()
    return hashes or parse_hashes({"md5": entry.get("md5_digest")})


def _check_growth(content: dict[str, Any], where: str) -> None:
    """Refuse a document that would become too large when it is rendered with indentation.

    :raises InvalidPage: if it is nested too deeply, or its indentation exceeds ``LEGACY.size``.
    """
    level: list[Any] = [content]
    size = 0
    for depth in range(1, _MAX_DEPTH + 1):
        inner = [value for each in level for value in _values(each)]
        size += len(inner) * depth * _INDENT
        if size > LEGACY.size:
            raise InvalidPage(where, f"it would have more than {LEGACY.size} bytes as a file")
        level = [value for value in inner if isinstance(value, dict | list)]
    if level:
        raise InvalidPage(where, f"it is nested more than {_MAX_DEPTH} levels deep")


def _values(container: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return container.values() if isinstance(container, dict) else container


def _file(entry: dict[str, Any], hashes: Hashes) -> LegacyFile:
    try:
        size = check_size(entry.get("size"))
    except InvalidValue:
        size = None
    return LegacyFile(size, parse_upload_time(entry.get("upload_time_iso_8601")), hashes)


def render_legacy(document: LegacyDocument) -> bytes:
    """Return the document as it is stored: indented by four spaces, keys sorted, ASCII."""
    rendered = BytesIO()
    pieces = json.JSONEncoder(indent=_INDENT, sort_keys=True).iterencode(document.content)
    while some := "".join(islice(pieces, _PIECES)):
        rendered.write(some.encode("ascii"))
    return rendered.getvalue()


def supplement(detail: ProjectDetail, document: LegacyDocument) -> ProjectDetail:
    """Return the page with missing values taken from the document.

    Entries are matched by the strongest digest on the page; those of files without a digest on
    the page by their names.
    """
    files = tuple(_supplemented(file, _entry_of(file, document)) for file in detail.files)
    return replace(detail, files=files, versions=detail.versions or document.versions)


def _entry_of(file: ReleaseFile, document: LegacyDocument) -> LegacyFile | None:
    if file.digest is None:
        return document.by_name.get(file.filename)
    return document.files.get(file.digest)


def _supplemented(file: ReleaseFile, legacy: LegacyFile | None) -> ReleaseFile:
    if legacy is None:
        return file
    hashes = file.hashes
    for digest in legacy.hashes:
        if hashes.get(digest.algorithm) is None:
            hashes = hashes.with_digest(digest)
    return replace(
        file,
        size=legacy.size if file.size is None else file.size,
        upload_time=file.upload_time or legacy.upload_time,
        hashes=hashes,
    )
