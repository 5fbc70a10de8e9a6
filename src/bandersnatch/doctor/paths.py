"""Checks redirects, and what is answered for a project that is not there."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bandersnatch.doctor.caching import check_error_lifetime
from bandersnatch.doctor.contents import parse_page
from bandersnatch.doctor.examination import PIP, REDIRECTS, redirect_target
from bandersnatch.doctor.findings import Check
from bandersnatch.errors import UpstreamError
from bandersnatch.model.names import project_name

if TYPE_CHECKING:
    from bandersnatch.doctor.examination import Examination
    from bandersnatch.doctor.locating import Located
    from bandersnatch.doctor.port import Answer

_NOT_THERE = frozenset({404, 410})


async def check_redirects(examination: Examination, located: Located) -> None:
    """Check the paths without a slash at the end, and another spelling of the name."""
    examination.findings.begin(Check.REDIRECTS)
    root, url = examination.root, located.url
    for each, target in ((root.rstrip("/"), root), (url.rstrip("/"), url)):
        if urlsplit(each).path:
            sentence = f"{each} does not redirect to the path with a slash"
            await _check_redirect(examination, each, target, "slash", sentence)
    other = f"{root}{located.name.upper().replace('-', '_')}/"
    if other != url:
        sentence = f"{other} does not redirect to the normalised name"
        await _check_redirect(examination, other, url, "spelling", sentence)


async def _check_redirect(
    examination: Examination, url: str, target: str, remedy: str, sentence: str
) -> None:
    """Check where a path redirects to; one that is not there is a matter of advice."""
    answer = await examination.try_ask(Check.REDIRECTS, url, PIP, limit=0)
    if answer is None:
        return
    if answer.status in REDIRECTS:
        await _check_target(examination, answer, target)
    elif not answer.is_ok:
        sentence = f"{sentence} (status {answer.status})"
        examination.findings.advise(Check.REDIRECTS, remedy, sentence)


async def _check_target(examination: Examination, answer: Answer, target: str) -> None:
    """Check that a redirect leads to the page; on another host it may be at another place."""
    try:
        where = redirect_target(answer)
        if where == target:
            return
        last = await examination.follow(where, PIP, limit=0)
        if last.is_ok and urlsplit(where).hostname == urlsplit(target).hostname:
            return
        why = f"which is not {target}"
    except UpstreamError as error:
        where, why = answer.header("location")[:200], str(error)
    sentence = f"{answer.url} redirects to {ascii(where)[1:-1]}: {why}"
    examination.findings.fault(Check.REDIRECTS, "redirect", sentence)


async def check_missing(examination: Examination) -> None:
    """Ask for a project that is not there."""
    findings = examination.findings
    findings.begin(Check.MISSING)
    name = project_name(f"no-such-project-{secrets.token_hex(8)}")
    try:
        answer = await examination.follow(f"{examination.root}{name}/", PIP)
    except UpstreamError as error:
        findings.fault(Check.MISSING, "404", f"for a project that is not there: {error}")
        return
    if answer.status in _NOT_THERE:
        check_error_lifetime(examination, answer)
        return
    if not answer.is_ok:
        effect = "uv stops there" if answer.status in {401, 403} else "clients take it for an error"
        sentence = f"a project that is not there is answered with {answer.status}: {effect}"
        findings.fault(Check.MISSING, "404", sentence)
        return
    page = parse_page(answer, name, examination.clock.now())
    if page is None or page.files:  # an empty page keeps clients from asking another index
        sentence = f"{answer.url} is not there, and is answered with a page that is not empty"
        findings.fault(Check.MISSING, "404", sentence)
