"""Validation that all page formats share: untrusted entries to values of the model."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from bandersnatch.errors import InvalidPage, InvalidValue
from bandersnatch.model.digests import Hashes, parse_hashes, require_hashes
from bandersnatch.model.filenames import can_belong_to
from bandersnatch.model.files import (
    MAX_REQUIRES_PYTHON_LENGTH,
    ReleaseFile,
    check_filename,
    check_size,
    clean_reason,
    clean_text,
    parse_upload_time,
)
from bandersnatch.model.names import ProjectName, is_named_after, project_name
from bandersnatch.model.project import (
    MAX_FILES,
    ProjectList,
    ProjectStatus,
    Rejection,
    UnknownStatus,
    is_version,
    project_status,
)
from bandersnatch.model.serials import Serial, parse_serial
from bandersnatch.model.urls import absolute_url, file_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime


class PageContext(msgspec.Struct, frozen=True):
    """Which project a document was requested for, its URL, and the time of the request."""

    name: ProjectName
    url: str
    now: datetime


class RawFile(msgspec.Struct, frozen=True):
    """One file entry, not validated; a missing value is None."""

    filename: object
    url: object
    hashes: Mapping[str, object]
    size: object = None
    upload_time: object = None
    requires_python: object = None
    yanked: object = None
    core_metadata: object = None
    provenance: object = None


def validate_file(entry: RawFile, context: PageContext) -> ReleaseFile:
    """Return the file that ``entry`` describes.

    Values that identify the file must be valid. Invalid values that only describe it are
    dropped.

    :raises InvalidValue: if the name, the URL, every given digest, or the size is not valid.
    """
    filename = check_filename(entry.filename)
    if not can_belong_to(filename, context.name):
        raise InvalidValue("file name", filename, f"is not one of {context.name}")
    url = absolute_url(entry.url, base=context.url)
    hashes = require_hashes(entry.hashes)
    requires_python = clean_text(entry.requires_python, longest=MAX_REQUIRES_PYTHON_LENGTH)
    return ReleaseFile(
        filename=filename,
        url=url,
        path=file_path(
            url,
            filename=filename,
            sha256=hashes.sha256_value,
            is_usual=is_named_after(filename, context.name),
        ),
        hashes=hashes,
        size=None if entry.size is None else check_size(entry.size),
        upload_time=parse_upload_time(entry.upload_time),
        requires_python=requires_python or None,
        yanked=_yanked(entry.yanked),
        core_metadata=_core_metadata(entry.core_metadata),
        provenance=_provenance(entry.provenance),
    )


def _yanked(value: object) -> str | None:
    if value is True:
        return ""
    return clean_reason(value) if isinstance(value, str) else None


def _core_metadata(value: object) -> Hashes | bool | None:
    if value is True:
        return Hashes()
    if isinstance(value, dict):
        return parse_hashes(value)
    return False if value is False else None


def _provenance(value: object) -> str | None:
    if not isinstance(value, str) or value[:8].lower() != "https://":
        return None
    try:
        return absolute_url(value, base=value)
    except InvalidValue:
        return None


def validate_files(
    entries: Iterable[RawFile], context: PageContext
) -> tuple[tuple[ReleaseFile, ...], tuple[Rejection, ...]]:
    """Return the valid files, sorted by name, and the rejected entries.

    :raises InvalidPage: if there are more than ``MAX_FILES`` entries, or two different files
        have the same name.
    """
    files: dict[str, ReleaseFile] = {}
    rejected = []
    for count, entry in enumerate(entries, start=1):
        if count > MAX_FILES:
            raise InvalidPage(context.url, f"it names more than {MAX_FILES} files")
        try:
            file = validate_file(entry, context)
        except InvalidValue as error:
            rejected.append(Rejection.of(entry.filename, str(error)))
            continue
        twin = files.setdefault(file.filename, file)
        if twin is not file and twin != file:
            raise InvalidPage(context.url, f"it names {file.filename} twice, differently")
    return tuple(files[name] for name in sorted(files)), tuple(rejected)


def validate_versions(values: Iterable[object]) -> tuple[str, ...]:
    """Return the valid versions in the given order, without duplicates."""
    return tuple(dict.fromkeys(v for v in values if isinstance(v, str) and is_version(v)))


def check_api_version(version: object, where: str) -> None:
    """Refuse a page of another major version than 1 (PEP 629).

    :raises InvalidPage: if ``version`` is not 1.x.
    """
    if not isinstance(version, str) or version.partition(".")[0] != "1":
        raise InvalidPage(where, f"its API version {ascii(version)[:80]} is not 1.x")


def check_page_name(shown: object, context: PageContext) -> None:
    """Refuse a page of another project.

    :raises InvalidPage: if the normalised form of ``shown`` is not the requested name.
    """
    if _valid_name(shown) != context.name:
        raise InvalidPage(context.url, f"it is the page of {ascii(shown)[:80]}")


def parse_status(value: object) -> tuple[ProjectStatus | UnknownStatus, str]:
    """Return the status and its reason (PEP 792); an invalid status is active."""
    if not isinstance(value, dict) or not isinstance(value.get("status"), str):
        return ProjectStatus.ACTIVE, ""
    try:
        status = project_status(value["status"])
    except InvalidValue:
        return ProjectStatus.ACTIVE, ""
    return status, clean_reason(value.get("reason"))


MAX_BAD_SHARE = 0.01
"""The share of a project list's entries that may be invalid; above it the list is refused."""
MAX_BAD = 100_000
"""The number of invalid entries after which the rest of a list is not read."""
_MAX_REPORTED = 20
"""How many invalid or duplicate entries of a list are reported one by one."""


