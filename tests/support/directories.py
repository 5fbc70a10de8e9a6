"""Directories on disks that fail."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from bandersnatch.storage.system import has_descriptors

if has_descriptors() or TYPE_CHECKING:
    from bandersnatch.storage.descriptors import DescriptorDirectory as _Usual
else:
    from bandersnatch.storage.paths import PathDirectory as _Usual


class LosingDirectory(_Usual):
    """A directory on a disk that loses what was written: no flush succeeds."""

    def sync_file_system(self) -> None:
        """Fail as the kernel does."""
        raise OSError(errno.EIO, os.strerror(errno.EIO))
