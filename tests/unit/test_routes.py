"""What the path of a request names."""

from __future__ import annotations

from urllib.parse import quote, unquote, urljoin

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bandersnatch.layout import PageFormat, StorageKey
from bandersnatch.model.names import project_name
from bandersnatch.serve.routes import (
    File,
    LastModified,
    LegacyDocument,
    ProjectPage,
    Redirect,
    RootPage,
    Route,
    Sidecar,
    WebPage,
    route,
    split_target,
)

FOO = project_name("foo")
HASH = f"/packages/aa/bb/{'c' * 60}"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/simple", Redirect("simple/")),
        ("/simple/", RootPage()),
        ("/simple/index.html", RootPage(PageFormat.HTML)),
        ("/simple/index.v1_json", RootPage(PageFormat.V1_JSON)),
        ("/simple/foo", Redirect("foo/")),
        ("/simple/foo/", ProjectPage(FOO)),
        ("/simple/foo/index.v1_html", ProjectPage(FOO, PageFormat.V1_HTML)),
        ("/simple/Foo", Redirect("foo/")),
        ("/simple/Foo_.Bar/", Redirect("../foo-bar/")),
        ("/simple/Foo/index.html", Redirect("../foo/index.html")),
        ("/simple/f%6fo/", ProjectPage(FOO)),
        ("/pypi/foo/json", LegacyDocument(FOO, StorageKey("web/pypi/foo/json"))),
        ("/pypi/Foo/json", Redirect("../foo/json")),
        ("/json/foo", LegacyDocument(FOO, StorageKey("web/json/foo"))),
        ("/json/FOO", Redirect("foo")),
        ("/last-modified", LastModified()),
        ("/", WebPage("home", "./")),
        ("/-", Redirect("./")),
        ("/-/", Redirect("../")),
        ("/-/search", WebPage("search", "../")),
        ("/-/style.css", WebPage("style", "../")),
        ("/-/project/foo/", WebPage("project", "../../../", FOO)),
        ("/-/project/foo", Redirect("foo/")),
        ("/-/project/Foo/", Redirect("../foo/")),
        (f"{HASH}/foo-1.0.tar.gz", File(StorageKey(f"web{HASH}/foo-1.0.tar.gz"))),
        (f"{HASH}/a%20b-1.0.zip", File(StorageKey(f"web{HASH}/a b-1.0.zip"))),
        (f"{HASH}/a b-1.0.zip", File(StorageKey(f"web{HASH}/a b-1.0.zip"))),
        (f"{HASH}/%C3%A9-1.0.zip", File(StorageKey(f"web{HASH}/\xe9-1.0.zip"))),
        (
            f"{HASH}/foo-1.0-variants.json",
            File(StorageKey(f"web{HASH}/foo-1.0-variants.json"), is_mutable=True),
        ),
        (
            f"{HASH}/foo-1.0-py3-none-any.whl.metadata",
            Sidecar(
                StorageKey(f"web{HASH}/foo-1.0-py3-none-any.whl.metadata"),
                "text/plain; charset=utf-8",
            ),
        ),
    ],
)
def test_a_path_names(path: str, expected: Route) -> None:
    assert route(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        *("", "*", "simple/", "//simple/", "/simple//", "/simple/foo//", "/Simple/"),
        *("/simple/../status", "/simple/foo/../", "/simple/%2e%2e/", "/simple/./", "/simple/.foo/"),
        *("/simple/foo/versions/", "/simple/foo/versions/index_1_2.html", "/simple/foo/other"),
        *("/simple/f/foo/", "/simple/-foo/", "/simple/foo-/", "/simple/%66oo%2f", "/simple/fo%00/"),
        *("/status", "/todo", "/.mirror", "/web/simple/", "/removed/", "/catalogue.sqlite"),
        *("/packages/", "/packages", "/packages/aa/", "/packages/.partial/t1"),
        *(f"{HASH}/", f"{HASH}/evil.html", f"{HASH}/.hidden-1.0.zip", f"{HASH}/..%2ffoo-1.0.zip"),
        *(f"{HASH}/foo-1.0.zip/", f"{HASH}/x.metadata", f"{HASH}/foo%5c-1.0.zip"),
        *("/json/", "/json/foo/", "/json/foo/x", "/pypi/foo/", "/pypi/foo", "/pypi/foo/json/"),
        *("/last-modified/", "/local-stats/days/x", "/simple/\udcff/", "/simple/%ff/"),
        *("/-/other", "/-/search/", "/-/project/", "/-/project/foo/x", "/-/project//"),
        "/simple/" + "a" * 300 + "/",
        "/simple/" + "a/" * 3000,
    ],
)
def test_nothing_else_has_a_path(path: str) -> None:
    assert route(path) is None


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/simple/?format=x", ("/simple/", "format=x")),
        ("http://host/simple/", ("/simple/", "")),
        ("HTTP://host", ("/", "")),
        ("HTTP://host?x", ("/", "x")),
        ("https://host:1/simple/?a?b", ("/simple/", "a?b")),
        ("*", ("*", "")),
    ],
)
def test_targets(target: str, expected: tuple[str, str]) -> None:
    assert split_target(target) == expected


def key_of(found: Route | None) -> StorageKey | None:
    """Return the key that a route leads to without a layout."""
    match found:
        case File() | Sidecar() | LegacyDocument() | LastModified():
            return found.key
        case _:
            return None


PARTS = ["..", ".", "%2e%2e", "%2f", "/", "a", "packages", "simple", "\\", ".partial", "x.zip"]


@given(st.lists(st.sampled_from([*PARTS, HASH, "\0", "%00", "web", "foo"])))
def test_no_path_leads_out_of_the_areas(parts: list[str]) -> None:
    for separator in ("", "/"):
        key = key_of(route("/" + separator.join(parts)))
        if key is not None:
            assert key.startswith(("web/packages/", "web/json/", "web/pypi/", "web/last-modified"))
            assert not any(part.startswith(".") or not part for part in key.split("/"))


@given(st.text(max_size=100))
def test_any_path_can_be_read(text: str) -> None:
    path, _ = split_target(text)
    route(path)
    route(f"/simple/{text}")
    route(f"{HASH}/{text}")


@given(st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?", fullmatch=True))
@example("A.-_B")
def test_a_redirect_leads_to_the_page_of_the_project(name: str) -> None:
    base = "https://proxy.example.org/prefix"
    for path in (f"/simple/{name}", f"/simple/{name}/", f"/pypi/{name}/json", f"/json/{name}"):
        found = route(path)
        if isinstance(found, Redirect):
            target = urljoin(base + path, found.location)
            assert target.startswith(base)
            found = route(target.removeprefix(base))
        assert isinstance(found, ProjectPage | LegacyDocument)
        assert found.name == project_name(name)


file_names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(file_names.map(lambda text: f"{text}-1.0.zip"))
def test_a_name_that_is_quoted_in_any_way_is_the_same(name: str) -> None:
    paths = {f"{HASH}/{quote(name)}", f"{HASH}/{quote(name, safe='')}"}
    assert len({repr(route(path)) for path in paths}) == 1
    found = key_of(route(f"{HASH}/{quote(name)}"))
    assert found is None or unquote(found).endswith(name)
