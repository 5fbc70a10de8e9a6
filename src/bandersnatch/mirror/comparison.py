"""Compares the recorded files of a project with those that the index offers now."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch import errors, layout
from bandersnatch.model.content import Validators
from bandersnatch.model.digests import unique
from bandersnatch.model.files import is_mutable
from bandersnatch.model.urls import is_computed_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bandersnatch.catalogue.records import FileRecord, ProjectRecord
    from bandersnatch.clock import Clock
    from bandersnatch.index.port import PackageIndex
    from bandersnatch.model.digests import Digest, Hashes
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail
    from bandersnatch.storage.port import MirrorStorage


class FileComparison:
    """Finds out whether the index still offers the recorded content of files."""

    def __init__(
        self,
        index: PackageIndex,
        storage: MirrorStorage,
        locate: Callable[[ReleaseFile], str],
        digest_name: str,
        clock: Clock,
        *,
        by_stat: bool,
    ) -> None:
        """Assign the collaborators.

        ``locate`` returns the URL that a file without a digest is downloaded from,
        ``digest_name`` is the digest that pages show. With ``by_stat`` adopted files are not read.
        """
        self._by_stat = by_stat
        self._index = index
        self._storage = storage
        self._locate = locate
        self._digest_name = digest_name
        self._clock = clock

    async def compare(
        self, record: ProjectRecord, detail: ProjectDetail, *, accepts_changes: bool
    ) -> dict[str, FileRecord]:
        """Return the recorded files whose content the index still offers, by their names.

        Damaged files are left out, and those that an index may change.

        :raises ChangedFile: if the index offers other content for one, unless changes are
            accepted: then it is left out.
        """
        offered, known = {file.filename: file for file in detail.files}, {}
        for found in record.files:
            file = offered.get(found.file.filename)
            try:
                same = None if file is None else await self._compare(detail.name, found, file)
            except errors.ChangedFile:
                if not (accepts_changes or is_mutable(found.file.filename)):
                    raise
                continue
            if same is not None:
                known[found.file.filename] = same
        return known

    async def _compare(
        self, name: ProjectName, found: FileRecord, file: ReleaseFile
    ) -> FileRecord | None:
        """Compare a recorded file with the offered one.

        Returns None if the stored file is damaged, or is compared by size and time later.

        :raises ChangedFile: if the index offers other content.
        """
        offered, known = file.digest, found.file.hashes
        if offered is None:
            return await self._compare_unhashed(name, found, file)
        found = structs.replace(found, validators=None)
        if known.agrees_with(file.hashes):
            return found
        if known.get(offered.algorithm) is None:
            if self._by_stat and found.verified is None:
                return None
            try:
                known = await self._read(found, offered)
            except errors.MissingObject:
                return found  # the download is verified with what is recorded, too
            if offered in known:
                complete = replace(found.file, hashes=known)
                now = int(self._clock.now().timestamp())
                return structs.replace(found, file=complete, verified=now)
            if found.file.digest is None or found.file.digest not in known:
                return None
        published = known.get(offered.algorithm)
        assert published is not None, "it was recorded or computed"
        raise _changed(name, file, offered.algorithm, published.value, offered.value)

    async def _compare_unhashed(
        self, name: ProjectName, found: FileRecord, file: ReleaseFile
    ) -> FileRecord:
        """Compare a recorded file with the offered one by size and by the server's validators.

        :raises ChangedFile: if the index offers other content.
        """
        size, known = found.file.size, found.validators or Validators()
        if None not in {size, file.size} and size != file.size:
            raise _changed(name, file, "size", str(size), str(file.size))
        try:
            current = await self._index.fetch_validators(self._locate(file), known)
        except errors.UpstreamError:
            return found  # as for a stored file with a digest, whose URL is not requested
        pairs = (
            ("ETag", known.etag, current.etag),
            ("Last-Modified", known.last_modified, current.last_modified),
        )
        for kind, published, offered in pairs:
            if published and offered and published.removeprefix("W/") != offered.removeprefix("W/"):
                raise _changed(name, file, kind, published, offered)
        merged = Validators(
            current.etag or known.etag, current.last_modified or known.last_modified
        )
        return structs.replace(found, validators=merged)

    async def _read(self, found: FileRecord, offered: Digest) -> Hashes:
        """Read a stored file; return its sha256, what pages show, what is recorded and offered.

        :raises MissingObject: if it does not exist.
        """
        digests = [offered] if found.file.digest is None else [offered, found.file.digest]
        algorithms = unique("sha256", self._digest_name, *(each.algorithm for each in digests))
        return await self._storage.digest(layout.release_file(found.file), algorithms)


def _changed(
    name: ProjectName, file: ReleaseFile, kind: str, published: str, offered: str
) -> errors.ChangedFile:
    return errors.ChangedFile(name, file.filename, kind=kind, published=published, offered=offered)


def with_recorded(detail: ProjectDetail, recorded: Mapping[str, FileRecord]) -> ProjectDetail:
    """Return the page with what is known of files whose recorded content it offers.

    They get the recorded sha256 if the page does not give it, and keep their path if the page's
    URL does not determine it.
    """
    files = [_with_recorded(file, recorded.get(file.filename)) for file in detail.files]
    return replace(detail, files=tuple(files))


def _with_recorded(file: ReleaseFile, found: FileRecord | None) -> ReleaseFile:
    if found is None:
        return file
    if file.sha256 is None and found.file.sha256 is not None:
        path = found.file.path if is_computed_path(file) else file.path
        return replace(file, hashes=file.hashes.with_digest(found.file.sha256), path=path)
    if file.path != found.file.path and is_computed_path(file):
        return replace(file, path=found.file.path)
    return file
