"""Copies a mirror to another place: to another disk, into a bucket, or out of one.

Only what the catalogue names is copied, and every release file is verified on the way. State
files and the mark come last. Before everything else ``layout.COPY`` is written, which says of
which mirror the place is a copy: the next copy continues this one, and deletes what is left of it
and not in the mirror any more. The first command that works on the copy deletes that object; one
that has a copy of the catalogue, too, moves the mark. From then on the copy is a mirror of its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec import Struct, field

from bandersnatch import layout
from bandersnatch.catalogue.records import DELETIONS, CleanMarker, Marker
from bandersnatch.concurrency import bounded_map
from bandersnatch.errors import (
    BandersnatchError,
    IntegrityError,
    MissingObject,
    ObstructedPath,
    OversizedContent,
    RefusedCopy,
    UnstorableName,
    UnusablePlace,
)
from bandersnatch.events import StepStarted
from bandersnatch.layout import COPY, MARK, PACKAGES, SIMPLE, STATUS, TRASH, WEB, StorageKey
from bandersnatch.mirror.mark import MarkState, TreeMark, compare_marks, mark_in_tree
from bandersnatch.model.content import MAX_SIDECAR_SIZE, ExpectedContent
from bandersnatch.model.names import ProjectName, project_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Iterable, Sequence

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

_OF_ONE_OBJECT = (
    *(MissingObject, ObstructedPath, UnstorableName),
    *(IntegrityError, OversizedContent),
)
"""Errors that say nothing about other objects."""

_COPIED_TABLES = frozenset({"project", "file", "trash"})
"""The tables that say what is copied."""

_OTHER_CATALOGUE = (
    "its tree and catalogue are not of the same mirror and moment; check [mirror] directory and "
    "catalogue, and run mirror first"
)


class Place(Struct, frozen=True):
    """A mirror, or the place for one; ``name`` is its directory."""

    name: str
    storage: MirrorStorage
    catalogue: MirrorCatalogue


class CopyResult(Struct):
    """What a copy did.

    ``files`` are the objects that were copied, without pages, ``bytes`` is their size, and
    ``present`` those that were there already. ``deleted`` are the objects of an earlier copy that
    the mirror no longer has. ``failed`` are the projects that were not copied, and ``lost`` the
    objects of the trash, each with the reason.
    """

    projects: int = 0
    files: int = 0
    bytes: int = 0
    present: int = 0
    deleted: int = 0
    failed: dict[ProjectName, str] = field(default_factory=dict)
    lost: dict[StorageKey, str] = field(default_factory=dict)


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
        name = await self._check_source()
        has_copy = await self._check_target(name)
        if not (has_copy or self._dry_run):
            await self._target.storage.write({COPY: f"{name}\n".encode()}, durable=True)
        await self._copy_projects()
        trashed = await self._copy_trash()
        await self._note_damage()
        if self._result.failed:
            return self._result
        await self._copy_objects((*self._layout.root_pages().values(), layout.LAST_MODIFIED))
        if has_copy:
            await self._delete_others(trashed)
        if not self._dry_run:
            await self._target.storage.flush()
            await self._note_marks(name)
            await self._copy_state()
        return self._result

    # ------------------------------------------------------------ what is there

    async def _check_source(self) -> str:
        """Return the random name of the source, whose catalogue describes its tree.

        :raises RefusedCopy: if it does not.
        """
        place, catalogue = self._source.name, self._source.catalogue
        if not await catalogue.count():
            raise RefusedCopy(place, "it has no projects in its catalogue; run mirror first")
        if not await catalogue.marker(Marker.ADOPTED):
            raise RefusedCopy(place, "its catalogue is not complete; run mirror first")
        deferred = await catalogue.deferred()
        is_clean = await catalogue.marker(Marker.CLEAN) != CleanMarker.DIRTY
        if not is_clean or any(each.deferral in DELETIONS for each in deferred):
            raise RefusedCopy(place, "its last command was interrupted; run mirror first")
        mark = await mark_in_tree(self._source.storage)
        recorded = TreeMark.parse(await catalogue.marker(Marker.MARK))
        if mark is None or compare_marks(mark, recorded) is not MarkState.SAME:
            raise RefusedCopy(place, _OTHER_CATALOGUE)
        return mark.name

    async def _check_target(self, name: str) -> bool:
        """Return whether the target has an unused copy of the mirror ``name``, or a part of one.

        :raises RefusedCopy: if it has anything else.
        """
        storage, catalogue = self._target.storage, self._target.catalogue
        copied = await _read(storage, COPY)
        why = ""
        if await catalogue.marker(Marker.ADOPTED) or await catalogue.count():
            why = "there is a mirror that has been used"
        elif copied is not None:
            why = _problem_of_copy(copied, name, await _read(storage, MARK))
        elif [key for key in (STATUS, MARK) if await _read(storage, key) is not None]:
            why = "there is another mirror, or a copy that has been used"
        elif (found := await self._first_object()) is not None:
            why = f"there is {found}, which is not of a copy"
        if why:
            raise RefusedCopy(self._target.name, f"{why}; copy to an empty place")
        return copied is not None

    async def _first_object(self) -> StorageKey | None:
        """Return the key of a page or release file at the target; None if there is none."""
        for prefix in (SIMPLE, PACKAGES):
            async for found in self._target.storage.scan(prefix):
                return found.key
        return None

    # ------------------------------------------------------------ projects

    async def _copy_projects(self) -> None:
        after = ""
        while entries := await self._source.catalogue.list_entries(after):
            after = entries[-1].name
            names = [each.name for each in entries]
            await bounded_map(self._copy_project, names, most=self._most)
            if not self._dry_run:
                await self._target.storage.flush()
            done = "compared" if self._dry_run else "copied"
            self._events(StepStarted(f"{done} {self._result.projects:,} project(s) so far"))

    async def _copy_project(self, name: ProjectName) -> None:
        record = await self._source.catalogue.project(name)
        if record is None:  # its row is damaged, and was dropped: see _note_damage
            return
        error = await self._attempt(self._copy_files_and_pages(record))
        if error is None:
            self._result.projects += 1
        else:
            self._result.failed[name] = f"{error}; run verify, and copy again"

    async def _attempt(self, copying: Awaitable[None]) -> BandersnatchError | None:
        """Await a copy; return the error if it is one of these objects alone.

        :raises StorageError: if a storage as a whole cannot be used.
        """
        try:
            await copying
        except UnusablePlace as error:
            for place in (self._source, self._target):
                await place.storage.probe(StorageKey(error.key))
            return error
        except _OF_ONE_OBJECT as error:
            return error
        return None

    async def _copy_files_and_pages(self, record: ProjectRecord) -> None:
        await bounded_map(self._copy_file, record.files, most=self._most)
        await self._copy_pages(record)

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
        """Copy the pages of a project, those of earlier versions first, and its documents.

        :raises MissingObject: if it has no page.
        """
        keys: list[StorageKey] = []
        if self._pages.keep_index_versions:
            prefix = self._layout.page_versions(record.name)
            for place in (self._source, self._target):
                keys += [each.key async for each in place.storage.scan(prefix)]
        pages = self._layout.pages(record.name).values()
        keys += pages
        if self._pages.legacy_json:
            keys += layout.legacy_documents(record.name)
        await self._copy_objects(keys, required=pages)

    async def _copy_objects(
        self, keys: Iterable[StorageKey], *, required: Collection[StorageKey] = ()
    ) -> None:
        """Copy small objects in order; delete those that the source does not have.

        :raises MissingObject: if it lacks one that is ``required``; nothing was copied.
        """
        storage = self._source.storage
        found = {
            key: await (storage.read(key) if key in required else _read(storage, key))
            for key in keys
        }
        if not self._dry_run:
            objects = {key: content for key, content in found.items() if content is not None}
            absent = [key for key, content in found.items() if content is None]
            await self._target.storage.write(objects, absent=absent)

    # ------------------------------------------------------------ the rest

    async def _copy_trash(self) -> frozenset[StorageKey]:
        """Copy the trash, and return its keys."""
        keys = [each.key for each in await self._source.catalogue.trash()]
        await bounded_map(self._copy_trashed, keys, most=self._most)
        return frozenset(keys)

    async def _copy_trashed(self, key: StorageKey) -> None:
        """Copy an object of the trash, unless it is gone."""
        (found,) = await self._source.storage.stat([key])
        if found is not None:
            expected = ExpectedContent(key, None, found.size, modified=found.modified)
            error = await self._attempt(self._copy(key, expected))
            if error is not None:
                self._result.lost[key] = str(error)

    async def _note_damage(self) -> None:
        """Count the projects whose records are damaged, and were not listed, as not copied."""
        for row in await self._source.catalogue.take_damaged():
            if row.table in _COPIED_TABLES:
                why = f"its row of {row.table} is damaged; run mirror, and copy again"
                self._result.failed.setdefault(ProjectName(row.key or row.table), why)

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

    async def _note_marks(self, name: str) -> None:
        """Write the mark that an unused copy has, before it is copied, and the one before it."""
        places = (self._target, self._source)
        marks = [await _read(place.storage, MARK) or b"" for place in places]
        lines = [name.encode(), *(each.strip() for each in marks), b""]
        await self._target.storage.write({COPY: b"\n".join(lines)}, durable=True)

    async def _copy_state(self) -> None:
        """Copy the state files and the mark, durably and one by one."""
        for key in _STATE:
            content = await _read(self._source.storage, key)
            if content is None:
                await self._target.storage.write({}, absent=[key], durable=True)
            else:
                await self._target.storage.write({key: content}, durable=True)


def _problem_of_copy(copied: bytes, name: str, mark: bytes | None) -> str:
    """Return why a copy cannot be continued, by ``layout.COPY`` and its mark; "" if it can."""
    of, *marks = copied.strip().split(b"\n")
    if of != name.encode():
        return "there is a copy of another mirror"
    if mark is not None and mark.strip() not in marks:
        return "there is a copy that has been used"
    return ""


async def _read(storage: MirrorStorage, key: StorageKey) -> bytes | None:
    """Return the content of an object; None if there is none."""
    try:
        return await storage.read(key)
    except MissingObject:
        return None


def _is_same(here: StoredObject, there: StoredObject) -> bool:
    """Whether two objects at one key are the same file, by size and time."""
    return here.size == there.size and abs(here.modified - there.modified) <= _SAME_TIME
