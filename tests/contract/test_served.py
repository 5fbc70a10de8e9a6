"""The contract of storages that web servers read from."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol

import pytest

from bandersnatch.errors import ForeignLink, MissingObject, StorageError
from bandersnatch.layout import PageFormat, StorageKey
from bandersnatch.storage.filesystem import FilesystemStorage
from bandersnatch.storage.served import ServedFiles
from tests.support.memory_storage import MemoryStorage
from tests.support.storages import BucketPlace, ObjectsPlace

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from bandersnatch.storage.port import MirrorStorage, ServedStorage
    from tests.support.ceph import SharedCeph

PAGE = StorageKey("web/simple/foo/index.html")
VERSION = StorageKey("web/simple/foo/versions/index_1_2.html")


class ServedPlace(Protocol):
    """A mirror that a run changes while a server reads it."""

    def work(self) -> AbstractAsyncContextManager[MirrorStorage]:
        """Open it as a run does."""
        ...

    def serve(self) -> AbstractAsyncContextManager[ServedStorage]:
        """Open it as a server does."""
        ...


class Disk:
    """A directory."""

    def __init__(self, home: Path) -> None:
        self.root = home / "mirror"

    def work(self) -> AbstractAsyncContextManager[MirrorStorage]:
        """Open it with its lock."""
        return FilesystemStorage(str(self.root))

    def serve(self) -> AbstractAsyncContextManager[ServedStorage]:
        """Open it to serve it."""
        return ServedFiles(str(self.root))


class Memory:
    """A dictionary."""

    def __init__(self, _: Path) -> None:
        self._storage = MemoryStorage()

    def work(self) -> AbstractAsyncContextManager[MirrorStorage]:
        """Return it."""
        return self._storage.opened()

    def serve(self) -> AbstractAsyncContextManager[ServedStorage]:
        """Return it as a server sees it."""
        return self._storage.served()


class InBucket(BucketPlace):
    """A prefix of a bucket."""

    def serve(self) -> AbstractAsyncContextManager[ServedStorage]:
        """Open it to serve it."""
        return _served(self)


class InObjects(ObjectsPlace):
    """A store in memory, by the same client."""

    def serve(self) -> AbstractAsyncContextManager[ServedStorage]:
        """Open it to serve it."""
        return _served(self)


def _served(place: BucketPlace) -> AbstractAsyncContextManager[ServedStorage]:
    from bandersnatch.storage.s3.served import ServedBucket  # noqa: PLC0415 - needs obstore

    return nullcontext(ServedBucket(place.settings, {}, place.client))


@pytest.fixture(params=["disk", "memory", "objects", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path, shared_ceph: SharedCeph) -> ServedPlace:
    if request.param == "s3":
        return InBucket(tmp_path, shared_ceph.get())
    if request.param == "objects":
        return InObjects(tmp_path)
    return Disk(tmp_path) if request.param == "disk" else Memory(tmp_path)


async def test_an_object_is_looked_at_and_read(place: ServedPlace) -> None:
    content = os.urandom(300_000)
    async with place.work() as storage:
        await storage.write({PAGE: content})
        (stat,) = await storage.stat([PAGE])

    async with place.serve() as served:
        found = await served.look(PAGE)
        async with served.open(PAGE) as opened:
            whole = await opened.read(0, opened.found.size)
            part = await opened.read(299_990, 100)
            rest = await opened.read(300_000, 100)
            assert opened.found == found

    assert stat is not None
    assert found is not None
    assert (found.size, found.modified) == (stat.size, stat.modified)
    assert whole == content
    assert part == content[299_990:]
    assert rest == b""


async def test_what_does_not_exist_is_not_found(place: ServedPlace) -> None:
    async with place.work() as storage:
        await storage.write({PAGE: b"x"})

    async with place.serve() as served:
        for key in ("web/simple/bar/index.html", "web/simple/foo/index.html/x", "web/simple/foo"):
            assert await served.look(StorageKey(key)) is None
            with pytest.raises(StorageError):
                async with served.open(StorageKey(key)):
                    pass


async def test_a_changed_object_has_another_tag(place: ServedPlace) -> None:
    async with place.work() as storage, place.serve() as served:
        tags = []
        for content in (b"1", b"2", b"1"):
            await storage.write({PAGE: content})
            found = await served.look(PAGE)
            assert found is not None
            again = await served.look(PAGE)
            assert again is not None
            assert found.tag == again.tag
            tags.append(found.tag)

    assert tags[0] != tags[1] != tags[2]


async def test_an_open_object_stays_what_it_was(place: ServedPlace) -> None:
    async with place.work() as storage, place.serve() as served:
        await storage.write({PAGE: b"first"})
        async with served.open(PAGE) as opened:
            await storage.write({PAGE: b"another"})
            assert await opened.read(0, 100) == b"first"
            await storage.discard([PAGE])
            assert await opened.read(1, 3) == b"irs"

        assert await served.look(PAGE) is None


async def test_a_large_object_is_read_in_any_order(place: ServedPlace) -> None:
    content = os.urandom(10_000_000)
    async with place.work() as storage, place.serve() as served:
        await storage.write({PAGE: content})
        async with served.open(PAGE) as opened:
            for start, size in ((0, 1000), (3_999_000, 5_000_000), (9_999_990, 100), (17, 5)):
                assert await opened.read(start, size) == content[start : start + size]


async def test_a_page_shows_the_version_that_was_published(place: ServedPlace) -> None:
    async with place.work() as storage, place.serve() as served:
        await storage.write({VERSION: b"old page"})
        await storage.publish_version(PAGE, VERSION)

        found = await served.look(PAGE)
        async with served.open(PAGE) as opened:
            assert await opened.read(0, 100) == b"old page"
            assert opened.found == found
        await storage.write({}, absent=[VERSION, PAGE])
        assert await served.look(PAGE) is None


# ---------------------------------------------------------------- on a disk only


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    found = Disk(tmp_path)
    directory = found.root / "web/simple/foo"
    directory.mkdir(parents=True)
    (found.root / "status").write_text("secret")
    (tmp_path / "secret").write_text("secret")
    return found


@pytest.mark.parametrize(
    "target",
    [
        *("../../../status", "../../../../secret", "/etc/passwd", "{root}/status", "index.html"),
        *("other.html", "versions/../other.html", "versions/missing.html", "versions", "versions/"),
        *("versions/a.v1_json", "versions/deeper/a.html", "../bar/versions/a.html", "/dev/zero"),
    ],
)
async def test_no_other_link_is_followed(disk: Disk, target: str) -> None:
    home = disk.root / "web/simple/foo"
    for name in ("other.html", "versions/a.v1_json", "versions/deeper/a.html"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text("secret")
    (home / "../bar/versions").mkdir(parents=True)
    (home / "../bar/versions/a.html").write_text("secret")
    (home / "index.html").symlink_to(target.format(root=disk.root))

    async with disk.serve() as served:
        with pytest.raises((MissingObject, StorageError)):
            async with served.open(PAGE):
                pass
        try:
            assert await served.look(PAGE) is None
        except StorageError as error:
            assert "secret" not in str(error)  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    "path", ["versions/index_1_2.html", "{root}/web/simple/foo/versions/index_1_2.html"]
)
async def test_links_of_earlier_releases_are_followed(disk: Disk, path: str) -> None:
    home = disk.root / "web/simple/foo"
    (home / "versions").mkdir()
    (home / "versions/index_1_2.html").write_text("page")
    (home / "index.html").symlink_to(path.format(root=disk.root))

    async with disk.serve() as served, served.open(PAGE) as opened:
        assert await opened.read(0, 10) == b"page"


async def test_a_link_in_the_place_of_a_version_is_not_followed(disk: Disk) -> None:
    home = disk.root / "web/simple/foo"
    (home / "versions").mkdir()
    (home / "versions/index_1_2.html").symlink_to("../../../../status")
    (home / "index.html").symlink_to("versions/index_1_2.html")

    async with disk.serve() as served:
        assert await served.look(PAGE) is None
        with pytest.raises(StorageError):
            async with served.open(PAGE):
                pass


async def test_a_link_in_the_place_of_a_directory_is_not_followed(disk: Disk) -> None:
    (disk.root / "web/simple/foo/index.html").write_text("page")
    (disk.root / "web/simple/bar").symlink_to("foo")

    async with disk.serve() as served:
        assert await served.look(StorageKey("web/simple/bar/index.html")) is None


@pytest.mark.parametrize("kind", ["fifo", "directory", "socket"])
async def test_only_regular_files_are_served(disk: Disk, kind: str) -> None:
    path = disk.root / "web/simple/foo/index.html"
    if kind == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)

    async with disk.serve() as served:
        assert await served.look(PAGE) is None
        with pytest.raises(StorageError):
            async with served.open(PAGE):
                pass


async def test_an_area_that_was_exchanged_is_noticed(disk: Disk, tmp_path: Path) -> None:
    now = 0.0
    page = disk.root / "web/simple/foo/index.html"
    page.write_text("old")
    async with ServedFiles(str(disk.root), now=lambda: now) as served:
        assert await served.look(PAGE) is not None
        (disk.root / "web").rename(tmp_path / "web.old")
        other = tmp_path / "web.new"
        (other / "simple/foo").mkdir(parents=True)
        (other / "simple/foo/index.html").write_text("newer")
        (disk.root / "web").symlink_to(other)
        now = 6.0

        found = await served.look(PAGE)

    assert found is not None
    assert found.size == 5


async def test_a_mirror_that_is_made_later_is_served(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    async with disk.serve() as served:
        with pytest.raises(StorageError, match="is it mounted"):
            await served.look(PAGE)
        async with disk.work() as storage:
            await storage.write({PAGE: b"x"})
            assert await served.look(PAGE) is not None


def test_which_keys_are_versions_of_a_page() -> None:
    from bandersnatch.layout import is_version_of  # noqa: PLC0415

    assert PageFormat.of(PAGE) is PageFormat.HTML
    assert is_version_of(VERSION, PAGE)
    for other in ("web/simple/foo/index.html", "web/simple/foo/versions/a.v1_json", "versions/a"):
        assert not is_version_of(StorageKey(other), PAGE)
    assert issubclass(ForeignLink, MissingObject)
