"""Project pages and project lists in HTML (PEP 503): parse and render.

The parser of HTML is imported only to parse: most runs never need it, and it is slow to import.
"""

from __future__ import annotations

import re
from html import escape, unescape
from io import BytesIO
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from bandersnatch.errors import InvalidPage, InvalidValue
from bandersnatch.model.files import FILE_ENDINGS, ReleaseFile
from bandersnatch.model.names import ProjectName, project_name
from bandersnatch.model.project import MAX_FILES, ProjectDetail, ProjectList, ProjectStatus
from bandersnatch.model.serials import optional_serial
from bandersnatch.simple import entries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bandersnatch.simple.links import Link, LinkReader


_SERIAL_COMMENT = re.compile(rb"<!--SERIAL ([0-9]{1,16})-->\s*\Z")
_TITLE = re.compile(rb"<title>\s*Links for ([^<]{1,1000})</title>")
_SIMPLE_PAGE = re.compile(rb"pypi:repository-version|<title>\s*Links for", re.IGNORECASE)


def parse_detail_html(
    text: bytes, context: entries.PageContext, *, charset: str | None
) -> ProjectDetail:
    """Return the contents of a project's HTML page (PEP 503, 592, 658, 714, 792).

    HTML has no sizes, upload times or versions. Links to other things than release files are
    ignored, as the specification allows them.

    :raises InvalidPage: if the page as a whole is not valid.
    """
    page = _read_links(text, context.url, charset, MAX_FILES)
    files, rejected = entries.validate_files(_entries(page.links()), context)
    entries.check_api_version(page.meta.get("repository-version") or "1.0", context.url)
    if not (files or rejected or _SIMPLE_PAGE.search(text)):
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

    :raises InvalidPage: if it links to no project, or more than 1 % of its links are invalid.
    """
    page = _read_links(text, where, charset)
    root = urlsplit(where).path
    names = ((link.text, None) for link in page.links() if link.path.startswith(root))
    listing = entries.build_project_list(names, where=where, serial=None)
    entries.check_api_version(page.meta.get("repository-version") or "1.0", where)
    if not listing.serials:
        raise InvalidPage(where, "it is HTML without a link to a project")
    return listing


def _read_links(
    text: bytes, where: str, charset: str | None, limit: int | None = None
) -> LinkReader:
    from bandersnatch.simple.links import MAX_LINKS, LinkReader  # noqa: PLC0415 - slow to import

    return LinkReader(text, where, charset=charset, limit=MAX_LINKS if limit is None else limit)


def _entries(links: Iterable[Link]) -> Iterator[entries.RawFile]:
    for link in links:
        filename = unquote(link.path.rpartition("/")[2])
        if filename.lower().endswith(FILE_ENDINGS):
            yield _entry(link, filename)


def _entry(link: Link, filename: str) -> entries.RawFile:
    attributes = link.attributes
    algorithm, _, value = urlsplit(link.url).fragment.partition("=")
    metadata = attributes.get("data-core-metadata", attributes.get("data-dist-info-metadata"))
    return entries.RawFile(
        filename=filename,
        url=link.url,
        hashes={algorithm: value},
        requires_python=attributes.get("data-requires-python"),
        yanked=attributes.get("data-yanked"),
        core_metadata=_core_metadata(metadata),
        provenance=attributes.get("data-provenance"),
    )


def _core_metadata(value: object) -> object:
    if not isinstance(value, str):
        return None
    algorithm, equals, digest = value.partition("=")
    if equals:
        return {algorithm: digest}
    return value == "true" or None


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
    """Return a project's page; every file must have a ``digest_name`` digest.

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
    digest = file.hashes.get(digest_name)
    attributes = ""
    if file.requires_python is not None:
        attributes += f' data-requires-python="{escape(file.requires_python)}"'
    if file.sidecar is not None:
        attributes += (
            f' data-core-metadata="{file.sidecar}" data-dist-info-metadata="{file.sidecar}"'
        )
    if file.yanked is not None:
        attributes += f' data-yanked="{escape(file.yanked)}"'
    return f'    <a href="{escape(url)}#{digest}"{attributes}>{escape(file.filename)}</a><br/>'


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
