"""Whether an index, or its file host, is to be given up in the middle of a run.

The number of failing projects decides nothing: they may be the only ones that fail, and come first.
After several failures in a row, something is requested that worked before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from bandersnatch import errors
from bandersnatch.catalogue.records import Marker
from bandersnatch.mirror.tasks import Opening, Result
from bandersnatch.model.content import Validators

if TYPE_CHECKING:
    from collections.abc import Collection

    from bandersnatch.catalogue.port import MirrorCatalogue
    from bandersnatch.index.port import PackageIndex
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.tasks import Discovery, Outcome
    from bandersnatch.model.names import ProjectName

MAX_IN_A_ROW = 20
"""Failures in a row, after which something that worked before is requested again."""

_EVER = 2**62
"""A time after all others, in seconds since 1970."""

_WORKED = frozenset({Result.SYNCED, Result.UNCHANGED, Result.LOSES_FILES})


class IndexHealth:
    """Counts failures in a row, and finds out whether the index still works."""

    def __init__(
        self,
        index: PackageIndex,
        catalogue: MirrorCatalogue,
        opening: Opening,
        listing: Validators,
        names: Collection[ProjectName],
    ) -> None:
        """Take the collaborators.

        ``opening`` is the kind of request that began the run, ``listing`` has the validators of
        the project list if it was that. ``names`` are the projects of the run.
        """
        self._index = index
        self._catalogue = catalogue
        self._opening = opening
        self._listing = listing
        self._names = frozenset(names)
        self._worked: ProjectName | None = None
        self._pages = 0
        self._files = 0

    @classmethod
    def of(cls, mirror: Mirror, found: Discovery | None, names: Collection[ProjectName]) -> Self:
        """Return the health of the index in a run; ``found`` is None without discovery."""
        opening, validators = Opening.NONE, Validators()
        if found is not None:
            opening = found.opening
            if text := found.markers.get(Marker.LISTING, ""):
                validators = Validators(*text.split("\n"))
        return cls(mirror.index, mirror.catalogue, opening, validators, names)

    async def after(self, outcome: Outcome) -> str:
        """Take the outcome of a task; return why the index is given up, "" if it is not."""
        error = None if outcome.result is Result.REJECTED else outcome.error
        has_failed = isinstance(error, errors.UnavailableHost | errors.MissingProject)
        has_no_files = isinstance(error, errors.MissingFiles) and error.unavailable
        self._pages = self._pages + 1 if has_failed else 0
        self._files = self._files + 1 if has_no_files else 0
        if outcome.result in _WORKED and error is None:
            self._worked = outcome.task.name
        if self._pages >= MAX_IN_A_ROW:
            return await self._check_pages(error)
        if self._files >= MAX_IN_A_ROW:
            count, self._files = self._files, 0
            if not self._index.files:
                return f"the files of {count} projects in a row got no answer; the last: {error}"
        return ""

    async def _check_pages(self, last: errors.BandersnatchError | None) -> str:
        """Request again what began the run, and a project that worked; either may show life."""
        count, self._pages = self._pages, 0
        reason = f"the pages of {count} projects in a row could not be fetched; the last: {last}"
        if await self._opens_again():
            return ""
        worked = self._worked or await self._find_published()
        if worked is None:
            return reason
        try:
            await self._index.fetch_detail(worked, Validators())
        except errors.UpstreamError as error:
            return f"{reason}; {worked}, which worked before, fails too: {error}"
        return ""

    async def _opens_again(self) -> bool:
        try:
            if self._opening is Opening.CHANGELOG:
                await self._index.last_serial()
            elif self._opening is Opening.LIST:
                await self._index.fetch_list(self._listing)
        except errors.UpstreamError:
            return False
        return self._opening is not Opening.NONE

    async def _find_published(self) -> ProjectName | None:
        """Return a published project that is not among those of the run, None without one."""
        for each in await self._catalogue.verify_queue(_EVER, None):
            if each.name not in self._names:
                return each.name
        return None
