"""Memory limits: the estimate is never too low, and no real document is refused."""

from __future__ import annotations

import json
import tracemalloc

import msgspec
import pytest

from bandersnatch.errors import InvalidPage
from bandersnatch.simple.json_page import parse_detail_json, parse_list_json
from bandersnatch.simple.legacy import parse_legacy, render_legacy
from bandersnatch.simple.limits import LEGACY, LIST, PAGE, Limit, check_memory
from tests.support.factories import make_context

MIB = 2**20
SMALL = 4096
"""Bytes that parsing any document needs."""
WHERE = "https://index.example.org/simple/foo/"
CONTEXT = make_context("foo", WHERE)


def document(beginning: bytes, piece: bytes, end: bytes, size: int) -> bytes:
    """Return a document of about ``size`` bytes that repeats ``piece``."""
    return beginning + piece * (size // len(piece)) + end


DENSE = {
    "numbers": (b"[", b"1,", b"1]"),
    "texts": (b"[", b'"ab",', b"1]"),
    "large numbers": (b"[", b"99999,", b"1]"),
    "fractions": (b"[", b"1.5,", b"1]"),
    "lists": (b"[", b"[],", b"1]"),
    "full lists": (b"[", b"[1],", b"1]"),
    "objects": (b"[", b"{},", b"1]"),
    "full objects": (b"[", b'{"a":1},', b"1]"),
    "a text that is wide": (b'["', b"x", '😀"]'.encode()),
    "texts that are wide": (b"[", f'"{"x" * 99}😀",'.encode(), b"1]"),
    "a text that is wide, escaped": (b'["', b"x\\n", rb'\ud83d\ude00"]'),
}


@pytest.mark.parametrize("kind", DENSE)
def test_no_document_needs_more_memory_than_estimated(kind: str) -> None:
    text = document(*DENSE[kind], size=2 * MIB)
    tracemalloc.start()
    try:
        value = msgspec.json.decode(text)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert value

    with pytest.raises(InvalidPage, match="in memory"):
        check_memory(text, Limit(0, len(text) + taken - SMALL), WHERE)


def test_every_kind_of_document_is_checked_before_it_is_parsed() -> None:
    heavy = {
        "page": document(b'{"name": "foo", "files": [', b"{},", b"{}]}", 16 * MIB),
        "list": document(b'{"projects": [', b"{},", b"{}]}", 16 * MIB),
        "legacy": document(b'{"info": {"name": "foo"}, "releases": [', b"{},", b"{}]}", 16 * MIB),
    }
    for read in (
        lambda: parse_detail_json(heavy["page"], CONTEXT),
        lambda: parse_list_json(heavy["list"], WHERE),
        lambda: parse_legacy(heavy["legacy"], CONTEXT),
    ):
        tracemalloc.start()
        try:
            with pytest.raises(InvalidPage, match="in memory"):
                read()
            assert tracemalloc.get_traced_memory()[1] < MIB
        finally:
            tracemalloc.stop()


NAME = "foo-1.0.dev12345-py3-none-any.whl"
FILE = {
    "core-metadata": {"sha256": "0" * 64},
    "data-dist-info-metadata": {"sha256": "0" * 64},
    "filename": NAME,
    "hashes": {"sha256": "0" * 64},
    "provenance": None,
    "requires-python": ">=3.9,<4,!=3.9.7",
    "size": 123456,
    "upload-time": "2024-01-01T00:00:00.000000Z",
    "url": f"https://files.example.org/packages/aa/bb/{'c' * 60}/{NAME}",
    "yanked": "\u4e2d was broken, and is",
}
"""An entry in PyPI's form."""


def test_the_largest_real_documents_are_below_the_limits() -> None:
    """30,000 files and 1,000,000 projects: more than exist on PyPI."""
    file = json.dumps(FILE).encode()
    page = b'{"name": "foo", "files": [%b], "versions": [%b]}'
    check_memory(page % ((file + b", ") * 30_000, b'"1.0.dev12345", ' * 30_000), PAGE, WHERE)
    entry = b'{"_last-serial": 100000000, "name": "some-project-1000000"}, '
    check_memory(b'{"projects": [%b]}' % (entry * 1_000_000), LIST, WHERE)
    legacy = b'{"info": {"description": "%b"}, "releases": {%b}}'
    releases = b'"1.0.dev12345": [%b], ' % file * 30_000
    check_memory(legacy % (b"some, text " * 5000, releases), LEGACY, WHERE)


def test_the_indentation_of_a_legacy_document_is_counted_before() -> None:
    """At a depth of 60 each value is indented by 240 spaces."""
    many = b"[" * 57 + b"[]," * 700_000 + b"[]" + b"]" * 57
    text = b'{"info": {"name": "foo"}, "releases": {}, "x": ' + many + b"}"
    check_memory(text, LEGACY, WHERE)
    with pytest.raises(InvalidPage, match="as a file"):
        parse_legacy(text, CONTEXT)


def test_a_large_legacy_document_is_rendered_as_by_the_standard_library() -> None:
    content = {
        "info": {"name": "foo", "summary": "caf\xe9 😀"},
        "releases": {},
        "x": [{"y": [number, [], {}]} for number in range(9_000)],
    }
    rendered = render_legacy(parse_legacy(json.dumps(content).encode(), CONTEXT))
    assert rendered == json.dumps(content, indent=4, sort_keys=True).encode()
