"""Rendering of HTML pages."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypi_simple import ProjectPage, parse_links_stream

from bandersnatch import layout
from bandersnatch.model.digests import Digest, Hashes
from bandersnatch.model.files import FILE_ENDINGS, ReleaseFile
from bandersnatch.model.names import ProjectName
from bandersnatch.model.project import ProjectDetail, ProjectList, ProjectStatus, UnknownStatus
from bandersnatch.model.serials import Serial
from bandersnatch.simple.html_page import (
    HtmlListRenderer,
    parse_detail_html,
    parse_list_html,
    render_detail_html,
)
from bandersnatch.simple.json_page import parse_detail_json
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
        requires_python=">=3.9",
        yanked="",
        core_metadata=Hashes((Digest("sha256", "d131" * 16),)),
        provenance="https://example.org/provenance",
    ),
    make_file(
        "my_pkg-1.0.tar.gz",
        path="packages/aa/bb/cc/my_pkg-1.0.tar.gz",
        hashes=Hashes((Digest("sha256", "0a1b" * 16),)),
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
        requires_python=">=3,<'4'",
        yanked='</a><script>alert("1")</script> &amp; caf\xe9 \u65e5\u672c',
    ),
    name="my-pkg",
)


def rendered(
    detail: ProjectDetail, display: str = "My_Pkg", *, root: str = "", digest_name: str = "sha256"
) -> bytes:
    """Return the page."""
    file_url = partial(layout.file_url, root=root)
    return render_detail_html(detail, display=display, digest_name=digest_name, file_url=file_url)


# ---------------------------------------------------------------- golden pages


def test_a_page_equals_that_of_earlier_releases() -> None:
    assert rendered(MY_PKG) == (DATA / "detail.html").read_bytes()


def test_a_page_without_files_has_an_empty_line() -> None:
    empty = ProjectDetail(ProjectName("my-pkg"), serial=Serial(11))
    assert rendered(empty) == (DATA / "empty.html").read_bytes()


def test_a_quarantined_page_has_status_and_reason() -> None:
    quarantined = ProjectDetail(
        ProjectName("my-pkg"),
        serial=Serial(12),
        status=ProjectStatus.QUARANTINED,
        status_reason='it "phones" <home>',
    )
    assert rendered(quarantined) == (DATA / "quarantined.html").read_bytes()


def test_markup_is_escaped_everywhere() -> None:
    page = rendered(MARKED_UP, '<b>My</b> & "Pkg"', root="https://files.example.org/a&b")
    assert page == (DATA / "markup.html").read_bytes()


def rendered_list(*pieces: Iterable[ProjectName]) -> bytes:
    """Return the root page rendered from these batches of projects."""
    page = HtmlListRenderer()
    for each in pieces:
        page.add(each)
    return page.finish()


def test_a_root_page_equals_that_of_earlier_releases() -> None:
    listed = [ProjectName("bar"), ProjectName("foo-baz")]
    assert rendered_list(listed) == (DATA / "root.html").read_bytes()


# ---------------------------------------------------------------- parts of a page


def test_a_page_without_serial_ends_with_its_last_tag() -> None:
    assert rendered(make_detail(serial=None)).endswith(b"</html>\n")


def test_serial_zero_is_rendered() -> None:
    assert rendered(make_detail(serial=Serial(0))).endswith(b"</html>\n<!--SERIAL 0-->")


def test_links_have_the_configured_digest() -> None:
    assert f"#md5={'0' * 32}".encode() in rendered(
        MY_PKG.keep(lambda f: "whl" in f.filename), digest_name="md5"
    )


@pytest.mark.parametrize("given", [None, False, True, Hashes()])
def test_core_metadata_that_cannot_be_verified_is_not_advertised(given: object) -> None:
    assert b"metadata" not in rendered(make_detail(make_file(core_metadata=given)))


def test_core_metadata_is_advertised_with_the_strongest_digest() -> None:
    given = Hashes((Digest("md5", "0" * 32), Digest("sha512", "1" * 128)))
    page = rendered(make_detail(make_file(core_metadata=given)))
    assert f'data-core-metadata="sha512={"1" * 128}"'.encode() in page


def test_a_link_without_the_configured_digest_has_the_strongest_or_none() -> None:
    weak = Hashes((Digest("md5", "0" * 32), Digest("sha1", "1" * 40)))
    assert f'#sha1={"1" * 40}"'.encode() in rendered(make_detail(make_file(hashes=weak)))
    assert b"#" not in rendered(make_detail(make_file(hashes=Hashes())))


@pytest.mark.parametrize("status", ["archived", "deprecated", "quarantined"])
def test_a_status_without_reason_is_rendered_alone(status: str) -> None:
    page = rendered(make_detail(status=ProjectStatus(status))).decode()
    assert f'<meta name="pypi:project-status" content="{status}">' in page
    assert 'content="1.4"' in page
    assert "status-reason" not in page


def test_an_active_project_has_no_status() -> None:
    assert b"project-status" not in rendered(make_detail(status_reason="none of your business"))


def test_a_file_name_is_escaped_although_validation_rejects_markup() -> None:
    page = rendered(make_detail(make_file("<b>", path="packages/x")))
    assert b">&lt;b&gt;</a>" in page


# ---------------------------------------------------------------- round trip


def carried(detail: ProjectDetail, root: str) -> ProjectDetail:
    """Return the page without what HTML cannot represent."""
    base = root or "https://mirror.example.org"
    return ProjectDetail(
        name=detail.name,
        files=tuple(
            ReleaseFile(
                filename=file.filename,
                url=layout.file_url(file, base),
                path=file.path,
                hashes=Hashes() if file.digest is None else Hashes((file.digest,)),
                requires_python=file.requires_python,
                yanked=file.yanked,
                core_metadata=None if file.sidecar is None else Hashes((file.sidecar,)),
            )
            for file in detail.files
            if file.filename.endswith(FILE_ENDINGS)
        ),
        serial=detail.serial,
        status=detail.status,
        status_reason="" if detail.status is ProjectStatus.ACTIVE else detail.status_reason,
    )


@given(pages(), st.sampled_from(["", "https://files.example.org"]), st.text())
def test_a_rendered_page_parses_to_the_same_value(
    drawn: tuple[str, bytes], root: str, display: str
) -> None:
    name, text = drawn
    detail = parse_detail_json(text, make_context(name))
    page = rendered(detail, display, root=root)
    context = make_context(name, f"https://mirror.example.org/simple/{name}/")
    assert parse_detail_html(page, context, charset="utf-8") == carried(detail, root)


@given(pages(), st.sampled_from(["", "https://files.example.org/a&b<c"]), st.text())
def test_pypi_simple_reads_the_same(drawn: tuple[str, bytes], root: str, display: str) -> None:
    name, text = drawn
    detail = parse_detail_json(text, make_context(name))
    if isinstance(detail.status, UnknownStatus):  # which it refuses
        detail = replace(detail, status=ProjectStatus.DEPRECATED)
    seen = ProjectPage.from_html(name, rendered(detail, display, root=root), from_encoding="utf-8")
    assert [
        (package.filename, package.url, package.digests["sha256"], package.yanked_reason)
        for package in seen.packages
    ] == [
        (file.filename, layout.file_url(file, root), file.hashes.sha256_value, file.yanked)
        for file in detail.files
    ]
    assert [(package.requires_python, package.metadata_digests) for package in seen.packages] == [
        (file.requires_python, file.sidecar and {"sha256": file.sidecar.value})
        for file in detail.files
    ]
    active = detail.status is ProjectStatus.ACTIVE
    assert seen.status is None if active else str(seen.status) != ""
    assert (seen.status_reason or "") == ("" if active else detail.status_reason)


class Tags(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[str]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, [name for name, _ in attrs]))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(), st.text(), st.text())
def test_no_text_becomes_markup(display: str, requires: str, reason: str) -> None:
    file = make_file(requires_python=requires, yanked=reason)
    detail = make_detail(file, status=ProjectStatus.ARCHIVED, status_reason=reason or "x")
    tags = Tags()
    tags.feed(rendered(detail, display).decode())
    tags.close()
    meta = ("meta", ["name", "content"])
    assert tags.tags == [
        *[("html", []), ("head", []), meta, meta, meta, ("title", []), ("body", []), ("h1", [])],
        ("a", ["href", "data-requires-python", "data-yanked"]),
        ("br", []),
    ]
    assert tags.text.count(f"Links for {display}") == 2


@given(st.lists(names, min_size=1, unique=True), st.integers(0, 5))
def test_a_rendered_root_page_parses_to_the_same_value(listed: list[str], cut: int) -> None:
    page = rendered_list(map(ProjectName, listed[:cut]), map(ProjectName, listed[cut:]))
    where = "https://mirror.example.org/simple/"
    read = parse_list_html(page, where, charset="utf-8")
    assert read == ProjectList(dict.fromkeys(map(ProjectName, listed)))
    assert list(read.serials) == listed
    links = list(parse_links_stream([page.decode()], base_url=where))
    assert [(link.text, link.url) for link in links] == [(n, f"{where}{n}/") for n in listed]
