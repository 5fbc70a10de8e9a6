"""What file systems ignore when they compare names."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.model.folding import EXACT, Folding

CASE, FORM = Folding(case=True), Folding(normal_form=True)
BOTH = Folding(case=True, normal_form=True)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(NAMES)
def test_an_exact_file_system_ignores_nothing(name: str) -> None:
    assert EXACT.fold(name) == name
    assert not EXACT


@given(NAMES)
def test_a_folded_name_stays_the_same(name: str) -> None:
    for folding in (CASE, FORM, BOTH):
        assert folding.fold(folding.fold(name)) == folding.fold(name)


@given(NAMES)
def test_spellings_of_a_name_are_folded_to_one(name: str) -> None:
    for other in (name.lower(), name.casefold(), name.upper()):
        if other.upper() == name.upper():
            assert CASE.fold(other) == CASE.fold(name)
            assert BOTH.fold(other) == BOTH.fold(name)
    for form in ("NFC", "NFD"):
        assert FORM.fold(unicodedata.normalize(form, name)) == FORM.fold(name)
        assert BOTH.fold(unicodedata.normalize(form, name)) == BOTH.fold(name)


@pytest.mark.parametrize(
    ("one", "other", "same_case", "same_form"),
    [
        ("Foo-1.0.zip", "foo-1.0.ZIP", True, False),
        ("foo-1.0.zip", "foo-1.1.zip", False, False),
        ("\u00e9", "e\u0301", False, True),
        ("\u00c9", "\u00e9", True, False),
        ("\u03a3", "\u03c2", True, False),
        ("\u212a", "k", True, False),
        ("a\u200db", "ab", False, True),
    ],
)
def test_names_are_compared(one: str, other: str, *, same_case: bool, same_form: bool) -> None:
    assert (CASE.fold(one) == CASE.fold(other)) == same_case
    assert (FORM.fold(one) == FORM.fold(other)) == same_form
    assert (BOTH.fold(one) == BOTH.fold(other)) == (same_case or same_form)


def test_what_several_file_systems_ignore_is_ignored() -> None:
    assert CASE | FORM == BOTH
    assert EXACT | EXACT == EXACT
    assert str(BOTH) == "case and Unicode normal form"
    assert str(CASE) == "case"
