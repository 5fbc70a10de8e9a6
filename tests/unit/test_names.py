"""Project names, and the file names that can belong to a project."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import InvalidName, canonicalize_name

from bandersnatch.errors import InvalidValue
from bandersnatch.model.names import ProjectName, is_named_after, project_name
from tests.support.confinement import stays_below
from tests.support.strategies import hostile_text, json_values

HOSTILE = [
    *["", ".", "..", "/", "/etc/passwd", "a/b", "a\\b", "../a", "C:", "a:b", "*", "?", "~"],
    *["a b", " a", "a ", "a\n", "a\r\n", "\ta", "a\0", "a\x1b[0m", "a\x7f", "a\x85"],
    *["-rf", ".htaccess", "_a", "a.", "a-", "a_", "-", "._-"],
    *["<b>", "a<script>", "a'b", 'a"b', "a&b", "a%2fb", "%2e%2e", "a+b", "a!b", "a@b"],
    *["\u212aelvin", "na\xefve", "a\u200bb", "\u202ea", "\ufeffa", "a\ud800", "\uff41", "\u0661"],
    *["x" * 201, "x" * 10_000, "a" + "-" * 199 + "a"],
]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("foo", "foo"),
        ("Foo", "foo"),
        ("foo_bar", "foo-bar"),
        ("zope.interface", "zope-interface"),
        ("A..b--C__d-._e", "a-b-c-d-e"),
        ("0", "0"),
        ("x" * 200, "x" * 200),
    ],
)
def test_a_name_is_normalised(text: str, name: str) -> None:
    assert project_name(text) == name


@pytest.mark.parametrize(("text", "name"), [("index.html", "index-html"), ("simple", "simple")])
def test_a_name_like_that_of_a_page_is_a_valid_name(text: str, name: str) -> None:
    assert project_name(text) == name


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:30])
def test_an_invalid_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        project_name(text)
    assert caught.value.field == "project name"
    assert caught.value.value == text


@pytest.mark.parametrize("value", [None, 5, 1.5, True, b"foo", ["foo"], {"foo": 1}], ids=repr)
def test_a_value_other_than_a_text_is_refused(value: object) -> None:
    with pytest.raises(InvalidValue, match="is not text"):
        project_name(value)


@given(hostile_text | st.text() | json_values)
def test_any_value_is_a_normalised_name_or_refused(value: object) -> None:
    try:
        name = project_name(value)
    except InvalidValue:
        return
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name)
    assert stays_below(name)
    assert project_name(name) == name


@given(st.text("aZ09._- /\n", max_size=8))
def test_valid_names_are_those_of_the_specification(text: str) -> None:
    try:
        expected = canonicalize_name(text, validate=True)
    except InvalidName:
        with pytest.raises(InvalidValue):
            project_name(text)
    else:
        assert project_name(text) == expected


@given(st.lists(st.text("aAbB-._", min_size=1, max_size=4), min_size=2, max_size=12))
def test_two_normalised_names_differ_by_more_than_case(texts: list[str]) -> None:
    """On a file system that ignores case, two projects never share a directory."""
    names = set()
    for text in texts:
        try:
            names.add(project_name(text))
        except InvalidValue:
            continue
    assert len({unicodedata.normalize("NFC", name).casefold() for name in names}) == len(names)


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("foo-1.0-py3-none-any.whl", "foo"),
        ("Foo_Bar-1.0-py3-none-any.whl", "foo-bar"),
        ("foo.bar-1.0-1-py3-none-any.whl", "foo-bar"),
        ("foo-1.0.tar.gz", "foo"),
        ("Foo.Bar-1.0.zip", "foo-bar"),
        ("foo_bar-1.0.win32-py2.7.exe", "foo-bar"),
        ("_foo-1.0.tar.gz", "foo"),
        ("foo bar-1.0 (copy).zip", "foo-bar"),
        ("foo-bar-1.0.tar.gz", "foo"),  # it could be version bar-1.0 of foo
    ],
)
def test_a_file_whose_name_starts_with_the_projects_is_named_after_it(
    filename: str, name: str
) -> None:
    assert is_named_after(filename, ProjectName(name))


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("foobar-1.0.tar.gz", "foo"),
        ("bar-1.0.tar.gz", "foo"),
        ("foo", "foo"),
        ("foo.whl", "foo"),
        ("foo_bar-1.0-py3-none-any.whl", "foo"),
        ("foo-1.0-py3-none-any.whl", "foo-1-0"),
    ],
)
def test_a_file_of_another_name_is_not_named_after_the_project(filename: str, name: str) -> None:
    assert not is_named_after(filename, ProjectName(name))
