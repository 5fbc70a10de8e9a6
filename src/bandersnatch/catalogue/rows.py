"""Converts values to rows of the catalogue's database, and rows to values.

A row is believed only if its checksum is right, and its values pass the checks that those of the
index pass: a disk may flip a bit, and anybody may edit the database.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zlib import crc32

from msgspec.msgpack import Encoder

from bandersnatch.catalogue import records
from bandersnatch.catalogue.schema import TABLES
from bandersnatch.layout import StorageKey, is_key
from bandersnatch.model.content import Validators
from bandersnatch.model.digests import Digest, Hashes, parse_digest
from bandersnatch.model.filenames import is_likely_owner
from bandersnatch.model.files import ReleaseFile
from bandersnatch.model.folding import ANY_FOLDING
from bandersnatch.model.names import ProjectName, project_name
from bandersnatch.model.project import ProjectDetail, Rejection, project_status
from bandersnatch.model.serials import optional_serial, parse_serial
from bandersnatch.model.urls import is_file_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Row = tuple[Any, ...]


_STANDINGS = {each.value: each for each in records.Standing}
_NO_SIDECAR = "none"
_MAX_SIZE = 2**53
"""Bytes; more than any file system stores."""

_ENCODER = Encoder()
_COLUMN = {name: place for place, name in enumerate(TABLES["project"].columns)}
_DETAIL = _COLUMN["checksum"] + 1
"""The number of columns that summaries need, with their checksum."""
SUMMARY_COLUMNS = TABLES["project"].columns[:_DETAIL]


class InvalidRow(Exception):
    """A row with values that this program cannot have written."""

    def __str__(self) -> str:
        return f"the row of {self.args[0]!a:.200} is invalid"


# ---------------------------------------------------------------- checksums


def checksum(values: Sequence[object]) -> int:
    """Return the checksum of a row's values, which differs between types, too.

    CRC-32 finds every flipped bit. Nothing finds an edit that computes it as well.

    :raises UnicodeEncodeError: if a value cannot have been stored by this program.
    """
    return crc32(_ENCODER.encode(values))


def sealed(values: Row) -> Row:
    """Return the row with its checksum as the last value."""
    return (*values, checksum(values))


def is_intact(row: Row) -> bool:
    """Whether the last value of a row is its checksum."""
    try:
        return bool(row[-1] == checksum(row[:-1]))
    except (UnicodeEncodeError, OverflowError):
        return False


def are_intact(rows: Sequence[Row]) -> bool:
    """Whether the last value of each row is its checksum; quicker than one by one."""
    encode = _ENCODER.encode
    try:
        return all([row[-1] == crc32(encode(row[:-1])) for row in rows])  # noqa: C419 - half the time
    except (UnicodeEncodeError, OverflowError):
        return False


def detail_checksum(row: Row, files: Iterable[Row]) -> int:
    """Return the checksum of the rest of a project's row and of its file rows.

    ``row`` may lack the checksum itself. ``files`` are in the order of their paths.
    """
    total = 0
    try:
        for each in (row[_DETAIL : _COLUMN["detail_checksum"]], *files):
            total = crc32(_ENCODER.encode(each), total)
    except (UnicodeEncodeError, OverflowError):
        return -1
    return total


def resealed(row: Row, files: Iterable[Row]) -> Row:
    """Return a project's row with the right checksums."""
    summary, rest = row[: _DETAIL - 1], row[_DETAIL : _COLUMN["detail_checksum"]]
    return (*sealed(summary), *rest, detail_checksum(row, files), row[-1])


def is_project_intact(row: Row, files: Iterable[Row]) -> bool:
    """Whether both checksums of a project are right; ``files`` as for ``detail_checksum``."""
    is_detail_intact = bool(row[_COLUMN["detail_checksum"]] == detail_checksum(row, files))
    return is_detail_intact and is_intact(row[:_DETAIL])


