"""``DiskSpace``: reservations, and as few queries as possible."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from bandersnatch.config.schema import FreeSpace
from bandersnatch.errors import InsufficientSpace
from bandersnatch.storage.areas import PARTIAL
from bandersnatch.storage.filesystem import FilesystemStorage
from bandersnatch.storage.space import MARGIN, DiskSpace
from tests.support.disks import mounted
from tests.support.storages import BIG, expected, feed, key

if TYPE_CHECKING:
    from pathlib import Path

FILE = key("web/packages/aa/bb/cc/foo-1.0.tar.gz")
NAME = f"{PARTIAL}/{hashlib.sha256(BIG).hexdigest()}"
MEBIBYTE = 1024 * 1024
GIBIBYTE = 1024 * MEBIBYTE


def free_on(disk: Path) -> int:
    """Return how many bytes are free on a disk."""
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


class Questions:
    """A file system that counts the queries."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.count = 0

    async def __call__(self) -> tuple[int, int]:
        self.count += 1
        return self.free, 1000 * GIBIBYTE


def test_the_smaller_of_size_and_share_is_kept_free() -> None:
    assert FreeSpace().of(1000 * GIBIBYTE) == GIBIBYTE
    assert FreeSpace().of(GIBIBYTE) == GIBIBYTE // 100
    assert FreeSpace(size=GIBIBYTE, share=None).of(MEBIBYTE) == MEBIBYTE
    assert FreeSpace(size=None, share=0.5).of(GIBIBYTE) == GIBIBYTE // 2


async def test_a_disk_with_much_space_is_not_queried_for_every_file() -> None:
    disk = Questions(free=500 * GIBIBYTE)
    space = DiskSpace(FreeSpace(), disk)

    for _ in range(1000):
        promise = space.reservation(FILE)
        await promise.extend(4096)
        promise.release()

    assert disk.count == 1


async def test_a_disk_is_queried_again_after_large_reservations() -> None:
    disk = Questions(free=500 * GIBIBYTE)
    space = DiskSpace(FreeSpace(), disk)

    for _ in range(4):
        await space.reservation(FILE).extend(MARGIN)

    assert disk.count == 4


async def test_a_disk_without_a_minimum_of_free_space_is_never_queried() -> None:
    disk = Questions(free=0)

    await DiskSpace(FreeSpace(size=0), disk).reservation(FILE).extend(GIBIBYTE)

    assert disk.count == 0


async def test_reserved_space_is_not_reserved_twice() -> None:
    space = DiskSpace(FreeSpace(size=GIBIBYTE, share=None), Questions(free=3 * GIBIBYTE))
    first = space.reservation(FILE)
    await first.extend(2 * GIBIBYTE)

    with pytest.raises(InsufficientSpace) as caught:
        await space.reservation(FILE).extend(1)
    assert str(caught.value) == (
        f"not enough free space for {FILE}: it needs 4,096 bytes, 1,073,741,824 are free, and "
        "min-free-space reserves 1,073,741,824 of them; free some space, or lower min-free-space"
    )

    first.release()
    await space.reservation(FILE).extend(2 * GIBIBYTE)


async def test_written_bytes_count_once() -> None:
    disk = Questions(free=3 * GIBIBYTE)
    space = DiskSpace(FreeSpace(size=GIBIBYTE, share=None), disk)
    first = space.reservation(FILE)
    await first.extend(GIBIBYTE)
    first.written = GIBIBYTE
    disk.free -= GIBIBYTE

    await space.reservation(FILE).extend(GIBIBYTE)
    with pytest.raises(InsufficientSpace):
        await space.reservation(FILE).extend(1)


async def test_concurrent_downloads_keep_the_minimum_free(tmp_path: Path) -> None:
    keep = FreeSpace(size=12 * MEBIBYTE, share=None)
    contents = [bytes([number]) * MEBIBYTE + BIG[MEBIBYTE:] for number in range(8)]
    outcomes: list[bool] = []
    under_way = asyncio.Barrier(len(contents))

    async def download(storage: FilesystemStorage, number: int, content: bytes) -> None:
        try:
            async with storage.receive(key(f"{FILE}.{number}"), expected(content)) as sink:
                await under_way.wait()
                await feed(sink, content)
                await sink.finish()
        except InsufficientSpace:
            await under_way.wait()
            outcomes.append(False)
        else:
            outcomes.append(True)

    with mounted(tmp_path, size="34m"):
        async with (
            FilesystemStorage(str(tmp_path), keep_free=keep) as storage,
            asyncio.TaskGroup() as group,
        ):
            for number, content in enumerate(contents):
                group.create_task(download(storage, number, content))
        assert free_on(tmp_path) >= 12 * MEBIBYTE
        assert sorted(outcomes) == [False] * 4 + [True] * 4


@pytest.mark.parametrize("size", [-1, None], ids=["announced", "of unknown size"])
async def test_a_file_that_does_not_fit_is_rejected_before_it_uses_the_minimum(
    tmp_path: Path, size: int | None
) -> None:
    keep = FreeSpace(size=5 * MEBIBYTE, share=None)
    with mounted(tmp_path, size="8m"):
        async with FilesystemStorage(str(tmp_path), keep_free=keep) as storage:
            with pytest.raises(InsufficientSpace):
                async with storage.receive(FILE, expected(BIG, size=size)) as sink:
                    await feed(sink, BIG)

        assert free_on(tmp_path) >= 5 * MEBIBYTE
        begun = size is None
        assert (tmp_path / NAME).exists() == begun, "what is worth it waits for a later try"


async def test_a_resumed_download_reserves_space_only_for_the_rest(tmp_path: Path) -> None:
    with mounted(tmp_path, size="8m"):
        async with (
            FilesystemStorage(str(tmp_path)) as storage,
            storage.receive(FILE, expected(BIG)) as sink,
        ):
            await feed(sink, BIG[: 4 * MEBIBYTE])

        keep = FreeSpace(size=2 * MEBIBYTE, share=None)
        async with FilesystemStorage(str(tmp_path), keep_free=keep) as storage:
            async with storage.receive(FILE, expected(BIG)) as sink:
                assert sink.held == 4 * MEBIBYTE
                await feed(sink, BIG[sink.held :])
                await sink.finish()

            assert await storage.read(FILE) == BIG
