"""The files that are written to a directory while a program runs (inotify)."""

from __future__ import annotations

import ctypes
import os
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CLOSED_AFTER_WRITING, _MOVED_HERE = 0x8, 0x80
_EVENT = struct.Struct("iIII")


@contextmanager
def watching(directory: Path) -> Iterator[list[str]]:
    """Yield a list that has, after the block, the name of each file written or moved here.

    A file that was written twice is in the list twice.
    """
    system = ctypes.CDLL(None, use_errno=True)
    descriptor = system.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mask = _CLOSED_AFTER_WRITING | _MOVED_HERE
        if system.inotify_add_watch(descriptor, os.fsencode(directory), mask) < 0:
            raise OSError(ctypes.get_errno(), f"{directory} cannot be watched")
        seen: list[str] = []
        yield seen
        seen += _names(descriptor)
    finally:
        os.close(descriptor)


def _names(descriptor: int) -> Iterator[str]:
    while True:
        try:
            events = os.read(descriptor, 65_536)
        except BlockingIOError:
            return
        at = 0
        while at < len(events):
            *_, length = _EVENT.unpack_from(events, at)
            at += _EVENT.size
            yield os.fsdecode(events[at : at + length].rstrip(b"\0"))
            at += length
