"""``FilesystemStorage``: opening, locking, writing, durability, failures."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bandersnatch.errors import LockConflict, MissingObject, StorageError
from bandersnatch.layout import trash
from bandersnatch.storage import lock
from bandersnatch.storage.areas import AREAS, PARTIAL
from bandersnatch.storage.filesystem import FilesystemStorage
from tests.support.directories import LosingDirectory
from tests.support.disks import (
    files,
    is_there,
    listing,
    make_read_only,
    modes,
    mounted,
    umask,
)
from tests.support.processes import start
from tests.support.storages import BIG, contents, expected, feed, key, receive
from tests.support.system import needs_links, needs_posix

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

PAGE, OTHER = key("web/simple/foo/index.html"), key("web/simple/bar/index.html")
TRASHED = trash(OTHER)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    with umask(0o022):
        yield tmp_path / "mirror"


def tree(root: Path) -> dict[str, bytes]:
    """Return the files of a mirror except the lock."""
    found = files(root)
    del found[".lock"]
    return found


async def opened(root: Path) -> None:
    """Open a mirror and close it again."""
    async with FilesystemStorage(str(root)):
        pass


@contextlib.contextmanager
def child(root: Path, program: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program that has opened a storage of ``root``."""
    frame = """
        import asyncio, sys
        from bandersnatch.storage.filesystem import FilesystemStorage
        async def main():
            async with FilesystemStorage(sys.argv[1]) as storage:
                print("open", flush=True)
                {}
        asyncio.run(main())
    """
    text = textwrap.dedent(frame).format(program)
    command = [sys.executable, "-c", text, str(root)]
    with start(command, stdin=subprocess.PIPE, stderr=None) as it:
        assert it.stdout is not None
        assert it.stdout.readline() == "open\n"
        try:
            yield it
        finally:
            it.kill()


# ---------------------------------------------------------------- opening


async def test_opening_creates_the_directory_the_lock_and_the_partial_directory(root: Path) -> None:
    async with FilesystemStorage(str(root / "deep" / "er")):
        pass

    assert modes(root) == {
        "deep": 0o755,
        "deep/er": 0o755,
        "deep/er/.partial": 0o755,
        "deep/er/.lock": 0o644,
    }


async def test_a_relative_directory_stays_where_it_was(tmp_path: Path) -> None:
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        storage = FilesystemStorage("mirror")
    finally:
        os.chdir(here)
    async with storage:
        await storage.write({PAGE: b"1"})

    assert tree(tmp_path / "mirror") == {PAGE: b"1"}


@pytest.mark.parametrize("directory", ["/", "//", "/../"])
@pytest.mark.parametrize("read_only", [False, True])
async def test_the_root_of_the_file_system_is_rejected(directory: str, *, read_only: bool) -> None:
    with pytest.raises(StorageError, match="a mirror needs a directory of its own"):
        async with FilesystemStorage(directory, read_only=read_only):
            pass

    assert not is_there(Path("/.partial"))


async def test_a_directory_that_cannot_be_created_is_named_in_the_error(root: Path) -> None:
    (root.parent / "file").write_bytes(b"")
    below = root.parent / "file" / "below"

    with pytest.raises(StorageError) as caught:
        await opened(below)

    assert caught.value.key == str(below)


async def test_temporary_files_of_a_killed_run_are_deleted_and_downloads_kept(root: Path) -> None:
    await opened(root)
    for name in ("t0", "t17", "0f" * 32, "0f" * 32 + "+"):
        (root / PARTIAL / name).write_bytes(b"x")
    (root / PARTIAL / "t3").symlink_to(root / "status")

    await opened(root)

    assert {path.name for path in (root / PARTIAL).iterdir()} == {"0f" * 32, "0f" * 32 + "+"}


async def test_a_temporary_file_that_cannot_be_deleted_is_an_error_that_releases_the_lock(
    root: Path,
) -> None:
    (root / PARTIAL / "t0").mkdir(parents=True)

    with pytest.raises(StorageError):
        await opened(root)

    (root / PARTIAL / "t0").rmdir()
    await opened(root)


