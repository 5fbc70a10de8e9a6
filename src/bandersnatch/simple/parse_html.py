"""PEP 503 HTML pages to values, read by pypi-simple.

The library weighs a third of a second at import, so it is loaded when the first HTML page is.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from bandersnatch.errors import InvalidPage
from bandersnatch.model.files import FILE_ENDINGS
from bandersnatch.model.project import ProjectDetail, ProjectList
from bandersnatch.simple.entries import Context, Entry, release_files
from bandersnatch.simple.parse import (
    check_api_version,
    optional_serial,
    parse_status,
    project_list,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pypi_simple.html import Link, RepositoryPage

_SERIAL_COMMENT = re.compile(rb"<!--SERIAL ([0-9]{1,16})-->\s*\Z")
_SIMPLE_PAGE = re.compile(rb"pypi:repository-version|<title>\s*Links for", re.IGNORECASE)


def parse_detail_html(text: bytes, context: Context, *, charset: str | None) -> ProjectDetail:
    """Return what a project's HTML page says (PEP 503, 592, 658, 714, 792).

    It tells neither sizes nor upload times nor versions. A link that does not look like a
    release file is ignored, as the specification allows such links.

    :raises InvalidPage: if the page as a whole cannot be accepted.
    """
    page = _read(text, context.url, charset)
    files, rejected = release_files(_entries(page), context)
    if not (files or rejected or _SIMPLE_PAGE.search(text)):
        raise InvalidPage(context.url, "it is HTML, but no page of a simple index")
    meta = {key: values[0] for key, values in page.pypi_meta.items()}
    status, reason = parse_status(
        {"status": meta.get("project-status"), "reason": meta.get("project-status-reason")}
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


def parse_list_html(text: bytes, where: str, *, charset: str | None) -> ProjectList:
    """Return the projects that a root page in HTML links to; it tells no serials.

    :raises InvalidPage: if it links to none, or too many of its links are no project's.
    """
    from pypi_simple import parse_links_stream  # noqa: PLC0415

    with _reading(where):
        links = [
            link
            for link in parse_links_stream([text], base_url=where, http_charset=charset)
            if urlsplit(link.url).path.startswith(urlsplit(where).path)
        ]
    if not links:
        raise InvalidPage(where, "it is HTML without a link to a project")
    return project_list(((link.text, None) for link in links), where=where, serial=None)


@contextmanager
def _reading(where: str) -> Iterator[None]:
    """Blame the page for whatever its readers trip over: some of them only assert.

    :raises InvalidPage: for anything raised within.
    """
    try:
        yield
    except Exception as error:
        why = str(error).partition("\n")[0] or type(error).__name__
        raise InvalidPage(where, f"it is no simple index ({ascii(why)[1:-1][:200]})") from error


def _read(text: bytes, where: str, charset: str | None) -> RepositoryPage:
    from pypi_simple.html import RepositoryPage  # noqa: PLC0415

    with _reading(where):
        page = RepositoryPage.from_html(text, base_url=where, from_encoding=charset)
    check_api_version(page.repository_version or "1.0", where)
    return page


def _entries(page: RepositoryPage) -> Iterator[Entry]:
    for link in page.links:
        filename = unquote(urlsplit(link.url).path.rpartition("/")[2])
        if filename.lower().endswith(FILE_ENDINGS):
            yield _entry(link, filename)


def _entry(link: Link, filename: str) -> Entry:
    attributes = link.attrs
    algorithm, _, value = urlsplit(link.url).fragment.partition("=")
    metadata = attributes.get("data-core-metadata", attributes.get("data-dist-info-metadata"))
    return Entry(
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
