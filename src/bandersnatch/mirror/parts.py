"""A mirror and the index it follows: everything that a command works with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bandersnatch.events import Doing, Noticed
from bandersnatch.mirror.adopt import Adoption
from bandersnatch.mirror.checkpoint import MOST_WAITING, ROOT, ROOT_STALE, ROOT_WRITTEN
from bandersnatch.mirror.files import FileSync
from bandersnatch.mirror.outcome import Visit
from bandersnatch.mirror.page import PageReader
from bandersnatch.mirror.project import ProjectSync
from bandersnatch.mirror.publish import Publisher
from bandersnatch.mirror.remove import Removals
from bandersnatch.mirror.terms import PageTerms
from bandersnatch.mirror.visits import Visits
from bandersnatch.model.project import ProjectDetail
from bandersnatch.records import (
    ABSENT,
    DELETED,
    GONE,
    INCOMPLETE,
    SET_ASIDE,
    Batch,
    ProjectRecord,
    Standing,
    Validators,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from bandersnatch.config.settings import Settings
    from bandersnatch.filters.chain import FilterChain
    from bandersnatch.mirror.checkpoint import Checkpoint
    from bandersnatch.mirror.state import MirrorState, StateFiles
    from bandersnatch.model.names import ProjectName
    from bandersnatch.ports import Clock, EventSink, MirrorCatalogue, MirrorStorage, PackageIndex
    from bandersnatch.records import Unfinished


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

    def project_sync(self, visit: Visit, now: datetime) -> ProjectSync:
        """Return what brings one project after the other up to date."""
        settings = self.settings
        return ProjectSync(
            self.catalogue,
            PageReader(self.index, settings, self.events, now=now),
            self.filters,
            FileSync(
                self.index,
                self.storage,
                settings.files,
                settings.pages.digest_name,
                self.clock,
                self.events,
            ),
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
    """
    state = await state_files.load()
    for note in state.notes:
        mirror.events(Noticed(note))
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
    if marks := await _marked(mirror):
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


async def publish_root(
    mirror: Mirror, *, without_names: Collection[ProjectName] = (), always: bool = False
) -> None:
    """Publish the root page if it does not show what the catalogue has.

    ``without_names`` are projects that are still in the catalogue and about to leave it. Others
    may have no page because a run was killed that removed it, and wait to be looked at again.
    """
    if not always and await mirror.catalogue.note(ROOT) == ROOT_WRITTEN:
        return
    had = await mirror.catalogue.had(None)
    shown = {
        name: each
        for name, each in had.items()
        if each.standing is not Standing.LEFT_OUT and name not in without_names
    }
    for left in await mirror.catalogue.unfinished():
        cut_short = left.kind in {INCOMPLETE, ABSENT, GONE} and left.name in shown
        if cut_short and not await mirror.publisher().has_pages(left.name):
            del shown[left.name]
    await mirror.publisher().publish_root(shown)
    await mirror.storage.barrier()
    if not without_names:
        await mirror.catalogue.commit(Batch(notes={ROOT: ROOT_WRITTEN}))


async def finish_deletions(mirror: Mirror, began: datetime) -> None:
    """Take away the projects that are marked to go, and no others.

    Out of the root page first, then their pages, then their files, and then the marks: wherever
    this is stopped, what opens the tree next goes on with it.
    """
    marks = await _marked(mirror)
    removals, publisher = mirror.removals(began), mirror.publisher()
    await publish_root(mirror, without_names=marks, always=True)
    names = list(marks)
    for start in range(0, len(names), MOST_WAITING):
        some = names[start : start + MOST_WAITING]
        spelled = {name: marks[name].display for name in some}
        batch = await removals.remove_projects(some, mirror.catalogue, publisher, spelled)
        batch.finished += some
        batch.notes[ROOT] = ROOT_STALE
        aside = [marks[name] for name in some if marks[name].kind == SET_ASIDE]
        batch.records += [await _left_out(mirror, mark) for mark in aside]
        await mirror.storage.barrier()
        await mirror.catalogue.commit(batch)
    await mirror.catalogue.commit(Batch(notes={ROOT: ROOT_WRITTEN}))


async def _marked(mirror: Mirror) -> dict[ProjectName, Unfinished]:
    """Return the projects that are on their way out by name."""
    unfinished = await mirror.catalogue.unfinished()
    return {each.name: each for each in unfinished if each.kind in {DELETED, SET_ASIDE}}


async def _left_out(mirror: Mirror, mark: Unfinished) -> ProjectRecord:
    """Return what is remembered of a project that is away until the index changes it.

    Neither what the mirror knows of already, nor other terms from before, count as a change.
    """
    record = await mirror.catalogue.project(mark.name)
    if record is None:
        record = ProjectRecord(ProjectDetail(mark.name), "", mark.need, "", Validators(), ())
    return replace(
        record,
        detail=record.detail.without_files(),
        reflects=max(record.reflects, mark.need),
        terms=mirror.terms(mark.name),
        files=(),
        standing=Standing.LEFT_OUT,
        due=None,
    )
