"""Chooses how directories are opened on this system; see ``storage.directory``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.storage.descriptors import DescriptorDirectory

if TYPE_CHECKING:
    from bandersnatch.storage.directory import Directory


def open_directory(path: str) -> Directory:
    """Open a directory by its path, following links in it.

    :raises OSError: if it does not exist, or is not a directory.
    """
    return DescriptorDirectory.at(path)
