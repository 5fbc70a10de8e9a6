"""What a run of ``mirror`` decides before it changes anything: opens, asks the index, plans."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from msgspec import structs

from bandersnatch.catalogue.records import MISSED, CatalogueUpdate, CleanMarker, Deferred, Marker
from bandersnatch.config.schema import RemovedProjects
from bandersnatch.errors import UnusableIndex
from bandersnatch.events import RunPlanned
from bandersnatch.mirror import index_check, recovery, removal
from bandersnatch.mirror.discovery import Discoverer, DiscoveryRequest
from bandersnatch.mirror.fingerprint import PolicyFingerprint
from bandersnatch.mirror.ledger import ceiling_above
from bandersnatch.mirror.plan import SyncPlan, deselected, make_plan, restricted, vanished, without
from bandersnatch.mirror.readoption import Readoption
from bandersnatch.mirror.state import trusted_state
from bandersnatch.mirror.tasks import Discovery, MirrorSnapshot, Opening

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from bandersnatch.mirror.clock_check import ClockCheck
    from bandersnatch.mirror.following import Following
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.state import MirrorState, StateFiles
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.project import ProjectList

_FEW = 20_000
"""Projects; querying more of them by name takes longer than reading all summaries."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the operator asks of one run.

    ``force`` syncs every project, whatever the state says. ``accepted`` are the projects whose
    published files may change. ``only`` restricts a dry run to some projects. ``max_removals``
    and ``max_file_removals`` replace the limits of the configuration; the second is then for the
    files of this run alone. ``rebuild`` rebuilds the catalogue from the tree. ``sweep`` is False to
    ask for no page that nothing says has changed.
    """

    force: bool = False
    accepted: frozenset[ProjectName] = frozenset()
    only: frozenset[ProjectName] | None = None
    max_removals: int | None = None
    max_file_removals: int | None = None
    rebuild: bool = False
    sweep: bool = True


@dataclass(frozen=True, slots=True)
class Policy:
    """Options, filters and closure that decide what is published.

    ``markers`` describe them, and ``is_new`` says that those of the last complete run differ.
    """

    fingerprint: PolicyFingerprint
    markers: Mapping[Marker, str]
    is_new: bool


@dataclass(frozen=True, slots=True)
class Preparation:
    """What a run decides before it changes anything.

    ``deselected`` are published projects that the project filters no longer select,
    ``forgotten`` those of which only an excluded record exists. ``missing`` are published
    projects that the project list does not have. ``resolved`` are the projects whose deferral
    ends, ``leftovers`` the deferred ones without a task, of which something may be published.
    ``limit`` is how many projects may be removed, and ``is_refused`` says that it already refused
    some. ``index_marker`` says which index is followed. ``is_restored`` says that a part of the
    mirror was of another moment.
    """

    options: RunOptions
    began: datetime
    state: MirrorState
    policy: Policy
    found: Discovery
    plan: SyncPlan
    deselected: frozenset[ProjectName]
    forgotten: frozenset[ProjectName]
    missing: frozenset[ProjectName]
    resolved: list[ProjectName]
    leftovers: list[ProjectName]
    limit: int
    is_refused: bool
    index_marker: Mapping[Marker, str]
    is_restored: bool

    @property
    def now(self) -> int:
        """When the run began, in seconds since 1970."""
        return int(self.began.timestamp())

    @property
    def first_markers(self) -> dict[Marker, str]:
        """Return the markers to store before anything changes.

        Under a new policy the tree matches neither the old one from here on, nor the new one yet:
        without the markers of the policy, the next run compares everything, whatever it is.
        """
        markers = dict.fromkeys(self.policy.markers, "") if self.policy.is_new else {}
        if self.found.opening is not Opening.NONE:
            markers.update(self.index_marker)
        markers.update({Marker.CLEAN: self.state.clean_marker, Marker.LAST_RUN: str(self.now)})
        return markers

    @property
    def last_markers(self) -> dict[Marker, str]:
        """Return the markers to store when the run is complete."""
        return {**self.policy.markers, **self.index_marker, **self.found.markers}


class Preparer:
    """Prepares one run."""

    def __init__(
        self,
        mirror: Mirror,
        options: RunOptions,
        files: StateFiles,
        clock: ClockCheck,
        following: Following | None,
    ) -> None:
        """Take the collaborators; ``clock`` is checked when the index has answered."""
        self._mirror = mirror
        self._options = options
        self._files = files
        self._clock = clock
        self._following = following
        self._fingerprint = PolicyFingerprint.of(mirror)
        self._is_restored = False
        self._unknown: frozenset[ProjectName] = frozenset()

    async def prepare(self, began: datetime) -> Preparation:
        """Open the tree, ask the index, compare the two, and check the plan against the limits.

        :raises UnusableIndex: if the index cannot be used.
        :raises StorageError: if the storage fails.
        """
        mirror, now = self._mirror, int(began.timestamp())
        state = await self._open(began)
        policy = await self._policy()
        last = await mirror.catalogue.marker(Marker.LAST_RUN)
        self._clock.last_run = int(last) if last.isascii() and last.isdigit() else None
        found = await self._discover(state, policy)
        self._clock.check(now)
        await self._forget_unbelieved(found)
        before = await self._snapshot(state, found, now)
        if await Readoption.of(mirror).run():  # the projects of damaged rows are deferred now
            found = await self._with_names(state, policy, found)
            before = await self._snapshot(state, found, now)
        return await self._decide(began, state, policy, found, before)

    # ------------------------------------------------------------ the state

    async def _open(self, began: datetime) -> MirrorState:
        """Return the state as far as it can be trusted; otherwise every project is synced."""
        rebuild = self._options.rebuild
        found = await recovery.open_tree(self._mirror, self._files, began, rebuild=rebuild)
        self._is_restored = found.is_restored
        if found.is_restored:
            self._unknown = await self._compare_tree(began)
        state = await trusted_state(self._mirror, self._files, found)
        if self._following is not None:
            await self._following.open()
        if state.clean_marker == CleanMarker.UNTRUSTED:
            self._options = replace(self._options, force=True)
        return state

    async def _compare_tree(self, began: datetime) -> frozenset[ProjectName]:
        from bandersnatch.mirror.restored import TreeComparison  # noqa: PLC0415 - rarely needed

        return await TreeComparison(self._mirror, began).run()

    async def _policy(self) -> Policy:
        mirror = self._mirror
        markers = {
            Marker.OPTIONS: self._fingerprint.options,
            Marker.FILTERS: mirror.filters.fingerprint,
        }
        if self._following is not None:
            markers[Marker.CLOSURE] = self._following.policy
        stored = mirror.catalogue.marker
        is_new = any([await stored(key) != text for key, text in markers.items()])
        return Policy(self._fingerprint, markers, is_new)

    # ------------------------------------------------------------ the index

    async def _discover(self, state: MirrorState, policy: Policy) -> Discovery:
        mirror = self._mirror
        catalogue, settings = mirror.catalogue, mirror.settings
        if self._options.only is not None:
            ceiling = ceiling_above(state.cursor)
            return Discovery(None, finite=self._options.only, ceiling=ceiling)
        discoverer = Discoverer(mirror.index, catalogue, mirror.clock, mirror.events)
        request = DiscoveryRequest(
            method=settings.index.api_method,
            cursor=state.cursor,
            finite=mirror.filters.finite_names,
            interval=settings.run.reconcile_interval,
            thorough=policy.is_new or self._options.force,
            settled=not (state.todo and state.todo.pending),
        )
        try:
            return await discoverer.discover(request)
        except UnusableIndex as error:
            await index_check.explain(error, mirror.index, settings.index)
            raise

    async def _with_names(self, state: MirrorState, policy: Policy, found: Discovery) -> Discovery:
        """Return what the index has, with the project list if damage makes it necessary."""
        is_due = not await self._mirror.catalogue.marker(Marker.RECONCILED)
        return await self._discover(state, policy) if is_due and found.listing is None else found

    async def _forget_unbelieved(self, found: Discovery) -> None:
        """Forget recorded serials that are not believed: without that they would stay for ever.

        It reads every project, so it is done when everything is compared.
        """
        is_compared = found.listing is not None or found.finite
        if found.ceiling is not None and is_compared and self._options.only is None:
            await self._mirror.catalogue.commit(CatalogueUpdate(forget_above=found.ceiling))

    # ------------------------------------------------------------ the mirror

    async def _snapshot(self, state: MirrorState, found: Discovery, now: int) -> MirrorSnapshot:
        catalogue = self._mirror.catalogue
        deferred = await self._deferred(now)
        pending = state.todo.pending if state.todo else {}
        due = await catalogue.due(now)
        differing = await self._differing(found)
        names: set[ProjectName] | None = None
        if found.listing is None or (differing is not None and len(differing) <= _FEW):
            changed = {change.name for change in found.changes}
            names = {*changed, *found.finite, *pending, *deferred, *due, *(differing or ())}
            names |= self._unknown
        return MirrorSnapshot(
            status=state.status,
            pending=pending,
            deferred=deferred,
            summaries=await catalogue.summaries(names),
            fingerprint=self._fingerprint,
            now=now,
            due=due,
            changed=differing,
            keep_removed=self._mirror.settings.run.removed_projects is RemovedProjects.KEEP,
            may_expire=not self._clock.doubt,
            has_changelog=found.head is not None or found.listing is None,
            cursor=state.cursor,
            unknown=self._unknown,
            is_untrusted=state.clean_marker == CleanMarker.UNTRUSTED,
        )

    async def _deferred(self, now: int) -> dict[ProjectName, Deferred]:
        """Return the deferrals; a time in the future was recorded by a wrong clock, and is now."""
        found = {each.name: each for each in await self._mirror.catalogue.deferred()}
        corrected = [
            structs.replace(each, since=min(each.since, now), tried=min(each.tried, now))
            for each in found.values()
            if max(each.since, each.tried) > now and not self._clock.doubt
        ]
        await self._mirror.catalogue.commit(CatalogueUpdate(deferred=corrected))
        return {**found, **{each.name: each for each in corrected}}

    async def _differing(self, found: Discovery) -> frozenset[ProjectName] | None:
        """Return the projects to compare one by one with the project list, None for all."""
        if found.listing is None or self._options.force:
            return None
        mirror, fingerprint = self._mirror, self._fingerprint
        differing = await mirror.catalogue.changed_since(
            found.listing, fingerprint.general, exact=found.head is None
        )
        differing |= fingerprint.special(found.listing.serials)
        return frozenset(filter(mirror.filters.may_select, differing))

    async def _deselected(
        self, policy: Policy
    ) -> tuple[frozenset[ProjectName], frozenset[ProjectName]]:
        """Return the projects that the project filters no longer select; see ``Preparation``."""
        if not (self._options.force or policy.is_new):
            return frozenset(), frozenset()
        mirror = self._mirror
        return deselected(await mirror.catalogue.summaries(None), mirror.filters.may_select)

    # ------------------------------------------------------------ the plan

    async def _decide(
        self,
        began: datetime,
        state: MirrorState,
        policy: Policy,
        found: Discovery,
        before: MirrorSnapshot,
    ) -> Preparation:
        mirror, only = self._mirror, self._options.only
        plan = make_plan(found, before, mirror.filters.may_select, force=self._options.force)
        published, forgotten = await self._deselected(policy)
        if only is not None:
            plan, published = restricted(plan, only), published & only
        limit = await self._removal_limit()
        missing = vanished(plan, found)
        is_refused = removal.is_refused(mirror.events, len(missing), limit)
        if is_refused:
            plan = without(plan, missing)
        mirror.events(RunPlanned(len(plan.tasks), len(plan.removals) + len(published)))
        if self._following is not None:
            await self._following.load(plan.tasks)
        planned = plan.tasks.keys() | plan.removals.keys()
        leftovers = (before.deferred.keys() | before.pending.keys()) - planned
        return Preparation(
            self._options,
            began,
            state,
            policy,
            found,
            plan,
            deselected=published,
            forgotten=forgotten,
            missing=missing,
            resolved=_resolved(before.deferred, planned | published, found.listing),
            leftovers=sorted(leftovers if only is None else leftovers & only),
            limit=limit,
            is_refused=is_refused,
            index_marker={Marker.INDEX: recovery.index_identity(mirror.settings.index.url)},
            is_restored=self._is_restored,
        )

    async def _removal_limit(self) -> int:
        """Return how many projects may be removed."""
        configured = self._mirror.settings.run.max_removals
        if self._options.max_removals is not None:
            configured = self._options.max_removals
        return removal.removal_limit(await self._mirror.catalogue.count(), configured)


def _resolved(
    deferred: Mapping[ProjectName, Deferred],
    planned: Collection[ProjectName],
    listing: ProjectList | None,
) -> list[ProjectName]:
    """Return the projects whose deferral ends because nothing is planned for them.

    Missed projects stay deferred until the time for a second look, unless they are listed again.
    """
    listed: Iterable[ProjectName] = listing.serials if listing is not None else ()
    return [
        name
        for name, left in deferred.items()
        if name not in planned and (left.deferral not in MISSED or name in listed)
    ]
