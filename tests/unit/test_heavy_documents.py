"""Limits of steps: what takes long for its size is refused early, real documents never are."""

from __future__ import annotations

import json
from time import process_time

import pytest

from bandersnatch.closure.requirements import CoreMetadata, parse_metadata
from bandersnatch.errors import BandersnatchError, InvalidPage
from bandersnatch.index.changelog import InvalidAnswer, XmlRpcCall
from bandersnatch.model.digests import parse_hashes, require_hashes
from bandersnatch.simple.entries import MAX_BAD
from bandersnatch.simple.html_page import parse_detail_html, parse_list_html
from bandersnatch.simple.json_page import parse_detail_json, parse_list_json
from bandersnatch.simple.legacy import parse_legacy
from bandersnatch.simple.limits import BYTES_PER_STEP, STEPS, STEPS_PER_ENTRY, StepBudget
from tests.support.factories import make_context

MIB = 2**20
WHERE = "https://index.example.org/simple/foo/"
CONTEXT = make_context("foo", WHERE)
TITLE = b"<title>Links for foo</title>"
LONGEST = 30
"""Seconds of processor time that no document of these tests may take, on a slow machine."""

MARKUP = {
    "less-than signs": b"< ",
    "tags": b"<p>",
    "end tags": b"</p>",
    "comments": b"<!---->",
    "declarations": b"<!>",
    "instructions": b"<?>",
    "character references": b"x&lt;",
    "links without an address": b"<a>",
    "links whose address is not a URL": b"<a href=//[>&lt;",
    "scripts": b"<script></script>",
    "attributes": b"<p " + b"a " * 20_000 + b">",
    "attributes with values": b"<p " + b"a=b " * 15_000 + b">",
    "references in attributes": b'<p a="' + b"&lt;" * 12_000 + b'">',
}


