"""Values to PEP 691 JSON at API version 1.4; nothing null, nothing empty."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bandersnatch.model.files import format_upload_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.model.serials import Serial

API_VERSION = "1.4"
"""The newest version whose every demand is met; 1.5 is not for mirrors to claim (PEP 752)."""


def render_detail_json(
    detail: ProjectDetail,
    *,
    digest_name: str,
    file_url: Callable[[ReleaseFile], str],
) -> bytes:
    """Return a project's page on one line.

    It claims version 1.0 and leaves out what came later when a size is not known, or no version
    of files that there are, because from 1.1 on a page must tell them all (PEP 700).
    """
    sized = all(file.size is not None for file in detail.files)
    told = sized and bool(detail.versions or not detail.files)
    meta: dict[str, Any] = {"api-version": API_VERSION if told else "1.0"}
    if detail.serial is not None:
        meta["_last-serial"] = detail.serial
    page: dict[str, Any] = {
        "files": [_file(file, digest_name, file_url(file)) for file in detail.files],
        "meta": meta,
        "name": detail.name,
    }
    if told:
        page["versions"] = detail.versions
        page["project-status"] = {"status": detail.status.value}
        if detail.status_reason:
            page["project-status"]["reason"] = detail.status_reason
    return json.dumps(page).encode("ascii")


def _file(file: ReleaseFile, digest_name: str, url: str) -> dict[str, Any]:
    digests = [file.hashes.get(digest_name), file.sha256]
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


class ListJson:
    """The root page, made as projects are added to it in order.

    Each project has its serial where it is known, and the page the highest of them. The serials
    are PyPI's private keys; with them a mirror of this mirror sees what changed.
    """

    def __init__(self) -> None:
        self._projects = bytearray()
        self._serial: Serial | None = None

    def add(self, projects: Iterable[tuple[ProjectName, Serial | None]]) -> None:
        """Add each project, with its serial."""
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
        """Return the page; nothing is added after that."""
        meta = f'"_last-serial": {self._serial}, ' if self._serial is not None else ""
        head = f'{{"meta": {{{meta}"api-version": "{API_VERSION}"}}, "projects": ['
        return b"".join((head.encode(), self._projects, b"]}"))