async def test_a_kill_leaves_complete_files_and_the_next_run_deletes_the_rest(root: Path) -> None:
    text = "str(number).encode() * 100_000"
    write = f'await storage.write(dict.fromkeys(["{PAGE}", "{OTHER}"], {text}))'
    tell = 'number or print("written once", flush=True)'
    with child(root, f"for number in range(10 ** 9): {write}; {tell}") as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        await asyncio.sleep(0.1)

    await opened(root)

    found = tree(root)
    assert set(found) == {PAGE, OTHER}
    first, second = number_in(found[PAGE]), number_in(found[OTHER])
    assert first in {second, second + 1}


def number_in(content: bytes) -> int:
    """Return the number that the content repeats."""
    digits = len(content) // 100_000
    assert content == content[:digits] * 100_000
    return int(content[:digits])


# ---------------------------------------------------------------- areas


@pytest.mark.parametrize("area", AREAS)
async def test_an_area_may_be_a_link_to_a_directory(root: Path, area: str) -> None:
    elsewhere = root.with_name("elsewhere")
    elsewhere.mkdir()
    (root / area).parent.mkdir(parents=True)
    (root / area).symlink_to(elsewhere)

    async with FilesystemStorage(str(root)) as storage:
        await storage.write({key(f"{area}/x"): b"1"})

    assert files(elsewhere) == {"x": b"1"}


@pytest.mark.parametrize("kind", ["dangling", "loop", "file"])
@pytest.mark.parametrize("area", AREAS)
async def test_an_area_that_is_not_a_directory_is_rejected_before_any_change(
    root: Path, area: str, kind: str
) -> None:
    path = root / area
    path.parent.mkdir(parents=True)
    if kind == "file":
        path.write_bytes(b"")
    else:
        path.symlink_to(path if kind == "loop" else root.with_name("not mounted"))

    with pytest.raises(StorageError) as caught:
        await opened(root)

    says = "it is not a directory; is its disk mounted?"
    assert str(caught.value) == f"storage failed at {area}: {says}"


async def test_the_partial_directory_may_not_be_a_link(root: Path) -> None:
    """The program deletes files there; it must not delete those of a link's target."""
    elsewhere = root.with_name("elsewhere")
    elsewhere.mkdir()
    (elsewhere / "thesis.txt").write_bytes(b"1")
    await opened(root)
    (root / PARTIAL).rmdir()
    (root / PARTIAL).symlink_to(elsewhere)

    with pytest.raises(StorageError, match="it is a link; make it a directory"):
        await opened(root)

    assert files(elsewhere) == {"thesis.txt": b"1"}


# ---------------------------------------------------------------- the lock


@needs_posix
async def test_a_second_command_fails_immediately_with_the_holder_of_the_lock(root: Path) -> None:
    with child(root, "sys.stdin.read()") as holder:
        began = time.monotonic()
        with pytest.raises(LockConflict) as caught:
            await opened(root)

        assert time.monotonic() - began < 2
        assert caught.value.path == str(root / ".lock")
        assert caught.value.holder == f"process {holder.pid}"

    await opened(root)


@needs_posix
async def test_a_second_holder_in_one_process_is_rejected_too(root: Path) -> None:
    async with FilesystemStorage(str(root)) as storage:
        with pytest.raises(LockConflict, match=f"held by process {os.getpid()}; wait for it"):
            await opened(root)
        await storage.write({PAGE: b"still at work"})

    assert tree(root) == {PAGE: b"still at work"}


async def test_a_rejected_command_does_not_delete_the_holders_temporary_files(root: Path) -> None:
    async with FilesystemStorage(str(root)):
        (root / PARTIAL / "t0").write_bytes(b"half a page")
        with pytest.raises(LockConflict):
            await opened(root)

        assert (root / PARTIAL / "t0").exists()


@pytest.mark.parametrize("how", ["error", "cancelled"])
async def test_the_lock_is_released_however_the_work_ends(root: Path, how: str) -> None:
    async def work() -> None:
        async with FilesystemStorage(str(root)):
            if how == "error":
                raise ZeroDivisionError
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises((ZeroDivisionError, asyncio.CancelledError)):
        await task

    await opened(root)


async def test_a_lock_file_without_a_holder_does_not_block(root: Path) -> None:
    await opened(root)
    assert (root / ".lock").exists()

    await opened(root)


async def test_a_lock_file_that_is_a_link_is_not_followed(root: Path) -> None:
    await opened(root)
    (root / ".lock").unlink()
    outside = root.with_name("outside")
    (root / ".lock").symlink_to(outside)

    with pytest.raises(StorageError) as caught:
        await opened(root)

    assert caught.value.key == ".lock"
    assert not outside.exists()


