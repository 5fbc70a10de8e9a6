"""Pages under every option; unchanged pages are not written."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.support import faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site

PAGES = {"index.html", "index.v1_html", "index.v1_json"}
FORMATS = {"ALL": PAGES, "HTML": PAGES - {"index.v1_json"}, "JSON": {"index.v1_json"}}


def kinds(site: Site, directory: str) -> set[str]:
    """Return the names of the pages in a directory."""
    return {path.name for path in (site.web / directory).iterdir() if path.is_file()}


def test_an_html_page_has_the_bytes_that_earlier_releases_wrote(index: Index, site: Site) -> None:
    (file,) = index.release(
        "My_Pkg", "1.0", requires_python=">=3.6", yanked=True, upload_time="2021-03-04T05:06:07Z"
    )

    site.mirror()

    digest = hashlib.sha256(file.metadata or b"").hexdigest()
    serial = index.projects["my-pkg"].serial
    assert site.text("web/simple/my-pkg/index.html") == (
        "<!DOCTYPE html>\n"
        "<html>\n"
        "  <head>\n"
        '    <meta name="pypi:repository-version" content="1.0">\n'
        "    <title>Links for My_Pkg</title>\n"
        "  </head>\n"
        "  <body>\n"
        "    <h1>Links for My_Pkg</h1>\n"
        f'    <a href="../..{file.path}#sha256={file.sha256}" '
        f'data-requires-python="&gt;=3.6" data-core-metadata="sha256={digest}" '
        f'data-dist-info-metadata="sha256={digest}" data-yanked="">'
        "my_pkg-1.0-py3-none-any.whl</a><br/>\n"
        "  </body>\n"
        "</html>\n"
        f"<!--SERIAL {serial}-->"
    )
    page = site.text("web/simple/my-pkg/index.v1_json")
    assert page == json.dumps(
        {
            "files": [
                {
                    "filename": "my_pkg-1.0-py3-none-any.whl",
                    "hashes": {"sha256": file.sha256},
                    "requires-python": ">=3.6",
                    "size": 300,
                    "upload-time": "2021-03-04T05:06:07.000000Z",
                    "url": f"../..{file.path}",
                    "yanked": True,
                    "core-metadata": {"sha256": digest},
                }
            ],
            "meta": {"api-version": "1.4", "_last-serial": serial},
            "name": "my-pkg",
            "versions": ["1.0"],
            "project-status": {"status": "active"},
        }
    )


def test_the_root_pages_list_every_project(index: Index, site: Site) -> None:
    index.release("b", "1.0")
    index.release("A_a", "1.0")

    site.mirror()

    assert site.text("web/simple/index.html").endswith(
        '  <body>\n    <a href="a-a/">a-a</a><br/>\n    <a href="b/">b</a><br/>\n  </body>\n</html>'
    )
    assert site.text("web/simple/index.v1_html") == site.text("web/simple/index.html")
    assert json.loads(site.text("web/simple/index.v1_json")) == {
        "meta": {"_last-serial": index.serial, "api-version": "1.4"},
        "projects": [
            {"name": "a-a", "_last-serial": index.projects["a-a"].serial},
            {"name": "b", "_last-serial": index.projects["b"].serial},
        ],
    }


def test_a_yanked_file_is_published_with_the_reason(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    site.mirror()
    index.yank("foo", "1.0", 'broken <b>"really"</b>')

    site.mirror()

    assert site.page("foo")["files"][0]["yanked"] == 'broken <b>"really"</b>'
    html = site.text("web/simple/foo/index.html")
    assert 'data-yanked="broken &lt;b&gt;&quot;really&quot;&lt;/b&gt;"' in html


@pytest.mark.parametrize("before", FORMATS)
@pytest.mark.parametrize("after", FORMATS)
def test_a_changed_simple_format_removes_pages_of_the_other_formats(
    index: Index, server: IndexServer, site: Site, before: str, after: str
) -> None:
    index.release("foo", "1.0")
    site.configure(simple_format=before)
    site.mirror()
    assert kinds(site, "simple") == kinds(site, "simple/foo") == FORMATS[before]
    server.forget()

    site.configure(simple_format=after)
    ran = site.mirror()

    assert ran.code == 0
    assert kinds(site, "simple") == kinds(site, "simple/foo") == FORMATS[after]
    assert server.paths("file", "sidecar") == []


def test_hash_index_puts_pages_under_the_first_character(
    index: Index, server: IndexServer, site: Site
) -> None:
    (file,) = index.release("foo", "1.0")
    site.configure(hash_index="true")

    site.mirror()

    assert kinds(site, "simple/f/foo") == PAGES
    assert f'href="../..{file.path}#' in site.text("web/simple/f/foo/index.html")
    assert site.names() == ["foo"]

    site.configure(hash_index="false")
    server.forget()
    site.mirror()
    assert kinds(site, "simple/foo") == PAGES
    assert not (site.web / "simple/f").exists()
    assert server.paths("file") == []
    site.check()


@pytest.mark.parametrize("root", ["https://files.example.org", "https://files.example.org/"])
def test_root_uri_is_joined_to_the_path_with_one_slash(index: Index, site: Site, root: str) -> None:
    (file,) = index.release("foo", "1.0+local")
    site.configure(root_uri=root)

    site.mirror()

    url = "https://files.example.org" + file.path.replace("+", "%2B")
    assert site.page("foo")["files"][0]["url"] == url
    assert f'href="{url}#' in site.text("web/simple/foo/index.html")


def test_a_digest_that_the_index_lacks_is_computed_and_published(
    index: Index, server: IndexServer, site: Site
) -> None:
    (file,) = index.release("foo", "1.0")
    site.configure(digest_name=" MD5 ")

    site.mirror()

    md5 = hashlib.md5(file.content).hexdigest()
    assert f"#md5={md5}" in site.text("web/simple/foo/index.html")
    assert site.page("foo")["files"][0]["hashes"] == {"md5": md5, "sha256": file.sha256}
    index.yank("foo", "1.0")
    server.forget()
    site.mirror()
    assert server.paths("file") == []


def test_a_stored_file_is_read_once_to_compute_another_digest(
    index: Index, server: IndexServer, site: Site
) -> None:
    (file,) = index.release("foo", "1.0")
    site.mirror()
    site.configure(digest_name="sha512")
    server.forget()

    ran = site.mirror()

    assert ran.code == 0
    assert server.paths("file") == []
    assert hashlib.sha512(file.content).hexdigest() in site.text("web/simple/foo/index.html")


def test_without_release_files_the_digest_comes_from_the_legacy_document(
    index: Index, server: IndexServer, site: Site
) -> None:
    (file,) = index.release("foo", "1.0")
    site.configure(digest_name="md5", release_files="false")

    ran = site.mirror()

    assert ran.code == 0
    assert hashlib.md5(file.content).hexdigest() in site.text("web/simple/foo/index.html")

    site.configure(digest_name="sha512")
    ran = site.mirror()
    assert ran.failed == {"foo": "InvalidPage"}
    assert "sha512" in ran.log


def test_pages_are_relative_links_to_their_newest_version(index: Index, site: Site) -> None:
    site.configure(keep_index_versions=2)
    for number in range(4):
        index.release("foo", f"{number}.0")
        site.clock.advance(seconds=90)
        assert site.mirror().code == 0
        page = site.web / "simple/foo/index.html"
        assert page.is_symlink()
        assert re.fullmatch(
            rf"versions/index_{index.serial}_2026-11-21T12\d{{4}}(\.\d+)?Z\.html",
            str(page.readlink()),
        )
        site.check()

    kept = sorted((site.web / "simple/foo/versions").iterdir())
    assert [path.suffix for path in kept].count(".html") == 2
    assert len(kept) == 6
    assert len(site.filenames("foo")) == 4

    moved = site.home / "moved"
    site.root.rename(moved)
    assert "foo-3.0" in (moved / "web/simple/foo/index.html").read_text()


def test_the_oldest_version_is_deleted_whatever_its_serial(index: Index, site: Site) -> None:
    """As text, a serial of four digits sorts before one of three."""
    site.configure(keep_index_versions=2)
    index.serial = 996
    for number in range(4):
        index.release("foo", f"{number}.0")
        site.clock.advance(seconds=90)
        assert site.mirror().code == 0
        site.check()

    kept = (site.web / "simple/foo/versions").iterdir()
    assert {path.name.split("_")[1] for path in kept} == {"1000", "1001"}


def test_an_unchanged_page_creates_no_version(index: Index, site: Site) -> None:
    site.configure(keep_index_versions=3)
    index.release("foo", "1.0")
    site.mirror()
    before = site.times()

    site.clock.advance(seconds=90)
    site.mirror("--force-check")
    site.sync("foo")

    assert site.times() == before


def test_turning_keep_index_versions_off_replaces_links_by_pages(index: Index, site: Site) -> None:
    site.configure(keep_index_versions=3)
    index.release("foo", "1.0")
    site.mirror()
    site.configure(keep_index_versions=0)
    index.release("foo", "2.0")

    site.mirror()

    assert not (site.web / "simple/foo/index.html").is_symlink()
    site.check()


def test_legacy_documents_are_published_in_both_places(
    index: Index, server: IndexServer, site: Site
) -> None:
    index.release("Foo", "1.0")
    site.configure(json="true")

    site.mirror()

    text = site.text("web/json/foo")
    assert text == site.text("web/pypi/foo/json")
    expected = json.loads(index.legacy("foo", files_at=server.url))
    assert text == json.dumps(expected, indent=4, sort_keys=True)
    assert "gr\\u00f6\\u00dfer" in text

    index.remove_project("Foo")
    site.configure(max_removals=5)
    site.mirror()
    assert not (site.web / "json/foo").exists()
    assert not (site.web / "pypi/foo").exists()


def test_an_index_without_legacy_documents_is_not_a_failure(
    index: Index, server: IndexServer, site: Site
) -> None:
    server.has_legacy = False
    index.release("foo", "1.0")
    site.configure(json="true")

    ran = site.mirror()

    assert ran.code == 0
    assert not (site.web / "json").exists()


def test_turning_json_off_removes_legacy_documents(index: Index, site: Site) -> None:
    index.release("foo", "1.0")
    site.configure(json="true")
    site.mirror()
    site.configure(json="false")

    site.mirror()

    assert not (site.web / "json").is_dir() or not list((site.web / "json").iterdir())


def test_cleanup_removes_the_directories_of_unnormalised_names(index: Index, site: Site) -> None:
    index.release("My_Pkg", "1.0")
    old = site.web / "simple/My_Pkg"
    old.mkdir(parents=True)
    (old / "index.html").write_text("old")
    (site.root / "generation").write_text("5")
    site.mirror()
    assert old.exists()

    site.configure(cleanup="true")
    index.release("My_Pkg", "2.0")
    site.mirror()

    assert not old.exists()
    assert kinds(site, "simple/my-pkg") == PAGES


def test_provenance_is_linked_or_dropped(index: Index, site: Site) -> None:
    url = "https://index.example.org/integrity/foo/1.0/foo-1.0-py3-none-any.whl/provenance"
    index.release("foo", "1.0", provenance=url)

    site.mirror()
    assert site.page("foo")["files"][0]["provenance"] == url

    site.configure(provenance="drop")
    site.mirror()
    assert "provenance" not in site.page("foo")["files"][0]


def test_the_diff_files_list_written_and_deleted_files(index: Index, site: Site) -> None:
    site.configure(diff_file="{{ mirror_directory }}/../changes/list")
    (file,) = index.release("foo", "1.0")
    index.release("bar", "1.0")
    changes = site.home / "changes/list"

    site.mirror()
    lines = changes.read_text().split("\n")
    assert str(site.web / file.path.lstrip("/")) in lines
    assert lines.index(str(site.web / file.path.lstrip("/"))) < lines.index(
        str(site.web / "simple/foo/index.html")
    )
    assert lines[-1] == str(site.web / "simple/index.v1_json")
    assert set(lines) == {str(site.web / path) for path in site.tree()}
    assert (site.home / "changes/list.deleted").read_text() == ""

    index.remove_project("bar")
    site.mirror()
    deleted = (site.home / "changes/list.deleted").read_text().split("\n")
    assert str(site.web / "simple/bar/index.html") in deleted
    assert str(site.web / file.path.lstrip("/")) not in deleted

    site.mirror()
    assert changes.read_text() == ""


def test_applying_all_diff_files_yields_the_tree(
    index: Index, make_site: Callable[..., Site]
) -> None:
    site = make_site(diff_file="{{mirror_directory}}/../diff")
    there: set[str] = set()
    for step in range(5):
        index.release("foo", f"{step}.0")
        if step == 1:
            index.release("gone", "1.0")
        if step == 3:
            index.remove_project("gone")
        if step == 4:
            index.remove_file("foo", "foo-0.0-py3-none-any.whl")
        site.mirror()
        there |= set((site.home / "diff").read_text().split("\n"))
        there -= set((site.home / "diff.deleted").read_text().split("\n")) - set(
            (site.home / "diff").read_text().split("\n")
        )
    there.discard("")

    assert there == {str(site.web / path) for path in site.tree()}


def test_unknown_sizes_are_not_published(index: Index, server: IndexServer, site: Site) -> None:
    server.has_legacy = False
    site.configure(release_files="false")
    index.release("foo", "1.0")
    server.fault("detail", faults.edit(lambda body: body.replace(b'"size"', b'"x-size"')))

    site.mirror()

    page = site.page("foo")
    assert page["meta"]["api-version"] == "1.0"
    assert "versions" not in page
    assert "size" not in page["files"][0]
