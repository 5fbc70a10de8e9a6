"""Finds the root page of an index, and a project to examine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from bandersnatch.doctor.contents import parse_page
from bandersnatch.doctor.examination import BEGINNING, PIP, beginning
from bandersnatch.doctor.findings import Check
from bandersnatch.errors import InvalidPage, InvalidValue, MissingProject
from bandersnatch.model.names import project_name
from bandersnatch.simple.html_page import parse_list_html
from bandersnatch.simple.recognition import is_project_page, is_root_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bandersnatch.doctor.examination import Examination
    from bandersnatch.doctor.port import Answer
    from bandersnatch.model.names import ProjectName

_ROOTS = frozenset({"simple", "+simple"})
"""The last parts of paths that are those of root pages."""

_NAME = re.compile(rb'"name"\s*:\s*"([^"\\]{1,200})"')
_CANDIDATES = 5
_MISSING = frozenset({404, 410})
_REFUSED = frozenset({401, 403})


class Located(NamedTuple):
    """The URL of a project's page, and the project."""

    url: str
    name: ProjectName


async def locate(examination: Examination, url: str, name: ProjectName | None) -> Located | None:
    """Find the root page and a project; None if the server refuses to show them.

    :raises UpstreamError: if nothing answers, or if there is no index.
    """
    examination.findings.begin(Check.MISSING)
    refused: Answer | None = None
    for candidate in _candidates(url):
        root = await examination.follow(candidate, PIP, limit=BEGINNING)
        is_root = root.is_ok and is_root_page(beginning(root), root.url)
        refused = refused or (root if root.status in _REFUSED else None)
        examination.root = root.url if is_root else candidate
        if is_root:
            return (
                await _choose(examination, root)
                if name is None
                else await _named(examination, name)
            )
        if name is not None and await _has_page(examination, name):
            where, status = examination.root, root.status
            sentence = f"{where} is no root page (status {status}), though projects are below it"
            examination.findings.advise(Check.MISSING, "root", sentence)
            return Located(f"{where}{name}/", name)
    if refused is None:
        why = "no index is there; give the URL that clients have as their index-url"
        raise InvalidPage(url, why)
    sentence = (
        f"{refused.url} answers {refused.status}, which stops uv and makes pip ask for a login"
    )
    examination.findings.fault(Check.MISSING, "forbidden", sentence)
    return None


def _candidates(url: str) -> Iterator[str]:
    """Yield where the root page may be, the likeliest first."""
    base = url.rstrip("/")
    if urlsplit(base).path.rpartition("/")[2] not in _ROOTS:
        yield f"{base}/simple/"
    yield f"{base}/"


async def _has_page(examination: Examination, name: ProjectName) -> bool:
    answer = await examination.follow(f"{examination.root}{name}/", PIP)
    return answer.is_ok and is_project_page(beginning(answer), answer.url, name)


async def _named(examination: Examination, name: ProjectName) -> Located:
    """Return the named project.

    :raises MissingProject: if it is not there.
    """
    answer = await examination.follow(f"{examination.root}{name}/", PIP, limit=BEGINNING)
    if answer.status in _MISSING:
        raise MissingProject(name)
    return Located(answer.url, name)


async def _choose(examination: Examination, root: Answer) -> Located:
    """Return a project with core metadata, else one with files, else any.

    :raises InvalidPage: if the root page names no project.
    """
    found: dict[int, Located] = {}
    for name in _listed(root):
        if examination.count > _CANDIDATES:
            break
        answer = await examination.follow(f"{examination.root}{name}/", PIP)
        page = parse_page(answer, name, examination.clock.now())
        files = () if page is None else page.files
        rank = 0 if any(each.core_metadata for each in files) else 1 if files else 2
        found.setdefault(rank, Located(answer.url, name))
        if rank == 0:
            break
    if not found:
        raise InvalidPage(root.url, "it names no project; name one after the URL")
    return found[min(found)]


def _listed(root: Answer) -> list[ProjectName]:
    """Return the first projects that the beginning of a root page names."""
    body = beginning(root).lstrip(b"\xef\xbb\xbf \r\n\t")
    if not body.startswith(b"{"):
        listing = parse_list_html(body[: body.rfind(b">") + 1], root.url, charset=None)
        return list(listing.serials)[:_CANDIDATES]
    found = []
    for match in _NAME.finditer(body):
        try:
            found.append(project_name(match[1].decode()))
        except (InvalidValue, UnicodeDecodeError):
            continue
    return found[:_CANDIDATES]
