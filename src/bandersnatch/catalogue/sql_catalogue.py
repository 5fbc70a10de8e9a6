"""A catalogue in a database: every method by the queries that all databases have."""

from __future__ import annotations

import threading
from abc import abstractmethod
from typing import TYPE_CHECKING, TypeVar

from bandersnatch.catalogue import dependencies, queries, row_copy
from bandersnatch.catalogue.changes import put
from bandersnatch.catalogue.damage import DamageLog
from bandersnatch.catalogue.database import select_named
from bandersnatch.catalogue.port import MirrorCatalogue
from bandersnatch.catalogue.records import NEVER, TrashTotals
from bandersnatch.catalogue.rows import (
    parse_deferred,
    parse_list_entry,
    parse_marker,
    parse_path_owner,
    parse_rejected,
    parse_removed,
    parse_summary,
    parse_trash_entry,
)
from bandersnatch.catalogue.schema import select
from bandersnatch.concurrency import BlockingExecutor
from bandersnatch.model.folding import EXACT, Folding

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from bandersnatch.catalogue.database import Database
    from bandersnatch.catalogue.records import (
        CatalogueUpdate,
        DamagedRow,
        Deferred,
        FileStat,
        FollowedRow,
        ListEntry,
        Marker,
        PathOwner,
        ProjectRecord,
        ProjectSummary,
        RejectedFile,
        RequirementRow,
        Totals,
        TrashEntry,
        VerifyEntry,
    )
    from bandersnatch.catalogue.row_copy import CopiedRows, Page
    from bandersnatch.catalogue.rows import Row
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList

    _Result = TypeVar("_Result")


