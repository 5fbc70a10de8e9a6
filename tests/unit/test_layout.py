"""Where each thing has its place."""

from __future__ import annotations

import pytest
from hypothesis import given

from bandersnatch import layout
from bandersnatch.layout import MirrorLayout, PageFormat, StorageKey
from bandersnatch.model.names import ProjectName
from tests.support.confinement import stays_below
from tests.support.factories import make_file
from tests.support.strategies import names

PLAIN, HASHED = MirrorLayout(), MirrorLayout(hash_index=True)
NAME = ProjectName("foo-bar")
PATH = "packages/source/f/foo/foo-1!1.0+local.tar.gz"
FILE = make_file("foo-1!1.0+local.tar.gz", path=PATH)


def test_state_keys_are_outside_the_served_tree() -> None:
    state = (layout.STATUS, layout.TODO, layout.GENERATION)
    assert state == ("status", "todo", "generation")
    assert not any(key.startswith(layout.WEB) for key in state)
    assert layout.LAST_MODIFIED == "web/last-modified"


def test_a_file_is_stored_at_its_path() -> None:
    assert layout.release_file(FILE) == f"web/{PATH}"


def test_core_metadata_is_stored_next_to_its_file() -> None:
    assert layout.sidecar(FILE) == f"web/{PATH}.metadata"


@pytest.mark.parametrize(("length", "has_room"), [(246, True), (247, False), (255, False)])
def test_a_file_with_a_long_name_has_no_key_for_core_metadata(
    length: int, *, has_room: bool
) -> None:
    assert (layout.sidecar(make_file("f" * length)) is not None) is has_room


def test_a_key_in_the_trash_has_the_same_relative_path() -> None:
    assert layout.trash(layout.release_file(FILE)) == f"removed/{PATH}"


def test_served_inverts_trash() -> None:
    for key in (layout.release_file(FILE), PLAIN.page(NAME, PageFormat.HTML)):
        assert layout.served(layout.trash(key)) == key


def test_the_legacy_document_has_two_keys() -> None:
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
def test_pages_have_the_keys_that_web_servers_expect(form: PageFormat, file_name: str) -> None:
    assert PLAIN.page(NAME, form) == f"web/simple/foo-bar/{file_name}"
    assert HASHED.page(NAME, form) == f"web/simple/f/foo-bar/{file_name}"
    assert PLAIN.root_page(form) == HASHED.root_page(form) == f"web/simple/{file_name}"


def test_pages_are_those_of_the_formats_that_are_published() -> None:
    html = MirrorLayout(formats=(PageFormat.HTML, PageFormat.V1_HTML))
    assert html.pages(NAME) == {
        PageFormat.HTML: "web/simple/foo-bar/index.html",
        PageFormat.V1_HTML: "web/simple/foo-bar/index.v1_html",
    }
    assert html.root_pages() == {
        PageFormat.HTML: "web/simple/index.html",
        PageFormat.V1_HTML: "web/simple/index.v1_html",
    }
    assert html.unused_root_pages() == ("web/simple/index.v1_json",)


@pytest.mark.parametrize("hash_index", [False, True])
@pytest.mark.parametrize("formats", [(PageFormat.V1_JSON,), tuple(PageFormat)])
def test_all_pages_are_those_of_every_option_and_unused_pages_the_rest(
    formats: tuple[PageFormat, ...], *, hash_index: bool
) -> None:
    pages = MirrorLayout(hash_index, formats)
    every = {each.page(NAME, form) for each in (PLAIN, HASHED) for form in PageFormat}
    assert len(pages.all_pages(NAME)) == len(every) == 6
    assert set(pages.all_pages(NAME)) == every
    assert pages.all_pages(NAME)[: len(formats)] == tuple(pages.pages(NAME).values())
    assert set(pages.unused_pages(NAME)) == every - set(pages.pages(NAME).values())


def test_all_page_versions_are_those_of_both_layouts() -> None:
    prefixes = {PLAIN.page_versions(NAME), HASHED.page_versions(NAME)}
    assert set(PLAIN.all_page_versions(NAME)) == set(HASHED.all_page_versions(NAME)) == prefixes


def test_unnormalised_pages_have_one_dictionary_a_directory() -> None:
    plain, hashed = layout.unnormalised_pages("Foo_Bar")
    assert plain == {form: f"web/simple/Foo_Bar/{form.file_name}" for form in PageFormat}
    assert hashed == {form: f"web/simple/F/Foo_Bar/{form.file_name}" for form in PageFormat}


@pytest.mark.parametrize("form", PageFormat)
def test_a_page_key_has_a_format(form: PageFormat) -> None:
    assert PageFormat.of(PLAIN.page(NAME, form)) is form
    assert PageFormat.of(HASHED.page(NAME, form)) is form


def test_page_versions_are_below_the_project() -> None:
    assert PLAIN.page_versions(NAME) == "web/simple/foo-bar/versions/"
    assert HASHED.page_versions(NAME) == "web/simple/f/foo-bar/versions/"


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
def test_all_pages_of_a_project_are_below_its_directory(name: str) -> None:
    project = ProjectName(name)
    for places in (PLAIN, HASHED):
        for form in PageFormat:
            page = places.page(project, form)
            assert places.page_owner(page) == name
            assert page.startswith(places.project(project))
            assert stays_below(page)
        assert places.page_versions(project).startswith(places.project(project))
    assert all(stays_below(key) for key in layout.legacy_documents(project))
