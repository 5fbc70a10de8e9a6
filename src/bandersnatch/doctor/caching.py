"""Checks what makes requests cheap: cache headers, ETags, compression; and the clock."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

from bandersnatch.doctor.examination import PIP, decoded
from bandersnatch.doctor.findings import Check
from bandersnatch.doctor.formats import varies
from bandersnatch.errors import InvalidPage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bandersnatch.doctor.examination import Examination
    from bandersnatch.doctor.port import Answer

_LONGEST_PAGE_AGE = 86_400
"""Seconds; a page that clients keep for longer hides new releases."""

_LONGEST_ERROR_AGE = 3_600
_USEFUL_SIZE = 1_000
"""Bytes of a page from which on compression pays."""

_DIGITS = 9
_CLOCK_TOLERANCE = timedelta(minutes=5)
_OTHER_TAG = '"doctor-0000"'


def directives(answer: Answer) -> Mapping[str, str]:
    """Return the directives of ``Cache-Control`` (RFC 9111), in lower case."""
    found = {}
    for each in answer.header("cache-control").split(","):
        name, _, value = each.strip().lower().partition("=")
        found[name] = value.strip('" ')
    return found


def lifetime(answer: Answer) -> int | None:
    """Return for how many seconds a client may keep an answer; None if it does not say."""
    found = directives(answer)
    if {"no-store", "no-cache"} & found.keys():
        return 0
    text = found.get("max-age", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


async def check_caching(examination: Examination, page: Answer) -> None:
    """Check the headers of a page as pip gets it, and conditional requests for it."""
    findings = examination.findings
    findings.begin(Check.CACHE_HEADERS, Check.ETAGS, Check.COMPRESSION)
    _check_lifetime(examination, page)
    packed = await examination.try_ask(Check.COMPRESSION, page.url, PIP, encoding="gzip")
    if page.header("content-encoding"):
        sentence = f"{page.url} is compressed for a client that accepts no compression"
        findings.fault(Check.COMPRESSION, "encoding", sentence)
    if packed is not None and packed.is_ok:
        _check_compression(examination, page, packed)
    await _check_tag(examination, page, "identity")
    if packed is not None and packed.header("content-encoding"):
        await _check_tag(examination, packed, "gzip")


def _check_lifetime(examination: Examination, page: Answer) -> None:
    findings, age = examination.findings, lifetime(page)
    if "immutable" in directives(page) or (age or 0) > _LONGEST_PAGE_AGE:
        text = page.header("cache-control")[:80]
        sentence = f"`Cache-Control: {text}` of a page hides new releases from clients"
        findings.fault(Check.CACHE_HEADERS, "page age", sentence)
    elif "no-store" in directives(page):
        sentence = "clients may not keep pages (no-store), and fetch each one every time"
        findings.advise(Check.CACHE_HEADERS, "page age", sentence)
    elif age is None:
        sentence = "pages have no Cache-Control with max-age, so that each cache guesses"
        findings.advise(Check.CACHE_HEADERS, "page age", sentence)


def _check_compression(examination: Examination, page: Answer, packed: Answer) -> None:
    findings = examination.findings
    encoding = packed.header("content-encoding")
    if not encoding:
        if len(page.body) > _USEFUL_SIZE:
            sentence = "pages are not compressed for clients that ask for it"
            findings.advise(Check.COMPRESSION, "compress", sentence)
        return
    try:
        is_same = decoded(packed) == decoded(page)
    except InvalidPage as error:
        findings.fault(Check.COMPRESSION, "encoding", f"a compressed page is wrong: {error}")
        return
    if not is_same and packed.header("etag") == page.header("etag"):
        sentence = f"{page.url} is another page if it is compressed"
        findings.fault(Check.COMPRESSION, "encoding", sentence)
    if not varies(packed, "accept-encoding"):
        sentence = (
            "compressed pages have no `Vary: Accept-Encoding`, so that caches send them to "
            "clients that cannot read them"
        )
        findings.fault(Check.COMPRESSION, "encoding vary", sentence)
    tag = packed.header("etag")
    is_other = encoding != page.header("content-encoding")
    if is_other and tag and tag == page.header("etag") and not tag.startswith("W/"):
        sentence = f"a page and its compressed form have the same strong ETag {tag[:80]}"
        findings.fault(Check.ETAGS, "weak tag", sentence)


async def _check_tag(examination: Examination, page: Answer, encoding: str) -> None:
    """Check the ETag of a page in one encoding, and that it is compared."""
    findings, tag = examination.findings, page.header("etag")
    what = "a page" if encoding == "identity" else f"a page with the encoding {encoding}"
    if not tag:
        sentence = f"{what} has no ETag: clients fetch it again even if it has not changed"
        findings.advise(Check.ETAGS, "tag", sentence)
        return
    if tag.startswith("W/"):
        sentence = f"the ETag of {what} is weak ({tag[:80]}); uv does not send it back"
        findings.fault(Check.ETAGS, "weak tag", sentence)
    for sent, expected in ((tag, HTTPStatus.NOT_MODIFIED), (_OTHER_TAG, HTTPStatus.OK)):
        answer = await examination.try_ask(
            Check.ETAGS, page.url, PIP, encoding=encoding, headers={"If-None-Match": sent}
        )
        if answer is None or answer.status == expected:
            continue
        if sent == tag != answer.header("etag"):
            continue  # the page has changed in between
        sentence = f"{what} is answered with {answer.status} in place of {expected:d} if a client "
        sentence += "has its ETag" if sent == tag else "has another ETag"
        findings.fault(Check.ETAGS, "condition", sentence)


def check_error_lifetime(examination: Examination, answer: Answer) -> None:
    """Check for how long clients keep the answer that there is nothing."""
    if "immutable" in directives(answer) or (lifetime(answer) or 0) > _LONGEST_ERROR_AGE:
        text = answer.header("cache-control")[:80]
        sentence = f"`Cache-Control: {text}` of an answer {answer.status} hides what comes later"
        examination.findings.fault(Check.CACHE_HEADERS, "error age", sentence)


def check_clock(examination: Examination) -> None:
    """Compare the clock of the server, by the newest answer, with that of this machine."""
    offset = examination.clock_offset
    if offset is None:
        sentence = "answers have no Date, which caches need to know how old they are"
        examination.findings.advise(Check.CLOCK, "clock", sentence)
        return
    examination.findings.begin(Check.CLOCK)
    if abs(offset) > _CLOCK_TOLERANCE:
        direction = "ahead of" if offset > timedelta() else "behind"
        text = str(abs(offset)).partition(".")[0]
        sentence = f"the clock of the server is {text} {direction} that of this machine"
        examination.findings.fault(Check.CLOCK, "clock", sentence)
