"""A mirror and the index it follows: everything that a command works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bandersnatch.events import Doing, Noticed
from bandersnatch.mirror.adopt import Adoption
from bandersnatch.mirror.belonging import check_belonging
from bandersnatch.mirror.deletions import finish_deletions, marked
from bandersnatch.mirror.files import FileSync
from bandersnatch.mirror.outcome import Visit
from bandersnatch.mirror.page import PageReader
from bandersnatch.mirror.project import ProjectSync
from bandersnatch.mirror.publish import Publisher
from bandersnatch.mirror.remove import Removals
from bandersnatch.mirror.terms import PageTerms
from bandersnatch.mirror.visits import Visits

if TYPE_CHECKING:
    from datetime import datetime

    from bandersnatch.config.settings import Settings
    from bandersnatch.filters.chain import FilterChain
    from bandersnatch.mirror.checkpoint import Checkpoint
    from bandersnatch.mirror.state import MirrorState, StateFiles
    from bandersnatch.model.names import ProjectName
    from bandersnatch.ports import Clock, EventSink, MirrorCatalogue, MirrorStorage, PackageIndex


@dataclass(frozen=True, slots=True)
class Mirror:
    """What the composition root hands to a command; each port is open and ready."""

    index: PackageIndex
    storage: MirrorStorage
    catalogue: MirrorCatalogue
    clock: Clock
    events: EventSink
    settings: Settings
    filters: FilterChain

    @property
    def terms(self) -> PageTerms:
        """What says whether a project's page was made under the options and filters of now."""
        return PageTerms(self.settings, self.filters)

    def publisher(self) -> Publisher:
        """Return what writes this mirror's pages."""
        own_urls = self.settings.files.release_files
        return Publisher(
            self.storage, self.settings.pages, self.clock, self.events, own_urls=own_urls
        )

    def removals(self, now: datetime) -> Removals:
        """Return what takes things out of this mirror."""
        return Removals(self.storage, self.events, now=int(now.timestamp()))

    def file_sync(self) -> FileSync:
        """Return what has this mirror's release files."""
        return FileSync(
            self.index,
            self.storage,
            self.settings.files,
            self.settings.pages.digest_name,
            self.clock,
            self.events,
        )

    def project_sync(self, visit: Visit, now: datetime) -> ProjectSync:
        """Return what brings one project after the other up to date."""
        settings = self.settings
        return ProjectSync(
            self.catalogue,
            PageReader(self.index, settings, self.events, now=now),
            self.filters,
            self.file_sync(),
            self.publisher(),
            self.removals(now),
            settings=settings,
            visit=visit,
        )


def side_by_side(mirror: Mirror) -> int:
    """Return how many projects are under way at once: enough to use both budgets."""
    return mirror.settings.index.workers + mirror.settings.index.download_workers


async def open_tree(mirror: Mirror, state_files: StateFiles, began: datetime) -> MirrorState:
    """Read the state and see to it that the catalogue knows the tree.

    :raises CorruptState: if a newer release has been here.
    :raises StorageError: if the tree is not there.
    """
    state = await state_files.load()
    for note in state.notes:
        mirror.events(Noticed(note))
    await check_belonging(mirror, int(began.timestamp()))
    await state_files.begin()
    adoption = Adoption(
        mirror.storage,
        mirror.catalogue,
        mirror.events,
        mirror.settings,
        mirror.filters,
        now=began,
    )
    await adoption.run()
    if marks := await marked(mirror):
        text = f"taking away {len(marks)} project(s) that a command left half deleted or restored"
        mirror.events(Doing(text))
        await finish_deletions(mirror, began)
    return state


async def open_visit(
    mirror: Mirror,
    began: datetime,
    *,
    accepted: frozenset[ProjectName],
    force: bool,
    may_empty: bool = False,
    is_second_look: bool = True,
) -> Visit:
    """Return what is the same for every project of a run that begins now."""
    return Visit(
        now=int(began.timestamp()),
        terms=mirror.terms,
        lying={each.key: each for each in await mirror.catalogue.removed()},
        accepted=accepted,
        force=force,
        established=await mirror.catalogue.count() > 0,
        may_empty=may_empty,
        is_second_look=is_second_look,
    )


def open_visits(
    mirror: Mirror,
    checkpoint: Checkpoint,
    visit: Visit,
    began: datetime,
    *,
    stop_on_error: bool,
    on_the_side: bool = False,
) -> Visits:
    """Return what visits the projects of a plan."""
    return Visits(
        mirror.project_sync(visit, began).sync,
        checkpoint,
        mirror.clock,
        mirror.events,
        stop_on_error=stop_on_error,
        on_the_side=on_the_side,
    )
