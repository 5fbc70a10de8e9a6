"""Where each thing has its place."""

from __future__ import annotations

import pytest
from hypothesis import given

from bandersnatch import layout
from bandersnatch.layout import MirrorLayout, PageFormat, StorageKey
from bandersnatch.model.names import ProjectName
from tests.support.factories import make_file
from tests.unit.confinement import stays_below
from tests.unit.strategies import names

PLAIN, HASHED = MirrorLayout(), MirrorLayout(hash_index=True)
NAME = ProjectName("foo-bar")
PATH = "packages/source/f/foo/foo-1!1.0+local.tar.gz"
FILE = make_file("foo-1!1.0+local.tar.gz", path=PATH)


def test_the_state_lies_beside_what_is_served() -> None:
    state = (layout.STATUS, layout.TODO, layout.GENERATION)
    assert state == ("status", "todo", "generation")
    assert not any(key.startswith(layout.WEB) for key in state)
    assert layout.LAST_MODIFIED == "web/last-modified"


def test_a_file_lies_at_its_path() -> None:
    assert layout.release_file(FILE) == f"web/{PATH}"


def test_core_metadata_lies_beside_its_file() -> None:
    assert layout.sidecar(FILE) == f"web/{PATH}.metadata"


@pytest.mark.parametrize(("length", "has_room"), [(246, True), (247, False), (255, False)])
def test_a_name_may_leave_no_room_for_core_metadata(length: int, *, has_room: bool) -> None:
    assert (layout.sidecar(make_file("f" * length)) is not None) is has_room


def test_what_is_removed_keeps_its_relative_path() -> None:
    assert layout.removed(layout.release_file(FILE)) == f"removed/{PATH}"


def test_what_is_removed_is_known_to_have_been_where_it_was() -> None:
    for key in (layout.release_file(FILE), PLAIN.page(NAME, PageFormat.HTML)):
        assert layout.served(layout.removed(key)) == key


def test_the_legacy_document_lies_in_two_places() -> None:
    assert layout.legacy_documents(NAME) == ("web/json/foo-bar", "web/pypi/foo-bar/json")


@pytest.mark.parametrize(
    ("root", "url"),
    [
        ("", "../../packages/source/f/foo/foo-1%211.0%2Blocal.tar.gz"),
        (
            "https://files.example.org",
            "https://files.example.org/packages/source/f/foo/foo-1%211.0%2Blocal.tar.gz",
        ),
        (
            "https://example.org/mirror/",
            "https://example.org/mirror/packages/source/f/foo/foo-1%211.0%2Blocal.tar.gz",
        ),
    ],
)
def test_a_page_gives_a_file_the_url_of_its_root(root: str, url: str) -> None:
    assert layout.file_url(FILE, root) == url


@pytest.mark.parametrize(
    ("form", "file_name"),
    [
        (PageFormat.HTML, "index.html"),
        (PageFormat.V1_HTML, "index.v1_html"),
        (PageFormat.V1_JSON, "index.v1_json"),
    ],
)
def test_pages_lie_where_web_servers_look_for_them(form: PageFormat, file_name: str) -> None:
    assert PLAIN.page(NAME, form) == f"web/simple/foo-bar/{file_name}"
    assert HASHED.page(NAME, form) == f"web/simple/f/foo-bar/{file_name}"
    assert PLAIN.root(form) == HASHED.root(form) == f"web/simple/{file_name}"


def test_earlier_pages_lie_below_the_page() -> None:
    assert PLAIN.kept_pages(NAME) == "web/simple/foo-bar/versions/"
    assert HASHED.kept_pages(NAME) == "web/simple/f/foo-bar/versions/"


@pytest.mark.parametrize(
    ("key", "plain", "hashed"),
    [
        ("web/simple/foo/index.html", "foo", None),
        ("web/simple/foo/index.v1_html", "foo", None),
        ("web/simple/Foo_Bar/index.v1_json", "Foo_Bar", None),
        ("web/simple/f/foo/index.html", None, "foo"),
        ("web/simple/index.html", None, None),
        ("web/simple/foo/versions/index_5_2020-01-01T000000Z.html", None, None),
        ("web/simple/f/foo/versions/index_5_2020-01-01T000000Z.html", None, None),
        ("web/simple/foo/index.html.gz", None, None),
        ("web/simple/foo/", None, None),
        ("web/packages/foo/index.html", None, None),
        ("removed/simple/foo/index.html", None, None),
        ("simple/f/foo/index.html", None, None),
        ("foo/index.html", None, None),
        ("", None, None),
    ],
)
def test_a_page_has_an_owner(key: str, plain: str | None, hashed: str | None) -> None:
    assert PLAIN.page_owner(StorageKey(key)) == plain
    assert HASHED.page_owner(StorageKey(key)) == hashed


@given(names)
def test_everything_of_a_project_lies_below_its_own_directory(name: str) -> None:
    project = ProjectName(name)
    for places in (PLAIN, HASHED):
        for form in PageFormat:
            page = places.page(project, form)
            assert places.page_owner(page) == name
            assert page.startswith(places.project(project))
            assert stays_below(page)
        assert places.kept_pages(project).startswith(places.project(project))
    assert all(stays_below(key) for key in layout.legacy_documents(project))
