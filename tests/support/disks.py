"""Helpers for tests that prepare and inspect directories and file systems."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def mounted(at: Path, *, size: str = "1m") -> Iterator[None]:
    """Mount a small file system; skip the test where that is impossible."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a file system")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(at)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)


@contextmanager
def bound(at: Path, source: Path) -> Iterator[None]:
    """Mount a directory a second time; skip the test where that is impossible."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a directory a second time")
    command = ["mount", "--bind", str(source), str(at)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no directory can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True)


@contextmanager
def elsewhere() -> Iterator[Path]:
    """Yield a directory on another file system, ``/dev/shm``; skip the test if there is none."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == Path.cwd().stat().st_dev:
        pytest.skip("/dev/shm is not another file system that can be written to")
    with TemporaryDirectory(dir=memory) as found:
        Path(found).chmod(0o755)
        yield Path(found)


def make_read_only(at: Path) -> None:
    """Remount a file system read-only."""
    subprocess.run(["mount", "-o", "remount,ro", str(at)], check=True)


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Create files under another umask."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def listing(root: Path) -> dict[str, tuple[int, int, bytes | str | None]]:
    """Return mode, time and content of a file, or of a directory and everything below it.

    Tests call it thousands of times: ``os`` takes a third of the time of ``pathlib``.
    """
    found = {".": _told(str(root), root.lstat())}
    waiting = [(str(root), "")] if root.is_dir() else []
    while waiting:
        directory, prefix = waiting.pop()
        with os.scandir(directory) as entries:
            for each in entries:
                name = prefix + each.name
                found[name] = _told(each.path, each.stat(follow_symlinks=False))
                if each.is_dir(follow_symlinks=False):
                    waiting.append((each.path, f"{name}/"))
    return found


def _told(path: str, found: os.stat_result) -> tuple[int, int, bytes | str | None]:
    content: bytes | str | None = None
    if stat.S_ISLNK(found.st_mode):
        content = str(Path(path).readlink())
    elif stat.S_ISREG(found.st_mode):
        with open(path, "rb") as file:  # noqa: PTH123 - see ``listing``
            content = file.read()
    return found.st_mode, found.st_mtime_ns, content


def modes(root: Path) -> dict[str, int]:
    """Return the permissions of everything below a directory."""
    return {
        str(path.relative_to(root)): stat.S_IMODE(path.lstat().st_mode) for path in root.rglob("*")
    }


def open_files() -> int:
    """Return how many files this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def is_there(path: Path) -> bool:
    """Whether a path exists, even as a dangling link."""
    return os.path.lexists(path)


def files(root: Path) -> dict[str, bytes]:
    """Return the content of the regular files below a directory, without links."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
