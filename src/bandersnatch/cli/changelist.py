"""``diff-file``: what changed in this run, for those who copy a mirror on (contract, section 3.3).

The list grows as things happen, files before the pages that name them; what went away is in a
second list beside it. What a run that was killed changed is in the lists of the next one, all of
it: whoever copies by the lists of the runs that came to an end misses nothing. Such a list may name
what did not change. A project's legacy JSON is listed in
``web/json`` only, and not also its copy in ``web/pypi``.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bandersnatch.errors import StorageError
from bandersnatch.events import (
    Event,
    FileDownloaded,
    FileRemoved,
    FileRestored,
    PageRemoved,
    PageWritten,
)
from bandersnatch.layout import TRASH
from bandersnatch.storage.journal import ChangeJournal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from bandersnatch.config.schema import Settings
    from bandersnatch.layout import StorageKey
    from bandersnatch.storage.journal import Change

_DEFAULT_NAME = "mirrored-files"
_DELETED = ".deleted"
_COPIES = "web/pypi/"


def diff_path(settings: Settings, now: datetime) -> Path:
    """Return where the list goes: the epoch is added first, then a directory gets a file in it."""
    chosen = Path(settings.diff.path).absolute()
    if settings.diff.append_epoch:
        chosen = Path(f"{chosen}-{int(now.timestamp())}")
    return chosen / _DEFAULT_NAME if chosen.is_dir() else chosen


class DiffSink:
    """Writes the absolute path of everything that changes, each on a line, each once.

    ``untold`` is where the changes are to be noted before they are made.
    """

    def __init__(self, root: Path, changed: TextIO, deleted: TextIO) -> None:
        self._root = root
        self.untold = ChangeJournal(str(root))
        self._changed = _Lines(changed)
        self._deleted = _Lines(deleted)

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case FileDownloaded(key=key) | FileRestored(key=key) | PageWritten(key=key):
                if not key.startswith((_COPIES, TRASH)):  # what waits there is not served
                    self._changed.add(self._path(key))
            case FileRemoved(key=key) | PageRemoved(key=key):
                self._deleted.add(self._path(key))
            case _:
                pass

    def tell(self, changes: Iterable[Change]) -> None:
        """List what may have changed, as it is now."""
        for each in changes:
            if os.path.lexists(self._path(each.key)) == each.away:
                continue
            self((PageRemoved if each.away else PageWritten)(each.key))

    @property
    def is_complete(self) -> bool:
        """Whether every line that was to be written was."""
        return self._changed.is_complete and self._deleted.is_complete

    def _path(self, key: StorageKey) -> str:
        return str(self._root / key)


class _Lines:
    """Lines with newlines between them and none after the last."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._separator = ""
        self.is_complete = True

    def add(self, line: str) -> None:
        complete, self.is_complete = self.is_complete, False
        self._file.write(self._separator + line)
        self._file.flush()
        self._separator, self.is_complete = "\n", complete


@contextmanager
def diff_files(settings: Settings, now: datetime) -> Iterator[DiffSink]:
    """Begin both lists anew and yield what fills them.

    :raises StorageError: if they cannot be written.
    """
    path = diff_path(settings, now)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            _open(path) as changed,
            _open(path.with_name(path.name + _DELETED)) as deleted,
        ):
            sink = DiffSink(Path(settings.storage.directory).absolute(), changed, deleted)
            sink.tell(sink.untold.left())
            try:
                yield sink
            finally:
                try:
                    sink.tell(sink.untold.unsettled)
                finally:
                    sink.untold.close(told=sink.is_complete)
    except OSError as error:
        raise StorageError(str(path), error.strerror or str(error)) from error


def _open(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", errors="surrogateescape")
