"""Lists of changed keys: the diff file of a run, and what a dry run would change.

The diff file names paths as they change, files before the pages that name them; a second file
beside it names the deleted ones. The lists of a run also have all changes of killed runs before
it, so that whoever copies by the lists of completed runs misses nothing; of these changes some may
be listed that did not happen. Of a project's two identical legacy documents only the one in
``web/json`` is listed.
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bandersnatch import events
from bandersnatch.cli.text import one_line, size
from bandersnatch.errors import MissingObject, StorageError
from bandersnatch.layout import TRASH, StorageKey
from bandersnatch.storage.journal import Change, ChangeJournal
from bandersnatch.storage.output import OutputFile, require_foreign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from datetime import datetime

    from bandersnatch.config.schema import Settings
    from bandersnatch.storage.port import MirrorStorage

_DEFAULT_NAME = "mirrored-files"
_LOCAL_NAME = ".mirrored-files"
"""In the state directory, while a run writes the lists of a mirror in a bucket."""

_BATCH = 500
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


def diff_key(settings: Settings, now: datetime) -> StorageKey | None:
    """Return the key of the diff file of a mirror in a bucket; None if it is a local file.

    It is an object if its path is that of the mirror's directory, or below it.

    :raises StorageError: if the mirror itself has an object there.
    """
    if settings.storage.bucket is None:
        return None
    chosen = settings.diff.path.rstrip("/")
    if settings.diff.append_epoch:
        chosen = f"{chosen}-{int(now.timestamp())}"
    directory = settings.storage.directory.rstrip("/")
    if chosen == directory:
        return StorageKey(_DEFAULT_NAME)
    if not chosen.startswith(f"{directory}/"):
        return None
    key = StorageKey(chosen.removeprefix(f"{directory}/"))
    require_foreign(key)
    return key


class DiffFile:
    """The sink that writes the absolute path of each change on a line; ``path`` is its own.

    ``root`` is the directory of the mirror. ``journal`` is where the storage notes changes before
    it makes them.
    """

    def __init__(
        self, root: Path, path: Path, changed: TextIO, deleted: TextIO, journal: ChangeJournal
    ) -> None:
        self._root = root
        self.journal = journal
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

    async def add_journaled(self, changes: Iterable[Change], storage: MirrorStorage) -> None:
        """Write the paths of journaled changes that agree with what is stored now."""
        waiting = list(changes)
        for start in range(0, len(waiting), _BATCH):
            batch = waiting[start : start + _BATCH]
            for each, exists in zip(batch, await _existence(batch, storage), strict=True):
                if exists != each.deleted:
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


@asynccontextmanager
async def open_diff_file(
    settings: Settings, now: datetime, storage: MirrorStorage
) -> AsyncIterator[DiffFile]:
    """Create both files, or empty them, and yield the sink that writes them.

    Those of a mirror in a bucket are written locally, and stored in the bucket at the end if they
    belong there.

    :raises StorageError: if they cannot be written.
    """
    root, state, path, key = _places(settings, now)
    journal = ChangeJournal(str(state))
    try:
        async with AsyncExitStack() as stack:
            file = stack.enter_context(OutputFile(str(path), str(state), parents=True))
            changed = stack.enter_context(_writing(file.create()))
            deleted = stack.enter_context(_writing(file.create(_DELETED)))
            diff = DiffFile(root, path, changed, deleted, journal)
            await diff.add_journaled(journal.unreported(), storage)
            try:
                yield diff
            finally:
                is_stored = False
                try:
                    await diff.add_journaled(journal.uncertain, storage)
                    await _store(path, key, storage)
                    is_stored = True
                finally:
                    journal.close(reported=diff.is_complete and is_stored)
    except OSError as error:
        raise StorageError(str(path), error.strerror or str(error)) from error


def _places(settings: Settings, now: datetime) -> tuple[Path, Path, Path, StorageKey | None]:
    """Return the mirror's directory, the state directory, the local file and its key, if any."""
    root = Path(settings.storage.directory).absolute()
    state = Path(settings.storage.state_directory).absolute()
    key = diff_key(settings, now)
    return root, state, diff_path(settings, now) if key is None else state / _LOCAL_NAME, key


async def _store(path: Path, key: StorageKey | None, storage: MirrorStorage) -> None:
    """Store both local files as objects, unless there is no ``key``."""
    if key is None:
        return
    local = {key: path, StorageKey(key + _DELETED): Path(f"{path}{_DELETED}")}
    await storage.write({name: file.read_bytes() for name, file in local.items()})


async def _existence(changes: Sequence[Change], storage: MirrorStorage) -> list[bool]:
    """Return whether there is an object at the key of each change.

    Where the storage does not say, the change counts as made.
    """
    try:
        stats = await storage.stat([each.key for each in changes])
    except StorageError:
        return [not each.deleted for each in changes]
    found = []
    for each, stat in zip(changes, stats, strict=True):
        found.append(stat is not None or await _is_readable(each, storage))
    return found


async def _is_readable(change: Change, storage: MirrorStorage) -> bool:
    """Whether something without a stat can be read, as a page that is a link to a kept version."""
    try:
        await storage.read(change.key)
    except MissingObject:
        return False
    except StorageError:
        return not change.deleted
    return True


def _writing(descriptor: int) -> TextIO:
    return os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape")
