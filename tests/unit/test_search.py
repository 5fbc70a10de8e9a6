"""Search over the names of all projects."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.serve.search import MOST_PAGES, PER_PAGE, NameIndex

NAMES = ["a", "a-b", "ab", "b", "ba", "bab", "django", "django-cms", "my-django", "zope-interface"]


def index_of(names: list[str]) -> NameIndex:
    """Return the index of some names."""
    return NameIndex(f"{name}\n".encode() for name in sorted(names))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("django", ["django", "django-cms", "my-django"]),
        ("DJANGO_cms", ["django-cms"]),
        ("zope.interface", ["zope-interface"]),
        ("zope interface", ["zope-interface"]),
        (" ab ", ["ab", "bab"]),
        ("b", ["b", "ba", "bab", "a-b", "ab"]),
        ("nothing", []),
        ("", []),
        ("\n", []),
        ("a\nb", ["a-b"]),
        ("\N{LATIN SMALL LETTER E WITH ACUTE}", []),
        ("a" * 1000, []),
        ("%", []),
    ],
)
def test_names_that_begin_with_the_query_come_first(query: str, expected: list[str]) -> None:
    assert index_of(NAMES).search(query, 1).names == expected


def test_many_results_come_in_pages() -> None:
    names = [f"x{number:04}" for number in range(PER_PAGE * 2 + 1)]
    index = index_of([*names, *(f"y-{name}" for name in names)])

    pages = [index.search("x", number) for number in range(1, 7)]

    found = [name for page in pages for name in page.names]
    assert found == [*names, *(f"y-{name}" for name in names)]
    assert [page.more for page in pages] == [True, True, True, True, False, False]
    assert index.search("x", MOST_PAGES + 1).names == []
    assert index.search("x", 0).names == []


name_texts = st.from_regex(r"[ab](-?[abc]){0,6}", fullmatch=True)


@given(
    st.lists(name_texts, unique=True, max_size=40), st.from_regex(r"[abc-]{1,3}", fullmatch=True)
)
def test_every_name_with_the_query_is_found_once(names: list[str], query: str) -> None:
    text = re.sub("-+", "-", query)

    found = index_of(names).search(query, 1).names

    assert found == [
        *sorted(name for name in names if name.startswith(text)),
        *sorted(name for name in names if text in name[1:] and not name.startswith(text)),
    ]


def test_700_000_names_are_searched_in_milliseconds() -> None:
    index = NameIndex(f"project-{number:06x}-name\n".encode() for number in range(700_000))
    for query in ("project", "name", "fffff", "nothing-like-this", "zz", "0"):
        began = time.process_time()
        index.search(query, 1)
        assert time.process_time() - began < 0.05
