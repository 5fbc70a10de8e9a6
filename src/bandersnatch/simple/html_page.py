"""Project pages and project lists in HTML (PEP 503): parse and render.

The parser of HTML is imported only to parse: most runs never need it, and it is slow to import.
"""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape, unescape
from io import BytesIO
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from bandersnatch.errors import InvalidPage, InvalidValue
from bandersnatch.model.digests import parse_fragment
from bandersnatch.model.files import FILE_ENDINGS, ReleaseFile
from bandersnatch.model.names import ProjectName, is_named_after, project_name
from bandersnatch.model.project import MAX_FILES, ProjectDetail, ProjectList, ProjectStatus
from bandersnatch.model.serials import optional_serial
from bandersnatch.simple import entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bandersnatch.simple.links import Link, LinkReader


_SERIAL_COMMENT = re.compile(rb"<!--SERIAL ([0-9]{1,16})-->\s*\Z")
_TITLE = re.compile(rb"<title>\s*Links for ([^<]{1,1000})</title>")
_SIMPLE_PAGE = re.compile(rb"pypi:repository-version|<title>\s*Links for", re.IGNORECASE)
_DIRECTORY = re.compile(rb"<title>\s*(?:Index of|Directory listing for)\b", re.IGNORECASE)
"""The titles that nginx, Apache and ``http.server`` give to the list of a directory."""


def parse_detail_html(
    text: bytes, context: entries.PageContext, *, charset: str | None
) -> ProjectDetail:
    """Return the contents of a project's HTML page (PEP 503, 592, 658, 714, 792).

    HTML has no sizes, upload times or versions. Links to other things than release files are
    ignored, as the specification allows them.

    :raises InvalidPage: if the page as a whole is not valid.
    """
    page = _read_links(text, context.url, charset, MAX_FILES)
    directories: list[str] = []
    raw = _entries(page.links(), context.url, directories)
    files, rejected = entries.validate_files(raw, context)
    entries.check_api_version(page.meta.get("repository-version") or "1.0", context.url)
    if not (files or rejected):
        if directories:
            raise InvalidPage(context.url, f"it lists directories ({directories[0]}) and no files")
        if not (_SIMPLE_PAGE.search(text) or _DIRECTORY.search(text)):
            raise InvalidPage(context.url, "it is HTML, but not a page of a simple index")
    status, reason = entries.parse_status(
        {
            "status": page.meta.get("project-status"),
            "reason": page.meta.get("project-status-reason"),
        }
    )
    comment = _SERIAL_COMMENT.search(text[-64:])
    return ProjectDetail(
        name=context.name,
        files=files,
        serial=optional_serial(comment[1].decode()) if comment else None,
        status=status,
        status_reason=reason,
        rejected=rejected,
    )


def display_name(text: bytes, name: ProjectName) -> str:
    """Return the display name in a page that this program rendered; "" if there is none."""
    found = _TITLE.search(text)
    if found is None:
        return ""
    shown = unescape(found[1].decode("utf-8", errors="replace")).strip()
    try:
        return shown if project_name(shown) == name else ""
    except InvalidValue:
        return ""


def parse_list_html(text: bytes, where: str, *, charset: str | None) -> ProjectList:
    """Return the projects that a root page in HTML links to; HTML has no serials.

    The list of a directory, as web servers make it, is such a page too.

    :raises InvalidPage: if it links to no project, or more than 1 % of its links are invalid.
    """
    page = _read_links(text, where, charset)
    root = urlsplit(where).path
    is_directory = is_directory_list(text)
    outside: list[str] = []  # used if there is nothing below the root
    names = (_listed_name(link, root, outside, is_directory=is_directory) for link in page.links())
    inside = [name for name in names if name is not None]
    found = inside or outside
    if found and all(name.lower().endswith(FILE_ENDINGS) for name in found):
        raise InvalidPage(where, f"it lists files ({found[0]}) and no projects")
    pairs = ((name, None) for name in found)
    listing = entries.build_project_list(pairs, where=where, serial=None)
    entries.check_api_version(page.meta.get("repository-version") or "1.0", where)
    if not listing.serials:
        raise InvalidPage(where, "it is HTML without a link to a project")
    return replace(listing, directories=_other_names(found)) if is_directory else listing


def is_directory_list(text: bytes) -> bool:
    """Whether a page, or its beginning, is the list of a directory by a web server."""
    return _DIRECTORY.search(text) is not None


def _other_names(entries: Iterable[str]) -> dict[ProjectName, str]:
    """Return the entries of a directory that are not normalised names, by these names.

    An entry with the normalised name counts before any other of the same project.
    """
    listed = set(entries)
    pairs = ((project_name(entry), entry) for entry in sorted(listed))
    return {name: entry for name, entry in pairs if name not in listed}


def has_release_file(text: bytes, where: str, name: ProjectName) -> bool:
    """Whether a page links to a file that is named after the project.

    :raises InvalidPage: if it is not HTML that can be read.
    """
    links = _read_links(text, where, None, MAX_FILES).links()
    filenames = (str(entry.filename) for entry in _entries(links, where, []))
    return any(is_named_after(filename, name) for filename in filenames)


def _read_links(
    text: bytes, where: str, charset: str | None, limit: int | None = None
) -> LinkReader:
    from bandersnatch.simple.links import MAX_LINKS, LinkReader  # noqa: PLC0415 - slow to import

    return LinkReader(text, where, charset=charset, limit=MAX_LINKS if limit is None else limit)


