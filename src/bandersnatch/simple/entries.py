"""The one way from an untrusted file entry, of whatever document, to a ``ReleaseFile``."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from bandersnatch.errors import InvalidPage, InvalidValue
from bandersnatch.model.digests import Hashes, parse_hashes
from bandersnatch.model.files import (
    MAX_REQUIRES_PYTHON_LENGTH,
    ReleaseFile,
    check_filename,
    check_size,
    clean_reason,
    clean_text,
    parse_upload_time,
)
from bandersnatch.model.names import belongs_to, project_name
from bandersnatch.model.project import MAX_FILES, ProjectList, Rejection, is_version
from bandersnatch.model.serials import Serial, parse_serial
from bandersnatch.model.urls import absolute_url, file_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from bandersnatch.model.names import ProjectName


@dataclass(frozen=True, slots=True)
class PageContext:
    """What a document's entries are judged by: where it came from, for whom, and when."""

    name: ProjectName
    url: str
    now: datetime


@dataclass(frozen=True, slots=True)
class RawFile:
    """The texts of one file entry, not yet judged; absent ones are None."""

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

    What identifies the file must be right; what merely describes it is left out when it is not.

    :raises InvalidValue: if the name, the URL, the sha256 or the size cannot be accepted.
    """
    filename = check_filename(entry.filename)
    if not belongs_to(filename, context.name):
        raise InvalidValue("file name", filename, f"is not one of {context.name}")
    url = absolute_url(entry.url, base=context.url)
    hashes = parse_hashes(entry.hashes)
    sha256 = hashes.get("sha256")
    if sha256 is None:
        raise InvalidValue("file", filename, "has no usable sha256")
    return ReleaseFile(
        filename=filename,
        url=url,
        path=file_path(url, filename=filename, sha256=sha256.value),
        hashes=hashes,
        size=None if entry.size is None else check_size(entry.size),
        upload_time=parse_upload_time(entry.upload_time, now=context.now),
        requires_python=clean_text(entry.requires_python, longest=MAX_REQUIRES_PYTHON_LENGTH)
        or None,
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
    """Judge every entry and return the files in the order of their names, and what was refused.

    :raises InvalidPage: if there are too many, or one name stands for two different files.
    """
    files: dict[str, ReleaseFile] = {}
    rejected = []
    for count, entry in enumerate(entries, start=1):
        if count > MAX_FILES:
            raise InvalidPage(context.url, f"it names more than {MAX_FILES} files")
        try:
            file = validate_file(entry, context)
        except InvalidValue as error:
            rejected.append(Rejection(ascii(entry.filename)[:300], str(error)))
            continue
        twin = files.setdefault(file.filename, file)
        if twin is not file and twin != file:
            raise InvalidPage(context.url, f"it names {file.filename} twice, differently")
    return tuple(files[name] for name in sorted(files)), tuple(rejected)


def version_texts(values: Iterable[object]) -> tuple[str, ...]:
    """Return the versions that pass their gate, each once, in the order given."""
    return tuple(dict.fromkeys(v for v in values if isinstance(v, str) and is_version(v)))


MAX_BAD_SHARE = 0.01
"""The share of a listing's entries that may be bad before the listing as a whole is."""
_ODDITIES_TOLD = 20


def build_project_list(
    pairs: Iterable[tuple[object, object]],
    *,
    where: str,
    serial: Serial | None,
    notes: Iterable[str] = (),
) -> ProjectList:
    """Return the list made of pairs of a name and a serial (None: not told), each judged.

    A project whose serial alone is bad is listed as one of which none is told: it exists, and
    whoever leaves it out would claim to have everything without it.

    :raises InvalidPage: if more than 1 % of the pairs, and more than one, are bad.
    """
    serials: dict[ProjectName, Serial | None] = {}
    display_names: dict[ProjectName, str] = {}
    rejected: list[Rejection] = []
    twins: dict[ProjectName, None] = {}
    count = bad = 0
    for shown, told in pairs:
        count += 1
        name: ProjectName | None
        try:
            name = project_name(shown)
            own = None if told is None else parse_serial(told)
        except InvalidValue as error:
            name, own = _name_alone(shown), None
            bad += 1
            if bad <= _ODDITIES_TOLD:
                reason = f"{name}: {error}" if name else str(error)
                rejected.append(Rejection(ascii(shown)[:200], reason))
            if name is None:
                continue
        if name in serials:
            twins[name] = None
        before = serials.setdefault(name, own)
        if own is not None and (before is None or own > before):
            serials[name] = own
        if shown != name:
            display_names[name] = str(shown)
    if bad > max(1, count * MAX_BAD_SHARE):
        first = rejected[0].reason
        raise InvalidPage(where, f"{bad} of its {count} entries are bad: {first}")
    notes = (*notes, *map(_twin, islice(twins, _ODDITIES_TOLD)))
    return ProjectList(serials, display_names, serial, tuple(rejected), bad, notes)


def _name_alone(shown: object) -> ProjectName | None:
    try:
        return project_name(shown)
    except InvalidValue:
        return None


def _twin(name: ProjectName) -> str:
    return f"the list has {name} more than once; its highest serial counts"
