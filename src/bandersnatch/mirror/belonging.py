"""Whether the tree is there and the catalogue its own, before anything is believed of either."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.errors import NotStored, StorageError
from bandersnatch.events import Noticed
from bandersnatch.layout import SIMPLE, MirrorLayout, PageFormat
from bandersnatch.mirror.checkpoint import handled
from bandersnatch.mirror.notes import STATE
from bandersnatch.mirror.seal import UNKNOWN
from bandersnatch.records import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bandersnatch.mirror.parts import Mirror
    from bandersnatch.model.names import ProjectName
    from bandersnatch.ports import Storage

SAMPLE = 20
"""Projects whose pages are looked for."""

FEWEST = 3
"""Projects without which nothing is concluded; somebody may have deleted a page or two."""

_EVER = 2**62
"""Seconds since 1970 that nothing was verified after."""


async def check_belonging(mirror: Mirror, now: int) -> None:
    """Look whether the projects that the catalogue knows have pages; ``now`` as of 1970.

    Where most have none the catalogue is another tree's: everything in it is forgotten, and
    adoption begins it anew. Where only some have none, the next run publishes them again.

    :raises StorageError: if nothing is there; nothing was touched.
    """
    sample = await _sample(mirror)
    missing = [name for name in sample if not await _has_page(mirror, name)]
    if not missing:
        return
    if len(sample) < FEWEST or len(missing) * 2 <= len(sample):
        await _publish_again(mirror, missing, now)
        return
    if await _is_bare(mirror.storage):
        count = await mirror.catalogue.count()
        raise StorageError(
            SIMPLE,
            f"there are no pages, and the catalogue knows {count} projects; is the disk mounted? "
            "To begin anew on purpose, delete catalogue.sqlite",
        )
    mirror.events(
        Noticed(
            f"the catalogue is that of another tree: of {len(sample)} of its projects "
            f"{len(missing)} have no page here; it is made anew from the pages that are here"
        )
    )
    await mirror.catalogue.commit(Batch(anew=True, notes={STATE: UNKNOWN}))


async def _sample(mirror: Mirror) -> Sequence[ProjectName]:
    """Return some projects that should have pages, not only the first of the alphabet.

    What an earlier run had in hand may have none.
    """
    busy = {each.name for each in await mirror.catalogue.unfinished()}
    found = [each.name for each in await mirror.catalogue.stale(_EVER, None)]
    names = [name for name in found if name not in busy]
    return names[:: max(1, -(-len(names) // SAMPLE))]


async def _has_page(mirror: Mirror, name: ProjectName) -> bool:
    """Whether a project has a page of any format, where any options would have put it."""
    ours = mirror.settings.pages
    forms = [*ours.formats, *(form for form in PageFormat if form not in ours.formats)]
    for hashed in (ours.layout.hash_index, not ours.layout.hash_index):
        for form in forms:
            try:
                await mirror.storage.read(MirrorLayout(hash_index=hashed).page(name, form))
            except NotStored:
                continue
            except StorageError:
                return True  # there is something, whatever it is
            return True
    return False


async def _publish_again(mirror: Mirror, names: Sequence[ProjectName], now: int) -> None:
    wanted = [name for name in names if mirror.filters.may_select(name)]
    if not wanted:
        return
    others = f" and {len(wanted) - 1} other projects" if wanted[1:] else ""
    text = f"the pages of {wanted[0]}{others} are not there any more; mirror publishes them again"
    mirror.events(Noticed(text))
    await mirror.catalogue.commit(Batch(unfinished=[handled(name, now) for name in wanted]))


async def _is_bare(storage: Storage) -> bool:
    """Whether not even a directory of a project has anything in it."""
    async for found in storage.scan(SIMPLE):
        if "/" in found.key.removeprefix(SIMPLE):
            return False
    return True