@pytest.mark.parametrize("kind", MARKUP)
def test_a_page_of_much_markup_and_few_links_is_too_heavy(kind: str) -> None:
    page = TITLE + MARKUP[kind] * (3 * MIB // len(MARKUP[kind]))
    began = process_time()

    with pytest.raises(InvalidPage, match="too heavy"):
        parse_detail_html(page, CONTEXT, charset=None)
    with pytest.raises(InvalidPage, match="too heavy"):
        parse_list_html(page, WHERE, charset=None)

    assert process_time() - began < LONGEST


def test_a_long_base_is_paid_for_by_each_link() -> None:
    base = b'<base href="/' + b"a/" * 30_000 + b'">'

    with pytest.raises(InvalidPage, match="too heavy"):
        parse_detail_html(TITLE + base + b"<a href=b>" * 20_000, CONTEXT, charset=None)


ROW = (
    '<tr><td valign="top"><img src="/icons/compressed.gif" alt="[   ]"></td>'
    '<td><a href="foo-{0}.zip">foo-{0}.zip</a></td><td align="right">2020-01-01 10:00  </td>'
    '<td align="right">1.0M</td><td>&nbsp;</td></tr>\n'
)
LINK = (
    '<a href="https://files.example.org/packages/aa/bb/{0:060}/foo-1.{0}-py3-none-any.whl'
    '#sha256={0:064}" data-requires-python="&gt;=3.7,&lt;4,!=3.9.0" data-dist-info-metadata='
    '"sha256={0:064}" data-core-metadata="sha256={0:064}">foo-1.{0}-py3-none-any.whl</a><br />\n'
)


@pytest.mark.parametrize(
    ("row", "title"), [(ROW, "Index of /foo"), (LINK, "Links for foo")], ids=["Apache", "index"]
)
def test_no_real_page_is_too_heavy(row: str, title: str) -> None:
    """The rows need more than the fixed steps."""
    rows = "".join(map(row.format, range(30_000)))

    detail = parse_detail_html(f"<title>{title}</title>{rows}".encode(), CONTEXT, charset=None)

    assert len(detail.files) == 30_000


def test_a_list_of_many_projects_is_not_too_heavy() -> None:
    links = "".join(f'<a href="/simple/p{n}/">p{n}</a>\n' for n in range(120_000))

    found = parse_list_html(links.encode(), "https://index.example.org/simple/", charset=None)

    assert len(found.serials) == 120_000


def test_steps_are_in_proportion_to_bytes_and_entries() -> None:
    budget = StepBudget(10 * BYTES_PER_STEP, WHERE)
    budget.spend(STEPS + 10)
    budget.add_entry()
    budget.spend(STEPS_PER_ENTRY)
    with pytest.raises(InvalidPage, match="too heavy"):
        budget.spend(1)


# ---------------------------------------------------------------- other formats


def test_a_list_of_bad_entries_is_not_read_to_its_end() -> None:
    text = b'{"projects": [' + b"1," * (20 * MAX_BAD) + b"1]}"

    with pytest.raises(InvalidPage, match=f"{MAX_BAD} of its {MAX_BAD} entries are bad"):
        parse_list_json(text, WHERE)


def test_a_legacy_document_names_a_limited_number_of_files() -> None:
    text = b'{"info": {"name": "foo"}, "releases": {"1": [' + b"{}," * 200_000 + b"{}]}}"

    with pytest.raises(InvalidPage, match="more than 200000 files"):
        parse_legacy(text, CONTEXT)


def test_unknown_digests_cost_little() -> None:
    digests = {f"unknown-{number}": "0" for number in range(2_000)}
    entry = {"filename": "foo-1.zip", "url": "foo-1.zip", "hashes": digests}
    page = {"name": "foo", "meta": {"api-version": "1.0"}, "files": [entry] * 400}
    began = process_time()

    with pytest.raises(BandersnatchError):
        parse_detail_json(json.dumps({**page, "name": "bar"}).encode(), CONTEXT)
    assert not parse_hashes(digests)
    assert not require_hashes(digests)
    assert len(parse_detail_json(json.dumps(page).encode(), CONTEXT).files) == 1

    assert process_time() - began < LONGEST


def test_a_folded_field_takes_time_in_proportion_to_its_length() -> None:
    lines = b" a\n" * (2**22 // 3)
    began = process_time()

    found = parse_metadata(b"Metadata-Version: 2.1\nProvides-Extra: foo\n" + lines)
    refused = parse_metadata(b"Metadata-Version: 2.1\nRequires-Dist: foo\n" + lines)

    assert isinstance(found, CoreMetadata)
    assert found.extras[0].startswith("foo a a")
    assert refused == "its requirements have more than 500,000 characters"
    assert process_time() - began < 2 * LONGEST


def answer(value: bytes) -> bytes:
    """Return an answer of the changelog with a value."""
    return b"<methodResponse><params><param>%b</param></params></methodResponse>" % value


def test_an_answer_has_a_limited_number_of_elements() -> None:
    inner = b"<value><array><data>" + b"<value/>" * 1_000_001 + b"</data></array></value>"

    with pytest.raises(InvalidAnswer, match="more than 1000000 elements"):
        XmlRpcCall("x").decode(answer(inner), 2**40)


@pytest.mark.parametrize("number", [b"1" + b" " * 64, b"1" * 65, b"1" + b" " * 64 + b"x"])
def test_the_text_of_a_number_is_short(number: bytes) -> None:
    with pytest.raises(InvalidAnswer, match="is not a number"):
        XmlRpcCall("x").decode(answer(b"<value><int>" + number + b"</int></value>"), 2**20)


def test_a_text_in_many_pieces_takes_time_in_proportion_to_its_length() -> None:
    text = b"<value><string>" + b"x<!---->" * 400_000 + b"</string></value>"
    began = process_time()

    assert XmlRpcCall("x").decode(answer(text), 2**40)

    assert process_time() - began < LONGEST
