"""The recognition of pages by their beginnings, and lists of directories with any names."""

from __future__ import annotations

import json
from html import escape
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.errors import InvalidPage, InvalidValue
from bandersnatch.model.files import FILE_ENDINGS
from bandersnatch.model.names import project_name
from bandersnatch.simple.html_page import parse_list_html
from bandersnatch.simple.recognition import is_project_page, is_root_page
from tests.support.strategies import hostile_text

WHERE = "https://example.org/simple/"
NAME = project_name("foo")
LIST_JSON = json.dumps(
    {"meta": {"api-version": "1.0"}, "projects": [{"name": "foo"}] * 99}
).encode()
PAGE_JSON = json.dumps({"name": "foo", "files": [{"filename": "foo-1.0.zip"}] * 99}).encode()
LIST_HTML = b"<html>" + b"".join(b"<a href='p%d/'>p%d</a>" % (n, n) for n in range(99))
PAGE_HTML = b"<html>" + b"<a href='../../packages/foo-1.0.zip#sha256=0'>foo</a>" * 99


@pytest.mark.parametrize("length", [100, 500, 10_000])
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\n  "])
def test_a_page_is_recognised_by_its_beginning(length: int, before: bytes) -> None:
    for text in (LIST_JSON, LIST_HTML):
        assert is_root_page(before + text[:length], WHERE)
    for text in (PAGE_JSON, PAGE_HTML):
        assert is_project_page(before + text[:length], WHERE, NAME)


@pytest.mark.parametrize(
    "text",
    [
        *(b"", b"\0", b"{", b"{}", b"[]", b"<", b"<!--", b"<html>welcome</html>", b"<![x>"),
        *(b"<a href='https://example.com/'>elsewhere</a>", b'{"message": "not found"}'),
    ],
)
def test_any_other_document_is_no_page(text: bytes) -> None:
    assert not is_root_page(text, WHERE)
    assert not is_project_page(text, WHERE, NAME)


def test_one_kind_of_page_is_not_the_other() -> None:
    assert not is_root_page(PAGE_JSON, WHERE)
    assert not is_root_page(PAGE_HTML, WHERE)
    assert not is_project_page(LIST_JSON, WHERE, NAME)
    assert not is_project_page(LIST_HTML, WHERE, NAME)
    assert not is_project_page(PAGE_HTML, WHERE, project_name("bar"))


def test_a_directory_with_an_index_in_it_is_no_root_page() -> None:
    entries = b"<a href='simple/'>simple</a><a href='packages/'>packages</a>"
    assert not is_root_page(entries, WHERE)
    assert is_root_page(LIST_HTML + entries, WHERE)


@given(text=st.binary() | hostile_text.map(lambda text: text.encode(errors="replace")))
def test_any_bytes_can_be_asked_about(text: bytes) -> None:
    for beginning in (text, b"<a href=" + text, b"{" + text):
        is_root_page(beginning, WHERE)
        is_project_page(beginning, WHERE, NAME)


@given(names=st.lists(hostile_text.filter(lambda name: "/" not in name), max_size=20))
def test_a_list_of_a_directory_has_the_projects_among_any_names(names: list[str]) -> None:
    links = "".join(
        f'<a href="{escape(quote(name, errors="replace"))}/">{escape(name[:20])}</a>'
        for name in names
    )
    expected, valid = set(), []
    for name in names:
        try:
            expected.add(project_name(name))
            valid.append(name.lower())
        except InvalidValue:
            continue
    if all(name.endswith(FILE_ENDINGS) for name in valid):
        expected = set()  # a list of files
    text = f"<title>Index of /simple/</title>{links}".encode(errors="replace")
    try:
        found = set(parse_list_html(text, WHERE, charset=None).serials)
    except InvalidPage:
        found = set()
    assert found == expected
