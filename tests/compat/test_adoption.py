"""Trees as earlier releases wrote them, laid out byte for byte, are taken over and kept current."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.earlier import RELEASES, EarlierRelease

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.index import Index
    from tests.support.server import IndexServer
    from tests.support.site import Site


@pytest.fixture
def earlier(index: Index, site: Site) -> EarlierRelease:
    """Return a writer of trees, and an index with a few projects."""
    index.release("Foo_Bar", "1.0", sdist=True)
    index.release("baz", "1.0")
    index.release("baz", "2.0")
    index.release("qux", "1.0")
    return EarlierRelease(site, index)


@pytest.mark.parametrize("compare", ["hash", "stat"])
@pytest.mark.parametrize(
    "options",
    [{}, {"versions": True}, {"legacy": True}],
    ids=["plain", "versions", "legacy"],
)
def test_a_tree_is_taken_over_without_a_download(
    earlier: EarlierRelease,
    server: IndexServer,
    site: Site,
    compare: str,
    options: dict[str, bool],
) -> None:
    earlier.legacy, earlier.versions = options.get("legacy", False), options.get("versions", False)
    earlier.write()
    site.configure(
        compare_method=compare,
        json=str(options.get("legacy", False)).lower(),
        keep_index_versions=3 if options.get("versions") else 0,
    )

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert "took over 3 projects" in ran.log
    assert server.paths("detail", "file", "sidecar") == []
    assert site.names() == ["baz", "foo-bar", "qux"]
    assert site.status == earlier.index.serial
    site.check()

    earlier.index.release("baz", "3.0")
    server.forget()
    ran = site.mirror()
    assert ran.synced == ["baz"]
    new = earlier.index.projects["baz"].files["baz-3.0-py3-none-any.whl"].path
    assert server.paths("file") == [new]
    site.check()


def test_a_tree_with_hashed_directories_is_taken_over(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    earlier.hashed = True
    earlier.write()
    site.configure(hash_index="true")

    ran = site.mirror()

    assert ran.code == 0
    assert server.paths("detail", "file") == []
    site.check()


def test_a_tree_of_html_only_is_taken_over(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    earlier.write()
    for page in (site.web / "simple").rglob("index.v1_json"):
        page.unlink()
    site.configure(simple_format="HTML")

    ran = site.mirror()

    assert ran.code == 0
    assert server.paths("detail", "file") == []
    site.check()


def test_what_is_missing_or_wrong_is_repaired_and_nothing_else_touched(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    earlier.write()
    lost = earlier.index.projects["qux"].files["qux-1.0-py3-none-any.whl"]
    (site.web / lost.path.lstrip("/")).unlink()
    (site.web / "simple/baz/index.v1_json").write_text("{ this is not JSON")
    before = {k: v for k, v in site.times().items() if "qux" not in k and "simple" not in k}

    ran = site.mirror()

    assert ran.code == 0
    assert ran.synced == ["baz", "qux"]
    assert server.paths("file") == [lost.path]
    assert {k: v for k, v in site.times().items() if k in before} == before
    site.check()


def test_an_interrupted_run_of_an_earlier_release_is_gone_on_with(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    """``status`` from before, ``todo`` with the target and what was left, raw names."""
    before = earlier.index.serial
    earlier.write()
    earlier.index.release("Foo_Bar", "2.0")
    earlier.index.release("New", "1.0")
    target = earlier.index.serial
    (site.root / "status").write_text(str(before))
    (site.root / "todo").write_text(
        f"{target}\nFoo_Bar {earlier.index.projects['foo-bar'].serial}\nNew {target}"
    )

    ran = site.mirror()

    assert ran.code == 0
    assert ran.synced == ["foo-bar", "new"]
    assert site.status == target
    assert site.todo() == []
    assert "foo_bar-2.0-py3-none-any.whl" in site.filenames("foo-bar")
    site.check()


def test_leftovers_of_an_earlier_release_do_no_harm(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    earlier.write()
    web = site.web
    (web / "simple/baz/.index.html.abc123").write_text("temporary")
    (web / "simple/Foo_Bar").mkdir()
    (web / "simple/Foo_Bar/index.html").write_text("before 4.0")
    (web / "simple/not a name").mkdir()
    (web / "simple/not a name/index.html").write_text("?")
    (web / "serversig").write_text("from before 1.7")
    (site.root / "todo.xyz").write_text("temporary")

    ran = site.mirror()

    assert ran.code == 0
    assert site.names() == ["baz", "foo-bar", "qux"]
    assert (web / "simple/Foo_Bar/index.html").exists()
    assert (web / "serversig").exists()


def test_an_interrupted_takeover_goes_on_where_it_was(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    earlier.write()
    site.configure(master="http://127.0.0.1:9")
    assert site.mirror().code == 3
    site.configure(master=server.url)

    ran = site.mirror()

    assert ran.code == 0
    assert server.paths("detail", "file") == []
    assert "took over" not in ran.log, "that was done before the index was asked"


def test_many_projects_are_taken_over(index: Index, server: IndexServer, site: Site) -> None:
    for number in range(520):
        index.release(f"p{number:03}", "1.0", metadata=False)
    EarlierRelease(site, index).write()

    ran = site.mirror()

    assert ran.code == 0
    assert "took over 520 projects" in ran.log
    assert server.paths("detail", "file") == []
    assert len(site.names()) == 520


def test_a_lost_sidecar_is_fetched_and_nothing_else(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    earlier.write()
    lost = earlier.index.projects["qux"].files["qux-1.0-py3-none-any.whl"].path + ".metadata"
    (site.web / lost.lstrip("/")).unlink()

    ran = site.mirror()

    assert ran.code == 0
    assert ran.synced == ["qux"]
    assert server.paths("file", "sidecar") == [lost]
    site.check()


def test_a_tree_without_json_pages_gets_them_without_a_download(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    """Releases before 6 wrote HTML only."""
    earlier.write()
    for page in (site.web / "simple").rglob("index.v1_*"):
        page.unlink()
    (site.web / "simple/baz/notes.txt").write_text("an operator's own")

    ran = site.mirror()

    assert ran.code == 0
    assert server.paths("file") == []
    assert (site.web / "simple/baz/notes.txt").exists()
    site.check()


# ---------------------------------------------------------------- every release


def everything(root: Path) -> set[str]:
    """Return all that lies in a mirror, links and directories too."""
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def packages(site: Site) -> dict[str, tuple[int, int]]:
    """Return the inodes and times of the release files."""
    return {path: told for path, told in site.times().items() if path.startswith("packages/")}


def publish(index: Index) -> None:
    """Publish projects whose pages have something of everything."""
    index.release("Foo_Bar", "1.0", sdist=True, requires_python=">=3.8, <4")
    index.release("foo-bar", "2.0+local.1", metadata=False)
    index.yank("foo-bar", "1.0", "it is <broken>")
    index.release("timeless", "1.0", upload_time="", metadata=False)
    index.release("Zope.Interface", "5.0", metadata=False)
    index.project("empty")


@pytest.mark.parametrize("command", ["mirror", "sync"])
@pytest.mark.parametrize("legacy", [False, True], ids=["", "json"])
@pytest.mark.parametrize("release", RELEASES)
def test_a_tree_of_any_release_is_taken_over_and_kept_current(
    index: Index,
    server: IndexServer,
    site: Site,
    release: str,
    command: str,
    *,
    legacy: bool,
) -> None:
    """By the first command that writes; nothing is downloaded or deleted, no file touched."""
    publish(index)
    earlier = EarlierRelease(site, index, release)
    earlier.legacy = legacy
    earlier.write()
    lying = earlier.leave_things_about("foo-bar")
    site.configure(json=str(legacy).lower())
    before, files = everything(site.root), packages(site)
    if command == "sync":
        assert site.sync("timeless").code == 0

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert server.paths("file") == []
    assert everything(site.root) >= before
    assert {path: packages(site)[path] for path in files} == files
    assert all(path.read_text() == "left" for path in lying)
    assert site.names() == ["empty", "foo-bar", "timeless", "zope-interface"]
    assert site.status == index.serial
    assert site.todo() == []
    site.check()

    index.release("Foo_Bar", "3.0")
    index.remove_file("Zope.Interface", "zope_interface-5.0-py3-none-any.whl")
    index.release("Zope.Interface", "5.1")
    server.forget()
    assert site.mirror().synced == ["foo-bar", "zope-interface"]
    assert len(server.paths("file")) == 2
    assert len(site.filenames("foo-bar")) == 4
    assert site.filenames("zope-interface") == ["zope_interface-5.1-py3-none-any.whl"]
    site.check()


@pytest.mark.parametrize("release", ["5.3", "8.0"])
def test_a_thousand_projects_are_taken_over_and_kept_current(
    index: Index, server: IndexServer, site: Site, release: str
) -> None:
    for number in range(1000):
        index.release(f"p{number:03}", "1.0", metadata=False, size=60)
    EarlierRelease(site, index, release).write()

    ran = site.mirror()

    assert ran.code == 0
    assert "took over 1000 projects" in ran.log
    assert server.paths("file", "sidecar") == []
    assert len(server.paths("detail")) == (0 if release == "8.0" else 1000), "pages in JSON, too"
    assert site.status == index.serial

    for number in range(0, 1000, 100):
        index.release(f"p{number:03}", "2.0", metadata=False, size=60)
    server.forget()
    assert len(site.mirror().synced) == 10
    assert len(server.paths("detail")) == len(server.paths("file")) == 10
    assert site.status == index.serial
    site.check()


def test_files_are_taken_over_by_size_and_time_and_read_by_nobody(
    index: Index, server: IndexServer, site: Site
) -> None:
    """That is what ``verify`` is for; a mirror may have twenty terabytes."""
    publish(index)
    EarlierRelease(site, index, "5.3").write()
    site.mirror()

    status = json.loads(site.ask("status", "--json").out)

    # The page of the empty project was seen by nobody but the run, and the file without a time
    # was read because nothing else tells it from one that somebody put there.
    assert status["verified"]["projects_never_read"] == 3
    assert server.paths("file") == []


def test_a_file_of_another_time_is_read_when_its_page_is_made_anew(
    index: Index, server: IndexServer, site: Site
) -> None:
    """Somebody copied the mirror without times, or changed a file."""
    index.release("foo", "1.0", sdist=True, metadata=False)
    wheel, sdist = index.projects["foo"].files.values()
    EarlierRelease(site, index, "5.3").write()
    (site.web / wheel.path.lstrip("/")).write_bytes(wheel.content)
    (site.web / sdist.path.lstrip("/")).write_bytes(bytes(len(sdist.content)))

    assert site.mirror().code == 0

    assert server.paths("file") == [sdist.path]
    site.check()


# ---------------------------------------------------------------- kept versions


@pytest.mark.parametrize(("keep", "hashed"), [(0, False), (2, False), (2, True)])
@pytest.mark.parametrize("release", ["5.3", "8.0"])
@pytest.mark.parametrize("where", ["here", "moved", "copied", "relative"])
def test_links_to_kept_versions_are_followed_where_they_lead_to_this_mirror(
    index: Index,
    server: IndexServer,
    make_site: Callable[..., Site],
    where: str,
    release: str,
    *,
    hashed: bool,
    keep: int,
) -> None:
    """A tree that was moved has links that dangle, a copied one has such as lead elsewhere."""
    publish(index)
    site = make_site(keep_index_versions=keep, hash_index=str(hashed).lower())
    earlier = EarlierRelease(site, index, release)
    earlier.versions, earlier.hashed = True, hashed
    old = site.home / "old"
    earlier.directory = {"here": str(site.root), "relative": "mirror"}.get(where, str(old))
    earlier.write()
    if where == "copied":
        shutil.copytree(site.root, old, symlinks=True)
    before = everything(old)
    files = packages(site)

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert server.paths("file") == []
    assert bool(server.paths("detail")) == (where != "here" or release == "5.3")
    assert ("could not be taken over" in ran.log) == (where == "copied")
    assert {path: packages(site)[path] for path in files} == files
    site.check()

    for name in ("Foo_Bar", "timeless", "Zope.Interface"):
        index.release(name, "9.0", metadata=False)
    assert site.mirror().code == 0
    site.check()
    for name in ("foo-bar", "timeless", "zope-interface"):
        page = site.root / earlier.page(name) / "index.html"
        assert "9.0" in page.read_text()
        assert page.is_symlink() == bool(keep)
        assert not keep or not page.readlink().is_absolute()
    assert everything(old) == before
