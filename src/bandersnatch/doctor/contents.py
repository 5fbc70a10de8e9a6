"""Judges the content of a project's pages; pure."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec

from bandersnatch.doctor.examination import HTML, JSON, V1_HTML, beginning, decoded
from bandersnatch.doctor.findings import Check
from bandersnatch.errors import InvalidPage
from bandersnatch.model.files import parse_upload_time
from bandersnatch.model.project import ProjectStatus, UnknownStatus, project_status
from bandersnatch.simple.entries import PageContext
from bandersnatch.simple.html_page import parse_detail_html
from bandersnatch.simple.json_page import parse_detail_json

if TYPE_CHECKING:
    from datetime import datetime

    from bandersnatch.doctor.findings import Findings
    from bandersnatch.doctor.port import Answer
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail

_SIZED = (1, 1)
_WITH_STATUS = (1, 4)
_DIGITS = 9
_SHOWN = 3


class Kind(Enum):
    """What a body is, whatever its type says."""

    JSON = "JSON"
    HTML = "HTML"
    OTHER = "neither JSON nor HTML"


TYPES = {Kind.JSON: frozenset({JSON}), Kind.HTML: frozenset({V1_HTML, HTML})}
"""The media types that clients accept of each kind of page (PEP 691)."""


def kind_of(answer: Answer) -> Kind:
    """Return what the body of an answer is, by its beginning."""
    body = beginning(answer)[:1000].lstrip(b"\xef\xbb\xbf \r\n\t")
    if body.startswith(b"{"):
        return Kind.JSON
    return Kind.HTML if body.startswith(b"<") else Kind.OTHER


def parse_page(answer: Answer, name: ProjectName, now: datetime) -> ProjectDetail | None:
    """Return the page of a project, None if it cannot be read."""
    try:
        return _parse(answer, name, now)
    except InvalidPage:
        return None


def _parse(answer: Answer, name: ProjectName, now: datetime) -> ProjectDetail:
    context = PageContext(name, answer.url, now)
    if kind_of(answer) is Kind.JSON:
        return parse_detail_json(decoded(answer), context)
    return parse_detail_html(decoded(answer), context, charset=None)


def judge_page(findings: Findings, answer: Answer, name: ProjectName, now: datetime) -> None:
    """Judge what one page of a project says."""
    findings.begin(Check.PAGES, Check.YANKS, Check.STATUS, Check.SIZES, Check.UPLOAD_TIMES)
    try:
        page = _parse(answer, name, now)
    except InvalidPage as error:
        findings.fault(Check.PAGES, "page", f"clients cannot use the page: {error}")
        return
    for each in page.rejected[:_SHOWN]:
        sentence = f"a file on the page is not valid: {each.entry}: {each.reason}"
        findings.fault(Check.PAGES, "page", sentence)
    if page.status is ProjectStatus.QUARANTINED and page.files:
        sentence = (
            f"{name} is in quarantine, and its page offers {len(page.files)} files to install"
        )
        findings.fault(Check.STATUS, "page", sentence)
    if isinstance(page.status, UnknownStatus):
        sentence = f"the project status {page.status.value!r} is none that PEP 792 names"
        findings.advise(Check.STATUS, "api 1.4", sentence)
    unhashed = [each.filename for each in page.files if each.digest is None]
    if unhashed:
        sentence = f"{_some(unhashed)} no digest, so that no client can verify what it downloads"
        findings.fault(Check.PAGES, "page", sentence)
    if kind_of(answer) is Kind.JSON:
        _judge_json(findings, msgspec.json.decode(decoded(answer)))


def judge_pair(findings: Findings, one: ProjectDetail, other: ProjectDetail) -> None:
    """Compare the JSON page of a project with its HTML page."""
    if one.serial != other.serial and None not in {one.serial, other.serial}:
        return  # it has changed in between
    files, others = ({each.filename: each for each in page.files} for page in (one, other))
    if lacking := sorted(files.keys() ^ others.keys()):
        sentence = f"only one of the pages in JSON and HTML has {_listed(lacking)}"
        findings.fault(Check.PAGES, "page", sentence)
    both = sorted(files.keys() & others.keys())
    differing = [each for each in both if not _is_yanked_alike(files[each], others[each])]
    if differing:
        sentence = f"the pages in JSON and HTML do not agree whether {_listed(differing)} is yanked"
        findings.fault(Check.YANKS, "page", sentence)


def _is_yanked_alike(one: ReleaseFile, other: ReleaseFile) -> bool:
    return (one.yanked is None) == (other.yanked is None)


def _judge_json(findings: Findings, page: Any) -> None:  # noqa: ANN401 - a document of JSON
    """Judge values that this program's reader tolerates and other clients do not."""
    meta = page.get("meta")
    version = _version(meta.get("api-version", "1.0") if isinstance(meta, dict) else "1.0")
    files = [each for each in page["files"] if isinstance(each, dict)]
    _judge_yanks(findings, files)
    _judge_sizes(findings, files, version)
    _judge_times(findings, files, version)
    status = page.get("project-status")
    if status is not None and not _is_status(status):
        sentence = f"project-status is {ascii(status)[:80]}; uv refuses the whole page"
        findings.fault(Check.STATUS, "page", sentence)
    elif version < _WITH_STATUS and status is None:
        sentence = (
            "the page has no project status, so that clients cannot warn of archived projects"
        )
        findings.advise(Check.STATUS, "api 1.4", sentence)


