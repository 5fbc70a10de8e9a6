"""``FileDownload``: temporary files, resumption, and failures."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from bandersnatch.errors import DigestMismatch, StorageError, UnstorableName
from bandersnatch.storage.areas import PARTIAL
from bandersnatch.storage.download import MIN_RESUMABLE
from bandersnatch.storage.filesystem import OWNER_MARK, FilesystemStorage
from tests.support.disks import files, listing, mounted, open_files, umask
from tests.support.storages import BIG, expected, feed, key, receive

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

FILE = key("web/packages/aa/bb/cc/foo-1.0.tar.gz")
TWIN = key("web/packages/dd/ee/ff/bar-1.0.tar.gz")
SMALL = b"a small file"
NAME = f"{PARTIAL}/{hashlib.sha256(BIG).hexdigest()}"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "mirror"
    (root / PARTIAL).mkdir(parents=True)
    with umask(0o022):
        yield root


@pytest.fixture
async def storage(root: Path) -> AsyncIterator[FilesystemStorage]:
    async with FilesystemStorage(str(root)) as storage:
        yield storage


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """Return a file beside the mirror; the test must not change it."""
    (tmp_path / "outside").mkdir()
    outside = tmp_path / "outside" / "file"
    outside.write_bytes(BIG[:2_000_000])
    before = listing(outside)
    yield outside
    assert listing(outside) == before
    assert list(outside.parent.iterdir()) == [outside]


def tree(root: Path) -> dict[str, bytes]:
    """Return the files of a mirror except the lock."""
    found = files(root)
    del found[".lock"]
    return found


# ---------------------------------------------------------------- temporary files


async def test_the_temporary_file_of_a_large_download_is_named_by_its_digest(
    storage: FilesystemStorage, root: Path
) -> None:
    async with storage.receive(FILE, expected(BIG)) as sink:
        await feed(sink, BIG)
        assert list(tree(root)) == [NAME]
        assert (root / NAME).stat().st_mode & 0o7777 == 0o644
        await sink.finish()
        assert list(tree(root)) == [FILE]

    assert tree(root) == {FILE: BIG}
    assert (root / FILE).stat().st_mode & 0o7777 == 0o644


async def test_a_small_download_is_not_on_the_disk_before_it_is_verified(
    storage: FilesystemStorage, root: Path
) -> None:
    async with storage.receive(FILE, expected(SMALL)) as sink:
        await feed(sink, SMALL)
        assert tree(root) == {}
        await sink.finish()

    assert tree(root) == {FILE: SMALL}


async def test_an_unfinished_download_is_kept_if_it_is_large(
    storage: FilesystemStorage, root: Path
) -> None:
    async with storage.receive(FILE, expected(BIG)) as sink:
        await feed(sink, BIG[: MIN_RESUMABLE + 10])
    async with storage.receive(TWIN, expected(BIG[::-1])) as sink:
        await feed(sink, BIG[::-1][: MIN_RESUMABLE - 10])

    assert list(tree(root)) == [NAME]
    assert BIG.startswith(tree(root)[NAME])
    assert (root / NAME).stat().st_size >= MIN_RESUMABLE


async def test_wrong_content_leaves_no_temporary_file(
    storage: FilesystemStorage, root: Path
) -> None:
    async with storage.receive(FILE, expected(BIG)) as sink:
        await feed(sink, BIG[::-1])
        with pytest.raises(DigestMismatch):
            await sink.finish()
        assert tree(root) == {}

    assert tree(root) == {}


async def test_a_restart_frees_the_disk_space(storage: FilesystemStorage, root: Path) -> None:
    async with storage.receive(FILE, expected(BIG)) as sink:
        await feed(sink, BIG)
        await sink.restart()
        assert tree(root) == {}


async def test_downloads_of_the_same_content_do_not_share_a_temporary_file(
    storage: FilesystemStorage, root: Path
) -> None:
    async with (
        storage.receive(FILE, expected(BIG)) as first,
        storage.receive(TWIN, expected(BIG)) as second,
        storage.receive(key("web/third"), expected(BIG)) as third,
    ):
        await asyncio.gather(feed(first, BIG), feed(second, BIG), feed(third, BIG))
        assert set(tree(root)) == {NAME, f"{NAME}+", f"{NAME}++"}
        await second.finish()
        await third.finish()
        await first.finish()

    assert tree(root) == {FILE: BIG, TWIN: BIG, "web/third": BIG}


# ---------------------------------------------------------------- interrupted downloads


async def test_the_download_of_a_killed_run_is_resumed(
    storage: FilesystemStorage, root: Path
) -> None:
    (root / NAME).write_bytes(BIG[:1_234_567])

    async with storage.receive(FILE, expected(BIG)) as sink:
        assert sink.held == 1_234_567
        await feed(sink, BIG[sink.held :])
        await sink.finish()

    assert tree(root) == {FILE: BIG}


async def test_a_small_download_of_a_killed_run_is_used_at_once_or_discarded(
    storage: FilesystemStorage, root: Path
) -> None:
    (root / NAME).write_bytes(BIG[:1000])

    async with storage.receive(FILE, expected(BIG)) as sink:
        assert sink.held == 1000

    assert tree(root) == {}


async def test_the_temporary_file_of_a_small_download_is_replaced(
    storage: FilesystemStorage, root: Path
) -> None:
    (root / PARTIAL / hashlib.sha256(SMALL).hexdigest()).write_bytes(b"other bytes")

    await receive(storage, FILE, SMALL)

    assert tree(root) == {FILE: SMALL}


@pytest.mark.parametrize("content", [SMALL, BIG], ids=["small", "big"])
@pytest.mark.parametrize("kind", ["link", "dangling", "loop", "hard link", "fifo"])
async def test_a_planted_temporary_file_is_replaced_and_not_resumed(
    storage: FilesystemStorage, root: Path, outside: Path, kind: str, content: bytes
) -> None:
    """Not even a hard link is resumed, as a backup may make it: its content is shared."""
    planted = root / PARTIAL / hashlib.sha256(content).hexdigest()
    if kind == "hard link":
        planted.hardlink_to(outside)
    elif kind == "fifo":
        os.mkfifo(planted)
    else:
        target = {"link": outside, "dangling": outside.with_name("never"), "loop": planted}[kind]
        planted.symlink_to(target)

    async with asyncio.timeout(10), storage.receive(FILE, expected(content)) as sink:
        assert sink.held == 0
        await feed(sink, content)
        await sink.finish()

    assert tree(root) == {FILE: content}


async def test_a_directory_in_place_of_a_temporary_file_is_reported(
    storage: FilesystemStorage, root: Path
) -> None:
    (root / NAME).mkdir()

    async with storage.receive(FILE, expected(BIG)) as sink:
        with pytest.raises(StorageError) as caught:
            await feed(sink, BIG)

    assert caught.value.key == FILE
    assert tree(root) == {}


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize("content", [SMALL, BIG], ids=["small", "big"])
async def test_an_unstorable_name_leaves_no_temporary_file(
    storage: FilesystemStorage, root: Path, content: bytes
) -> None:
    async with storage.receive(key(f"web/{'x' * 256}"), expected(content)) as sink:
        await feed(sink, content)
        with pytest.raises(UnstorableName):
            await sink.finish()
        assert sink.held == 0
        assert tree(root) == {}

    await receive(storage, FILE, content)
    assert tree(root) == {FILE: content}


async def test_a_link_in_place_of_a_directory_is_not_downloaded_through(
    storage: FilesystemStorage, root: Path, outside: Path
) -> None:
    (root / "web/packages").mkdir(parents=True)
    (root / "web/packages/aa").symlink_to(outside.parent)

    async with storage.receive(FILE, expected(SMALL)) as sink:
        await feed(sink, SMALL)
        with pytest.raises(StorageError, match="it is a link"):
            await sink.finish()

    assert tree(root) == {}


async def test_a_link_in_place_of_the_file_is_replaced(
    storage: FilesystemStorage, root: Path, outside: Path
) -> None:
    (root / FILE).parent.mkdir(parents=True)
    (root / FILE).symlink_to(outside)

    await receive(storage, FILE, SMALL)

    assert tree(root) == {FILE: SMALL}


async def test_a_download_that_fills_the_disk_is_discarded(tmp_path: Path) -> None:
    """There must be space for the state files."""
    with mounted(tmp_path, size="4m"):
        async with FilesystemStorage(str(tmp_path)) as storage:
            await storage.write({FILE: b"old"})
            async with storage.receive(FILE, expected(BIG)) as sink:
                with pytest.raises(StorageError, match="No space left on device"):
                    await feed(sink, BIG)
                assert sink.held == 0

            assert tree(tmp_path) == {FILE: b"old"}
            await storage.write({key("status"): bytes(100_000)}, durable=True)


async def test_a_download_cancelled_while_it_is_resumed_can_be_resumed_again(
    storage: FilesystemStorage, root: Path
) -> None:
    content = BIG * 4
    name = f"{PARTIAL}/{hashlib.sha256(content).hexdigest()}"
    (root / name).write_bytes(content[:-1])
    before = open_files()

    async def begin() -> None:
        async with storage.receive(FILE, expected(content)):
            raise AssertionError("it was to be cancelled before")

    task = asyncio.create_task(begin())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert open_files() == before

    async with storage.receive(FILE, expected(content)) as sink:
        assert sink.held == len(content) - 1
        await sink.write(content[-1:])
        assert list(tree(root)) == [name]
        await sink.finish()
    assert tree(root) == {FILE: content}


# ---------------------------------------------------------------- purging


async def test_only_old_downloads_are_purged(storage: FilesystemStorage, root: Path) -> None:
    old, young = root / PARTIAL / "old", root / PARTIAL / "young"
    for path, seconds in ((old, 999), (young, 1000)):
        path.write_bytes(b"x")
        os.utime(path, (seconds, seconds))
    await storage.write({FILE: b"1"})
    os.utime(root / FILE, (1, 1))

    await storage.purge_downloads(before=1000)

    assert set(tree(root)) == {f"{PARTIAL}/young", FILE}


async def test_a_link_is_purged_by_its_own_age(
    storage: FilesystemStorage, root: Path, outside: Path
) -> None:
    link = root / PARTIAL / "link"
    link.symlink_to(outside)
    os.utime(link, (999, 999), follow_symlinks=False)

    await storage.purge_downloads(before=1000)

    assert not link.is_symlink()


# ---------------------------------------------------------------- several processes


async def _begin(storage: FilesystemStorage, size: int) -> None:
    """Receive the first bytes of a large file, and give up."""
    async with storage.receive(FILE, expected(BIG)) as sink:
        await feed(sink, BIG[sink.held : size])


def _worker(root: Path, number: int) -> FilesystemStorage:
    return FilesystemStorage(str(root), worker=f"{OWNER_MARK}{number}")


async def test_a_process_continues_what_another_one_has_left(
    root: Path, storage: FilesystemStorage
) -> None:
    size = 2 * MIN_RESUMABLE
    async with _worker(root, 1) as first, _worker(root, 2) as second:
        await _begin(first, size)
        assert NAME in files(root)
        async with second.receive(FILE, expected(BIG)) as sink:
            assert sink.held == size
            assert NAME not in files(root), "it is the second one's now"
            async with first.receive(TWIN, expected(BIG)) as other:
                assert other.held == 0
            await feed(sink, BIG[size:])
            await sink.finish()
    assert tree(root) == {FILE: BIG}


async def test_what_a_killed_process_has_left_is_continued(root: Path) -> None:
    (root / f"{NAME}{OWNER_MARK}2").write_bytes(BIG[: 2 * MIN_RESUMABLE])
    async with FilesystemStorage(str(root)) as storage:
        async with storage.receive(FILE, expected(BIG)) as sink:
            assert sink.held == 2 * MIN_RESUMABLE
            await feed(sink, BIG[sink.held :])
            await sink.finish()
        assert tree(root) == {FILE: BIG}
