"""Reads what the stored files of a project say about requirements.

The core metadata beside a file is read first. A wheel without it is opened. A source distribution
is opened if a target has no wheel of its version, and its own metadata counts if that is static
(PEP 643). The index's legacy document is the last resort.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Self, TypeVar

from msgspec import Struct

from bandersnatch import errors, layout
from bandersnatch.catalogue.records import RequirementRow, requirements_basis
from bandersnatch.closure.archives import (
    MAX_ARCHIVE,
    build_requirements,
    read_sdist,
    read_wheel,
)
from bandersnatch.closure.choice import newest
from bandersnatch.closure.needs import ProjectNeeds, RequirementList
from bandersnatch.closure.requirements import CoreMetadata, parse_metadata
from bandersnatch.closure.targets import is_sdist
from bandersnatch.concurrency import bounded_map
from bandersnatch.mirror.tasks import Result
from bandersnatch.model.content import Content, ContentCheck, ExpectedContent, expected_sidecar
from bandersnatch.model.digests import new_hasher
from bandersnatch.model.versions import version_key
from bandersnatch.storage.port import Sink

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from bandersnatch.catalogue.records import ProjectRecord
    from bandersnatch.closure.state import ClosureState
    from bandersnatch.closure.targets import Targets
    from bandersnatch.index.port import PackageIndex
    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.tasks import Outcome, SyncTask
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.storage.port import MirrorStorage

_Contents = TypeVar("_Contents")

_NOT_STATIC = "it must be built to know them"


class _Statement(Struct, frozen=True):
    """What one file states: its metadata, or why that is unknown; and what builds it."""

    file: ReleaseFile
    version: str
    metadata: CoreMetadata | str
    build: tuple[str, ...] = ()


class RequirementSync:
    """Syncs projects, and adds to each outcome what the closure has to know of it."""

    def __init__(
        self,
        sync: Callable[[SyncTask], Awaitable[Outcome]],
        reader: RequirementReader,
        state: ClosureState,
    ) -> None:
        """Take what syncs a project; ``state`` is that of the filters that it applies."""
        self._sync = sync
        self._reader = reader
        self._state = state

    async def sync(self, task: SyncTask) -> Outcome:
        """Sync a project, and read its requirements.

        :raises StorageError: if the storage fails.
        """
        outcome = await self._sync(task)
        unmet = self._state.unmet.get(task.name, ()) if self._state.follows(task.name) else ()
        record = outcome.record
        if outcome.result is not Result.SYNCED or record is None:
            return replace(outcome, unmet=unmet)
        needs = await self._reader.read(record)
        row = RequirementRow(requirements_basis(record), "", needs.encoded())
        return replace(outcome, requirements=row, unmet=unmet)


class RequirementReader:
    """Reads the requirements of projects."""

    def __init__(
        self,
        storage: MirrorStorage,
        index: PackageIndex,
        targets: Targets,
        *,
        workers: int,
        builds: bool,
        may_ask: bool = True,
        opens_wheels: bool = True,
    ) -> None:
        """Assign the collaborators.

        At most ``workers`` files of a project are read concurrently. ``builds`` is whether the
        requirements to build source distributions are read; ``may_ask`` whether the index may be
        asked for what is not stored, and ``opens_wheels`` whether a wheel without core metadata
        beside it is opened.
        """
        self._storage = storage
        self._index = index
        self._targets = targets
        self._workers = workers
        self._builds = builds
        self._may_ask = may_ask
        self._opens_wheels = opens_wheels
        self._opening = asyncio.Lock()

    @classmethod
    def of(cls, mirror: Mirror, targets: Targets) -> Self:
        """Return the reader of a mirror."""
        return cls(
            mirror.storage,
            mirror.index,
            targets,
            workers=mirror.settings.index.download_workers,
            builds=mirror.settings.closure.build_requirements,
        )

    async def read(self, record: ProjectRecord) -> ProjectNeeds:
        """Return what the stored files of a project state.

        :raises StorageError: if the storage fails.
        """
        page = record.detail
        urls = {file.path: file.url for file in page.files}
        files = [each.file for each in record.files]
        lacking = self._lacking_wheels(record)
        found: dict[str, _Statement] = {}

        async def read(file: ReleaseFile) -> None:
            version = page.version_of(file)
            opens = is_sdist(file, page.name) and version_key(version) in lacking
            url = urls.get(file.path, "")
            found[file.path] = await self._statement(file, version, url, opens=opens)

        await bounded_map(read, files, most=self._workers)
        statements = [found[file.path] for file in files]
        if any(isinstance(each.metadata, str) for each in statements):
            statements = await self._with_document(page.name, statements)
        return _needs(statements, lacking)

    async def metadata_of(self, file: ReleaseFile, name: ProjectName) -> CoreMetadata | str:
        """Return what one stored file states, or why that is not known; no wheel is opened."""
        opens = is_sdist(file, name)
        statement = await self._statement(file, "", "", opens=opens)
        return statement.metadata

    def _lacking_wheels(self, record: ProjectRecord) -> frozenset[object]:
        """Return the versions that have no wheel for one of the targets."""
        taking: dict[object, int] = {}
        for each in record.files:
            key = version_key(record.detail.version_of(each.file))
            mask = 0
            if each.file.filename.endswith(".whl"):
                mask = self._targets.taking(
                    each.file.filename, record.name, each.file.requires_python
                )
            taking[key] = taking.get(key, 0) | mask
        return frozenset(key for key, mask in taking.items() if mask != self._targets.all)

    async def _statement(
        self, file: ReleaseFile, version: str, url: str, *, opens: bool
    ) -> _Statement:
        metadata = await self._sidecar(file, url)
        is_wheel = file.filename.endswith(".whl")
        if isinstance(metadata, CoreMetadata) and not is_wheel and not metadata.is_static:
            metadata = _NOT_STATIC
        if is_wheel and isinstance(metadata, str) and self._opens_wheels:
            text = await self._open(file, read_wheel)
            stated = parse_metadata(text) if isinstance(text, bytes) else text
            metadata = stated if isinstance(stated, CoreMetadata) else metadata
        if not opens or (isinstance(metadata, CoreMetadata) and not self._builds):
            return _Statement(file, version, metadata)
        contents = await self._open(file, read_sdist)
        if isinstance(contents, str):
            return _Statement(file, version, metadata)
        if isinstance(metadata, str) and contents.pkg_info is not None:
            parsed = parse_metadata(contents.pkg_info)
            is_usable = isinstance(parsed, CoreMetadata) and parsed.is_static
            metadata = parsed if is_usable else _NOT_STATIC
        build = build_requirements(contents.pyproject) if self._builds else ()
        return _Statement(file, version, metadata, build or ())

    # ------------------------------------------------------------ where it is read

    async def _sidecar(self, file: ReleaseFile, url: str) -> CoreMetadata | str:
        key = layout.sidecar(file)
        if key is None or file.sidecar is None:
            return "the index has no core metadata of it"
        why = "its core metadata is not stored"
        try:
            content = await self._storage.read(key)
            hasher = new_hasher(file.sidecar.algorithm)
            hasher.update(content)
            if hasher.hexdigest() == file.sidecar.value:
                return parse_metadata(content)
            why = "its core metadata is damaged in the mirror; verify repairs it"
        except errors.MissingObject:
            pass
        if not url or not self._may_ask:
            return why
        address = url + layout.SIDECAR_SUFFIX
        sink = _MemorySink(expected_sidecar(file, file.sidecar, address))
        try:
            await self._index.download(address, sink)
        except (errors.UpstreamError, errors.IntegrityError) as error:
            return f"its core metadata could not be read: {error}"
        return parse_metadata(bytes(sink.content))

    async def _open(
        self, file: ReleaseFile, read: Callable[[bytes], _Contents | str]
    ) -> _Contents | str:
        """Return what ``read`` finds in a stored archive; one at a time is in memory."""
        if file.size is not None and file.size > MAX_ARCHIVE:
            return "the archive is too large"
        async with self._opening:
            content = await self._content(layout.release_file(file))
            if content is None:
                return "the archive is not stored"
            return await asyncio.to_thread(read, content)

    async def _content(self, key: StorageKey) -> bytes | None:
        chunks = bytearray()
        try:
            async for chunk in self._storage.stream(key):
                chunks += chunk
                if len(chunks) > MAX_ARCHIVE:
                    return None
        except errors.MissingObject:
            return None
        return bytes(chunks)

    async def _with_document(
        self, name: ProjectName, statements: Sequence[_Statement]
    ) -> list[_Statement]:
        """Return the statements with what the legacy document says of one version."""
        try:
            document = (
                await self._index.fetch_legacy(name, doubtful=True) if self._may_ask else None
            )
        except errors.UpstreamError:
            document = None
        stated = _of_document(document)
        if stated is None:
            return list(statements)
        version, metadata = stated
        return [
            each
            if isinstance(each.metadata, CoreMetadata) or version_key(each.version) != version
            else _Statement(each.file, each.version, metadata, each.build)
            for each in statements
        ]


class _MemorySink(Sink):
    """Receives a document into memory, and verifies it."""

    def __init__(self, expected: ExpectedContent) -> None:
        self._expected = expected
        self.content = bytearray()

    @property
    def held(self) -> int:
        """The number of bytes."""
        return len(self.content)

    @property
    def complete(self) -> bool:
        """The size of core metadata is not known before."""
        return False

    @property
    def verifiable(self) -> bool:
        """Whether there is a digest."""
        return self._expected.digest is not None

    async def write(self, chunk: bytes, /) -> None:
        """Append bytes."""
        self.content += chunk
        if len(self.content) > self._expected.limit:
            raise errors.OversizedContent(self._expected.url, self._expected.limit)

    async def restart(self) -> None:
        """Discard the bytes."""
        self.content.clear()

    async def finish(self) -> Content:
        """Return the size and digests of what was received.

        :raises IntegrityError: if it is not the expected content.
        """
        verification = ContentCheck(self._expected)
        verification.update(bytes(self.content))
        return verification.finish()


def _of_document(document: bytes | None) -> tuple[object, CoreMetadata] | None:
    """Return the version that a legacy document is about, and its requirements, if it has any."""
    if document is None:
        return None
    try:
        info = json.loads(document)["info"]
        version, requires = info["version"], info["requires_dist"]
        extras = info.get("provides_extra") or ()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    texts = requires if isinstance(requires, list) else ()
    if not isinstance(version, str) or not texts:
        return None
    return version_key(version), CoreMetadata(
        tuple(each for each in texts if isinstance(each, str)),
        tuple(each for each in extras if isinstance(each, str)),
    )


def _needs(statements: Sequence[_Statement], lacking: frozenset[object]) -> ProjectNeeds:
    """Return the statements with files that state the same together.

    A source distribution whose metadata is unknown does not matter if every target has a wheel of
    its version.
    """
    groups: dict[tuple[tuple[str, ...], tuple[str, ...], bool], list[_Statement]] = {}
    unknown = []
    for each in statements:
        if isinstance(each.metadata, CoreMetadata):
            key = each.metadata.requires, each.metadata.extras, False
            groups.setdefault(key, []).append(each)
        elif each.file.filename.endswith(".whl") or version_key(each.version) in lacking:
            unknown.append((each.file.filename, each.metadata))
        if each.build:
            groups.setdefault((each.build, (), True), []).append(each)
    lists = [_list(key, group) for key, group in groups.items()]
    return ProjectNeeds(tuple(lists), tuple(unknown))


def _list(
    key: tuple[tuple[str, ...], tuple[str, ...], bool], group: Sequence[_Statement]
) -> RequirementList:
    requires, extras, is_build = key
    return RequirementList(
        requires,
        extras,
        tuple((each.file.filename, each.file.requires_python) for each in group),
        newest((each.file, each.version) for each in group),
        is_build,
    )


def unknown_texts(name: ProjectName, unknown: Mapping[str, str]) -> list[str]:
    """Return a sentence for each file whose requirements are unknown."""
    return [
        f"requirements of {name} ({file}) are not known: {why}" for file, why in unknown.items()
    ]
