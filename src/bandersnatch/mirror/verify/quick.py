"""Compares the recorded sizes and times of files with those that are stored, and reads nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bandersnatch import layout
from bandersnatch.catalogue.records import NEVER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from bandersnatch.catalogue.records import FileStat
    from bandersnatch.layout import MirrorLayout, StorageKey
    from bandersnatch.model.names import ProjectName
    from bandersnatch.storage.port import FileStore, Listing, StoredObject

_NANOSECONDS = 10**9


class Difference(NamedTuple):
    """How a project differs from its record: paths of files, and whether it lacks a page."""

    paths: frozenset[str]
    lacks_page: bool


class _Expected(NamedTuple):
    """An object that must exist; ``path`` is that of the release file that it belongs to.

    It must be as recorded in ``file``, if that is not None.
    """

    name: ProjectName
    key: StorageKey
    path: str = ""
    file: FileStat | None = None


class QuickCheck:
    """Compares projects with a listing, and with what the storage says of each object.

    The latter, which may be a request for each, only decides about objects that the listing
    lacks, or that are not listed as recorded. A listed object is as recorded if it has the
    recorded size, and was not stored again after its content was verified, or after ``until``,
    when an earlier comparison has found it as recorded.
    """

    def __init__(
        self, storage: FileStore, listing: Listing, pages: MirrorLayout, *, until: int
    ) -> None:
        """Assign the collaborators; ``until`` is in nanoseconds since 1970."""
        self._storage = storage
        self._listing = listing
        self._pages = pages
        self._until = until

    async def compare(
        self, names: Collection[ProjectName], recorded: Mapping[ProjectName, Sequence[FileStat]]
    ) -> Mapping[ProjectName, Difference]:
        """Return how the projects of these names differ from their files' records."""
        expected = [each for name in names for each in self._expected(name, recorded.get(name, ()))]
        intact = await self._intact(expected)
        paths: dict[ProjectName, set[str]] = {
            name: {file.path for file in recorded.get(name, ()) if not _is_storable(file)}
            for name in names
        }
        lacking = set()
        for each in expected:
            if each.key not in intact and each.path:
                paths[each.name].add(each.path)
            elif each.key not in intact:
                lacking.add(each.name)
        return {name: Difference(frozenset(paths[name]), name in lacking) for name in names}

    def _expected(self, name: ProjectName, files: Sequence[FileStat]) -> Iterator[_Expected]:
        for file in filter(_is_storable, files):
            key = layout.StorageKey(layout.WEB + file.path)
            yield _Expected(name, key, file.path, file)
            if file.sidecar:
                sidecar = layout.StorageKey(key + layout.SIDECAR_SUFFIX)
                yield _Expected(name, sidecar, file.path)
        for page in self._pages.pages(name).values():
            yield _Expected(name, page)

    async def _intact(self, expected: Sequence[_Expected]) -> Collection[StorageKey]:
        """Return the keys of the objects that are as recorded."""
        listed = await self._listing.stat([each.key for each in expected])
        pairs = zip(expected, listed, strict=True)
        if self._listing.newest is None:
            return {each.key for each, found in pairs if _is_as_recorded(each, found)}
        doubtful = [each for each, found in pairs if not self._is_listed(each, found)]
        stats = await self._storage.stat([each.key for each in doubtful])
        different = {
            each.key
            for each, found in zip(doubtful, stats, strict=True)
            if not _is_as_recorded(each, found)
        }
        return {each.key for each in expected if each.key not in different}

    def _is_listed(self, expected: _Expected, found: StoredObject | None) -> bool:
        """Whether the listing shows that an object is as recorded."""
        if found is None or expected.file is None:
            return found is not None
        file = expected.file
        if not file.modified:  # it is known to be damaged
            return False
        known = max(self._until, (file.verified or NEVER) * _NANOSECONDS)
        is_known = found.modified <= known or found.modified == file.modified
        return is_known and file.size in {None, found.size}


def _is_storable(file: FileStat) -> bool:
    return layout.is_key(layout.WEB + file.path)


def _is_as_recorded(expected: _Expected, found: StoredObject | None) -> bool:
    if found is None or expected.file is None:
        return found is not None
    file = expected.file
    return file.size in {None, found.size} and found.modified == file.modified
