"""The schema of the catalogue's database, and the conversion between values and rows.

``unusual_path`` has the paths of files whose names do not tell the project that they belong to
(``likely_owners``), in the spelling that no file system holds apart. The owners of any path are
found with it and with the keys of ``file``: an index over all paths would be as large as all other
tables.

``tally`` has the number of projects that are not excluded: counting the rows of ``project`` would
take longer than everything else in a run with nothing to do.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bandersnatch.catalogue import records
from bandersnatch.catalogue.dependencies import DEPENDENCY_SCHEMA, DEPENDENCY_TABLES
from bandersnatch.layout import StorageKey, is_key
from bandersnatch.model.content import Validators
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.filenames import is_likely_owner
from bandersnatch.model.files import ReleaseFile
from bandersnatch.model.folding import ANY_FOLDING
from bandersnatch.model.names import ProjectName, project_name
from bandersnatch.model.project import ProjectDetail, Rejection, project_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


APPLICATION = 0x62616E64
VERSION = 8
_OWN_SCHEMA = """
CREATE TABLE project (
    name TEXT PRIMARY KEY, display TEXT NOT NULL, serial INTEGER, reflects INTEGER NOT NULL,
    fingerprint TEXT NOT NULL, etag TEXT NOT NULL, last_modified TEXT NOT NULL, body TEXT NOT NULL,
    status TEXT NOT NULL, reason TEXT NOT NULL, versions TEXT NOT NULL,
    standing TEXT NOT NULL, due INTEGER, size INTEGER NOT NULL, files INTEGER NOT NULL,
    verified INTEGER NOT NULL, exclusions TEXT NOT NULL,
    asked INTEGER NOT NULL, watched INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sweep_queue ON project (asked, name) WHERE standing <> 'retained';
CREATE INDEX watched ON project (asked, name, watched)
    WHERE standing <> 'retained' AND watched > 0;
CREATE INDEX due ON project (due) WHERE due IS NOT NULL;
CREATE INDEX verify_queue ON project (verified, name) WHERE standing <> 'excluded';
CREATE TABLE file (
    path TEXT NOT NULL, project TEXT NOT NULL, size INTEGER, modified INTEGER,
    verified INTEGER, hashes TEXT NOT NULL, uploaded TEXT, requires_python TEXT, yanked TEXT,
    core_metadata TEXT, provenance TEXT, validators TEXT, PRIMARY KEY (project, path)
) WITHOUT ROWID;
CREATE TABLE unusual_path (
    project TEXT NOT NULL, place TEXT NOT NULL, PRIMARY KEY (project, place)
) WITHOUT ROWID;
CREATE INDEX unusual_place ON unusual_path (place);
CREATE TABLE deferred (
    name TEXT PRIMARY KEY, deferral TEXT NOT NULL, target_serial INTEGER NOT NULL,
    first_serial INTEGER,
    since INTEGER NOT NULL, tried INTEGER NOT NULL, attempts INTEGER NOT NULL,
    cause TEXT NOT NULL, reason TEXT NOT NULL, display TEXT NOT NULL,
    removal_serial INTEGER NOT NULL, quarantined TEXT NOT NULL,
    noticed_at INTEGER NOT NULL, happened_at INTEGER, seen TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE rejected (
    project TEXT NOT NULL, entry TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (project, entry)
) WITHOUT ROWID;
CREATE TABLE trash (
    key TEXT PRIMARY KEY, size INTEGER NOT NULL, sha256 TEXT NOT NULL, at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE tally (projects INTEGER NOT NULL);
INSERT INTO tally VALUES (0);
CREATE TRIGGER count_inserted AFTER INSERT ON project WHEN new.standing <> 'excluded'
BEGIN UPDATE tally SET projects = projects + 1; END;
CREATE TRIGGER count_deleted AFTER DELETE ON project WHEN old.standing <> 'excluded'
BEGIN UPDATE tally SET projects = projects - 1; END;
CREATE TRIGGER count_changed AFTER UPDATE OF standing ON project
BEGIN UPDATE tally SET projects = projects
    + (new.standing <> 'excluded') - (old.standing <> 'excluded'); END;
CREATE TABLE marker (key TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
"""
SCHEMA = f"{_OWN_SCHEMA}{DEPENDENCY_SCHEMA}"
TABLES = (
    *("project", "file", "unusual_path", "deferred", "rejected", "trash", "marker"),
    *DEPENDENCY_TABLES,
)


PROJECT_COLUMNS = (
    "name", "display", "serial", "reflects", "fingerprint", "etag", "last_modified", "body",
    "status", "reason", "versions", "standing", "due", "size", "files", "verified",
    "exclusions", "asked", "watched",
)  # fmt: skip
FILE_COLUMNS = (
    "path", "project", "size", "modified", "verified", "hashes", "uploaded",
    "requires_python", "yanked", "core_metadata", "provenance", "validators",
)  # fmt: skip

_STANDINGS = {each.value: each for each in records.Standing}
_NO_SIDECAR = "none"


class DamagedRow(Exception):
    """A row with values that this program cannot have written."""

    def __str__(self) -> str:
        return f"the row of {self.args[0]!a:.200} is invalid"


@contextmanager
def _parsing(name: object) -> Iterator[None]:
    """Raise ``DamagedRow`` for every error in parsing a row; ``name`` is its key."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedRow(name) from error


def _valid_key(path: str) -> str:
    if not is_key(path):
        raise ValueError(path)
    return path


def parse_summary(row: tuple[Any, ...]) -> tuple[ProjectName, records.ProjectSummary]:
    """Return a project's name and summary.

    :raises DamagedRow: if its standing is invalid.
    """
    name, reflects, serial, display, fingerprint, standing, size = row
    if standing not in _STANDINGS:
        raise DamagedRow(name)
    return name, records.ProjectSummary(
        reflects, serial, display, fingerprint, _STANDINGS[standing], size
    )


def trash_row(entry: records.TrashEntry) -> tuple[Any, ...]:
    """Return the row of an object in the trash."""
    return entry.key, entry.size, entry.sha256, entry.at


def parse_trash_entry(row: tuple[Any, ...]) -> records.TrashEntry:
    """Return an object in the trash.

    :raises DamagedRow: if its key is invalid.
    """
    with _parsing(row[0]):
        key, *rest = row
        return records.TrashEntry(StorageKey(_valid_key(key)), *rest)


def deferred_row(each: records.Deferred) -> tuple[Any, ...]:
    """Return the row of a deferred project."""
    return (
        each.name,
        each.deferral,
        each.target_serial,
        each.first_serial,
        each.since,
        each.tried,
        each.attempts,
        each.cause,
        each.reason,
        each.display,
        each.removal_serial,
        "\n".join(each.quarantined),
        each.noticed_at,
        each.happened_at,
        each.seen,
    )


def parse_deferred(row: tuple[Any, ...]) -> records.Deferred:
    """Return a deferred project.

    :raises DamagedRow: if its name, deferral or cause is invalid.
    """
    with _parsing(row[0]):
        name, deferral, target, first, since, tried, attempts, cause, reason, display, *rest = row
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


def parse_file_stat(row: tuple[Any, ...]) -> records.FileStat:
    """Return the path, size and time of a stored file.

    :raises DamagedRow: if its path is invalid.
    """
    with _parsing(row[0]):
        path, size, modified, sidecar = row
        path.encode()
        return records.FileStat(path, size, modified, bool(sidecar))


def rejected_rows(
    name: ProjectName, rejections: Iterable[Rejection]
) -> Iterator[tuple[str, str, str]]:
    """Yield a row for each rejected file of a project."""
    for each in rejections:
        yield name, each.entry, each.reason


def parse_rejected(row: tuple[Any, ...]) -> records.RejectedFile:
    """Return a rejected file.

    :raises DamagedRow: if its project's name is invalid.
    """
    with _parsing(row[0]):
        name, entry, reason = row
        return records.RejectedFile(project_name(name), Rejection.of(entry, str(reason)))


def project_row(record: records.ProjectRecord) -> tuple[Any, ...]:
    """Return the row of a project, in the order of ``PROJECT_COLUMNS``."""
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
        exclusions_text(record.exclusions),
        record.asked,
        record.watched,
    )


def file_rows(record: records.ProjectRecord) -> Iterator[tuple[Any, ...]]:
    """Yield a row for each file on the project's page, in the order of ``FILE_COLUMNS``.

    ``modified`` is null for a file that is not stored.
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
            None if found is None else _validators_text(found.validators),
        )


def unusual_rows(record: records.ProjectRecord) -> Iterator[tuple[str, str]]:
    """Yield a row for each stored file whose name does not tell its project."""
    for found in record.files:
        if not is_likely_owner(found.file.filename, record.name):
            yield record.name, ANY_FOLDING.fold(found.file.path)


def parse_path_owner(row: tuple[Any, ...]) -> records.PathOwner:
    """Return the owner of a path.

    :raises DamagedRow: if the row is invalid.
    """
    project, path, hashes, core_metadata = row
    with _parsing(project):
        sidecar = _parse_core_metadata(core_metadata)
        digest = sidecar.strongest if isinstance(sidecar, Hashes) else None
        return records.PathOwner(project_name(project), path, _parse_hashes(hashes), digest)


def parse_project(
    row: tuple[Any, ...],
    files: Iterable[tuple[Any, ...]],
    rejected: Iterable[tuple[Any, ...]] = (),
) -> records.ProjectRecord:
    """Return a project from its row and the rows of its files.

    :raises DamagedRow: if a value is invalid.
    """
    with _parsing(row[0]):
        rejections = tuple(parse_rejected(each).rejection for each in rejected)
        return _parse_project(row, files, rejections)


def _parse_project(
    row: tuple[Any, ...], files: Iterable[tuple[Any, ...]], rejections: tuple[Rejection, ...]
) -> records.ProjectRecord:
    name, display, serial, reflects, fingerprint, etag, last_modified, body, *rest = row
    status, reason, versions, standing, due, *_, exclusions, asked, watched = rest
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
        reflects=reflects,
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
        asked=asked,
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


def _parse_file(row: tuple[Any, ...]) -> ReleaseFile:
    path, _, size, _, _, hashes, uploaded, requires_python, yanked, core_metadata, *rest = row
    provenance, _ = rest
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
    return Hashes(tuple(Digest(algorithm, value) for algorithm, value in pairs))


def _core_metadata_text(file: ReleaseFile) -> str | None:
    hashes = file.core_metadata
    if isinstance(hashes, Hashes):
        return _hashes_text(hashes)
    return None if hashes is None else _NO_SIDECAR


def _parse_core_metadata(text: str | None) -> Hashes | bool | None:
    if text is None:
        return None
    return False if text == _NO_SIDECAR else _parse_hashes(text)
