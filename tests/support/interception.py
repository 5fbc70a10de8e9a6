"""Calls a function before each operation of the program on files and sockets, in this process.

Python announces them by audit events (PEP 578) before the system call is made, on every thread.
The function may raise ``OSError``, as if the call failed, or change files between two calls. Of
``os.write``, ``os.fsync`` and ``os.stat`` there is no event; ``system_calls`` has those, in another
process.
"""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILES = frozenset(
    {
        *("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink"),
        *("os.chmod", "os.utime", "os.listdir", "os.scandir", "os.truncate", "fcntl.flock"),
    }
)
SOCKETS = frozenset({"socket.connect", "socket.bind", "socket.getaddrinfo"})

_IMPORTED = (".py", ".pyc", ".so")


class _Interceptor:
    """The one hook of this process; a hook cannot be removed."""

    def __init__(self) -> None:
        self.act: Callable[[str, tuple[Any, ...]], None] | None = None
        self.others: frozenset[int | None] = frozenset()
        self._lock = threading.Lock()
        self._busy = threading.local()
        self._is_installed = False

    def install(self) -> None:
        with self._lock:
            if not self._is_installed:
                sys.addaudithook(self.hear)
                self._is_installed = True

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        act = self.act
        if act is None or (event not in FILES and event not in SOCKETS):
            return
        if threading.get_ident() in self.others or getattr(self._busy, "is_busy", False):
            return
        if event == "open" and _is_other(arguments[0]):
            return
        self._busy.is_busy = True
        try:
            act(event, arguments)
        finally:
            self._busy.is_busy = False


_INTERCEPTOR = _Interceptor()


def _is_other(path: object) -> bool:
    """Whether an open file is a module, or was opened before."""
    return isinstance(path, int) or str(path).endswith(_IMPORTED)


@contextmanager
def intercepted(act: Callable[[str, tuple[Any, ...]], None]) -> Iterator[None]:
    """Call ``act`` with the name and the arguments of each event in the block.

    Threads that run already are not the program's, such as those of a server.
    """
    _INTERCEPTOR.install()
    current = threading.get_ident()
    running = {thread.ident for thread in threading.enumerate()}
    _INTERCEPTOR.others = frozenset(running - {current})
    _INTERCEPTOR.act = act
    try:
        yield
    finally:
        _INTERCEPTOR.act = None
