"""The port of the catalogue: what the mirror has, so that a run costs what changed.

Everything in it can be rebuilt from the tree. Every method raises ``StorageError`` when the
catalogue cannot be read or written. Only undamaged rows are returned; what merely compares or
counts projects (``changed_since``, ``count``, ``due``, ``verify_queue``, ``totals``, ``largest``,
``file_stats``, ``paths_owned``, ``paths_known``) does not check them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

from bandersnatch.model.folding import EXACT, Folding

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from bandersnatch.catalogue import records
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList


class Catalogue(Protocol):
    """The part of the catalogue that a run reads and writes."""

    async def summaries(
        self, names: Iterable[ProjectName] | None, /
    ) -> dict[ProjectName, records.ProjectSummary]:
        """Return the summaries of the named projects that have a record, or of all, by name.

        The order is that of names. Excluded projects are included.
        """
        ...

    async def changed_since(
        self, listing: ProjectList, fingerprint: str, /, *, exact: bool = False
    ) -> frozenset[ProjectName]:
        """Return the projects that differ between the catalogue and a complete project list.

        A project is unchanged if it is in both, the list gives a serial that the record reflects,
        the display names are equal, the record has this ``fingerprint``, and its standing is not
        ``RETAINED``. With ``exact`` the serial must be the one that the record reflects.
        """
        ...

    async def count(self) -> int:
        """Return the number of projects, without excluded ones."""
        ...

    async def project(self, name: ProjectName, /) -> records.ProjectRecord | None:
        """Return one project with its files, or None if it has no record."""
        ...

    async def due(self, now: int, /) -> Sequence[ProjectName]:
        """Return the projects whose filters let more files through by ``now``, by name.

        ``now`` is in seconds since 1970.
        """
        ...

    async def sweep_queue(
        self, now: int, count: int, /, *, before: int, watched: bool = False
    ) -> Sequence[ProjectName]:
        """Return up to ``count`` projects whose pages were asked for before ``before``.

        Those that were asked for longest ago come first, after those with a time after ``now``,
        which a wrong clock gave. Retained projects are left out, and with ``watched`` those that
        are not watched at ``now``. Times are in seconds since 1970.
        """
        ...

    async def oldest_look(self) -> int | None:
        """Return when the page was asked for that was asked for longest ago, None without pages.

        Retained projects are left out, because no run of ``mirror`` asks for their pages.
        """
        ...

    async def last_due(self) -> int | None:
        """Return the last time at which filters let more files through, None if there is none."""
        ...

    async def deferred(self) -> Sequence[records.Deferred]:
        """Return the deferred projects, in the order of names."""
        ...

    async def rejected(self) -> Sequence[records.RejectedFile]:
        """Return the files that were left out, by project and name."""
        ...

    async def trash(
        self, *, before: int | None = None, after: int | None = None
    ) -> Sequence[records.TrashEntry]:
        """Return the objects in the trash, by key; only those trashed before or after a time."""
        ...

    async def removed(self, names: Iterable[ProjectName], /) -> frozenset[ProjectName]:
        """Return which of the projects were removed from the mirror, and not published since."""
        ...

    async def marker(self, marker: records.Marker, /) -> str:
        """Return the text of a marker; "" if it has none."""
        ...

    async def commit(self, batch: records.CatalogueUpdate, /) -> None:
        """Make all changes or none; they survive a power failure once this returns."""
        ...

    is_shared: ClassVar[bool] = False
    """Whether the catalogue is where other mirrors can have theirs, and not in the mirror itself.

    One of another mirror is then never reset.
    """

    @property
    def changed(self) -> bool:
        """Whether a commit has changed a project or the trash since the catalogue was opened."""
        ...

    async def take_damaged(self) -> Sequence[records.DamagedRow]:
        """Return the damaged rows that were dropped since the last call.

        Every method returns what it does as if they had never been there.
        """
        ...


class Inventory(Protocol):
    """The part of the catalogue that enumerates the whole mirror, page by page.

    Excluded projects are left out.
    """

    async def list_entries(self, after: str, /) -> Sequence[records.ListEntry]:
        """Return the next projects after the name ``after``, by name; "" returns the first."""
        ...

    async def check(self, after: str, /) -> str:
        """Check all rows of the next projects after the name ``after``, and drop damaged ones.

        Return the last name, "" if there is no project after ``after``.
        """
        ...

    async def verify_queue(
        self, before: int, after: records.VerifyEntry | None, /
    ) -> Sequence[records.VerifyEntry]:
        """Return the next projects that were verified earlier than ``before``, the oldest first.

        ``after`` is the last entry of the previous page, None for the first page.
        """
        ...

    async def file_stats(
        self, names: Collection[ProjectName], /
    ) -> Mapping[ProjectName, list[records.FileStat]]:
        """Return the stored files of the projects; a project without files has no key."""
        ...

    async def path_owners(
        self, name: ProjectName, paths: Collection[str], folding: Folding = EXACT, /
    ) -> Sequence[records.PathOwner]:
        """Return the stored files of other projects than ``name`` that have one of the paths.

        A path counts in any spelling that ``folding`` ignores.
        """
        ...

    async def paths_owned(self, claims: Collection[tuple[ProjectName, str]], /) -> frozenset[str]:
        """Return the paths that belong to the project that they are claimed for.

        A project owns the paths of its files and of the core metadata that it advertises.
        """
        ...

    async def paths_known(
        self,
        paths: Collection[str],
        /,
        *,
        omit: Collection[ProjectName] = (),
        folding: Folding = EXACT,
    ) -> frozenset[str]:
        """Return the paths that belong to any project but those of ``omit``.

        A path counts in any spelling that ``folding`` ignores.

        Reads the row of every file.
        """
        ...

    async def totals(self) -> records.Totals:
        """Return the numbers of projects, files and bytes."""
        ...

    async def listed_files(self) -> int:
        """Return the number of files on all pages, stored or not. Reads the row of every file."""
        ...

    async def largest(self, count: int, /) -> Sequence[records.VerifyEntry]:
        """Return the projects with the most bytes, the largest first."""
        ...

    async def trash_totals(self) -> records.TrashTotals:
        """Return the numbers of files and bytes in the trash."""
        ...


class Dependencies(Protocol):
    """The part of the catalogue that remembers who needs whom; see ``records.RequirementRow``."""

    async def requirements(
        self, names: Iterable[ProjectName] | None, /
    ) -> Mapping[ProjectName, records.RequirementRow]:
        """Return what the files of the named projects state, or those of all, by name."""
        ...

    async def requirements_missing(self) -> Sequence[ProjectName]:
        """Return the published projects whose requirements are to be read, by name."""
        ...

    async def requirements_unjudged(self) -> Sequence[ProjectName]:
        """Return the projects with requirements without contexts, by name."""
        ...

    async def dependencies(
        self, names: Iterable[ProjectName] | None, /
    ) -> Mapping[ProjectName, Mapping[ProjectName, str]]:
        """Return what the named projects, or all, ask of others: by dependant, then by needed."""
        ...

    async def dependants(
        self, names: Iterable[ProjectName], /
    ) -> Mapping[ProjectName, Mapping[ProjectName, str]]:
        """Return what is asked of the named projects: by needed name, then by dependant."""
        ...

    async def followed(self) -> Mapping[ProjectName, records.FollowedRow]:
        """Return the projects that others need, by name."""
        ...


class MirrorCatalogue(Catalogue, Inventory, Dependencies, Protocol):
    """A whole catalogue."""
