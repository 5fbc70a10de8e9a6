"""Directories on disks that fail."""

from __future__ import annotations

import errno
import os

from bandersnatch.storage.descriptors import DescriptorDirectory


class LosingDirectory(DescriptorDirectory):
    """A directory on a disk that loses what was written: no flush succeeds."""

    def sync_file_system(self) -> None:
        """Fail as the kernel does."""
        raise OSError(errno.EIO, os.strerror(errno.EIO))
