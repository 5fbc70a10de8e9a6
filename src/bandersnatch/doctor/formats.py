"""Checks which page each client gets: negotiation, media types, and caches that mix formats."""

from __future__ import annotations

import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING

from msgspec import Struct

from bandersnatch.doctor.contents import TYPES, Kind, kind_of
from bandersnatch.doctor.examination import (
    BEGINNING,
    HTML,
    JSON,
    PIP,
    REDIRECTS,
    UV,
    V1_HTML,
    decoded,
)
from bandersnatch.doctor.findings import Check
from bandersnatch.errors import InvalidPage

if TYPE_CHECKING:
    from bandersnatch.doctor.examination import Examination
    from bandersnatch.doctor.port import Answer

_CLIENTS = {PIP: "pip", UV: "uv"}
_WANTED = (
    (JSON, Kind.JSON),
    (HTML, Kind.HTML),
    (PIP, Kind.JSON),
    (UV, Kind.JSON),
    (V1_HTML, Kind.HTML),
)
"""``Accept`` headers, each with the format that it must get if the index has both.

They alternate, so that a cache without a key for the format shows itself.
"""

_BEYOND = (
    (f"{JSON};q=0.1, {HTML};q=0.9", Kind.HTML, "compare quality values"),
    ("application/vnd.pypi.simple.latest+json", Kind.JSON, "know the version `latest`"),
)
"""What no usual client sends."""


class Formats(Struct, frozen=True):
    """The pages of one project: in JSON and HTML, None if there is none; and what pip gets."""

    json: Answer | None
    html: Answer | None
    usual: Answer | None


async def check_formats(examination: Examination, url: str) -> Formats:
    """Ask for a project's page in each format, and judge which ones come."""
    examination.findings.begin(Check.NEGOTIATION, Check.TYPES, Check.CACHES)
    answers: dict[str, Answer] = {}
    for accept, _ in _WANTED:
        answer = await examination.try_ask(Check.NEGOTIATION, url, accept)
        if answer is not None and _is_page(examination, accept, answer):
            answers[accept] = answer
    formats = Formats(_first(answers, Kind.JSON), _first(answers, Kind.HTML), answers.get(PIP))
    has_both = formats.json is not None and formats.html is not None
    judged: set[Kind] = set()
    for accept, kind in sorted(_WANTED, key=lambda each: each[0] not in _CLIENTS):
        answer = answers.get(accept)
        if answer is not None and kind_of(answer) is not kind and kind not in judged:
            judged.add(kind)
            await _judge_other(examination, answer, accept, kind, has_both=has_both)
    if has_both:
        await _check_beyond(examination, url)
        _check_caches(examination, formats)
    await _check_root(examination, has_both=has_both)
    return formats


def _first(answers: dict[str, Answer], kind: Kind) -> Answer | None:
    return next((each for each in answers.values() if kind_of(each) is kind), None)


def _is_page(examination: Examination, accept: str, answer: Answer) -> bool:
    """Whether an answer is a page; no page, or one of a wrong type, is a fault."""
    if not answer.is_ok:
        if answer.status == HTTPStatus.NOT_ACCEPTABLE and accept not in _CLIENTS:
            return False  # that format is not there
        what = "redirects" if answer.status in REDIRECTS else "answers"
        who = _CLIENTS.get(accept, f"a client that accepts {accept}")
        sentence = f"{answer.url} {what} {who} with status {answer.status}"
        examination.findings.fault(Check.NEGOTIATION, "negotiation", sentence)
        return False
    try:
        decoded(answer)
    except InvalidPage as error:
        examination.findings.fault(Check.COMPRESSION, "encoding", f"{error}")
        return False
    kind = kind_of(answer)
    if kind is Kind.OTHER:
        sentence = f"{answer.url} is {kind.value} for a client that accepts {accept}"
        examination.findings.fault(Check.NEGOTIATION, "negotiation", sentence)
        return False
    _check_type(examination, answer, kind)
    return True