async def test_an_unknown_holder_is_called_another_process(root: Path) -> None:
    async with FilesystemStorage(str(root)) as storage:
        await storage.write({PAGE: b"not locked"})

        assert lock._holder(str(root / PAGE)) == "another process"
        assert lock._holder(str(root / "never")) == "another process"


# ---------------------------------------------------------------- read only


async def test_read_only_changes_nothing_not_even_by_opening(root: Path) -> None:
    async with FilesystemStorage(str(root)) as storage:
        await storage.write({PAGE: b"1"})
        async with storage.receive(OTHER, expected(BIG)) as sink:
            await feed(sink, BIG[:3_000_000])
    (root / PARTIAL / "t0").write_bytes(b"")
    before = listing(root)

    async with FilesystemStorage(str(root), read_only=True) as storage:
        assert await contents(storage) == {PAGE: b"1"}
        assert len(await storage.stat([PAGE])) == 1
        await storage.digest(PAGE, ["sha256"])
        await storage.flush()

    assert listing(root) == before


async def test_read_only_creates_nothing(root: Path) -> None:
    async with FilesystemStorage(str(root), read_only=True) as storage:
        assert await contents(storage) == {}
        assert await storage.stat([PAGE]) == [None]
        with pytest.raises(MissingObject):
            await storage.read(PAGE)

    assert not is_there(root)


async def test_one_process_may_read_while_another_writes(root: Path) -> None:
    async with (
        FilesystemStorage(str(root)) as writer,
        FilesystemStorage(str(root), read_only=True) as reader,
    ):
        await writer.write({PAGE: b"1"})
        assert await reader.read(PAGE) == b"1"


# ---------------------------------------------------------------- disk failures


async def test_a_full_disk_leaves_only_the_old_content(tmp_path: Path) -> None:
    with mounted(tmp_path, size="1m"):
        async with FilesystemStorage(str(tmp_path)) as storage:
            await storage.write({PAGE: b"old", OTHER: b"old"})

            with pytest.raises(StorageError) as caught:
                await storage.write({PAGE: b"new", OTHER: BIG, key("web/x"): b"never"})

            assert str(caught.value) == f"storage failed at {OTHER}: No space left on device"
            assert tree(tmp_path) == {PAGE: b"new", OTHER: b"old"}
            await storage.write({key("status"): bytes(500_000)}, durable=True)


async def test_a_disk_without_free_inodes_is_an_error(tmp_path: Path) -> None:
    with mounted(tmp_path, size="1m,nr_inodes=12"):
        async with FilesystemStorage(str(tmp_path)) as storage:
            many = {key(f"web/{number}"): b"" for number in range(20)}
            with pytest.raises(StorageError, match="No space left on device"):
                await storage.write(many)

            assert list((tmp_path / PARTIAL).iterdir()) == []


