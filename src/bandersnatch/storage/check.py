"""Checks the disks of a mirror without changing anything: which there are, and whether all work."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

from msgspec import Struct

from bandersnatch.errors import CorruptState, StorageError
from bandersnatch.storage.areas import PARTIAL, Areas, split_key
from bandersnatch.storage.mounts import mount_points, require_disk
from bandersnatch.storage.system import open_directory
from bandersnatch.storage.tree import MOUNT_BELOW, mapped_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bandersnatch.config.schema import FreeSpace, StorageSettings
    from bandersnatch.storage.areas import Area, Disk


class DiskReport(Struct, frozen=True):
    """A file system that the mirror writes to.

    ``place`` is the key of the highest area on it, ``path`` its path without links. ``free`` is the
    free space in bytes, and ``floor`` what ``min-free-space`` keeps of it.
    """

    place: str
    path: str
    free: int
    floor: int


class StorageReport(Struct, frozen=True):
    """The disks of a mirror, and what would end a run."""

    disks: tuple[DiskReport, ...]
    problems: tuple[StorageError | CorruptState, ...]


def check_storage(settings: StorageSettings) -> StorageReport:
    """Check the disks of a mirror, which need not exist."""
    root = os.path.abspath(settings.directory)
    try:
        require_disk(root, must_exist=settings.must_exist)
    except StorageError as error:
        return StorageReport((), (error,))
    return _check_disks(root, settings.keep_free)


def check_state_directory(settings: StorageSettings) -> StorageReport:
    """Check the disk of the state directory of a mirror in a bucket; it need not exist."""
    return _check_disks(os.path.abspath(settings.state_directory), settings.keep_free)


def _check_disks(root: str, keep_free: FreeSpace) -> StorageReport:
    with closing(Areas(root, open_directory)) as areas:
        try:
            with mapped_errors(root):
                areas.open()
        except StorageError as error:
            found = _existing_parent(root)
            return StorageReport((), () if found != root else (error,))
        disks = areas.disks()
        problems = [*_mounts_below(areas), *filter(None, map(_problem, disks))]
        reports = (_report(disk, areas, keep_free) for disk in disks)
        return StorageReport(tuple(reports), tuple(problems))


def _existing_parent(path: str) -> str:
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def _report(disk: Disk, areas: Areas, keep_free: FreeSpace) -> DiskReport:
    free, total = disk.directory.usage()
    return DiskReport(disk.place, areas.get(disk.place).real_path, free, keep_free.of(total))


def _problem(disk: Disk) -> StorageError | None:
    """Return why nothing can be written to a file system."""
    try:
        with mapped_errors(disk.place or disk.directory.path):
            disk.directory.check_writable()
            disk.check_staging()
    except StorageError as error:
        return error
    return None


def _mounts_below(areas: Areas) -> Iterator[StorageError]:
    """Yield an error for each file system that is mounted below an area."""
    opened = sorted(areas, key=lambda area: len(area.real_path), reverse=True)
    own = {area.real_path for area in opened}
    for path in mount_points():
        key = next((key for area in opened if (key := _key_below(area, path))), "")
        name = key.rpartition("/")[2]
        if path not in own and split_key(key)[0] not in {"", "web"} and name != PARTIAL:
            yield StorageError(key, MOUNT_BELOW)


def _key_below(area: Area, path: str) -> str:
    above = f"{area.real_path.rstrip('/')}/"
    below = path.removeprefix(above) if path.startswith(above) else ""
    return f"{area.key}/{below}".lstrip("/") if below else ""
