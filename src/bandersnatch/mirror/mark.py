"""The mark that ties the served tree to the catalogue: ``web/.mirror``.

It has the random name of the mirror and a counter, which a command moves at its end if it changed
something. If both parts of a mirror are from the same moment, their marks are equal.
"""

from __future__ import annotations

import re
import secrets
from enum import Enum, auto
from typing import TYPE_CHECKING

from msgspec import Struct

from bandersnatch.catalogue.records import CatalogueUpdate, Marker
from bandersnatch.errors import ForeignLink, MissingObject
from bandersnatch.layout import MARK

if TYPE_CHECKING:
    from bandersnatch.mirror.mirror import Mirror
    from bandersnatch.storage.port import Storage

_TEXT = re.compile(r"([0-9a-f]{32}) ([0-9]{1,15})( begun)?\s*", re.ASCII)


class TreeMark(Struct, frozen=True):
    """A mark; with ``begun`` the tree may still have the counter before it."""

    name: str
    counter: int
    begun: bool = False

    @classmethod
    def parse(cls, text: str) -> TreeMark | None:
        """Return the mark in a text; None if it is none."""
        found = _TEXT.fullmatch(text)
        return cls(found[1], int(found[2]), bool(found[3])) if found else None

    def render(self) -> str:
        """Return the text to store."""
        return f"{self.name} {self.counter}{' begun' if self.begun else ''}"


class MarkState(Enum):
    """How the marks of tree and catalogue compare."""

    NEW = auto()
    """Neither has one: a new mirror, or one that an earlier release made."""
    SAME = auto()
    TREE_ONLY = auto()
    """The catalogue has none: it was lost, or is damaged."""
    CATALOGUE_ONLY = auto()
    """The tree has none: it was replaced, or the disk is not there."""
    OTHER_MIRROR = auto()
    OTHER_MOMENT = auto()
    """One of both was restored from a backup."""


def compare_marks(in_tree: TreeMark | None, in_catalogue: TreeMark | None) -> MarkState:
    """Return how the marks compare."""
    if in_tree is None:
        return MarkState.NEW if in_catalogue is None else MarkState.CATALOGUE_ONLY
    if in_catalogue is None:
        return MarkState.TREE_ONLY
    if in_tree.name != in_catalogue.name:
        return MarkState.OTHER_MIRROR
    behind = in_catalogue.counter - in_tree.counter
    is_same = behind == 0 or (behind == 1 and in_catalogue.begun)
    return MarkState.SAME if is_same else MarkState.OTHER_MOMENT


async def mark_in_tree(storage: Storage) -> TreeMark | None:
    """Return the mark in the tree; None without a valid one.

    :raises StorageError: if it cannot be read.
    """
    try:
        text = await storage.read(MARK)
    except ForeignLink:
        raise  # there is a link
    except MissingObject:
        return None
    return TreeMark.parse(text.decode("ascii", errors="replace"))


async def mark_in_catalogue(mirror: Mirror) -> TreeMark | None:
    """Return the mark in the catalogue; None without a valid one."""
    return TreeMark.parse(await mirror.catalogue.marker(Marker.MARK))


async def read_marks(mirror: Mirror) -> MarkState:
    """Read both marks, and return how they compare.

    :raises StorageError: if that in the tree cannot be read.
    """
    return compare_marks(await mark_in_tree(mirror.storage), await mark_in_catalogue(mirror))


async def move_mark(mirror: Mirror) -> None:
    """Give tree and catalogue a mark with the next counter.

    The catalogue first says that this has begun, so that nothing is compared after an
    interruption in between.
    """
    earlier = [await mark_in_tree(mirror.storage), await mark_in_catalogue(mirror)]
    known = [each for each in earlier if each is not None]
    name = known[0].name if known else secrets.token_hex(16)
    mark = TreeMark(name, 1 + max((each.counter for each in known), default=0), begun=True)
    await _store(mirror, mark)
    text = TreeMark(mark.name, mark.counter).render()
    await mirror.storage.write({MARK: f"{text}\n".encode()}, durable=True)
    await _store(mirror, TreeMark(mark.name, mark.counter))


async def finish_marks(mirror: Mirror) -> None:
    """Move the mark at the end of a command that has changed something.

    Marks that are of different moments stay so, until a run of ``mirror`` has compared everything.
    """
    if mirror.catalogue.changed and await read_marks(mirror) in {MarkState.NEW, MarkState.SAME}:
        await move_mark(mirror)


async def _store(mirror: Mirror, mark: TreeMark) -> None:
    await mirror.catalogue.commit(CatalogueUpdate(markers={Marker.MARK: mark.render()}))
