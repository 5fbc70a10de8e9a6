"""Finding out what the index has: changelog, listing, or a finite set of pages (design, 4)."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from typing import TYPE_CHECKING

from bandersnatch.catalogue.records import Marker
from bandersnatch.config.schema import ApiMethod
from bandersnatch.errors import IndexRollback, UnusableChangelog, UnusableIndex, UpstreamError
from bandersnatch.events import StepStarted, Warned
from bandersnatch.index.port import FetchedList
from bandersnatch.mirror.tasks import Discovery
from bandersnatch.model.content import Validators
from bandersnatch.model.serials import NO_SERIAL, Serial

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from bandersnatch.catalogue.port import Catalogue
    from bandersnatch.clock import Clock
    from bandersnatch.events import EventSink
    from bandersnatch.index.port import PackageIndex
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList
    from bandersnatch.model.serials import Change

A_DAY_OF_CHANGES = 200_000
"""Generously; an index that is further back than this is not merely late."""

DEAREST_GAP = 1_000_000
"""Serials; where more have passed, the whole list is cheaper than the changelog."""

DEAREST_GAP_FOR_A_FEW = 100_000
"""The same where only a finite set of pages would have to be asked for instead."""

_ODDITIES_TOLD = 20


@dataclass(frozen=True, slots=True)
class DiscoveryRequest:
    """What discovery depends on.

    ``finite`` is the set of projects that can be selected at all, if there is one. ``thorough``
    asks for a comparison of everything, whatever the changelog says. ``settled`` says that the
    list of last time, if it is still that one, leaves nothing to do.
    """

    method: ApiMethod
    cursor: Serial
    finite: frozenset[ProjectName] | None
    interval: timedelta
    thorough: bool
    settled: bool = True


class Discoverer:
    """Asks the index in the cheapest way that misses nothing."""

    def __init__(
        self, index: PackageIndex, catalogue: Catalogue, clock: Clock, events: EventSink
    ) -> None:
        self._index = index
        self._catalogue = catalogue
        self._clock = clock
        self._events = events

    async def discover(self, question: DiscoveryRequest) -> Discovery:
        """Return what the index says.

        :raises UnusableIndex: if it says nothing that can be used.
        :raises IndexRollback: if it is far older than the mirror.
        """
        head = await self._head(question)
        gap = DEAREST_GAP if question.finite is None else DEAREST_GAP_FOR_A_FEW
        followed = head is not None and question.cursor != NO_SERIAL
        too_far = head is not None and head - question.cursor > gap
        thorough = question.thorough or not followed or too_far or await self._is_due(question)
        if question.finite is not None:
            since = head if too_far or not followed else question.cursor
            changes = await self._changes(since, head)
            unnamed = [replace(change, display="") for change in changes]
            if not thorough:
                return Discovery(head, unnamed)
            return Discovery(head, unnamed, finite=question.finite, markers=self._compared())
        if not thorough:
            return Discovery(head, await self._changes(question.cursor, head))
        listing, markers = await self._list(question, head)
        if listing is None:
            return Discovery(question.cursor, markers=markers)
        reached = _reached(listing)
        if head is None and reached is not None:
            self._check_age(reached, question.cursor)
        since = reached if too_far or not followed else min(question.cursor, reached or NO_SERIAL)
        changes = await self._changes(since, head)
        cursor = max(head or reached or NO_SERIAL, question.cursor)
        return Discovery(cursor, changes, listing, markers=markers)

    # ------------------------------------------------------------ the changelog

    async def _head(self, question: DiscoveryRequest) -> Serial | None:
        """Return the index's newest serial, or None to go without its changelog."""
        if question.method is ApiMethod.SIMPLE:
            return None
        try:
            head = await self._index.last_serial()
        except UpstreamError as error:
            if question.method is ApiMethod.XMLRPC:
                raise UnusableIndex(f"api-method is xmlrpc, and {error}") from error
            if not isinstance(error, UnusableChangelog):
                self._events(Warned(f"{error}; going on without the changelog"))
            return None
        self._check_age(head, question.cursor)
        return max(head, question.cursor)

    def _check_age(self, newest: Serial, cursor: Serial) -> None:
        """Tell of an index that is behind this mirror.

        :raises IndexRollback: if it is so far behind that it is not merely late.
        """
        if cursor - newest > A_DAY_OF_CHANGES:
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

    async def _is_due(self, question: DiscoveryRequest) -> bool:
        last = await self._catalogue.marker(Marker.RECONCILED)
        now = int(self._clock.now().timestamp())
        return not last or not 0 <= now - int(last) < question.interval.total_seconds()

    def _compared(self, validators: Validators | None = None) -> dict[Marker, str]:
        """Return what is to be remembered once the plan that follows is safe."""
        markers = {Marker.RECONCILED: str(int(self._clock.now().timestamp()))}
        if validators is not None:
            markers[Marker.LISTING] = "\n".join(astuple(validators))
        return markers

    async def _list(
        self, question: DiscoveryRequest, head: Serial | None
    ) -> tuple[ProjectList | None, dict[Marker, str]]:
        """Return the whole list, or None if it is the one of last time and was worked off."""
        self._events(StepStarted("reading the list of all projects"))
        known = Validators()
        is_same = question.settled and not question.thorough
        if head is None and is_same and question.cursor != NO_SERIAL:
            known = Validators(*(await self._catalogue.marker(Marker.LISTING)).split("\n"))
        fetched: FetchedList | None
        try:
            if question.method is ApiMethod.XMLRPC:
                fetched = FetchedList(await self._index.list_with_serials(), Validators())
            else:
                fetched = await self._index.fetch_list(known)
        except UpstreamError as error:
            raise UnusableIndex(str(error)) from error
        if fetched is None:
            return None, self._compared()
        listing = fetched.projects
        if not listing.serials and not await self._catalogue.count():
            raise UnusableIndex("the index lists no projects at all")
        self._tell_oddities(listing)
        listing = self._believable(listing, head)
        if question.method is ApiMethod.XMLRPC:
            return listing, self._compared()
        # A list without its projects' serials may stay the same while their pages change.
        told = None not in listing.serials.values()
        return listing, self._compared(fetched.validators if told else Validators())

    def _believable(self, listing: ProjectList, head: Serial | None) -> ProjectList:
        """Return the list without the serials that no page can reach, for the index has not yet.

        Such a project is looked at whatever it is; to wait for its serial would be to wait for
        ever.
        """
        newest = max(head or NO_SERIAL, _reached(listing) or NO_SERIAL)
        most = newest + A_DAY_OF_CHANGES
        mad = [name for name, own in listing.serials.items() if own is not None and own > most]
        for name in mad[:_ODDITIES_TOLD]:
            own = listing.serials[name]
            self._events(Warned(f"the list has {name} at serial {own}, itself being at {newest}"))
        return (
            replace(listing, serials={**listing.serials, **dict.fromkeys(mad)}) if mad else listing
        )

    def _tell_oddities(self, listing: ProjectList) -> None:
        for note in listing.notes:
            self._events(Warned(note))
        for rejection in listing.rejected:
            self._events(Warned(f"bad entry of the list: {rejection.reason}"))
        if more := listing.rejected_count - len(listing.rejected):
            self._events(Warned(f"and {more} more bad entries of the list"))


def _reached(listing: ProjectList) -> Serial | None:
    """Return the serial that a list shows everything up to."""
    if listing.serial is not None:
        return listing.serial
    told = [serial for serial in listing.serials.values() if serial is not None]
    return max(told, default=None)
