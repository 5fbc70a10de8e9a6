"""Project pages and valid versions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from bandersnatch.model.project import ProjectStatus, Rejection, is_version
from bandersnatch.model.serials import Serial
from tests.support.factories import make_detail, make_file
from tests.support.strategies import hostile_text, json_values

ONE, TWO = make_file("foo-1.0.tar.gz"), make_file("foo-2.0.tar.gz")


def test_keep_changes_only_the_files() -> None:
    page = make_detail(ONE, TWO, versions=("1.0", "2.0"), serial=Serial(5))
    kept = page.keep(lambda file: file is TWO)
    assert kept == make_detail(TWO, versions=("1.0", "2.0"), serial=Serial(5))


def test_a_rejected_file_is_not_on_the_page_and_is_counted() -> None:
    page = make_detail(ONE, TWO, versions=("1.0", "2.0"))
    rejection = Rejection.of(TWO.filename, "another project has its path")
    rejected = page.reject([rejection])
    assert rejected.files == (ONE,)
    assert rejected.rejected == (rejection,)


def test_keep_versions_asks_once_a_version_and_keeps_the_order_of_files() -> None:
    files = tuple(
        make_file(name)
        for name in (
            "foo-1.0-py3-none-any.whl",
            "foo-1.0.0.tar.gz",
            "foo-1.0.tar.gz",
            "foo-2.tar.gz",
        )
    )
    page = make_detail(*files, versions=("1.0", "2", "3"))
    asked: list[str] = []

    def keep(text: str) -> bool:
        asked.append(text)
        return text != "1.0"

    kept = page.keep_versions(keep)
    assert sorted(asked) == ["1.0", "1.0.0", "2", "3"]
    assert kept == make_detail(files[1], files[3], versions=("2", "3"))
    assert kept.version_texts() == ("1.0.0", "2")
    assert page.version_texts() == ("1.0", "1.0.0", "1.0", "2")
    assert page.keep(lambda file: file is files[3]).version_texts() == ("2",)
    assert replace(kept, files=files[:1]).version_texts() == ("1.0",), (
        "no version of another page is cached"
    )
    assert page.releases() == {Version("1.0"): [*files[:3]], Version("2"): [files[3]]}
    assert page.keep_versions(lambda _: True) is page


def test_a_page_without_files_keeps_its_status_and_serial() -> None:
    fixed: dict[str, Any] = {
        "serial": Serial(5),
        "status": ProjectStatus.QUARANTINED,
        "status_reason": "malware",
        "name": "foo",
    }
    page = make_detail(ONE, TWO, **fixed)
    assert page.without_files() == make_detail(files=(), versions=(), **fixed)


@pytest.mark.parametrize(
    "text", ["1.0", "1!2.0.post1+local", "2004d", "0", "dev-r1234", "1.0 beta", "~" * 128]
)
def test_a_short_printable_text_is_a_version(text: str) -> None:
    assert is_version(text)


@pytest.mark.parametrize(
    "value",
    [
        *["", " 1.0", "1.0\n", "1.0\0", "1\x1b[0m", "1\x7f", "caf\xe9", "\u0661", "1" * 129],
        *[None, 1, 1.0, True, b"1.0", ["1.0"]],
    ],
    ids=ascii,
)
def test_any_other_value_is_not_a_version(value: object) -> None:
    assert not is_version(value)


@given(json_values | hostile_text | st.text())
def test_every_version_is_printable_ascii(value: object) -> None:
    if is_version(value):
        assert isinstance(value, str)
        assert value.isascii()
        assert value.isprintable()