def build_project_list(
    pairs: Iterable[tuple[object, object]],
    *,
    where: str,
    serial: Serial | None,
    notes: Iterable[str] = (),
) -> ProjectList:
    """Return the list of the valid ones among ``pairs`` of a name and a serial or None.

    An entry with a valid name and an invalid serial is listed without a serial: the project
    exists, and a list without it would make the mirror look complete without it.

    :raises InvalidPage: if more than 1 % of the pairs, and several, or ``MAX_BAD`` are invalid.
    """
    serials: dict[ProjectName, Serial | None] = {}
    display_names: dict[ProjectName, str] = {}
    rejected: list[Rejection] = []
    duplicates: dict[ProjectName, None] = {}
    count = bad = 0
    for shown, stated in pairs:
        count += 1
        name: ProjectName | None
        try:
            name = project_name(shown)
            own = None if stated is None else parse_serial(stated)
        except InvalidValue as error:
            name, own = _valid_name(shown), None
            bad += 1
            if bad <= _MAX_REPORTED:
                reason = f"{name}: {error}" if name else str(error)
                rejected.append(Rejection.of(shown, reason))
            if bad == MAX_BAD:
                break
            if name is None:
                continue
        if name in serials:
            duplicates[name] = None
        before = serials.setdefault(name, own)
        if own is not None and (before is None or own > before):
            serials[name] = own
        if shown != name:
            display_names[name] = str(shown)
    _check_bad(bad, count, rejected, where)
    notes = (*notes, *map(_duplicate_note, islice(duplicates, _MAX_REPORTED)))
    return ProjectList(serials, display_names, serial, tuple(rejected), bad, notes)


def _check_bad(bad: int, count: int, rejected: list[Rejection], where: str) -> None:
    if bad > max(1, count * MAX_BAD_SHARE) or bad == MAX_BAD:
        first = rejected[0].reason
        raise InvalidPage(where, f"{bad} of its {count} entries are bad: {first}")


def _valid_name(text: object) -> ProjectName | None:
    try:
        return project_name(text)
    except InvalidValue:
        return None


def _duplicate_note(name: ProjectName) -> str:
    return f"the list has {name} more than once; its highest serial counts"
