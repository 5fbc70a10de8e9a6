"""Kinds, Python versions and platforms in release file names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from bandersnatch.model.filenames import (
    BuildInfo,
    FileKind,
    build_info,
    can_belong_to,
    candidate_projects,
    is_likely_owner,
    likely_owners,
    wheel_tag_text,
    wheel_tags,
)
from bandersnatch.model.folding import ANY_FOLDING
from bandersnatch.model.names import project_name
from tests.support.strategies import hostile_text, names


@pytest.mark.parametrize(
    ("filename", "part"),
    [
        ("foo-1.0-py3-none-any.whl", "py3-none-any"),
        ("foo-1.0-py2.py3-none-any.whl", "py2.py3-none-any"),
        ("foo-1.0-1-py3-none-any.whl", "py3-none-any"),
        ("foo-1.0-2b_c-CP39-Abi3-Win_AMD64.whl", "cp39-abi3-win_amd64"),
        ("foo-1.0+local.1-cp27-cp27mu-linux_x86_64.whl", "cp27-cp27mu-linux_x86_64"),
        (
            "foo-1.0-cp39-cp39-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "cp39-cp39-manylinux_2_17_x86_64.manylinux2014_x86_64",
        ),
        ("foo-not_pep440-py3-none-any.whl", "py3-none-any"),
        (
            "foo-1.0-cp313-cp313t-musllinux_1_2_x86_64-x86_64_v3.whl",
            "cp313-cp313t-musllinux_1_2_x86_64",
        ),
        ("foo-1.0-py3-none-any-null.whl", "py3-none-any"),
        ("foo-1.0-2-py2.py3-none-any-cu12.8.whl", "py2.py3-none-any"),
        (
            "foo-1.0-cp313-cp313-win_amd64-a_label_of_more_than_16_characters.whl",
            "cp313-cp313-win_amd64",
        ),
    ],
)
def test_the_tags_of_a_wheel_are_found(filename: str, part: str) -> None:
    assert wheel_tag_text(filename) == part


@pytest.mark.parametrize(
    "filename",
    [
        "foo-1.0.tar.gz",
        "foo-1.0.whl",
        "foo-1.0-py3-none.whl",
        "foo-1.0-b1-py3-none-any.whl",
        "foo-1.0-1-2-py3-none-any.whl",
        "foo-1.0-py3..py2-none-any.whl",
        "foo-1.0-py3-none-any..whl",
        "foo-1.0-py3--any.whl",
        "foo-1.0-3-none-any.whl",
        "foo-1.0-py3-none-any.WHL",
        "foo-1.0-py3-none-any-.whl",
        "foo-1.0-py3-none-any-a-b.whl",
        "foo-1.0-py3-none-any-a+b.whl",
        "foo-1.0-py3-none-any.whl\n",
        "foo-1.0-py3-none-\u00e4ny.whl",
        "-1.0-py3-none-any.whl",
        "",
    ],
)
def test_other_names_have_no_wheel_tags(filename: str) -> None:
    assert wheel_tag_text(filename) is None


def test_compressed_tags_are_sets() -> None:
    tags = wheel_tags("py2.py3-none.abi3-linux_x86_64.any")
    assert tags.pythons == {"py2", "py3"}
    assert tags.abis == {"none", "abi3"}
    assert tags.platforms == {"linux_x86_64", "any"}


PARTS = 4
"""Dashes in the name of a wheel without build tag and variant label."""

LABEL = st.from_regex(r"[0-9a-z_.]{1,20}", fullmatch=True)


@given(
    st.sampled_from(["foo-1.0", "a.b-2rc1-7", "Foo_Bar-1!1-0x"]),
    st.sampled_from(["py3-none-any", "cp39-abi3-win_amd64", "pp310.cp310-none-linux_x86_64"]),
    LABEL,
)
def test_a_variant_has_the_tags_of_the_wheel_without_a_label(
    start: str, tags: str, label: str
) -> None:
    assert wheel_tag_text(f"{start}-{tags}-{label}.whl") == tags


TAG = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,5}", fullmatch=True)
TAG_SET = st.lists(TAG, min_size=1, max_size=3).map(".".join)


@given(st.sampled_from(["foo-1.0", "a.b-2rc1-7", "Foo_Bar-1!1-0x"]), TAG_SET, TAG_SET, TAG_SET)
def test_the_tags_equal_those_of_packaging(start: str, py: str, abi: str, system: str) -> None:
    filename = f"{start}-{py}-{abi}-{system}.whl"
    part = wheel_tag_text(filename)
    assert part is not None
    ours = wheel_tags(part)
    expected = parse_wheel_filename(filename)[3]
    assert len(expected) == len(ours.pythons) * len(ours.abis) * len(ours.platforms)
    assert {tag.interpreter for tag in expected} == ours.pythons
    assert {tag.abi for tag in expected} == ours.abis
    assert {tag.platform for tag in expected} == ours.platforms


@given(hostile_text | st.text(), names)
def test_hostile_names_never_raise_and_give_no_tags_that_packaging_refuses(
    text: str, name: str
) -> None:
    for filename in (
        text,
        f"{name}-{text}",
        f"{name}-1.0{text}",
        f"{name}-1.0-py3-none-{text}.whl",
    ):
        build_info(filename, project_name(name))
        if wheel_tag_text(filename) is None:
            continue
        try:
            tags = parse_wheel_filename(filename)[3]
        except InvalidWheelFilename as error:
            if filename.count("-") > PARTS:
                continue  # a variant, which packaging does not know yet
            assert "version" in str(error)  # noqa: PT017 - of the names it refuses, only those
        else:
            assert {tag.platform for tag in tags} == wheel_tags(
                wheel_tag_text(filename) or ""
            ).platforms


@pytest.mark.parametrize(
    ("filename", "build"),
    [
        ("foo-1.0.tar.gz", BuildInfo(FileKind.SDIST)),
        ("foo-1.0.zip", BuildInfo(FileKind.SDIST)),
        ("foo-1.0.tar.bz2", BuildInfo(FileKind.SDIST)),
        ("foo-1.0.tgz", BuildInfo(FileKind.SDIST)),
        ("foo-1.0-src.tar.gz", BuildInfo(FileKind.SDIST)),
        ("foo-1.0-py2.7.tar.gz", BuildInfo(FileKind.SDIST)),
        ("bar-1.0.linux-x86_64.tar.gz", BuildInfo(FileKind.SDIST)),
        ("foo-1.0-py3-none-any.whl", BuildInfo(FileKind.WHEEL)),
        ("foo.whl", BuildInfo(FileKind.WHEEL)),
        ("foo-1.0.linux-x86_64.tar.gz", BuildInfo(FileKind.DUMB, "", "linux_x86_64")),
        ("foo-1.0.win32.zip", BuildInfo(FileKind.DUMB, "", "win32")),
        ("foo-1.0.win-amd64.zip", BuildInfo(FileKind.DUMB, "", "win_amd64")),
        ("foo-1.0.macosx-10.9-x86_64.tar.gz", BuildInfo(FileKind.DUMB, "", "macosx_10_9_x86_64")),
        ("foo-1.0.win32.exe", BuildInfo(FileKind.WININST, "", "win32")),
        ("foo-1.0.win32-py2.7.exe", BuildInfo(FileKind.WININST, "2.7", "win32")),
        ("foo-1.0.win-amd64-py3.10.exe", BuildInfo(FileKind.WININST, "3.10", "win_amd64")),
        ("foo-1.0.exe", BuildInfo(FileKind.WININST)),
        ("foo-1.0.win32-py2.6.msi", BuildInfo(FileKind.MSI, "2.6", "win32")),
        ("foo-1.0-py2.7.egg", BuildInfo(FileKind.EGG, "2.7")),
        ("foo-1.0-py3.egg", BuildInfo(FileKind.EGG, "3")),
        ("foo-1.0-py2.7-linux-x86_64.egg", BuildInfo(FileKind.EGG, "2.7", "linux_x86_64")),
        ("foo-1.0-py2.7-win32.egg", BuildInfo(FileKind.EGG, "2.7", "win32")),
        ("foo-1.0-py3.6-macosx-10.6-intel.egg",
         BuildInfo(FileKind.EGG, "3.6", "macosx_10_6_intel")),
        ("Foo-1.0-py2.7-FreeBSD-9.1-RELEASE-amd64.egg",
         BuildInfo(FileKind.EGG, "2.7", "freebsd_9_1_release_amd64")),
        ("foo-1.0.egg", BuildInfo(FileKind.EGG)),
        ("foo-1.0-1.noarch.rpm", BuildInfo(FileKind.RPM)),
        ("foo-1.0-1.src.rpm", BuildInfo(FileKind.RPM)),
        ("foo-1.0-1.x86_64.rpm", BuildInfo(FileKind.RPM)),
        ("foo-1.0_all.deb", BuildInfo(FileKind.DEB)),
        ("foo-1.0-py2.7-macosx10.5.dmg", BuildInfo(FileKind.DMG, "2.7", "macosx10_5")),
        ("foo-1.0.dmg", BuildInfo(FileKind.DMG)),
        ("foo-1.0.jar", BuildInfo(FileKind.OTHER)),
        ("foo", BuildInfo(FileKind.OTHER)),
    ],
)  # fmt: skip
def test_kind_python_and_platform_are_read_from_names(filename: str, build: BuildInfo) -> None:
    assert build_info(filename, project_name("foo")) == build


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("my-linux-tools-1.0.tar.gz", "my-linux-tools"),
        ("foo-2-linux-tools-1.0.tar.gz", "foo-2-linux-tools"),
        ("foo.win32-tools-1.0.zip", "foo-win32-tools"),
        ("pywin32-306.zip", "pywin32"),
        ("win-1-1.tar.gz", "win-1"),
    ],
)
def test_a_projects_name_is_not_taken_for_a_platform(filename: str, name: str) -> None:
    assert build_info(filename, project_name(name)) == BuildInfo(FileKind.SDIST)


def test_a_projects_name_is_not_taken_for_a_version() -> None:
    build = build_info("a-1-1.linux-x86_64.tar.gz", project_name("a-1"))
    assert build == BuildInfo(FileKind.DUMB, "", "linux_x86_64")


@pytest.mark.parametrize(
    ("filename", "projects"),
    [
        ("foo-1.0.tar.gz", ["foo"]),
        ("Foo_Bar-1.0.tar.gz", ["foo-bar"]),
        ("a-b-c-1.0.zip", ["a", "a-b", "a-b-c"]),
        ("a-1.0-py3-none-any.whl", ["a", "a-1-0", "a-1-0-py3", "a-1-0-py3-none"]),
        ("foo.tar.gz", []),
        ("-1.0.zip", []),
    ],
)
def test_every_project_whose_name_starts_the_file_name_is_a_candidate(
    filename: str, projects: list[str]
) -> None:
    assert candidate_projects(filename) == projects


def test_a_wheel_whose_name_is_not_valid_can_belong_to_any_project() -> None:
    assert can_belong_to("other.whl", project_name("foo"))
    assert not can_belong_to("other-1.0-py3-none-any.whl", project_name("foo"))


# ---------------------------------------------------------------- owners


file_names = st.builds(
    "{}{}{}".format,
    st.lists(st.sampled_from(["foo", "Foo", "bar", "-", "_", ".", "\u212a", "\ufb01", "1"])).map(
        "".join
    ),
    st.sampled_from(["-1.0", "-\u03081", ""]),
    st.sampled_from([".whl", ".WHL", ".tar.gz", "-py3-none-any.whl", ".zip"]),
)


@given(file_names | hostile_text)
def test_names_that_a_file_system_does_not_hold_apart_have_the_same_likely_owners(
    filename: str,
) -> None:
    for other in (filename.upper(), filename.lower(), ANY_FOLDING.fold(filename)):
        if ANY_FOLDING.fold(other) == ANY_FOLDING.fold(filename):
            assert likely_owners(other) == likely_owners(filename)


@given(file_names | hostile_text, names | st.sampled_from(["foo", "foo-bar", "k", "fi"]))
def test_a_likely_owner_is_one_of_the_likely_owners(filename: str, text: str) -> None:
    name = project_name(text)
    assert is_likely_owner(filename, name) == (name in likely_owners(filename))
    for each in likely_owners(filename):
        assert is_likely_owner(filename, each)


@pytest.mark.parametrize("filename", ["foo-bar-1.0.whl", "foo-bar-1.0.WHL"])
def test_a_wheel_has_one_likely_owner(filename: str) -> None:
    assert likely_owners(filename) == [project_name("foo")]