def _check_type(examination: Examination, answer: Answer, kind: Kind) -> None:
    if answer.media_type not in TYPES[kind]:
        given = f"the type {answer.media_type[:60]}" if answer.media_type else "no type"
        sentence = f"a page in {kind.value} has {given}: pip and uv do not use {answer.url}"
        examination.findings.fault(Check.TYPES, "types", sentence)


async def _judge_other(
    examination: Examination, answer: Answer, accept: str, kind: Kind, *, has_both: bool
) -> None:
    """Judge that a client got another format than it prefers."""
    who = _CLIENTS.get(accept, f"a client that accepts only {accept}")
    fresh = await examination.try_ask(
        Check.CACHES, f"{answer.url}?doctor={secrets.token_hex(8)}", accept
    )
    got = kind_of(answer).value
    if fresh is not None and fresh.is_ok and kind_of(fresh) is kind:
        sentence = f"a cache sends {who} the page in {got} that another client had asked for"
        examination.findings.fault(Check.CACHES, "cache key", sentence)
    elif has_both or (kind is Kind.JSON and await _has_unselected_json(examination, answer.url)):
        sentence = f"{who} gets {answer.url} in {got}, though there is a page in {kind.value}"
        examination.findings.fault(Check.NEGOTIATION, "negotiation", sentence)
    elif kind is Kind.JSON:
        sentence = "all clients get HTML, which has no sizes, upload times and versions"
        examination.findings.advise(Check.NEGOTIATION, "formats", sentence)
    else:
        sentence = "all clients get JSON, which pip reads since version 22.2"
        examination.findings.advise(Check.NEGOTIATION, "formats", sentence)


async def _has_unselected_json(examination: Examination, url: str) -> bool:
    """Whether a JSON page as this program writes it is there, without being selected."""
    address = f"{url}index.v1_json"
    answer = await examination.try_ask(Check.NEGOTIATION, address, limit=BEGINNING)
    return answer is not None and answer.is_ok and kind_of(answer) is Kind.JSON


async def _check_beyond(examination: Examination, url: str) -> None:
    for accept, kind, what in _BEYOND:
        answer = await examination.try_ask(Check.NEGOTIATION, url, accept, limit=BEGINNING)
        if answer is not None and (not answer.is_ok or kind_of(answer) is not kind):
            sentence = f"the server does not {what}, which no usual client needs"
            examination.findings.advise(Check.NEGOTIATION, "quality", sentence)


def _check_caches(examination: Examination, formats: Formats) -> None:
    for answer in (formats.json, formats.html):
        if answer is not None and not varies(answer, "accept"):
            sentence = f"{answer.url} has no `Vary: Accept`, so that caches mix JSON and HTML"
            examination.findings.fault(Check.CACHES, "vary", sentence)
    tags = {each.header("etag").removeprefix("W/") for each in (formats.json, formats.html) if each}
    if len(tags) == 1 and tags != {""}:
        sentence = f"the page has the same ETag {tags.pop()[:80]} in JSON and in HTML"
        examination.findings.fault(Check.CACHES, "tag", sentence)


def varies(answer: Answer, header: str) -> bool:
    """Whether an answer says that it depends on a header of the request."""
    names = {each.strip().lower() for each in answer.header("vary").split(",")}
    return bool(names & {header, "*"})


async def _check_root(examination: Examination, *, has_both: bool) -> None:
    """Check the type of the root page, of which only the beginning is read."""
    answer = await examination.try_ask(Check.TYPES, examination.root, PIP, limit=BEGINNING)
    if answer is None or not answer.is_ok or kind_of(answer) is Kind.OTHER:
        return
    _check_type(examination, answer, kind_of(answer))
    if has_both and not varies(answer, "accept"):
        sentence = f"{answer.url} has no `Vary: Accept`, so that caches mix JSON and HTML"
        examination.findings.fault(Check.CACHES, "vary", sentence)
