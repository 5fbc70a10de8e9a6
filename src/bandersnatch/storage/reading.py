"""Files of a tree read through; everything here blocks, and most of it without the interpreter."""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING, Protocol

from bandersnatch.errors import StorageError
from bandersnatch.model.digests import Digest
from bandersnatch.records import Reading
from bandersnatch.storage.tree import open_regular

if TYPE_CHECKING:
    from collections.abc import Iterable
    from threading import Event

    from bandersnatch.layout import StorageKey
    from bandersnatch.storage.tree import Tree

READ = 1024 * 1024
"""Bytes at a time: more than most files have."""

_READING = os.O_RDONLY | os.O_CLOEXEC


class Hasher(Protocol):
    """The part of a hash that is fed."""

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""
        ...


def open_to_read(tree: Tree, key: StorageKey) -> int:
    """Return the descriptor of a regular file.

    :raises OSError: if there is none, or something that is not read.
    :raises StorageError: if the key leads nowhere.
    """
    return open_regular(tree.path(key), _READING)


def read_into(tree: Tree, key: StorageKey, hashers: Iterable[Hasher], stop: Event) -> int:
    """Feed hashers what is in a file and return how many bytes that were.

    Once ``stop`` is set nobody waits for the result any more.

    :raises OSError: if it cannot be read.
    """
    descriptor, size = open_to_read(tree, key), 0
    try:
        while not stop.is_set() and (piece := os.read(descriptor, READ)):
            size += len(piece)
            for hasher in hashers:
                hasher.update(piece)
    finally:
        os.close(descriptor)
    return size


def read_through(tree: Tree, key: StorageKey, stop: Event) -> Reading:
    """Return the size and sha256 of a file, or why it could not be read."""
    hasher = hashlib.sha256()
    try:
        size = read_into(tree, key, [hasher], stop)
    except StorageError as error:
        return Reading(0, None, error.why)
    except OSError as error:
        return Reading(0, None, _reason(error))
    return Reading(size, Digest("sha256", hasher.hexdigest()))


def _reason(error: OSError) -> str:
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return "it is missing"
    if error.errno == errno.ELOOP:
        return "it is a link"
    return os.strerror(error.errno) if error.errno else str(error)
