"""The port of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from bandersnatch.catalogue.records import Marker

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from bandersnatch.catalogue.records import (
        CatalogueUpdate,
        Deferred,
        FileStat,
        ListEntry,
        Marker,
        ProjectRecord,
        ProjectSummary,
        Totals,
        TrashEntry,
        TrashTotals,
        VerifyEntry,
    )
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList


class Catalogue(Protocol):
    """The memory of what the mirror has. All raise ``StorageError``."""

    async def summaries(
        self, names: Iterable[ProjectName] | None, /
    ) -> dict[ProjectName, ProjectSummary]:
        """Return what is known of the projects named, or of all; in the order of names.

        Projects that are left out are among them.
        """
        ...

    async def changed_since(
        self, listing: ProjectList, fingerprint: str, /
    ) -> frozenset[ProjectName]:
        """Return the projects that are not here just as a whole list has them.

        All others are listed, reflect the serial that the list tells, are shown under its name,
        were made under this ``fingerprint``, and are wanted, or left out. What is missing on either
        side is among the result, and so is what the list tells no serial of.
        """
        ...

    async def count(self) -> int:
        """Return how many projects are here; those that are left out do not count."""
        ...

    async def project(self, name: ProjectName, /) -> ProjectRecord | None:
        """Return one project with its files."""
        ...

    async def due(self, now: int, /) -> Sequence[ProjectName]:
        """Return the projects that more of the same page is to be published of by now."""
        ...

    async def deferred(self) -> Sequence[Deferred]:
        """Return the projects to come back to, in the order of names."""
        ...

    async def trash(self, *, before: int | None = None) -> Sequence[TrashEntry]:
        """Return what lies in ``removed/``, or only what was put there before a time."""
        ...

    async def marker(self, marker: Marker, /) -> str:
        """Return the text that is stored under a marker, "" if there is none."""
        ...

    async def commit(self, batch: CatalogueUpdate, /) -> None:
        """Remember the changes; they survive a power cut once this returns."""
        ...


class Inventory(Protocol):
    """The side of the catalogue that looks over the whole mirror, a piece at a time.

    Projects that are left out are not among what it tells of. All raise ``StorageError``.
    """

    async def list_entries(self, after: str, /) -> Sequence[ListEntry]:
        """Return the next projects after a name, in the order of names; "" is before all."""
        ...

    async def verify_queue(
        self, before: int, after: VerifyEntry | None, /
    ) -> Sequence[VerifyEntry]:
        """Return the next projects that were verified before a time, the oldest first.

        ``after`` is the last of the piece before.
        """
        ...

    async def file_stats(
        self, names: Collection[ProjectName], /
    ) -> Mapping[ProjectName, list[FileStat]]:
        """Return the files of projects as they lie there; who has none is not among them."""
        ...

    async def paths_owned(self, claims: Collection[tuple[ProjectName, str]], /) -> frozenset[str]:
        """Return those of the paths that belong to the project that they are claimed for.

        These are its files' own, and those of the core metadata that it advertises.
        """
        ...

    async def paths_known(self, paths: Collection[str], /) -> frozenset[str]:
        """Return those of the paths that belong to any project; looks at every file."""
        ...

    async def totals(self) -> Totals:
        """Return what the mirror has, counted."""
        ...

    async def largest(self, count: int, /) -> Sequence[VerifyEntry]:
        """Return the projects with the most bytes, the largest first."""
        ...

    async def trash_totals(self) -> TrashTotals:
        """Return what lies in ``removed/``, counted."""
        ...


class MirrorCatalogue(Catalogue, Inventory, Protocol):
    """Both sides of a catalogue."""