async def test_a_read_only_disk_is_an_error(tmp_path: Path) -> None:
    with mounted(tmp_path):
        async with FilesystemStorage(str(tmp_path)) as storage:
            await storage.write({PAGE: b"old", TRASHED: b"old"})
        make_read_only(tmp_path)
        async with FilesystemStorage(str(tmp_path), read_only=True) as storage:
            for act in (
                storage.write({PAGE: b"new"}),
                storage.write({}, absent=[PAGE]),
                storage.publish_version(OTHER, PAGE),
                storage.discard([PAGE]),
                storage.recover([TRASHED]),
                storage.purge([TRASHED]),
                receive(storage, OTHER, b"1"),
                receive(storage, OTHER, BIG),
            ):
                with pytest.raises(StorageError, match="Read-only file system"):
                    await act
            assert await contents(storage) == {PAGE: b"old", TRASHED: b"old"}

        with pytest.raises(StorageError, match="Read-only file system"):
            await opened(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not stop root")
async def test_a_directory_without_write_permission_is_an_error(root: Path) -> None:
    async with FilesystemStorage(str(root)) as storage:
        await storage.write({PAGE: b"old"})
        (root / PAGE).parent.chmod(0o555)
        try:
            with pytest.raises(StorageError, match="Permission denied"):
                await storage.write({PAGE: b"new"})
            assert await contents(storage) == {PAGE: b"old"}
        finally:
            (root / PAGE).parent.chmod(0o755)


# ---------------------------------------------------------------- flush


async def test_flush_without_changes_does_nothing(root: Path) -> None:
    async with FilesystemStorage(str(root)) as storage:
        await storage.write({PAGE: b"1"})
    async with FilesystemStorage(str(root), opener=LosingDirectory.at) as storage:
        await storage.write({PAGE: b"1"}, absent=[OTHER])
        await storage.discard([OTHER])
        await storage.recover([TRASHED])
        await storage.purge([TRASHED])
        await storage.flush()


@pytest.mark.parametrize(
    "change", ["write", "absent", "version", "discard", "recover", "purge", "receive"]
)
async def test_flush_syncs_after_every_kind_of_change(root: Path, change: str) -> None:
    async with FilesystemStorage(str(root)) as storage:
        await storage.write({PAGE: b"1", TRASHED: b"1"})
    async with FilesystemStorage(str(root), opener=LosingDirectory.at) as storage:
        changes: dict[str, Callable[[], Awaitable[object]]] = {
            "write": lambda: storage.write({PAGE: b"2"}),
            "absent": lambda: storage.write({}, absent=[PAGE]),
            "version": lambda: storage.publish_version(OTHER, PAGE),
            "discard": lambda: storage.discard([PAGE]),
            "recover": lambda: storage.recover([TRASHED]),
            "purge": lambda: storage.purge([TRASHED]),
            "receive": lambda: receive(storage, OTHER, b"3"),
        }
        await changes[change]()
        with pytest.raises(StorageError):
            await storage.flush()


async def test_a_download_finished_after_a_flush_is_synced_by_the_next(root: Path) -> None:
    """A flush during a download does not make it durable."""
    async with FilesystemStorage(str(root), opener=LosingDirectory.at) as storage:
        async with storage.receive(PAGE, expected(BIG)) as sink:
            await feed(sink, BIG)
            await storage.flush()
            await sink.finish()
        with pytest.raises(StorageError):
            await storage.flush()


async def test_a_failed_flush_fails_every_later_flush(root: Path) -> None:
    """The kernel reports lost writes once, so that a second sync would prove nothing."""
    async with FilesystemStorage(str(root), opener=LosingDirectory.at) as storage:
        await storage.write({PAGE: b"1"})
        results = await asyncio.gather(storage.flush(), storage.flush(), return_exceptions=True)
        assert list(map(str, results)) == [f"storage failed at {root}: Input/output error"] * 2

        for _ in range(2):
            with pytest.raises(StorageError):
                await storage.flush()


# ---------------------------------------------------------------- times


@pytest.mark.parametrize("modified", [1_700_000_000_123_456_000, 0, -1_000_000_000])
async def test_the_time_of_a_file_is_exact_to_the_nanosecond(root: Path, modified: int) -> None:
    wanted = expected(b"1", modified=modified)
    async with FilesystemStorage(str(root)) as storage, storage.receive(PAGE, wanted) as sink:
        await feed(sink, b"1")
        await sink.finish()

    assert (root / PAGE).stat().st_mtime_ns == modified


async def test_a_file_without_a_time_has_that_of_its_writing(root: Path) -> None:
    before = time.time_ns()
    async with FilesystemStorage(str(root)) as storage:
        await receive(storage, PAGE, b"1")

    assert before - 10**9 < (root / PAGE).stat().st_mtime_ns < time.time_ns() + 10**9


@needs_links
async def test_a_published_version_is_a_relative_link(root: Path) -> None:
    version = key("web/simple/foo/versions/1")
    async with FilesystemStorage(str(root)) as storage:
        await storage.write({version: b"1"})
        await storage.publish_version(PAGE, version)

    assert str((root / PAGE).readlink()) == "versions/1"


async def test_an_object_with_the_same_content_is_not_touched(root: Path) -> None:
    async with FilesystemStorage(str(root)) as storage:
        await storage.write({PAGE: b"1"})
        before = listing(root / "web")
        await storage.write({PAGE: b"1"}, durable=True)

    assert listing(root / "web") == before


@needs_links
async def test_a_link_is_replaced_by_a_file_with_the_same_content(root: Path) -> None:
    """The target may be deleted, and the page must not disappear with it."""
    version = key("web/simple/foo/versions/1")
    async with FilesystemStorage(str(root)) as storage:
        await storage.write({version: b"1"})
        await storage.publish_version(PAGE, version)

        assert await storage.write({PAGE: b"1"}) == [PAGE]

    assert not (root / PAGE).is_symlink()
