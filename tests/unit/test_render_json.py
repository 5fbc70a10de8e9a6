"""Rendering of JSON pages."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypi_simple import IndexPage, ProjectPage

from bandersnatch import layout
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.files import ReleaseFile, parse_upload_time
from bandersnatch.model.names import ProjectName
from bandersnatch.model.project import ProjectDetail, ProjectList, ProjectStatus
from bandersnatch.model.serials import Serial
from bandersnatch.simple.json_page import (
    JsonListRenderer,
    parse_detail_json,
    parse_list_json,
    render_detail_json,
)
from tests.support.factories import SHA256, make_context, make_detail, make_file
from tests.support.strategies import names, pages

if TYPE_CHECKING:
    from collections.abc import Iterable

DATA = Path(__file__).parent.parent / "data"
MY_PKG = make_detail(
    make_file(
        "my_pkg-1.0-py3-none-any.whl",
        path="packages/aa/bb/cc/my_pkg-1.0-py3-none-any.whl",
        hashes=Hashes((Digest("md5", "0" * 32), Digest("sha256", SHA256))),
        size=196,
        upload_time=parse_upload_time("2021-03-04T05:06:07.123456Z"),
        requires_python=">=3.9",
        yanked="",
        core_metadata=Hashes((Digest("sha256", "d131" * 16),)),
    ),
    make_file(
        "my_pkg-1.0.tar.gz",
        path="packages/aa/bb/cc/my_pkg-1.0.tar.gz",
        hashes=Hashes((Digest("sha256", "0a1b" * 16),)),
        size=0,
        upload_time=parse_upload_time("2021-03-04T05:06:08Z"),
        core_metadata=False,
    ),
    name="my-pkg",
    serial=Serial(10),
)
MARKED_UP = make_detail(
    make_file(
        "my_pkg-1!2.0+x.tar.gz",
        path="packages/aa/bb/cc/my_pkg-1!2.0+x.tar.gz",
        hashes=Hashes((Digest("sha256", SHA256),)),
        size=196,
        upload_time=None,
        requires_python=">=3,<'4'",
        yanked='</a><script>alert("1")</script> &amp; caf\xe9 \u65e5\u672c',
    ),
    name="my-pkg",
    versions=("1!2.0+x",),
)


def rendered(detail: ProjectDetail, *, root: str = "", digest_name: str = "sha256") -> bytes:
    """Return the page."""
    file_url = partial(layout.file_url, root=root)
    return render_detail_json(detail, digest_name=digest_name, file_url=file_url)


def first_file(detail: ProjectDetail, **options: Any) -> dict[str, Any]:
    """Return the entry of the page's first file."""
    entry: dict[str, Any] = json.loads(rendered(detail, **options))["files"][0]
    return entry


# ---------------------------------------------------------------- golden pages


def test_a_page_equals_that_of_earlier_releases_but_for_its_version() -> None:
    assert rendered(MY_PKG) == (DATA / "detail.json").read_bytes()


def test_a_page_may_have_no_files() -> None:
    empty = ProjectDetail(ProjectName("my-pkg"), serial=Serial(11))
    assert rendered(empty) == (DATA / "empty.json").read_bytes()


def test_a_quarantined_page_has_status_and_reason() -> None:
    quarantined = ProjectDetail(
        ProjectName("my-pkg"),
        serial=Serial(12),
        status=ProjectStatus.QUARANTINED,
        status_reason='it "phones" <home>',
    )
    assert rendered(quarantined) == (DATA / "quarantined.json").read_bytes()


def test_texts_are_escaped_to_ascii() -> None:
    page = rendered(MARKED_UP, root="https://files.example.org/a&b")
    assert page == (DATA / "markup.json").read_bytes()


def test_a_page_with_an_unknown_size_claims_version_1_0() -> None:
    file = make_file(
        "my_pkg-1.0.tar.gz",
        path="packages/aa/bb/cc/my_pkg-1.0.tar.gz",
        hashes=Hashes((Digest("sha512", "5e" * 64), Digest("sha256", SHA256))),
        size=None,
        upload_time=None,
        core_metadata=True,
        provenance="https://example.org/integrity/my-pkg/provenance",
    )
    detail = make_detail(
        file, name="my-pkg", serial=Serial(13), status=ProjectStatus.ARCHIVED, status_reason="x"
    )
    assert rendered(detail, digest_name="sha512") == (DATA / "unsized.json").read_bytes()


def rendered_list(*pieces: Iterable[tuple[ProjectName, Serial | None]]) -> bytes:
    """Return the root page rendered from these batches of projects."""
    page = JsonListRenderer()
    for each in pieces:
        page.add(each)
    return page.finish()


@pytest.mark.parametrize(
    ("own", "golden"), [(Serial(7), "root.json"), (None, "root_without_serials.json")]
)
def test_a_root_page_has_the_known_serials(own: Serial | None, golden: str) -> None:
    projects = [(ProjectName("bar"), own), (ProjectName("foo-baz"), None)]
    assert rendered_list(projects) == (DATA / golden).read_bytes()


# ---------------------------------------------------------------- parts of a page


