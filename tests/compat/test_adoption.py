"""Trees as earlier releases wrote them, byte for byte, are adopted and kept current."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from bandersnatch.config.schema import ApiMethod, Settings, StorageSettings
from bandersnatch.events import StepStarted, Warned
from bandersnatch.filters.chain import FilterChain
from bandersnatch.layout import StorageKey
from bandersnatch.mirror.adopt import Adoption
from tests.support.clock import FakeClock, QuickClock
from tests.support.earlier import RELEASES, EarlierRelease
from tests.support.index import Index
from tests.support.memory_catalogue import MemoryCatalogue
from tests.support.memory_storage import MemoryStorage
from tests.support.world import KillableCatalogue, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bandersnatch.events import Event
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
def test_a_tree_is_adopted_without_a_download(
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
    assert "adopted 3 projects" in ran.log
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


def test_a_tree_with_hashed_directories_is_adopted(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    earlier.hashed = True
    earlier.write()
    site.configure(hash_index="true")

    ran = site.mirror()

    assert ran.code == 0
    assert server.paths("detail", "file") == []
    site.check()


def test_a_tree_of_html_only_is_adopted(
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


def test_missing_and_damaged_files_are_repaired_and_nothing_else_changes(
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


def test_a_file_of_another_size_is_not_adopted(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    earlier.write()
    cut = earlier.index.projects["qux"].files["qux-1.0-py3-none-any.whl"]
    path = site.web / cut.path.lstrip("/")
    path.write_bytes(path.read_bytes()[:-1])

    ran = site.mirror()

    assert ran.code == 0
    assert ran.synced == ["qux"]
    assert server.paths("file") == [cut.path]
    site.check()


def test_an_interrupted_run_of_an_earlier_release_is_continued(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    """The old ``status``; ``todo`` with the target and the pending projects, names as displayed."""
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


def test_an_interrupted_adoption_continues_where_it_was(
    earlier: EarlierRelease, server: IndexServer, site: Site
) -> None:
    earlier.write()
    site.configure(master="http://127.0.0.1:9")
    assert site.mirror().code == 3
    site.configure(master=server.url)

    ran = site.mirror()

    assert ran.code == 0
    assert server.paths("detail", "file") == []
    assert "adopted" not in ran.log, "that was done before the index was asked"


def test_many_projects_are_adopted(index: Index, server: IndexServer, site: Site) -> None:
    for number in range(520):
        index.release(f"p{number:03}", "1.0", metadata=False)
    EarlierRelease(site, index).write()

    ran = site.mirror()

    assert ran.code == 0
    assert "adopted 520 projects" in ran.log
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
    """Return every path of a mirror, links and directories included."""
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def packages(site: Site) -> dict[str, tuple[int, int]]:
    """Return the inodes and times of the release files."""
    return {path: times for path, times in site.times().items() if path.startswith("packages/")}


def publish(index: Index) -> None:
    """Publish projects whose pages use every feature."""
    index.release("Foo_Bar", "1.0", sdist=True, requires_python=">=3.8, <4")
    index.release("foo-bar", "2.0+local.1", metadata=False)
    index.yank("foo-bar", "1.0", "it is <broken>")
    index.release("timeless", "1.0", upload_time="", metadata=False)
    index.release("Zope.Interface", "5.0", metadata=False)
    index.project("empty")


@pytest.mark.parametrize("command", ["mirror", "sync"])
@pytest.mark.parametrize("legacy", [False, True], ids=["", "json"])
@pytest.mark.parametrize("release", RELEASES)
def test_a_tree_of_any_release_is_adopted_and_kept_current(
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
    leftovers = earlier.leave_things_about("foo-bar")
    site.configure(json=str(legacy).lower())
    before, files = everything(site.root), packages(site)
    if command == "sync":
        assert site.sync("timeless").code == 0

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert server.paths("file") == []
    assert everything(site.root) >= before
    assert {path: packages(site)[path] for path in files} == files
    assert all(path.read_text() == "left" for path in leftovers)
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
def test_a_thousand_projects_are_adopted_and_kept_current(
    index: Index, server: IndexServer, site: Site, release: str
) -> None:
    for number in range(1000):
        index.release(f"p{number:03}", "1.0", metadata=False, size=60)
    EarlierRelease(site, index, release).write()

    ran = site.mirror()

    assert ran.code == 0
    assert "adopted 1000 projects" in ran.log
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


def test_files_are_adopted_by_size_and_time_and_not_read(
    index: Index, server: IndexServer, site: Site
) -> None:
    """That is what ``verify`` is for; a mirror may have twenty terabytes."""
    publish(index)
    EarlierRelease(site, index, "5.3").write()
    site.mirror()

    status = json.loads(site.ask("status", "--json").out)

    # Only the run read the page of the empty project; the file without a time was read because
    # nothing else distinguishes it from a foreign file.
    assert status["verified"]["projects_never_read"] == 3
    assert server.paths("file") == []


def test_a_file_of_another_time_is_read_when_its_page_is_rendered_again(
    index: Index, server: IndexServer, site: Site
) -> None:
    """As after a copy without times, or a change of a file."""
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
def test_links_to_kept_versions_are_followed_within_this_mirror(
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
    assert ("could not be adopted" in ran.log) == (where == "copied")
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


# ---------------------------------------------------------------- pages that lack information


@pytest.mark.parametrize("compare", ["hash", "stat"])
@pytest.mark.parametrize(("release", "digest"), [("5.3", "md5"), ("7.0", "md5"), ("8.0", "sha512")])
def test_pages_with_other_digests_are_compared_with_the_index_file_by_file(
    index: Index,
    server: IndexServer,
    make_site: Callable[..., Site],
    release: str,
    digest: str,
    *,
    compare: str,
) -> None:
    """The pages lack the sha256 of their files, which are right."""
    publish(index)
    site = make_site(digest_name=digest, compare_method=compare)
    earlier = EarlierRelease(site, index, release)
    earlier.digest = digest
    earlier.write()
    before, files = everything(site.root), packages(site)

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert "could not be adopted" not in ran.log
    assert len(server.paths("detail")) >= 3
    assert server.paths("file") == []
    assert everything(site.root) >= before
    assert {path: packages(site)[path] for path in files} == files
    assert site.status == index.serial
    site.check()
    server.forget()
    assert site.mirror().synced == []
    assert server.paths("detail", "file") == []


@pytest.mark.parametrize("root_uri", ["https://files.example.org", "http://mirror.example.org/x/"])
@pytest.mark.parametrize("release", ["5.3", "8.0"])
def test_pages_with_absolute_links_are_adopted(
    index: Index, server: IndexServer, make_site: Callable[..., Site], release: str, root_uri: str
) -> None:
    """A slash at the end of ``root_uri`` gave URLs with two (contract, B6)."""
    publish(index)
    site = make_site(root_uri=root_uri)
    earlier = EarlierRelease(site, index, release)
    earlier.root_uri = root_uri
    earlier.write()

    ran = site.mirror()

    assert ran.code == 0
    assert "adopted 4 projects" in ran.log
    assert "could not be adopted" not in ran.log
    assert server.paths("file") == []


def test_pages_without_sha256_are_rendered_again(
    index: Index, server: IndexServer, site: Site
) -> None:
    """What the index has not changed since 2018 was never written again."""
    publish(index)
    EarlierRelease(site, index).write()
    oldest = EarlierRelease(site, index, "4.0")
    oldest.digest = "md5"
    for form in ("v1_html", "v1_json"):
        (site.web / f"simple/timeless/index.{form}").unlink()
    oldest.write("timeless")

    ran = site.mirror()

    assert ran.code == 0
    assert "adopted 4 projects" in ran.log
    assert server.paths("detail") == ["/simple/timeless/"]
    assert server.paths("file") == []
    site.check()


def no_json(page: Path) -> None:
    page.write_text("{ this is no JSON")


def empty(page: Path) -> None:
    page.write_bytes(b"")


def binary(page: Path) -> None:
    page.write_bytes(bytes(range(256)) * 100)


def another_projects(page: Path) -> None:
    page.write_text(page.read_text().replace('"name": "foo-bar"', '"name": "other"'))


def nested(page: Path) -> None:
    page.write_text("[" * 100_000)


def huge_number(page: Path) -> None:
    page.write_text(page.read_text().replace('"size": 300', '"size": 1e999'))


def leads_out(page: Path) -> None:
    outside = page.parents[4] / "outside"
    outside.write_bytes(page.read_bytes())
    page.unlink()
    page.symlink_to(outside)


def leads_nowhere(page: Path) -> None:
    page.unlink()
    page.symlink_to("/nowhere/index.html")


def leads_in_a_circle(page: Path) -> None:
    page.unlink()
    page.symlink_to(page.name)


def leads_to_a_directory(page: Path) -> None:
    page.unlink()
    page.symlink_to(page.parent)


def leads_to_a_pipe(page: Path) -> None:
    page.unlink()
    os.mkfifo(page)


def gone(page: Path) -> None:
    page.unlink()


HARMS = [
    no_json, empty, binary, another_projects, nested, huge_number, gone,
    leads_out, leads_nowhere, leads_in_a_circle, leads_to_a_directory, leads_to_a_pipe,
]  # fmt: skip


@pytest.mark.parametrize("versions", [0, 2], ids=["", "versions"])
@pytest.mark.parametrize("harm", HARMS)
def test_an_unreadable_page_stops_nothing_and_is_rendered_again(
    index: Index,
    server: IndexServer,
    make_site: Callable[..., Site],
    harm: Callable[[Path], None],
    versions: int,
) -> None:
    publish(index)
    site = make_site(keep_index_versions=versions)
    EarlierRelease(site, index).write()
    files = packages(site)
    harm(site.web / "simple/foo-bar/index.v1_json")

    planned = site.ask("plan")
    server.forget()
    ran = site.mirror()

    assert planned.code == ran.code == 0, ran.log
    assert ran.synced == ["foo-bar"]
    assert server.paths("detail") == ["/simple/foo-bar/"], "no other page is fetched"
    assert server.paths("file") == []
    assert {path: packages(site)[path] for path in files} == files
    assert len(site.filenames("foo-bar")) == 3
    site.check()


def test_state_files_behind_a_link_are_refused(index: Index, site: Site) -> None:
    """A state file behind a link does not count as deleted."""
    publish(index)
    EarlierRelease(site, index).write()
    elsewhere = site.home / "status"
    (site.root / "status").rename(elsewhere)
    (site.root / "status").symlink_to(elsewhere)

    ran = site.mirror()

    assert ran.code == 7
    assert "status: it is a link that leads out of the mirror" in ran.log


# ---------------------------------------------------------------- state


@pytest.mark.parametrize("newline", ["", "\n"])
@pytest.mark.parametrize("first", ["target", "None"])
def test_an_interrupted_run_of_an_earlier_release_loses_nothing(
    index: Index, server: IndexServer, site: Site, first: str, newline: str
) -> None:
    """``todo`` has raw names; ``sync`` wrote ``None`` over its first line (contract, A3)."""
    publish(index)
    earlier = EarlierRelease(site, index)
    earlier.write()
    earlier.state("status", f"{index.serial}{newline}")
    index.release("Foo_Bar", "4.0")
    index.release("New.Project", "1.0")
    lines = [f"{name} {index.project(name).serial}" for name in ("Foo_Bar", "New.Project")]
    earlier.state("todo", "\n".join([str(index.serial) if first == "target" else first, *lines]))

    ran = site.mirror()

    assert ran.code == 0, ran.log
    assert ran.synced == ["foo-bar", "new-project"]
    assert len(server.paths("file")) == 2
    assert site.status == index.serial
    assert site.todo() == []
    site.check()


# ---------------------------------------------------------------- interruptions


def projects_of_a_world(count: int) -> World:
    """Return a mirror in memory with projects and without a catalogue."""
    clock = QuickClock()
    index = Index(lambda: int(clock.now().timestamp()))
    for number in range(count):
        index.release(f"p{number:05}", "1.0", size=20, metadata=False)
    world = World(index, clock, ApiMethod.AUTO)
    world.run()
    world.catalogue = KillableCatalogue(world.storage)
    world.report.clear()
    return world


def messages(world: World) -> list[str]:
    """Return the messages about adoption since the last call."""
    texts = [event.text for event in world.report if isinstance(event, StepStarted | Warned)]
    world.report.clear()
    return [text for text in texts if "adopt" in text]


def test_a_killed_adoption_continues_where_it_was() -> None:
    world = projects_of_a_world(1_200)
    downloads, tree = world.upstream.downloads, world.tree()

    world.run(kill_after=3)  # the mark of the tree, the version of its layout, and a piece
    assert messages(world) == ["adopting the projects of the existing tree"]
    assert asyncio.run(world.catalogue.count()) == 500
    world.run(kill_after=3)
    assert asyncio.run(world.catalogue.count()) == 1_000
    world.run()

    assert "adopted 200 projects of the existing tree" in messages(world)
    assert asyncio.run(world.catalogue.count()) == 1_200
    assert world.upstream.downloads == downloads
    assert world.tree() == tree
    assert world.status == world.index.serial


async def test_a_long_adoption_reports_its_progress() -> None:
    storage = MemoryStorage()
    heard: list[Event] = []
    for number in range(40_100):
        page = {"meta": {"api-version": "1.1"}, "name": f"p{number}", "files": []}
        key = StorageKey(f"web/simple/p{number}/index.v1_json")
        storage.objects[key] = json.dumps(page).encode()
        storage.modified[key] = 1
    settings = Settings(StorageSettings("/nowhere"))
    catalogue = MemoryCatalogue()
    adoption = Adoption(
        storage, catalogue, heard.append, settings, FilterChain(), now=FakeClock().now()
    )

    await adoption.run()

    texts = [event.text for event in heard if isinstance(event, StepStarted)]
    assert texts == [
        "adopting the projects of the existing tree",
        "adopted 20000 projects so far",
        "adopted 40000 projects so far",
    ]
    assert await catalogue.count() == 40_100
