"""Asks the index what changed: through its changelog, its project list, or page by page."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch.catalogue.records import Marker
from bandersnatch.config.schema import ApiMethod
from bandersnatch.errors import UnusableChangelog, UnusableIndex, UpstreamError
from bandersnatch.events import EventSink, StepStarted, Warned
from bandersnatch.index.port import FetchedList, PackageIndex
from bandersnatch.mirror.ledger import RECENT, Ledger, Statement, ceiling_above, reach, settle
from bandersnatch.mirror.tasks import Discovery, Opening
from bandersnatch.model.content import Validators
from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    from datetime import timedelta

    from bandersnatch.catalogue.port import Catalogue
    from bandersnatch.clock import Clock
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList

MAX_GAP = 1_000_000
"""Serials between mirror and index, above which the project list is cheaper than the changelog."""

MAX_GAP_OF_FINITE = 100_000
"""The same if the alternative is to ask for a finite set of pages."""


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
        is_new = is_far or not is_continued
        is_thorough = request.thorough or is_new or await self._is_due(request)
        since = request.cursor
        if is_new:  # events of before the list is read: T must be one of them
            since = Serial(max(NO_SERIAL, (head or NO_SERIAL) - RECENT))
        until = None if head is None else max(head, request.cursor)  # the head may be an old one
        said = Statement(before=request.cursor, head=head)
        if request.finite is not None or not is_thorough or is_new:
            said = await self._with_changes(said, since, until)
        if request.finite is not None or not is_thorough:
            finite = request.finite if is_thorough else None
            return self._found(settle(said), head, finite, self._markers() if finite else {})
        listing, markers = await self._list(request, head)
        if head is None:
            self._opening = Opening.LIST
        if listing is None:
            return Discovery(request.cursor, ceiling=ceiling_above(request.cursor), markers=markers)
        said = structs.replace(said, listing=listing)
        begin = min(since, reach(listing) or since)  # a list can be a day old, and older than T
        if not is_new:
            said = await self._with_changes(said, begin, until)
        elif since - begin <= gap:
            said = await self._with_changes(said, begin, since)
        return self._found(settle(said), head, None, markers)

    def _found(
        self,
        ledger: Ledger,
        head: Serial | None,
        finite: frozenset[ProjectName] | None,
        markers: dict[Marker, str],
    ) -> Discovery:
        """Return what the ledger says, and report its warnings."""
        for text in ledger.warnings:
            self._events(Warned(text))
        changes = ledger.events
        if ledger.listing is None and finite is not None:
            changes = tuple(replace(change, display="") for change in changes)
        return Discovery(
            ledger.cursor,
            changes,
            ledger.listing,
            finite or frozenset(),
            head,
            ledger.newest,
            ledger.ceiling,
            markers,
        )

    # ------------------------------------------------------------ the changelog

    async def _head(self, request: DiscoveryRequest) -> Serial | None:
        """Return the index's head serial, None to work without its changelog."""
        if request.method is ApiMethod.SIMPLE:
            return None
        try:
            return await self._index.last_serial()
        except UpstreamError as error:
            if request.method is ApiMethod.XMLRPC:
                raise UnusableIndex(f"api-method is xmlrpc, and {error}") from error
            if not isinstance(error, UnusableChangelog):
                self._events(Warned(f"{error}; continuing without the changelog"))
            return None

    async def _with_changes(
        self, said: Statement, since: Serial, until: Serial | None
    ) -> Statement:
        """Return the statement with the events after ``since`` up to ``until`` added."""
        if until is None or since >= until:
            return said
        try:
            found = await self._index.changes(since, until)
        except UpstreamError as error:
            raise UnusableIndex(f"the changelog broke off: {error}") from error
        return structs.replace(
            said, events=(*said.events, *found.events), last=max(said.last, found.last)
        )

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
        if request.method is ApiMethod.XMLRPC:
            return listing, self._markers()
        # A list without serials may stay the same while the pages change.
        has_serials = None not in listing.serials.values()
        return listing, self._markers(fetched.validators if has_serials else Validators())

    def _report_invalid(self, listing: ProjectList) -> None:
        for note in listing.notes:
            self._events(Warned(note))
        for rejection in listing.rejected:
            self._events(Warned(f"bad entry of the list: {rejection.reason}"))
        if more := listing.rejected_count - len(listing.rejected):
            self._events(Warned(f"and {more} more bad entries of the list"))
