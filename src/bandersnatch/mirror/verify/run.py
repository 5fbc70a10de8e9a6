"""The command ``verify``, from the first look to the last file that is moved away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch import layout
from bandersnatch.catalogue.records import CatalogueUpdate, Marker, RootMarker, TrashEntry
from bandersnatch.errors import TooManyOrphans, UnusableIndex
from bandersnatch.events import (
    DamageFound,
    DamageLeft,
    DamageRepaired,
    Halted,
    OrphanFound,
    Planned,
    ProjectUnreadable,
    StepStarted,
    Warned,
)
from bandersnatch.mirror.checkpoint import Checkpoint
from bandersnatch.mirror.files import FileSync
from bandersnatch.mirror.fingerprint import PolicyFingerprint
from bandersnatch.mirror.publish import Publisher, publish_root
from bandersnatch.mirror.recovery import (
    max_concurrent_projects,
    open_context,
    open_executor,
    open_tree,
)
from bandersnatch.mirror.removal import removal_limit
from bandersnatch.mirror.state import StateFiles
from bandersnatch.mirror.sync import wanted_by_name
from bandersnatch.mirror.verify.budget import Budget
from bandersnatch.mirror.verify.examine import Examiner, PageCheck
from bandersnatch.mirror.verify.orphans import Orphans
from bandersnatch.mirror.verify.repair import Repairer
from bandersnatch.mirror.verify.scrub import Scrub

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.verify.budget import VerifyOptions
    from bandersnatch.model.names import ProjectName
    from bandersnatch.storage.port import StoredObject

_MOVED_TOGETHER = 500


class Verification:
    """One run of ``verify``.

    It brings the tree back to what the catalogue says, and takes nothing out of it but what
    belongs to no project, if that is asked for. Neither ``status`` nor what ``mirror`` has
    still to do is touched.
    """

    def __init__(self, mirror: Mirror, orders: VerifyOptions) -> None:
        self._mirror = mirror
        self._orders = orders
        self._state = StateFiles(mirror.storage)
        self._owners = Orphans(
            mirror.storage, mirror.catalogue, mirror.settings.pages, mirror.clock
        )

    async def run(self) -> None:
        """Verify what the orders ask for.

        :raises StorageError: if the storage fails; what was found right by then is remembered.
        """
        began = self._mirror.clock.now()
        await open_tree(self._mirror, self._state, began)
        if self._orders.update:
            await self._update(began)
        await self._scrub(began)
        whole = not (self._orders.is_partial or self._orders.quick)
        if whole or self._orders.delete:
            await self._look_over_the_tree(began)
        elif self._orders.quick:
            await self._check_root()

    # ------------------------------------------------------------ pages as the index has them

    async def _update(self, began: datetime) -> None:
        """Ask the index for every page, conditionally; what is gone there stays here."""
        self._mirror.events(StepStarted("asking for every page that changed"))
        after, answered, asked = "", False, 0
        while some := await self._mirror.catalogue.list_entries(after):
            after, asked = some[-1].name, asked + len(some)
            answered |= await self._sync([each.name for each in some], began)
        if asked and not answered:
            error = UnusableIndex(f"the index has a usable page for none of {asked} projects")
            self._mirror.events(Halted(error))

    async def _sync(self, names: Sequence[ProjectName], began: datetime) -> bool:
        """Bring projects up to date as ``sync`` does; say whether that succeeded for any.

        No look here counts as the second that lets something go.
        """
        mirror = self._mirror
        wanted = await wanted_by_name(mirror, names)
        checkpoint = Checkpoint(
            mirror.storage,
            mirror.catalogue,
            self._state,
            mirror.clock,
            todo=None,
            now=int(began.timestamp()),
        )
        await checkpoint.mark(w.name for w in wanted if not w.had and w.earlier is None)
        visit = await open_context(
            mirror, began, accepted=frozenset(), force=True, is_second_look=False
        )
        visits = open_executor(
            mirror, checkpoint, visit, began, stop_on_error=False, standalone=True
        )
        try:
            await visits.run(wanted, workers=max_concurrent_projects(mirror))
        finally:
            await checkpoint.commit()
        return visits.succeeded > 0

    # ------------------------------------------------------------ project by project

    async def _scrub(self, began: datetime) -> None:
        mirror, orders = self._mirror, self._orders
        totals = await mirror.catalogue.totals()
        mirror.events(Planned(totals.projects, 0))
        size = orders.size
        if orders.sample is not None:
            share = int(totals.size * orders.sample / 100) + 1
            size = share if size is None else min(size, share)
        budget = Budget(mirror.clock, seconds=orders.seconds, size=size, rate=orders.rate)
        publisher = Publisher.of(mirror)
        scrub = Scrub(
            mirror,
            Examiner(
                mirror.storage,
                PageCheck(mirror.storage, publisher, PolicyFingerprint.of(mirror), mirror.clock),
                mirror.clock,
                budget,
                documents=mirror.settings.pages.legacy_json,
                newer=orders.update,
            ),
            Repairer(mirror.index, FileSync.of(mirror), publisher, mirror.clock),
            budget,
            orders,
            {each.name: each for each in await mirror.catalogue.deferred()},
        )
        if orders.quick:
            await scrub.run_quickly()
        else:
            await scrub.run(int(began.timestamp()))

    # ------------------------------------------------------------ the tree as a whole

    async def _look_over_the_tree(self, began: datetime) -> None:
        """Find what belongs to nobody, and take it away if that was asked for and may be."""
        self._mirror.events(StepStarted("looking for what belongs to no project"))
        unknown = await self._unknown(began)
        await self._check_root()
        moves, count = self._orders.delete and self._orders.repair, 0
        async for found in self._owners.unowned(unknown):
            count += 1
            if not moves:
                self._mirror.events(OrphanFound(found.key, found.size, moved=False))
        if count and self._orders.delete and await self._may_move(count, unknown) and moves:
            await self._move_away(unknown, began)

    async def _unknown(self, began: datetime) -> list[ProjectName]:
        """Return the projects here that are not known, after a try to know them."""
        strangers = await self._owners.strangers()
        wanted = [name for name in strangers if self._mirror.filters.may_select(name)]
        if wanted and self._orders.repair:
            await self._sync(wanted, began)
            strangers = await self._owners.strangers()
        unknown = [name for name in strangers if name not in self._orders.ignore_unreadable]
        for name in unknown:
            self._mirror.events(ProjectUnreadable(name))
        return unknown

    async def _check_root(self) -> None:
        """See to it that the root page names every project here."""
        was_right = await self._mirror.catalogue.marker(Marker.ROOT) == RootMarker.WRITTEN
        for key in await publish_root(self._mirror, force=True):
            if not was_right:
                continue
            what = "it does not list the projects that are here"
            self._mirror.events(DamageFound(key, what))
            if self._orders.repair:
                self._mirror.events(DamageRepaired(key))
            else:
                self._mirror.events(DamageLeft(key, what, "a dry run repairs nothing"))

    async def _may_move(self, count: int, unknown: Collection[ProjectName]) -> bool:
        """Whether so much may leave the served tree, knowing what is known."""
        mirror = self._mirror
        if unknown:
            text = (
                f"nothing is removed, for {len(unknown)} project(s) here cannot be read; "
                f"sync or delete them, or name them with --ignore-unreadable"
            )
            mirror.events(Warned(text))
            return False
        totals = await mirror.catalogue.totals()
        limit = removal_limit(totals.files, mirror.settings.run.max_removals)
        if count > limit:
            mirror.events(Halted(TooManyOrphans(count, limit)))
            return False
        return True

    async def _move_away(self, unknown: Collection[ProjectName], began: datetime) -> None:
        some: list[StoredObject] = []
        async for found in self._owners.unowned(unknown):
            some.append(found)
            if len(some) >= _MOVED_TOGETHER:
                await self._move(some, began)
                some = []
        await self._move(some, began)

    async def _move(self, some: Sequence[StoredObject], began: datetime) -> None:
        """Move things to ``removed/``; they are written down before, so that none is forgotten."""
        mirror, at = self._mirror, int(began.timestamp())
        removed = [TrashEntry(layout.trash(each.key), each.size, "", at) for each in some]
        await mirror.catalogue.commit(CatalogueUpdate(trashed=removed))
        await mirror.storage.discard([each.key for each in some])
        for each in some:
            mirror.events(OrphanFound(each.key, each.size, moved=True))