def _listed_name(link: Link, root: str, outside: list[str], *, is_directory: bool) -> str | None:
    """Return the name of the project that a link on a root page leads to, None if to none.

    It is the text of the link. In the list of a directory the text can be shortened, and a link
    without a slash at its end leads to a file; the name is the last part of the address there,
    and a directory of another name belongs to no project.
    ``outside`` receives the names in links out of the root whose address ends with the same name,
    in a directory of the root's name: an index behind a proxy that changes paths may have only such
    links.
    """
    segment = unquote(link.path.rstrip("/").rpartition("/")[2])
    if is_directory:
        inner = unquote(link.path.removeprefix(root).rstrip("/"))
        is_entry = link.path.startswith(root) and link.path.endswith("/") and "/" not in inner
        return segment if inner and is_entry and _is_same_name(inner, segment) else None
    if link.path.startswith(root):
        return link.text
    parent = link.path.rstrip("/").rpartition("/")[0]
    has_same_parent = parent.rpartition("/")[2] == root.rstrip("/").rpartition("/")[2] != ""
    if has_same_parent and _is_same_name(link.text, segment):
        outside.append(link.text)
    return None


def _is_same_name(text: str, segment: str) -> bool:
    try:
        return project_name(text) == project_name(segment)
    except InvalidValue:
        return False


def _entries(
    links: Iterable[Link], where: str, directories: list[str]
) -> Iterator[entries.RawFile]:
    """Yield the entries of release files; append the addresses below ``where`` to the list."""
    root = urlsplit(where).path
    for link in links:
        filename = unquote(link.path.rpartition("/")[2])
        if filename.lower().endswith(FILE_ENDINGS):
            yield _entry(link, filename)
        elif link.path.endswith("/") and link.path != root and link.url.startswith(where):
            directories.append(link.url)


def _entry(link: Link, filename: str) -> entries.RawFile:
    attributes = link.attributes
    metadata = attributes.get("data-core-metadata", attributes.get("data-dist-info-metadata"))
    return entries.RawFile(
        filename=filename,
        url=link.url,
        hashes=parse_fragment(urlsplit(link.url).fragment),
        requires_python=attributes.get("data-requires-python"),
        yanked=attributes.get("data-yanked"),
        core_metadata=_core_metadata(metadata),
        provenance=attributes.get("data-provenance"),
    )


def _core_metadata(value: object) -> object:
    if not isinstance(value, str):
        return None
    return parse_fragment(value) or value == "true" or None


_PAGE = """\
<!DOCTYPE html>
<html>
  <head>
    <meta name="pypi:repository-version" content="{version}">{status}
    <title>{title}</title>
  </head>
  <body>
{body}
  </body>
</html>
"""


def render_detail_html(
    detail: ProjectDetail,
    *,
    display: str,
    digest_name: str,
    file_url: Callable[[ReleaseFile], str],
) -> bytes:
    """Return a project's page.

    A link has the ``digest_name`` digest of its file; if that is not known, the strongest one.
    The page claims version 1.0, or 1.4 if it carries a status (PEP 792). HTML never has a newer
    version (PEP 833).
    """
    links = [_link(file, digest_name, file_url(file)) for file in detail.files]
    heading = f"    <h1>Links for {escape(display)}</h1>"
    page = _PAGE.format(
        version="1.0" if detail.status is ProjectStatus.ACTIVE else "1.4",
        status=_status(detail),
        title=f"Links for {escape(display)}",
        body="\n".join([heading, *(links or [""])]),
    )
    if detail.serial is not None:
        page += f"<!--SERIAL {detail.serial}-->"
    return page.encode()


def _status(detail: ProjectDetail) -> str:
    if detail.status is ProjectStatus.ACTIVE:
        return ""
    tags = [("status", detail.status.value)]
    if detail.status_reason:
        tags.append(("status-reason", detail.status_reason))
    return "".join(
        f'\n    <meta name="pypi:project-{key}" content="{escape(value)}">' for key, value in tags
    )


def _link(file: ReleaseFile, digest_name: str, url: str) -> str:
    digest = file.hashes.get(digest_name) or file.digest
    fragment = "" if digest is None else f"#{digest}"
    attributes = ""
    if file.requires_python is not None:
        attributes += f' data-requires-python="{escape(file.requires_python)}"'
    if file.sidecar is not None:
        attributes += (
            f' data-core-metadata="{file.sidecar}" data-dist-info-metadata="{file.sidecar}"'
        )
    if file.yanked is not None:
        attributes += f' data-yanked="{escape(file.yanked)}"'
    return f'    <a href="{escape(url)}{fragment}"{attributes}>{escape(file.filename)}</a><br/>'


class HtmlListRenderer:
    """Renders the root page incrementally, from projects in their final order.

    It holds bytes, which need less memory than one string for each of 700,000 projects.
    """

    def __init__(self) -> None:
        page = _PAGE.format(version="1.0", status="", title="Simple Index", body="\0")
        head, tail = page.removesuffix("\n").encode().split(b"\0")
        self._page, self._tail = BytesIO(), tail
        self._page.write(head)
        self._empty = True

    def add(self, names: Iterable[ProjectName]) -> None:
        """Add links to projects."""
        links = "\n".join([f'    <a href="{name}/">{name}</a><br/>' for name in names])
        if links:
            self._page.write(links.encode() if self._empty else f"\n{links}".encode())
            self._empty = False

    def finish(self) -> bytes:
        """Return the page; call this once, after the last ``add``."""
        self._page.write(self._tail)
        return self._page.getvalue()
