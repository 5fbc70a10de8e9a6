"""The root page: the list of the projects that are here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bandersnatch.mirror.checkpoint import ROOT, ROOT_WRITTEN
from bandersnatch.records import ABSENT, GONE, INCOMPLETE, Batch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from bandersnatch.layout import StorageKey
    from bandersnatch.mirror.parts import Mirror
    from bandersnatch.model.names import ProjectName
    from bandersnatch.ports import Inventory
    from bandersnatch.records import Listed

_CUT_SHORT = frozenset({INCOMPLETE, ABSENT, GONE})
"""Kinds of what is left to do under which a project may have lost its page already."""


async def publish_root(
    mirror: Mirror, *, without_names: Collection[ProjectName] = (), always: bool = False
) -> Sequence[StorageKey]:
    """Publish the root page if it does not show what the catalogue has; return what changed.

    ``without_names`` are projects that are still in the catalogue and about to leave it. Others
    may have no page because a run was killed that removed it, and wait to be looked at again.
    """
    if not always and await mirror.catalogue.note(ROOT) == ROOT_WRITTEN:
        return ()
    hidden = set(without_names)
    for left in await mirror.catalogue.unfinished():
        if left.kind in _CUT_SHORT and not await mirror.publisher().has_pages(left.name):
            hidden.add(left.name)
    changed = await mirror.publisher().publish_root(_shown(mirror.catalogue, hidden))
    await mirror.storage.barrier()
    if not without_names:
        await mirror.catalogue.commit(Batch(notes={ROOT: ROOT_WRITTEN}))
    return changed


async def _shown(
    catalogue: Inventory, hidden: Collection[ProjectName]
) -> AsyncIterator[Sequence[Listed]]:
    """Yield the projects that the root page names, some at a time."""
    after = ""
    while some := await catalogue.listed(after):
        after = some[-1].name
        yield [each for each in some if each.name not in hidden] if hidden else some
