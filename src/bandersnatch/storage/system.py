"""Chooses how directories are opened on this system; see ``storage.directory``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bandersnatch.storage.directory import Directory


def open_directory(path: str) -> Directory:
    """Open a directory by its path, following links in it.

    :raises OSError: if it does not exist, or is not a directory.
    """
    if has_descriptors():
        from bandersnatch.storage.descriptors import DescriptorDirectory  # noqa: PLC0415 - needs them

        return DescriptorDirectory.at(path)
    from bandersnatch.storage.paths import PathDirectory  # noqa: PLC0415 - for other systems

    return PathDirectory.at(path)


def has_descriptors() -> bool:
    """Whether the system has directory descriptors, and can refuse to follow links."""
    needed = {os.open, os.stat, os.mkdir, os.rmdir, os.unlink, os.rename, os.readlink, os.symlink}
    has_flags = hasattr(os, "O_NOFOLLOW") and hasattr(os, "O_DIRECTORY")
    return has_flags and needed <= os.supports_dir_fd and os.scandir in os.supports_fd
