"""A package index in memory: projects, files, and the changelog."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from packaging.utils import canonicalize_name

from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable


START = int(FakeClock().start.timestamp())
"""The time of all events unless a test states another: the start of the fake clock."""


def _upload_time(serial: int) -> str:
    return f"2024-05-{serial // 24 % 28 + 1:02}T{serial % 24:02}:11:12.{serial % 1000:03}456Z"


@dataclass
class File:
    """A release file; ``path`` is of PyPI's form and begins with a slash.

    Links have it percent-encoded if ``escaped``, and otherwise as it is.
    """

    filename: str
    version: str
    content: bytes
    upload_time: str
    metadata: bytes | None = None
    requires_python: str | None = None
    yanked: bool | str = False
    provenance: str | None = None
    path: str = ""
    hashes: Any = None
    """What the JSON page gives as ``hashes``; None for the sha256."""
    fragment: str | None = None
    """The fragment of the link in HTML; None for the sha256."""
    digests: dict[str, str] | None = None
    """The digests in the legacy document; None for PyPI's."""
    headers: dict[str, str] = field(default_factory=dict)
    """Headers of the file's responses, such as ETag."""
    escaped: bool = False

    def __post_init__(self) -> None:
        digest = hashlib.blake2b(self.content, digest_size=32).hexdigest()
        self.path = (
            self.path or f"/packages/{digest[:2]}/{digest[2:4]}/{digest[4:]}/{self.filename}"
        )

    @property
    def link(self) -> str:
        """The path as links have it."""
        return quote(self.path) if self.escaped else self.path

    def url(self, files_at: str) -> str:
        """Return the URL of the file: below ``files_at``, unless it has a host of its own."""
        return self.path if "://" in self.path else files_at + self.link

    @property
    def sha256(self) -> str:
        """The hexadecimal digest of the content."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass
class Project:
    """A project under the name that the index displays."""

    display: str
    serial: int = 0
    status: str = "active"
    reason: str = ""
    files: dict[str, File] = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)


@dataclass
class Event:
    """An entry of the changelog."""

    name: str
    version: str | None
    time: int
    action: str
    serial: int


class Index:
    """The content of an index; each change adds to the changelog, as on PyPI."""

    def __init__(self, time: Callable[[], int] = lambda: START) -> None:
        self.projects: dict[str, Project] = {}
        self.journal: list[Event] = []
        self.files: dict[str, File] = {}
        self.info: dict[str, Any] = {}
        """Further fields of every legacy document."""
        self.serial = 100
        self._time = time
        self._quarantined: dict[str, File] = {}

    def follow(self, time: Callable[[], int]) -> None:
        """Take the time of further events from this clock."""
        self._time = time

    # ------------------------------------------------------------ changes

    def _happens(self, display: str, action: str, version: str | None = None) -> None:
        self.serial += 1
        self.journal.append(Event(display, version, self._time(), action, self.serial))
        project = self.projects.get(canonicalize_name(display))
        if project is not None:
            project.serial = self.serial

    def project(self, display: str) -> Project:
        """Return the project, creating it if there is none."""
        name = canonicalize_name(display)
        if name not in self.projects:
            self.projects[name] = Project(display)
            self._happens(display, "create")
        return self.projects[name]

    def release(
        self,
        display: str,
        version: str,
        *,
        wheel: bool = True,
        sdist: bool = False,
        size: int = 300,
        metadata: bool = True,
        **attributes: Any,
    ) -> list[File]:
        """Publish a version with a wheel, an sdist or both, and return the files."""
        stem = canonicalize_name(display).replace("-", "_")
        files = []
        if wheel:
            text = f"Metadata-Version: 2.1\nName: {display}\nVersion: {version}\n".encode()
            files.append(
                self.upload(
                    display,
                    version,
                    f"{stem}-{version}-py3-none-any.whl",
                    size=size,
                    metadata=text if metadata else None,
                    **attributes,
                )
            )
        if sdist:
            name = f"{stem}-{version}.tar.gz"
            files.append(self.upload(display, version, name, size=size, **attributes))
        return files

    def upload(
        self,
        display: str,
        version: str,
        filename: str,
        *,
        size: int = 300,
        content: bytes | None = None,
        **attributes: Any,
    ) -> File:
        """Publish one file; its content depends on its name and on the serial."""
        project = self.project(display)
        seed = f"{filename} {self.serial} ".encode()
        body = content if content is not None else (seed * (size // len(seed) + 1))[:size]
        upload_time = attributes.pop("upload_time", _upload_time(self.serial))
        file = File(filename, version, body, upload_time, **attributes)
        project.files[filename] = file
        self.files[file.path] = file
        if version not in project.versions:
            project.versions.append(version)
        self._happens(display, f"add py3 file {filename}", version)
        return file

    def yank(self, display: str, version: str, reason: str = "") -> None:
        """Yank every file of a version."""
        for file in self.project(display).files.values():
            if file.version == version:
                file.yanked = reason or True
        self._happens(display, "yank release", version)

    def remove_file(self, display: str, filename: str) -> None:
        """Remove one file; its URL still answers, as on PyPI."""
        project = self.project(display)
        version = project.files.pop(filename).version
        if all(file.version != version for file in project.files.values()):
            project.versions.remove(version)
        self._happens(display, f"remove file {filename}", version)

    def lose_files(self, display: str, *filenames: str, action: str = "yank release") -> None:
        """Take files off a page with an event that does not say so."""
        project = self.project(display)
        for filename in filenames or tuple(project.files):
            del project.files[filename]
        versions = {file.version for file in project.files.values()}
        project.versions[:] = [version for version in project.versions if version in versions]
        self._happens(display, action)

    def quarantine_release(self, display: str, version: str) -> None:
        """Put a release in quarantine: its files leave the page, and no status says so."""
        project = self.project(display)
        for filename in [name for name, file in project.files.items() if file.version == version]:
            self._quarantined[filename] = project.files.pop(filename)
        project.versions.remove(version)
        self._happens(display, "release quarantined", version)

    def clear_release(self, display: str, version: str) -> None:
        """End the quarantine of a release."""
        project = self.project(display)
        found = {name: file for name, file in self._quarantined.items() if file.version == version}
        project.files.update(found)
        project.versions.append(version)
        self._happens(display, "release quarantine cleared", version)

    def remove_project(self, display: str) -> None:
        """Remove a whole project."""
        del self.projects[canonicalize_name(display)]
        self._happens(display, "remove project")

    def restore(self, project: Project) -> None:
        """Restore a removed project with its files."""
        self.projects[canonicalize_name(project.display)] = project
        self._happens(project.display, "create")

    def quarantine(self, display: str) -> None:
        """Put a project in quarantine: its page stays, empty, and the list omits it."""
        self.project(display).status = "quarantined"
        self._happens(display, "project quarantined")

    def clear_quarantine(self, display: str) -> None:
        """End a quarantine."""
        self.project(display).status = "active"
        self._happens(display, "project quarantine cleared")

    def archive(self, display: str) -> None:
        """Archive a project, which the changelog does not record."""
        self.project(display).status = "archived"

    # ------------------------------------------------------------ documents

    def detail_json(
        self, name: str, *, files_at: str = "", version: str = "1.4", serials: bool = True
    ) -> dict[str, Any]:
        """Return a project's page (PEP 691); file URLs are prefixed with ``files_at``."""
        project = self.projects[name]
        listed = () if project.status == "quarantined" else project.files.values()
        meta: dict[str, Any] = {"api-version": version}
        if serials:
            meta["_last-serial"] = project.serial
        page: dict[str, Any] = {
            "meta": meta,
            "name": name,
            "files": [self._file_json(file, files_at) for file in listed],
            "versions": sorted({file.version for file in listed}),
            "project-status": {"status": project.status},
        }
        if project.reason:
            page["project-status"]["reason"] = project.reason
        return page

    def _file_json(self, file: File, files_at: str) -> dict[str, Any]:
        metadata: object = False
        if file.metadata is not None:
            metadata = {"sha256": hashlib.sha256(file.metadata).hexdigest()}
        return {
            "filename": file.filename,
            "url": file.url(files_at),
            "hashes": {"sha256": file.sha256} if file.hashes is None else file.hashes,
            "size": len(file.content),
            "upload-time": file.upload_time,
            "requires-python": file.requires_python,
            "yanked": file.yanked,
            "core-metadata": metadata,
            "data-dist-info-metadata": metadata,
            "provenance": file.provenance,
        }

    def detail_html(self, name: str, *, files_at: str = "") -> str:
        """Return a project's page (PEP 503)."""
        project = self.projects[name]
        listed = () if project.status == "quarantined" else project.files.values()
        links = []
        for file in listed:
            attributes = ""
            if file.requires_python:
                attributes += f' data-requires-python="{escape(file.requires_python)}"'
            if file.metadata is not None:
                digest = hashlib.sha256(file.metadata).hexdigest()
                attributes += f' data-core-metadata="sha256={digest}"'
            if file.yanked:
                reason = file.yanked if isinstance(file.yanked, str) else ""
                attributes += f' data-yanked="{escape(reason)}"'
            fragment = f"sha256={file.sha256}" if file.fragment is None else file.fragment
            links.append(
                f'<a href="{escape(file.url(files_at))}#{escape(fragment)}"{attributes}>'
                f"{escape(file.filename)}</a><br />"
            )
        status = (
            ""
            if project.status == "active"
            else (f'<meta name="pypi:project-status" content="{project.status}">')
        )
        return (
            '<!DOCTYPE html><html><head><meta name="pypi:repository-version" content="1.4">'
            f"{status}<title>Links for {escape(project.display)}</title></head><body>"
            f"<h1>Links for {escape(project.display)}</h1>{''.join(links)}</body></html>"
        )

    def list_json(self, *, serials: bool = True, own_serials: bool = True) -> dict[str, Any]:
        """Return the root page as JSON; it omits quarantined projects."""
        projects = []
        for project in self.projects.values():
            if project.status != "quarantined":
                entry: dict[str, Any] = {"name": project.display}
                if own_serials:
                    entry["_last-serial"] = project.serial
                projects.append(entry)
        meta: dict[str, Any] = {"api-version": "1.4"}
        if serials:
            meta["_last-serial"] = self.serial
        return {"meta": meta, "projects": projects}

    def list_html(self) -> str:
        """Return the root page as HTML."""
        links = "".join(
            f'<a href="/simple/{name}/">{escape(project.display)}</a>'
            for name, project in self.projects.items()
            if project.status != "quarantined"
        )
        head = "<head><title>Simple index</title></head>"
        return f"<!DOCTYPE html><html>{head}<body>{links}</body></html>"

    def legacy(self, name: str, *, files_at: str = "") -> str:
        """Return the legacy document."""
        project = self.projects[name]
        releases: dict[str, list[dict[str, Any]]] = {version: [] for version in project.versions}
        for file in project.files.values():
            entry = {
                "filename": file.filename,
                "url": file.url(files_at),
                "size": len(file.content),
                "digests": file.digests
                if file.digests is not None
                else {
                    "sha256": file.sha256,
                    "md5": hashlib.md5(file.content).hexdigest(),
                    "blake2b_256": hashlib.blake2b(file.content, digest_size=32).hexdigest(),
                },
                "upload_time_iso_8601": file.upload_time,
                "packagetype": "bdist_wheel" if file.filename.endswith(".whl") else "sdist",
                "yanked": bool(file.yanked),
            }
            releases.setdefault(file.version, []).append(entry)
        version = project.versions[-1] if project.versions else ""
        info = {"name": project.display, "version": version, "summary": "größer"}
        info |= self.info
        return json.dumps({"info": info, "last_serial": project.serial, "releases": releases})
