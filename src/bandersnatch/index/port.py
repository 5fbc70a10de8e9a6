"""The port of the package index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bandersnatch.model.content import Content, Validators
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectDetail, ProjectList
    from bandersnatch.model.serials import Change, Serial
    from bandersnatch.storage.port import Sink


class PackageIndex(Protocol):
    """The index that is followed.

    Every method retries what may pass (the policy is the adapter's) and raises ``UpstreamError``
    when that did not help.
    """

    async def last_serial(self) -> Serial:
        """Return the serial of the newest change.

        :raises UnusableChangelog: if this index has no changelog.
        """
        ...

    async def changes(self, since: Serial, until: Serial, /) -> Sequence[Change]:
        """Return the changes after ``since`` up to ``until``, in the order of their serials.

        :raises UnusableChangelog: if this index has no changelog.
        """
        ...

    async def list_with_serials(self) -> ProjectList:
        """Return all projects with their serials, from the changelog's side.

        :raises UnusableChangelog: if this index has no changelog.
        """
        ...

    async def fetch_list(self, known: Validators, /) -> FetchedList | None:
        """Return the root page, or None if it is the one that ``known`` tells of."""
        ...

    async def fetch_detail(self, name: ProjectName, known: Validators, /) -> FetchedDetail | None:
        """Return a project's page, or None if it is the one that ``known`` tells of.

        :raises MissingProject: if there is none.
        """
        ...

    async def fetch_legacy(self, name: ProjectName, /) -> bytes | None:
        """Return a project's legacy JSON document, or None if there is none."""
        ...

    async def download(self, url: str, sink: Sink, /) -> Content:
        """Stream a file into ``sink``, going on where an earlier try ended, and finish it.

        :raises MissingResource: if it is not there.
        :raises IntegrityError: if the bytes stay wrong.
        """
        ...


@dataclass(frozen=True, slots=True)
class FetchedDetail:
    """A project's page as it was just served."""

    detail: ProjectDetail
    validators: Validators


@dataclass(frozen=True, slots=True)
class FetchedList:
    """The root page as it was just served."""

    projects: ProjectList
    validators: Validators
