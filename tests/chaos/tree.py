"""Reads a mirror's tree as a client does: bytes, pages, links; imports nothing of the program."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from functools import lru_cache
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urljoin, urlsplit

from tests.support.disks import listing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

HOST = "mirror.example.org"
FORMS = {"index.html": "html", "index.v1_html": "html", "index.v1_json": "json"}
"""The file names of pages, with their formats."""


class Tree(Protocol):
    """A tree of files by path, such as ``web/simple/index.html``."""

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, None unless it is a regular file."""
        ...

    def names(self, directory: str) -> Iterable[str]:
        """Return the names in a directory, none if it does not exist."""
        ...


class Disk:
    """A tree that may change while it is read."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str) -> bytes | None:
        """Return the current content of a file."""
        try:
            return (self._root / path).read_bytes()
        except OSError:
            return None

    def names(self, directory: str) -> Iterable[str]:
        """Return the current names in a directory."""
        try:
            return sorted(path.name for path in (self._root / directory).iterdir())
        except OSError:
            return ()


def fingerprint(root: Path) -> dict[str, tuple[int, int, int]]:
    """Return what tells whether anything below a directory has changed: inodes, times, sizes."""
    found: dict[str, tuple[int, int, int]] = {}
    waiting = [str(root)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for each in entries:
                    status = each.stat(follow_symlinks=False)
                    found[each.path] = status.st_ino, status.st_mtime_ns, status.st_size
                    if each.is_dir(follow_symlinks=False):
                        waiting.append(each.path)
        except OSError:
            continue  # it was removed meanwhile
    return found


class Snapshot:
    """A directory at one moment, with the tree at ``root`` in it."""

    def __init__(self, home: Path, root: str) -> None:
        found = listing(home) if home.is_dir() else {}
        self._below = f"{root}/"
        self.around = {
            path: told for path, told in found.items() if not f"{path}/".startswith(self._below)
        }
        self.kinds = {
            path.removeprefix(self._below): told[0]
            for path, told in found.items()
            if path.startswith(self._below)
        }
        self._contents = {
            path.removeprefix(self._below): told[2]
            for path, told in found.items()
            if path.startswith(self._below)
        }

    def read(self, path: str) -> bytes | None:
        """Return the content of a file at that moment."""
        content = self._contents.get(path)
        return content if isinstance(content, bytes) else None

    def names(self, directory: str) -> Iterable[str]:
        """Return the names in a directory at that moment."""
        return sorted(
            path.rpartition("/")[2] for path in self.kinds if path.rpartition("/")[0] == directory
        )

    def files(self, prefix: str = "") -> dict[str, bytes]:
        """Return the content of each regular file whose path has a prefix, by path."""
        return {
            path: content
            for path, content in self._contents.items()
            if isinstance(content, bytes) and path.startswith(prefix)
        }


@dataclass(frozen=True)
class Link:
    """A file as a page names it; ``path`` is below ``web/``, None for other URLs.

    ``yanked`` is None for a file that is not yanked, ``sidecar`` the advertised sha256 of core
    metadata.
    """

    filename: str
    path: str | None
    digests: Mapping[str, str]
    size: int | None = None
    yanked: str | None = None
    requires_python: str | None = None
    sidecar: str | None = None

    def comparable(self, *, sized: bool) -> tuple[object, ...]:
        """Return what the formats of a page must agree on; HTML has no sizes."""
        told = (self.filename, self.path, self.yanked, self.requires_python, self.sidecar)
        return (*told, self.size) if sized else told


@dataclass(frozen=True)
class Page:
    """A project's page."""

    links: tuple[Link, ...]
    serial: int | None = None
    status: str = "active"


class Unreadable(Exception):
    """A page is invalid."""


@lru_cache(maxsize=10_000)  # a page is read at every request and rarely changes
def read_page(name: str, form: str, content: bytes) -> Page:
    """Return a project's page.

    :raises Unreadable: if it is invalid.
    """
    base = f"https://{HOST}/simple/{name}/"
    try:
        return (_json_page if form == "json" else _html_page)(content, base)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreadable(f"{name}, {form}: {error!r}") from error


def read_root(form: str, content: bytes) -> dict[str, int | None]:
    """Return the projects that a root page names, with their serials or None.

    :raises Unreadable: if it is invalid.
    """
    try:
        if form == "json":
            projects = json.loads(content)["projects"]
            return {each["name"]: each.get("_last-serial") for each in projects}
        return {a["href"].strip("/"): None for a, _ in _parsed(content).anchors}
    except (ValueError, KeyError, TypeError) as error:
        raise Unreadable(f"the root page, {form}: {error!r}") from error


def _json_page(content: bytes, base: str) -> Page:
    page = json.loads(content)
    links = []
    for file in page["files"]:
        metadata = file.get("core-metadata")
        yanked = file["yanked"]
        links.append(
            Link(
                filename=file["filename"],
                path=_path(urljoin(base, file["url"])),
                digests=dict(file["hashes"]),
                size=file.get("size"),
                yanked={True: "", False: None}.get(yanked, yanked),
                requires_python=file.get("requires-python"),
                sidecar=metadata["sha256"] if metadata else None,
            )
        )
    status = page.get("project-status", {"status": "active"})["status"]
    return Page(tuple(links), page["meta"].get("_last-serial"), status)


def _html_page(content: bytes, base: str) -> Page:
    parsed = _parsed(content)
    links = []
    for attributes, text in parsed.anchors:
        url = urlsplit(urljoin(base, attributes["href"]))
        algorithm, _, digest = url.fragment.partition("=")
        metadata = attributes.get("data-core-metadata", "")
        links.append(
            Link(
                filename=text,
                path=_path(url.geturl()),
                digests={algorithm: digest},
                yanked=attributes.get("data-yanked"),
                requires_python=attributes.get("data-requires-python"),
                sidecar=metadata.removeprefix("sha256=") or None,
            )
        )
    told = re.search(r"SERIAL (\d+)", parsed.comments)
    status = parsed.metas.get("pypi:project-status", "active")
    return Page(tuple(links), int(told[1]) if told else None, status)


def _path(url: str) -> str | None:
    parts = urlsplit(url)
    return unquote(parts.path).lstrip("/") if parts.netloc == HOST else None


@dataclass
class _Parsed(HTMLParser):
    anchors: list[tuple[dict[str, str], str]] = field(default_factory=list)
    metas: dict[str, str] = field(default_factory=dict)
    comments: str = ""
    _inside: bool = False

    def __post_init__(self) -> None:
        HTMLParser.__init__(self, convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {key: value or "" for key, value in attrs}
        if tag == "a":
            self.anchors.append((attributes, ""))
            self._inside = True
        elif tag == "meta" and "name" in attributes:
            self.metas[attributes["name"]] = attributes.get("content", "")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "a"

    def handle_data(self, data: str) -> None:
        if self._inside:
            attributes, text = self.anchors.pop()
            self.anchors.append((attributes, text + data))

    def handle_comment(self, data: str) -> None:
        self.comments += data


def _parsed(content: bytes) -> _Parsed:
    parser = _Parsed()
    parser.feed(content.decode())
    parser.close()
    return parser
