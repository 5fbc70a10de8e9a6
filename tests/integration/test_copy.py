"""``copy``: a mirror moves to another place, whole, verified, and without a download."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.support.bucket_site import BucketSite
from tests.support.site import Site
from tests.support.store_proxy import Fault, store_proxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.ceph import SharedCeph
    from tests.support.index import Index
    from tests.support.server import IndexServer

    Make = Callable[[str], Site]

WAYS = [("disk", "disk"), ("disk", "bucket"), ("bucket", "disk")]


@pytest.fixture
def make(tmp_path: Path, server: IndexServer, shared_ceph: SharedCeph) -> Make:
    """Return what makes a mirror on a disk or in a bucket."""

    def make(kind: str) -> Site:
        home = tmp_path / f"{kind}{len(list(tmp_path.iterdir()))}"
        home.mkdir()
        if kind == "bucket":
            return BucketSite(home, server, shared_ceph.get(), json=True)
        return Site(home, server, json=True)

    return make


def publish(index: Index) -> None:
    """Publish a few projects, one of which is removed after the first run."""
    for name in ("foo", "Bar_x", "gone"):
        index.release(name, "1.0", sdist=True)
    index.upload("foo", "2.0", "foo-2.0 (copy).zip", content=b"copy", escaped=True)
    index.release("big", "1.0", size=9 * 1024 * 1024, metadata=False)


def tree(site: Site) -> dict[str, bytes]:
    """Return what is served and what is in the trash."""
    if isinstance(site, BucketSite):
        site.fetch()
    return {
        path.relative_to(site.root).as_posix(): path.read_bytes()
        for area in ("web", "removed")
        for path in sorted((site.root / area).rglob("*"))
        if path.is_file() and path.name != ".mirror" and ".bandersnatch" not in str(path)
    }


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_a_copy_is_the_same_mirror_and_goes_on_without_a_download(
    index: Index, server: IndexServer, make: Make, way: tuple[str, str]
) -> None:
    source, target = map(make, way)
    publish(index)
    assert source.mirror().code == 0
    index.remove_project("gone")
    source.mirror()
    source.clock.advance(minutes=11)
    assert source.mirror().code == 0

    dry = source.ask("copy", str(target.config), "--dry-run")
    assert dry.code == 0, dry.log
    assert "nothing was changed" in dry.out
    assert tree(target) == {}
    copied = source.ask("copy", str(target.config))

    assert copied.code == 0, copied.log
    assert "complete" in copied.out
    before = tree(source)
    assert any(path.startswith("removed/") for path in before)
    assert tree(target) == before
    server.forget()
    target.clock.passed = source.clock.passed
    ran = target.mirror()
    assert ran.code == 0, ran.log
    assert server.paths("file") == []
    assert tree(target) == before
    assert target.run("verify").code == 0
    index.release("foo", "3.0")
    assert target.mirror().code == 0
    assert "foo-3.0-py3-none-any.whl" in target.filenames("foo") or isinstance(target, BucketSite)


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_a_second_copy_takes_over_what_has_changed(
    index: Index, make: Make, way: tuple[str, str]
) -> None:
    source, target = map(make, way)
    publish(index)
    assert source.mirror().code == 0
    assert source.ask("copy", str(target.config)).code == 0
    index.remove_project("gone")
    index.remove_file("foo", "foo-1.0.tar.gz")
    index.release("foo", "3.0")
    source.mirror()
    source.clock.advance(minutes=11)
    assert source.mirror().code == 0
    assert source.run("delete", "Bar_x", "--until-next-change").code == 0

    copied = source.ask("copy", str(target.config))

    assert copied.code == 0, copied.log
    assert "Deleted:" in copied.out
    assert tree(target) == tree(source)


@pytest.mark.parametrize("moment", [12, 40, 60])
def test_an_interrupted_copy_is_continued(
    index: Index, server: IndexServer, shared_ceph: SharedCeph, tmp_path: Path, moment: int
) -> None:
    """The store fails from a request on."""
    publish(index)
    (tmp_path / "disk").mkdir()
    source = Site(tmp_path / "disk", server, json=True)
    assert source.mirror().code == 0
    ceph, requests = shared_ceph.get(), count()
    with store_proxy(ceph.url) as proxy:
        target = BucketSite(tmp_path, server, ceph, url=proxy.url, json=True)
        proxy.fault = lambda _: Fault.INTERNAL_ERROR if next(requests) >= moment else None

        stopped = source.ask("copy", str(target.config))

        assert stopped.code == 7, stopped.log
        assert "Traceback" not in stopped.log
        assert not {"status", "web/.mirror"} & set(target.stored())
        before = len(target.stored("web/packages"))
        proxy.fault = lambda _: None
        copied = source.ask("copy", str(target.config))

    assert copied.code == 0, copied.log
    assert f"Present:   {before} file" in copied.out
    assert tree(target) == tree(source)


def test_serials_that_nothing_proves_stay_off_the_root_page(
    index: Index, server: IndexServer, make: Make
) -> None:
    """The pages of such an index have serials, and it offers neither a changelog nor a list."""
    source, target = make("disk"), make("disk")
    for each in (source, target):
        each.configure(api_method="simple")
        each.allow("foo")
    index.release("foo", "1.0")
    assert source.mirror().code == 0
    assert source.ask("copy", str(target.config)).code == 0
    server.forget()

    assert target.mirror().code == 0

    assert tree(target) == tree(source)


def test_kept_page_versions_are_copied(index: Index, make: Make) -> None:
    source, target = make("disk"), make("disk")
    for each in (source, target):
        each.configure(keep_index_versions=2, hash_index=True)
    for version in ("1.0", "2.0", "3.0"):
        index.release("foo", version)
        assert source.mirror().code == 0
        copied = source.ask("copy", str(target.config))
        assert copied.code == 0, copied.log
        assert tree(target) == tree(source)

    assert len(list(target.web.rglob("versions/*.html"))) == 2
    target.clock.passed = source.clock.passed
    assert target.mirror().code == 0
    assert target.run("verify").code == 0


@pytest.mark.parametrize("damage", ["other", "missing"])
def test_a_damaged_file_is_not_copied(index: Index, make: Make, damage: str) -> None:
    source, target = make("disk"), make("disk")
    publish(index)
    assert source.mirror().code == 0
    (wheel,) = source.web.rglob("bar_x-1.0*.whl")
    content = wheel.read_bytes()
    if damage == "missing":
        wheel.unlink()
    else:
        wheel.write_bytes(content[::-1])

    copied = source.ask("copy", str(target.config))

    assert copied.code == 8
    assert "bar-x was not copied" in copied.log
    assert "run verify, and copy again" in copied.log
    assert "do not use it yet" in copied.out
    assert not (target.web / "simple/bar-x").exists()
    assert not (target.web / "simple/index.html").exists()
    assert (target.web / "simple/foo/index.html").exists()
    assert source.run("verify").code == 0
    assert source.ask("copy", str(target.config)).code == 0
    assert tree(target) == tree(source)


def test_a_place_with_another_mirror_is_left_alone(index: Index, make: Make) -> None:
    source, target = make("disk"), make("disk")
    publish(index)
    assert source.mirror().code == 0
    assert target.mirror().code == 0
    before = tree(target)

    used = source.ask("copy", str(target.config))
    (target.root / "catalogue.sqlite").unlink()
    other = source.ask("copy", str(target.config))

    assert (used.code, other.code) == (2, 2)
    assert "there is a mirror that has been used" in used.log
    assert "there is another mirror" in other.log
    assert tree(target) == before


def test_a_tree_of_an_earlier_release_is_not_copied_over(index: Index, make: Make) -> None:
    source, target = make("disk"), make("disk")
    publish(index)
    assert source.mirror().code == 0
    target.root.mkdir(parents=True, exist_ok=True)
    (target.root / "status").write_text("17")

    refused = source.ask("copy", str(target.config))

    assert refused.code == 2
    assert "there is another mirror" in refused.log
    assert tree(target) == {}


def test_what_the_mirror_has_lost_since_an_interruption_leaves_the_copy(
    index: Index, make: Make
) -> None:
    source, target = make("disk"), make("disk")
    publish(index)
    assert source.mirror().code == 0
    damaged = next(source.web.rglob("foo-1.0*.whl"))
    content = damaged.read_bytes()
    damaged.write_bytes(content[::-1])
    assert source.ask("copy", str(target.config)).code == 8
    assert (target.web / "simple/bar-x/index.html").exists()
    damaged.write_bytes(content)
    assert source.run("verify").code == 0
    assert source.run("delete", "Bar_x", "--until-next-change").code == 0

    copied = source.ask("copy", str(target.config))

    assert copied.code == 0, copied.log
    assert "Deleted:" in copied.out
    assert tree(target) == tree(source)


@pytest.mark.parametrize("kind", ["missing", "link", "pipe", "directory"])
def test_a_page_that_cannot_be_read_is_named_and_deletes_nothing(
    index: Index, make: Make, kind: str
) -> None:
    source, target = make("disk"), make("disk")
    publish(index)
    assert source.mirror().code == 0
    assert source.ask("copy", str(target.config)).code == 0
    before = tree(target)
    page = source.web / "simple/foo/index.html"
    page.unlink()
    if kind == "link":
        page.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(page)
    elif kind == "directory":
        page.mkdir()

    copied = source.ask("copy", str(target.config))

    assert copied.code == 8, copied.log
    assert "foo was not copied" in copied.log
    assert "do not use it yet" in copied.out
    assert tree(target) == before


@pytest.mark.parametrize("kind", ["longer", "link", "pipe", "directory"])
def test_a_file_of_a_wrong_kind_or_size_stops_only_its_project(
    index: Index, make: Make, kind: str
) -> None:
    source, target = make("disk"), make("disk")
    publish(index)
    assert source.mirror().code == 0
    wheel = next(source.web.rglob("bar_x-1.0*.whl"))
    if kind == "longer":
        wheel.write_bytes(wheel.read_bytes() + b"more")
    else:
        wheel.unlink()
    if kind == "link":
        wheel.symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(wheel)
    elif kind == "directory":
        wheel.mkdir()

    copied = source.ask("copy", str(target.config))

    assert copied.code == 8, copied.log
    assert "bar-x was not copied" in copied.log
    assert "Traceback" not in copied.log
    assert (target.web / "simple/foo/index.html").exists()
    assert not (target.web / "simple/bar-x").exists()


def test_a_copy_that_is_in_use_is_not_overwritten_from_another_machine(
    index: Index, make: Make
) -> None:
    """The catalogue of the copy is on the other machine, so that this one does not see it."""
    source, target = make("disk"), make("disk")
    publish(index)
    assert source.mirror().code == 0
    assert source.ask("copy", str(target.config)).code == 0
    assert (target.root / ".copy").exists()
    target.clock.passed = source.clock.passed
    index.release("foo", "3.0")
    assert target.mirror().code == 0
    assert not (target.root / ".copy").exists()
    before = tree(target)
    (target.root / "catalogue.sqlite").unlink()

    again = source.ask("copy", str(target.config))

    assert again.code == 2
    assert "a copy that has been used" in again.log
    assert tree(target) == before


def test_an_interrupted_copy_of_another_mirror_is_left_alone(index: Index, make: Make) -> None:
    first, second, target = make("disk"), make("disk"), make("disk")
    publish(index)
    for each in (first, second):
        assert each.mirror().code == 0
    next(first.web.rglob("bar_x-1.0*.whl")).unlink()
    assert first.ask("copy", str(target.config)).code == 8
    before = tree(target)

    refused = second.ask("copy", str(target.config))

    assert refused.code == 2
    assert "there is a copy of another mirror" in refused.log
    assert tree(target) == before


def test_a_place_with_files_of_no_copy_is_left_alone(index: Index, make: Make) -> None:
    """Such as the tree of an earlier release whose ``status`` somebody has deleted."""
    source, target = make("disk"), make("disk")
    publish(index)
    assert source.mirror().code == 0
    page = target.web / "simple/own/index.html"
    page.parent.mkdir(parents=True)
    page.write_text("mine")

    refused = source.ask("copy", str(target.config))

    assert refused.code == 2
    assert "web/simple/own/index.html, which is not of a copy" in refused.log
    assert tree(target) == {"web/simple/own/index.html": b"mine"}


def test_a_catalogue_of_another_mirror_copies_and_deletes_nothing(index: Index, make: Make) -> None:
    source, other, target = make("disk"), make("disk"), make("disk")
    publish(index)
    for each in (source, other):
        assert each.mirror().code == 0
    assert source.ask("copy", str(target.config)).code == 0
    before = tree(target)
    shutil.copy(other.root / "catalogue.sqlite", source.root / "catalogue.sqlite")

    refused = source.ask("copy", str(target.config))

    assert refused.code == 2
    assert "are not of the same mirror and moment" in refused.log
    assert tree(target) == before


@pytest.mark.parametrize("where", ["link", "dots", "inside", "around"])
def test_places_that_are_not_apart_are_refused(
    index: Index, make: Make, tmp_path: Path, where: str
) -> None:
    """A copy inside ``web`` would publish its state."""
    source, target = make("disk"), make("disk")
    index.release("foo", "1.0")
    assert source.mirror().code == 0
    (tmp_path / "link").symlink_to(source.root)
    places = {
        "link": tmp_path / "link",
        "dots": f"{source.root}/../{source.root.name}/",
        "inside": source.web / "copy",
        "around": source.home,
    }
    target.configure(directory=places[where])
    before = sorted(source.home.rglob("*"))

    refused = source.ask("copy", str(target.config))

    assert refused.code == 2, refused.log
    assert "are of this mirror" in refused.log or "in this place, or contains it" in refused.log
    assert sorted(source.home.rglob("*")) == before


def test_pages_in_other_directories_are_not_left_behind(index: Index, make: Make) -> None:
    """With another ``hash-index`` the pages of the copy would stay where no run finds them."""
    source, target = make("disk"), make("disk")
    index.release("foo", "1.0")
    assert source.mirror().code == 0
    target.configure(hash_index=True)

    refused = source.ask("copy", str(target.config))

    assert refused.code == 2
    assert "hash-index differs" in refused.log
    assert tree(target) == {}


def test_a_copy_with_a_copied_catalogue_is_in_use_after_a_change(index: Index, make: Make) -> None:
    """Its first command adopts nothing, and so does not notice that it is a copy."""
    source, target = make("disk"), make("disk")
    publish(index)
    assert source.mirror().code == 0
    assert source.ask("copy", str(target.config)).code == 0
    assert source.ask("copy", str(target.config)).code == 0
    assert source.ask("catalogue", "copy", str(source.root), str(target.root)).code == 0
    index.release("foo", "3.0")
    assert target.mirror().synced == ["foo"]
    before = tree(target)
    (target.root / "catalogue.sqlite").unlink()

    again = source.ask("copy", str(target.config))

    assert again.code == 2
    assert "there is a copy that has been used" in again.log
    assert tree(target) == before


def test_a_catalogue_that_has_lost_a_project_is_no_complete_mirror(
    index: Index, make: Make
) -> None:
    """The first copy drops the damaged record, so that the second one does not see it."""
    source, target = make("disk"), make("disk")
    publish(index)
    assert source.mirror().code == 0
    assert source.ask("copy", str(target.config)).code == 0
    before = tree(target)
    with closing(sqlite3.connect(source.root / "catalogue.sqlite")) as database:
        database.execute("UPDATE project SET size = size + 1 WHERE name = 'foo'")
        database.commit()

    first = source.ask("copy", str(target.config))
    second = source.ask("copy", str(target.config))

    assert first.code == 8
    assert "foo was not copied: its row of project is damaged; run mirror" in first.log
    assert second.code == 2
    assert "its catalogue is not complete; run mirror first" in second.log
    assert tree(target) == before
    assert source.mirror().code == 0
    assert source.ask("copy", str(target.config)).code == 0
    assert tree(target) == tree(source)


def test_what_cannot_be_copied_is_refused(index: Index, make: Make, tmp_path: Path) -> None:
    source, target = make("disk"), make("disk")

    empty = source.ask("copy", str(target.config))
    publish(index)
    assert source.mirror().code == 0
    same = source.ask("copy", str(source.config))
    absent = source.ask("copy", str(tmp_path / "absent.conf"))

    assert (empty.code, same.code, absent.code) == (2, 2, 2)
    assert "run mirror first" in empty.log
    assert "both configurations are of this mirror" in same.log
    assert "there is no configuration" in absent.log
    shutil.rmtree(source.web / "simple" / "foo")
    assert source.ask("copy", str(target.config)).code in {0, 8}
