"""Opens a tree: checks that the catalogue belongs to it, and completes interrupted commands."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import structs

from bandersnatch.catalogue import records
from bandersnatch.errors import MissingObject, StorageError
from bandersnatch.events import StepStarted, Warned
from bandersnatch.layout import COPY, MARK, SIMPLE, PageFormat
from bandersnatch.mirror.adopt import Adoption
from bandersnatch.mirror.checkpoint import MAX_BATCH, Checkpoint, incomplete
from bandersnatch.mirror.executor import Executor
from bandersnatch.mirror.fingerprint import PolicyFingerprint
from bandersnatch.mirror.mark import MarkState, mark_in_tree, read_marks
from bandersnatch.mirror.owners import PathOwners
from bandersnatch.mirror.project import ProjectSync
from bandersnatch.mirror.publish import Publisher, publish_root
from bandersnatch.mirror.readoption import Readoption
from bandersnatch.mirror.removal import Removals
from bandersnatch.mirror.tasks import RunContext
from bandersnatch.mirror.verify.examine import PageCheck
from bandersnatch.model.content import Validators
from bandersnatch.model.project import ProjectDetail
from bandersnatch.model.serials import NO_SERIAL
from bandersnatch.simple.html_page import display_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from bandersnatch.mirror.fleet import Fleet
    from bandersnatch.mirror.following import Following
    from bandersnatch.mirror.health import IndexHealth
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.mirror.state import MirrorState, StateFiles
    from bandersnatch.mirror.tasks import Outcome, SyncTask
    from bandersnatch.model.names import ProjectName
    from bandersnatch.model.serials import Serial
    from bandersnatch.storage.port import Storage


SAMPLE = 20
"""Projects whose pages are looked for."""

MIN_SAMPLE = 3
"""Projects below which the catalogue is not judged; a page or two may have been deleted."""

_PATH_DIGEST = 32
"""Hexadecimal digits."""

_OTHER_MIRROR = (
    "the catalogue is that of another mirror; give this one a schema of its own, ?schema=NAME in "
    "[mirror] catalogue, or if the other one does not exist any more: bandersnatch mirror --rebuild"
)

_EVER = 2**62
"""A time after all others, in seconds since 1970."""


async def open_tree(
    mirror: Mirror, state_files: StateFiles, began: datetime, *, rebuild: bool = False
) -> MirrorState:
    """Read the state, and make the catalogue describe the tree; ``rebuild`` forgets it before.

    :raises CorruptState: if a newer release has changed the layout of the tree.
    :raises StorageError: if the tree does not exist.
    """
    state = await state_files.load()
    for warning in state.warnings:
        mirror.events(Warned(warning))
    if rebuild:
        await _reset(mirror)
    marks = await _check_marks(mirror)
    is_adopted = bool(await mirror.catalogue.marker(records.Marker.ADOPTED))
    if not rebuild:
        marks = await _check_pages(mirror, int(began.timestamp()), marks)
    await _follow_index(mirror)
    await state_files.begin()
    if is_adopted:
        await Readoption.of(mirror).run()
    check = None if is_adopted else await _page_check(mirror)
    await Adoption.of(mirror, began, check).run()
    await Readoption.of(mirror).run()
    if deletions := await _marked(mirror):
        count = len(deletions)
        text = f"finishing the deletion of {count} project(s) that a command left incomplete"
        mirror.events(StepStarted(text))
        await finish_deletions(mirror, began)
    return replace(state, is_restored=marks is MarkState.OTHER_MOMENT)


async def _page_check(
    mirror: Mirror,
) -> Callable[[records.ProjectRecord], Awaitable[records.ProjectRecord]] | None:
    """Return what checks the pages of an adopted project; None for a tree of earlier releases.

    The mark says that this program made the tree: its pages have exactly the bytes that it would
    publish. If others do, their title is the display name; if not, the index is asked for the page.
    """
    if await mark_in_tree(mirror.storage) is None:
        return None
    publisher = Publisher.of(mirror)
    pages = PageCheck(mirror.storage, publisher, PolicyFingerprint.of(mirror), mirror.clock)

    async def check(record: records.ProjectRecord) -> records.ProjectRecord:
        display = str(record.name)
        if PageFormat.HTML in mirror.settings.pages.formats:
            key = publisher.layout.page(record.name, PageFormat.HTML)
            try:
                display = display_name(await mirror.storage.read(key), record.name)
            except StorageError:
                display = ""
        shown = structs.replace(record, display=display)
        if display and not await pages.damage(shown):
            return shown
        return structs.replace(record, fingerprint="")

    return check


# ---------------------------------------------------------------- which index


async def _follow_index(mirror: Mirror) -> None:
    """Forget serials and ETags if they are of another index than that of the configuration.

    The state files are then not trusted until a run has compared every page.
    """
    stored = await mirror.catalogue.marker(records.Marker.INDEX)
    current = index_identity(mirror.settings.index.url)
    if stored in {"", current}:
        return
    before, now = stored.split()[0], current.split()[0]
    followed = f"{before} so far and follows {now} now"
    if before == now:
        followed = f"another address at {now} so far"
    mirror.events(
        Warned(
            f"this mirror followed {followed}; every page is compared, and files that are right "
            "are not downloaded"
        )
    )
    markers = {
        records.Marker.INDEX: current,
        records.Marker.CLEAN: records.CleanMarker.FOREIGN,
        records.Marker.LISTING: "",
    }
    update = records.CatalogueUpdate(forget_above=NO_SERIAL, markers=markers)
    await mirror.catalogue.commit(update)


def index_identity(address: str) -> str:
    """Return what tells an index from others: its host, port, and a digest of its path.

    The scheme does not matter, and the path may have a secret.
    """
    parts = urlsplit(address)
    port = "" if parts.port in {None, 80, 443} else f":{parts.port}"
    path = hashlib.sha256(parts.path.rstrip("/").encode()).hexdigest()
    return f"{parts.hostname or '-'}{port} {path[:_PATH_DIGEST]}"


# ---------------------------------------------------------------- tree and catalogue


async def _check_marks(mirror: Mirror) -> MarkState:
    """Compare the marks of tree and catalogue: which of them are of the same mirror and moment.

    The result is NEW or SAME if there is nothing to compare, else OTHER_MOMENT. A catalogue of
    another mirror is reset, and so is one that has projects and no mark.

    :raises StorageError: if the tree has neither a mark nor a page, and the catalogue has projects;
        or if a catalogue in a shared place is that of another mirror.
    """
    marks, count = await read_marks(mirror), await mirror.catalogue.count()
    if marks in {MarkState.NEW, MarkState.TREE_ONLY}:  # the first command with this catalogue
        (copied,) = await mirror.storage.stat([COPY])
        if copied is not None:
            await mirror.storage.write({}, absent=[COPY], durable=True)
    if marks is MarkState.CATALOGUE_ONLY:
        if count and await _has_no_project(mirror.storage):
            raise _no_pages(count)
        marks = MarkState.OTHER_MOMENT if count else MarkState.SAME
    elif marks in {MarkState.OTHER_MIRROR, MarkState.TREE_ONLY}:
        if count or await mirror.catalogue.marker(records.Marker.ADOPTED):
            if marks is MarkState.OTHER_MIRROR and mirror.catalogue.is_shared:
                raise StorageError(MARK, _OTHER_MIRROR)
            why = "has lost its mark"
            if marks is MarkState.OTHER_MIRROR:
                why = "belongs to another tree: its mark is that of another mirror"
            text = f"the catalogue {why}; it is rebuilt from the pages of this tree"
            mirror.events(Warned(text))
            await _reset(mirror)
        await _take_mark(mirror)
        return MarkState.SAME
    if marks is MarkState.OTHER_MOMENT:
        mirror.events(
            Warned(
                "tree and catalogue are of different moments, as after a part was restored from a "
                "backup; the next run of mirror compares every page and file"
            )
        )
    return marks


async def _take_mark(mirror: Mirror) -> None:
    """Store the mark of the tree in the catalogue."""
    mark = await mark_in_tree(mirror.storage)
    text = "" if mark is None else mark.render()
    await mirror.catalogue.commit(records.CatalogueUpdate(markers={records.Marker.MARK: text}))


async def _check_pages(mirror: Mirror, now: int, marks: MarkState) -> MarkState:
    """Check that the projects of the catalogue have pages; ``now`` is in seconds since 1970.

    If most have none, everything is compared if the marks say that the catalogue is of this tree.
    Without marks it is another tree's: it is reset, and adoption fills it. If only a few have none,
    the next run publishes them again. Where each page is a request to a store, equal marks suffice.

    :raises StorageError: if no project has a page; nothing was written.
    """
    if mirror.storage.believes_records and marks is MarkState.SAME:
        return marks
    sample = await _sample(mirror)
    missing = [name for name in sample if not await _has_page(mirror, name)]
    intact = await mirror.catalogue.summaries(missing)
    missing = [name for name in missing if name in intact]
    if not missing:
        return marks
    if len(sample) < MIN_SAMPLE or len(missing) * 2 <= len(sample):
        await _publish_again(mirror, missing, now)
        return marks
    if await _has_no_project(mirror.storage):
        raise _no_pages(await mirror.catalogue.count())
    if marks is not MarkState.NEW:
        return MarkState.OTHER_MOMENT
    mirror.events(
        Warned(
            f"the catalogue belongs to another tree: of {len(sample)} of its projects "
            f"{len(missing)} have no page here; it is rebuilt from the pages of this tree"
        )
    )
    await _reset(mirror)
    return marks


def _no_pages(count: int) -> StorageError:
    return StorageError(
        SIMPLE,
        f"there are no pages, and the catalogue knows {count} projects; is the disk mounted? "
        "To begin again with what is there, run: bandersnatch mirror --rebuild",
    )


async def _reset(mirror: Mirror) -> None:
    """Forget everything; the adoption fills the catalogue from the tree."""
    await mirror.catalogue.commit(
        records.CatalogueUpdate(
            reset=True, markers={records.Marker.CLEAN: records.CleanMarker.FOREIGN}
        )
    )


async def _sample(mirror: Mirror) -> Sequence[ProjectName]:
    """Return some projects that must have pages, from all parts of the alphabet.

    Deferred projects may have none.
    """
    deferred = {each.name for each in await mirror.catalogue.deferred()}
    found = [each.name for each in await mirror.catalogue.verify_queue(_EVER, None)]
    names = [name for name in found if name not in deferred]
    return names[:: max(1, -(-len(names) // SAMPLE))]


async def _has_page(mirror: Mirror, name: ProjectName) -> bool:
    """Whether a project has a page of any format, at any place where options may have put it."""
    for key in mirror.settings.pages.layout.all_pages(name):
        try:
            await mirror.storage.read(key)
        except MissingObject:
            continue
        except StorageError:
            return True  # something exists, even if it cannot be read
        return True
    return False


async def _publish_again(mirror: Mirror, names: Sequence[ProjectName], now: int) -> None:
    selected = [name for name in names if mirror.filters.may_select(name)]
    if not selected:
        return
    others = f" and {len(selected) - 1} other projects" if selected[1:] else ""
    text = f"the pages of {selected[0]}{others} do not exist any more; mirror publishes them again"
    mirror.events(Warned(text))
    await mirror.catalogue.commit(
        records.CatalogueUpdate(deferred=[incomplete(name, now) for name in selected])
    )


async def _has_no_project(storage: Storage) -> bool:
    """Whether the directory of every project is empty or missing."""
    async for found in storage.scan(SIMPLE):
        if "/" in found.key.removeprefix(SIMPLE):
            return False
    return True


# ---------------------------------------------------------------- interrupted deletions


async def finish_deletions(mirror: Mirror, began: datetime) -> None:
    """Remove the projects that are marked for deletion, and no others.

    First from the root page, then their pages, then their files, and then the marks: after any
    interruption, the next command that opens the tree continues.
    """
    marks = await _marked(mirror)
    removals = Removals.of(mirror, began)
    await publish_root(mirror, omit=marks, force=True)
    names = list(marks)
    for start in range(0, len(names), MAX_BATCH):
        some = names[start : start + MAX_BATCH]
        spellings = {name: marks[name].display for name in some}
        await Readoption.of(mirror).check(some)
        update = await removals.remove_projects(some, spellings)
        update.resolved += some
        update.markers[records.Marker.ROOT] = records.RootMarker.STALE
        for name in some:
            if marks[name].deferral is records.Deferral.EXCLUDED_UNTIL_CHANGE:
                update.records.append(await _excluded_record(mirror, marks[name]))
        await mirror.storage.flush()
        await mirror.catalogue.commit(update)
    await mirror.catalogue.commit(
        records.CatalogueUpdate(markers={records.Marker.ROOT: records.RootMarker.WRITTEN})
    )


async def _marked(mirror: Mirror) -> dict[ProjectName, records.Deferred]:
    """Return the projects whose deletion has begun."""
    deferred = await mirror.catalogue.deferred()
    return {each.name: each for each in deferred if each.deferral in records.DELETIONS}


async def _excluded_record(mirror: Mirror, mark: records.Deferred) -> records.ProjectRecord:
    """Return the record of a project that is excluded until the index changes it.

    Neither a change that the mirror knows already, nor another fingerprint, counts as a change.
    """
    record = await mirror.catalogue.project(mark.name)
    if record is None:
        record = records.ProjectRecord(
            ProjectDetail(mark.name), "", mark.target_serial, "", Validators(), ()
        )
    return structs.replace(
        record,
        detail=record.detail.without_files(),
        reflects=max(record.reflects, mark.target_serial),
        fingerprint=PolicyFingerprint.of(mirror)(mark.name),
        files=(),
        standing=records.Standing.EXCLUDED,
        due=None,
    )


# ---------------------------------------------------------------- what a run works with


def max_concurrent_projects(mirror: Mirror, fleet: Fleet | None = None) -> int:
    """Return how many projects are worked on at a time: enough to use both budgets."""
    if fleet is not None:
        return fleet.concurrency
    return mirror.settings.index.workers + mirror.settings.index.download_workers


async def open_context(
    mirror: Mirror,
    began: datetime,
    *,
    accepted: frozenset[ProjectName],
    force: bool,
    owners: PathOwners | None = None,
    may_empty: bool = False,
    may_lose: Mapping[ProjectName, int] | None = None,
    is_standalone: bool = False,
    may_expire: bool = True,
    cursor: Serial | None = None,
    newest: Serial | None = None,
    ceiling: Serial | None = None,
) -> RunContext:
    """Return what is the same for every task of a run; see ``RunContext``.

    ``owners`` are those of the run's earlier tasks.
    """
    return RunContext(
        now=int(began.timestamp()),
        fingerprint=PolicyFingerprint.of(mirror),
        owners=owners or PathOwners.of(mirror),
        trash={each.key: each for each in await mirror.catalogue.trash()},
        accepted=accepted,
        force=force,
        established=await mirror.catalogue.count() > 0,
        may_empty=may_empty,
        may_lose=may_lose,
        is_standalone=is_standalone,
        may_expire=may_expire,
        cursor=cursor,
        newest=newest,
        ceiling=ceiling,
    )


def open_executor(
    mirror: Mirror,
    checkpoint: Checkpoint,
    context: RunContext,
    began: datetime,
    health: IndexHealth,
    *,
    stop_on_error: bool,
    standalone: bool = False,
    following: Following | None = None,
    fleet: Fleet | None = None,
) -> Executor:
    """Return the executor of a plan's tasks; with ``following`` requirements are read, too.

    With a ``fleet`` its workers sync the projects, and read their requirements.
    """
    sync: Callable[[SyncTask], Awaitable[Outcome]]
    if fleet is not None:
        sync = fleet.syncing(mirror, context, began)
    else:
        sync = ProjectSync.of(mirror, context, began).sync
        if following is not None:
            sync = following.reading(sync)
    return Executor(
        sync if following is None else following.recording(sync),
        checkpoint,
        mirror.clock,
        mirror.events,
        mirror.storage.probe,
        health,
        publish_root=partial(publish_root, mirror, final=False),
        stop_on_error=stop_on_error,
        standalone=standalone,
    )
