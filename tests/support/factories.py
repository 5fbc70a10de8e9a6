"""Values of the model with defaults for whatever a test does not state."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.files import ReleaseFile
from bandersnatch.model.names import ProjectName, project_name
from bandersnatch.model.project import ProjectDetail
from bandersnatch.simple.entries import PageContext

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
"""The time at which pages are validated."""

UPLOADED = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
"""The upload time of files."""

SHA256 = "d1dc" * 16
"""The digest of a file whose content does not matter."""

FILENAME = "foo-1.0.tar.gz"
"""The name of a file whose name does not matter."""


def make_file(
    filename: str = FILENAME, *, content: bytes | None = None, **fields: Any
) -> ReleaseFile:
    """Return a file of ``content``, by default its name, at a path of PyPI's form."""
    body = filename.encode() if content is None else content
    digest = hashlib.blake2b(body, digest_size=32).hexdigest()
    path = f"packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{filename}"
    told: dict[str, Any] = {
        "url": f"https://files.example.org/{path}",
        "path": path,
        "hashes": Hashes((Digest("sha256", hashlib.sha256(body).hexdigest()),)),
        "size": len(body),
        "upload_time": UPLOADED,
    }
    return ReleaseFile(filename=filename, **(told | fields))


def make_detail(*files: ReleaseFile, name: str = "foo", **fields: Any) -> ProjectDetail:
    """Return the page of a project with these files, by default a single one."""
    told: dict[str, Any] = {"files": files or (make_file(),), "versions": ("1.0",)}
    return ProjectDetail(name=project_name(name), **(told | fields))


def make_context(name: str = "foo", url: str = "") -> PageContext:
    """Return the context that a project's file entries are validated in."""
    return PageContext(ProjectName(name), url or f"https://example.org/simple/{name}/", NOW)


def json_file(filename: object = FILENAME, **fields: object) -> dict[str, object]:
    """Return a file entry of a JSON page; in the names of ``fields`` ``_`` stands for ``-``."""
    told: dict[str, object] = {
        "filename": filename,
        "url": f"https://files.example.org/packages/{filename}",
        "hashes": {"sha256": SHA256},
    }
    return told | {key.replace("_", "-"): value for key, value in fields.items()}


def json_page(*files: object, **fields: object) -> bytes:
    """Return a project's JSON page; in the names of ``fields`` ``_`` stands for ``-``."""
    told: dict[str, object] = {
        "name": "foo",
        "files": files,
        "meta": {"api-version": "1.4", "_last-serial": 10},
    }
    return json.dumps(
        told | {key.replace("_", "-"): value for key, value in fields.items()}
    ).encode()
