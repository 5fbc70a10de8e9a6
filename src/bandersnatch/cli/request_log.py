"""The log file of requests; a thread writes it, so that a slow disk delays no request."""

from __future__ import annotations

import os
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Self

from bandersnatch.errors import StorageError
from bandersnatch.storage.output import OutputFile
from bandersnatch.storage.temporary import write_all

if TYPE_CHECKING:
    import logging

_MOST_WAITING = 256
"""Writes that wait for the disk; beyond them lines are lost."""

_STANDARD_OUTPUT = "/dev/stdout"


class RequestLog:
    """The log of requests at ``path``, "-" for the standard output; a context.

    ``root`` is the mirror's directory, whose own files are refused.
    """

    def __init__(self, path: str, root: str, logger: logging.Logger) -> None:
        self._path = _STANDARD_OUTPUT if path == "-" else path
        self._root = root
        self._logger = logger
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._descriptor = -1
        self._lost = 0
        self._failed = False
        self._thread = threading.Thread(target=self._run, name="request log", daemon=True)

    def __enter__(self) -> Self:
        """Open the file.

        :raises StorageError: if it cannot be opened.
        """
        self._descriptor = self._open()
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Write what is waiting, and close the file."""
        self._queue.put(None)
        self._thread.join(timeout=5.0)
        os.close(self._descriptor)

    def _open(self) -> int:
        with OutputFile(self._path, self._root) as file:
            return file.append()

    def write(self, data: bytes) -> None:
        """Append bytes to the file, soon."""
        if self._queue.qsize() < _MOST_WAITING:
            self._queue.put(data)
        else:
            self._lost += 1

    def reopen(self) -> None:
        """Open the file again: a program that rotates logs has renamed it."""
        try:
            opened = self._open()
        except StorageError as error:
            self._logger.error("%s; the old file stays in use", error)  # noqa: TRY400 - not a bug
            return
        with self._lock:
            old, self._descriptor = self._descriptor, opened
        os.close(old)

    def _run(self) -> None:
        while (data := self._queue.get()) is not None:
            try:
                with self._lock:
                    write_all(self._descriptor, data)
            except OSError as error:
                if not self._failed:
                    self._logger.error("requests cannot be logged: %s", error.strerror)  # noqa: TRY400 - not a bug
                self._failed = True
            else:
                self._failed = False
            if self._lost:
                self._logger.warning("the log of requests was too slow; some lines are lost")
                self._lost = 0
