"""The composition root: the only package that knows the adapters of the ports.

Its modules import adapters where they open them: that takes half of the time of a start, and
`--help` and invalid options need none.
"""

from __future__ import annotations

from bandersnatch.app.clock import SystemClock
from bandersnatch.app.configuration import Configuration, load
from bandersnatch.app.indexes import open_index, open_requests
from bandersnatch.app.mirrors import open_copy, open_mirror
from bandersnatch.app.processes import open_child_worker, processes_for, readers_for
from bandersnatch.app.server import open_responder
from bandersnatch.app.storages import (
    check_storage,
    free_space,
    is_mirror_running,
    open_to_copy,
    with_journal,
)
from bandersnatch.app.workers import open_fleet, open_worker, read_fleet

__all__ = [
    "Configuration",
    "SystemClock",
    "check_storage",
    "free_space",
    "is_mirror_running",
    "load",
    "open_child_worker",
    "open_copy",
    "open_fleet",
    "open_index",
    "open_mirror",
    "open_requests",
    "open_responder",
    "open_to_copy",
    "open_worker",
    "processes_for",
    "read_fleet",
    "readers_for",
    "with_journal",
]