@pytest.mark.parametrize("digest_name", ["md5", "sha256"])
def test_the_configured_digest_is_first_and_sha256_always_present(digest_name: str) -> None:
    assert list(first_file(MY_PKG, digest_name=digest_name)["hashes"]) == list(
        dict.fromkeys([digest_name, "sha256"])
    )


def test_an_unknown_digest_is_left_out() -> None:
    assert list(first_file(MY_PKG, digest_name="sha512")["hashes"]) == ["sha256"]


@pytest.mark.parametrize(("yanked", "expected"), [(None, False), ("", True), ("broken", "broken")])
def test_a_yank_is_rendered_with_its_reason(yanked: str | None, *, expected: bool | str) -> None:
    assert first_file(make_detail(make_file(yanked=yanked)))["yanked"] == expected


@pytest.mark.parametrize("given", [None, True, Hashes()])
def test_core_metadata_that_cannot_be_verified_is_not_advertised(given: object) -> None:
    assert "core-metadata" not in first_file(make_detail(make_file(core_metadata=given)))


def test_a_file_without_sha256_has_the_strongest_digest_or_none() -> None:
    weak = Hashes((Digest("md5", "0" * 32), Digest("sha1", "1" * 40)))
    assert first_file(make_detail(make_file(hashes=weak)))["hashes"] == {"sha1": "1" * 40}
    assert first_file(make_detail(make_file(hashes=Hashes())))["hashes"] == {}


def test_no_value_is_null() -> None:
    bare = make_file(size=None, upload_time=None)
    assert b"null" not in rendered(make_detail(bare, serial=None))


def test_serial_zero_is_rendered() -> None:
    assert b'"_last-serial": 0' in rendered(make_detail(serial=Serial(0)))
    listed = rendered_list([(ProjectName("foo"), Serial(0))])
    assert listed.count(b'"_last-serial": 0') == 2


# ---------------------------------------------------------------- round trip


def carried(detail: ProjectDetail, root: str, digest_name: str) -> ProjectDetail:
    """Return the page without what the JSON format does not represent."""
    sized = all(file.size is not None for file in detail.files)
    sized = sized and bool(detail.versions or not detail.files)
    return ProjectDetail(
        name=detail.name,
        files=tuple(_carried_file(file, root, digest_name) for file in detail.files),
        versions=detail.versions if sized else (),
        serial=detail.serial,
        status=detail.status if sized else ProjectStatus.ACTIVE,
        status_reason=detail.status_reason if sized else "",
    )


def _carried_file(file: ReleaseFile, root: str, digest_name: str) -> ReleaseFile:
    shown = dict.fromkeys([file.hashes.get(digest_name), file.sha256])
    metadata = False if file.core_metadata is False else None
    return replace(
        file,
        url=layout.file_url(file, root or "https://mirror.example.org"),
        hashes=Hashes(tuple(digest for digest in shown if digest is not None)),
        core_metadata=metadata if file.sidecar is None else Hashes((file.sidecar,)),
    )


@given(
    pages(),
    st.sampled_from(["", "https://files.example.org"]),
    st.sampled_from(["sha256", "md5", "blake2b"]),
)
def test_a_rendered_page_parses_to_the_same_value(
    drawn: tuple[str, bytes], root: str, digest_name: str
) -> None:
    name, text = drawn
    detail = parse_detail_json(text, make_context(name))
    page = rendered(detail, root=root, digest_name=digest_name)
    context = make_context(name, f"https://mirror.example.org/simple/{name}/")
    assert parse_detail_json(page, context) == carried(detail, root, digest_name)


@given(pages())
def test_pypi_simple_reads_the_same(drawn: tuple[str, bytes]) -> None:
    name, text = drawn
    detail = parse_detail_json(text, make_context(name))
    if not isinstance(detail.status, ProjectStatus):  # which pypi-simple refuses
        detail = replace(detail, status=ProjectStatus.ACTIVE)
    page = rendered(detail)
    assert page.isascii()
    assert b"\n" not in page
    seen = ProjectPage.from_json_data(json.loads(page))
    assert seen.project == name
    assert [
        (package.filename, package.url, package.digests, package.size, package.upload_time)
        for package in seen.packages
    ] == [
        (
            file.filename,
            layout.file_url(file, ""),
            {"sha256": file.hashes.sha256_value},
            file.size,
            file.upload_time,
        )
        for file in detail.files
    ]
    assert [
        (package.is_yanked, package.yanked_reason or "", package.requires_python)
        for package in seen.packages
    ] == [
        (file.yanked is not None, file.yanked or "", file.requires_python) for file in detail.files
    ]


serials = st.none() | st.integers(0, 2**53 - 1).map(Serial)


@given(st.dictionaries(names.map(ProjectName), serials), st.integers(0, 5))
def test_a_rendered_root_page_parses_to_the_same_value(
    own: dict[ProjectName, Serial | None], cut: int
) -> None:
    page = rendered_list(list(own.items())[:cut], list(own.items())[cut:])
    serial = max((each for each in own.values() if each is not None), default=None)
    assert page.isascii()
    assert parse_list_json(page, "https://mirror.example.org/simple/") == ProjectList(
        own, serial=serial
    )
    assert IndexPage.from_json_data(json.loads(page)).projects == list(own)
