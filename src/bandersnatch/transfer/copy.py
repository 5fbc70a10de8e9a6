"""Copies a mirror to another place: to another disk, into a bucket, or out of one.

Only what the catalogue names is copied, and every release file is verified on the way. State
files and the mark come last: a place without them is that of a copy that was interrupted, and the
next one continues it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct, field

from bandersnatch import layout
from bandersnatch.catalogue.records import DELETIONS, CleanMarker, Marker
from bandersnatch.concurrency import bounded_map
from bandersnatch.errors import IntegrityError, MissingObject, RefusedCopy, UnusablePlace
from bandersnatch.events import StepStarted
from bandersnatch.layout import MARK, PACKAGES, SIMPLE, STATUS, TRASH, WEB, StorageKey
from bandersnatch.model.content import MAX_SIDECAR_SIZE, ExpectedContent
from bandersnatch.model.names import ProjectName, project_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.catalogue.records import FileRecord, ProjectRecord
    from bandersnatch.config.schema import PageSettings
    from bandersnatch.events import EventSink
    from bandersnatch.storage.port import MirrorStorage, StoredObject

_SAME_TIME = 10**9
"""Nanoseconds by which times of the same file may differ: some stores keep whole seconds."""

_BATCH = 10_000
"""Keys of the target that are compared with the catalogue at a time."""

_DOCUMENTS = (StorageKey("web/json/"), StorageKey("web/pypi/"))
"""The prefixes of legacy documents."""

_STATE = (layout.GENERATION, layout.TODO, STATUS, MARK)
"""What makes a tree a mirror, in the order in which it is copied."""


class Place(Struct, frozen=True):
    """A mirror, or the place for one; ``name`` is its directory."""

    name: str
    storage: MirrorStorage
    catalogue: MirrorCatalogue


class CopyResult(Struct):
    """What a copy did.

    ``files`` are the objects that were copied, without pages, ``bytes`` is their size, and
    ``present`` those that were there already. ``deleted`` are the objects of an earlier copy that
    the mirror no longer has. ``failed`` are the projects that were not copied, with the reason.
    """

    projects: int = 0
    files: int = 0
    bytes: int = 0
    present: int = 0
    deleted: int = 0
    failed: dict[ProjectName, str] = field(default_factory=dict)


class MirrorCopy:
    """Copies the mirror at ``source`` to ``target``, up to ``most`` files concurrently.

    ``pages`` are the page options of the source. A ``dry_run`` only counts.
    """

    def __init__(
        self,
        source: Place,
        target: Place,
        pages: PageSettings,
        events: EventSink,
        *,
        most: int,
        dry_run: bool = False,
    ) -> None:
        self._source = source
        self._target = target
        self._pages = pages
        self._layout = layout.MirrorLayout(pages.hash_index, pages.formats)
        self._events = events
        self._most = most
        self._slots = asyncio.Semaphore(most)
        self._dry_run = dry_run
        self._result = CopyResult()

    async def run(self) -> CopyResult:
        """Copy everything, and return what was done.

        Only if no project failed are the root page and the state files copied, which make a mirror
        of the target.

        :raises RefusedCopy: if there is another mirror at the target, or none at the source.
        :raises StorageError: if one of both cannot be used.
        """
        has_copy = await self._check_places()
        await self._copy_projects()
        trashed = await self._copy_trash()
        if has_copy:
            await self._delete_others(trashed)
        if not (self._dry_run or self._result.failed):
            await self._copy_objects((*self._layout.root_pages().values(), layout.LAST_MODIFIED))
            await self._target.storage.flush()
            await self._copy_state()
        return self._result

    # ------------------------------------------------------------ what is there

    async def _check_places(self) -> bool:
        """Return whether the target has an earlier copy of this mirror."""
        source, target = self._source, self._target
        if not await source.catalogue.count():
            raise RefusedCopy(source.name, "it has no projects in its catalogue; run mirror first")
        deferred = await source.catalogue.deferred()
        is_clean = await source.catalogue.marker(Marker.CLEAN) != CleanMarker.DIRTY
        if not is_clean or any(each.deferral in DELETIONS for each in deferred):
            raise RefusedCopy(source.name, "its last command was interrupted; run mirror first")
        if await target.catalogue.marker(Marker.ADOPTED) or await target.catalogue.count():
            why = "there is a mirror that has been used; copy to an empty place"
            raise RefusedCopy(target.name, why)
        mine, theirs = await _name_in(source.storage), await _name_in(target.storage)
        if theirs is None and await _read(target.storage, STATUS) is None:
            return False
        if theirs is None or theirs != mine:
            raise RefusedCopy(target.name, "there is another mirror; copy to an empty place")
        return True

    # ------------------------------------------------------------ projects

    async def _copy_projects(self) -> None:
        after = ""
        while entries := await self._source.catalogue.list_entries(after):
            after = entries[-1].name
            names = [each.name for each in entries]
            await bounded_map(self._copy_project, names, most=self._most)
            if not self._dry_run:
                await self._target.storage.flush()
            self._events(StepStarted(f"copied {self._result.projects} projects so far"))

    async def _copy_project(self, name: ProjectName) -> None:
        record = await self._source.catalogue.project(name)
        if record is None:  # its row is damaged, and was dropped
            self._result.failed[name] = "its record is damaged; run mirror, and copy again"
            return
        try:
            await bounded_map(self._copy_file, record.files, most=self._most)
            await self._copy_pages(record)
        except (MissingObject, UnusablePlace, IntegrityError) as error:
            self._result.failed[name] = f"{error}; run verify, and copy again"
            return
        self._result.projects += 1

    async def _copy_file(self, found: FileRecord) -> None:
        """Copy a release file and its core metadata.

        :raises IntegrityError: if it is not what the catalogue has.
        """
        file, key = found.file, layout.release_file(found.file)
        expected = ExpectedContent(key, file.digest, file.size, modified=found.modified)
        await self._copy(key, expected)
        sidecar, digest = layout.sidecar(file), file.sidecar
        if sidecar is not None and digest is not None:
            limit = MAX_SIDECAR_SIZE
            of_sidecar = ExpectedContent(sidecar, digest, modified=found.modified, max_size=limit)
            await self._copy(sidecar, of_sidecar)

    async def _copy(self, key: StorageKey, expected: ExpectedContent) -> None:
        """Copy one object, unless it is there already."""
        async with self._slots:
            here, there = await self._source.storage.stat([key]), await self._stat(key)
            if here[0] is None:
                raise MissingObject(key)
            if there is not None and _is_same(here[0], there):
                self._result.present += 1
                return
            self._result.files += 1
            self._result.bytes += here[0].size
            if self._dry_run:
                return
            async with self._target.storage.receive(key, expected) as sink:
                await sink.restart()
                async for chunk in self._source.storage.stream(key):
                    await sink.write(chunk)
                await sink.finish()

    async def _stat(self, key: StorageKey) -> StoredObject | None:
        return (await self._target.storage.stat([key]))[0]

    async def _copy_pages(self, record: ProjectRecord) -> None:
        """Copy the pages of a project, those of earlier versions first, and its documents."""
        keys: list[StorageKey] = []
        if self._pages.keep_index_versions:
            prefix = self._layout.page_versions(record.name)
            for place in (self._source, self._target):
                keys += [each.key async for each in place.storage.scan(prefix)]
        keys += self._layout.pages(record.name).values()
        if self._pages.legacy_json:
            keys += layout.legacy_documents(record.name)
        await self._copy_objects(keys)

    async def _copy_objects(self, keys: Iterable[StorageKey]) -> None:
        """Copy small objects in order; delete those that the source does not have."""
        found = {key: await _read(self._source.storage, key) for key in keys}
        if not self._dry_run:
            objects = {key: content for key, content in found.items() if content is not None}
            absent = [key for key, content in found.items() if content is None]
            await self._target.storage.write(objects, absent=absent)

    # ------------------------------------------------------------ the rest

    async def _copy_trash(self) -> frozenset[StorageKey]:
        """Copy the trash, and return its keys."""
        entries = await self._source.catalogue.trash()

        async def copy(key: StorageKey) -> None:
            (found,) = await self._source.storage.stat([key])
            if found is not None:
                expected = ExpectedContent(key, None, found.size, modified=found.modified)
                await self._copy(key, expected)

        keys = [each.key for each in entries]
        await bounded_map(copy, keys, most=self._most)
        return frozenset(keys)

    async def _delete_others(self, trashed: Collection[StorageKey]) -> None:
        """Delete what an earlier copy has and the mirror no longer has."""
        batch: list[StorageKey] = []
        for prefix in (SIMPLE, *_DOCUMENTS, PACKAGES, TRASH):
            async for found in self._target.storage.scan(prefix):
                if found.key not in trashed:
                    batch.append(found.key)
                if len(batch) >= _BATCH:
                    await self._delete_unknown(batch)
                    batch = []
        await self._delete_unknown(batch)

    async def _delete_unknown(self, keys: Sequence[StorageKey]) -> None:
        """Delete those objects that belong to no project; what is in the trash has none."""
        catalogue = self._source.catalogue
        paths = {key.removeprefix(WEB) for key in keys if key.startswith(PACKAGES)}
        known = await catalogue.paths_known(paths)
        owners = {key: owner for key in keys if (owner := self._owner(key))}
        summaries = await catalogue.summaries(set(owners.values()))
        published = {name for name, each in summaries.items() if each.is_published}
        gone = [
            key
            for key in keys
            if key.startswith(TRASH)
            or (key.startswith(PACKAGES) and key.removeprefix(WEB) not in known)
            or (key in owners and owners[key] not in published)
        ]
        self._result.deleted += len(gone)
        if gone and not self._dry_run:
            await self._target.storage.write({}, absent=gone)

    def _owner(self, key: StorageKey) -> ProjectName | None:
        """Return the project of a page or legacy document; None for any other object."""
        spelled = self._layout.page_owner(key)
        for prefix in _DOCUMENTS:
            if key.startswith(prefix):
                spelled = key.removeprefix(prefix).partition("/")[0]
        return project_name(spelled) if spelled else None

    async def _copy_state(self) -> None:
        """Copy the state files and the mark, durably and one by one."""
        for key in _STATE:
            content = await _read(self._source.storage, key)
            if content is None:
                await self._target.storage.write({}, absent=[key], durable=True)
            else:
                await self._target.storage.write({key: content}, durable=True)


async def _read(storage: MirrorStorage, key: StorageKey) -> bytes | None:
    """Return the content of an object; None if there is none."""
    try:
        return await storage.read(key)
    except MissingObject:
        return None


async def _name_in(storage: MirrorStorage) -> bytes | None:
    """Return the random name of the mirror in its mark; None without a mark."""
    content = await _read(storage, MARK)
    return None if content is None else content.split(b" ")[0]


def _is_same(here: StoredObject, there: StoredObject) -> bool:
    """Whether two objects at one key are the same file, by size and time."""
    return here.size == there.size and abs(here.modified - there.modified) <= _SAME_TIME
