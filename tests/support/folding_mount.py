"""Mounts a file system that does not hold names apart by case, or by normal form.

It passes everything through to a directory (FUSE), and keeps names as they were created, as APFS,
NTFS, SMB and ext4 with casefold do. It needs root or fusermount, ``/dev/fuse``, libfuse2, and
fusepy. Run as a program, it serves: ``python folding_mount.py case,normal_form BACK MOUNT``.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
import unicodedata
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

CASE, NORMAL_FORM = "case", "normal_form"

_STATUS = ("gid", "mode", "nlink", "size", "uid")
_TIMES = ("atime", "ctime", "mtime")
_USAGE = ("bavail", "bfree", "blocks", "bsize", "favail", "ffree", "files", "flag", "frsize")


class FoldingOperations:
    """The operations that fusepy calls, by path; ``kinds`` are what names do not differ in."""

    def __init__(self, back: str, kinds: Collection[str]) -> None:
        self._back = back
        self._kinds = kinds

    def __call__(self, operation: str, *arguments: Any) -> Any:
        """Call an operation; fusepy takes the ``errno`` of an ``OSError``."""
        if not hasattr(self, operation):
            raise OSError(errno.ENOSYS, "")
        return getattr(self, operation)(*arguments)

    def _fold(self, name: str) -> str:
        if NORMAL_FORM in self._kinds:
            name = unicodedata.normalize("NFD", name)
        return name.casefold() if CASE in self._kinds else name

    def _real(self, path: str) -> str:
        """Return the path below ``back``, with the spelling of the names that exist."""
        current = self._back
        for name in filter(None, path.split("/")):
            found = f"{current}/{name}"
            if not os.path.lexists(found) and Path(current).is_dir():
                same = [n for n in _names(current) if self._fold(n) == self._fold(name)]
                found = f"{current}/{same[0]}" if same else found
            current = found
        return current

    # ------------------------------------------------------------ names

    def getattr(self, path: str, _: int | None = None) -> dict[str, Any]:
        found = os.lstat(self._real(path))
        times = {f"st_{name}": getattr(found, f"st_{name}_ns") for name in _TIMES}
        return {**times, **{f"st_{name}": getattr(found, f"st_{name}") for name in _STATUS}}

    def access(self, path: str, mode: int) -> int:
        if not os.access(self._real(path), mode):
            raise OSError(errno.EACCES, "")
        return 0

    def readdir(self, path: str, _: int) -> list[str]:
        return [".", "..", *_names(self._real(path))]

    def readlink(self, path: str) -> str:
        return str(Path(self._real(path)).readlink())

    def mkdir(self, path: str, mode: int) -> None:
        Path(self._real(path)).mkdir(mode)

    def rmdir(self, path: str) -> None:
        Path(self._real(path)).rmdir()

    def unlink(self, path: str) -> None:
        Path(self._real(path)).unlink()

    def symlink(self, path: str, target: str) -> None:
        Path(self._real(path)).symlink_to(target)

    def rename(self, old: str, new: str) -> None:
        Path(self._real(old)).rename(self._real(new))

    def chmod(self, path: str, mode: int) -> None:
        Path(self._real(path)).chmod(mode)

    def chown(self, path: str, user: int, group: int) -> None:
        os.chown(self._real(path), user, group)

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        if times is None:
            os.utime(self._real(path))
        else:
            os.utime(self._real(path), ns=times)

    # ------------------------------------------------------------ content

    def open(self, path: str, flags: int) -> int:
        return os.open(self._real(path), flags)

    def create(self, path: str, mode: int, _: object = None) -> int:
        return os.open(self._real(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def read(self, _: str, size: int, offset: int, file: int) -> bytes:
        return os.pread(file, size, offset)

    def write(self, _: str, content: bytes, offset: int, file: int) -> int:
        return os.pwrite(file, content, offset)

    def truncate(self, path: str, size: int, _: int | None = None) -> None:
        os.truncate(self._real(path), size)

    def flush(self, *_: object) -> int:
        return 0

    def release(self, _: str, file: int) -> None:
        os.close(file)

    def fsync(self, _: str, __: int, file: int) -> None:
        os.fsync(file)

    def statfs(self, _: str) -> dict[str, int]:
        found = os.statvfs(self._back)
        return {f"f_{name}": getattr(found, f"f_{name}") for name in (*_USAGE, "namemax")}

    def opendir(self, _: str) -> int:
        return 0

    def releasedir(self, *_: object) -> int:
        return 0

    def fsyncdir(self, *_: object) -> int:
        return 0

    def init(self, _: str) -> None:
        """Begin."""

    def destroy(self, _: str) -> None:
        """End."""

    use_ns = True


def _names(directory: str) -> list[str]:
    return [each.name for each in Path(directory).iterdir()]


def why_impossible() -> str:
    """Return why no such file system can be mounted here, "" if one can."""
    if not os.access("/dev/fuse", os.W_OK):
        return "/dev/fuse cannot be used"
    try:
        import fuse  # noqa: F401, PLC0415 - an optional tool of tests
    except (ImportError, OSError) as error:
        return f"fusepy and libfuse2 are needed: {error}"
    return ""


@contextmanager
def folding_mount(place: Path, kinds: Collection[str]) -> Iterator[Path]:
    """Yield an empty mounted directory below ``place``, whose names do not differ in ``kinds``."""
    back, mount = place / "back", place / "mount"
    back.mkdir(parents=True)
    mount.mkdir()
    arguments = [",".join(kinds), str(back), str(mount)]
    process = subprocess.Popen([sys.executable, __file__, *arguments], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 30
        while not os.path.ismount(mount):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline, "the file system did not start"
            time.sleep(0.02)
        yield mount
    finally:
        unmount = ["umount"] if os.geteuid() == 0 else ["fusermount", "-u"]
        subprocess.run([*unmount, "-l", str(mount)], check=False)
        process.communicate(timeout=30)


def main() -> None:
    """Serve until the file system is unmounted."""
    from fuse import FUSE  # noqa: PLC0415 - an optional tool of tests

    kinds, back, mount = sys.argv[1:]
    os.umask(0)  # the caller's was applied already
    operations = FoldingOperations(back, kinds.split(","))
    FUSE(operations, mount, foreground=True, nothreads=True, allow_other=os.geteuid() == 0)


if __name__ == "__main__":
    main()
