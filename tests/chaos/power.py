"""A disk whose power can be cut: an ext4 file system in a file, and copies of that file.

A copy lacks what the kernel has not written to the file yet, like a disk that loses power. Mount
options disable safety beyond what POSIX requires, and the longest commit interval of the journal
keeps the file unchanged while it is copied.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

UNKIND = "noauto_da_alloc,commit=300"
"""Replacing a file by a rename does not write it back."""

WAYS = (f"{UNKIND},data=ordered", f"{UNKIND},data=writeback", f"{UNKIND},nodelalloc")
"""Orders in which the content and the name of a file reach the disk."""

_SIZE = 24 * 1024 * 1024


class PowerDisk:
    """A disk that is mounted ``at`` a directory."""

    def __init__(self, home: Path) -> None:
        self.at = home / "disk"
        self._image = home / "image"
        self._copy = home / "image.cut"

    @contextmanager
    def running(self, way: str) -> Iterator[None]:
        """Mount a new disk; skip the test where that cannot be done."""
        if os.geteuid() != 0 or None in {shutil.which("mount"), shutil.which("mkfs.ext4")}:
            pytest.skip("only root can mount a file system, and only with mkfs.ext4")
        self.at.mkdir(exist_ok=True)
        with self._image.open("wb") as image:
            image.truncate(_SIZE)
        _run("mkfs.ext4", "-q", "-F", "-J", "size=4", str(self._image))
        done = _mount(self._image, self.at, way)
        if done.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
        try:
            yield
        finally:
            _run("umount", str(self.at))

    def settle(self) -> None:
        """Make everything durable."""
        _run("sync", "--file-system", str(self.at))

    def cut(self, dice: random.Random) -> None:
        """Cut the power, and mount what had reached the disk.

        Before, some files are written back, or none, and with them the journal: all names are
        then on the disk, and the content of some files is not.
        """
        files = sorted(path for path in self.at.rglob("*") if path.is_file())
        beside = self.at / "something else"
        beside.touch()
        most = dice.choice([0, 0, 1, 3, len(files)])
        written_back = dice.sample([*files, beside], min(most, len(files)))
        for path in [*written_back, *[beside] * dice.randint(0, 1)]:
            _write_back(path)
        shutil.copyfile(self._image, self._copy)
        _run("umount", str(self.at))
        self._copy.replace(self._image)
        done = _mount(self._image, self.at, "data=ordered")
        assert done.returncode == 0, done.stderr


def _write_back(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mount(image: Path, at: Path, options: str) -> subprocess.CompletedProcess[str]:
    command = ["mount", "-t", "ext4", "-o", f"loop,{options}", str(image), str(at)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
