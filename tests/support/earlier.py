"""Trees as earlier releases wrote them, byte for byte.

See docs/development/protocol.md, "Compatibility with earlier releases".
"""

from __future__ import annotations

import hashlib
import json
import os
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.index import File, Index
    from tests.support.site import Site

RELEASES = ("4.0", "4.2", "5.1", "5.3", "6.0", "6.4", "7.0", "8.0")
"""One release of each layout."""

_HEAD = "<!DOCTYPE html>\n<html>\n  <head>\n"
_META = '    <meta name="pypi:repository-version" content="1.0">\n'
_STAMP = "2024-05-01T000000Z"


class EarlierRelease:
    """Writes the tree that a release would have written for an index.

    The attributes are options of that release, and ``directory``: the path in the links to kept
    versions, if the mirror had another path then.
    """

    def __init__(self, site: Site, index: Index, release: str = "8.0") -> None:
        self.root, self.index = site.root, index
        self.release = tuple(map(int, release.split(".")))
        self.formats = ("html", "v1_html", "v1_json") if self.release >= (6, 0) else ("html",)
        self.hashed = False
        self.legacy = False
        self.versions = False
        self.digest = "sha256"
        self.root_uri = ""
        self.directory = str(site.root)

    def write(self, *names: str) -> None:
        """Write everything that the index has, or only some projects and no state."""
        for name in names or sorted(self.index.projects):
            for file in self.index.projects[name].files.values():
                self._file(file)
            self._pages(name)
            if self.legacy:
                self._legacy(name)
        if names:
            return
        self._root(sorted(self.index.projects))
        self.state("status", str(self.index.serial))
        self.state("generation", "5")
        self.state("web/last-modified", "20240501T00:00:00\n")
        self._put(".lock", "")
        (self.root / "web/local-stats/days").mkdir(parents=True)

    def state(self, path: str, text: str) -> None:
        """Write a state file; a new one is readable by its owner only."""
        self._put(path, text).chmod(0o600)

    def _put(self, path: str, content: str | bytes) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def _file(self, file: File) -> None:
        sidecar = file.metadata if self.release >= (8, 0) else None
        for suffix, content in (("", file.content), (".metadata", sidecar)):
            if content is not None:
                path = self._put(f"web{file.path}{suffix}", content)
                if file.upload_time:
                    modified = datetime.fromisoformat(file.upload_time).timestamp()
                    os.utime(path, (modified, modified))

    # ------------------------------------------------------------ pages

    def page(self, name: str) -> str:
        """Return the directory of a project's pages."""
        return f"web/simple/{name[0]}/{name}" if self.hashed else f"web/simple/{name}"

    def _pages(self, name: str) -> None:
        project = self.index.projects[name]
        files = sorted(project.files.values(), key=lambda file: file.filename)
        html = self._html(project.display, files, project.serial)
        text = {"html": html, "v1_html": html, "v1_json": self._json(name, files, project.serial)}
        for form in self.formats:
            place = f"{self.page(name)}/index.{form}"
            if not self.versions:
                self._put(place, text[form])
                continue
            kept = f"{self.page(name)}/versions/index_{project.serial}_{_STAMP}.{form}"
            self._put(kept, text[form])
            (self.root / place).symlink_to(f"{self.directory}/{kept}")

    def _url(self, file: File) -> str:
        return f"{self.root_uri or '../..'}{quote(file.path, safe='/')}"

    def _digest(self, file: File) -> str:
        return hashlib.new(self.digest, file.content).hexdigest()

    def _sidecar(self, file: File) -> str:
        """Return the digest of a file's core metadata, "" if the release did not state it."""
        if file.metadata is None or self.release < (8, 0):
            return ""
        return hashlib.sha256(file.metadata).hexdigest()

    def _html(self, display: str, files: list[File], serial: int) -> str:
        links = "\n".join(
            f'    <a href="{self._url(f)}#{self.digest}={self._digest(f)}"'
            f"{self._attributes(f)}>{f.filename}</a><br/>"
            for f in files
        )
        meta = _META if self.release >= (5, 2) else ""
        return (
            f"{_HEAD}{meta}    <title>Links for {display}</title>\n  </head>\n  <body>\n"
            f"    <h1>Links for {display}</h1>\n{links}\n  </body>\n</html>\n<!--SERIAL {serial}-->"
        )

    def _attributes(self, file: File) -> str:
        told = ""
        if file.requires_python is not None:
            told += f' data-requires-python="{escape(file.requires_python)}"'
        if digest := self._sidecar(file):
            told += (
                f' data-core-metadata="sha256={digest}" data-dist-info-metadata="sha256={digest}"'
            )
        if file.yanked and self.release >= (5, 1):
            reason = file.yanked if isinstance(file.yanked, str) else ""
            told += f' data-yanked="{escape(reason)}"'
        return told

    def _json(self, name: str, files: list[File], serial: int) -> str:
        later = self.release >= (6, 4)
        page: dict[str, Any] = {
            "files": [self._entry(file, later=later) for file in files],
            "meta": {"api-version": "1.1" if later else "1.0", "_last-serial": str(serial)},
            "name": name,
        }
        if later:
            page["versions"] = sorted({file.version for file in files})
        return json.dumps(page)

    def _entry(self, file: File, *, later: bool) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "filename": file.filename,
            "hashes": {self.digest: self._digest(file)},
            "requires-python": file.requires_python,
        }
        if later:
            entry |= {"size": len(file.content), "upload-time": file.upload_time}
        entry |= {"url": self._url(file), "yanked": bool(file.yanked)}
        if digest := self._sidecar(file):
            entry["core-metadata"] = {"sha256": digest}
        return entry

    def _legacy(self, name: str) -> None:
        text = json.dumps(json.loads(self.index.legacy(name)), indent=4, sort_keys=True)
        self._put(f"web/json/{name}", text)
        if self.release >= (5, 3):
            self._put(f"web/pypi/{name}/json", text)
            return
        link = self.root / f"web/pypi/{name}/json"
        link.parent.mkdir(parents=True)
        to = f"../../json/{name}" if self.release >= (4, 1) else f"{self.directory}/web/json/{name}"
        link.symlink_to(to)

    def _root(self, names: list[str]) -> None:
        meta = _META if self.release >= (5, 2) else ""
        links = "".join(f'    <a href="{name}/">{name}</a><br/>\n' for name in names)
        title = "    <title>Simple Index</title>\n  </head>\n  <body>\n"
        html = f"{_HEAD}{meta}{title}{links}  </body>\n</html>"
        version = "1.1" if self.release >= (6, 4) else "1.0"
        projects = [{"name": name} for name in names]
        told = {"meta": {"_last-serial": 0, "api-version": version}, "projects": projects}
        text = {"html": html, "v1_html": html, "v1_json": json.dumps(told)}
        for form in self.formats:
            self._put(f"web/simple/index.{form}", text[form])

    # ------------------------------------------------------------ leftovers

    def leave_things_about(self, name: str) -> list[Path]:
        """Create leftovers of kills, failures, older releases and object storages; return them."""
        file = next(iter(self.index.projects[name].files.values()))
        folder, _, filename = file.path.rpartition("/")
        return [
            self._put(path, "left")
            for path in (
                f"{self.page(name)}/.index.html.ab12cd_3",
                f"{self.page(name)}/.s3keep",
                f"web{folder}/.{filename}.x7f_0q1z",
                "web/simple/.index.html.qq01zz_9",
                "web/simple/.s3keep",
                "web/simple/Not_Normalised/index.html",
                "web/simple/not a name/index.html",
                "web/serversig",
                "web/stats/days/2012-01-01.bz2",
                f"web/json/{name}.new",
                "web/json/.s3keep",
                "todo.8k2j_1ab",
                "status.zzzz0000",
            )
        ]
