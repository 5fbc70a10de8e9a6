"""Areas on other file systems: staging, moves to and from ``removed``, flushes, space."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from bandersnatch.config.schema import FreeSpace
from bandersnatch.errors import InsufficientSpace, MissingObject, ObstructedPath, StorageError
from bandersnatch.layout import PACKAGES, TRASH, served, trash
from bandersnatch.storage.areas import AREAS, PARTIAL
from bandersnatch.storage.descriptors import DescriptorDirectory
from bandersnatch.storage.filesystem import FilesystemStorage
from tests.support.directories import LosingDirectory
from tests.support.disks import (
    bound,
    elsewhere,
    files,
    make_read_only,
    modes,
    mounted,
)
from tests.support.storages import BIG, contents, expected, feed, key, receive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bandersnatch.storage.directory import Directory

FILE = key("web/packages/aa/bb/foo.zip")
PAGE = key("web/simple/foo/index.html")
VERSION = key("web/simple/foo/versions/1")
WAYS = ("mount", "bind mount", "link")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


@pytest.fixture
def place(root: Path) -> Iterator[Callable[[str, str], None]]:
    """Return what puts an area on another file system."""
    with ExitStack() as stack:

        def put(area: str, way: str) -> None:
            at = root / area
            at.parent.mkdir(parents=True, exist_ok=True)
            if way == "link":
                at.symlink_to(stack.enter_context(elsewhere()))
                return
            at.mkdir()
            if way == "mount":
                stack.enter_context(mounted(at, size="16m"))
            else:
                source = root.with_name(f"source of {area.replace('/', ' ')}")
                source.mkdir()
                stack.enter_context(bound(at, source))

        yield put


def stored(root: Path) -> dict[str, bytes]:
    """Return the files of a mirror, through links and mounts, without the lock."""
    found = files(root)
    for area in AREAS:
        if (root / area).is_symlink():
            below = files((root / area).resolve())
            found |= {f"{area}/{name}": content for name, content in below.items()}
    del found[".lock"]
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("area", AREAS)
async def test_an_area_may_be_on_another_file_system(
    root: Path, place: Callable[[str, str], None], area: str, way: str
) -> None:
    place(area, way)
    small, large, discarded = (key(f"{area}/foo/{name}") for name in ("1", "2", "3"))

    async with FilesystemStorage(str(root)) as storage:
        await storage.write({small: b"1", discarded: b"3", key("status"): b"9"}, durable=True)
        await receive(storage, large, BIG)
        await storage.publish_version(key(f"{area}/foo/link"), small)
        if area != "removed":
            await storage.discard([discarded])
            assert await storage.read(trash(discarded)) == b"3"
            assert await storage.stat([discarded]) == [None]
            await storage.recover([trash(discarded)])
        await storage.flush()
        found = await contents(storage)
        assert await storage.read(key(f"{area}/foo/link")) == b"1"

    assert stored(root) == {"status": b"9", small: b"1", large: BIG, discarded: b"3"}
    assert set(found) == {small, large, discarded, f"{area}/foo/link"}
    assert (root / area / PARTIAL).is_dir()
    assert stat.S_IMODE((root / area / PARTIAL).stat().st_mode) == 0o700


@pytest.mark.parametrize("way", WAYS)
async def test_what_moves_to_removed_on_another_disk_keeps_time_mode_and_links(
    root: Path, place: Callable[[str, str], None], way: str
) -> None:
    place("removed", way)
    async with FilesystemStorage(str(root)) as storage:
        wanted = expected(b"1", modified=1_600_000_000_123_456_789)
        async with storage.receive(FILE, wanted) as sink:
            await feed(sink, b"1")
            await sink.finish()
        await storage.write({VERSION: b"page"})
        await storage.publish_version(PAGE, VERSION)
        before = await storage.stat([FILE])

        await storage.discard([PAGE, VERSION, FILE, key("web/packages/never")])

        assert set(stored(root)) == {trash(FILE), trash(VERSION)}
        assert not (root / "web/packages/aa").exists(), "empty directories are removed"
        assert await storage.read(trash(PAGE)) == b"page"
        moved = (root / trash(FILE)).stat()
        assert (moved.st_mtime_ns, stat.S_IMODE(moved.st_mode)) == (wanted.modified, 0o644)

        await storage.recover([trash(FILE), trash(VERSION), trash(PAGE)])

        assert await storage.stat([FILE]) == before
        assert await storage.read(PAGE) == b"page"
        assert stored(root) == {FILE: b"1", VERSION: b"page"}


async def test_each_file_system_has_its_own_directory_of_temporary_files(
    root: Path, place: Callable[[str, str], None]
) -> None:
    place("web", "mount")
    place("web/packages", "mount")
    async with (
        FilesystemStorage(str(root)) as storage,
        storage.receive(FILE, expected(BIG)) as sink,
    ):
        await feed(sink, BIG[:3_000_000])
        assert len(files(root / "web/packages" / PARTIAL)) == 1
        assert await contents(storage) == {}, "temporary files are not part of the mirror"

    (root / "web" / PARTIAL / "tleft").write_bytes(b"half a page")
    async with FilesystemStorage(str(root)) as storage:
        assert not files(root / "web" / PARTIAL)
        async with storage.receive(FILE, expected(BIG)) as sink:
            assert sink.held == 2 * 2**20, "the download is resumed"
        await storage.purge_downloads(before=2**40)
        assert not files(root / "web/packages" / PARTIAL)


async def test_areas_on_one_other_file_system_share_its_temporary_files(
    root: Path, place: Callable[[str, str], None]
) -> None:
    place("web", "mount")
    async with FilesystemStorage(str(root)) as storage:
        await storage.write({FILE: b"1", PAGE: b"1"})

    assert [name for name in modes(root) if name.endswith(PARTIAL)] == [PARTIAL, f"web/{PARTIAL}"]


@pytest.mark.parametrize("kind", ["link", "file", "mount"])
async def test_the_directory_of_temporary_files_must_be_one(
    root: Path, place: Callable[[str, str], None], kind: str
) -> None:
    place("removed", "mount")
    at = root / "removed" / PARTIAL
    with ExitStack() as stack:
        if kind == "mount":
            at.mkdir()
            stack.enter_context(mounted(at))
        elif kind == "file":
            at.write_bytes(b"1")
        else:
            at.symlink_to(root)

        with pytest.raises(StorageError, match=r"make it a directory|unmount it") as caught:
            async with FilesystemStorage(str(root)):
                pass

        assert caught.value.key == "removed/.partial"


# ---------------------------------------------------------------- failures


class StrictDirectory(DescriptorDirectory):
    """A directory in which no file can be renamed into another one of another area.

    File systems with quotas for directories do that; nothing can be seen before.
    """

    error = errno.EXDEV

    def rename(self, name: str, to: Directory, new: str, /) -> None:
        """Fail between ``web/packages`` and everything else."""
        if ("/web/packages" in self.path) != ("/web/packages" in to.path):
            raise OSError(self.error, os.strerror(self.error))
        super().rename(name, to, new)


class FailingDirectory(StrictDirectory):
    """As above, on a disk that fails."""

    error = errno.EIO


async def test_a_rename_that_is_refused_without_a_visible_reason_is_done_by_a_copy(
    root: Path,
) -> None:
    (root / "web/packages").mkdir(parents=True)
    async with FilesystemStorage(str(root), opener=StrictDirectory.at) as storage:
        await receive(storage, FILE, BIG)
        await receive(storage, key("web/packages/aa/2"), b"2")
        await storage.write({PAGE: b"1"})
        await storage.discard([FILE])
        await storage.recover([trash(FILE)])
        await storage.flush()

    assert stored(root) == {FILE: BIG, PAGE: b"1", "web/packages/aa/2": b"2"}


async def test_a_rename_that_fails_is_not_done_by_a_copy(root: Path) -> None:
    (root / "web/packages").mkdir(parents=True)
    async with FilesystemStorage(str(root), opener=FailingDirectory.at) as storage:
        with pytest.raises(StorageError, match="Input/output error"):
            await receive(storage, FILE, b"1")
        await storage.write({PAGE: b"1"})
        (root / FILE).parent.mkdir(parents=True, exist_ok=True)
        (root / FILE).write_bytes(b"1")
        with pytest.raises(StorageError, match="Input/output error"):
            await storage.discard([FILE])

    assert stored(root) == {FILE: b"1", PAGE: b"1"}


class LyingDirectory(DescriptorDirectory):
    """A directory on a disk that changes what is written to a copy."""

    def open_file(self, name: str, flags: int, /, mode: int = 0o666) -> int:
        """Write somewhere else, and add a byte."""
        descriptor = super().open_file(name, flags, mode)
        if flags & os.O_RDWR and flags & os.O_CREAT:
            os.write(descriptor, b"?")
        return descriptor


async def test_a_copy_is_checked_before_its_original_is_deleted(
    root: Path, place: Callable[[str, str], None]
) -> None:
    place("removed", "mount")
    async with FilesystemStorage(str(root), opener=LyingDirectory.at) as storage:
        await storage.write({FILE: b"1"})
        with pytest.raises(StorageError, match="another content") as caught:
            await storage.discard([FILE])

    assert caught.value.key == trash(FILE)
    assert stored(root) == {FILE: b"1"}


async def test_a_copy_is_durable_before_its_original_is_deleted(
    root: Path, place: Callable[[str, str], None]
) -> None:
    place("removed", "mount")
    async with FilesystemStorage(str(root)) as storage:
        await storage.write({FILE: b"1"})
    async with FilesystemStorage(str(root), opener=LosingDirectory.at) as storage:
        with pytest.raises(StorageError):
            await storage.discard([FILE])

        assert await storage.read(FILE) == await storage.read(trash(FILE)) == b"1"


async def test_a_mount_below_an_area_is_an_error_and_nothing_is_copied_to_it(root: Path) -> None:
    below = root / "web/packages/aa"
    below.mkdir(parents=True)
    with mounted(below):
        async with FilesystemStorage(str(root)) as storage:
            for write in (
                storage.write({FILE: b"1"}),
                receive(storage, FILE, b"1"),
                receive(storage, FILE, BIG),
            ):
                with pytest.raises(StorageError, match="is mounted below its area; only web, "):
                    await write

            assert stored(root) == {}


async def test_a_full_disk_for_removed_files_leaves_them_where_they_are(
    root: Path,
) -> None:
    (root / "removed").mkdir(parents=True)
    with mounted(root / "removed", size="1m"):
        async with FilesystemStorage(str(root)) as storage:
            await storage.write({FILE: BIG, PAGE: b"1"})
            for _ in range(2):
                with pytest.raises(InsufficientSpace) as caught:
                    await storage.discard([PAGE, FILE])
                assert caught.value.key == trash(FILE)
            await receive(storage, key("web/packages/aa/2"), BIG)

        assert not files(root / "removed" / PARTIAL)
        assert stored(root)[FILE] == BIG


async def test_the_space_of_the_disk_that_is_written_to_is_kept_free(root: Path) -> None:
    (root / "web/packages").mkdir(parents=True)
    (root / "removed").mkdir(parents=True)
    keep = FreeSpace(size=5_000_000, share=None)
    with (
        mounted(root / "web/packages", size="16m"),
        mounted(root / "removed", size="8m"),
    ):
        async with FilesystemStorage(str(root), keep_free=keep) as storage:
            packages, removed = await storage.free_space(PACKAGES), await storage.free_space(TRASH)
            state = await storage.free_space(key("status"))
            assert packages.place == "web/packages"
            assert packages.free == 16 * 2**20 - 5_000_000
            assert (removed.place, removed.free) == ("removed", 8 * 2**20 - 5_000_000)
            assert state.place == ""
            await receive(storage, FILE, BIG)
            with pytest.raises(InsufficientSpace, match="it needs 5,242,880 bytes"):
                await storage.discard([FILE])
            for number in range(2):
                each = key(f"web/packages/{number}")
                if number:
                    with pytest.raises(InsufficientSpace):
                        await receive(storage, each, BIG)
                else:
                    await receive(storage, each, BIG)


@pytest.mark.parametrize("area", ["web", "web/packages", "removed"])
async def test_an_area_on_a_read_only_disk_is_named_at_the_start(root: Path, area: str) -> None:
    (root / area).mkdir(parents=True)
    with mounted(root / area):
        make_read_only(root / area)
        with pytest.raises(StorageError, match="Read-only file system") as caught:
            async with FilesystemStorage(str(root)):
                pass
        assert caught.value.key == area
        async with FilesystemStorage(str(root), read_only=True) as storage:
            assert await contents(storage) == {}


async def test_an_area_that_was_unmounted_is_not_filled(root: Path) -> None:
    """The disk stays open during a run; the next run finds an empty directory."""
    (root / "web/packages").mkdir(parents=True)
    async with FilesystemStorage(str(root)) as storage:
        (root / "web/packages").rename(root / "away")
        (root / "web/packages").mkdir()
        await storage.write({FILE: b"1"})
        with pytest.raises(MissingObject):
            await storage.read(key("web/packages/never"))

    assert stored(root) == {"away/aa/bb/foo.zip": b"1"}


async def test_a_planted_link_is_not_an_area(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / "web/simple/foo").parent.mkdir(parents=True)
    (root / "web/simple/foo").symlink_to(outside)
    async with FilesystemStorage(str(root)) as storage:
        with pytest.raises(ObstructedPath):
            await storage.write({PAGE: b"1"})
        await storage.write({key("removed/simple/foo/index.html"): b"1"})
        with pytest.raises(ObstructedPath):
            await storage.recover([trash(PAGE)])

    assert served(trash(PAGE)) == PAGE
    assert files(outside) == {}
