"""Whether the files that are there are right, from as little as can be trusted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bandersnatch import layout
from bandersnatch.config.settings import CompareMethod
from bandersnatch.records import FileRecord

if TYPE_CHECKING:
    from bandersnatch.model.digests import Hashes
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.ports import Clock, MirrorStorage
    from bandersnatch.records import ProjectRecord, StoredObject

SAME_TIME = 1_000_000
"""Nanoseconds; two times that differ by less are the same, written with other roundings."""


class FileJudge:
    """Judges files by what was recorded, by size and time, or by their content."""

    def __init__(
        self, storage: MirrorStorage, compare: CompareMethod, digest_name: str, clock: Clock
    ) -> None:
        self._storage = storage
        self._by_stat = compare is CompareMethod.STAT
        self._digest_name = digest_name
        self._clock = clock

    async def are_there(self, record: ProjectRecord) -> bool:
        """Whether every file that was recorded lies there as it was recorded."""
        keys = [layout.release_file(found.file) for found in record.files]
        if not all(map(layout.is_key, keys)):
            return False  # somebody edited the row
        there = await self._storage.stat(keys)
        return all(
            stat is not None and (stat.size, stat.modified) == (found.file.size, found.modified)
            for stat, found in zip(there, record.files, strict=True)
        )

    async def judged(
        self, file: ReleaseFile, found: StoredObject | None, known: FileRecord | None
    ) -> FileRecord | None:
        """Return the record of a file that is there and right, else None.

        One that was taken over with its page, unread, is believed as long as it has the time that
        the index tells: nobody has touched it since it was downloaded.
        """
        if found is None or (file.size is not None and found.size != file.size):
            return None
        if known is not None and known.file.sha256 == file.sha256:
            unchanged = (found.size, found.modified) == (known.file.size, known.modified)
            as_uploaded = _is_same_time(found.modified, file.modified)
            if unchanged and (self._by_stat or known.verified is not None or as_uploaded):
                complete = completed(file, known.file.hashes, found.size)
                return await self._with_digest(FileRecord(complete, found.modified, known.verified))
        if self._by_stat and file.size is not None and _is_same_time(found.modified, file.modified):
            return await self._with_digest(FileRecord(file, found.modified, None))
        algorithms = list(dict.fromkeys(("sha256", self._digest_name)))
        hashes = await self._storage.digest(found.key, algorithms)
        if hashes.get("sha256") != file.sha256:
            return None
        complete = completed(file, hashes, found.size)
        return FileRecord(complete, found.modified, self._now())

    async def _with_digest(self, record: FileRecord) -> FileRecord:
        """Add the digest that pages show, if it is not known yet."""
        if record.file.hashes.get(self._digest_name) is not None:
            return record
        key = layout.release_file(record.file)
        hashes = await self._storage.digest(key, ["sha256", self._digest_name])
        return replace(record, file=replace(record.file, hashes=hashes))

    async def has_sidecar(
        self, found: FileRecord, stat: StoredObject | None, known: FileRecord | None
    ) -> bool:
        """Whether a file's core metadata is there and right."""
        if stat is None:
            return False
        digest = found.file.sidecar
        same_time = _is_same_time(stat.modified, found.modified)
        if known is not None and known.file.sidecar == digest and same_time:
            return True
        if self._by_stat and same_time:
            return True
        return (await self._storage.digest(stat.key, ["sha256"])).get("sha256") == digest

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def completed(file: ReleaseFile, hashes: Hashes, size: int) -> ReleaseFile:
    """Return the file with the digests and the size that its content was found to have."""
    if file.size == size and file.hashes == hashes:
        return file
    return replace(file, hashes=hashes, size=size)


def _is_same_time(found: int, told: int | None) -> bool:
    return told is not None and abs(found - told) < SAME_TIME
