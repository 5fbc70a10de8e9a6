"""Values to PEP 503 HTML, byte for byte the pages that mirrors have always had."""

from __future__ import annotations

from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

from bandersnatch.model.project import ProjectStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

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
    """Return a project's page; every file must have a digest of the kind ``digest_name``.

    The page claims version 1.0, which is all that its links use, unless it carries a status
    marker (PEP 792); HTML stays at 1.4 for good (PEP 833).
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


class ListHtml:
    """The root page, made as projects are added to it in order.

    It holds the page's bytes, and not a text for each of hundreds of thousands of projects.
    """

    def __init__(self) -> None:
        page = _PAGE.format(version="1.0", status="", title="Simple Index", body="\0")
        head, tail = page.removesuffix("\n").encode().split(b"\0")
        self._page, self._tail = BytesIO(), tail
        self._page.write(head)
        self._empty = True

    def add(self, names: Iterable[ProjectName]) -> None:
        """Add a link for each project."""
        links = "\n".join([f'    <a href="{name}/">{name}</a><br/>' for name in names])
        if links:
            self._page.write(links.encode() if self._empty else f"\n{links}".encode())
            self._empty = False

    def finish(self) -> bytes:
        """Return the page; nothing is added after that."""
        self._page.write(self._tail)
        return self._page.getvalue()
