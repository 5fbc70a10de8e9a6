"""The tables of the catalogue's file.

``tally`` counts the projects that are here: counting them anew would take longer than all else that
a run with nothing to do does.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bandersnatch.catalogue.records import (
    Cause,
    Deferral,
    Deferred,
    FileRecord,
    FileStat,
    ProjectRecord,
    ProjectSummary,
    Standing,
    TrashEntry,
)
from bandersnatch.layout import StorageKey, is_key
from bandersnatch.model.content import Validators
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.files import ReleaseFile
from bandersnatch.model.names import project_name
from bandersnatch.model.project import ProjectDetail, ProjectStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bandersnatch.model.names import ProjectName


APPLICATION = 0x62616E64
VERSION = 5
SCHEMA = """
CREATE TABLE project (
    name TEXT PRIMARY KEY, display TEXT NOT NULL, serial INTEGER, reflects INTEGER NOT NULL,
    fingerprint TEXT NOT NULL, etag TEXT NOT NULL, last_modified TEXT NOT NULL, body TEXT NOT NULL,
    status TEXT NOT NULL, reason TEXT NOT NULL, versions TEXT NOT NULL,
    standing TEXT NOT NULL, due INTEGER, size INTEGER NOT NULL, files INTEGER NOT NULL,
    verified INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX due ON project (due) WHERE due IS NOT NULL;
CREATE INDEX scrub ON project (verified, name) WHERE standing <> 'excluded';
CREATE TABLE file (
    path TEXT NOT NULL, project TEXT NOT NULL, size INTEGER, modified INTEGER,
    verified INTEGER, hashes TEXT NOT NULL, uploaded TEXT, requires_python TEXT, yanked TEXT,
    core_metadata TEXT, provenance TEXT, PRIMARY KEY (project, path)
) WITHOUT ROWID;
CREATE TABLE deferred (
    name TEXT PRIMARY KEY, deferral TEXT NOT NULL, target_serial INTEGER NOT NULL,
    first_serial INTEGER,
    since INTEGER NOT NULL, tried INTEGER NOT NULL, attempts INTEGER NOT NULL,
    cause TEXT NOT NULL, reason TEXT NOT NULL, display TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE trash (
    key TEXT PRIMARY KEY, size INTEGER NOT NULL, sha256 TEXT NOT NULL, at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE tally (projects INTEGER NOT NULL);
INSERT INTO tally VALUES (0);
CREATE TRIGGER came AFTER INSERT ON project WHEN new.standing <> 'excluded'
BEGIN UPDATE tally SET projects = projects + 1; END;
CREATE TRIGGER went AFTER DELETE ON project WHEN old.standing <> 'excluded'
BEGIN UPDATE tally SET projects = projects - 1; END;
CREATE TRIGGER turned AFTER UPDATE OF standing ON project
BEGIN UPDATE tally SET projects = projects
    + (new.standing <> 'excluded') - (old.standing <> 'excluded'); END;
CREATE TABLE marker (key TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
"""
TABLES = ("project", "file", "deferred", "trash", "marker")


PROJECT_COLUMNS = (
    "name", "display", "serial", "reflects", "fingerprint", "etag", "last_modified", "body",
    "status", "reason", "versions", "standing", "due", "size", "files", "verified",
)  # fmt: skip
FILE_COLUMNS = (
    "path", "project", "size", "modified", "verified", "hashes", "uploaded",
    "requires_python", "yanked", "core_metadata", "provenance",
)  # fmt: skip

_STANDINGS = {each.value: each for each in Standing}
_NO_SIDECAR = "none"


class DamagedRow(Exception):
    """A row that nobody can have written as it is."""

    def __str__(self) -> str:
        return f"what it says of {self.args[0]!a:.200} makes no sense"


@contextmanager
def _reading(name: object) -> Iterator[None]:
    """Read rows about something.

    :raises DamagedRow: if one makes no sense.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedRow(name) from error


def _checked(path: str) -> str:
    if not is_key(path):
        raise ValueError(path)
    return path


def had_record(row: tuple[Any, ...]) -> tuple[ProjectName, ProjectSummary]:
    """Return a project's name, and what planning looks at.

    :raises DamagedRow: if its standing is none.
    """
    name, reflects, serial, display, fingerprint, standing, size = row
    if standing not in _STANDINGS:
        raise DamagedRow(name)
    return name, ProjectSummary(reflects, serial, display, fingerprint, _STANDINGS[standing], size)


def removed_record(row: tuple[Any, ...]) -> TrashEntry:
    """Return what a row says of a file in ``removed/``."""
    with _reading(row[0]):
        key, *rest = row
        return TrashEntry(StorageKey(_checked(key)), *rest)


def unfinished_record(row: tuple[Any, ...]) -> Deferred:
    """Return what a row says of a project to come back to."""
    with _reading(row[0]):
        name, deferral, target, first, since, tried, attempts, cause, reason, display = row
        return Deferred(
            project_name(name),
            Deferral(deferral),
            target,
            first,
            since,
            tried,
            attempts,
            Cause(cause),
            reason,
            display,
        )


def stored_record(row: tuple[Any, ...]) -> FileStat:
    """Return what a row says of a file as it lies there."""
    with _reading(row[0]):
        path, size, modified, sidecar = row
        path.encode()
        return FileStat(path, size, modified, bool(sidecar))


def project_row(record: ProjectRecord) -> tuple[Any, ...]:
    """Return the values of ``PROJECT_COLUMNS``."""
    detail, validators = record.detail, record.validators
    return (
        detail.name,
        record.display,
        detail.serial,
        record.reflects,
        record.fingerprint,
        validators.etag,
        validators.last_modified,
        validators.body,
        detail.status.value,
        detail.status_reason,
        "\n".join(detail.versions),
        record.standing.value,
        record.due,
        record.size,
        len(record.files),
        record.verified,
    )


def file_rows(record: ProjectRecord) -> Iterator[tuple[Any, ...]]:
    """Yield the values of ``FILE_COLUMNS`` for each file that the project's page names.

    ``modified`` is null for a file that is named and not stored here.
    """
    stored = {found.file.path: found for found in record.files}
    for file in record.detail.files:
        found = stored.get(file.path)
        yield (
            file.path,
            record.name,
            file.size,
            None if found is None else found.modified,
            None if found is None else found.verified,
            _hashes_text(file.hashes),
            None if file.upload_time is None else file.upload_time.isoformat(),
            file.requires_python,
            file.yanked,
            _core_metadata_text(file),
            file.provenance,
        )


def project_record(row: tuple[Any, ...], files: Iterable[tuple[Any, ...]]) -> ProjectRecord:
    """Return the record that a project's row and its files' rows make."""
    with _reading(row[0]):
        return _project_record(row, files)


def _project_record(row: tuple[Any, ...], files: Iterable[tuple[Any, ...]]) -> ProjectRecord:
    name, display, serial, reflects, fingerprint, etag, last_modified, body, *rest = row
    status, reason, versions, standing, due, *_ = rest
    recorded = [(_file(found), found[3], found[4]) for found in files]
    recorded.sort(key=lambda each: each[0].filename)
    detail = ProjectDetail(
        name=name,
        files=tuple(file for file, _, _ in recorded),
        versions=tuple(versions.split("\n")) if versions else (),
        serial=serial,
        status=ProjectStatus(status),
        status_reason=reason,
    )
    return ProjectRecord(
        detail=detail,
        display=display,
        reflects=reflects,
        fingerprint=fingerprint,
        validators=Validators(etag, last_modified, body),
        files=tuple(
            FileRecord(file, modified, verified)
            for file, modified, verified in recorded
            if modified is not None
        ),
        standing=Standing(standing),
        due=due,
    )


def _file(row: tuple[Any, ...]) -> ReleaseFile:
    path, _, size, _, _, hashes, uploaded, requires_python, yanked, core_metadata, provenance = row
    return ReleaseFile(
        filename=path.rpartition("/")[2],
        url="",
        path=path,
        hashes=_parsed_hashes(hashes),
        size=size,
        upload_time=None if uploaded is None else datetime.fromisoformat(uploaded),
        requires_python=requires_python,
        yanked=yanked,
        core_metadata=_parsed_core_metadata(core_metadata),
        provenance=provenance,
    )


def _hashes_text(hashes: Hashes) -> str:
    return " ".join(map(str, hashes))


def _parsed_hashes(text: str) -> Hashes:
    pairs = (pair.split("=") for pair in text.split())
    return Hashes(tuple(Digest(algorithm, value) for algorithm, value in pairs))


def _core_metadata_text(file: ReleaseFile) -> str | None:
    told = file.core_metadata
    if isinstance(told, Hashes):
        return _hashes_text(told)
    return None if told is None else _NO_SIDECAR


def _parsed_core_metadata(text: str | None) -> Hashes | bool | None:
    if text is None:
        return None
    return False if text == _NO_SIDECAR else _parsed_hashes(text)
