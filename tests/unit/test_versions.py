"""Versions, and versions in the names of release files."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from bandersnatch.model.names import ProjectName, project_name
from bandersnatch.model.versions import parse_version, strip_ending, version_key, version_text
from tests.support.factories import UPLOADED, make_detail, make_file
from tests.support.strategies import names

FOO = ProjectName("foo-bar")

versions = st.from_regex(
    r"\A[0-9]{1,2}(\.[0-9]{1,3}){0,3}((a|b|rc)[0-9])?(\.post[0-9])?(\.dev[0-9])?(\+[a-z0-9]{1,4})?\Z"
)


@pytest.mark.parametrize(
    ("filename", "version"),
    [
        ("foo_bar-1.0-py3-none-any.whl", "1.0"),
        ("foo_bar-1.0-1build-py3-none-any.whl", "1.0"),
        (
            "foo_bar-1!2.0+local.1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "1!2.0+local.1",
        ),
        ("odd.whl", ""),
        ("foo-bar-1.0.tar.gz", "1.0"),
        ("Foo.Bar-1.0.tar.bz2", "1.0"),
        ("foo__bar-1.0rc1.zip", "1.0rc1"),
        ("foo_bar-1.0-post1.tar.gz", "1.0-post1"),
        ("foo_bar-1.0-1.tar.gz", "1.0-1"),
        ("foo_bar-2004d.tgz", "2004d"),
        ("foo_bar-baz-1.0.tar.gz", "baz-1.0"),
        ("foo_bar-1.0.win32-py2.7.exe", "1.0"),
        ("foo_bar-1.0.win-amd64-py2.7.msi", "1.0"),
        ("foo_bar-1.0.win32.exe", "1.0"),
        ("foo_bar-1.0-py2.7.egg", "1.0"),
        ("foo_bar-1.0-py2.7-linux-x86_64.egg", "1.0"),
        ("foo_bar-1.0-py3.6-macosx-10.9-x86_64.egg", "1.0"),
        ("foo_bar-1.0.linux-x86_64.tar.gz", "1.0"),
        ("foo_bar-1.0-1.noarch.rpm", "1.0"),
        ("foo_bar-1.0-1.x86_64.rpm", "1.0"),
        ("foo_bar-1.0-1.src.rpm", "1.0"),
        ("foo_bar-1.0.macosx-10.9-x86_64.dmg", "1.0"),
        ("foo_bar-1.0+a.py3.tar.gz", "1.0+a.py3"),
        ("foo_bar-1.0-cp313-cp313-any-cu12.whl", "1.0"),
        ("foo_bar-1.0-variants.json", "1.0"),
        ("foo-bar-1!2.0+local.1-variants.json", "1!2.0+local.1"),
        ("foo_bar-1.0-another.thing.json", "1.0"),
        ("foo_bar-1.0.json", "1.0"),
        ("foo_bar-variants.json", "variants"),
        ("another-1.0-variants.json", ""),
        ("another-1.0.tar.gz", ""),
        ("foo_bar.tar.gz", ""),
        ("foo_bar-.tar.gz", ""),
    ],
)
def test_the_version_is_read_from_a_file_name(filename: str, version: str) -> None:
    assert version_text(filename, FOO) == version


@given(names.map(project_name), versions, st.sampled_from([".tar.gz", ".zip", ".whl"]))
def test_the_version_equals_that_of_packaging(name: ProjectName, version: str, ending: str) -> None:
    stem = name.replace("-", "_")
    if ending == ".whl":
        filename = f"{stem}-{version}-py3-none-any.whl"
        expected = parse_wheel_filename(filename)[1]
    else:
        filename = f"{stem}-{version}{ending}"
        expected = parse_sdist_filename(filename)[1]
    assert parse_version(version_text(filename, name)) == expected == Version(version)


@given(st.text(st.sampled_from("fob-_.0123+!py whl tar.gz exe win32"), max_size=30))
def test_the_version_is_part_of_any_name(text: str) -> None:
    for filename in (text, f"{text}.whl", f"{text}.tar.gz", f"foo-bar-{text}.exe"):
        assert version_text(filename, FOO) in filename


def test_a_text_that_does_not_parse_is_its_own_key() -> None:
    assert parse_version("1.0.0") == parse_version("1.0") == Version("1")
    assert version_key("1.0.0") == version_key("1.0")
    assert parse_version("nightly") is None
    assert version_key("nightly") == "nightly"


@pytest.mark.parametrize(
    ("filename", "stem"),
    [("a-1.TAR.GZ", "a-1"), ("a-1.whl", "a-1"), ("a-1.tar.gz.asc", "a-1.tar.gz.asc"), ("", "")],
)
def test_the_ending_is_stripped(filename: str, stem: str) -> None:
    assert strip_ending(filename) == stem


def test_a_page_groups_its_files_by_version() -> None:
    files = tuple(
        make_file(name, upload_time=UPLOADED + timedelta(days=number))
        for number, name in enumerate(
            ["foo-1.0.tar.gz", "foo-1.0.0-py3-none-any.whl", "foo-2.0.tar.gz", "foo-odd.tar.gz"]
        )
    )
    page = make_detail(*files, versions=("1.0.0", "2.0", "3.0", "odd"))
    assert page.releases() == {
        Version("1.0"): [files[0], files[1]],
        Version("2.0"): [files[2]],
        "odd": [files[3]],
    }
    kept = page.keep_versions(lambda text: version_key(text) in {Version("1"), Version("3"), "odd"})
    assert kept.files == (files[0], files[1], files[3])
    assert kept.versions == ("1.0.0", "3.0", "odd")
