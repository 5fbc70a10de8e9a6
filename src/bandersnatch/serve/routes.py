"""From the path of a request to what it names; pure.

Only what is named here can be reached: no other directory of the served tree, no file whose name
begins with a dot, nothing that is not a valid release file. Locations of redirects are relative, so
that they are right below the prefix of a reverse proxy, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from bandersnatch.errors import InvalidValue
from bandersnatch.layout import LAST_MODIFIED, SIDECAR_SUFFIX, WEB, PageFormat, StorageKey
from bandersnatch.layout import legacy_documents as legacy_keys
from bandersnatch.model.files import VARIANTS_ENDING
from bandersnatch.model.names import project_name
from bandersnatch.model.urls import is_file_path

if TYPE_CHECKING:
    from bandersnatch.model.names import ProjectName

PROVENANCE_SUFFIX = ".provenance"
_PAGES = {form.file_name: form for form in PageFormat}
_ABSOLUTE = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_LONGEST_PATH = 2_048
_WEB_PAGES = frozenset({"search", "largest", "failures"})


class RootPage(Struct, frozen=True):
    """The list of projects; ``form`` is set if the path names a format."""

    form: PageFormat | None = None


class ProjectPage(Struct, frozen=True):
    """The page of a project; ``form`` is set if the path names a format."""

    name: ProjectName
    form: PageFormat | None = None


class LegacyDocument(Struct, frozen=True):
    """The legacy JSON document of a project."""

    name: ProjectName
    key: StorageKey


class LastModified(Struct, frozen=True):
    """The time of the last complete run."""

    key: StorageKey = LAST_MODIFIED


class File(Struct, frozen=True):
    """A release file, or one that never changes and belongs to a release file.

    ``is_mutable`` is True for a companion that the index may replace.
    """

    key: StorageKey
    is_mutable: bool = False


class Sidecar(Struct, frozen=True):
    """The core metadata or the provenance of a release file."""

    key: StorageKey
    content_type: str


class WebPage(Struct, frozen=True):
    """A page for people.

    ``page`` is ``home``, ``search``, ``largest``, ``failures``, ``project`` (then with a ``name``)
    or ``style``, the style sheet. ``root`` is the relative URL of the first page.
    """

    page: str
    root: str
    name: ProjectName | None = None


class Redirect(Struct, frozen=True):
    """The same thing has another path; ``location`` is relative to the one that was requested."""

    location: str


Route: TypeAlias = (
    RootPage | ProjectPage | LegacyDocument | LastModified | File | Sidecar | WebPage | Redirect
)


def split_target(target: str) -> tuple[str, str]:
    """Return the path and the query of a request target (RFC 9112, section 3.2)."""
    if not target.startswith("/") and (found := _ABSOLUTE.match(target)):
        target = target[found.end() :]
    path, _, query = target.partition("?")
    return path or "/", query


def route(path: str) -> Route | None:  # noqa: PLR0911 - one for each kind
    """Return what a path names, None for nothing. ``path`` is as it was sent."""
    segments = _segments(path)
    if segments is None:
        return None
    match segments:
        case ["simple"]:
            return Redirect("simple/")
        case ["simple", *rest]:
            return _simple(rest)
        case ["packages", *_]:
            return _file("/".join(segments))
        case ["pypi", name, "json"]:
            return _legacy(name, 1, "/json")
        case ["json", name]:
            return _legacy(name, 0, "")
        case ["last-modified"]:
            return LastModified()
        case [""]:
            return WebPage("home", "./")
        case ["-", *rest]:
            return _web(rest)
        case _:
            return None


def _segments(path: str) -> list[str] | None:
    """Return the decoded segments of a path; None if one could not be a part of a key."""
    if not path.startswith("/") or len(path) > _LONGEST_PATH:
        return None
    if "%" not in path and path.isascii():
        found = path[1:].split("/")
    else:
        found = []
        for raw in path[1:].split("/"):
            try:
                text = unquote_to_bytes(raw.encode("utf-8", "surrogateescape")).decode()
            except UnicodeError:
                return None
            if "/" in text:
                return None
            found.append(text)
    if any(text.startswith(".") or "\0" in text for text in found) or "" in found[:-1]:
        return None
    return found


def _simple(rest: list[str]) -> Route | None:  # noqa: PLR0911 - one for each kind
    match rest:
        case [""]:
            return RootPage()
        case [page] if page in _PAGES:
            return RootPage(_PAGES[page])
        case [name]:
            found = _name(name)
            return None if found is None else Redirect(f"{found}/")
        case [name, page] if page == "" or page in _PAGES:
            found = _name(name)
            if found is None:
                return None
            if found != name:
                return Redirect(f"../{found}/{page}")
            return ProjectPage(found, _PAGES.get(page))
        case _:
            return None


def _web(rest: list[str]) -> Route | None:
    match rest:
        case [] | [""]:
            return Redirect("../" if rest else "./")
        case ["style.css"]:
            return WebPage("style", "../")
        case [page] if page in _WEB_PAGES:
            return WebPage(page, "../")
        case ["project", name, *slash] if slash in ([], [""]) and (found := _name(name)):
            if found == name and slash:
                return WebPage("project", "../../../", found)
            return Redirect(f"../{found}/" if slash else f"{found}/")
        case _:
            return None


def _legacy(name: str, place: int, rest: str) -> Route | None:
    found = _name(name)
    if found is None:
        return None
    if found != name:
        return Redirect(f"{'../' * place}{found}{rest}")
    return LegacyDocument(found, legacy_keys(found)[place])


def _name(text: str) -> ProjectName | None:
    try:
        return project_name(text)
    except InvalidValue:
        return None


def _file(path: str) -> Route | None:
    key = StorageKey(WEB + path)
    for suffix, kind in _SIDECARS.items():
        if path.endswith(suffix):
            return Sidecar(key, kind) if is_file_path(path.removesuffix(suffix)) else None
    if not is_file_path(path):
        return None
    return File(key, is_mutable=path.endswith(VARIANTS_ENDING))


_SIDECARS = {
    SIDECAR_SUFFIX: "text/plain; charset=utf-8",
    PROVENANCE_SUFFIX: "application/vnd.pypi.integrity.v1+json",
}
