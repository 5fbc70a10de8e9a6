"""What the sync of one project asks of its run: its record, its paths, and what leaves its page.

These answers depend on other projects, or change what is recorded, so one process gives them: this
one, or the coordinator of workers (``bandersnatch.cluster``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from bandersnatch.mirror.readoption import Readoption
from bandersnatch.mirror.removal import Removals

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from bandersnatch.catalogue.records import FileRecord, ProjectRecord, TrashEntry
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.owners import PathOwners
    from bandersnatch.mirror.tasks import RunContext, SyncTask
    from bandersnatch.model.files import ReleaseFile
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import Rejection


class Claims(NamedTuple):
    """The answer to a claim: the files whose paths another project has.

    ``makes_room`` says that a file needs the place of a recorded one that leaves the page: then the
    page must be published without both, so that the place is free after that.
    """

    taken: Sequence[Rejection]
    makes_room: bool


class RunAuthority(Protocol):
    """Decides for one run what concerns more than one project, or changes what is recorded."""

    async def record_for(self, task: SyncTask, /) -> tuple[SyncTask, ProjectRecord | None]:
        """Return the record of a task's project, and the task; see ``Readoption.record_for``."""
        ...

    async def claim(
        self, name: ProjectName, files: Sequence[ReleaseFile], record: ProjectRecord | None, /
    ) -> Claims:
        """Claim the paths of a project's files, before they are downloaded."""
        ...

    async def trash(
        self, name: ProjectName, leaving: Sequence[FileRecord], kept: Collection[ReleaseFile], /
    ) -> tuple[TrashEntry, ...]:
        """Trash files that have left a project's published page, and return their entries.

        ``kept`` are the files of the page.
        """
        ...


class LocalAuthority(RunAuthority):
    """Decides in this process."""

    def __init__(self, readoption: Readoption, owners: PathOwners, removals: Removals) -> None:
        self._readoption = readoption
        self._owners = owners
        self._removals = removals

    @classmethod
    def of(cls, mirror: Mirror, context: RunContext, began: datetime) -> Self:
        """Return the authority of a run."""
        removals = Removals.of(mirror, began, is_doubted=not context.may_expire)
        return cls(Readoption.of(mirror), context.owners, removals)

    async def record_for(self, task: SyncTask, /) -> tuple[SyncTask, ProjectRecord | None]:
        return await self._readoption.record_for(task)

    async def claim(
        self, name: ProjectName, files: Sequence[ReleaseFile], record: ProjectRecord | None, /
    ) -> Claims:
        paths = [found.file.path for found in record.files] if record is not None else []
        taken = await self._owners.claim(name, files, record)
        return Claims(taken, self._owners.replaces(files, paths))

    async def trash(
        self, name: ProjectName, leaving: Sequence[FileRecord], kept: Iterable[ReleaseFile], /
    ) -> tuple[TrashEntry, ...]:
        async with self._owners.release(name, leaving, kept) as owners:
            return await self._removals.trash_files(name, leaving, owners)
