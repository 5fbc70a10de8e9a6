"""The legacy JSON API's dictionaries, built from a page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandersnatch.filters.builtin.views import legacy_file, legacy_files, legacy_project
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.serials import Serial
from tests.support.factories import make_detail, make_file
from tests.support.strategies import json_values

SDIST = make_file(requires_python=">=3.8")
DIGEST = SDIST.hashes.sha256_value


def document(**fields: Any) -> dict[str, Any]:
    """Return a document that has the file, among others."""
    entry = {"filename": SDIST.filename, "digests": {"sha256": DIGEST}} | fields
    other = {"filename": "foo-0.9.tar.gz", "has_sig": True, "digests": {"sha256": "0" * 64}}
    return {"info": {"name": "Foo"}, "releases": {"1.0": [entry], "0.9": [other]}}


@pytest.mark.parametrize(
    ("filename", "kind", "python"),
    [
        ("foo-1.0-py3-none-any.whl", "bdist_wheel", "py3"),
        ("foo-1.0-1build-cp312.cp313-abi3-win_amd64.whl", "bdist_wheel", "cp312.cp313"),
        ("foo-1.0.whl", "bdist_wheel", ""),
        ("foo-1.0.tar.gz", "sdist", "source"),
        ("foo-1.0.ZIP", "sdist", "source"),
        ("foo-linux-1.0.tar.gz", "sdist", "source"),
        ("foo.linux-1.0.tar.gz", "sdist", "source"),
        ("foo-1.0-py2.7.egg", "bdist_egg", "2.7"),
        ("foo-1.0-py3.10-linux-x86_64.egg", "bdist_egg", "3.10"),
        ("foo-1.0.win32-py2.7.exe", "bdist_wininst", "2.7"),
        ("foo-1.0.win32.exe", "bdist_wininst", "any"),
        ("foo-1.0.win-amd64-py3.4.msi", "bdist_msi", "3.4"),
        ("foo-1.0-1.noarch.rpm", "bdist_rpm", "any"),
        ("foo-1.0-1.src.rpm", "bdist_rpm", "any"),
        ("foo-1.0.dmg", "bdist_dmg", "any"),
        ("python-foo_1.0.deb", "bdist_dumb", "any"),
        ("foo-1.0.linux-x86_64.tar.gz", "bdist_dumb", "any"),
        ("foo-1.0.linux-i686-py2.7.tar.bz2", "bdist_dumb", "2.7"),
        ("foo-1.0.win32.zip", "bdist_dumb", "any"),
        ("foo-1.0.win-amd64.zip", "bdist_dumb", "any"),
        ("foo-1.0.macosx-10.9-x86_64.tar.gz", "bdist_dumb", "any"),
        ("foo-1.0.freebsd-9.1-RELEASE-amd64.tar.gz", "bdist_dumb", "any"),
    ],
)
def test_the_kind_and_the_python_follow_from_the_file_name(
    filename: str, kind: str, python: str
) -> None:
    name = "foo-linux" if "linux-1.0" in filename else "foo"
    told = legacy_file(make_detail(name=name), make_file(filename))
    assert (told["packagetype"], told["python_version"]) == (kind, python)


def test_a_file_has_the_values_of_the_legacy_api() -> None:
    file = make_file(yanked="broken", requires_python=">=3.8")
    assert legacy_file(make_detail(file), file) == {
        "filename": "foo-1.0.tar.gz",
        "packagetype": "sdist",
        "python_version": "source",
        "requires_python": ">=3.8",
        "size": 14,
        "upload_time": "2024-05-06T07:08:09",
        "upload_time_iso_8601": "2024-05-06T07:08:09.123456Z",
        "url": file.url,
        "yanked": True,
        "yanked_reason": "broken",
        "digests": {"sha256": file.hashes.sha256_value},
    }


def test_values_that_the_page_lacks_are_null() -> None:
    file = make_file(size=None, upload_time=None, yanked="")
    told = legacy_file(make_detail(file), file)
    missing = {"size", "upload_time", "upload_time_iso_8601", "requires_python", "yanked_reason"}
    assert {key for key, value in told.items() if value is None} == missing
    assert told["yanked"] is True


def test_the_document_adds_values_and_changes_none_of_the_page() -> None:
    said = document(
        packagetype="bdist_dumb", has_sig=False, requires_python=">=2", yanked=True, url="x",
        yanked_reason="no", size=1, digests={"sha256": DIGEST.upper(), "md5": "m"},
    )  # fmt: skip
    told = legacy_file(make_detail(SDIST, document=said), SDIST)
    assert told["has_sig"] is False
    assert told["packagetype"] == "bdist_dumb"
    assert told["digests"] == {"sha256": DIGEST, "md5": "m"}
    page_tells = (told["requires_python"], told["size"], told["url"], told["yanked"])
    assert page_tells == (">=3.8", 14, SDIST.url, False)
    assert told["yanked_reason"] is None


def test_an_entry_with_another_digest_is_ignored() -> None:
    said = document(has_sig=True, digests={"sha256": "1" * 64})
    assert "has_sig" not in legacy_file(make_detail(SDIST, document=said), SDIST)


@pytest.mark.parametrize("digests", [{}, None, "none", {"md5": "m"}])
def test_an_entry_without_sha256_is_known_by_its_name(digests: object) -> None:
    said = document(has_sig=True, digests=digests)
    assert legacy_file(make_detail(SDIST, document=said), SDIST)["has_sig"] is True


def test_releases_have_the_files_of_the_page_only_and_its_versions_without_any() -> None:
    wheel = make_file("foo-1.0.0-py3-none-any.whl")
    page = make_detail(SDIST, wheel, versions=("1.0", "0.1"), document=document())
    releases = legacy_project(page)["releases"]
    assert {v: [f["filename"] for f in files] for v, files in releases.items()} == {
        "1.0": [SDIST.filename, wheel.filename],
        "0.1": [],
    }


@pytest.mark.parametrize(
    ("said", "text"), [(None, "1.0"), (document(), "1.0"), ({"releases": {"1.0.0": []}}, "1.0.0")]
)
def test_an_unlisted_version_has_the_spelling_of_the_document(
    said: dict[str, Any] | None, text: str
) -> None:
    assert list(legacy_project(make_detail(SDIST, versions=(), document=said))["releases"]) == [
        text
    ]


@pytest.mark.parametrize(
    ("names", "yanked", "newest"),
    [
        (("1.0", "2.0b1"), (), "1.0"),
        (("1.0b1", "1.0b2"), (), "1.0b2"),
        (("1.0", "2.0"), ("2.0",), "1.0"),
        (("1.0b1", "2.0"), ("2.0",), "1.0b1"),
        (("1.10", "1.9"), (), "1.10"),
        (("1.0", "unknown"), ("1.0",), "1.0"),
    ],
)
def test_without_a_document_info_is_about_the_newest_version(
    names: tuple[str, ...], yanked: tuple[str, ...], newest: str
) -> None:
    files = [
        make_file(f"foo-{name}.tar.gz", yanked="bad" if name in yanked else None) for name in names
    ]
    project = legacy_project(make_detail(*files, versions=names))
    assert project["info"] == {
        "name": "foo",
        "version": newest,
        "requires_python": None,
        "yanked": newest in yanked,
        "yanked_reason": "bad" if newest in yanked else None,
    }
    assert [file["filename"] for file in project["urls"]] == [f"foo-{newest}.tar.gz"]


def test_an_empty_page_has_no_version() -> None:
    project = legacy_project(make_detail().without_files())
    assert (project["info"]["version"], project["releases"], project["urls"]) == ("", {}, [])


def test_info_and_all_else_are_those_of_the_document() -> None:
    said = document() | {"last_serial": 5, "vulnerabilities": [1]}
    project = legacy_project(make_detail(SDIST, document=said))
    assert project["info"]["name"] == "Foo"
    assert project["info"]["version"] == "1.0"
    assert (project["last_serial"], project["vulnerabilities"]) == (5, [1])
    told = legacy_project(make_detail(SDIST, serial=Serial(7), document=said))
    assert told["last_serial"] == 7


def test_a_change_to_the_dictionaries_does_not_reach_the_page() -> None:
    said = document() | {"info": {"classifiers": ["a"]}}
    page = make_detail(SDIST, document=said)
    project = legacy_project(page)
    project["info"]["classifiers"].append("b")
    project["releases"].clear()
    project["urls"].clear()
    assert legacy_project(page)["info"]["classifiers"] == ["a"]
    assert legacy_project(page)["urls"] == [legacy_file(page, SDIST)]


@given(said=st.dictionaries(st.sampled_from(["info", "releases", "last_serial"]), json_values))
def test_any_document_is_accepted(said: dict[str, Any]) -> None:
    page = make_detail(SDIST, document=said)
    assert legacy_files(page)[SDIST.filename]["filename"] == SDIST.filename
    assert [f["filename"] for f in legacy_project(page)["releases"]["1.0"]] == [SDIST.filename]


@given(entry=json_values, key=st.text(max_size=3))
def test_any_entry_is_accepted(entry: object, key: str) -> None:
    page = make_detail(SDIST, document={"releases": {key: [entry, {"filename": entry}]}})
    assert legacy_file(page, SDIST)["digests"] == {"sha256": DIGEST}


def test_the_entry_of_a_file_without_sha256_is_compared_by_its_other_digests() -> None:
    file = replace(make_file(), hashes=Hashes((Digest("md5", "1" * 32),)))
    entries = [
        {"filename": file.filename, "digests": {"md5": digit * 32}, "comment_text": digit}
        for digit in "12"
    ]
    documents = [{"releases": {"1.0": [entry]}} for entry in entries]
    shown = [legacy_file(make_detail(file, document=each), file) for each in documents]

    assert [each.get("comment_text") for each in shown] == ["1", None]
