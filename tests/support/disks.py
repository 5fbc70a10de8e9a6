"""What tests plant on a disk, and how they see what became of it."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def mounted(at: Path, *, size: str = "1m") -> Iterator[None]:
    """Mount a small file system of its own; skip the test where that cannot be done."""
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


def make_read_only(at: Path) -> None:
    """Let nothing be written any more to what is mounted there."""
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
    """Return everything below a directory, and itself: kind and mode, time, content."""
    return {str(path.relative_to(root)): _told(path) for path in [root, *root.rglob("*")]}


def _told(path: Path) -> tuple[int, int, bytes | str | None]:
    found = path.lstat()
    content: bytes | str | None = None
    if path.is_symlink():
        content = str(path.readlink())
    elif path.is_file():
        content = path.read_bytes()
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
    """Whether there is anything at a path, even a link to nothing."""
    return os.path.lexists(path)


def files(root: Path) -> dict[str, bytes]:
    """Return the regular files below a directory that are no links."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