def _judge_yanks(findings: Findings, files: list[dict[str, Any]]) -> None:
    for each in files:
        mark = each.get("yanked", False)
        if mark == "":
            why = "pip takes it for not yanked, and uv for yanked"
        elif not isinstance(mark, bool | str):
            why = "uv refuses the whole page"
        else:
            continue
        sentence = f"the yank mark of {_name(each)} is {ascii(mark)[:80]}: {why}"
        findings.fault(Check.YANKS, "page", sentence)


def _judge_sizes(findings: Findings, files: list[dict[str, Any]], version: tuple[int, int]) -> None:
    lacking = [_name(each) for each in files if each.get("size") is None]
    if not lacking:
        return
    if version >= _SIZED:
        text = ".".join(map(str, version))
        sentence = f"{_some(lacking)} no size, which version {text} of the API requires (PEP 700)"
        findings.fault(Check.SIZES, "page", sentence)
    else:
        findings.advise(Check.SIZES, "api 1.4", f"{_some(lacking)} no size")


def _judge_times(findings: Findings, files: list[dict[str, Any]], version: tuple[int, int]) -> None:
    given = [(_name(each), each.get("upload-time")) for each in files]
    wrong = [name for name, time in given if time is not None and not _is_time(time)]
    if wrong:
        sentence = f"{_some(wrong)} an upload time that is not one; uv refuses the whole page"
        findings.fault(Check.UPLOAD_TIMES, "page", sentence)
    lacking = [name for name, time in given if time is None]
    if lacking:
        sentence = (
            f"{_some(lacking)} no upload time: pip --uploaded-prior-to fails, and uv "
            "--exclude-newer leaves them out"
        )
        findings.advise(Check.UPLOAD_TIMES, "page" if version >= _SIZED else "api 1.4", sentence)


def _is_time(value: object) -> bool:
    return isinstance(value, str) and value.endswith("Z") and parse_upload_time(value) is not None


def _is_status(value: object) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("status", "active"), str):
        return False
    try:
        project_status(value.get("status", "active"))
    except ValueError:
        return False
    return isinstance(value.get("reason", ""), str | None)


def _version(value: object) -> tuple[int, int]:
    """Return an API version; (1, 0) for anything else."""
    text = str(value)
    major, _, minor = text.partition(".")
    is_number = major.isdecimal() and minor.isdecimal() and len(text) <= _DIGITS
    return (int(major), int(minor)) if is_number else (1, 0)


def _name(entry: dict[str, Any]) -> str:
    return ascii(entry.get("filename"))[1:-1][:100]


def _listed(names: list[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - 2
    return " and ".join(names[:2]) + (f" and {more} more" if more > 0 else "")


def _some(names: list[str]) -> str:
    return f"{_listed(names)} {'has' if len(names) == 1 else 'have'}"
