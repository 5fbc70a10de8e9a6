"""Lists of changed keys: the diff file of a run, and what a dry run would change.

The diff file names paths as they change, files before the pages that name them; a second file
beside it names the deleted ones. The lists of a run also have all changes of killed runs before
it, so that whoever copies by the lists of completed runs misses nothing; of these changes some may
be listed that did not happen. Of a project's two identical legacy documents only the one in
``web/json`` is listed.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bandersnatch import events
from bandersnatch.cli.text import one_line, size
from bandersnatch.errors import StorageError
from bandersnatch.layout import TRASH, StorageKey
from bandersnatch.storage.journal import Change, ChangeJournal
from bandersnatch.storage.output import OutputFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from bandersnatch.config.schema import Settings

_DEFAULT_NAME = "mirrored-files"
_DELETED = ".deleted"
_COPIES = "web/pypi/"


class DryRunListing:
    """The sink that lists the keys and sizes of the events of some types, in their order."""

    def __init__(self, *listed: type[events.Event]) -> None:
        self._listed = listed
        self._found: list[tuple[StorageKey, int]] = []

    def __call__(self, event: events.Event) -> None:
        """List the event's key."""
        match event:
            case (
                events.PageRemoved(key=key, size=count)
                | events.PageWritten(key=key, size=count)
                | events.FileRemoved(key=key, size=count)
                | events.FileRestored(key=key, size=count)
            ) if isinstance(event, self._listed):
                self._found.append((key, count))
            case _:
                pass

    def __str__(self) -> str:
        lines = [f"{one_line(key)}  {size(count)}" for key, count in self._found]
        total = sum(count for _, count in self._found)
        return "\n".join([*lines, f"Together: {len(self._found)}, {size(total)}"])


def diff_path(settings: Settings, now: datetime) -> Path:
    """Return the path of the diff file.

    The time is appended first, in seconds since 1970; in a directory the file has a default name.
    """
    chosen = Path(settings.diff.path).absolute()
    if settings.diff.append_epoch:
        chosen = Path(f"{chosen}-{int(now.timestamp())}")
    return chosen / _DEFAULT_NAME if chosen.is_dir() else chosen


class DiffFile:
    """The sink that writes the absolute path of each change on a line; ``path`` is its own.

    ``journal`` is where the storage notes changes before it makes them.
    """

    def __init__(self, root: Path, path: Path, changed: TextIO, deleted: TextIO) -> None:
        self._root = root
        self.journal = ChangeJournal(str(root))
        self._changed = _Lines(path, changed)
        self._deleted = _Lines(path, deleted)

    def __call__(self, event: events.Event) -> None:
        """Write the path of an event's key."""
        match event:
            case (
                events.FileDownloaded(key=key)
                | events.FileRestored(key=key)
                | events.PageWritten(key=key)
            ):
                if not key.startswith((_COPIES, TRASH)):  # the trash is not served
                    self._changed.add(self._path(key))
            case events.FileRemoved(key=key) | events.PageRemoved(key=key):
                self._deleted.add(self._path(key))
            case _:
                pass

    def add_journaled(self, changes: Iterable[Change]) -> None:
        """Write the paths of journaled changes that agree with what is stored now."""
        for each in changes:
            if os.path.lexists(self._path(each.key)) == each.deleted:
                continue
            self((events.PageRemoved if each.deleted else events.PageWritten)(each.key))

    @property
    def is_complete(self) -> bool:
        """Whether no line failed to be written."""
        return self._changed.is_complete and self._deleted.is_complete

    def _path(self, key: StorageKey) -> str:
        return str(self._root / key)


class _Lines:
    """A file of lines with newlines between them and none after the last."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path = path
        self._file = file
        self._separator = ""
        self.is_complete = True

    def add(self, line: str) -> None:
        complete, self.is_complete = self.is_complete, False
        try:
            self._file.write(self._separator + line)
            self._file.flush()
        except OSError as error:
            raise StorageError(str(self._path), error.strerror or str(error)) from error
        self._separator, self.is_complete = "\n", complete


@contextmanager
def open_diff_file(settings: Settings, now: datetime) -> Iterator[DiffFile]:
    """Create both files, or empty them, and yield the sink that writes them.

    :raises StorageError: if they cannot be written.
    """
    path, root = diff_path(settings, now), Path(settings.storage.directory).absolute()
    try:
        with (
            OutputFile(str(path), str(root), parents=True) as file,
            _writing(file.create()) as changed,
            _writing(file.create(_DELETED)) as deleted,
        ):
            diff = DiffFile(root, path, changed, deleted)
            diff.add_journaled(diff.journal.unreported())
            try:
                yield diff
            finally:
                try:
                    diff.add_journaled(diff.journal.uncertain)
                finally:
                    diff.journal.close(reported=diff.is_complete)
    except OSError as error:
        raise StorageError(str(path), error.strerror or str(error)) from error


def _writing(descriptor: int) -> TextIO:
    return os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape")