class SqlCatalogue(MirrorCatalogue):
    """A catalogue in a database; an adapter opens that, and runs the calls.

    With ``drops`` damaged rows are deleted; without it they are only ignored.
    """

    def __init__(self, *, drops: bool) -> None:
        self._damage = DamageLog()
        self._drops = drops
        self._changed = False
        self._followed: Mapping[ProjectName, FollowedRow] | None = None
        self._threads = BlockingExecutor(1, "catalogue")

    @property
    @abstractmethod
    def _db(self) -> Database:
        """The open database."""

    @abstractmethod
    def guarded(self, call: Callable[[], _Result]) -> _Result:
        """Return the result of a call that uses the database, and then drop damaged rows; blocks.

        :raises StorageError: if the database fails.
        """

    async def _run(self, call: Callable[[], _Result]) -> _Result:
        """Return the result of ``guarded`` in the catalogue's thread."""
        return await self._threads.run(lambda: self.guarded(call))

    def _drop_damaged(self) -> None:
        """Drop the damaged rows that were found."""
        if not self._damage:
            return
        if self._drops:
            self._damage.drop(self._db)
        else:
            self._damage.ignore()

    def _parsed(
        self,
        table: str,
        rest: str,
        values: Sequence[object],
        parse: Callable[[Row], _Result],
    ) -> Iterator[_Result]:
        """Yield the values of the rows of a table that are not damaged."""
        rows = self._db.execute(f"{select(table)} {rest}", values)
        return self._damage.parsed(table, rows, parse)

    # ------------------------------------------------------------ Catalogue

    async def summaries(
        self, names: Iterable[ProjectName] | None, /
    ) -> dict[ProjectName, ProjectSummary]:
        selected = None if names is None else sorted(names)

        def summaries() -> dict[ProjectName, ProjectSummary]:
            query = queries.SELECT_SUMMARIES
            if selected is None:
                rows = self._db.stream(f"{query} ORDER BY name")
            else:
                rows = select_named(self._db, query, "name", selected)
            return dict(self._damage.parsed("project", rows, parse_summary))

        return await self._run(summaries)

    async def changed_since(
        self, listing: ProjectList, fingerprint: str, /, *, exact: bool = False
    ) -> frozenset[ProjectName]:
        return await self._run(
            lambda: queries.changed_since(self._db, listing, fingerprint, exact=exact)
        )

    async def count(self) -> int:
        return await self._run(self._count)

    def _count(self) -> int:
        """Return the number of projects, without excluded ones."""
        ((count,),) = self._db.execute(queries.SELECT_COUNT)
        return int(count)

    async def due(self, now: int, /) -> Sequence[ProjectName]:
        query = queries.SELECT_DUE
        return await self._run(lambda: sorted(queries.names_of(self._db.execute(query, (now,)))))

    async def last_due(self) -> int | None:
        return await self._integer(queries.SELECT_LAST_DUE)

    async def sweep_queue(
        self, now: int, count: int, /, *, before: int, watched: bool = False
    ) -> Sequence[ProjectName]:
        return await self._run(
            lambda: queries.select_sweep(self._db, now, count, before=before, watched=watched)
        )

    async def oldest_look(self) -> int | None:
        return await self._integer(queries.SELECT_OLDEST_LOOK)

    async def _integer(self, query: str) -> int | None:
        """Return the only value of a query; None without one, or for one that is no integer."""
        found = await self._run(lambda: self._db.execute(query))
        return found[0][0] if found and isinstance(found[0][0], int) else None

    async def project(self, name: ProjectName, /) -> ProjectRecord | None:
        return await self._run(lambda: queries.select_project(self._db, name, self._damage))

    async def deferred(self) -> Sequence[Deferred]:
        return await self._run(
            lambda: list(self._parsed("deferred", "ORDER BY name", (), parse_deferred))
        )

    async def rejected(self) -> Sequence[RejectedFile]:
        return await self._run(
            lambda: list(self._parsed("rejected", "ORDER BY project, entry", (), parse_rejected))
        )

    async def trash(
        self, *, before: int | None = None, after: int | None = None
    ) -> Sequence[TrashEntry]:
        limits = {"at < ?": before, "at > ?": after}
        given = {text: at for text, at in limits.items() if at is not None}
        condition = f"WHERE {' AND '.join(given)}" if given else ""
        rest, values = f"{condition} ORDER BY key", list(given.values())
        return await self._run(lambda: list(self._parsed("trash", rest, values, parse_trash_entry)))

    async def removed(self, names: Iterable[ProjectName], /) -> frozenset[ProjectName]:
        wanted = sorted(names)

        def removed() -> frozenset[ProjectName]:
            rows = select_named(self._db, select("removed"), "name", wanted)
            return frozenset(self._damage.parsed("removed", rows, parse_removed))

        return await self._run(removed)

    async def marker(self, marker: Marker, /) -> str:
        found = await self._run(
            lambda: dict(self._parsed("marker", "WHERE key = ?", (str(marker),), parse_marker))
        )
        return found.get(marker, "")

    async def take_damaged(self) -> Sequence[DamagedRow]:
        return self._damage.take()

    @property
    def changed(self) -> bool:
        return self._changed

    async def commit(self, batch: CatalogueUpdate, /) -> None:
        if batch:
            await self._run(lambda: self._commit(batch))

    def _commit(self, batch: CatalogueUpdate) -> None:
        if batch.followed or batch.unfollowed or batch.reset:
            self._followed = None
        with self._db.transaction():
            if batch.reset:
                self._db.clear()
            put(self._db, batch, self._damage)
        self._changed |= bool(batch.records or batch.forgotten or batch.trashed or batch.restored)

    # ------------------------------------------------------------ copies

    def read_page(self, table: str, after: Sequence[object], /) -> Page:
        """Return the next rows of a table after a key; see ``row_copy``; blocks.

        :raises StorageError: if the database fails.
        """
        return self.guarded(lambda: row_copy.read_page(self._db, table, after, self._damage))

    async def copy_from(self, source: SqlCatalogue) -> CopiedRows:
        """Copy everything of another catalogue, in one transaction.

        :raises UsageError: if this catalogue is not empty.
        :raises StorageError: if one of both fails; nothing was changed.
        """
        self._followed = None
        stop = threading.Event()
        return await self._threads.run(
            lambda: self.guarded(lambda: row_copy.copy_all(source, self._db, stop)), cancel=stop.set
        )

    # ------------------------------------------------------------ Inventory

    async def list_entries(self, after: str, /) -> Sequence[ListEntry]:
        values = (after, queries.LIST_ENTRIES)

        def entries() -> list[ListEntry]:
            rows = self._db.execute(queries.SELECT_LIST_ENTRIES, values)
            return list(self._damage.parsed("project", rows, parse_list_entry))

        return await self._run(entries)

    async def check(self, after: str, /) -> str:
        return await self._run(lambda: queries.check_projects(self._db, after, self._damage))

    async def verify_queue(
        self, before: int, after: VerifyEntry | None, /
    ) -> Sequence[VerifyEntry]:
        last = (after.verified, after.name) if after is not None else (NEVER - 1, "")
        values = (before, *last, queries.VERIFY_ENTRIES)
        return await self._verify_entries(queries.SELECT_VERIFY_QUEUE, values)

    async def _verify_entries(self, query: str, values: Sequence[object]) -> list[VerifyEntry]:
        return await self._run(lambda: queries.verify_entries(self._db.execute(query, values)))

    async def file_stats(
        self, names: Collection[ProjectName], /
    ) -> Mapping[ProjectName, list[FileStat]]:
        return await self._run(lambda: queries.select_file_stats(self._db, names))

    async def path_owners(
        self, name: ProjectName, paths: Collection[str], folding: Folding = EXACT, /
    ) -> Sequence[PathOwner]:
        if not paths:  # most pages lose no file
            return []

        def owners() -> list[PathOwner]:
            rows = queries.owner_rows(self._db, name, paths, folding)
            projects = {row[0] for row in rows}
            intact = {
                each for each in projects if queries.select_project(self._db, each, self._damage)
            }
            return [parse_path_owner(row) for row in rows if row[0] in intact]

        return await self._run(owners)

    async def paths_owned(self, claims: Collection[tuple[ProjectName, str]], /) -> frozenset[str]:
        return await self._run(lambda: queries.select_owned(self._db, claims))

    async def paths_known(
        self,
        paths: Collection[str],
        /,
        *,
        omit: Collection[ProjectName] = (),
        folding: Folding = EXACT,
    ) -> frozenset[str]:
        folded = {path: folding.fold(path) for path in paths}

        def known() -> frozenset[str]:
            places = frozenset(folded.values())
            found = queries.select_known(self._db, places, frozenset(omit), folding)
            return frozenset(path for path, place in folded.items() if place in found)

        return await self._run(known)

    async def totals(self) -> Totals:
        return await self._run(lambda: queries.select_totals(self._db))

    async def listed_files(self) -> int:
        return await self._integer("SELECT count(*) FROM file") or 0

    async def largest(self, count: int, /) -> Sequence[VerifyEntry]:
        return await self._verify_entries(queries.SELECT_LARGEST, (count,))

    async def trash_totals(self) -> TrashTotals:
        ((files, size),) = await self._run(lambda: self._db.execute(queries.SELECT_TRASH_TOTALS))
        return TrashTotals(files, int(size))

    # ------------------------------------------------------------ Dependencies

    async def requirements(
        self, names: Iterable[ProjectName] | None, /
    ) -> Mapping[ProjectName, RequirementRow]:
        selected = None if names is None else sorted(names)
        return await self._run(
            lambda: dependencies.select_requirements(self._db, selected, self._damage)
        )

    async def requirements_missing(self) -> Sequence[ProjectName]:
        return await self._run(lambda: dependencies.select_missing(self._db, self._count()))

    async def requirements_unjudged(self) -> Sequence[ProjectName]:
        return await self._run(lambda: dependencies.select_unjudged(self._db))

    async def dependencies(
        self, names: Iterable[ProjectName] | None, /
    ) -> Mapping[ProjectName, Mapping[ProjectName, str]]:
        selected = None if names is None else sorted(names)
        return await self._run(
            lambda: dependencies.select_dependencies(self._db, selected, self._damage)
        )

    async def dependants(
        self, names: Iterable[ProjectName], /
    ) -> Mapping[ProjectName, Mapping[ProjectName, str]]:
        selected = sorted(names)
        return await self._run(
            lambda: dependencies.select_dependants(self._db, selected, self._damage)
        )

    async def followed(self) -> Mapping[ProjectName, FollowedRow]:
        if self._followed is None or not self._drops:  # others may write what is only read here
            self._followed = await self._run(
                lambda: dependencies.select_followed(self._db, self._damage)
            )
        return self._followed
