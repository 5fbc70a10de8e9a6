"""Web servers of the system: as documented for a mirror, and with lists of directories."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from bandersnatch.simple.html_page import parse_detail_html, parse_list_html
from tests.support.factories import make_context
from tests.support.real_servers import LISTS, public_copy, serving_documented, serving_lists

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.index import Index
    from tests.support.site import Site

SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"
SIMPLE_HTML = "application/vnd.pypi.simple.v1+html"
SERVERS = ["nginx", "apache", "caddy"]


def fetch(url: str, accept: str = "*/*") -> tuple[str, bytes]:
    """Return the content type of a document without its parameters, and its body."""
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request) as response:
        assert "Content-Encoding" not in response.headers
        return response.headers.get_content_type(), response.read()


@pytest.mark.parametrize("program", SERVERS)
def test_a_documented_server_serves_each_page_and_document_with_its_type(
    index: Index, site: Site, program: str
) -> None:
    site.configure(json=True)
    index.release("foo-bar", "1.0", sdist=True)
    site.mirror()
    with public_copy(site.web) as web, serving_documented(program, web) as url:
        for path in ("/simple/", "/simple/foo-bar/", "/simple", "/simple/foo-bar"):
            for accept, kind in (
                (SIMPLE_JSON, SIMPLE_JSON),
                (SIMPLE_HTML, SIMPLE_HTML),
                ("text/html", "text/html"),
                ("*/*", "text/html"),
                (f"{SIMPLE_JSON}, {SIMPLE_HTML};q=0.2, text/html;q=0.01", SIMPLE_JSON),
            ):
                assert fetch(url + path, accept)[0] == kind, (path, accept)
        for path in ("/pypi/foo-bar/json", "/json/foo-bar"):
            assert fetch(url + path)[0] == "application/json"
        for file in site.page("foo-bar")["files"]:
            path = file["url"].removeprefix("../..")
            kind, content = fetch(url + path, "gzip, deflate")
            assert kind == "application/octet-stream"
            assert content == (site.web / path[1:]).read_bytes()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(f"{url}/simple/nothing/", SIMPLE_JSON)


@pytest.mark.parametrize("program", SERVERS)
@pytest.mark.parametrize("option", ["master", "index-url"])
def test_a_mirror_behind_a_documented_server_can_be_mirrored(
    index: Index, make_site: Callable[..., Site], program: str, option: str
) -> None:
    first = make_site(json=True)
    index.release("foo-bar", "1.0", sdist=True)
    index.release("baz", "1.0")
    first.mirror()
    with public_copy(first.web) as web, serving_documented(program, web) as url:
        second = make_site(json=option == "master")
        del second.options["master"]
        second.configure(**{option: url if option == "master" else f"{url}/simple/"})
        ran = second.mirror()
        assert ran.code == 0, ran.log
        again = second.mirror()
        assert again.code == 0
        assert second.ask("config", "check", "--online").code == 0

    def served(site: Site) -> dict[str, bytes]:
        tree = site.tree()
        return {path: tree[path] for path in tree if "json/" not in path and "/json" not in path}

    assert served(second) == served(first)
    if option == "master":
        assert second.tree() == first.tree()


LONG = "a-project-whose-name-is-longer-than-any-column-of-a-list-of-a-directory"


def plain_tree(root: Path) -> Path:
    """Create a directory with one directory for each project, and other things beside them."""
    for path in (
        f"foo/foo-1.0.tar.gz foo/foo-1.0.tar.gz.asc foo/old/foo-0.1.tar.gz foo/.hidden "
        f"foo-bar/foo_bar-1.0+local.1-py3-none-any.whl {LONG}/{LONG}-1.0.tar.gz "
        f"empty/README.txt robots.txt foo.tar.gz lost+found/x .git/x"
    ).split():
        file = root / "web/simple" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode())
    return root / "web"


@pytest.mark.parametrize("program", LISTS)
def test_a_list_of_a_directory_is_read(program: str, tmp_path: Path) -> None:
    tree = plain_tree(tmp_path)
    with public_copy(tree) as web, serving_lists(program, web) as url:
        root = f"{url}/simple/"
        listing = parse_list_html(fetch(root)[1], root, charset=None)
        assert sorted(listing.serials) == [LONG, "empty", "foo", "foo-bar"]
        assert not listing.rejected_count

        names = {}
        for name in listing.serials:
            context = make_context(name, url=f"{root}{name}/")
            page = parse_detail_html(fetch(context.url)[1], context, charset=None)
            found = [file.filename for file in page.files]
            names[name] = found + [rejection.entry for rejection in page.rejected]
        assert names == {
            "foo": ["foo-1.0.tar.gz"],
            "foo-bar": ["foo_bar-1.0+local.1-py3-none-any.whl"],
            LONG: [f"{LONG}-1.0.tar.gz"],
            "empty": [],
        }


@pytest.mark.parametrize("program", ["nginx", "apache with columns", "http.server"])
def test_a_directory_without_digests_is_mirrored(
    make_site: Callable[..., Site], tmp_path: Path, program: str
) -> None:
    tree = plain_tree(tmp_path)
    with public_copy(tree) as web, serving_lists(program, web) as url:
        site = make_site(accept_unhashed=True)
        del site.options["master"]
        site.configure(index_url=f"{url}/simple/")

        ran = site.mirror()

        assert ran.code == 0, ran.log
        assert site.names() == sorted([LONG, "empty", "foo", "foo-bar"])
        (file,) = site.page("foo-bar")["files"]
        content = b"foo-bar/foo_bar-1.0+local.1-py3-none-any.whl"
        assert file["hashes"] == {"sha256": hashlib.sha256(content).hexdigest()}
        before = site.tree()
        assert site.mirror().code == 0
        assert site.tree() == before
        assert site.run("verify").code == 0


def named_tree(root: Path) -> Path:
    """Create a directory whose directories have names that are not normalised."""
    for path in (
        *("PyYAML/PyYAML-6.0.tar.gz", "zope.interface/zope.interface-5.0.tar.gz"),
        *("Foo_Bar/foo_bar-1.0.tar.gz", "Both/both-1.0.tar.gz", "both/both-2.0.tar.gz"),
        *("__private/x-1.0.tar.gz", "plain/plain-1.0.tar.gz"),
    ):
        file = root / "web/simple" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(path.encode())
    return root / "web"


NAMED = {
    "both": ["both-2.0.tar.gz"],
    "foo-bar": ["foo_bar-1.0.tar.gz"],
    "plain": ["plain-1.0.tar.gz"],
    "pyyaml": ["PyYAML-6.0.tar.gz"],
    "zope-interface": ["zope.interface-5.0.tar.gz"],
}


def of_directory(make_site: Callable[..., Site], url: str, option: str, *allowed: str) -> Site:
    """Return a mirror of a plain directory."""
    site = make_site(accept_unhashed=True)
    del site.options["master"]
    site.configure(**{option: url if option == "master" else f"{url}/simple/"})
    if allowed:
        site.allow(*allowed)
    return site


def shown(site: Site) -> dict[str, list[str]]:
    """Return the files of each project."""
    return {name: site.filenames(name) for name in site.names()}


@pytest.mark.parametrize("program", ["nginx", "apache with a table", "http.server"])
@pytest.mark.parametrize("option", ["index-url", "master"])
def test_a_directory_with_names_that_are_not_normalised_is_mirrored(
    make_site: Callable[..., Site], tmp_path: Path, program: str, option: str
) -> None:
    with public_copy(named_tree(tmp_path)) as web, serving_lists(program, web) as url:
        some = of_directory(make_site, url, option, "PyYAML", "zope.interface", "missing")
        site = of_directory(make_site, url, option)
        for _ in range(2):
            for each, wanted in ((some, {"pyyaml", "zope-interface"}), (site, NAMED.keys())):
                ran = each.mirror()
                assert ran.code == 0, ran.log
                assert shown(each) == {name: NAMED[name] for name in NAMED if name in wanted}
                each.clock.advance(hours=1)

        assert site.sync("foo_bar").code == 0
        (web / "simple/PyYAML").rename(web / "simple/pyyaml")
        assert site.mirror().code == 0
        assert shown(site) == NAMED
        (web / "simple/pyyaml").rename(web / "simple/other")
        for _ in range(2):
            assert site.mirror().code == 0
            site.clock.advance(minutes=11)
        assert "pyyaml" not in site.names()
