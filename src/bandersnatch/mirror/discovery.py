"""Asks the index what changed: through its changelog, its project list, or page by page."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import Marker
from bandersnatch.config.schema import ApiMethod
from bandersnatch.errors import IndexRollback, UnusableChangelog, UnusableIndex, UpstreamError
from bandersnatch.events import EventSink, StepStarted, Warned
from bandersnatch.index.port import FetchedList, PackageIndex
from bandersnatch.mirror.tasks import Discovery, Opening
from bandersnatch.model.content import Validators
from bandersnatch.model.serials import NO_SERIAL, Change, Serial

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from bandersnatch.catalogue.port import Catalogue
    from bandersnatch.clock import Clock
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList

MAX_LAG = 200_000
"""Serials, more than a day has; an index that is further behind the mirror was rolled back."""

MAX_GAP = 1_000_000
"""Serials between mirror and index, above which the project list is cheaper than the changelog."""

MAX_GAP_OF_FINITE = 100_000
"""The same if the alternative is to ask for a finite set of pages."""

_MAX_WARNINGS = 20
"""Implausible serials that are reported one by one."""


@dataclass(frozen=True, slots=True)
class DiscoveryRequest:
    """What discovery depends on.

    ``finite`` is the set of projects that can be selected, None if any project can.
    ``interval`` is the time between two comparisons of everything, and ``thorough`` asks for one
    now. ``settled`` says that nothing is pending, so that an unchanged list means no work.
    """

    method: ApiMethod
    cursor: Serial
    finite: frozenset[ProjectName] | None
    interval: timedelta
    thorough: bool
    settled: bool = True


class Discoverer:
    """Asks the index in the cheapest way that misses no change."""

    def __init__(
        self, index: PackageIndex, catalogue: Catalogue, clock: Clock, events: EventSink
    ) -> None:
        self._index = index
        self._catalogue = catalogue
        self._clock = clock
        self._events = events
        self._opening = Opening.NONE

    async def discover(self, request: DiscoveryRequest) -> Discovery:
        """Return what the index has.

        :raises UnusableIndex: if it gives no usable answer.
        :raises IndexRollback: if it is far older than the mirror.
        """
        found = await self._find(request)
        return replace(found, opening=self._opening)

    async def _find(self, request: DiscoveryRequest) -> Discovery:
        head = await self._head(request)
        if head is not None:
            self._opening = Opening.CHANGELOG
        gap = MAX_GAP if request.finite is None else MAX_GAP_OF_FINITE
        is_continued = head is not None and request.cursor != NO_SERIAL
        is_far = head is not None and head - request.cursor > gap
        is_thorough = request.thorough or not is_continued or is_far or await self._is_due(request)
        if request.finite is not None:
            since = head if is_far or not is_continued else request.cursor
            changes = await self._changes(since, head)
            unnamed = [replace(change, display="") for change in changes]
            if not is_thorough:
                return Discovery(head, unnamed)
            return Discovery(head, unnamed, finite=request.finite, markers=self._markers())
        if not is_thorough:
            return Discovery(head, await self._changes(request.cursor, head))
        listing, markers = await self._list(request, head)
        if head is None:
            self._opening = Opening.LIST
        if listing is None:
            return Discovery(request.cursor, markers=markers)
        reached = _reached(listing)
        if head is None and reached is not None:
            self._check_age(reached, request.cursor)
        since = reached if is_far or not is_continued else min(request.cursor, reached or NO_SERIAL)
        changes = await self._changes(since, head)
        cursor = max(head or reached or NO_SERIAL, request.cursor)
        return Discovery(cursor, changes, listing, markers=markers)

    # ------------------------------------------------------------ the changelog

    async def _head(self, request: DiscoveryRequest) -> Serial | None:
        """Return the index's head serial, None to work without its changelog."""
        if request.method is ApiMethod.SIMPLE:
            return None
        try:
            head = await self._index.last_serial()
        except UpstreamError as error:
            if request.method is ApiMethod.XMLRPC:
                raise UnusableIndex(f"api-method is xmlrpc, and {error}") from error
            if not isinstance(error, UnusableChangelog):
                self._events(Warned(f"{error}; continuing without the changelog"))
            return None
        self._check_age(head, request.cursor)
        return max(head, request.cursor)

    def _check_age(self, newest: Serial, cursor: Serial) -> None:
        """Warn if the index is behind this mirror.

        :raises IndexRollback: if it is behind by more than ``MAX_LAG``.
        """
        if cursor - newest > MAX_LAG:
            raise IndexRollback(mirror=cursor, index=newest)
        if newest < cursor:
            text = f"the index is at serial {newest}, behind this mirror at {cursor}"
            self._events(Warned(text))

    async def _changes(self, since: Serial | None, head: Serial | None) -> Sequence[Change]:
        if since is None or head is None or since >= head:
            return ()
        try:
            return await self._index.changes(since, head)
        except UpstreamError as error:
            raise UnusableIndex(f"the changelog broke off: {error}") from error

    # ------------------------------------------------------------ the whole list

    async def _is_due(self, request: DiscoveryRequest) -> bool:
        last = await self._catalogue.marker(Marker.RECONCILED)
        now = int(self._clock.now().timestamp())
        return not last or not 0 <= now - int(last) < request.interval.total_seconds()

    def _markers(self, validators: Validators | None = None) -> dict[Marker, str]:
        """Return the markers to store once every task of the plan was worked on."""
        markers = {Marker.RECONCILED: str(int(self._clock.now().timestamp()))}
        if validators is not None:
            markers[Marker.LISTING] = "\n".join(astuple(validators))
        return markers

    async def _list(
        self, request: DiscoveryRequest, head: Serial | None
    ) -> tuple[ProjectList | None, dict[Marker, str]]:
        """Return the project list, None if it is unchanged and leaves no work; and markers."""
        self._events(StepStarted("reading the list of all projects"))
        known = Validators()
        may_be_unchanged = request.settled and not request.thorough
        if head is None and may_be_unchanged and request.cursor != NO_SERIAL:
            known = Validators(*(await self._catalogue.marker(Marker.LISTING)).split("\n"))
        fetched: FetchedList | None
        try:
            if request.method is ApiMethod.XMLRPC:
                fetched = FetchedList(await self._index.list_with_serials(), Validators())
            else:
                fetched = await self._index.fetch_list(known)
        except UpstreamError as error:
            raise UnusableIndex(str(error)) from error
        if fetched is None:
            return None, self._markers()
        listing = fetched.projects
        if not listing.serials and not await self._catalogue.count():
            raise UnusableIndex("the index lists no projects at all")
        self._report_invalid(listing)
        listing = self._plausible(listing, head)
        if request.method is ApiMethod.XMLRPC:
            return listing, self._markers()
        # A list without serials may stay the same while the pages change.
        has_serials = None not in listing.serials.values()
        return listing, self._markers(fetched.validators if has_serials else Validators())

    def _plausible(self, listing: ProjectList, head: Serial | None) -> ProjectList:
        """Return the list without the serials that are far above the index's own.

        A project without a serial is synced in any case; to wait for such a serial would be to
        wait for ever.
        """
        newest = max(head or NO_SERIAL, _reached(listing) or NO_SERIAL)
        most = newest + MAX_LAG
        wrong = [name for name, own in listing.serials.items() if own is not None and own > most]
        for name in wrong[:_MAX_WARNINGS]:
            own = listing.serials[name]
            self._events(Warned(f"the list has {name} at serial {own}, but itself is at {newest}"))
        if not wrong:
            return listing
        return replace(listing, serials={**listing.serials, **dict.fromkeys(wrong)})

    def _report_invalid(self, listing: ProjectList) -> None:
        for note in listing.notes:
            self._events(Warned(note))
        for rejection in listing.rejected:
            self._events(Warned(f"bad entry of the list: {rejection.reason}"))
        if more := listing.rejected_count - len(listing.rejected):
            self._events(Warned(f"and {more} more bad entries of the list"))


def _reached(listing: ProjectList) -> Serial | None:
    """Return the serial up to which a list reflects every event."""
    if listing.serial is not None:
        return listing.serial
    known = [serial for serial in listing.serials.values() if serial is not None]
    return max(known, default=None)
