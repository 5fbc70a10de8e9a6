"""What a worker asks of the coordinator while it syncs one project."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from bandersnatch.errors import AbandonedAttempt
from bandersnatch.layout import served
from bandersnatch.mirror.authority import Claims, RunAuthority
from bandersnatch.model.files import ReleaseFile
from bandersnatch.storage.wrapper import SinkWrapper, StorageWrapper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from bandersnatch.catalogue.records import FileRecord, ProjectRecord, TrashEntry
    from bandersnatch.cluster.messages import Answer
    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.tasks import SyncTask
    from bandersnatch.model.content import Content, ExpectedContent
    from bandersnatch.model.names import ProjectName
    from bandersnatch.storage.port import MirrorStorage, Sink


class Attempt(Protocol):
    """One attempt to sync a project, as the coordinator knows it."""

    async def claim(self, files: tuple[ReleaseFile, ...]) -> Answer:
        """Ask for the paths of files."""
        ...

    async def permit(self, written: Collection[str], deleted: Collection[str]) -> None:
        """Return once the tree may be changed: the attempt is current, and the change recorded.

        :raises AbandonedAttempt: if the attempt is not current any more.
        """
        ...


class RemoteAuthority(RunAuthority):
    """Asks the coordinator; ``leaving`` are files that the coordinator has to trash."""

    def __init__(self, attempt: Attempt, task: SyncTask, record: ProjectRecord | None) -> None:
        self._attempt = attempt
        self._known = task, record
        self.leaving: tuple[FileRecord, ...] = ()

    async def record_for(self, task: SyncTask, /) -> tuple[SyncTask, ProjectRecord | None]:
        del task
        return self._known

    async def claim(
        self, name: ProjectName, files: Sequence[ReleaseFile], record: ProjectRecord | None, /
    ) -> Claims:
        del record  # the coordinator has it
        answer = await self._attempt.claim(tuple(map(_claimed, files)))
        if not answer.is_current:
            raise AbandonedAttempt(name)
        return Claims(answer.taken, answer.makes_room)

    async def trash(
        self, name: ProjectName, leaving: Sequence[FileRecord], kept: Collection[ReleaseFile], /
    ) -> tuple[TrashEntry, ...]:
        """Leave it to the coordinator: another project may have claimed a path meanwhile."""
        del name, kept
        self.leaving = tuple(leaving)
        return ()


def _claimed(file: ReleaseFile) -> ReleaseFile:
    """Return what a claim needs of a file."""
    return ReleaseFile(file.filename, "", file.path, file.hashes, core_metadata=file.core_metadata)


class FencedStorage(StorageWrapper):
    """Wraps a storage for one attempt, and changes pages only while that is current.

    The content of files is verified, so a late one is right wherever it belongs; one that belongs
    nowhere any more is found by ``verify``.
    """

    def __init__(self, storage: MirrorStorage, attempt: Attempt, *, records_files: bool) -> None:
        super().__init__(storage)
        self._attempt = attempt
        self._records_files = records_files

    async def write(
        self,
        objects: Mapping[StorageKey, bytes],
        /,
        *,
        absent: Collection[StorageKey] = (),
        durable: bool = False,
    ) -> Sequence[StorageKey]:
        if not (objects or absent):
            return ()
        await self._attempt.permit(objects.keys(), absent)
        return await self._storage.write(objects, absent=absent, durable=durable)

    async def publish_version(self, key: StorageKey, version: StorageKey, /) -> None:
        await self._attempt.permit((key,), ())
        await self._storage.publish_version(key, version)

    async def discard(self, keys: Collection[StorageKey], /) -> None:
        await self._attempt.permit((), keys)
        await self._storage.discard(keys)

    async def recover(self, keys: Collection[StorageKey], /) -> None:
        if keys:
            await self._attempt.permit([served(key) for key in keys], ())
            await self._storage.recover(keys)

    @asynccontextmanager
    async def receive(self, key: StorageKey, expected: ExpectedContent, /) -> AsyncIterator[Sink]:
        async with self._storage.receive(key, expected) as sink:
            yield _FencedSink(sink, key, self._attempt) if self._records_files else sink


class _FencedSink(SinkWrapper):
    """Has the coordinator record a file before it is published."""

    def __init__(self, sink: Sink, key: StorageKey, attempt: Attempt) -> None:
        super().__init__(sink)
        self._key = key
        self._attempt = attempt

    async def finish(self) -> Content:
        await self._attempt.permit((self._key,), ())
        return await self._sink.finish()