@contextmanager
def _parsing(name: object) -> Iterator[None]:
    """Raise ``InvalidRow`` for every error in parsing a row; ``name`` is its key."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidRow(name) from error


def checked(row: Row) -> Row:
    """Return the values of a row without its checksum.

    :raises InvalidRow: if that is wrong.
    """
    if not is_intact(row):
        raise InvalidRow(row[0])
    return row[:-1]


def _valid_size(value: object) -> bool:
    return value is None or (isinstance(value, int) and 0 <= value <= _MAX_SIZE)


# ---------------------------------------------------------------- small rows


def _valid_key(path: str) -> str:
    if not is_key(path):
        raise ValueError(path)
    return path


def parse_summary(row: Row) -> tuple[ProjectName, records.ProjectSummary]:
    """Return the name and summary of the project of a row with ``SUMMARY_COLUMNS``.

    :raises InvalidRow: if the row is damaged.
    """
    name, display, serial, reflects, fingerprint, standing, _, size, _ = row
    if not is_intact(row) or standing not in _STANDINGS:
        raise InvalidRow(name)
    return name, records.ProjectSummary(
        reflects, serial, display, fingerprint, _STANDINGS[standing], size
    )


def parse_list_entry(row: Row) -> records.ListEntry:
    """Return the entry of the root page for the project of a row with ``SUMMARY_COLUMNS``.

    :raises InvalidRow: if the row is damaged.
    """
    if not is_intact(row):
        raise InvalidRow(row[0])
    name, _, serial, reflects, *_ = row
    is_proven = serial is not None and reflects >= serial
    return records.ListEntry(name, serial if is_proven else None)


def trash_row(entry: records.TrashEntry) -> Row:
    """Return the row of an object in the trash."""
    return sealed((entry.key, entry.size, entry.sha256, entry.at))


def parse_trash_entry(row: Row) -> records.TrashEntry:
    """Return an object in the trash.

    :raises InvalidRow: if the row is damaged.
    """
    key, size, sha256, at = checked(row)
    with _parsing(key):
        return records.TrashEntry(StorageKey(_valid_key(key)), size, sha256, at)


def marker_row(marker: records.Marker, text: str) -> Row:
    """Return the row of a marker."""
    return sealed((str(marker), text))


def parse_marker(row: Row) -> tuple[str, str]:
    """Return the key and the text of a marker.

    :raises InvalidRow: if the row is damaged.
    """
    key, text = checked(row)
    return key, text


def removed_row(name: str) -> Row:
    """Return the row of a project that was removed."""
    return sealed((str(name),))


def parse_removed(row: Row) -> ProjectName:
    """Return the name of a project that was removed.

    :raises InvalidRow: if the row is damaged.
    """
    (name,) = checked(row)
    with _parsing(name):
        return project_name(name)


def deferred_row(each: records.Deferred) -> Row:
    """Return the row of a deferred project."""
    return sealed(
        (
            each.name,
            str(each.deferral),
            each.target_serial,
            each.first_serial,
            each.since,
            each.tried,
            each.attempts,
            str(each.cause),
            each.reason,
            each.display,
            each.removal_serial,
            "\n".join(each.quarantined),
            each.noticed_at,
            each.happened_at,
            each.seen,
        )
    )


def parse_deferred(row: Row) -> records.Deferred:
    """Return a deferred project.

    :raises InvalidRow: if the row is damaged.
    """
    values = checked(row)
    with _parsing(row[0]):
        name, deferral, target, first, since, tried, attempts, cause, reason, display, *rest = (
            values
        )
        removal_serial, quarantined, noticed_at, happened_at, seen = rest
        return records.Deferred(
            project_name(name),
            records.Deferral(deferral),
            target,
            first,
            since,
            tried,
            attempts,
            records.Cause(cause),
            reason,
            display,
            removal_serial,
            tuple(quarantined.split("\n")) if quarantined else (),
            noticed_at,
            happened_at,
            seen,
        )


def parse_file_stat(row: Row) -> records.FileStat:
    """Return the path, size and time of a stored file.

    :raises InvalidRow: if its path is invalid.
    """
    with _parsing(row[0]):
        path, size, modified, sidecar, verified = row
        path.encode()
        return records.FileStat(path, size, modified, bool(sidecar), verified)


def rejected_rows(name: ProjectName, rejections: Iterable[Rejection]) -> Iterator[Row]:
    """Yield a row for each rejected file of a project."""
    for each in rejections:
        yield sealed((name, each.entry, each.reason))


def parse_rejected(row: Row) -> records.RejectedFile:
    """Return a rejected file.

    :raises InvalidRow: if the row is damaged.
    """
    name, entry, reason = checked(row)
    with _parsing(name):
        return records.RejectedFile(project_name(name), Rejection.of(entry, str(reason)))


# ---------------------------------------------------------------- projects and their files


def project_row(record: records.ProjectRecord, files: Sequence[Row]) -> Row:
    """Return the row of a project; ``files`` are the rows of its files."""
    detail, validators = record.detail, record.validators
    summary = (
        detail.name,
        record.display,
        detail.serial,
        record.reflects,
        record.fingerprint,
        record.standing.value,
        record.due,
        record.size,
    )
    rest = (
        validators.etag,
        validators.last_modified,
        validators.body,
        detail.status.value,
        detail.status_reason,
        "\n".join(detail.versions),
        len(record.files),
        record.verified,
        exclusions_text(record.exclusions),
        record.watched,
    )
    row = (*sealed(summary), *rest)
    return (*row, detail_checksum(row, files), record.asked)


def file_rows(record: records.ProjectRecord) -> list[Row]:
    """Return a row for each file on the project's page, in the order of their paths.

    ``modified`` is null for a file that is not stored.
    """
    stored = {found.file.path: found for found in record.files}
    rows = [_file_row(file, record.name, stored.get(file.path)) for file in record.detail.files]
    return sorted(rows, key=lambda row: str(row[0]))


def _file_row(file: ReleaseFile, name: ProjectName, found: records.FileRecord | None) -> Row:
    return (
        file.path,
        name,
        file.size,
        None if found is None else found.modified,
        None if found is None else found.verified,
        _hashes_text(file.hashes),
        None if file.upload_time is None else file.upload_time.isoformat(),
        file.requires_python,
        file.yanked,
        _core_metadata_text(file),
        file.provenance,
        None if found is None else _validators_text(found.validators),
    )


def unusual_rows(record: records.ProjectRecord) -> Iterator[tuple[str, str]]:
    """Yield a row for each stored file whose name does not tell its project."""
    for found in record.files:
        if not is_likely_owner(found.file.filename, record.name):
            yield record.name, ANY_FOLDING.fold(found.file.path)


def parse_path_owner(row: Row) -> records.PathOwner:
    """Return the owner of a path.

    :raises InvalidRow: if the row is invalid.
    """
    project, path, hashes, core_metadata = row
    with _parsing(project):
        sidecar = _parse_core_metadata(core_metadata)
        digest = sidecar.strongest if isinstance(sidecar, Hashes) else None
        return records.PathOwner(project_name(project), path, _parse_hashes(hashes), digest)


def parse_project(
    row: Row, files: Sequence[Row], rejected: Iterable[Rejection] = ()
) -> records.ProjectRecord:
    """Return a project from its row and the rows of its files, in the order of their paths.

    :raises InvalidRow: if one of them is damaged.
    """
    if not is_project_intact(row, files):
        raise InvalidRow(row[0])
    with _parsing(row[0]):
        return _parse_project(row, files, tuple(rejected))


def _parse_project(
    row: Row, files: Iterable[Row], rejections: tuple[Rejection, ...]
) -> records.ProjectRecord:
    name, display, serial, reflects, fingerprint, standing, due, *_ = row
    etag, last_modified, body, status, reason, versions, *_, exclusions, watched, _, asked = row[
        _DETAIL:
    ]
    if project_name(name) != name or optional_serial(serial) != serial:
        raise ValueError(name)
    recorded = [
        (_parse_file(found), found[3], found[4], _parse_validators(found[11])) for found in files
    ]
    recorded.sort(key=lambda each: each[0].filename)
    detail = ProjectDetail(
        name=name,
        files=tuple(file for file, *_ in recorded),
        versions=tuple(versions.split("\n")) if versions else (),
        serial=serial,
        status=project_status(status),
        status_reason=reason,
        rejected=rejections,
    )
    return records.ProjectRecord(
        detail=detail,
        display=display,
        reflects=parse_serial(reflects),
        fingerprint=fingerprint,
        validators=Validators(etag, last_modified, body),
        files=tuple(
            records.FileRecord(file, modified, verified, known)
            for file, modified, verified, known in recorded
            if modified is not None
        ),
        standing=records.Standing(standing),
        due=due,
        exclusions=parse_exclusions(exclusions),
        asked=asked if _valid_size(asked) and asked else records.NEVER,
        watched=watched,
    )


def exclusions_text(exclusions: Iterable[records.Exclusion]) -> str:
    """Return the text of exclusions: one a line, its fields separated by tabs."""
    return "\n".join(f"{each.filter}\t{each.versions}\t{each.newest}" for each in exclusions)


def parse_exclusions(text: str) -> tuple[records.Exclusion, ...]:
    """Return the exclusions of a text.

    :raises ValueError: if it is invalid.
    """
    found = []
    for line in text.split("\n") if text else ():
        by, versions, newest = line.split("\t")
        found.append(records.Exclusion(by, int(versions), newest))
    return tuple(found)


def _parse_file(row: Row) -> ReleaseFile:
    path, _, size, _, _, hashes, uploaded, requires_python, yanked, core_metadata, *rest = row
    provenance, _ = rest
    if not (is_file_path(path) and _valid_size(size)):
        raise ValueError(path)
    return ReleaseFile(
        filename=path.rpartition("/")[2],
        url="",
        path=path,
        hashes=_parse_hashes(hashes),
        size=size,
        upload_time=None if uploaded is None else datetime.fromisoformat(uploaded),
        requires_python=requires_python,
        yanked=yanked,
        core_metadata=_parse_core_metadata(core_metadata),
        provenance=provenance,
    )


def _validators_text(validators: Validators | None) -> str | None:
    return None if validators is None else f"{validators.etag}\n{validators.last_modified}"


def _parse_validators(text: str | None) -> Validators | None:
    return None if text is None else Validators(*text.split("\n"))


def _hashes_text(hashes: Hashes) -> str:
    return " ".join(map(str, hashes))


def _parse_hashes(text: str) -> Hashes:
    pairs = (pair.split("=") for pair in text.split())
    return Hashes(tuple(_parse_hash(algorithm, value) for algorithm, value in pairs))


def _parse_hash(algorithm: str, value: str) -> Digest:
    digest = parse_digest(algorithm, value)
    if digest != Digest(algorithm, value):
        raise ValueError(value)
    return digest


def _core_metadata_text(file: ReleaseFile) -> str | None:
    hashes = file.core_metadata
    if isinstance(hashes, Hashes):
        return _hashes_text(hashes)
    return None if hashes is None else _NO_SIDECAR


def _parse_core_metadata(text: str | None) -> Hashes | bool | None:
    if text is None:
        return None
    return False if text == _NO_SIDECAR else _parse_hashes(text)
