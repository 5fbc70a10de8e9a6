"""Mount points: which there are, which there should be, and whether a mirror's disk is there.

A mirror whose disk is not mounted looks like a mirror that has never been run, and a run would fill
the disk below the mount point.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bandersnatch.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOUNT = re.compile(r"(?:\S+ ){4}(\S+) .*? - (\S+) ")
"""A line of ``mountinfo``, by proc(5): the mount point, and the type of the file system."""

_ESCAPE = re.compile(r"\\([0-7]{3})")
_WHERE = re.compile(r"^\s*Where\s*=\s*(.+?)\s*$", re.MULTILINE)
_NOT_WANTED = "noauto"
_AUTOMOUNT = "x-systemd.automount"
_HOLDS_MIRROR = ("status", "web/.mirror")
_MOUNTABLE = ("", "/web", "/web/packages", "/removed")
"""Directories of a mirror that may be mount points, below its own."""


class MountTables(NamedTuple):
    """Where a system says what is mounted, and what should be."""

    fstab: str = "/etc/fstab"
    units: str = "/etc/systemd/system"
    mounted: str = "/proc/self/mountinfo"


SYSTEM = MountTables()


class ExpectedMount(NamedTuple):
    """A mount point that the system's configuration names, and where it does so."""

    path: str
    named_by: str
    is_automatic: bool


def require_disk(directory: str, *, must_exist: bool, tables: MountTables = SYSTEM) -> None:
    """Check that the disk of a mirror is mounted, before anything is written.

    :raises StorageError: if a mount point is named by the system's configuration and nothing is
        mounted there, or if ``must_exist`` and there is no mirror.
    """
    root = os.path.abspath(directory)
    exists = any(os.path.lexists(f"{root}/{name}") for name in _HOLDS_MIRROR)
    for expected in expected_mounts(tables):
        if _is_needed(expected, root, exists=exists) and not _is_mounted(expected, tables):
            why = (
                f"it is a mount point by {expected.named_by}, and nothing is mounted on it; is the "
                "disk mounted? To use the directory below it, remove it there"
            )
            raise StorageError(expected.path, why)
    if must_exist and not any(os.path.lexists(f"{root}/{name}") for name in _HOLDS_MIRROR):
        why = (
            "there is no mirror here, and must-exist = true; is the disk mounted? To begin a new "
            "mirror, set must-exist = false for one run"
        )
        raise StorageError(root, why)


def _is_needed(expected: ExpectedMount, root: str, *, exists: bool) -> bool:
    """Whether a mirror in ``root`` is on what should be mounted.

    A mirror that ``exists`` is on the right disk itself; its areas need not be.
    """
    places = {f"{real}{below}" for real in (root, os.path.realpath(root)) for below in _MOUNTABLE}
    if exists:
        return expected.path in places - {root, os.path.realpath(root)}
    return any(f"{place}/".startswith(f"{expected.path}/") for place in places)


def _is_mounted(expected: ExpectedMount, tables: MountTables) -> bool:
    if expected.is_automatic:
        with suppress(OSError), os.scandir(expected.path):
            pass  # looking there mounts it
    if os.path.exists(tables.mounted):
        return os.path.realpath(expected.path) in set(mount_points(tables))
    return os.path.ismount(expected.path)


def mount_point_of(directory: str) -> str | None:
    """Return which directory of a mirror is a mount point, if any."""
    paths = (f"{os.path.abspath(directory)}{below}" for below in _MOUNTABLE)
    return next(filter(os.path.ismount, paths), None)


# ---------------------------------------------------------------- the tables of the system


def mount_points(tables: MountTables = SYSTEM) -> Iterator[str]:
    """Yield the paths of all mount points, if the system lists them (Linux).

    Those of automounters are left out: they are there before anything is mounted.
    """
    for line in _lines(tables.mounted):
        found = _MOUNT.match(line)
        if found is not None and found[2] != "autofs":
            yield _unescaped(found[1])


def expected_mounts(tables: MountTables = SYSTEM) -> Iterator[ExpectedMount]:
    """Yield the mount points that ``fstab(5)`` and enabled units of systemd name, except ``/``."""
    for each in (*_from_fstab(tables.fstab), *_from_units(tables.units)):
        if each.path != "/" and os.path.isabs(each.path):
            yield each


def _from_fstab(fstab: str) -> Iterator[ExpectedMount]:
    for line in _lines(fstab):
        fields = line.split()
        if len(fields) < 3 or line.lstrip().startswith("#"):  # noqa: PLR2004 - device, path, type
            continue
        options = fields[3].split(",") if fields[3:] else []
        if _NOT_WANTED not in options or _AUTOMOUNT in options:
            path = os.path.normpath(_unescaped(fields[1]))
            yield ExpectedMount(path, fstab, _AUTOMOUNT in options)


def _from_units(folder: str) -> Iterator[ExpectedMount]:
    """Yield what units mount that others want or require, and so are enabled."""
    with suppress(OSError):
        for path in sorted(Path(folder).glob("*.*/*.*mount")):
            if path.parent.suffix in {".wants", ".requires"}:
                with suppress(OSError, ValueError):
                    where = _WHERE.search(path.read_text(encoding="utf-8"))
                    if where is not None:
                        found = os.path.normpath(where[1])
                        yield ExpectedMount(found, path.name, path.suffix == ".automount")


def _lines(path: str) -> Iterator[str]:
    with suppress(OSError), open(path, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            yield line.rstrip("\n")


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)
